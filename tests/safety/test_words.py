"""What people and systems write: cases 15 to 20."""

from __future__ import annotations

import json
import logging
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from bot import logs
from bot.config import ConfigError, Settings, load
from incidents import events as e
from tests.safety.rig import START, Chat

REPO = Path(__file__).parents[2]


async def refused(chat: Chat, line: str) -> str:
    """What alice is told; nothing else comes of the line."""
    chat.mark()
    await chat.alice.says(line)
    told = chat.bot_said_to("alice")
    assert told, f"nobody answered {line!r}"
    assert (await chat.actions(), chat.cards(), chat.ran) == (0, 0, {}), line
    return told


# -- 15 ---------------------------------------------------------------------------------------------


async def test_safety_15_names_that_only_look_right(chat: Chat) -> None:
    """Homoglyphs, invisible signs and full-width letters name no service and nobody; digits are digits."""
    for name in (
        "r\u0435altime",  # a Cyrillic letter
        "real\u200btime",
        "realtime\ufeff",
        "\u202erealtime",
        "\uff52\uff45\uff41\uff4c\uff54\uff49\uff4d\uff45",
        "real\u00adtime",
        "realtime\u0301",
        "realtimе",
    ):
        told = await refused(chat, f"/scale {name} 10")
        assert "There is no service" in told, ascii(name)
        assert "Did you mean realtime?" in told or "plain letters" in told
        assert "There is no service" in await refused(chat, f"/pods {name}")
    for digits in ("１０", "٣", "१०", "①", "10\u200b", "1\u06f0", "Ⅹ"):
        assert "whole number" in await refused(chat, f"/scale realtime {digits}")
    for person in ("\u0430lice", "bob\u200b", "@b\u03bfb"):
        assert "I know nobody called" in await refused(chat, f"/page {person} now")
    assert "There is no request" in await refused(chat, "/approve 7")
    chat.mark()
    await chat.alice.says("/scale REALTIME 10")  # the other side: capitals are the same letters
    assert chat.cards() == 1


async def test_safety_15_only_names_of_the_catalogue(chat: Chat) -> None:
    """What runs somewhere but is not configured cannot be named."""
    for name in (
        "kube-system",
        "production",
        "deployment/realtime",
        "production/realtime",
        "all",
        "realtime.",
        "r",
    ):
        assert "There is no service" in await refused(chat, f"/restart {name}")
    assert "There is no command" in await refused(chat, "/scаle realtime 10")  # a Cyrillic letter


# -- 16 ---------------------------------------------------------------------------------------------

ODD = [
    "-rf",
    "--all",
    "--kubeconfig=/etc/passwd",
    "app=realtime",
    "realtime,chat-adapters",
    "*",
    "real*",
    "real?ime",
    "[r]ealtime",
    "'realtime'",
    '"realtime"',
    "“realtime”",
    "$(reboot)",
    "${HOME}",
    "`reboot`",
    "realtime;reboot",
    "realtime|sh",
    "realtime&&reboot",
    "realtime\nreboot",
    "realtime\r\n/restart realtime",
    "../realtime",
    "realtime>x",
    "realtime\\",
    "{realtime,redis}",
    "~root",
    "%0a",
]


async def test_safety_16_odd_arguments_are_refused(chat: Chat) -> None:
    """In every place where a change or a read takes a name; with a sentence, and without effect."""
    for bad in ODD:
        for line in ("/scale {} 5", "/restart {}", "/maintenance {} on", "/logs {}", "/describe {}"):
            chat.mark()
            await chat.alice.says(line.format(bad))
            assert (await chat.actions(), chat.ran) == (0, {}), (line, bad)
            assert chat.bot_said_to("alice"), (line, bad)
            assert "INFO" not in chat.bot_said(), (line, bad)


