"""A tale for the tests of what is said: real decisions, folded and announced as the log would."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from bot.announce import announce
from bot.cards import Card, action_card, incident_card
from bot.chat import Say
from bot.facts import PlainFacts, Tally
from bot.render import Renderer
from incidents import due, life
from incidents import events as e
from incidents import incident as incidents
from incidents.action import Action, fold
from incidents.incident import Incident
from incidents.oncall import Roster, Rota, Rung
from incidents.policy import Policy, Severity, Step

NIGHT = datetime(2026, 1, 3, 1, 30, tzinfo=UTC)  # 02:30 CET
MIN, HOUR = 60, 3600


def steps(*rows: tuple[Any, ...]) -> tuple[Step, ...]:
    return tuple(Step(*row[:3], **(row[3] if len(row) > 3 else {})) for row in rows)


POLICY = Policy(
    name="default",
    default_severity="high",
    ladder=("primary", "secondary", "team_lead", "manager", "vp", "cto"),
    labels={"manager": "engineering manager", "vp": "VP engineering", "cto": "CTO"},
    executives=("vp", "cto"),
    hold_above="secondary",
    severities=(
        Severity(
            "critical",
            0,
            clocks={"acknowledged": 15 * MIN},
            steps=steps(
                ("opened", "page", "primary"),
                ("late", "page", "secondary"),
                ("unresolved", "page", "team_lead", {"after": 30 * MIN}),
                ("unresolved", "page", "manager", {"after": HOUR}),
            ),
            remind_every=30 * MIN,
            unanswered=2,
            unanswered_page=("owner", "secondary"),
            stakeholders_every=30 * MIN,
            status_page="yes",
        ),
        Severity(
            "high",
            1,
            clocks={"acknowledged": HOUR},
            steps=steps(
                ("opened", "page", "primary"),
                ("late", "page", "secondary"),
                ("unresolved", "page", "team_lead", {"after": 30 * MIN}),
            ),
            remind_every=HOUR,
        ),
        Severity(
            "medium",
            2,
            clocks={"acknowledged": 4 * HOUR},
            steps=steps(
                ("opened", "notify", "primary"),
                ("late", "page", "primary"),
                ("late", "page", "secondary", {"after": HOUR}),
            ),
            remind_every=4 * HOUR,
        ),
        Severity(
            "low",
            3,
            clocks={"acknowledged": 24 * HOUR},
            steps=steps(("opened", "message", "team"), ("late", "notify", "primary")),
        ),
    ),
)
PEOPLE = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi")


@dataclass(frozen=True, slots=True)
class Somebody:
    display: str
    contacts: tuple[tuple[str, str], ...] = ()


def roster(**rungs: tuple[str, ...]) -> Roster:
    """alice and bob on rotas, the others on fixed rungs; a rung given by name is another one."""
    found = {
        "primary": Rung("primary", rota="primary"),
        "secondary": Rung("secondary", rota="secondary"),
        "team_lead": Rung("team_lead", people=("carol",)),
        "manager": Rung("manager", people=("dave",)),
        "vp": Rung("vp", people=("erin",)),
        "cto": Rung("cto", people=("frank",)),
    }
    found |= {name: Rung(name, people=people) for name, people in rungs.items()}
    rotas = {"primary": Rota("primary", ("alice",)), "secondary": Rota("secondary", ("bob",))}
    return Roster(found, rotas, fallback="dave")


@dataclass
class Tale:
    """Time passes with `wait`, people decide with `do`; `said` is everything since it was last read."""

    roster: Roster = field(default_factory=roster)
    policy: Policy = POLICY
    now: datetime = NIGHT
    incident: Incident | None = None
    actions: dict[int, Action] = field(default_factory=dict)
    says: list[Say] = field(default_factory=list)
    renderer: Renderer = field(default_factory=lambda: Renderer("Europe/Berlin"))
    people: dict[str, Somebody] = field(
        default_factory=lambda: {
            name: Somebody(name.capitalize(), (("sms", "+49"), ("phone", "+49"))) for name in PEOPLE
        }
    )

    def facts(self) -> PlainFacts:
        return PlainFacts(
            self.now,
            self.roster,
            self.incident,
            self.policy,
            people=self.people,
            zone="Europe/Berlin",
            tally=Tally(changes=2, undone=1, people=5),
        )

    @property
    def i(self) -> Incident:
        assert self.incident is not None
        return self.incident

    def open(self, severity: str = "critical", title: str = "Redis is down", **more: Any) -> list[Say]:
        found = self.policy.severity(severity)
        assert found is not None
        values: dict[str, Any] = {"service": "realtime", "by": "grace", "number": 42} | more
        return self.record(
            *life.open_incident(title=title, severity=found, policy=self.policy, now=self.now, **values)
        )

    def record(self, *events: e.Event) -> list[Say]:
        """As the log does: append, let fall due what is due now, announce in one batch."""
        steps: list[tuple[e.Event, Incident | None, Incident | None]] = []
        batch: list[e.Event] = []

        def add(event: e.Event) -> None:
            before = self.incident
            self.incident = incidents.fold(before, event)
            steps.append((event, before, self.incident))
            batch.append(event)

        for event in events:
            add(event)
        for event in due.due(self.i, self.policy, self.roster, self.now):
            add(event)
        made: list[Say] = []
        for event, before, after in steps:
            facts = replace(self.facts(), incident=after)
            made += announce(event, before, after, batch=batch, facts=facts)
        self.says = made
        return made

    def do(self, decision: Any, **values: Any) -> list[Say]:
        """A decision of incidents/life.py about the incident, now."""
        return self.record(*decision(self.i, now=self.now, **values))

    def wait(self, **lasts: float) -> list[Say]:
        """Time passes from due time to due time."""
        until = self.now + timedelta(**lasts)
        made: list[Say] = []
        while (at := due.next_due(self.i, self.policy)) is not None and at <= until:
            self.now = max(at, self.now)
            made += self.record()
        self.now = until
        self.says = made
        return made

    def away(self, **lasts: float) -> list[Say]:
        """Time passes and nobody looks until its end."""
        self.now += timedelta(**lasts)
        return self.record()

    def record_oncall(self, event: e.Event) -> list[Say]:
        self.says = announce(event, None, None, batch=[event], facts=self.facts())
        return self.says

    # -- actions ----------------------------------------------------------------------------------

    def act(self, number: int, *events: e.Event) -> list[Say]:
        made: list[Say] = []
        for event in events:
            before = self.actions.get(number)
            after = fold(before, event)
            assert after is not None
            self.actions[number] = after
            made += announce(event, before, after, batch=events, facts=self.facts())
        self.says = made
        return made

    def card(self, number: int | None = None, progress: Any = None, requests: Any = ()) -> str:
        """A card as it is now, as plain text with its buttons."""
        card = self.made(number, progress, requests)
        return self.plain(card.template, card.data) + "".join(f" [{b.label}]" for b in card.buttons)

    def made(self, number: int | None = None, progress: Any = None, requests: Any = ()) -> Card:
        if number is None:
            return incident_card(self.i, facts=self.facts(), requests=requests)
        return action_card(self.actions[number], facts=self.facts(), progress=progress)

    # -- reading ----------------------------------------------------------------------------------

    def plain(self, template: str, data: Any) -> str:
        """As delivered: through JSON, with the time of now."""
        kept = json.loads(orjson.dumps(data))
        return self.renderer.plain(template, {"now": self.now, **kept})

    def told(self, says: Sequence[Say] | None = None, channel: str = "") -> list[str]:
        """Every new message as `CHANNEL: TEXT [Button]`."""
        found = []
        for say in self.says if says is None else says:
            if say.op in ("say", "direct", "contact", "whisper") and (not channel or say.channel == channel):
                text = self.plain(say.template, say.data)
                found.append(f"{say.channel}: {text}" + "".join(f" [{b.label}]" for b in say.buttons))
        return found

    def here(self, says: Sequence[Say] | None = None) -> str:
        """Everything that was said in the incident's channel, as one text."""
        return "\n".join(text.partition(": ")[2] for text in self.told(says, "incident:42"))

    def mentioned(self, says: Sequence[Say] | None = None, channel: str = "incident:42") -> set[str]:
        found: set[str] = set()
        for say in self.says if says is None else says:
            if say.op == "say" and say.channel == channel:
                kept = json.loads(orjson.dumps(say.data))
                marks = self.renderer.plain_marks
                found |= set(self.renderer.render(say.template, {"now": self.now, **kept}, marks).mentions)
        return found


PLAN: dict[str, Any] = {
    "command": "scale",
    "line": "scale realtime 10",
    "summary": "scale realtime 3 → 10",
    "target": "sandbox",
    "verb": "scale",
    "args": {"service": "realtime", "replicas": 10},
    "subject": "deployment/realtime",
    "identity": "uid-1",
    "before": {"replicas": 3},
    "after": {"replicas": 10},
    "effect": "change",
    "environment": "production",
    "service": "realtime",
    "notes": ["CPU 92 %", "HPA keeps 2–8 and will undo this"],
    "undo": {"line": "scale realtime 3", "verb": "scale", "args": {}, "label": "3"},
    "private": False,
    "done": "realtime runs 10 replicas",
}


def proposed(at: datetime, number: int = 7, **more: Any) -> e.ActionProposed:
    values: dict[str, Any] = {
        "incident": 42,
        "channel": "console:C3",
        "plan": PLAN,
        "plan_hash": "h",
        "quorum": 1,
        "eligible": ("bob", "carol", "dave"),
        "expires_at": at + timedelta(minutes=15),
        "widen_at": at + timedelta(minutes=3),
    }
    return e.ActionProposed(at=at, actor="alice", number=number, **(values | more))
