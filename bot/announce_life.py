"""What is said about the life of an incident: opened, acknowledged, updated, changed, resolved, closed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bot.announce_alerts import offer_major
from bot.announce_parts import (
    ACKNOWLEDGE,
    about,
    all_of,
    channel_name,
    first_of,
    named,
    owner_or_on_call,
    room,
    say,
    severity_of,
    team,
)
from bot.cards import incident_card, sign
from bot.chat import Button, Say
from bot.facts import Facts
from incidents import events as e
from incidents.incident import Incident, fold
from incidents.policy import CLOCK_LABELS

Batch = Sequence[e.Event]


def opened(ev: e.IncidentOpened, before: None, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """Channel, card, a line for the team, and what of an alert was not understood."""
    wanted = [ev.actor] if named(ev.actor, facts) else []
    paged = [person for step in all_of(e.EscalationDue, batch) for person in step.people]
    data = {
        "name": channel_name(i),
        "private": i.private,
        "topic": f"INC-{i.number} {i.severity}: {i.title}",
        "invite": list(dict.fromkeys([*wanted, *paged])),
        "asked_in": ev.asked_in,
        "here": ev.here,
        "since": ev.since,
    }
    card = incident_card(_settled(i, batch), facts=facts, requests=())
    says = [
        Say(room(i), op="open", data=data, lane=0),
        Say(
            room(i),
            template=card.template,
            data={**card.data, "pin": True},
            card="incident",
            ref=f"incident:{i.number}",
            buttons=card.buttons,
        ),
    ]
    told = any(step.do == "message" for step in all_of(e.EscalationDue, batch))
    if not i.private and not told:
        says.append(Say(team(i), template="opened", data={**about(i), "actor": ev.actor}))
    if ev.unclear:
        says.append(say(i, "unclear", unclear=list(ev.unclear), severity=i.severity))
    if len(i.services) > 1:
        says += offer_major(i, facts)
    return says


def _settled(i: Incident, batch: Batch) -> Incident:
    """The incident with the alerts of the same batch: the first card names them."""
    state: Incident | None = i
    for event in all_of(e.AlertAttached, batch):
        state = fold(state, event)
    return state or i


def acknowledged(ev: e.Acknowledged, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """Who has it now; those who were paged are told. Implied by an update, it is said with that."""
    if _implied_by(ev, batch) is not None:
        return []
    again = before.acknowledged_at is not None
    tell = [before.owner] if again and before.owner else list(before.paged)
    same = again and before.owner == ev.actor
    severity = severity_of(i, facts)
    return [
        say(
            i,
            "acknowledged",
            actor=ev.actor,
            text=ev.text,
            tell=[person for person in tell if person != ev.actor],
            again=again,
            same=same,
            first=not again and not before.updates,
            late="acknowledged" in i.missed,
            took=(ev.at - i.round_at).total_seconds(),
            allowed=severity.clocks.get("acknowledged") if severity is not None else None,
            **_eta(batch),
        )
    ]


def _implied_by(ev: e.Acknowledged, batch: Batch) -> e.Event | None:
    """The event of the same person that the acknowledgement came with."""
    kinds = (e.Updated, e.StatusChanged, e.Resolved)
    return next((x for x in batch if isinstance(x, kinds) and x.actor == ev.actor), None)


def _with_it(before: Incident, actor: str, batch: Batch) -> dict[str, Any]:
    """Whether an acknowledgement came with it, and who has to know."""
    came = any(x.actor == actor for x in all_of(e.Acknowledged, batch))
    return {"acknowledged": came, "tell": [p for p in before.paged if p != actor] if came else []}


def _eta(batch: Batch) -> dict[str, Any]:
    found = first_of(e.EtaSet, batch)
    return {"eta": found.eta if found else None, "eta_before": found.before if found else None}


def updated(ev: e.Updated, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """An update by a person, with its ETA; a call for help is told with the page that it makes."""
    if ev.answer == "help" and first_of(e.Paged, batch) and not first_of(e.Acknowledged, batch):
        return []
    return [
        say(
            i,
            "updated",
            actor=ev.actor,
            text=ev.text,
            answer=ev.answer,
            **_eta(batch),
            **_with_it(before, ev.actor, batch),
        )
    ]


def status(ev: e.StatusChanged, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """The new status; going back is said as such."""
    return [
        say(
            i,
            "status",
            actor=ev.actor,
            status=ev.status,
            before=before.status,
            text=ev.text,
            **_eta(batch),
            **_with_it(before, ev.actor, batch),
        )
    ]


def eta_set(ev: e.EtaSet, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """A new or changed ETA, where no message of the same moment tells it."""
    if any(isinstance(x, e.Updated | e.StatusChanged | e.Acknowledged) for x in batch):
        return []
    return [say(i, "eta", actor=ev.actor, eta=ev.eta, eta_before=ev.before)]


def eta_passed(ev: e.EtaPassed, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """The owner is asked for a new one."""
    return [say(i, "eta_passed", eta=ev.eta, people=owner_or_on_call(i, facts))]


def severity(ev: e.SeverityChanged, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """Raised or lowered, and what that does to the clocks."""
    found = severity_of(i, facts)
    waiting = [
        {"text": CLOCK_LABELS.get(clock, clock), "at": at}
        for clock, at in sorted(i.clocks.items(), key=lambda item: item[1])
        if not i.met(clock) and clock not in i.missed and at > ev.at
    ]
    return [
        say(
            i,
            "severity",
            sign=sign(ev.rank),
            actor=ev.actor,
            severity=ev.severity,
            before=ev.before,
            raised=ev.raised,
            why=ev.why,
            clocks=waiting[:1],
            remind_every=None if i.cadence_set or found is None else found.remind_every,
        )
    ]


def snoozed(ev: e.Snoozed, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """When the next reminder comes; escalations run on."""
    return [say(i, "snoozed", actor=ev.actor, until=ev.until)]


def cadence(ev: e.CadenceSet, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """How often there are reminders from now on."""
    return [say(i, "cadence", actor=ev.actor, seconds=ev.seconds)]


def resolved(ev: e.Resolved, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """How long it took, and what comes after."""
    found, tally = severity_of(i, facts), facts.tally
    took = (i.acknowledged_at - i.round_at).total_seconds() if i.acknowledged_at is not None else None
    buttons = (Button("Post-mortem draft", "/export md", "primary"), Button("Reopen", "/reopen"))
    data = {
        "actor": ev.actor,
        "text": ev.text,
        "lasted": (ev.at - i.round_at).total_seconds(),
        "acknowledged": took,
        "late": "acknowledged" in i.missed,
        "missed": [CLOCK_LABELS.get(c, c) for c in sorted(i.missed) if c != "acknowledged"],
        "allowed": found.clocks.get("acknowledged") if found is not None else None,
        "updates": i.updates,
        "changes": tally.changes,
        "undone": tally.undone,
        "people": tally.people,
        "firing": i.firing,
    }
    return [say(i, "resolved", buttons, **data)]


def reopened(ev: e.Reopened, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """Clocks and ladder start anew."""
    first = min(ev.clocks.items(), key=lambda item: item[1], default=None)
    data = {
        **about(i),
        "actor": ev.actor,
        "by_person": named(ev.actor, facts),
        "why": ev.why,
        "alerts": list(dict.fromkeys(alert.name for alert in all_of(e.AlertAttached, batch))),
        "clock": CLOCK_LABELS.get(first[0], first[0]) if first else "",
        "at": first[1] if first else None,
    }
    told = Say(room(i), template="reopened", data=data, buttons=(ACKNOWLEDGE,))
    if before.closed_at is None:
        return [told]
    return [Say(room(i), op="arrange", data={"archive": False}), told]


def closed(ev: e.Closed, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """The last message, then the channel is archived."""
    items = [{"number": item.number, "owner": item.owner} for item in i.items if not item.done]
    return [
        say(i, "closed", actor=ev.actor, text=ev.text, items=items),
        Say(room(i), op="archive", lane=2),
    ]


def merged_into(ev: e.MergedInto, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """This channel points to the survivor."""
    topic = f"INC-{i.number} was merged into INC-{ev.survivor}"
    return [
        say(i, "merged_into", actor=ev.actor, survivor=ev.survivor),
        Say(room(i), op="arrange", data={"topic": topic}, lane=2),
    ]


def merged_from(ev: e.MergedFrom, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """What the survivor took over."""
    data = {
        "sign": sign(i.rank),
        "actor": ev.actor,
        "other": ev.other,
        "title": ev.title,
        "severity": i.severity if i.severity != before.severity else "",
        "opened_at": i.round_at if i.round_at != before.round_at else None,
        "owner": i.owner if i.acknowledged_at != before.acknowledged_at else None,
    }
    return [say(i, "merged_from", **data)]


def major(ev: e.MajorChanged, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """A major outage, or no more."""
    return [say(i, "major", sign=sign(i.rank), actor=ev.actor, on=ev.on, why=ev.why)]


def noted(ev: e.NoteAdded, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """A reaction on the note; a line only where the chat shows no message of it."""
    # What was typed as a slash command has an id of the inbox's own making.
    if ev.message_id is not None and not ev.message_id.startswith("ran-"):
        return [Say(f"incident:{i.number}", "react", "", {"message_id": ev.message_id, "emoji": "📌"}, 2)]
    return [say(i, "noted", what="noted", actor=ev.actor, text=ev.text)]


def impact(ev: e.ImpactRecorded, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    return [say(i, "noted", what="recorded the impact", actor=ev.actor, text=ev.text)]


def cause(ev: e.CauseRecorded, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    return [say(i, "noted", what="recorded the cause", actor=ev.actor, text=ev.text)]


Rule = Callable[[Any, Any, Any, Batch, Facts], list[Say]]

RULES: Mapping[type[e.Event], Rule] = {
    e.IncidentOpened: opened,
    e.Acknowledged: acknowledged,
    e.Updated: updated,
    e.StatusChanged: status,
    e.EtaSet: eta_set,
    e.EtaPassed: eta_passed,
    e.SeverityChanged: severity,
    e.Snoozed: snoozed,
    e.CadenceSet: cadence,
    e.Resolved: resolved,
    e.Reopened: reopened,
    e.Closed: closed,
    e.MergedInto: merged_into,
    e.MergedFrom: merged_from,
    e.MajorChanged: major,
    e.NoteAdded: noted,
    e.ImpactRecorded: impact,
    e.CauseRecorded: cause,
}
