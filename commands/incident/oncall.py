"""Who is on call, who stands in, and who would be paged when."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from commands.actions import Answer, Table
from commands.case import Ask, Case, Reply, sentence
from commands.catalogue import Service
from commands.incident import simulation
from commands.incident.configured import contacts, reachable, team_lead_rungs, zone
from commands.incident.opening import severity_of
from commands.incident.speaking import wording
from commands.registry import Duration, Name, Person, command
from commands.values import duration as read_duration
from commands.values import is_duration, nearest, shown, spoken
from incidents import oncall as domain
from incidents.oncall import Roster
from incidents.policy import Policy
from incidents.ports import RefusedError
from incidents.wording import Wording, listed

_FURTHEST = timedelta(days=3653)


@command("oncall", effect="read", who="reporter")
async def oncall(rota: Name | None = None, *, ask: Ask) -> Answer:
    """Show who is on call now, until when, and who can be called besides.

    /oncall                 everybody
    /oncall primary         one rota
    """
    roster = await ask.reader.roster()
    if rota is not None and rota not in roster.rotas:
        raise _no_rota(rota, roster)
    names = [rota] if rota is not None else list(roster.rotas)
    words = wording(ask)
    rows = [_shift(ask, roster, name, words) for name in names]
    table = Table(("ROTA", "ON CALL", "UNTIL", "THEN"), tuple(rows))
    lines = [] if rota is not None else [_always(roster), *_outside(ask)]
    return Answer(f"On call at {words.clock(ask.now, ask.now)}", table, tuple(lines))


def _shift(ask: Ask, roster: Roster, rota: str, words: Wording) -> tuple[str, str, str, str]:
    now = ask.now
    person = roster.on_call(rota, now)
    cover = next((o for o in reversed(roster.overrides) if o.rota == rota and o.start <= now < o.end), None)
    until = cover.end if cover is not None else roster.rotas[rota].next_handover(now)
    if cover is not None:
        person = f"{person} (stands in)"
    if until is None:
        return rota, person or "nobody", "always", "–"
    return rota, person or "nobody", words.clock(until, now), roster.on_call(rota, until) or "nobody"


def _always(roster: Roster) -> str:
    """The people who take no turns, on one line."""
    fixed = [rung for rung in roster.rungs.values() if rung.rota is None]
    told = [f"{rung.name.replace('_', ' ')}: {listed(rung.people) or 'nobody'}" for rung in fixed]
    return " · ".join([*told, f"below all: {roster.fallback}"])


def _outside(ask: Ask) -> list[str]:
    found = []
    for contact in contacts(ask.rules):
        ways = " · ".join(way for way in (contact.phone, contact.mail) if way)
        found.append(f"{contact.title}: {ways or 'no number is configured'}")
    return found


def _no_rota(rota: str, roster: Roster) -> RefusedError:
    hint = nearest(rota, roster.rotas)
    known = hint or f" There are: {', '.join(roster.rotas) or 'none'}."
    return RefusedError(f"There is no rota {shown(rota)}.{known}")


@command("oncall override", effect="incident")
def override(person: Person, duration: Duration, *, rota: Name | None = None, case: Case) -> Reply | None:
    """Let somebody stand in on a rota from now on.

    /oncall override @bob 2h                     on your own shift
    /oncall override @bob 2h rota=secondary      on another, as the team lead
    """
    roster = case.log.roster
    name = rota or _rota_of(case, roster)
    if name not in roster.rotas:
        raise _no_rota(name, roster)
    _check_answers(case, person)
    if roster.on_call(name, case.now) == person:
        raise RefusedError(f"{person} is on call on {name} already; name somebody else.")
    leads = any(
        case.by in roster.people(rung, case.now)
        for policy in case.rules.policies.values()
        for rung in team_lead_rungs(roster, policy)
    )
    lasts = timedelta(seconds=duration)
    found = domain.override(
        roster, rota=name, person=person, by=case.by, leads=leads, now=case.now, lasts=lasts
    )
    case.log.record("oncall-main", *found)
    if case.number is None:
        return None  # what the operations channel is told is enough
    until = Wording(zone=zone(case.rules)).clock(case.now + lasts, case.now)
    return sentence(f"{person} is on call on {name} until {until}.")


def _check_answers(case: Case, person: str) -> None:
    """RefusedError for somebody who could not acknowledge: nobody would answer the pages."""
    if not case.people.can(person, "responder"):
        raise RefusedError(f"{person} is no responder and could not acknowledge; name somebody who is.")


def _rota_of(case: Case, roster: Roster) -> str:
    """The rota whose shift the asker has now, else the first one that the default policy pages."""
    for name in roster.rotas:
        if roster.on_call(name, case.now) == case.by:
            return name
    for rung in case.rules.policy_for(None, {}).ladder:
        found = roster.rungs.get(rung)
        if found is not None and found.rota is not None:
            return found.rota
    raise RefusedError("No rota is configured, so there is no shift to stand in for.")


@command("simulate", effect="read", who="reporter")
async def simulate(
    severity: Name,
    when: Name | None = None,
    *,
    service: Service | None = None,
    policy: Name | None = None,
    ask: Ask,
) -> Answer:
    """Show who would be paged when, if an incident opened and nobody did anything.

    /simulate critical                            now
    /simulate critical 3h                         in three hours
    /simulate high 02:30 service=realtime         at the next half past two
    /simulate P0 2026-12-24T18:00 policy=aiaas    on Christmas Eve
    """
    if policy is not None and policy not in ask.rules.policies:
        raise RefusedError(f"There is no policy {shown(policy)}; there are: {', '.join(ask.rules.policies)}.")
    name = service.name if service else None
    chosen = ask.rules.policies[policy] if policy else ask.rules.policy_for(name, {})
    level = severity_of(chosen, severity)
    start = _start(ask, when)
    moments = simulation.simulate(chosen, level, await ask.reader.roster(), start, name)
    words = wording(ask)
    rows = tuple(
        (
            f"{m.at.astimezone(words.zone):%H:%M}",
            spoken(int((m.at - start).total_seconds())),
            m.what,
            ", ".join(m.people) or "–",
        )
        for m in moments
    )
    table = Table(("AT", "AFTER", "WHAT", "WHO"), rows, right=(1,)) if rows else None
    headline = f"{level.name} by the policy {chosen.name}, opened {words.clock(start, ask.now)}"
    return Answer(headline, table, tuple(_gaps(ask, chosen, moments)))


def _gaps(ask: Ask, policy: Policy, moments: list[simulation.Moment]) -> list[str]:
    """Empty rungs, and people whom only the chat reaches."""
    if not moments:
        return ["Nothing would happen by itself."]
    found = [f"⚠️ {reason}" for reason in simulation.missing(moments)]
    found += [
        f"⚠️ {person} has no contact method beyond the chat"
        for person in simulation.everybody(moments)
        if reachable(ask.people, person) is False
    ]
    return found or ["Nobody is missing."]


def _start(ask: Ask, when: str | None) -> datetime:
    """Now, in a while (`3h`), at the next such time of day (`02:30`), or at a date and time within ten years."""
    if when is None:
        return ask.now
    if is_duration(when):
        return ask.now + timedelta(seconds=read_duration(when, "when"))
    local = ask.now.astimezone(ZoneInfo(ask.zone))
    try:
        if len(when) <= len("02:30"):
            clock = datetime.strptime(when, "%H:%M")  # noqa: DTZ007  the zone follows on the next line
            at = local.replace(hour=clock.hour, minute=clock.minute, second=0, microsecond=0)
            at = at if at >= local else at + timedelta(days=1)
        else:
            at = datetime.fromisoformat(when)
            at = at if at.tzinfo else at.replace(tzinfo=local.tzinfo)
        at = at.astimezone(ask.now.tzinfo)
    except (ValueError, OverflowError) as error:
        raise RefusedError(
            f"when is a duration, a time of day or a date, as in 3h, 02:30 or 2026-12-24T18:00; "
            f"{shown(when)} is none."
        ) from error
    if abs(at - ask.now) > _FURTHEST:
        raise RefusedError(f"when is at most ten years away; {shown(when)} is further.")
    return at
