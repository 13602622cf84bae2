"""A strict stand-in of one MongoDB server, for what is running there and how it is ended; a process of its own.

It knows the commands that Watchbell sends, with the arguments that MongoDB's command reference names for them
(https://www.mongodb.com/docs/manual/reference/command/); anything else it refuses with MongoDB's own codes.
Operations are begun, ended and counted by the command `standIn`, which no MongoDB has.
`python -m tests.servers.mongo_stand_in` starts one and prints its port.
"""

from __future__ import annotations

import itertools
import sys
import threading
from datetime import UTC, datetime

import bson
from bson import ObjectId

from tests.servers.mongo_wire import LARGEST, Document, Server

VERSION = "8.0.4"
BEGAN = datetime(2026, 1, 3, 2, 0, tzinfo=UTC)  # when operations begin here, unless it is said
NOW = datetime(2026, 1, 3, 2, 30, tzinfo=UTC)  # what its clock shows; it stands still
# What any command may carry, and what each takes besides.
COMMON = {"$db", "lsid", "$readPreference", "$clusterTime", "comment", "maxTimeMS", "readConcern"}
TAKES: dict[str, set[str]] = {
    "hello": {
        "topologyVersion",
        "maxAwaitTimeMS",
        "helloOk",
        "client",
        "compression",
        "saslSupportedMechs",
        "backpressure",
    },
    "ismaster": {"helloOk", "client", "compression", "saslSupportedMechs", "backpressure"},
    "ping": set(),
    "endSessions": set(),
    "serverStatus": {"metrics", "locks", "wiredTiger", "tcmalloc", "repl"},
    "connectionStatus": {"showPrivileges"},
    "aggregate": {"pipeline", "cursor"},
    "killOp": {"op"},
    "insert": {"documents", "ordered", "txnNumber"},
    "find": {"filter", "projection", "limit", "singleBatch"},
    "listIndexes": {"cursor"},
    "explain": {"verbosity"},
    "standIn": {"with"},
}
ADMIN = {"aggregate", "killOp", "standIn"}
KEPT = {"opid", "active", "op", "ns", "command", "planSummary", "killPending", "desc", "effectiveUsers"}
KEPT |= {"client", "client_s", "connectionId", "appName", "currentOpTime", "microsecs_running"}


class RefusedError(Exception):
    """An answer with `ok: 0`."""

    def __init__(self, code: int, name: str, text: str) -> None:
        super().__init__(text)
        self.answer = {"ok": 0.0, "errmsg": text, "code": code, "codeName": name}


