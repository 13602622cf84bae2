"""The sandbox: a believable world that loses nothing, shows its troubles, and says what it cannot do."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.answers import laid_out
from bot.clock import VirtualClock
from bot.config import load
from bot.targets import sandbox
from bot.targets.sandbox_world import World
from commands.actions import Answer, Ops, Outcome, Plan, Target, TargetError
from commands.grammar import Names, parse
from commands.operations import health, kubernetes, links, prometheus, redis
from commands.registry import collect
from incidents.ports import RefusedError
from tests.contracts.target_rigs import CATALOGUE, START


class House:
    """The sandbox with the operations commands in front of it."""

    def __init__(self, path: Path | None = None) -> None:
        self.clock = VirtualClock(START)
        self.world = World(path, self.clock)
        self.targets: Mapping[str, Target] = sandbox.build(
            {"redis_readable": ["config:*"]}, catalogue=CATALOGUE, clock=self.clock, world=self.world
        )
        self.ops = Ops(self.targets, CATALOGUE, self.clock)
        self.registry = collect([kubernetes, redis, health, links, prometheus])
        self.told: list[tuple[int, int, str]] = []

    async def says(self, line: str) -> Any:
        """What a command gives: an Answer or a Plan."""
        parsed = parse(line, self.registry, Names(CATALOGUE, {}))
        handed = {"ops": self.ops} if "ops" in parsed.command.injected else {}
        return await parsed.command.run(**parsed.values, **handed)

    async def reads(self, line: str) -> str:
        """All the text of an answer."""
        answer = await self.says(line)
        assert isinstance(answer, Answer)
        table = answer.table
        rows = [" ".join(row) for row in table.rows] if table else []
        return "\n".join(
            [answer.headline, *answer.lines, *rows, *(table.remarks if table else ()), answer.text]
        )

    async def runs(self, line: str, key: str = "wb-1") -> Outcome:
        """A change, run to its end."""
        plan = await self.says(line)
        assert isinstance(plan, Plan)
        task = self.start(plan, key)
        await self.clock.advance(self.clock.now() + timedelta(seconds=31))
        assert task.done()
        return task.result()

    def start(self, plan: Plan, key: str = "wb-1") -> asyncio.Task[Outcome]:
        """A plan that runs beside the test."""
        running = self.targets[plan.target].run(plan, key=key, progress=self.progress)
        return asyncio.get_running_loop().create_task(running)

    async def progress(self, done: int, total: int, what: str) -> None:
        self.told.append((done, total, what))


@pytest.fixture
def house() -> House:
    return House()


# -- the file ---------------------------------------------------------------------------------------


def test_every_mutation_is_in_the_file_before_the_call_returns(tmp_path: Path) -> None:
    """A process that is killed right after it loses nothing."""
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from tests.bot.test_sandbox import House\n"
        "world = House(Path(sys.argv[1])).world\n"
        "world.sandbox_line(['realtime', 'replicas=7'])\n"
        "world.sandbox_line(['pager', 'bob', 'down'])\n"
        "with world.change('wb-9', 'scale', 'x'): pass\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "sandbox.json"
    killed = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    world = World(path, VirtualClock(START))
    assert world.replicas("realtime") == 7
    assert world.pager_down("bob")
    assert world.changes == {"wb-9": 1}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sandbox.json", "sandbox.json.lock"]


def test_two_processes_see_one_world(tmp_path: Path) -> None:
    """What one changes the other sees, and neither overwrites the other."""
    one, two = House(tmp_path / "world.json").world, House(tmp_path / "world.json").world
    one.set("realtime", replicas=5)
    two.set("chat-adapters", replicas=6)
    with one.change("wb-1", "scale", "x"):
        pass
    with two.change("wb-1", "scale", "x"):
        pass
    for world in (one, two):
        assert (world.replicas("realtime"), world.replicas("chat-adapters")) == (5, 6)
        assert world.changes == {"wb-1": 2}


@pytest.mark.parametrize("kept", [True, False])
def test_a_mutation_that_fails_leaves_nothing_behind(tmp_path: Path, kept: bool) -> None:
    world = House(tmp_path / "world.json" if kept else None).world
    with pytest.raises(ValueError, match="no colour"):
        world.sandbox_line(["realtime", "replicas=9", "colour=red"])
    with pytest.raises(LookupError), world.change("wb-1", "scale", "x") as state:
        state.deployments["realtime"].replicas = world.replicas("no-such-service")
    assert world.replicas("realtime") == 3
    assert world.changes == {}


def test_it_is_the_same_world_every_time() -> None:
    """Rehearsals are documents: names and figures do not change from run to run."""
    assert House().world.state == House().world.state


# -- the lines of a rehearsal -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("realtime", "Say what changes"),
        ("mongo down", "The sandbox has no mongo; there are"),
        ("realtime replicas=many", "replicas is a whole number, not many"),
        ("realtime replicas=-1", "replicas is a whole number"),
        ("realtime replicas", "replicas is a whole number"),
        ("realtime pods=happy", "pods are ok, crashloop, oomkilled, not happy"),
        ("realtime sideways", "A service has no sideways"),
        ("realtime NO_SUCH_VARIABLE=1", "realtime has no variable NO_SUCH_VARIABLE"),
        ("realtime error=perhaps", "error is on or off, not perhaps"),
        ("redis sideways", "A Redis has no sideways"),
        ("redis maxmemory=lots", "maxmemory is a whole number"),
        ("pager bob", "Say whose pager"),
        ("pager bob sideways", "Say whose pager"),
    ],
)
def test_a_line_that_says_nothing_is_a_sentence(house: House, line: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        house.world.sandbox_line(line.split())


async def test_pagers_fail_and_work_again(house: House) -> None:
    assert not house.world.pager_down("bob")
    house.world.sandbox_line(["pager", "@bob", "down"])
    assert house.world.pager_down("bob")
    assert not house.world.pager_down("alice")
    house.world.sandbox_line(["pager", "bob", "up"])
    assert not house.world.pager_down("bob")


async def test_troubles_come_and_go(house: House) -> None:
    house.world.sandbox_line(["rt", "replicas=4", "pods=crashloop"])
    text = await house.reads("/pods realtime")
    assert "0 of 4 ready" in text
    assert "CrashLoopBackOff" in text
    house.world.sandbox_line(["realtime", "up"])
    assert "4 of 4 ready" in await house.reads("/pods realtime")
    house.world.sandbox_line(["realtime", "error"])
    with pytest.raises(TargetError, match="500"):
        await house.says("/pods realtime")
    house.world.sandbox_line(["realtime", "error=off"])
    house.world.sandbox_line(["realtime", "pods=oomkilled"])
    assert "OOMKilled 02:30 UTC" in await house.reads("/pods realtime")


# -- changes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/scale realtime 200", "realtime takes 0 to 20 replicas; 200 is outside. (0 needs two approvals.)"),
        ("/scale realtime 3", "realtime already runs 3."),
        ("/rollback realtime 9", "realtime has no revision 9; there are 1, 2."),
        ("/rollback realtime 3", "realtime already runs revision 3."),
        ("/maintenance realtime off", "realtime's maintenance mode is off already."),
        ("/toggle realtime BACKPRESURE 1", "Did you mean BACKPRESSURE_THRESHOLD?"),
        ("/toggle realtime BACKPRESSURE_THRESHOLD high", "takes a value like 0.8 or 0.9"),
        (
            "/toggle realtime BACKPRESSURE_THRESHOLD 0.9 expect=0.7",
            "realtime has BACKPRESSURE_THRESHOLD=0.8, not 0.7",
        ),
        ("/toggle realtime LOG_VALIDATION_ERRORS 1", "takes a value like false or true"),
        ("/toggle chat-adapters X 1", "It has: none."),
        (
            "/scale load-balancer 2",
            "docker compose, not in Kubernetes: use `/compose scale load-balancer 2`.",
        ),
        ("/restart payment-gateway", "payment-gateway can only be watched, not operated"),
        ("/redis maxmemory 1025gb", "maxmemory takes 64mb to 1024gb, or 0"),
        ("/redis maxmemory lots", "size is a number and a unit (kb, mb or gb), as in 512mb or 4gb"),
        ("/redis maxmemory 2gb", "redis is allowed 2gb already."),
        ("/redis policy allkeys-lru", "redis evicts by allkeys-lru already."),
        ("/redis kill 99", "`/redis clients` lists them."),
        ("/redis del *", "That pattern is every key"),
        ("/redis del nothing:*", "No key of redis matches"),
        (
            "/redis flush cache",
            "That would flush redis; to flush cache, name it as well: redis flush cache name=cache",
        ),
        ("/redis flush it", "type its name, as in redis flush redis"),
        ("/redis other ping", 'There is no Redis called "other"'),
        ("/redis get session:12", "never shown"),
        ("/redis get nothing", 'redis has no key "nothing".'),
        ("/pods", "Say which service"),
        ("/pods realtime namespace=production", "Say which service"),
        ("/pods namespace=nowhere", "there are production."),
        ("/describe realtime-x", "There is no service or pod"),
        ("/logs realtime pod=realtime-x", "realtime has no pod"),
        ("/query nothing", "There are: sockets."),
        ("/links chat-adapters", "No links are configured for chat-adapters."),
    ],
)
async def test_what_cannot_be_is_refused_in_a_sentence(house: House, line: str, said: str) -> None:
    with pytest.raises(RefusedError) as refusal:
        await house.says(line)
    assert said in str(refusal.value)


async def test_scaling_shows_its_progress(house: House) -> None:
    """Wanted at once, ready one after another, done within thirty seconds."""
    plan = await house.says("/scale realtime 10")
    assert (plan.summary, plan.effect, plan.undo["label"]) == ("scale realtime 3 → 10", "change", "3")
    task = house.start(plan)
    await house.clock.advance(START)
    assert house.world.replicas("realtime") == 10
    assert "3 of 10 ready" in await house.reads("/pods realtime")
    await house.clock.advance(START + timedelta(seconds=15))
    assert "6 of 10 ready" in await house.reads("/pods realtime")
    await house.clock.advance(START + timedelta(seconds=30))
    assert task.result().text == "realtime runs 10 replicas"
    assert house.told == [(n, 10, "ready") for n in range(3, 11)]


async def test_zero_is_a_danger(house: House) -> None:
    plan = await house.says("/scale realtime 0")
    assert plan.effect == "danger"
    assert (await house.runs("/scale realtime 0")).kind == "done"
    assert house.told[-1] == (3, 3, "stopped")
    with pytest.raises(RefusedError, match="runs no pods"):
        await house.says("/restart realtime")


async def test_a_change_that_does_not_get_well_fails_after_thirty_seconds(house: House) -> None:
    """And a rollback of the image helps."""
    house.world.sandbox_line(["realtime", "pods=crashloop"])
    outcome = await house.runs("/restart realtime")
    assert (outcome.kind, outcome.text) == (
        "failed",
        "0 of 3 ready after 30 s; the pods are in CrashLoopBackOff",
    )
    assert (await house.runs("/rollback realtime", "wb-2")).kind == "done"
    assert "3 of 3 ready" in await house.reads("/pods realtime")
    assert "running" in await house.reads("/rollout realtime")


async def test_somebody_else_may_be_quicker(house: House) -> None:
    """The world moves while a change is followed: that is said, and not called done."""
    task = house.start(await house.says("/scale realtime 10"))
    await house.clock.advance(START + timedelta(seconds=9))
    house.world.sandbox_line(["realtime", "replicas=4"])
    await house.clock.advance(START + timedelta(seconds=30))
    assert task.result().kind == "failed"
    assert "replicas is 4 now" in task.result().text


async def test_maintenance_restarts_the_pods(house: House) -> None:
    before = await house.reads("/pods realtime")
    assert (await house.runs("/maintenance realtime on")).text == "realtime's maintenance mode is on"
    after = await house.reads("/pods realtime")
    assert not {line.split()[0] for line in after.splitlines()[1:4]} & set(before.split())
    assert "MAINTENANCE_MODE=true" in await house.reads("/describe realtime")
    assert "maintenance realtime on" in await house.reads("/events realtime")


async def test_a_drifted_toggle_names_the_value_found(house: House) -> None:
    house.world.sandbox_line(["realtime", "BACKPRESSURE_THRESHOLD=0.85"])
    with pytest.raises(RefusedError, match=r"0\.85, not 0\.8; say expect=0\.85"):
        await house.says("/toggle realtime BACKPRESSURE_THRESHOLD 0.9")
    plan = await house.says("/toggle realtime BACKPRESSURE_THRESHOLD 0.9 expect=0.85")
    assert plan.undo["label"] == "0.85"


async def test_a_slow_system_takes_as_long_as_it_was_told(house: House) -> None:
    """So that a caller's patience can be tried."""
    house.world.sandbox_line(["realtime", "slow=1000"])
    task = asyncio.ensure_future(house.says("/pods realtime"))
    await house.clock.advance(START + timedelta(seconds=999))
    assert not task.done()
    await house.clock.advance(START + timedelta(seconds=1000))
    assert (await task).headline


