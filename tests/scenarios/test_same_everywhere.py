"""What the bot does and keeps of an incident does not depend on the chat it happened in."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests import EVERYTHING
from tests.scenarios.chosen import COMPARED, EXPORTED
from tests.scenarios.slack_stage import factory
from tests.scenarios.stages import STAGES, Played, holds, rehearse, text_of

FILE = "kept.json"


async def exported(scenario: str, platform: str, folder: Path) -> dict[str, Any]:
    """INC-1 as the JSON export tells it, once the scenario was played."""
    text = f"{text_of(scenario)}\nexport 1 json {FILE}\n"
    played = await rehearse(scenario, folder / platform, platform=platform, text=text)
    holds(played)
    found: dict[str, Any] = orjson.loads((folder / FILE).read_bytes())
    return found


def compared(scenario: str) -> list[str]:
    """The chats held against the browser chat: Slack and Matrix always, the first of each list in every form."""
    every = EVERYTHING or scenario in (EXPORTED[0], COMPARED[0])
    return [chat for chat in STAGES if chat != "console" and (every or chat in ("slack", "matrix"))]


def told(export: dict[str, Any]) -> list[tuple[str, ...]]:
    """The timeline: when, who, what kind of thing, and in which words."""
    return [(row["at"], row["actor"], row["kind"], row["text"]) for row in export["timeline"]]


@pytest.mark.parametrize("scenario", EXPORTED)
async def test_an_export_is_the_same_from_every_chat(
    scenario: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kinds, actors, words and times of the timeline, and what is reckoned from them."""
    monkeypatch.chdir(tmp_path)
    exports = {chat: await exported(scenario, chat, tmp_path) for chat in ("console", *compared(scenario))}
    timeline = told(exports["console"])
    assert len(timeline) > 3
    for platform, export in exports.items():
        assert told(export) == timeline, platform
        assert export["metrics"] == exports["console"]["metrics"], platform


def did(played: Played) -> Counter[tuple[Any, ...]]:
    """Everything that the bot did, at what time and at which line; in what order within one is the chats' own."""
    holds(played)
    names = ("at", "line", "do", "event", "channel", "card", "text")
    return Counter((*(r[name] for name in names), *sorted(r["to"]), *r["buttons"]) for r in played.records)


@pytest.mark.parametrize("scenario", COMPARED)
async def test_the_bot_does_the_same_in_every_chat(scenario: str, tmp_path: Path) -> None:
    """Messages with their words, mentions and buttons, edits, reactions, pages, and what is recorded."""
    here = did(await rehearse(scenario, tmp_path / "console"))
    assert len(here) > 10
    for platform in compared(scenario):
        assert did(await rehearse(scenario, tmp_path / f"on_{platform}", platform=platform)) == here, platform


async def test_events_that_slack_delivers_twice_count_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SAFETY 7: every message and reaction comes a second time, and nothing more is done."""
    monkeypatch.setitem(STAGES, "twice", partial(factory, sockets=True, twice=True))
    once = did(await rehearse("two_approvals", tmp_path / "once", platform="slack_socket"))
    assert did(await rehearse("two_approvals", tmp_path / "twice", platform="twice")) == once
