"""Rehearsals on a tiny stage: what the parser reads and refuses, and what the runner expects and reports."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import play_script as ps
from bot.chat import Button, Content, Incoming, Press, Reaction, Request
from bot.clock import VirtualClock
from bot.platforms.console import Console, Output
from bot.play import RestlessError, play
from bot.play_script import Script, ScriptError, Spot, parse
from bot.play_stage import Observer, Record, Stage

# -- the parser -----------------------------------------------------------------------------------


def one(line: str) -> ps.Step:
    """The only step of a script of one line."""
    (step,) = parse(line, "x.play").steps
    return step


def fault(text: str) -> str:
    """What the parser says about a script that it cannot read."""
    with pytest.raises(ScriptError) as caught:
        parse(text, "x.play")
    return str(caught.value)


def common(line: str) -> dict[str, object]:
    return {"line": 1, "source": line}


@pytest.mark.parametrize(
    ("line", "kind", "values"),
    [
        ("wait 90s", ps.Wait, {"lasts": timedelta(seconds=90)}),
        ("wait 31m", ps.Wait, {"lasts": timedelta(minutes=31)}),
        ("wait 2h", ps.Wait, {"lasts": timedelta(hours=2)}),
        ("wait 3d", ps.Wait, {"lasts": timedelta(days=3)}),
        ("wait 0s", ps.Wait, {"lasts": timedelta(0)}),
        (
            'alice in #ops: /incident open critical "Redis is down" service=realtime',
            ps.Says,
            {
                "person": "alice",
                "channel": "#ops",
                "text": '/incident open critical "Redis is down" service=realtime',
            },
        ),
        ("alice in inc-1: /ack", ps.Says, {"person": "alice", "channel": "inc-1", "text": "/ack"}),
        (
            'alice in inc-12 thread "which: one": 3 → 10: yes',
            ps.Says,
            {"person": "alice", "channel": "inc-12", "thread": "which: one", "text": "3 → 10: yes"},
        ),
        (
            "bob reacts ✅ to approval",
            ps.Reacts,
            {"person": "bob", "emoji": "✅", "spot": Spot(card="approval"), "added": True},
        ),
        (
            'bob unreacts 📌 to "replica lags" in inc-1',
            ps.Reacts,
            {"person": "bob", "emoji": "📌", "spot": Spot(None, "replica lags", "inc-1"), "added": False},
        ),
        (
            "bob reacts ❌ in #ops to approval",
            ps.Reacts,
            {"person": "bob", "emoji": "❌", "spot": Spot("approval", None, "#ops"), "added": True},
        ),
        (
            'bob presses "Acknowledge" on incident',
            ps.Presses,
            {"person": "bob", "label": "Acknowledge", "spot": Spot(card="incident")},
        ),
        (
            'bob presses "I can\'t, page bob" on "You are on call" in inc-2',
            ps.Presses,
            {"person": "bob", "label": "I can't, page bob", "spot": Spot(None, "You are on call", "inc-2")},
        ),
        (
            'bob edits "OLD \\"x\\"" to "NEW"',
            ps.Edits,
            {"person": "bob", "old": 'OLD "x"', "new": "NEW", "channel": None},
        ),
        ('bob deletes "TEXT"', ps.Deletes, {"person": "bob", "text": "TEXT", "channel": None}),
        ("alert a.json", ps.Alert, {"file": "a.json", "origin": "alertmanager"}),
        ("alert a b.json from generic", ps.Alert, {"file": "a b.json", "origin": "generic"}),
        ('alert "from here.json"', ps.Alert, {"file": "from here.json", "origin": "alertmanager"}),
        (
            "sandbox realtime replicas=3 pods=crashloop",
            ps.Sandbox,
            {"words": ("realtime", "replicas=3", "pods=crashloop")},
        ),
        ("sandbox redis down", ps.Sandbox, {"words": ("redis", "down")}),
        ("restart", ps.Restart, {}),
        ("export 1 md pm.md", ps.Export, {"number": 1, "form": "md", "file": "pm.md"}),
        ('export 12 zip "my file.zip"', ps.Export, {"number": 12, "form": "zip", "file": "my file.zip"}),
        ("expect late", ps.Expect, {"text": "late", "channel": None, "holds": True}),
        ("expect in inc-1 3 → 10", ps.Expect, {"text": "3 → 10", "channel": "inc-1", "holds": True}),
        ("expect in #ops late", ps.Expect, {"text": "late", "channel": "#ops", "holds": True}),
        ("expect in 14 min", ps.Expect, {"text": "in 14 min", "channel": None, "holds": True}),
        ("expect not in inc-1 late", ps.Expect, {"text": "late", "channel": "inc-1", "holds": False}),
        ("expect not late", ps.Expect, {"text": "late", "channel": None, "holds": False}),
        ("expect nothing", ps.Expect, {"text": None, "channel": None, "holds": False}),
        ("expect nothing in #ops", ps.Expect, {"text": None, "channel": "#ops", "holds": False}),
        ("expect nothing more", ps.Expect, {"text": "nothing more", "channel": None, "holds": True}),
        ("expect nothing in Redis", ps.Expect, {"text": "nothing in Redis", "channel": None, "holds": True}),
        ('expect "nothing"', ps.Expect, {"text": "nothing", "channel": None, "holds": True}),
        ("expect notable", ps.Expect, {"text": "notable", "channel": None, "holds": True}),
        ("expect replicas realtime 10", ps.ExpectReplicas, {"service": "realtime", "count": 10}),
        ("expect replicas are up", ps.Expect, {"text": "replicas are up", "channel": None, "holds": True}),
    ],
)
def test_every_form_is_read(line: str, kind: type[ps.Step], values: dict[str, object]) -> None:
    """Each line of the table in docs/rehearsals.md becomes exactly its step."""
    assert one(line) == kind(**common(line), **values)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("wait", "no length of time"),
        ("wait 5", "no length of time"),
        ("wait -5m", "no length of time"),
        ("wait 5 minutes", "no length of time"),
        ("wait ٣m", "no length of time"),
        ("wait 367d", "at most 366d"),
        ("wait " + "9" * 5000 + "d", "at most 366d"),
        ("alice in ops: hello", "`in` is written like this"),
        ("alice in #ops hello", "`in` is written like this"),
        ("alice in #ops:", "says nothing"),
        ("bob reacts ✅", "`reacts` is written like this"),
        ("bob react ✅ to approval", "did you mean `reacts`?"),
        ("bob reacts ✅ to aproval", "did you mean approval?"),
        ("bob reacts ✅ to card", "There is no card 'card'"),
        ('bob reacts ✅ to ""', "quotes are empty"),
        ("bob reacts ✅ in #a to approval in #b", "not two"),
        ("bob presses Acknowledge on incident", "`presses` is written like this"),
        ('bob edits "OLD"', "`edits` is written like this"),
        ("bob deletes it", "`deletes` is written like this"),
        ("alert", "Which alert?"),
        ("alert from alertmanager", "Which alert?"),
        ("sandbox", "What changes?"),
        ("sandbox redis", "What changes?"),
        ("restart now", "stands alone"),
        ("export 1 md", "export 1 md FILE"),
        ("export one md x.md", "export 1 md FILE"),
        ("export 1 pdf x.pdf", "no form"),
        ("expect", "What is expected?"),
        ("expect not", "What is expected?"),
        ("expect in inc-1", "What is expected?"),
        ('expect ""', "What is expected?"),
        ("expect nothing in inc-1 at all", "takes no text"),
        ("expect not replicas realtime 3", "by number"),
        ("expct late", "did you mean `expect`?"),
        ("hello", "begins no line"),
        ("\x00\x01\x02", "control character"),
        ("at yesterday", "no time"),
        ("at 2026-01-03T02:30:00", "no time zone"),
        ("at 0001-01-01T00:00:00+23:59", "out of reach"),
        ("at", "no time"),
    ],
)
def test_what_cannot_be_read_is_named(line: str, words: str) -> None:
    """The fault names file and line and says in a sentence what to write."""
    said = fault(f"# a comment\n\n{line}\n")
    assert said.startswith("x.play:3: ")
    assert words in said
    assert len(said) < 400


def test_the_clock_starts_where_the_first_line_says() -> None:
    """Without `at` it is the first of January 2026; comments may stand above it, steps may not."""
    assert parse("", "x").start == datetime(2026, 1, 1, tzinfo=UTC)
    assert parse("# why\n\nat 2026-01-03T02:30:00Z\n", "x").start == datetime(2026, 1, 3, 2, 30, tzinfo=UTC)
    assert parse("at 2026-01-03T03:30:00+01:00", "x").start == datetime(2026, 1, 3, 2, 30, tzinfo=UTC)
    assert "first line" in fault("restart\nat 2026-01-03T02:30:00Z")
    assert "first line" in fault("at 2026-01-03T02:30:00Z\nat 2026-01-03T02:30:00Z")


def test_files_of_every_editor_are_read() -> None:
    """A byte order mark and carriage returns change nothing, and lines keep their numbers."""
    script = ps.decode(b"\xef\xbb\xbfat 2026-01-03T02:30:00Z\r\n\r\nrestart\r\nexpect late\r\n", "x")
    assert [(step.line, step.source) for step in script.steps] == [(3, "restart"), (4, "expect late")]
    with pytest.raises(ScriptError, match="x:2: This is no text"):
        ps.decode(b"restart\n\xff\xfe\x00", "x")


def test_every_line_that_cannot_be_read_is_told() -> None:
    """As `check` does; the first of very many, and how many more."""
    told = fault("wait soon\nrestart\nexpect\nalice in ops: x").splitlines()
    assert [line.split(": ")[0] for line in told] == ["x.play:1", "x.play:3", "x.play:4"]
    told = fault("wait soon\n" * 25).splitlines()
    assert len(told) == 21
    assert told[-1] == "x.play:21: There are 5 more faults from here on."
    assert len(fault("wait soon\n\x00\nwait soon").splitlines()) == 1, "this is no script"


async def test_every_alert_that_is_not_there_is_told(tmp_path: Path) -> None:
    """And nothing is played."""
    script = tmp_path / "my.play"
    script.write_text("alert a.json\nrestart\nalert b.json\n", "utf-8")
    out, err = io.StringIO(), io.StringIO()
    assert (
        await play([script], config=None, data=None, json=False, out=out, err=err, stage_factory=never) == 2
    )
    told = err.getvalue().splitlines()
    assert [line.split(": ")[0] for line in told] == [f"{script}:1", f"{script}:3"]
    assert "b.json cannot be read: No such file" in told[1]


@asynccontextmanager
async def never(**_given: object) -> AsyncIterator[Stage]:
    """No stage: what cannot be read is not played."""
    raise AssertionError("nothing is to be played")
    yield


def read(source: str | bytes) -> Script | ScriptError:
    """The script, or why it cannot be read."""
    try:
        return parse(source, "x") if isinstance(source, str) else ps.decode(source, "x")
    except ScriptError as error:
        return error


@given(st.text())
def test_arbitrary_text_is_read_or_refused(text: str) -> None:
    """No text crashes the parser."""
    found = read(text)
    if isinstance(found, ScriptError):
        assert found.path == "x"
        assert found.line <= text.count("\n") + 1
        assert str(found).startswith(f"x:{found.line}: ")


_WORDS = [
    "alice",
    "in",
    "#ops",
    "inc-1",
    ":",
    "to",
    "on",
    "reacts",
    "presses",
    "edits",
    '"',
    "approval",
    "expect",
]
_WORDS += [
    "not",
    "nothing",
    "replicas",
    "wait",
    "5m",
    "at",
    "alert",
    "from",
    "export",
    "1",
    "md",
    "sandbox",
    "✅",
    "\\",
]


@given(st.lists(st.lists(st.sampled_from(_WORDS), max_size=9).map(" ".join), max_size=4).map("\n".join))
def test_jumbled_lines_are_read_or_refused(text: str) -> None:
    """Lines made of a script's own words are steps of the line they stand on, or a fault."""
    found = read(text)
    if isinstance(found, ScriptError):
        assert found.why.endswith((".", "?"))
    else:
        lines = text.split("\n")
        assert all(lines[step.line - 1].strip() == step.source for step in found.steps)


