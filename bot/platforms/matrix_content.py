"""Content as the content of Matrix events: text with its plain form, buttons as numbered reactions, relations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.chat import Button, Content
from bot.platforms.matrix_text import as_markup, formatted, plain

MARK = "org.watchbell"  # {"key", "card"} of a message of the bot's
BUTTONS = "org.watchbell.buttons"  # what can be tapped: label, value, style, emoji
RETIRED = "org.watchbell.retired"  # what could be tapped before an edit, so that a late tap is what it was
ABOUT = "org.watchbell.about"  # of a direct message: the room and thread that its buttons are for
# At most 65,536 bytes an event ("Size limits"), of which encryption takes a quarter and signatures some more.
LARGEST = 40_000
SHORT = 2_000  # characters that are shown of what is longer
FALLBACK = 300  # characters of an edit for clients that show no edits
MOST = 5  # buttons that are tapped; further ones are typed
WHOLE = "message.txt"

_VARIATION = "\ufe0f"
EMOJI = tuple(f"{number}{_VARIATION}\u20e3" for number in range(1, 10))


@dataclass(frozen=True, slots=True)
class Tap:
    """A button and the reaction that presses it; no emoji: it is typed only."""

    label: str
    value: str
    style: str = ""
    emoji: str = ""

    def data(self) -> dict[str, str]:
        """As it stands in the event."""
        return {"label": self.label, "value": self.value, "style": self.style, "emoji": self.emoji}


@dataclass(frozen=True, slots=True)
class Taps:
    """The buttons of a message now, and those that it had before."""

    shown: tuple[Tap, ...] = ()
    retired: tuple[Tap, ...] = ()

    def pressed(self, emoji: str) -> Tap | None:
        """What this reaction presses, a button that is gone included: the house says what has become of it."""
        wanted = folded(emoji)
        return next((tap for tap in (*self.shown, *self.retired) if folded(tap.emoji) == wanted), None)

    @property
    def seeds(self) -> tuple[str, ...]:
        """The reactions that the bot puts under the message."""
        return tuple(tap.emoji for tap in self.shown if tap.emoji)


@dataclass(frozen=True, slots=True)
class Shown:
    """The content of an event; `whole` is all of the text, as a file, where it is too long for one."""

    content: dict[str, Any]
    taps: Taps
    whole: bytes | None = None


def folded(emoji: str) -> str:
    """A reaction without the character that asks for its coloured form."""
    return emoji.replace(_VARIATION, "")


def is_tap(emoji: str) -> bool:
    """Whether a reaction may be a button's."""
    return folded(emoji) in {folded(known) for known in EMOJI}


def numbered(buttons: Sequence[Button], before: Taps) -> Taps:
    """Reactions for buttons: one that stays keeps its number, and a new one gets a number that no other one had.

    So a tap on what somebody still sees is never taken for what an edit has put in its place.
    """
    old = {tap.value: tap for tap in (*before.retired, *before.shown) if tap.emoji}
    taken = {tap.emoji for tap in old.values()}
    free = iter([emoji for emoji in EMOJI if emoji not in taken])
    shown = []
    for place, button in enumerate(buttons):
        known = old.pop(button.value, None)
        emoji = known.emoji if known else next(free, "") if place < MOST else ""
        shown.append(Tap(button.label, button.value, button.style, emoji))
    return Taps(tuple(shown), tuple(old.values()))


def taps_of(content: Mapping[str, Any]) -> Taps:
    """The buttons that stand in an event's content; nothing for what is malformed."""
    return Taps(tuple(_taps(content.get(BUTTONS))), tuple(_taps(content.get(RETIRED))))


def _taps(found: object) -> Iterable[Tap]:
    for entry in found if isinstance(found, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("value"), str):
            told = {name: str(entry.get(name) or "") for name in ("label", "value", "style", "emoji")}
            yield Tap(**told)


