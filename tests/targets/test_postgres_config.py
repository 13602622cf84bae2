"""What the configuration of a PostgreSQL may hold, and the sentences for what it may not."""

from __future__ import annotations

import pytest

from bot.config_schema import validate
from bot.targets import postgres_config
from bot.targets.postgres_config import address


def faults(target: dict[str, object], database: dict[str, object] | None = None) -> list[str]:
    """All sentences about one target and its database."""
    data = {
        "targets": {"db": {"driver": "postgres", **target}},
        "postgres": {"shop": {"target": "db"} | (database or {})},
    }
    mine = [f for f in validate(data)[1] if f.path and f.path[0] in ("targets", "postgres")]
    return [f.message for f in [*mine, *postgres_config.check(data)]]


def test_an_address_has_its_parts() -> None:
    """As libpq has them; 5432 where no port is given."""
    found = address("postgresql://bot:p%40ss@[::1]:5433/shop")
    assert (found.host, found.port, found.database, found.username, found.password) == (
        "::1",
        5433,
        "shop",
        "bot",
        "p@ss",
    )
    assert address("postgres://db.example.com").port == 5432


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mysql://x/y",
        "postgresql:///shop",
        "postgresql://a,b/shop",
        "postgresql://a/b/c",
        "postgresql://a/b?host=c",
    ],
)
def test_what_is_no_address_is_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="should be an address") as found:
        address(text)
    assert not text or text not in str(found.value)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ({"url": "postgresql://bot:secret@db/shop"}, "holds a password"),
        ({"url": "postgresql://db/shop", "url_env": "DB_URL"}, "say where it is once"),
        ({"url": "postgresql://db/shop", "tls": False, "ca_file": "/ca.pem"}, "of no use without TLS"),
        ({"url": "postgresql://db/shop", "at_once": 21}, "at most 20"),
        ({"url": "postgresql://db/shop", "timeout": "3m"}, "at most 2m"),
        ({}, "say where it is"),
        ({"url": "postgresql://db/shop", "sslmode": "disable"}, "no such setting"),
    ],
)
def test_faults_are_sentences(target: dict[str, object], told: str) -> None:
    found = faults(target)
    assert any(told in text for text in found), found
    assert "secret" not in "".join(found)


def test_what_is_right_has_no_faults() -> None:
    assert faults({"url": "postgresql://db/shop"}) == []
    assert faults({"url_env": "DB_URL"}, {"database": "invoices"}) == []


def test_a_database_is_named_once_and_a_target_is_used() -> None:
    assert "names the database" in faults({}, {"url_env": "SHOP_URL", "database": "x"})[-1]
    data = {"targets": {"db": {"driver": "postgres", "url": "postgresql://db/shop"}}}
    assert "nothing uses it" in next(postgres_config.check(data)).message


def test_a_variable_that_holds_something_else_is_said_without_it() -> None:
    data = {
        "targets": {"db": {"driver": "postgres", "url_env": "DB_URL"}},
        "postgres": {"s": {"target": "db"}},
    }
    (found,) = postgres_config.misplaced(data, {"DB_URL": "correct horse"})
    assert "DB_URL holds something else" in found.message
    assert "correct horse" not in found.message
