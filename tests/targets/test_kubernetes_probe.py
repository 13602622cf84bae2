"""Looks inside pods: off where nothing is said, only what is listed, bounded, redacted, and never a shell."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs
from typer.testing import CliRunner

from bot.cli import app
from bot.clock import VirtualClock
from bot.config_schema import validate
from bot.targets.build import simulated
from bot.targets.config import check
from bot.targets.kubernetes_exec import MOST_BYTES, Ran
from bot.targets.kubernetes_rights import USUAL, enabled, role
from bot.targets.sandbox_world import World
from commands.actions import TargetError
from incidents.ports import RefusedError
from tests.contracts.kubernetes_rig import SPACE, TOKEN, furnish, patch, pod_names
from tests.contracts.target_rigs import START
from tests.safety.rig import example
from tests.safety.test_words import HOSTILE, PLANTED, everywhere, knowing, neutral
from tests.servers.kubernetes_server import KubernetesServer, shared
from tests.targets.kubernetes_stage import SERVICE, ClusterChat, chatting, target_of

PROBE: dict[str, Any] = {
    "connect": ["redis:6379", "postgres:5432"],
    "http": ["8080/metrics", "8080/health", "9000/health"],
    "files": {"rules": "/app/validation_rules.json"},
    "timeout": "1s",
}
WITH_PROBE = role((*USUAL, "probe"))
CURL = ["curl", "-q", "-sS", "-g", "--noproxy", "*", "--max-time", "5", "--max-filesize", str(2 * MOST_BYTES)]
CURL += ["--write-out", "\nHTTP %{http_code} in %{time_total} s\n"]
LOOKS: list[tuple[dict[str, Any], list[str]]] = [
    ({"what": "ps"}, ["ps", "aux"]),
    ({"what": "memory"}, ["free", "-m"]),
    ({"what": "disk"}, ["df", "-h"]),
    ({"what": "connect", "of": "redis:6379"}, ["nc", "-z", "-v", "-w", "5", "redis", "6379"]),
    ({"what": "http", "of": "/metrics"}, [*CURL, "http://localhost:8080/metrics"]),
    ({"what": "http", "of": "9000/health"}, [*CURL, "http://localhost:9000/health"]),
    (
        {"what": "file", "of": "rules"},
        ["head", "-c", str(MOST_BYTES + 1), "/app/validation_rules.json"],
    ),
]


@pytest.fixture
def server() -> Iterator[KubernetesServer]:
    """A cluster as untouched as a new one, whose bot may run commands in pods."""
    found = shared()
    furnish(found)
    found.call("token", token=TOKEN, roles=[WITH_PROBE])
    yield found
    found.call("faults")


@pytest.fixture
async def target(server: KubernetesServer, tmp_path: Path) -> AsyncIterator[Any]:
    """Its target, with a list of what may be looked at."""
    found = target_of(server, tmp_path, VirtualClock(START), timeout="1s", probe=PROBE)
    yield found
    await found.stop()


def begun(server: KubernetesServer) -> list[dict[str, Any]]:
    """The commands that the bot began, or tried to."""
    return [each for each in server.requests() if each["resource"] == "pods/exec"]


@pytest.mark.parametrize(("args", "argv"), LOOKS, ids=lambda each: " ".join(each)[:30])
async def test_each_look_is_one_fixed_command(
    target: Any, server: KubernetesServer, args: dict[str, Any], argv: list[str]
) -> None:
    """The stand-in knows this argument list alone; it runs in one pod of the service, once."""
    await server.act("command", argv=argv, stdout="it is so")
    answer = await target.read("probe", **SERVICE, **args)
    assert answer.text == "it is so"
    assert answer.headline.startswith("realtime · production · ")
    [sent] = begun(server)
    assert sent["path"].rsplit("/", 2)[1] in pod_names(server)
    assert sent["query"]["container"] == "app"
    assert "stdin" not in sent["query"]


async def test_a_pod_by_its_name_and_the_container_that_speaks_for_it(
    target: Any, server: KubernetesServer
) -> None:
    """The annotation says which; of a service it is a pod that is ready."""
    await server.act("command", argv=["ps", "aux"], stdout="1 app")
    first, second, _ = pod_names(server)
    patch(
        server,
        f"/api/v1/namespaces/{SPACE}/pods/{first}",
        {"metadata": {"annotations": {"kubectl.kubernetes.io/default-container": "other"}}},
    )
    assert (await target.read("probe", pod=second, what="ps")).text == "1 app"
    with pytest.raises(TargetError, match="Kubernetes main says no: it answered 400"):
        await target.read("probe", pod=first, what="ps")
    server.call("outcome", of=f"{SPACE}/{first}", outcome="crash")
    server.step()
    server.requests(clear=True)
    await target.read("probe", **SERVICE, what="ps")
    [sent] = begun(server)
    assert first not in sent["path"]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ({"what": "connect", "of": "redis:6380"}, 'no place "redis:6380" in the list. There are redis:6379'),
        ({"what": "connect"}, "Say which place. There are redis:6379, postgres:5432."),
        ({"what": "connect", "of": "-e"}, "no place"),
        ({"what": "http", "of": "/health"}, "no page"),  # two ports have it
        ({"what": "http", "of": "8080/admin"}, "no page"),
        ({"what": "file", "of": "/etc/passwd"}, "no file"),
        ({"what": "file", "of": "/app/validation_rules.json"}, "There are rules."),
        ({"what": "ps", "of": "-ef"}, "takes nothing after it"),
    ],
)
async def test_safety_16_only_what_the_list_has(
    target: Any, server: KubernetesServer, args: dict[str, Any], told: str
) -> None:
    """Everything else is refused with the list, before anybody is asked."""
    with pytest.raises(RefusedError, match=told):
        await target.read("probe", **SERVICE, **args)
    assert server.requests() == []


async def test_only_pods_of_services_that_are_listed(server: KubernetesServer, tmp_path: Path) -> None:
    """A pod of the namespace that is no service's is left alone, and so are services that are not named."""
    server.deploy("stranger", SPACE, replicas=1)
    server.settle()
    target = target_of(server, tmp_path, VirtualClock(START), probe={**PROBE, "services": ["chat-adapters"]})
    strange = next(name for name in pod_names(server) if name.startswith("stranger"))
    with pytest.raises(RefusedError, match="belongs to no service of the catalogue"):
        await target.read("probe", pod=strange, what="ps")
    with pytest.raises(RefusedError, match="pods of realtime, only in those of chat-adapters"):
        await target.read("probe", **SERVICE, what="ps")
    with pytest.raises(RefusedError, match="There is no service or pod"):
        await target.read("probe", pod="nobody", what="ps")
    assert begun(server) == []
    await target.stop()


