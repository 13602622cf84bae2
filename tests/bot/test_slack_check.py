"""`watchbell check` asks Slack: a line for each thing, what to do where one is wrong, and exit status 1 then."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bot.chat_check import Line
from bot.cli import app
from bot.config import Settings, load
from bot.platforms import slack_check
from bot.platforms.slack_manifest import SCOPES
from tests.servers.slack_server import SlackServer, shared

HERE = Path(__file__).parent
BASE = (HERE / "config_base.yaml").read_text(encoding="utf-8")
GUIDE = (HERE.parents[1] / "docs" / "slack.md").read_text(encoding="utf-8")
TOKENS = {"AM_TOKEN": "a token of the test", "BOT": "xoxb-test", "APP": "xapp-test", "SECRET": "shh"}
SOCKET = "bot_token_env: BOT, app_token_env: APP"
PEOPLE = {"alice": "U0ALICE00", "bob": "U0BOB0000"}


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    """A workspace with everybody and everything that the configuration names, as it should be."""
    server = shared()
    server.reset()
    for name, ident in PEOPLE.items():
        server.call("add_user", id=ident, name=name, real_name=name.title())
    server.call("add_channel", name="ops")
    yield server
    wrong = server.call("violations")["violations"]
    assert [fault for fault in wrong if fault["error"] != "invalid_auth"] == []


def written(folder: Path, slack: SlackServer, section: str = SOCKET, ids: str = "") -> Path:
    """The small configuration of the tests, with Slack at the stand-in."""
    text = BASE.replace(
        "platforms: {console: {}}", f"platforms: {{slack: {{{section}, api: '{slack.api}'}}}}"
    )
    text = text.replace("ids: {console: alice}", f"ids: {{slack: {PEOPLE['alice']}}}")
    text = text.replace("ids: {console: bob}", f"ids: {{slack: {ids or PEOPLE['bob']}}}")
    path = folder / "watchbell.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def settings(
    folder: Path, slack: SlackServer, section: str = SOCKET, ids: str = "", **environ: str
) -> Settings:
    return load(written(folder, slack, section, ids), {**TOKENS, **environ})


async def lines(found: Settings) -> list[Line]:
    return [line async for line in slack_check.check(found)]


async def faults(found: Settings) -> list[str]:
    """What is wrong."""
    return [line.text for line in await lines(found) if not line.right]


# -- where all is well ----------------------------------------------------------------------------


async def test_a_line_for_each_thing(tmp_path: Path, slack: SlackServer) -> None:
    """Token, scopes, way in, channel, people; and who has no account."""
    assert [str(line) for line in await lines(settings(tmp_path, slack))] == [
        "ok    bot token: the bot is @watchbell in the workspace Watch",
        f"ok    scopes: all {len(SCOPES)} are there",
        "ok    app token: Socket Mode connects",
        "ok    channel #ops: the bot is in it",
        "ok    person alice (U0ALICE00): Alice",
        "ok    person bob (U0BOB0000): Bob",
        "ok    people without a Slack account, who cannot be reached there: carol, grace",
    ]


async def test_http_needs_the_secret_and_no_app_token(tmp_path: Path, slack: SlackServer) -> None:
    """Nobody but Slack can say whether the secret is right: it is used when Slack calls."""
    found = await lines(settings(tmp_path, slack, "bot_token_env: BOT, signing_secret_env: SECRET"))
    assert found[2] == Line(
        True, "signing secret: it is set; Slack has to reach /slack/events of the web server by https"
    )


async def test_channels_are_looked_for_on_every_page(tmp_path: Path, slack: SlackServer) -> None:
    """The list of a large workspace has many; private ones count where the bot is in them."""
    slack.reset()
    for name, ident in PEOPLE.items():
        slack.call("add_user", id=ident, name=name)
    for number in range(1005):
        slack.call("add_channel", name=f"other-{number}", bot=False)
    slack.call("add_channel", name="ops", is_private=True)
    assert await faults(settings(tmp_path, slack)) == []


# -- tokens and scopes ----------------------------------------------------------------------------


async def test_a_bot_token_that_slack_does_not_know(tmp_path: Path, slack: SlackServer) -> None:
    """Nothing else can be asked with it, so there is one line."""
    found = await lines(settings(tmp_path, slack, BOT="xoxb-another"))
    assert found == [
        Line(False, "bot token: Slack does not know this token; copy it once more, as a whole (invalid_auth)")
    ]


async def test_an_app_token_that_slack_does_not_know(tmp_path: Path, slack: SlackServer) -> None:
    """The rest is looked at all the same."""
    (only,) = await faults(settings(tmp_path, slack, APP="xapp-another"))
    assert only.startswith(
        "app token: Slack does not know this token; copy it once more, as a whole (invalid_auth)"
    )
    assert "connections:write" in only


async def test_each_missing_scope_is_named_with_what_it_is_for(tmp_path: Path, slack: SlackServer) -> None:
    """And where it is added."""
    missing = ("pins:write", "reactions:read")
    slack.call("reset", scopes=sorted(set(SCOPES) - set(missing)))
    for name, ident in PEOPLE.items():
        slack.call("add_user", id=ident, name=name)
    slack.call("add_channel", name="ops")
    found = await faults(settings(tmp_path, slack))
    assert [line.partition(";")[0] for line in found] == [
        "scope pins:write is missing: by it the bot pins the incident's card",
        "scope reactions:read is missing: by it the bot counts votes given as reactions, and hears 📌",
    ]
    assert all("OAuth & Permissions" in line and "reinstall" in line for line in found)


async def test_a_slack_that_does_not_answer(tmp_path: Path, slack: SlackServer) -> None:
    """Said once; nothing hangs, nothing is raised."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}/api/"
    path = written(tmp_path, slack)
    path.write_text(path.read_text(encoding="utf-8").replace(slack.api, nobody), encoding="utf-8")
    (only,) = await lines(load(path, TOKENS))
    assert not only.right
    assert only.text.startswith(f"bot token: Slack does not answer at {nobody}")


