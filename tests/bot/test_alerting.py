"""What becomes of alerts: tokens, groups, episodes, and what a broken sender or a broken log does to them."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import select, text
from structlog.testing import capture_logs

from bot import store
from bot.alerting import Alerting, Taken
from bot.clock import SystemClock, VirtualClock
from bot.config import Settings, load
from bot.config_settings import SourceSettings
from bot.desk import Desk
from bot.logbook import Logbook
from bot.redact import Redactor
from bot.views import AlertReply
from bot.web.alerts import read_up_to
from incidents import action, incident, life, oncall
from incidents import events as e
from incidents.alerts import NAMELESS, Notification
from incidents.incident import Incident
from incidents.ports import Clock
from tests import examples
from tests.servers.alertmanager import alertmanager

T = TypeVar("T")
E = TypeVar("E", bound=e.Event)
START = datetime(2026, 1, 3, 2, 30, tzinfo=UTC)
TOKEN = "tick-tock-4711"
FOLDS = {"incident": incident.fold, "action": action.fold, "oncall": oncall.fold}
SCENARIOS = Path(__file__).parents[1] / "scenarios" / "alerts"


def configured(*, auto_resolve: bool = False, auto_major: bool = False, **changed: Any) -> Settings:
    """The example with a token for each source, and another policy where that is wanted."""
    found = load(None, {})
    sources = {
        "alertmanager": SourceSettings("alertmanager", "alertmanager", SecretStr(TOKEN)),
        "second": SourceSettings("second", "alertmanager", SecretStr(TOKEN)),
        "generic": SourceSettings("generic", "generic", SecretStr(TOKEN)),
        "mute": SourceSettings("mute", "alertmanager"),
    }
    alerts = replace(found.alerts, auto_resolve=auto_resolve, sources=sources, **changed)
    policies = {name: replace(policy, auto_major=auto_major) for name, policy in found.policies.items()}
    return replace(found, alerts=alerts, policies=policies)


@dataclass
class House:
    """A log, a clock and the alerts' way in; nothing else of the bot."""

    store: store.Store
    desk: Desk
    alerting: Alerting
    clock: Any
    path: Path

    async def sends(self, body: dict[str, Any] | bytes, source: str = "alertmanager") -> AlertReply:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.alerting.receive(source, raw, TOKEN)

    async def events(self, number: int) -> list[e.Event]:
        return [recorded.event for recorded in await self.store.events(f"incident-{number}")]

    async def kinds(self, number: int) -> list[str]:
        return [type(event).__name__ for event in await self.events(number)]

    async def only(self, number: int, kind: type[E]) -> list[E]:
        return [event for event in await self.events(number) if isinstance(event, kind)]

    async def incident(self, number: int) -> Incident:
        found = await self.does(lambda book: book.incident(number))
        assert found is not None
        return found

    async def incidents(self) -> int:
        table = store.incidents
        rows = await self.store.read(lambda connection: connection.execute(select(table.c.number)).all())
        return len(rows)

    async def does(self, act: Callable[[Logbook], T]) -> T:
        """What a person or the clock would do, in a unit of its own."""

        def unit(u: store.Unit) -> T:
            book = Logbook(u, self.desk, self.clock.now())
            result = act(book)
            book.finish()
            return result

        return await self.store.run(unit)

    async def decides(self, number: int, decision: Callable[..., list[e.Event]], **given: Any) -> None:
        def act(book: Logbook) -> None:
            stream = f"incident-{number}"
            found = decision(book.incident(number), by="alice", now=book.now, **given)
            book.record(stream, *found)

        await self.does(act)

    async def waits(self, **lasts: float) -> None:
        """Time passes; what was due by the end falls due."""
        self.clock.move(self.clock.now() + timedelta(**lasts))
        number = await self.incidents()
        await self.does(lambda book: [book.fall_due(f"incident-{n}") for n in range(1, number + 1)])


@asynccontextmanager
async def house(path: Path, config: Settings, clock: Clock | None = None) -> AsyncIterator[House]:
    """A house over the file, which is made where it is missing."""
    url = f"sqlite:///{path}"
    if not path.exists():
        store.upgrade(url)
    desk = Desk(config, Redactor(config.redaction.patterns, ["tops3cret-value"]))
    now = clock or VirtualClock(START)
    async with store.Store(url, encode=e.encode, decode=e.decode, folds=FOLDS, patience=0.05) as opened:
        yield House(opened, desk, Alerting(opened, desk, now), now, path)


@pytest.fixture
def config() -> Settings:
    return configured()


@pytest.fixture
async def bell(tmp_path: Path, config: Settings) -> AsyncIterator[House]:
    async with house(tmp_path / "watchbell.db", config) as made:
        yield made


def body(*alerts: dict[str, Any], group: str = "", **top: Any) -> dict[str, Any]:
    """What Alertmanager would post for these."""
    key = {"groupKey": group} if group else {}
    return {"version": "4", "status": "firing", "alerts": list(alerts), **key, **top}


