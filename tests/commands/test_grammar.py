"""The grammar: what people type, on phones too, becomes a command and typed values, or a sentence why not."""

from __future__ import annotations

import sys
import time
from typing import Any, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from commands.catalogue import Catalogue, Service
from commands.grammar import Names, Parsed, is_command, parse
from commands.operations import health, kubernetes, links, prometheus, redis
from commands.registry import Duration, Person, Registry, Text, collect, command
from incidents.ports import RefusedError
from tests import examples

# -- commands of the incident family, as others write them ------------------------------------------


@command("incident open", effect="incident")
def open_(
    severity: str,
    title: Text,
    *,
    service: Service | None = None,
    since: Duration | None = None,
    private: bool = False,
    drill: bool = False,
) -> None:
    """Open an incident."""


@command("status", effect="incident")
def status(
    state: Literal["investigating", "identified", "resolving", "resolved"],
    text: Text | None = None,
    *,
    eta: Duration | None = None,
) -> None:
    """Say how it stands."""


@command("note", effect="incident")
def note(text: Text) -> None:
    """Put a note on the timeline."""


@command("action", effect="incident")
def action(text: Text, *, owner: Person | None = None, due: Duration | None = None) -> None:
    """Note an action item."""


@command("deny", effect="incident")
def deny(number: int | None = None, why: Text | None = None) -> None:
    """Deny a request."""


@command("page", effect="incident")
def page(person: Person, why: Text | None = None) -> None:
    """Page somebody."""


@command("oncall", effect="read")
def oncall(rota: str | None = None) -> None:
    """Show who is on call."""


@command("oncall override", effect="incident")
def override(person: Person, length: Duration, *, from_: str = "now") -> None:
    """Take somebody's place."""


@command("silence", effect="change")
def silence(what: Text) -> None:
    """Silence alerts."""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return collect([kubernetes, redis, health, links, prometheus, sys.modules[__name__]])


NAMES = Names(
    Catalogue(
        services={
            "realtime": Service("realtime", aliases=("rt",)),
            "chat-adapters": Service("chat-adapters"),
            "redis": Service("redis", replicas=(1, 1)),
        }
    ),
    people={"alice": "Alice", "bob": "Bob", "carol": "Carol"},
)


@pytest.fixture
def read(registry: Registry) -> Any:
    """Parse a line; gives the command's name and the values, services by name."""

    def reader(text: str) -> tuple[str, dict[str, Any]]:
        return simple(parse(text, registry, NAMES))

    return reader


def simple(parsed: Parsed) -> tuple[str, dict[str, Any]]:
    values = {k: v.name if isinstance(v, Service) else v for k, v in parsed.values.items()}
    return parsed.command.name, values


# -- how a command begins ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "/scale realtime 10",
        "!scale realtime 10",
        "//scale realtime 10",
        "  /scale  realtime   10  ",
        "@watchbell scale realtime 10",
        "@Watchbell: scale realtime 10",
        "@watchbell /scale realtime 10",
        "/wb scale realtime 10",
        "/watchbell scale realtime 10",
        "/SCALE rt 10",
        "/scale Realtime 10",
        "/scale service=realtime replicas=10",
        "/scale realtime --replicas 10",
        "/ scale realtime 10",
        "！scale realtime 10",
        "/scale, realtime 10",
        "\u200f/scale realtime 10",
        "@watchbell: scale! realtime 10",
        "/scale realtime to 10",
    ],
)
def test_every_way_of_typing_a_command_means_the_same(read: Any, text: str) -> None:
    assert is_command(text)
    assert read(text) == ("scale", {"service": "realtime", "replicas": 10})


@pytest.mark.parametrize("text", ["/status identified", "!status identified", "/incident status identified"])
def test_the_incident_family_has_two_names(read: Any, text: str) -> None:
    assert read(text) == ("status", {"state": "identified"})
    assert read(f"{text}: failover failed") == ("status", {"state": "identified", "text": "failover failed"})
    assert read(text.replace("/incident", "/inc")) == ("status", {"state": "identified"})


def test_the_longest_name_wins(read: Any) -> None:
    assert read("/oncall override @bob 2h") == ("oncall override", {"person": "bob", "length": 7200})
    assert read("/incident oncall override @bob 2h")[0] == "oncall override"
    assert read("/oncall primary") == ("oncall", {"rota": "primary"})
    assert read("/open critical Redis is down")[0] == "incident open"


