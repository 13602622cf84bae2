"""Which rooms the bot goes into without being configured for them: invitations, and rooms that replace another one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import structlog

from bot.chat import DeliveryError, RetryLaterError
from bot.platforms.matrix_client import V3, MatrixClient, RefusedCallError, UnavailableError
from bot.platforms.matrix_directory import Directory, server_of
from bot.platforms.matrix_events import MESSAGE, Event, Events, content_of, transaction
from bot.platforms.matrix_rooms import Rooms

_log = structlog.get_logger()

TOMBSTONE = "m.room.tombstone"
MOVED = (
    "This room replaces one that I was in. What I am configured for, and the incidents of there, stay with the old "
    "room: name an incident by its number in commands here. I keep to the old room as a configured one until I am "
    "started once without its name in the configuration."
)


class Doors:
    """`people` are the user ids of the configuration: only they take the bot anywhere."""

    def __init__(
        self, people: Collection[str], api: MatrixClient, events: Events, rooms: Rooms, directory: Directory
    ) -> None:
        self._people = people
        self._api = api
        self._events = events
        self._rooms = rooms
        self._directory = directory
        self._replaces: dict[str, str] = {}  # new room → the one that its tombstone stands in

    async def invited(self, room: str, told: Mapping[str, Any]) -> None:
        """Go where somebody of the configuration asks the bot to; refuse everybody else, but for configured rooms."""
        events = (told.get("invite_state") or {}).get("events") or ()
        mine = [
            event
            for event in events
            if event.get("type") == "m.room.member" and event.get("state_key") == self._api.user
        ]
        host = str(mine[-1].get("sender")) if mine else ""
        known = self._known(host)
        try:
            if not known and room not in self._rooms.named:
                _log.warning("an invitation was refused", room=room, by=host)
                await self._api.call("POST", V3, "rooms", room, "leave")
                return
            await self._api.call("POST", V3, "join", room)
            await self._keep_direct(room, host, mine[-1].get("content") if mine else None)
        except RefusedCallError as refusal:
            _log.warning("an invitation could not be answered", room=room, by=host, error=str(refusal))
            return
        await self._tell(room)

    async def entered(self, room: str, event: Event) -> None:
        """The bot is in a room now, by whatever client of its account: it may have died after it went in."""
        before = event.get("unsigned") or {}
        await self._keep_direct(room, str(before.get("prev_sender")), before.get("prev_content"))

    async def replaced(self, room: str, event: Event) -> None:
        """Follow into the room that replaces this one ("Room upgrades"), where somebody of the configuration did that.

        It is a room like any other then: what was bound to the old one stays bound to it, since whoever may replace a
        room must not thereby move an incident. In a room that one has to be invited to, the invitation is waited for.
        """
        new = content_of(event).get("replacement_room")
        if event.get("type") != TOMBSTONE or event.get("state_key") != "" or not isinstance(new, str):
            return
        by = str(event.get("sender"))
        _log.warning("a room was replaced by another one", room=room, by=by, new=new)
        if not self._known(by):
            return
        self._replaces[new] = room
        try:
            await self._api.call("POST", V3, "join", new, query={"via": server_of(by)})
        except (DeliveryError, UnavailableError, RetryLaterError) as error:
            _log.warning("the bot has to be invited into the new room", new=new, error=str(error))
            return
        await self._tell(new)

    # -- inside -----------------------------------------------------------------------------------

    async def _keep_direct(self, room: str, host: str, invitation: Any) -> None:
        """Have a room for direct messages be one, where somebody of the configuration invited the bot to it as such."""
        if isinstance(invitation, Mapping) and invitation.get("is_direct") and self._known(host):
            await self._rooms.note_direct(host, room)

    def _known(self, user: str) -> bool:
        return user in self._people and not self._directory.barred(user)

    async def _tell(self, room: str) -> None:
        """Say in a room that replaces another one what that means; only where it says the same of itself."""
        old = self._replaces.get(room)
        if old is None:
            return
        try:
            made = await self._events.state(room, "m.room.create") or {}
            if (made.get("predecessor") or {}).get("room_id") != old:
                return
            body = {"msgtype": "m.notice", "body": MOVED, "m.mentions": {}}
            await self._events.send(room, MESSAGE, body, transaction(f"moved {old} {room}"))
        except (DeliveryError, UnavailableError, RetryLaterError) as error:
            _log.info("what follows from a room's replacement could not be said", room=room, error=str(error))
        del self._replaces[room]