@given(st.binary())
def test_arbitrary_bytes_are_read_or_refused(data: bytes) -> None:
    """No file crashes it either."""
    found = read(data)
    if isinstance(found, ScriptError):
        assert found.line <= data.count(b"\n") + 1


def test_a_long_line_is_read_quickly() -> None:
    """100 kB of blanks or quotes on one line are no trouble, and the fault stays short."""
    for middle in (" " * 100_000, '"' * 100_000, "\\" * 100_000, "a" * 100_000):
        for line in (f"alice in #ops{middle}", f"bob reacts{middle}", f"alert a{middle}b", f"expect{middle}"):
            found = read(line)
            assert isinstance(found, Script) or len(str(found)) < 400


# -- the runner, on a stage with a parrot in it ----------------------------------------------------


class Parrot:
    """A stage whose bot repeats what it hears; a few words of it do more."""

    def __init__(self, data: Path, start: datetime, observe: Observer) -> None:
        self.clock = VirtualClock(start)
        people = {name: name for name in ("alice", "bob")}
        self.console = Console(
            data / "chat.db", clock=self.clock, people=people, channels=["#ops", "#inc-1-redis"], zone=UTC
        )
        self.console.observe(lambda output: observe(_record(output)))
        self.due: list[tuple[datetime, str]] = []
        self.bodies: list[tuple[str, bytes]] = []
        self.counts = {"realtime": 3}
        self.restless = False

    async def hear(self, act: Incoming) -> None:
        at = self.clock.now()
        if isinstance(act, Request) and act.text.startswith("!later "):
            self.due.append((at + timedelta(minutes=int(act.text.split()[1])), act.channel))
        elif isinstance(act, Request) and act.text == "!restless":
            self.restless = True
        elif isinstance(act, Request) and act.text == "!card":
            buttons = (Button("Approve", "a"), Button("Undo → 3", "u"))
            await self.say(act.channel, "Shall\u2060 I?", card="approval", buttons=buttons)
        elif isinstance(act, Request) and act.text != "!quiet":
            await self.say(act.channel, f"You said:\n  {act.text}", thread=act.thread)
        elif isinstance(act, Press):
            await self.say(act.channel, f"pressed {act.value}")
        elif isinstance(act, Reaction):
            await self.say(act.channel, f"{act.user} {act.emoji} {act.added}")

    async def say(
        self,
        channel: str,
        text: str,
        *,
        thread: str | None = None,
        card: str | None = None,
        buttons: tuple[Button, ...] = (),
    ) -> None:
        content = Content(text, text, buttons=buttons, card=card)
        await self.console.post(channel, content, key=f"k{len(self.console.store.messages)}", thread=thread)

    async def settle(self) -> None:
        pass

    async def next_due(self) -> datetime | None:
        if self.restless:
            return self.clock.now()
        return min((at for at, _ in self.due), default=None)

    async def tick(self, now: datetime) -> None:
        self.clock.wake(now)
        ripe = [item for item in self.due if item[0] <= now]
        self.due = [item for item in self.due if item[0] > now]
        for at, channel in ripe:
            await self.say(channel, f"Due at {at:%H:%M}")

    async def kill(self) -> None:
        await self.console.stop()

    async def start(self) -> None:
        await self.console.start(self.hear)

    async def alert(self, source: str, body: bytes) -> None:
        await self.say("C1", f"{source}: {body.decode()}")

    async def sandbox(self, words: Sequence[str]) -> None:
        if words[0] not in self.counts:
            raise ValueError(f"The sandbox has no {words[0]}.")
        self.counts[words[0]] = int(words[1].removeprefix("replicas="))

    async def export(self, number: int, form: str) -> bytes:
        if number != 1:
            raise LookupError(f"There is no incident {number}.")
        return f"{number} as {form}".encode()

    def replicas(self, service: str) -> int:
        return self.counts[service]

    async def channel_of(self, number: int) -> str | None:
        return "#inc-1-redis" if number == 1 else None


