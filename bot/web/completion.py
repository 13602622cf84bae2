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
    named = {"rota", *context.settings.words}
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
                "arguments": [_argument(a, command.name, named) for a in command.arguments],
            }
        )
    kinds = {
        **{name: list(words) for name, words in context.settings.words.items()},
        "rota": list(context.settings.rotas),
        "service": list(context.settings.services),
        "person": [f"@{name}" for name in (*console.people, BOT)],
        "command": context.registry.names(),
    }
    return {"commands": found, "kinds": kinds}


def _argument(argument: Argument, command: str, named: set[str]) -> dict[str, Any]:
    bounds = argument.range
    return {
        "name": argument.name,
        "required": argument.required,
        "keyword": argument.keyword,
        "rest": argument.rest,
        "choices": list(argument.choices),
        "flag": argument.type is bool,
        "kind": _kind(argument, command, named),
        "hint": f"{bounds.low} to {bounds.high}" if bounds else _HINTS.get(argument.type, ""),
    }


_HINTS: dict[Any, str] = {
    int: "a number",
    registry.Duration: "30m, 2h, 3d",
    registry.Pattern: "a pattern such as session:*",
    registry.Size: "512mb, 4gb",
    registry.Text: "the rest of the line",
}


def _kind(argument: Argument, command: str, named: set[str]) -> str:
    if argument.type in (Service, registry.Person):
        return "service" if argument.type is Service else "person"
    if command == "help":
        return "command"
    return argument.name if argument.name in named else ""
