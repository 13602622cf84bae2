"""What people and systems write, in Slack: cases 17, 19, 20, 33 and 38."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.config import Settings
from incidents import events as e
from tests.safety.rig import START
from tests.safety.slack_rig import SlackChat, on_slack
from tests.safety.test_words import HOSTILE, PLANTED, SECRETS, knowing
from tests.servers.slack.people import slack_id
from tests.servers.slack_calls import client_of

# Slack's own tokens, which mean something where they are not neutralised ("Formatting text for app surfaces").
WIRE = (
    "<!channel> <!here> <!everyone> <@U0MALLORY> <#C0000000001|ops> <!subteam^S1|@sre> <https://evil.example|click>"
    " <mailto:x@evil.example|mail> &lt;!channel&gt; &amp;lt;!here&amp;gt; *bold* _it_ ~gone~ `rm` ```x``` :pushpin:"
)
TOKEN = re.compile(r"<([^<>]*)>")
OURS = re.compile(r"!date\^\d+\^|@U0(?!MALLORY)\w+$|https?://[\w.-]*company\.com\b")
EFFECT = re.compile(
    r"(?<![\w\u2060])@(?:channel|here|everyone|room|mallory|sre)\b|https?://evil|<!|```x|\u202e"
)


async def alert(chat: SlackChat, text: str, **labels: str) -> None:
    """An alert whose names, labels and summary are that text."""
    fired = {
        "status": "firing",
        "labels": {"alertname": text, "service": "realtime", "severity": "critical", **labels},
        "annotations": {"summary": text, "description": text},
        "startsAt": START.isoformat(),
        "fingerprint": "f1",
    }
    body = {"version": "4", "status": "firing", "groupKey": text, "alerts": [fired]}
    await chat.stage.alert("alertmanager", json.dumps(body).encode())
    await chat.stage.settle()


def read_by_somebody(chat: SlackChat) -> list[str]:
    """Every text of the bot's that somebody reads, whispers, direct messages and topics included."""
    found = [c["topic"] for c in chat.channels()]
    for channel in chat.channels():
        for reader in channel["members"]:
            shown = chat.server.call("history", channel=channel["id"], reader=reader)["messages"]
            found += [m["text"] for m in shown if m["user"] == "U0WATCHBELL"]
    return found


async def on_the_wire(chat: SlackChat) -> list[dict[str, Any]]:
    """The bot's messages as Slack keeps them."""
    client, found = client_of(chat.server), []
    for channel in chat.channels():
        if "U0WATCHBELL" in channel["members"]:
            answer = await client.conversations_history(channel=channel["id"], limit=200)
            found += [m for m in answer["messages"] if m.get("user") == "U0WATCHBELL" and "subtype" not in m]
    return found


async def neutral(chat: SlackChat) -> None:
    """Nothing that the bot wrote mentions anybody but those it means, links anywhere, or is formatted."""
    for message in await on_the_wire(chat):
        shown = [block["text"] for block in message["blocks"] if block["type"] == "section"]
        assert all(text["verbatim"] for text in shown)
        for text in [message["text"], *(text["text"] for text in shown)]:
            strange = [token for token in TOKEN.findall(text) if not OURS.match(token)]
            assert strange == [], text
    for text in read_by_somebody(chat):
        assert EFFECT.search(text) is None, text


# -- 17 -----------------------------------------------------------------------------------------------


async def test_safety_17_what_telephones_and_slack_make_of_it(tmp_path: Path) -> None:
    """Curly quotes, long dashes, hard spaces, entities and links that Slack makes are what was meant."""
    async with on_slack(tmp_path) as chat:
        await chat.alice.says("/scale realtime —replicas 10 for 30m")
        assert "scale realtime 3 → 10" in chat.card(1)["text"]
        await chat.alice.says("!scale –service=realtime ―replicas=11")
        assert "scale realtime 3 → 11" in chat.card(2)["text"]
        await chat.alice.says("! scale\u00a0realtime\u00a012")
        assert "scale realtime 3 → 12" in chat.card(3)["text"]
        for line in ("!scale realtime —replicas=10 for 30m", "@watchbell scale realtime “10” for 30m"):
            await chat.alice.says(line)
        assert await chat.actions() == 3
        await chat.grace.says("/incident open critical “Redis isn’t up” —service realtime", "#ops")
        [opened] = await chat.events("incident-2", e.IncidentOpened)
        assert (opened.title, opened.service) == ("Redis isn’t up", "realtime")
        typed = "a <b> & \"c\" &amp; 'd' > /dev/null it’s “so” – *bold*"
        await chat.bob.says(f"/note {typed}")
        await chat.bob.says(f"!note {typed}")
        await chat.bob.says("!note see <http://example.com|example.com> &lt;now&gt; &amp;amp;", raw=True)
        notes = [note.text for note in await chat.events("incident-1", e.NoteAdded)]
        assert notes == [typed, typed, "see example.com <now> &amp;"]


