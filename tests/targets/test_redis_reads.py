"""What a real Redis shows, and what it never shows."""

from __future__ import annotations

from typing import Any

import pytest

from bot.answers import laid_out
from bot.targets.redis_config import address
from bot.targets.redis_link import CHANGES, LOOKS, Access, Line, Link
from bot.targets.redis_words import masked
from commands.actions import Target, TargetError
from incidents.ports import RefusedError
from tests.servers.redis_server import RedisServer, certificate, secret
from tests.targets.conftest import Make

TOKEN = "ghp_0123456789abcdefghijABCDEFGHIJ"


def shown(answer: Any) -> str:
    """Everything of an answer, as text."""
    rows = answer.table.rows if answer.table else ()
    return "\n".join([answer.headline, *answer.lines, answer.text, *(" ".join(row) for row in rows)])


async def test_what_operators_look_at(target: Target, server: RedisServer) -> None:
    """Figures that the server itself gives; the hit rate is computed, for INFO has no such field."""
    server.admin.set("a", "1")
    server.admin.get("a")
    server.admin.get("a")
    server.admin.get("a")
    server.admin.get("nothing")
    assert "PONG in" in (await target.read("ping")).headline
    assert (await target.read("dbsize")).headline == "redis · 1 key"
    rate = await target.read("hitrate")
    assert rate.headline == "redis · 75.0 % hits"
    assert rate.lines == ("3 hits, 1 misses",)
    info = await target.read("info")
    assert "75.0 % hits" in info.headline
    assert {"redis_version", "role", "maxmemory_policy", "db0"} <= {row[0] for row in info.table.rows}
    memory = shown(await target.read("memory"))
    assert "2.0 GiB" in memory
    assert "allkeys-lru" in memory
    assert laid_out(info)[1] is None, "it fits a phone's screen"


async def test_nothing_that_stops_a_server_or_shows_its_password_is_sent(
    target: Target, server: RedisServer
) -> None:
    """No KEYS, no MONITOR, no script, no CONFIG GET, whatever is asked for."""
    server.admin.mset({f"k:{n}": n for n in range(2500)})
    for verb in ("ping", "info", "memory", "dbsize", "slowlog", "clients", "hitrate"):
        await target.read(verb)
    await target.read("keys", pattern="k:*")
    for args in ({"size": "1gb"}, {"size": "0"}):
        await target.plan("maxmemory", **args)
    await target.plan("del", pattern="k:1*")
    sent = server.sent() - {"config|resetstat", "flushall", "mset", "slowlog|reset", "config|set"}
    assert sent <= {"ping", "info", "dbsize", "slowlog|get", "client|list", "scan", "hello", "select"} | {
        "client|setname",
        "client|setinfo",
    }


@pytest.mark.parametrize(
    "words",
    [
        ("KEYS", "*"),
        ("MONITOR",),
        ("EVAL", "return 1", 0),
        ("CONFIG", "GET", "requirepass"),
        ("CONFIG", "SET", "requirepass", "x"),
        ("CONFIG", "SET", "dir", "/tmp"),
        ("FLUSHALL",),
        ("DEBUG", "SLEEP", 1),
        ("SHUTDOWN",),
        ("ACL", "LIST"),
        ("CLIENT", "NO-EVICT", "on"),
    ],
)
async def test_safety_20_forbidden_commands_cannot_be_sent(words: Any) -> None:
    """A fault in the bot's own code cannot send them either."""
    link = Link("redis", address("redis://127.0.0.1:1/0"), Access())
    with pytest.raises(ValueError, match="never"):
        await link.look(*words)
    with pytest.raises(ValueError, match="never"):
        await Line(link, None).change(*words)
    assert not (LOOKS | CHANGES) & {"KEYS", "MONITOR", "EVAL", "FLUSHALL", "DEBUG", "SHUTDOWN"}


async def test_keys_are_capped_and_sessions_cannot_be_stolen(target: Target, server: RedisServer) -> None:
    """A hundred at most; of a key whose value is refused only the beginning, for its name is the secret."""
    server.admin.mset({f"cache:{n:04d}": n for n in range(250)})
    session = "session:5f0c9a7be1d24488"
    server.admin.set(session, "alice")
    many = await target.read("keys", pattern="cache:*")
    assert len(many.text.splitlines()) == 100
    assert "more than 100 keys" in many.headline
    found = await target.read("keys", pattern="session:*")
    assert session not in shown(found)
    assert "session:5f0c…" in found.text
    assert masked("a:b", ("*",)) == "a:b…"


