"""Roles, taking part, and paging by hand."""

from __future__ import annotations

import pytest

from commands.incident.people import level_and_why
from incidents import events as e
from tests.commands.fakes import House, Rules, text_of


async def test_roles_participation_and_handover(house: House) -> None:
    """One's own role by default; who owns it cannot just leave."""
    await house.opened()
    await house.says("alice", "/ack")
    await house.says("alice", "/role commander")
    await house.says("alice", "/incident role scribe @bob")
    assert dict(house.log.incident(1).roles) == {"commander": "alice", "scribe": "bob"}
    assert "catchup" in text_of(await house.says("heidi", "/incident join"))
    assert "heidi" in house.log.incident(1).people
    await house.says("heidi", "/incident leave")
    assert "handover" in await house.refused("alice", "/incident leave")
    await house.says("alice", "/incident handover @bob")
    assert house.log.incident(1).owner == "bob"


async def test_escalating_goes_to_the_next_level_with_the_reason(house: House) -> None:
    """Without words to the next rung; the words are the reason."""
    await house.opened()
    house.wait(0)
    await house.says("alice", "/ack")
    await house.says("alice", "/escalate")
    await house.says("alice", "/escalate the database is unreachable")
    first, second = house.events("incident-1", e.Paged)
    assert (first.people, first.rung) == (("bob",), "secondary")
    assert (second.people, second.why) == (("carol",), "the database is unreachable")


@pytest.mark.parametrize(
    ("text", "rung", "why"),
    [
        ("", "", ""),
        ("team lead the disk is full", "team_lead", "the disk is full"),
        ("Team-Lead: the disk is full", "team_lead", "the disk is full"),
        ("to team_lead", "team_lead", ""),
        ("engineering manager", "manager", ""),
        ("manager now", "manager", "now"),
        ("to be on the safe side", "", "to be on the safe side"),
        ("the database is unreachable", "", "the database is unreachable"),
    ],
)
def test_a_level_is_known_by_its_name_and_as_people_call_it(text: str, rung: str, why: str) -> None:
    """However it is spelt; what follows is the reason."""
    assert level_and_why(Rules().policies["default"], text) == (rung, why)


@pytest.mark.parametrize("text", ["level2 no idea", "level 2 no idea", "senior engineer no idea"])
def test_levels_with_a_number(text: str) -> None:
    """Level 2, level2, or what the policy calls it."""
    assert level_and_why(Rules().policies["aiaas"], text) == ("level2", "no idea")


@pytest.mark.parametrize(
    ("line", "person"),
    [
        ("/escalate vp it is that bad", "erin"),
        ("/escalate to CTO", "frank"),
        ("/escalate @frank", "frank"),
        ('/page @erin it\'s "bad"', "erin"),
    ],
)
async def test_executives_are_paged_after_a_confirmation(house: House, line: str, person: str) -> None:
    """By level or by name; nobody is mentioned before."""
    await house.opened()
    reply = await house.says("alice", line)
    assert person in text_of(reply)
    assert f"@{person}" not in text_of(reply)
    assert house.events("incident-1", e.Paged) == []
    await house.says("alice", reply.choices[0].line)
    assert house.events("incident-1", e.Paged)[0].people == (person,)


async def test_anybody_is_paged_by_name(house: House) -> None:
    """`page` and `escalate @person` do the same."""
    await house.opened()
    await house.says("alice", "/page @heidi we need a second pair of eyes")
    await house.says("alice", "/escalate @bob knows this part")
    paged = house.events("incident-1", e.Paged)
    assert [(p.people, p.why) for p in paged] == [
        (("heidi",), "we need a second pair of eyes"),
        (("bob",), "knows this part"),
    ]
    assert "One person" in await house.refused("alice", "/page @heidi @bob come")


async def test_who_cannot_passes_the_page_on(house: House) -> None:
    """The next level is paged at once; others are told that nobody waits for them."""
    await house.opened()
    house.wait(0)
    await house.says("alice", "/cannot")
    assert house.events("incident-1", e.Paged)[0].people == ("bob",)
    assert "Nobody waits" in await house.refused("heidi", "/cannot")