# -- 19 -----------------------------------------------------------------------------------------------


async def test_safety_19_whatever_people_write_is_repeated_as_plain_words(tmp_path: Path) -> None:
    """Titles, notes, reasons, refused lines, forms and display names: typed, and as Slack's own tokens."""

    def renamed(settings: Settings) -> Settings:
        hostile = replace(settings.people["grace"], display=HOSTILE)
        return replace(settings, people={**settings.people, "grace": hostile})

    async with on_slack(tmp_path, renamed, opened=False) as chat:
        await chat.grace.says(f'/incident open critical "{HOSTILE}" service=realtime', "#ops")
        chat.number = 1
        await chat.alice.says("/ack")
        for word in ("note", "update", "impact", "cause", "status identified", "severity high"):
            await chat.alice.says(f"/{word} {HOSTILE}")
            await chat.alice.says(f"!{word} {WIRE}", raw=True)
        for line in (f"/scale {HOSTILE} 5", f"/wb {HOSTILE}", f"/logs realtime grep={HOSTILE.split()[0]}"):
            await chat.alice.says(line)
        await chat.alice.says("/scale realtime 10")
        await chat.bob.says(f"!deny 1 {WIRE}", raw=True)
        await chat.account("zoe").says(f"!ack {WIRE}", raw=True)
        await chat.bob.says("/update")
        await chat.bob.fills_in(text=f"{HOSTILE} {WIRE}")
        await chat.alice.says("/catchup")
        await chat.alice.says("/timeline")
        await chat.waits(2000)
        await chat.alice.says(f"/resolve {HOSTILE} {WIRE}")
        assert len(await chat.events("incident-1", e.Updated)) == 3
        await neutral(chat)
        assert not [j for j in chat.journal() if slack_id("mallory") in j.get("to", ())]


async def test_safety_19_alerts_are_somebody_elses_words_too(tmp_path: Path) -> None:
    """Names, labels and summaries of alerts, into the name of a channel, its topic and the card."""
    async with on_slack(tmp_path, opened=False) as chat:
        await alert(chat, f"{WIRE} {HOSTILE}", owner=WIRE)
        await chat.waits(60)
        assert len(await chat.events("incident-1", e.IncidentOpened)) == 1
        chat.number = 1
        assert re.fullmatch(r"inc-1-[a-z0-9_-]+", chat.channel()["name"])
        await neutral(chat)


# -- 20 -----------------------------------------------------------------------------------------------


async def test_safety_20_no_secret_is_said_or_kept(tmp_path: Path) -> None:
    """What people paste into messages, commands, forms and edits, what alerts and systems say."""
    async with on_slack(tmp_path, knowing) as chat:
        for name, secret in PLANTED.items():
            one = secret if name == "key" else secret.replace("\n", " ")
            await chat.alice.says(f"look: {one}")
            message = await chat.alice.says(f"!note {one}")
            await chat.alice.edits(message, f"!note again {one}")
            for line in ("/note", "/update", "/scale", "/wb nothing", "/logs realtime grep="):
                await chat.alice.says(f"{line} {one}".replace("= ", "="))
            await chat.grace.says(f"/note {one}")
        await chat.bob.says("/update")
        await chat.bob.fills_in(text=PLANTED["password"])
        await alert(chat, " ".join(PLANTED.values()), api_key="s3kr3t-redis")
        await chat.stage.kill()
        await chat.bob.says(f"!note {PLANTED['bearer']}")
        await chat.restarts(away=90)
        await chat.waits(60)
        said = "\n".join(read_by_somebody(chat)) + json.dumps(await on_the_wire(chat))
        files = [base64.b64decode(data) for m in chat.messages() for data in m["files"].values()]
        kept = b"\n".join([said.encode(), chat.log_bytes(), await chat.export("json"), *files])
        assert [secret for secret in SECRETS if secret.encode() in kept] == []
        assert "‹redacted›" in said


