"""What `watchbell check` asks a homeserver: token, keys, rooms, people and the space, a line for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from pathlib import Path
from typing import Any

from bot.chat import DeliveryError, RetryLaterError
from bot.chat_check import Line, right, wrong
from bot.config import Settings
from bot.platforms.console_text import channel_name
from bot.platforms.matrix import STORE, Matrix, build
from bot.platforms.matrix_check_people import accounts, devices, keys
from bot.platforms.matrix_client import V1, V3, RefusedCallError, UnavailableError

# Files are read by authenticated calls, which came with this version of the specification ("Content repository").
NEEDED = (1, 11)
# What the bot sends into the rooms of the configuration, and what for.
_SENDS = {
    "m.room.message": "it says nothing there",
    "m.reaction": "it puts no reactions under its cards there",
}
_ENCRYPTED = "m.room.encrypted"
_FIRST_CREATORS = 12  # from this version of rooms on who made one stands above all levels ("Room version 12")
_ABOVE = 10**9


async def check(settings: Settings, data: Path) -> AsyncIterator[Line]:
    """Look at all that the configuration names on Matrix, a line each; where the token is wrong, at no more.

    `data` is the directory of the log, in which the keys are. Nothing is changed anywhere.
    """
    section = settings.platforms[Matrix.name]
    matrix = build({**section, "encryption": False, "encrypted": False}, settings, data)
    try:
        async for line in _all(matrix, settings, data):
            yield line
    finally:
        await matrix.api.close()


async def _all(matrix: Matrix, settings: Settings, data: Path) -> AsyncIterator[Line]:
    section = settings.platforms[Matrix.name]
    for what, look in (("homeserver", _homeserver), ("access token", _account)):
        line = await _line(what, look(matrix, section))
        yield line
        if not line.right:
            return
    if section["encryption"]:
        yield await _line("keys", keys(matrix.api, data / STORE))
    for name in settings.channels.all:
        yield await _line(f"room {name}", _room(matrix, name, section))
    async for line in accounts(matrix.api, settings):
        yield line
    if section["encryption"] and section["trust"] != "first_use":
        async for line in devices(matrix.api, settings):
            yield line
    if section["space"]:
        yield await _line(f"space {section['space']}", _space(matrix, section["space"]))


async def _line(what: str, look: Awaitable[Line]) -> Line:
    """What was found, or why nothing could be."""
    try:
        return await look
    except RetryLaterError as wait:
        return wrong(f"{what}: the homeserver wants a pause of {wait.seconds:.0f} s; try again then")
    except (DeliveryError, UnavailableError) as error:
        return wrong(f"{what}: {error}")


# -- the homeserver and the bot -------------------------------------------------------------------


async def _homeserver(matrix: Matrix, section: Mapping[str, Any]) -> Line:
    address = section["homeserver"]
    try:
        told = await matrix.api.call("GET", "/_matrix/client/versions")
    except RefusedCallError as refusal:
        if refusal.status != 401:
            return wrong(f"homeserver: what answers at {address} is no Matrix homeserver ({refusal.status})")
        return right(f"homeserver: {address} answers")
    except UnavailableError as error:
        return wrong(
            f"homeserver: {error}; is {address} its address, as /.well-known/matrix/client of the server has it?"
        )
    versions = [_version(str(name)) for name in told.get("versions") or ()]
    newest = max(versions, default=(0, 0))
    if newest < NEEDED:
        return wrong(
            f"homeserver: {address} speaks v{_told(newest)} of Matrix, and v{_told(NEEDED)} is needed; update it"
        )
    return right(f"homeserver: {address} speaks v{_told(newest)} of Matrix")


def _version(name: str) -> tuple[int, int]:
    """v1.11 as numbers; (0, 0) for the names of before v1.1."""
    major, _, minor = name.removeprefix("v").partition(".")
    return (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else (0, 0)


def _told(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


async def _account(matrix: Matrix, section: Mapping[str, Any]) -> Line:
    try:
        await matrix.api.open()
    except RefusedCallError as refusal:
        if refusal.status != 401:
            raise
        return wrong(
            f"access token: the homeserver does not know it; get a new one by `watchbell login matrix` ({refusal.code})"
        )
    if section["encryption"] and not matrix.api.device_id:
        return wrong(
            "access token: it belongs to no device, and encryption needs one; get one by `watchbell login matrix`"
        )
    await matrix.directory.start()
    named = f" ({matrix.directory.display})" if matrix.directory.display else ""
    return right(f"access token: the bot is {matrix.api.user}{named}, device {matrix.api.device_id}")


# -- rooms ----------------------------------------------------------------------------------------


async def _room(matrix: Matrix, name: str, section: Mapping[str, Any]) -> Line:
    room = await matrix.rooms.lookup(name)
    if room is None:
        alias = f"{name}:{matrix.directory.server}"
        return wrong(
            f"room {name}: there is none that the bot can see; create it, give it the address {alias}, "
            f"and invite {matrix.api.user}"
        )
    member = await matrix.events.state(room, "m.room.member", matrix.api.user)
    if (member or {}).get("membership") != "join":
        return await _outside(matrix, name, room)
    return await _inside(matrix, name, room, section)


async def _outside(matrix: Matrix, name: str, room: str) -> Line:
    """A room that the bot is not in: it goes in when it starts, where it may ("Room summary", v1.15)."""
    try:
        told = await matrix.api.call("GET", V1, "room_summary", room)
    except RefusedCallError:
        told = {}
    if told.get("membership") == "invite":
        return right(f"room {name}: the bot is invited, and goes in when it starts")
    if told.get("join_rule") == "public":
        return right(f"room {name}: it is open to everybody, and the bot goes in when it starts")
    return wrong(f"room {name}: the bot is not in it; invite {matrix.api.user} there")


async def _inside(matrix: Matrix, name: str, room: str, section: Mapping[str, Any]) -> Line:
    sealed = await matrix.events.state(room, "m.room.encryption") is not None
    if sealed and not section["encryption"]:
        return wrong(
            f"room {name}: it is encrypted, and the bot cannot read it without its keys; "
            "leave `encryption: false` out"
        )
    levels = await matrix.events.state(room, "m.room.power_levels") or {}
    mine = await _level(matrix, room, levels)
    for kind, why in {**_SENDS, **({_ENCRYPTED: _SENDS["m.room.message"]} if sealed else {})}.items():
        needed = _needed(levels, kind)
        if mine < needed:
            return wrong(
                f"room {name}: the bot's power level is {mine} and {kind} takes {needed}, so {why}; "
                f"raise {matrix.api.user} in the room's settings"
            )
    state = ", encrypted" if sealed else ""
    redact = _number(levels.get("redact"), 50)
    less = (
        f"; to take away what others wrote (`!scrub`) it would need level {redact}" if mine < redact else ""
    )
    return right(f"room {name}: the bot is in it{state}{less}")


async def _level(matrix: Matrix, room: str, levels: Mapping[str, Any]) -> int:
    """The bot's power level in a room."""
    create = await matrix.events.state(room, "m.room.create") or {}
    version = str(create.get("room_version") or "1")
    if (
        version.isdecimal()
        and int(version) >= _FIRST_CREATORS
        and matrix.api.user in await _creators(matrix, room)
    ):
        return _ABOVE
    users = levels.get("users")
    own = users.get(matrix.api.user) if isinstance(users, dict) else None
    return _number(own, _number(levels.get("users_default"), 0))