def _record(output: Output) -> Record:
    return Record(
        at=output.at,
        do=output.do,  # type: ignore[arg-type]
        channel=output.channel,
        text=output.text,
        thread=output.thread,
        card=output.card,
        to=output.to,
        buttons=output.buttons,
    )


@asynccontextmanager
async def parrot(
    *, config: Path | None, data: Path, start: datetime, observe: Observer
) -> AsyncIterator[Stage]:
    """The stage of these tests."""
    stage = Parrot(data, start, observe)
    await stage.start()
    yield stage
    stage.console.close()


class Played:
    """What a run gave."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def records(self) -> list[dict[str, object]]:
        """The lines of `--json`."""
        return [json.loads(line) for line in self.out.splitlines()]


async def run(
    folder: Path, *texts: str, json: bool = True, data: Path | None = None, name: str = "a.play"
) -> Played:
    """Play scripts on the parrot."""
    files = []
    for number, text in enumerate(texts):
        files.append(folder / (name if number == 0 else f"{number}{name}"))
        files[-1].write_bytes(text.encode("utf-8", "surrogateescape"))
    out, err = io.StringIO(), io.StringIO()
    status = await play(files, config=None, data=data, json=json, out=out, err=err, stage_factory=parrot)
    return Played(status, out.getvalue(), err.getvalue())


async def test_expectations_that_hold(tmp_path: Path) -> None:
    """Case and line breaks do not matter; several in a row look at the same window."""
    played = await run(
        tmp_path,
        """\
        # the parrot
        at 2026-01-03T02:30:00Z
        expect nothing
        alice in #ops: Hello THERE
        expect you said: hello there
        expect HELLO
        expect in #ops hello
        expect not in inc-1 hello
        expect nothing in inc-1
        expect nothing in inc-2
        expect not goodbye
        alice in inc-1: hi
        expect in inc-1 hi
        expect not hello
        alice in #ops: !quiet
        expect nothing
        """,
    )
    assert (played.status, played.err) == (0, "")


async def test_a_failed_expectation_names_everything(tmp_path: Path) -> None:
    """File, line, what was expected, and what was said since which line; every failure is reported."""
    played = await run(
        tmp_path,
        """\
