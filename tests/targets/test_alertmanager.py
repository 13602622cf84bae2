"""A real Alertmanager: what fires, silences made and ended, and what becomes of faults."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.targets.alertmanager_matchers import broad, everything, matchers, written
from commands.actions import Target, TargetError
from commands.dispatch import drift
from incidents.ports import RefusedError
from tests.servers import admin_http
from tests.servers.alertmanager import alertmanager
from tests.servers.cable import Cable, Fault
from tests.targets.web_targets import progress, shown, targets

SILENCE = {"matchers": "alertname=RedisDown service=realtime", "seconds": 3600, "why": "planned work"}


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """A server with three alerts that fire; nobody is notified."""
    async with alertmanager(tmp_path, webhook="http://127.0.0.1:1/", token="a token") as found:
        since = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
        named = [("RedisDown", "realtime"), ("RedisDown", "chat"), ("HighErrorRate", "realtime")]
        body = [
            {"labels": {"alertname": a, "service": s, "severity": "critical"}, "startsAt": since}
            for a, s in named
        ]
        async with httpx.AsyncClient() as client:
            (await client.post(f"{found}/api/v2/alerts", json=body)).raise_for_status()
        yield found


@pytest.fixture
async def target(url: str, tmp_path: Path) -> AsyncIterator[Target]:
    """The target of that server."""
    async with targets(tmp_path, alarms={"driver": "alertmanager", "url": url}) as made:
        yield made["alertmanager"]


async def kept(url: str) -> list[dict[str, Any]]:
    """Every silence that the server knows."""
    async with httpx.AsyncClient() as client:
        found: list[dict[str, Any]] = (await client.get(f"{url}/api/v2/silences")).json()
    return found


async def test_what_fires(target: Target) -> None:
    """All, or those that fit."""
    every = await target.read("alerts", matchers=None)
    assert every.headline == "alertmanager · 3 firing"
    assert every.table is not None
    assert {row[:3] for row in every.table.rows} == {
        ("RedisDown", "realtime", "critical"),
        ("RedisDown", "chat", "critical"),
        ("HighErrorRate", "realtime", "critical"),
    }
    assert all(row[3].startswith("5 min") for row in every.table.rows)
    some = await target.read("alerts", matchers='service=realtime, alertname=~"High.*"')
    assert some.headline == "alertmanager · 1 firing"
    assert (await target.read("alerts", matchers="Nothing")).headline == "alertmanager · no alert fires"


async def test_alerts_of_one_name_are_told_apart(target: Target, url: str) -> None:
    """By the labels that differ: so one can be silenced without the others."""
    since = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
    same = {"alertname": "HighLatency", "service": "realtime", "severity": "high", "zone": "a"}
    body = [{"labels": {**same, "instance": f"10.0.0.{n}:80"}, "startsAt": since} for n in (1, 2)]
    async with httpx.AsyncClient() as client:
        (await client.post(f"{url}/api/v2/alerts", json=body)).raise_for_status()
    told = await target.read("alerts", matchers="HighLatency")
    assert told.table is not None
    assert {row[4] for row in told.table.rows} == {"instance=10.0.0.1:80", "instance=10.0.0.2:80"}


async def test_a_silence_is_made_shown_and_taken_back(target: Target, url: str) -> None:
    """The whole way: plan, run, what is shown then, and the undo by the plan's own words."""
    plan = await target.plan("silence", **SILENCE)
    assert (plan.effect, plan.command) == ("change", "silence")
    assert plan.line == 'silence alertname="RedisDown", service="realtime" 1h why="planned work"'
    assert plan.notes[0] == "1 alert that fires now is silenced"
    assert await kept(url) == []
    outcome = await target.run(plan, key="wb-1", progress=progress)
    assert (outcome.kind, dict(outcome.after)) == ("done", dict(plan.after))
    (made,) = await kept(url)
    assert made["createdBy"] == "watchbell"
    assert made["comment"].startswith("planned work [watchbell wb-1 ")
    lasts = datetime.fromisoformat(made["endsAt"]) - datetime.fromisoformat(made["startsAt"])
    assert timedelta(minutes=59) < lasts <= timedelta(hours=1)
    alerts = await target.read("alerts", matchers=None)
    assert alerts.headline == "alertmanager · 2 firing, 1 silenced or inhibited"
    assert made["id"] in shown(await target.read("silences"))
    with pytest.raises(RefusedError, match=r"silent already, until (?:\d+ \w{3} \d{4} )?\d\d:\d\d CES?T"):
        await target.plan("silence", **SILENCE)
    assert plan.undo is not None
    back = await target.plan(plan.undo["verb"], **plan.undo["args"])
    assert back.line == plan.undo["line"]
    ended = await target.run(back, key="wb-2", progress=progress)
    told = 'the silence of alertname="RedisDown", service="realtime" has ended'
    assert (ended.kind, ended.text) == ("done", told)
    assert (await target.observe(plan))[1] == dict(plan.before)
    assert (await target.read("silences")).headline == "alertmanager · 0 silences"


