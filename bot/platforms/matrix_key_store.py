"""The folder of the keys: opened, or in one sentence why not; and nio's machine that works with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import peewee
import structlog
import vodozemac
from nio.crypto import Olm
from nio.events.to_device import ForwardedRoomKeyEvent
from nio.exceptions import EncryptionError, LocalProtocolError

from bot.chat import DeliveryError
from bot.platforms.matrix_client import V3, MatrixClient

_log = structlog.get_logger()

_DAMAGED = (
    EncryptionError,
    LocalProtocolError,
    peewee.PeeweeException,
    sqlite3.Error,
    vodozemac.LibolmPickleException,
    vodozemac.PickleException,
    LookupError,
    OSError,
    TypeError,
    ValueError,
)


class Machine(Olm):  # type: ignore[misc]  # nio is typed in part
    """nio's, which takes a key that was asked for from the bot's other devices only; the bot has none.

    The device that made a key may hand it over once more, by the channel that it used the first time: what comes so
    is as sure as it was then.
    """

    def _handle_forwarded_room_key_event(self, sender: str, sender_key: str, payload: dict[str, Any]) -> Any:
        if not self._is_its_own(sender, sender_key, payload):
            return super()._handle_forwarded_room_key_event(sender, sender_key, payload)
        content = payload["content"]
        claimed = content["sender_claimed_ed25519_key"]
        session = self._import_group_session(
            content["session_key"], claimed, sender_key, content["room_id"], []
        )
        if session is None or session.id != content["session_id"]:
            return None
        if self.inbound_group_store.add(session):
            self.save_inbound_group_session(session)
        return ForwardedRoomKeyEvent.from_dict(payload, sender, sender_key)

    def _is_its_own(self, sender: str, sender_key: str, payload: Mapping[str, Any]) -> bool:
        content = payload.get("content")
        if not isinstance(content, dict):
            return False
        wanted = ("session_key", "session_id", "room_id", "sender_key", "sender_claimed_ed25519_key")
        if not all(isinstance(content.get(name), str) for name in wanted):
            return False
        asked = self.outgoing_key_requests.get(content["session_id"])
        device = self.device_store.device_from_sender_key(sender, sender_key)
        return (
            asked is not None
            and asked.room_id == content["room_id"]
            and asked.algorithm == content.get("algorithm")
            and content["sender_key"] == sender_key
            and device is not None
            and device.ed25519 == content["sender_claimed_ed25519_key"]
        )


def load(client: Any, folder: Path) -> None:
    """Load the keys of the client's device, or make them; DeliveryError where the folder cannot be used."""
    if client.olm is not None:
        return
    mine = folder / f"{client.user_id}_{client.device_id}.db"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        others = [path.stem for path in folder.glob("*_*.db") if path != mine]
        if others and not mine.exists():
            _log.warning(
                "the keys that are there belong to another device; this one begins with its own, and what was "
                "encrypted before cannot be read",
                folder=str(folder),
                device=client.device_id,
                other=", ".join(others),
            )
        client.load_store()
        machine: Any = client.olm
        machine.__class__ = Machine  # nio makes its own kind only, and Machine has no state beside
    except _DAMAGED as error:
        raise DeliveryError(
            f"the keys of Matrix in {folder} cannot be read ({type(error).__name__}): bring them back from a copy, "
            "or take them away and log in anew by `watchbell login matrix`"
        ) from error


async def compare(api: MatrixClient, folder: Path) -> None:
    """DeliveryError where keys were made just now, and the homeserver knows others for this device: those are lost."""
    client = api.nio
    if client.olm is None or client.olm.account.shared:
        return
    user, device = api.user, api.device_id
    answer = await api.call("POST", V3, "keys", "query", body={"device_keys": {user: [device]}})
    told = ((answer.get("device_keys") or {}).get(user) or {}).get(device) or {}
    known = (told.get("keys") or {}).get(f"ed25519:{device}")
    if known and known != client.olm.account.identity_keys["ed25519"]:
        raise DeliveryError(
            f"the homeserver knows other keys of the device {device} than those in {folder}, which are new: bring "
            "the folder back, or log in anew by `watchbell login matrix`, which gives a new token and device"
        )
