"""Which devices their own people vouch for: cross-signing, read from an answer of /keys/query ("Cross-signing").

A person's master key signs their self-signing key, which signs their devices. nio knows nothing of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import vodozemac

MASTER, SELF_SIGNING = "master_keys", "self_signing_keys"
_USAGES = {MASTER: "master", SELF_SIGNING: "self_signing"}
_BAD = (
    vodozemac.SignatureException,
    vodozemac.KeyException,
    vodozemac.DecodeException,
    ValueError,
    TypeError,
)

Answer = Mapping[str, Any]


def canonical(what: Mapping[str, Any]) -> bytes:
    """What of an object is signed: all but its signatures and `unsigned` ("Signing JSON", canonical JSON)."""
    told = {name: value for name, value in what.items() if name not in ("signatures", "unsigned")}
    return json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def signed(what: Mapping[str, Any], user: str, key: str) -> bool:
    """Whether an object carries a signature of the user's made with this cross-signing key (ed25519, base64)."""
    signature = _mapping(_mapping(what.get("signatures")).get(user)).get(f"ed25519:{key}")
    if not isinstance(signature, str):
        return False
    try:
        public = vodozemac.Ed25519PublicKey.from_base64(key)
        public.verify_signature(canonical(what), vodozemac.Ed25519Signature.from_base64(signature))
    except _BAD:
        return False
    return True


def key_of(answer: Answer, kind: str, user: str) -> str:
    """A user's MASTER or SELF_SIGNING key as the homeserver tells it, signed by nobody yet; empty for none."""
    told = _mapping(_mapping(answer.get(kind)).get(user))
    keys = _mapping(told.get("keys"))
    usage = told.get("usage")
    if told.get("user_id") != user or not isinstance(usage, list) or _USAGES[kind] not in usage:
        return ""
    if len(keys) != 1:
        return ""
    ((name, key),) = keys.items()
    return key if isinstance(key, str) and name == f"ed25519:{key}" else ""


def vouched(answer: Answer, user: str, master: str) -> dict[str, str]:
    """Device id → ed25519 key of the user's devices that a chain of signatures ties to this master key."""
    if not master or key_of(answer, MASTER, user) != master:
        return {}
    middle = key_of(answer, SELF_SIGNING, user)
    if not middle or not signed(answer[SELF_SIGNING][user], user, master):
        return {}
    found = {}
    for ident, device in _mapping(_mapping(answer.get("device_keys")).get(user)).items():
        told = _mapping(device)
        key = _mapping(told.get("keys")).get(f"ed25519:{ident}")
        own = told.get("user_id") == user and told.get("device_id") == ident
        if own and isinstance(key, str) and signed(told, user, middle):
            found[ident] = key
    return found


def _mapping(what: object) -> Mapping[str, Any]:
    return what if isinstance(what, dict) else {}
