"""The parser of rehearsals: a chat script, line by line, becomes steps; nothing is looked up or run here."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path

START = datetime(2026, 1, 1, tzinfo=UTC)
CARDS = ("approval", "incident", "reminder", "runbook")
FORMS = ("md", "html", "json", "csv", "zip")
LONGEST_WAIT = timedelta(days=366)
MOST_FAULTS = 20  # so many are told of one script
VERBS = ("reacts", "unreacts", "presses", "edits", "deletes")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class ScriptError(Exception):
    """A script cannot be read; the text names file and line and says why in a sentence, a line for each fault.

    `path`, `line` and `why` are of the first fault; `more` are the others.
    """

    def __init__(self, path: str, line: int, why: str, more: Sequence[ScriptError] = ()) -> None:
        super().__init__("\n".join([f"{path}:{line}: {why}", *map(str, more)]))
        self.path, self.line, self.why = path, line, why


def all_of(faults: Sequence[ScriptError]) -> ScriptError:
    """Several faults of one script as one; of very many the first ones and how many there are."""
    first, *others = faults
    hidden = len(faults) - MOST_FAULTS
    if hidden > 0:
        rest = "There is 1 more fault" if hidden == 1 else f"There are {hidden} more faults"
        others = [
            *others[: MOST_FAULTS - 1],
            ScriptError(first.path, faults[MOST_FAULTS].line, f"{rest} from here on."),
        ]
    return ScriptError(first.path, first.line, first.why, others)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line that does something: its number, counted from 1, and its text."""

    line: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(Step):
    lasts: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Says(Step):
    """A message or command; `thread` is a text that the newest message of the thread's root holds."""

    person: str
    channel: str
    text: str
    thread: str | None = None


@dataclass(frozen=True, slots=True)
class Spot:
    """A message: the newest card of a kind, or the newest message that holds a text."""

    card: str | None = None
    text: str | None = None
    channel: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reacts(Step):
    person: str
    emoji: str
    spot: Spot
    added: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Presses(Step):
    person: str
    label: str
    spot: Spot


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits(Step):
    """The newest message of `person` that holds `old` says `new` in its place."""

    person: str
    old: str
    new: str
    channel: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletes(Step):
    person: str
    text: str
    channel: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert(Step):
    file: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox(Step):
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart(Step):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Export(Step):
    number: int
    form: str
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect(Step):
    """`text` None: anything at all (`expect nothing` is the opposite of it)."""

    text: str | None
    channel: str | None
    holds: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectReplicas(Step):
    service: str
    count: int


@dataclass(frozen=True, slots=True)
class Script:
    """A rehearsal: where it came from, where the clock starts, and what happens."""

    path: str
    start: datetime
    steps: tuple[Step, ...]


class _UnreadableError(Exception):
    """A line cannot be read; `parse` adds where."""


class _BinaryError(_UnreadableError):
    """This is no script at all; what else stands in it is not worth a word."""


def load(path: Path) -> Script:
    """The script in a file; ScriptError where there is none or it is no text."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ScriptError(str(path), 1, f"The file cannot be read: {error.strerror or error}.") from error
    return decode(data, str(path))


def decode(data: bytes, path: str) -> Script:
    """The script in `data`, UTF-8 with or without a byte order mark; ScriptError for anything else."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ScriptError(path, line, "This is no text: a script is UTF-8, one step a line.") from error
    return parse(text, path)


def parse(text: str, path: str) -> Script:
    """The steps of a script; ScriptError with file, line and a sentence for each line that cannot be read."""
    start, steps = START, []
    faults: list[ScriptError] = []
    seen = False
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        try:
            _refuse_binary(line)
            if line.split()[0] == "at":
                start = _start(line, first=not seen)
            else:
                steps.append(_step(line, number))
        except _BinaryError as error:
            raise ScriptError(path, number, str(error)) from error
        except _UnreadableError as error:
            faults.append(ScriptError(path, number, str(error)))
        seen = True
    if faults:
        raise all_of(faults)
    return Script(path, start, tuple(steps))


def _refuse_binary(line: str) -> None:
    strange = next((c for c in line if (ord(c) < 32 and c != "\t") or 127 <= ord(c) < 160), None)
    if strange is not None:
        raise _BinaryError(f"There is a control character (U+{ord(strange):04X}) here: is this a script?")


def _start(line: str, *, first: bool) -> datetime:
    word = line[2:].strip()
    if not first:
        raise _UnreadableError(
            "`at` says where the clock starts: it is the first line of a script, or left out."
        )
    try:
        moment = datetime.fromisoformat(word)
    except ValueError as error:
        raise _UnreadableError(f"{_short(word)} is no time; write one like 2026-01-03T02:30:00Z.") from error
    if moment.tzinfo is None:
        raise _UnreadableError(f"{_short(word)} has no time zone; write 2026-01-03T02:30:00Z, with the Z.")
    if not 1971 <= moment.year <= 9000:
        raise _UnreadableError(f"{_short(word)} is out of reach; start in this century.")
    return moment.astimezone(UTC)


