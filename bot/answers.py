"""What a read gives back, laid out for a phone: tables at most 60 characters wide, long output as a file."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from bot.chat import Upload
from commands.actions import Answer, Table

WIDEST = 60
MOST_LINES, MOST_CHARACTERS = 15, 1500
_LOOKED = 2000  # characters of a line in which words that tell of trouble are looked for
_GAP = "  "
_MATTERS = re.compile(
    r"error|fatal|panic|exception|critical|fail|timed? ?out|oom|refused|unreachable|crash|warn|←|✗|❌",
    re.IGNORECASE,
)


def laid_out(answer: Answer) -> tuple[dict[str, Any], Upload | None]:
    """The data of the template `answer`, and the file where the answer is too long to be read in a chat."""
    rows = _rows(answer.table, WIDEST) if answer.table is not None else []
    text = answer.text.strip("\n").splitlines() if answer.text.strip() else []
    body, lines = [*(line for row in rows for line in row), *text], [_one(line) for line in answer.lines]
    total, size = len(body) + len(lines), sum(len(line) + 1 for line in [*body, *lines])
    data: dict[str, Any] = {
        "headline": answer.headline,
        "links": [{"label": label, "url": url} for label, url in answer.links.items()],
        "file": "",
        "total": total,
    }
    if total <= MOST_LINES and size <= MOST_CHARACTERS:
        chart = Upload("chart.png", answer.chart, "image/png") if answer.chart else None
        return {**data, "lines": lines, "block": "\n".join(body)}, chart
    upload = _file(answer)
    if rows:
        body, lines = _rows_that_matter(rows), []
    else:
        body, lines = _lines_that_matter([*lines, *text]), []
    return {**data, "lines": lines, "block": "\n".join(body), "file": upload.name}, upload


def _file(answer: Answer) -> Upload:
    name = re.sub(r"[^\w.-]+", "-", answer.file_name).strip("-.") or "output.txt"
    wide = table_lines(answer.table, widest=None) if answer.table is not None else []
    parts = [
        answer.headline,
        "",
        *wide,
        *answer.lines,
        *([answer.text.strip("\n")] if answer.text.strip() else []),
    ]
    return Upload(name, "\n".join(parts).encode("utf-8", "replace") + b"\n")


def _rows_that_matter(rows: Sequence[list[str]]) -> list[str]:
    """The head and three rows: those that tell of trouble, else the first."""
    chosen = [row for row in rows[1:] if _MATTERS.search("\n".join(row))] or list(rows[1:])
    return [line for row in [rows[0], *chosen[:3]] for line in row]


def _lines_that_matter(lines: Sequence[str]) -> list[str]:
    """Three lines: the last that tell of trouble, else the last."""
    chosen = [line for line in lines if _MATTERS.search(line, 0, _LOOKED)] or [
        line for line in lines if line.strip()
    ]
    return [_cut(line, 200) for line in chosen[-3:]]


def _one(line: str) -> str:
    return " ".join(line.split()) if "\n" in line else line


# -- tables ---------------------------------------------------------------------------------------


def table_lines(table: Table, widest: int | None = WIDEST) -> list[str]:
    """The head and the rows, aligned; the widest columns give way where it would be too wide."""
    return [line for row in _rows(table, widest) for line in row]


def _rows(table: Table, widest: int | None) -> list[list[str]]:
    """The lines of the head and of each row: one, and a second for a remark that has no room beside it."""
    rows = [[_cell(cell) for cell in row] for row in [table.columns, *table.rows]]
    count = len(table.columns)
    rows = [(row + [""] * count)[:count] for row in rows]
    widths = [max(_width(row[i]) for row in rows) for i in range(count)]
    _shrink(widths, table.right, widest)
    found = []
    for row, remark in zip_longest(rows, ["", *table.remarks][: len(rows)], fillvalue=""):
        cells = [_fit(cell, widths[i], right=i in table.right, front=i == 0) for i, cell in enumerate(row)]
        line = _GAP.join(cells)
        found.append(_remarked(line, _cell(remark), widest) if remark else [line.rstrip()])
    return found


def _remarked(line: str, remark: str, widest: int | None) -> list[str]:
    together = f"{line}  ← {remark}"
    if widest is None or _width(together) <= widest:
        return [together]
    return [line.rstrip(), _cut(f"  ← {remark}", widest)]


def _shrink(widths: list[int], right: Sequence[int], widest: int | None) -> None:
    if widest is None:
        return
    room = widest - len(_GAP) * (len(widths) - 1)
    while sum(widths) > room:
        # Names stand in front, and other commands are told them: the other columns give way first.
        wide = [i for i in range(1, len(widths)) if i not in right and widths[i] > 12]
        wide = wide or [i for i in range(len(widths)) if i not in right and widths[i] > 4]
        wide = wide or [i for i in range(len(widths)) if widths[i] > 1]
        if not wide:
            return
        most = max(wide, key=lambda i: widths[i])
        others = [widths[i] for i in wide if i != most]
        over = sum(widths) - room
        floor = max([*others, 4 if most not in right else 1])
        widths[most] -= max(1, min(over, widths[most] - floor))


def _fit(cell: str, width: int, *, right: bool, front: bool) -> str:
    """The cell in exactly `width` columns; names give way at the front, where they are all alike."""
    size = _width(cell)
    if size > width:
        cell = _tail(cell, width) if front and not right else _cut(cell, width)
        size = _width(cell)
    space = " " * (width - size)
    return f"{space}{cell}" if right else f"{cell}{space}"


def _cell(text: object) -> str:
    return "".join(
        c for c in " ".join(str(text).split()) if unicodedata.category(c) not in ("Cc", "Cf", "Cs")
    )


def _width(text: str) -> int:
    """Columns on a screen."""
    if text.isascii():
        return len(text)
    return sum(_columns(c) for c in text)


def _columns(c: str) -> int:
    if unicodedata.combining(c):
        return 0
    return 2 if unicodedata.east_asian_width(c) in "WF" else 1


def _cut(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    kept, size = "", 0
    for c in text:
        if size + _columns(c) > width - 1:
            break
        kept, size = kept + c, size + _columns(c)
    return f"{kept}…"


def _tail(text: str, width: int) -> str:
    return f"…{_cut(text[::-1], width)[-2::-1]}" if _width(text) > width else text
