"""`watchbell check`, beyond the file: every chat whose tokens are set, and every real target, is asked about it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import typer

from bot.chat_check import Line
from bot.clock import SystemClock
from bot.config import Settings
from bot.targets.build import check
from incidents.ports import RefusedError

# Of each chat the secret without which it cannot be asked.
_TOKENS = {"slack": "bot_token", "matrix": "access_token"}


async def ask(settings: Settings, data: Path) -> bool:
    """Ask chats and targets, a line for each thing; whether all is right. RefusedError where a library is missing."""
    faults = {name: await _faults(name, settings, data) for name in _TOKENS if _asked(name, settings)}
    for name, count in faults.items():
        if count:
            told = f"{name.title()} is not in order: {_mended(count)}; docs/{name}.md helps."
            typer.echo(told, err=True)
    return not any([*faults.values(), await _targets(settings)])


def _mended(count: int) -> str:
    return f"{count} of these {'is' if count == 1 else 'are'} to be mended"


async def _targets(settings: Settings) -> int:
    """Say what every real target answers; how much of it is wrong."""
    count, width = 0, max(map(len, ["target", *settings.targets]))
    async for name, line in check(settings, SystemClock()):
        typer.echo(f"{name:<{width}} {line}", err=not line.right)
        count += not line.right
    if count:
        told = f"Not every target is in order: {_mended(count)}; docs/operations.md helps."
        typer.echo(told, err=True)
    return count


def _asked(name: str, settings: Settings) -> bool:
    return settings.platforms.get(name, {}).get(_TOKENS[name]) is not None


async def _faults(name: str, settings: Settings, data: Path) -> int:
    """Say what a chat answers; how much of it is wrong."""
    count = 0
    async for line in _lines(name, settings, data):
        typer.echo(f"{name:<6} {line}", err=not line.right)
        count += not line.right
    return count


def _lines(name: str, settings: Settings, data: Path) -> AsyncIterator[Line]:
    try:
        if name == "slack":
            from bot.platforms import slack_check

            return slack_check.check(settings)
        from bot.platforms import matrix_check

        return matrix_check.check(settings, data)
    except ModuleNotFoundError as error:
        raise RefusedError(
            f"{name.title()} needs the package {error.name}; "
            f"install watchbell with its extra: watchbell[{name}]."
        ) from error
