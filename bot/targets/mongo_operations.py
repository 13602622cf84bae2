"""What a MongoDB server says of itself, and what is running there: whose, since when, and without the values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from bot.targets.mongo_filter import fields
from bot.targets.mongo_link import APPLICATION, Document, Link
from commands.actions import TargetError

MOST = 100  # operations that are asked for
_WRAP = 2**32  # operations are counted in 32 bits, and told as signed numbers
ROUTER = "router of a sharded cluster"
# What of an operation is asked for; there may be much more
# (https://www.mongodb.com/docs/manual/reference/operator/aggregation/currentOp/).
_ASKED = dict.fromkeys(
    (
        *("opid", "active", "op", "ns", "command", "planSummary", "killPending", "desc", "effectiveUsers"),
        *("client", "client_s", "connectionId", "appName", "currentOpTime", "microsecs_running"),
    ),
    1,
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation that is running. `opid` is None on a router, where numbers begin with their shard's name."""

    called: str  # the number as people see and type it
    opid: int | None  # as the server takes it
    command: str
    namespace: str
    asks: str  # the fields that it asks about
    client: str
    connection: object
    application: str
    started: datetime | None
    seconds: float
    plan: str
    internal: bool
    dying: bool

    @property
    def mine(self) -> bool:
        """Whether it is the bot's own."""
        return self.application == APPLICATION

    @property
    def spoken(self) -> str:
        """`find shop.orders by status`; values are nobody's business."""
        return f"{self.command} {self.namespace}{f' by {self.asks}' if self.asks else ''}".strip()

    @property
    def described(self) -> str:
        """What tells it from another operation of the same number, but for when it began."""
        return f"{self.command} {self.namespace} from {self.client} (connection {self.connection})"


async def hello(link: Link) -> Document:
    """What the server says of itself."""
    return await link.look({"hello": 1}, database="admin")


def role(found: Mapping[str, Any]) -> str:
    """What the server is in its replica set, if it is in one."""
    if found.get("msg") == "isdbgrid":
        return ROUTER
    if "setName" not in found:
        return "standalone"
    if found.get("isWritablePrimary"):
        return "primary"
    return "secondary" if found.get("secondary") else "member that is not ready"


def process(found: Mapping[str, Any], link: Link) -> str:
    """Which process of which server, and its role: another start is another one (topologyVersion, MongoDB 4.4)."""
    version = found.get("topologyVersion")
    number = version.get("processId") if isinstance(version, dict) else None
    if not isinstance(number, ObjectId):
        raise TargetError(f"{link.title} does not say which process it is; MongoDB 4.4 and later do.")
    return f"{number} {role(found)}"


async def operations(link: Link) -> list[Operation]:
    """What is running, the longest first, without the bot's own questions."""
    found = await _running(link, {"active": True})
    return sorted((each for each in found if not each.mine), key=lambda each: -each.seconds)


async def operation(link: Link, called: str) -> Operation | None:
    """The running operation of that number, or None."""
    number = int(called)
    found = await _running(link, {"active": True, "opid": number - _WRAP if number >= _WRAP // 2 else number})
    return next((each for each in found if each.called == called), None)


async def _running(link: Link, wanted: Document) -> list[Operation]:
    found = await link.look(
        {
            "aggregate": 1,
            "pipeline": [
                {"$currentOp": {"allUsers": True, "idleConnections": False}},
                {"$match": wanted},
                {"$sort": {"microsecs_running": -1}},
                {"$limit": MOST},
                {"$project": _ASKED},
            ],
            "cursor": {"batchSize": MOST + 1},
            "maxTimeMS": link.milliseconds,
        },
        database="admin",
    )
    batch = found["cursor"].get("firstBatch") if isinstance(found.get("cursor"), dict) else None
    if not isinstance(batch, list):
        raise TargetError(f"{link.title} does not say what is running.")
    return [_operation(each, link.redact) for each in batch if isinstance(each, dict) and "opid" in each]


def _operation(found: Document, redact: Callable[[str], str]) -> Operation:
    """https://www.mongodb.com/docs/manual/reference/command/currentOp/#output-fields"""
    opid, namespace = found["opid"], str(found.get("ns", ""))
    number = opid if isinstance(opid, int) else None
    micros = found.get("microsecs_running")
    running = timedelta(microseconds=micros if isinstance(micros, int) else 0)
    now = _time(found.get("currentOpTime"))
    users = found.get("effectiveUsers")
    system = any(isinstance(user, dict) and user.get("user") == "__system" for user in users or ())
    client = str(found.get("client") or found.get("client_s") or "")
    return Operation(
        called=str(number % _WRAP) if number is not None else str(opid),
        opid=number,
        command=_command(found, redact),
        namespace=_cut(namespace, 80, redact),
        asks=_asks(found.get("command"), redact),
        client=client,
        connection=found.get("connectionId"),
        application=str(found.get("appName", "")),
        started=now - running if now is not None and isinstance(micros, int) else None,
        seconds=running.total_seconds(),
        plan=_cut(str(found.get("planSummary", "")), 40, redact),
        internal=not client or system or namespace.split(".")[0] in ("local", "config"),
        dying=bool(found.get("killPending")),
    )


def _time(told: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(told) if isinstance(told, str) else None
    except ValueError:
        return None
    return found.astimezone(UTC) if found is not None and found.tzinfo is not None else None


def _command(found: Document, redact: Callable[[str], str]) -> str:
    """Its name; a command that the server cut short has only its kind."""
    command = found.get("command")
    name = next(iter(command), "") if isinstance(command, dict) else ""
    return str(found.get("op", "")) if not name or name.startswith("$") else _cut(name, 30, redact)


def _asks(command: object, redact: Callable[[str], str]) -> str:
    if not isinstance(command, dict):
        return ""
    asked = command.get("filter") or command.get("query") or command.get("q") or {}
    return _cut(", ".join(sorted(set(fields(asked)))[:5]), 60, redact)


def _cut(text: str, most: int, redact: Callable[[str], str]) -> str:
    """Redacted before it is cut: half of a secret passes for text."""
    return text if len(text) <= most else redact(text)[:most]
