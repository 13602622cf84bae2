"""Lists, one incident, catching up, the timeline, exports, figures, help and runbooks."""

from __future__ import annotations

import pytest

from incidents import events as e
from tests.commands.fakes import House, text_of

RUNBOOKS = {
    "redis-down": "---\ntitle: Redis is down\nalerts: [RedisDown]\nservices: [redis]\n---\n\n"
    "## Check\n1. Ping it.\n",
    "realtime": "---\ntitle: Realtime service\nalerts: []\nservices: [realtime]\n---\nLook at it.\n",
    "notes": "no front matter\n",
}


async def test_lists_are_of_what_the_person_may_see(house: House) -> None:
    """Open ones by default; a private one is not in somebody else's list."""
    await house.opened()
    await house.says("alice", "/open critical Keys were leaked --private", None)
    await house.says("alice", "/ack", 1)
    house.now = house.now.replace(hour=3)
    told = text_of(await house.says("grace", "/incident list", None))
    assert "1 incident open" in told
    assert "1 critical Redis is down alice 1 h" in told
    assert "leaked" not in told
    assert "🔒 Keys were leaked" in text_of(await house.says("alice", "/incident list", None))
    assert "There is no INC-2" in await house.refused("grace", "!incident show INC-2", None)
    assert "1 incident yours" in text_of(await house.says("alice", "/incident mine", None))
    assert "No open incident is yours" in text_of(await house.says("bob", "/incident mine", None))
    assert "1 incident found" in text_of(await house.says("grace", "/incident search redis", None))
    await house.says("alice", "/resolve", 1)
    assert "No incident is open" in text_of(await house.says("grace", "/incident list", None))
    assert "Redis is down resolved" in text_of(await house.says("grace", "/incident list all", None))


async def test_show_says_state_owner_and_what_comes_next(house: House) -> None:
    """In the team's zone."""
    await house.opened()
    house.wait(1)
    told = text_of(await house.says("grace", "/incident show"))
    assert "INC-1 critical: Redis is down (realtime)" in told
    assert "Open since 03:30 CET (1 min)" in told
    assert "Next: the page is repeated at 03:35 CET, in 4 min" in told
    await house.says("alice", "/ack eta=40m")
    told = text_of(await house.says("grace", "/incident show 1", None))
    assert "Owner alice · commander –" in told
    assert "Next: carol (team lead) is paged at 04:00 CET, in 29 min" in told
    assert "ETA 04:11 CET, in 40 min" in told


async def test_catching_up_in_twenty_seconds(house: House) -> None:
    """State, owner, next deadline, last decisions, pending approvals; privately."""
    await house.opened()
    await house.says("alice", "/ack")
    await house.says("alice", "/incident status identified failover failed")
    await house.says("alice", "/impact customers notice")
    house.ran(await house.asked(5))
    number = await house.asked(10)
    answer = await house.says("carol", "!catchup")
    told = text_of(answer)
    assert answer.private
    assert told.startswith(
        "INC-1 in 20 seconds: Redis is down since 03:30 CET, critical, realtime, customers notice."
    )
    assert "alice leads, identified 03:30 CET: failover failed." in told
    assert (
        "Tried: scale realtime 3 → 5 (done). Next: carol (team lead) is paged at 04:00 CET, in 30 min."
        in told
    )
    assert f"Waiting for you: your vote on #{number}." in told
    assert f"Waits for votes: #{number} scale realtime 5 → 10, asked by alice, 0 of 1 approvals" in told
    assert "Waiting for you: –." in text_of(await house.says("grace", "!catchup 1", None))


async def test_catching_up_stays_short_whatever_was_written(house: House) -> None:
    """A private answer has no file beside it, so it has to fit: 15 lines and 1,500 characters."""
    await house.opened(f"/incident open critical {'Redis ' * 30}service=realtime")
    long = "words and words " * 500
    await house.says("alice", f"/update {long}")
    await house.says("alice", f"/impact {long}")
    for replicas in range(4, 12):
        await house.asked(replicas, by="heidi")
    answer = await house.says("carol", "!catchup")
    assert len(answer.lines) <= 15
    assert sum(len(line) + 1 for line in answer.lines) <= 1500


