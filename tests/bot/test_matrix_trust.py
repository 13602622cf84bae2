"""Whose devices are trusted on Matrix, on a real Synapse: at first use, cross-signed, listed; and the bot's own."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nio
import pytest
import structlog
from nio.crypto import OlmAccount

from bot.chat import DeliveryError, Request
from bot.platforms import matrix_identity
from bot.platforms.matrix_cross_signing import MASTER, SELF_SIGNING, canonical, key_of, signed, vouched
from bot.platforms.matrix_trust import PINS
from tests.bot.matrix_world import World, encrypted, looked, until
from tests.servers.synapse import Account, MatrixError


class Signer:
    """Somebody's cross-signing keys, as their own client makes them."""

    def __init__(self, world: World, who: Account) -> None:
        self.world, self.who = world, who
        self.master, self.middle = OlmAccount(), OlmAccount()

    async def publish(self) -> None:
        """Upload the keys; anew with the password, which is the account's name."""
        user = self.who.user
        master = described(user, "master", self.master)
        middle = with_signature(described(user, "self_signing", self.middle), user, self.master)
        body: dict[str, Any] = {"master_key": master, "self_signing_key": middle}
        path = "/keys/device_signing/upload"
        try:
            await self.world.call(self.who, "POST", path, body)
        except MatrixError as error:
            if error.status != 401:
                raise
            name = user[1:].partition(":")[0]
            identifier = {"type": "m.id.user", "user": name}
            auth = {"type": "m.login.password", "identifier": identifier, "password": name}
            await self.world.call(self.who, "POST", path, {**body, "auth": auth})

    async def sign(self, device: str) -> None:
        """Vouch for a device."""
        user = self.who.user
        told = (await queried(self.world, user))["device_keys"][user][device]
        bare = {name: value for name, value in told.items() if name not in ("signatures", "unsigned")}
        own = with_signature(bare, user, self.middle)
        answer = await self.world.call(self.who, "POST", "/keys/signatures/upload", {user: {device: own}})
        assert not answer.get("failures")


def public(key: OlmAccount) -> str:
    return str(key.identity_keys["ed25519"])


def described(user: str, usage: str, key: OlmAccount) -> dict[str, Any]:
    return {"user_id": user, "usage": [usage], "keys": {f"ed25519:{public(key)}": public(key)}}


def with_signature(what: dict[str, Any], user: str, key: OlmAccount) -> dict[str, Any]:
    signature = key.sign(canonical(what).decode())
    return {**what, "signatures": {user: {f"ed25519:{public(key)}": signature}}}


async def queried(world: World, user: str) -> dict[str, Any]:
    found: dict[str, Any] = await world.call(world.alice, "POST", "/keys/query", {"device_keys": {user: []}})
    return found


async def said_by(world: World, client: nio.AsyncClient, room: str, text: str) -> Request:
    """What the bot made of an encrypted message."""
    await looked(client, room)
    await encrypted(client, room, text)
    await until(lambda: any(isinstance(act, Request) and act.text == text for act in world.took))
    return next(act for act in world.took if isinstance(act, Request) and act.text == text)


def trusted(world: World, who: Account) -> set[str]:
    """The devices of somebody that the bot trusts."""
    return {d.id for d in world.matrix.api.nio.device_store.active_user_devices(who.user) if d.verified}


# -- people's devices -----------------------------------------------------------------------------


async def test_a_device_whose_keys_have_changed_is_not_believed(world: World, tmp_path: Path) -> None:
    """first_use: what a homeserver puts in the place of a known device proves nothing, and opens nothing."""
    await world.start(store=tmp_path / "keys", encrypted=True)
    room = await world.room(world.alice)
    alice = await world.person(world.alice)
    assert (await said_by(world, alice, room, "mine")).assured
    shutil.rmtree(world.folder / world.alice.device)
    forged = await world.person(world.alice)
    await looked(forged, room)
    await encrypted(forged, room, "forged")
    await until(lambda: bool(world.matrix.inbound._sealed))
    assert [act.text for act in world.took if isinstance(act, Request)] == ["mine"]


