"""What the post-mortem draws from the log: severities, phases, alerts, changes, items, who took part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from incidents import events as e
from incidents.action import Action
from incidents.change_sentences import change_text, undoes
from incidents.entries import Entry
from incidents.metrics import changes, taken_back
from incidents.rounds import Round

_DETECTION = timedelta(days=1)  # an alert that has fired for longer says nothing of how this was noticed


@dataclass(frozen=True, slots=True)
class Said:
    """Something that a person recorded."""

    at: datetime
    by: str
    text: str


@dataclass(frozen=True, slots=True)
class SeverityStep:
    """A severity, and from when it held; `rank` 0 is the worst."""

    at: datetime
    by: str
    severity: str
    rank: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class Phase:
    """detect, acknowledge, identify or resolve; `end` is None while it lasts."""

    name: str
    round: int
    start: datetime
    end: datetime | None

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        return None if self.end is None else (self.end - self.start).total_seconds()


@dataclass(frozen=True, slots=True)
class AlertSeen:
    """One alert: how often it fired, and when it was last resolved (None while it fires)."""

    name: str
    source: str
    service: str | None
    first_at: datetime
    cleared_at: datetime | None
    times: int
    url: str


@dataclass(frozen=True, slots=True)
class Change:
    """A requested change; `state` is pending, approved, running, done, failed, unknown, denied, cancelled,
    expired or void. `undo_of` is the number of the change that this one takes back."""

    number: int
    summary: str
    line: str
    service: str | None
    asked_by: str
    asked_at: datetime
    approved_by: tuple[str, ...]
    state: str
    started_at: datetime | None
    ended_at: datetime | None
    text: str
    undo_of: int | None
    undone: bool
    why: str


@dataclass(frozen=True, slots=True)
class Item:
    """An action item."""

    number: int
    text: str
    owner: str | None
    due: datetime | None
    done_at: datetime | None
    done_by: str | None


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody for the review meeting, with the roles that they had."""

    person: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunbookUpdate:
    """A proposal drawn from what was done: the command line, and what came of it."""

    line: str
    service: str | None
    change: int
    outcome: str

    @property
    def advice(self) -> str:
        """What came of it, and what the runbook should say."""
        return {
            "helped": "helped: add it to the runbook",
            "undone": "was undone again: say in the runbook when it does not help",
            "failed": "failed: say in the runbook what it needs to work",
        }[self.outcome]

    @property
    def text(self) -> str:
        """The proposal in one sentence."""
        return f"`/{self.line}` {self.advice}"


def said(entries: list[Entry], kind: type[e.Event]) -> tuple[Said, ...]:
    """What was recorded with events of this kind."""
    return tuple(
        Said(entry.at, entry.event.actor, text)
        for entry in entries
        if isinstance(entry.event, kind) and (text := getattr(entry.event, "text", ""))
    )


def severities(entries: list[Entry]) -> tuple[SeverityStep, ...]:
    """One step for each change; a merge that brings the same severity is none."""
    steps: list[SeverityStep] = []
    for entry in entries:
        event = entry.event
        if not isinstance(event, e.IncidentOpened | e.SeverityChanged | e.MergedFrom):
            continue
        if not steps or steps[-1].severity != event.severity:
            why = event.why if isinstance(event, e.SeverityChanged) else ""
            steps.append(SeverityStep(entry.at, event.actor, event.severity, event.rank, why))
    return tuple(steps)


def phases(entries: list[Entry], rounds: tuple[Round, ...]) -> tuple[Phase, ...]:
    """Detection, acknowledgement, identification and repair of each round, as far as they got."""
    phases: list[Phase] = []
    for r in rounds:
        if r.number == 1 and (noticed := _began(entries, r)) < r.started:
            phases.append(Phase("detect", 1, noticed, r.started))
        start = r.started
        ends = (("acknowledge", r.acknowledged_at), ("identify", r.identified_at), ("resolve", r.ended_at))
        for name, end in ends:
            if end is None and name == "identify":
                continue  # nobody said so: the repair took all of it
            if end is None and r.ended_at is not None:
                continue
            phases.append(Phase(name, r.number, start, None if end is None else max(end, start)))
            if end is None:
                break
            start = max(end, start)
    return tuple(phases)


