"""Rooms: made, found, and those for direct messages ("Client-Server API", rooms)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Collection, Mapping
from functools import partial
from typing import Any

import structlog

from bot.chat import DeliveryError
from bot.platforms.console_text import channel_name
from bot.platforms.matrix_client import V3, MatrixClient, RefusedCallError
from bot.platforms.matrix_directory import server_of
from bot.platforms.matrix_events import LOUD, PLAIN, Events, content_of

_log = structlog.get_logger()

ROOM = "org.watchbell.room"  # what the bot keeps in a room of its own: key, topic, links, closed
IN = frozenset({"join", "invite"})  # the memberships of who is in a room, or may come in
_ALIAS, _NAME, _RULES = "m.room.canonical_alias", "m.room.name", "m.room.join_rules"
_CREATE, _ACL = "m.room.create", "m.room.server_acl"
_MEGOLM = {"algorithm": "m.megolm.v1.aes-sha2"}
_SUFFIXES = 50  # how many names are tried: inc-1, inc-1-2, inc-1-3 …
# What people may: everything but changing the room and taking away what others said. The bot made the room, so it
# stands above them: by its level of 100, and from version 12 of rooms on by being the creator.
LEVELS: Mapping[str, Any] = {
    "users_default": 0,
    "events_default": 0,
    "state_default": 50,
    "redact": 50,
    "kick": 50,
    "ban": 50,
}


class Rooms:
    """The rooms as the bot may see and change them; with `encrypted` new ones are.

    `servers` are other homeservers whose accounts may come in.
    """

    def __init__(
        self, api: MatrixClient, events: Events, *, encrypted: bool, servers: Collection[str] = ()
    ) -> None:
        self._api = api
        self._partners = sorted({*servers} - {server_of(api.user)})
        self._events = events
        self._encrypted = encrypted
        self._server = server_of(api.user)
        self._opening = asyncio.Lock()
        self._by_key: dict[str, str] = {}
        # User → rooms of direct messages, as the account's m.direct has them.
        self.directs: dict[str, list[str]] = {}
        self._own: dict[str, bool] = {}  # rooms that were asked about
        self.named: set[str] = set()  # the rooms that were asked for by name: the configured ones

    async def start(self) -> None:
        """Learn which rooms are for direct messages ("Direct Messaging")."""
        found = await self._account("m.direct")
        self.directs = {
            str(user): [str(room) for room in rooms]
            for user, rooms in found.items()
            if isinstance(rooms, list)
        }

    @property
    def direct_rooms(self) -> frozenset[str]:
        """The rooms of direct messages."""
        return frozenset(room for rooms in self.directs.values() for room in rooms)

    # -- finding ----------------------------------------------------------------------------------

    async def by_name(self, name: str) -> str | None:
        """The room that is called so now; the bot goes into it where it may: outside it would hear nothing.

        None where there is none, or the bot may not go in.
        """
        found = await self.lookup(name)
        if found is None or not await self.entered(found):
            return None
        self.named.add(found)
        return found

    async def lookup(self, name: str) -> str | None:
        """The room that is called so now: #name of this homeserver, else a joined room with that alias or name."""
        wanted = name.removeprefix("#")
        alias = f"#{wanted}" if ":" in wanted else f"#{wanted}:{self._server}"
        return await self.resolved(alias) or await self._called(wanted, alias)

    async def title(self, room: str) -> str:
        """What a room is called, without #; of a room without a name its id."""
        alias = (await self._events.state(room, _ALIAS) or {}).get("alias")
        if isinstance(alias, str) and server_of(alias) == self._server:
            return alias.removeprefix("#").partition(":")[0]
        name = (await self._events.state(room, _NAME) or {}).get("name")
        return str(name or alias or room).removeprefix("#")

    async def members(self, room: str) -> frozenset[str] | None:
        """Who is in a room that is not open to everybody, or may come in when they like; None for an open one."""
        rules = await self._api.call("GET", V3, "rooms", room, "state", _RULES, "")
        if rules.get("join_rule") == "public":
            return None
        there = await self._memberships(room)
        return frozenset(user for user, membership in there.items() if membership in IN)

    async def is_own(self, room: str) -> bool:
        """Whether the bot made the room, for an incident or for direct messages."""
        kept = await self._events.state(room, ROOM)
        return kept is not None and "key" in kept and await self._maker(room) == self._api.user

    async def concerns(self, room: str) -> bool:
        """Whether a room is one that the bot works in: configured, for direct messages, its own, or spoken in."""
        if room in self.named or room in self.direct_rooms or room in self._events.spoken:
            return True
        if room not in self._own:
            self._own[room] = await self.is_own(room)
        return self._own[room]

    # -- making -----------------------------------------------------------------------------------

    async def open(self, wanted: str, *, private: bool, key: str) -> tuple[str, str]:
        """Create a room; its id and the name that it got. The same key gives the same room, also after a crash.

        A private room has no alias: the address book of the homeserver would tell its name to everybody.
        """
        async with self._opening:
            folded = channel_name(wanted)
            if (known := await self._kept(key, private=private)) is not None:
                return known, await self.title(known)
            if private:
                return await self._create(folded, key, private=True), folded
            return await self._first_free(folded, key)

    async def direct(self, user: str) -> str:
        """The room of direct messages with a person: one that nobody else is in."""
        for room in reversed(self.directs.get(user, [])):
            if await self._is_direct(room, user):
                return room
        async with self._opening:
            key = f"direct:{user}"
            known = await self._kept(key, private=True)
            if known is None or not await self._is_direct(known, user):
                known = await self._create_direct(user, key)
            await self.note_direct(user, known)
            return known

    async def note_direct(self, user: str, room: str) -> None:
        """Keep with the account that a room is for direct messages with somebody."""
        rooms = self.directs.setdefault(user, [])
        if room not in rooms:
            rooms.append(room)
            await self._api.call(
                "PUT", V3, "user", self._api.user, "account_data", "m.direct", body=self.directs
            )

    # -- inside -----------------------------------------------------------------------------------

    async def _account(self, kind: str) -> dict[str, Any]:
        try:
            return await self._api.call("GET", V3, "user", self._api.user, "account_data", kind)
        except RefusedCallError as refusal:
            if not refusal.missing:
                raise
            return {}

    async def resolved(self, alias: str) -> str | None:
        """The room of an alias of any homeserver, or None."""
        try:
            return str((await self._api.call("GET", V3, "directory", "room", alias))["room_id"])
        except RefusedCallError as refusal:
            if refusal.missing or refusal.status == 400:  # 400: no alias can be called so
                return None
            raise

    async def entered(self, room: str) -> bool:
        """Whether the bot is in a room, now at last."""
        member = await self._events.state(room, "m.room.member", self._api.user)
        if (member or {}).get("membership") == "join":
            return True
        try:
            await self._api.call("POST", V3, "join", room)
        except RefusedCallError as refusal:
            _log.info("a room that is configured lets the bot not in", room=room, error=str(refusal))
            return False
        return True

    async def states(self, *kinds: str) -> AsyncIterator[tuple[str, dict[tuple[str, str], dict[str, Any]]]]:
        """Every joined room with its state of these kinds, by one call: a sync from nowhere acknowledges nothing."""
        # No two of these are the same: Synapse answers the first sync of a kind from memory for two minutes.
        asked = [*kinds, f"org.watchbell.{secrets.token_hex(8)}"]
        only = {"room": {"state": {"types": asked}, "timeline": {"limit": 1, "types": asked}}}
        answer = await self._api.call("GET", V3, "sync", query={"filter": only, "timeout": "0"}, timeout=60.0)
        for room, told in ((answer.get("rooms") or {}).get("join") or {}).items():
            events = [*told["state"]["events"], *told["timeline"]["events"]]
            yield room, {(e["type"], e["state_key"]): e for e in events if "state_key" in e}

    async def _called(self, name: str, alias: str) -> str | None:
        """The joined room with that alias, else the only one with that name: anybody can call a room so."""
        called: list[str] = []
        async for room, state in self.states(_ALIAS, _NAME):
            if content_of(state.get((_ALIAS, ""), {})).get("alias") == alias:
                return room
            if str(content_of(state.get((_NAME, ""), {})).get("name") or "").removeprefix("#") == name:
                called.append(room)
        if len(called) > 1:
            _log.error("several rooms are called so, and none has it as its alias", name=name, rooms=called)
        return called[0] if len(called) == 1 else None

    async def _kept(self, key: str, *, private: bool) -> str | None:
        """The room that was made for a key; public ones are found by their alias, when that is taken."""
        if private and key not in self._by_key:
            async for room, state in self.states(ROOM, _CREATE):
                mark = content_of(state.get((ROOM, ""), {})).get("key")
                # Anybody can make a room that says it is the bot's, and invite the bot into it.
                if isinstance(mark, str) and state.get((_CREATE, ""), {}).get("sender") == self._api.user:
                    self._by_key.setdefault(mark, room)
        return self._by_key.get(key)

    async def _first_free(self, folded: str, key: str) -> tuple[str, str]:
        for number in range(1, _SUFFIXES + 1):
            name = folded if number == 1 else f"{folded}-{number}"
            try:
                return await self._create(name, key, private=False), name
            except RefusedCallError as refusal:
                if refusal.code != "M_ROOM_IN_USE":
                    raise
            if (found := await self._left_behind(name, key)) is not None:
                self._by_key[key] = found
                return found, name
        raise DeliveryError(f"#{folded} and {_SUFFIXES - 1} names like it are taken")

    async def _left_behind(self, name: str, key: str) -> str | None:
        """The room of that name where it was made for this key, or where a crash kept the key from it."""
        room = await self.resolved(f"#{name}:{self._server}")
        if room is None or await self._maker(room) != self._api.user:
            return None  # what somebody else's says of itself counts for nothing
        kept = await self._events.state(room, ROOM)
        if kept is not None:
            return room if kept.get("key") == key else None
        if room in self.named:
            return None
        await self._events.put_state(room, ROOM, {"key": key})
        return room

    async def _maker(self, room: str) -> str:
        """Who created a room that the bot is in: the sender of m.room.create, which its content need not tell."""
        try:
            state = await self._api.call(
                "GET", V3, "rooms", room, "state", _CREATE, "", query={"format": "event"}
            )
        except RefusedCallError:
            return ""
        return str(state.get("sender") or (state.get("content") or state).get("creator") or "")

    async def _create(self, name: str, key: str, *, private: bool) -> str:
        body = {
            "name": name,
            "creation_content": self.creation,
            "preset": "private_chat" if private else "public_chat",
            "visibility": "private",
            "power_level_content_override": {**LEVELS, "invite": 50 if private else 0},
            "initial_state": self._initial(key),
        }
        if not private:
            body["room_alias_name"] = name
        return await self._made(body, key)

    async def _create_direct(self, user: str, key: str) -> str:
        body = {
            "creation_content": self.creation,
            "preset": "private_chat",
            "is_direct": True,
            "invite": [user],
            "power_level_content_override": {**LEVELS, "invite": 50},
            "initial_state": self._initial(key),
        }
        return await self._made(body, key)

    async def _made(self, body: Mapping[str, Any], key: str) -> str:
        urgency = LOUD if body.get("is_direct") else PLAIN  # a page may wait for a room of direct messages
        make = partial(self._api.call, "POST", V3, "createRoom", body=body, timeout=30.0)
        answer = await self._events.counted(urgency, make)
        self._by_key[key] = str(answer["room_id"])
        return self._by_key[key]

    def _initial(self, key: str) -> list[dict[str, Any]]:
        state: list[dict[str, Any]] = [{"type": ROOM, "state_key": "", "content": {"key": key}}]
        if self._encrypted:
            state.append({"type": "m.room.encryption", "state_key": "", "content": _MEGOLM})
        if self._partners:
            names = [
                name.partition(":")[0] for name in (self._server, *self._partners)
            ]  # ports are not looked at
            allowed = {"allow": names, "deny": [], "allow_ip_literals": True}
            state.append({"type": _ACL, "state_key": "", "content": allowed})
        return state

    @property
    def creation(self) -> dict[str, Any]:
        """Open rooms are open to the accounts of this homeserver and the listed ones, not to the whole world."""
        return {} if self._partners else {"m.federate": False}

    async def _memberships(self, room: str) -> dict[str, str]:
        told = await self._api.call("GET", V3, "rooms", room, "members")
        return {
            str(event["state_key"]): str(content_of(event).get("membership"))
            for event in told.get("chunk") or ()
        }

    async def _is_direct(self, room: str, user: str) -> bool:
        """Whether a room is between the bot and this person alone; somebody who has left is invited anew."""
        try:
            there = await self._memberships(room)
        except RefusedCallError:
            return False  # the bot is in it no more
        if {who for who, membership in there.items() if membership in IN} - {user, self._api.user}:
            return False
        if there.get(self._api.user) != "join":
            return False
        if there.get(user) in IN:
            return True
        try:
            await self._api.call("POST", V3, "rooms", room, "invite", body={"user_id": user})
        except RefusedCallError as refusal:
            _log.info("nobody can be invited there again", room=room, user=user, error=str(refusal))
            return False
        return True
