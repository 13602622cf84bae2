"""auth.*, apps.*, users.*, usergroups.*: who is who."""

from __future__ import annotations

from urllib.parse import urlsplit

from tests.servers.slack.api_method import ApiError, Call, method, paged
from tests.servers.slack.shapes import group_shape, user_shape
from tests.servers.slack.state import Json


@method("auth.test", tier=None)
async def auth_test(call: Call) -> Json:
    """methods/auth.test."""
    workspace = call.workspace
    return {
        "url": f"https://{workspace.domain}.slack.com/",
        "team": workspace.name,
        "user": workspace.users[workspace.app.bot_user].name,
        "team_id": workspace.team,
        "user_id": workspace.app.bot_user,
        "bot_id": workspace.app.bot_id,
        "is_enterprise_install": False,
    }


@method("apps.connections.open", tier=1, token="app")
async def connections_open(call: Call) -> Json:
    """methods/apps.connections.open: the address of one WebSocket, good for one connection."""
    where = urlsplit(call.workspace.base_url).netloc
    ticket = call.workspace.new_id("")
    return {"url": f"ws://{where}/link/?ticket={ticket}&app_id={call.workspace.app.id}"}


@method("users.info", "user! include_locale:bool", scope="users:read", tier=4)
async def users_info(call: Call) -> Json:
    """methods/users.info."""
    user = call.workspace.users.get(call.get("user"))
    if user is None:
        raise ApiError("user_not_found")
    return {"user": user_shape(call.workspace, user)}


@method("users.list", "cursor include_locale:bool limit:int team_id", scope="users:read", tier=2)
async def users_list(call: Call) -> Json:
    """methods/users.list: deactivated accounts and bots included."""
    everybody = list(call.workspace.users.values())
    page, cursor = call.page(everybody, default=1000, most=1000)
    return paged("members", [user_shape(call.workspace, u) for u in page], cursor)


@method(
    "usergroups.list",
    "include_count:bool include_disabled:bool include_users:bool team_id",
    scope="usergroups:read",
    tier=2,
)
async def usergroups_list(call: Call) -> Json:
    """methods/usergroups.list."""
    groups = [g for g in call.workspace.groups.values() if call.get("include_disabled") or not g.disabled]
    users, count = bool(call.get("include_users")), bool(call.get("include_count"))
    return {"usergroups": [group_shape(call.workspace, g, users=users, count=count) for g in groups]}


@method("usergroups.users.list", "usergroup! include_disabled:bool team_id", scope="usergroups:read", tier=2)
async def usergroups_users_list(call: Call) -> Json:
    """methods/usergroups.users.list."""
    group = call.workspace.groups.get(call.get("usergroup"))
    if group is None or (group.disabled and not call.get("include_disabled")):
        raise ApiError("no_such_subteam")
    return {"users": list(group.users)}
