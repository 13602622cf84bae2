"""What `watchbell check` asks a homeserver of people: their accounts, their devices, and the bot's own keys."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Collection, Mapping
from pathlib import Path
from typing import Any

import nio
import peewee
import vodozemac

from bot.chat import DeliveryError, RetryLaterError
from bot.chat_check import Line, right, wrong
from bot.config import Settings
from bot.platforms.matrix_client import V3, MatrixClient, RefusedCallError, UnavailableError
from bot.platforms.matrix_directory import server_of

_NAME = "matrix"
_TROUBLE = (DeliveryError, RetryLaterError, UnavailableError)
_DAMAGED = (
    sqlite3.Error,
    peewee.PeeweeException,
    vodozemac.LibolmPickleException,
    vodozemac.PickleException,
    nio.LocalProtocolError,
    LookupError,
    OSError,
    TypeError,
    ValueError,
)


# -- accounts -------------------------------------------------------------------------------------


async def accounts(api: MatrixClient, settings: Settings) -> AsyncIterator[Line]:
    """Each person's account: whether there is one of that id."""
    here = [person for person in settings.people.values() if _NAME in person.ids]
    if not here:
        yield wrong(
            'people: nobody has a Matrix account here; write `ids: {matrix: "@alice:example.com"}` for each of them'
        )
    for person in here:
        yield await _account(api, person.name, person.ids[_NAME])
    others = [person.name for person in settings.people.values() if _NAME not in person.ids]
    if here and others:
        yield right(f"people without a Matrix account, who cannot be reached there: {', '.join(others)}")


async def _account(api: MatrixClient, name: str, user: str) -> Line:
    named = f"person {name} ({user})"
    try:
        told = await api.call("GET", V3, "profile", user)
    except RefusedCallError as refusal:
        if refusal.missing:
            return wrong(f"{named}: there is no such account on {server_of(user)}")
        if refusal.status == 403:
            return right(f"{named}: {server_of(user)} shows no profile to who shares no room with them")
        return wrong(f"{named}: {refusal}")
    except RetryLaterError as wait:
        return wrong(f"{named}: the homeserver wants a pause of {wait.seconds:.0f} s; try again then")
    except UnavailableError as error:
        return wrong(f"{named}: {server_of(user)} does not answer ({error})")
    return right(f"{named}: {told.get('displayname') or user}")


# -- devices --------------------------------------------------------------------------------------


async def devices(api: MatrixClient, settings: Settings) -> AsyncIterator[Line]:
    """With `trust: listed` whether each device is there, with `cross_signed` whether each person signs theirs."""
    section = settings.platforms[_NAME]
    ids = {person.name: person.ids[_NAME] for person in settings.people.values() if _NAME in person.ids}
    try:
        told = await _queried(api, ids.values())
    except _TROUBLE as error:
        yield wrong(f"devices: they cannot be looked at: {error}")
        return
    for name, user in ids.items():
        if section["trust"] == "cross_signed":
            yield _signs(name, user, told.get("master_keys") or {})
            continue
        there = (told.get("device_keys") or {}).get(user) or {}
        for wanted in section["devices"].get(name, ()):
            yield _device(name, wanted, there)


def _signs(name: str, user: str, masters: Mapping[str, Any]) -> Line:
    if user in masters:
        return right(f"devices of {name}: they sign them")
    return wrong(
        f"devices of {name}: there is no cross-signing key, so none of them counts; "
        "in Element: All settings, Encryption, set up recovery"
    )


def _device(name: str, wanted: str, there: Mapping[str, Any]) -> Line:
    for ident, keys_ in there.items():
        if wanted in (ident, (keys_.get("keys") or {}).get(f"ed25519:{ident}")):
            return right(f"device {wanted} of {name}: it is there")
    return wrong(
        f"device {wanted} of {name}: there is none that encrypts; "
        f"there are: {', '.join(sorted(there)) or 'none at all'}"
    )


async def _queried(api: MatrixClient, users: Collection[str]) -> dict[str, Any]:
    body: dict[str, Any] = {"device_keys": {user: [] for user in users}}
    return await api.call("POST", V3, "keys", "query", body=body)


# -- the bot's own keys ---------------------------------------------------------------------------


async def keys(api: MatrixClient, store: Path) -> Line:
    """Whether the keys in the data directory are those that the homeserver has of the bot's device."""
    told = await _queried(api, [api.user])
    own = ((told.get("device_keys") or {}).get(api.user) or {}).get(api.device_id) or {}
    published = (own.get("keys") or {}).get(f"ed25519:{api.device_id}")
    file = store / f"{api.user}_{api.device_id}.db"
    if not file.is_file():
        return _without(api, store, published)
    try:
        kept = fingerprint(api, file)
    except _DAMAGED as error:
        return wrong(f"keys: {file} cannot be read ({type(error).__name__}); {_ANEW.format(store=store)}")
    if published is not None and kept != published:
        return wrong(
            f"keys: {file} has other keys than the homeserver has of the device {api.device_id}; "
            f"{_ANEW.format(store=store)}"
        )
    return right(f"keys: {file} has those of the device {api.device_id}")


_ANEW = "log in as a new device by `watchbell login matrix`, and move {store} out of the way"


def _without(api: MatrixClient, store: Path, published: str | None) -> Line:
    if published is not None:
        return wrong(
            f"keys: the device {api.device_id} has published some, and they are not in {store}; "
            "give the data directory that has them (--data), or log in as a new device by `watchbell login matrix`"
        )
    return right(f"keys: there are none yet; they are made in {store} at the first start")


def fingerprint(api: MatrixClient, file: Path) -> str:
    """The ed25519 key of the account in a file of nio's, read from a copy: opening one may change it."""
    with tempfile.TemporaryDirectory(prefix="watchbell-keys-") as folder:
        shutil.copyfile(file, Path(folder) / file.name)
        opened = nio.store.DefaultStore(
            api.user, api.device_id, folder, nio.AsyncClientConfig().pickle_key, file.name
        )
        try:
            account = opened.load_account()
        finally:
            opened.database.close()
    if account is None:
        raise ValueError("no account is in it")
    return str(account.identity_keys["ed25519"])
