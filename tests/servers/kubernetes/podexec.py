"""/exec of a pod: commands with answers that a test has set, over a WebSocket.

The frames are those of v4.channel.k8s.io and v5.channel.k8s.io: a byte that names the channel, then its data
(k8s.io/apimachinery/pkg/util/remotecommand). A right to `get` is asked for, as for every GET, and one to
`create`, as since Kubernetes 1.35.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import WSMsgType, web

from tests.servers.kubernetes import rbac
from tests.servers.kubernetes.call import Call
from tests.servers.kubernetes.objects import current
from tests.servers.kubernetes.status import bad_request, forbidden, internal

Json = dict[str, Any]
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STREAMS = ("stdin", "stdout", "stderr")
STDOUT, STDERR, ERROR = 1, 2, 3
FRAME = 32 * 1024  # bytes of output in one frame at most, as the node's runtime copies it


@dataclass(frozen=True)
class Outcome:
    """What a command writes, and with which code it ends.

    One that hangs ends only with its connection; of one that is cut the connection breaks after its output.
    """

    stdout: bytes = b""
    stderr: bytes = b""
    code: int = 0
    hangs: bool = False
    cut: bool = False


class PodExec:
    """One command in a container; raises ApiError where it cannot be begun."""

    def __init__(self, call: Call, attempt: rbac.Attempt) -> None:
        self._call = call
        create = replace(attempt, verb="create")
        if rbac.allowed(call.account, create) is None:
            raise forbidden(call.resource, call.name, rbac.refusal(call.account, create))
        self._pod = current(call)
        self._check()

    def _check(self) -> None:
        phase = self._pod["status"].get("phase")
        if phase in ("Succeeded", "Failed"):
            told = f"cannot exec into a container in a completed pod; current phase is {phase}"
            raise bad_request(told)
        query = self._call.query
        if not any(query.get(stream) == "true" for stream in STREAMS):
            raise bad_request("you must specify at least 1 of stdin, stdout, stderr")
        names = [container["name"] for container in self._pod["spec"]["containers"]]
        asked = query.get("container") or (names[0] if len(names) == 1 else "")
        if not asked:
            choice = f"choose one of: [{' '.join(names)}]"
            raise bad_request(f"a container name must be specified for pod {self._call.name}, {choice}")
        if asked not in names:
            raise bad_request(f"container {asked} is not valid for pod {self._call.name}")
        statuses = self._pod["status"].get("containerStatuses") or ()
        if not any(s["name"] == asked and "running" in s["state"] for s in statuses):
            raise internal(f'unable to upgrade connection: container not found ("{asked}")')

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Run it: its output, then how it ended."""
        socket = web.WebSocketResponse(protocols=PROTOCOLS)
        if not socket.can_prepare(request).ok:
            raise bad_request("Upgrade request required")
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        if not {each.strip() for each in offered.split(",")} & set(PROTOCOLS):
            return web.Response(status=403)  # as golang.org/x/net/websocket answers a handshake that fails
        await socket.prepare(request)
        await self._greet(socket)
        command = tuple(request.query.getall("command", []))
        outcome: Outcome | None = self._call.cluster.commands.get(command)
        if outcome is None:
            await self._end(socket, _missing(command))
        else:
            try:
                await self._run(socket, outcome)
            except ConnectionResetError:
                if request.transport is not None:
                    request.transport.abort()
        return socket

    async def _run(self, socket: web.WebSocketResponse, outcome: Outcome) -> None:
        for channel, text in ((STDOUT, outcome.stdout), (STDERR, outcome.stderr)):
            if self._call.query.get(STREAMS[channel]) != "true":
                continue
            for at in range(0, len(text), FRAME):
                await socket.send_bytes(bytes([channel]) + text[at : at + FRAME])
        if outcome.hangs:
            await self._until_gone(socket)
        elif outcome.cut:
            raise ConnectionResetError  # in the middle, without a word
        else:
            await self._end(socket, _ended(outcome.code))

    async def _greet(self, socket: web.WebSocketResponse) -> None:
        """An empty frame on the first stream that is read, which says that the connection stands."""
        first = STDOUT if self._call.query.get("stdout") == "true" else STDERR
        await socket.send_bytes(bytes([first]))

    async def _until_gone(self, socket: web.WebSocketResponse) -> None:
        """Wait for the other side to go, or for control to end it."""
        ended = self._call.cluster.signals.ended
        reading = asyncio.create_task(_drained(socket))
        while not reading.done() and self._call.cluster.signals.ended == ended:
            news = asyncio.create_task(self._call.cluster.store.news())
            await asyncio.wait({reading, news}, return_when=asyncio.FIRST_COMPLETED)
            news.cancel()
        reading.cancel()

    @staticmethod
    async def _end(socket: web.WebSocketResponse, status: Json) -> None:
        await socket.send_bytes(bytes([ERROR]) + json.dumps(status).encode())
        await socket.close()


async def _drained(socket: web.WebSocketResponse) -> None:
    async for message in socket:
        if message.type is WSMsgType.ERROR:
            return


def _ended(code: int) -> Json:
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    told = f"command terminated with non-zero exit code: command terminated with exit code {code}"
    causes = [{"reason": "ExitCode", "message": str(code)}]
    return {
        "metadata": {},
        "status": "Failure",
        "message": told,
        "reason": "NonZeroExitCode",
        "details": {"causes": causes},
    }


def _missing(command: tuple[str, ...]) -> Json:
    name = command[0] if command else ""
    told = (
        f'exec failed: unable to start container process: exec: "{name}": executable file not found in $PATH'
    )
    return internal(f"error executing command in container: {told}").body
