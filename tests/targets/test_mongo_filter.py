"""Filters that people type: what is taken, and the sentence for everything else."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from bot.redact import Redactor
from bot.targets.mongo_documents import Rules
from bot.targets.mongo_filter import DEEPEST, LONGEST, fields, parsed, written
from incidents.ports import RefusedError


def test_what_is_taken() -> None:
    """JSON, with ids and times as MongoDB's own extended JSON has them, and with the quotation marks of phones."""
    assert parsed('{"a": 1, "b.c": {"$in": [1, 2.5, null, true]}}') == {
        "a": 1,
        "b.c": {"$in": [1, 2.5, None, True]},
    }
    oid = "0123456789abcdef01234567"
    assert parsed(f'{{"_id": {{"$oid": "{oid}"}}}}') == {"_id": ObjectId(oid)}
    when = datetime(2026, 1, 3, 1, 30, tzinfo=UTC)
    assert parsed('{"at": {"$gt": {"$date": "2026-01-03T02:30:00+01:00"}}}') == {"at": {"$gt": when}}
    assert parsed("{“status”: “active”}") == {"status": "active"}
    assert parsed("{}") == {}


@pytest.mark.parametrize(
    "text",
    [
        '{"$where": "sleep(1000)"}',
        '{"$expr": {"$function": {"body": "x", "args": [], "lang": "js"}}}',
        '{"a": {"$accumulator": {}}}',
        '{"a": {"$regex": "(a+)+$"}}',
        '{"$text": {"$search": "x"}}',
        '{"$jsonSchema": {}}',
        '{"$comment": "x"}',
        '{"a": {"$near": [1, 2]}}',
        '{"a": {"$oid": "short"}}',
        '{"a": {"$date": "yesterday"}}',
        '{"a": {"$date": "2026-01-03T02:30:00"}}',
        '{"a": {"$date": "0001-01-01T00:00:00+14:00"}}',
        '{"a": {"$date": 1}}',
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": 1e999}',
        '{"a": 9223372036854775808}',
        '{"a": 1, "a": 2}',
        '{"a\\u0000b": 1}',
        '{"a": "\\ud800"}',
        '{"\\udfff": 1}',
        "{status: 'active'}",
        "[1]",
        '"text"',
        "1",
        "",
        "{",
        '{"a": 1} trailing',
        '{"_id": ObjectId("0123456789abcdef01234567")}',
        '{"$oid": "0123456789abcdef01234567"}',
        "[" * 1999,
        '{"a":' * 300 + "1" + "}" * 300,
        '{"a":' * (DEEPEST + 1) + "1" + "}" * (DEEPEST + 1),
        '{"a": "' + "x" * LONGEST + '"}',
    ],
)
def test_what_is_refused(text: str) -> None:
    """With a sentence that shows little of it."""
    with pytest.raises(RefusedError, match=r"\.$") as found:
        parsed(text)
    assert len(str(found.value)) < 300


@given(st.text(max_size=200) | st.from_regex(r'\{"\$?[a-z]{1,6}": [^{}]{0,20}\}', fullmatch=True))
def test_whatever_is_typed_is_a_filter_or_a_sentence(text: str) -> None:
    try:
        found = parsed(text)
    except RefusedError as error:
        told = str(error)
    else:
        told = "a filter."
        assert parsed(written(text)) == found
        assert written(text).isprintable()
    assert told.endswith(".")


def test_what_a_filter_asks_about_counts_too() -> None:
    """Who may see `user` only could else find a password out by asking for it letter by letter."""
    rules = Rules({"people": ("user", "plan.name")}, Redactor())
    for text in ("{}", '{"user": 1}', '{"$or": [{"user": 1}, {"plan.name": "team"}]}', '{"plan.name.x": 1}'):
        assert rules.allows("people", parsed(text)), text
    for text in (
        '{"password": {"$gt": "m"}}',
        '{"$or": [{"user": 1}, {"password": "x"}]}',
        '{"user": {"password": "x"}}',
        '{"plan": {"name": "team"}}',
        '{"user": {"$not": {"$elemMatch": {"password": "x"}}}}',
        '{"username": 1}',
        '{"_id": 1}',
    ):
        assert not rules.allows("people", parsed(text)), text
    assert not rules.allows("others", {})
    assert list(fields(parsed('{"$and": [{"a.b": 1}, {"c": {"d": 2}}]}'))) == ["a.b", "c", "d"]


def test_only_what_is_readable_is_asked_for() -> None:
    """Without the id, and without a field beside one that holds it, which the server would refuse."""
    assert Rules({"c": ("a", "a.b", "d")}, Redactor()).projection("c") == {"_id": 0, "a": 1, "d": 1}
    assert Rules({"c": ("_id", "a")}, Redactor()).projection("c") == {"_id": 1, "a": 1}
