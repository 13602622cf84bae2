"""What the configuration of a MongoDB may hold, and the sentences for what it may not."""

from __future__ import annotations

import pytest

from bot.config_schema import validate
from bot.targets import mongo_config
from bot.targets.mongo_config import address

URL = "mongodb://db.example.com:27017"


def faults(target: dict[str, object], database: dict[str, object] | None = None) -> list[str]:
    """All sentences about one target and its database."""
    data = {
        "targets": {"db": {"driver": "mongo", **target}},
        "mongo": {"shop": {"target": "db", "database": "shop"} | (database or {})},
    }
    mine = [f for f in validate(data)[1] if f.path and f.path[0] in ("targets", "mongo")]
    return [f.message for f in [*mine, *mongo_config.check(data)]]


def test_an_address_has_its_parts() -> None:
    """Several members are a replica set, one is that server; 27017 where no port is given."""
    found = address("mongodb://bot:p%40ss@a.example.com,[::1]:27018/")
    assert found.hosts == ("a.example.com:27017", "[::1]:27018")
    assert (found.username, found.password, found.direct) == ("bot", "p@ss", False)
    assert found.url == "mongodb://a.example.com:27017,[::1]:27018"
    assert address("mongodb://db").direct
    assert address("mongodb+srv://cluster.example.com").url == "mongodb+srv://cluster.example.com"
    assert not address("mongodb+srv://cluster.example.com").direct


@pytest.mark.parametrize(
    "text",
    [
        "",
        "postgresql://x/y",
        "mongodb://a,,b",
        "mongodb://a/shop",
        "mongodb://a/?directConnection=true",
        "mongodb://a:0",
        "mongodb://a:70000",
        "mongodb://a b",
        "mongodb+srv://a:27017",
        "mongodb+srv://a,b",
        "mongodb://" + ",".join(f"h{n}" for n in range(51)),
    ],
)
def test_what_is_no_address_is_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="should be an address") as found:
        address(text)
    assert not text or text not in str(found.value)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ({"url": "mongodb://bot:secret@db"}, "holds a password"),
        ({"url": URL, "url_env": "DB_URL"}, "say where it is once"),
        ({"url": URL, "tls": False, "ca_file": "/ca.pem"}, "of no use without TLS"),
        ({"url": URL, "at_once": 21}, "at most 20"),
        ({"url": URL, "timeout": "3m"}, "at most 2m"),
        ({}, "say where it is"),
        ({"url": URL, "retryWrites": True}, "no such setting"),
    ],
)
def test_faults_are_sentences(target: dict[str, object], told: str) -> None:
    found = faults(target)
    assert any(told in text for text in found), found
    assert "secret" not in "".join(found)


def test_what_is_right_has_no_faults() -> None:
    assert faults({"url": URL}) == []
    assert faults({"url_env": "DB_URL", "username": "bot", "auth_source": "shop"}) == []
    assert faults({}, {"url_env": "SHOP_URL"}) == []
    assert faults({"url": URL}, {"readable": {"subscriptions": ["user", "plan.name"]}}) == []


@pytest.mark.parametrize("field", ["$where", "a..b", ".a", "a.$b"])
def test_what_is_no_field_is_refused(field: str) -> None:
    assert any("should list fields" in f for f in faults({"url": URL}, {"readable": {"people": [field]}}))


def test_a_target_is_used_and_a_database_has_a_name() -> None:
    data = {"targets": {"db": {"driver": "mongo", "url": URL}}}
    assert "nothing uses it" in next(mongo_config.check(data)).message
    lacking = {"targets": data["targets"], "mongo": {"shop": {"target": "db"}}}
    assert any("database" in str(f.path) for f in validate(lacking)[1])


def test_a_variable_that_holds_something_else_is_said_without_it() -> None:
    data = {
        "targets": {"db": {"driver": "mongo", "url_env": "DB_URL"}},
        "mongo": {"s": {"target": "db", "database": "shop"}},
    }
    (found,) = mongo_config.misplaced(data, {"DB_URL": "correct horse"})
    assert "DB_URL holds something else" in found.message
    assert "correct horse" not in found.message
    assert list(mongo_config.misplaced(data, {"DB_URL": "mongodb://bot:pw@db"})) == []
