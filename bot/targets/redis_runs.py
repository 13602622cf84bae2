"""How a change of a real Redis runs: sent once on a connection that was looked through before, and proved after."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from bot.targets.guard import UnreachableError
from bot.targets.redis_changes import BATCH, keys
from bot.targets.redis_dumps import Dumps, Removed, Value, small
from bot.targets.redis_link import MOST_BYTES, BrokenError, Line, Link
from bot.targets.redis_server import counted, scanned
from bot.targets.redis_state import observed
from bot.targets.redis_values import Keys, value
from commands.actions import Outcome, Plan, Progress, TargetError
from incidents.ports import Clock, RefusedError

_TRIES = 10  # for keys that somebody writes to while they are read


class Runner:
    """Runs the plans of one database."""

    def __init__(self, link: Link, keys: Keys, dumps: Dumps, clock: Clock) -> None:
        self._link, self._keys, self._dumps, self._clock = link, keys, dumps, clock

    async def run(self, plan: Plan, progress: Progress) -> Outcome:
        """Do it, once. TargetError: nothing was changed."""
        if plan.verb == "get":
            return await self._get(plan)
        async with self._link.line() as line:
            identity, now = await observed(line, self._link, self._keys, plan)
            if identity != plan.identity or dict(now) != dict(plan.before):
                raise self._moved()
            try:
                return await self._change(line, plan, progress)
            except BrokenError as error:
                return await self._unknown(plan, str(error))

    async def follow(self, plan: Plan) -> Outcome | None:
        """After a crash: settings, and a client that is gone, speak for themselves; keys that are gone do not.

        A setting that has the planned value is what was asked for, whoever wrote it; a client's id is never given
        again while the same server runs. Keys may have expired, or have been deleted by anybody.
        """
        if plan.verb not in ("maxmemory", "policy", "kill"):
            return None
        identity, now = await observed(self._link, self._link, self._keys, plan)
        if identity != plan.identity or dict(now) != dict(plan.after):
            return None
        return Outcome("done", plan.done, dict(now))

    async def _change(self, line: Line, plan: Plan, progress: Progress) -> Outcome:
        args = plan.args
        match plan.verb:
            case "maxmemory":
                await line.change("CONFIG", "SET", "maxmemory", str(args["size"]))
            case "policy":
                await line.change("CONFIG", "SET", "maxmemory-policy", str(args["policy"]))
            case "kill":
                address = str(plan.before["client"]).rpartition(" ")[2]
                if await line.change("CLIENT", "KILL", "ID", str(args["client"]), "ADDR", address) != 1:
                    raise TargetError(f"Client {args['client']} has left by itself; nothing was changed.")
            case "flush":
                await line.change("FLUSHDB", "ASYNC")
            case "restore":
                return await self._restore(line, plan, progress)
            case "del" if plan.undo is not None:
                return await self._take(line, plan, progress)
            case "del":
                return await self._delete(line, plan, progress)
            case _:
                raise RefusedError(f"Redis knows no {plan.verb}.")
        return Outcome("done", plan.done, await self._now(plan))

    async def _now(self, plan: Plan) -> dict[str, Any]:
        """What it is like after Redis has said yes; where it cannot be asked any more, as was planned."""
        try:
            _, now = await observed(self._link, self._link, self._keys, plan)
        except TargetError:
            return dict(plan.after)
        return dict(now)

    async def _unknown(self, plan: Plan, why: str) -> Outcome:
        try:
            _, now = await observed(self._link, self._link, self._keys, plan)
        except TargetError as error:
            return Outcome("unknown", f"{why}. {error}")
        shows = ", ".join(f"{name}={found}" for name, found in now.items())
        return Outcome("unknown", f"{why}. {self._link.title} shows {shows}.")

    async def _get(self, plan: Plan) -> Outcome:
        self._keys.refuse(str(plan.args["key"]))
        try:
            found = await value(self._link, self._keys, str(plan.args["key"]))
        except RefusedError as error:
            raise TargetError(str(error)) from error
        return Outcome("done", plan.done, {}, found)

    # -- keys -------------------------------------------------------------------------------------

    async def _take(self, line: Line, plan: Plan, progress: Progress) -> Outcome:
        """Read first, then delete what has not changed since: what is promised to be kept is there before it goes."""
        assert plan.undo is not None
        deletion = str(plan.undo["args"]["deletion"])
        pattern = str(plan.args["pattern"])
        found = await counted(line, pattern, self._keys.refused, self._link.title)
        if found.refused or len(found.keys) != plan.before["keys"] or self._dumps.holds(deletion):
            raise self._moved()
        if not await small(line, found.keys):
            raise self._grown()
        await progress(0, found.total, "keys")
        gone = None
        for _ in range(_TRIES):
            values = await self._values(line, found.keys)
            now = self._clock.now()
            self._dumps.put(deletion, Removed(self._link.name, pattern, plan.identity, now, values))
            gone = await self._unlinked(line, found.keys, deletion)
            if gone is not None:
                break
        else:
            raise TargetError(
                f"{self._link.title}: the keys change faster than they can be read, so nothing was changed."
            )
        await progress(found.total, found.total, "keys")
        return await self._deleted(plan, gone)

    async def _values(self, line: Line, found: Sequence[bytes]) -> dict[bytes, Value]:
        """What is to be kept, watched from now on."""
        reads = [words for key in found for words in (("DUMP", key), ("PTTL", key))]
        try:
            _, *replies = await line.look_through(("WATCH", *found), *reads)
        except UnreachableError as error:
            raise TargetError(f"{error} Nothing was changed.") from error
        pairs = zip(found, replies[::2], replies[1::2], strict=True)
        values = {
            key: Value(dump, self._expires(left)) for key, dump, left in pairs if isinstance(dump, bytes)
        }
        if len(values) != len(found):
            raise self._moved()
        if sum(len(kept.dump) for kept in values.values()) > MOST_BYTES:
            raise self._grown()
        return values

    async def _unlinked(self, line: Line, found: Sequence[bytes], deletion: str) -> int | None:
        """How many went; None where somebody has changed one of the watched keys, so that none did.

        Where no answer comes the values stay, for the keys may be gone.
        """
        try:
            replies = await self._transaction(line, ("UNLINK", *found))
        except TargetError:
            self._dumps.drop(deletion)
            raise
        except BrokenError as error:
            raise BrokenError(
                f"{error}; the values are kept, redis restore brings back what is gone"
            ) from error
        match replies:
            case None:
                self._dumps.drop(deletion)
                return None
            case [int() as gone]:
                return gone
        raise BrokenError("an answer came that nobody understands after the request was sent")

    def _moved(self) -> TargetError:
        return TargetError(f"{self._link.title} is no longer as it was planned, so nothing was changed.")

    def _grown(self) -> TargetError:
        return TargetError(
            f"{self._link.title} is no longer as it was planned: the values are larger than what I keep, "
            "so nothing was changed. Ask again."
        )

    async def _delete(self, line: Line, plan: Plan, progress: Progress) -> Outcome:
        """In batches; ends early where far more keys match than were approved.

        However many they are: what ends it is the time that any change of this target may take.
        """
        planned = int(plan.before["keys"])
        most, gone = planned + planned // 10, 0
        try:
            pattern = str(plan.args["pattern"])
            async for found in scanned(line, pattern, self._link.title, within=math.inf):
                for start in range(0, len(found), BATCH):
                    batch = found[start : start + BATCH]
                    room = most - gone
                    if room > 0:
                        gone += int(await line.change("UNLINK", *batch[:room]))
                        await progress(min(gone, planned), planned, "keys")
                    if len(batch) > room:
                        return Outcome("failed", f"stopped after {keys(gone)}: more match than were approved")
        except BrokenError as error:
            raise BrokenError(f"{error}; {gone} of {keys(planned)} {_were(gone)} deleted before") from error
        except TargetError as error:
            if not gone:
                raise
            return Outcome(
                "failed", f"{gone} of {keys(planned)} {_were(gone)} deleted, then it failed: {error}"
            )
        await progress(planned, planned, "keys")
        return await self._deleted(plan, gone)

    async def _deleted(self, plan: Plan, gone: int) -> Outcome:
        told = plan.done if gone == plan.before["keys"] else f"{keys(gone)} deleted"
        return Outcome("done", told, await self._now(plan))

    async def _restore(self, line: Line, plan: Plan, progress: Progress) -> Outcome:
        """Every key that is not there again; expired ones stay away."""
        deletion = str(plan.args["deletion"])
        kept = self._dumps.get(deletion, plan.identity)
        if kept is None:
            raise TargetError("The values are no longer kept, so nothing was brought back.")
        total, now = len(kept.values), self._clock.now()
        await progress(0, total, "keys")
        alive = {key: v for key, v in kept.values.items() if v.expires is None or v.expires > now}
        replies = await self._transaction(
            line, *(("RESTORE", key, self._left(v), v.dump) for key, v in alive.items())
        )
        if replies is None:
            raise TargetError(f"{self._link.title} dropped the transaction; nothing was changed.")
        back = sum(reply == b"OK" for reply in replies)
        anew = sum(isinstance(reply, Exception) and "BUSYKEY" in str(reply) for reply in replies)
        refused = len(alive) - back - anew
        if not refused:
            self._dumps.drop(deletion)
        await progress(total, total, "keys")
        state = await self._now(plan)
        if back == total:
            return Outcome("done", plan.done, state)
        counts = {"there anew": anew, "expired": total - len(alive), "refused": refused}
        left = " and ".join(f"{count} {what}" for what, count in counts.items() if count)
        return Outcome(
            "done" if back else "failed",
            f"{back} of {keys(total)} {'is' if back == 1 else 'are'} back; {left}",
            state,
        )

    async def _transaction(self, line: Line, *commands: tuple[Any, ...]) -> list[Any] | None:
        """The replies of EXEC, or None where a watched key had changed, so that nothing was done.

        Until it is sent nothing is changed, so a failure before is a TargetError.
        """
        try:
            await line.change("MULTI")
            for words in commands:
                await line.change(*words)
        except BrokenError as error:
            raise TargetError(f"{self._link.title} went away before anything was changed.") from error
        replies = await line.change("EXEC")
        if replies is not None and (not isinstance(replies, list) or len(replies) != len(commands)):
            raise BrokenError("an answer came that nobody understands after the request was sent")
        return replies

    def _expires(self, left: object) -> datetime | None:
        """When a key ends whose PTTL is `left` milliseconds; None where it has no end (-1)."""
        if not isinstance(left, int) or left < 0:
            return None
        return self._clock.now() + timedelta(milliseconds=left)

    def _left(self, kept: Value) -> int:
        """Milliseconds that a key has left, for RESTORE; 0 is for ever (redis.io/commands/restore)."""
        if kept.expires is None:
            return 0
        return max(1, round((kept.expires - self._clock.now()).total_seconds() * 1000))


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