alice in #ops: hello
expect goodbye
expect not in #ops hello
expect nothing
alice in #ops: !quiet
expect in inc-1 hello
expect hello
""",
    )
    assert played.status == 1
    said = played.err
    path = tmp_path / "a.play"
    assert f"{path}:2: expected: “goodbye”" in said
    assert "said since line 1 (alice in #ops: hello):" in said
    assert "00:00:00 say #ops: You said: / hello" in said
    assert f"{path}:3: expected not in #ops: “hello”" in said
    assert "but it was said since line 1" in said
    assert f"{path}:4: expected nothing" in said
    assert f"{path}:6: expected in inc-1: “hello”" in said
    assert "nothing was said since line 5" in said
    assert f"{path}:7: " in said


async def test_waiting_goes_from_due_time_to_due_time(tmp_path: Path) -> None:
    """The last instant is included, each thing happens at its own time, and one line covers all of it."""
    played = await run(
        tmp_path,
        """\
at 2026-01-03T02:30:00Z
alice in #ops: !later 5
alice in #ops: !later 15
alice in #ops: !later 16
wait 15m
expect due at 02:35
expect due at 02:45
expect not due at 02:46
wait 59s
expect nothing
wait 1s
expect due at 02:46
""",
    )
    assert (played.status, played.err) == (0, "")
    assert [(r["at"], r["line"]) for r in played.records] == [
        ("2026-01-03T02:35:00Z", 5),
        ("2026-01-03T02:45:00Z", 5),
        ("2026-01-03T02:46:00Z", 11),
    ]


async def test_a_bot_that_never_rests_is_found_out(tmp_path: Path) -> None:
    """What stays due at one instant ends the rehearsal instead of playing for ever."""
    with pytest.raises(RestlessError, match="does not come to rest"):
        await run(tmp_path, "alice in #ops: !restless\nwait 1m")


async def test_people_do_everything_in_the_chat(tmp_path: Path) -> None:
    """Reactions, buttons, threads, edits and deletions reach the bot."""
    (tmp_path / "body.json").write_text("{}")
    played = await run(
        tmp_path,
        """\
