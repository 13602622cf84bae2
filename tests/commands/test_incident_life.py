"""Opening, acknowledging, updating, merging and ending incidents by command."""

from __future__ import annotations

from datetime import timedelta

import pytest

from incidents import events as e
from tests.commands.fakes import START, House, text_of


async def test_opening_records_everything_that_was_typed(house: House) -> None:
    """Severity by alias, service, dated impact, marks; the clocks start now."""
    i = await house.opened('/incident open P0 "Redis is down" service=realtime --since 40m --drill --private')
    assert (i.severity, i.title, i.service, i.drill, i.private) == (
        "critical",
        "Redis is down",
        "realtime",
        True,
        True,
    )
    assert i.since == START - timedelta(minutes=40)
    assert i.clocks["acknowledged"] == START + timedelta(minutes=15)


async def test_opening_goes_by_the_policy_of_the_service(house: House) -> None:
    """`critical` is an alias of P0 there; another policy can be named."""
    assert (await house.opened("/open critical Tools fail service=tools")).severity == "P0"
    assert (await house.opened("/open warning Tools fail policy=aiaas")).severity == "P1"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/open dreadful Tools fail service=tools", ("dreadful", "P0 (critical)", "P1 (warning)")),
        ("/open high Tools fail policy=nightly", ("nightly", "default", "aiaas")),
        ("/open critical", ("TITLE",)),
    ],
)
async def test_opening_refuses_with_what_there_is(house: House, line: str, words: tuple[str, ...]) -> None:
    """An unknown severity or policy is answered with the known ones."""
    told = await house.refused("grace", line, None)
    assert all(word in told for word in words)
    assert house.log.incidents() == []


async def test_a_similar_incident_is_named_and_opening_goes_on(house: House) -> None:
    """The warning is private, and the second incident is there."""
    await house.opened()
    reply = await house.says("bob", '/open high "Redis seems down" service=realtime', None)
    assert reply.private
    assert "INC-1" in text_of(reply)
    assert len(house.log.incidents()) == 2


async def test_commands_of_an_incident_are_refused_elsewhere(house: House) -> None:
    """With where to go."""
    assert "/incident open" in await house.refused("alice", "/ack", None)


async def test_acknowledging_with_an_estimate(house: House) -> None:
    """The ETA counts from now."""
    await house.opened()
    assert await house.says("alice", "/ack looking at it eta=20m") is None
    i = house.log.incident(1)
    assert i is not None
    assert (i.owner, i.eta) == ("alice", START + timedelta(minutes=20))
    assert house.events("incident-1", e.Acknowledged)[0].text == "looking at it"


async def test_statuses_updates_and_the_end(house: House) -> None:
    """Each is recorded with its words, `resolved` resolves, and it can be reopened and closed."""
    await house.opened()
    await house.says("alice", "/incident status identified failover failed eta=30m")
    await house.says("alice", "!update reindexing")
    await house.says("alice", "/status resolved promoted")
    i = house.log.incident(1)
    assert i is not None
    assert (i.state, i.update_text, i.eta) == ("resolved", "promoted", START + timedelta(minutes=30))
    assert "reopen" in await house.refused("alice", "/update more")
    await house.says("alice", "!reopen it drops again")
    assert house.events("incident-1", e.Reopened)[0].why == "it drops again"
    assert "/resolve" in await house.refused("alice", "/incident close")
    await house.says("alice", "/resolve")
    await house.says("alice", "/incident close reviewed")
    assert house.events("incident-1", e.Closed)[0].text == "reviewed"


async def test_the_severity_is_one_of_the_policy(house: House) -> None:
    """By name or alias, with the reason; else the known ones are named."""
    await house.opened("/open warning Search is slow")
    await house.says("alice", "/severity P0 customers cannot log in")
    changed = house.events("incident-1", e.SeverityChanged)[0]
    assert (changed.severity, changed.raised, changed.why) == ("critical", True, "customers cannot log in")
    assert "medium (warning)" in await house.refused("alice", "/severity dreadful")