async def test_safety_20_values_are_shown_as_configured(target: Target, server: RedisServer) -> None:
    """At once, after an approval, or never."""
    server.admin.mset({"config:1": "on", "other": "x", "session:9": "alice"})
    assert not (await target.read("readable", key="config:1")).private
    assert (await target.read("get", key="config:1")).text == "on"
    assert (await target.read("readable", key="other")).private
    with pytest.raises(RefusedError, match="after an approval"):
        await target.read("get", key="other")
    for call in (target.read("readable", key="session:9"), target.plan("get", key="session:9")):
        with pytest.raises(RefusedError, match="never shown"):
            await call
    with pytest.raises(RefusedError, match="has no key"):
        await target.read("get", key="config:none")


async def test_safety_20_secrets_in_values_are_taken_out(target: Target, server: RedisServer) -> None:
    """By their form, and where the name of the key or field says that it is one."""
    admin = server.admin
    admin.hset("config:hash", mapping={"password": "hunter22", "colour": "blue", "note": TOKEN})
    admin.set("config:api_token", "plainlookingword")
    admin.set("config:json", '{"db": "postgres://u:pa55word99@h/db", "user": "bob"}')
    whole = shown(await target.read("get", key="config:hash"))
    assert "hunter22" not in whole
    assert TOKEN not in whole
    assert "blue" in whole
    assert "plainlookingword" not in shown(await target.read("get", key="config:api_token"))
    assert "pa55word99" not in shown(await target.read("get", key="config:json"))


async def test_every_kind_of_value(target: Target, server: RedisServer) -> None:
    """The beginning of it, bounded; bytes that are no text as escapes."""
    admin = server.admin
    admin.rpush("config:list", *range(80))
    admin.sadd("config:set", "a", "b")
    admin.zadd("config:sorted", {"one": 1, "two": 2})
    admin.xadd("config:stream", {"field": "value"})
    admin.set("config:long", "x" * 9_000)
    admin.set("config:bytes", b"\xff\xfe\x00ok\x1b[31m")
    assert "list of 80, 50 of them" in (await target.read("get", key="config:list")).headline
    assert (await target.read("get", key="config:set")).text == "-: a\n-: b"
    assert "one: 1" in (await target.read("get", key="config:sorted")).text
    assert "field: value" in (await target.read("get", key="config:stream")).text
    long = await target.read("get", key="config:long")
    assert len(long.text) == 4000
    assert "the first 4000 of 9000 bytes" in long.headline
    assert (await target.read("get", key="config:bytes")).text == r"\xff\xfe\x00ok\x1b[31m"


async def test_slow_commands_without_their_values(target: Target, server: RedisServer) -> None:
    """Arguments after the key may be values; those of AUTH and CONFIG are not shown at all."""
    admin = server.admin
    admin.config_set("slowlog-log-slower-than", 0)
    try:
        admin.set("customer:1", "s3cret-value")
        admin.execute_command("CONFIG", "SET", "masterauth", "")
        text = shown(await target.read("slowlog"))
    finally:
        admin.config_set("slowlog-log-slower-than", 10_000)
    assert "SET customer:1 (+1)" in text
    assert "s3cret-value" not in text
    assert "masterauth" not in text


async def test_safety_20_a_session_in_a_slow_command_cannot_be_stolen(
    target: Target, server: RedisServer
) -> None:
    """Its name is shown as a key's is."""
    admin = server.admin
    admin.hset("session:9f8e7d6c5b4a39281706", "user", "17")
    admin.config_set("slowlog-log-slower-than", 0)
    try:
        admin.hgetall("session:9f8e7d6c5b4a39281706")
        text = shown(await target.read("slowlog"))
    finally:
        admin.config_set("slowlog-log-slower-than", 10_000)
    assert "HGETALL session:9f8e…" in text
    assert "session:9f8e7" not in text


@pytest.mark.parametrize("kind", ["list", "hash", "set", "sorted", "stream"])
async def test_large_parts_are_asked_for_one_by_one(target: Target, server: RedisServer, kind: str) -> None:
    """Of forty megabytes four or five parts fill what is shown, and no more of them leave the server."""
    admin = server.admin
    for number in range(40):
        part = f"{number:02d}" + "x y " * 250_000
        match kind:
            case "list":
                admin.rpush("config:1", part)
            case "hash":
                admin.hset("config:1", part, "value") if number % 2 else admin.hset("config:1", number, part)
            case "set":
                admin.sadd("config:1", part)
            case "sorted":
                admin.zadd("config:1", {part: number})
            case "stream":
                admin.xadd("config:1", {"field": part})
    before = admin.info("stats")["total_net_output_bytes"]
    answer = await target.read("get", key="config:1")
    assert admin.info("stats")["total_net_output_bytes"] - before < 8_000_000
    assert len(answer.text) == 16_000
    assert " of 40, 5 of them" in answer.headline or " of 40, 4 of them" in answer.headline


