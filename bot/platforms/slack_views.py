"""Slack's forms and the App Home as Block Kit, and what people filled in as one command line.

Limits are those of api.slack.com, "Block Kit" (reference: blocks, block elements, views).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bot.chat import Content, House
from bot.platforms.slack_blocks import BUTTONS, LABEL, Block, actions, section, split
from commands.words import DASHES, QUOTES, protected

OPEN, UPDATE, RESOLVE = "wb:open", "wb:update", "wb:resolve"
ELLIPSIS = "…"

# Most characters or elements, as published.
OPTION_VALUE, OPTIONS, HINT, INPUT, HOME = 150, 100, 2_000, 3_000, 100
TITLE = 200  # more of a title than this is cut when the incident is opened

_FORMS = {"open": OPEN, "update": UPDATE, "resolve": RESOLVE}
_FAMILY = ("incident", "inc")
_BARE = re.compile(r"[\w.:/+-]+", re.ASCII)
_OPTION = re.compile(r"(?:^|\s)(?:[A-Za-z][\w-]*=|[-—–―])")  # what the grammar may read as an option

Values = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a form was asked for; it travels in the form's private_metadata. An empty channel: nowhere."""

    channel: str = ""
    thread: str | None = None
    message: str | None = None

    def written(self) -> str:
        """As private_metadata holds it."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def read(cls, metadata: str) -> Origin:
        """Back again; ValueError or TypeError where this is none of ours."""
        return cls(**json.loads(metadata))


def form_of(line: str, *prefixes: str) -> str | None:
    """The form that a line without its values asks for: `/incident open`, `/update`, `/resolve …`; else None."""
    words = line.casefold().strip().removesuffix(ELLIPSIS).lstrip("/!").split()
    if words and words[0] in prefixes:
        words = words[1:]
    if words and words[0] in _FAMILY:
        words = words[1:]
    return _FORMS.get(words[0]) if len(words) == 1 else None


def asks_for_form(value: str) -> bool:
    """Whether a button opens a form: it carries `/update`, or a line that ends with ` …`."""
    return value == "/update" or value.endswith(f" {ELLIPSIS}")


# -- forms ----------------------------------------------------------------------------------------------


def form(kind: str, house: House, origin: Origin) -> Block:
    """The view of a form, for views.open."""
    made = {
        OPEN: ("Open an incident", "Open", _open_blocks),
        UPDATE: ("Update", "Send", _update_blocks),
        RESOLVE: ("Resolve", "Resolve", _resolve_blocks),
    }
    title, submit, blocks = made[kind]
    return {
        "type": "modal",
        "callback_id": kind,
        "title": _plain(title),
        "submit": _plain(submit),
        "close": _plain("Cancel"),
        "private_metadata": origin.written(),
        "blocks": blocks(house),
    }


def _open_blocks(house: House) -> list[Block]:
    blocks = [_text("title", "What is wrong", most=TITLE, placeholder="Redis is down")]
    if severities := _choices(house.severities()):
        blocks.append(_input("severity", "Severity", {"type": "static_select", **severities}))
    if services := _choices(house.services()):
        blocks.append(_input("service", "Service", {"type": "static_select", **services}, optional=True))
    private = {"type": "checkboxes", "options": [_option("yes", "For the people in it alone")]}
    blocks.append(_input("private", "Private", private, optional=True))
    hint = "How long ago the impact began, as in 40m or 2h. The clocks start now in any case."
    blocks.append(_text("since", "Began", most=40, placeholder="40m", hint=hint, optional=True))
    return blocks


def _update_blocks(_house: House) -> list[Block]:
    eta = _text("eta", "Expected in", most=40, placeholder="30m", optional=True)
    return [_text("text", "What is new", most=INPUT, multiline=True), eta]


def _resolve_blocks(_house: House) -> list[Block]:
    return [_text("text", "What solved it", most=INPUT, multiline=True, optional=True)]


def _text(
    name: str,
    label: str,
    *,
    most: int,
    placeholder: str = "",
    hint: str = "",
    multiline: bool = False,
    optional: bool = False,
) -> Block:
    element: Block = {"type": "plain_text_input", "max_length": most, "multiline": multiline}
    if placeholder:
        element["placeholder"] = _plain(placeholder)
    found = _input(name, label, element, optional=optional)
    return found | {"hint": _plain(hint, HINT)} if hint else found


def _input(name: str, label: str, element: Block, *, optional: bool = False) -> Block:
    return {
        "type": "input",
        "block_id": name,
        "label": _plain(label),
        "element": {"action_id": name, **element},
        "optional": optional,
    }


def _choices(values: Sequence[str]) -> Block:
    """Options, in groups where there are more than 100; nothing where there is nothing to choose."""
    offered = [value for value in dict.fromkeys(values) if 0 < len(value) <= OPTION_VALUE]
    options = [_option(value, value) for value in offered]
    if len(options) <= OPTIONS:
        return {"options": options} if options else {}
    parts = [options[at : at + OPTIONS] for at in range(0, len(options), OPTIONS)][:OPTIONS]
    return {"option_groups": [{"label": _plain(_span(part)), "options": part} for part in parts]}


def _span(options: list[Block]) -> str:
    first, last = options[0]["value"], options[-1]["value"]
    return f"{first[:35]} – {last[:35]}"


def _option(value: str, label: str) -> Block:
    return {"text": _plain(label), "value": value}


def _plain(text: str, most: int = LABEL) -> Block:
    cut = text if len(text) <= most else text[: most - 1] + ELLIPSIS
    return {"type": "plain_text", "text": cut, "emoji": False}


# -- what was filled in ---------------------------------------------------------------------------------


def values_of(view: Mapping[str, Any]) -> dict[str, str]:
    """What was filled in, by the names of the fields; fields left empty are left out."""
    found: dict[str, str] = {}
    for name, elements in view["state"]["values"].items():
        for element in elements.values():
            if value := _value(element).strip():
                found[name] = value
    return found


def _value(element: Mapping[str, Any]) -> str:
    if element["type"] == "static_select":
        return str((element.get("selected_option") or {}).get("value") or "")
    if element["type"] == "checkboxes":
        return "yes" if element.get("selected_options") else ""
    return element.get("value") or ""


def line(kind: str, values: Values) -> str:
    """The command line that a filled-in form is."""
    return "".join(part for _, part in _parts(kind, values))


def faults(kind: str, values: Values, refusal: Callable[[str], str | None]) -> dict[str, str]:
    """The field that makes the line unreadable, with the sentence that says why; nothing where it is readable.

    The line is read as far as each field in turn, so the first refusal is the doing of that field.
    """
    written = ""
    for name, part in _parts(kind, values):
        written += part
        if name and (sentence := refusal(written)):
            return {name: sentence}
    return {}


def _parts(kind: str, values: Values) -> Iterator[tuple[str, str]]:
    """The pieces of the line and the fields that they come from; without a field: not readable by itself."""
    if kind == OPEN:
        yield "", f"/incident open {_word(values.get('severity', ''))} "
        yield "title", _quoted(" ".join(values.get("title", "").split()))
        yield from _options(values, "service", "since")
        if values.get("private"):
            yield "private", " --private"
    elif kind == UPDATE:
        yield "", "/update "
        yield "text", _quoted(values.get("text", ""))
        yield from _options(values, "eta")
    else:  # its text is taken as it stands, to the end of the line
        yield "text", f"/resolve {values.get('text', '')}".rstrip()


def _options(values: Values, *names: str) -> Iterator[tuple[str, str]]:
    for name in names:
        if value := values.get(name):
            yield name, f" {name}={_word(value)}"


def _word(value: str) -> str:
    """A value as one word of the line."""
    return value if _BARE.fullmatch(value) else _quoted(" ".join(value.split()))


def _quoted(text: str) -> str:
    """The text so that no word of it is read as an option."""
    held = protected(text)
    if held != text or not text:
        return held
    # It holds both kinds of quotation marks, as in: it's "up". Without marks it can be read as it stands,
    # unless something in it looks like an option; then one kind gives way.
    if text[0] not in QUOTES + DASHES and not _OPTION.search(text):
        return text
    return '"' + "".join("'" if c in QUOTES else c for c in text) + '"'


# -- App Home -------------------------------------------------------------------------------------------


def home(sections: Sequence[Content]) -> Block:
    """The App Home, for views.publish; what goes beyond 100 blocks is left out and said so."""
    blocks: list[Block] = []
    for content in sections:
        buttons = content.buttons
        rows = [actions(buttons[at : at + BUTTONS], at) for at in range(0, len(buttons), BUTTONS)]
        made = [*map(section, split(content.text)), *rows]
        blocks += [{"type": "divider"}, *made] if blocks else made
    if len(blocks) > HOME:
        more = "There is more than Slack shows here; `/incident list` shows the rest."
        blocks = [*blocks[: HOME - 1], section(more)]
    return {"type": "home", "blocks": blocks or [section("Nothing waits for you.")]}


def barred_home(why: str) -> Block:
    """The App Home of an account that may do nothing."""
    return {"type": "home", "blocks": [section(f"You are {why} here, so there is nothing to show.")]}
