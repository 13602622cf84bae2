"""`@command` marks a function; the registry collects the marked ones and knows their arguments and help."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Annotated, Any, Literal, NewType, get_args, get_origin, get_type_hints

Effect = Literal["incident", "read", "change", "danger"]
Who = Literal["anyone", "reporter", "responder", "approver"]

# Argument types beyond str, int, bool, Literal[...] and commands.catalogue.Service:
Text = NewType("Text", str)  # takes the rest of the line
Person = NewType("Person", str)  # a name of the configuration, typed with or without @
Name = NewType("Name", str)  # an identifier: letters, digits and . _ : / - only, not beginning with -
Pattern = NewType("Pattern", str)  # a Redis key pattern: Name plus * ? [ ]
Size = NewType("Size", str)  # an amount of memory in bytes, kb, mb or gb
Duration = NewType("Duration", int)  # seconds; 90s 30m 2h 3d
INJECTED = ("case", "ask", "ops")


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of an int argument, both included."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: positional, or `key=value` where `keyword`."""

    name: str
    type: Any
    required: bool
    default: Any
    keyword: bool
    choices: tuple[str, ...] = ()
    range: Range | None = None
    parameter: str = ""  # what the function calls it: `from_` for the argument `from`

    @property
    def rest(self) -> bool:
        """Whether it takes the rest of the line."""
        return self.type is Text


@dataclass(frozen=True, slots=True)
class Command:
    """A command as people type it; `run` is the marked function, `injected` what it wants handed in."""

    name: str
    run: Callable[..., Any]
    effect: Effect
    who: Who
    arguments: tuple[Argument, ...]
    injected: tuple[str, ...]
    help: str
    aliases: tuple[str, ...] = ()
    family: str = ""
    plans: bool = False  # whether a change can come of it although it is a read

    @property
    def summary(self) -> str:
        """The first line of the help."""
        return self.help.splitlines()[0] if self.help else ""

    @property
    def usage(self) -> str:
        """`scale SERVICE REPLICAS [for DURATION]`, made from the arguments."""
        words = [self.name]
        for a in self.arguments:
            word = f"{a.name}=…" if a.keyword else "|".join(a.choices) if a.choices else a.name.upper()
            words.append(word if a.required else f"[{word}]")
        return " ".join(words)

    @property
    def example(self) -> str:
        """The first example of the help, `/scale realtime 10`, or nothing."""
        first = next((line for line in self.help.splitlines() if line.startswith("/")), "")
        return first.partition("  ")[0]

    def needs(self, what: str, example: str = "") -> str:
        """The sentence for a line that lacks `what`; an example says more than the usage does."""
        example = example or self.example
        told = f", as in `{example}`." if example else f": {self.usage}"
        return f"{self.name} needs {what}{told}"


def command(
    name: str, *, effect: Effect, who: Who | None = None, aliases: tuple[str, ...] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a function as the command `name`; nothing is registered by importing it."""

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        marks = getattr(function, "__watchbell__", ())
        function.__watchbell__ = (*marks, (name, effect, who or "responder", aliases))  # type: ignore[attr-defined]
        return function

    return mark


@dataclass(frozen=True, slots=True)
class Registry:
    """Every command by name and alias."""

    commands: Mapping[str, Command]

    def find(self, words: list[str]) -> tuple[Command, int] | None:
        """The command that the first one or two words name, and how many words that took."""
        for count in (2, 1):
            found = self.commands.get(" ".join(words[:count]).casefold())
            if len(words) >= count and found is not None:
                return found, count
        return None

    def names(self) -> list[str]:
        """Every name, aliases left out, in order."""
        return sorted({c.name for c in self.commands.values()})


def collect(modules: Iterable[ModuleType]) -> Registry:
    """The registry of every marked function in `modules`; ValueError where two share a name."""
    found: dict[str, Command] = {}
    for module in modules:
        for _, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ != module.__name__:
                continue
            for name, effect, who, aliases in getattr(function, "__watchbell__", ()):
                made = _build(name, function, effect, who, aliases)
                for each in (name, *aliases):
                    if each in found:
                        raise ValueError(f"two commands are called {each!r}")
                    found[each] = made
    return Registry(found)


def _build(
    name: str, function: Callable[..., Any], effect: Effect, who: Who, aliases: tuple[str, ...]
) -> Command:
    hints = get_type_hints(function, include_extras=True)
    arguments, injected = [], []
    for p in inspect.signature(function).parameters.values():
        if p.name in INJECTED:
            injected.append(p.name)
        else:
            arguments.append(_argument(p, hints[p.name]))
    text = inspect.cleandoc(function.__doc__ or "")
    family = function.__module__.split(".")[1]  # incident or operations
    plans = any(getattr(kind, "__name__", "") == "Plan" for kind in get_args(hints.get("return")))
    return Command(
        name, function, effect, who, tuple(arguments), tuple(injected), text, aliases, family, plans
    )


def _argument(p: inspect.Parameter, hint: Any) -> Argument:
    required = p.default is inspect.Parameter.empty
    bounds = None
    if get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        bounds = next((e for e in extras if isinstance(e, Range)), None)
    options = [a for a in get_args(hint) if a is not type(None)]
    choices: tuple[str, ...] = ()
    if get_origin(hint) is Literal:
        choices, hint = tuple(get_args(hint)), str
    elif type(None) in get_args(hint):  # X | None
        hint = options[0]
        if get_origin(hint) is Literal:
            choices, hint = tuple(get_args(hint)), str
    return Argument(
        p.name.rstrip("_"),
        hint,
        required,
        None if required else p.default,
        p.kind is inspect.Parameter.KEYWORD_ONLY,
        choices,
        bounds,
        p.name,
    )