# -- reads ------------------------------------------------------------------------------------------


async def test_redis_down_is_an_error_and_a_cross(house: House) -> None:
    assert "PONG" in await house.reads("/redis ping")
    assert "✗" not in await house.reads("/checklist realtime") + await house.reads("/health all")
    house.world.sandbox_line(["redis", "down"])
    for line in ("/redis ping", "/redis info", "/redis keys session:*", "/redis maxmemory 4gb"):
        with pytest.raises(TargetError, match="Redis does not answer: connection refused"):
            await house.says(line)
    assert "PONG" in await house.reads("/redis cache ping")
    assert "✗ Redis redis: connection refused" in await house.reads("/checklist realtime")
    text = await house.reads("/health realtime")
    assert "✗ readiness: 503" in text
    assert "✓ liveness" in text
    assert "✗ realtime" in await house.reads("/health all")
    assert "connecting to redis:6379" in await house.reads("/logs realtime")
    house.world.sandbox_line(["redis", "up"])
    assert "PONG" in await house.reads("/redis ping")


async def test_logs_are_believable_and_cut_to_what_was_asked(house: House) -> None:
    """Among them secrets, so that redaction has something to do."""
    answer = await house.says("/logs realtime since=1h tail=300")
    lines = answer.text.splitlines()
    assert len(lines) == 300
    assert lines == sorted(lines, key=lambda line: line.split()[0])
    for word in ("backpressure", "active connections", "timeout", "hunter2", "Bearer"):
        assert word in answer.text
    few = await house.says('/logs realtime grep="ACTIVE connections" tail=3')
    assert len(few.text.splitlines()) == 3
    assert few.lines == ()
    assert "Nothing" in await house.reads("/logs realtime grep=no-such-word")
    pod = lines[-1].split()[1]
    assert all(pod in line for line in (await house.says(f"/logs realtime pod={pod}")).text.splitlines())
    assert await house.says("/logs realtime") == await house.says("/logs realtime")


