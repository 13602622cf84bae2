"""Files to Slack and from it: three calls to share one, two to read one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from bot.chat import DeliveryError, RetryLaterError, Upload
from bot.platforms.slack_blocks import Block
from bot.platforms.slack_client import SlackClient, UnavailableError

LARGEST = 25_000_000  # bytes of a file that is read
# Seconds between two looks for the message of a file: Slack shares it after it has answered ("files.info").
_LOOKS = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6)


class Files:
    """What the bot shares and reads."""

    def __init__(
        self, api: SlackClient, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._api = api
        self._sleep = sleep

    async def share(
        self, channel: str, uploads: Sequence[Upload], blocks: Sequence[Block], thread: str | None
    ) -> str:
        """Post files as one message and return its ts; see "Working with files", uploading.

        UnavailableError where Slack took the files but does not show the message yet.
        """
        files = [{"id": await self._send(upload), "title": upload.name} for upload in uploads]
        answer = await self._api.call(
            "files.completeUploadExternal",
            files=files,
            channel_id=channel,
            thread_ts=thread,
            blocks=list(blocks),
        )
        taken = answer.get("files") or ()
        known = next((ts for file in taken if (ts := _shared(file, channel))), None)
        return known or await self._where(files[0]["id"], channel)

    async def fetch(self, file_id: str) -> bytes:
        """The bytes of a file that somebody posted; DeliveryError where it is gone, elsewhere, or over 25 MB."""
        file = (await self._api.call("files.info", file=file_id))["file"]
        address = file.get("url_private")
        if not address or file.get("mode") in ("external", "tombstone", "hidden_by_limit"):
            raise DeliveryError("Slack does not have that file, or not any more")
        if int(file.get("size") or 0) > LARGEST:
            raise DeliveryError(f"that file is larger than {LARGEST // 1_000_000} MB")
        return await self._api.load_file(str(address), LARGEST)

    # -- inside -----------------------------------------------------------------------------------

    async def _send(self, upload: Upload) -> str:
        data = upload.data or b"\n"  # Slack takes no file without bytes
        answer = await self._api.call("files.getUploadURLExternal", filename=upload.name, length=len(data))
        await self._api.send_file(str(answer["upload_url"]), data)
        return str(answer["file_id"])

    async def _where(self, file_id: str, channel: str) -> str:
        for pause in _LOOKS:
            await self._sleep(pause)
            try:
                file = (await self._api.call("files.info", file=file_id))["file"]
            except RetryLaterError as error:  # which would say that nothing was posted
                raise UnavailableError("Slack took the file, and does not say where it is") from error
            if (ts := _shared(file, channel)) is not None:
                return ts
        raise UnavailableError("Slack took the file, but does not show it in the channel yet")


def _shared(file: Mapping[str, Any], channel: str) -> str | None:
    """The ts of the message that a file was shared by ("File object", shares)."""
    shares = file.get("shares") or {}
    found = (share for kind in ("public", "private") for share in (shares.get(kind) or {}).get(channel) or ())
    return next((str(share["ts"]) for share in found), None)
