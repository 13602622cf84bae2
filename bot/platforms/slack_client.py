"""Every call of Slack's Web API: time limits, retries of what only reads, rate limits, and errors in words."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, NoReturn
from urllib.parse import SplitResult, urlsplit

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.chat import DeliveryError, RetryLaterError

TIMEOUT = 10  # seconds for a call
FILE_TIMEOUT = aiohttp.ClientTimeout(total=60, connect=TIMEOUT, sock_read=TIMEOUT)
DELAYS = (0.05, 0.1, 0.2, 0.4)  # seconds before a call that may be repeated is tried again
SHORT = (
    1.0  # seconds that Slack may ask such a call to wait, and it is waited for here: pages may wait with it
)

# What may be repeated without anybody noticing. A post that was repeated would be read twice.
READS = frozenset(
    {
        "auth.test",
        "bookmarks.list",
        "conversations.history",
        "conversations.info",
        "conversations.list",
        "conversations.members",
        "conversations.open",
        "conversations.replies",
        "files.info",
        "reactions.get",
        "usergroups.list",
        "usergroups.users.list",
        "users.info",
        "users.list",
    }
)
# What else may be repeated: a channel made by a call without an answer is found by its name, and taken.
_AGAIN = READS | {"conversations.create", "conversations.setPurpose"}
# Slack's word for trouble of its own, on the pages of the methods: the call may be tried again.
_TEMPORARY = frozenset(
    {"fatal_error", "internal_error", "request_timeout", "service_unavailable", "team_added_to_org"}
)
_LIMITED = frozenset({"ratelimited", "rate_limited"})
# What is for one person alone is no reason to be there: it reaches them directly.
_NO_JOIN = frozenset({"chat.postEphemeral", "conversations.join", "conversations.unarchive"})

_ADVICE = {
    "account_inactive": "the app was removed from the workspace: install it again",
    "cant_update_message": "only the bot's own messages can be edited",
    "cannot_dm_bot": "that account is a bot, which reads no direct messages",
    "channel_not_found": "there is no such channel, or it is private and the bot is not in it: invite the bot",
    "edit_window_closed": "the message is older than the workspace lets messages be edited",
    "invalid_auth": "the bot token is not valid: check it in the configuration",
    "is_archived": "the channel is archived: somebody has to bring it back",
    "message_not_found": "there is no such message any more",
    "msg_blocks_too_long": "the message is too long",
    "msg_too_long": "the message is too long",
    "not_authed": "no bot token was given: set it in the configuration",
    "not_in_channel": "the bot is not in the channel: invite it there",
    "restricted_action": "the workspace's settings forbid it: ask an administrator of Slack",
    "token_expired": "the bot token has expired: install the app again",
    "token_revoked": "the bot token was revoked: install the app again",
    "user_disabled": "the account is deactivated",
    "user_not_found": "there is no such account",
    "user_not_visible": "the bot may not see that account",
}


class UnavailableError(Exception):
    """Slack did not answer, or failed by its own account; whether the call was done is not known."""


class RefusedCallError(DeliveryError):
    """Slack answered no; `code` is its word for why, as on the page of the method."""

    def __init__(self, method: str, code: str, detail: str = "") -> None:
        told = _ADVICE.get(code, "")
        super().__init__(
            ": ".join(part for part in (f"Slack refused {method} ({code})", told, detail) if part)
        )
        self.code = code


class SlackClient:
    """One bot token's calls. slack_sdk's own retries are off, for it repeats posts, too.

    Before `open` and after `close` each call makes a connection of its own.
    """

    def __init__(
        self,
        token: str,
        base_url: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.web = AsyncWebClient(token=token, base_url=base_url, timeout=TIMEOUT, retry_handlers=[])
        self._home = urlsplit(self.web.base_url)
        self._monotonic = monotonic
        self._sleep = sleep
        self._limited: dict[tuple[str, str], float] = {}  # until when, by the monotonic clock

    async def open(self) -> None:
        """Keep connections from now on."""
        if self.web.session is None or self.web.session.closed:
            self.web.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT))

    async def close(self) -> None:
        """Give the connections up."""
        if self.web.session is not None:
            await self.web.session.close()

    async def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Call a method and return its answer; what is None is left out, what is nested is sent as JSON.

        A bot that is not in the channel joins it, once. Raises RefusedCallError, RetryLaterError (HTTP 429, see
        "Rate limits": also without a call until that time is over) and UnavailableError.
        """
        try:
            return await self._insist(method, arguments)
        except RefusedCallError as refusal:
            channel = arguments.get("channel") or arguments.get("channel_id")
            if refusal.code != "not_in_channel" or method in _NO_JOIN or not channel:
                raise
            await self._join(str(channel), refusal)
        return await self._insist(method, arguments)

    async def items(
        self, method: str, field: str, *, pages: int, **arguments: Any
    ) -> AsyncGenerator[dict[str, Any], None]:
        """What stands in `field` of the answer, page by page, at most so many pages ("Pagination")."""
        cursor = ""
        for _ in range(pages):
            answer = await self.call(method, **arguments, cursor=cursor or None)
            for item in answer.get(field) or ():
                yield item
            cursor = str((answer.get("response_metadata") or {}).get("next_cursor") or "")
            if not cursor:
                return

    async def send_file(self, url: str, data: bytes) -> None:
        """Send the bytes of a file to the address that files.getUploadURLExternal gave."""
        self._check(url)
        async with _Files() as session, session.post(url, data=data, proxy=self.web.proxy) as answer:
            if answer.status != 200:
                raise UnavailableError(f"Slack took no file: HTTP {answer.status}")

    async def load_file(self, url: str, most: int) -> bytes:
        """The bytes of a file of at most `most` bytes, asked for with the bot's token; no redirect is followed."""
        self._check(url)
        headers = {"Authorization": f"Bearer {self.web.token}"}
        async with (
            _Files() as session,
            session.get(url, headers=headers, allow_redirects=False, proxy=self.web.proxy) as answer,
        ):
            if answer.status >= 500 or answer.status == 429:
                raise UnavailableError(f"Slack gave no file: HTTP {answer.status}")
            if answer.status != 200:
                raise DeliveryError(
                    f"Slack gives the bot no such file (HTTP {answer.status}): check files:read"
                )
            return await _at_most(answer, most)

    # -- inside -----------------------------------------------------------------------------------

    async def _join(self, channel: str, refusal: RefusedCallError) -> None:
        try:
            await self._insist("conversations.join", {"channel": channel})
        except RefusedCallError as error:
            raise refusal from error  # a private channel: somebody has to invite the bot

    async def _insist(self, method: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Call, and where the method may be repeated, call again for as long as one call may take.

        A vote is checked by such calls: without an answer it does not count, so a short wait is waited for.
        """
        key = (method, str(arguments["channel"]) if method == "chat.postMessage" else "")
        form = {name: _encoded(value) for name, value in arguments.items() if value is not None}
        end = self._monotonic() + TIMEOUT
        for delay in DELAYS if method in _AGAIN else ():
            try:
                return await self._once(method, form, key)
            except UnavailableError:
                if self._monotonic() >= end:
                    raise
                await self._sleep(delay)
            except RetryLaterError as limited:
                if limited.seconds > SHORT or self._monotonic() + limited.seconds >= end:
                    raise
                await self._sleep(limited.seconds)
        return await self._once(method, form, key)

    async def _once(self, method: str, form: dict[str, str], key: tuple[str, str]) -> dict[str, Any]:
        left = self._limited.get(key, 0.0) - self._monotonic()
        if left > 1e-6:  # less is what a float leaves
            raise RetryLaterError(left)
        self._limited.pop(key, None)
        try:
            answer = await self.web.api_call(method, data=form)
        except SlackApiError as error:
            self._refuse(method, key, error)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnavailableError(f"Slack did not answer {method}: {type(error).__name__}") from error
        return dict(answer.data) if isinstance(answer.data, dict) else {}

    def _refuse(self, method: str, key: tuple[str, str], error: SlackApiError) -> NoReturn:
        response = error.response
        data = getattr(response, "data", None)  # an answer that is no JSON comes as aiohttp's own response
        data = data if isinstance(data, dict) else {}
        status = int(getattr(response, "status_code", 0) or getattr(response, "status", 0))
        code = str(data.get("error") or "")
        if status == 429 or code in _LIMITED:
            seconds = _seconds(response.headers.get("Retry-After"))
            self._limited[key] = self._monotonic() + seconds
            raise RetryLaterError(seconds) from error
        if status >= 500 or not code or code in _TEMPORARY:
            raise UnavailableError(f"Slack failed at {method}: {code or f'HTTP {status}'}") from error
        raise RefusedCallError(method, code, _detail(data)) from error

    def _check(self, url: str) -> None:
        """Refuse an address that is not Slack's: the token goes nowhere else."""
        if not own_address(url, self._home):
            raise DeliveryError("Slack gave an address for a file that is not its own")


class _Files:
    """A connection for a file: it may take longer than a call, as long as bytes go on coming."""

    async def __aenter__(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(timeout=FILE_TIMEOUT)
        return self._session

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self._session.close()
        if isinstance(error, aiohttp.ClientError | TimeoutError | OSError):
            raise UnavailableError(f"Slack broke a file off: {type(error).__name__}") from error


def own_address(url: str, home: SplitResult) -> bool:
    """Whether an address belongs to the API at `home`: Slack's own hosts by https, or exactly that other host."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if parts.username is not None or parts.password is not None:
        return False
    if home.hostname != "slack.com":
        return (parts.scheme, host, port) == (home.scheme, home.hostname, home.port)
    return parts.scheme == "https" and port in (None, 443) and f".{host}".endswith(".slack.com")


async def _at_most(answer: aiohttp.ClientResponse, most: int) -> bytes:
    found = bytearray()
    async for part in answer.content.iter_chunked(65_536):
        found += part
        if len(found) > most:
            raise DeliveryError(f"that file is larger than {most // 1_000_000} MB")
    return bytes(found)


def _encoded(value: Any) -> str:
    """An argument as a form carries it; forms are understood by every method, JSON by some."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _seconds(header: object) -> float:
    """How long Retry-After asks to wait, at least 1 s: Slack gives whole seconds."""
    try:
        return max(1.0, float(str(header)))
    except ValueError:
        return 1.0


def _detail(data: Mapping[str, Any]) -> str:
    """What else Slack says: the scope that is missing, or which argument is wrong."""
    if data.get("needed"):
        return f"the app lacks the scope {data['needed']}: add it to the app and install the app again"
    messages = (data.get("response_metadata") or {}).get("messages") or ()
    return "; ".join(str(message) for message in messages)[:300]
