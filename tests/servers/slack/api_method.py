"""What the methods of the Web API are made of: a call, its arguments, its errors (api.slack.com/web)."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.servers.slack.limits import RateLimits
from tests.servers.slack.state import Channel, Json, Message, Workspace

TS = re.compile(r"\d{1,13}\.\d{6}")
MOMENT = re.compile(r"\d{1,13}(\.\d{1,6})?")

# Errors of a request that no app should make, whatever is in the workspace.
INVALID = re.compile(
    r"invalid_(?!channel$).*|bad_timestamp|missing_scope|not_authed|not_allowed_token_type|unknown_method"
    r"|msg_too_long|msg_blocks_too_long|no_text|metadata_too_large|too_long|view_too_large|limit_required"
    r"|no_user|no_item_specified|users_list_not_supplied|no_reaction"
)


class ApiError(Exception):
    """`ok: false`: the error's name, the details of `response_metadata.messages`, and further fields."""

    def __init__(self, error: str, messages: Sequence[str] = (), **extra: Any) -> None:
        super().__init__(error)
        self.error, self.messages, self.extra = error, list(messages), extra


class LimitedError(Exception):
    """429 with Retry-After."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"ratelimited for {seconds} s")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument of a method: str, int, bool or json (an object or list, or a string of JSON)."""

    name: str
    kind: str = "str"
    required: bool = False


@dataclass(frozen=True, slots=True)
class Method:
    """A method: what runs, the scope that it needs (none: it looks itself), its tier, its arguments."""

    name: str
    run: Callable[[Call], Awaitable[Json]]
    scope: str
    tier: int | None
    takes: tuple[Parameter, ...]
    token: str


def method(
    name: str, takes: str = "", *, scope: str = "", tier: int | None, token: str = "bot"
) -> Callable[[Callable[[Call], Awaitable[Json]]], Method]:
    """Make a method of a function; `takes` are its arguments as in "channel! limit:int", ! for required."""

    def made(run: Callable[[Call], Awaitable[Json]]) -> Method:
        return Method(name, run, scope, tier, tuple(map(_parameter, takes.split())), token)

    return made


def _parameter(word: str) -> Parameter:
    name, _, kind = word.partition(":")
    return Parameter(name.removesuffix("!"), kind or "str", name.endswith("!"))


@dataclass(slots=True)
class Call:
    """One call: its arguments as values, and the workspace that it acts on."""

    workspace: Workspace
    rates: RateLimits
    method: str
    args: Json

    def get(self, name: str, default: Any = None) -> Any:
        """An argument, or what stands for it."""
        return self.args.get(name, default)

    def need(self, *scopes: str) -> None:
        """The app has one of these scopes, else `missing_scope`."""
        if not self.workspace.app.scopes.intersection(scopes):
            provided = ",".join(sorted(self.workspace.app.scopes))
            raise ApiError("missing_scope", needed=scopes[0], provided=provided)

    def channel(self, right: str = "", *, name: str = "channel") -> Channel:
        """The channel of an argument; `right` is the scope's second half (read, history, write)."""
        bot = self.workspace.app.bot_user
        found = self.workspace.channels.get(str(self.get(name, "")))
        if found is None or (found.is_private and bot not in found.members):
            raise ApiError("channel_not_found")
        if right:
            self.need(*scopes_of(found, right))
        return found

    def member_of(self, channel: Channel) -> None:
        """The bot is in that channel, else `not_in_channel`."""
        if self.workspace.app.bot_user not in channel.members:
            raise ApiError("not_in_channel")

    def message(self, channel: Channel, name: str = "timestamp") -> Message:
        """The message that an argument names; what only one person sees is none."""
        ts = str(self.get(name, ""))
        if not TS.fullmatch(ts):
            raise ApiError("bad_timestamp")
        found = self.workspace.messages[channel.id].get(ts)
        if found is None or found.only_for:
            raise ApiError("message_not_found")
        return found

    def moment(self, name: str, default: float, error: str) -> tuple[int, int]:
        """A point in time of an argument, in seconds and microseconds."""
        value = str(self.get(name) or default)
        if not MOMENT.fullmatch(value):
            raise ApiError(error)
        return instant(value)

    def page(self, items: Sequence[Any], *, default: int, most: int) -> tuple[list[Any], str]:
        """The page that `cursor` and `limit` ask for, and the next cursor (api.slack.com/docs/pagination)."""
        limit = self.limit(default, most)
        start = 0
        if cursor := self.get("cursor"):
            start = int(opened(str(cursor), "offset"))
        end = start + limit
        return list(items[start:end]), sealed("offset", str(end)) if end < len(items) else ""

    def limit(self, default: int, most: int) -> int:
        """How many items a page may have."""
        limit = int(self.get("limit") or default)
        if not 1 <= limit <= most:
            raise ApiError("invalid_limit")
        return limit


def scopes_of(channel: Channel, right: str) -> tuple[str, ...]:
    """The scopes one of which allows this with such a channel, the usual one first."""
    if channel.is_im:
        return (f"im:{right}",)
    if channel.is_private:
        return (f"groups:{right}",)
    return ("channels:manage", "channels:write") if right == "write" else (f"channels:{right}",)


def instant(ts: str) -> tuple[int, int]:
    """A ts as numbers, so that it compares without rounding."""
    seconds, _, micros = ts.partition(".")
    return int(seconds), int(f"{micros:0<6}" or 0)


def sealed(kind: str, value: str) -> str:
    """A cursor."""
    return base64.b64encode(f"{kind}:{value}".encode()).decode()


def opened(cursor: str, kind: str) -> str:
    """What a cursor of this kind holds, else `invalid_cursor`."""
    try:
        found, _, value = base64.b64decode(cursor, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ApiError("invalid_cursor") from error
    if found != kind or not value:
        raise ApiError("invalid_cursor")
    return value


def paged(name: str, items: list[Any], cursor: str) -> Json:
    """An answer with a list and where it goes on."""
    return {name: items, "response_metadata": {"next_cursor": cursor}}


def arguments(takes: Sequence[Parameter], given: Json) -> Json:
    """The arguments as values; unknown, missing and ill-typed ones are `invalid_arguments`."""
    known = {parameter.name: parameter for parameter in takes}
    wrong = [f"[ERROR] unknown argument: {name}" for name in given if name not in known]
    found: Json = {}
    for name, parameter in known.items():
        value = given.get(name)
        if value is None or (value == "" and parameter.required):
            if parameter.required:
                wrong.append(f"[ERROR] missing required field: {name}")
            continue
        try:
            found[name] = _value(parameter.kind, value)
        except ValueError as error:
            wrong.append(f"[ERROR] {name}: {error}")
    if wrong:
        raise ApiError("invalid_arguments", wrong)
    return found


def _value(kind: str, value: Any) -> Any:
    match kind:
        case "bool":
            names = {"1": True, "true": True, "0": False, "false": False}
            if isinstance(value, bool) or str(value).lower() not in names:
                if isinstance(value, bool):
                    return value
                raise ValueError("must be a boolean")
            return names[str(value).lower()]
        case "int":
            if isinstance(value, bool) or not re.fullmatch(r"-?\d{1,12}", str(value)):
                raise ValueError("must be a number")
            return int(value)
        case "json":
            return _json(value)
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return value


def _json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError("must be JSON") from error
