"""What a read gives back, laid out for a phone: tables at most 60 characters wide, long output as a file."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from bot.chat import Upload
from commands.actions import Answer, Table

WIDEST = 60
MOST_LINES, MOST_CHARACTERS = 15, 1500
_GAP = "  "
_MATTERS = re.compile(
    r"error|fatal|panic|exception|critical|fail|timed? ?out|oom|refused|unreachable|crash|warn|←|✗|❌",
    re.IGNORECASE,
)


def laid_out(answer: Answer) -> tuple[dict[str, Any], Upload | None]:
    """The data of the template `answer`, and the file where the answer is too long to be read in a chat."""
    table = table_lines(answer.table) if answer.table is not None else []
    text = answer.text.strip("\n").splitlines() if answer.text.strip() else []
    body = [*table, *text]
    lines = list(answer.lines)
    links = [{"label": label, "url": url} for label, url in answer.links.items()]
    long = (
        len(body) + len(lines) > MOST_LINES
        or sum(len(line) + 1 for line in [*body, *lines]) > MOST_CHARACTERS
    )
    upload, more = None, 0
    if long:
        upload = _file(answer, [*lines, *body])
        more = len(body) + len(lines)
        shown = _that_matter(answer, table, [*lines, *text])
        body, lines = ([], shown) if not table else (shown, [])
    data = {
        "headline": answer.headline,
        "lines": [_one(line) for line in lines],
        "block": "\n".join(body),
        "links": links,
        "file": upload.name if upload else "",
        "total": more,
    }
    return data, upload


def _file(answer: Answer, lines: Sequence[str]) -> Upload:
    name = re.sub(r"[^\w.-]+", "-", answer.file_name).strip("-.") or "output.txt"
    wide = table_lines(answer.table, widest=None) if answer.table is not None else []
    rest = [line for line in lines if answer.table is None or line not in set(table_lines(answer.table))]
    whole = "\n".join([answer.headline, "", *wide, *rest])
    return Upload(name, whole.encode("utf-8", "replace") + b"\n")


def _that_matter(answer: Answer, table: Sequence[str], lines: Sequence[str]) -> list[str]:
    """Three: a table's rows with a remark, lines that tell of trouble; else the first, or the last."""
    if table:
        heads, rows = table[:1], table[1:]
        chosen = [row for row in rows if _MATTERS.search(row)] or list(rows)
        return [*heads, *(_cut(row, WIDEST) for row in chosen[:3])]
    chosen = [line for line in lines if _MATTERS.search(line)][-3:]
    return [_cut(line, 200) for line in chosen or [line for line in lines if line.strip()][-3:]]


def _one(line: str) -> str:
    return " ".join(line.split()) if "\n" in line else line


# -- tables ---------------------------------------------------------------------------------------


def table_lines(table: Table, widest: int | None = WIDEST) -> list[str]:
    """The head and the rows, aligned; the widest columns give way where it would be too wide."""
    rows = [[_cell(cell) for cell in row] for row in [table.columns, *table.rows]]
    count = len(table.columns)
    rows = [(row + [""] * count)[:count] for row in rows]
    widths = [max(_width(row[i]) for row in rows) for i in range(count)]
    _shrink(widths, table.right, widest)
    found = []
    for index, row in enumerate(rows):
        cells = [_fit(cell, widths[i], right=i in table.right, front=i == 0) for i, cell in enumerate(row)]
        line = _GAP.join(cells)
        found.append(line.rstrip())
        remark = table.remarks[index - 1] if 0 < index <= len(table.remarks) else ""
        if remark:
            found[-1:] = _remarked(line, _cell(remark), widest)
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
        wide = [i for i in range(len(widths)) if i not in right and widths[i] > 4]
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