@pytest.mark.parametrize("status", ["500", "503"])
async def test_trouble_of_slack_s_own(tmp_path: Path, slack: SlackServer, status: str) -> None:
    """Told by Slack in JSON, or by a page of HTML; what cannot be looked at is named, the rest is looked at."""
    slack.call("faults", kinds=[status], methods=["users.info"])
    found = await faults(settings(tmp_path, slack))
    slack.call("faults")
    said = f"Slack has trouble of its own (HTTP {status}); see https://slack-status.com, and try again"
    assert found == [f"person alice (U0ALICE00): {said}", f"person bob (U0BOB0000): {said}"]


async def test_an_address_that_is_not_slack_s(tmp_path: Path, slack: SlackServer) -> None:
    """A page of something else is no answer, whatever its status."""
    path = written(tmp_path, slack)
    elsewhere = f"{slack.url}/nowhere/"
    path.write_text(path.read_text(encoding="utf-8").replace(slack.api, elsewhere), encoding="utf-8")
    (only,) = await faults(load(path, TOKENS))
    assert only == (
        "bot token: no answer of Slack's came from the address that `api` names: https://slack.com/api/ is Slack's own"
    )


# -- channels -------------------------------------------------------------------------------------


def without_channel(slack: SlackServer) -> None:
    """The people again, and no channel."""
    slack.reset()
    for name, ident in PEOPLE.items():
        slack.call("add_user", id=ident, name=name)


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        (None, "there is none that the bot can see; create it, and type `/invite @watchbell` in it"),
        (
            {"is_private": True, "bot": False},
            "there is none that the bot can see; create it, and type `/invite @watchbell` in it",
        ),
        ({"bot": False}, "the bot is not in it; type `/invite @watchbell` there"),
    ],
)
async def test_a_channel_that_is_not_there_or_without_the_bot(
    tmp_path: Path, slack: SlackServer, channel: dict[str, Any] | None, expected: str
) -> None:
    """Of private channels a bot sees only those that it is in."""
    without_channel(slack)
    if channel is not None:
        slack.call("add_channel", name="ops", **channel)
    assert await faults(settings(tmp_path, slack)) == [f"channel #ops: {expected}"]