@pytest.mark.parametrize(
    "text",
    ["hello", "", " ", "/", "!", "!!! what", "/ 5", "/etc/passwd is full", "see /scale", "@watchbells hi"],
)
def test_chat_is_no_command(text: str) -> None:
    assert not is_command(text)


def test_the_bot_can_have_another_name(registry: Registry) -> None:
    names = Names(NAMES.catalogue, NAMES.people, bot="glocke")
    assert is_command("@glocke pods realtime", "glocke")
    assert parse("@glocke pods realtime", registry, names).command.name == "pods"


def test_values_go_by_the_names_of_the_parameters(read: Any) -> None:
    """`from` is a word of Python, so the function calls it `from_`."""
    assert read("/oncall override @bob 2h from=monday")[1]["from_"] == "monday"


# -- texts and options ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("critical Redis is down", {"title": "Redis is down"}),
        ('critical "Redis is down"', {"title": "Redis is down"}),
        ("critical Redis is down service=realtime", {"title": "Redis is down", "service": "realtime"}),
        ('critical "Redis" is down', {"title": '"Redis" is down'}),
        ("critical Redis isn't up --private", {"title": "Redis isn't up", "private": True}),
        ("critical --drill Redis is down", {"title": "Redis is down", "drill": True}),
        (
            "critical Redis is down since=40m private=no",
            {"since": 2400, "private": False, "title": "Redis is down"},
        ),
        ("critical x=1 is wrong", {"title": "x=1 is wrong"}),
        ('critical "since=40m nothing works"', {"title": "since=40m nothing works"}),
        ('critical "lag since=40m" since=1h', {"title": "lag since=40m", "since": 3600}),
        ("critical Redis\nis down\nservice=rt", {"title": "Redis\nis down", "service": "realtime"}),
    ],
)
def test_a_text_takes_the_rest_and_options_come_after_it(
    read: Any, text: str, values: dict[str, Any]
) -> None:
    assert read(f"/incident open {text}") == ("incident open", {"severity": "critical", **values})


@pytest.mark.parametrize(
    "text",
    [
        "/incident open critical “Redis is down” service=realtime —since 40m",
        "/incident open critical ‘Redis is down’ service=realtime –since 40m",
        "/incident open critical „Redis is down“ service=realtime --since=40m",
        "/incident open critical «Redis is down» --service realtime ——since=40m",
    ],
)
def test_safety_17_smart_quotes_and_dashes_of_phones(read: Any, text: str) -> None:
    values = {"severity": "critical", "title": "Redis is down", "service": "realtime", "since": 2400}
    assert read(text.replace("——", "—")) == ("incident open", values)


def test_dashes_and_apostrophes_within_a_text_stay(read: Any) -> None:
    assert read("/note down — it’s “the” cache") == ("note", {"text": "down — it’s “the” cache"})
    assert read("/note “all of it”") == ("note", {"text": "all of it"})


def test_a_person_may_stand_after_a_text(read: Any) -> None:
    assert read("/action fix the failover @bob due=3d")[1] == {
        "text": "fix the failover",
        "owner": "bob",
        "due": 259_200,
    }
    assert read("/action ask @bob about it")[1] == {"text": "ask @bob about it"}
    assert read("/action fix it @Bob")[1] == {"text": "fix it", "owner": "bob"}
    assert read("/action ask @mallory")[1] == {"text": "ask @mallory"}


def test_an_optional_word_before_a_text_is_taken_only_where_it_fits(read: Any) -> None:
    assert read("/deny 7 too risky")[1] == {"number": 7, "why": "too risky"}
    assert read("/deny #7.")[1] == {"number": 7}
    assert read("/deny too risky")[1] == {"why": "too risky"}
    assert read('/deny "7 is too many"')[1] == {"why": "7 is too many"}


def test_a_to_before_a_person_or_a_number_says_nothing(read: Any) -> None:
    assert read("/page @bob, now")[1] == {"person": "bob", "why": "now"}
    assert read("/page to bob now")[1] == {"person": "bob", "why": "now"}
    assert read("/scale realtime TO 10")[1] == {"service": "realtime", "replicas": 10}
    assert read("/deny to be sure")[1] == {"why": "to be sure"}


def test_a_duration_may_stand_after_an_expression(read: Any) -> None:
    assert read('/promql sum(rate(x{a="b"}[5m])) 1h')[1] == {
        "expression": 'sum(rate(x{a="b"}[5m]))',
        "over": 3600,
    }
    assert read('/promql "up offset 1h"')[1] == {"expression": "up offset 1h"}


