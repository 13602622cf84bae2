"""A chart of series over a time, as PNG (matplotlib, which the extra `charts` brings)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bot.targets.prometheus_figures import Series, named
from commands.actions import Answer

_MOST = 12  # lines that can be told apart
_STYLES = ("-", "--", ":")


def drawn(answer: Answer, title: str, found: Sequence[Series]) -> Answer:
    """The answer with a chart of its first series; without one where none has two values."""
    lines = [s for s in found[:_MOST] if len(s.points) > 1]
    return replace(answer, chart=png(title, lines)) if lines else answer


def png(title: str, found: Sequence[Series]) -> bytes:
    """The picture, 800 by 400 pixels; times are UTC. `$` starts no formula: names come from outside."""
    figure = Figure(figsize=(8, 4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, (name, s) in enumerate(zip(named(list(found)), found, strict=True)):
        times = [at / 86_400 for at, _ in s.points]  # days since 1970, as matplotlib.dates has them
        style = _STYLES[number // 10 % len(_STYLES)]
        axes.plot(times, [value for _, value in s.points], style, linewidth=1.5, label=_plain(name))
    axes.xaxis_date(tz="UTC")
    axes.grid(visible=True, alpha=0.3)
    axes.set_title(f"{_plain(title)}, UTC", loc="left", fontsize=10)
    if len(found) > 1:
        axes.legend(fontsize=8, loc="upper left")
    written = io.BytesIO()
    figure.savefig(written, format="png")
    return written.getvalue()


def _plain(name: str) -> str:
    """A label that matplotlib shows as it is: no formula, and not left out, as a leading _ would be."""
    clean = "".join(c if c.isprintable() else " " for c in name)[:60].replace("$", r"\$")
    return f" {clean}" if clean.startswith("_") else clean
