"""Files to Matrix and from it; in encrypted rooms they are encrypted ("Sending encrypted attachments")."""

from __future__ import annotations

import asyncio
from typing import Any

from nio.crypto.attachments import decrypt_attachment, encrypt_attachment
from nio.exceptions import EncryptionError

from bot.chat import DeliveryError, Upload
from bot.platforms.matrix_client import MatrixClient
from bot.platforms.matrix_content import as_file
from bot.platforms.matrix_decode import file_of
from bot.platforms.matrix_events import Cipher, Events

LARGEST = 25_000_000  # bytes of a file that is read


class Files:
    """What the bot uploads and reads."""

    def __init__(self, api: MatrixClient, events: Events, cipher: Cipher) -> None:
        self._api = api
        self._events = events
        self._cipher = cipher

    async def event(self, room: str, upload: Upload, content: dict[str, Any]) -> dict[str, Any]:
        """The content of a message with a file, which is uploaded; `content` is what stands beside it."""
        if not await self._cipher.encrypted(room):
            address = await self._api.put_file(upload.name, upload.data, upload.mime)
            return as_file(content, upload.name, upload.mime, {"url": address}, len(upload.data))
        sealed, keys = await asyncio.to_thread(encrypt_attachment, upload.data)
        address = await self._api.put_file("file", sealed, "application/octet-stream")
        return as_file(
            content, upload.name, upload.mime, {"file": {**keys, "url": address}}, len(upload.data)
        )

    async def fetch(self, file_id: str) -> bytes:
        """The bytes of a file that somebody posted: an mxc:// address, or the room and event of an encrypted one."""
        if file_id.startswith("mxc://"):
            return await self._api.get_file(file_id, LARGEST)
        room, _, ident = file_id.partition(" ")
        event = await self._events.get(room, ident) if ident else None
        address, sealed = file_of(event) if event is not None else ("", None)
        if sealed is None:
            raise DeliveryError("Matrix does not have that file, or not any more")
        data = await self._api.get_file(address, LARGEST)
        try:
            key, digest, start = sealed["key"]["k"], sealed["hashes"]["sha256"], sealed["iv"]
            plain: bytes = await asyncio.to_thread(decrypt_attachment, data, key, digest, start)
        except (EncryptionError, LookupError, TypeError, ValueError) as error:
            raise DeliveryError("that file cannot be decrypted") from error
        return plain
