"""The keys of one device of a person on Matrix: what it publishes, shares, seals and opens (Olm and Megolm)."""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import vodozemac
from vodozemac import Curve25519PublicKey, GroupSession, InboundGroupSession

OLM, MEGOLM = "m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"
ENCRYPTED = "m.room.encrypted"
KEYS = 16  # one-time keys that are published: who begins to write to this device takes one
CLAIMED = "signed_curve25519"

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Address:
    """A device as others know it."""

    user: str
    ident: str
    curve25519: str
    ed25519: str

    @classmethod
    def of(cls, keys: Mapping[str, Any]) -> Address:
        """From the `device_keys` that it has published."""
        ident = keys["device_id"]
        named = keys["keys"]
        return cls(keys["user_id"], ident, named[f"curve25519:{ident}"], named[f"ed25519:{ident}"])


class Device:
    """It trusts everybody; it lives as long as the test."""

    def __init__(self, user: str, ident: str) -> None:
        self._account = vodozemac.Account()
        curve25519, ed25519 = self._account.curve25519_key.to_base64(), self._account.ed25519_key.to_base64()
        self.address = Address(user, ident, curve25519, ed25519)
        self._channels: dict[str, list[Any]] = defaultdict(list)  # somebody's key → Olm sessions, newest last
        self._mine: dict[str, GroupSession] = {}  # room → the session that its messages are sealed with
        self._theirs: dict[
            tuple[str, str], tuple[str, InboundGroupSession]
        ] = {}  # room, session → the sender's key
        self._shared: defaultdict[str, set[Address]] = defaultdict(set)  # room → who can open what it seals

    # -- what it publishes ----------------------------------------------------------------------------

    def published(self) -> dict[str, Any]:
        """The body of /keys/upload."""
        me = self.address
        keys = {
            "algorithms": [OLM, MEGOLM],
            "device_id": me.ident,
            "user_id": me.user,
            "keys": {f"curve25519:{me.ident}": me.curve25519, f"ed25519:{me.ident}": me.ed25519},
        }
        self._account.generate_one_time_keys(KEYS)
        once = {
            f"{CLAIMED}:{name}": self._signed({"key": key.to_base64()})
            for name, key in self._account.one_time_keys.items()
        }
        self._account.mark_keys_as_published()
        return {"device_keys": self._signed(keys), "one_time_keys": once}

    def _signed(self, what: dict[str, Any]) -> dict[str, Any]:
        signature = self._account.sign(_canonical(what).encode()).to_base64()
        return {**what, "signatures": {self.address.user: {f"ed25519:{self.address.ident}": signature}}}

    # -- between devices ------------------------------------------------------------------------------

    def unknown(self, room: str, there: set[Address]) -> set[Address]:
        """Who of those has not got the key to what this device seals in a room."""
        return there - self._shared[room] - {self.address}

    def strangers(self, devices: set[Address]) -> set[Address]:
        """Those among them to whom it has never written: their one-time keys are needed."""
        return {device for device in devices if not self._channels[device.curve25519]}

    def greets(self, device: Address, one_time_key: str) -> None:
        """Begin to write to a device."""
        to, once = map(Curve25519PublicKey.from_base64, (device.curve25519, one_time_key))
        self._channels[device.curve25519].append(self._account.create_outbound_session(to, once))

    def shares(self, room: str, devices: set[Address]) -> dict[str, dict[str, Any]]:
        """The key to what it seals there, for those devices: the `messages` of /sendToDevice."""
        session = self._session(room)
        content = {
            "algorithm": MEGOLM,
            "room_id": room,
            "session_id": session.session_id,
            "session_key": session.session_key.to_base64(),
        }
        found: dict[str, dict[str, Any]] = defaultdict(dict)
        for device in devices:
            found[device.user][device.ident] = self._to(device, "m.room_key", content)
        self._shared[room] |= devices
        return found

    def _session(self, room: str) -> GroupSession:
        if room not in self._mine:
            made = self._mine[room] = GroupSession()
            inbound = InboundGroupSession(made.session_key)
            self._theirs[room, made.session_id] = (self.address.curve25519, inbound)
        return self._mine[room]

    def _to(self, device: Address, kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
        told = {
            "type": kind,
            "content": content,
            "sender": self.address.user,
            "keys": {"ed25519": self.address.ed25519},
            "recipient": device.user,
            "recipient_keys": {"ed25519": device.ed25519},
        }
        sealed = self._channels[device.curve25519][-1].encrypt(_canonical(told).encode())
        number, text = sealed.to_parts()
        body = base64.b64encode(text).decode().rstrip("=")
        return {
            "algorithm": OLM,
            "sender_key": self.address.curve25519,
            "ciphertext": {device.curve25519: {"type": number, "body": body}},
        }

    def takes(self, event: Event) -> None:
        """What another device sent to this one: the key to what it seals in a room."""
        content = event["content"]
        mine = content.get("ciphertext", {}).get(self.address.curve25519)
        if event["type"] != ENCRYPTED or mine is None:
            return
        told = json.loads(self._read(content["sender_key"], mine))
        if told["type"] != "m.room_key":
            return
        assert (told["sender"], told["recipient"]) == (event["sender"], self.address.user)
        key = told["content"]
        session = InboundGroupSession(vodozemac.SessionKey(key["session_key"]))
        known = self._theirs.get((key["room_id"], key["session_id"]))
        if known is None or known[1].first_known_index > session.first_known_index:
            self._theirs[key["room_id"], key["session_id"]] = (content["sender_key"], session)

    def _read(self, sender: str, sealed: Mapping[str, Any]) -> bytes:
        text = base64.b64decode(f"{sealed['body']}===")
        message = vodozemac.AnyOlmMessage.from_parts(sealed["type"], text)
        begun = message.to_pre_key()
        for session in reversed(self._channels[sender]):
            if begun is None or session.session_matches(begun):
                try:
                    return bytes(session.decrypt(message))
                except vodozemac.OlmDecryptionException:
                    continue  # another session's message
        assert begun is not None, "a message of a session that never began"
        made, told = self._account.create_inbound_session(Curve25519PublicKey.from_base64(sender), begun)
        self._channels[sender].append(made)
        return bytes(told)

    # -- in rooms -------------------------------------------------------------------------------------

    def seals(self, room: str, kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """The content of the encrypted event; what it relates to stands in the clear ("m.room.encrypted")."""
        inside = {name: value for name, value in content.items() if name != "m.relates_to"}
        told = _canonical({"room_id": room, "type": kind, "content": inside})
        session = self._session(room)
        sealed = {
            "algorithm": MEGOLM,
            "ciphertext": session.encrypt(told.encode()).to_base64(),
            "session_id": session.session_id,
            "sender_key": self.address.curve25519,
            "device_id": self.address.ident,
        }
        return sealed | ({"m.relates_to": content["m.relates_to"]} if "m.relates_to" in content else {})

    def opens(self, room: str, event: Event) -> dict[str, Any] | None:
        """The event as it was before it was sealed; None where the key did not come."""
        content = event["content"]
        sender, session = self._theirs.get((room, str(content.get("session_id"))), ("", None))
        if session is None:
            return None
        assert sender == content["sender_key"]
        message = vodozemac.MegolmMessage.from_base64(content["ciphertext"])
        if message.message_index() < session.first_known_index:
            return None  # from before this device had come
        told = json.loads(session.decrypt(message).plaintext)
        assert told["room_id"] == room
        relation = {"m.relates_to": content["m.relates_to"]} if "m.relates_to" in content else {}
        return {**event, "type": told["type"], "content": {**told["content"], **relation}}


def _canonical(what: Mapping[str, Any]) -> str:
    """JSON as it is signed ("Canonical JSON")."""
    return json.dumps(what, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