def _began(entries: list[Entry], first: Round) -> datetime:
    """The dated begin of the impact, else when the first alert began to fire."""
    if first.impact_from < first.started:
        return first.impact_from
    starts = [entry.event.starts_at for entry in entries if isinstance(entry.event, e.AlertAttached)]
    recent = [at for at in starts if timedelta() < first.started - at <= _DETECTION]
    return min(recent, default=first.started)


def alerts(entries: list[Entry]) -> tuple[AlertSeen, ...]:
    """Every alert, in the order of first firing."""
    seen: dict[tuple[str, str], AlertSeen] = {}
    for entry in entries:
        event = entry.event
        if isinstance(event, e.AlertAttached):
            key = event.source, event.fingerprint
            before = seen.get(key)
            if before is not None:
                seen[key] = replace(before, cleared_at=None, times=before.times + 1)
            else:
                seen[key] = AlertSeen(event.name, event.source, event.service, entry.at, None, 1, event.url)
        elif isinstance(event, e.AlertCleared) and (event.source, event.fingerprint) in seen:
            key = event.source, event.fingerprint
            seen[key] = replace(seen[key], cleared_at=entry.at)
    return tuple(seen.values())


def made(entries: list[Entry]) -> tuple[Change, ...]:
    """Every requested change as it stands, by number."""
    actions = changes(entries)
    back = taken_back(actions)
    return tuple(_change(number, action, number in back) for number, action in sorted(actions.items()))


def _change(number: int, action: Action, undone: bool) -> Change:
    service = action.plan.get("service")
    return Change(
        number=number,
        summary=change_text(action.plan),
        line=str(action.plan.get("line") or "").lstrip("/! "),
        service=None if service is None else str(service),
        asked_by=action.requester,
        asked_at=action.asked_at,
        approved_by=action.voters or action.approvals,
        state=action.state,
        started_at=action.started_at,
        ended_at=action.ended_at,
        text=action.text,
        undo_of=undoes(action),
        undone=undone,
        why=action.why,
    )


def items(entries: list[Entry]) -> tuple[Item, ...]:
    """The action items, done or not."""
    items: dict[int, Item] = {}
    for entry in entries:
        event = entry.event
        if isinstance(event, e.ActionItemAdded):
            items[event.item] = Item(event.item, event.text, event.owner, event.due, None, None)
        elif isinstance(event, e.ActionItemDone) and event.item in items:
            items[event.item] = replace(items[event.item], done_at=entry.at, done_by=event.actor)
    return tuple(items.values())


def participants(entries: list[Entry], people: tuple[str, ...]) -> tuple[Participant, ...]:
    """Everybody who took part, with the roles that they had."""
    roles: dict[str, dict[str, None]] = {person: {} for person in people}
    for entry in entries:
        event = entry.event
        if isinstance(event, e.RoleTaken):
            roles.setdefault(event.person, {})[event.role] = None
        elif isinstance(event, e.Acknowledged) and event.actor in roles:
            roles[event.actor]["owner"] = None
        elif isinstance(event, e.HandedOver):
            roles.setdefault(event.person, {})["owner"] = None
    return tuple(Participant(person, tuple(held)) for person, held in roles.items())


def runbook_updates(changed: tuple[Change, ...]) -> tuple[RunbookUpdate, ...]:
    """What the finished and failed changes teach; of the same line the last outcome counts."""
    updates: dict[str, RunbookUpdate] = {}
    for change in changed:
        if not change.line or change.undo_of is not None or change.state not in ("done", "failed"):
            continue
        outcome = "failed" if change.state == "failed" else "undone" if change.undone else "helped"
        updates[change.line] = RunbookUpdate(change.line, change.service, change.number, outcome)
    return tuple(updates.values())
