"""Who is who on Matrix: the bot itself, which accounts may act, and whether one is there still."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from bot.platforms.matrix_client import V3, MatrixClient, RefusedCallError
from bot.platforms.matrix_events import Events

A_BOT = "a bot"
A_STRANGER = "an account of another homeserver"
LOOKS = 50  # rooms in which an account is looked for


def server_of(ident: str) -> str:
    """The homeserver of a user id or an alias, with its port."""
    return ident.partition(":")[2]


class Directory:
    """The accounts. `servers` are other homeservers whose accounts may act; `rooms` tells where to look for one."""

    def __init__(
        self,
        api: MatrixClient,
        events: Events,
        servers: Collection[str],
        rooms: Callable[[str], Iterable[str]],
    ) -> None:
        self._api = api
        self._events = events
        self._rooms = rooms
        self.server = server_of(api.user)
        self._servers = frozenset((self.server, *servers))
        self.display = ""

    async def start(self) -> None:
        """Learn what the bot is called: people write to it by that name."""
        try:
            told = await self._api.call("GET", V3, "profile", self._api.user, "displayname")
        except RefusedCallError as refusal:
            if not (refusal.missing or refusal.status == 403):
                raise
            told = {}
        self.display = str(told.get("displayname") or "")

    def barred(self, user: str) -> str:
        """Why an account may do nothing here; empty for one that may. Only whole user ids tell who somebody is."""
        return "" if server_of(user) in self._servers else A_STRANGER

    async def active(self, user: str) -> bool:
        """Whether the account is there still: deactivated ones have left every room and have no profile."""
        if user == self._api.user or self.barred(user):
            return False
        try:
            await self._api.call("GET", V3, "profile", user)
        except RefusedCallError as refusal:
            if refusal.missing:
                return False
            if refusal.status != 403:  # profiles may be private to who shares a room
                raise
        return await self._somewhere(user)

    async def _somewhere(self, user: str) -> bool:
        looked = dict.fromkeys(self._rooms(user))
        if await self._joined(user, list(looked)):
            return True
        joined = (await self._api.call("GET", V3, "joined_rooms")).get("joined_rooms") or ()
        return await self._joined(user, [room for room in joined if room not in looked])

    async def _joined(self, user: str, rooms: list[str]) -> bool:
        for room in rooms[:LOOKS]:
            member = await self._events.state(room, "m.room.member", user)
            if member is not None and member.get("membership") == "join":
                return True
        return False