async def test_safety_16_odd_values_are_refused(chat: Chat) -> None:
    """Pods, keys, patterns, sizes and values: no option, selector, wildcard, quote or substitution gets in."""
    bad = [each for each in ODD if each not in ("*", "real*", "real?ime", "[r]ealtime", "../realtime", "%0a")]
    for word in bad:
        for line in (
            "/logs realtime pod={}",
            "/pods namespace={}",
            "/redis get {}",
            "/redis kill {}",
            "/redis del {}",
            "/toggle realtime {} 1",
            "/toggle realtime BACKPRESSURE_THRESHOLD {}",
        ):
            chat.mark()
            await chat.alice.says(line.format(word))
            assert (await chat.actions(), chat.ran) == (0, {}), (line, word)
            assert chat.bot_said_to("alice"), (line, word)


def test_safety_16_no_shell_anywhere() -> None:
    """No product file starts a shell, evaluates text, or hands a line to one."""
    shells = re.compile(
        r"shell\s*=\s*True|os\.system|os\.popen|\bpopen2?\(|subprocess\.getoutput|create_subprocess_shell|"
        r"\bcommands\.getoutput|\beval\(|\bexec\(|pty\.spawn|/bin/sh|\bsh -c\b|bash -c"
    )
    found = [
        f"{path.relative_to(REPO)}: {line.strip()}"
        for folder in ("bot", "commands", "incidents")
        for path in sorted((REPO / folder).rglob("*.py"))
        for line in path.read_text("utf-8").splitlines()
        if shells.search(line)
    ]
    assert found == []


# -- 17 ---------------------------------------------------------------------------------------------


async def test_safety_17_what_telephones_make_of_it(chat: Chat) -> None:
    """Curly quotes and long dashes are read as what was meant, and the card shows what was understood."""
    await chat.alice.says("/scale realtime —replicas 10 for 30m")
    assert "scale realtime 3 → 10" in chat.card(1).plain
    assert "goes back by itself after 30 min" in chat.card(1).plain
    await chat.alice.says("/scale –service=realtime ―replicas=11")
    assert "scale realtime 3 → 11" in chat.card(2).plain
    chat.mark()
    await chat.alice.says("/scale realtime 12 —dry-run")
    assert "Plan only, nothing runs: scale realtime 3 → 12" in chat.bot_said_to("alice")
    assert await chat.actions() == 2
    await chat.grace.says("/incident open critical “Redis isn’t up” —service realtime", "#ops")
    [opened] = await chat.events("incident-2", e.IncidentOpened)
    assert (opened.title, opened.service) == ("Redis isn’t up", "realtime")
    chat.mark()
    await chat.alice.says("/logs realtime grep=“active connections”")
    assert "active connections" in chat.bot_said()
    assert "upstream" not in chat.bot_said()


async def test_safety_17_the_same_line_is_the_same_request(chat: Chat) -> None:
    """One parser: however it was typed, it is the same plan and the same card."""
    await chat.alice.says("/scale realtime 10")
    for line in ("/scale realtime —replicas=10", "!scale –service realtime replicas=10", "/wb scale rt 10"):
        await chat.alice.says(line.replace(" rt ", " realtime "))
    assert (await chat.actions(), chat.cards()) == (1, 1)


# -- 18 ---------------------------------------------------------------------------------------------


async def test_safety_18_counts_are_strict_whole_numbers(chat: Chat) -> None:
    """Negative, huge, exponents, fractions, words and other digits are refused, each with the bounds."""
    for count in (
        *(
            "-1",
            "−1",
            "—1",
            "+5",
            "21",
            "200",
            "1e9",
            "1E1",
            "NaN",
            "inf",
            "10.5",
            "10.0",
            "0x10",
            "1_0",
            "1,000",
        ),
        *(
            "10,",
            "ten",
            "''",
            "１０",
            "1 0",
            "9" * 13,
            "9" * 400,
            "2147483648",
            "-0",
            "5%",
            "10k",
            "null",
            "true",
        ),
    ):
        told = await refused(chat, f"/scale realtime {count}")
        assert "replicas" in told.casefold(), count
        assert len(told) < 400