async def test_off_where_nothing_is_said(server: KubernetesServer, tmp_path: Path) -> None:
    """A sentence, for the cluster and for the sandbox."""
    clock = VirtualClock(START)
    target = target_of(server, tmp_path, clock)
    with pytest.raises(RefusedError, match="its target has no `probe` in the configuration"):
        await target.read("probe", **SERVICE, what="ps")
    assert server.requests() == []
    await target.stop()
    sandbox = simulated(example(), World(tmp_path / "world.json", clock), clock)["kubernetes"]
    with pytest.raises(RefusedError, match="The sandbox has no probe"):
        await sandbox.read("probe", **SERVICE, what="ps", of=None)


# -- how commands end -------------------------------------------------------------------------------


async def test_codes_and_silence_are_told(target: Any, server: KubernetesServer) -> None:
    """What it wrote to both streams, with the code; a command that wrote nothing says so."""
    argv = LOOKS[3][1]
    await server.act("command", argv=argv, stderr="nc: connect to redis port 6379: refused", code=1)
    answer = await target.read("probe", **SERVICE, what="connect", of="redis:6379")
    assert answer.lines == ("`nc` ended with code 1.",)
    assert "refused" in answer.text
    await server.act("command", argv=argv)
    answer = await target.read("probe", **SERVICE, what="connect", of="redis:6379")
    assert answer.lines == ("It wrote nothing.",)


async def test_an_image_that_lacks_the_program(target: Any) -> None:
    """The usual thing in a slim image: said as that."""
    with pytest.raises(TargetError, match=r"`ps` in .* could not be run: the image does not have it\."):
        await target.read("probe", **SERVICE, what="ps")


