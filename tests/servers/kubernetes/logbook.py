"""What containers wrote: lines of bytes with their times, of one pod or of all pods with some labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Json = dict[str, Any]
Line = tuple[datetime, bytes]


@dataclass
class Wanted:
    """Lines that every container of a pod with these labels writes when it starts."""

    namespace: str
    labels: dict[str, str]
    lines: list[bytes]
    container: str = ""  # empty: every container
    previous: bool = False

    def fits(self, pod: Json, container: str, previous: bool) -> bool:
        """Whether a container of a pod has these lines."""
        has = pod["metadata"].get("labels") or {}
        here = pod["metadata"]["namespace"] == self.namespace and self.previous is previous
        return here and self.container in ("", container) and self.labels.items() <= has.items()


@dataclass
class Logs:
    """All lines of a cluster."""

    wanted: list[Wanted] = field(default_factory=list)
    written: dict[tuple[str, str, bool], list[Line]] = field(default_factory=dict)  # by pod uid, container

    def write(self, uid: str, container: str, lines: list[Line], *, previous: bool = False) -> None:
        """A container writes; `previous`: the one before its last restart did."""
        self.written.setdefault((uid, container, previous), []).extend(lines)

    def read(self, pod: Json, container: str, started: datetime, *, previous: bool = False) -> list[Line]:
        """All lines of a container, oldest first."""
        at_start = [
            (started, line)
            for each in self.wanted
            if each.fits(pod, container, previous)
            for line in each.lines
        ]
        return [*at_start, *self.written.get((pod["metadata"]["uid"], container, previous), ())]
