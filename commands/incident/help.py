"""Help: the commands by family, or one of them with its examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from commands.actions import Answer
from commands.case import Ask, File
from commands.registry import Command, Registry, Text, command
from commands.values import nearest, shown
from incidents.ports import RefusedError

HIDDEN = frozenset({"answer", "cannot", "keep"})  # what buttons send; nobody has to type them
_FAMILIES = {"incident": "Incidents", "operations": "Operations"}
# What stands together in `/help`, by the modules that hold it; `_ELSE` is the line of every other one.
_GROUPS: Mapping[str, tuple[str, ...]] = {
    "Incidents": ("opening", "life", "look", "catchup", "stats"),
    "People": ("people", "oncall", "simulation"),
    "Record": ("record", "runbook", "scrub"),
    "Requests": ("approvals", "breakglass", "undo"),
    "Kubernetes": ("kubernetes", "kubernetes_around"),
    "Compose": ("compose",),
    "Redis": ("redis",),
    "PostgreSQL": ("postgres",),
    "MongoDB": ("mongo",),
    "Figures": ("alerts", "health", "prometheus"),
}
_ELSE = "More"
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
async def help_(name: Text | None = None, *, ask: Ask) -> Answer | File:
    """Show what I can do, or how one command is typed.

    /help               every command by name
    /help incidents     the commands for incidents, a line each
    /help operations    the commands for systems, a line each
    /help redis         those that begin with a word
    /help scale         one command, with examples
    """
    registry: Registry = ask.registry
    if name is None:
        return _all(registry)
    family = next((f for f, title in _FAMILIES.items() if name.casefold() in (f, title.casefold())), None)
    if family is not None:
        return _family(registry, family)
    return _together_with(registry, name) or _one(_find(registry, name))


def _listed(registry: Registry, family: str) -> list[Command]:
    found = [registry.commands[name] for name in registry.names() if name not in HIDDEN]
    return [each for each in found if each.family == family]


def _all(registry: Registry) -> Answer:
    """Every name, a line for each group: short enough that no chat cuts it off."""
    found = [each for family in _FAMILIES for each in _listed(registry, family)]
    groups: dict[str, list[str]] = {title: [] for title in _GROUPS}
    for each in found:
        groups.setdefault(_group(each), []).append(each.name)
    lines = tuple(f"{title}: {_together(names)}" for title, names in groups.items() if names)
    headline = "“/help NAME” explains a command; where a / does not reach, “!NAME” does the same."
    return Answer(headline, lines=lines, private=True)


def _group(found: Command) -> str:
    module = found.run.__module__.rpartition(".")[2]
    return next((title for title, modules in _GROUPS.items() if module in modules), _ELSE)


def _together(names: Iterable[str]) -> str:
    """Names that begin alike as one: redis info | keys | ping, which may be broken anywhere on a phone."""
    seconds: dict[str, list[str]] = {}
    for name in names:
        first, _, second = name.partition(" ")
        seconds.setdefault(first, []).append(second)
    told = []
    for first, found in seconds.items():
        told += [first] if "" in found else []
        if more := " | ".join(second for second in found if second):
            told.append(f"{first} {more}")
    return ", ".join(told)


def _family(registry: Registry, family: str) -> File:
    found = _listed(registry, family)
    text = "\n".join(f"/{each.usage}\n    {each.summary}" for each in found)
    headline = f"{_FAMILIES[family]}: {len(found)} commands; “/help NAME” explains one of them."
    return File(f"{family}-commands.txt", f"{text}\n".encode(), "text/plain", headline)


def _together_with(registry: Registry, name: str) -> Answer | None:
    """The commands that begin with that word, a line each: all of redis; None where it is one command, or none."""
    first = name.casefold().lstrip("/!").strip()
    found = [each for family in _FAMILIES for each in _listed(registry, family)]
    members = [each for each in found if each.name.startswith(f"{first} ")]
    if len(members) < 2 or first in registry.commands:
        return None
    lines = tuple(f"/{each.name}: {each.summary}" for each in members)
    headline = f"{first}: {len(members)} commands; “/help {members[0].name}” explains one of them."
    return Answer(headline, lines=lines, file_name=f"{first}-commands.txt", private=True)


def _find(registry: Registry, name: str) -> Command:
    words = name.casefold().lstrip("/!").split()
    for typed in (words, words[1:] if words[:1] in (["incident"], ["inc"]) else [], ["incident", *words]):
        found = registry.find(typed) if typed else None
        if found is not None:
            return found[0]
    hint = nearest(" ".join(words), registry.commands, 3)
    raise RefusedError(f"There is no command {shown(name)}.{hint or ' `/help` lists them.'}")


def _one(found: Command) -> Answer:
    """Its docstring: the first line above, the examples as they stand."""
    note = f"For {_WHO[found.who]}."
    if found.effect in _EFFECTS:
        note += f" {_EFFECTS[found.effect]}"
    if found.aliases:
        note += f" Also: {', '.join(f'/{alias}' for alias in found.aliases)}."
    text = "\n".join([f"/{found.usage}", *found.help.splitlines()[1:]])
    return Answer(found.summary, lines=(note,), text=text, private=True)
