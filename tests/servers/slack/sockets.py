"""Socket Mode: the WebSockets of the app, the envelopes sent over them, and their acknowledgements."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from tests.servers.slack.state import Ack, Json, Workspace

HOST = "applink-stand-in"
MOST = 10  # connections of one app at once (api.slack.com/apis/socket-mode)


@dataclass(slots=True, eq=False)
class Connection:
    """One WebSocket of the app; a retiring one takes acknowledgements and is sent nothing more."""

    socket: web.WebSocketResponse
    request: web.Request
    waiting: dict[str, asyncio.Future[Json | None]] = field(default_factory=dict)
    retiring: bool = False


class Sockets:
    """Every WebSocket of the app; envelopes go to them in turn (api.slack.com/apis/socket-mode)."""

    def __init__(self, workspace: Workspace, joined: Callable[[], object]) -> None:
        self._workspace = workspace
        self._joined = joined  # called when one more is there
        self._turn = 0
        self.connections: list[Connection] = []

    @property
    def ready(self) -> list[Connection]:
        """The connections that envelopes may be sent to."""
        return [c for c in self.connections if not (c.retiring or c.socket.closed)]

    async def link(self, request: web.Request) -> web.StreamResponse:
        """GET /link: the address that apps.connections.open gives."""
        if len(self.ready) >= MOST:
            raise web.HTTPTooManyRequests(text="too_many_websockets")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        connection = Connection(socket, request)
        self.connections.append(connection)
        await socket.send_json(self._hello())
        self._joined()
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._acknowledged(connection, message.json())
        finally:
            self.connections.remove(connection)
            _give_up(connection)
        return socket

    async def send(
        self, kind: str, payload: Json, limit: float, *, retry: int = 0, reason: str = "", takes: bool = False
    ) -> Ack:
        """Send an envelope and wait for its acknowledgement, at most `limit` seconds."""
        ready = self.ready
        if not ready:
            return Ack(False, error="connection_failed")
        self._turn += 1
        connection = ready[self._turn % len(ready)]
        number = str(uuid.uuid4())
        envelope = {
            "envelope_id": number,
            "type": kind,
            "payload": payload,
            "accepts_response_payload": takes,
        }
        if kind == "events_api":
            envelope |= {"retry_attempt": retry, "retry_reason": reason}
        answered: asyncio.Future[Json | None] = asyncio.get_running_loop().create_future()
        connection.waiting[number] = answered
        try:
            async with asyncio.timeout(limit):
                await connection.socket.send_json(envelope)
                return Ack(True, body=await answered)
        except TimeoutError:
            return Ack(False, error="timeout")
        except ConnectionError:
            return Ack(False, error="connection_failed")
        finally:
            connection.waiting.pop(number, None)

    def drop(self) -> int:
        """Cut every connection without a word; returns how many there were."""
        for connection in (cut := list(self.connections)):
            connection.retiring = True
            _give_up(connection)
            if connection.request.transport is not None:
                connection.request.transport.abort()
        return len(cut)

    async def refresh(self, reason: str) -> int:
        """Ask the app to connect anew, as Slack does when a connection has become old."""
        for connection in (old := self.ready):
            connection.retiring = True
            await connection.socket.send_json(
                {"type": "disconnect", "reason": reason, "debug_info": {"host": HOST}}
            )
        return len(old)

    async def close(self) -> None:
        """Close every connection."""
        for connection in list(self.connections):
            connection.retiring = True
            _give_up(connection)
            await connection.socket.close()

    def _hello(self) -> Json:
        return {
            "type": "hello",
            "num_connections": len(self.ready),
            "debug_info": {"host": HOST, "build_number": 1, "approximate_connection_time": 18060},
            "connection_info": {"app_id": self._workspace.app.id},
        }

    def _acknowledged(self, connection: Connection, said: Json) -> None:
        answered = connection.waiting.get(str(said.get("envelope_id")))
        if answered is None:  # late, or twice: Slack takes no notice
            return
        if not answered.done():
            answered.set_result(said.get("payload"))


def _give_up(connection: Connection) -> None:
    for answered in connection.waiting.values():
        if not answered.done():
            answered.set_exception(ConnectionResetError("the connection is gone"))
