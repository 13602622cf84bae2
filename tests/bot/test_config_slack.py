"""Slack's section of the configuration: what it becomes, and what is wrong with it, one sentence a fault."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bot.config import ConfigError, Settings, load

BASE = (Path(__file__).parent / "config_base.yaml").read_text(encoding="utf-8")
TOKENS = {
    "AM_TOKEN": "a token of the test",
    "BOT": "xoxb-1-2-abc",
    "APP": "xapp-1-A0-abc",
    "SECRET": "8f742231b10e8888abcd99eeefff85a5",
}
SOCKET = "bot_token_env: BOT, app_token_env: APP"
LINE = "45: platforms.slack"
A_GROUP = 'should be a user group: its ID such as S012AB3CD, or its handle in quotes such as "@sre"'
IN_THE_FILE = (
    "is a secret, which has no place in this file; put it into an environment variable and write "
    "`bot_token_env: NAME_OF_THE_VARIABLE`"
)


def written(folder: Path, section: str, *edits: tuple[str, str]) -> Path:
    """The small configuration of the tests with this Slack section in its line 45."""
    text = BASE.replace("platforms: {console: {}}", f"platforms: {{slack: {section}}}")
    for before, after in edits:
        assert text.count(before) == 1
        text = text.replace(before, after)
    path = folder / "watchbell.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def settings(folder: Path, section: str, *edits: tuple[str, str]) -> Settings:
    return load(written(folder, section, *edits), TOKENS)


def faults(folder: Path, section: str, environ: Mapping[str, str] = TOKENS, **options: Any) -> list[str]:
    """What is wrong, one line each, without the name of the file."""
    path = written(folder, section)
    with pytest.raises(ConfigError) as raised:
        load(path, environ, **options)
    return [line.removeprefix(f"{path}:") for line in str(raised.value).split("\n")]


def test_what_a_section_becomes(tmp_path: Path) -> None:
    """Secrets stand beside the names of their variables; the rest has its defaults."""
    found = settings(tmp_path, f"{{{SOCKET}}}").platforms
    assert set(found) == {"slack"}
    slack = found["slack"]
    assert slack["bot_token"].get_secret_value() == "xoxb-1-2-abc"
    assert slack["app_token"].get_secret_value() == "xapp-1-A0-abc"
    assert slack["signing_secret"] is None
    assert (slack["prefix"], slack["guests"], slack["roles"]) == ("", [], {})
    assert slack["api"] == "https://slack.com/api/"


def test_a_section_with_everything_in_it(tmp_path: Path) -> None:
    """Groups by id and by handle, a guest who is in people, another address."""
    more = 'prefix: wb, guests: [U0BOB0000], roles: {responder: [S0SRE0000, "@on.call-1"]}, api: "http://127.0.0.1:9/api/"'
    section = f"{{bot_token_env: BOT, signing_secret_env: SECRET, {more}}}"
    found = settings(tmp_path, section, ("ids: {console: bob}", "ids: {slack: U0BOB0000}"))
    slack = found.platforms["slack"]
    assert slack["signing_secret"].get_secret_value() == TOKENS["SECRET"]
    assert slack["prefix"] == "wb"
    assert slack["guests"] == ["U0BOB0000"]
    assert slack["roles"] == {"responder": ["S0SRE0000", "@on.call-1"]}
    assert slack["api"] == "http://127.0.0.1:9/api/"


def test_tokens_are_redacted_and_not_shown(tmp_path: Path) -> None:
    """In log and chat, and where somebody prints the settings."""
    found = settings(tmp_path, f"{{{SOCKET}}}")
    assert {"xoxb-1-2-abc", "xapp-1-A0-abc"} <= set(found.redaction.values)
    assert "xoxb-1-2-abc" not in repr(found)


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("{app_token_env: APP}", ".bot_token_env: is missing"),
        (
            "{bot_token_env: BOT}",
            ": say how Slack reaches the bot: `app_token_env` for Socket Mode, or `signing_secret_env` for HTTP",
        ),
        ("{}", ".bot_token_env: is missing"),
        ("", ".bot_token_env: is missing"),
        ("[]", ": should be a mapping (name: value)"),
        (f"{{{SOCKET}, prefx: wb}}", ".prefx: there is no such setting; did you mean prefix?"),
        (
            f"{{{SOCKET}, prefix: /wb}}",
            ".prefix: should be lower-case letters, digits and -, a letter first, at most 21 of them",
        ),
        (
            f"{{{SOCKET}, prefix: a123456789012345678901}}",
            ".prefix: should be lower-case letters, digits and -, a letter first, at most 21 of them",
        ),
        (f"{{{SOCKET}, prefix: status}}", ".prefix: /status is a command of Slack's own; take another word"),
        (
            f"{{{SOCKET}, guests: [bob]}}",
            ".guests[0]: should be a member ID such as U012AB3CD, as Slack shows it in the profile",
        ),
        (
            f"{{{SOCKET}, guests: [U0NOBODY0]}}",
            ".guests[0]: nobody under `people` has this account; only who is listed there counts",
        ),
        (
            f"{{{SOCKET}, roles: {{responder: [sre]}}}}",
            f".roles.responder[0]: {A_GROUP}",
        ),
        (
            f"{{{SOCKET}, roles: {{respnder: [S0SRE0000]}}}}",
            '.roles.respnder: "respnder" is not one of reporter, responder, approver; did you mean responder?',
        ),
        (
            f"{{{SOCKET}, api: https://slack.com/api}}",
            ".api: should end with a slash, as in https://slack.com/api/",
        ),
        (
            f"{{{SOCKET}, api: slack.com/api/}}",
            ".api: should be a URL that begins with http:// or https://",
        ),
        (
            "{bot_token: xoxb-1234567890-abcdef, app_token_env: APP}",
            f".bot_token: {IN_THE_FILE}",
        ),
    ],
)
def test_a_fault_is_one_sentence_with_its_line(tmp_path: Path, section: str, expected: str) -> None:
    """The setting, what is wrong, what to write."""
    assert faults(tmp_path, section) == [f"{LINE}{expected}"]


BOT_TOKEN = "a bot token (xoxb-…) belongs there (in Slack's page of the app: OAuth & Permissions)"
_BASIC = "in Slack's page of the app: Basic Information"
APP_TOKEN = f"an app-level token (xapp-…) belongs there ({_BASIC}, App-Level Tokens)"
SECRET = f"a signing secret belongs there ({_BASIC}, App Credentials)"


@pytest.mark.parametrize(
    ("section", "key", "held", "wanted"),
    [
        (
            "bot_token_env: APP, app_token_env: APP",
            "bot_token",
            "APP holds an app-level token (xapp-…)",
            BOT_TOKEN,
        ),
        (
            "bot_token_env: USER, app_token_env: APP",
            "bot_token",
            "USER holds a user token (xoxp-…)",
            BOT_TOKEN,
        ),
        ("bot_token_env: BOT, app_token_env: BOT", "app_token", "BOT holds a bot token (xoxb-…)", APP_TOKEN),
        (
            "bot_token_env: BOT, signing_secret_env: BOT",
            "signing_secret",
            "BOT holds a bot token (xoxb-…)",
            SECRET,
        ),
        (
            "bot_token_env: SECRET, app_token_env: APP",
            "bot_token",
            "SECRET holds a signing secret or a client secret",
            BOT_TOKEN,
        ),
    ],
)
def test_a_token_in_the_wrong_place_is_named_by_its_kind(
    tmp_path: Path, section: str, key: str, held: str, wanted: str
) -> None:
    """Three values are copied from three pages, and easily swapped; the value itself is not repeated."""
    environ = {**TOKENS, "USER": "xoxp-1-2-abc"}
    expected = f"{LINE}.{key}_env: the environment variable {held}; {wanted}"
    assert faults(tmp_path, f"{{{section}}}", environ) == [expected]
    assert load(written(tmp_path, f"{{{section}}}"), environ, tokens=False).platforms["slack"]


def test_what_is_no_known_form_is_slack_s_to_judge(tmp_path: Path) -> None:
    """Slack may change its forms; `watchbell check` asks."""
    environ = {**TOKENS, "BOT": "a token of another time"}
    found = load(written(tmp_path, f"{{{SOCKET}}}"), environ)
    assert found.platforms["slack"]["bot_token"].get_secret_value() == "a token of another time"


def test_a_variable_that_is_not_set_is_said(tmp_path: Path) -> None:
    """Each by its name."""
    assert faults(tmp_path, f"{{{SOCKET}}}", {"AM_TOKEN": "a token", "BOT": "xoxb-1"}) == [
        f"{LINE}.app_token_env: the environment variable APP is not set"
    ]


def test_a_prefix_that_is_a_command_would_hide_it(tmp_path: Path) -> None:
    """/scale scale realtime 10 is what nobody means; `incident` takes all others behind it anyway."""
    commands = ("scale", "redis info", "incident open")
    for word in ("scale", "redis"):
        found = faults(tmp_path, f"{{{SOCKET}, prefix: {word}}}", commands=commands)
        assert found == [f"{LINE}.prefix: /{word} is a command already; take another word"]
    path = written(tmp_path, f"{{{SOCKET}, prefix: incident}}")
    assert load(path, TOKENS, commands=commands).platforms["slack"]["prefix"] == "incident"


def test_no_chat_at_all_is_a_fault(tmp_path: Path) -> None:
    """Nobody could type to it."""
    path = written(tmp_path, "{}", ("platforms: {slack: {}}", "platforms: {}"))
    with pytest.raises(ConfigError, match="platforms: name at least one chat, such as console"):
        load(path, TOKENS)


@pytest.mark.parametrize("name", ["slack_text", "console_people", "teams"])
def test_parts_of_an_adapter_are_no_chats(tmp_path: Path, name: str) -> None:
    """Only whole adapters are, however many files they are made of."""
    path = written(tmp_path, "{}", ("platforms: {slack: {}}", f"platforms: {{{name}: {{}}}}"))
    with pytest.raises(ConfigError, match=f'there is no chat "{name}"'):
        load(path, TOKENS)
