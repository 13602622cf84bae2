"""Who is on call, overrides, and simulated incidents."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from commands.incident import simulation
from commands.incident.oncall import _gaps, _outside
from incidents import events as e
from tests.commands.fakes import START, House, text_of


async def test_everybody_who_is_on_call_is_shown(house: House) -> None:
    """Rotas with their next handover, fixed people, the fallback."""
    told = text_of(await house.says("grace", "/oncall", None))
    assert "On call at 03:30 CET" in told
    assert "primary alice 5 Jan 2026 10:00 CET bob" in told
    assert "secondary bob always –" in told
    assert "team lead: carol · manager: dave" in told
    assert "below all: dave" in told
    one = text_of(await house.says("grace", "/oncall primary", None))
    assert "carol" not in one
    assert "Did you mean primary" in await house.refused("grace", "/oncall primry", None)


def test_contacts_outside_are_shown_where_they_are_configured() -> None:
    """With number and address, as far as there are any."""
    contact = SimpleNamespace(title="Hotline", phone="+1-800-CHATBOT-911", mail="")
    ask = SimpleNamespace(rules=SimpleNamespace(contacts=(contact,)))
    assert _outside(ask) == ["Hotline: +1-800-CHATBOT-911"]


async def test_ones_own_shift_is_handed_to_somebody(house: House) -> None:
    """From now on, on the rota whose shift it is; shown by `/oncall`."""
    await house.opened()
    reply = await house.says("alice", "/oncall override @heidi 2h")
    assert text_of(reply) == "heidi is on call on primary until 04:30 UTC."
    [made] = house.events("oncall-main", e.OverrideSet)
    assert (made.rota, made.person, made.start) == ("primary", "heidi", START)
    assert "primary heidi (stands in) 05:30 CET alice" in text_of(await house.says("grace", "/oncall", None))


async def test_the_shift_of_somebody_else_needs_them_or_the_team_lead(house: House) -> None:
    """carol is the team lead."""
    told = await house.refused("heidi", "/oncall override @heidi 2h rota=secondary", None)
    assert "bob or the team lead" in told
    await house.says("carol", "/oncall override @heidi 2h rota=secondary", None)
    assert house.log.roster.on_call("secondary", START) == "heidi"
    assert "already" in await house.refused("carol", "/oncall override @heidi 2h rota=secondary", None)
    assert "There is no rota" in await house.refused("carol", "/oncall override @bob 2h rota=night", None)


async def test_a_simulated_incident_tells_who_is_paged_when(house: House) -> None:
    """Late clocks before pages, reminders and repeats once; nothing is recorded."""
    answer = await house.says("grace", "/simulate critical", None)
    told = [" ".join(row) for row in answer.table.rows]
    assert told[0] == "03:30 0s page primary alice"
    assert "03:45 15m late: first response –" in told
    assert "03:45 15m page secondary bob" in told
    assert "04:00 30m page team lead carol" in told
    assert "04:30 1h page engineering manager dave" in told
    assert sum("reminder every" in line for line in told) == 1
    assert answer.lines == ("Nobody is missing.",)
    assert house.log.entries_ == []


async def test_a_simulation_names_who_is_missing(house: House) -> None:
    """An empty rung, and people whom only the chat reaches."""
    rungs = {**house.log.base.rungs, "team_lead": replace(house.log.base.rungs["team_lead"], people=())}
    house.log.base = replace(house.log.base, rungs=rungs)
    answer = await house.says("grace", "/simulate critical", None)
    assert "⚠️ nobody is team lead" in answer.lines
    policy = house.rules.policies["default"]
    moments = simulation.simulate(policy, policy.severities[0], house.log.roster, START)
    people = SimpleNamespace(people={"alice": SimpleNamespace(contacts=())})
    gaps = _gaps(SimpleNamespace(people=people), policy, moments)
    assert "⚠️ alice has no contact method beyond the chat" in gaps


@pytest.mark.parametrize(
    ("when", "headline"),
    [
        ("3h", "06:30 CET"),
        ("04:00", "04:00 CET"),
        ("03:00", "4 Jan 2026 03:00 CET"),
        ("2026-12-24T18:00", "24 Dec 2026 18:00 CET"),
        ("2026-12-24", "24 Dec 2026 00:00 CET"),
    ],
)
async def test_a_simulation_begins_when_it_is_told_to(house: House, when: str, headline: str) -> None:
    """In a while, at a time of day, or on a date; in the team's zone."""
    answer = await house.says("grace", f"/simulate P0 {when}", None)
    assert answer.headline == f"critical by the policy default, opened {headline}"


@pytest.mark.parametrize("when", ["25:00", "tomorrow", "9999-99-99", "2026-02-30T00:00", "99"])
async def test_a_time_that_is_none_is_refused(house: House, when: str) -> None:
    """With what would be one."""
    assert "02:30" in await house.refused("grace", f"/simulate critical {when}", None)


async def test_a_simulation_by_service_or_policy(house: House) -> None:
    """Unknown words get the known ones."""
    told = text_of(await house.says("grace", "/simulate warning service=tools", None))
    assert "P1 by the policy aiaas" in told
    assert "Nothing would happen by itself." in told
    assert "default, aiaas" in await house.refused("grace", "/simulate critical policy=x", None)
    assert "medium (warning)" in await house.refused("grace", "/simulate dreadful", None)
