"""A log in memory, a configuration and a sandbox of one number: what incident commands are tested on."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import commands.incident
from commands.actions import Ops, Outcome, Plan, Progress
from commands.case import Ask, Case, Row
from commands.catalogue import Catalogue, Service
from commands.grammar import Names, parse
from commands.registry import Registry, collect
from incidents import action, due, incident, oncall
from incidents import events as e
from incidents.action import FINAL, Action
from incidents.entries import Entry, wiped
from incidents.incident import Incident
from incidents.oncall import Roster, Rota, Rung
from incidents.policy import Policy, Severity, Step, digest
from incidents.ports import RefusedError

START = datetime(2026, 1, 3, 2, 30, tzinfo=UTC)
ROLES = {
    "alice": {"responder", "approver"},
    "bob": {"responder", "approver"},
    "carol": {"approver", "responder"},
    "dave": {"approver"},
    "heidi": {"responder"},
    "erin": set(),
    "frank": set(),
    "grace": {"reporter"},
    "mallory": set(),
}
FOLDS = {"incident": incident.fold, "action": action.fold, "oncall": oncall.fold}


def _policy() -> Policy:
    critical = Severity(
        "critical",
        0,
        aliases=("P0",),
        clocks={"acknowledged": 900},
        steps=(
            Step("opened", "page", "primary"),
            Step("late", "page", "secondary"),
            Step("unresolved", "page", "team_lead", after=1800),
            Step("unresolved", "page", "manager", after=3600),
        ),
        remind_every=1800,
        unanswered=2,
        unanswered_page=("owner", "secondary"),
    )
    high = replace(
        critical, name="high", rank=1, aliases=("P1",), remind_every=3600, steps=critical.steps[:3]
    )
    medium = Severity("medium", 2, aliases=("warning",), clocks={"acknowledged": 14_400})
    return Policy(
        "default",
        (critical, high, medium),
        "high",
        ("primary", "secondary", "team_lead", "manager", "vp", "cto"),
        labels={"vp": "VP engineering", "cto": "CTO", "manager": "engineering manager"},
        executives=("vp", "cto"),
    )


def _aiaas() -> Policy:
    p0 = Severity("P0", 0, aliases=("critical",), clocks={"acknowledged": 300})
    p1 = Severity("P1", 1, aliases=("warning",))
    return Policy("aiaas", (p0, p1), "P1", ("primary", "level2"), labels={"level2": "senior engineer"})


def _roster() -> Roster:
    rungs = {
        "primary": Rung("primary", rota="primary"),
        "secondary": Rung("secondary", rota="secondary"),
        "team_lead": Rung("team_lead", people=("carol",)),
        "manager": Rung("manager", people=("dave",)),
        "vp": Rung("vp", people=("erin",)),
        "cto": Rung("cto", people=("frank",)),
        "level2": Rung("level2", people=("heidi",)),
    }
    rotas = {
        "primary": Rota("primary", ("alice", "bob"), start=datetime(2025, 12, 29, 9, tzinfo=UTC)),
        "secondary": Rota("secondary", ("bob",)),
    }
    return Roster(rungs, rotas, fallback="dave")


@dataclass(frozen=True)
class Rules:
    """The configuration: two policies, two services, one contact outside."""

    policies: Mapping[str, Policy] = field(default_factory=lambda: {"default": _policy(), "aiaas": _aiaas()})
    catalogue: Catalogue = field(
        default_factory=lambda: Catalogue(
            {
                "realtime": Service("realtime", runbook="realtime"),
                "tool-service": Service("tool-service", aliases=("tools",), policy="aiaas"),
            }
        )
    )

    def policy_for(self, service: str | None, labels: Mapping[str, str]) -> Policy:
        found = self.catalogue.service(service) if service else None
        return self.policies[found.policy or "default"] if found else self.policies["default"]


class People:
    """Who may do what; approvers and responders may do what reporters do."""

    def can(self, person: str, role: str) -> bool:
        held = ROLES.get(person, set())
        return role == "anyone" or role in held or (role == "reporter" and bool(held))

    def with_role(self, role: str) -> tuple[str, ...]:
        return tuple(person for person in ROLES if self.can(person, role))


class Memory:
    """Streams in memory: commands.case.Log and commands.case.Reader in one."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.entries_: list[Entry] = []
        self.states: dict[str, Any] = {}
        self.base = _roster()
        self.adopted: set[str] = set()

    def record(self, stream: str, *events: e.Event) -> None:
        for event in events:
            self.entries_.append(Entry(len(self.entries_) + 1, stream, event))
            fold = FOLDS.get(stream.partition("-")[0])
            if fold is not None:
                self.states[stream] = fold(self.states.get(stream), event)

    def incident(self, number: int) -> Incident | None:
        return self.states.get(f"incident-{number}")

    def action(self, number: int) -> Action | None:
        return self.states.get(f"action-{number}")

    def adopt(self, policy: Policy) -> None:
        self.adopted.add(digest(policy))

    def next_number(self, of: str) -> int:
        return 1 + sum(stream.startswith(f"{of}-") for stream in self.states)

    def incidents(self) -> list[Incident]:
        return [s for s in self.states.values() if isinstance(s, Incident)]

    def similar(self, title: str, service: str | None) -> list[Incident]:
        return [
            i for i in self.incidents() if i.open and (i.title == title or (service and i.service == service))
        ]

    def actions(self, number: int | None, channel: str) -> list[Action]:
        found = [s for s in self.states.values() if isinstance(s, Action)]
        return [a for a in found if (a.incident == number if number is not None else a.channel == channel)]

    def pending(self, number: int | None, channel: str) -> list[Action]:
        return [a for a in self.actions(number, channel) if a.state not in FINAL]

    def message(self, channel: str, message_id: str) -> tuple[int, str, str] | None:
        for entry in self.entries_:
            ev = entry.event
            if isinstance(ev, e.MessagePosted) and (ev.channel, ev.message_id) == (channel, message_id):
                return entry.position, ev.actor, ev.text
        return None

    def find_messages(self, channel: str, words: str) -> list[str]:
        posted = [x.event for x in self.entries_ if isinstance(x.event, e.MessagePosted)]
        return [ev.message_id for ev in posted if ev.channel == channel and words in ev.text]

    def scrub(self, channel: str, message_id: str, by: str) -> tuple[int, ...]:
        found = []
        for index, entry in enumerate(self.entries_):
            if getattr(entry.event, "message_id", None) == message_id:
                self.entries_[index] = replace(entry, event=wiped(entry.event))
                found.append(entry.position)
        return tuple(found)

    @property
    def roster(self) -> Roster:
        return self.base.with_overrides(self.states.get("oncall-main"))

    def policy(self, found: Incident) -> Policy:
        assert found.policy in self.adopted
        return next(p for p in self.rules.policies.values() if digest(p) == found.policy)