@pytest.mark.parametrize(("service", "low", "high"), [("realtime", 0, 20), ("mongodb", 1, 3)])
async def test_safety_18_bounds_per_service(chat: Chat, service: str, low: int, high: int) -> None:
    """The last number inside is taken, the first outside refused, at both ends."""
    outside = [high + 1, *([low - 1] if low else [])]
    for count in outside:
        told = await refused(chat, f"/scale {service} {count}")
        assert f"{service} takes {low} to {high} replicas; {count} is outside" in told
    await chat.alice.says(f"/scale {service} {high}")
    await chat.alice.says(f"/scale {service} {low}")
    assert await chat.actions() == 2


async def test_safety_18_zero_is_a_danger(chat: Chat) -> None:
    """It takes the approvals of two; one takes the approval of one."""
    await chat.alice.says("/scale realtime 0")
    await chat.alice.says("/scale realtime 1")
    assert "danger" in chat.card(1).plain
    assert "danger" not in chat.card(2).plain
    assert [(await chat.action(n)).quorum for n in (1, 2)] == [2, 1]
    await chat.bob.reacts(chat.card(1), "✅")
    await chat.waits(60)
    assert chat.ran == {}
    await chat.carol.reacts(chat.card(1), "✅")
    await chat.waits(60)
    assert (chat.ran, chat.replicas()) == ({1: 1}, 0)


# -- 19 ---------------------------------------------------------------------------------------------

HOSTILE = (
    "<!channel> <@U012AB3CD> @room @everyone @mallory <https://evil.example|click> [pill](https://matrix.to/#/@bob:x)"
    " `rm` ```x``` <b onclick=x>bold</b> <script>alert(1)</script> https://evil.example {{ 7*7 }} \u202etxt"
)
MARKUP = re.compile(r"[<>]|(?<![\w\u2060])@(?:room|everyone|mallory)\b|```x|https?://evil|\b49\b|\u202e")


def neutral(text: str) -> None:
    """Nothing of the hostile text has an effect in it."""
    found = MARKUP.search(text)
    assert found is None, text[max(0, found.start() - 60) : found.end() + 60] if found else ""


async def test_safety_19_titles_notes_and_names(new_chat: Callable[..., Any]) -> None:
    """Whatever people write into titles, notes, reasons and their own names, the bot repeats as plain words."""

    def renamed(settings: Settings) -> Settings:
        people = {**settings.people, "grace": replace(settings.people["grace"], display=HOSTILE)}
        return replace(settings, people=people)

    chat: Chat = await new_chat(renamed, opened=False)
    await chat.grace.says(f'/incident open critical "{HOSTILE}" service=realtime', "#ops")
    chat.number = 1
    await chat.alice.says("/ack")
    for line in ("note", "update", "impact", "cause", "action", "status identified", "major on"):
        await chat.alice.says(f"/{line} {HOSTILE}")
    await chat.alice.says("/scale realtime 10")
    await chat.bob.says(f"/deny 1 {HOSTILE}")
    await chat.alice.says("/scale realtime 11")
    await chat.alice.says(f"/breakglass 2 {HOSTILE}")
    await chat.alice.says(f"/severity high {HOSTILE}")
    await chat.alice.says(f"/scale {HOSTILE} 5")
    await chat.alice.says(f"/{HOSTILE}")
    await chat.zoe.says(f"/ack {HOSTILE}")
    await chat.alice.says("/catchup")
    await chat.alice.says("/timeline")
    await chat.alice.says("/incident list", "#ops")
    await chat.waits(2000)
    await chat.alice.says(f"/resolve {HOSTILE}")
    said = [m for m in chat.messages() if m.card is not None or m.plain]
    assert len(said) > 20
    for message in said:
        neutral(re.sub(r"https?://[a-z.]*company\.com\S*", "", message.text))
    topic = chat.console.store.channels[chat.channel].topic
    neutral(topic)
    assert all("mallory" not in m.mentions for m in said)
    for form in ("md", "html"):
        _name, data, _mime = await chat.stage.bot.export(1, form)
        shown = data.decode()
        assert "<script>alert" not in shown
        assert "<b onclick" not in shown
        assert "<!channel>" not in shown
        assert "<@U012AB3CD>" not in shown
        assert form == "html" or "](https://matrix.to" not in shown


