"""Slack's forms and the App Home: within Block Kit's limits, and read back as the lines that people mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.app import registry
from bot.chat import Button, Content
from bot.platforms import slack_views as views
from commands.catalogue import Catalogue, Service
from commands.grammar import Names, Parsed, parse
from incidents.ports import RefusedError
from tests.bot.slack_payloads import SampleHouse, submission

KINDS = [views.OPEN, views.UPDATE, views.RESOLVE]
COMMANDS = registry()
NAMES = Names(Catalogue({"api": Service("api"), "realtime": Service("realtime")}), {"alice": "Alice"})

# What the published reference allows: element → its own keys beside type and action_id ("Block elements").
ELEMENTS = {
    "plain_text_input": {"max_length", "multiline", "placeholder"},
    "static_select": {"options", "option_groups"},
    "checkboxes": {"options"},
    "button": {"text", "value", "style"},
}


class Many(SampleHouse):
    """As many services as a large company has."""

    def __init__(self, count: int) -> None:
        self.count = count

    def services(self) -> Sequence[str]:
        return [f"service-{number:05}" for number in range(self.count)]


def check_view(view: dict[str, Any]) -> None:
    """Fails for what views.open and views.publish refuse."""
    assert view["type"] in ("modal", "home")
    assert 1 <= len(view["blocks"]) <= 100
    if view["type"] == "modal":
        assert {"callback_id", "title", "submit", "close", "private_metadata", "blocks"} <= set(view)
        assert len(view["callback_id"]) <= 255
        assert len(view["private_metadata"]) <= 3_000
        for name in ("title", "submit", "close"):
            check_plain(view[name], 24)
    named = [block["block_id"] for block in view["blocks"] if "block_id" in block]
    assert len(named) == len(set(named))
    for block in view["blocks"]:
        check_block(block)


def check_block(block: dict[str, Any]) -> None:
    if block["type"] == "input":
        assert set(block) <= {"type", "block_id", "label", "element", "optional", "hint"}
        assert 1 <= len(block["block_id"]) <= 255
        check_plain(block["label"], 2_000)
        check_plain(block.get("hint", block["label"]), 2_000)
        check_element(block["element"])
    elif block["type"] == "section":
        assert block["text"]["type"] == "mrkdwn"
        assert 1 <= len(block["text"]["text"]) <= 3_000
    elif block["type"] == "actions":
        assert 1 <= len(block["elements"]) <= 25
        assert len({element["action_id"] for element in block["elements"]}) == len(block["elements"])
        for element in block["elements"]:
            check_element(element)
    else:
        assert block == {"type": "divider"}


def check_element(element: dict[str, Any]) -> None:
    assert set(element) <= {"type", "action_id"} | ELEMENTS[element["type"]]
    assert 1 <= len(element["action_id"]) <= 255
    assert 1 <= element.get("max_length", 1) <= 3_000
    if "placeholder" in element:
        check_plain(element["placeholder"], 150)
    if element["type"] in ("static_select", "checkboxes"):
        assert ("options" in element) != ("option_groups" in element)
        check_options(element.get("options"), 10 if element["type"] == "checkboxes" else 100)
        assert len(element.get("option_groups", ())) <= 100
        for group in element.get("option_groups", ()):
            check_plain(group["label"], 75)
            check_options(group["options"], 100)


def check_options(options: list[dict[str, Any]] | None, most: int) -> None:
    for option in options or ():
        check_plain(option["text"], 75)
        assert 1 <= len(option["value"]) <= 150
    assert options is None or 1 <= len(options) <= most


def check_plain(text: dict[str, Any], most: int) -> None:
    assert text["type"] == "plain_text"
    assert 1 <= len(text["text"]) <= most


def offered(view: dict[str, Any], field: str) -> list[str]:
    """The values of a select."""
    element = next(block["element"] for block in view["blocks"] if block["block_id"] == field)
    groups = element.get("option_groups") or [element]
    return [option["value"] for group in groups for option in group["options"]]


def refusal(line: str) -> str | None:
    """As the house says it."""
    try:
        parse(line, COMMANDS, NAMES)
    except RefusedError as error:
        return str(error)
    return None


def read(kind: str, **values: str) -> Parsed:
    """The command that a filled-in form is."""
    assert views.faults(kind, values, refusal) == {}
    return parse(views.line(kind, values), COMMANDS, NAMES)


# -- forms --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [0, 1, 100, 101, 10_000, 10_001])
def test_every_form_is_within_the_limits(kind: str, count: int) -> None:
    origin = views.Origin("C0123456789", "1764000000.000100", "1764000000.000200")
    check_view(views.form(kind, Many(count), origin))


@pytest.mark.parametrize("count", [1, 100, 101, 250])
def test_every_service_is_offered(count: int) -> None:
    """In groups where Slack allows no more than 100 in one list."""
    view = views.form(views.OPEN, Many(count), views.Origin())
    assert offered(view, "service") == list(Many(count).services())
    assert offered(view, "severity") == ["critical", "high", "low"]


def test_without_services_none_is_asked_for() -> None:
    """Slack refuses a list without options."""
    fields = [block["block_id"] for block in views.form(views.OPEN, Many(0), views.Origin())["blocks"]]
    assert fields == ["title", "severity", "private", "since"]


def test_where_a_form_comes_from_travels_with_it() -> None:
    for origin in (views.Origin(), views.Origin("C1"), views.Origin("C1", "17.1", "17.2")):
        assert views.Origin.read(origin.written()) == origin


@pytest.mark.parametrize("metadata", ["", "null", "[]", '{"chanel": "C1"}', "{"])
def test_what_is_no_origin_is_refused(metadata: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        views.Origin.read(metadata)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("/incident open", views.OPEN),
        ("/incident open …", views.OPEN),
        ("/INC Open", views.OPEN),
        ("/wb incident open", views.OPEN),
        ("/ops update", views.UPDATE),
        ("!resolve", views.RESOLVE),
        ("/update …", views.UPDATE),
        ("/incident", None),
        ("/wb", None),
        ("/update it is up", None),
        ("/incident list", None),
        ("/xy update", None),
        ("", None),
    ],
)
def test_lines_that_ask_for_a_form(line: str, kind: str | None) -> None:
    assert views.form_of(line, "ops", "wb") == kind


@pytest.mark.parametrize(
    ("value", "asks"), [("/update", True), ("/resolve …", True), ("/resolve", False), ("/update x", False)]
)
def test_buttons_that_ask_for_a_form(value: str, asks: bool) -> None:
    assert views.asks_for_form(value) is asks


# -- what was filled in -------------------------------------------------------------------------------------

TITLES = [
    "Redis is down",
    'It says "no route to host"',
    "It's down",
    'It\'s down: "no route"',
    "“Ça va” n'est pas ‘ok’",
    "--private --drill",
    "restart with service=realtime since=2d",
    'it\'s "down" since=2d --private',
    '"quoted"',
    "'quoted'",
    "- a list",
    "@alice 30m",
    "/incident open low x",
    "x",
]


@pytest.mark.parametrize("title", TITLES)
def test_a_title_is_a_title_whatever_it_holds(title: str) -> None:
    """No word of it becomes an option."""
    found = read(views.OPEN, severity="critical", title=title)
    assert found.command.name == "incident open"
    assert set(found.values) == {"severity", "title"}
    assert letters(found.values["title"]) == letters(title)


@pytest.mark.parametrize("text", [*TITLES, "two\nlines", "a: 1\n\n- b"])
@pytest.mark.parametrize("kind", [views.UPDATE, views.RESOLVE])
def test_so_is_a_text(kind: str, text: str) -> None:
    found = read(kind, text=text)
    assert set(found.values) == {"text"}
    assert letters(found.values["text"]) == letters(text)


def test_quotation_marks_are_kept_where_they_can_be() -> None:
    """One kind gives way only where both are there, and the text would be misread."""
    for title in TITLES[:4]:
        assert read(views.OPEN, severity="low", title=title).values["title"] == title
    given = 'it\'s "down" --private'
    assert read(views.OPEN, severity="low", title=given).values["title"] == "it's 'down' --private"


def letters(text: str) -> str:
    """Without quotation marks, which may be changed."""
    return "".join(c for c in text if c not in views.QUOTES).strip()


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=60))
def test_any_title_can_be_read(title: str) -> None:
    """Or is refused at its own field."""
    values = {"severity": "high", "title": title, "service": "api", "since": "2h", "private": "yes"}
    wrong = views.faults(views.OPEN, values, refusal)
    if wrong:
        assert set(wrong) == {"title"}
        assert not letters(" ".join(title.split()))
        return
    found = parse(views.line(views.OPEN, values), COMMANDS, NAMES).values
    assert (found["severity"], found["since"], found["private"]) == ("high", 7_200, True)
    assert letters(found["title"]) == letters(" ".join(title.split()))


def test_all_values_of_a_form() -> None:
    values = {"severity": "critical", "title": "Redis\nis  down", "service": "api", "since": "40m"}
    assert views.line(views.OPEN, values | {"private": "yes"}) == (
        '/incident open critical "Redis is down" service=api since=40m --private'
    )
    found = read(views.OPEN, **values)
    assert (found.values["service"].name, found.values["since"]) == ("api", 2_400)
    assert read(views.UPDATE, text="up", eta="30m").values == {"text": "up", "eta": 1_800}
    assert read(views.RESOLVE).line == "resolve"


@pytest.mark.parametrize(
    ("kind", "values", "field"),
    [
        (views.OPEN, {"severity": "critical", "title": "x", "since": "soon"}, "since"),
        (views.OPEN, {"severity": "critical", "title": "x", "since": "40m --private"}, "since"),
        (views.OPEN, {"severity": "critical", "title": "x", "service": "unheard-of"}, "service"),
        (views.OPEN, {"severity": "critical", "title": "x\x07"}, "title"),
        (views.OPEN, {"severity": "critical"}, "title"),
        (views.UPDATE, {"text": "x", "eta": "tomorrow"}, "eta"),
        (views.UPDATE, {}, "text"),
        (views.RESOLVE, {"text": "x\x07"}, "text"),
    ],
)
def test_a_fault_stands_at_its_field(kind: str, values: dict[str, str], field: str) -> None:
    wrong = views.faults(kind, values, refusal)
    assert list(wrong) == [field]
    assert wrong[field]


def test_fields_left_empty_are_left_out() -> None:
    view = views.form(views.OPEN, SampleHouse(), views.Origin())
    body = submission(view, {"title": "  Redis  ", "severity": "low"})
    assert views.values_of(body["view"]) == {"title": "Redis", "severity": "low"}


# -- App Home -----------------------------------------------------------------------------------------------


def content(text: str, *buttons: Button) -> Content:
    return Content(text, text, buttons)


@pytest.mark.parametrize(
    "sections",
    [
        [],
        [content("Nothing")],
        [content("x" * 10_000), content("a\n" * 4_000)],
        [content("INC", *(Button("A" * 100, f"/ack {n}") for n in range(60)))],
        [content(f"INC-{n}", Button("Acknowledge", f"/ack {n}", "primary")) for n in range(200)],
    ],
    ids=["nothing", "one", "long", "buttons", "many"],
)
def test_the_app_home_is_within_the_limits(sections: list[Content]) -> None:
    check_view(views.home(sections))


def test_what_has_no_room_on_the_app_home_is_told_of() -> None:
    view = views.home([content(f"INC-{n}") for n in range(200)])
    assert "/incident list" in view["blocks"][-1]["text"]["text"]


def test_the_app_home_shows_every_section_and_its_buttons() -> None:
    view = views.home([content("INC-7", Button("Acknowledge", "/ack INC-7")), content("On call: alice")])
    assert [block["type"] for block in view["blocks"]] == ["section", "actions", "divider", "section"]
    assert view["blocks"][1]["elements"][0]["value"] == "/ack INC-7"


def test_the_app_home_of_somebody_barred_says_why() -> None:
    view = views.barred_home("a guest")
    check_view(view)
    assert "a guest" in view["blocks"][0]["text"]["text"]
