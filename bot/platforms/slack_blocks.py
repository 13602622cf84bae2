"""`Content` as Block Kit: sections split where Slack's limits are, buttons, and what to do where it is too long.

The limits are those of the pages "Block Kit" (section, actions, button), "Truncating really long messages" and
chat.postMessage.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bot.chat import Button, Content, DeliveryError
from bot.platforms.slack_text import escaped

SECTION = 3_000  # characters in the text of a section
BLOCKS = 50
ALL_TEXT = 12_000  # characters in all blocks of a message
FALLBACK = 3_000  # characters of the text for notifications
SHORTENED = 2_000  # characters shown of what is longer than a message can be
BUTTONS, ALL_BUTTONS = 25, 100  # in a block, and in a message
LABEL, VALUE, BLOCK_ID = 75, 2_000, 255
WHOLE = "message.txt"  # the name of the file that has the rest

_FENCE = "```"
_NOTHING = "–"
# What must not be cut in two: a fence, a mention, date or link, an entity.
_ATOM = re.compile(r"```|<[^<>\n]*>|&(?:amp|lt|gt);|.", re.DOTALL)

Block = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shown:
    """A message as Slack takes it; `whole` is the complete text where only its beginning is shown."""

    text: str
    blocks: list[Block]
    whole: bytes | None = None


def shown(content: Content, key: str = "", *, short: bool = False) -> Shown:
    """The blocks and the text for notifications; the first block bears the key, so that it can be found again.

    `short` shows the beginning only, where there is more: for when Slack finds the whole too long after all.
    """
    if len(content.buttons) > ALL_BUTTONS:
        raise DeliveryError(f"a message in Slack has room for {ALL_BUTTONS} buttons")
    sections, whole = split(content.text), None
    rows = [actions(content.buttons[at : at + BUTTONS], at) for at in range(0, len(content.buttons), BUTTONS)]
    labels = sum(min(size(button.label), LABEL) for button in content.buttons)
    most = SHORTENED if short else ALL_TEXT
    if sum(map(size, sections)) + labels > most or len(sections) + len(rows) > BLOCKS:
        sections, whole = [shortened(content.text)], content.plain.encode("utf-8", "replace")
    blocks = [section(part) for part in sections] + rows or [section(_NOTHING)]
    if key:
        blocks[0]["block_id"] = key[:BLOCK_ID]
    return Shown(fallback(content.plain), blocks, whole)


def section(text: str) -> Block:
    """A section; `verbatim` keeps Slack from making links of what only looks like one."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def actions(buttons: Sequence[Button], first: int = 0) -> Block:
    """A row of buttons, at most 25; `first` is the number of the first one in its message."""
    return {"type": "actions", "elements": [_button(b, first + at) for at, b in enumerate(buttons)]}


def _button(button: Button, number: int) -> Block:
    if size(button.value) > VALUE:
        raise DeliveryError(f"the button {button.label} carries more than {VALUE} characters")
    label = button.label if size(button.label) <= LABEL else f"{first(button.label, LABEL - 1)}…"
    found: Block = {
        "type": "button",
        "action_id": f"wb:{number}",
        "text": {"type": "plain_text", "text": label.strip() or _NOTHING, "emoji": False},
        "value": button.value,
    }
    if button.style in ("primary", "danger"):
        found["style"] = button.style
    return found


def fallback(plain: str) -> str:
    """The text for notifications and for programs that read aloud."""
    told = escaped(plain) if plain.strip() else _NOTHING
    return told if size(told) <= FALLBACK else f"{first(told, FALLBACK - 1)}…"


def shortened(text: str) -> str:
    """The beginning of a text that is too long, with its fence closed."""
    parts = split(text, SHORTENED - 2)
    return f"{parts[0]}\n…" if parts else "…"


def split(text: str, most: int = SECTION) -> list[str]:
    """The text in parts of at most `most` characters, at line ends where there are any.

    Within a block of fixed width the fence is closed at the end of a part and opened again in the next.
    """
    room = most - len(_FENCE) - 1  # for the fence that is closed
    parts: list[str] = []
    part, fenced = "", False
    for piece in _pieces(text, room - len(_FENCE) - 1):
        closes = fenced and piece.rstrip("\n") == _FENCE
        if part and size(part) + size(piece) > room and not closes:
            parts.append(_closed(part, fenced))
            part = f"{_FENCE}\n" if fenced else ""
        part += piece
        fenced ^= piece.count(_FENCE) % 2 == 1
    parts.append(_closed(part, fenced))
    return [part for part in parts if part.strip()]


def _closed(part: str, fenced: bool) -> str:
    part = part.strip("\n")
    if not fenced:
        return part
    if part.endswith(_FENCE):  # it was opened last of all, and is opened again in the next part
        return part.removesuffix(_FENCE).rstrip("\n")
    return f"{part}\n{_FENCE}"


def _pieces(text: str, most: int) -> Iterator[str]:
    """The lines with their ends; one that is longer than `most` characters in several pieces."""
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        if size(line) <= most:
            yield line
            continue
        rest = line
        while rest:
            piece = first(rest, most)
            yield piece
            rest = rest[len(piece) :]


def first(text: str, most: int) -> str:
    """The beginning of a text, at most so many characters; nothing that belongs together is cut in two."""
    end = room = 0
    for atom in _ATOM.finditer(text):
        room += size(atom[0])
        if room > most:
            break
        end = atom.end()
    return text[:end] if end else _characters(text, most)


def _characters(text: str, most: int) -> str:
    end = room = 0
    while end < len(text) and (room := room + size(text[end])) <= most:
        end += 1
    return text[: max(end, 1)]


def size(text: str) -> int:
    """Characters as JavaScript counts them, two for most emoji: Slack does not say how it counts."""
    return len(text) if text.isascii() else len(text) + sum(c > "\uffff" for c in text)
