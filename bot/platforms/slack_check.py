"""What `watchbell check` asks Slack: tokens, scopes, channels, people and user groups, a line for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import aiohttp
from pydantic import SecretStr
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from bot.chat_check import Line, right, wrong
from bot.config import Settings
from bot.platforms.slack_config import API
from bot.platforms.slack_manifest import EVENTS_PATH, SCOPES

PATIENCE = 10  # seconds for one call
PAGE, MOST_PAGES = 999, 50  # channels in a page, as many as Slack gives, and so many pages

# Why Slack says no, and what to do about it (api.slack.com/methods, "Errors").
REASONS = {
    "account_inactive": "the app was removed from the workspace, or the account of its bot was deactivated; "
    "install the app again",
    "invalid_auth": "Slack does not know this token; copy it once more, as a whole",
    "not_allowed_token_type": "this is a token of another kind",
    "not_authed": "Slack does not know this token; copy it once more, as a whole",
    "paid_teams_only": "this workspace's plan has no user groups",
    "token_expired": "the token has expired; install the app again, and leave token rotation off",
    "token_revoked": "the token was revoked; install the app again and take the new one",
    "user_not_found": "there is no such account in the workspace",
    "user_not_visible": "there is no such account in the workspace",
}
_TO_SCOPES = (
    "add it under OAuth & Permissions in Slack's page of the app, or paste the manifest again, and reinstall"
)


async def check(settings: Settings) -> AsyncIterator[Line]:
    """Look at all that the configuration names in Slack, a line each; where the bot token is wrong, at no more."""
    section = settings.platforms["slack"]
    client = _client(section, section["bot_token"])
    identity = await _answer(client, "auth.test")
    if isinstance(identity, str):
        yield wrong(f"bot token: {identity}")
        return
    yield right(f"bot token: the bot is @{identity['user']} in the workspace {identity['team']}")
    for line in _scopes(identity.headers):
        yield line
    for line in await _way_in(section):
        yield line
    for part in (
        _channels(client, settings, identity["user"]),
        _people(client, settings, identity["team_id"]),
        _groups(client, section["roles"]),
    ):
        async for line in part:
            yield line


def _client(section: Mapping[str, Any], token: SecretStr | None) -> AsyncWebClient:
    """A client that waits where Slack asks to (HTTP 429), three times, and repeats nothing else."""
    return AsyncWebClient(
        token=token.get_secret_value() if token else "",
        base_url=section.get("api", API),
        timeout=PATIENCE,
        retry_handlers=[AsyncRateLimitErrorRetryHandler(max_retry_count=3)],
    )


async def _answer(client: AsyncWebClient, method: str, **arguments: Any) -> Any:
    """What Slack answers, or in a text why it does not."""
    try:
        return await client.api_call(method, data={name: v for name, v in arguments.items() if v != ""})
    except SlackApiError as error:
        return _reason(error)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return f"Slack does not answer at {client.base_url} ({type(error).__name__}); is this machine online?"


def _reason(error: SlackApiError) -> str:
    response = error.response  # slack_sdk's, or aiohttp's own where the answer is no JSON
    status = int(getattr(response, "status_code", 0) or getattr(response, "status", 0))
    if status >= 500:
        return f"Slack has trouble of its own (HTTP {status}); see https://slack-status.com, and try again"
    data = getattr(response, "data", None)
    if not isinstance(data, dict) or "error" not in data:
        return f"no answer of Slack's came from the address that `api` names: {API} is Slack's own"
    code = data["error"]
    if code == "missing_scope":
        return f"the scope {data.get('needed', '')} is missing; {_TO_SCOPES}"
    return f"{REASONS.get(code, 'Slack refuses')} ({code})"


def _scopes(headers: Mapping[str, str]) -> Sequence[Line]:
    """Slack names the scopes of a token in a header of each answer (api.slack.com/web, "x-oauth-scopes")."""
    there = next((value for name, value in headers.items() if name.lower() == "x-oauth-scopes"), "")
    granted = {scope.strip() for scope in there.split(",")}
    missing = [scope for scope in SCOPES if scope not in granted]
    if not missing:
        return [right(f"scopes: all {len(SCOPES)} are there")]
    return [
        wrong(f"scope {scope} is missing: by it the bot {SCOPES[scope]}; {_TO_SCOPES}") for scope in missing
    ]


async def _way_in(section: Mapping[str, Any]) -> Sequence[Line]:
    """How Slack reaches the bot: by Socket Mode, by HTTP, or both."""
    lines = []
    if section.get("app_token") is not None:
        answer = await _answer(_client(section, section["app_token"]), "apps.connections.open")
        if isinstance(answer, str):
            lines.append(
                wrong(f"app token: {answer}; Socket Mode has to be on, the token needs connections:write")
            )
        else:
            lines.append(right("app token: Socket Mode connects"))
    if section.get("signing_secret") is not None:
        lines.append(
            right(f"signing secret: it is set; Slack has to reach {EVENTS_PATH} of the web server by https")
        )
    return lines


async def _channels(client: AsyncWebClient, settings: Settings, bot: str) -> AsyncIterator[Line]:
    """Each configured channel: there, not archived, and the bot in it."""
    found: dict[str, Mapping[str, Any]] = {}
    cursor = ""
    for _ in range(MOST_PAGES):
        page = await _answer(
            client, "conversations.list", types="public_channel,private_channel", limit=PAGE, cursor=cursor
        )
        if isinstance(page, str):
            yield wrong(f"channels: {page}")
            return
        found.update({channel["name"]: channel for channel in page["channels"]})
        cursor = (page.get("response_metadata") or {}).get("next_cursor", "")
        if not cursor:
            break
    for name in settings.channels.all:
        yield _channel(name, found.get(name.removeprefix("#")), bot)


def _channel(name: str, found: Mapping[str, Any] | None, bot: str) -> Line:
    if found is None:
        todo = f"create it, and type `/invite @{bot}` in it"
        return wrong(f"channel {name}: there is none that the bot can see; {todo}")
    if found.get("is_archived"):
        return wrong(f"channel {name}: it is archived; bring it back in Slack, which no bot can")
    if not found.get("is_member"):
        return wrong(f"channel {name}: the bot is not in it; type `/invite @{bot}` there")
    return right(f"channel {name}: the bot is in it")


async def _people(client: AsyncWebClient, settings: Settings, team: str) -> AsyncIterator[Line]:
    """Each person's account: there, in use, of this workspace, and no bot's."""
    guests = settings.platforms["slack"]["guests"]
    here = [person for person in settings.people.values() if "slack" in person.ids]
    if not here:
        yield wrong(
            "people: nobody has a Slack account here; write `ids: {slack: U012AB3CD}` for each of them"
        )
    for person in here:
        answer = await _answer(client, "users.info", user=person.ids["slack"])
        problem = answer if isinstance(answer, str) else _problem(answer["user"], team, guests)
        named = f"person {person.name} ({person.ids['slack']})"
        yield wrong(f"{named}: {problem}") if problem else right(f"{named}: {_known_as(answer['user'])}")
    others = [person.name for person in settings.people.values() if "slack" not in person.ids]
    if here and others:
        yield right(f"people without a Slack account, who cannot be reached there: {', '.join(others)}")


def _problem(user: Mapping[str, Any], team: str, guests: Sequence[str]) -> str:
    """Why an account can do nothing with the bot; empty for one that can."""
    if user.get("deleted"):
        return "the account is deactivated; take it out of the configuration"
    if user.get("is_bot") or user["id"] == "USLACKBOT":
        return "this is a bot's account, and bots may do nothing"
    if user.get("is_stranger") or user.get("team_id") != team:
        return "the account belongs to another workspace, and those may do nothing"
    if (user.get("is_restricted") or user.get("is_ultra_restricted")) and user["id"] not in guests:
        return "this is a guest, and guests may do nothing; list the ID under platforms.slack.guests if this one may"
    return ""


def _known_as(user: Mapping[str, Any]) -> str:
    guest = (
        " (a guest, who is listed)" if user.get("is_restricted") or user.get("is_ultra_restricted") else ""
    )
    return f"{user.get('real_name') or user.get('name')}{guest}"


async def _groups(client: AsyncWebClient, roles: Mapping[str, Sequence[str]]) -> AsyncIterator[Line]:
    """Each user group that gives a role: there, in use, and how many are in it."""
    if not any(roles.values()):
        return
    answer = await _answer(client, "usergroups.list", include_disabled="true")
    if isinstance(answer, str):
        yield wrong(f"user groups: {answer}")
        return
    known = {key: group for group in answer["usergroups"] for key in (group["id"], f"@{group['handle']}")}
    for role, groups in roles.items():
        for name in groups:
            yield await _group(client, name, role, known.get(name))


async def _group(client: AsyncWebClient, name: str, role: str, found: Mapping[str, Any] | None) -> Line:
    if found is None:
        return wrong(
            f"user group {name}: there is none; its handle stands in Slack under People, User groups"
        )
    if found.get("date_delete"):
        return wrong(f"user group {name}: it is disabled; enable it in Slack, or take it out")
    answer = await _answer(client, "usergroups.users.list", usergroup=found["id"])
    if isinstance(answer, str):
        return wrong(f"user group {name}: {answer}")
    return right(f"user group {name}: {len(answer['users'])} in it, each {role} if listed under people")