def theirs(**labels: str) -> dict[str, Any]:
    """A silence that Bob makes by hand, longer than ours."""
    now = datetime.now(UTC)
    matched = [{"name": n, "value": v, "isRegex": False, "isEqual": True} for n, v in labels.items()]
    times = {"startsAt": now.isoformat(), "endsAt": (now + timedelta(hours=72)).isoformat()}
    return {"matchers": matched, **times, "createdBy": "bob", "comment": "maintenance"}


@pytest.mark.parametrize(
    "labels", [{"alertname": "RedisDown", "service": "realtime"}, {"service": "realtime"}]
)
async def test_an_undo_leaves_the_silences_of_others_and_names_them(
    target: Target, url: str, labels: dict[str, str]
) -> None:
    """Bob's lasts longer, by the same matchers or by wider ones: ours ends, and nobody is told that it is heard."""
    plan = await target.plan("silence", **SILENCE)
    await target.run(plan, key="wb-1", progress=progress)
    async with httpx.AsyncClient() as client:
        (await client.post(f"{url}/api/v2/silences", json=theirs(**labels))).raise_for_status()
    assert plan.undo is not None
    back = await target.plan(plan.undo["verb"], **plan.undo["args"])
    assert "made by watchbell" in back.notes
    outcome = await target.run(back, key="wb-2", progress=progress)
    state = {each["createdBy"]: (each["status"]["state"], each["id"]) for each in await kept(url)}
    assert (state["bob"][0], state["watchbell"][0]) == ("active", "expired")
    assert f"has ended; such alerts stay silent by {state['bob'][1]} of bob until" in outcome.text
    assert outcome.text == back.done
    assert await target.follow(back, key="wb-2", progress=progress) == outcome


async def test_an_undo_ends_no_silence_that_a_later_change_made(target: Target, url: str) -> None:
    """Ours was ended by hand, and asked for again in the same words: that one has a way back of its own."""
    first = await target.plan("silence", **SILENCE)
    await target.run(first, key="wb-1", progress=progress)
    async with httpx.AsyncClient() as client:
        (await client.delete(f"{url}/api/v2/silence/{(await kept(url))[0]['id']}")).raise_for_status()
    second = await target.plan("silence", **SILENCE)
    await target.run(second, key="wb-1", progress=progress)
    assert first.undo is not None
    assert second.undo is not None
    with pytest.raises(
        RefusedError, match=r"has ended already\. It is silent still by .* of watchbell until"
    ):
        await target.plan(first.undo["verb"], **first.undo["args"])
    assert await target.follow(first, key="wb-1", progress=progress) is None
    back = await target.plan(second.undo["verb"], **second.undo["args"])
    assert (await target.run(back, key="wb-2", progress=progress)).kind == "done"


async def test_an_approved_way_back_is_drift_once_the_silence_has_ended(target: Target, url: str) -> None:
    """Whatever others silence by the same matchers meanwhile."""
    plan = await target.plan("silence", **SILENCE)
    await target.run(plan, key="wb-1", progress=progress)
    assert plan.undo is not None
    back = await target.plan(plan.undo["verb"], **plan.undo["args"])
    async with httpx.AsyncClient() as client:
        (await client.delete(f"{url}/api/v2/silence/{back.before['silence']}")).raise_for_status()
        bobs = theirs(alertname="RedisDown", service="realtime")
        (await client.post(f"{url}/api/v2/silences", json=bobs)).raise_for_status()
    assert drift(back, *await target.observe(back))
    with pytest.raises(TargetError, match="no longer as it was planned"):
        await target.run(back, key="wb-2", progress=progress)


async def test_a_silence_of_somebody_else_is_ended_by_its_id(target: Target, url: str) -> None:
    """As the list shows it."""
    await target.run(await target.plan("silence", **SILENCE), key="wb-1", progress=progress)
    ident = (await kept(url))[0]["id"]
    plan = await target.plan("unsilence", what=ident)
    assert dict(plan.before) == {"silence": ident}
    assert (await target.run(plan, key="wb-2", progress=progress)).kind == "done"
    followed = await target.follow(plan, key="wb-2", progress=progress)
    assert followed is not None
    assert followed.kind == "done"
    with pytest.raises(RefusedError, match="There is no silence"):
        await target.plan("unsilence", what=ident)


async def test_safety_14_what_moved_is_not_run(target: Target, url: str) -> None:
    """Somebody silences the same meanwhile: drift, and no second silence."""
    plan = await target.plan("silence", **SILENCE)
    await target.run(plan, key="wb-1", progress=progress)
    assert drift(plan, *await target.observe(plan))
    with pytest.raises(TargetError, match="no longer as it was planned"):
        await target.run(plan, key="wb-2", progress=progress)
    assert len(await kept(url)) == 1