# -- 38 -----------------------------------------------------------------------------------------------

SECRET = "blau-kraut-bleibt"  # nothing that a pattern would find


async def gone(chat: SlackChat) -> None:
    """Nothing of it in the log's files, in an export, or in what the bot said in a channel."""
    assert SECRET.encode() not in chat.log_bytes()
    for form in ("md", "html", "json", "csv", "zip"):
        assert SECRET.encode() not in await chat.export(form), form
    said = [m["text"] for m in chat.messages() if m["user"] == "U0WATCHBELL" and not m["ephemeral"]]
    assert [text for text in said if SECRET in text] == []
    assert SECRET not in json.dumps(await on_the_wire(chat), ensure_ascii=False)
    assert (await chat.stage.bot.store.verify()).faults == []


@pytest.mark.parametrize("restarts", [False, True])
async def test_safety_38_what_was_said_by_slash_commands_is_erased(tmp_path: Path, restarts: bool) -> None:
    """By its words: events, who ran what, announcements and answers are amended where they stand."""
    async with on_slack(tmp_path) as chat:
        for line in (
            "/note the key is {}",
            "/update we use {} now",
            "/cause somebody used {}",
            "/wb nosuchcommand {}",
            "/scale {} 5",
            "/logs realtime grep={}",
            "!logs realtime grep={}",
            "the key is {}",
        ):
            await chat.alice.says(line.format(SECRET))
        root = await chat.carol.says("which log?")
        await chat.alice.says(f"!logs realtime grep={SECRET}", thread=root)
        await chat.alice.says("/update")
        await chat.alice.fills_in(text=f"once more: {SECRET}")
        await chat.alice.says("/scale realtime 10")
        await chat.bob.says(f"/deny 1 because of {SECRET}")
        await chat.waits(120)
        said = "\n".join(m["text"] for m in chat.messages())
        assert f"alice ran /note the key is {SECRET}" in said
        assert SECRET.encode() in chat.log_bytes()
        if restarts:
            await chat.restarts(away=10)
        await chat.bob.says(f'/scrub "{SECRET}"')
        await chat.waits(120)
        await gone(chat)
        await chat.alice.says("/catchup")
        await chat.alice.says("/timeline")
        await gone(chat)


async def test_safety_38_a_message_by_its_id(tmp_path: Path) -> None:
    """Its ts, also of an answer in a thread, and of one that was edited; nothing else goes."""
    async with on_slack(tmp_path) as chat:
        root = await chat.carol.says("here it comes")
        message = await chat.alice.says("nothing yet", thread=root)
        await chat.alice.edits(message, f"now it is {SECRET}")
        await chat.alice.edits(message, "not any more")
        chat.mark()
        await chat.bob.says(f"/scrub {message}")
        assert "Delete it in the chat, too" in chat.bot_said("bob")
        await chat.waits(60)
        await gone(chat)
        assert (await chat.written())[root] == "here it comes"


# -- 33 -----------------------------------------------------------------------------------------------


async def test_safety_33_long_answers_become_files(tmp_path: Path) -> None:
    """Nothing is cut off: what is too long for a message is a file under its beginning."""
    async with on_slack(tmp_path) as chat:
        chat.mark()
        await chat.alice.says("/logs realtime since=1h tail=400")
        [uploaded] = [j for j in chat.journal() if j["do"] == "upload"]
        [message] = [m for m in chat.messages() if m["ts"] == uploaded["ts"]]
        [data] = message["files"].values()
        assert base64.b64decode(data).count(b"\n") > 100
        for number in range(4):
            await chat.alice.says(f"!update {number} {'so much to say ' * 600}")
        await chat.alice.says("/timeline")
        await chat.alice.says("/catchup")
        assert len(await chat.events("incident-1", e.Updated)) == 4