async def test_a_pod_is_described_by_its_name(house: House) -> None:
    pod = (await house.says("/pods realtime")).table.rows[0][0]
    text = await house.reads(f"/describe {pod}")
    assert "Ready:     yes" in text
    assert "Image:     registry.company.com/realtime" in text


async def test_the_hit_rate_is_computed(house: House) -> None:
    answer = await house.says("/redis hitrate")
    hits, misses = (int(words.split()[0]) for words in answer.lines[0].split(", "))
    assert f"{100 * hits / (hits + misses):.1f} %" in answer.headline
    assert "hit_rate" not in await house.reads("/redis info stats")


async def test_info_fits_on_a_screen(house: House) -> None:
    """As that of a real server does; a section has more of it."""
    answer = await house.says("/redis info")
    data, file = laid_out(answer)
    assert file is None
    assert "maxmemory_policy" in data["block"]
    assert "run_id" not in data["block"]
    assert "run_id" in await house.reads("/redis info server")


async def test_deleted_keys_are_gone(house: House) -> None:
    plan = await house.says("/redis del session:*")
    assert plan.effect == "danger"
    assert "1240 of them are never shown, like sessions: people may be logged out" in plan.notes
    before = await house.reads("/redis dbsize")
    assert (await house.runs("/redis del session:*")).text == "1240 keys deleted"
    assert house.told[-1] == (1240, 1240, "keys")
    assert "1680" in before
    assert "440 keys" in await house.reads("/redis dbsize")
    assert (await house.runs("/redis flush redis", "wb-2")).kind == "done"
    assert "0 keys" in await house.reads("/redis dbsize")
    assert "1680 keys" in await house.reads("/redis cache dbsize")


