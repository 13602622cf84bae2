"""The bot's own cross-signing keys: made once, published, and its device signed by them ("Cross-signing").

Without them people's clients warn of every message of the bot's, since nobody vouches for its device.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from nio.crypto import OlmAccount

from bot.chat import DeliveryError, RetryLaterError
from bot.platforms.matrix_client import V3, MatrixClient, RefusedCallError, UnavailableError
from bot.platforms.matrix_cross_signing import MASTER, SELF_SIGNING, canonical, key_of, signed
from bot.platforms.matrix_trust import write_private

_log = structlog.get_logger()

FILE = "identity.json"  # in the folder of the keys; its pickles are as secret as the rest of that folder


class Identity:
    """A master and a self-signing key. nio has no bare signing keys; an Olm account is one, and never sent."""

    def __init__(self, api: MatrixClient, folder: Path) -> None:
        self._api = api
        self._path = folder / FILE

    async def publish(self) -> None:
        """Have the device vouched for, unless it is. What cannot be done is said in the log and holds up nothing.

        Homeservers take the first keys of an account without its password; later ones they do not.
        """
        try:
            await self._publish()
        except (UnavailableError, RetryLaterError) as error:
            _log.info("the bot's device is vouched for at the next start", error=str(error))
        except (DeliveryError, OSError, LookupError, TypeError, ValueError) as error:
            _log.warning("nobody vouches for the bot's device; clients may warn of it", error=str(error))

    # -- inside -----------------------------------------------------------------------------------

    async def _publish(self) -> None:
        user, device = self._api.user, self._api.device_id
        answer = await self._api.call("POST", V3, "keys", "query", body={"device_keys": {user: []}})
        told: Mapping[str, Any] | None = ((answer.get("device_keys") or {}).get(user) or {}).get(device)
        if told is None:
            return  # the device's own keys are not there yet
        middle = key_of(answer, SELF_SIGNING, user)
        if middle and signed(told, user, middle):
            return
        keys = await asyncio.to_thread(self._keys)
        if not key_of(answer, MASTER, user):
            await self._upload(keys)
        elif key_of(answer, MASTER, user) != _public(keys["master"]):
            _log.info(
                "the account has cross-signing keys that are not the bot's: verify its device with them"
            )
            return
        own = _with_signature(_bare(told), user, keys["self_signing"])
        await self._api.call("POST", V3, "keys", "signatures", "upload", body={user: {device: own}})
        _log.info("the bot's device is vouched for", key=_public(keys["master"]))

    async def _upload(self, keys: Mapping[str, OlmAccount]) -> None:
        user = self._api.user
        master = _described(user, "master", keys["master"])
        middle = _with_signature(_described(user, "self_signing", keys["self_signing"]), user, keys["master"])
        body = {"master_key": master, "self_signing_key": middle}
        try:
            await self._api.call("POST", V3, "keys", "device_signing", "upload", body=body)
        except RefusedCallError as refusal:
            if refusal.status != 401:
                raise
            raise DeliveryError("the homeserver wants the password for that") from refusal

    def _keys(self) -> dict[str, OlmAccount]:
        """The keys as they were made at the first start."""
        names = ("master", "self_signing")
        if self._path.exists():
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            return {name: OlmAccount.from_pickle(kept[name].encode()) for name in names}
        made = {name: OlmAccount() for name in names}
        write_private(self._path, json.dumps({name: key.pickle().decode() for name, key in made.items()}))
        return made


def _public(key: OlmAccount) -> str:
    return str(key.identity_keys["ed25519"])


def _described(user: str, usage: str, key: OlmAccount) -> dict[str, Any]:
    public = _public(key)
    return {"user_id": user, "usage": [usage], "keys": {f"ed25519:{public}": public}}


def _bare(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if name not in ("signatures", "unsigned")}


def _with_signature(what: dict[str, Any], user: str, key: OlmAccount) -> dict[str, Any]:
    signature = key.sign(canonical(what).decode())
    return {**what, "signatures": {user: {f"ed25519:{_public(key)}": signature}}}
