"""What is said when something falls due or somebody is paged: late clocks, steps, repeats, reminders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from bot.announce_parts import (
    ACKNOWLEDGE,
    Page,
    about,
    all_of,
    overdue,
    owner_or_on_call,
    page,
    room,
    say,
    severity_of,
    team,
)
from bot.cards import step_of
from bot.chat import Button, Say
from bot.facts import Facts
from incidents import events as e
from incidents.due import FALLBACK, TEAM, choose, timers
from incidents.incident import Incident
from incidents.policy import CLOCK_LABELS
from incidents.wording import listed, span

Batch = Sequence[e.Event]

REMINDER_BUTTONS = (
    Button("No change", "/answer nochange"),
    Button("Mitigating", "/answer mitigating"),
    Button("Need help", "/answer help", "danger"),
    Button("Snooze 30 min", "/snooze 30m"),
)


# -- what a page says -----------------------------------------------------------------------------


def _place(rung: str, facts: Facts) -> str:
    """What somebody on a rung is told about why it is them: "next on call"."""
    policy = facts.policy
    if rung == FALLBACK:
        return "the last one on the list"
    if not rung or policy is None:
        return ""
    if policy.ladder and rung == policy.ladder[0]:
        return "on call"
    found = facts.roster.rungs.get(rung)
    return "next on call" if found is not None and found.rota is not None else policy.label(rung)


def _label(rung: str, facts: Facts) -> str:
    if rung == FALLBACK:
        return "the fallback"
    return facts.policy.label(rung) if facts.policy is not None else rung.replace("_", " ")


def _outlook(i: Incident, people: Sequence[str], facts: Facts) -> dict[str, Any]:
    """What comes next if nobody answers: when these people are asked again, and who is next when."""
    policy = facts.policy
    outlook: dict[str, Any] = {
        "acknowledged": i.acknowledged_at is not None,
        "owner": i.owner,
        "again_at": None,
        "next_people": [],
        "next_at": None,
    }
    if policy is None or not i.open:
        return outlook
    mine = [p for p in i.pages if p.person in people and p.repeats < policy.page_repeats]
    if mine and i.acknowledged_at is None:
        outlook["again_at"] = min(p.at + timedelta(seconds=policy.page_every) * (p.repeats + 1) for p in mine)
    for timer in sorted(timers(i, policy)):
        step = step_of(i, policy, timer.key) if timer.kind == "step" else None
        if step is None or step.do != "page" or timer.due <= facts.now:
            continue
        if step.if_not_yet and set(facts.roster.people(step.to, timer.due)) & set(i.paged):
            continue
        _rung, found, _skipped = choose(i, policy, facts.roster, step.to, timer.due)
        if found and not set(found) <= set(people):
            return outlook | {"next_people": list(found), "next_at": timer.due}
    return outlook


def _page_buttons(i: Incident, facts: Facts) -> tuple[Button, ...]:
    """Acknowledge, or hand the page on to the next rung."""
    policy = facts.policy
    if i.acknowledged_at is not None or not i.open:
        return ()
    above = policy.above(i.rung) if policy is not None else ()
    people: tuple[str, ...] = ()
    if policy is not None and above and i.rung in ("", *policy.ladder):
        _rung, people, _skipped = choose(i, policy, facts.roster, above[0], facts.now)
    label = f"I can't, page {' and '.join(people)}" if people else "I can't"
    return (ACKNOWLEDGE, Button(label, "/cannot"))


def _paging(i: Incident, people: tuple[str, ...], facts: Facts, **data: Any) -> dict[str, Any]:
    """The data of the template `page`."""
    told = {
        "late": None,
        "place": "",
        "reason": "",
        "unresolved": None,
        "skipped": "",
        "instead": "",
        "count": 0,
        "due": None,
        **data,
    }
    return {**about(i), "people": list(people), **told, **_outlook(i, people, facts)}


# -- clocks and steps -----------------------------------------------------------------------------


def late(ev: e.ResponseLate, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """A late clock, alone where no step of the same moment tells it."""
    if any(step.late == ev.clock and _spoken(step) for step in all_of(e.EscalationDue, batch)):
        return []
    return [say(i, "late", **_late(ev), acknowledged=i.acknowledged_at is not None, owner=i.owner)]


def _late(ev: e.ResponseLate) -> dict[str, Any]:
    return {
        "clock": CLOCK_LABELS.get(ev.clock, ev.clock),
        "allowed": ev.allowed,
        "due": ev.due,
        "overdue": overdue(ev.due, ev.at) is not None,
    }


def _spoken(ev: e.EscalationDue) -> bool:
    """Whether a step is said in the incident's channel: not where everybody meant was paged before."""
    return ev.do != "message" and (bool(ev.people) or ev.rung == FALLBACK)