async def test_values_are_private_unless_configured(house: House) -> None:
    """A readable key is shown at once; another needs an approval and goes to the requester alone."""
    assert isinstance(await house.says("/redis get config:3"), Answer)
    plan = await house.says("/redis get rate-limit:user:3")
    assert (plan.private, plan.effect, plan.undo) == (True, "change", None)
    task = house.start(plan)
    await house.clock.advance(START)
    assert task.result().answer is not None
    assert task.result().answer.private
    with pytest.raises(RefusedError, match="after an approval only"):
        await house.targets["redis"].read("get", key="rate-limit:user:3")


async def test_metrics_now_and_over_a_time(house: House) -> None:
    listed = await house.says("/query")
    assert listed.headline == "Named queries: 1"
    assert listed.lines[0].startswith("sockets: ")
    now = await house.says("/query sockets")
    assert now.headline.startswith("sockets · ")
    over = await house.says("/promql websocket_connections_active 1h")
    assert len(over.table.rows) == 3
    assert over.table.columns[1:5] == ("LEAST", "MEAN", "MOST", "LAST")
    house.world.sandbox_line(["realtime", "down"])
    assert "✗" in await house.reads("/health realtime")
    assert "0" in (await house.says("/promql up{job=“realtime”}")).table.rows[0]