class Reader:
    """The reads of `Memory`, for one person."""

    def __init__(self, memory: Memory, by: str) -> None:
        self.memory, self.by = memory, by

    async def incident(self, number: int) -> Incident | None:
        return self.memory.incident(number)

    async def action(self, number: int) -> Action | None:
        return self.memory.action(number)

    async def rows(
        self,
        *,
        open_only: bool = True,
        words: str = "",
        owner: str | None = None,
        since: datetime | None = None,
        limit: int = 50,
    ) -> Sequence[Row]:
        rows = [
            Row(i.number, i.title, i.state, i.severity, i.service, i.owner, None, i.opened_at, i.private)
            for i in reversed(self.memory.incidents())
            if (i.open or not open_only)
            and words.casefold() in f"{i.title} {i.service}".casefold()
            and owner in (None, i.owner)
            and (since is None or i.opened_at >= since)
            and (not i.private or self.by in (i.opened_by, *i.people))
        ]
        return rows[:limit]

    async def entries(self, number: int) -> list[Entry]:
        mine = {f"action-{a.number}" for a in self.memory.actions(number, "")}
        return [
            x for x in self.memory.entries_ if x.stream in {f"incident-{number}", f"chat-{number}", *mine}
        ]

    async def pending(self, number: int | None) -> list[Action]:
        found = [s for s in self.memory.states.values() if isinstance(s, Action) and s.state not in FINAL]
        return [a for a in found if number in (None, a.incident)]

    async def events(self, stream: str) -> list[Entry]:
        return [x for x in self.memory.entries_ if x.stream == stream]

    async def roster(self) -> Roster:
        return self.memory.roster

    async def policy(self, found: Incident) -> Policy:
        return self.memory.policy(found)


class Scaler:
    """A target that is one number: the replicas of realtime."""

    name = "sandbox"

    def __init__(self) -> None:
        self.replicas, self.identity = 3, "uid-1"

    async def plan(self, verb: str, **args: Any) -> Plan:
        wanted, now = args["replicas"], self.replicas
        return Plan(
            command="scale",
            line=f"scale realtime {wanted}",
            summary=f"scale realtime {now} → {wanted}",
            target=self.name,
            verb=verb,
            args=args,
            subject="realtime",
            identity=self.identity,
            before={"replicas": now},
            after={"replicas": wanted},
            undo={
                "line": f"scale realtime {now}",
                "verb": verb,
                "args": {"replicas": now},
                "label": str(now),
            },
        )

    async def observe(self, plan: Plan) -> tuple[str, Mapping[str, Any]]:
        return self.identity, {"replicas": self.replicas}

    async def run(self, plan: Plan, *, key: str, progress: Progress) -> Outcome:
        raise NotImplementedError

    follow = cancel = read = run


def registry() -> Registry:
    """Every incident command."""
    package = commands.incident
    names = [f"{package.__name__}.{found.name}" for found in pkgutil.iter_modules(package.__path__)]
    return collect(importlib.import_module(name) for name in names)