@pytest.mark.parametrize(("typed", "here"), [("2", 1), ("INC-1", 2)])
async def test_the_older_incident_survives_a_merge(house: House, typed: str, here: int) -> None:
    """Wherever it is typed; votes for the other are void, what runs goes on."""
    await house.opened()
    await house.opened("/open high Sockets drop service=realtime")
    waits, runs = await house.asked(number=2), await house.asked(5, number=2)
    house.log.record(f"action-{runs}", e.ActionStarted(at=house.now, actor=e.BOT, boot="b", voters=()))
    kept = await house.asked(number=1)
    await house.says("bob", f"!merge {typed}", here)
    assert house.log.incident(2).merged_into == 1
    assert house.log.incident(1).open
    assert [house.log.action(n).state for n in (waits, runs, kept)] == ["void", "running", "pending"]


async def test_an_incident_that_is_over_does_not_survive(house: House) -> None:
    """The older one was resolved, so the newer takes it in."""
    await house.opened()
    await house.says("alice", "/resolve")
    await house.opened("/open high Sockets drop service=realtime")
    await house.says("bob", "/merge 1", 2)
    assert house.log.incident(1).merged_into == 2


async def test_private_and_public_incidents_stay_apart(house: House) -> None:
    """And who may not see a private one is told that there is none."""
    await house.opened()
    await house.says("alice", "/open critical Keys were leaked --private", None)
    assert "There is no INC-2" in await house.refused("bob", "/merge 2", 1)
    assert "private" in await house.refused("alice", "/merge 2", 1)
    assert "There is no INC-9" in await house.refused("alice", "/merge 9", 1)
    assert "itself" in await house.refused("alice", "/merge 1", 1)


async def test_reminders_are_set_held_and_answered(house: House) -> None:
    """`every` may be left out, off is off, and the buttons' answers count as updates."""
    await house.opened()
    for line, seconds in (
        ("!remind every 10m", 600),
        ("!remind 15m", 900),
        ("/incident remind off", None),
        ("!remind EVERY 20m", 1200),
    ):
        await house.says("alice", line)
        assert house.log.incident(1).cadence == seconds
    await house.says("alice", "!snooze 30m")
    assert house.log.incident(1).snoozed_until == START + timedelta(minutes=30)
    await house.says("alice", "/answer mitigating")
    assert house.events("incident-1", e.Updated)[0].answer == "mitigating"
    await house.says("alice", "/answer help")
    assert house.events("incident-1", e.Paged)[0].people == ("bob",)


@pytest.mark.parametrize(
    "line", ["!remind sometimes", "!remind every", "!remind every 10m please", "!remind 5s"]
)
async def test_a_strange_cadence_is_refused(house: House, line: str) -> None:
    """With one sentence."""
    await house.opened()
    assert len((await house.refused("alice", line)).splitlines()) == 1


async def test_a_major_outage_asks_before_it_pages_executives(house: House) -> None:
    """The question names them without paging; the button repeats the command."""
    await house.opened()
    reply = await house.says("alice", '!major on three "regions" are down')
    assert "erin (VP engineering) and frank (CTO)" in text_of(reply)
    assert "@" not in text_of(reply)
    assert not house.log.incident(1).major
    [choice] = reply.choices
    assert choice.label == "Confirm"
    assert await house.says("alice", choice.line) is None
    assert house.log.incident(1).major
    assert house.events("incident-1", e.MajorChanged)[0].why == 'three "regions" are down'
    assert house.events("incident-1", e.Paged)[0].people == ("erin", "frank")
    assert await house.says("alice", "!major off one region only") is None
    assert not house.log.incident(1).major


async def test_a_major_outage_needs_a_reason(house: House) -> None:
    """Before anything is asked."""
    await house.opened()
    assert "/major on" in await house.refused("alice", "!major on")
