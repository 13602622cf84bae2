"""Whether the bot's user may do in Redis what the commands need, asked without doing it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from bot.chat_check import Line, right, wrong
from bot.targets.redis_link import Link
from bot.targets.redis_server import text
from commands.actions import TargetError

# Command → an example of it (redis.io/commands/acl-dryrun); what a replica refuses is not needed there.
NEEDED: tuple[tuple[str, ...], ...] = (
    ("ping",),
    ("dbsize",),
    ("scan", "0"),
    ("exists", "key"),
    ("type", "key"),
    ("strlen", "key"),
    ("getrange", "key", "0", "9"),
    ("slowlog", "get", "1"),
    ("client", "list"),
    ("memory", "usage", "key"),
    ("config", "set", "maxmemory", "100mb"),
    ("client", "kill", "id", "1"),
)
FOR_KEYS: tuple[tuple[str, ...], ...] = (
    ("unlink", "key"),
    ("flushdb",),
    ("watch", "key"),
    ("multi",),
    ("dump", "key"),
    ("pttl", "key"),
    ("restore", "key", "0", "value"),
    ("exec",),
)


async def permissions(link: Link, *, replica: bool) -> AsyncIterator[Line]:
    """A line that all is allowed, or one for what is not; nothing where the server cannot tell (before 7.0)."""
    try:
        user = text(await link.look("ACL", "WHOAMI"))
        wanted = NEEDED if replica else (*NEEDED, *FOR_KEYS)
        refused = [words for words in wanted if await link.look("ACL", "DRYRUN", user, *words) != b"OK"]
    except TargetError as error:
        yield right(f"{link.name}: what I may do there cannot be looked at ({error})")
        return
    if refused:
        names = ", ".join(" ".join(words[:2] if words[0] in _TWO else words[:1]) for words in refused)
        yield wrong(f"{link.name}: the user {user} may not {names}; the commands that need it will fail")
    else:
        yield right(f"{link.name}: the user {user} may do what the commands need")


_TWO = frozenset(["slowlog", "client", "memory", "config"])