class House:
    """People type lines here; decisions are recorded, reads answered."""

    def __init__(self) -> None:
        self.now = START
        self.rules, self.people = Rules(), People()
        self.log = Memory(self.rules)
        self.registry = registry()
        self.scaler = Scaler()
        self.runbooks: dict[str, str] = {}
        self.zone = "Europe/Berlin"
        self._messages = 0

    def wait(self, minutes: float) -> None:
        """Time passes; what falls due in an incident is recorded."""
        end = self.now + timedelta(minutes=minutes)
        while True:
            dues = [(at, i) for i in self.log.incidents() if (at := due.next_due(i, self.log.policy(i)))]
            first = min(dues, key=lambda each: each[0], default=None)
            if first is None or first[0] > end:
                break
            at, i = first
            found = due.due(i, self.log.policy(i), self.log.roster, max(at, self.now))
            self.log.record(f"incident-{i.number}", *found)
        self.now = end

    async def says(self, by: str, line: str, number: int | None = 1, means: str = "command") -> Any:
        """What the command answers; RefusedError where it refuses."""
        names = Names(self.rules.catalogue, {person: person.capitalize() for person in ROLES})
        parsed = parse(line, self.registry, names)
        channel = f"console:inc-{number}" if number is not None else "console:ops"
        if parsed.command.effect == "incident":
            case = Case(
                by,
                self.now,
                channel,
                self.log,
                self.people,
                self.rules,
                number,
                self._posted(by, line, number),
                means,
            )
            reply = parsed.command.run(**parsed.values, case=case)
            self.wait(0)
            return reply
        ask = Ask(
            by,
            self.now,
            channel,
            number,
            Reader(self.log, by),
            self.people,
            self.rules,
            registry=self.registry,
            runbooks=self.runbooks,
            zone=self.zone,
            export=self._export,
        )
        injected: dict[str, Any] = {
            "ask": ask,
            "ops": Ops({"sandbox": self.scaler}, self.rules.catalogue, self),
        }
        wanted = {name: injected[name] for name in parsed.command.injected}
        return await parsed.command.run(**parsed.values, **wanted)

    async def refused(self, by: str, line: str, number: int | None = 1) -> str:
        """The sentence with which a line is refused."""
        try:
            answer = await self.says(by, line, number)
        except RefusedError as error:
            return str(error)
        raise AssertionError(f"not refused: {line}: {answer}")

    def _posted(self, by: str, line: str, number: int | None) -> str | None:
        if number is None:
            return None
        self._messages += 1
        ident = f"m{self._messages}"
        self.post(by, line, ident, number)
        return ident

    def post(self, by: str, text: str, ident: str, number: int = 1) -> None:
        """A message in an incident's channel."""
        posted = e.MessagePosted(
            at=self.now, actor=by, channel=f"console:inc-{number}", message_id=ident, text=text
        )
        self.log.record(f"chat-{number}", posted)

    async def _export(self, number: int, form: str) -> tuple[str, bytes, str]:
        return f"INC-{number}.{form}", b"bytes", "text/plain"

    async def opened(self, line: str = "/incident open critical Redis is down service=realtime") -> Incident:
        """An incident that grace opened in #ops."""
        await self.says("grace", line, None)
        return self.log.incidents()[-1]

    async def asked(
        self, replicas: int = 10, by: str = "alice", number: int | None = 1, lasts: int | None = None
    ) -> int:
        """A request to scale, for so many seconds where that is said; its number."""
        plan = await self.scaler.plan("scale", replicas=replicas)
        ident = self.log.next_number("action")
        proposed = e.ActionProposed(
            at=self.now,
            actor=by,
            number=ident,
            incident=number,
            channel=f"console:inc-{number}",
            plan=plan.to_data(),
            plan_hash=plan.hash,
            quorum=1,
            eligible=tuple(p for p in ("alice", "bob", "carol", "dave") if p != by),
            expires_at=self.now + timedelta(minutes=15),
            revert_after=lasts,
        )
        self.log.record(f"action-{ident}", proposed)
        return ident

    def ran(self, number: int) -> None:
        """The action was approved, ran and ended as planned."""
        action = self.log.action(number)
        assert action is not None
        self.scaler.replicas = action.plan["after"]["replicas"]
        stream = f"action-{number}"
        self.log.record(stream, e.ActionApproved(at=self.now, actor="bob", voters=("bob",)))
        self.log.record(stream, e.ActionStarted(at=self.now, actor=e.BOT, boot="b", voters=("bob",)))
        after = dict(action.plan["after"])
        self.log.record(
            stream, e.ActionFinished(at=self.now, actor=e.BOT, text="realtime runs", after=after, seconds=20)
        )

    def events(self, stream: str, kind: type[e.Event]) -> list[Any]:
        """The events of one kind in a stream."""
        return [x.event for x in self.log.entries_ if x.stream == stream and isinstance(x.event, kind)]


def text_of(answer: Any) -> str:
    """Everything that an answer or a reply says, on lines."""
    if answer is None:
        return ""
    if hasattr(answer, "template"):
        return str(answer.data["text"])
    table = answer.table
    rows = [table.columns, *table.rows] if table is not None else []
    parts = [answer.headline, *(" ".join(row) for row in rows), *answer.lines, answer.text]
    return "\n".join(part for part in parts if part)