def _step(line: str, number: int) -> Step:
    word = line.split()[0]
    rest = line[len(word) :].strip()
    reader = _READERS.get(word)
    if reader is not None:
        return reader(rest, number, line)
    return _person_step(line, number)


# -- the lines that begin with a word of their own ------------------------------------------------


def _wait(rest: str, number: int, line: str) -> Step:
    if re.fullmatch(r"([0-9]+\s*[smhd]\s*)+", rest) is None:
        raise _UnreadableError(
            f"{_short(rest)} is no length of time; write `wait 90s`, `31m`, `1h30m` or `3d`."
        )
    parts = re.findall(r"([0-9]+)\s*([smhd])", rest)
    seconds = sum((int(n) if len(n) < 12 else 10**12) * _UNITS[unit] for n, unit in parts)
    if seconds > LONGEST_WAIT.total_seconds():
        raise _UnreadableError(f"Nobody waits for {_short(rest)}; at most {LONGEST_WAIT.days}d.")
    return Wait(line=number, source=line, lasts=timedelta(seconds=seconds))


def _alert(rest: str, number: int, line: str) -> Step:
    words = rest.rsplit(maxsplit=2)
    file, origin = (words[0], words[2]) if len(words) == 3 and words[1] == "from" else (rest, "alertmanager")
    if not _unquote(file) or file == "from" or file.startswith("from "):
        raise _UnreadableError("Which alert? Write `alert FILE` or `alert FILE from alertmanager`.")
    return Alert(line=number, source=line, file=_unquote(file), origin=origin)


def _sandbox(rest: str, number: int, line: str) -> Step:
    words = tuple(rest.split())
    if len(words) < 2:
        raise _UnreadableError("What changes? Write `sandbox realtime replicas=3` or `sandbox redis down`.")
    return Sandbox(line=number, source=line, words=words)


def _restart(rest: str, number: int, line: str) -> Step:
    if rest:
        raise _UnreadableError("`restart` stands alone on its line; it takes no time and no name.")
    return Restart(line=number, source=line)


def _export(rest: str, number: int, line: str) -> Step:
    found = re.fullmatch(r"(?:inc-)?([0-9]{1,9})\s+(\S+)\s+(.+)", rest, re.IGNORECASE)
    if found is None:
        raise _UnreadableError("Write `export 1 md FILE`: the incident's number, the form and the file.")
    if found[2] not in FORMS:
        raise _UnreadableError(f"{_short(found[2])} is no form; there are: {', '.join(FORMS)}.")
    return Export(line=number, source=line, number=int(found[1]), form=found[2], file=_unquote(found[3]))


def _expect(rest: str, number: int, line: str) -> Step:
    if replicas := re.fullmatch(r"replicas\s+(\S+)\s+([0-9]{1,9})", rest):
        return ExpectReplicas(line=number, source=line, service=replicas[1], count=int(replicas[2]))
    holds, text = True, rest
    if re.match(r"not(\s|$)", rest):
        holds, text = False, rest[3:].strip()
        if re.fullmatch(r"replicas\s+\S+\s+[0-9]+", text):
            raise _UnreadableError("Replicas are expected by number: `expect replicas realtime 3`.")
    elif re.match(r"nothing(\s+in\s+(#|(?i:inc)-[0-9])|$)", rest):
        channel, left = _channel_in(rest[7:].strip())
        if left:
            raise _UnreadableError("`expect nothing` takes no text; with a text it is `expect not TEXT`.")
        return Expect(line=number, source=line, text=None, channel=channel, holds=False)
    channel, text = _channel_in(text)
    text = _unquote(text)
    if not text.strip():
        raise _UnreadableError("What is expected? Write `expect [in CHANNEL] TEXT` or `expect nothing`.")
    return Expect(line=number, source=line, text=text, channel=channel, holds=holds)


_READERS: dict[str, Callable[[str, int, str], Step]] = {
    "wait": _wait,
    "alert": _alert,
    "sandbox": _sandbox,
    "restart": _restart,
    "export": _export,
    "expect": _expect,
}

# -- the lines that begin with a person -----------------------------------------------------------

_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_PERSON = r"@?([\w.][\w.-]*)"
_CHANNEL = r"(#[^\s:,]+|(?i:inc)-[0-9]{1,9})"
_IN = rf"(?:\s+in\s+{_CHANNEL})?"
_SAYS = re.compile(rf"{_PERSON}\s+in\s+{_CHANNEL}(?:\s+thread\s+{_QUOTED})?\s*:\s*(.*)")
_REACTS = re.compile(
    rf"{_PERSON}\s+(reacts|unreacts)\s+([^\s\"]+){_IN}\s+(?:to|from)\s+(?:{_QUOTED}|(\w+)){_IN}"
)
_PRESSES = re.compile(rf"{_PERSON}\s+presses\s+{_QUOTED}{_IN}\s+on\s+(?:{_QUOTED}|(\w+)){_IN}")
_EDITS = re.compile(rf"{_PERSON}\s+edits\s+{_QUOTED}\s+to\s+{_QUOTED}{_IN}")
_DELETES = re.compile(rf"{_PERSON}\s+deletes\s+{_QUOTED}{_IN}")

