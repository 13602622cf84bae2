"""What hostile members of a room, and hostile homeservers, could try on Matrix; each of these once did something."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot.platforms.matrix_text import decode, plain
from incidents import events as e
from tests.safety.matrix_rig import MatrixChat, Someone, on_matrix
from tests.servers.matrix_device import MEGOLM, OLM
from tests.servers.matrix_view import path

DEEP = 20_000  # arrays within one another: more than any reader that goes into each by itself can stand


def deep(kind: str) -> bytes:
    """The JSON of what is to be sealed, far too deep within."""
    return f'{{"type":"{kind}","content":{{"body":"x","x":{"[" * DEEP}{"]" * DEEP}}}}}'.encode()


async def sealed(chat: MatrixChat, person: Someone, told: bytes) -> None:
    """Send bytes of one's own as an encrypted message."""
    await person.seals("m.room.message", {"msgtype": "m.text", "body": "hello"})
    room, device = chat.place(), person.device
    session = device._session(room)
    content = {
        "algorithm": MEGOLM,
        "ciphertext": session.encrypt(told).to_base64(),
        "session_id": session.session_id,
        "sender_key": device.address.curve25519,
        "device_id": device.address.ident,
    }
    watcher = chat.people.beside._device
    assert watcher is not None
    watcher._theirs.pop((room, session.session_id))  # the tests themselves cannot read it either
    await person.sends(content, kind="m.room.encrypted")


async def whispered(chat: MatrixChat, person: Someone, told: bytes) -> None:
    """Send bytes of one's own to the bot's device."""
    await person.seals("m.room.message", {"msgtype": "m.text", "body": "hello"})
    device = person.device
    [address] = [d for d in chat.keys._devices_of(chat.people.bot) if d.ident == chat.people.bot.device]
    number, text = device._channels[address.curve25519][-1].encrypt(told).to_parts()
    body = base64.b64encode(text).decode().rstrip("=")
    content = {
        "algorithm": OLM,
        "sender_key": device.address.curve25519,
        "ciphertext": {address.curve25519: {"type": number, "body": body}},
    }
    where = f"/sendToDevice/m.room.encrypted/deep-{chat.next_number()}"
    messages: dict[str, Any] = {chat.bot: {chat.people.bot.device: content}}
    await person.calls("PUT", where, {"messages": messages})
    await chat.overtaken(chat.place())


@pytest.mark.parametrize("how", [sealed, whispered])
async def test_safety_24_what_is_sealed_too_deep_to_read_deafens_nobody(tmp_path: Path, how: Any) -> None:
    """No homeserver sees within what is encrypted: the event is left out, and what follows is heard."""
    async with on_matrix(tmp_path, encrypted=True) as chat:
        await chat.mallory.goes_into(chat.place())
        with capture_logs() as logged:
            await how(chat, chat.mallory, deep("m.room.message"))
            await chat.alice.says("!note I am heard")
        assert (how is sealed) or [entry for entry in logged if "cannot be read" in entry["event"]]
        await chat.restarts()
        await chat.alice.says("!note again")
        assert len(await chat.events("incident-1", e.NoteAdded)) == 2
        chat.people.beside.unreadable.clear()  # which was meant to be


# -- words that are made to be a burden -------------------------------------------------------------------


@pytest.mark.parametrize(
    "piece", ["<a ", "<![", "<", "<!--", "[", "[](https://matrix.to/#/", "@a:", "<mx-reply>"]
)
def test_safety_33_what_is_never_closed_is_read_once(piece: str) -> None:
    """As much of it as fits into an event: it took minutes, in which the bot did nothing else, and is read as text."""
    burden = piece * (60_000 // len(piece))
    told = decode(
        f"!note {burden}", f"matrix.to {burden}", {"@alice:x": "alice"}, "@watchbell:x", ("Watchbell",)
    )
    assert told == f"!note {burden}"
    assert plain(f"{burden}<br>x").endswith("x") or piece == "<mx-reply>"


async def test_safety_19_a_room_s_name_is_somebody_s_words(tmp_path: Path) -> None:
    """The bot names the room that a private answer is about; the name of a room links and mentions nothing."""
    async with on_matrix(tmp_path) as chat:
        name = "https://evil.example/x @room <b>bold</b>"
        asked = {"preset": "public_chat", "name": name, "invite": [chat.bot]}
        hall = str((await chat.alice.calls("POST", "/createRoom", asked))["room_id"])
        await chat.overtaken(chat.place("#ops"))
        chat.mark()
        await chat.alice.says("!scale realtime 10", hall)
        said = chat.bot_said("alice")
        assert "About #https:" in said
        assert "https://evil" not in said
        assert "@room" not in said


# -- what somebody else has made ------------------------------------------------------------------------


async def test_safety_38_the_bot_keeps_what_it_was_asked_for(tmp_path: Path) -> None:
    """Somebody who is no responder erases nothing, in the log or in the room."""
    async with on_matrix(tmp_path) as chat:
        message = await chat.carol.says("evidence that somebody would rather see gone")
        for somebody in (chat.grace, chat.mallory, chat.account("zoe")):
            await somebody.says(f"!scrub {message}")
            await somebody.says('!scrub "evidence that"')
        where = f"/rooms{path(chat.place())}/event{path(message)}"
        assert "evidence" in str(await chat.carol.calls("GET", where))
        assert "evidence" in (await chat.written())[message]
