"""The figures of one incident: how fast it was answered and resolved, round by round, and what it took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from incidents import events as e
from incidents.action import Action, fold
from incidents.change_sentences import undoes
from incidents.entries import Entry, cleaned
from incidents.rounds import Round, rounds


@dataclass(frozen=True, slots=True)
class Metrics:
    """Seconds and counts; `mtta` and `mttr` are means over the rounds that got that far, None where none did.

    `changes_run` counts finished changes without the undos, `changes_undone` those of them taken back.
    `reminders_answered` counts reminders that a human update followed before the next one.
    """

    rounds: tuple[Round, ...] = ()
    mtta: float | None = None
    mttr: float | None = None
    impact_seconds: float | None = None
    clocks_met: int = 0
    clocks_missed: int = 0
    reminders_sent: int = 0
    reminders_answered: int = 0
    updates: int = 0
    pages: int = 0
    pages_repeated: int = 0
    pages_failed: int = 0
    changes_asked: int = 0
    changes_run: int = 0
    changes_undone: int = 0
    changes_failed: int = 0
    changes_unknown: int = 0
    changes_denied: int = 0
    alerts: int = 0
    messages: int = 0
    people: tuple[str, ...] = ()


def metrics(entries: Iterable[Entry], now: datetime) -> Metrics:
    """The figures as of `now`; a reopened incident has a round for each time it was open."""
    found = cleaned(entries)
    all_rounds = rounds(found, now)
    clocks = [clock.outcome for r in all_rounds for clock in r.clocks]
    return Metrics(
        rounds=all_rounds,
        mtta=_mean([r.to_acknowledge for r in all_rounds]),
        mttr=_mean([r.to_resolve for r in all_rounds]),
        impact_seconds=sum(r.impact_seconds for r in all_rounds) if all_rounds else None,
        clocks_met=clocks.count("met"),
        clocks_missed=clocks.count("missed"),
        reminders_answered=_answered(found),
        people=people(found),
        **_counts(found),
        **_changes(changes(found)),
    )


def changes(entries: Iterable[Entry]) -> dict[int, Action]:
    """Every requested change as it stands, by number."""
    found: dict[int, Action] = {}
    for entry in entries:
        number = entry.action
        if number is None and isinstance(entry.event, e.ActionProposed):
            number = entry.event.number
        if number is not None:
            state = fold(found.get(number), entry.event)
            if state is not None:
                found[number] = state
    return found


def taken_back(actions: Mapping[int, Action]) -> frozenset[int]:
    """The numbers of the changes that a finished undo or revert took back."""
    return frozenset(
        of for action in actions.values() if action.state == "done" and (of := undoes(action)) is not None
    )


def people(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Everybody who did something, in the order of first doing it; neither the bot nor alert sources."""
    found: dict[str, None] = {}
    sources = {e.BOT, ""}
    for entry in entries:
        event = entry.event
        if isinstance(event, e.AlertAttached | e.AlertCleared):
            sources |= {event.source, event.actor}
        if isinstance(event, e.IncidentOpened) and event.group_key is not None:
            sources.add(event.actor)
        found[event.actor] = None
        if isinstance(event, e.Joined | e.RoleTaken | e.HandedOver):
            found[event.person] = None
    return tuple(person for person in found if person not in sources)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


_COUNTED: Mapping[type[e.Event], str] = {
    e.ReminderDue: "reminders_sent",
    e.Updated: "updates",
    e.StatusChanged: "updates",
    e.Paged: "pages",
    e.PageRepeated: "pages_repeated",
    e.PageFailed: "pages_failed",
    e.MessagePosted: "messages",
}


def _counts(entries: list[Entry]) -> dict[str, int]:
    counts = dict.fromkeys(_COUNTED.values(), 0)
    episodes = set()
    for entry in entries:
        event = entry.event
        name = _COUNTED.get(type(event))
        if name is not None:
            counts[name] += 1
        elif isinstance(event, e.EscalationDue) and event.do == "page" and event.people:
            counts["pages"] += 1
        elif isinstance(event, e.AlertAttached):
            episodes.add((event.source, event.fingerprint, event.starts_at))
    return {**counts, "alerts": len(episodes)}


def _answered(entries: list[Entry]) -> int:
    answered = 0
    waiting = False
    for entry in entries:
        if isinstance(entry.event, e.ReminderDue):
            waiting = True
        elif waiting and isinstance(entry.event, e.Updated | e.StatusChanged | e.Resolved):
            answered += 1
            waiting = False
    return answered


def _changes(actions: Mapping[int, Action]) -> dict[str, int]:
    asked = [action for action in actions.values() if undoes(action) is None]
    states = [action.state for action in asked]
    return {
        "changes_asked": len(asked),
        "changes_run": states.count("done"),
        "changes_undone": len(taken_back(actions) & {action.number for action in asked}),
        "changes_failed": states.count("failed"),
        "changes_unknown": states.count("unknown"),
        "changes_denied": states.count("denied"),
    }