def test_switches_and_options_of_lines_without_a_text(read: Any) -> None:
    values = {"service": "realtime", "since": 3600, "tail": 5, "grep": "active connections", "previous": True}
    assert read('/logs realtime since=1h tail=5 grep="active connections" previous')[1] == values
    assert read("/logs —previous realtime --since 1h --tail=5 grep=“active connections”")[1] == values


def test_a_redis_may_be_named_in_front(read: Any) -> None:
    assert read("/redis info memory") == ("redis info", {"section": "memory"})
    assert read("/redis Cache-2 info memory") == ("redis info", {"section": "memory", "name": "Cache-2"})
    assert read("/redis del session:*") == ("redis del", {"pattern": "session:*"})


# -- changes ----------------------------------------------------------------------------------------


def test_every_change_takes_a_dry_run_and_a_while(registry: Registry) -> None:
    parsed = parse("/scale realtime 10 —dry-run for 1h30m", registry, NAMES)
    assert (parsed.dry_run, parsed.for_seconds) == (True, 5400)
    assert parsed.line == "scale realtime 10 for 1h30m"
    assert parse("/scale realtime 10 for 30 minutes", registry, NAMES).for_seconds == 1800
    assert parse("/scale realtime 10 for 1h 30min", registry, NAMES).for_seconds == 5400
    parsed = parse("/silence alertname is RedisDown for 1h --dry-run", registry, NAMES)
    assert (parsed.values["what"], parsed.for_seconds, parsed.dry_run) == (
        "alertname is RedisDown",
        3600,
        True,
    )


@pytest.mark.parametrize(
    "text", ["/pods realtime --dry-run", "/pods realtime for 30m", "/health all --dry-run"]
)
def test_reads_take_neither(registry: Registry, text: str) -> None:
    with pytest.raises(RefusedError):
        parse(text, registry, NAMES)


@pytest.mark.parametrize(
    ("typed", "seconds"), [("90s", 90), ("30m", 1800), ("30min", 1800), ("2H", 7200), ("3days", 259_200)]
)
def test_durations(read: Any, typed: str, seconds: int) -> None:
    assert read(f"/logs realtime since={typed}")[1]["since"] == seconds
    assert read("/logs realtime since=90d")[1]["since"] == 90 * 86_400


@pytest.mark.parametrize(
    "typed", ["0s", "91d", "30", "m", "1.5h", "-1h", "３０m", "1h 30m x", "9" * 30 + "d", "1m1h"]
)
def test_wrong_durations_are_refused(registry: Registry, typed: str) -> None:
    with pytest.raises(RefusedError):
        parse(f"/logs realtime since={typed}", registry, NAMES)


