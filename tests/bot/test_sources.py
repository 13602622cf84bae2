"""What the alert sources make of webhook bodies: of good ones, of odd ones, and of any bytes at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.sources import UnreadableError, alertmanager, generic, source
from incidents.alerts import (
    LONGEST_NAME,
    LONGEST_TEXT,
    LONGEST_UNCLEAR,
    MOST_ALERTS,
    MOST_LABELS,
    MOST_UNCLEAR,
    NAMELESS,
    Alert,
    Notification,
    group_key,
    kept,
    tidy,
    unclear,
)

NOW = datetime(2026, 1, 3, 2, 30, tzinfo=UTC)
SCENARIOS = Path(__file__).parents[1] / "scenarios" / "alerts"
ALERT: dict[str, Any] = {
    "status": "firing",
    "labels": {"alertname": "RedisDown", "service": "realtime", "severity": "critical"},
    "annotations": {"summary": "Redis does not answer"},
    "startsAt": "2026-01-03T02:29:30.123456789Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus.example:9090/graph?g0.tab=1",
    "fingerprint": "4ad6938896bc183d",
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def read(*alerts: Any, **top: Any) -> Notification:
    body = {"version": "4", "status": "firing", "groupKey": "{}:{}", "alerts": list(alerts), **top}
    return alertmanager.parse(json.dumps(body).encode(), now=NOW)


def one(**changed: Any) -> Alert:
    """The alert with fields changed; ... takes one away."""
    fields = {name: value for name, value in {**ALERT, **changed}.items() if value is not ...}
    [alert] = read(fields).alerts
    return alert


# -- Alertmanager ---------------------------------------------------------------------------------


def test_a_whole_alert() -> None:
    """Every field arrives, and nothing is unclear."""
    assert one() == Alert(
        fingerprint="4ad6938896bc183d",
        starts_at=datetime(2026, 1, 3, 2, 29, 30, 123456, tzinfo=UTC),
        firing=True,
        name="RedisDown",
        severity="critical",
        service="realtime",
        summary="Redis does not answer",
        labels=ALERT["labels"],
        url="http://prometheus.example:9090/graph?g0.tab=1",
    )


def test_the_bodies_of_the_scenarios() -> None:
    """Real Alertmanager wrote their like; each has its group key, and only half a body is unreadable."""
    for path in sorted(SCENARIOS.glob("*.json")):
        found = alertmanager.parse(path.read_bytes(), now=NOW)
        assert found.alerts, path.name
        assert found.group_key == json.loads(path.read_bytes()).get("groupKey", "")
    with pytest.raises(UnreadableError):
        alertmanager.parse((SCENARIOS / "half.txt").read_bytes(), now=NOW)


def test_the_title_is_the_summary_else_the_name() -> None:
    """An alert is always called something."""
    assert one().title == "Redis does not answer"
    assert one(annotations=...).title == "RedisDown"
    assert one(annotations={"summary": " \n"}).title == "RedisDown"
    assert one(annotations=..., labels={}).title == NAMELESS


@pytest.mark.parametrize("name", sorted(ALERT))
def test_every_field_missing(name: str) -> None:
    """A field that is not there loses nothing else."""
    alert = one(**{name: ...})
    assert alert.firing
    assert alert.name == (NAMELESS if name == "labels" else "RedisDown")
    assert alert.unclear == (("no status, taken as firing",) if name == "status" else ())


@pytest.mark.parametrize("wrong", [17, 1.5, True, "nonsense", ["a"], {"a": "b"}, [], "", "\x00", "-1", None])
@pytest.mark.parametrize("name", sorted(ALERT))
def test_every_field_of_a_wrong_type(name: str, wrong: Any) -> None:
    """What cannot be understood is named, the alert stays."""
    alert = one(**{name: wrong})
    assert alert.firing
    if name != "labels":
        assert (alert.name, alert.service, alert.severity) == ("RedisDown", "realtime", "critical")
    if name in ("labels", "annotations", "startsAt", "status", "generatorURL") and wrong in (17, ["a"]):
        assert any(name in word for word in alert.unclear), alert.unclear


def test_the_fingerprint_comes_from_the_labels_where_there_is_none() -> None:
    """The same labels in any order and with any summary are the same alert; other labels another one."""
    labels = ALERT["labels"]
    backwards = dict(reversed(labels.items()))
    derived = one(fingerprint=...).fingerprint
    assert derived == one(fingerprint=..., labels=backwards, annotations={"summary": "x"}).fingerprint
    assert derived != one(fingerprint=..., labels={**labels, "pod": "a"}).fingerprint
    assert derived == one(fingerprint={}).fingerprint == one(fingerprint=" ").fingerprint
    bare = {one(fingerprint=..., labels={}, annotations={"summary": text}).fingerprint for text in "ab"}
    assert len(bare) == 2


def test_a_strange_fingerprint_is_still_one() -> None:
    """It tells alerts apart, however long it is and whatever it holds."""
    found = {one(fingerprint=text).fingerprint for text in ("a" * 65, "a" * 66, "a\u0000b", "ä", "a b")}
    assert len(found) == 5
    assert all(len(name) == 16 for name in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-03T02:29:30Z", datetime(2026, 1, 3, 2, 29, 30, tzinfo=UTC)),
        ("2026-01-03T03:29:30+01:00", datetime(2026, 1, 3, 2, 29, 30, tzinfo=UTC)),
        ("2026-01-03T02:29:30", datetime(2026, 1, 3, 2, 29, 30, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59-14:00", None),
        ("1066-10-14T09:00:00Z", None),
        ("yesterday", None),
        (17, None),
    ],
)
def test_times(text: Any, expected: datetime | None) -> None:
    """In UTC, with or without a zone; Go's zero time is none, and what is no time is named."""
    alert = one(startsAt=text)
    assert alert.starts_at == expected
    if expected is None and not str(text).startswith("0001"):
        assert any("startsAt" in word for word in alert.unclear)


