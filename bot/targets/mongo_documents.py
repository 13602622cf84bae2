"""Documents of a real MongoDB: which fields may be seen at once, and each document without its secrets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import Binary, json_util
from bson.binary import UUID_SUBTYPE
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument

from bot.redact import REDACTED, Redactor, hides
from bot.redact_shapes import names_count, names_secret
from bot.targets.mongo_filter import fields
from bot.targets.mongo_link import Document, Link
from commands.actions import Answer
from commands.values import shown
from incidents.ports import RefusedError

MOST = 20  # documents
LARGEST, LONGEST, DEEPEST = 32 * 1024, 2000, 20  # bytes of a document, its characters as shown, its levels


@dataclass(frozen=True, slots=True)
class Rules:
    """Which fields of which collections may be seen at once, and what takes secrets out."""

    readable: Mapping[str, Sequence[str]]
    redactor: Redactor

    def allows(self, collection: str, asked: Document) -> bool:
        """Whether a filter names only fields that may be seen: what it asks about others would tell of them.

        A secret within such a field is never shown, so nothing may be asked about it either.
        """
        seen = self.readable.get(collection)
        return bool(seen) and all(
            _within(field, seen or ()) and not _speaks_of_secrets(field) for field in fields(asked)
        )

    def projection(self, collection: str) -> Document:
        """These fields and no others, not even `_id` where it is not among them."""
        seen = self.readable[collection]
        only = [field for field in seen if not _within(field, [each for each in seen if each != field])]
        return {"_id": 0, **dict.fromkeys(only, 1)}


def collection(name: str) -> str:
    """The name of a collection; RefusedError for MongoDB's own."""
    if name.startswith(("system.", ".")) or name.endswith("."):
        raise RefusedError(f"{shown(name)} is no collection that I look into.")
    return name


async def documents(
    link: Link, rules: Rules, name: str, asked: Document, *, projection: Document | None = None
) -> Answer:
    """Up to twenty documents, secrets taken out; with a projection only what it names."""
    command: Document = {
        "find": name,
        "filter": asked,
        "limit": MOST + 1,
        "singleBatch": True,
        "maxTimeMS": link.milliseconds,
    }
    if projection is not None:
        command["projection"] = projection
    found = await link.documents(command)
    lines = [_line(rules.redactor, each) for each in found[:MOST]]
    count = f"more than {MOST}" if len(found) > MOST else str(len(found))
    plural = "document" if count == "1" else "documents"
    head = f"{link.title} · {count} {plural} of {name}"
    return Answer(head, text="\n".join(lines), file_name=f"{name.replace('/', '-')}.txt")


def _line(redactor: Redactor, found: RawBSONDocument) -> str:
    """A document on one line; it is looked into only where it is small."""
    if len(found.raw) > LARGEST:
        return f"a document of {len(found.raw) // 1024} KiB, which is too large to be shown"
    try:
        text = json_util.dumps(_safe(redactor, found, 0), ensure_ascii=False)
    except (BSONError, RecursionError, ValueError, OverflowError):
        return "a document that nobody understands"
    plain = redactor.redact("".join(c if c.isprintable() else "�" for c in text))
    return plain if len(plain) <= LONGEST else f"{plain[:LONGEST]}…"


def _safe(redactor: Redactor, value: Any, level: int) -> Any:
    """Plain data, without what a field's name calls a secret whatever it holds, and without bytes."""
    if level > DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {
            str(key): REDACTED if _secret(str(key), each) else _safe(redactor, each, level + 1)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_safe(redactor, each, level + 1) for each in value]
    if isinstance(value, Binary) and value.subtype == UUID_SUBTYPE and len(value) == 16:
        return str(value.as_uuid())
    if isinstance(value, bytes):
        return f"‹{len(value)} bytes›"
    return redactor.redact(value) if isinstance(value, str) else value


def _secret(key: str, value: Any) -> bool:
    """Whether the field's name says so, whatever it holds; a switch, nothing and a count of tokens are none."""
    if value is None or isinstance(value, bool) or not names_secret(key):
        return False
    return hides(key, value) if isinstance(value, str) or names_count(key) else True


def _speaks_of_secrets(field: str) -> bool:
    """Whether a part of the path is called one: `account.password.0`."""
    return any(names_secret(part) for part in field.split("."))


def _within(field: str, readable: Iterable[str]) -> bool:
    """Whether one of the readable fields is this one, or holds it."""
    return any(field == each or field.startswith(f"{each}.") for each in readable)
