"""views.*: modals and the App Home (api.slack.com/surfaces/modals, methods/views.open)."""

from __future__ import annotations

from typing import Any

from tests.servers.slack import blocks, limits
from tests.servers.slack.api_method import ApiError, Call, method
from tests.servers.slack.shapes import view_shape
from tests.servers.slack.state import Json, View, Workspace


def checked_view(workspace: Workspace, view: Any, kind: str) -> Json:
    """A view of that kind, checked and with ids."""
    error, messages = blocks.check_view(view)
    if not error and view["type"] != kind:
        error, messages = "invalid_arguments", [f"[ERROR] must be a {kind} [json-pointer:/view/type]"]
    if error:
        raise ApiError(error, messages)
    return {**view, "blocks": blocks.with_ids(view["blocks"], lambda: workspace.new_id(""))}


def new_view(workspace: Workspace, user: str, view: Json, *, root: str = "", previous: str = "") -> View:
    """A view that is shown from now on; its external_id has to be new."""
    external = view.get("external_id") or ""
    shown = [v for stack in workspace.modals.values() for v in stack] + list(workspace.homes.values())
    if external and any(v.external_id == external for v in shown):
        raise ApiError("duplicate_external_id")
    ident = workspace.new_id("V")
    return View(
        id=ident,
        hash=new_hash(workspace),
        user=user,
        view=view,
        root_view_id=root or ident,
        previous_view_id=previous or None,
        external_id=external,
    )


def new_hash(workspace: Workspace) -> str:
    """What a view's state is known by."""
    return f"{int(workspace.now())}.{workspace.new_id('')[-8:].lower()}"


def exchanged(call: Call) -> str:
    """The user behind the trigger_id, which is good once and for three seconds."""
    trigger = call.workspace.triggers.get(call.get("trigger_id"))
    if trigger is None:
        raise ApiError("invalid_trigger_id")
    if trigger.used:
        raise ApiError("exchanged_trigger_id")
    if call.workspace.now() > trigger.until:
        raise ApiError("expired_trigger_id")
    trigger.used = True
    return trigger.user


@method("views.open", "trigger_id! view!:json", tier=4)
async def views_open(call: Call) -> Json:
    """methods/views.open."""
    view = checked_view(call.workspace, call.get("view"), "modal")
    opened = new_view(call.workspace, exchanged(call), view)
    call.workspace.modals[opened.user] = [opened]
    return {"view": view_shape(call.workspace, opened)}


@method("views.push", "trigger_id! view!:json", tier=4)
async def views_push(call: Call) -> Json:
    """methods/views.push: at most three on top of each other."""
    view = checked_view(call.workspace, call.get("view"), "modal")
    user = exchanged(call)
    stack = call.workspace.modals.get(user, [])
    if not stack:
        raise ApiError("not_found")
    return {"view": view_shape(call.workspace, pushed(call.workspace, stack, view))}


def pushed(workspace: Workspace, stack: list[View], view: Json) -> View:
    """Put a view on top of an open modal."""
    if len(stack) >= limits.VIEW_STACK:
        raise ApiError("push_limit_reached")
    top = stack[-1]
    stack.append(new_view(workspace, top.user, view, root=top.root_view_id, previous=top.id))
    return stack[-1]


@method("views.update", "view!:json view_id external_id hash", tier=4)
async def views_update(call: Call) -> Json:
    """methods/views.update: by view_id or external_id; an old hash is hash_conflict."""
    wanted, external = call.get("view_id"), call.get("external_id")
    if not (wanted or external):
        raise ApiError("invalid_arguments", ["[ERROR] missing required field: view_id"])
    shown = [v for stack in call.workspace.modals.values() for v in stack] + list(
        call.workspace.homes.values()
    )
    found = next((v for v in shown if v.id == wanted or (external and v.external_id == external)), None)
    if found is None:
        raise ApiError("not_found")
    replaced(
        call.workspace, found, checked_view(call.workspace, call.get("view"), found.type), call.get("hash")
    )
    return {"view": view_shape(call.workspace, found)}


def replaced(workspace: Workspace, found: View, view: Json, known: str | None = None) -> None:
    """Show another view in the place of one."""
    if known is not None and known != found.hash:
        raise ApiError("hash_conflict")
    found.view, found.hash = view, new_hash(workspace)
    found.external_id = view.get("external_id") or found.external_id


@method("views.publish", "user_id! view!:json hash", tier=4)
async def views_publish(call: Call) -> Json:
    """methods/views.publish: the App Home of one person."""
    user = call.get("user_id")
    if user not in call.workspace.users:
        raise ApiError("user_not_found")
    view = checked_view(call.workspace, call.get("view"), "home")
    found = call.workspace.homes.get(user)
    if found is None:
        found = call.workspace.homes[user] = new_view(call.workspace, user, view)
    else:
        replaced(call.workspace, found, view, call.get("hash"))
    return {"view": view_shape(call.workspace, found)}