_EXAMPLES = {
    "in": '`alice in #ops: TEXT`, `alice in inc-1: TEXT` or `alice in inc-1 thread "TEXT": TEXT`',
    "reacts": '`bob reacts ✅ to approval` or `bob reacts ✅ to "TEXT"`, and `in CHANNEL` after it',
    "unreacts": '`bob unreacts ✅ to approval` or `bob unreacts ✅ to "TEXT"`, and `in CHANNEL` after it',
    "presses": '`bob presses "Acknowledge" on incident`',
    "edits": '`bob edits "OLD" to "NEW"`',
    "deletes": '`bob deletes "TEXT"`',
}


def _person_step(line: str, number: int) -> Step:
    words = line.split(maxsplit=2)
    verb = words[1] if len(words) > 1 else ""
    if found := _SAYS.fullmatch(line):
        if not found[4].strip():
            raise _UnreadableError(f"{found[1]} says nothing here; write the message after the colon.")
        thread = _inside(found[3])
        return Says(
            line=number, source=line, person=found[1], channel=found[2], thread=thread, text=found[4].strip()
        )
    if found := _REACTS.fullmatch(line):
        spot = _spot(found[5], found[6], found[4], found[7])
        added = found[2] == "reacts"
        return Reacts(line=number, source=line, person=found[1], emoji=found[3], spot=spot, added=added)
    if found := _PRESSES.fullmatch(line):
        spot = _spot(found[4], found[5], found[3], found[6])
        return Presses(line=number, source=line, person=found[1], label=_inside(found[2]) or "", spot=spot)
    if found := _EDITS.fullmatch(line):
        old, new = _needed(found[2], "edited"), _needed(found[3], "written")
        return Edits(line=number, source=line, person=found[1], old=old, new=new, channel=found[4])
    if found := _DELETES.fullmatch(line):
        text = _needed(found[2], "deleted")
        return Deletes(line=number, source=line, person=found[1], text=text, channel=found[3])
    raise _UnreadableError(_strange(words[0], verb))


def _spot(text: str | None, card: str | None, before: str | None, after: str | None) -> Spot:
    if before and after:
        raise _UnreadableError("Name one channel with `in`, not two.")
    if card is not None and card not in CARDS:
        near = get_close_matches(card, CARDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(CARDS)}, or a text in quotes."
        raise _UnreadableError(f"There is no card {_short(card)}; {hint}")
    return Spot(card, None if text is None else _needed(text, "meant"), before or after)


def _strange(first: str, verb: str) -> str:
    """Why a line that fits no form cannot be read, with the nearest form."""
    if verb in _EXAMPLES:
        return f"`{verb}` is written like this: {_EXAMPLES[verb]}."
    if near := get_close_matches(verb, VERBS, n=1):
        return f"People do not {_short(verb)} here; did you mean `{near[0]}`? {_EXAMPLES[near[0]]}."
    if near := get_close_matches(first, [*_READERS, "at"], n=1):
        return f"There is no line {_short(first)}; did you mean `{near[0]}`?"
    known = ", ".join(["at", *_READERS])
    return f"{_short(first)} begins no line: write `alice in #ops: TEXT`, `alice reacts …` or {known}."


# -- words ----------------------------------------------------------------------------------------


def _channel_in(text: str) -> tuple[str | None, str]:
    """The channel of `in CHANNEL TEXT` and the text; no channel where the text merely begins with `in`."""
    found = re.match(rf"in\s+{_CHANNEL}(?:\s+|$)", text)
    return (found[1], text[found.end() :].strip()) if found else (None, text)


def _needed(raw: str, what: str) -> str:
    text = _inside(raw) or ""
    if not text.strip():
        raise _UnreadableError(f"The quotes are empty: which text is {what}?")
    return text


def _inside(raw: str | None) -> str | None:
    """What stands between quotes, with backslashes before quotes and backslashes taken away."""
    return None if raw is None else re.sub(r'\\(["\\])', r"\1", raw)


def _unquote(text: str) -> str:
    """The text without the quotes around the whole of it, if it has them."""
    found = re.fullmatch(_QUOTED, text.strip())
    return text.strip() if found is None else _inside(found[1]) or ""


def _short(text: str) -> str:
    """Outside text in a sentence: quoted, shortened."""
    return repr(text if len(text) <= 40 else text[:39] + "…")
