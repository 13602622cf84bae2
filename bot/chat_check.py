"""What `watchbell check` says of a chat: a line for each thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was looked at: whether it is right, and the sentence that says so.

    `doubtful` is what is no fault of the configuration, and yet somebody should look at it.
    """

    right: bool
    text: str
    doubtful: bool = False

    def __str__(self) -> str:
        told = "warn" if self.doubtful else "ok" if self.right else "wrong"
        return f"{told:<6}{self.text}"


def right(text: str) -> Line:
    """What is as it has to be."""
    return Line(True, text)


def wrong(text: str) -> Line:
    """What has to be mended before the bot can do its work."""
    return Line(False, text)


def doubtful(text: str) -> Line:
    """What the bot can work with, and may be a mistake, or trouble elsewhere."""
    return Line(True, text, doubtful=True)