async def test_only_devices_that_their_person_vouches_for_are_trusted(world: World, tmp_path: Path) -> None:
    """cross_signed: the homeserver can add devices to an account, and cannot sign them."""
    keys = {"store": tmp_path / "keys", "encrypted": True, "trust": "cross_signed"}
    await world.start(**keys)
    room = await world.room(world.alice)
    alice = await world.person(world.alice)
    assert not (await said_by(world, alice, room, "unsigned")).assured
    signer = Signer(world, world.alice)
    await signer.publish()
    await signer.sign(world.alice.device)
    await until(lambda: trusted(world, world.alice) == {world.alice.device})
    assert (await said_by(world, alice, room, "signed")).assured
    added = world.server.login(f"alice-{world.tag}")
    assert not (await said_by(world, await world.person(added), room, "added")).assured
    await world.matrix.stop()
    await world.start(**keys)
    assert trusted(world, world.alice) == {world.alice.device}


async def test_new_cross_signing_keys_are_not_believed(world: World, tmp_path: Path) -> None:
    """The first master key is pinned, also over a restart; who accepts the new one takes the pin away."""
    keys = {"store": tmp_path / "keys", "encrypted": True, "trust": "cross_signed"}
    await world.person(world.alice)
    first, second = Signer(world, world.alice), Signer(world, world.alice)
    await first.publish()
    await first.sign(world.alice.device)
    await world.start(**keys)
    await world.room(world.alice)
    assert trusted(world, world.alice) == {world.alice.device}
    await world.matrix.stop()
    await second.publish()
    await second.sign(world.alice.device)
    with structlog.testing.capture_logs() as logs:
        await world.start(**keys)
    assert trusted(world, world.alice) == set()
    assert [entry["user"] for entry in logs if "new cross-signing keys" in entry["event"]] == [
        world.alice.user
    ]
    await world.matrix.stop()
    (tmp_path / "keys" / PINS).unlink()
    await world.start(**keys)
    assert trusted(world, world.alice) == {world.alice.device}


async def test_listed_devices_alone_are_trusted(world: World, tmp_path: Path) -> None:
    """listed: by device id, or by fingerprint as clients show it; trust by another setting before counts no more."""
    keys = {"store": tmp_path / "keys", "encrypted": True}
    phone, lost = world.server.login(f"alice-{world.tag}"), world.server.login(f"alice-{world.tag}")
    shown = (await world.person(phone)).olm.account.identity_keys["ed25519"]
    for account in (world.alice, lost):
        await world.person(account)
    await world.start(**keys)
    await world.room(world.alice)
    assert trusted(world, world.alice) == {world.alice.device, phone.device, lost.device}
    await world.matrix.stop()
    in_groups = " ".join(shown[index : index + 4] for index in range(0, len(shown), 4))
    listed = {world.alice.user: [world.alice.device, in_groups], world.eve.user: [world.eve.device]}
    await world.start(**keys, trust="listed", devices=listed)
    assert trusted(world, world.alice) == {world.alice.device, phone.device}
    await world.person(world.eve)
    assert trusted(world, world.eve) == set()
    with pytest.raises(ValueError, match="no way to trust"):
        world.made(trust="everybody")


