"""Whether the bot's user may do in MongoDB what the commands need, and no more, asked without doing it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from bot.chat_check import Line, right, wrong
from bot.targets.mongo_link import Link

# Actions on the whole server (https://www.mongodb.com/docs/manual/reference/privilege-actions/).
_LOOKING, _ENDING = ("inprog", "serverStatus"), ("killop",)
_TOO_MUCH = frozenset(
    ["insert", "update", "remove", "dropCollection", "createUser", "grantRole", "anyAction"]
)


async def rights(link: Link) -> AsyncIterator[Line]:
    """A line that all is allowed, or one for each thing that is missing or too much."""
    found = (await link.look({"connectionStatus": 1, "showPrivileges": True}, database="admin")).get(
        "authInfo"
    )
    info = found if isinstance(found, dict) else {}
    users = [str(user.get("user")) for user in info.get("authenticatedUsers", ()) if isinstance(user, dict)]
    if not users:
        yield wrong(f"{link.name}: it lets everybody do everything; switch its access control on")
        return
    held = [each for each in info.get("authenticatedUserPrivileges", ()) if isinstance(each, dict)]
    if not held:
        yield right(f"{link.name}: what the user {users[0]} may do there cannot be looked at")
        return
    too_much = sorted(_TOO_MUCH & {action for each in held for action in each.get("actions", ())})
    if too_much:
        yield wrong(
            f"{link.name}: the user {users[0]} may {', '.join(too_much)}; give the bot one that looks only"
        )
    missing = [action for action in (*_LOOKING, *_ENDING) if not _may(held, {"cluster": True}, action)]
    if not _may(held, {"db": link.database, "collection": ""}, "find"):
        missing.append(f"find in {link.database}")
    if missing:
        yield wrong(
            f"{link.name}: the user {users[0]} lacks {', '.join(missing)}; the commands that need it will fail"
        )
    elif not too_much:
        yield right(f"{link.name}: the user {users[0]} may look, end operations, and nothing else")


def _may(held: list[dict[str, Any]], wanted: Mapping[str, Any], action: str) -> bool:
    for each in held:
        resource, actions = each.get("resource"), each.get("actions", ())
        if not isinstance(resource, dict) or (action not in actions and "anyAction" not in actions):
            continue
        anywhere = bool(resource.get("anyResource"))
        if anywhere or (resource.get("cluster") and "cluster" in wanted):
            return True
        if "db" in wanted and resource.get("db") in ("", wanted["db"]) and resource.get("collection") == "":
            return True
    return False
