"""The Target port: plans without effect, frozen plans that run once, and what came of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Protocol

from commands.catalogue import Catalogue
from incidents.ports import Clock


@dataclass(frozen=True, slots=True)
class Plan:
    """A change as it will be run, whole: typed arguments, the target's identity and the state observed.

    `subject` names what is changed (one running action a subject); `identity` and `before` must still hold when
    it runs, else it is void. All values are plain JSON. `undo` is a line of the same grammar plus the verb and
    arguments that bring `before` back, or None where nothing can. `typed` is a word that the requester has to
    have typed (the name of a database to be flushed).
    """

    command: str
    line: str
    summary: str
    target: str
    verb: str
    args: Mapping[str, Any]
    subject: str
    identity: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    effect: Literal["change", "danger"] = "change"
    environment: str = "production"
    service: str | None = None
    notes: tuple[str, ...] = ()
    undo: Mapping[str, Any] | None = (
        None  # {"line": "scale realtime 3", "verb": …, "args": {…}, "label": "3"}
    )
    private: bool = False
    stoppable: bool = False  # whether the target can stop it once it runs
    done: str = ""  # how the finished card says it: "realtime runs 10 replicas"

    def noting(self, remark: str) -> Plan:
        """The same, with one more thing that its card says."""
        return replace(self, notes=(*self.notes, remark))

    def graver_than(self, approved: Plan) -> bool:
        """Whether this is a danger where `approved` was none, so that the approval of that does not cover this."""
        return self.effect == "danger" and approved.effect != "danger"

    def to_data(self) -> dict[str, Any]:
        """Plain JSON, for the log."""
        data: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return data

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Plan:
        """The plan of `to_data`'s result."""
        return cls(**{**data, "notes": tuple(data["notes"])})

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON: what votes are cast on."""
        text = json.dumps(self.to_data(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Undo:
    """A plan that brings back what action `number` changed; `covered` by its approval, or asked anew."""

    plan: Plan
    number: int
    covered: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run. `unknown`: it may have happened, nothing proves it; it is never run again.

    Of a failed one `stands` says that it is in force all the same, or a part of it, as a rollout that got stuck.
    """

    kind: Literal["done", "failed", "unknown"]
    text: str
    after: Mapping[str, Any] = field(default_factory=dict)
    answer: Answer | None = None  # for changes that show something (a key's value), privately
    stands: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows of text; `right` are the columns aligned to the right, `remarks` one per row or none."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[int, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a read gives back: a headline, then a table, lines, or text that becomes a file when long."""

    headline: str
    table: Table | None = None
    lines: tuple[str, ...] = ()
    text: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
    file_name: str = "output.txt"
    private: bool = False
    chart: bytes = b""  # a picture (PNG) beside what is said
    figures: tuple[float, ...] = ()  # the values that are shown, for those who reckon with them


Progress = Callable[[int, int, str], Awaitable[None]]  # done, total, what of


class TargetError(Exception):
    """A target refused or failed before anything changed; its text is a sentence for the person."""


class NoAnswerError(Exception):
    """A target did not answer in time: what it was asked to do may have happened. Its text is a sentence."""


class Target(Protocol):
    """One kind of system. Plans have no effect; `run` is called at most once for a plan.

    It is given up on after a while; `answers_within` and `ends_within` (seconds, for looks and for changes) say
    otherwise.
    """

    name: str

    async def plan(self, verb: str, **args: Any) -> Plan:
        """Look, check the bounds, and say what would happen. Raises RefusedError or TargetError."""
        ...

    async def observe(self, plan: Plan) -> tuple[str, Mapping[str, Any]]:
        """Identity and state now, with the keys of `plan.before`."""
        ...

    async def run(self, plan: Plan, *, key: str, progress: Progress) -> Outcome:
        """Do it; `key` marks the change on the target where that is possible, as a proof after a crash."""
        ...

    async def follow(self, plan: Plan, *, key: str, progress: Progress) -> Outcome | None:
        """After a crash: the outcome where the target proves that the change was accepted, else None."""
        ...

    async def cancel(self, plan: Plan, *, key: str) -> bool:
        """Stop a run where that can be done; False where it cannot."""
        ...

    async def read(self, verb: str, **args: Any) -> Answer:
        """Look at something. Raises RefusedError or TargetError."""
        ...


@dataclass(frozen=True, slots=True)
class Ops:
    """What operations commands are handed: the targets by name, the catalogue, the clock."""

    targets: Mapping[str, Target]
    catalogue: Catalogue
    clock: Clock

    def target(self, name: str) -> Target:
        """The target `name`; TargetError where the configuration has none."""
        if name not in self.targets:
            raise TargetError(
                f"No {name} target is configured; add one under `targets:` in the configuration."
            )
        return self.targets[name]
