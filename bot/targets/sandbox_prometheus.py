"""The simulated Prometheus: it knows the metrics of the runbooks, and enough PromQL for their queries."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bot.targets.sandbox_changes import SandboxTarget
from bot.targets.sandbox_metrics import METRICS, Sample
from commands.actions import Answer, Table
from commands.values import duration
from incidents.ports import RefusedError
from incidents.wording import span

_FUNCTIONS = {"rate", "irate", "increase", "histogram_quantile", "topk", "by"}
_FOLDS: Mapping[str, Callable[[list[float]], float]] = {
    "sum": sum,
    "avg": lambda values: sum(values) / len(values),
    "max": max,
    "min": min,
    "count": lambda values: float(len(values)),
}
_WORD = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_MATCHERS = re.compile(r"\{([^{}]*)\}")
_MATCHER = re.compile(r"\s*([a-z_]+)\s*=\s*\"([^\"]*)\"\s*")
_WINDOW = re.compile(r"\[([0-9a-z]+)\]")
_BY = re.compile(r"\bby\s*\(([^()]*)\)")
_TIMES = re.compile(r"\*\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*$")
_NUMBER = re.compile(r"(?<![A-Za-z0-9_:.])[0-9]{1,9}(?:\.[0-9]{1,9})?(?![A-Za-z0-9_])")
_POINTS = 24  # values of a range
_BARS = "▁▂▃▄▅▆▇█"
_WIDE = 12  # columns of a trend
_ROWS = 20  # series shown


class SandboxPrometheus(SandboxTarget):
    """Instant values and ranges of the metrics that the sandbox knows."""

    name = "prometheus"
    speaks = "Prometheus"

    def answered(self, verb: str, args: Mapping[str, Any]) -> Answer:
        """`query`: an expression now, or over so many seconds until now."""
        if verb != "query":
            raise RefusedError(f"Prometheus knows no {verb}.")
        query = _read(str(args["expression"]))
        title = args.get("name") or query.metric
        now, over = self.world.now(), args.get("over")
        if over is None:
            return self._instant(title, query, now)
        return self._range(title, query, now, int(over))

    def trouble(self, args: Mapping[str, Any]) -> str:
        """Prometheus of the sandbox is always well."""
        return ""

    def _instant(self, title: str, query: _Query, now: int) -> Answer:
        series = self._evaluate(query, now)
        rows = tuple((_labels(labels), _figure(value)) for labels, value in series[:_ROWS])
        if len(series) == 1 and not series[0][0]:
            return Answer(f"{title} · {_figure(series[0][1])} now", figures=(series[0][1],))
        more = f", the first {_ROWS}" if len(series) > _ROWS else ""
        shown = Table(("SERIES", "VALUE"), rows, (1,))
        values = tuple(value for _, value in series)
        return Answer(f"{title} · {len(series)} series now{more}", table=shown, figures=values)

    def _range(self, title: str, query: _Query, now: int, over: int) -> Answer:
        found: dict[tuple[tuple[str, str], ...], list[float]] = defaultdict(list)
        for point in range(_POINTS, -1, -1):
            for labels, value in self._evaluate(query, now - point * over * 1000 // _POINTS):
                found[labels].append(value)
        rows = tuple(
            (
                _labels(labels) or title,
                _figure(min(values)),
                _figure(sum(values) / len(values)),
                _figure(max(values)),
                _figure(values[-1]),
                _trend(values),
            )
            for labels, values in list(found.items())[:_ROWS]
        )
        columns = ("SERIES", "LEAST", "MEAN", "MOST", "LAST", "TREND")
        return Answer(f"{title} · the last {span(over)}", table=Table(columns, rows, (1, 2, 3, 4)))

    def _evaluate(self, query: _Query, at: int) -> list[tuple[tuple[tuple[str, str], ...], float]]:
        groups: dict[tuple[tuple[str, str], ...], list[float]] = defaultdict(list)
        for sample in METRICS[query.metric].samples(self.world, at):
            if any(sample.labels.get(key) != value for key, value in query.matching):
                continue
            kept = sample.labels if query.fold is None else {k: sample.labels.get(k, "") for k in query.by}
            groups[tuple(sorted(kept.items()))].append(query.value(sample, at))
        fold = _FOLDS[query.fold or "sum"]
        if query.quantile is not None:
            fold = _FOLDS["avg"]
        values = [(labels, fold(each) * query.times) for labels, each in groups.items()]
        values.sort(key=lambda pair: -pair[1] if query.top else 0.0)
        return values[: query.top] if query.top else values


@dataclass(frozen=True, slots=True)
class _Query:
    metric: str
    matching: tuple[tuple[str, str], ...]
    fold: str | None
    by: tuple[str, ...]
    function: str | None
    window: int
    quantile: float | None
    top: int
    times: float

    def value(self, sample: Sample, at: int) -> float:
        if self.quantile is not None:
            return sample.value * (0.35 + self.quantile**8)
        if not METRICS[self.metric].counter:
            return sample.value
        if self.function == "increase":
            return sample.value * self.window
        return sample.value if self.function else sample.value * (at / 1000 % 10_000_000)


def _read(expression: str) -> _Query:
    """What the sandbox understands of an expression; RefusedError naming what it knows."""
    windows = _WINDOW.findall(expression)
    matching = tuple(_matchers(expression))
    plain = _WINDOW.sub("", _MATCHERS.sub("", expression))
    times = _TIMES.search(plain)
    plain = _TIMES.sub("", plain)
    by = _BY.search(plain)
    words = _WORD.findall(_BY.sub("", plain))
    numbers = _NUMBER.findall(_BY.sub("", plain))
    metrics = [found for word in words if (found := _metric(word)) is not None]
    unknown = [w for w in words if w not in _FUNCTIONS and w not in _FOLDS and _metric(w) is None]
    odd = re.sub(r"[\s(),]", "", _NUMBER.sub("", _WORD.sub("", plain)))
    balanced = plain.count("(") == plain.count(")")
    wants_number = ("histogram_quantile" in words) + ("topk" in words)
    if unknown or odd or len(metrics) != 1 or len(numbers) != wants_number or not balanced:
        raise RefusedError(
            f"The sandbox's Prometheus does not understand that; it knows {', '.join(sorted(METRICS))}, "
            "with rate, sum by, topk and histogram_quantile."
        )
    fold = next((word for word in words if word in _FOLDS), None)
    function = next((word for word in words if word in ("rate", "irate", "increase")), None)
    quantile = float(numbers[-1]) if "histogram_quantile" in words else None
    labels = tuple(
        label for each in (by[1].split(",") if by else ()) if (label := each.strip()) not in ("", "le")
    )
    return _Query(
        metric=metrics[0],
        matching=matching,
        fold=fold,
        by=labels,
        function=function,
        window=duration(windows[0], "a range") if windows else 300,
        quantile=quantile,
        top=int(float(numbers[0])) if "topk" in words else 0,
        times=float(times[1]) if times else 1.0,
    )


def _metric(word: str) -> str | None:
    for name in (word, word.removesuffix("_bucket")):
        if name in METRICS:
            return name
    return None


def _matchers(expression: str) -> Iterator[tuple[str, str]]:
    for inside in _MATCHERS.findall(expression):
        for each in filter(None, (part.strip() for part in inside.split(","))):
            found = _MATCHER.fullmatch(each)
            if found is None:
                raise RefusedError(f'The sandbox\'s Prometheus reads label="value" only, not {each[:40]}.')
            yield found[1], found[2]


def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    return " ".join(value for _, value in labels)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:.3g}"


def _trend(values: list[float]) -> str:
    step = max(1, len(values) // _WIDE)
    picked = values[::step][-_WIDE:]
    low, high = min(picked), max(picked)
    return "".join(_BARS[int((v - low) / (high - low) * 7) if high > low else 0] for v in picked)
