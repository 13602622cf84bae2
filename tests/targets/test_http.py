"""Named calls against a stand-in of the admin endpoints: what they take, change, refuse, and make of faults."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from bot.redact import Redactor
from bot.targets.http import HttpTarget
from bot.targets.http_calls import at, request, typed, words, written
from bot.targets.http_config import Call
from bot.targets.http_link import Access, HttpLink, Reply
from commands.actions import Target, TargetError
from commands.dispatch import drift
from incidents.ports import RefusedError
from tests.contracts.http_rig import CALLS
from tests.servers.admin_http import AdminServer, shared
from tests.servers.cable import Cable, Fault
from tests.targets.web_targets import call, progress, router, shown, targets


@pytest.fixture
def server() -> AdminServer:
    """The stand-in of this test run, as untouched as a new one."""
    found = shared()
    found.reset()
    return found


@pytest.fixture
async def target(server: AdminServer, tmp_path: Path) -> AsyncIterator[Target]:
    """The target of that stand-in."""
    extra = {name: {"path": f"/{name}"} for name in ("away", "binary", "deep", "huge")}
    async with targets(tmp_path, router=router(server.url, **extra)) as found:
        yield found["http"]


async def read(target: Target, name: str, arguments: str = "") -> Any:
    return await target.read("call", call=name, arguments=arguments)


async def test_a_read_shows_its_answer_without_secrets(target: Target) -> None:
    """JSON is laid out; what is called a password goes, and the bot's own token is not in it."""
    answer = await read(target, "router-config")
    assert answer.headline.startswith("router-config · 200 OK in ")
    assert '"max_concurrent_requests": 100' in answer.text
    assert "hunter22" not in shown(answer)
    listed = shown(await target.read("calls"))
    assert "change: http router-scale provider_type=openai desired_instances=…" in listed
    assert "danger: http cache-clear" in listed


async def test_arguments_stay_where_they_belong(target: Target) -> None:
    """What stands in a path is one segment of it, the rest goes into the query."""
    found = shown(await read(target, "provider-health", "provider=a/b depth=3"))
    assert '"provider": "a/b"' in found
    assert '"depth": "3"' in found
    with pytest.raises(RefusedError, match="cannot be"):
        await read(target, "provider-health", "provider=..")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("provider_type=openai desired_instances=10.5", "whole number"),
        ("provider_type=openai desired_instances=1e9", "whole number"),
        ("provider_type=openai desired_instances=NaN", "whole number"),
        ("provider_type=openai desired_instances=５", "whole number"),
        ("provider_type=openai desired_instances=-5", "at least 1"),
        ("provider_type=openai desired_instances=0", "at least 1"),
        ("provider_type=openai desired_instances=11", "at most 10"),
        ("provider_type=openal desired_instances=5", "one of openai, anthropic, zai"),
        ("provider_type=openai", "needs desired_instances, as in `http router-scale"),
        ("provider_type=openai desired_instances=5 force=yes", "no argument"),
        ("provider_type=openai provider_type=zai desired_instances=5", "twice"),
        ("openai 5", "name=value, as in `http router-scale provider_type=openai desired_instances=…`, not"),
        ("provider_type=openai desired_instances=5; id", "name=value|whole number"),
        ("provider_type= desired_instances=5", "no value"),
    ],
)
async def test_safety_16_18_what_does_not_fit_is_refused(
    target: Target, server: AdminServer, arguments: str, told: str
) -> None:
    """With a sentence, before anything is sent."""
    with pytest.raises(RefusedError, match=told):
        await call(target, "router-scale", arguments)
    assert server.changes == []


@pytest.mark.parametrize("word", ["$(id)", "a;b", "<!channel>", "`id`", "a\u200bb", "а", "-rf", "a\nb"])
def test_safety_15_16_texts_without_a_schema_are_plain(word: str) -> None:
    """Letters, digits and a few marks only."""
    given = Call.model_validate(CALLS["provider-health"])
    with pytest.raises(RefusedError):
        typed("provider-health", given, words("provider-health", f"provider={word}"))