async def test_safety_19_alert_labels(chat: Chat) -> None:
    """Names, labels, summaries and addresses of alerts are somebody else's words, too."""
    alert = {
        "status": "firing",
        "labels": {"alertname": HOSTILE, "service": "realtime", "severity": HOSTILE, HOSTILE: HOSTILE},
        "annotations": {"summary": HOSTILE, "description": HOSTILE},
        "startsAt": START.isoformat(),
        "fingerprint": "f1",
        "generatorURL": "javascript:alert(1)",
    }
    token = chat.stage.settings.alerts.sources["alertmanager"].token
    assert token is not None
    body = json.dumps({"version": "4", "status": "firing", "groupKey": HOSTILE, "alerts": [alert]}).encode()
    reply = await chat.stage.bot.alerting.receive("alertmanager", body, token.get_secret_value())
    assert reply.status == 200
    await chat.settle()
    await chat.waits(60)
    opened = chat.number = 2
    assert (await chat.events(f"incident-{opened}", e.IncidentOpened))[0].title
    for message in chat.messages():
        neutral(re.sub(r"https?://[a-z.]*company\.com\S*", "", message.text))
    neutral(chat.console.store.channels[chat.channel].topic)


async def test_safety_19_what_commands_print(chat: Chat) -> None:
    """The output of systems: configuration, images, logs."""
    with chat.stage.world.change("setup", "set", "x") as state:
        found = state.deployments["realtime"]
        found.config["MOTD"], found.image = HOSTILE, f"registry/{HOSTILE}:1"
    for line in ("/describe realtime", "/rollout realtime", "/pods realtime", "/events realtime"):
        chat.mark()
        await chat.alice.says(line)
        said = chat.bot_said()
        assert said, line
        neutral(said)
    await chat.alice.says("/rollback realtime 1")
    neutral(chat.card().text)
    for message in chat.messages():
        neutral(re.sub(r"https?://[a-z.]*company\.com\S*", "", message.text))


# -- 20 ---------------------------------------------------------------------------------------------

KNOWN = "correct-horse-battery-staple"
PLANTED = {
    "password": "password=Sw0rdfish-4711",
    "bearer": "Authorization: Bearer abcdef0123456789abcdef",
    "url": "postgres://app:Tr0ub4dor-99@db:5432/app",
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "slack": "xoxb-1234567890-abcdefghijk",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ7bn0ifQ.c2lnbmF0dXJl",
    "key": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----",
    "requirepass": "requirepass s3kr3t-redis",
    "known": KNOWN,
}
SECRETS = [
    "Sw0rdfish-4711",
    "abcdef0123456789abcdef",
    "Tr0ub4dor",
    "AKIAIOSFODNN7EXAMPLE",
    "xoxb-1234567890",
    "eyJhbGciOiJIUzI1NiJ9",
    "MIIEvQIBADANBg",
    "s3kr3t-redis",
    KNOWN,
    "hunter2-",
    "sk-live-4eC39",
    "tok-",
]


def knowing(settings: Settings) -> Settings:
    """This process has a secret of its own."""
    return replace(
        settings, redaction=replace(settings.redaction, values=(*settings.redaction.values, KNOWN))
    )


def without_secrets(data: bytes, where: str) -> None:
    for secret in SECRETS:
        assert secret.encode() not in data, f"{secret} in {where}"


async def everywhere(chat: Chat) -> None:
    """The log's files, all that the bot said or would say, and every export."""
    without_secrets(chat.log_bytes(), "the log")
    files = [f.id for m in chat.messages() for f in m.files]
    for message in chat.messages():
        without_secrets(f"{message.text}\n{message.plain}".encode(), "the chat")
    for number in files:
        without_secrets(chat.console.store.file(number), "a file in the chat")
    for page in chat.console.store.pages.values():
        without_secrets(page.text.encode(), "a page")
    for form in ("md", "html", "json", "csv", "zip"):
        _name, data, _mime = await chat.stage.bot.export(1, form)
        if form == "zip":
            with zipfile.ZipFile(BytesIO(data)) as packed:
                data = b"".join(packed.read(name) for name in packed.namelist())
        without_secrets(data, form)


