"""What `watchbell check` says of a chat: a line for each thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was looked at: whether it is right, and the sentence that says so."""

    right: bool
    text: str

    def __str__(self) -> str:
        return f"{'ok' if self.right else 'wrong':<6}{self.text}"


def right(text: str) -> Line:
    """What is as it has to be."""
    return Line(True, text)


def wrong(text: str) -> Line:
    """What has to be mended before the bot can do its work."""
    return Line(False, text)