async def test_lists_and_words_become_what_the_schema_says(target: Target, server: AdminServer) -> None:
    """The documents' failover: one provider gives way to two."""
    plan = await call(target, "failover", "unhealthy_provider=openai failover_to=anthropic,zai")
    assert plan.line == "http failover unhealthy_provider=openai failover_to=anthropic,zai"
    assert (plan.undo, dict(plan.before)) == (None, {})
    outcome = await target.run(plan, key="wb-1", progress=progress)
    assert outcome.kind == "done"
    body = {"unhealthy_provider": "openai", "failover_to": ["anthropic", "zai"]}
    key = f"watchbell-wb-1-{plan.hash[:10]}"
    assert server.changes == [{"path": "/failover/configure", "body": body, "key": key}]
    with pytest.raises(RefusedError, match="nothing twice"):
        await call(target, "failover", "unhealthy_provider=openai failover_to=zai,zai")


async def test_a_change_shows_what_is_there_now(target: Target) -> None:
    """The card says from what to what, for which service, and by which request."""
    plan = await call(target, "router-scale", "provider_type=openai desired_instances=5")
    assert plan.summary.endswith(": desired_instances 3 → 5")
    assert plan.service == "intelligent-router"
    assert plan.notes[0].startswith("POST http://127.0.0.1:")
    assert plan.undo is not None
    assert plan.undo["line"] == "http router-scale provider_type=openai desired_instances=3"
    with pytest.raises(RefusedError, match="is so already"):
        await call(target, "router-scale", "provider_type=openai desired_instances=3")


async def test_a_former_value_outside_of_the_bounds_is_not_brought_back(
    target: Target, server: AdminServer
) -> None:
    """There is no undo that the configuration would refuse."""
    server.set(instances={"openai": 40})
    plan = await call(target, "router-scale", "provider_type=openai desired_instances=5")
    assert plan.undo is None
    assert "No undo: router-scale does not take what is there now." in plan.notes


def setting(argument: str, schema: Mapping[str, Any], *, where: str = "", **more: Any) -> dict[str, Any]:
    """A call that changes one value of the stand-in's configuration, and takes it back."""
    return {
        "method": "POST",
        "path": "/config/update",
        "args": {argument: schema, **more},
        "optional": list(more),
        "before": {"call": "router-config", "at": where or argument, "becomes": argument},
        "undo": "set",
    }


@pytest.mark.parametrize(
    ("where", "first", "other", "told"),
    [
        (
            "upstream",
            "https://svc:Sw0rdfish-1@old.example.com/",
            "https://svc:Sw0rdfish-2@old.example.com/",
            "https://‹redacted›old.example.com/",
        ),
        ("admin_password", "Sw0rdfish-1", "Sw0rdfish-2", "‹redacted›"),
        ("credentials.main", {"main": "Sw0rdfish-1"}, {"main": "Sw0rdfish-2"}, "‹redacted›"),
    ],
)
async def test_safety_20_a_secret_that_is_there_now_is_not_brought_back_redacted(
    server: AdminServer, tmp_path: Path, where: str, first: Any, other: Any, told: str
) -> None:
    """The plan holds no undo, says so, and holds the secret nowhere; that it moved shows all the same."""
    key = where.partition(".")[0]
    server.set(config={key: first})
    section = router(server.url, set=setting("wanted", {"type": "string"}, where=where))
    async with targets(tmp_path, router=section) as made:
        plan = await call(made["http"], "set", "wanted=plain")
        assert plan.undo is None
        assert "No undo: what is there now is secret, so it is not kept." in plan.notes
        assert f": wanted {told} (fingerprint " in plan.summary
        assert "Sw0rdfish" not in str(plan.to_data())
        server.set(config={key: other})
        seen = await made["http"].observe(plan)
        assert drift(plan, *seen)
        assert "Sw0rdfish" not in str(seen)
        with pytest.raises(TargetError, match="no longer as it was planned"):
            await made["http"].run(plan, key="wb-1", progress=progress)
        assert server.changes == []
        server.set(config={key: first})
    async with targets(tmp_path, router=section) as made:  # the bot was restarted
        assert not drift(plan, *await made["http"].observe(plan))
        outcome = await made["http"].run(plan, key="wb-1", progress=progress)
        assert outcome.kind == "done"
        assert "Sw0rdfish" not in str(outcome)
        server.set(config={key: {"main": "plain"} if "." in where else "plain"})
        found = await made["http"].follow(plan, key="wb-1", progress=progress)
        assert found is not None
        assert found.after == {"wanted": "plain"}
    assert [change["body"] for change in server.changes] == [{"wanted": "plain"}]


