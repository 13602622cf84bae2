"""Rehearsals: a chat script plays the whole bot on a virtual clock; what it expected and missed is said."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO

import orjson

from bot.platforms.console_people import NotPossibleError
from bot.play_script import (
    Alert,
    Deletes,
    Edits,
    Expect,
    ExpectReplicas,
    Export,
    Presses,
    Reacts,
    Restart,
    Sandbox,
    Says,
    Script,
    ScriptError,
    Spot,
    Step,
    Wait,
    all_of,
    load,
)
from bot.play_stage import Record, Seen, Stage, StageFactory
from commands.actions import TargetError
from incidents.ports import RefusedError

HEARD = ("say", "edit", "upload", "page")  # what `expect` looks at
SHOWN = 6  # so many of the things last said are shown where an expectation failed
PATIENCE = 200  # ticks in a row that may leave something due at the same instant
_JOINER = "\u2060"  # what makes outside text neutral; after an @ it says that this is no mention

# -- playing --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Failure:
    """An expectation that did not hold, or a step that could not be done."""

    path: str
    line: int
    what: str
    said: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n    ".join((f"{self.path}:{self.line}: {self.what}", *self.said))


class RestlessError(Exception):
    """The bot never comes to rest: something stays due at one instant."""


class _CannotError(Exception):
    """A step cannot be done; the text says why."""


@dataclass(slots=True)
class Recorder:
    """What the bot did, in order, each with the script's line it happened at."""

    tell: Callable[[Record, int], None] = lambda record, line: None
    line: int = 1
    records: list[tuple[int, Record]] = field(default_factory=list)

    def __call__(self, record: Record) -> None:
        record = as_page(record)
        """Take what the bot did."""
        self.records.append((self.line, record))
        self.tell(record, self.line)


