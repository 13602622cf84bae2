"""The devices of all people of a test, and how what one of them writes reaches the others encrypted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.servers.matrix_device import CLAIMED, Address, Device
from tests.servers.matrix_view import Room, path
from tests.servers.synapse import Account, Synapse


def device_of(name: str) -> str:
    """Everybody's first device: no two are called alike, for nio gives no key to one that is called as its own."""
    return f"{name.upper()}1"


class Keyring:
    """Every person has one device with keys, and those of the others are known; the bot's are asked for."""

    def __init__(self, server: Synapse, transactions: Iterator[int]) -> None:
        self._server = server
        self._transactions = transactions
        self._devices: dict[tuple[str, str], Device] = {}  # by user and device
        self._bots: set[Address] = set()  # as the homeserver told them

    def new(self, user: str, ident: str) -> dict[str, Any]:
        """A device; what it publishes."""
        made = self._devices[user, ident] = Device(user, ident)
        return made.published()

    def of(self, account: Account) -> Device:
        """The device that an account's token is of."""
        return self._devices[account.user, account.device]

    def sealed(
        self, account: Account, room: Room, kind: str, content: Any, *, bot: Account
    ) -> dict[str, Any]:
        """Encrypted for every device in the room; who has no key to what this person writes gets it first."""
        device = self.of(account)
        if lacking := device.unknown(room.id, self._there(room, bot)):
            self._greet(account, device, device.strangers(lacking))
            where = f"/sendToDevice{path('m.room.encrypted', f'keys-{next(self._transactions)}')}"
            self._server.call("PUT", where, account, {"messages": device.shares(room.id, lacking)})
        return device.seals(room.id, kind, content)

    def _there(self, room: Room, bot: Account) -> set[Address]:
        joined = room.joined
        there = {device.address for (user, _), device in self._devices.items() if user in joined}
        return there | (self._devices_of(bot) if bot.user in joined else set())

    def _devices_of(self, bot: Account) -> set[Address]:
        """Those that have published keys; the bot does so at its first start."""
        if all(device.ident != bot.device for device in self._bots):
            asked = {"device_keys": {bot.user: []}}
            said = self._server.call("POST", "/keys/query", bot, asked)["device_keys"]
            self._bots = {Address.of(keys) for keys in said.get(bot.user, {}).values()}
        return self._bots

    def _greet(self, account: Account, device: Device, strangers: set[Address]) -> None:
        """Begin to write to devices, each with a key of its own that serves once."""
        wanted: dict[str, dict[str, str]] = {}
        for stranger in strangers:
            wanted.setdefault(stranger.user, {})[stranger.ident] = CLAIMED
        if not wanted:
            return
        said = self._server.call("POST", "/keys/claim", account, {"one_time_keys": wanted})["one_time_keys"]
        for stranger in strangers:
            (key,) = said[stranger.user][stranger.ident].values()
            device.greets(stranger, key["key"])