async def test_safety_20_an_argument_that_was_redacted_is_refused(
    target: Target, server: AdminServer
) -> None:
    """The mark in its place is no value."""
    with pytest.raises(RefusedError, match="a secret cannot be typed into a chat"):
        await call(target, "router-upstream", "upstream=https://‹redacted›new.example.com/api")
    with pytest.raises(RefusedError, match="a secret cannot be typed into a chat"):
        await read(target, "provider-health", "provider=‹redacted›")
    assert server.changes == []


@pytest.mark.parametrize(
    ("former", "undone"),
    [
        ('blue team" wanted="yes', False),
        ('a"b', False),
        ("blue\nteam", False),
        ("blue wanted=yes", True),
        ("blue\tteam", True),
        ("True", True),
        ("", False),
        (7, False),
        (None, False),
    ],
)
async def test_safety_16_what_a_server_says_becomes_no_further_argument(
    server: AdminServer, tmp_path: Path, former: Any, undone: bool
) -> None:
    """An undo sends the former value and nothing else; where it cannot be written so, there is none."""
    server.set(config={"title": former})
    text = {"type": "string", "pattern": "(?s)^.*$"}
    async with targets(tmp_path, router=router(server.url, set=setting("title", text, wanted=text))) as made:
        plan = await call(made["http"], "set", "title=green")
        assert (plan.undo is not None) is undone
        if plan.undo is None:
            assert "No undo: set does not take what is there now." in plan.notes
            return
        await made["http"].run(plan, key="wb-1", progress=progress)
        back = await made["http"].plan(plan.undo["verb"], **plan.undo["args"])
        await made["http"].run(back, key="wb-2", progress=progress)
    assert [change["body"] for change in server.changes] == [{"title": "green"}, {"title": former}]


@pytest.mark.parametrize(
    ("schema", "word", "value"),
    [
        ({"type": "number"}, "0.000000001", 0.000000001),
        ({"type": "number"}, "7", 7),
        ({"type": "boolean"}, "yes", True),
        ({"enum": [True, 1.5]}, "true", True),
        ({"type": "array", "items": {"type": "number"}}, "1,2.50", [1, 2.5]),
        ({"type": "string", "pattern": "a"}, '"a\tb  c"', "a\tb  c"),
        ({"type": "string", "pattern": "a"}, "a\\b=c", "a\\b=c"),
    ],
)
def test_what_is_written_is_read_as_the_same(schema: Mapping[str, Any], word: str, value: Any) -> None:
    """Plans hold arguments as a line of the same grammar."""
    declared = Call.model_validate({"path": "/x", "args": {"a": schema}})
    found = typed("x", declared, words("x", f"a={word}"))
    assert found == {"a": value}
    assert typed("x", declared, words("x", written(found))) == found


async def test_a_call_of_any_name(server: AdminServer, tmp_path: Path) -> None:
    """Also one that stands in the word `http`."""
    section = router(server.url, t={"method": "POST", "path": "/route", "args": {"n": {"type": "integer"}}})
    async with targets(tmp_path, router=section) as made:
        plan = await call(made["http"], "t", "n=7")
        assert (plan.line, plan.args["arguments"]) == ("http t n=7", "n=7")