def test_the_status_falls_back_to_that_of_the_notification() -> None:
    """Alertmanager calls a notification resolved only where all its alerts are; otherwise it may fire."""
    [alert] = read({**ALERT, "status": None}, status="resolved").alerts
    assert not alert.firing
    for status in ("firing", "", None, 3, ["resolved"]):
        [alert] = read({**ALERT, "status": "?"}, status=status).alerts
        assert alert.firing
        assert alert.unclear == ("the status “?”, taken as firing",)


def test_label_values_that_are_no_text() -> None:
    """They become text, and are named."""
    alert = one(labels={"alertname": "A", "n": 3, "on": True, "deep": {"b": [1]}, "none": None})
    assert alert.labels == {"alertname": "A", "n": "3", "on": "true", "deep": '{"b":[1]}', "none": ""}
    assert len(alert.unclear) == 4
    assert "the label n = 3" in alert.unclear


def test_one_bad_alert_never_loses_its_group() -> None:
    """Alerts that are no objects count as alerts; each is named, those beside it arrive whole."""
    found = read("what", None, 3, [1], ALERT, {}).alerts
    assert len(found) == 6
    assert found[4] == one()
    assert len({alert.fingerprint for alert in found}) == 6
    assert found[0].unclear == ("an alert that is no object: “what”",)


@pytest.mark.parametrize("alerts", [None, 3, "RedisDown", True, {"status": "firing", "labels": {"a": "b"}}])
def test_a_list_of_alerts_that_cannot_be_read(alerts: Any) -> None:
    """What the alerts have in common stands for one."""
    body = {"status": "firing", "alerts": alerts, "commonLabels": ALERT["labels"]}
    found = alertmanager.parse(json.dumps(body).encode(), now=NOW)
    assert len(found.alerts) == 1
    assert "list of alerts" in found.unclear[0]
    assert isinstance(alerts, dict) or found.alerts[0].name == "RedisDown"


@pytest.mark.parametrize(
    "body", ["{}", '{"alerts": []}', '{"status": "resolved"}', '{"status":"firing","alerts":[]}']
)
def test_no_alerts_are_none(body: str) -> None:
    """An empty list opens nothing."""
    assert alertmanager.parse(body.encode(), now=NOW).alerts == ()


@pytest.mark.parametrize("body", ['{"state": "alerting"}', '{"status": "firing"}', '{"truncatedAlerts": 3}'])
def test_what_might_be_an_alert_is_one(body: str) -> None:
    """An alert is never lost because somebody's sender writes another format."""
    [alert] = alertmanager.parse(body.encode(), now=NOW).alerts
    assert alert.firing
    assert alert.name == NAMELESS