async def test_safety_20_what_people_paste(new_chat: Callable[..., Any]) -> None:
    """Into chat, commands, titles, reasons, edits, what is refused, and what comes late or in a flood."""
    chat: Chat = await new_chat(knowing)
    for name, secret in PLANTED.items():
        one = secret.replace("\n", " ") if name != "key" else secret
        await chat.alice.says(f"look: {one}")
        message = await chat.alice.says(f"/note {one}")
        await chat.alice.edits(message, f"/note again {one}")
        for line in (f"/update {one}", f"/cause {one}", f"/action {one}", f"/logs realtime grep={one}"):
            await chat.alice.says(line)
        await chat.alice.says(f"/scale {one} 5")
        await chat.alice.says(f"/nothing {one}")
        await chat.grace.says(f"/note {one}")
        await chat.grace.says(f'/incident open low "{one}"', "#ops")
        await chat.alice.says(f"/help {one}", "@alice") if chat.console.channel_named("@alice") else None
    await chat.alice.says("/scale realtime 10")
    await chat.bob.says(f"/deny 1 {PLANTED['password']}")
    await chat.stage.kill()
    await chat.console.says("alice", chat.channel, f"/note {PLANTED['password']}")
    await chat.console.says("alice", chat.channel, f"/logs realtime grep={PLANTED['bearer']}")
    chat.stage.clock.move(chat.stage.clock.now().replace(hour=4))
    await chat.restarts()
    await chat.waits(60)
    await everywhere(chat)


async def test_safety_20_what_systems_print(new_chat: Callable[..., Any]) -> None:
    """Logs, configuration and errors of targets, labels of alerts, answers after an approval."""
    chat: Chat = await new_chat(knowing)
    with chat.stage.world.change("setup", "set", "x") as state:
        config = state.deployments["realtime"].config
        config.update({f"LINE_{name}".upper(): value for name, value in PLANTED.items()})
        config |= {"DB_PASSWORD": "Sw0rdfish-4711", "STRIPE_API_KEY": "s3kr3t-redis", "SESSION_SECRET": KNOWN}
    for line in (
        "/logs realtime since=1h tail=400",
        "/logs chat-adapters since=1h tail=400",
        "/describe realtime",
        "/events realtime",
        "/rollout realtime",
        "/redis info",
        "/redis clients",
        "/checklist realtime",
    ):
        await chat.alice.says(line)
    await chat.alice.says("/redis get config:1")
    await chat.bob.reacts(chat.card(), "✅")
    await chat.waits(30)
    assert (await chat.action()).state == "done"
    told = [m.plain for m in chat.messages() if m.reader == "alice"]
    assert "‹redacted›" in told[-1]

    alert = {
        "status": "firing",
        "labels": {"alertname": "Leak", "severity": "critical", "api_key": "s3kr3t-redis"},
        "annotations": {"summary": " ".join(PLANTED.values())},
        "startsAt": START.isoformat(),
        "fingerprint": "f1",
    }
    token = chat.stage.settings.alerts.sources["alertmanager"].token
    assert token is not None
    body = json.dumps({"version": "4", "alerts": [alert]}).encode()
    await chat.stage.bot.alerting.receive("alertmanager", body, token.get_secret_value())
    await chat.settle()
    await chat.waits(60)
    await everywhere(chat)


async def test_safety_20_what_goes_wrong(new_chat: Callable[..., Any]) -> None:
    """A target's error, a drift and an unknown outcome carry what the target said: redacted in card and log."""
    chat: Chat = await new_chat(knowing)
    await chat.alice.says("/scale realtime 10")
    chat.stage.fails = f"cannot connect to {PLANTED['url']}: {PLANTED['password']}"
    await chat.bob.reacts(chat.card(1), "✅")
    await chat.waits(60)
    assert (await chat.action(1)).state == "unknown"
    assert "‹redacted›" in (await chat.action(1)).text
    chat.stage.fails = None
    await chat.alice.says("/restart realtime")
    chat.stage.world.set("realtime", image=f"registry.company.com/{KNOWN}:1")
    await chat.bob.reacts(chat.card(), "✅")
    await chat.waits(60)
    assert (await chat.action(2)).state == "void"
    assert "‹redacted›" in (await chat.action(2)).text
    await chat.restarts()
    without_secrets("\n".join(m.plain for m in chat.messages()).encode(), "the chat")
    voided = [ev for stream in ("action-1", "action-2") for ev in await chat.events(stream, e.Event)]
    told = [json.dumps(getattr(ev, "why", "") + getattr(ev, "text", "")) for ev in voided]
    without_secrets("\n".join(told).encode(), "the log")