async def test_points_in_an_argument_lead_nowhere_else(server: AdminServer, tmp_path: Path) -> None:
    """`gpt-4.1` is one key, not `1` within `gpt-4`."""
    models = {"gpt-4.1": {"limit": 5}, "gpt-4": {"1": {"limit": 99}}}
    server.set(config={"models": models})
    limit = setting("limit", {"type": "integer"}, where="models.{model}.limit")
    limit["args"]["model"] = {"enum": ["gpt-4.1", "gpt-4"]}
    async with targets(tmp_path, router=router(server.url, set=limit)) as made:
        plan = await call(made["http"], "set", "model=gpt-4.1 limit=7")
        assert plan.before == {"limit": 5}
    with pytest.raises(TargetError, match="has no"):
        at({"gpt-4": {"1": 5}}, "{model}", {"model": "gpt-4.1"})
    with pytest.raises(TargetError, match="has no"):
        at(["zero", "one", "two"], "{n}", {"n": "²"})


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        ("date", "2026-11-21", ["2026-13-01", "20261121", "2026-11-21T00:00", "yesterday", "$(id)"]),
        ("ipv4", "192.0.2.7", ["192.0.2.777", "::1", "192.0.2.7/24", "192.0.2.7;rm"]),
        ("ipv6", "2001:db8::7", ["192.0.2.7", "2001:db8::g", "::;rm", "fe80::1%eth0"]),
        ("uuid", "c56a4180-65aa-42ec-a945-5fd21dec0538", ["c56a4180", "<!channel>"]),
    ],
)
def test_safety_16_a_format_is_held(form: str, good: str, bad: list[str]) -> None:
    """And lifts no limit on characters."""
    declared = Call.model_validate({"path": "/x", "args": {"a": {"type": "string", "format": form}}})
    assert typed("x", declared, {"a": good}) == {"a": good}
    for word in bad:
        with pytest.raises(RefusedError, match=r"^a (has the form of|is letters)"):
            typed("x", declared, {"a": word})


@pytest.mark.parametrize(
    ("schema", "word", "part"),
    [
        ({"type": "boolean"}, "yes", "true"),
        ({"type": "number"}, "7.0", "7.0"),
        ({"type": "number"}, "0.0000001", "0.0000001"),
        ({"type": "array", "items": {"type": "string"}}, "a,b/c", "a%2Cb%2Fc"),
    ],
)
def test_a_value_is_written_alike_in_path_and_query(schema: Mapping[str, Any], word: str, part: str) -> None:
    """No spelling of Python's."""
    within = Call.model_validate({"path": "/x/{a}", "args": {"a": schema}})
    assert request(within, typed("x", within, {"a": word})) == (f"/x/{part}", {})
    beside = Call.model_validate({"path": "/x", "args": {"a": schema}})
    assert request(beside, typed("x", beside, {"a": word})) == ("/x", {"params": {"a": unquote(part)}})


async def test_requests_of_the_same_number_have_other_keys(target: Target, server: AdminServer) -> None:
    """A new log begins anew with its numbers; a server that remembers keys takes neither for the other."""
    for name in ("circuit-reset", "cache-clear"):
        await target.run(await call(target, name), key="wb-1", progress=progress)
    one, other = [change["key"] for change in server.changes]
    assert one != other
    assert one.startswith("watchbell-wb-1-")


async def test_safety_14_another_declaration_voids_a_plan(server: AdminServer, tmp_path: Path) -> None:
    """What was approved is what the configuration said then."""
    async with targets(tmp_path, router=router(server.url)) as made:
        plan = await call(made["http"], "circuit-reset")
    other = {"method": "POST", "path": "/cache/clear"}
    async with targets(tmp_path, router=router(server.url, **{"circuit-reset": other})) as made:
        assert drift(plan, *await made["http"].observe(plan))
        with pytest.raises(TargetError, match="no longer as it was planned"):
            await made["http"].run(plan, key="wb-1", progress=progress)
    assert server.changes == []


@pytest.mark.parametrize("changed", ["back", "router-instances"])
async def test_safety_14_another_declaration_of_what_belongs_to_a_call_voids_a_plan(
    server: AdminServer, tmp_path: Path, changed: str
) -> None:
    """An approval covers the undo, and rests on what was read; both are as the configuration said then."""
    scale = {**CALLS["router-scale"], "undo": "back"}
    back = {name: value for name, value in CALLS["router-scale"].items() if name not in ("before", "undo")}
    calls = {"router-scale": scale, "back": back}
    async with targets(tmp_path, router=router(server.url, **calls)) as made:
        plan = await call(made["http"], "router-scale", "provider_type=openai desired_instances=5")
        assert not drift(plan, *await made["http"].observe(plan))
    calls[changed] = {**(back if changed == "back" else CALLS[changed]), "about": "something else"}
    async with targets(tmp_path, router=router(server.url, **calls)) as made:
        assert drift(plan, *await made["http"].observe(plan))