async def test_safety_33_a_command_that_does_not_end(target: Any, server: KubernetesServer) -> None:
    """It has its time; whole lines that came until then are shown, for half of a secret passes for text."""
    late = "`ps` did not end in time (1 s); this is what came until then."
    await server.act("command", argv=["ps", "aux"], stdout="one\n--url redis://app:Tr0ub4dor", ends="hangs")
    answer = await target.read("probe", **SERVICE, what="ps")
    assert answer.text == "one\n"
    assert answer.lines == (late,)
    await server.act("command", argv=["ps", "aux"], stdout="--url redis://app:Tr0ub4dor", ends="hangs")
    answer = await target.read("probe", **SERVICE, what="ps")
    assert answer.text == ""
    assert answer.lines == (late, "It wrote no whole line.")


async def test_safety_20_a_file_that_is_longer_than_what_is_taken(
    target: Any, server: KubernetesServer
) -> None:
    """`head` is asked for a byte more than is shown, so that it is known, and the last line goes."""
    whole = ("x" * 63 + "\n") * (MOST_BYTES // 64 - 1)
    text = whole + "y" * 20 + " redis://app:Tr0ub4dor-and-3-more-words@cache\n"
    assert len(text) > MOST_BYTES
    await server.act("command", argv=LOOKS[-1][1], stdout=text[: MOST_BYTES + 1])
    answer = await target.read("probe", **SERVICE, what="file", of="rules")
    assert answer.lines == ("`head` wrote more than 256 KiB; this is what came until then.",)
    assert answer.text == whole
    await server.act("command", argv=LOOKS[-1][1], stdout=whole)
    assert (await target.read("probe", **SERVICE, what="file", of="rules")).lines == ()


async def test_safety_20_a_page_that_broke_off(target: Any, server: KubernetesServer) -> None:
    """curl says how it ended, after half a line of the page: that one goes."""
    page = "whole\nredis://app:Tr0ub4dor\nHTTP 200 in 5.0 s\n"
    await server.act("command", argv=LOOKS[4][1], stdout=page, code=28)
    answer = await target.read("probe", **SERVICE, what="http", of="/metrics")
    assert answer.text == "whole\nHTTP 200 in 5.0 s\n"
    await server.act("command", argv=LOOKS[4][1], stdout=page)
    answer = await target.read("probe", **SERVICE, what="http", of="/metrics")
    assert answer.text == page


def test_two_streams_are_told_line_by_line() -> None:
    """Neither breaks into a line of the other's; what has not ended counts only where the command has."""
    found = Ran()
    for stream, data in ((1, b"one tw"), (2, b"a warn"), (1, b"o\nthree"), (2, b"ing\n")):
        found.take(stream, data)
    assert found.written == b"one two\na warning\n"
    assert found.size == len(found.written) + len(b"three")
    found.end()
    assert found.written == b"one two\na warning\nthree"


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("500", "answered 500"),
        ("429", "has too much to do"),
        ("503", "answered 503"),
        ("reset", "connection broke"),
        ("silence", "did not answer within 1 s"),
    ],
)
async def test_safety_33_a_cluster_that_fails(
    target: Any, server: KubernetesServer, fault: str, told: str
) -> None:
    """A sentence; a connection that breaks before there was an answer is tried once more, as for every look."""
    await server.act("command", argv=["ps", "aux"], stdout="1")
    await server.act("faults", kinds=[fault], resources=["pods/exec"], seconds=5)
    with pytest.raises(TargetError, match=told):
        await target.read("probe", **SERVICE, what="ps")
    assert len(begun(server)) == (2 if fault == "reset" else 1)


async def test_safety_33_a_connection_that_breaks_in_between(target: Any, server: KubernetesServer) -> None:
    """Half of an output passes for nothing."""
    await server.act("command", argv=["ps", "aux"], stdout="half", ends="cut")
    with pytest.raises(TargetError, match=r"`ps` in .* was cut off: the connection broke"):
        await target.read("probe", **SERVICE, what="ps")


async def test_nobody_listens_and_the_wrong_certificate(server: KubernetesServer, tmp_path: Path) -> None:
    """As for every look."""
    for fields, told in (
        ({"host": "https://127.0.0.1:1"}, "connection is refused"),
        ({"ca_file": None}, "certificate that I do not trust"),
    ):
        target = target_of(server, tmp_path, VirtualClock(START), probe=PROBE, **fields)
        with pytest.raises(TargetError, match=told):
            await target.read("probe", **SERVICE, what="ps")
        await target.stop()


