"""How reads put times and deadlines into words, in the zone of the team."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from commands.case import Ask
from incidents import due
from incidents.due import Timer
from incidents.incident import Incident
from incidents.oncall import Roster
from incidents.policy import CLOCK_LABELS, Policy
from incidents.wording import Wording, listed, span

_OTHERS = {"repeat": "the page is repeated", "reminder": "I ask for an update", "eta": "the ETA passes"}


def wording(ask: Ask) -> Wording:
    """Times in the zone of the person asking, people by their plain names."""
    return Wording(zone=ZoneInfo(ask.zone))


def ago(ask: Ask, at: datetime) -> str:
    """02:31 CET (12 min)."""
    return f"{wording(ask).clock(at, ask.now)} ({span((ask.now - at).total_seconds())})"


def when(ask: Ask, at: datetime) -> str:
    """02:45 CET, in 14 min; or, where it has passed, 12 min ago."""
    seconds = (at - ask.now).total_seconds()
    away = f"in {span(seconds)}" if seconds >= 0 else f"{span(-seconds)} ago"
    return f"{wording(ask).clock(at, ask.now)}, {away}"


def shortened(text: str, most: int = 140) -> str:
    """The text on one line, cut after `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def next_deadline(ask: Ask, incident: Incident, policy: Policy, roster: Roster) -> str:
    """`carol (team lead) is paged at 03:00 CET, in 14 min`, or nothing where nothing will fall due."""
    timers = [t for t in due.timers(incident, policy) if t.kind != "item"]
    first = min(timers, default=None)
    if first is None:
        return ""
    return f"{_timer(first, incident, policy, roster)} at {when(ask, first.due)}"


def _timer(timer: Timer, incident: Incident, policy: Policy, roster: Roster) -> str:
    if timer.kind == "clock":
        return f"the {CLOCK_LABELS.get(timer.key, timer.key)} is due"
    if timer.kind != "step":
        return _OTHERS[timer.kind]
    severity = policy.severity(incident.severity)
    step = next(s for key, s in severity.keyed_steps() if key == timer.key) if severity else None
    if step is None or step.to == due.TEAM:
        return "the team's channel hears of it"
    page = step.do == "page"
    rung, people, _ = due.choose(incident, policy, roster, step.to, timer.due, page=page)
    verb = "paged" if page else "notified"
    if not people:
        return f"everybody has been {verb} already; nobody new is"
    label = policy.label(rung)
    return f"{listed(people)} ({label}) {'is' if len(people) == 1 else 'are'} {verb}"