alice in #ops: !card
expect shall i?
bob reacts ✅ to approval
expect bob ✅ True
bob unreacts ✅ to approval in #ops
expect bob ✅ False
bob presses "approve" on approval
expect pressed a
bob presses "Undo" on approval
expect pressed u
bob presses "Approve" on "shall"
expect pressed a
alice in #ops thread "shall": inside
expect inside
alice edits "Inside" to "outside"
alice deletes "outside"
alert body.json from somewhere
expect somewhere: {}
sandbox realtime replicas=5
expect replicas realtime 5
restart
expect nothing
alice in #ops: still there
expect still there
""",
    )
    assert (played.status, played.err) == (0, "")
    assert next(r for r in played.records if "inside" in str(r["text"]))["thread"] is not None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("zoe in #ops: hello", "nobody here is called zoe"),
        ("alice in #nowhere: hello", "there is no channel #nowhere"),
        ("alice in inc-2: hello", "there is no channel inc-2"),
        ("alice reacts ✅ to approval", "there is no approval card"),
        ('alice reacts ✅ to "x"', "no message that holds “x”"),
        ('alice in #ops thread "x": y', "no message there holds “x”"),
        ('alice edits "x" to "y"', "no message of alice's holds “x”"),
        ("sandbox mongo down", "The sandbox has no mongo."),
        ("expect replicas mongo 1", "mongo"),
        ("expect replicas realtime 4", "expected 4 replicas of realtime; it has 3"),
        ("export 2 md x.md", "There is no incident 2."),
        ("export 1 md /nowhere/at/all.md", "/nowhere/at/all.md cannot be written"),
    ],
)
async def test_a_step_that_cannot_be_done_is_a_failure(tmp_path: Path, line: str, words: str) -> None:
    """It says why, names the line, and the rest of the script goes on."""
    played = await run(tmp_path, f"{line}\nalice in #ops: hello\nexpect hello\n")
    assert played.status == 1
    assert f"a.play:1: {words}" in played.err or words in played.err.splitlines()[0]
    assert "a.play:3" not in played.err


async def test_a_button_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    """A misspelt button is a failure with the labels that could have been meant."""
    played = await run(tmp_path, 'alice in #ops: !card\nbob presses "Deny" on approval\n')
    assert played.status == 1
    assert "it has no button “Deny”, but: “Approve”, “Undo → 3”" in played.err


async def test_records_have_every_key(tmp_path: Path) -> None:
    """One object a line, with the keys of docs/rehearsals.md in their order, and nothing else on standard output."""
    played = await run(tmp_path, "\n\nalice in #ops: !card\nexpect goodbye\n")
    assert played.out.count("\n") == 1
    assert list(played.records[0]) == [
        "at", "line", "do", "channel", "thread", "card", "to", "text", "buttons", "event", "incident",
    ]  # fmt: skip
    assert played.records[0] == {
        "at": "2026-01-01T00:00:00Z",
        "line": 3,
        "do": "say",
        "channel": "#ops",
        "thread": None,
        "card": "approval",
        "to": [],
        "text": "Shall\u2060 I?",
        "buttons": ["Approve", "Undo → 3"],
        "event": None,
        "incident": None,
    }


async def test_without_json_people_read_along(tmp_path: Path) -> None:
    """The script's lines with their times, and what the bot said under them."""
    played = await run(tmp_path, "at 2026-01-03T02:30:00Z\nalice in #ops: !card\nexpect shall\n", json=False)
    assert "2026-01-03 02:30:00  alice in #ops: !card\n" in played.out
    assert "Shall" in played.out
    assert "[Approve] [Undo → 3]" in played.out
    assert "every expectation held" in played.out


