"""The built-in chat: what it keeps through a kill, what it shows to whom, and how tests look into it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.chat import Button, Content, DeliveryError, Incoming, Request, Upload
from bot.platforms.console import Console, Output
from bot.platforms.console_people import NotPossibleError
from bot.platforms.console_text import ConsoleMarks, channel_name, neutral
from tests.contracts.platform_rigs import PEOPLE, HandClock

MARKS = ConsoleMarks(ZoneInfo("Europe/Berlin"))


def console(path: Path | None = None, clock: HandClock | None = None) -> Console:
    return Console(
        path, clock=clock or HandClock(), people=PEOPLE, channels=["#ops"], zone=ZoneInfo("Europe/Berlin")
    )


def ops(chat: Console) -> str:
    found = chat.channel_named("#ops")
    assert found is not None
    return found


def content(text: str, *labels: str, card: str | None = None, mentions: tuple[str, ...] = ()) -> Content:
    return Content(text, text, tuple(Button(b, b) for b in labels), mentions, card)


async def test_what_was_done_survives_a_kill(tmp_path: Path) -> None:
    """kill -9 right after a call returned: the message, the act and the reaction are there."""
    script = f"""
        import asyncio, os, signal
        from pathlib import Path
        from tests.bot.test_console import console, content, ops

        async def main():
            chat = console(Path({str(tmp_path / "chat.db")!r}))
            await chat.says("alice", ops(chat), "/ack")
            card = await chat.post(ops(chat), content("Redis is down"), key="k1")
            await chat.react(ops(chat), card, "✅")
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        check=False,
        cwd=Path(__file__).parents[2],
        env=os.environ,
    )
    assert done.returncode == -signal.SIGKILL
    chat = console(tmp_path / "chat.db")
    assert [m.plain for m in chat.messages(ops(chat))] == ["/ack", "Redis is down"]
    assert chat.messages(ops(chat))[1].reactions == {"✅": ["watchbell"]}
    took: list[Incoming] = []

    async def receive(act: Incoming) -> None:
        took.append(act)

    await chat.start(receive)
    assert [act.text for act in took if isinstance(act, Request)] == ["/ack"]


async def test_every_output_is_observed_as_people_read_it() -> None:
    """Say, edit, react, upload and page, with the names of those really mentioned; repeats are none."""
    chat = console()
    seen: list[Output] = []
    chat.observe(seen.append)
    look = content("@bob look", "Ack", card="incident", mentions=("bob",))
    card = await chat.post(ops(chat), look, key="k1")
    await chat.post(ops(chat), content("@bob look"), key="k1")
    await chat.edit(ops(chat), card, content("done"))
    await chat.edit(ops(chat), card, content("done"))
    await chat.react(ops(chat), card, "✅")
    await chat.upload(ops(chat), Upload("log.txt", b"x"), content("the log"), key="k2", thread=card)
    await chat.whisper(ops(chat), "alice", content("only you"))
    chat.page("bob", "SMS", "INC-1")
    assert [(o.do, o.channel, o.card, o.to, o.text, o.buttons, o.thread) for o in seen] == [
        ("say", "#ops", "incident", ("bob",), "@bob look", ("Ack",), None),
        ("edit", "#ops", None, (), "done", (), None),
        ("react", "#ops", None, (), "✅", (), None),
        ("upload", "#ops", None, (), "the log\n[log.txt]", (), card),
        ("say", "#ops", None, (), "only you", (), None),
        ("page", None, None, ("bob",), "INC-1", (), None),
    ]


async def test_the_newest_that_fits() -> None:
    chat = console()
    first = await chat.post(ops(chat), content("Redis is down", card="incident"), key="1")
    second = await chat.post(ops(chat), content("REDIS again", "Ack", card="incident"), key="2")
    said = await chat.says("alice", ops(chat), "redis it is")
    await chat.whisper(ops(chat), "bob", content("redis, only for bob", "Ack"))

    def newest(**wanted: str) -> str | None:
        found = chat.newest(**wanted)
        return found.id if found else None

    assert newest(containing="redis") == said
    assert newest(card="incident") == second
    assert newest(card="incident", containing="is down") == first
    assert newest(button="ack") == second
    assert newest(containing="redis", seen_by="bob") == chat.messages(ops(chat))[-1].id
    assert newest(containing="nowhere") is None
    assert newest(card="incident", channel=chat.creates("other")) is None