async def test_the_timeline_is_headed_by_number_and_title(house: House) -> None:
    """The last lines, as many as asked for."""
    await house.opened()
    for text in ("one", "two", "three"):
        await house.says("alice", f"/note {text}")
    told = text_of(await house.says("grace", "!timeline"))
    assert told.startswith("INC-1 Redis is down\n")
    assert "03:30 CET  " in told
    last = await house.says("grace", "/incident timeline 2 incident=1", None)
    assert len(last.lines) == 2
    assert "the last 2 of 5 lines" in last.headline
    assert "three" in last.lines[-1]
    assert "1 to 500" in await house.refused("grace", "/timeline 501")


async def test_exports_are_files(house: House) -> None:
    """Markdown unless asked otherwise."""
    await house.opened()
    assert (await house.says("grace", "/incident export")).name == "INC-1.md"
    assert (await house.says("grace", "/incident export zip incident=1", None)).name == "INC-1.zip"
    assert "md" in await house.refused("grace", "/incident export pdf")


async def test_figures_over_incidents(house: House) -> None:
    """By group, with a sum; drills and merged ones do not count."""
    await house.opened()
    house.wait(5)
    await house.says("alice", "/ack")
    house.wait(55)
    await house.says("alice", "/resolve")
    await house.opened("/open high Search is slow")
    await house.opened("/open high Exercise --drill")
    alert = {"fingerprint": "f", "starts_at": house.now, "name": "RedisDown", "labels": {}}
    for _ in range(2):
        attached = e.AlertAttached(at=house.now, actor="alertmanager", source="alertmanager", **alert)
        house.log.record("incident-1", attached)
    house.wait(20)
    told = text_of(await house.says("grace", "/stats 7d by=severity", None))
    assert "The last 7d: 2 incidents" in told
    assert "critical 1 5 min 1 h 0 of 1" in told
    assert "high 1 – – 1 of 1" in told
    assert "all 2 5 min 1 h 1 of 2" in told
    assert "RedisDown fired once" in told
    house.now = house.now.replace(year=2027)
    assert "No incident was opened in the last 30d" in text_of(await house.says("grace", "/stats", None))


async def test_help_lists_and_explains(house: House) -> None:
    """What only buttons send is not listed; a misspelt name gets the nearest."""
    told = text_of(await house.says("grace", "/help", None))
    assert "Incidents: ack, catchup, close," in told
    assert "incident list | mine | open | search | show" in told
    assert "People: escalate, handover, join, leave, oncall, oncall override, page," in told
    assert "cannot" not in told
    listed = await house.says("grace", "/help incidents", None)
    assert (
        "/ack [TEXT] [eta=…]\n    Acknowledge the incident and own it; the pages stop."
        in listed.data.decode()
    )
    one = text_of(await house.says("grace", "/help incident open", None))
    assert "/incident open critical Redis is down" in one
    assert "Also: /open" in one
    assert "approval of somebody else" in text_of(await house.says("grace", "/help undo", None))
    assert text_of(await house.says("grace", "/help /incident ack", None)) == text_of(
        await house.says("grace", "/help ack", None)
    )
    assert text_of(await house.says("grace", "/help show", None)).startswith("Show where")
    assert "severity" in await house.refused("grace", "/help severty", None)


@pytest.mark.parametrize("typed", ["redis-down", "RedisDown", "redisdown", "redis-down.md", "redis"])
async def test_a_runbook_by_name_alert_or_service(house: House, typed: str) -> None:
    """Posted as text without its front matter."""
    house.runbooks = RUNBOOKS
    answer = await house.says("grace", f"/runbook {typed}", None)
    assert answer.headline == "Runbook: Redis is down"
    assert answer.text == "## Check\n1. Ping it."


async def test_the_runbook_that_fits_the_incident(house: House) -> None:
    """By alert before service; elsewhere the list."""
    house.runbooks = RUNBOOKS
    await house.opened()
    assert (await house.says("grace", "/runbook")).headline == "Runbook: Realtime service"
    attached = e.AlertAttached(
        at=house.now,
        actor="alertmanager",
        source="alertmanager",
        fingerprint="f",
        starts_at=house.now,
        name="RedisDown",
        labels={},
    )
    house.log.record("incident-1", attached)
    assert (await house.says("grace", "/runbook")).headline == "Runbook: Redis is down"
    told = text_of(await house.says("grace", "/runbook", None))
    assert "redis-down: Redis is down" in told
    assert "notes" not in told
    assert "redis-down" in await house.refused("grace", "/runbook redis-dwn")