async def test_nothing_is_played_where_one_script_cannot_be_read(tmp_path: Path) -> None:
    """Exit 2, each fault on a line of its own, before anything happens."""
    played = await run(tmp_path, "alice in #ops: hello", "hello", "alert nowhere.json", "\x00")
    assert (played.status, played.out) == (2, "")
    first, second, third = played.err.splitlines()
    assert "1a.play:1: 'hello' begins no line" in first
    assert "2a.play:1: nowhere.json cannot be read: No such file" in second
    assert "3a.play:1: There is a control character" in third
    out = io.StringIO()
    missing = [tmp_path / "missing.play"]
    assert (
        await play(missing, config=None, data=None, json=False, out=out, err=out, stage_factory=parrot) == 2
    )
    assert "missing.play:1: The file cannot be read: No such file" in out.getvalue()


async def test_each_file_starts_afresh(tmp_path: Path) -> None:
    """Several files know nothing of each other, in temporary folders or in `--data`."""
    first, second = "alice in #ops: !card\n", "alice reacts ✅ to approval\n"
    data = tmp_path / "data"
    for folder in (None, data):
        played = await run(tmp_path, first, second, data=folder)
        assert played.status == 1
        assert "1a.play:1: there is no approval card" in played.err
    assert sorted(p.name for p in data.iterdir()) == ["1-a", "2-1a"]
    played = await run(tmp_path, first, data=tmp_path / "one")
    assert (tmp_path / "one" / "chat.db").exists()


