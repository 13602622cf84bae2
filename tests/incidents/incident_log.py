"""Incidents written down by hand, as the log has them, for the tests of timeline, report and exports."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from incidents import events as e
from incidents.timeline import Entry

START = datetime(2026, 1, 3, 1, 31, tzinfo=UTC)
CHANNEL = "console:inc-42"


def at(minutes: float) -> datetime:
    """So many minutes after the start of the story."""
    return START + timedelta(minutes=minutes)


class Log:
    """Events in the order in which they are written, each with the next position."""

    def __init__(self, number: int = 42) -> None:
        self.number = number
        self.entries: list[Entry] = []

    def add(
        self, kind: type[e.Event], minutes: float, actor: str = e.BOT, stream: str = "", **body: Any
    ) -> int:
        """Write one event and return its position."""
        event = kind(at=at(minutes), actor=actor, **body)
        position = len(self.entries) + 1
        self.entries.append(Entry(position, stream or f"incident-{self.number}", event))
        return position

    def opened(self, minutes: float = 0, actor: str = "alertmanager", **body: Any) -> int:
        """The opening; critical, first response within 15 minutes."""
        values: dict[str, Any] = {
            "number": self.number,
            "title": "Redis is down",
            "severity": "critical",
            "rank": 0,
            "policy": "abc",
            "clocks": {"acknowledged": at(minutes + 15)},
        }
        return self.add(e.IncidentOpened, minutes, actor, **values | body)

    def said(self, minutes: float, actor: str, text: str, message_id: str, **body: Any) -> int:
        """A message in the channel."""
        values = {"channel": CHANNEL, "message_id": message_id, "text": text} | body
        return self.add(e.MessagePosted, minutes, actor, f"chat-{self.number}", **values)

    def edited(self, minutes: float, actor: str, text: str, message_id: str) -> int:
        """An edit."""
        body = {"channel": CHANNEL, "message_id": message_id, "text": text}
        return self.add(e.MessageEdited, minutes, actor, f"chat-{self.number}", **body)

    def deleted(self, minutes: float, actor: str, message_id: str) -> int:
        """A deletion."""
        body = {"channel": CHANNEL, "message_id": message_id}
        return self.add(e.MessageDeleted, minutes, actor, f"chat-{self.number}", **body)

    def scrubbed(self, minutes: float, actor: str, message_id: str, *positions: int) -> int:
        """A scrub."""
        body = {"message_id": message_id, "positions": positions}
        return self.add(e.MessageScrubbed, minutes, actor, f"chat-{self.number}", **body)

    def asked(self, number: int, minutes: float, actor: str, line: str, summary: str, **body: Any) -> None:
        """A requested change."""
        values = {
            "number": number,
            "incident": self.number,
            "channel": CHANNEL,
            "plan": {"line": line, "summary": summary, "service": "realtime", "undo": {"label": "3"}},
            "plan_hash": f"hash{number}",
            "quorum": 1,
            "eligible": ("bob", "carol"),
            "expires_at": at(minutes + 15),
        }
        self.add(e.ActionProposed, minutes, actor, f"action-{number}", **values | body)

    def voted(self, number: int, minutes: float, person: str, choice: str = "approve") -> None:
        """A vote by reaction."""
        body = {"person": person, "choice": choice, "means": "reaction", "plan_hash": f"hash{number}"}
        self.add(e.VoteCast, minutes, person, f"action-{number}", **body)

    def ran(self, number: int, minutes: float, text: str, *voters: str, seconds: float = 41) -> None:
        """Approved, started and finished."""
        stream = f"action-{number}"
        self.add(e.ActionApproved, minutes, voters[-1] if voters else e.BOT, stream, voters=voters)
        self.add(e.ActionStarted, minutes, e.BOT, stream, boot="b", voters=voters)
        done = {"text": text, "after": {"replicas": 10}, "seconds": seconds}
        self.add(e.ActionFinished, minutes + seconds / 60, e.BOT, stream, **done)


def story() -> list[Entry]:
    """A night with everything in it: pages, a late clock, changes, an undo, a reopening, the review."""
    log = Log()
    _first_minutes(log)
    _repair(log)
    _second_round(log)
    _review(log)
    return log.entries


def _first_minutes(log: Log) -> None:
    alert = {
        "source": "alertmanager",
        "fingerprint": "f1",
        "starts_at": at(-4),
        "name": "RedisDown",
        "summary": "redis_up is 0 for 2 minutes",
        "service": "redis",
        "labels": {"severity": "critical"},
        "url": "https://prometheus.company.com/graph?g0.expr=redis_up&g0.tab=1",
    }
    log.opened(service="realtime", services=("realtime", "redis"), group_key="g", since=at(-12))
    log.add(e.AlertAttached, 0, "alertmanager", **alert)
    log.add(e.ChannelBound, 0, platform="console", channel="inc-42", name="inc-42-redis-is-down")
    page = {"key": "opened::page:primary", "due": at(0), "do": "page", "rung": "primary", "why": "opened"}
    log.add(e.EscalationDue, 0, people=("alice",), **page)
    log.add(e.PageRepeated, 5, people=("alice",), due=at(5), count=1)
    log.add(e.PageRepeated, 10, people=("alice",), due=at(10), count=2)
    log.add(e.ResponseLate, 15, clock="acknowledged", due=at(15), allowed=900)
    late = {"key": "late:acknowledged:page:secondary", "due": at(15), "do": "page", "rung": "secondary"}
    log.add(e.EscalationDue, 15, people=("bob",), late="acknowledged", why="late", **late)
    log.said(16, "grace", "customers say the chat is frozen", "m1")
    log.said(16.5, "bob", "same here, I am at the laptop in a minute", "m2", thread="m1")
    log.add(e.Acknowledged, 17, "bob", text="looking at it")
    log.add(
        e.AlertAttached,
        18,
        "alertmanager",
        **alert
        | {
            "fingerprint": "f2",
            "name": "WS_OVERLOAD",
            "summary": "backpressure drops on realtime",
            "service": "realtime",
        },
    )


def _repair(log: Log) -> None:
    log.add(e.RoleTaken, 18, "bob", role="commander", person="carol")
    log.add(e.NoteAdded, 19, "bob", text="memory was at 100 % since 02:19", message_id="m3")
    log.said(19, "bob", "!note memory was at 100 % since 02:19", "m3")
    log.edited(20, "bob", "!note memory was at 100 % since 02:17", "m3")
    log.add(e.StatusChanged, 22, "bob", status="investigating", text="")
    log.asked(7, 24, "bob", "restart redis", "restart redis")
    log.voted(7, 24.5, "carol")
    log.ran(7, 24.5, "redis restarted", "carol", seconds=25)
    log.said(27, "carol", "restart did nothing, the failover never happened", "m4")
    log.add(
        e.MessagePinned,
        28,
        "bob",
        message_id="m4",
        author="carol",
        text="restart did nothing, the failover never happened",
        written_at=at(27),
    )
    log.add(
        e.EscalationDue,
        30,
        key="unresolved::page:team_lead",
        due=at(30),
        do="page",
        rung="team_lead",
        people=("carol",),
        why="unresolved",
    )
    log.add(
        e.StatusChanged,
        33,
        "bob",
        status="identified",
        text="sentinel lost its quorum, no replica was promoted",
    )
    log.add(e.EtaSet, 33, "bob", eta=at(60))
    log.asked(8, 35, "bob", "scale realtime 10", "scale realtime 3 → 10")
    log.add(
        e.VoteRefused,
        35.2,
        "bob",
        "action-8",
        person="bob",
        means="reaction",
        why="bob, that one is yours: somebody else has to approve #8 (carol can).",
    )
    log.voted(8, 36, "carol")
    log.ran(8, 36, "realtime runs 10 replicas", "carol")
    log.asked(9, 40, "carol", "redis maxmemory 4gb", "redis maxmemory 2gb → 4gb")
    log.voted(9, 41, "bob", "deny")
    log.add(e.ActionDenied, 41, "bob", "action-9", why="the host has 3 GB")
    log.said(42, "mallory", "password is hunter2", "m5")
    log.scrubbed(43, "carol", "m5")
    log.said(44, "alice", "wrong channel", "m6")
    log.deleted(45, "alice", "m6")
    log.add(e.Updated, 52, "bob", text="replica promoted by hand, sockets are coming back")
    log.add(e.EtaSet, 52, "bob", eta=at(75), before=at(60))
    log.add(
        e.AlertCleared,
        61,
        "alertmanager",
        source="alertmanager",
        fingerprint="f1",
        starts_at=at(-4),
        name="RedisDown",
        all_clear=False,
    )
    log.asked(10, 62, "bob", "scale realtime 3", "scale realtime 10 → 3", undo_of=8)
    log.ran(10, 62, "realtime runs 3 replicas", "carol")
    log.add(
        e.AlertCleared,
        66,
        "alertmanager",
        source="alertmanager",
        fingerprint="f2",
        starts_at=at(-4),
        name="WS_OVERLOAD",
        all_clear=True,
    )
    log.add(e.Resolved, 72, "bob", text="failover repaired")


def _second_round(log: Log) -> None:
    log.add(e.Reopened, 84, "alertmanager", clocks={"acknowledged": at(99)}, why="RedisDown fires again")
    log.add(
        e.AlertAttached,
        84,
        "alertmanager",
        source="alertmanager",
        fingerprint="f1",
        starts_at=at(83),
        name="RedisDown",
        summary="redis_up is 0 for 1 minute",
        service="redis",
        labels={},
    )
    log.add(
        e.EscalationDue,
        84,
        key="opened::page:primary",
        due=at(84),
        do="page",
        rung="primary",
        people=("alice",),
        why="opened",
    )
    log.add(e.Acknowledged, 86, "alice", text="")
    log.add(
        e.SeverityChanged,
        90,
        "alice",
        severity="high",
        rank=1,
        before="critical",
        raised=False,
        clocks={"acknowledged": at(144)},
        why="reads work, writes wait",
    )
    log.add(
        e.StatusChanged, 96, "alice", status="identified", text="the old primary came back as a second one"
    )
    log.asked(11, 98, "alice", "restart redis-sentinel", "restart redis-sentinel")
    log.voted(11, 99, "bob")
    log.ran(11, 99, "redis-sentinel restarted, one primary", "bob", seconds=33)
    log.add(e.ReminderDue, 144, due=at(144), unanswered=1)
    log.add(e.Updated, 146, "alice", text="No change.", answer="nochange")
    log.add(e.Resolved, 151, "alice", text="sentinel has three members again")


def _review(log: Log) -> None:
    log.add(
        e.ImpactRecorded, 160, "grace", text="Chats froze for 74 minutes; 312 customers wrote to support."
    )
    log.add(
        e.CauseRecorded, 170, "bob", text="Sentinel ran with two members, so a single loss cost the quorum."
    )
    log.add(e.ActionItemAdded, 171, "carol", item=1, text="Run three sentinels", owner="bob", due=at(4320))
    log.add(
        e.ActionItemAdded,
        171,
        "carol",
        item=2,
        text="Alert on fewer than three sentinels",
        owner=None,
        due=None,
    )
    log.add(e.ActionItemChased, 4320, item=1, due=at(4320))
    log.add(e.ActionItemDone, 4400, "bob", item=1)