def escalation(ev: e.EscalationDue, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """A step: people are paged or notified, or the team hears of it."""
    if ev.do == "message" or ev.rung == TEAM:
        return [_message(ev, i, facts)]
    if not _spoken(ev):
        return []
    clock = next((x for x in all_of(e.ResponseLate, batch) if ev.late and x.clock == ev.late), None)
    if not ev.people:
        data = {
            **about(i),
            "late": _late(clock) if clock is not None else None,
            "skipped": _skipped(ev.skipped),
        }
        return [Say(room(i), template="nobody_left", data=data, lane=0)]
    if ev.do == "notify":
        return [_notify(ev, i, clock, facts)]
    failed = next((x for x in all_of(e.PageFailed, batch) if ev.key == f"{x.key}/{x.person}"), None)
    lasted = (ev.at - i.round_at).total_seconds()
    data = _paging(
        i,
        ev.people,
        facts,
        late=_late(clock) if clock is not None else None,
        place=_place(ev.rung, facts),
        reason="Reminders went unanswered; say how it goes with /update TEXT."
        if ev.why == "unanswered"
        else "",
        unresolved=lasted if ev.why == "unresolved" and lasted >= 60 else None,
        skipped=_skipped(ev.skipped, failed),
        instead=_label(ev.rung, facts) if ev.skipped else "",
        due=overdue(ev.due, ev.at) if clock is None else None,
    )
    return page(
        Page(i, ev.people, ev.key, ev.rung, "page", data, _page_buttons(i, facts), _because(data)), facts
    )


def _skipped(skipped: Sequence[str], failed: e.PageFailed | None = None) -> str:
    """Why the rungs before were passed over, as the begin of a sentence."""
    told = list(skipped)
    if failed is not None and failed.detail and told:
        told[0] = f"{told[0]} ({failed.detail})"
    text = listed(told) if told else ""
    return f"N{text[1:]}" if text.startswith("nobody ") else text


def _because(data: Mapping[str, Any]) -> str:
    """What the lock screen of a phone tells besides the incident."""
    place = data["place"]
    if not place:
        return str(data["reason"])
    if data["late"]:
        clock = str(data["late"]["clock"])
        return f"{clock[:1].upper()}{clock[1:]} is late; you are {place}."
    if data["unresolved"]:
        return f"Unresolved for {span(data['unresolved'] // 60 * 60)}; you are {place}."
    return f"You are {place}."


def _notify(ev: e.EscalationDue, i: Incident, clock: e.ResponseLate | None, facts: Facts) -> Say:
    first = min((at for key, at in i.clocks.items() if not i.met(key) and at > facts.now), default=None)
    data = {
        **about(i),
        "people": list(ev.people),
        "late": _late(clock) if clock is not None else None,
        "place": _place(ev.rung, facts),
        "skipped": _skipped(ev.skipped),
        "instead": _label(ev.rung, facts) if ev.skipped else "",
        "due": overdue(ev.due, ev.at) if clock is None else None,
        "respond_by": first,
    }
    return Say(room(i), template="notify", data=data, lane=0, buttons=(ACKNOWLEDGE,))


def _message(ev: e.EscalationDue, i: Incident, facts: Facts) -> Say:
    first = min((at for key, at in i.clocks.items() if not i.met(key) and at > facts.now), default=None)
    data = {**about(i), "respond_by": first, "due": overdue(ev.due, ev.at)}
    return Say(team(i), template="message", data=data)


def paged(ev: e.Paged, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """Paged by a person, who says why."""
    gave_up = next((x for x in all_of(e.PageFailed, batch) if x.key == "cannot"), None)
    data = _paging(
        i,
        ev.people,
        facts,
        place=_place(ev.rung, facts),
        skipped=_skipped(ev.skipped),
        instead=_label(ev.rung, facts) if ev.skipped else "",
        actor=ev.actor,
        why="" if gave_up is not None else _asks(ev),
        gave_up=gave_up.person if gave_up is not None else None,
    )
    told = data["why"]
    if gave_up is not None:
        told = f"{gave_up.person} cannot; you are {data['place'] or 'next'}."
    why = told or f"{ev.actor} asks for you."
    key = ev.key or f"paged:{ev.at.isoformat()}"
    buttons = _page_buttons(i, facts)
    return page(Page(i, ev.people, key, ev.rung, "page_by_hand", data, buttons, why), facts)


def _asks(ev: e.Paged) -> str:
    """Who asks, and why, in one sentence."""
    if ev.why.startswith(f"{ev.actor} "):
        return ev.why
    return f"{ev.actor} asks for you: {ev.why}" if ev.why else f"{ev.actor} asks for you"


def repeated(ev: e.PageRepeated, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """Asked again, by every means."""
    data = _paging(i, ev.people, facts, count=ev.count + 1, due=overdue(ev.due, ev.at))
    why = f"Asked {ev.count + 1} times; nobody has acknowledged."
    key = f"repeat:{ev.due.isoformat()}"
    buttons = _page_buttons(i, facts)
    return page(Page(i, ev.people, key, i.rung, "page_repeated", data, buttons, why), facts)


def page_failed(ev: e.PageFailed, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """Said with the page that goes on to somebody else; alone where nobody else is paged for it."""
    if any(isinstance(x, e.EscalationDue | e.Paged) for x in batch):
        return []
    data = {"person": ev.person, "detail": ev.detail, "owner": i.owner if i.acknowledged_at else None}
    return [say(i, "page_failed", **data)]


# -- reminders ------------------------------------------------------------------------


def reminder(ev: e.ReminderDue, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """Asks the owner, else whoever is on call, how it goes; one tap answers."""
    found = severity_of(i, facts)
    since = before.updated_at or before.round_at
    data = {
        "number": i.number,
        "people": owner_or_on_call(i, facts),
        "lasted": (ev.due - since).total_seconds(),
        "due": overdue(ev.due, ev.at),
        "unanswered": ev.unanswered,
        "last": before.update_text if before.updated_at else "",
        "stakeholders_every": found.stakeholders_every if found is not None else None,
    }
    return [
        Say(
            room(i),
            template="reminder",
            data=data,
            card="reminder",
            ref=f"reminder:{i.number}",
            buttons=REMINDER_BUTTONS,
        )
    ]


Rule = Callable[[Any, Any, Any, Batch, Facts], list[Say]]

RULES: Mapping[type[e.Event], Rule] = {
    e.ResponseLate: late,
    e.EscalationDue: escalation,
    e.Paged: paged,
    e.PageRepeated: repeated,
    e.PageFailed: page_failed,
    e.ReminderDue: reminder,
}
