"""Where the scenarios are played: the whole bot behind each chat platform, by the platform's name."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.play import Failure, play_one
from bot.play_script import Script, decode
from bot.play_stage import StageFactory
from tests.scenarios.configs import config_for

FOLDER = Path(__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.play"))


def _console() -> StageFactory:
    from bot.stage import stage

    return stage


STAGES: dict[str, Callable[[], StageFactory]] = {"console": _console}


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


async def rehearse(
    scenario: str, folder: Path, *, platform: str = "console", text: str | None = None
) -> Played:
    """Play a scenario (or another text in its place) in a fresh folder."""
    folder.mkdir(parents=True, exist_ok=True)
    out = io.StringIO()
    failures = await play_one(
        script(scenario, text),
        config=config_for(scenario, folder),
        data=folder,
        json=True,
        out=out,
        stage_factory=STAGES[platform](),
    )
    return Played(failures, [json.loads(line) for line in out.getvalue().splitlines()])