async def test_without_the_right_to_pods_exec(target: Any, server: KubernetesServer) -> None:
    """Both verbs are needed; the sentence names them."""
    server.call("token", token=TOKEN, roles=[role()])
    with pytest.raises(TargetError, match=r"does not allow me to run anything in that pod: .*pods/exec"):
        await target.read("probe", **SERVICE, what="ps")


async def test_safety_20_ten_megabytes_and_no_text(target: Any, server: KubernetesServer) -> None:
    """So much is taken and no more, in whole lines, so that no half of a secret is left; bytes are escaped."""
    line = "x" * 90 + " token=ghp_0123456789abcdefghijABCDEFGHIJ\n"
    await server.act("command", argv=["ps", "aux"], stdout=line * (10 * 1024**2 // len(line)))
    answer = await target.read("probe", **SERVICE, what="ps")
    assert answer.lines == ("`ps` wrote more than 256 KiB; this is what came until then.",)
    assert len(answer.text) < MOST_BYTES
    assert "ghp_" not in answer.text
    raw = base64.b64encode(b"\xff\xfe caf\xc3\xa9 \x1b[31mred\x00\n").decode()
    await server.act("command", argv=["ps", "aux"], raw=raw)
    answer = await target.read("probe", **SERVICE, what="ps")
    assert answer.text == "\\xff\\xfe café red�\n"


# -- who allows it ----------------------------------------------------------------------------------


async def test_safety_34_the_role_has_it_only_where_it_is_on(
    server: KubernetesServer, tmp_path: Path
) -> None:
    """`watchbell manifest rbac` prints get and create of pods/exec for such a target, and for no other."""
    assert "pods/exec" not in yaml.safe_dump(role())
    rules = [rule for rule in WITH_PROBE["rules"] if "pods/exec" in rule["resources"]]
    assert [(rule["apiGroups"], rule["verbs"]) for rule in rules] == [([""], ["create", "get"])]
    text = (Path(__file__).parents[2] / "watchbell.example.yaml").read_text("utf-8")
    section = "targets:\n  main: {driver: kubernetes, in_cluster: true, probe: {}}\n"
    config = tmp_path / "watchbell.yaml"
    config.write_text(text.replace("targets:\n", section, 1), "utf-8")
    result = CliRunner().invoke(app, ["manifest", "rbac", "--config", str(config)])
    assert result.exit_code == 0, result.output
    assert yaml.safe_load(result.stdout) == WITH_PROBE
    plain = {"main": {"driver": "kubernetes", "commands": [], "probe": None}}
    assert enabled(plain) == USUAL


async def test_check_says_that_it_is_on(server: KubernetesServer, tmp_path: Path) -> None:
    """And what the right is good for; a role without it is told with its two verbs."""
    target = target_of(server, tmp_path, VirtualClock(START), probe=PROBE)
    lines = [line async for line in target.guarded.check()]
    assert all(line.right for line in lines)
    assert any(line.text.startswith("probe: on") and "pods/exec" in line.text for line in lines)
    server.call("token", token=TOKEN, roles=[role()])
    wrong = [line.text async for line in target.guarded.check() if not line.right]
    assert wrong == [
        "probe: I may not get pods/exec in production",
        "probe: I may not create pods/exec in production",
    ]
    await target.stop()
    target = target_of(server, tmp_path, VirtualClock(START))
    assert not [line async for line in target.guarded.check() if "probe" in line.text]
    await target.stop()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"probe": {"connect": ["redis"]}}, "should be a host in small letters and a port"),
        ({"probe": {"connect": ["redis:99999"]}}, "should be a host in small letters and a port"),
        ({"probe": {"connect": ["-e:80"]}}, "should be a host in small letters and a port"),
        ({"probe": {"http": ["/metrics"]}}, "should be a port and a path"),
        ({"probe": {"http": ["8080/../x"]}}, "should be a port and a path"),
        ({"probe": {"files": {"a": "app/rules"}}}, "should be the whole path of one file"),
        ({"probe": {"files": {"a": "/app/../etc/shadow"}}}, "should be the whole path of one file"),
        ({"probe": {"http": ["8080/./x"]}}, "should be a port and a path"),
        ({"probe": {"http": ["8080/x/."]}}, "should be a port and a path"),
        ({"probe": {"http": ["8080//x"]}}, "should be a port and a path"),
        ({"probe": {"files": {"a": "/./proc/1/environ"}}}, "should be the whole path of one file"),
        ({"probe": {"files": {"a": "/var/./run/secrets/x"}}}, "should be the whole path of one file"),
        ({"probe": {"files": {"a": "/etc/./shadow"}}}, "should be the whole path of one file"),
        ({"probe": {"files": {"a": "/etc//shadow"}}}, "should be the whole path of one file"),
        ({"probe": {"files": {"a": "/etc/shadow/."}}}, "should be the whole path of one file"),
        ({"probe": {"files": {"a": "/etc/shadow-"}}}, "is where secrets are"),
        ({"probe": {"files": {"a": "/var/run/secrets/x"}}}, "is where secrets are"),
        ({"probe": {"files": {"a": "/proc/1/environ"}}}, "is where secrets are"),
        ({"probe": {}, "commands": ["pods"]}, "`commands` lacks probe"),
        ({"commands": ["probe"]}, "say under `probe` what may be looked at"),
    ],
)
def test_faults_of_the_list(fields: dict[str, Any], message: str) -> None:
    """With the way on."""
    section = {"driver": "kubernetes", "in_cluster": True, **fields}
    data = {"targets": {"main": section}, "services": {"realtime": {}}}
    found = [each.message for each in validate(data)[1] if each.path[:2] == ("targets", "main")]
    assert len(found) == 1
    assert message in found[0]