class State:
    """What this server holds; `reset` makes it as new, but for the process that it is."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Nothing runs, nothing is held, nobody has killed anything."""
        self.process = ObjectId()
        self.numbers = itertools.count(1001)
        self.running: dict[int, Document] = {}
        self.kills: list[Document] = []
        self.held: dict[str, list[Document]] = {}
        self.indexes: dict[str, list[Document]] = {}
        self.member: Document = {}
        self.privileges: list[Document] = []
        self.error: Document | None = None
        self.endless = False  # operations that are killed go on, with killPending

    def answer(self, command: Document) -> Document:
        """The answer to a command; whatever is refused is an answer, too."""
        try:
            with self.lock:
                return {**self._carried_out(command), "ok": 1.0}
        except RefusedError as refused:
            return refused.answer

    def _carried_out(self, command: Document) -> Document:
        name = next(iter(command))
        if name not in TAKES:
            raise RefusedError(59, "CommandNotFound", f"no such command: '{name}'")
        for key in command:
            if key not in COMMON | TAKES[name] | {name}:
                raise RefusedError(
                    40415, "IDLUnknownField", f"BSON field '{name}.{key}' is an unknown field."
                )
        if name in ADMIN and command["$db"] != "admin":
            raise RefusedError(13, "Unauthorized", f"{name} may only be run against the admin database.")
        if self.error is not None and name not in ("hello", "ismaster", "standIn", "endSessions"):
            raise RefusedError(self.error["code"], "InternalError", self.error["errmsg"])
        found: Document = getattr(self, f"_{name}")(command)
        return found

    # -- what the server says of itself -----------------------------------------------------------

    def _hello(self, _command: Document) -> Document:
        return {
            "helloOk": True,
            "isWritablePrimary": True,
            "topologyVersion": {"processId": self.process, "counter": bson.Int64(0)},
            "maxBsonObjectSize": 16 * 1024**2,
            "maxMessageSizeBytes": LARGEST,
            "maxWriteBatchSize": 100_000,
            "localTime": NOW,
            "logicalSessionTimeoutMinutes": 30,
            "minWireVersion": 0,
            "maxWireVersion": 25,
            "readOnly": False,
            **self.member,
        }

    _ismaster = _hello

    def _ping(self, _command: Document) -> Document:
        return {}

    _endSessions = _ping  # noqa: N815 - the command's name

    def _serverStatus(self, _command: Document) -> Document:  # noqa: N802 - the command's name
        return {
            "host": "db.example.com:27017",
            "version": VERSION,
            "process": "mongod",
            "uptime": 7200.0,
            "connections": {"current": 12, "available": 838_848},
            "mem": {"bits": 64, "resident": 512},
            "opcounters": {"insert": 40, "query": 1200, "update": 7, "delete": 0, "command": 9000},
        }

    def _connectionStatus(self, _command: Document) -> Document:  # noqa: N802 - the command's name
        users = [{"user": "watchbell", "db": "admin"}] if self.privileges else []
        return {"authInfo": {"authenticatedUsers": users, "authenticatedUserPrivileges": self.privileges}}

    # -- what is running --------------------------------------------------------------------------

    def _aggregate(self, command: Document) -> Document:
        stages = command["pipeline"]
        if command["aggregate"] != 1 or not stages or "$currentOp" not in stages[0]:
            raise RefusedError(73, "InvalidNamespace", "only $currentOp stands on {aggregate: 1} here")
        if set(stages[0]["$currentOp"]) - {"allUsers", "idleConnections", "idleCursors", "localOps"}:
            raise RefusedError(9, "FailedToParse", "unrecognized option of $currentOp")
        found = list(self.running.values())
        for stage in stages[1:]:
            found = _staged(found, stage)
        return {"cursor": {"firstBatch": found, "id": bson.Int64(0), "ns": "admin.$cmd.aggregate"}}

    def _killOp(self, command: Document) -> Document:  # noqa: N802 - the command's name
        """It says yes whether there is such an operation or not, as MongoDB does."""
        number = command.get("op")
        if not isinstance(number, int) or isinstance(number, bool):
            raise RefusedError(4, "NoSuchKey", 'Expected "op" to be an integer')
        if not -(2**31) <= number < 2**31:
            raise RefusedError(26823, "Location26823", f"invalid op : {number}.")
        self.kills.append({"op": number, "comment": command.get("comment")})
        if number in self.running and self.endless:
            self.running[number]["killPending"] = True
        elif number in self.running:
            del self.running[number]
        return {"info": "attempting to kill op"}

    # -- documents --------------------------------------------------------------------------------

    def _insert(self, command: Document) -> Document:
        held = self.held.setdefault(f"{command['$db']}.{command['insert']}", [])
        held += command["documents"]
        return {"n": len(command["documents"])}

    def _find(self, command: Document) -> Document:
        space = f"{command['$db']}.{command['find']}"
        found = [each for each in self.held.get(space, []) if _fits(each, command["filter"])]
        only = command.get("projection")
        made = [_projected(each, only) if only else each for each in found[: command.get("limit") or None]]
        if not command.get("singleBatch"):
            raise RefusedError(2, "BadValue", "this server keeps no cursors")
        return {"cursor": {"firstBatch": made, "id": bson.Int64(0), "ns": space}}

    def _listIndexes(self, command: Document) -> Document:  # noqa: N802 - the command's name
        space = f"{command['$db']}.{command['listIndexes']}"
        if space not in self.held:
            raise RefusedError(26, "NamespaceNotFound", f"ns does not exist: {space}")
        by_id = {"v": 2, "key": {"_id": 1}, "name": "_id_"}
        batch = [by_id, *self.indexes.get(space, [])]
        return {"cursor": {"firstBatch": batch, "id": bson.Int64(0), "ns": space}}

    def _explain(self, command: Document) -> Document:
        asked = command["explain"]
        if command.get("verbosity") != "queryPlanner" or set(asked) - {"find", "filter"}:
            raise RefusedError(9, "FailedToParse", "only the plan of a find is explained here")
        space, fields = f"{command['$db']}.{asked['find']}", list(asked["filter"])
        index = next((i for i in self.indexes.get(space, []) if next(iter(i["key"])) in fields), None)
        scan = {"stage": "IXSCAN", "indexName": index["name"]} if index else {"stage": "COLLSCAN"}
        plan = {"stage": "FETCH", "inputStage": scan} if index else scan
        return {"explainVersion": "1", "queryPlanner": {"namespace": space, "winningPlan": plan}}

    # -- for the tests ----------------------------------------------------------------------------

    def _standIn(self, command: Document) -> Document:  # noqa: N802 - beside the others
        given = command.get("with", {})
        match command["standIn"]:
            case "reset":
                self.reset()
            case "begin":
                return {"opid": self._begun(given)}
            case "end":
                self.running.pop(given["opid"], None)
            case "kills":
                return {"kills": self.kills}
            case "index":
                self.indexes.setdefault(given["ns"], []).append(given["index"])
            case "set":
                for key, value in given.items():
                    setattr(self, key, value)
        return {}

    def _begun(self, given: Document) -> int:
        number: int = given.get("opid") or next(self.numbers)
        made = {
            "type": "op",
            "host": "db.example.com:27017",
            "desc": "conn17",
            "connectionId": 17,
            "client": "10.0.0.7:51234",
            "appName": "checkout",
            "active": True,
            "currentOpTime": NOW.isoformat(timespec="milliseconds"),
            "opid": number,
            "microsecs_running": bson.Int64((NOW - BEGAN).total_seconds() * 1e6),
            "op": "query",
            "ns": "shop.orders",
            "command": {"find": "orders", "filter": {"status": "open"}, "$db": "shop"},
            "planSummary": "COLLSCAN",
        }
        self.running[number] = {key: value for key, value in {**made, **given}.items() if value is not None}
        return number