async def test_reads_and_changes_are_not_mixed_up(target: Target, server: AdminServer) -> None:
    """A change never runs as a read."""
    with pytest.raises(RefusedError, match="takes an approval"):
        await read(target, "circuit-reset")
    with pytest.raises(RefusedError, match="only looks"):
        await call(target, "router-config")
    with pytest.raises(RefusedError, match="Did you mean circuit-reset"):
        await call(target, "circuit-rest")
    assert server.changes == []


async def test_answers_other_than_success(target: Target, server: AdminServer) -> None:
    """4xx: refused, nothing changed. A redirect is not followed; after a change, as 5xx, nobody knows."""
    with pytest.raises(TargetError, match="409 Conflict"):
        await target.run(await call(target, "refuses"), key="wb-1", progress=progress)
    for name, told in (("fails", "500 Internal Server Error"), ("moved", "302 Found")):
        outcome = await target.run(await call(target, name), key=f"wb-{name}", progress=progress)
        assert outcome.kind == "unknown"
        assert told in outcome.text
    assert [change["path"] for change in server.changes] == ["/fails", "/moved"]
    with pytest.raises(TargetError, match="follow no redirects"):
        await read(target, "away")


async def test_bytes_that_are_no_text(target: Target) -> None:
    """They are replaced, and secrets in them taken out."""
    found = shown(await read(target, "binary"))
    assert "\ufffd" in found
    assert "plantedsecret99" not in found


async def test_json_that_is_nested_without_end(server: AdminServer, tmp_path: Path, target: Target) -> None:
    """It is not gone down into, be it shown or compared with."""
    with pytest.raises(TargetError, match="router sent JSON that is nested too deeply to be read"):
        await read(target, "deep")
    deep = {"deep": {"path": "/deep"}, "set": setting("a", {"type": "string"})}
    deep["set"]["before"] = {"call": "deep", "at": "0", "becomes": "a"}
    async with targets(tmp_path, router=router(server.url, **deep)) as made:
        with pytest.raises(TargetError, match="nested too deeply"):
            await call(made["http"], "set", "a=b")
    link = HttpLink("The router", server.url, Access())
    shows = HttpTarget("router", link, {}, Redactor())._shown
    assert shows("plain", Reply(200, b"[" * 100 + b"]" * 100, None, 3)).text
    with pytest.raises(TargetError, match="nested too deeply"):
        shows("plain", Reply(200, b"[" * 101 + b"]" * 101, None, 3))
    await link.stop()


async def test_an_answer_of_ten_megabytes(target: Target) -> None:
    """It is not taken into memory."""
    with pytest.raises(TargetError, match="more than 2 MB"):
        await read(target, "huge")


