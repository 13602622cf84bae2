"""What operations commands say where they have nothing to operate on, and what `/help` tells of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bot.answers import laid_out
from bot.app import registry
from bot.clock import SystemClock
from commands.actions import Answer, Ops, Plan
from commands.catalogue import Catalogue, Service
from commands.grammar import Names, parse
from commands.incident.help import HIDDEN, help_
from incidents.ports import RefusedError
from incidents.wording import counted

REGISTRY = registry()
NAMES = Names(
    Catalogue(
        services={
            "app": Service("app", runtime="none"),
            "redis": Service("redis", runtime="compose"),
            "web": Service("web"),
        }
    ),
    people={},
)


async def asked(line: str) -> Answer | Plan:
    """Run a line where there are no targets at all."""
    parsed = parse(line, REGISTRY, NAMES)
    ops = Ops({}, NAMES.catalogue, SystemClock())
    found: Answer | Plan = await parsed.command.run(**parsed.values, ops=ops)
    return found


async def refused(line: str) -> str:
    """What the command refuses itself with."""
    with pytest.raises(RefusedError) as refusal:
        await asked(line)
    return str(refusal.value)


async def helped(name: str | None) -> Answer:
    """The answer of `/help`."""
    ask: Any = SimpleNamespace(registry=REGISTRY)
    found = await help_(name, ask=ask) if name else await help_(ask=ask)
    assert isinstance(found, Answer)
    return found


@pytest.mark.parametrize(
    "line", ["/scale app 3", "/pods app", "/logs app", "/compose logs app", "/describe app"]
)
async def test_a_service_without_runtime_is_only_watched(line: str) -> None:
    assert await refused(line) == (
        "app can only be watched, not operated: the configuration names no runtime for it "
        "(runtime: kubernetes or compose)."
    )


@pytest.mark.parametrize(
    ("line", "way"),
    [
        ("/logs redis", ": use `/compose logs redis`."),
        ("/scale redis 2", ": use `/compose scale redis 2`."),
        ("/restart redis", ": use `/compose restart redis`."),
        ("/pods redis", ": use `/compose ps redis`."),
        ("/top redis", ": use `/compose stats redis`."),
        ("/rollback redis", "."),
        ("/pause redis", "."),
    ],
)
async def test_a_service_of_another_runtime_has_commands_of_its_own(line: str, way: str) -> None:
    assert await refused(line) == f"redis runs under docker compose, not in Kubernetes{way}"


async def test_compose_commands_name_those_of_kubernetes() -> None:
    told = await refused("/compose scale web 3")
    assert told == "web runs in Kubernetes, not under docker compose: use `/scale web 3`."
    assert await refused("/compose memory web 4g") == "web runs in Kubernetes, not under docker compose."


async def test_examples_name_services_that_there_are() -> None:
    assert await refused("/pods") == (
        "Say which service, or which namespace: pods web, pods namespace=production."
    )
    assert await refused("/scale") == "scale needs SERVICE, as in `/scale web 10`."
    assert (
        await refused("/compose restart") == "compose restart needs SERVICE, as in `/compose restart redis`."
    )


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "/silence alertname=RedisDown forever",
            '"forever" is no length of time. Say for how long, at the end',
        ),
        (
            "/silence alertname=RedisDown",
            "Say for how long, at the end, as in silence alertname=RedisDown 1h.",
        ),
        ('/silence alertname="Redis Down"', "Say for how long, at the end"),
    ],
)
async def test_a_silence_without_an_end(line: str, told: str) -> None:
    assert (await refused(line)).startswith(told)


# -- help -------------------------------------------------------------------------------------------


async def test_help_names_every_command_and_nothing_is_cut_off() -> None:
    """Each line fits where lines are shortened (300), the whole where an answer becomes a file."""
    answer = await helped(None)
    assert "/help NAME" in answer.headline
    assert max(map(len, answer.lines)) < 300
    assert laid_out(answer)[1] is None
    assert len("\n".join([answer.headline, *answer.lines])) < 3000  # a section of Slack
    told = set()
    for line in answer.lines:
        for word in line.partition(": ")[2].split(", "):
            first, _, seconds = word.partition(" ")
            told |= {f"{first} {second}".strip() for second in seconds.split(" | ")}
    assert told == set(REGISTRY.names()) - HIDDEN


@pytest.mark.parametrize(("name", "count"), [("redis", 15), ("/pg", 12), ("MONGO", 6), ("compose", 6)])
async def test_help_of_a_family_lists_it(name: str, count: int) -> None:
    answer = await helped(name)
    first = name.strip("/").casefold()
    assert answer.headline.startswith(f"{first}: {count} commands; “/help {first} ")
    assert len(answer.lines) == count
    assert all(line.startswith(f"/{first} ") for line in answer.lines)
    assert laid_out(answer)[1] is None


async def test_help_of_one_command_stays() -> None:
    assert (await helped("oncall")).headline == REGISTRY.commands["oncall"].summary
    assert (await helped("redis info")).headline == REGISTRY.commands["redis info"].summary


def test_one_is_told_in_the_singular() -> None:
    assert counted(1, "key") == "1 key"
    assert counted(0, "key") == "0 keys"
    assert counted(1, "policy", "policies") == "1 policy"
    assert counted(3, "policy", "policies") == "3 policies"