def _staged(found: list[Document], stage: Document) -> list[Document]:
    (name, told), *more = stage.items()
    if more or name not in ("$match", "$sort", "$limit", "$project"):
        raise RefusedError(40324, "Location40324", f"Unrecognized pipeline stage name: '{name}'")
    if name == "$match":
        return [each for each in found if _fits(each, told)]
    if name == "$sort":
        (key, way), *_ = told.items()
        return sorted(found, key=lambda each: int(each.get(key, 0)) * way)
    if name == "$limit":
        return found[:told]
    return [{key: value for key, value in each.items() if told.get(key)} for each in found]


def _fits(document: Document, wanted: Document) -> bool:
    """Whether a document fits a filter; only equality, and what these few operators say."""
    for key, value in wanted.items():
        there = document.get(key)
        tests = value if isinstance(value, dict) and next(iter(value), "").startswith("$") else {"$eq": value}
        for operator, limit in tests.items():
            if operator == "$eq":
                good = there == limit
            elif operator == "$lt":
                good = there is not None and there < limit
            elif operator == "$in":
                good = there in limit
            else:
                raise RefusedError(2, "BadValue", f"unknown operator: {operator}")
            if not good:
                return False
    return True


def _projected(document: Document, only: Document) -> Document:
    """What a projection names, down to fields of fields, and the id unless it is left out."""
    made = {}
    for key, value in document.items():
        below = {path[len(key) + 1 :]: 1 for path in only if path.startswith(f"{key}.")}
        if only.get(key, key == "_id"):
            made[key] = value
        elif below and isinstance(value, dict):
            made[key] = _projected(value, below)
    return made


if __name__ == "__main__":
    state = State()
    with Server(state.answer) as server:
        print(server.port, flush=True)  # noqa: T201 - that is what it is started for
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()  # until whoever started it goes