async def _creators(matrix: Matrix, room: str) -> set[str]:
    told = await matrix.api.call(
        "GET", V3, "rooms", room, "state", "m.room.create", "", query={"format": "event"}
    )
    more = (told.get("content") or {}).get("additional_creators")
    return {str(told.get("sender")), *(more if isinstance(more, list) else ())}


def _needed(levels: Mapping[str, Any], kind: str) -> int:
    events = levels.get("events")
    own = events.get(kind) if isinstance(events, dict) else None
    return _number(own, _number(levels.get("events_default"), 0))


def _number(value: object, otherwise: int) -> int:
    """A level; old rooms have them as text, too."""
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise


# -- the space ------------------------------------------------------------------------------------


async def _space(matrix: Matrix, name: str) -> Line:
    room = name if name.startswith("!") else await matrix.rooms.resolved(_alias(matrix, name))
    if room is None and not name.startswith("#"):
        return right(f"space {name}: there is none yet; the bot makes it when it starts")
    create = await matrix.events.state(room, "m.room.create") if room is not None else None
    if room is None or create is None:
        return wrong(
            f"space {name}: there is none that the bot is in; create it, and invite {matrix.api.user}"
        )
    if create.get("type") != "m.space":
        return wrong(f"space {name}: this is a room and no space; take the address of a space")
    levels = await matrix.events.state(room, "m.room.power_levels") or {}
    events = levels.get("events")
    own = events.get("m.space.child") if isinstance(events, dict) else None
    needed = _number(own, _number(levels.get("state_default"), 50))
    mine = await _level(matrix, room, levels)
    if mine < needed:
        return wrong(
            f"space {name}: the bot's power level is {mine} and putting rooms into it takes {needed}; "
            f"raise {matrix.api.user} in the space's settings"
        )
    return right(f"space {name}: the bot can put rooms into it")


def _alias(matrix: Matrix, name: str) -> str:
    """The address of a space: given, or made of its name."""
    return name if name.startswith("#") else f"#{channel_name(name)}:{matrix.directory.server}"