class Rehearsal:
    """Plays scripts on one stage, one after the other; `failures` gathers what did not hold."""

    def __init__(
        self,
        stage: Stage,
        recorder: Recorder,
        announce: Callable[[Step, datetime], None] = lambda step, at: None,
    ) -> None:
        self.failures: list[Failure] = []
        self._stage = stage
        self._people = stage.console
        self._recorder = recorder
        self._announce = announce
        self._window = 0  # the first record since the last step that was no `expect`
        self._since: Step | None = None
        self._alerts: Mapping[str, bytes] = {}

    async def play(self, script: Script) -> None:
        """Play every step; a failure does not end it."""
        self._alerts = read_alerts(script)
        await self._stage.settle()
        for step in script.steps:
            try:
                await self._step(step)
            except (_CannotError, NotPossibleError, RefusedError, TargetError) as error:
                sentences = tuple(str(arg) for arg in error.args) or (type(error).__name__,)
                self.failures.append(Failure(script.path, step.line, sentences[0], sentences[1:]))

    async def _step(self, step: Step) -> None:
        if isinstance(step, Expect | ExpectReplicas):
            await self._expect(step)
            return
        self._recorder.line = step.line
        self._window = len(self._recorder.records)
        self._since = step
        self._announce(step, self._stage.clock.now())
        try:
            await self._act(step)
        finally:
            await self._stage.settle()

    async def _act(self, step: Step) -> None:
        match step:
            case Wait():
                await self._wait(step.lasts)
            case Says():
                channel = await self._channel(step.channel)
                thread = None if step.thread is None else self._holding(step.thread, channel).id
                await self._people.says(step.person, channel, step.text, thread)
            case Reacts():
                seen = await self._find(step.spot, step.person)
                await self._people.reacts(step.person, seen.id, step.emoji, step.added)
            case Presses():
                await self._press(step)
            case Edits():
                seen = await self._own(step.person, step.old, step.channel)
                await self._people.edits(step.person, seen.id, _replace(seen.text, step.old, step.new))
            case Deletes():
                seen = await self._own(step.person, step.text, step.channel)
                await self._people.deletes(step.person, seen.id)
            case _:
                await self._world(step)

    async def _world(self, step: Step) -> None:
        """What happens around the chat."""
        match step:
            case Alert():
                with _refusals():
                    await self._stage.alert(step.origin, self._alerts[step.file])
            case Sandbox():
                with _refusals():
                    await self._stage.sandbox(step.words)
            case Restart():
                await self._stage.kill()
                await self._stage.start()
            case Export():
                with _refusals():
                    data = await self._stage.export(step.number, step.form)
                _write(step.file, data)

    async def _wait(self, lasts: timedelta) -> None:
        """From due time to due time, the last instant included."""
        clock = self._stage.clock
        until, idle = clock.now() + lasts, 0
        while (due := await self._stage.next_due()) is not None and due <= until:
            now = clock.now()
            idle = 0 if due > now else idle + 1
            if idle > PATIENCE:
                raise RestlessError(f"the bot does not come to rest at {_rfc3339(now)}")
            await self._stage.tick(max(due, now))
            await self._stage.settle()
        await self._stage.tick(until)

    # -- whom and where ---------------------------------------------------------------------------

    async def _name(self, channel: str) -> str | None:
        """The channel's name; `inc-1` is whatever incident 1 has."""
        if not channel.casefold().startswith("inc-"):
            return channel
        return await self._stage.channel_of(int(channel[4:]))

    async def _channel(self, channel: str) -> str:
        name = await self._name(channel)
        found = self._people.channel_named(name) if name is not None else None
        if found is None:
            raise _CannotError(f"there is no channel {channel} at this time")
        return found

    async def _find(self, spot: Spot, person: str, button: str | None = None) -> Seen:
        channel = None if spot.channel is None else await self._channel(spot.channel)
        found = self._people.newest(
            card=spot.card, containing=spot.text, channel=channel, button=button, seen_by=person
        )
        if found is None:
            what = f"{spot.card} card" if spot.card else f"message that holds “{spot.text}”"
            where = f" in {spot.channel}" if spot.channel else ""
            raise _CannotError(f"there is no {what}{where} that {person} could see")
        return found

    def _holding(self, text: str, channel: str) -> Seen:
        found = self._people.newest(containing=text, channel=channel)
        if found is None:
            raise _CannotError(f"no message there holds “{text}”, so there is no thread of it")
        return found

    async def _own(self, person: str, text: str, channel: str | None) -> Seen:
        where = None if channel is None else await self._channel(channel)
        found = self._people.newest(containing=text, channel=where, author=person)
        if found is None:
            raise _CannotError(f"no message of {person}'s holds “{text}”")
        return found

    async def _press(self, step: Presses) -> None:
        try:  # of several messages with the text, the one with the button is meant
            if step.spot.text is None:
                raise _CannotError
            seen = await self._find(step.spot, step.person, step.label)
        except _CannotError:
            seen = await self._find(step.spot, step.person)
        await self._people.presses(step.person, seen.id, _label(seen, step.label))

    # -- expectations -----------------------------------------------------------------------------

    async def _expect(self, step: Expect | ExpectReplicas) -> None:
        if isinstance(step, ExpectReplicas):
            with _refusals():
                count = self._stage.replicas(step.service)
            if count != step.count:
                raise _CannotError(f"expected {step.count} replicas of {step.service}; it has {count}")
            return
        name = await self._name(step.channel) if step.channel else None
        heard = [] if step.channel and name is None else self._heard(name)
        wanted = None if step.text is None else _plain(step.text)
        hits = [r for r in heard if wanted is None or wanted in _plain(r.text or "")]
        if bool(hits) != step.holds:
            raise _CannotError(_expected(step), *self._said(hits if hits else self._heard(None), bool(hits)))

    def _heard(self, channel: str | None) -> list[Record]:
        """What was said since the last step that was no `expect`."""
        heard = [r for _, r in self._recorder.records[self._window :] if r.do in HEARD]
        return [r for r in heard if channel is None or _same(r.channel, channel)]

    def _said(self, records: list[Record], hit: bool) -> Iterator[str]:
        step = self._since
        since = f"line {step.line} ({_cut(step.source, 60)})" if step else "the start"
        if not records:
            yield f"nothing was said since {since}"
            return
        yield f"{'but it was said' if hit else 'said'} since {since}:"
        if len(records) > SHOWN:
            yield f"  … {len(records) - SHOWN} things before"
        for record in records[-SHOWN:]:
            yield f"  {_line(record)}"


