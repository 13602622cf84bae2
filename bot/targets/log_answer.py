"""What is shown of the logs of several containers, by time; why there are none of one stands above."""

from __future__ import annotations

from collections.abc import Sequence

from commands.actions import Answer
from commands.values import shown
from incidents.wording import counted

MOST_BYTES = 1024**2  # of a container's log
SEARCHED = 5000  # lines of a container that are looked through for a word

Said = tuple[str, str, str]  # time, text and whose line it is


def answer(
    head: str,
    of: str,
    parts: Sequence[tuple[Sequence[Said], str]],
    more: str,
    *,
    tail: int,
    grep: str | None,
) -> Answer:
    """The newest lines of all containers by time; why there are none of one, and `more`, what was left out, above."""
    found = sorted((line for lines, _ in parts for line in lines), key=lambda line: line[0])[-tail:]
    notes = [why for why in (*(why for _, why in parts), more) if why]
    matching = f" with {shown(grep)}" if grep else ""
    title = f"{head} · {counted(len(found), 'line')}{matching}"
    if not found:
        return Answer(title, lines=(f"Nothing{matching} in that time.", *notes))
    plain = [text if len(parts) < 2 else f"{who} {text}" for _, text, who in found]
    return Answer(title, lines=tuple(notes), text="\n".join(plain), file_name=f"{of}.log")
