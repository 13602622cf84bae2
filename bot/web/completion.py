"""What the chat's command line offers: every command with its help, and what its arguments may be."""

from __future__ import annotations

from typing import Any

from bot.platforms.console import Console
from bot.web.context import WebContext
from commands import registry
from commands.catalogue import Service
from commands.registry import Argument
from incidents.events import BOT


def completion(context: WebContext, console: Console) -> dict[str, Any]:
    """Commands, and the names that they take: `kinds` maps a kind of argument to its words."""
    found = []
    for name in context.registry.names():
        command = context.registry.commands[name]
        found.append(
            {
                "name": command.name,
                "aliases": list(command.aliases),
                "usage": command.usage,
                "summary": command.summary,
                "help": command.help,
                "effect": command.effect,
                "arguments": [_argument(a) for a in command.arguments],
            }
        )
    kinds = {
        "service": list(context.settings.services),
        "person": [f"@{name}" for name in (*console.people, BOT)],
        "command": context.registry.names(),
    }
    return {"commands": found, "kinds": kinds}


def _argument(argument: Argument) -> dict[str, Any]:
    bounds = argument.range
    return {
        "name": argument.name,
        "required": argument.required,
        "keyword": argument.keyword,
        "rest": argument.rest,
        "choices": list(argument.choices),
        "kind": _kind(argument),
        "hint": f"{bounds.low} to {bounds.high}" if bounds else _HINTS.get(argument.type, ""),
    }


_HINTS: dict[Any, str] = {
    int: "a number",
    registry.Duration: "30m, 2h, 3d",
    registry.Pattern: "a pattern such as session:*",
    registry.Text: "the rest of the line",
}


def _kind(argument: Argument) -> str:
    if argument.type is Service:
        return "service"
    return "person" if argument.type is registry.Person else ""