@contextmanager
def _refusals() -> Iterator[None]:
    """What the stage does not know or cannot read is a step that cannot be done."""
    try:
        yield
    except (LookupError, ValueError) as error:
        raise _CannotError(str(error.args[0]) if error.args else type(error).__name__) from error


def _write(file: str, data: bytes) -> None:
    try:
        Path(file).write_bytes(data)
    except OSError as error:
        raise _CannotError(f"{file} cannot be written: {error.strerror or error}") from error


def _expected(step: Expect) -> str:
    where = f" in {step.channel}" if step.channel else ""
    if step.text is None:
        return f"expected nothing{where}"
    return f"expected{'' if step.holds else ' not'}{where}: “{step.text}”"


def _label(seen: Seen, wanted: str) -> str:
    """The label of a message's button: exactly, else the first that begins so (`Undo` finds `Undo → 3`)."""
    labels, folded = [b.label for b in seen.buttons], wanted.casefold()
    found = [x for x in labels if x.casefold() == folded]
    found += [x for x in labels if x.casefold().startswith(folded)]
    if not found:
        there = ", ".join(f"“{label}”" for label in labels) or "none"
        raise _CannotError(f"it has no button “{wanted}”, but: {there}", f"on: {_cut(seen.text, 200)}")
    return found[0]


def _replace(text: str, old: str, new: str) -> str:
    """`text` with `new` in place of the first `old`, whatever its case."""
    return re.sub(re.escape(old), lambda _: new, text, count=1, flags=re.IGNORECASE)


def _plain(text: str) -> str:
    """What is compared: small letters, single spaces, without what cannot be seen."""
    text = re.sub(f"(?<!@){_JOINER}", "", text).replace("\ufe0f", "")
    return " ".join(text.split()).casefold()


def _same(channel: str | None, name: str) -> bool:
    return channel is not None and channel.lstrip("#").casefold() == name.lstrip("#").casefold()


def _cut(text: str, length: int) -> str:
    text = " / ".join(line.strip() for line in text.splitlines() if line.strip())
    return text if len(text) <= length else text[: length - 1] + "…"


def _line(record: Record) -> str:
    where = record.channel or ", ".join(record.to) or "-"
    return f"{record.at:%H:%M:%S} {record.do} {where}: {_cut(record.text or '', 200)}"


# -- files ----------------------------------------------------------------------------------------


def read_alerts(script: Script) -> Mapping[str, bytes]:
    """The bodies that the script receives, by file; looked up here, then beside the script."""
    found: dict[str, bytes] = {}
    faults: list[ScriptError] = []
    for step in script.steps:
        if isinstance(step, Alert) and step.file not in found:
            here, beside = Path(step.file), Path(script.path).parent / step.file
            try:
                found[step.file] = (here if here.is_file() else beside).read_bytes()
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or error
                faults.append(ScriptError(script.path, step.line, f"{step.file} cannot be read: {why}."))
    if faults:
        raise all_of(faults)
    return found


