"""End-to-end encryption through nio: keys kept and shared, devices trusted, events sealed and opened."""

from __future__ import annotations

import asyncio
import copy
from collections import defaultdict
from pathlib import Path
from typing import Any

import aiohttp
import nio
import structlog
from nio.exceptions import EncryptionError, LocalProtocolError

from bot.chat import DeliveryError, RetryLaterError
from bot.platforms import matrix_key_store
from bot.platforms.matrix_client import V3, MatrixClient, RefusedCallError, UnavailableError
from bot.platforms.matrix_cross_signing import Answer
from bot.platforms.matrix_identity import Identity
from bot.platforms.matrix_trust import Trust

_log = structlog.get_logger()

VERIFIED = (
    "org.watchbell.verified"  # beside the content of an opened event: its device is trusted and sent it
)
_TROUBLE = (aiohttp.ClientError, TimeoutError, OSError, UnavailableError)
_QUERY = 20.0  # seconds: other homeservers are asked, too
# What nio raises over what somebody has made up; too deep within itself it is a RecursionError.
_MALFORMED = (EncryptionError, LookupError, TypeError, ValueError, AssertionError, RecursionError)
_ENCRYPTION = "m.room.encryption"

Event = dict[str, Any]


class Crypto:
    """What nio knows of keys and devices, in the folder `store`; None: nothing is encrypted or opened.

    Which devices are trusted, `trust` tells. Who else is in a room can read what the bot writes; what they write is
    theirs.
    """

    def __init__(
        self,
        api: MatrixClient,
        trust: Trust,
        store: Path | None,
    ) -> None:
        self._api = api
        self._trust = trust
        self._store = store
        self._asked: set[str] = set()  # sessions whose keys this process asked for
        self._encrypted: dict[str, bool] = {}
        self._prepared: set[str] = set()
        self._sharing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._querying = asyncio.Lock()

    @property
    def enabled(self) -> bool:
        """Whether there is a key store."""
        return self._store is not None

    async def start(self) -> None:
        """Load the keys, or make them, and publish what is missing of them."""
        if self._store is None:
            return
        client = self._api.nio
        matrix_key_store.load(client, self._store)
        _guard(client)
        await matrix_key_store.compare(self._api, self._store)
        self._trust.load(self._store, client)
        # What they did meanwhile no sync from a position tells.
        client.olm.add_changed_users(self._trust.people)
        await self._upkeep()
        await Identity(self._api, self._store).publish()

    async def encrypted(self, room: str) -> bool:
        """Whether what is said in a room is encrypted; once it is, it stays so ("m.room.encryption")."""
        if room in self._api.nio.encrypted_rooms:
            return True  # kept beside the keys, whatever the homeserver says later
        if room not in self._encrypted:
            try:
                await self._api.call("GET", V3, "rooms", room, "state", _ENCRYPTION, "")
            except RefusedCallError as refusal:
                if not refusal.missing:
                    return False  # the bot is not in the room (yet)
                self._encrypted[room] = False
            else:
                self._encrypted[room] = True
        return self._encrypted[room]

    def noticed(self, room: str, event: Event) -> None:
        """Learn from an event that a room is encrypted from now on."""
        if event.get("type") == _ENCRYPTION and event.get("state_key") == "":
            self._encrypted[room] = True

    async def took(self, answer: dict[str, Any]) -> None:
        """Take in what a sync says of keys, devices and members, and do what follows from it."""
        if self._store is None:
            return
        # A copy: nio puts what it has decrypted in the place of what came.
        told = nio.SyncResponse.from_dict(_without_messages(copy.deepcopy(answer)))
        if not isinstance(told, nio.SyncResponse):
            _log.warning("nio could not read a sync; keys in it are lost", error=str(told))
            return
        # A key, and what was used up in opening the message that brought it, are kept together or not at all: a crash
        # between them would lose the key, for the homeserver tells it again and the message is opened only once.
        with self._api.nio.store.database.atomic():
            await self._api.nio.receive_response(told)
        changed = set((answer.get("device_lists") or {}).get("changed") or ())
        # nio looks in rooms only that it has met.
        self._api.nio.olm.add_changed_users(changed & self._trust.people)
        await self._upkeep()

    async def seal(self, room: str, kind: str, content: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Type and content of the encrypted event, after everybody who is there, or invited, has got the key."""
        if self._store is None:
            raise DeliveryError("the room is encrypted, and Watchbell was started without a key store")
        if self._api.nio.olm is None:
            raise UnavailableError(
                "the message could not be encrypted: the keys are loaded once Matrix answers"
            )
        try:
            await self._prepare(room)
            async with self._sharing[room]:
                if self._api.nio.olm.should_share_group_session(room):
                    await self._query()
                    await self._api.nio.share_group_session(room, ignore_unverified_devices=True)
                found: tuple[str, dict[str, Any]] = self._api.nio.encrypt(room, kind, content)
                return found
        except (*_TROUBLE, EncryptionError, LocalProtocolError) as error:
            raise UnavailableError(f"the message could not be encrypted ({error})") from error

    async def unseal(self, room: str, event: Event) -> Event | None:
        """The event as it was written, VERIFIED beside it; None where its key is missing, or was not its sender's."""
        if self._store is None or self._api.nio.olm is None:
            return None
        opened = self._opened(room, event)
        if opened is not None and not opened[VERIFIED] and self._api.nio.should_query_keys:
            await self._query()  # a device that was never seen before
            opened = self._opened(room, event)
        return opened

    async def ask(self, room: str, event: Event) -> None:
        """Ask for the key of an event that could not be opened ("m.room_key_request")."""
        megolm = self._megolm(room, event) if self._store is not None else None
        if megolm is None or megolm.session_id in self._asked:
            return
        self._asked.add(megolm.session_id)
        client = self._api.nio
        own = megolm.as_key_request(self._api.user, self._api.device_id)
        theirs = megolm.as_key_request(
            megolm.sender, self._api.device_id, megolm.session_id, megolm.device_id or None
        )
        client.olm.outgoing_to_device_messages += [own, theirs]
        try:
            await client.send_to_device_messages()
        except _TROUBLE as error:  # they stay with those that go after the next sync
            _log.info("a key could not be asked for yet", error=str(error))

    # -- inside -----------------------------------------------------------------------------------

    async def _upkeep(self) -> None:
        """What nio wants done: keys published, devices looked up, sessions begun, messages between devices sent."""
        client = self._api.nio
        try:
            if client.should_upload_keys:
                await self._publish()
            await self._query()
            if client.should_claim_keys:
                await client.keys_claim(client.get_users_for_key_claiming())
            await client.send_to_device_messages()
        except (*_TROUBLE, RetryLaterError, RefusedCallError, LocalProtocolError) as error:
            _log.info("keys are looked after later", error=str(error))

    async def _publish(self) -> None:
        """Publish keys that are kept already: of those that a crash forgets others would go on taking one each."""
        client = self._api.nio
        body = client.olm.share_keys()
        client.olm.save_account()
        answer = await self._api.call("POST", V3, "keys", "upload", body=body)
        await client.receive_response(nio.KeysUploadResponse.from_dict(answer))

    async def _query(self) -> None:
        async with self._querying:
            answer = await self._looked_up() if self._api.nio.should_query_keys else None
            self._trust.judge(self._api.nio, answer)

    async def _looked_up(self) -> Answer:
        """What the homeserver tells of the keys that nio wants; nio itself keeps the devices' only."""
        client = self._api.nio
        body: dict[str, Any] = {"device_keys": {user: [] for user in sorted(client.users_for_key_query)}}
        try:
            answer = await self._api.call("POST", V3, "keys", "query", body=body, timeout=_QUERY)
        except RefusedCallError as refusal:
            raise UnavailableError(f"keys cannot be looked up ({refusal})") from refusal
        told = nio.KeysQueryResponse.from_dict(copy.deepcopy(answer))
        if not isinstance(told, nio.KeysQueryResponse):
            raise UnavailableError(f"nio could not read the keys that were told ({told})")
        await client.receive_response(told)
        return answer

    async def _prepare(self, room: str) -> None:
        """Tell nio who is in a room: it learns from syncs, of which a start from a token tells only what is new."""
        if room in self._prepared:
            return
        client = self._api.nio
        told = await self._api.call("GET", V3, "rooms", room, "members")
        known = client.rooms.setdefault(room, nio.MatrixRoom(room, self._api.user, True))
        known.encrypted = True
        for event in told.get("chunk") or ():
            membership, user = event["content"].get("membership"), str(event["state_key"])
            if membership in ("join", "invite"):
                known.add_member(user, event["content"].get("displayname"), None, membership == "invite")
        known.members_synced = True
        client.olm.add_changed_users(set(known.users))  # their devices may have changed meanwhile
        self._prepared.add(room)

    def _opened(self, room: str, event: Event) -> Event | None:
        megolm = self._megolm(room, event)
        if megolm is None:
            return None
        try:
            found = self._api.nio.olm.decrypt_megolm_event(megolm, room)
            source = found.source
            kind, content = str(source["type"]), dict(source["content"])
        except _MALFORMED as error:
            _log.debug(
                "an event could not be decrypted", room=room, message=event.get("event_id"), error=str(error)
            )
            return None
        # Built anew: what else the sender put beside the content is no part of an event.
        return {**event, "type": kind, "content": content, VERIFIED: bool(getattr(found, "verified", False))}

    def _megolm(self, room: str, event: Event) -> Any:
        """nio's form of an encrypted event; None for what is none. Newer clients leave out whose session it is."""
        content = dict(event.get("content") or {})
        if {"sender_key", "device_id"} - content.keys() and "session_id" in content:
            content = {"sender_key": "", "device_id": "", **content}
            content |= self._origin(room, str(content["session_id"]), str(event.get("sender")))
        try:
            found = nio.Event.parse_encrypted_event({**event, "content": content, "room_id": room})
        except _MALFORMED:
            return None
        return found if isinstance(found, nio.MegolmEvent) else None

    def _origin(self, room: str, session_id: str, sender: str) -> dict[str, str]:
        for session in self._api.nio.olm.inbound_group_store:
            if session.id == session_id and session.room_id == room:
                devices = self._api.nio.device_store.active_user_devices(sender)
                mine = (device.id for device in devices if device.curve25519 == session.sender_key)
                return {"sender_key": session.sender_key, "device_id": next(mine, "")}
        return {}


def _without_messages(answer: dict[str, Any]) -> dict[str, Any]:
    """A sync without what is sealed in rooms: that is opened where it is read, one by one."""
    for told in ((answer.get("rooms") or {}).get("join") or {}).values():
        timeline = told.get("timeline") or {}
        events = timeline.get("events") or ()
        timeline["events"] = [event for event in events if event.get("type") != "m.room.encrypted"]
    return answer


def _guard(client: nio.AsyncClient) -> None:
    """Have nio leave out what somebody sent to the bot's device and no reader can read: the rest of a sync counts."""
    handle = client._handle_decrypt_to_device

    def handled(event: nio.ToDeviceEvent) -> Any:
        try:
            return handle(event)
        except RecursionError:
            _log.warning("what somebody sent to the bot's device cannot be read", user=event.sender)
            return None

    if getattr(handle, "__name__", "") != handled.__name__:
        setattr(client, "_handle_decrypt_to_device", handled)  # noqa: B010 - a method of nio's own