async def test_every_entry_is_shown_once_and_in_order(target: Target, server: RedisServer) -> None:
    """Those of one millisecond, too, and those of a set that Redis keeps in a table."""
    admin = server.admin
    for entry in ("5-1", "5-2", "7-0", "9-18446744073709551615", "10-0"):
        admin.xadd("config:1", {"a": entry, "b": "x"}, id=entry)
    lines = (await target.read("get", key="config:1")).text.splitlines()
    assert [line.split(" ")[0] for line in lines[::2]] == [
        "10-0",
        "9-18446744073709551615",
        "7-0",
        "5-2",
        "5-1",
    ]
    assert len(lines) == 10
    admin.sadd("config:2", *(f"{n:02d}" + "x" * 100 for n in range(30)))
    lines = (await target.read("get", key="config:2")).text.splitlines()
    assert [line[3:5] for line in lines] == [f"{n:02d}" for n in range(30)]
    admin.zadd("config:3", {f"m{n:02d}": n for n in range(60)})
    answer = await target.read("get", key="config:3")
    assert answer.text.splitlines() == [f"m{n:02d}: {n}" for n in range(50)]
    assert "zset of 60, 50 of them" in answer.headline


async def test_no_letter_is_cut_in_two(target: Target, server: RedisServer) -> None:
    """Lengths are of bytes; what is left of a letter at the end is not shown as an escape."""
    server.admin.set("config:1", "x" + "é" * 3000)
    server.admin.rpush("config:2", "x" + "é" * 3000)
    assert (await target.read("get", key="config:1")).text == "x" + "é" * 1999
    assert (await target.read("get", key="config:2")).text == "0: x" + "é" * 1999


async def test_long_names_of_keys_are_cut(target: Target, server: RedisServer) -> None:
    """And told apart all the same."""
    server.admin.mset({"k" * 5000 + str(number): number for number in range(3)})
    found = await target.read("keys", pattern="k*")
    assert "3 keys match" in found.headline
    assert found.text.splitlines() == ["k" * 300 + "…"] * 3


async def test_several_databases_of_one_server(make: Make, server: RedisServer) -> None:
    """By name; the number of the database is the configuration's."""
    server.admin.set("here", 1)
    target = make(server.url(), databases={"redis": {}, "limits": {"db": 1}})
    assert (await target.read("dbsize")).headline == "redis · 1 key"
    assert (await target.read("dbsize", name="limits")).headline == "redis limits · 0 keys"
    with pytest.raises(RefusedError, match="no Redis called"):
        await target.read("dbsize", name="limit")
    plan = await target.plan("flush", name="limits", database="limits")
    assert (plan.line, plan.subject) == ("redis flush limits name=limits", "redis:limits")
    assert plan.identity.endswith(" primary db1")


async def test_password_and_tls(make: Make) -> None:
    """The right password and certificate are let in; wrong ones get a sentence that repeats neither."""
    password = secret()
    with RedisServer(password=password, tls=True) as server:
        good = make(server.url(), password, ca_file=str(server.ca_file))
        assert "PONG" in (await good.read("ping")).headline
        wrong = secret()
        with pytest.raises(TargetError, match="refuses the user or the password") as raised:
            await make(server.url(), wrong, ca_file=str(server.ca_file)).read("ping")
        assert wrong not in str(raised.value)
        certificate(server.folder, "other")
        stranger = make(server.url(), password, ca_file=str(server.folder / "other.crt"))
        with pytest.raises(TargetError, match="certificate that I do not trust"):
            await stranger.read("ping")
        plain = make(f"redis://127.0.0.1:{server.port}/0", password)
        with pytest.raises(TargetError, match="does not answer"):
            await plain.read("ping")


async def test_a_cluster_is_refused(make: Make) -> None:
    """A part of the keys must not pass for all of them."""
    with RedisServer(**{"cluster-enabled": "yes"}) as server:
        target = make(server.url())
        for call in (
            target.read("info"),
            target.read("dbsize"),
            target.read("keys", pattern="*"),
            target.plan("maxmemory", size="1gb"),
            target.read("get", key="config:1"),
        ):
            with pytest.raises(TargetError, match="part of a Redis Cluster"):
                await call


async def test_safety_20_long_parts_of_a_value_are_cut_in_no_secret(
    target: Target, server: RedisServer
) -> None:
    """Each part to its own length, and all of them to what is shown."""
    url = "redis://app:Tr0ub4dor-and-3-more-words@cache:6379"
    for start in range(3940, 4001, 6):
        server.admin.delete("config:1")
        server.admin.rpush("config:1", "x" * start + " " + url, "short " + url)
        found = (await target.read("get", key="config:1")).text
        assert "Tr0u" not in found
        assert "short redis://‹redacted›" in found
    server.admin.delete("config:1")
    server.admin.rpush("config:1", *["y" * 9000] * 40)
    assert len((await target.read("get", key="config:1")).text) == 16_000
