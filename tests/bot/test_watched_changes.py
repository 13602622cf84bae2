"""The whole bot beside a Prometheus that may be slow, away or odd: cards come in time, looks survive a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bot.app import boot
from bot.evidence import last_runs
from bot.logbook import Logbook
from bot.sandbox_pager import SandboxPager
from bot.stage import targets_of
from commands.actions import Answer, Plan, TargetError
from commands.catalogue import Sli, WatchTerms
from incidents import events as e
from incidents.ports import Clock
from tests.safety.rig import Change, Chat, OddStage, example

SLI = Sli("p95", "p95{}", "s")
SECRET = "password=Sw0rdfish-4711"


class Figures:
    """A Prometheus that shows what it is told to, when it is told to."""

    name = "prometheus"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.values: tuple[float, ...] = (0.12,)
        self.error: Exception | None = None
        self.silent = False
        self.asked: list[dict[str, Any]] = []

    async def read(self, verb: str, **args: Any) -> Answer:
        """One answer, an error, or none for ever."""
        self.asked.append({"verb": verb, **args})
        if self.silent:
            await self._clock.sleep(86_400)
        if self.error is not None:
            raise self.error
        return Answer("figures", figures=self.values)


class WatchedStage(OddStage):
    """A stage with that Prometheus, which outlives the bot."""

    figures: Figures

    async def start(self) -> None:
        """Start a bot on the sandbox, with other figures."""
        targets = targets_of(self.settings, self.world, self.clock)
        targets["prometheus"] = self.figures  # type: ignore[assignment]
        made = boot(
            self.settings,
            self.data,
            platforms=dict(self.chats),
            targets=targets,
            pager=SandboxPager(self.console, self.world),
            clock=self.clock,
            observe=lambda stream, event, number: self.happened.append((stream, event)),
        )
        self.bots.append(await self._lives.enter_async_context(made))
        await self.bots[-1].start()


def watched(settings: Any) -> Any:
    """realtime and chat-adapters are judged by the same figure; what is 20 % more is worse."""
    services = dict(settings.catalogue.services)
    for name in ("realtime", "chat-adapters"):
        services[name] = replace(services[name], sli=SLI, watch=WatchTerms(600, 0.2, True))
    return replace(settings, catalogue=replace(settings.catalogue, services=services))


@asynccontextmanager
async def chatting(folder: Path, *changes: Change) -> AsyncIterator[tuple[Chat, Figures]]:
    stage = WatchedStage(example(watched, *changes), folder)
    stage.figures = Figures(stage.clock)
    try:
        await stage.start()
        chat = Chat(stage)
        await chat.settle()
        await chat.opens()
        yield chat, stage.figures
    finally:
        await stage.close()


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[tuple[Chat, Figures]]:
    """A bot that runs, with an incident, and its Prometheus."""
    async with chatting(tmp_path) as found:
        yield found


async def scaled(chat: Chat, line: str = "/scale realtime 10") -> None:
    """alice asks, bob approves, and it is done."""
    await chat.alice.says(line)
    await chat.bob.reacts(chat.card(), "✅")
    await chat.waits(30)


# -- on the card ----------------------------------------------------------------------------------


async def test_the_card_shows_the_figure_and_says_the_same_later(both: tuple[Chat, Figures]) -> None:
    """What was measured when it was asked is kept: a card that is made anew shows the same words."""
    chat, figures = both
    await chat.alice.says("/scale realtime 10")
    assert "p95 120 ms now" in chat.card().plain
    figures.values = (0.9,)
    await chat.waits(200)  # the others are asked, and the card is edited
    assert "p95 120 ms now" in chat.card().plain
    assert figures.asked[0]["expression"] == SLI.query


async def test_a_silent_prometheus_keeps_the_card_two_seconds(both: tuple[Chat, Figures]) -> None:
    """Just before them there is no card, after them it says what is missing; an undo waits for nothing."""
    chat, figures = both
    figures.silent = True
    await chat.alice.says("/scale realtime 10")
    await chat.waits(1.9)
    assert chat.cards() == 0
    await chat.waits(0.2)
    assert "SLI unavailable: no answer within 2 s" in chat.card().plain
    await chat.bob.reacts(chat.card(), "✅")
    await chat.waits(40)
    asked = len(figures.asked)
    await chat.alice.says("/undo 1")
    assert chat.replicas() == 3
    assert len(figures.asked) == asked


@pytest.mark.parametrize(
    ("values", "error", "told"),
    [
        ((), None, "SLI unavailable: the query has no value now"),
        ((1.0, 2.0), None, "SLI unavailable: the query has 2 series, and an SLI is one"),
        ((float("nan"),), None, "SLI unavailable: the query has no number now"),
        ((float("inf"),), None, "SLI unavailable: the query has no number now"),
        ((1e307,), None, "SLI unavailable: the query has a number that is too large to be a figure"),
        ((), TargetError("Prometheus is away."), "SLI unavailable: Prometheus is away"),
        ((), ValueError("<!channel> @room\nsecond"), "SLI unavailable: ValueError: ‹!channel›"),
        ((), TargetError("x" * 1000), "x…"),
    ],
)
async def test_why_there_is_no_figure(
    both: tuple[Chat, Figures], values: tuple[float, ...], error: Exception | None, told: str
) -> None:
    """In one line, harmless, whatever went wrong."""
    chat, figures = both
    figures.values, figures.error = values, error
    await chat.alice.says("/scale realtime 10")
    lines = [line for line in chat.card().plain.split("\n") if "SLI unavailable" in line]
    assert len(lines) == 1
    assert told in lines[0]
    assert len(lines[0]) < 200
    assert "@room" not in lines[0]


async def test_safety_20_a_secret_in_a_reason_is_nowhere(both: tuple[Chat, Figures]) -> None:
    """It is taken out before it is recorded."""
    chat, figures = both
    figures.error = TargetError(f"the proxy said {SECRET}.")
    await scaled(chat)
    assert chat.bot_said().count("the proxy said password=‹redacted›") > 0
    for found in (chat.log_bytes(), chat.chat_bytes()):
        assert b"Sw0rdfish" not in found


async def test_the_last_three_runs_of_the_same_command_on_the_same_thing(both: tuple[Chat, Figures]) -> None:
    """The newest first, with what came of them; others, and what never ran, do not count."""
    chat, _figures = both
    for line in ("/scale realtime 4", "/scale chat-adapters 4", "/scale realtime 5", "/restart realtime"):
        await scaled(chat, line)
    await chat.alice.says("/scale realtime 9")
    await chat.alice.says("/deny 5")
    await scaled(chat, "/scale realtime 6")
    await scaled(chat, "/scale realtime 7")
    await chat.alice.says("/scale realtime 8")
    [line] = [line for line in chat.card().plain.split("\n") if line.startswith("Last time:")]
    assert [part.split()[0] for part in line.removeprefix("Last time: ").split(" · ")] == ["#7", "#6", "#3"]
    assert line.count("alice, done") == 3


async def test_what_ran_in_a_private_incident_is_told_there_only(both: tuple[Chat, Figures]) -> None:
    """Neither its number nor its time is anybody else's business."""
    chat, _figures = both
    await chat.opens("/incident open low Somebody is leaving service=realtime --private")
    await chat.stage.chat.arrange(chat.channel, invite=("bob",))
    await scaled(chat)
    await chat.alice.says("/scale realtime 11")
    assert "Last time: #1" in chat.card().plain
    chat.number = 1
    await chat.alice.says("/scale realtime 12")
    assert "Last time" not in chat.card().plain


