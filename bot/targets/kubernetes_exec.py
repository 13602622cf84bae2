"""One command in a container, over a WebSocket: bounded in time and size, without a shell, without input.

The frames are those of v4 and v5.channel.k8s.io: a byte that names the channel, then its data
(k8s.io/apimachinery/pkg/util/remotecommand).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient
from kubernetes.aio.stream import WsApiClient
from kubernetes.aio.stream.ws_client import ERROR_CHANNEL, STDERR_CHANNEL, STDOUT_CHANNEL

MOST_BYTES = 256 * 1024  # of what a command writes
_PROTOCOLS = "v5.channel.k8s.io,v4.channel.k8s.io"
_LEAVING = 0.5  # seconds that the other side has to say goodbye


@dataclass
class Ran:
    """What a command has written, the lines of both its streams as they came, and how it ended.

    What it had not written to the end of a line when it was left is not told: half of a secret passes for text.

    `code` is None where it did not end by itself; `why` says then what was in the way, as a part of a sentence:
    it was `late`, the cluster `refused` to run it, or fell `silent`, or it wrote too much.
    """

    written: bytearray = field(default_factory=bytearray)
    begun: dict[int, bytes] = field(default_factory=dict)  # the line of each stream that has not ended yet
    code: int | None = None
    why: str = ""
    late: bool = False
    refused: bool = False
    silent: bool = False

    def take(self, stream: int, data: bytes) -> None:
        """A piece of one stream."""
        whole, end, rest = (self.begun.pop(stream, b"") + data).rpartition(b"\n")
        self.written += whole + end
        self.begun[stream] = rest

    def end(self) -> None:
        """It is over: last lines without an end count."""
        for rest in self.begun.values():
            self.written += rest

    @property
    def size(self) -> int:
        """Bytes of everything that it wrote so far."""
        return len(self.written) + sum(map(len, self.begun.values()))

    def cut(self) -> None:
        """Keep so much of it as is taken."""
        if len(self.written) > MOST_BYTES:
            del self.written[self.written.rfind(b"\n", 0, MOST_BYTES) + 1 :]
        self.why = f"wrote more than {MOST_BYTES // 1024} KiB"


async def ran(
    api: ApiClient, where: str, argv: Sequence[str], container: str, *, answers: float, ends: float
) -> Ran:
    """Begin a command within `answers` seconds, and take what it writes for `ends` seconds at most.

    It may raise what aiohttp raises: WSServerHandshakeError where it was not begun.
    """
    client = WsApiClient(api.configuration)  # type: ignore[no-untyped-call]
    try:
        async with asyncio.timeout(answers):
            socket = await _begun(client, where, argv, container)
        found = Ran()
        try:
            async with asyncio.timeout(ends):
                await _taken(socket, found)
        except TimeoutError:
            found.why, found.late = "did not end in time", True
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LEAVING):
                    await socket.close()
        return found
    finally:
        await client.close()  # type: ignore[no-untyped-call]


async def _begun(
    client: WsApiClient, where: str, argv: Sequence[str], container: str
) -> aiohttp.ClientWebSocketResponse:
    """The connection, once the cluster has switched over to it."""
    query = [("container", container), ("stdout", "true"), ("stderr", "true")]
    method, url, headers, _, _ = await client.param_serialize(
        "GET",
        where,
        query_params=[*query, *(("command", word) for word in argv)],
        header_params={"sec-websocket-protocol": _PROTOCOLS},
        auth_settings=["BearerToken"],
    )
    answer: Any = await client.call_api(method, url, headers, _preload_content=False)  # type: ignore[no-untyped-call]
    socket: aiohttp.ClientWebSocketResponse = await answer.response
    return socket


async def _taken(socket: aiohttp.ClientWebSocketResponse, found: Ran) -> None:
    """Read up to the end of the command, of the connection, or of what is taken."""
    async for message in socket:
        if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
            break
        channel, data = message.data[0], message.data[1:]
        if channel in (STDOUT_CHANNEL, STDERR_CHANNEL):
            found.take(channel, data)
            if found.size > MOST_BYTES:
                found.cut()
                return
        elif channel == ERROR_CHANNEL and data:
            found.end()
            _ended(data, found)
            return
    found.why, found.silent = "was cut off: the connection broke", True


def _ended(data: bytes, found: Ran) -> None:
    """Read the Status with which a command ends: its exit code, or why it could not be begun."""
    try:
        status = json.loads(data)
        if status["status"] == "Success":
            found.code = 0
            return
        causes = (status.get("details") or {}).get("causes") or []
        codes = [int(cause["message"]) for cause in causes if cause.get("reason") == "ExitCode"]
        found.code, found.refused = (codes[0], False) if codes else (None, True)
        found.why = "" if codes else f"could not be run: {status.get('message') or 'no word'}"
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        found.why, found.silent = "was cut off: an answer came that is none of Kubernetes", True