def test_truncated_alerts_are_counted() -> None:
    """Alertmanager's own count, and those beyond the bound; what is resolved goes first."""
    assert read(ALERT, truncatedAlerts=17).truncated == 17
    for wrong in (-1, "17", None, True, 1e300):
        found = read(ALERT, truncatedAlerts=wrong)
        assert found.truncated == 0
        assert "truncatedAlerts" in found.unclear[0]
    over = {"status": "resolved", "fingerprint": "over"}
    found = read(*[over] * 5, *[{"fingerprint": f"f{n}"} for n in range(MOST_ALERTS)], truncatedAlerts=2)
    assert len(found.alerts) == MOST_ALERTS
    assert all(alert.firing for alert in found.alerts)
    assert found.truncated == 7


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"3", b'"text"', b"null", b"\xff\xfe\x00", b"[" * 100_000]
)
def test_what_is_no_object_is_unreadable(body: bytes) -> None:
    """The only thing that a sender is told off for, in a sentence."""
    for parse in (alertmanager.parse, generic.parse):
        with pytest.raises(UnreadableError, match=r"^This is .*\.$"):
            parse(body, now=NOW)


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"title": "Redis"}',
        b'{"title": "Redis\xff"}',
        b'{"title": "Redis\n"}',
        b'{"title": "Redis\\ud800"}',
        b'{"title": "Redis", "n": NaN}',
        b'{"title": "Redis", "n": 123456789012345678901234567890}',
    ],
)
def test_what_is_nearly_json_is_read(body: bytes) -> None:
    """Half a surrogate pair does not cost an alert."""
    [alert] = generic.parse(body, now=NOW).alerts
    assert alert.title.startswith("Redis")
    assert alert.title.isprintable()


@given(st.binary(max_size=200))
def test_any_bytes(body: bytes) -> None:
    """They are read, or refused with a sentence."""
    for parse in (alertmanager.parse, generic.parse):
        with suppress(UnreadableError):
            assert isinstance(parse(body, now=NOW), Notification)


ROUGHLY = st.fixed_dictionaries(
    {},
    optional={name: JSON | st.just(ALERT[name]) for name in ALERT},
)


@given(
    st.fixed_dictionaries(
        {"alerts": st.lists(ROUGHLY | JSON, max_size=6)},
        optional=dict.fromkeys(
            ("status", "groupKey", "truncatedAlerts", "commonLabels", "groupLabels", "version"), JSON
        ),
    )
)
def test_anything_of_the_right_shape(body: dict[str, Any]) -> None:
    """One alert comes of each, whatever it holds; the texts can be shown and stored."""
    found = alertmanager.parse(json.dumps(body).encode(), now=NOW)
    assert len(found.alerts) == len(body["alerts"])
    for alert in (kept(alert, lambda text: text) for alert in found.alerts):
        json.dumps([alert.name, alert.summary, alert.labels, alert.url, unclear(alert.unclear)]).encode()
        texts = [alert.name, alert.summary, *alert.labels.values(), *alert.labels, *unclear(alert.unclear)]
        assert not any("\x00" in text or "\n" in text for text in texts)
        assert all(text.encode() is not None for text in texts)  # no half of a surrogate pair


# -- the generic source ---------------------------------------------------------------------------


def told(**fields: Any) -> Alert:
    [alert] = generic.parse(json.dumps(fields).encode(), now=NOW).alerts
    return alert


def test_a_generic_alert() -> None:
    """All its fields."""
    alert = told(
        title="Disk full", severity="high", service="mongo", status="firing", key="disk", url="http://x/y"
    )
    assert (alert.name, alert.summary, alert.title) == ("Disk full", "Disk full", "Disk full")
    assert (alert.severity, alert.service, alert.firing, alert.url) == ("high", "mongo", True, "http://x/y")
    assert alert.labels == {"alertname": "Disk full", "service": "mongo", "severity": "high"}
    assert alert.starts_at is None
    assert alert.unclear == ()


