"""The rights that docs/operations.md gives the bot's user are enough, and each of them is needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.targets.redis_link import CHANGES, LOOKS
from commands.actions import TargetError
from tests.servers.redis_server import RedisServer, secret
from tests.targets.conftest import Make, progress

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
SHAKE_HANDS = {"select", "client|setname"}  # what opens a connection
PASSWORD = secret()


def line() -> list[str]:
    """The words of the command in the document."""
    found = re.search(r"^ACL SETUSER (watchbell .*)$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert found is not None
    return found[1].replace(">PASSWORD", f">{PASSWORD}").split(" ")


@pytest.fixture
def user(server: RedisServer) -> Iterator[RedisServer]:
    """The server with that user and some keys."""
    admin = server.admin
    admin.execute_command("ACL", "SETUSER", "watchbell", "reset")
    admin.execute_command("ACL", "SETUSER", *line())
    admin.mset({f"cache:{n}": n for n in range(150)} | {"rate-limit:1": 1, "config:1": "a"})
    admin.hset("config:hash", "field", "value")
    yield server
    admin.execute_command("ACL", "DELUSER", "watchbell")


def test_the_document_lists_exactly_what_is_sent() -> None:
    """No right more than the commands that the code may send, none less."""
    rights = {word[1:] for word in line() if word.startswith("+")}
    assert {right.partition("|")[0].upper() for right in rights - SHAKE_HANDS} == LOOKS | CHANGES
    assert rights >= SHAKE_HANDS
    assert "-@all" in line()


async def test_everything_works_with_these_rights(make: Make, user: RedisServer) -> None:
    """Every read, every change, and a restore."""
    target = make(user.url(), PASSWORD, username="watchbell", databases={"redis": {}, "limits": {"db": 1}})
    for verb in ("ping", "info", "memory", "dbsize", "slowlog", "clients", "hitrate"):
        assert (await target.read(verb)).headline
    assert "keys match cache:1*" in (await target.read("keys", pattern="cache:1*")).headline
    assert (await target.read("get", key="config:1")).text == "a"
    assert "value" in (await target.read("get", key="config:hash")).text
    assert (await target.read("dbsize", name="limits")).headline == "redis limits · 0 keys"
    with user.client(client_name="worker") as worker:
        changes = (
            ("maxmemory", {"size": "1gb"}),
            ("policy", {"policy": "noeviction"}),
            ("kill", {"client": str(worker.client_id())}),
            ("del", {"pattern": "cache:*"}),
            ("del", {"pattern": "rate-limit:*"}),
            ("restore", {"pattern": "rate-limit:*"}),
            ("flush", {"database": "redis"}),
        )
        for verb, args in changes:
            plan = await target.plan(verb, **args)
            assert (await target.run(plan, key="wb-1", progress=progress)).kind == "done", verb


@pytest.mark.parametrize(
    ("right", "verb", "args"),
    [
        ("config|set", "maxmemory", {"size": "1gb"}),
        ("unlink", "del", {"pattern": "cache:*"}),
        ("dump", "del", {"pattern": "rate-limit:*"}),
        ("watch", "del", {"pattern": "rate-limit:*"}),
        ("unlink", "del", {"pattern": "rate-limit:*"}),
        ("flushdb", "flush", {"database": "redis"}),
    ],
)
async def test_a_change_without_its_right_fails_and_changes_nothing(
    make: Make, user: RedisServer, right: str, verb: str, args: dict[str, str]
) -> None:
    """With a sentence that names the command; the connection is not left within a transaction."""
    user.admin.execute_command("ACL", "SETUSER", "watchbell", f"-{right}")
    target = make(user.url(), PASSWORD, username="watchbell")
    before = user.admin.dbsize()
    plan = await target.plan(verb, **args)
    with pytest.raises(TargetError, match=f"does not allow {right.partition('|')[0].upper()}"):
        await target.run(plan, key="wb-1", progress=progress)
    assert user.admin.dbsize() == before
    for _ in range(3):
        assert (await target.read("dbsize")).headline == f"redis · {before} keys"