async def play(
    files: Sequence[Path],
    *,
    config: Path | None,
    data: Path | None,
    json: bool,
    out: TextIO,
    err: TextIO,
    stage_factory: StageFactory,
) -> int:
    """Play each file in a data directory of its own; the exit status 0, 1 (an expectation failed) or 2."""
    scripts = _load(files, err)
    if scripts is None:
        return 2
    status = 0
    for number, script in enumerate(scripts, 1):
        with _folder(data, script, number if len(scripts) > 1 else None) as folder:
            failures = await play_one(
                script, config=config, data=folder, json=json, out=out, stage_factory=stage_factory
            )
        for failure in failures:
            print(failure, file=err)
        if failures:
            status = 1
        elif not json:
            print(f"{script.path}: every expectation held.", file=out)
    return status


async def play_one(
    script: Script, *, config: Path | None, data: Path, json: bool, out: TextIO, stage_factory: StageFactory
) -> list[Failure]:
    """Play one script in `data` and return what did not hold; what the bot did goes to `out`."""

    def announce(step: Step, at: datetime) -> None:
        if not json:
            print(f"{at:%Y-%m-%d %H:%M:%S}  {step.source}", file=out, flush=True)

    def tell(record: Record, line: int) -> None:
        text = to_json(record, line) if json else _shown(record)
        if text is not None:
            print(text, file=out, flush=True)

    recorder = Recorder(tell, line=script.steps[0].line if script.steps else 1)
    async with stage_factory(config=config, data=data, start=script.start, observe=recorder) as stage:
        rehearsal = Rehearsal(stage, recorder, announce)
        await rehearsal.play(script)
    return rehearsal.failures


_INCIDENT = re.compile(r"\bINC-(\d{1,9})")


def as_page(record: Record) -> Record:
    """A direct message that rings (🔔) is a page as those of the contact methods are; all say for which incident."""
    rings = (
        record.do == "say" and (record.channel or "").startswith("@") and (record.text or "").startswith("🔔")
    )
    if not rings and record.do != "page":
        return record
    to = record.to or ((record.channel or "").removeprefix("@"),)
    found = _INCIDENT.search(record.text or "")
    return replace(record, do="page", to=to, incident=int(found[1]) if found else record.incident)


def to_json(record: Record, line: int) -> str:
    """One line of `--json`: every key always there."""
    row = {
        "at": _rfc3339(record.at),
        "line": line,
        "do": record.do,
        "channel": record.channel,
        "thread": record.thread,
        "card": record.card,
        "to": list(record.to),
        "text": None if record.do == "event" else record.text,
        "buttons": list(record.buttons),
        "event": record.event,
        "incident": record.incident,
    }
    return orjson.dumps(row).decode()


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _shown(record: Record) -> str | None:
    """A record for people: where, what; None for what only a machine wants to know."""
    if record.do not in HEARD:
        return None
    signs = {"say": "", "edit": "✎ ", "upload": "", "page": f"☎ {', '.join(record.to)} "}
    lines = (record.text or "").splitlines() or [""]
    buttons = [" ".join(f"[{label}]" for label in record.buttons)] if record.buttons else []
    lead = " " * 21
    head = f"{lead}{signs[record.do]}{record.channel or ''}".rstrip()
    return "\n".join([f"{head}  {record.at:%H:%M:%S}", *(f"{lead}  {text}" for text in lines + buttons)])


def _load(files: Sequence[Path], err: TextIO) -> list[Script] | None:
    """Every script, with its alerts there; None where one cannot be read, which is said."""
    scripts, faults = [], 0
    for path in files:
        try:
            script = load(path)
            read_alerts(script)
            scripts.append(script)
        except ScriptError as error:
            print(error, file=err)
            faults += 1
    return None if faults else scripts


@contextmanager
def _folder(data: Path | None, script: Script, number: int | None) -> Iterator[Path]:
    """The data directory of one script: fresh and gone afterwards, or `data`, or a folder in it."""
    if data is None:
        with tempfile.TemporaryDirectory(prefix="watchbell-play-", ignore_cleanup_errors=True) as fresh:
            yield Path(fresh)
        return
    folder = data if number is None else data / f"{number}-{Path(script.path).stem}"
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