async def test_safety_10_the_mark_proves_a_silence_after_a_crash(target: Target) -> None:
    """That of another request proves nothing."""
    plan = await target.plan("silence", **SILENCE)
    assert await target.follow(plan, key="wb-1", progress=progress) is None
    first = await target.run(plan, key="wb-1", progress=progress)
    assert await target.follow(plan, key="wb-1", progress=progress) == first
    assert await target.follow(plan, key="wb-2", progress=progress) is None


async def test_safety_10_an_ended_silence_of_an_earlier_log_proves_nothing(target: Target, url: str) -> None:
    """Numbers begin anew with a new log: the same number, the same matchers, and still another request."""
    plan = await target.plan("silence", **SILENCE)
    await target.run(plan, key="wb-1", progress=progress)
    async with httpx.AsyncClient() as client:
        (await client.delete(f"{url}/api/v2/silence/{(await kept(url))[0]['id']}")).raise_for_status()
    assert await target.follow(plan, key="wb-1", progress=progress) is None


@pytest.mark.parametrize(
    ("text", "seconds", "why"),
    [
        ("service=realtime", 600, "names no alert"),
        ('alertname=~"Redis.*"', 600, "names no alert"),
        ('alertname!="RedisDown" service="realtime"', 600, "names no alert"),
        ("RedisDown", 90_000, "longer than a day"),
    ],
)
async def test_what_is_broad_takes_two(target: Target, text: str, seconds: int, why: str) -> None:
    """A whole service, a pattern, or for long."""
    plan = await target.plan("silence", matchers=text, seconds=seconds, why=None)
    assert plan.effect == "danger"
    assert any(why in note for note in plan.notes)


@pytest.mark.parametrize(
    ("how", "arrived"), [("silent", 0), ("half", 1), ("cut", 1), ("huge", 0), ("garbage", 0)]
)
async def test_safety_33_an_answer_that_fails_is_unknown(
    url: str, tmp_path: Path, how: Fault, arrived: int
) -> None:
    """It is sent once; afterwards the mark tells whether it was done."""
    async with Cable(int(url.rpartition(":")[2])) as cable:
        section = {"driver": "alertmanager", "url": f"http://127.0.0.1:{cable.port}"}
        async with targets(tmp_path, patience=0.5, alarms=section) as made:
            target = made["alertmanager"]
            plan = await target.plan("silence", **SILENCE)
            cable.fault(how, b"POST")
            outcome = await target.run(plan, key="wb-1", progress=progress)
            assert outcome.kind == "unknown"
            assert f"Alertmanager shows silenced={bool(arrived)}" in outcome.text
            followed = await target.follow(plan, key="wb-1", progress=progress)
            assert (followed is not None) == bool(arrived)
            cable.fault(how, b"GET")
            with pytest.raises(TargetError, match=r"^Alertmanager .*\.$"):
                await target.read("alerts", matchers=None)
            await cable.refuse()
            with pytest.raises(TargetError, match="no connection"):
                await target.run(plan, key="wb-2", progress=progress)
    assert len(await kept(url)) == arrived


async def test_what_speaks_no_alertmanager(tmp_path: Path) -> None:
    """Another server's answers are a sentence."""
    section = {"driver": "alertmanager", "url": admin_http.shared().url, "token": admin_http.TOKEN}
    async with targets(tmp_path, alarms=section) as made:
        with pytest.raises(TargetError, match="404 Not Found"):
            await made["alertmanager"].read("silences")


# -- matchers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("RedisDown", 'alertname="RedisDown"'),
        ("alertname=RedisDown", 'alertname="RedisDown"'),
        ('{service="b", alertname="High CPU"}', 'alertname="High CPU", service="b"'),
        ('severity=~"a|b" service!=x', 'service!="x", severity=~"a|b"'),
        (r'summary="a \"b\" \\ c"', r'summary="a \"b\" \\ c"'),
        ("a=b,a=b", 'a="b"'),
    ],
)
def test_matchers_are_read_and_written_again(text: str, canonical: str) -> None:
    """In one order, whatever was typed."""
    assert written(matchers(text)) == canonical
    assert matchers(canonical) == matchers(text)


@pytest.mark.parametrize(
    "text", ["", "{}", "=x", "a==b", "a=", "a b", 'a="b', "a=b; c=d", "1a=b", "a=b\nc", "é=x"]
)
def test_what_is_no_matcher_is_refused(text: str) -> None:
    """With an example."""
    with pytest.raises(RefusedError, match="alertname=RedisDown"):
        matchers(text)


def test_what_is_broad_and_what_is_everything() -> None:
    """A name by its whole value is narrow; what fits an alert without labels fits all."""
    assert not broad(matchers("alertname=RedisDown severity=~'x'".replace("'", '"')))
    assert broad(matchers("service=realtime"))
    assert broad(matchers('alertname=""'))
    assert everything(matchers('alertname=~".*"'))
    assert everything(matchers('alertname!="x"'))
    assert not everything(matchers('alertname!="x", service="a"'))
