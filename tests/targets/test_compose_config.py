"""A compose stack in the configuration file, its engine behind TLS, and what `watchbell check` says."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.clock import SystemClock
from bot.config import load
from bot.targets import build
from bot.targets.guard import UnreachableError
from incidents.ports import RefusedError
from tests.bot.test_config_faults import BASE, faults
from tests.contracts.compose_rig import on_compose
from tests.servers.certificates import Authority
from tests.servers.engine_server import EngineServer
from tests.targets.compose_stage import Reach, fresh

HEAD = "targets:\n  sandbox: {driver: sandbox}\n"
ROOT = Path(__file__).parents[2]


def with_target(text: str, *edits: tuple[str, str]) -> str:
    """The configuration of the other faults' tests, with one more target."""
    found = BASE.replace("targets: {sandbox: {driver: sandbox}}\n", HEAD + text)
    for old, new in edits:
        assert old in found
        found = found.replace(old, new, 1)
    return found


@pytest.fixture
async def reach(tmp_path: Path) -> AsyncIterator[Reach]:
    """Makes targets."""
    found = Reach(tmp_path)
    yield found
    await found.stop()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("  s: {driver: compose}\n", "targets.s.project: is missing"),
        ("  s: {driver: compose, project: My Stack}\n", "should be the project's name as compose has it"),
        ("  s: {driver: compose, project: '../x'}\n", "should be the project's name as compose has it"),
        ("  s: {driver: compose, project: x, socket: docker.sock}\n", "should be the path of a socket"),
        (
            "  s: {driver: compose, project: x, url: 'tcp://x:2375'}\n",
            "should be an address such as https://",
        ),
        (
            "  s: {driver: compose, project: x, url: 'http://x:2375'}\n",
            "without TLS anybody there would be root",
        ),
        ("  s: {driver: compose, project: x, url: 'https://x/y'}\n", "should be an address such as https://"),
        (
            "  s: {driver: compose, project: x, url: 'https://x', socket: /x}\n",
            "in one way: `socket` or `url`",
        ),
        (
            "  s: {driver: compose, project: x, url: 'https://x', key: /x}\n",
            "`certificate` and `key` go together",
        ),
        ("  s: {driver: compose, project: x, ca_file: /x}\n", "go with `url`; a socket takes none"),
        ("  s: {driver: compose, project: x, timeout: 3m}\n", "should be at most 2m"),
    ],
)
def test_a_fault_is_one_sentence_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    """Nothing else is wrong."""
    found = faults(tmp_path, with_target(text))
    assert len(found) == 1, found
    assert told in found[0]
    assert re.match(r"\d+: targets\.s", found[0])


def test_a_service_names_a_target_of_its_own_kind(tmp_path: Path) -> None:
    """Compose is no cluster, a cluster runs no compose."""
    stack = "  s: {driver: compose, project: x}\n  k: {driver: kubernetes, in_cluster: true}\n"
    rows = (
        "one: {runtime: compose, cluster: k}",
        "two: {cluster: s}",
        "three: {runtime: compose, cluster: s}",
    )
    services = "services:\n" + "".join(f"  {row}\n" for row in rows)
    text = re.sub(r"(?m)^services:.*\n(?:  .*\n)*", services, with_target(stack))
    found = [fault for fault in faults(tmp_path, text) if "does not run in" in fault]
    assert [fault.partition(": ")[2] for fault in found] == [
        "services.one.cluster: a service with `runtime: compose` does not run in a target of the driver kubernetes",
        "services.two.cluster: a service with `runtime: kubernetes` does not run in a target of the driver compose",
    ]


def test_the_example_of_the_manual_loads(tmp_path: Path) -> None:
    """As it stands in docs/operations.md."""
    manual = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (block,) = (b for b in re.findall(r"```yaml\n(.*?)```", manual, re.DOTALL) if "driver: compose" in b)
    targets, _, services = block.partition("services:\n")
    text = with_target(targets.removeprefix("targets:\n"))
    text = re.sub(r"(?m)^services:.*\n(?:  .*\n)*", f"services:\n{services}", text)
    assert [
        fault for fault in faults(tmp_path, text) if "targets." in fault or "instance-manager" in fault
    ] == []


async def lines(settings: object) -> list[str]:
    """What check says of the stack."""
    found = build.check(settings, SystemClock())  # type: ignore[arg-type]
    return [str(line) async for name, line in found if name == "stack"]


async def test_what_check_says(tmp_path: Path) -> None:
    """The engine and its version, the warning, the project, each service."""
    server = fresh()
    settings = on_compose(server.socket)
    other = replace(settings.catalogue.services["instance-manager"], name="other", deployment="nothing")
    services = {**settings.catalogue.services, "other": other}
    told = await lines(replace(settings, catalogue=replace(settings.catalogue, services=services)))
    assert told == [
        f"ok    Docker 24.0.7, API 1.43 at socket {server.socket}; whoever may use that is root on the host",
        "ok    project stack: 3 of 3 containers running",
        "ok    instance-manager: 1 of 1 running",
        "ok    intelligent-router: 2 of 2 running",
        "wrong other: the project stack has no container of nothing",
    ]
    (only,) = (await lines(on_compose(server.socket, project="stak")))[1:]
    assert only.startswith("wrong the project stak has no containers")
    (nobody,) = await lines(on_compose(tmp_path / "no.sock"))
    assert nobody.startswith("wrong Docker (stack) does not answer: nobody listens at ")


async def test_an_engine_behind_tls_knows_who_the_bot_is(tmp_path: Path, reach: Reach) -> None:
    """Its certificate is looked at, and it looks at the bot's; without one of the two nobody is asked anything."""
    with EngineServer(tls=True) as server:
        theirs, ours = server.folder / "authority.pem", tmp_path / "ours"
        ours.mkdir()
        _, certificate, key = server.authority.write(ours, "watchbell")
        proof = {"certificate": str(certificate), "key": str(key)}
        found = await reach.target(None, url=server.url, ca_file=str(theirs), **proof).read("ps")
        assert found.headline == "stack · 0 of 0 running"
        with pytest.raises(UnreachableError, match="shows a certificate that I do not trust"):
            await reach.target(None, url=server.url, **proof).read("ps")
        with pytest.raises(UnreachableError):
            await reach.target(None, url=server.url, ca_file=str(theirs)).read("ps")
        stranger = Authority("somebody else").write(tmp_path, "watchbell")
        with pytest.raises(UnreachableError):
            await reach.target(
                None, url=server.url, ca_file=str(theirs), certificate=str(stranger[1]), key=str(stranger[2])
            ).read("ps")
    with pytest.raises(RefusedError, match="The bot's certificate for Docker cannot be read"):
        reach.target(None, url="https://x", certificate=str(tmp_path / "none"), key=str(tmp_path / "none"))


def test_the_section_has_its_defaults(tmp_path: Path) -> None:
    """The usual socket, five seconds, eight looks at once."""
    path = tmp_path / "watchbell.yaml"
    path.write_text(with_target("  s: {driver: compose, project: x}\n"), "utf-8")
    section = load(path, {"AM_TOKEN": "x", "TOKEN": "x"}).targets["s"]
    assert (section["socket"], section["url"], section["timeout"], section["at_once"]) == (None, None, 5, 8)