async def test_the_last_runs_are_found_by_an_index(both: tuple[Chat, Figures]) -> None:
    """However long the history is: the database looks up, and sorts nothing."""
    chat, _figures = both
    await scaled(chat)
    action = await chat.action(1)
    bot = chat.stage.bot

    def unit(u: Any) -> tuple[list[str], list[dict[str, Any]]]:
        query = (
            "EXPLAIN QUERY PLAN SELECT actions.number FROM actions LEFT OUTER JOIN incidents "
            "ON incidents.number = actions.incident WHERE actions.target = 'a' AND actions.command = 'b' "
            "AND actions.state IN ('done', 'failed', 'unknown') ORDER BY actions.number DESC LIMIT 3"
        )
        book = Logbook(u, bot.desk, bot.clock.now())
        return [row.detail for row in u.execute(text(query))], last_runs(book, Plan.from_data(action.plan), 1)

    steps, runs = await bot.store.run(unit)
    assert "ix_actions_target_command_number" in steps[0]
    assert not any("TEMP B-TREE" in step for step in steps)
    assert [run["number"] for run in runs] == [1]


# -- watching -------------------------------------------------------------------------------------


async def test_better_and_worse(both: tuple[Chat, Figures]) -> None:
    """As good: an edit and no message. Worse: one message, whose button takes it back."""
    chat, figures = both
    await scaled(chat)
    figures.values = (0.095,)
    before = len(chat.messages())
    await chat.waits(700)
    assert "p95 120 → 95 ms: as good as before" in chat.card(1).plain
    assert len(chat.messages()) == before
    figures.values = (0.12,)
    await scaled(chat, "/scale realtime 9")
    figures.values = (0.48,)
    await chat.waits(200)
    worse = chat.messages()[-1]
    assert "worse than before: p95 120 → 480 ms" in worse.plain
    await chat.waits(700)
    assert chat.messages()[-1].id == worse.id
    assert chat.replicas() == 9  # nothing is taken back by itself
    await chat.alice.presses("Undo → 10", worse)
    await chat.waits(30)
    assert chat.replicas() == 10