async def test_a_channel_that_is_archived(tmp_path: Path, slack: SlackServer) -> None:
    """People have to bring it back."""
    without_channel(slack)
    ident = slack.call("add_channel", name="ops")["id"]
    slack.call("archives", user=PEOPLE["alice"], channel=ident, wait=False)
    assert await faults(settings(tmp_path, slack)) == [
        "channel #ops: it is archived; bring it back in Slack, which no bot can"
    ]


# -- people ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        ({"deleted": True}, "the account is deactivated; take it out of the configuration"),
        ({"is_bot": True}, "this is a bot's account, and bots may do nothing"),
        ({"team_id": "T0OTHER"}, "the account belongs to another workspace, and those may do nothing"),
        ({"is_stranger": True}, "the account belongs to another workspace, and those may do nothing"),
        (
            {"is_restricted": True},
            "this is a guest, and guests may do nothing; list the ID under platforms.slack.guests if this one may",
        ),
        (
            {"is_ultra_restricted": True},
            "this is a guest, and guests may do nothing; list the ID under platforms.slack.guests if this one may",
        ),
    ],
)
async def test_an_account_that_may_do_nothing(
    tmp_path: Path, slack: SlackServer, account: dict[str, Any], expected: str
) -> None:
    """SAFETY 22: said before the night in which it would be found out."""
    slack.call("add_user", id=PEOPLE["bob"], name="bob", **account)
    assert await faults(settings(tmp_path, slack)) == [f"person bob (U0BOB0000): {expected}"]


async def test_a_guest_who_is_listed_may(tmp_path: Path, slack: SlackServer) -> None:
    """And is shown as one."""
    slack.call("add_user", id=PEOPLE["bob"], name="bob", real_name="Bob", is_restricted=True)
    found = await lines(settings(tmp_path, slack, f"{SOCKET}, guests: [{PEOPLE['bob']}]"))
    assert Line(True, "person bob (U0BOB0000): Bob (a guest, who is listed)") in found


async def test_an_account_that_nobody_has(tmp_path: Path, slack: SlackServer) -> None:
    """A slip of the pen, or the ID of another workspace."""
    assert await faults(settings(tmp_path, slack, ids="U0NOBODY0")) == [
        "person bob (U0NOBODY0): there is no such account in the workspace (user_not_found)"
    ]


async def test_nobody_with_an_account(tmp_path: Path, slack: SlackServer) -> None:
    """A bot that nobody can talk to."""
    path = written(tmp_path, slack)
    text = re.sub(r"ids: \{slack: \w+\}", "ids: {console: x}", path.read_text(encoding="utf-8"), count=1)
    path.write_text(re.sub(r"ids: \{slack: \w+\}", "ids: {console: y}", text), encoding="utf-8")
    assert await faults(load(path, TOKENS)) == [
        "people: nobody has a Slack account here; write `ids: {slack: U012AB3CD}` for each of them"
    ]


# -- user groups ----------------------------------------------------------------------------------


async def test_user_groups_by_handle_and_by_id(tmp_path: Path, slack: SlackServer) -> None:
    """Each with how many are in it."""
    slack.call("group", id="S0SRE0000", handle="sre", name="SRE", users=list(PEOPLE.values()))
    section = f'{SOCKET}, roles: {{responder: ["@sre"], approver: [S0SRE0000]}}'
    found = await lines(settings(tmp_path, slack, section))
    assert found[-2:] == [
        Line(True, "user group @sre: 2 in it, each responder if listed under people"),
        Line(True, "user group S0SRE0000: 2 in it, each approver if listed under people"),
    ]