def shown(
    content: Content,
    *,
    key: str | None = None,
    mentioned: Sequence[str] = (),
    before: Taps = Taps(),
    head: str = "",
    loud: bool = False,
) -> Shown:
    """The content of a message: what pages somebody, or is `loud`, is m.text, the rest m.notice, which makes no noise.

    `mentioned` are user ids; `head` is a line of ours in front of it.
    """
    taps = numbered(content.buttons, before)
    body = content.plain if content.plain != content.text else plain(content.text)
    rows = [part for part in (head, body, _told(taps)) if part]
    marked = [part for part in (as_markup(head), content.text, _marked(taps)) if part]
    kind = "m.text" if loud or mentioned else "m.notice"
    found = _message(kind, "\n".join(rows), formatted("\n".join(marked)), content, key, mentioned, taps)
    if size(found) <= LARGEST:
        return Shown(found, taps)
    rows[1 if head else 0] = f"{body[:SHORT].rstrip()}…"
    cut = _message(kind, "\n".join(rows), "", content, key, mentioned, taps)
    return Shown(cut, taps, body.encode())


def size(content: Mapping[str, Any]) -> int:
    """Bytes of a content as it is sent."""
    return len(json.dumps(content, ensure_ascii=False).encode())


def related(content: dict[str, Any], root: str | None) -> dict[str, Any]:
    """The content in the thread of a root ("Threading"), a reply to it for clients without threads."""
    if root is not None:
        content["m.relates_to"] = {
            "rel_type": "m.thread",
            "event_id": root,
            "is_falling_back": True,
            "m.in_reply_to": {"event_id": root},
        }
    return content


def replacing(message_id: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """An edit ("Event replacements"); it mentions nobody anew."""
    body = str(content["body"])
    return {
        "msgtype": content["msgtype"],
        "body": f"* {body[:FALLBACK]}{'…' if len(body) > FALLBACK else ''}",
        "m.mentions": {},
        "m.new_content": dict(content),
        "m.relates_to": {"rel_type": "m.replace", "event_id": message_id},
    }


def as_file(
    content: Mapping[str, Any], name: str, mime: str, file: Mapping[str, Any], length: int
) -> dict[str, Any]:
    """A message with a file, its text as the caption ("Media captions"); `file` is url or file, as uploaded."""
    kind = "m.image" if mime.startswith("image/") else "m.file"
    told = {name: value for name, value in content.items() if name != "msgtype"}
    if not told.get("body"):
        told = {key: value for key, value in told.items() if key not in ("format", "formatted_body")}
        told["body"] = name
    info = {"mimetype": mime, "size": length}
    return {**told, "msgtype": kind, "filename": name, "info": info, **file}


def _message(
    kind: str, body: str, markup: str, content: Content, key: str | None, mentioned: Sequence[str], taps: Taps
) -> dict[str, Any]:
    mark = {"key": key, "card": content.card or ""} if key else {"card": content.card or ""}
    found: dict[str, Any] = {
        "msgtype": kind,
        "body": body,
        "m.mentions": {"user_ids": list(mentioned)} if mentioned else {},
        MARK: mark,
    }
    if markup and markup != as_markup(body):
        found |= {"format": "org.matrix.custom.html", "formatted_body": markup}
    if taps.shown:
        found[BUTTONS] = [tap.data() for tap in taps.shown]
    if taps.retired:
        found[RETIRED] = [tap.data() for tap in taps.retired]
    return found


def _typed(tap: Tap) -> str:
    """What is typed for a button: Element keeps what begins with a slash to itself."""
    return f"!{tap.value[1:]}" if tap.value.startswith("/") else tap.value


def _told(taps: Taps) -> str:
    return " · ".join(f"{tap.emoji} {tap.label} ({_typed(tap)})".strip() for tap in taps.shown)


def _marked(taps: Taps) -> str:
    return " · ".join(
        f"{tap.emoji} {as_markup(tap.label)} (<code>{as_markup(_typed(tap))}</code>)".strip()
        for tap in taps.shown
    )
