"""The rules of approvals and execution with a cluster: the whole bot, driven by chat."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bot.config import Settings
from incidents import events as e
from tests.contracts.kubernetes_rig import SPACE, changes_of, furnish, patch, pod_names
from tests.safety.test_scrub import SECRET, gone
from tests.safety.test_words import HOSTILE, PLANTED, everywhere, knowing, neutral
from tests.servers.kubernetes import scene
from tests.servers.kubernetes_server import KubernetesServer, shared
from tests.targets.kubernetes_stage import DEPLOYMENT, ClusterChat, chatting


@pytest.fixture
def server() -> KubernetesServer:
    """A cluster as untouched as a new one."""
    found = shared()
    furnish(found)
    return found


@pytest.fixture
async def chat(tmp_path: Path, server: KubernetesServer) -> AsyncIterator[ClusterChat]:
    """A running bot with an open incident, and a cluster."""
    with capture_logs():
        async with chatting(tmp_path, server) as made:
            yield made


def writes(chat: ClusterChat) -> int:
    """How many requests that change something came from the bot, those without effect left out."""
    found = chat.server.requests(verbs=("patch", "create"))
    names = [each["query"].get("fieldManager", "") for each in found if "dryRun" not in each["query"]]
    return sum(name.startswith("watchbell-") for name in names)


async def test_reads_and_changes_from_chat(chat: ClusterChat) -> None:
    """Looked at, asked for, approved, followed to its end, undone."""
    chat.mark()
    for line in (
        "/pods realtime",
        "/hpa realtime",
        "/node node-1 cluster=main",
        "/pods namespace=production",
    ):
        await chat.alice.says(line)
    said = chat.bot_said()
    assert "3 of 3 ready" in said
    assert "1 autoscaler" in said
    assert "node node-1 · ready" in said
    assert "HPA keeps 2–8 and will undo this" in (await chat.asks("/scale realtime 10")).plain
    await chat.bob.reacts(chat.card(), "✅")
    await chat.rolled()
    assert "realtime runs 10 replicas" in chat.card().plain
    await chat.alice.says("/undo 1")
    await chat.rolled()
    assert chat.replicas == 3
    assert writes(chat) == 2


async def test_every_new_change_from_chat(chat: ClusterChat) -> None:
    """Pause and resume, the bounds of the autoscaler, one pod, one node."""
    pod = pod_names(chat.server)[0]
    assert "is paused" in await chat.approved("/pause realtime")
    assert "is going on" in await chat.approved("/resume realtime")
    assert "keeps 3–9" in await chat.approved("/hpa realtime 3 9")
    assert f"{pod} is gone" in await chat.approved(f"/pod delete {pod} cluster=main")
    assert "takes no new pods" in await chat.approved("/cordon node-1 cluster=main")
    assert "takes pods again" in await chat.approved("/uncordon node-1 cluster=main")
    assert pod not in pod_names(chat.server)
    assert len(pod_names(chat.server)) == 3


async def test_safety_10_killed_while_a_rollout_runs(chat: ClusterChat) -> None:
    """The request was accepted when the process dies: it is followed to its end, and not sent again."""
    card = await chat.asks("/scale realtime 6")
    await chat.bob.reacts(card, "✅")
    assert (await chat.action()).state == "running"
    await chat.stage.kill()
    await chat.restarts()
    await chat.rolled()
    assert (await chat.action()).state == "done"
    assert "realtime runs 6 replicas" in chat.card().plain
    assert writes(chat) == 1


async def test_safety_11_two_replicas_run_it_once(tmp_path: Path, server: KubernetesServer) -> None:
    """Both see the quorum, one claims it."""
    with capture_logs():
        async with chatting(tmp_path, server, bots=2) as chat:
            await chat.approved("/scale realtime 6")
            assert (await chat.action()).state == "done"
            assert writes(chat) == 1


async def test_safety_12_of_two_plans_for_one_deployment_the_second_is_void(chat: ClusterChat) -> None:
    """It was made on what is no longer so."""
    first, second = await chat.asks("/scale realtime 6"), await chat.asks("/scale realtime 7")
    await chat.bob.reacts(first, "✅")
    await chat.bob.reacts(second, "✅")
    await chat.rolled()
    assert (await chat.action(2)).state == "void"
    assert chat.replicas == 6
    assert "6 → 7" in chat.card(3).plain


async def test_safety_13_an_approver_without_the_role_counts_no_more(chat: ClusterChat) -> None:
    """A stop takes two people, who are looked up again right before it runs."""
    card = await chat.asks("/scale realtime 0")
    await chat.bob.reacts(card, "✅")
    assert chat.replicas == 3
    people = chat.stage.settings.people

    def without(settings: object) -> object:
        changed = {**people, "bob": replace(people["bob"], roles=frozenset({"responder"}))}
        return replace(settings, people=changed)  # type: ignore[type-var]

    await chat.restarts(without)  # type: ignore[arg-type]
    await chat.carol.reacts(card, "✅")
    await chat.rolled()
    assert writes(chat) == 0


async def test_safety_14_drift_voids_and_asks_once_more(chat: ClusterChat) -> None:
    """Somebody else scaled it meanwhile; another deployment of the same name is another one."""
    card = await chat.asks("/scale realtime 6")
    patch(chat.server, DEPLOYMENT, {"spec": {"replicas": 5}})
    await chat.bob.reacts(card, "✅")
    assert (await chat.action(1)).state == "void"
    assert "replicas is 5 now, it was 3" in "\n".join(m.plain for m in chat.messages())
    assert "5 → 6" in chat.card(2).plain
    chat.server.call("remove", resource="deployments", name="realtime", namespace=SPACE)
    chat.server.deploy("realtime", SPACE, replicas=5)
    await chat.bob.reacts(chat.card(2), "✅")
    assert (await chat.action(2)).state == "void"
    assert writes(chat) == 0


async def test_safety_14_another_config_map_is_another_plan(chat: ClusterChat) -> None:
    """Named otherwise in the configuration, or deleted and made anew: nobody has voted on that one."""
    data = {"MAINTENANCE_MODE": "false", "BACKPRESSURE_THRESHOLD": "0.8"}
    chat.server.apply(scene.config_map("realtime-old", SPACE, data))
    card = await chat.asks("/toggle realtime BACKPRESSURE_THRESHOLD 0.9")
    assert "patches realtime-config," in card.plain

    def renamed(settings: Settings) -> Settings:
        services = settings.catalogue.services
        realtime = replace(services["realtime"], config_map="realtime-old")
        return replace(
            settings, catalogue=replace(settings.catalogue, services={**services, "realtime": realtime})
        )

    await chat.restarts(renamed)
    await chat.bob.reacts(chat.card(1), "✅")
    assert (await chat.action(1)).state == "void"
    assert "patches realtime-old," in chat.card(2).plain
    chat.server.call("remove", resource="configmaps", name="realtime-old", namespace=SPACE)
    chat.server.apply(scene.config_map("realtime-old", SPACE, data))
    await chat.bob.reacts(chat.card(2), "✅")
    assert (await chat.action(2)).state == "void"
    assert writes(chat) == 0


@pytest.mark.parametrize(
    ("was", "state", "between"),
    [
        ("0", "on", "true"),
        ("Off", "on", "true"),
        ("", "on", "true"),
        ("1", "off", "false"),
        ("Yes", "off", "false"),
    ],
)
async def test_undo_of_maintenance_brings_back_how_it_was_spelled(
    chat: ClusterChat, was: str, state: str, between: str
) -> None:
    """Services read more than `true` and `false`; the line that people read stays as they would type it."""

    def mode() -> str:
        found: str = chat.server.named("configmaps", "realtime-config", SPACE)["data"]["MAINTENANCE_MODE"]
        return found

    chat.server.apply(scene.config_map("realtime-config", SPACE, {"MAINTENANCE_MODE": was}))
    other = {"on": "off", "off": "on"}[state]
    await chat.alice.says(f"/maintenance realtime {other}")
    assert f"maintenance mode is {other} already" in chat.bot_said_to("alice") or not was
    await chat.approved(f"/maintenance realtime {state}")
    assert mode() == between
    await chat.alice.says("/undo 1")
    await chat.rolled()
    assert mode() == was
    assert (await chat.action(2)).plan["line"] == f"maintenance realtime {other}"


@pytest.mark.parametrize(
    "line",
    [
        "/scale realtime -1",
        "/scale realtime 1e9",
        "/scale realtime NaN",
        "/scale realtime 10.5",
        "/scale realtime １０",
        "/scale realtime 999",
        "/scale rеaltime 5",
        "/restart app=realtime",
        "/restart realtime,chat-adapters",
        "/pod delete --all",
        "/pod delete realtime*",
        "/pod delete ../secrets/x cluster=main",
        "/pod delete $(reboot)",
        "/cordon node-1;reboot",
        "/cordon ../../secrets cluster=main",
        "/hpa realtime 0 5",
        "/hpa realtime 5",
        "/rollback realtime -1",
        "/toggle realtime PATH /tmp",
        "/describe secret/x",
    ],
)
async def test_safety_16_arguments_that_are_none(chat: ClusterChat, line: str) -> None:
    """SAFETY 15, 16, 18: refused with a sentence; nothing is asked for, nothing sent that changes anything."""
    await chat.alice.says(line)
    assert chat.cards() == 0
    assert writes(chat) == 0
    assert not [each for each in chat.server.requests() if "secrets" in each["resource"]]


async def test_safety_19_what_a_cluster_shows_is_data(chat: ClusterChat) -> None:
    """Logs, events, causes, webhooks: nothing of it has an effect in a chat."""
    server = chat.server
    server.call("log", pod=pod_names(server)[0], namespace=SPACE, lines=[HOSTILE])
    patch(server, DEPLOYMENT, {"metadata": {"annotations": {"kubernetes.io/change-cause": HOSTILE}}})
    for line in ("logs", "events", "rollout", "describe"):
        await chat.alice.says(f"/{line} realtime")
    await server.act("faults", kinds=["denied"], verbs=["patch"], message=HOSTILE)
    await chat.alice.says("/scale realtime 5")
    await server.act("faults", kinds=["refuse_dry_run"], verbs=["patch"])
    await chat.asks("/scale realtime 6")
    for message in chat.messages():
        neutral(message.text)
        assert "mallory" not in message.mentions


async def test_safety_20_secrets_in_a_cluster_stay_there(chat: ClusterChat) -> None:
    """Planted in logs, config maps, events and refusals: in no file, outbox, chat or export."""
    server = chat.server
    await chat.restarts(knowing)
    server.apply(scene.config_map("realtime-config", SPACE, {**PLANTED, "MAINTENANCE_MODE": "false"}))
    for pod in pod_names(server):
        server.call("log", pod=pod, namespace=SPACE, lines=list(PLANTED.values()))
    for line in ("logs realtime", "logs realtime grep=a", "describe realtime", "events realtime"):
        await chat.alice.says(f"/{line}")
    for secret in PLANTED.values():
        await server.act("faults", kinds=["denied"], verbs=["patch"], message=secret)
        await chat.alice.says("/scale realtime 5")
    await server.act("faults")
    await chat.approved("/maintenance realtime on")
    assert (await chat.action()).state == "done"
    await everywhere(chat)


async def test_safety_31_break_glass_waits_a_minute(chat: ClusterChat) -> None:
    """With a reason, after a delay in which anybody can stop it; then it runs, once."""
    await chat.asks("/scale realtime 6")
    await chat.alice.says("/breakglass 1 nobody else is awake")
    await chat.waits(59)
    assert writes(chat) == 0
    await chat.waits(10)
    await chat.rolled()
    assert chat.replicas == 6
    assert writes(chat) == 1


async def test_safety_32_without_a_log_nothing_is_sent(chat: ClusterChat) -> None:
    """Approved when the log cannot be written: the vote is refused, and the cluster hears nothing."""
    card = await chat.asks("/scale realtime 6")
    async with chat.log_held():
        await chat.console.reacts("bob", card.id, "✅")
        await chat.stage.quiet()
        assert writes(chat) == 0
    assert chat.replicas == 3


async def test_safety_33_no_answer_is_unknown_and_nothing_is_tried_again(chat: ClusterChat) -> None:
    """The connection breaks after the request: the card says so, with what the cluster shows now."""
    card = await chat.asks("/scale realtime 6")
    await chat.server.act("faults", kinds=["after"], verbs=["patch"], count=1)
    await chat.bob.reacts(card, "✅")
    [unknown] = await chat.events("action-1", e.ActionUnknown)
    assert "the connection broke after the request was sent" in unknown.text
    assert "Kubernetes shows 6 wanted, 3 ready." in unknown.text
    assert unknown.observed["replicas"] == 6
    await chat.waits(3600)
    await chat.restarts()
    assert changes_of(chat.server, "wb-1") == 1


async def test_a_scale_for_a_while_goes_back_by_itself(chat: ClusterChat) -> None:
    """`for 30m`, counted from its end."""
    await chat.approved("/scale realtime 6 for 30m")
    await chat.waits(29 * 60)
    assert chat.replicas == 6
    await chat.waits(2 * 60)
    await chat.rolled()
    assert chat.replicas == 3


async def test_a_rollback_that_gets_stuck_is_taken_back(chat: ClusterChat) -> None:
    """It failed, and its pods are in force all the same: the card says so, and its approval covers the undo."""
    patch(chat.server, DEPLOYMENT, {"spec": {"progressDeadlineSeconds": 30}})
    chat.server.settle()
    chat.server.call("outcome", of="registry.example.com/realtime:1.0.0", outcome="unpullable")
    chat.mark()
    card = await chat.approved("/rollback realtime")
    await chat.waits(120)
    assert (await chat.action()).state == "failed", card
    assert "What was done of it stands." in chat.bot_said()
    await chat.alice.says("/undo 1")
    await chat.rolled()
    assert (await chat.action(2)).state == "done"
    (deployment,) = [d for d in chat.server.objects("deployments") if d["metadata"]["name"] == "realtime"]
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == "registry.example.com/realtime:1.1.0"


async def test_safety_38_what_was_pasted_into_a_command_is_erased(chat: ClusterChat) -> None:
    """As a word to look for, or a pod's name: in the log, the chat and the exports."""
    for line in (
        f"/logs realtime grep={SECRET}",
        f"/describe {SECRET}",
        f"/pod delete {SECRET} cluster=main",
    ):
        message = await chat.alice.says(line)
        await chat.waits(120)
        await chat.bob.says(f"/scrub {message}")
    await chat.waits(60)
    await gone(chat)
