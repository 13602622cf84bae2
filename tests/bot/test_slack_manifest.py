"""The manifest of the Slack app: valid by Slack's published rules, no larger than the adapter needs, documented."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from slack_sdk.web.async_client import AsyncWebClient
from typer.testing import CliRunner

from bot.app import registry
from bot.cli import app
from bot.platforms.slack_config import RESERVED
from bot.platforms.slack_manifest import (
    EVENTS,
    METHODS,
    SCOPES,
    SHORTCUTS,
    command_names,
    manifest,
    written,
)
from commands.incident.help import HIDDEN
from incidents.ports import RefusedError

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "slack.md").read_text(encoding="utf-8")
ADAPTER = sorted((ROOT / "bot" / "platforms").glob("slack*.py"))
URL = "https://watchbell.example.com"
# Of the house's own list; Slack's help has more of them by now.
KEPT_BY_SLACK = frozenset(
    [
        *(
            "status",
            "remind",
            "join",
            "leave",
            "open",
            "close",
            "invite",
            "topic",
            "archive",
            "who",
            "search",
        ),
        *("msg", "me", "dm", "kick", "remove", "rename", "mute", "away", "dnd", "shrug", "star", "feedback"),
        *("apps", "collapse", "expand", "prefs", "shortcuts"),
    ]
)


def text(least: int, most: int, pattern: str = "") -> dict[str, Any]:
    """A string of so many characters."""
    return {
        "type": "string",
        "minLength": least,
        "maxLength": most,
        **({"pattern": pattern} if pattern else {}),
    }


def record(required: str, **properties: Any) -> dict[str, Any]:
    """An object with exactly these keys, of which some have to be there."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required.split(),
        "properties": properties,
    }


def items(of: dict[str, Any], least: int, most: int) -> dict[str, Any]:
    """A list of so many, none of them twice."""
    return {"type": "array", "items": of, "minItems": least, "maxItems": most, "uniqueItems": True}


# The keys that Watchbell's manifest has, with the limits of docs.slack.dev, "App manifest reference", and of the
# schema that Slack publishes. Stricter in one thing: an address is https, as Slack asks of apps that are installed.
YES = {"type": "boolean"}
ADDRESS = text(1, 3000, r"^https://")
REFERENCE = record(
    "display_information features oauth_config settings",
    display_information=record(
        "name description long_description",
        name=text(1, 35),
        description=text(1, 140),
        long_description=text(175, 4000),
        background_color=text(4, 7, r"^#[0-9a-fA-F]{3}([0-9a-fA-F]{3})?$"),
    ),
    features=record(
        "app_home bot_user shortcuts slash_commands",
        app_home=record(
            "home_tab_enabled messages_tab_enabled messages_tab_read_only_enabled",
            home_tab_enabled=YES,
            messages_tab_enabled=YES,
            messages_tab_read_only_enabled=YES,
        ),
        bot_user=record("display_name", display_name=text(1, 80, r"^[a-z0-9._-]+$"), always_online=YES),
        shortcuts=items(
            record(
                "name type callback_id description",
                name=text(1, 24),
                type={"enum": ["message", "global"]},
                callback_id=text(1, 255),
                description=text(1, 150),
            ),
            1,
            10,
        ),
        slash_commands=items(
            record(
                "command description",
                command=text(2, 32, r"^/[a-z0-9_-]+$"),
                url=ADDRESS,
                description=text(1, 2000),
                usage_hint=text(1, 1000),
                should_escape=YES,
            ),
            1,
            50,
        ),
    ),
    oauth_config=record("scopes", scopes=record("bot", bot=items(text(1, 50), 1, 255))),
    settings=record(
        "event_subscriptions interactivity socket_mode_enabled",
        event_subscriptions=record("bot_events", request_url=ADDRESS, bot_events=items(text(1, 50), 1, 100)),
        interactivity=record("is_enabled", is_enabled=YES, request_url=ADDRESS),
        org_deploy_enabled=YES,
        socket_mode_enabled=YES,
        token_rotation_enabled=YES,
    ),
)
EVERY = [{}, {"url": URL}, {"prefix": "wb"}, {"prefix": "ops-bot", "url": URL, "name": "Night Watch (EU)"}]


def addresses(found: dict[str, Any]) -> list[str]:
    """Every address of a manifest."""
    settings = found["settings"]
    several = [
        *found["features"]["slash_commands"],
        settings["event_subscriptions"],
        settings["interactivity"],
    ]
    return [each[key] for each in several for key in ("url", "request_url") if key in each]


