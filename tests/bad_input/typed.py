"""What people type: any text, commands with right, nearly right and wrong arguments, made from the registry."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from bot.app import registry
from commands.catalogue import Service
from commands.registry import Argument, Command, Duration, Name, Pattern, Person, Size, Text

REGISTRY = registry()
COMMANDS = [REGISTRY.commands[name] for name in REGISTRY.names()]
ALL_NAMES = sorted(REGISTRY.commands)

RIGHT: dict[Any, str] = {
    str: "word",
    int: "1",
    bool: "yes",
    Service: "realtime",
    Person: "@bob",
    Name: "realtime",
    Pattern: "session:*",
    Size: "4gb",
    Duration: "30m",
    Text: "it drops again",
}
WRONG = (
    "-1",
    "10.5",
    "99999999999999999999",
    "realtme",
    "@nobody",
    "“half",
    "30 minutes",
    '{"a":',
    "re\u0430l\u202e\u200b🔥日本語",
)
NASTY = [
    *("", " ", "\n", "\t", "\x00", "\x1b[31m", "\u200b", "\u202e", "\ufeff", "\u2028", "\ud800", "\udfff"),
    *(
        "é",
        "ع",
        "日本語",
        "🔥",
        "👩‍👩‍👧",
        "ﷺ",
        "Z̸̧",
        "'",
        '"',
        "“",
        "”",
        "`",
        "```",
        "$(reboot)",
        "{{7*7}}",
        "{%",
        "%s",
    ),
    *(
        "\\",
        "<!channel>",
        "@here",
        "@room",
        "<script>",
        "http://x/y",
        "—",
        "–",
        "--",
        "-",
        "=",
        "eta=",
        "due=x",
    ),
    *("NaN", "1e9", "１０", "٣", "#1", "INC-1", "INC-99", "0", "1", "to", "for", "all", "null", "true"),
    *("{", "[1,", '{"a":', "a=b", "realtime", "redis", "@bob", "@watchbell", "30m", "critical", "x" * 3000),
]
SIGNS = ("/", "!", "@watchbell ", "/wb ", "/incident ", "／", "//", "/ ", "@Watchbell: /")

# What the bot never says by itself, so that nothing that is typed may hold it.
INNARDS = re.compile(
    r"Traceback|Something went wrong|Watchbell reference|\b[A-Z]\w*(?:Error|Exception)\b|<class |object at 0x"
    r"|\bNoneType\b|\bNone\b"
)


def outer(text: str) -> str:
    """The text without the bot's inside in it."""
    return INNARDS.sub("it", text)


WORDS = st.one_of(st.sampled_from(NASTY), st.sampled_from(WRONG), st.text(max_size=12).map(outer))
TALK = st.one_of(
    st.text(max_size=200),
    st.lists(WORDS, max_size=8).map(" ".join),
    st.lists(WORDS, max_size=8).map("".join),
    st.binary(max_size=60).map(lambda data: data.decode("latin-1")),
).map(outer)
EMOJI = st.one_of(
    st.sampled_from(
        ["✅", "❌", "📌", "✅\ufe0f", "👍🏽", ":white_check_mark:", "☑️", "\u200b", "🏴", "x" * 33]
    ),
    st.text(max_size=8).map(outer),
)


def right(command: Command, argument: Argument) -> str:
    """A value that this argument takes."""
    if argument.choices:
        return argument.choices[0]
    special = {
        ("incident open", "severity"): "high",
        ("severity", "level"): "high",
        ("simulate", "severity"): "high",
        ("simulate", "when"): "3h",
        ("describe", "name"): "realtime",
        ("help", "name"): "scale",
        ("remind", "cadence"): "every 15m",
        ("query", "name"): "p95-latency",
        ("oncall", "rota"): "primary",
        ("toggle", "key"): "BACKPRESSURE_THRESHOLD",
        ("toggle", "new"): "0.9",
        ("promql", "expression"): "up",
        ("redis flush", "database"): "redis",
        ("runbook", "name"): "redis",
    }
    return special.get((command.name, argument.name), RIGHT[argument.type])


def typed(argument: Argument, value: str) -> str:
    """The argument as it stands in a line."""
    return f"{argument.name}={value}" if argument.keyword else value


def every_wrong_type(family: str) -> Iterator[str]:
    """For every command and every argument each wrong value, the other arguments right; and one left out."""
    for command in (each for each in COMMANDS if each.family == family):
        arguments = command.arguments
        whole = [typed(a, right(command, a)) for a in arguments]
        yield f"/{command.name} surplus ünexpected"
        for place, argument in enumerate(arguments):
            needed = [w for w, a in zip(whole, arguments, strict=True) if a.required and a is not argument]
            yield f"/{command.name} {' '.join(needed)}"
            for wrong in WRONG:
                words = [*whole[:place], typed(argument, wrong), *whole[place + 1 :]]
                kept = [w for w, a in zip(words, arguments, strict=True) if a.required or a is argument]
                yield f"/{command.name} {' '.join(kept)}"


@st.composite
def lines(draw: st.DrawFn) -> str:
    """A command's line: its name, and arguments right, wrong, missing, too many or in another order."""
    command = REGISTRY.commands[draw(st.sampled_from(ALL_NAMES))]
    words = []
    for argument in command.arguments:
        value = draw(st.one_of(st.none(), st.just(right(command, argument)), WORDS))
        if value is not None:
            words.append(typed(argument, value))
    if draw(st.integers(0, 4)) == 0:
        words = draw(st.permutations(words))
    if draw(st.integers(0, 3)) == 0:
        words.append(draw(WORDS))
    name = draw(st.sampled_from([command.name, command.name.upper(), f"{command.name}.", f" {command.name}"]))
    return draw(st.sampled_from(SIGNS)) + " ".join([name, *words])


ANYTHING = st.one_of(lines(), lines(), TALK, TALK.map("/".__add__), TALK.map("/note ".__add__)).map(outer)