def test_services_that_there_are_not() -> None:
    """The fault stands at the name, and says which was meant."""
    section = {"driver": "kubernetes", "in_cluster": True, "probe": {"services": ["realtime", "realtme"]}}
    [found] = check({"targets": {"main": section}, "services": {"realtime": {}}})
    assert found.path == ("targets", "main", "probe", "services", 1)
    assert "realtime" in found.message


# -- from chat --------------------------------------------------------------------------------------


@pytest.fixture
async def chat(tmp_path: Path, server: KubernetesServer) -> AsyncIterator[ClusterChat]:
    """A running bot with an open incident, and a cluster whose pods it may look into."""
    with capture_logs():
        async with chatting(tmp_path, server, probe=PROBE) as made:
            yield made


async def test_a_look_from_chat(chat: ClusterChat) -> None:
    """No approval, and no card: it only looks."""
    await chat.server.act("command", argv=["free", "-m"], stdout="Mem: 512 100")
    chat.mark()
    await chat.alice.says("/probe realtime memory")
    assert "Mem: 512 100" in chat.bot_said()
    assert "Counted for the whole node" in chat.bot_said()
    assert chat.cards() == 0


async def test_safety_16_words_that_are_none(chat: ClusterChat) -> None:
    """SAFETY 15, 16: refused with a sentence, nothing is begun."""
    for words in (
        "realtime connect $(reboot)",
        "realtime connect redis:6379;reboot",
        "realtime connect --help",
        "realtime http /metrics|sh",
        "realtime file ../../etc/passwd",
        "realtime ps; reboot",
        "realtime sh",
        "realtime file rules\nreboot",
        "rеaltime ps",
        "-n ps",
        "*",
        "realtime ps cluster=-x",
    ):
        chat.mark()
        await chat.alice.says(f"/probe {words}")
        assert chat.bot_said_to("alice"), words
        assert begun(chat.server) == [], words


async def test_safety_19_and_20_what_pods_print(chat: ClusterChat) -> None:
    """SAFETY 19, 20: a command's words have no effect in the chat, and its secrets are nowhere."""
    server = chat.server
    await chat.restarts(knowing)
    for args, argv in LOOKS:
        await server.act("command", argv=argv, stdout=HOSTILE + "\n" + "\n".join(PLANTED.values()))
        await chat.alice.says(f"/probe realtime {args['what']} {args.get('of', '')}")
    await server.act("command", argv=["ps", "aux"], stderr=" ".join(PLANTED.values()), code=2)
    await chat.alice.says("/probe realtime ps")
    assert len(begun(server)) == len(LOOKS) + 1
    for message in chat.messages():
        neutral(message.text)
    await everywhere(chat)
