"""The table of docs/operations.md, made from the commands: `python -m tests.house.operations_page` writes it anew."""

from __future__ import annotations

from pathlib import Path

from bot.app import registry
from commands.registry import Command

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
BEGIN, END = (
    "<!-- The table is made by `python -m tests.house.operations_page`. -->\n",
    "<!-- The table ends. -->\n",
)
NEEDS = {"read": "nobody", "change": "1 approval", "danger": "2 approvals"}
# Command → how it is taken back. Every change has a row here, so that nobody forgets to say it.
UNDO = {
    "compose memory": "the former limit, where there was one",
    "compose restart": "no",
    "compose scale": "the former number",
    "cordon": "uncordon",
    "uncordon": "cordon",
    "pause": "resume",
    "resume": "pause",
    "pod delete": "no; another takes its place",
    "maintenance": "the former state",
    "mongo killop": "no",
    "pg analyze": "nothing to take back",
    "pg cancel": "no",
    "pg reindex": "no",
    "pg terminate": "no",
    "redis del": "up to 100 small keys, no sessions: for 30 minutes; else no",
    "redis flush": "no",
    "redis kill": "no; clients connect again",
    "redis maxmemory": "the former limit",
    "redis policy": "the former policy",
    "redis restore": "no",
    "restart": "no",
    "rollback": "the revision before",
    "scale": "the former number",
    "silence": "ends the silence",
    "toggle": "the former value",
    "unsilence": "no",
}


def operations() -> list[Command]:
    """Every command that looks at systems or changes them."""
    found = registry()
    return [found.commands[name] for name in found.names() if found.commands[name].family == "operations"]


def table() -> str:
    """The rows; LookupError where a change has no word about its undo."""
    rows = ["| command | does | needs | undo |\n", "| --- | --- | --- | --- |\n"]
    for command in operations():
        if command.effect != "read" and command.name not in UNDO:
            raise LookupError(f"say in UNDO, above, how {command.name} is taken back")
        undo = UNDO.get(command.name, "–")
        summary = command.summary.replace("|", "\\|")
        anchor = command.name.replace(" ", "-")
        link = f"[`{command.name}`](commands.md#{anchor})"
        rows.append(f"| {link} | {summary} | {NEEDS[command.effect]} | {undo} |\n")
    return "".join(rows)


def written(text: str) -> str:
    """The page with its table as it should be."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
