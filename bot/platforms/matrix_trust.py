"""Which devices of people are trusted: as the configuration says, judged anew whenever keys were looked up."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import structlog
from nio import AsyncClient
from nio.crypto import OlmDevice
from nio.exceptions import OlmTrustError

from bot.chat import DeliveryError
from bot.platforms.matrix_cross_signing import MASTER, Answer, key_of, vouched

_log = structlog.get_logger()

FIRST_USE, CROSS_SIGNED, LISTED = "first_use", "cross_signed", "listed"
PINS = "trust.json"  # in the folder of the keys: the setting it was made under, and people's master keys


class Trust:
    """`people` are the user ids of the configuration, `barred` tells why one of them may not act.

    first_use: a device as soon as it is seen; nio keeps its keys, and takes no others for it. cross_signed: devices
    that the person's own keys vouch for; the master key is pinned when first seen. listed: those in `devices`, by
    device id or fingerprint. Whoever is not of the configuration has no trusted device.
    """

    def __init__(
        self,
        policy: str,
        devices: Mapping[str, Collection[str]],
        people: Collection[str],
        barred: Callable[[str], str],
    ) -> None:
        if policy not in (FIRST_USE, CROSS_SIGNED, LISTED):
            raise ValueError(f"{policy} is no way to trust devices")
        self._policy = policy
        self._listed = {user: {_folded(one) for one in found} for user, found in devices.items()}
        self._people = people
        self._barred = barred
        self._path: Path | None = None
        self._masters: dict[str, str] = {}
        self._told: set[str] = set()  # whom it was said of that their master key has changed

    @property
    def people(self) -> set[str]:
        """The user ids whose devices are judged."""
        return {user for user in self._people if not self._barred(user)}

    def load(self, folder: Path, client: AsyncClient) -> None:
        """Read what was pinned; devices that were trusted by another setting have to be found trusted anew."""
        self._path = folder / PINS
        kept = _read(self._path)
        masters = kept.get("masters")
        self._masters = (
            {str(user): str(key) for user, key in masters.items()} if isinstance(masters, dict) else {}
        )
        if kept.get("trust") == self._policy:
            return
        for device in list(client.device_store):
            if device.verified:
                client.unverify_device(device)
        self._save()

    def judge(self, client: AsyncClient, answer: Answer | None = None) -> None:
        """Trust what is to be trusted, and nothing else. `answer` is what /keys/query just told, if it was asked.

        By cross-signing only those are judged whom the answer tells of: no answer changes nothing.
        """
        for user in self.people:
            vouching = self._vouched(answer, user)
            if vouching is None:
                continue
            for device in client.device_store.active_user_devices(user):
                self._mark(client, device, self._is_trusted(user, device, vouching))

    # -- inside -----------------------------------------------------------------------------------

    def _is_trusted(self, user: str, device: OlmDevice, vouching: Mapping[str, str]) -> bool:
        if self._policy == CROSS_SIGNED:
            return bool(vouching.get(device.id) == device.ed25519)
        if self._policy == LISTED:
            return bool({device.id, _folded(device.ed25519)} & self._listed.get(user, set()))
        return True

    def _vouched(self, answer: Answer | None, user: str) -> dict[str, str] | None:
        """The devices that somebody vouches for; None where nothing was told of that person."""
        if self._policy != CROSS_SIGNED:
            return {}
        if answer is None or user not in (answer.get("device_keys") or {}):
            return None
        master = key_of(answer, MASTER, user)
        pinned = self._masters.get(user)
        if master and pinned is None:
            self._masters[user] = pinned = master
            self._save()
            _log.info("a person's cross-signing key is trusted from now on", user=user, key=master)
        if master and master != pinned and user not in self._told:
            self._told.add(user)
            _log.warning(
                "a person has new cross-signing keys, so none of their devices is trusted; where they say that it "
                "was they, take their line out of the file and start again",
                user=user,
                file=str(self._path),
            )
        return vouched(answer, user, pinned or "")

    def _mark(self, client: AsyncClient, device: OlmDevice, trusted: bool) -> None:
        if device.blacklisted or device.verified == trusted:
            return
        try:
            if trusted:
                client.verify_device(device)
            else:
                client.unverify_device(device)
        except OlmTrustError as error:  # the files beside the key store know another key for that device
            _log.warning(
                "a device cannot be trusted", user=device.user_id, device=device.id, error=str(error)
            )
            return
        told = "a device is trusted from now on" if trusted else "a device is trusted no more"
        _log.info(told, user=device.user_id, device=device.id)

    def _save(self) -> None:
        if self._path is None:
            return
        told = {"trust": self._policy, "masters": self._masters}
        write_private(self._path, json.dumps(told, indent=1, sort_keys=True))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    with os.fdopen(
        os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
    ) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _read(path: Path) -> dict[str, Any]:
    """What stands in a file of ours; nothing where there is none, DeliveryError for one that is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DeliveryError(
            f"{path} cannot be read ({error}): take it away to trust people's keys anew"
        ) from error
    if not isinstance(found, dict):
        raise DeliveryError(f"{path} is damaged: take it away to trust people's keys anew")
    return found


def _folded(device: str) -> str:
    """A device id, or a fingerprint as clients show it, in groups of four or padded."""
    return "".join(device.split()).rstrip("=")
