"""Where the scenarios are played: the whole bot behind each chat platform, by the platform's name."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.play import Failure, play_one
from bot.play_script import Deletes, Edits, Reacts, Says, Script, decode
from bot.play_stage import StageFactory
from tests.scenarios.configs import config_for

FOLDER = Path(__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.play"))


def _console(kept: Collection[str] = ()) -> StageFactory:
    from bot.stage import stage

    return stage


def _slack(kept: Collection[str] = ()) -> StageFactory:
    from tests.scenarios.slack_stage import factory

    return factory(sockets=False, kept=kept)


def _slack_socket(kept: Collection[str] = ()) -> StageFactory:
    from tests.scenarios.slack_stage import factory

    return factory(sockets=True, kept=kept)


def _matrix(kept: Collection[str] = ()) -> StageFactory:
    from tests.scenarios.matrix_stage import factory

    return factory()


def _matrix_encrypted(kept: Collection[str] = ()) -> StageFactory:
    from tests.scenarios.matrix_stage import factory

    return factory(encrypted=True)


# Each may be told which lines have to stay messages, where commands need not be any.
STAGES: dict[str, Callable[..., StageFactory]] = {
    "console": _console,
    "slack": _slack,
    "slack_socket": _slack_socket,
    "matrix": _matrix,
    "matrix_encrypted": _matrix_encrypted,
}


@dataclass(frozen=True, slots=True)
class Played:
    """What came of one run: the expectations that failed, and the records of `--json`."""

    failures: list[Failure]
    records: list[dict[str, Any]]

    def did(self, do: str) -> list[dict[str, Any]]:
        """The records of one kind, in order."""
        return [record for record in self.records if record["do"] == do]


def text_of(scenario: str) -> str:
    """The script of a scenario."""
    return (FOLDER / f"{scenario}.play").read_text(encoding="utf-8")


def script(scenario: str, text: str | None = None) -> Script:
    """A scenario, or another text in its place."""
    return decode((text_of(scenario) if text is None else text).encode(), str(FOLDER / f"{scenario}.play"))


def kept(script: Script) -> list[str]:
    """Parts of the lines that somebody edits, deletes, reacts to or answers later: these are messages."""
    found: list[str | None] = []
    for step in script.steps:
        match step:
            case Edits():
                found.append(step.old)
            case Deletes():
                found.append(step.text)
            case Reacts():
                found.append(step.spot.text)
            case Says():
                found.append(step.thread)
            case _:
                continue
    return [text for text in found if text is not None]


async def rehearse(
    scenario: str, folder: Path, *, platform: str = "console", text: str | None = None
) -> Played:
    """Play a scenario (or another text in its place) in a fresh folder."""
    folder.mkdir(parents=True, exist_ok=True)
    out = io.StringIO()
    played = script(scenario, text)
    failures = await play_one(
        played,
        config=config_for(scenario, folder),
        data=folder,
        json=True,
        out=out,
        stage_factory=STAGES[platform](kept=kept(played)),
    )
    return Played(failures, [json.loads(line) for line in out.getvalue().splitlines()])


def holds(played: Played) -> None:
    """Every expectation held, and the records are what docs/rehearsals.md says of those of every rehearsal."""
    assert not played.failures, "\n".join(str(failure) for failure in played.failures)
    records = played.records
    assert [r["at"] for r in records] == sorted(r["at"] for r in records)
    assert [r["line"] for r in records] == sorted(r["line"] for r in records)
    for record in records:
        assert (record["do"] == "event") == (record["event"] is not None), record
        assert (record["do"] == "event") == (record["text"] is None), record
        assert record["do"] != "page" or len(record["to"]) == 1, record
        assert record["card"] != "reminder" or "no update" in record["text"], record
    asked = [r for r in records if r["event"] == "ActionProposed"]
    cards = [r for r in records if r["do"] == "say" and r["card"] == "approval"]
    assert len(cards) <= len(asked)  # a covered undo and a way back are not asked for
    reminders = [r for r in records if r["event"] == "ReminderDue"]
    assert len(reminders) == len([r for r in records if r["do"] == "say" and r["card"] == "reminder"])