def test_a_generic_alert_is_known_by_its_key() -> None:
    """The key names it whatever else changes; without one, title and service do; else everything."""
    assert told(title="a", key="k").fingerprint == told(key="k", status="resolved").fingerprint
    assert told(title="a", key=7).fingerprint == told(title="b", key=7).fingerprint
    assert (
        told(title="a", service="s").fingerprint == told(title="a", service="s", severity="low").fingerprint
    )
    assert told(title="a", service="s").fingerprint != told(title="a", service="t").fingerprint
    assert told(message="a").fingerprint != told(message="b").fingerprint
    assert told(message="a").fingerprint == told(message="a", status="resolved").fingerprint


def test_a_generic_alert_without_anything() -> None:
    """Every call is an alert."""
    alert = told()
    assert alert.firing
    assert alert.title == NAMELESS
    assert alert.unclear == ("an alert without a title: {}",)


@pytest.mark.parametrize(
    ("status", "firing", "named"),
    [("firing", True, 0), ("Resolved", False, 0), (None, True, 0), ("ok", True, 1), (["resolved"], True, 1)],
)
def test_generic_status(status: Any, firing: bool, named: int) -> None:
    """Only `resolved` resolves; what is not understood fires, and is named."""
    alert = told(title="a", status=status)
    assert alert.firing is firing
    assert len(alert.unclear) == named


@given(
    st.dictionaries(st.sampled_from(["title", "severity", "service", "status", "key", "url", "labels"]), JSON)
)
def test_any_generic_alert(fields: dict[str, Any]) -> None:
    """One alert, whatever the fields hold."""
    assert told(**fields).title


# -- what both share ------------------------------------------------------------------------------


def test_sources_are_found_by_name() -> None:
    """Each is a file; a name without one is a LookupError."""
    assert source("alertmanager") is alertmanager.parse
    assert source("generic") is generic.parse
    for name in ("nagios", "os.path", "..inbox"):
        with pytest.raises(LookupError):
            source(name)


def test_what_is_kept_is_bounded() -> None:
    """No text, no label and no list grows beyond what people can use."""
    long = "x" * 100_000
    labels = {"alertname": long, **{f"l{n}": long for n in range(100)}, "severity": "critical"}
    alert = one(labels=labels, annotations={"summary": long}, generatorURL="http://x/" + long, status=long)
    found = kept(alert, lambda text: text)
    assert len(found.name) == LONGEST_NAME
    assert len(found.summary) == LONGEST_TEXT
    assert len(found.labels) == MOST_LABELS
    assert max(map(len, found.labels.values())) == LONGEST_TEXT
    assert found.url == ""
    assert found.severity == "critical"
    assert all(len(word) <= LONGEST_UNCLEAR for word in unclear(found.unclear))


def test_the_list_of_what_is_unclear_is_bounded() -> None:
    """Each thing once; the rest is counted."""
    assert unclear(["a", "b", "a"]) == ("a", "b")
    found = unclear(f"thing {n}" for n in range(40))
    assert len(found) == MOST_UNCLEAR
    assert found[-1] == f"{40 - MOST_UNCLEAR + 1} more things"


def test_a_secret_is_not_cut_in_half() -> None:
    """What is known to be a secret is taken out before texts are cut (SAFETY 20)."""
    secret = "tops3cret" * 8
    redact: Callable[[str], str] = lambda text: text.replace(secret, "‹redacted›")  # noqa: E731
    for lead in range(LONGEST_TEXT - 80, LONGEST_TEXT + 10):
        found = kept(one(annotations={"summary": "y" * lead + secret}), redact)
        assert "tops3cret" not in found.summary


def test_texts_are_tidied() -> None:
    """One line, nothing invisible, nothing that turns the direction of the text."""
    assert tidy("a\r\n\tb\u2028c\u00a0 d") == "a b c d"
    assert tidy("\x00\x1b[1m\u202egnp\u202c\ud800\ufeff") == "[1mgnp"
    assert tidy("abc", 3) == "abc"
    assert tidy("abcd", 3) == "ab…"


def test_the_group_key_is_the_source_and_the_values_of_the_labels() -> None:
    """A missing label counts as empty, and no value can pretend to be two."""
    alert = one()
    assert group_key("am", alert, ["alertname", "service"]) == '["am", "RedisDown", "realtime"]'
    assert group_key("am", alert, ["cluster"]) == '["am", ""]'
    odd = kept(one(labels={"a": 'x", "y', "b": ""}), lambda text: text)
    assert group_key("am", odd, ["a", "b"]) != group_key("am", one(labels={"a": "x", "b": "y"}), ["a", "b"])
