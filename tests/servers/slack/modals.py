"""Modals as people fill them in: the state of their fields, and what a submission's answer does to them."""

from __future__ import annotations

from typing import Any

from tests.servers.slack.api_method import ApiError
from tests.servers.slack.api_views import checked_view, pushed, replaced
from tests.servers.slack.state import Json, View, Workspace

REQUIRED = "Please complete this required field."


def _inputs(view: Json) -> list[Json]:
    return [block for block in view["blocks"] if block["type"] == "input"]


def values_of(view: Json, chosen: Json | None = None) -> Json:
    """`state.values`: by block_id and action_id, what was chosen, else what stood there from the start."""
    values: Json = {}
    for block in _inputs(view):
        element = block["element"]
        state = _state(element, (chosen or {}).get(block["block_id"]))
        values[block["block_id"]] = {element["action_id"]: state}
    return values


def _state(element: Json, chosen: Any) -> Json:
    kind = element["type"]
    if kind == "plain_text_input":
        value = element.get("initial_value") if chosen is None else chosen
        return {"type": kind, "value": value or None}
    if kind in ("static_select", "radio_buttons"):
        picked = element.get("initial_option") if chosen is None else _option(element, chosen)
        return {"type": kind, "selected_option": picked}
    if kind == "checkboxes":
        boxes = (
            element.get("initial_options", []) if chosen is None else [_option(element, c) for c in chosen]
        )
        return {"type": kind, "selected_options": boxes}
    name = {"datepicker": "date", "timepicker": "time", "datetimepicker": "date_time"}.get(kind)
    name = name or kind.removesuffix("s_select")
    return {"type": kind, f"selected_{name}": element.get(f"initial_{name}") if chosen is None else chosen}


def _option(element: Json, value: str) -> Json:
    """The option with that value; whoever asks for one that is not offered gets a KeyError."""
    groups = [group["options"] for group in element.get("option_groups", ())]
    options = {o["value"]: _told(o) for group in [element.get("options", []), *groups] for o in group}
    return options[value]


def _told(option: Json) -> Json:
    return {"text": {"emoji": True, **option["text"]}, "value": option["value"]}


def missing(view: Json, chosen: Json) -> Json:
    """What the client refuses before it submits anything: required fields, lengths; by block_id."""
    errors: Json = {}
    for block_id, actions in values_of(view, chosen).items():
        block = next(b for b in _inputs(view) if b["block_id"] == block_id)
        state = next(iter(actions.values()))
        value = next(value for name, value in state.items() if name != "type")
        if not value and not block.get("optional"):
            errors[block_id] = REQUIRED
        elif isinstance(value, str) and len(value) > block["element"].get("max_length", 3000):
            errors[block_id] = f"Must be less than {block['element'].get('max_length', 3000) + 1} characters."
        elif isinstance(value, str) and len(value) < block["element"].get("min_length", 0):
            errors[block_id] = f"Must be at least {block['element']['min_length']} characters."
    return errors


def after_submission(workspace: Workspace, view: View, answer: Json) -> Json:
    """Do what a response_action says (api.slack.com/surfaces/modals#updating_response); returns the errors."""
    stack = workspace.modals.get(view.user, [])
    try:
        match answer.get("response_action"):
            case None:
                stack.remove(view)
            case "clear":
                stack.clear()
            case "errors":
                return _errors(workspace, view, answer)
            case "update":
                replaced(workspace, view, checked_view(workspace, answer.get("view"), "modal"))
            case "push":
                pushed(workspace, stack, checked_view(workspace, answer.get("view"), "modal"))
            case other:
                workspace.violation("view_submission", "invalid_response_action", str(other))
    except ApiError as error:
        workspace.violation("view_submission", error.error, "; ".join(error.messages))
    return {}


def _errors(workspace: Workspace, view: View, answer: Json) -> Json:
    errors = answer.get("errors")
    known = {block["block_id"] for block in _inputs(view.view)}
    if not isinstance(errors, dict) or not errors or set(errors) - known:
        workspace.violation(
            "view_submission", "invalid_errors", f"{errors!r}; the fields are {sorted(known)}"
        )
        return {}
    return errors
