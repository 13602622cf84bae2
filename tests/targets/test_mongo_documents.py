"""Documents in a database that others wrote, SecantusDB: passwords, TLS, indexes, the way of a query, filters."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from bot.redact import REDACTED, Redactor
from bot.targets.guard import UnreachableError
from bot.targets.mongo_documents import Rules
from bot.targets.mongo_filter import parsed
from commands.actions import Target, TargetError
from tests.servers.certificates import Authority
from tests.servers.mongo_server import Secantus
from tests.targets.conftest import progress
from tests.targets.mongo_world import DOCUMENTS, fields, fresh, on_mongo, target_of

USER, PASSWORD = "watchbell_bot", "correct horse: p@ss/word"
ROLES = [{"role": "clusterMonitor", "db": "admin"}, {"role": "read", "db": "shop"}]


class Shop:
    """The server, and what a target needs to be let in."""

    def __init__(self, folder: Path) -> None:
        self.files = Authority().write(folder, "127.0.0.1")
        (folder / "other").mkdir()
        self.other = Authority("Another").write(folder / "other", "127.0.0.1")
        self.server = Secantus(users=((USER, PASSWORD, ROLES),), files=self.files)

    def fields(self, **more: Any) -> dict[str, Any]:
        """The section of a target."""
        found = {"tls": True, "ca_file": str(self.files[0]), "username": USER, **more}
        return fields(self.server.port, **{key: value for key, value in found.items() if value is not None})


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One for this file, with the shop's subscriptions."""
    made = Shop(tmp_path_factory.mktemp("mongo"))
    with made.server:
        with made.server.client() as operator:
            operator.shop.subscriptions.insert_many([dict(each) for each in DOCUMENTS])
            operator.shop.subscriptions.create_index("user")
            operator.shop.subscriptions.create_index([("status", -1), ("plan.name", 1)], name="both")
        yield made


@pytest.fixture
async def target(shop: Shop, tmp_path: Path) -> AsyncIterator[Target]:
    """By TLS, with a user that may look."""
    made = target_of(on_mongo(shop.fields(), password=PASSWORD), tmp_path)
    yield made
    await made.stop()  # type: ignore[attr-defined]


async def test_what_the_server_says(target: Target) -> None:
    table = (await target.read("status")).table
    assert table is not None
    assert dict(table.rows)["role"] == "primary"
    table = (await target.read("indexes", collection="subscriptions")).table
    assert table is not None
    assert ("both", "status ↓, plan.name ↑", "") in table.rows


@pytest.mark.parametrize(
    ("filter_", "told"),
    [
        ('{"user": 3}', "uses an index"),
        ('{"status": "active", "plan.name": "team"}', "uses an index"),
        ('{"email": "x"}', "reads the whole collection"),
        ("{}", "reads the whole collection"),
    ],
)
async def test_the_way_of_a_query(target: Target, filter_: str, told: str) -> None:
    found = await target.read("explain", collection="subscriptions", filter=filter_)
    assert told in found.headline
    assert "SCAN" in found.lines[0]


@pytest.mark.parametrize(
    ("filter_", "users"),
    [
        ('{"user": {"$in": [1, 2, 99]}}', [1, 2]),
        ('{"user": {"$gte": 4, "$lt": 6}}', [4, 5]),
        ('{"$and": [{"status": "active"}, {"user": {"$lt": 4}}]}', [1, 3]),
        ('{"$or": [{"user": 7}, {"user": 9}], "plan.name": {"$exists": true}}', [7, 9]),
        ('{"user": {"$not": {"$gt": 1}}}', [0, 1]),
        ('{"user": {"$type": "string"}}', []),
    ],
)
async def test_filters_mean_what_they_say(target: Target, filter_: str, users: list[int]) -> None:
    """And of the documents only what is readable comes."""
    found = await target.read("find", collection="subscriptions", filter=filter_)
    documents = [json.loads(line) for line in found.text.splitlines()]
    assert [each["user"] for each in documents] == users
    assert all(
        set(each) == {"user", "status", "plan"} and set(each["plan"]) == {"name"} for each in documents
    )


async def test_what_a_server_cannot_make_sense_of_is_its_own_sentence(target: Target) -> None:
    with pytest.raises(TargetError, match="says no: "):
        await target.read("find", collection="subscriptions", filter='{"user": {"$in": 7}}')


async def test_the_whole_document_after_an_approval(target: Target) -> None:
    plan = await target.plan("find", collection="subscriptions", filter='{"email": "person3@example.com"}')
    outcome = await target.run(plan, key="wb-1", progress=progress)
    assert outcome.answer is not None
    assert json.loads(outcome.answer.text) == DOCUMENTS[3]