@pytest.mark.parametrize(
    "expression",
    [
        "rate(foo[5m])",
        "up > 1",
        "up or up",
        "sum(",
        "up{job!='x'}",
        "1",
        "rm -rf /",
        "topk(up)",
        "é",
        "up;up",
    ],
)
async def test_an_unknown_expression_names_what_is_known(house: House, expression: str) -> None:
    with pytest.raises(RefusedError) as refusal:
        await house.says(f"/promql {expression}")
    assert "websocket_connections_active" in str(refusal.value) or "label=" in str(refusal.value)


async def test_the_example_configuration_works_here(tmp_path: Path) -> None:
    """Every service has its checks, every named query its figures."""
    settings = load(None, {})
    clock = VirtualClock(START)
    world = World(tmp_path / "world.json", clock)
    targets = sandbox.build({}, catalogue=settings.catalogue, clock=clock, world=world)
    assert set(targets) == {"kubernetes", "redis", "prometheus", "health"}
    assert (world.replicas("realtime"), world.replicas("chat-adapters")) == (3, 3)
    for name, expression in settings.catalogue.queries.items():
        for over in (None, 3600):
            answer = await targets["prometheus"].read("query", expression=expression, over=over, name=name)
            assert answer.headline.startswith(name)
            assert answer.table is None or answer.table.rows
    for service in settings.catalogue.services:
        assert (await targets["health"].read("checklist", service=service)).headline
    assert "✗" not in "".join((await targets["health"].read("health", service=None)).lines)
