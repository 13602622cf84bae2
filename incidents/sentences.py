"""What each event of the incident itself says on the timeline, in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from incidents import events as e
from incidents.policy import CLOCK_LABELS
from incidents.wording import Wording, listed, span


@dataclass(frozen=True, slots=True)
class Sentence:
    """`lead` is what happened, `quote` the words that somebody gave with it."""

    kind: str
    category: str
    lead: str
    quote: str = ""
    who: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()


def rung(name: str) -> str:
    """A rung of a ladder as people read it."""
    return name.replace("_", " ")


def clock_label(clock: str) -> str:
    """What a clock waits for, capitalised: First response."""
    label = CLOCK_LABELS.get(clock, clock)
    return label[:1].upper() + label[1:]


# -- the life of the incident -----------------------------------------------------------------------


def _opened(ev: e.IncidentOpened, w: Wording) -> Sentence:
    services = ev.services or ((ev.service,) if ev.service else ())
    told = f"{w.name(ev.actor)} opened INC-{ev.number} as {ev.severity}"
    told += f" on {listed(services)}" if services else ""
    told += f", after INC-{ev.linked}" if ev.linked is not None else ""
    marks = [word for word, on in (("private", ev.private), ("a drill", ev.drill), ("major", ev.major)) if on]
    told += f" ({listed(marks)})" if marks else ""
    told += f"; not understood: {listed(ev.unclear)}" if ev.unclear else ""
    return Sentence("opened", "life", told, ev.title)


def _eta(ev: e.EtaSet, w: Wording) -> Sentence:
    when = w.clock(ev.eta, ev.at)
    if ev.before is None:
        return Sentence("eta", "update", f"{w.name(ev.actor)} set the ETA to {when}")
    before = w.clock(ev.before, ev.at)
    return Sentence("eta", "update", f"{w.name(ev.actor)} moved the ETA from {before} to {when}")


def _updated(ev: e.Updated, w: Wording) -> Sentence:
    how = "answered the reminder" if ev.answer else "gave an update"
    return Sentence("update", "update", f"{w.name(ev.actor)} {how}", ev.text)


def _severity(ev: e.SeverityChanged, w: Wording) -> Sentence:
    verb = "raised" if ev.raised else "lowered"
    told = f"{w.name(ev.actor)} {verb} the severity from {ev.before} to {ev.severity}"
    return Sentence("severity", "life", told, ev.why)


def _major(ev: e.MajorChanged, w: Wording) -> Sentence:
    told = "declared a major outage" if ev.on else "took back the major outage"
    return Sentence("major", "life", f"{w.name(ev.actor)} {told}", ev.why)


def _role(ev: e.RoleTaken, w: Wording) -> Sentence:
    by = "" if ev.actor == ev.person else f" (said {w.name(ev.actor)})"
    return Sentence("role", "people", f"{w.name(ev.person)} is {ev.role}{by}", who=(ev.person,))


def _handover(ev: e.HandedOver, w: Wording) -> Sentence:
    giver = ev.before or ev.actor
    told = f"{w.name(giver)} handed over to {w.name(ev.person)}"
    return Sentence("handover", "people", told, who=(giver, ev.person))


def _merged_from(ev: e.MergedFrom, w: Wording) -> Sentence:
    told = f"{w.name(ev.actor)} merged INC-{ev.other} into this incident"
    return Sentence("merged", "life", told, ev.title)


def _item(ev: e.ActionItemAdded, w: Wording) -> Sentence:
    told = f"{w.name(ev.actor)} added action item {ev.item}"
    told += f" for {w.name(ev.owner)}" if ev.owner else ""
    told += f", due {w.clock(ev.due, ev.at)}" if ev.due else ""
    return Sentence("item", "review", told, ev.text, (ev.owner,) if ev.owner else ())


def _chased(ev: e.ActionItemChased, w: Wording) -> Sentence:
    told = f"Action item {ev.item} was due {w.clock(ev.due, ev.at)} and is not done"
    return Sentence("item", "review", told)


def _cadence(ev: e.CadenceSet, w: Wording) -> Sentence:
    how = "turned reminders off" if ev.seconds is None else f"set reminders to every {span(ev.seconds)}"
    return Sentence("cadence", "clock", f"{w.name(ev.actor)} {how}")


def _said(kind: str, category: str, verb: str) -> Callable[[Any, Wording], Sentence]:
    """WHO verb: their text, whichever field holds it."""

    def rule(ev: Any, w: Wording) -> Sentence:
        quote: str = getattr(ev, "text", "") or getattr(ev, "why", "")
        return Sentence(kind, category, f"{w.name(ev.actor)} {verb}", quote)

    return rule


# -- what fell due ----------------------------------------------------------------------------------


def _late(ev: e.ResponseLate, w: Wording) -> Sentence:
    told = f"{clock_label(ev.clock)} is late: {span(ev.allowed)} allowed, due {w.clock(ev.due, ev.at)}"
    return Sentence("late", "clock", told)


_ASKED = {"page": ("paged", "Paged"), "notify": ("notified", "Notified")}
_REASONS = {
    "unanswered": "reminders went unanswered",
    "unreachable": "the person before could not be reached",
}


def _escalated(ev: e.EscalationDue, w: Wording) -> Sentence:
    kind, verb = _ASKED.get(ev.do, ("message", "Told"))
    to = f" ({rung(ev.rung)})" if ev.rung else ""
    if ev.people:
        told = f"{verb} {w.names(ev.people)}{to}"
    elif ev.do == "message" or ev.rung == "team":
        told = f"Told the {rung(ev.rung) or 'team'}"
    else:
        told = f"Nobody new to {ev.do}{to}"
    told += f", due {w.clock(ev.due, ev.at)}"
    told += f"; {reason}" if (reason := _REASONS.get(ev.why)) else ""
    told += f"; {listed(ev.skipped)}" if ev.skipped else ""
    return Sentence(kind, "page", told, who=ev.people)


def _paged(ev: e.Paged, w: Wording) -> Sentence:
    told = f"{w.name(ev.actor)} paged {w.names(ev.people) or 'nobody'}"
    told += f" ({rung(ev.rung)})" if ev.rung else ""
    told += f"; {listed(ev.skipped)}" if ev.skipped else ""
    return Sentence("paged", "page", told, ev.why, ev.people)


def _repeated(ev: e.PageRepeated, w: Wording) -> Sentence:
    told = f"Paged {w.names(ev.people)} again (repeat {ev.count}), due {w.clock(ev.due, ev.at)}"
    return Sentence("repeated", "page", told, who=ev.people)


def _page_failed(ev: e.PageFailed, w: Wording) -> Sentence:
    told = f"The page did not reach {w.name(ev.person)}"
    return Sentence("unreachable", "page", told, ev.detail, (ev.person,))


def _reminder(ev: e.ReminderDue, w: Wording) -> Sentence:
    told = f"Asked for an update, due {w.clock(ev.due, ev.at)}"
    told += f" ({ev.unanswered} unanswered)" if ev.unanswered > 1 else ""
    return Sentence("reminder", "clock", told)


# -- alerts -----------------------------------------------------------------------------------------


def _alert(ev: e.AlertAttached, w: Wording) -> Sentence:
    told = f"Alert {ev.name} fires" + (f" on {ev.service}" if ev.service else "")
    links = ((f"{ev.name} at {ev.source}", ev.url),) if ev.url else ()
    return Sentence("alert", "alert", told, ev.summary, links=links)


def _cleared(ev: e.AlertCleared, w: Wording) -> Sentence:
    rest = "; no alert fires any more" if ev.all_clear else ""
    return Sentence("cleared", "alert", f"Alert {ev.name} is resolved{rest}")


RULES: Mapping[type[e.Event], Callable[[Any, Wording], Sentence]] = {
    e.IncidentOpened: _opened,
    e.Acknowledged: _said("acknowledged", "life", "acknowledged"),
    e.StatusChanged: lambda ev, w: Sentence(
        "status", "update", f"{w.name(ev.actor)} set the status to {ev.status}", ev.text
    ),
    e.Updated: _updated,
    e.EtaSet: _eta,
    e.SeverityChanged: _severity,
    e.MajorChanged: _major,
    e.RoleTaken: _role,
    e.Joined: lambda ev, w: Sentence("joined", "people", f"{w.name(ev.person)} joined", who=(ev.person,)),
    e.Left: lambda ev, w: Sentence("left", "people", f"{w.name(ev.person)} left", who=(ev.person,)),
    e.HandedOver: _handover,
    e.NoteAdded: _said("note", "note", "noted"),
    e.MessagePinned: lambda ev, w: Sentence(
        "pinned", "note", f"{w.name(ev.author)} wrote", ev.text, (ev.author,)
    ),
    e.Resolved: _said("resolved", "life", "resolved the incident"),
    e.Reopened: _said("reopened", "life", "reopened the incident"),
    e.Closed: _said("closed", "life", "closed the incident"),
    e.MergedInto: lambda ev, w: Sentence(
        "merged", "life", f"{w.name(ev.actor)} merged this incident into INC-{ev.survivor}"
    ),
    e.MergedFrom: _merged_from,
    e.Snoozed: lambda ev, w: Sentence(
        "snoozed", "clock", f"{w.name(ev.actor)} held the next reminder until {w.clock(ev.until, ev.at)}"
    ),
    e.CadenceSet: _cadence,
    e.ImpactRecorded: _said("impact", "review", "recorded the impact"),
    e.CauseRecorded: _said("cause", "review", "recorded the cause"),
    e.ActionItemAdded: _item,
    e.ActionItemDone: lambda ev, w: Sentence(
        "item", "review", f"{w.name(ev.actor)} finished action item {ev.item}"
    ),
    e.ActionItemChased: _chased,
    e.AlertAttached: _alert,
    e.AlertCleared: _cleared,
    e.ResponseLate: _late,
    e.EscalationDue: _escalated,
    e.Paged: _paged,
    e.PageRepeated: _repeated,
    e.PageFailed: _page_failed,
    e.ReminderDue: _reminder,
    e.EtaPassed: lambda ev, w: Sentence("eta", "clock", f"The ETA of {w.clock(ev.eta, ev.at)} passed"),
}
