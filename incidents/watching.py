"""Watched execution: a figure measured before a change and after it, and whether it has become worse."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from incidents import events as e

LOOKS = 10  # over the window of a change
ROW = 3  # looks in a row that settle it before the end; the last so many decide at the end

GOOD, WORSE, UNMEASURED, STOPPED = "good", "worse", "unmeasured", "stopped"


@dataclass(frozen=True, slots=True)
class Watch:
    """What is followed after a change: the terms as they were when it started, and what was seen since.

    `before` is the value just before the run, None where none could be had (`why`). It is followed until `until`,
    which is set when the change has succeeded; `asked`: a look is under way.
    """

    query: str
    target: str
    label: str
    unit: str
    window: int
    better: str
    worse_by: float
    relative: bool
    before: float | None
    why: str = ""
    until: datetime | None = None
    next_at: datetime | None = None
    asked: bool = False
    recent: tuple[float | None, ...] = ()
    verdict: str = ""
    text: str = ""

    @property
    def running(self) -> bool:
        """Whether it is followed now."""
        return self.until is not None and not self.verdict

    @property
    def every(self) -> timedelta:
        """The time between two looks."""
        return timedelta(seconds=self.window) / LOOKS


# -- the fold -------------------------------------------------------------------------------------


def began(ev: e.WatchBegan) -> Watch:
    """The watch of a change that starts."""
    return Watch(
        query=ev.query,
        target=ev.target,
        label=ev.label,
        unit=ev.unit,
        window=ev.window,
        better=ev.better,
        worse_by=ev.worse_by,
        relative=ev.relative,
        before=ev.before,
        why=ev.why,
    )


def succeeded(watch: Watch | None, at: datetime) -> Watch | None:
    """The change is done: its window begins."""
    if watch is None or watch.verdict:
        return watch
    return replace(watch, until=at + timedelta(seconds=watch.window), next_at=at + watch.every)


def looked(watch: Watch, ev: e.WatchDue) -> Watch:
    """A look was asked for."""
    after = ev.due + watch.every
    further = watch.until is not None and after <= watch.until
    return replace(watch, asked=True, next_at=after if further else None)


def measured(watch: Watch, ev: e.WatchMeasured) -> Watch:
    """A look has ended."""
    return replace(watch, asked=False, recent=(*watch.recent, ev.value)[-ROW:])


def ended(watch: Watch, ev: e.WatchEnded) -> Watch:
    """It is over."""
    return replace(watch, asked=False, next_at=None, verdict=ev.verdict, text=ev.text)


# -- decisions ------------------------------------------------------------------------------------


def due(watch: Watch, now: datetime) -> e.Event:
    """What falls due at `watch.next_at`: a look; missed ones collapse into one, long after the window there is none."""
    assert watch.until is not None
    assert watch.next_at is not None
    length = timedelta(seconds=watch.window)
    if now >= watch.until + length:
        return _end(watch, UNMEASURED, now, f"{watch.label} was not looked at in time: I was away")
    passed = (min(now, watch.until) - watch.next_at) // watch.every
    return e.WatchDue(at=now, actor=e.BOT, due=watch.next_at + watch.every * passed)


def seen(watch: Watch, *, value: float | None, why: str, now: datetime) -> list[e.Event]:
    """A look's result, None where it has none (`why`), and what it settles.

    Worse in three looks in a row is enough; at the end the middle one of the last three values decides.
    """
    if watch.verdict or not watch.asked:
        return []
    look = e.WatchMeasured(at=now, actor=e.BOT, value=value, why=why)
    watch = measured(watch, look)
    known = [v for v in watch.recent if v is not None]
    last = watch.next_at is None
    if len(known) == ROW and all(is_worse(watch, v) for v in known):
        return [look, _compared(watch, median(known), now)]
    if last and known:
        return [look, _compared(watch, median(known), now)]
    if last:
        return [look, _end(watch, UNMEASURED, now, f"{watch.label} cannot be compared: {why}")]
    return [look]


def blind(watch: Watch | None, now: datetime) -> list[e.Event]:
    """The change is done, and nothing was measured before it: nothing can be compared."""
    if watch is None or watch.verdict or watch.before is not None:
        return []
    return [_end(watch, UNMEASURED, now, f"{watch.label} cannot be compared: {watch.why}")]


def stop(watch: Watch | None, why: str, now: datetime) -> list[e.Event]:
    """End it for a reason outside of it."""
    if watch is None or watch.verdict:
        return []
    return [_end(watch, STOPPED, now, f"{watch.label} is not watched any more: {why}")]


def is_worse(watch: Watch, value: float) -> bool:
    """Whether a value is worse than the one before, by more than is allowed; the limit itself is not."""
    assert watch.before is not None
    rise = value - watch.before if watch.better == "lower" else watch.before - value
    allowed = abs(watch.before) * watch.worse_by if watch.relative else watch.worse_by
    return rise > allowed and not math.isclose(rise, allowed, rel_tol=1e-9)


def _compared(watch: Watch, value: float, now: datetime) -> e.WatchEnded:
    assert watch.before is not None
    change = figures(watch.unit, watch.before, value)
    if is_worse(watch, value):
        return _end(watch, WORSE, now, f"worse than before: {watch.label} {change}", value)
    return _end(watch, GOOD, now, f"{watch.label} {change}: as good as before", value)


def _end(watch: Watch, verdict: str, now: datetime, text: str, value: float | None = None) -> e.WatchEnded:
    return e.WatchEnded(at=now, actor=e.BOT, verdict=verdict, value=value, text=text)


# -- figures --------------------------------------------------------------------------------------

_LARGE = 1e15  # from here on all digits are too many
_SCALES: Mapping[str, tuple[float, str]] = {"ratio": (100.0, "%"), "ms": (1000.0, "ms")}


def figures(unit: str, *values: float) -> str:
    """Values in their unit: `120 → 95 ms`. Seconds below one are told as ms, a `ratio` as percents."""
    small = unit == "s" and max(map(abs, values), default=0.0) < 1
    factor, sign = _SCALES["ms"] if small else _SCALES["ratio"] if unit == "ratio" else (1.0, unit)
    told = " → ".join(_number(value * factor) for value in values)
    return f"{told} {sign}".rstrip()


def _number(value: float) -> str:
    if abs(value) >= _LARGE:
        return f"{value:.3g}"
    if abs(value) >= 100 or math.isclose(value, round(value), abs_tol=1e-9):
        return f"{round(value) + 0:,d}"
    return f"{value:.3g}"


def shown(watch: Watch | None) -> dict[str, Any] | None:
    """What a card tells of it: the end's sentence, or until when it is followed; None before that."""
    if watch is None or (watch.until is None and not watch.verdict):
        return None
    before = figures(watch.unit, watch.before) if watch.before is not None else ""
    return {"text": watch.text, "label": watch.label, "before": before, "until": watch.until}