@pytest.mark.parametrize("before", [59_980, 119_980, 119_990])
async def test_safety_20_a_long_answer_is_redacted_before_it_is_cut(
    server: AdminServer, tmp_path: Path, before: int
) -> None:
    """No limit leaves half of a secret; a refusal of any length is looked at in part, in whole words."""
    url = "redis://app:Tr0ub4dor-and-3-more-words@cache:6379 "
    text = "word " * (before // 5) + url * 400
    link = HttpLink("The router", server.url, Access(redact=Redactor().redact))
    target = HttpTarget("router", link, {}, Redactor())
    for told in (text, text.replace(" ", "\n")):
        answer = target._shown("plain", Reply(200, told.encode(), None, 3))
        assert "Tr0u" not in answer.text
        assert len(answer.text) == 60_000
    for start in range(8140, 8192, 7):
        refused = str(link.refusal(Reply(500, ("k" * start + " " + url).encode(), None, 3)))
        assert refused.startswith("The router answers 500 Internal Server Error: kkk")
        secrets = ("password=" + "s" * 4050 + " ") * 2 + "x" * (start - 8130) + " " + url
        assert "Tr0u" not in str(link.refusal(Reply(500, secrets.encode(), None, 3)))
    await link.stop()


async def test_wrong_credentials(server: AdminServer, tmp_path: Path) -> None:
    """A sentence that does not repeat them; nothing changed."""
    async with targets(tmp_path, router=router(server.url, token="wrong-token-12345")) as made:
        with pytest.raises(TargetError, match="does not let me in: it answers 401") as raised:
            await read(made["http"], "router-config")
        assert "wrong-token" not in str(raised.value)
        with pytest.raises(TargetError, match="does not let me in"):
            await made["http"].run(await call(made["http"], "circuit-reset"), key="wb-1", progress=progress)
    assert server.changes == []


@pytest.mark.parametrize(
    ("how", "told", "arrived"),
    [
        ("silent", "no answer came", 0),
        ("half", "no answer came", 1),
        ("cut", "connection broke", 1),
        ("huge", "no HTTP", 0),
        ("garbage", "no HTTP", 0),
    ],
)
async def test_safety_33_a_change_whose_answer_fails_is_unknown(
    server: AdminServer, tmp_path: Path, how: Fault, told: str, arrived: int
) -> None:
    """It is sent once, nothing is claimed, and following it claims nothing either."""
    async with Cable(server.port) as cable:
        section = router(f"http://127.0.0.1:{cable.port}")
        async with targets(tmp_path, patience=0.5, router=section) as made:
            plan = await call(made["http"], "circuit-reset")
            cable.fault(how, b"POST")
            outcome = await made["http"].run(plan, key="wb-1", progress=progress)
            assert outcome.kind == "unknown"
            assert told in outcome.text
            assert await made["http"].follow(plan, key="wb-1", progress=progress) is None
    assert len(server.changes) == arrived


@pytest.mark.parametrize("how", ["silent", "half", "cut", "huge", "garbage"])
async def test_safety_33_a_read_that_fails_says_so(server: AdminServer, tmp_path: Path, how: Fault) -> None:
    """One sentence, soon, and the next one is as ever."""
    async with Cable(server.port) as cable:
        section = router(f"http://127.0.0.1:{cable.port}")
        async with targets(tmp_path, patience=0.5, router=section) as made:
            cable.fault(how, b"GET")
            with pytest.raises(TargetError, match=r"^router .*\.$"):
                await read(made["http"], "models")
            assert "200 OK" in (await read(made["http"], "models")).headline


async def test_safety_33_a_door_that_is_closed(server: AdminServer, tmp_path: Path) -> None:
    """Nothing was sent, so nothing was done."""
    async with Cable(server.port) as cable:
        section = router(f"http://127.0.0.1:{cable.port}")
        async with targets(tmp_path, router=section) as made:
            plan = await call(made["http"], "circuit-reset")
            await cable.refuse()
            with pytest.raises(TargetError, match=r"no connection to .* Nothing was sent"):
                await made["http"].run(plan, key="wb-1", progress=progress)
    assert server.changes == []


async def test_a_certificate_that_nobody_knows(tmp_path: Path) -> None:
    """Is refused, whatever stands behind it."""
    from tests.servers.redis_server import RedisServer

    with RedisServer(tls=True) as server:
        async with targets(tmp_path, router=router(f"https://127.0.0.1:{server.port}")) as made:
            with pytest.raises(TargetError, match="certificate that I do not trust"):
                await read(made["http"], "models")


async def test_calls_of_several_targets_are_found_by_name(server: AdminServer, tmp_path: Path) -> None:
    """The name alone says which server is meant."""
    plain = {"driver": "http", "url": server.url, "calls": {"alive": {"path": "/health"}}}
    async with targets(tmp_path, router=router(server.url), plain=plain) as made:
        assert (await read(made["http"], "alive")).headline.startswith("alive · 200")
        assert (await read(made["http"], "models")).headline.startswith("models · 200")
        with pytest.raises(RefusedError, match="There is no call"):
            await read(made["http"], "nothing")
        with pytest.raises(RefusedError, match="There is no call"):
            await made["http"].read("effect", call="nothing")