# -- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/scale realtme 5", 'There is no service "realtme". Did you mean realtime?'),
        ("/sacle realtime 5", 'There is no command "sacle". Did you mean scale?'),
        ("/redis inof", "Did you mean redis info?"),
        ("/incident statsu resolved", "Did you mean status?"),
        ("/page @bbo", 'I know nobody called "bbo". Did you mean bob?'),
        ("/status indentified", "Did you mean identified?"),
        ("/restrat realtime", 'There is no command "restrat". Did you mean restart?'),
        ("/scale realtime -1", "realtime takes 0 to 20 replicas; -1 is outside."),
        ("/scale realtime many", 'realtime takes 0 to 20 replicas; "many" is no whole number in digits.'),
        ("/scale redis many", "redis takes 1 replica, no more and no fewer"),
        ("/scale realtime 10 for", 'The time is missing after "for", as in `for 30m`.'),
        ("/redis maxmemory lots", "a number and a unit (kb, mb or gb), as in 512mb or 4gb"),
        ("/redis maxmemory -5gb", "a number and a unit (kb, mb or gb), as in 512mb or 4gb"),
        ("/scale realtime", "scale needs REPLICAS, as in `/scale realtime 10`."),
        ("/scale 10 realtime", "`/health all` lists the services"),
        ("/scale realtime 10 for a while", '"a while" is not'),
        ("/scale realtime 10 -dry-run", "Did you mean --dry-run?"),
        ("/incident open critical since=40m nothing works", "Write since=… at the end of the line"),
        ("/incident open critical Keys leaked --private again", "Write --private at the end of the line"),
        ("/incident open critical Lag since=40 min", '"40" is not'),
        ("/paging @bob", "Did you mean page?"),
        ("/note\u200b hello", 'There is no command "note�". Did you mean note'),
        ("/page oncall", "`/oncall` shows who is there"),
        ("/scale realtime 5 6", 'scale takes 2 values, "6" is too many'),
        ("/scale realtime 5 repicas=3", "Did you mean replicas?"),
        ("/scale realtime replicas=3 replicas=4", "replicas is given twice"),
        ("/note", "note needs TEXT: note TEXT"),
        ('/note ""', "note needs TEXT"),
        ("/redis", "redis needs to know what: redis clients"),
        ("/logs realtime grep=", "grep has no value"),
        ('/logs realtime grep="a b', "is never closed"),
        ("/logs realtime previous=perhaps", "previous is yes or no"),
        ("/wb", "help lists the commands"),
        ("@watchbell", "help lists the commands"),
        ("hello", "begins with / or !"),
        ("/scale realtime\n10", "on one line"),
        ("/note " + "x" * 100_000, "takes at most 10000"),
        ("/note a\x00b", "U+0000"),
        ("/note a\ud800b", "U+D800"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(registry: Registry, text: str, said: str) -> None:
    with pytest.raises(RefusedError) as refusal:
        parse(text, registry, NAMES)
    assert said in str(refusal.value)
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize(
    "name",
    [
        "r\u0435altime",  # a Cyrillic letter
        "real\u200btime",
        "realtime\ufeff",
        "\uff52ealtime",  # full width
        "\u202erealtime",
        "rea1time",
        "REALTIME\u0301",
    ],
)
@pytest.mark.parametrize("line", ["/scale {} 5", "/pods {}", "/scale service={} 5", "/checklist {}"])
def test_safety_15_look_alike_names_are_refused(registry: Registry, name: str, line: str) -> None:
    with pytest.raises(RefusedError) as refusal:
        parse(line.format(name), registry, NAMES)
    assert "There is no service" in str(refusal.value)
    assert all(c.isprintable() for c in str(refusal.value))


@pytest.mark.parametrize("word", ["\u0430lice", "b\u200bob", "bob,carol", "*", "@", "@@bob", "--all"])
def test_safety_15_people_are_exactly_those_configured(registry: Registry, word: str) -> None:
    with pytest.raises(RefusedError):
        parse(f"/page {word} now", registry, NAMES)


BAD_ARGUMENTS = [
    "-rf",
    "--all",
    "app=realtime",
    "realtime,chat-adapters",
    "*",
    "real*",
    "'realtime'",
    '"realtime"',
    "“realtime”",
    "$(reboot)",
    "`reboot`",
    "realtime;reboot",
    "realtime|sh",
    "realtime&&reboot",
    "realtime\nreboot",
    "../realtime",
    "realtime>x",
]


@pytest.mark.parametrize("bad", BAD_ARGUMENTS)
@pytest.mark.parametrize(
    "line", ["/scale {} 5", "/restart {}", "/logs {}", "/toggle {} A 1", "/maintenance {} on"]
)
def test_safety_16_odd_arguments_of_changes_are_refused(registry: Registry, line: str, bad: str) -> None:
    with pytest.raises(RefusedError):
        parse(line.format(bad), registry, NAMES)


@pytest.mark.parametrize("bad", [b for b in BAD_ARGUMENTS if b not in ("../realtime",)])
@pytest.mark.parametrize("line", ["/redis get {}", "/pods namespace={}", "/redis kill {}", "/logs rt pod={}"])
def test_safety_16_odd_names_are_refused(registry: Registry, line: str, bad: str) -> None:
    with pytest.raises(RefusedError):
        parse(line.format(bad), registry, NAMES)


@pytest.mark.parametrize(
    "bad", ["-x", "a,b", "a b", '"a*"', "$(x)", "a\nb", "a;b", "a\\*", "{a,b}", "ä*", "*\u200b"]
)
def test_safety_16_patterns_hold_nothing_odd(registry: Registry, bad: str) -> None:
    with pytest.raises(RefusedError):
        parse(f"/redis del {bad}", registry, NAMES)


@pytest.mark.parametrize(
    "number",
    [
        "-1",
        "−1",
        "-0",
        "+5",
        "10.5",
        "10,5",
        "1e9",
        "1E3",
        "NaN",
        "inf",
        "0x10",
        "１０",
        "١٠",
        "ten",
        "5_0",
        "9" * 40,
        "",
    ],
)
def test_safety_18_replicas_are_strict_whole_numbers(registry: Registry, number: str) -> None:
    with pytest.raises(RefusedError) as refusal:
        parse(f"/scale realtime {number}", registry, NAMES)
    if number:
        assert "realtime takes 0 to 20 replicas" in str(refusal.value)


@pytest.mark.parametrize("number", ["-1", "1e9", "0", "1000001", "٣", "9" * 4400])
def test_safety_18_other_numbers_have_their_bounds(registry: Registry, number: str) -> None:
    with pytest.raises(RefusedError) as refusal:
        parse(f"/rollback realtime {number}", registry, NAMES)
    assert "1000000" in str(refusal.value)


# -- whatever is typed ------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        *(
            "/",
            "!",
            "@watchbell",
            "incident",
            "inc",
            "open",
            "status",
            "scale",
            "redis",
            "cache",
            "info",
            "note",
        ),
        *(
            "realtime",
            "10",
            "for",
            "30m",
            "--dry-run",
            "--",
            "—since",
            "service=",
            "since=40m",
            "to",
            "@bob",
            "bob",
        ),
        *(
            '"',
            "“",
            "”",
            "'",
            "=",
            "-",
            "\n",
            "\x00",
            "\u200b",
            "é",
            "日本",
            "😀",
            "a=b",
            "logs",
            "grep=",
            "action",
        ),
        *("promql", "deny", "#7", "critical", "identified", "silence", "page", "'x y'", '"x y"', "due=3d"),
    ]
)
TYPED = st.one_of(
    st.text(max_size=300),
    st.lists(PIECES, max_size=12).map(" ".join),
    st.lists(PIECES, max_size=12).map("".join),
    st.text(max_size=100).map("/note ".__add__),
    st.lists(PIECES, max_size=9).map(lambda words: f"/incident open {' '.join(words)}"),
    st.lists(PIECES, max_size=9).map(lambda words: f"/action {' '.join(words)}"),
    st.lists(PIECES, max_size=9).map(lambda words: f"/promql {' '.join(words)}"),
    st.lists(PIECES, max_size=9).map(lambda words: f"/logs realtime {' '.join(words)}"),
)


