"""docs/commands.md, made from the commands themselves: `python -m tests.house.commands_page > docs/commands.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from bot.app import registry
from commands.incident.help import HIDDEN
from commands.registry import Command

TOP = """\
# The commands

<!-- Made from the docstrings by `python -m tests.house.commands_page > docs/commands.md`; do not edit it here. -->

One grammar in every chat. `/scale realtime 10`, `!scale realtime 10` and `@watchbell scale realtime 10` \
are the same, in threads too; `/incident ack` and `/inc ack` are `/ack`, and so for every command about \
incidents. `/help NAME` shows in chat what stands here.

- CAPITALS are yours to fill in, `[…]` may be left out, `a|b` is one of the two.
- The last TEXT or TITLE takes the rest of the line; quotation marks are optional. `name=…` stands after it.
- Durations are `90s`, `30m`, `2h`, `3d`. Services and people are names of the configuration, or their aliases. \
A misspelt one is refused, and the nearest ones are named.
- `--dry-run` after a change shows what would be done, and does nothing.
- `for 30m` after a change that can be taken back takes it back by itself, counted from its end. It is announced five \
minutes before, with a button to keep it.
- A change is asked for in the channel of an incident or in a configured operations channel, nowhere else. \
[safety.md](safety.md) explains what happens then.

| needs | means |
| --- | --- |
| nobody | it only looks, or it only changes what is recorded about the incident |
| 1 approval | a change: somebody else has to approve it |
| 2 approvals | a danger: two others have to approve it |

The configuration can ask for more approvals, for a command, a service or an environment, never for fewer. \
`scale` to 0 replicas counts as a danger.
"""
FAMILIES = {
    "incident": ("Incidents", "What is recorded, said and timed. Nothing here touches a system."),
    "operations": (
        "Operations",
        "What looks at systems and changes them; [operations.md](operations.md) says which, and how each is undone.",
    ),
}
NEEDS = {"incident": "nobody", "read": "nobody", "change": "1 approval", "danger": "2 approvals"}
UNDO = "nobody for 30 min, then as the change"  # the one command whose approval was given before
WHO = {
    "anyone": "everybody",
    "reporter": "everybody with a role",
    "responder": "responders",
    "approver": "approvers",
}
BUTTONS = """
## What buttons send

Nobody has to type these, though everybody can.
"""


def page() -> str:
    """The whole page; it ends with a new line."""
    found = registry()
    every = [found.commands[name] for name in found.names()]
    shown = [command for command in every if command.name not in HIDDEN]
    parts = [TOP]
    for family, (title, what) in FAMILIES.items():
        members = [command for command in shown if command.family == family]
        parts += [f"\n## {title}\n\n{what}\n", _table(members), *map(_entry, members)]
    parts += [BUTTONS, *(_entry(command) for command in every if command.name in HIDDEN)]
    return "".join(parts)


def _table(commands: Iterable[Command]) -> str:
    rows = [
        f"| [`{c.name}`](#{_anchor(c)}) | {_cell(c.summary)} | {WHO[c.who]} | {_needs(c)} |\n"
        for c in commands
    ]
    return "".join(["\n| command | does | for | needs |\n| --- | --- | --- | --- |\n", *rows])


def _entry(command: Command) -> str:
    facts = [f"For {WHO[command.who]}."]
    if command.effect in ("change", "danger"):
        facts.append(f"Needs {_needs(command)}.")
    if command.aliases:
        facts.append(f"Also: {', '.join(f'`{alias}`' for alias in command.aliases)}.")
    examples = "\n".join(command.help.splitlines()[2:])
    block = f"\n```\n{examples}\n```\n" if examples else ""
    return f"\n### {command.name}\n\n`{command.usage}`\n\n{command.summary} {' '.join(facts)}\n{block}"


def _needs(command: Command) -> str:
    return UNDO if command.name == "undo" else NEEDS[command.effect]


def _anchor(command: Command) -> str:
    return command.name.replace(" ", "-")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(page())