async def test_a_user_group_that_is_not_there(tmp_path: Path, slack: SlackServer) -> None:
    """It would give nobody a role, and nobody would notice."""
    assert await faults(settings(tmp_path, slack, f'{SOCKET}, roles: {{responder: ["@sre"]}}')) == [
        "user group @sre: there is none; its handle stands in Slack under People, User groups"
    ]


async def test_a_user_group_that_is_disabled(tmp_path: Path, slack: SlackServer) -> None:
    """Nobody is in it as long as it is."""
    slack.call("group", id="S0SRE0000", handle="sre", name="SRE", users=[PEOPLE["bob"]], disabled=True)
    assert await faults(settings(tmp_path, slack, f'{SOCKET}, roles: {{responder: ["@sre"]}}')) == [
        "user group @sre: it is disabled; enable it in Slack, or take it out"
    ]


# -- the command line -----------------------------------------------------------------------------


def run(path: Path, *options: str, **environ: str) -> Any:
    """`watchbell check` with these tokens and no others."""
    unset = {name: None for name in TOKENS if name not in environ}
    return CliRunner().invoke(app, ["check", "--config", str(path), *options], env={**unset, **environ})


def test_exit_status_0_where_all_is_well(tmp_path: Path, slack: SlackServer) -> None:
    """The file's own line first."""
    done = run(written(tmp_path, slack), **TOKENS)
    assert done.exit_code == 0, done.output
    first, second, *_ = done.stdout.splitlines()
    assert first.endswith("is in order: 4 people, 2 services, 1 policy (ish).")
    assert second == "slack  ok    bot token: the bot is @watchbell in the workspace Watch"
    assert done.stderr == ""


def test_exit_status_1_where_something_is_wrong(tmp_path: Path, slack: SlackServer) -> None:
    """What is wrong goes to standard error, with how many there are."""
    done = run(written(tmp_path, slack, ids="U0NOBODY0"), **TOKENS)
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        "slack  wrong person bob (U0NOBODY0): there is no such account in the workspace (user_not_found)",
        "Slack is not in order: 1 of these is to be mended; docs/slack.md helps.",
    ]


def test_without_tokens_the_variables_are_named(tmp_path: Path, slack: SlackServer) -> None:
    """Exit status 2, as for every fault of the file; Slack is not asked."""
    done = run(written(tmp_path, slack), AM_TOKEN="x")
    assert done.exit_code == 2
    assert "platforms.slack.bot_token_env: the environment variable BOT is not set" in done.stderr
    assert "platforms.slack.app_token_env: the environment variable APP is not set" in done.stderr


def test_offline_asks_nobody(tmp_path: Path, slack: SlackServer) -> None:
    """For a build that has no way out."""
    done = run(written(tmp_path, slack, ids="U0NOBODY0"), "--offline", **TOKENS)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "slack" not in done.stdout.partition("is in order")[2]


def test_the_example_asks_nobody() -> None:
    """It has no Slack in it."""
    done = CliRunner().invoke(app, ["check"], env=dict(os.environ))
    assert (done.exit_code, done.stderr) == (0, "")


# -- the guide ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        "is missing: by it the bot",
        "there is none that the bot can see",
        "it is archived",
        "the bot is not in it",
        "nobody has a Slack account here",
        "there is no such account in the workspace",
        "the account is deactivated",
        "this is a guest",
        "this is a bot's account",
        "the account belongs to another workspace",
        "it is disabled",
        "Slack does not answer at",
        "Slack has trouble of its own",
        "no answer of Slack's came from the address that `api` names",
        *slack_check.REASONS,
    ],
)
def test_the_guide_explains_what_is_said(said: str) -> None:
    """By the words that people search for."""
    assert said in Path(slack_check.__file__).read_text(encoding="utf-8")
    assert said in GUIDE.partition("## When something is wrong")[2]