async def test_64_people_at_a_time_are_each_taken_once() -> None:
    chat = console()
    took: list[Incoming] = []

    async def receive(act: Incoming) -> None:
        await asyncio.sleep(0)
        took.append(act)

    await chat.start(receive)
    await asyncio.gather(*(chat.says("alice", ops(chat), f"/note {n}") for n in range(64)))
    assert len({act.event_id for act in took}) == len(took) == 64
    assert chat.store.untaken() == []


async def test_what_the_bot_could_not_take_comes_before_the_next_act() -> None:
    """The log was away for one message; the next one brings both, in order, the first as the same event."""
    chat = console()
    took: list[Incoming] = []
    away = True

    async def receive(act: Incoming) -> None:
        if away:
            raise OSError("away")
        took.append(act)

    await chat.start(receive)
    with pytest.raises(OSError, match="away"):
        await chat.says("alice", ops(chat), "first")
    away = False
    await chat.says("alice", ops(chat), "second")
    assert [act.text for act in took if isinstance(act, Request)] == ["first", "second"]
    assert chat.store.untaken() == []


async def test_a_restart_in_one_process_keeps_the_chat_in_memory() -> None:
    """As `play` restarts: stopped, written to, started again with another receiver."""
    clock = HandClock()
    chat = console(clock=clock)
    took: list[Incoming] = []

    async def receive(act: Incoming) -> None:
        took.append(act)

    await chat.start(receive)
    await chat.stop()
    await chat.says("alice", ops(chat), "/ack")
    clock.forward(30)
    await chat.start(receive)
    assert [(act.age, act.channel) for act in took] == [(30, ops(chat))]


async def test_only_members_act_in_private_channels() -> None:
    chat = console()
    secret = chat.creates("secret", members=["alice"])
    message = await chat.says("alice", secret, "hush")
    for act in (
        chat.says("mallory", secret, "hello"),
        chat.reacts("mallory", message, "✅"),
        chat.edits("mallory", message, "x"),
        chat.deletes("mallory", message),
        chat.presses("mallory", message, "Approve"),
    ):
        with pytest.raises(NotPossibleError, match="mallory is not in #secret"):
            await act


async def test_only_whoever_wrote_it_changes_a_message() -> None:
    """SAFETY 2, 3: nobody edits the bot's cards or another person's words."""
    chat = console()
    card = await chat.post(ops(chat), content("card"), key="1")
    said = await chat.says("alice", ops(chat), "words")
    for message in (card, said):
        with pytest.raises(NotPossibleError, match="only whoever wrote"):
            await chat.edits("mallory", message, "changed")
    with pytest.raises(DeliveryError):
        await chat.edit(ops(chat), said, content("the bot does not either"))


async def test_a_deleted_message_leaves_its_place_and_nothing_else(tmp_path: Path) -> None:
    chat = console(tmp_path / "chat.db")
    said = await chat.says("alice", ops(chat), "my password is hunter2")
    await chat.reacts("bob", said, "📌")
    await chat.deletes("alice", said)
    (left,) = console(tmp_path / "chat.db").messages(ops(chat))
    assert (left.deleted, left.text, left.plain, left.reactions) == (True, "", "", {})
    assert chat.newest(containing="hunter2") is None
    with pytest.raises(NotPossibleError, match="not there"):
        await chat.reacts("bob", said, "📌")


async def test_an_archived_channel_is_read_only() -> None:
    chat = console()
    chat.archives(ops(chat))
    with pytest.raises(NotPossibleError, match="archived"):
        await chat.says("alice", ops(chat), "hello")
    with pytest.raises(DeliveryError, match="archived"):
        await chat.post(ops(chat), content("hello"), key="1")