@pytest.mark.parametrize(
    ("filter_", "allowed"),
    [
        ('{"account.plan": "team"}', True),
        ('{"account.password": {"$gte": "h"}}', False),
        ('{"account.oauth_tokens.0": {"$gte": "h"}}', False),
        ('{"account": {"$elemMatch": {"pwdHash": "h"}}}', False),
        ('{"account.credentials.name": "h"}', False),
        ('{"$or": [{"name": "a"}, {"account.api_key": {"$lt": "h"}}]}', False),
    ],
)
def test_safety_20_nothing_is_asked_about_secrets_in_a_readable_field(filter_: str, allowed: bool) -> None:
    """They are never shown, and could else be guessed by halving, one question after the other."""
    rules = Rules({"people": ("name", "account")}, Redactor())
    assert rules.allows("people", parsed(filter_)) is allowed


async def test_safety_20_what_is_called_a_secret_goes_whatever_it_holds(shop: Shop, tmp_path: Path) -> None:
    """Lists, objects, numbers and what a pair of name and value says; counts of tokens stay."""
    account = {
        "tokens": ["hunter2"],
        "password_history": [{"was": "hunter2"}],
        "passwords": {"bob": "hunter2"},
        "pass": "hunter2",
        "pwdHash": "hunter2",
        "pin_token": 123456,
        "env": [{"name": "DB_PASSWORD", "value": "hunter2"}],
        "oauth": '{"password": "hunter2"}',
        "completion_tokens": 17,
        "usage": {"tokens": {"small": 1234567}},
    }
    with shop.server.client() as operator:
        operator.shop.people.insert_one({"name": "a", "account": account})
    target = target_of(
        on_mongo(shop.fields(), {"shop": {"readable": {"people": ("name", "account")}}}, PASSWORD), tmp_path
    )
    found = await target.read("find", collection="people", filter="{}")
    await target.stop()  # type: ignore[attr-defined]
    assert "hunter2" not in found.text
    told = json.loads(found.text)["account"]
    assert [key for key, value in told.items() if value == REDACTED] == [*account][:6]
    assert told["completion_tokens"] == 17
    assert told["usage"] == {"tokens": {"small": 1234567}}


async def test_a_user_without_the_right_is_told(shop: Shop, tmp_path: Path) -> None:
    """It may read the shop, and no other database."""
    databases = {"crm": {"database": "crm", "readable": {"people": ("name",)}}}
    target = target_of(on_mongo(shop.fields(), databases, PASSWORD), tmp_path)
    with pytest.raises(TargetError, match="does not allow that to the user that I am there"):
        await target.read("find", collection="people", filter="{}")
    await target.stop()  # type: ignore[attr-defined]


@pytest.fixture
def locked(shop: Shop, tmp_path: Path) -> Any:
    """Tries to be let in; the sentence that comes of it."""

    async def tries(password: str | None = PASSWORD, **more: Any) -> str:
        settings = on_mongo(shop.fields(timeout="1s", **more), password=password)
        target = target_of(settings, tmp_path)
        try:
            with pytest.raises(TargetError) as raised:
                await target.read("status")
            return str(raised.value)
        finally:
            await target.stop()  # type: ignore[attr-defined]

    return tries


async def test_who_is_not_let_in_is_told_why(shop: Shop, locked: Any) -> None:
    """And no password is in what is told."""
    assert "refuses the user or the password" in await locked("wrong horse")
    assert "refuses the user or the password" in await locked(username="nobody")
    assert "shows a certificate that I do not trust" in await locked(ca_file=str(shop.other[0]))
    assert "shows a certificate that I do not trust" in await locked(ca_file=None)
    assert "cannot be reached as it is configured" in await locked(ca_file=str(shop.files[0]) + "x")
    assert "cannot be reached as it is configured" in await locked(None)
    assert "does not answer" in await locked(tls=False, ca_file=None)
    assert "horse" not in await locked("wrong horse")


async def test_a_server_without_tls_is_not_spoken_to_in_the_clear(tmp_path: Path) -> None:
    """What was to be encrypted is not sent otherwise."""
    target = target_of(on_mongo(fields(fresh().port, tls=True, timeout="1s")), tmp_path)
    with pytest.raises(UnreachableError):
        await target.read("status")
    await target.stop()  # type: ignore[attr-defined]


async def test_the_address_may_hold_who_the_bot_is(shop: Shop, tmp_path: Path) -> None:
    """As a variable has it: `url_env`."""
    settings = on_mongo(shop.fields(username=None))
    url = SecretStr(f"mongodb://{USER}:correct%20horse%3A%20p%40ss%2Fword@127.0.0.1:{shop.server.port}")
    settings = replace(settings, mongo={"shop": {**settings.mongo["shop"], "url": url}})
    target = target_of(settings, tmp_path)
    assert "answers" in (await target.read("status")).headline
    await target.stop()  # type: ignore[attr-defined]


async def test_check_says_what_can_be_looked_at(target: Target, shop: Shop, tmp_path: Path) -> None:
    lines = [str(line) async for line in target.guarded.check()]  # type: ignore[attr-defined]
    assert "MongoDB 8" in lines[0]
    stranger = target_of(on_mongo(shop.fields(username=None)), tmp_path)
    with pytest.raises(TargetError, match="does not allow that"):
        await anext(stranger.guarded.check())  # type: ignore[attr-defined]
    await stranger.stop()  # type: ignore[attr-defined]