def alert(name: str = "RedisDown", *, at: float = 0, resolved: bool = False, **labels: str) -> dict[str, Any]:
    """One alert, that began to fire so many minutes after the start; its labels are its identity."""
    labels = {"alertname": name, "service": "realtime", "severity": "critical", **labels}
    labels = {key: value for key, value in labels.items() if value}
    return {
        "status": "resolved" if resolved else "firing",
        "labels": labels,
        "annotations": {"summary": f"{name} for the test"},
        "startsAt": (START + timedelta(minutes=at)).isoformat(),
        "fingerprint": "-".join(labels.values()).replace(" ", "."),
    }


def resolved(name: str = "RedisDown", *, at: float = 0, **labels: str) -> dict[str, Any]:
    return alert(name, at=at, resolved=True, **labels)


# -- who may send, and what can be read -----------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "token", "status"),
    [
        ("alertmanager", TOKEN, 200),
        ("alertmanager", TOKEN + "x", 401),
        ("alertmanager", TOKEN[:-1], 401),
        ("alertmanager", "", 401),
        ("alertmanager", None, 401),
        ("alertmanager", "t\u00f6ken\udce4", 401),
        ("mute", "", 401),
        ("mute", None, 401),
        ("mute", TOKEN, 401),
        ("nobody", TOKEN, 404),
    ],
)
async def test_only_with_the_token(bell: House, source: str, token: str | None, status: int) -> None:
    """SAFETY 25: anything else is refused, logged without the token, and has no effect."""
    with capture_logs() as logged:
        reply = await bell.alerting.receive(source, json.dumps(body(alert())).encode(), token)
    assert reply.status == status
    assert await bell.incidents() == (status == 200)
    if status != 200:
        assert [entry["event"] for entry in logged] == ["alert refused"]
        assert TOKEN not in f"{logged} {reply.text}"


async def test_the_size_is_bounded(bell: House) -> None:
    """Exactly the limit is taken, one byte more is not."""
    limit = bell.desk.settings.alerts.max_bytes
    raw = json.dumps(body(alert())).encode()
    assert (await bell.sends(raw + b" " * (limit - len(raw) + 1))).status == 413
    assert await bell.incidents() == 0
    assert (await bell.sends(raw + b" " * (limit - len(raw)))).status == 200


async def test_what_cannot_be_read_is_refused(bell: House) -> None:
    """Half a body opens nothing."""
    reply = await bell.sends((SCENARIOS / "half.txt").read_bytes())
    assert reply.status == 400
    assert "no JSON" in reply.text
    assert await bell.incidents() == 0