async def test_files_are_found_here_and_beside_the_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alert is looked up in the current folder, then beside the script; exports go to the current one."""
    here, beside = tmp_path / "here", tmp_path / "beside"
    for folder in (here, beside):
        folder.mkdir()
        (folder / "both.json").write_text(f"of {folder.name}")
    (beside / "only.json").write_text("of beside alone")
    monkeypatch.chdir(here)
    script = "alert both.json\nexpect of here\nalert only.json\nexpect of beside alone\nexport 1 md pm.md\n"
    played = await run(beside, script)
    assert (played.status, played.err) == (0, "")
    assert (here / "pm.md").read_text() == "1 as md"


async def test_an_empty_script_holds(tmp_path: Path) -> None:
    """Nothing was expected, so nothing failed."""
    played = await run(tmp_path, "")
    assert (played.status, played.out, played.err) == (0, "", "")


async def test_a_mention_is_told_from_a_name_that_was_made_harmless(tmp_path: Path) -> None:
    """`expect @bob` holds for a mention, not for outside text in which the @ lost its effect."""
    played = await run(
        tmp_path, "alice in #ops: @\u2060bob\nexpect bob\nexpect not @bob\nalice in #ops: @bob\nexpect @bob\n"
    )
    assert (played.status, played.err) == (0, "")
