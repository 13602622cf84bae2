"""The space that the rooms of incidents are put in: found or made, its children kept as they are ("Spaces").

Nobody waits for it: a room that is not in it yet is put there at the next start.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from bot.chat import DeliveryError, RetryLaterError
from bot.platforms.console_text import channel_name
from bot.platforms.matrix_client import V3, MatrixClient, RefusedCallError, UnavailableError
from bot.platforms.matrix_directory import server_of
from bot.platforms.matrix_errand import Errand
from bot.platforms.matrix_events import Events, content_of
from bot.platforms.matrix_rooms import LEVELS, ROOM, Rooms

_log = structlog.get_logger()

CHILD, PARENT, KIND = "m.space.child", "m.space.parent", "m.space"
TRIES = 5
_RULES = "m.room.join_rules"


class Space(Errand):
    """`name` is an alias (#incidents:example.com), a room id, or a name; None: there is no space."""

    def __init__(
        self,
        api: MatrixClient,
        events: Events,
        rooms: Rooms,
        name: str | None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__()
        self._api = api
        self._events = events
        self._rooms = rooms
        self._name = name
        self._sleep = sleep
        self._id: str | None = None
        self._server = server_of(api.user)
        self._waiting: deque[tuple[str, bool]] = deque()  # room, whether it is closed
        self._everything = False  # whether all rooms are to be looked after

    def start(self) -> None:
        """Look after every room of the bot's own, beside everything else."""
        if self._name is not None:
            self._everything = True
            self._begin()

    def put(self, room: str, *, closed: bool = False) -> None:
        """Have a room in the space soon; a closed one is suggested to nobody, and stays."""
        if self._name is not None:
            self._waiting.append((room, closed))
            self._begin()

    async def stop(self) -> None:
        """Leave the rest to the next start."""
        self._waiting.clear()
        await super().stop()

    # -- inside -----------------------------------------------------------------------------------

    async def _work(self) -> None:
        tries = 0
        while self._everything or self._waiting:
            try:
                if self._everything:
                    await self._gather()
                    self._everything = False
                elif (space := await self._found()) is None:
                    self._waiting.clear()
                else:
                    await self._place(space, *self._waiting[0])
                    self._waiting.popleft()
            except RetryLaterError as wait:
                await self._sleep(wait.seconds)
                continue
            except (DeliveryError, UnavailableError) as error:
                tries += 1
                if isinstance(error, UnavailableError) and tries < TRIES:
                    await self._sleep(float(tries))
                    continue
                _log.warning("a room is not in the space", space=self._name, error=str(error))
                if self._everything:
                    self._everything = False
                elif self._waiting:
                    self._waiting.popleft()
            tries = 0

    async def _gather(self) -> None:
        """Every room that the bot made for everybody, with whether it is closed; those that are right cost nothing."""
        space = await self._found()
        if space is None:
            return
        state = {room: told async for room, told in self._rooms.states(ROOM, CHILD, _RULES)}
        there = {
            key: content_of(event) for (kind, key), event in state.get(space, {}).items() if kind == CHILD
        }
        for room, told in state.items():
            kept = content_of(told.get((ROOM, ""), {}))
            closed = bool(kept.get("closed"))
            is_open = content_of(told.get((_RULES, ""), {})).get("join_rule") == "public"
            if is_open and "key" in kept and there.get(room) != self._child(closed=closed):
                self._waiting.append((room, closed))

    async def _place(self, space: str, room: str, closed: bool) -> None:
        rules = await self._events.state(room, _RULES) or {}
        if rules.get("join_rule") != "public" or not await self._rooms.is_own(room):
            return  # the name of a private one would stand where everybody reads it
        await self._events.put_state(space, CHILD, self._child(closed=closed), room)
        await self._events.put_state(room, PARENT, {"via": [self._server], "canonical": True}, space)

    def _child(self, *, closed: bool) -> dict[str, Any]:
        return {"via": [self._server], "suggested": not closed}

    async def _found(self) -> str | None:
        """The space's room id; None, said once, for what is no space or cannot be gone into."""
        if self._id is None and self._name is not None:
            found = await self._known(self._name)
            if found is None:
                _log.warning("there is no such space, or the bot may not go into it", space=self._name)
                self._name = None
                return None
            self._id = found
        return self._id

    async def _known(self, name: str) -> str | None:
        if name.startswith("!"):
            return name if await self._is_space(name) else None
        alias = name if name.startswith("#") else f"#{channel_name(name)}"
        room = await self._rooms.resolved(alias if ":" in alias else f"{alias}:{self._server}")
        if room is None and not name.startswith("#"):
            room = await self._made(name)
        return room if room is not None and await self._is_space(room) else None

    async def _is_space(self, room: str) -> bool:
        if not await self._rooms.entered(room):
            return False
        made = await self._events.state(room, "m.room.create")
        return (made or {}).get("type") == KIND

    async def _made(self, name: str) -> str | None:
        """A new space, open to everybody who knows its alias, by which the next start finds it."""
        body: Mapping[str, Any] = {
            "name": name,
            "preset": "public_chat",
            "visibility": "private",
            "room_alias_name": channel_name(name),
            "creation_content": {**self._rooms.creation, "type": KIND},
            "power_level_content_override": {**LEVELS, "events_default": 100, "invite": 0},
        }
        try:
            answer = await self._api.call("POST", V3, "createRoom", body=body, timeout=30.0)
        except RefusedCallError as refusal:
            if refusal.code != "M_ROOM_IN_USE":  # made by another process meanwhile
                raise
            return await self._rooms.resolved(f"#{channel_name(name)}:{self._server}")
        return str(answer["room_id"])