async def test_a_log_that_cannot_be_written(bell: House) -> None:
    """SAFETY 32: 503 and nothing done, so that the sender tries again; then it is taken once."""
    with closing(sqlite3.connect(bell.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with capture_logs() as logged:
            reply = await bell.sends(body(alert()))
        other.execute("ROLLBACK")
    assert reply.status == 503
    assert "again" in reply.text
    assert [entry["event"] for entry in logged] == ["alert not recorded"]
    assert await bell.incidents() == 0
    assert (await bell.sends(body(alert()))).text == "INC-1 opened by 1 alert."


async def test_a_full_disk(bell: House) -> None:
    """SAFETY 32: the same where the file cannot grow."""

    def no_room(unit: store.Unit) -> None:
        pages = unit.execute(text("PRAGMA page_count")).scalar_one()
        unit.execute(text(f"PRAGMA max_page_count = {pages}"))

    await bell.store.run(no_room)
    wide = {f"l{n}": "x" * 500 for n in range(40)}
    assert (await bell.sends(body(*[alert(pod=f"p{n}", **wide) for n in range(20)]))).status == 503
    await bell.store.run(lambda unit: unit.execute(text("PRAGMA max_page_count = 1000000")).scalar_one())
    assert (await bell.sends(body(alert()))).status == 200


# -- opening --------------------------------------------------------------------------------------


async def test_an_alert_opens_an_incident(bell: House) -> None:
    """With its policy, the clocks running from now, the alert attached, and the on-call person paged."""
    reply = await bell.sends(body(alert(at=-5)))
    assert (reply.status, reply.text) == (200, "INC-1 opened by 1 alert.")
    found = await bell.events(1)
    assert [type(event).__name__ for event in found] == ["IncidentOpened", "AlertAttached", "EscalationDue"]
    opened, attached, paged = found
    assert isinstance(opened, e.IncidentOpened)
    assert isinstance(attached, e.AlertAttached)
    assert isinstance(paged, e.EscalationDue)
    assert (opened.title, opened.severity, opened.service) == (
        "RedisDown for the test",
        "critical",
        "realtime",
    )
    assert (opened.actor, opened.unclear, opened.linked) == ("alertmanager", (), None)
    assert opened.clocks == {"acknowledged": START + timedelta(minutes=15)}
    assert opened.group_key == '["alertmanager", "RedisDown", "realtime"]'
    assert (attached.name, attached.starts_at) == ("RedisDown", START - timedelta(minutes=5))
    assert (paged.do, paged.people) == ("page", ("alice",))
    policy = await bell.store.events(f"policy-{opened.policy}")
    assert [type(recorded.event) for recorded in policy] == [e.PolicyAdopted]


async def test_all_alerts_of_a_notification_are_one_incident(bell: House) -> None:
    """At the severity, with the title and under the policy of the worst of them."""
    await bell.sends(
        body(
            alert("HighErrorRate", severity="warning"),
            alert("TOOL_DOWN", service="tool-service", severity="critical"),
            alert("RedisDown", severity="P1"),
        )
    )
    found = await bell.incident(1)
    assert await bell.incidents() == 1
    assert (found.severity, found.title) == ("P0", "TOOL_DOWN for the test")
    assert found.service == "tool-service"
    assert found.services == ("realtime", "tool-service")
    assert found.firing == 3


@pytest.mark.parametrize(
    ("labels", "severity", "unclear"),
    [
        ({"severity": "critical"}, "critical", ()),
        ({"severity": "CRITICAL"}, "critical", ()),
        ({"severity": "warning"}, "medium", ()),
        ({"severity": "info", "service": "api-gateway"}, "P2", ()),
        ({"severity": "info", "policy": "aiaas", "service": ""}, "P2", ()),
        ({"severity": "page"}, "high", ("the severity “page”, taken as high",)),
        ({"severity": ""}, "high", ("no severity, taken as high",)),
        ({"severity": "page", "service": "api-gateway"}, "P1", ("the severity “page”, taken as P1",)),
        ({"service": "warp-drive"}, "critical", ("the service “warp-drive”",)),
        ({"service": ""}, "critical", ()),
    ],
)
async def test_unknown_words_open_at_the_default(
    bell: House, labels: dict[str, str], severity: str, unclear: tuple[str, ...]
) -> None:
    """An alert is never lost; what was not understood is said."""
    await bell.sends(body(alert(**labels)))
    found = await bell.incident(1)
    assert (found.severity, found.unclear) == (severity, unclear)
    known = labels.get("service", "realtime")
    assert found.service == (None if known in ("", "warp-drive") else known)


async def test_an_alert_that_is_not_understood_is_never_milder_in_company(bell: House) -> None:
    """Beside a low one it counts as it would alone."""
    await bell.sends(body(alert("Odd", severity="page"), alert("Mild", severity="low")))
    assert (await bell.incident(1)).severity == "high"


async def test_one_bad_alert_never_loses_its_group(bell: House) -> None:
    """The strange one is attached beside the good one, and named."""
    await bell.sends((SCENARIOS / "strange.json").read_bytes())
    found = await bell.incident(1)
    assert (found.severity, found.firing) == ("critical", 2)
    assert {known.name for known in found.alerts.values()} == {"RedisDown", NAMELESS}
    assert any("labels" in word for word in found.unclear)
    assert any("startsAt" in word for word in found.unclear)


async def test_secrets_are_taken_out(bell: House) -> None:
    """SAFETY 20: before anything is stored, in every text that a sender can write."""
    secret = "tops3cret-value"
    fields = {"alertname": f"A {secret}", "severity": secret, "service": secret, secret: secret}
    sent = {
        **alert(),
        "labels": {**fields, "db_password": "hunter2hunter2"},
        "annotations": {"summary": f"connect to redis://u:{secret}@host"},
        "generatorURL": f"http://prometheus.example/?q={secret}",
        "fingerprint": secret,
        "status": secret,
    }
    reply = await bell.sends(body(sent, "not an alert " + secret, group=secret))  # type: ignore[arg-type]
    assert reply.status == 200
    assert (await bell.incident(1)).firing == 2
    await bell.store.idle()
    with closing(sqlite3.connect(bell.path)) as file:
        everything = "\n".join(file.iterdump())
    assert secret not in everything
    assert "hunter2" not in everything


# -- once -----------------------------------------------------------------------------------------


async def test_each_status_change_counts_once(bell: House) -> None:
    """Alertmanager repeats itself; the same status again records nothing."""
    await bell.sends(body(alert()))
    before = await bell.kinds(1)
    for _ in range(3):
        assert (await bell.sends(body(alert(), alert()))).text == "Nothing new."
    assert await bell.kinds(1) == before
    await bell.sends(body(resolved()))
    after = await bell.kinds(1)
    assert after == [*before, "AlertCleared"]
    assert (await bell.sends(body(resolved(), resolved()))).text == "Nothing new."
    assert await bell.kinds(1) == after


async def test_the_same_notification_at_the_same_time(bell: House) -> None:
    """SAFETY 7: twenty at once are one."""
    replies = await asyncio.gather(*(bell.sends(body(alert(), alert("HighErrorRate"))) for _ in range(20)))
    assert {reply.status for reply in replies} == {200}
    assert sorted(reply.text for reply in replies)[:2] == ["INC-1 opened by 2 alerts.", "Nothing new."]
    assert (await bell.incidents(), len(await bell.only(1, e.AlertAttached))) == (1, 2)


async def test_a_restart_forgets_nothing(tmp_path: Path, config: Settings) -> None:
    """What is known of alerts and groups is in the log's file."""
    path = tmp_path / "watchbell.db"
    async with house(path, config) as first:
        await first.sends(body(alert(), group="g"))
    async with house(path, config) as second:
        assert (await second.sends(body(alert(), group="g"))).text == "Nothing new."
        assert (await second.sends(body(alert("Other"), group="g"))).text == "1 alert joined INC-1."
        assert (await second.sends(body(resolved()))).text == "1 alert of INC-1 resolved."


async def test_a_late_firing_changes_nothing(bell: House) -> None:
    """The episode is over, whatever arrives late; only another one fires again."""
    await bell.sends(body(alert()))
    await bell.sends(body(resolved()))
    await bell.decides(1, life.resolve)
    kinds = await bell.kinds(1)
    assert (await bell.sends(body(alert()))).text == "Nothing new."
    assert await bell.kinds(1) == kinds
    assert not (await bell.incident(1)).open


async def test_a_resolved_alert_that_is_not_known_is_ignored(bell: House) -> None:
    """Nothing is recorded of it, also beside one that fires."""
    assert (await bell.sends(body(resolved()))).text == "Nothing new."
    assert await bell.incidents() == 0
    await bell.sends(body(resolved(), alert("Other")))
    assert await bell.kinds(1) == ["IncidentOpened", "AlertAttached", "EscalationDue"]


async def test_a_missed_end_is_made_up_for(bell: House) -> None:
    """The same alert resolved from a later begin on: the earlier episode is over as well."""
    await bell.sends(body(alert(at=0)))
    await bell.sends(body(resolved(at=60)))
    assert (await bell.incident(1)).held
    assert (await bell.sends(body(alert(at=0)))).text == "Nothing new."


async def test_a_late_end_of_an_earlier_episode(bell: House) -> None:
    """It does not end the later one, which fires."""
    await bell.sends(body(alert(at=0)))
    await bell.sends(body(alert(at=60)))
    assert (await bell.sends(body(resolved(at=0)))).text == "Nothing new."
    assert ((await bell.incident(1)).firing, (await bell.incident(1)).held) == (1, False)
    await bell.sends(body(resolved(at=60)))
    assert (await bell.incident(1)).held


async def test_episodes_of_a_sender_that_says_no_times(bell: House) -> None:
    """What fires is one episode until it is resolved; then the next may begin, in the same instant even."""
    told = {"title": "Disk full", "service": "realtime"}
    assert (await bell.sends(told, "generic")).text == "INC-1 opened by 1 alert."
    assert (await bell.sends(told, "generic")).text == "Nothing new."
    for _ in range(3):
        assert "resolved" in (await bell.sends({**told, "status": "resolved"}, "generic")).text
        assert (await bell.sends({**told, "status": "resolved"}, "generic")).text == "Nothing new."
        assert (await bell.sends(told, "generic")).text == "1 alert joined INC-1."
    assert len(await bell.only(1, e.AlertAttached)) == 4


# -- groups ---------------------------------------------------------------------------------------


async def test_the_same_labels_are_one_group(bell: House) -> None:
    """By alertname and service, whatever the sender's own grouping."""
    await bell.sends(body(alert(pod="a"), group="a"))
    assert (await bell.sends(body(alert(pod="b"), group="b"))).text == "1 alert joined INC-1."
    for other in (alert("HighErrorRate"), alert(service="chat-adapters")):
        assert "opened" in (await bell.sends(body(other))).text
    assert await bell.incidents() == 3


async def test_the_senders_own_group_is_one_group(bell: House) -> None:
    """A notification with the group key of an open incident belongs to it, whatever its labels."""
    await bell.sends(body(alert("RedisDown"), group="{}:{cluster=1}"))
    assert "joined INC-1" in (await bell.sends(body(alert("HighErrorRate"), group="{}:{cluster=1}"))).text
    assert "joined INC-1" in (await bell.sends(body(alert("HighErrorRate", pod="b"), group="other"))).text


async def test_groups_of_two_sources_are_apart(bell: House) -> None:
    """Also where fingerprints and group keys are equal."""
    await bell.sends(body(alert(), group="g"))
    assert (await bell.sends(body(alert(), group="g"), "second")).text == "INC-2 opened by 1 alert."
    await bell.sends(body(resolved()), "second")
    assert ((await bell.incident(1)).held, (await bell.incident(2)).held) == (False, True)
    assert (await bell.only(2, e.AlertAttached))[0].actor == "second"


@pytest.mark.parametrize("config", [configured(group_by=("cluster",))])
async def test_the_labels_of_groups_are_configured(bell: House) -> None:
    """`alerts: group_by`."""
    await bell.sends(body(alert("A", cluster="one")))
    assert "joined INC-1" in (await bell.sends(body(alert("B", cluster="one", service="redis")))).text
    assert "opened" in (await bell.sends(body(alert("A", cluster="two")))).text


async def test_a_merged_incident_passes_its_alerts_on(bell: House) -> None:
    """New ones join the survivor, and it is clear only when neither's alerts fire."""
    await bell.sends(body(alert("A")))
    await bell.sends(body(alert("B")))

    def merge(book: Logbook) -> None:
        one, two = book.incident(1), book.incident(2)
        assert one is not None
        assert two is not None
        survivor, other = life.merge(one, two, by="alice", now=book.now, policy=book.policy(one))
        book.record("incident-1", *survivor)
        book.record("incident-2", *other)

    await bell.does(merge)
    await bell.sends(body(resolved("A")))
    assert not (await bell.incident(1)).held
    await bell.sends(body(resolved("B")))
    assert (await bell.incident(1)).held
    assert (await bell.sends(body(alert("B", at=5)))).text == "1 alert joined INC-1."
    assert not (await bell.incident(1)).held


async def test_thousands_of_alerts(bell: House) -> None:
    """More than are read are counted; and then nothing is called clear, because the others may fire."""
    many = [alert(pod=f"p{n}") for n in range(1100)]
    assert (await bell.sends(body(*many, truncatedAlerts=5))).text == "INC-1 opened by 1000 alerts."
    assert "105 more alerts, which alertmanager cut off" in (await bell.incident(1)).unclear
    over = [{**one, "status": "resolved"} for one in many]
    assert (await bell.sends(body(*over))).text == "1000 alerts of INC-1 resolved."
    assert not (await bell.incident(1)).held


# -- clear, and firing again ----------------------------------------------------------------------


async def test_all_alerts_resolved(bell: House) -> None:
    """The last one makes it all clear, and no earlier one; the incident stays open."""
    await bell.sends(body(alert("A"), alert("B"), alert("C"), group="g"))
    await bell.sends(body(alert("A"), resolved("B"), resolved("C"), group="g"))
    await bell.sends(body(resolved("A"), group="g"))
    cleared = await bell.only(1, e.AlertCleared)
    assert [(event.name, event.all_clear) for event in cleared] == [("B", False), ("C", False), ("A", True)]
    found = await bell.incident(1)
    assert (found.open, found.held, found.firing) == (True, True, 0)


async def test_together_resolved_is_said_once(bell: House) -> None:
    """Three that end in one notification are one all clear."""
    await bell.sends(body(alert("A"), alert("B")))
    await bell.sends(body(resolved("A"), resolved("B")))
    assert [event.all_clear for event in await bell.only(1, e.AlertCleared)] == [False, True]


async def test_one_ends_as_another_begins(bell: House) -> None:
    """In one notification: then nothing is clear."""
    await bell.sends(body(alert("A"), group="g"))
    await bell.sends(body(resolved("A"), alert("B"), group="g"))
    assert [event.all_clear for event in await bell.only(1, e.AlertCleared)] == [False]
    await bell.sends(body(resolved("B"), alert("B", at=3), group="g"))
    assert [event.all_clear for event in await bell.only(1, e.AlertCleared)] == [False]
    assert (await bell.incident(1)).firing == 1


async def test_firing_again_lifts_the_hold(bell: House) -> None:
    """What was held and is overdue fires at once, in the same commit."""
    await bell.sends(body(alert()))
    await bell.sends(body(resolved()))
    await bell.waits(minutes=90)
    before = [event.rung for event in await bell.only(1, e.EscalationDue) if event.do == "page"]
    assert "team_lead" not in before
    await bell.sends(body(alert(at=90)))
    pages = [event for event in await bell.only(1, e.EscalationDue) if event.do == "page"]
    late = [(event.rung, event.due) for event in pages if event.rung in ("team_lead", "manager")]
    assert late == [("team_lead", START + timedelta(minutes=30)), ("manager", START + timedelta(minutes=60))]


async def test_what_is_due_comes_before_the_alert(bell: House) -> None:
    """A step that is due at this very moment fires, although the alert ends at it."""
    await bell.sends(body(alert()))
    bell.clock.move(START + timedelta(minutes=30))
    await bell.sends(body(resolved()))
    kinds = await bell.kinds(1)
    assert kinds[-1] == "AlertCleared"
    assert any(event.rung == "team_lead" for event in await bell.only(1, e.EscalationDue))


@pytest.mark.parametrize(("after", "reopened"), [(0, True), (29.99, True), (30, False), (31, False)])
async def test_firing_again_after_resolve(bell: House, after: float, reopened: bool) -> None:
    """Within 30 minutes it reopens, clocks and ladder anew; from then on a new, linked one opens."""
    await bell.sends(body(alert()))
    await bell.sends(body(resolved()))
    await bell.decides(1, life.resolve)
    bell.clock.move(START + timedelta(minutes=after))
    reply = await bell.sends(body(alert(at=after or 0.1)))
    if reopened:
        assert reply.text == "INC-1 reopened by 1 alert."
        [event] = await bell.only(1, e.Reopened)
        assert (event.actor, event.why) == ("alertmanager", "RedisDown fires again")
        assert event.clocks == {"acknowledged": bell.clock.now() + timedelta(minutes=15)}
        assert (await bell.kinds(1))[-3:] == ["Reopened", "AlertAttached", "EscalationDue"]
    else:
        assert reply.text == "INC-2 opened by 1 alert."
        assert (await bell.incident(2)).linked == 1
        assert not (await bell.incident(1)).open


async def test_firing_again_after_close(bell: House) -> None:
    """However soon: a new, linked one; and the one after that is linked to the second."""
    await bell.sends(body(alert()))
    for number in (1, 2):
        await bell.decides(number, life.resolve)
        await bell.decides(number, life.close)
        assert (await bell.sends(body(alert(at=number)))).text == f"INC-{number + 1} opened by 1 alert."
        assert (await bell.incident(number + 1)).linked == number


async def test_an_alert_that_ends_after_its_incident(bell: House) -> None:
    """It is recorded where it began, and changes nothing else."""
    await bell.sends(body(alert()))
    await bell.decides(1, life.resolve)
    await bell.decides(1, life.close)
    assert (await bell.sends(body(resolved()))).text == "1 alert of INC-1 resolved."
    assert (await bell.incident(1)).state == "closed"


@pytest.mark.parametrize("config", [configured(auto_resolve=True)])
async def test_auto_resolve(bell: House) -> None:
    """Where it is configured the alerts resolve their incident; that is no acknowledgement."""
    await bell.sends(body(alert("A"), alert("B"), group="g"))
    await bell.sends(body(resolved("A"), group="g"))
    assert (await bell.incident(1)).open
    await bell.sends(body(resolved("B"), group="g"))
    found = await bell.incident(1)
    assert (found.state, found.acknowledged_at, found.owner) == ("resolved", None, None)
    [event] = await bell.only(1, e.Resolved)
    assert (event.actor, event.text) == ("alertmanager", "all alerts are resolved")
    assert (await bell.sends(body(alert("A", at=1), group="g"))).text == "INC-1 reopened by 1 alert."


# -- several services, worse alerts ---------------------------------------------------------------


@pytest.mark.parametrize("config", [configured(auto_major=True)])
async def test_auto_major(bell: House) -> None:
    """Several services make a major outage and page the executives; taken back, it stays so."""
    await bell.sends(body(alert("A"), group="g"))
    assert not (await bell.incident(1)).major
    await bell.sends(body(alert("B", service="redis"), group="g"))
    assert (await bell.incident(1)).major
    [paged] = await bell.only(1, e.Paged)
    assert paged.people == ("erin", "frank")
    assert "realtime and redis" in paged.why
    await bell.decides(1, _major_off)
    await bell.sends(body(alert("C", service="redis"), group="g"))
    assert not (await bell.incident(1)).major
    await bell.sends(body(alert("D", service="mongodb"), group="g"))
    assert (await bell.incident(1)).major


def _major_off(i: Incident, *, by: str, now: datetime) -> list[e.Event]:
    return [e.MajorChanged(at=now, actor=by, on=False, why="only a test")]


@pytest.mark.parametrize("config", [configured(auto_major=True)])
async def test_auto_major_at_once(bell: House) -> None:
    """All in the first notification."""
    await bell.sends((SCENARIOS / "several_services.json").read_bytes())
    assert (await bell.kinds(1))[:6] == ["IncidentOpened", *["AlertAttached"] * 3, "MajorChanged", "Paged"]


async def test_no_major_outage_by_itself(bell: House) -> None:
    """Unless the policy says so."""
    await bell.sends((SCENARIOS / "several_services.json").read_bytes())
    assert not (await bell.incident(1)).major
    assert (await bell.incident(1)).services == ("realtime", "chat-adapters", "instance-manager")


async def test_a_worse_alert_raises_the_severity(bell: House) -> None:
    """Otherwise the worse one would wake nobody; a milder one or an equal one changes nothing."""
    await bell.sends(body(alert(severity="warning")))
    await bell.sends(body(alert(severity="info")))
    await bell.sends(body(alert(severity="warning", pod="b")))
    assert (await bell.incident(1)).severity == "medium"
    await bell.sends(body(alert(severity="critical")))
    [event] = await bell.only(1, e.SeverityChanged)
    assert (event.severity, event.actor, event.why) == ("critical", "alertmanager", "RedisDown is critical")
    assert [event.people for event in await bell.only(1, e.EscalationDue) if event.do == "page"] == [
        ("alice",)
    ]


async def test_a_lowered_severity_stays_lowered(bell: House) -> None:
    """While what fires is no worse than what fired before."""
    await bell.sends(body(alert(severity="high")))
    low = bell.desk.settings.policies["ish"].severity("low")
    await bell.decides(1, life.change_severity, severity=low, policy=bell.desk.settings.policies["ish"])
    await bell.sends(body(alert(severity="high", pod="b")))
    assert (await bell.incident(1)).severity == "low"
    await bell.sends(body(alert(severity="critical", pod="c")))
    assert (await bell.incident(1)).severity == "critical"


async def test_what_joins_and_is_not_understood_is_noted_once(bell: House) -> None:
    """What the incident said already is not said again."""
    await bell.sends(body(alert(severity="page")))
    await bell.sends(body(alert(severity="page", pod="b")))
    assert await bell.only(1, e.NoteAdded) == []
    for pod in "cd":
        await bell.sends(body(alert(severity="sev<1>", pod=pod), truncatedAlerts=1))
    [note] = await bell.only(1, e.NoteAdded)
    assert note.actor == "alertmanager"
    assert note.text == (
        "Not understood: 1 more alert, which alertmanager cut off and the severity “sev<1>”, taken as high"
    )


# -- whatever comes -------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
WORDS = {
    "severity": st.sampled_from(["critical", "warning", "P0", "odd"]),
    "service": st.sampled_from(["redis", "odd"]),
}
ROUGH = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["firing", "resolved"]) | JSON,
        "labels": st.fixed_dictionaries({}, optional=WORDS) | JSON,
    },
    optional=dict.fromkeys(("annotations", "startsAt", "endsAt", "generatorURL"), JSON),
)
GOOD = st.fixed_dictionaries(
    {"status": st.just("firing"), "fingerprint": st.uuids().map(str)},
    optional={
        "labels": st.fixed_dictionaries({}, optional=WORDS),
        "startsAt": st.just("2026-01-03T02:00:00Z") | JSON,
    },
)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty log, to be copied."""
    path = tmp_path_factory.mktemp("empty") / "watchbell.db"
    store.upgrade(f"sqlite:///{path}")
    return path


FRESH = settings(
    max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def in_a_fresh_house(empty: Path, folder: Path, act: Callable[[House], Any]) -> None:
    path = folder / "watchbell.db"
    for old in folder.glob("watchbell.db*"):
        old.unlink()
    shutil.copy(empty, path)

    async def run() -> None:
        async with house(path, CONFIG) as made:
            await act(made)
            assert (await made.store.verify()).faults == []

    asyncio.run(run())


CONFIG = configured()


@FRESH
@given(
    good=st.lists(GOOD, min_size=1, max_size=4, unique_by=lambda a: a["fingerprint"]),
    rough=st.lists(ROUGH | JSON, max_size=4),
    data=st.data(),
)
def test_no_alert_is_lost_among_strange_ones(
    empty: Path, tmp_path: Path, good: list[Any], rough: list[Any], data: st.DataObject
) -> None:
    """Whatever stands beside them, every good alert is attached once, all to one incident."""
    alerts = data.draw(st.permutations([*good, *rough]))

    async def act(bell: House) -> None:
        reply = await bell.sends({"version": "4", "alerts": alerts})
        assert reply.status == 200, reply
        attached = await bell.only(1, e.AlertAttached)
        seen = [(event.fingerprint, event.starts_at) for event in attached]
        assert len(set(seen)) == len(seen)
        assert await bell.incidents() == 1
        names = [event.fingerprint for event in attached]
        assert all(names.count(one["fingerprint"]) == 1 for one in good)
        assert (await bell.sends({"version": "4", "alerts": good})).text == "Nothing new."
        over = [{**one, "status": "resolved"} for one in good]
        await bell.sends({"version": "4", "alerts": over})
        firing = [key for key, known in (await bell.incident(1)).alerts.items() if known.firing]
        assert not {name for _, name in firing} & {one["fingerprint"] for one in good}

    in_a_fresh_house(empty, tmp_path, act)


@FRESH
@given(
    bodies=st.lists(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()), max_size=6)
)
def test_anything_is_answered(empty: Path, tmp_path: Path, bodies: list[bytes]) -> None:
    """400 for what is no JSON object, 200 for the rest, and never anything else."""

    async def act(bell: House) -> None:
        for source in ("alertmanager", "generic"):
            for raw in bodies:
                status = (await bell.sends(raw, source)).status
                assert status in (200, 400), raw
                assert status == 200 or not is_object(raw), raw
                assert status == 400 or b"{" in raw, raw

    in_a_fresh_house(empty, tmp_path, act)


def is_object(raw: bytes) -> bool:
    """Whether the standard library reads an object."""
    try:
        return isinstance(json.loads(raw), dict)
    except ValueError:
        return False


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["fires", "ends", "resolve", "close", "wait"]),
        st.sampled_from(["A", "B", "C"]),
        st.integers(0, 3),
    ),
    max_size=14,
)


@FRESH
@given(steps=STEPS)
def test_the_states_of_alerts_add_up(
    empty: Path, tmp_path: Path, steps: Iterable[tuple[str, str, int]]
) -> None:
    """In any order: each episode once, nothing held while it fires, one open incident a group."""

    async def act(bell: House) -> None:
        episodes: dict[tuple[str, int], bool] = {}
        for what, name, at in steps:
            number = await bell.incidents()
            newest = await bell.incident(number) if number else None
            if what == "wait":
                await bell.waits(minutes=20)
            elif what in ("fires", "ends"):
                await bell.sends(body(alert(name, at=at, resolved=what == "ends"), group="g"))
                if what == "fires":
                    episodes.setdefault((name, at), True)
                else:
                    episodes |= {key: False for key in episodes if key[0] == name and key[1] <= at}
            elif newest is not None and what == "resolve" and newest.open:
                await bell.decides(number, life.resolve)
            elif newest is not None and what == "close" and newest.state == "resolved":
                await bell.decides(number, life.close)
        count = await bell.incidents()
        found = [await bell.incident(number) for number in range(1, count + 1)]
        assert sum(i.open for i in found) <= 1
        attached = [event for i in found for event in await bell.only(i.number, e.AlertAttached)]
        assert {(event.name, event.starts_at) for event in attached} == {
            (name, START + timedelta(minutes=at)) for name, at in episodes
        }
        assert len(attached) == len(episodes)
        table = store.alerts
        rows = await bell.store.read(lambda connection: connection.execute(select(table)).all())
        assert sum(row.status == "firing" for row in rows) == sum(episodes.values())
        for i in found:
            assert not (i.held and i.firing)

    in_a_fresh_house(empty, tmp_path, act)


async def test_take_runs_in_a_unit_of_its_caller(bell: House) -> None:
    """`take` records, and leaves finishing to whoever has the book."""
    empty_one = Notification(source="alertmanager", group_key="", alerts=())
    taken = await bell.does(lambda book: bell.alerting.take(book, empty_one, book.now))
    assert taken == Taken()
    assert str(taken) == "Nothing new."


# -- a real Alertmanager --------------------------------------------------------------------------


@dataclass
class Door:
    """A web server with nothing but the alerts' way in; `answers` tells what was answered."""

    url: str
    answers: asyncio.Queue[AlertReply]

    async def next(self) -> AlertReply:
        async with asyncio.timeout(60):
            return await self.answers.get()


