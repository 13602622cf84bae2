"""The timeline of one incident drawn as SVG: severities, phases, and a lane for each kind of fact."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import escape
from itertools import pairwise

from incidents.report import Report
from incidents.timeline import Row
from incidents.wording import Wording, abbreviation, day, local, span

# Lanes in order: label, shape, and which kinds of rows it shows. Each shape is of one lane only, so that no
# colour has to be told from another.
LANES: tuple[tuple[str, str, frozenset[str]], ...] = (
    ("Alerts", "diamond", frozenset({"alert", "cleared"})),
    ("Pages", "circle", frozenset({"paged", "notified", "message", "repeated", "unreachable"})),
    ("Late", "triangle", frozenset({"late"})),
    ("Updates", "square", frozenset({"update", "status", "eta"})),
    ("Notes", "hexagon", frozenset({"note", "pinned"})),
)
_SHAPES = {
    "diamond": "0,-7 7,0 0,7 -7,0",
    "triangle": "0,-7 7,6 -7,6",
    "square": "-6,-6 6,-6 6,6 -6,6",
    "hexagon": "-3.5,-6 3.5,-6 7,0 3.5,6 -3.5,6 -7,0",
}
_STEPS = (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_NEAR = 16.0  # markers closer than this become one, with their number beside it
_LETTER = 6.8  # a letter of 12 px system fonts, rather too wide than too narrow
_LANE, _BAND, _GAP, _LABEL = 24.0, 22.0, 6.0, 15.0
_TOLD = 3  # how many sentences a marker of several facts quotes


@dataclass(slots=True)
class _Sheet:
    """The paper: where the time axis lies on it, what lies behind and before the grid, and how far down."""

    width: float
    left: float
    right: float
    start: datetime
    seconds: float
    wording: Wording
    y: float = 0.0
    back: list[str] = field(default_factory=list)
    front: list[str] = field(default_factory=list)

    @property
    def wide(self) -> bool:
        return self.left > 20

    def x(self, at: datetime) -> float:
        share = (at - self.start).total_seconds() / self.seconds
        return self.left + min(max(share, 0.0), 1.0) * (self.right - self.left)

    def holds(self, at: datetime) -> bool:
        return 0.0 <= (at - self.start).total_seconds() <= self.seconds

    def lane(self, label: str, height: float) -> float:
        """Begin a lane and return its middle; the label stands beside it, or above on narrow paper."""
        if self.wide:
            self.back.append(_words(self.left - 8, self.y + height / 2 + 4, label, "soft", "end"))
        else:
            self.front.append(_words(self.left, self.y + 11, label, "soft halo"))
            self.y += _LABEL
        middle = self.y + height / 2
        if height == _LANE:
            place = f'x="{self.left:g}" y="{self.y:g}" width="{self.right - self.left:g}" height="{height:g}"'
            self.back.append(f'<rect class="lane" {place} rx="3"/>')
        self.y += height + _GAP
        return middle


def timeline_svg(
    report: Report, wording: Wording, *, wide: bool = True, ident: str = "wb", style: str = ""
) -> str:
    """An SVG element, 960 or 344 px wide, to be coloured by templates/export/chart.css.

    `ident` makes its ids unique in a page; `style` is that stylesheet where the drawing stands alone.
    """
    start, end = _extent(report)
    width, left, margin = (960.0, 78.0, 14.0) if wide else (344.0, 4.0, 4.0)
    sheet = _Sheet(width, left, width - margin, start, max((end - start).total_seconds(), 60.0), wording)
    top = _date(sheet)
    _severities(sheet, report, end)
    _phases(sheet, report, end)
    for label, shape, kinds in LANES:
        _facts(sheet, report, label, shape, kinds)
    _changes(sheet, report, end)
    grid = [*_ticks(sheet, top), *_moments(sheet, report, top)]
    sheet.y += _LABEL
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="wb-chart" viewBox="0 0 {width:g} {sheet.y:g}"'
        f' role="img" aria-labelledby="{ident}-title {ident}-desc">'
        f'<title id="{ident}-title">Timeline of INC-{report.number}: {escape(report.title)}</title>'
        f'<desc id="{ident}-desc">{escape(_description(report))}</desc>'
        f"{f'<style>{style}</style>' if style else ''}{''.join([*sheet.back, *grid, *sheet.front])}</svg>\n"
    )


def _extent(report: Report) -> tuple[datetime, datetime]:
    """From the begin of the impact to the end of the last round; what comes after is review."""
    start = min([phase.start for phase in report.phases] or [report.opened_at])
    ends = [r.ended_at or report.as_of for r in report.metrics.rounds]
    return start, max([start, *ends])


# -- the grid ---------------------------------------------------------------------------------------


def _date(sheet: _Sheet) -> float:
    """The date and zone, and room for the hours; returns where the lines of the grid begin."""
    begun = local(sheet.start, sheet.wording.zone)
    sheet.back.append(_words(sheet.left, 12, f"{day(begun)}, {abbreviation(begun)}", "soft"))
    sheet.y = 40.0
    return 34.0


def _ticks(sheet: _Sheet, top: float) -> Iterator[str]:
    begun = local(sheet.start, sheet.wording.zone)
    step = _step(sheet)
    midnight = begun.hour * 3600 + begun.minute * 60 + begun.second
    offset = float(step - midnight % step if midnight % step else 0)
    while offset <= sheet.seconds:
        at = local(sheet.start.astimezone(UTC) + timedelta(seconds=offset), sheet.wording.zone)
        x = sheet.x(sheet.start + timedelta(seconds=offset))
        yield f'<line class="line" x1="{x:.1f}" y1="{top:g}" x2="{x:.1f}" y2="{sheet.y - _GAP:g}"/>'
        told = f"{at:%H:%M}" if step >= 60 else f"{at:%H:%M:%S}"
        told = day(at).rpartition(" ")[0] if step % 86400 == 0 or (told[:5] == "00:00" and offset) else told
        half = len(told) * _LETTER / 2
        yield _words(min(max(x, sheet.left + half), sheet.right - half), 29, told, "", "middle")
        offset += step


def _step(sheet: _Sheet) -> int:
    most = (sheet.right - sheet.left) / (90 if sheet.wide else 62)
    for step in _STEPS:
        if sheet.seconds / step <= most:
            return step
    days = sheet.seconds / 86400
    return 86400 * int(days / most + 1)


def _moments(sheet: _Sheet, report: Report, top: float) -> Iterator[str]:
    """A line through all lanes where a round begins, is acknowledged and ends, named where there is room."""
    taken: list[tuple[float, float]] = []
    for name, at in _named_moments(report):
        if not sheet.holds(at):
            continue
        x = sheet.x(at)
        yield f'<line class="moment" x1="{x:.1f}" y1="{top:g}" x2="{x:.1f}" y2="{sheet.y - _GAP:g}"/>'
        half = len(name) * _LETTER / 2
        middle = min(max(x, sheet.left + half), sheet.right - half)
        if all(middle + half < begun or middle - half > end for begun, end in taken):
            taken.append((middle - half, middle + half))
            yield _words(middle, sheet.y + 8, name, "soft", "middle")


def _named_moments(report: Report) -> list[tuple[str, datetime]]:
    """The more important ones first."""
    rounds = report.metrics.rounds
    found = [("resolved", r.resolved_at) for r in rounds]
    found += [("opened" if r.number == 1 else "reopened", r.started) for r in rounds]
    found += [("acknowledged", r.acknowledged_at) for r in rounds]
    return [(name, at) for name, at in found if at is not None]


# -- bands ------------------------------------------------------------------------------------------


def _severities(sheet: _Sheet, report: Report, end: datetime) -> None:
    y = sheet.lane("Severity", _BAND) - _BAND / 2
    steps = report.severities
    for step, until in zip(steps, [*(later.at for later in steps[1:]), end], strict=True):
        told = f"{step.severity} from {sheet.wording.clock(step.at, sheet.start)}"
        _band(
            sheet,
            y,
            max(step.at, report.opened_at),
            until,
            f"severity-{min(step.rank, 3)}",
            step.severity,
            told,
        )


def _phases(sheet: _Sheet, report: Report, end: datetime) -> None:
    if not report.phases:
        return
    y = sheet.lane("Phase", _BAND) - _BAND / 2
    for index, phase in enumerate(report.phases):
        until = phase.end or end
        took = span((until - phase.start).total_seconds())
        told = f"{phase.name}: {took}{'' if phase.end else ' so far'}"
        _band(sheet, y, phase.start, until, f"phase-{index % 2}", phase.name, told, took)


def _band(
    sheet: _Sheet, y: float, start: datetime, end: datetime, look: str, label: str, told: str, more: str = ""
) -> None:
    x, until = sheet.x(start), sheet.x(end)
    width = max(until - x, 2.0)
    sheet.front.append(
        f'<g><title>{escape(told)}</title><rect class="{look}" x="{x:.1f}" y="{y:g}" width="{width:.1f}"'
        f' height="{_BAND:g}" rx="3"/></g>'
    )
    for text in (f"{label} {more}".strip(), label):
        if len(text) * _LETTER + 10 <= width:
            style = "on" if look.startswith("severity") else ""
            sheet.front.append(_words(x + 6, y + _BAND / 2 + 4, text, style))
            return


# -- lanes ------------------------------------------------------------------------------------------


def _facts(sheet: _Sheet, report: Report, label: str, shape: str, kinds: frozenset[str]) -> None:
    rows = [row for row in report.rows if row.kind in kinds and sheet.holds(row.at)]
    if not rows:
        return
    middle = sheet.lane(label, _LANE)
    for group in _near(sheet, rows):
        x = min(max(sum(sheet.x(row.at) for row in group) / len(group), sheet.left + 8), sheet.right - 8)
        title = "\n".join(_told(sheet, row) for row in group[:_TOLD])
        title += f"\nand {len(group) - _TOLD} more" if len(group) > _TOLD else ""
        sheet.front.append(
            f'<g class="{label.lower()}"><title>{escape(title)}</title>{_shape(shape, x, middle)}</g>'
        )
        if len(group) > 1:
            count = f"{len(group)}×"
            side = 10 if x + 12 + len(count) * _LETTER < sheet.right else -10
            sheet.front.append(
                _words(x + side, middle + 4, count, "soft halo-lane", "start" if side > 0 else "end")
            )


def _near(sheet: _Sheet, rows: Iterable[Row]) -> list[list[Row]]:
    """Rows in groups that are drawn as one; a group with a number beside it takes more room."""
    groups: list[list[Row]] = []
    begun = 0.0
    for row in rows:
        x = sheet.x(row.at)
        room = _NEAR + (22.0 if groups and len(groups[-1]) > 1 else 0.0)
        if groups and x - begun < room:
            groups[-1].append(row)
        else:
            groups.append([row])
            begun = x
    return groups


def _shape(shape: str, x: float, y: float) -> str:
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:g}" r="6.5"/>'
    return f'<polygon points="{_SHAPES[shape]}" transform="translate({x:.1f} {y:g})"/>'


def _told(sheet: _Sheet, row: Row) -> str:
    told = f"{sheet.wording.clock(row.at, sheet.start)} {row.text}"
    return told if len(told) <= 160 else f"{told[:159]}…"


def _changes(sheet: _Sheet, report: Report, end: datetime) -> None:
    made = [c for c in report.changes if c.started_at is not None and sheet.holds(c.started_at)]
    if not made:
        return
    middle = sheet.lane("Changes", _LANE)
    starts = [sheet.x(c.started_at) for c in made if c.started_at is not None]
    for change, (x, following) in zip(made, pairwise([*starts, sheet.right]), strict=True):
        width = max(sheet.x(change.ended_at or end) - x, 6.0)
        state = "undone" if change.undone else change.state
        title = f"#{change.number} {change.summary}: {state}"
        sheet.front.append(
            f'<g class="{state}"><title>{escape(title)}</title><rect x="{x:.1f}" y="{middle - 7:g}"'
            f' width="{width:.1f}" height="14" rx="3"/></g>'
        )
        for label in (f"#{change.number} {state}", f"#{change.number}"):
            if x + width + 10 + len(label) * _LETTER <= following:
                sheet.front.append(_words(x + width + 4, middle + 4, label, "halo-lane"))
                break


def _words(x: float, y: float, text: str, look: str = "", anchor: str = "") -> str:
    style = (f' class="{look}"' if look else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{x:.1f}" y="{y:g}"{style}>{escape(text)}</text>'


def _description(report: Report) -> str:
    """The drawing in words."""
    parts = [
        f"{p.name} {span(p.seconds)}" if p.seconds is not None else f"{p.name} goes on" for p in report.phases
    ]
    for label, _, kinds in LANES:
        count = sum(row.kind in kinds for row in report.rows)
        parts += [f"{label.lower()} {count}"] if count else []
    run = sum(change.started_at is not None for change in report.changes)
    parts += [f"changes {run}"] if run else []
    return f"Severity {', then '.join(step.severity for step in report.severities)}; {'; '.join(parts)}."
