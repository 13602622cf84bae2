"""MongoDB's wire protocol for a server: OP_MSG, which is all that drivers speak today.

https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
"""

from __future__ import annotations

import socketserver
import struct
from collections.abc import Callable
from typing import Any

import bson

Document = dict[str, Any]
MESSAGE = 2013
LARGEST = 48_000_000  # bytes of a message
# What is sent in place of what: MongoDB keeps texts as they came, UTF-8 or not.
SPOILT = (b"sent without UTF-8", b"sent \xff\xfe\xfd\xc0out UTF-8")


class Connection(socketserver.StreamRequestHandler):
    """One client."""

    server: Server

    def handle(self) -> None:
        """Answer until the client goes."""
        while head := self.rfile.read(16):
            length, number, _, code = struct.unpack("<iiii", head)
            if not 16 < length <= LARGEST or code != MESSAGE:
                return
            body = self.rfile.read(length - 16)
            command = _message(body)
            if "maxAwaitTimeMS" in command:
                return  # whoever polls does not wait
            answer = bson.encode(self.server.answer(command)).replace(*SPOILT)
            told = struct.pack("<IB", 0, 0)
            self.wfile.write(struct.pack("<iiii", 16 + len(told) + len(answer), 0, number, MESSAGE))
            self.wfile.write(told + answer)


def _message(body: bytes) -> Document:
    """Flags, then one document, and sequences of more (https://github.com/mongodb/specifications: OP_MSG)."""
    found: Document = {}
    at, flags = 4, struct.unpack("<I", body[:4])[0]
    if flags & 0xFFFF:
        raise ValueError("flags that are not known")
    while at < len(body):
        kind, size = body[at], struct.unpack("<i", body[at + 1 : at + 5])[0]
        part = body[at + 1 : at + 1 + size]
        if kind == 0:
            found = {**bson.decode(part), **found}
        else:
            end = part.index(b"\0", 4)
            found[part[4:end].decode()] = bson.decode_all(part[end + 1 :])
        at += 1 + size
    return found


class Server(socketserver.ThreadingTCPServer):
    """A door on a free loopback port, behind which `answer` answers commands."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, answer: Callable[[Document], Document]) -> None:
        super().__init__(("127.0.0.1", 0), Connection)
        self.answer = answer
        self.port = int(self.server_address[1])
