"""What Prometheus answers, as tables that fit a phone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from commands.actions import Answer, Table, TargetError
from incidents.wording import span

_ROWS = 100  # series shown
_LABEL = 200  # characters of one label's value
_BARS = "▁▂▃▄▅▆▇█"
_WIDE = 12  # columns of a trend


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its labels, and its values as (seconds since 1970, value), in order."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]

    @property
    def last(self) -> float:
        """The newest value."""
        return self.points[-1][1]


def series(data: Mapping[str, Any], redact: Callable[[str], str]) -> tuple[str, list[Series]]:
    """The kind of result (vector, scalar, matrix) and its series; TargetError where it is something else.

    `redact` takes secrets out of what is cut.
    """
    kind, result = str(data.get("resultType")), data.get("result")
    try:
        if kind == "scalar":
            return kind, [Series({}, (_point(result),))]
        if kind in ("vector", "matrix") and isinstance(result, list):
            return kind, [s for each in result if (s := _one(each, redact)).points]
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise TargetError("Prometheus sent figures that nobody understands.") from error
    raise TargetError(f"Prometheus answers with {redact(kind)[:20]}, which I cannot show; ask for figures.")


def _one(each: Any, redact: Callable[[str], str]) -> Series:
    """Histograms without a plain value have no points."""
    labels = {_cut(str(k), redact): _cut(str(v), redact) for k, v in each["metric"].items()}
    plain = each.get("values") or ([each["value"]] if "value" in each else [])
    return Series(labels, tuple(map(_point, plain)))


def _cut(text: str, redact: Callable[[str], str]) -> str:
    """Redacted before it is cut: half of a secret passes for text."""
    return text if len(text) <= _LABEL else redact(text)[:_LABEL]


def _point(pair: Any) -> tuple[float, float]:
    at, value = pair
    return float(at), float(value)


def instant(title: str, kind: str, found: list[Series]) -> Answer:
    """The values now; a matrix (`metric[5m]`) shows the newest of each."""
    if not found:
        return Answer(f"{title} · no series", lines=("Nothing has such a name, or such labels, now.",))
    if len(found) == 1:
        of = named(found)[0]
        lines = (of,) if of and of != title else ()
        return Answer(f"{title} · {figure(found[0].last)} now", lines=lines, figures=(found[0].last,))
    rows = tuple((name, figure(s.last)) for name, s in zip(named(found), found, strict=True))[:_ROWS]
    values = tuple(s.last for s in found)
    shown = Table(("SERIES", "VALUE"), rows, (1,))
    return Answer(f"{title} · {len(found)} series now{_first(found)}", table=shown, figures=values)


def table(title: str, found: list[Series], over: int) -> Answer:
    """Least, mean, most and last of each series over a time (seconds), and how it went."""
    heading = f"{title} · the last {span(over)}"
    if not found:
        return Answer(f"{heading} · no series")
    rows = tuple(
        (name or title, *_summary([value for _, value in s.points]))
        for name, s in zip(named(found), found, strict=True)
    )[:_ROWS]
    columns = ("SERIES", "LEAST", "MEAN", "MOST", "LAST", "TREND")
    return Answer(f"{heading}{_first(found)}", table=Table(columns, rows, (1, 2, 3, 4)))


def _first(found: list[Series]) -> str:
    return f", the first {_ROWS}" if len(found) > _ROWS else ""


def _summary(values: list[float]) -> tuple[str, ...]:
    known = [v for v in values if math.isfinite(v)]
    if not known:
        return ("–", "–", "–", figure(values[-1]), "")
    mean = sum(known) / len(known)
    return (*map(figure, (min(known), mean, max(known), values[-1])), trend(known))


def named(found: list[Series]) -> list[str]:
    """What tells the series apart: the labels that are not the same for all, else all of them."""
    every = sorted({key for s in found for key in s.labels})
    apart = [key for key in every if len({s.labels.get(key) for s in found}) > 1]
    if apart:
        return [" ".join(s.labels[key] for key in apart if key in s.labels) or "–" for s in found]
    return [" ".join(f"{k}={v}" for k, v in s.labels.items() if k != "__name__") for s in found]


def figure(value: float) -> str:
    """A number as people read it: 12,345 or 0.0123; NaN and infinities by their names."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if abs(value) >= 1e15:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def trend(values: list[float]) -> str:
    """The course of finite values in a dozen bars."""
    step = max(1, len(values) // _WIDE)
    picked = values[::step][-_WIDE:]
    low, high = min(picked), max(picked)
    wide = high - low
    return "".join(_BARS[int((v - low) / wide * 7) if 0 < wide < math.inf else 0] for v in picked)
