"""Each change of a Redis as a plan, made of what was seen of it: for a real one and for the sandbox's alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bot.targets.redis_words import allowed, bytes_of, human, is_wild
from bot.targets.redis_words import size as typed
from commands.actions import Plan
from commands.values import nearest, shown
from incidents import wording
from incidents.ports import RefusedError

_LEAST, _MOST = 64 * 1024**2, 1024**4  # bytes that maxmemory takes; 0, no limit, besides
POLICIES = (
    "noeviction",
    *(f"{keys}-{how}" for keys in ("allkeys", "volatile") for how in ("lru", "lfu", "random")),
    "volatile-ttl",
)
BATCH = 500  # keys unlinked at a time


@dataclass(frozen=True, slots=True)
class Seen:
    """A Redis as it was when the plan was made. `several`: there are others, so that its name has to be said."""

    name: str
    title: str
    several: bool
    identity: str
    environment: str
    service: str | None
    maxmemory: int
    used: int
    policy: str

    def words(self, *words: str) -> str:
        """What is typed behind the command."""
        return " ".join((*words, f"name={self.name}") if self.several else words)


# -- settings -------------------------------------------------------------------------------------


def maxmemory(seen: Seen, *, size: str) -> Plan:
    """Another limit of memory; a danger where keys are evicted for it."""
    wanted, old = _wanted(seen, str(size)), seen.maxmemory
    evicts = 0 < wanted < seen.used and seen.policy != "noeviction"
    notes = []
    if 0 < wanted < seen.used:
        what = "keys will be evicted" if evicts else "every write will be refused"
        notes.append(f"{human(seen.used)} are used now: {what}")
    if not wanted:
        notes.append("without a limit Redis may take all the memory of its machine")
    return _plan(
        seen,
        "maxmemory",
        words=(typed(wanted),),
        summary=f"{seen.title} maxmemory {allowed(old)} → {allowed(wanted)}",
        args={"size": typed(wanted)},
        before={"maxmemory": allowed(old)},
        after={"maxmemory": allowed(wanted)},
        undo=_back(seen, "maxmemory", typed(old), label=allowed(old), size=typed(old))
        if _in_bounds(old)
        else None,
        effect="danger" if evicts else "change",
        notes=tuple(notes),
        done=f"{seen.name} may use {allowed(wanted)}",
    )


def _wanted(seen: Seen, words: str) -> int:
    wanted = bytes_of(words)
    if wanted is None:
        raise RefusedError(
            "maxmemory is a number and a unit (kb, mb or gb), as in 512mb or 4gb, or 0 for no limit; "
            f"{shown(words)} is not."
        )
    if not _in_bounds(wanted):
        raise RefusedError(f"maxmemory takes 64mb to 1024gb, or 0 for no limit; {shown(words)} is outside.")
    if wanted == seen.maxmemory:
        raise RefusedError(f"{seen.name} is allowed {allowed(wanted)} already.")
    return wanted


def _in_bounds(count: int) -> bool:
    return count == 0 or _LEAST <= count <= _MOST


def policy(seen: Seen, *, policy: str) -> Plan:
    """Another way to choose what is evicted."""
    if policy not in POLICIES:
        raise RefusedError(f"There is no eviction policy {shown(policy)}.{nearest(policy, POLICIES)}")
    old = seen.policy
    if policy == old:
        raise RefusedError(f"{seen.name} evicts by {policy} already.")
    full = 0 < seen.maxmemory <= seen.used and policy != "noeviction"
    return _plan(
        seen,
        "policy",
        words=(policy,),
        summary=f"{seen.title} policy {old} → {policy}",
        args={"policy": policy},
        before={"policy": old},
        after={"policy": policy},
        undo=_back(seen, "policy", old, policy=old) if old in POLICIES else None,
        notes=("memory is full: keys will be evicted at once",) if full else (),
        done=f"{seen.name} evicts by {policy}",
    )


# -- clients --------------------------------------------------------------------------------------


def kill(seen: Seen, *, client: str, address: str) -> Plan:
    """Close a connection."""
    return _plan(
        seen,
        "kill",
        words=(client,),
        summary=f"{seen.title} kill client {client} ({address})",
        args={"client": client},
        before={"client": address},
        after={"client": None},
        done=f"client {client} was disconnected",
    )


# -- keys -----------------------------------------------------------------------------------------


def check_pattern(pattern: str) -> None:
    """RefusedError for a pattern that is every key, or could be."""
    if is_wild(pattern):
        raise RefusedError(
            "That pattern is every key, or could be: write some of the keys' own characters, "
            "or use redis flush and type the database's name."
        )


def delete(seen: Seen, *, pattern: str, count: int, sessions: int, kept: int = 0, deletion: str = "") -> Plan:
    """Delete so many keys, some of which are sessions; their values are kept for `kept` minutes, or not at all.

    `deletion` is what they are kept under, so that the way back brings these and no others.
    """
    if not count:
        raise RefusedError(f"No key of {seen.name} matches {shown(pattern)}.")
    told = keys(count)
    how = (
        f"the values are kept for {kept} minutes to be brought back, "
        "in the memory of the bot that runs this: a restart loses them"
    )
    return _plan(
        seen,
        "del",
        words=(pattern,),
        summary=f"{seen.title} del {pattern}: {told}",
        args={"pattern": pattern},
        before={"keys": count},
        after={"keys": 0},
        undo=_back(seen, "restore", pattern, label=told, pattern=pattern, deletion=deletion)
        if kept
        else None,
        effect="danger",
        notes=(how if kept else f"gone for good, in batches of {BATCH}", *_sessions(sessions)),
        done=f"{told} deleted",
    )


def restore(seen: Seen, *, pattern: str, deletion: str, count: int, there: int) -> Plan:
    """Bring so many keys of one deletion back, to those that match already."""
    told = keys(count)
    return _plan(
        seen,
        "restore",
        words=(pattern,),
        summary=f"{seen.title} restore {pattern}: {told}",
        args={"pattern": pattern, "deletion": deletion},
        before={"keys": there},
        after={"keys": there + count},
        notes=("keys that somebody has made anew stay as they are",),
        done=f"{told} {'is' if count == 1 else 'are'} back",
    )


def check_flush(seen: Seen, database: str, others: Collection[str] = ()) -> None:
    """RefusedError where what was typed is not the name of the database; `others` are those that there are besides."""
    if database in others:
        raise RefusedError(
            f"That would flush {seen.name}; to flush {database}, name it as well: "
            f"redis flush {database} name={database}."
        )
    if database != seen.name:
        raise RefusedError(f"That flushes {seen.name}: type its name, as in redis flush {seen.name}.")


def flush(seen: Seen, *, count: int) -> Plan:
    """Delete every key."""
    return _plan(
        seen,
        "flush",
        words=(seen.name,),
        summary=f"{seen.title} flush: {'all ' if count != 1 else ''}{keys(count)}",
        args={"database": seen.name},
        before={"keys": count},
        after={"keys": 0},
        effect="danger",
        notes=("gone for good", "sessions, where there are any, are among them: people are logged out"),
        done=f"{seen.name} is empty",
    )


def get(seen: Seen, *, key: str) -> Plan:
    """Show one person a value that is not for everybody."""
    return _plan(
        seen,
        "get",
        words=(key,),
        summary=f"{seen.title} get {key}",
        args={"key": key},
        before={},
        after={},
        notes=("the value is shown to the requester alone",),
        private=True,
        done=f"the value of {key} was shown to the requester",
    )


def keys(count: int) -> str:
    """1 key, 2 keys."""
    return wording.counted(count, "key")


def _sessions(count: int) -> tuple[str, ...]:
    if not count:
        return ()
    verb = "is" if count == 1 else "are"
    return (f"{count} of them {verb} never shown, like sessions: people may be logged out",)


# -- what all have --------------------------------------------------------------------------------


def _plan(
    seen: Seen,
    verb: str,
    *,
    words: tuple[str, ...],
    args: Mapping[str, Any],
    effect: Literal["change", "danger"] = "change",
    **more: Any,
) -> Plan:
    return Plan(
        command=f"redis {verb}",
        line=f"redis {verb} {seen.words(*words)}",
        target="redis",
        verb=verb,
        args={"name": seen.name, **args},
        subject=f"redis:{seen.name}",
        identity=seen.identity,
        environment=seen.environment,
        service=seen.service,
        effect=effect,
        **more,
    )


def _back(seen: Seen, verb: str, word: str, *, label: str = "", **args: Any) -> dict[str, Any]:
    """The way back, as a plan carries it."""
    line = f"redis {verb} {seen.words(word)}"
    return {"line": line, "verb": verb, "args": {"name": seen.name, **args}, "label": label or word}