@pytest.mark.parametrize("before", [250, 4000])
async def test_safety_20_what_goes_wrong_at_length(new_chat: Callable[..., Any], before: int) -> None:
    """A long error is cut after it is redacted: half of an address does not look like one."""
    chat: Chat = await new_chat()
    await chat.alice.says("/scale realtime 10")
    start = "x" * (before - len("ConnectionError: ") - 20)
    chat.stage.fails = f"{start} redis://app:Tr0ub4dor-and-3-more-words@cache:6379"
    await chat.bob.reacts(chat.card(1), "✅")
    await chat.waits(60)
    found = await chat.action(1)
    assert found.state == "unknown"
    assert 250 < len(found.text) <= 300
    for shown in (chat.chat_bytes(), chat.log_bytes()):
        assert b"ConnectionError: xxx" in shown
        assert b"Tr0ub" not in shown


async def test_safety_20_what_is_never_shown(chat: Chat) -> None:
    """Kubernetes Secrets, Redis's password and sessions are refused, whoever asks and however."""
    for line in (
        "/describe secret/realtime",
        "/describe secrets",
        "/pods secret",
        "/logs secret",
        "/redis config get requirepass",
        "/redis CONFIG GET *",
        "/redis get requirepass",
        "/redis acl list",
        "/redis get session:1",
        "/redis info config",
        "/toggle realtime DB_PASSWORD x",
    ):
        told = await refused(chat, line)
        assert re.search("no |never|one of|does not fit", told), (line, told)


def test_safety_20_the_process_log(capsys: pytest.CaptureFixture[str]) -> None:
    """What the process writes about its troubles: neither secrets nor the variables of a traceback."""
    logs.configure(logging.INFO, [KNOWN])
    try:
        log = structlog.get_logger()

        def fails(token: str) -> None:
            raise ConnectionError(f"no route to {PLANTED['url']}")

        try:
            fails("-".join(("local", "value", "never", "shown")))
        except ConnectionError as error:
            log.error("not done", exc_info=error, line=PLANTED["password"], known=f"it is {KNOWN}")
        log.info("said", text=" ".join(PLANTED.values()), api_key="s3kr3t-redis")
    finally:
        structlog.reset_defaults()
    written = capsys.readouterr().err
    assert "not done" in written
    assert "ConnectionError" in written
    assert "said" in written
    without_secrets(written.encode(), "standard error")
    assert "local-value-never-shown" not in written


async def test_safety_20_errors_are_logged_without_what_was_typed(new_chat: Callable[..., Any]) -> None:
    """A command that fails inside is answered with a reference; the log line holds no secret."""
    chat: Chat = await new_chat(knowing)
    chat.stage.fails = f"{KNOWN} is wrong"
    with capture_logs():
        chat.mark()
        await chat.alice.says(f"/scale realtime 10 {PLANTED['password']}")
    without_secrets(chat.bot_said_to("alice").encode(), "the answer")


def test_safety_20_wrong_configuration_is_told_without_values(tmp_path: Path) -> None:
    """A secret in the file is named by its key, not by its value."""
    text = (REPO / "watchbell.example.yaml").read_text("utf-8")
    wrong = text.replace("token_env: WATCHBELL_ALERTMANAGER_TOKEN", f"token: {KNOWN}")
    path = tmp_path / "watchbell.yaml"
    path.write_text(wrong, "utf-8")
    with pytest.raises(ConfigError) as error:
        load(path, {}, tokens=False)
    told = "\n".join(str(fault) for fault in error.value.faults)
    assert "token" in told
    assert KNOWN not in told