async def test_every_link_of_the_chain_is_checked(world: World) -> None:
    """What a homeserver may put into /keys/query: each forgery alone leaves nobody vouched for."""
    await world.person(world.alice)
    signer, other = Signer(world, world.alice), Signer(world, world.alice)
    await signer.publish()
    await signer.sign(world.alice.device)
    user, device = world.alice.user, world.alice.device
    answer = await queried(world, user)
    master = key_of(answer, MASTER, user)
    assert master == public(signer.master)
    assert list(vouched(answer, user, master)) == [device]
    assert not vouched(answer, user, public(other.master))
    assert not vouched(answer, world.bob.user, master)

    def forged(change: Any) -> dict[str, str]:
        told = copy.deepcopy(answer)
        change(told)
        return vouched(told, user, master)

    middle = public(other.middle)
    assert not forged(lambda told: told["master_keys"].pop(user))
    assert not forged(lambda told: told["self_signing_keys"].pop(user))
    assert not forged(lambda told: told["self_signing_keys"][user].update(usage=["user_signing"]))
    assert not forged(lambda told: told["self_signing_keys"][user].update(user_id=world.eve.user))
    assert not forged(lambda told: told["self_signing_keys"][user].update(keys={f"ed25519:{middle}": middle}))
    assert not forged(
        lambda told: told["self_signing_keys"][user].update(signatures={user: {"ed25519:x": "y"}})
    )
    assert not forged(
        lambda told: told["device_keys"][user][device]["keys"].update({f"ed25519:{device}": "x"})
    )
    assert not forged(lambda told: told["device_keys"][user][device].update(device_id="OTHER"))
    assert not forged(lambda told: told["device_keys"][user][device].update(signatures=None))
    assert not forged(lambda told: told["device_keys"].update({user: []}))
    assert not signed({"signatures": {user: {"ed25519:not a key": "not one"}}}, user, "not a key")


# -- the bot's own --------------------------------------------------------------------------------


async def test_the_bots_device_is_vouched_for(world: World, tmp_path: Path) -> None:
    """So that no client warns of its messages; the same keys at the next start, and on another device."""
    keys = {"store": tmp_path / "keys", "encrypted": True}
    await world.start(**keys)
    answer = await queried(world, world.bot.user)
    master = key_of(answer, MASTER, world.bot.user)
    assert list(vouched(answer, world.bot.user, master)) == [world.bot.device]
    await world.matrix.stop()
    await world.start(**keys)
    assert await queried(world, world.bot.user) == answer
    await world.matrix.stop()
    anew = world.server.login(f"watchbell-{world.tag}")
    await world.start(**keys, access_token=anew.token, device_id=anew.device)
    answer = await queried(world, world.bot.user)
    assert set(vouched(answer, world.bot.user, master)) == {world.bot.device, anew.device}
    assert (tmp_path / "keys" / matrix_identity.FILE).stat().st_mode & 0o077 == 0


async def test_cross_signing_keys_of_somebody_else_are_left_alone(world: World, tmp_path: Path) -> None:
    """The operator has made some for the bot's account: it is theirs to verify the device."""
    signer = Signer(world, world.bot)
    await signer.publish()
    await world.start(store=tmp_path / "keys", encrypted=True)
    answer = await queried(world, world.bot.user)
    assert key_of(answer, SELF_SIGNING, world.bot.user) == public(signer.middle)
    assert not vouched(answer, world.bot.user, public(signer.master))


async def test_a_key_store_that_cannot_be_used_says_so_in_a_sentence(world: World, tmp_path: Path) -> None:
    """Lost, damaged, or of another device; the last is no fault, and told as a warning."""
    store = tmp_path / "keys"
    await world.start(store=store)
    await world.matrix.stop()
    anew = world.server.login(f"watchbell-{world.tag}")
    with structlog.testing.capture_logs() as logs:
        await world.start(store=store, access_token=anew.token, device_id=anew.device)
    await world.matrix.stop()
    assert [entry["other"] for entry in logs if "another device" in entry["event"]] == [
        f"{world.bot.user}_{world.bot.device}"
    ]
    (store / f"{world.bot.user}_{world.bot.device}.db").write_bytes(b"rubbish " * 1_000)
    with pytest.raises(DeliveryError, match=r"cannot be read .* bring them back"):
        await world.start(store=store)
    with pytest.raises(DeliveryError, match=r"knows other keys .* log in anew"):
        await world.start(store=tmp_path / "empty")
    (store / PINS).write_text("{", encoding="utf-8")
    with pytest.raises(DeliveryError, match="take it away"):
        await world.start(store=store, access_token=anew.token, device_id=anew.device)
    path = f"/rooms/{quote(await world.room())}/state"
    assert await world.call(world.bot, "GET", path)