async def test_a_renamed_channel_is_not_made_anew_at_the_next_start(tmp_path: Path) -> None:
    chat = console(tmp_path / "chat.db")
    channel = ops(chat)
    chat.renames(channel, "operations")
    again = console(tmp_path / "chat.db")
    assert again.channel_named("#ops") is None
    assert again.channel_named("#operations") == channel


async def test_changes_are_told_once_each_newest_state() -> None:
    """What a browser asks when it comes back: everything that changed since, each thing once."""
    chat = console()
    since = chat.store.rev
    card = await chat.post(ops(chat), content("one"), key="1")
    await chat.edit(ops(chat), card, content("two"))
    other = await chat.post(ops(chat), content("three"), key="2")
    changed = chat.store.changes(since)
    assert changed is not None
    assert [t.id for t in changed] == [card, other]
    assert chat.store.changes(chat.store.rev) == []
    assert chat.store.changes(chat.store.rev + 1) is None


async def test_a_write_that_fails_changes_nothing(tmp_path: Path) -> None:
    """SAFETY 32: what is not on disk is not shown either."""
    chat = console(tmp_path / "chat.db")
    card = await chat.post(ops(chat), content("before"), key="1")
    chat.store._db.execute("PRAGMA query_only=ON")
    with pytest.raises(Exception, match="readonly"):
        await chat.edit(ops(chat), card, content("after"))
    with pytest.raises(Exception, match="readonly"):
        await chat.says("alice", ops(chat), "/ack")
    assert [m.plain for m in chat.messages(ops(chat))] == ["before"]
    chat.store._db.execute("PRAGMA query_only=OFF")
    await chat.edit(ops(chat), card, content("after"))
    assert [m.plain for m in chat.messages(ops(chat))] == ["after"]


def test_times_are_told_in_the_configured_zone() -> None:
    """Winter and summer, and the day where it matters."""
    winter, summer = datetime(2026, 1, 3, 1, 45, tzinfo=UTC), datetime(2026, 7, 31, 22, 5, tzinfo=UTC)
    assert MARKS.time(winter, "clock") == "02:45 CET"
    assert MARKS.time(winter, "date") == "3 Jan 02:45 CET"
    assert MARKS.time(summer, "date") == "1 Aug 00:05 CEST"


@pytest.mark.parametrize(
    ("outside", "shown"),
    [
        ("a <b> & `c`", "a ‹b› & ʼcʼ"),
        ("@alice", "@\u2060alice"),
        ("https://evil.example", "https:\u2060//evil.example"),
        ("evil\u202etxt.exe", "eviltxt.exe"),
        ("zero\u200bwidth\ufeff\u2060", "zerowidth"),
        ("a\r\nb\tc\x1b[31m", "a\nb    c[31m"),
        ("日本語 é 👍🏽 ❤️", "日本語 é 👍🏽 ❤️"),
    ],
)
def test_outside_text_is_shown_neutral(outside: str, shown: str) -> None:
    """SAFETY 19, 15."""
    assert MARKS.escape(outside) == shown


@given(st.text())
def test_neutral_text_is_neutral_whatever_comes(text: str) -> None:
    """SAFETY 19: no sequence of signs gets markup, a mention or a link through; twice changes nothing."""
    shown = MARKS.escape(text)
    assert not set(shown) & set("<>`\u202e\u200b\x00")
    assert "://" not in shown
    assert all(after == "\u2060" for after in (shown[i + 1 : i + 2] for i, c in enumerate(shown) if c == "@"))
    assert MARKS.escape(shown) == shown
    neutral(text).encode()


@given(st.text())
def test_any_title_makes_a_channel_name(text: str) -> None:
    name = channel_name(text)
    assert 0 < len(name) <= 80
    assert name == name.strip("-")


@given(st.text(st.characters()) | st.text(st.characters(categories=["Cs"])))
def test_any_text_can_be_said(text: str) -> None:
    """Half characters, control signs, nothing at all: it is kept, and nothing fails."""

    async def run() -> None:
        chat = console()
        await chat.says("alice", ops(chat), text)
        assert len(chat.messages(ops(chat))) == 1

    asyncio.run(run())
