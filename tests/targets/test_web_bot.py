"""Prometheus, Alertmanager, named calls and health from chat: the whole bot, with real servers behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from bot.config import Settings
from commands.catalogue import Sli, WatchTerms
from tests.contracts.http_rig import on_web
from tests.safety.rig import Change
from tests.servers import admin_http, prometheus_server
from tests.servers.alertmanager import alertmanager
from tests.targets.redis_stage import RealChat, RealStage
from tests.targets.web_targets import router


class WebChat(RealChat):
    """People in a chat with a bot that operates what is reached by HTTP."""

    admin: admin_http.AdminServer
    alarms: str

    def __init__(self, stage: RealStage) -> None:
        super().__init__(stage, None, None)  # type: ignore[arg-type]
        self.admin = admin_http.shared()
        self.admin.reset()


def knowing(settings: Settings) -> Settings:
    """What the variables of the configuration hold is known to redaction, as `load` does it."""
    rules = replace(settings.redaction, values=(*settings.redaction.values, admin_http.TOKEN))
    return replace(settings, redaction=rules)


@pytest.fixture
async def chat(tmp_path: Path) -> AsyncIterator[WebChat]:
    """A running bot with an incident that alice opened."""
    with capture_logs():
        async with alertmanager(tmp_path, webhook="http://127.0.0.1:1/", token="a token") as alarms:
            sections = {
                "router": router(admin_http.shared().url, binary={"path": "/binary"}, deep={"path": "/deep"}),
                "metrics": {"driver": "prometheus", "url": prometheus_server.shared().url},
                "alarms": {"driver": "alertmanager", "url": alarms},
            }
            stage = RealStage(knowing(on_web(**sections)), tmp_path / "data")
            try:
                await stage.start()
                made = WebChat(stage)
                made.alarms = alarms
                await made.settle()
                await made.opens()
                yield made
            finally:
                await stage.close()


async def test_figures_from_chat(chat: WebChat) -> None:
    """A value, a range with its chart, and what Prometheus says of a slip."""
    chat.mark()
    await chat.alice.says("/promql sum(up)")
    await chat.alice.says("/promql vector(1) * time() 1h")
    await chat.alice.says("/query instances-healthy")
    await chat.alice.says("/promql sum(up")
    said = chat.bot_said()
    assert "sum(up) · 1 now" in said
    assert "the last 1 h" in said
    assert "instances-healthy · no series" in said
    assert "Prometheus does not understand that" in chat.bot_said_to("alice")


async def test_a_named_call_is_approved_run_and_taken_back(chat: WebChat) -> None:
    """Its read at once; the change after an approval; the former value by undo, without another one."""
    chat.mark()
    await chat.alice.says("/http router-config")
    assert "max_concurrent_requests" in chat.bot_said()
    card = await chat.asks("/http router-scale provider_type=openai desired_instances=5")
    assert "desired_instances 3 → 5" in card.plain
    await chat.alice.reacts(card, "✅")
    assert chat.admin.changes == []
    await chat.bob.reacts(card, "✅")
    assert chat.admin.state["instances"]["openai"] == {"desired": 5}
    await chat.alice.says("/undo 1")
    assert chat.admin.state["instances"]["openai"] == {"desired": 3}
    keys = [change["key"] for change in chat.admin.changes]
    assert [key.rpartition("-")[0] for key in keys] == ["watchbell-wb-1", "watchbell-wb-2"]


async def test_a_dangerous_call_takes_two(chat: WebChat) -> None:
    """As the configuration declares it."""
    card = await chat.asks("/http cache-clear")
    await chat.bob.reacts(card, "✅")
    assert chat.admin.changes == []
    await chat.carol.reacts(card, "✅")
    assert [change["path"] for change in chat.admin.changes] == ["/cache/clear"]


async def test_safety_14_a_value_that_moved_voids_the_change(chat: WebChat) -> None:
    """It is asked again, once, with what is there now."""
    card = await chat.asks("/http router-scale provider_type=openai desired_instances=5")
    chat.admin.set(instances={"openai": 4})
    await chat.bob.reacts(card, "✅")
    assert chat.admin.changes == []
    assert "desired_instances 4 → 5" in chat.card().plain


async def test_silences_from_chat(chat: WebChat) -> None:
    """Asked for with its time and reason, approved, made, and ended again by undo."""
    card = await chat.asks("/silence alertname=RedisDown service=“realtime” 1h why=“planned work”")
    assert "1 h" in card.plain
    await chat.bob.reacts(card, "✅")
    async with httpx.AsyncClient() as client:
        (made,) = (await client.get(f"{chat.alarms}/api/v2/silences")).json()
        assert made["status"]["state"] == "active"
        assert made["comment"].startswith("planned work [watchbell wb-1")
        await chat.alice.says("/undo 1")
        (made,) = (await client.get(f"{chat.alarms}/api/v2/silences")).json()
        assert made["status"]["state"] == "expired"
    chat.mark()
    await chat.alice.says("/alerts")
    await chat.alice.says("/silence alertname=RedisDown")
    assert "no alert fires" in chat.bot_said()
    assert "for how long" in chat.bot_said_to("alice")


async def test_a_broad_silence_takes_two(chat: WebChat) -> None:
    """A whole service."""
    card = await chat.asks("/silence service=realtime 1h")
    await chat.bob.reacts(card, "✅")
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{chat.alarms}/api/v2/silences")).json() == []
        await chat.carol.reacts(card, "✅")
        assert len((await client.get(f"{chat.alarms}/api/v2/silences")).json()) == 1


async def test_safety_19_20_what_servers_say_is_data_and_their_secrets_stay_there(chat: WebChat) -> None:
    """Planted secrets and mentions reach neither chat nor log; refusals of a server are plain text."""
    chat.mark()
    for line in ("/http router-config", "/http binary"):
        await chat.alice.says(line)
    await chat.approved("/http refuses")
    chat.admin.set(broken=500)
    await chat.alice.says("/http models")
    said = chat.bot_said() + chat.bot_said_to("alice")
    assert "500 Internal Server Error" in said
    assert "409 Conflict" in chat.card().plain
    for secret in ("hunter22-planted", "plantedsecret99", admin_http.TOKEN):
        assert secret not in said
        assert secret.encode() not in chat.log_bytes()
    assert "<!channel>" not in said
    assert "<b>" not in chat.card().plain


async def test_safety_20_what_was_redacted_is_not_sent(chat: WebChat) -> None:
    """A secret that stands there now does not come back as ‹redacted›, and none that is typed goes out so."""
    chat.admin.set(config={"upstream": "https://svc:Sw0rdfishPass9@old.example.com/api"})
    card = await chat.asks("/http router-upstream upstream=https://new.example.com/api")
    assert "No undo: what is there now is secret" in card.plain
    await chat.bob.reacts(card, "✅")
    assert chat.admin.state["config"]["upstream"] == "https://new.example.com/api"
    chat.mark()
    await chat.alice.says("/undo 1")
    assert "nothing takes back" in chat.bot_said_to("alice")
    cards = chat.cards()
    for line in (
        "/http router-upstream upstream=https://svc:NewPass99x@new.example.com/api",
        "/http provider-health provider=token=abcdEFGH12345678",
    ):
        chat.mark()
        await chat.alice.says(line)
        assert "a secret cannot be typed into a chat" in chat.bot_said_to("alice")
    assert chat.cards() == cards
    assert len(chat.admin.changes) == 1
    for secret in (b"Sw0rdfishPass9", b"NewPass99x", b"abcdEFGH12345678"):
        assert secret not in chat.log_bytes()


def taken_back_by(path: str) -> Change:
    """The undo of router-scale is a call of its own, of this path."""

    def change(settings: Settings) -> Settings:
        section = settings.targets["router"]
        scale = {**section["calls"]["router-scale"], "undo": "router-back"}
        back = {"method": "POST", "path": path, "args": scale["args"]}
        calls = {**section["calls"], "router-scale": scale, "router-back": back}
        return replace(settings, targets={**settings.targets, "router": {**section, "calls": calls}})

    return change


async def test_safety_14_an_undo_that_leads_elsewhere_now_is_not_covered(chat: WebChat) -> None:
    """What was approved is the way back as the configuration said it then."""
    await chat.restarts(taken_back_by("/instances/scale"))
    await chat.approved("/http router-scale provider_type=openai desired_instances=5")
    await chat.restarts(taken_back_by("/config/manual"))
    chat.mark()
    await chat.alice.says("/undo 1")
    assert "it is another one now" in chat.bot_said_to("alice")
    assert len(chat.admin.changes) == 1


async def test_safety_20_json_without_end_is_a_sentence(chat: WebChat) -> None:
    """No error of mine."""
    chat.mark()
    await chat.alice.says("/http deep")
    assert "router sent JSON that is nested too deeply to be read." in chat.bot_said_to("alice")


async def test_a_call_for_a_while_and_a_dry_run(chat: WebChat) -> None:
    """A command that may be a read or a change takes both; what cannot be taken back is not done for a while."""
    chat.mark()
    await chat.alice.says("/http router-scale provider_type=openai desired_instances=5 --dry-run")
    assert "desired_instances 3 → 5" in chat.bot_said_to("alice")
    await chat.alice.says("/http cache-clear for 30m")
    assert "cannot be taken back" in chat.bot_said_to("alice")
    assert chat.admin.changes == []
    card = await chat.asks("/http router-scale provider_type=openai desired_instances=5 for 30m")
    await chat.bob.reacts(card, "✅")
    assert chat.admin.state["instances"]["openai"] == {"desired": 5}
    await chat.waits(31 * 60)
    assert chat.admin.state["instances"]["openai"] == {"desired": 3}


def judged_by(query: str) -> Change:
    """realtime is judged by this query of the real Prometheus, and followed for ten minutes."""

    def change(settings: Settings) -> Settings:
        services = dict(settings.catalogue.services)
        sli = Sli("p95", query, "s", target="metrics")
        services["realtime"] = replace(services["realtime"], sli=sli, watch=WatchTerms(600, 0.2, True))
        return replace(settings, catalogue=replace(settings.catalogue, services=services))

    return change


async def test_the_figure_of_a_service_comes_from_the_real_prometheus(chat: WebChat) -> None:
    """On the card, before the change and after it; the names of the metrics are those that it scrapes itself."""
    await chat.restarts(judged_by("0.12 * max(prometheus_ready)"))
    card = await chat.asks("/scale realtime 10")
    assert "p95 120 ms now" in card.plain
    await chat.bob.reacts(card, "✅")
    await chat.waits(700)
    assert "p95 120 → 120 ms: as good as before" in chat.card(1).plain


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("no_such_metric", "the query has no value now"),
        ("prometheus_http_requests_total", "series, and an SLI is one"),
        ("sum by (", "Prometheus does not understand that"),
        ("0 / (0 * vector(1))", "the query has no number now"),
    ],
)
async def test_a_query_that_is_no_figure_is_one_line_on_the_card(
    chat: WebChat, query: str, told: str
) -> None:
    """The change can be voted on as ever."""
    await chat.restarts(judged_by(query))
    await chat.asks("/scale realtime 10")
    [line] = [line for line in chat.card(1).plain.split("\n") if line.startswith("SLI unavailable: ")]
    assert told in line