@asynccontextmanager
async def door(bell: House) -> AsyncIterator[Door]:
    answers: asyncio.Queue[AlertReply] = asyncio.Queue()

    async def receive(request: web.Request) -> web.Response:
        raw = await read_up_to(request, bell.desk.settings.alerts.max_bytes)
        assert raw is not None
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        reply = await bell.alerting.receive(request.match_info["source"], raw, token)
        answers.put_nowait(reply)
        return web.Response(status=reply.status, text=reply.text)

    app = web.Application()
    app.add_routes([web.post("/alerts/{source}", receive)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        yield Door(f"http://127.0.0.1:{port}/alerts/alertmanager", answers)
    finally:
        await runner.cleanup()


async def test_a_real_alertmanager(tmp_path: Path, config: Settings) -> None:
    """Fires, is repeated while the log cannot be written, opens once, ends, fires again."""
    labels = {"alertname": "RedisDown", "service": "realtime", "severity": "critical"}
    annotations = {"summary": "Redis does not answer"}
    began = datetime.now(UTC) - timedelta(minutes=1)

    async with AsyncExitStack() as stack:
        bell = await stack.enter_async_context(house(tmp_path / "watchbell.db", config, SystemClock()))
        way = await stack.enter_async_context(door(bell))
        address = await stack.enter_async_context(alertmanager(tmp_path, webhook=way.url, token=TOKEN))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=address, timeout=30))

        async def posts(**times: datetime) -> None:
            alert = {"labels": labels, "annotations": annotations}
            alert |= {name: at.isoformat() for name, at in times.items()}  # type: ignore[misc]
            (await client.post("/api/v2/alerts", json=[alert])).raise_for_status()

        with closing(sqlite3.connect(bell.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await posts(startsAt=began)
            assert (await way.next()).status == 503
            other.execute("ROLLBACK")
        while (reply := await way.next()).status == 503:
            pass
        assert reply.text == "INC-1 opened by 1 alert."
        opened = await bell.incident(1)
        assert (opened.title, opened.severity, opened.service) == (
            "Redis does not answer",
            "critical",
            "realtime",
        )
        assert opened.unclear == ()
        [attached] = await bell.only(1, e.AlertAttached)
        assert abs(attached.starts_at - began) < timedelta(milliseconds=1)
        await posts(startsAt=began, endsAt=datetime.now(UTC))
        assert (await way.next()).text == "1 alert of INC-1 resolved."
        assert (await bell.incident(1)).held
        await posts(startsAt=datetime.now(UTC))
        assert (await way.next()).text == "1 alert joined INC-1."
        assert ((await bell.incident(1)).firing, await bell.incidents()) == (1, 1)


async def test_a_real_alertmanager_with_a_wrong_token(tmp_path: Path, config: Settings) -> None:
    """Refused, and nothing opens."""
    async with AsyncExitStack() as stack:
        bell = await stack.enter_async_context(house(tmp_path / "watchbell.db", config, SystemClock()))
        way = await stack.enter_async_context(door(bell))
        address = await stack.enter_async_context(alertmanager(tmp_path, webhook=way.url, token="wrong"))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=address, timeout=30))
        (await client.post("/api/v2/alerts", json=[{"labels": {"alertname": "A"}}])).raise_for_status()
        assert (await way.next()).status == 401
        assert await bell.incidents() == 0