@pytest.mark.parametrize("options", EVERY)
def test_a_manifest_is_valid_by_slack_s_reference(options: dict[str, str]) -> None:
    """By both ways in, with a prefix and without."""
    jsonschema.Draft202012Validator.check_schema(REFERENCE)
    jsonschema.validate(manifest(**options), REFERENCE)


def test_the_validator_finds_what_slack_would_refuse() -> None:
    """Otherwise it would prove nothing."""
    for path, value in (
        (("display_information", "long_description"), "too short"),
        (("features", "bot_user", "display_name"), "Watch Bell"),
        (("features", "slash_commands", 0, "command"), "incident"),
        (("settings", "unknown"), True),
    ):
        data = manifest()
        here: Any = data
        for key in path[:-1]:
            here = here[key]
        here[path[-1]] = value
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(data, REFERENCE)


@pytest.mark.parametrize("options", EVERY)
def test_yaml_says_the_same(options: dict[str, str]) -> None:
    """Nothing is lost or turned into something else on the way through Slack's form."""
    assert yaml.safe_load(written(manifest(**options))) == manifest(**options)


def test_the_command_line_prints_it() -> None:
    """Nothing else on standard output, so that it can be piped."""
    done = CliRunner().invoke(app, ["manifest", "slack", "--http", URL, "--prefix", "wb", "--name", "Bell"])
    assert done.exit_code == 0
    assert yaml.safe_load(done.stdout) == manifest(url=URL, prefix="wb", name="Bell")


# -- commands -------------------------------------------------------------------------------------


def test_commands_are_at_most_fifty_and_each_once() -> None:
    """Slack allows an app no more; the three that take all others come first."""
    names = command_names()
    assert len(names) == len(set(names)) <= 50
    assert names[:3] == ["incident", "inc", "wb"]
    assert [each["command"] for each in manifest()["features"]["slash_commands"]] == [f"/{n}" for n in names]


def test_no_command_has_a_name_that_slack_keeps() -> None:
    """One of them, and Slack refuses the whole manifest."""
    assert KEPT_BY_SLACK <= RESERVED
    assert not RESERVED & set(command_names())


def test_every_short_form_is_a_command_that_people_type() -> None:
    """Or the first word of a family; what buttons send has none."""
    commands = registry()
    firsts = {name.partition(" ")[0] for name in commands.names()} - HIDDEN
    assert set(command_names()[3:]) <= firsts
    frequent = "ack escalate page note oncall scale restart redis logs promql runbook"
    assert set(frequent.split()) <= set(command_names())


def test_hints_and_descriptions_are_those_of_the_commands() -> None:
    """So that the manifest never says another thing than the help; `confirm` is for buttons."""
    told = {each["command"]: each for each in manifest()["features"]["slash_commands"]}
    assert told["/scale"]["description"] == registry().commands["scale"].summary
    assert told["/scale"]["usage_hint"] == "SERVICE REPLICAS"
    assert "usage_hint" not in told["/pending"]
    assert told["/page"]["usage_hint"] == "PERSON [WHY]"
    assert "maxmemory" in told["/redis"]["usage_hint"]
    assert all(each["should_escape"] for each in told.values())


def test_a_prefix_is_the_only_command() -> None:
    """For workspaces where the names are taken: none of them is asked for."""
    assert command_names("ops") == ["ops"]
    (only,) = manifest(prefix="ops")["features"]["slash_commands"]
    assert only["command"] == "/ops"
    assert "/ops help" in only["description"]
    assert "/wb" not in written(manifest(prefix="ops"))
    assert "/incident" not in written(manifest(prefix="ops"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prefix": "status"}, "a command of Slack's own"),
        ({"prefix": "scale"}, "a command already"),
        ({"prefix": "Ops"}, "lower-case"),
        ({"url": "http://watchbell.example.com"}, "https://"),
        ({"url": "https://user:secret@watchbell.example.com"}, "https://"),
        ({"url": "https://watchbell.example.com/?a=b"}, "https://"),
        ({"name": ""}, "1 to 35"),
        ({"name": "x" * 36}, "1 to 35"),
    ],
)
def test_what_slack_would_not_take_is_refused_with_a_sentence(options: dict[str, str], said: str) -> None:
    """Before it is pasted anywhere."""
    with pytest.raises(RefusedError, match=re.escape(said)):
        manifest(**options)