async def test_a_change_waits_two_seconds_for_its_figure_and_then_runs(both: tuple[Chat, Figures]) -> None:
    """Nobody can compare then, which is said once."""
    chat, figures = both
    await chat.alice.says("/scale realtime 10")
    figures.silent = True
    await chat.bob.reacts(chat.card(), "✅")
    await chat.waits(1.9)
    assert chat.replicas() == 3
    await chat.waits(0.2)
    assert chat.replicas() == 10
    chat.mark()
    await chat.waits(900)
    assert chat.bot_said().count("⚠️ #1 p95 cannot be compared: no answer within 2 s") == 1


async def test_a_restart_loses_no_look(both: tuple[Chat, Figures]) -> None:
    """Killed while Prometheus is silent, and again between looks: it goes on with the terms of then."""
    chat, figures = both
    await scaled(chat)
    figures.silent = True
    await chat.waits(62)
    assert (await chat.action()).watch.asked  # type: ignore[union-attr]
    figures.silent, figures.values = False, (0.5,)
    await chat.restarts()
    seen = await chat.events("action-1", e.WatchMeasured)
    assert [look.value for look in seen] == [0.5]
    await chat.waits(70)
    await chat.restarts(lambda s: replace(s, catalogue=example().catalogue))
    await chat.waits(70)
    [end] = await chat.events("action-1", e.WatchEnded)
    assert end.text == "worse than before: p95 120 → 500 ms"
    assert len(await chat.events("action-1", e.WatchMeasured)) == 3


async def test_a_long_absence_is_said(both: tuple[Chat, Figures]) -> None:
    """Hours later the figure says nothing about the change any more."""
    chat, _figures = both
    await scaled(chat)
    await chat.stage.kill()
    chat.stage.clock.wake(chat.stage.clock.now() + timedelta(hours=3))
    await chat.stage.start()
    await chat.settle()
    [end] = await chat.events("action-1", e.WatchEnded)
    assert end.verdict == "unmeasured"
    assert "I was away" in chat.card(1).plain


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["/undo 1"], "#2 takes it back"),
        (["/restart realtime"], "#2 changes realtime, too"),
        (["/resolve done", "/incident close"], "INC-1 was closed"),
        (["/restart chat-adapters"], ""),
        (["/resolve done"], ""),
    ],
)
async def test_what_ends_it_from_outside(both: tuple[Chat, Figures], lines: list[str], why: str) -> None:
    """With a sentence on the card; what another service does, or a resolve, does not."""
    chat, figures = both
    await scaled(chat)
    for line in lines:
        await chat.alice.says(line)
    if "restart" in lines[0]:
        await chat.bob.reacts(chat.card(), "✅")
    asked = len(figures.asked)
    watch = (await chat.action()).watch
    assert watch is not None
    assert watch.verdict == ("stopped" if why else "")
    assert why in watch.text
    if why and "restart" not in lines[0]:
        await chat.waits(700)
        assert len(figures.asked) == asked
        [card] = [m.plain for m in chat.messages() if m.plain.startswith("✅ #1 ")]
        assert f"p95 is not watched any more: {why}" in card


async def test_a_change_of_a_private_incident_ends_it_without_its_number(both: tuple[Chat, Figures]) -> None:
    """The card outside tells that another one has started, and nothing else."""
    chat, _figures = both
    await scaled(chat)
    await chat.opens("/incident open low Somebody is leaving service=realtime --private")
    await chat.stage.chat.arrange(chat.channel, invite=("bob",))
    await scaled(chat, "/restart realtime")
    assert (await chat.action(2)).started_at is not None
    watch = (await chat.action(1)).watch
    assert watch is not None
    assert watch.text == "p95 is not watched any more: another change of realtime has started"


async def test_safety_12_a_watched_change_and_one_that_conflicts(both: tuple[Chat, Figures]) -> None:
    """The second is void, asked again with the difference and the figure, and the first is still followed."""
    chat, figures = both
    await chat.alice.says("/scale realtime 10")
    await chat.alice.says("/scale realtime 5")
    await chat.bob.reacts(chat.card(1), "✅")
    await chat.bob.reacts(chat.card(2), "✅")
    figures.values = (0.1,)
    await chat.waits(40)
    assert (chat.ran, chat.replicas()) == ({1: 1}, 10)
    assert (await chat.action(2)).state == "void"
    assert "scale realtime 10 → 5" in chat.card(3).plain
    assert "Last time: #1" in chat.card(3).plain
    assert (await chat.action(1)).watch.running  # type: ignore[union-attr]


async def test_looks_edit_no_card(both: tuple[Chat, Figures]) -> None:
    """Ten looks, and the incident's card and the request's are edited at the end only."""
    chat, _figures = both
    await scaled(chat)
    chat.mark()
    await chat.waits(540)
    assert chat.bot_said() == ""
