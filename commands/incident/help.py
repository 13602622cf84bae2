"""Help: the commands by family, or one of them with its examples."""

from __future__ import annotations

from collections import defaultdict

from commands.actions import Answer
from commands.case import Ask
from commands.registry import Command, Registry, Text, command
from commands.values import nearest, shown
from incidents.ports import RefusedError

HIDDEN = frozenset({"answer", "cannot", "keep"})  # what buttons send; nobody has to type them
_FAMILIES = {"incident": "Incidents", "operations": "Operations"}
_EFFECTS = {
    "change": "It asks for the approval of somebody else.",
    "danger": "It asks for the approvals of two others.",
}
_WHO = {
    "anyone": "everybody",
    "reporter": "everybody with a role",
    "responder": "responders",
    "approver": "approvers",
}


@command("help", effect="read", who="reporter")
async def help_(name: Text | None = None, *, ask: Ask) -> Answer:
    """Show what I can do, or how one command is typed.

    /help
    /help scale
    """
    registry: Registry = ask.registry
    if name is None:
        return _all(registry)
    return _one(_find(registry, name))


def _find(registry: Registry, name: str) -> Command:
    words = name.casefold().lstrip("/!").split()
    for typed in (words, words[1:] if words[:1] in (["incident"], ["inc"]) else [], ["incident", *words]):
        found = registry.find(typed) if typed else None
        if found is not None:
            return found[0]
    hint = nearest(" ".join(words), registry.commands, 3)
    raise RefusedError(f"There is no command {shown(name)}.{hint or ' `/help` lists them.'}")


def _one(found: Command) -> Answer:
    lines = [f"/{found.usage}", "", *found.help.splitlines()[2:], "", f"For {_WHO[found.who]}."]
    if found.effect in _EFFECTS:
        lines[-1] += f" {_EFFECTS[found.effect]}"
    if found.aliases:
        lines.append(f"Also: {', '.join(f'/{alias}' for alias in found.aliases)}")
    return Answer(found.summary, lines=tuple(lines), private=True)


def _all(registry: Registry) -> Answer:
    families: dict[str, list[Command]] = defaultdict(list)
    for name in registry.names():
        if name not in HIDDEN:
            families[registry.commands[name].family].append(registry.commands[name])
    lines: list[str] = []
    for family in sorted(families, key=lambda f: (f not in _FAMILIES, f)):
        lines += ["", _FAMILIES.get(family, family.capitalize())]
        lines += [f"/{each.usage}: {each.summary}" for each in families[family]]
    headline = "`/help NAME` explains one command; where a / does not reach, `!name` does the same."
    return Answer(headline, text="\n".join(lines).strip(), file_name="commands.txt", private=True)