@given(TYPED)
@example("/promql up 1h 2h 3h")
@example("/action x @bob owner=carol")
@example("/action x owner=carol @bob")
@example("/note \ud800")
@example("\x00" * 100_000)
@example("!" + "a" * 9_990)
@example("/" + "redis " * 1_600)
@example("/incident open critical " + '"' * 9_000)
@example("/incident open critical " + "a=" * 4_000)
@settings(max_examples=examples(400), deadline=None)
def test_nothing_but_a_refusal_is_ever_raised(registry: Registry, text: str) -> None:
    """Whatever is typed is a command or a sentence; what the line says typed again is the same command."""
    is_command(text)
    try:
        parsed = parse(text, registry, NAMES)
    except RefusedError:
        return
    if not any(c in value for c in '"“”„‟«»' for value in parsed.values.values() if isinstance(value, str)):
        again = parse(f"/{parsed.line}", registry, NAMES)
        assert simple(again) == simple(parsed)
        assert (again.for_seconds, again.line) == (parsed.for_seconds, parsed.line)


@given(st.binary(max_size=500))
def test_binary_is_no_command(registry: Registry, data: bytes) -> None:
    try:
        parse("/scale " + data.decode("latin-1"), registry, NAMES)
    except RefusedError:
        return


def test_a_huge_line_is_refused_at_once(registry: Registry) -> None:
    began = time.perf_counter()
    for text in ("/note " + "x" * 10_000_000, "/scale " + "a" * 9_000, "/incident open c " + "' " * 4_900):
        try:
            parse(text, registry, NAMES)
        except RefusedError:
            continue
    assert time.perf_counter() - began < 1


def test_a_note_is_parsed_in_no_time(registry: Registry) -> None:
    """It stands on the way of every recorded note; the figure is 15 µs, with room here for a busy machine."""
    fastest = 1.0
    for _ in range(20):
        began = time.perf_counter()
        for _ in range(100):
            parse("!note some text", registry, NAMES)
        fastest = min(fastest, (time.perf_counter() - began) / 100)
    assert fastest < 40e-6