# -- ways in --------------------------------------------------------------------------------------


def test_socket_mode_needs_no_address() -> None:
    """None is named, for Slack would verify it."""
    found = manifest()
    assert found["settings"]["socket_mode_enabled"] is True
    assert addresses(found) == []


@pytest.mark.parametrize("url", [URL, f"{URL}/", f"{URL}/slack/events"])
def test_http_has_one_address_for_everything(url: str) -> None:
    """Commands, events and interactivity all arrive at /slack/events, however the address was typed."""
    found = manifest(url=url)
    assert found["settings"]["socket_mode_enabled"] is False
    assert set(addresses(found)) == {f"{URL}/slack/events"}
    assert len(addresses(found)) == len(command_names()) + 2


def test_nothing_that_would_break_it_is_on() -> None:
    """Tokens do not rotate, the app is one workspace's, people can write to it."""
    found = manifest()
    assert found["settings"]["token_rotation_enabled"] is False
    assert found["settings"]["org_deploy_enabled"] is False
    assert found["features"]["app_home"] == {
        "home_tab_enabled": True,
        "messages_tab_enabled": True,
        "messages_tab_read_only_enabled": False,
    }


# -- what it may do -------------------------------------------------------------------------------


def api_names() -> dict[str, str]:
    """How slack_sdk calls a method → the method: chat_postMessage → chat.postMessage."""
    found = {}
    for name, function in inspect.getmembers(AsyncWebClient, inspect.isfunction):
        called = re.search(r'self\.api_call\(\s*"([\w.]+)"', inspect.getsource(function))
        if called is not None and name == called[1].replace(".", "_"):
            found[name] = called[1]
    return found


def called() -> Iterator[tuple[str, str]]:
    """Every Web API method that the adapter names, as a text or as slack_sdk's function, and the file."""
    known = api_names()
    for file in ADAPTER:
        if file.name == "slack_manifest.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and node.value in known.values():
                yield node.value, file.name
            if isinstance(node, ast.Attribute) and node.attr in known:
                yield known[node.attr], file.name


def test_every_method_that_is_called_is_in_the_table() -> None:
    """So that no scope is forgotten."""
    assert len(api_names()) > 200
    assert [(method, file) for method, file in called() if method not in METHODS] == []


def test_the_table_has_nothing_that_is_not_called() -> None:
    """So that no scope is asked for without need."""
    assert set(METHODS) <= {method for method, _ in called()}


def test_scopes_are_those_of_methods_and_events_and_no_others() -> None:
    """`commands` is what slash commands and shortcuts need."""
    needed = {scope for scopes in (*METHODS.values(), *EVENTS.values()) for scope in scopes} | {"commands"}
    assert needed == set(SCOPES)
    assert manifest()["oauth_config"]["scopes"]["bot"] == list(SCOPES)
    assert all(reason for reason in SCOPES.values())


def test_the_events_are_those_that_the_adapter_handles() -> None:
    """By their names in the inward half; `message.channels` arrives as `message`."""
    inward = "".join(file.read_text(encoding="utf-8") for file in ADAPTER if file.name != "slack_manifest.py")
    for event in EVENTS:
        assert f'"{event.partition(".")[0]}"' in inward, event


def test_the_shortcuts_are_those_that_the_adapter_handles() -> None:
    """By their callback ids."""
    inward = "".join(file.read_text(encoding="utf-8") for file in ADAPTER if file.name != "slack_manifest.py")
    for shortcut in SHORTCUTS:
        assert f'"{shortcut["callback_id"]}"' in inward


# -- the guide ------------------------------------------------------------------------------------


def guide_rows() -> dict[str, str]:
    """The rows of the guide's tables: first cell → second cell."""
    rows = (line.strip("|").split(" | ") for line in GUIDE.splitlines() if line.startswith("| `"))
    return {row[0].strip(" `"): row[1].strip(" |") for row in rows}


def test_the_guide_says_what_each_scope_is_for() -> None:
    """In the words of the code, and no scope beyond."""
    rows = {name: cell for name, cell in guide_rows().items() if ":" in name or name == "commands"}
    assert rows == dict(SCOPES)


def test_the_guide_lists_every_slash_command() -> None:
    """All of them, once, in the order of the manifest."""
    passage = GUIDE.partition("<!-- the slash commands -->")[2].partition("<!-- end -->")[0]
    assert re.findall(r"`/([a-z-]+)`", passage) == command_names()
