"""Block Kit, checked strictly: messages and views (api.slack.com/reference/block-kit)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.servers.slack import limits
from tests.servers.slack.block_elements import INTERACTIVE, Elements
from tests.servers.slack.state import Json

COMMON = {"type", "block_id"}


class Check(Elements):
    """Goes through blocks and collects what is wrong, in the form of `response_metadata.messages`."""

    def blocks(self, blocks: Any, most: int, at: str = "/blocks") -> None:
        """A list of blocks whose block_ids differ."""
        found = self.listing({"blocks": blocks}, "blocks", 0, most, at.removesuffix("/blocks"))
        seen: set[str] = set()
        for number, block in enumerate(found):
            here = f"{at}/{number}"
            self.identifiers(block, here, "block_id")
            if (name := block.get("block_id")) is not None and str(name) in seen:
                self.error(f"block_id {name!r} already exists", f"{here}/block_id")
            seen.add(str(name))
            self.block(block, here)

    def block(self, block: Json, at: str) -> None:
        """One block of any kind."""
        kinds: Mapping[str, Callable[[Json, str], None]] = {
            "section": self.section,
            "actions": self.actions,
            "context": self.context,
            "header": self.header,
            "divider": lambda block, at: self.only(block, COMMON, at),
            "input": self.input,
            "image": self.image,
            "markdown": self.markdown,
            "rich_text": self.rich_text,
        }
        if (check := kinds.get(str(block.get("type")))) is None:
            self.error(f"unsupported type: {block.get('type')}", f"{at}/type")
            return
        check(block, at)

    def section(self, block: Json, at: str) -> None:
        """reference/block-kit/blocks/section-block."""
        self.only(block, COMMON | {"text", "fields", "accessory", "expand"}, at)
        if "text" not in block and "fields" not in block:
            self.error("missing required field: text", at)
        self.words(block, "text", limits.SECTION_TEXT, at)
        self.boolean(block, ("expand",), at)
        if "fields" in block:
            for number, field in enumerate(self.listing(block, "fields", 1, limits.FIELDS, at)):
                self.words({str(number): field}, str(number), limits.FIELD_TEXT, f"{at}/fields")
        if "accessory" in block:
            self.element(block["accessory"], f"{at}/accessory", INTERACTIVE | {"image"})

    def actions(self, block: Json, at: str) -> None:
        """reference/block-kit/blocks/actions-block."""
        self.only(block, COMMON | {"elements"}, at)
        seen: set[str] = set()
        for number, element in enumerate(self.listing(block, "elements", 1, limits.ACTION_ELEMENTS, at)):
            here = f"{at}/elements/{number}"
            self.element(element, here, INTERACTIVE)
            if (name := element.get("action_id")) is not None and str(name) in seen:
                self.error(f"action_id {name!r} already exists in this block", f"{here}/action_id")
            seen.add(str(name))

    def context(self, block: Json, at: str) -> None:
        """reference/block-kit/blocks/context-block."""
        self.only(block, COMMON | {"elements"}, at)
        for number, element in enumerate(self.listing(block, "elements", 1, limits.CONTEXT_ELEMENTS, at)):
            if element.get("type") == "image":
                self.element(element, f"{at}/elements/{number}", {"image"})
            else:
                self.words({str(number): element}, str(number), limits.FIELD_TEXT, f"{at}/elements")

    def header(self, block: Json, at: str) -> None:
        """reference/block-kit/blocks/header-block."""
        self.only(block, COMMON | {"text"}, at)
        self.words(block, "text", limits.HEADER_TEXT, at, plain=True, required=True)

    def input(self, block: Json, at: str) -> None:
        """reference/block-kit/blocks/input-block."""
        self.only(block, COMMON | {"label", "element", "hint", "optional", "dispatch_action"}, at)
        self.words(block, "label", limits.LABEL, at, plain=True, required=True)
        self.words(block, "hint", limits.LABEL, at, plain=True)
        self.boolean(block, ("optional", "dispatch_action"), at)
        kinds = (INTERACTIVE - {"button", "overflow"}) | {"plain_text_input"}
        self.element(block.get("element"), f"{at}/element", kinds)

    def image(self, block: Json, at: str) -> None:
        """reference/block-kit/blocks/image-block."""
        self.only(block, COMMON | {"image_url", "alt_text", "title", "slack_file"}, at)
        self.string(block, "image_url", limits.URL, at, required="slack_file" not in block)
        self.string(block, "alt_text", limits.FIELD_TEXT, at, required=True)
        self.words(block, "title", limits.FIELD_TEXT, at, plain=True)

    def markdown(self, block: Json, at: str) -> None:
        """reference/block-kit/blocks/markdown-block."""
        self.only(block, COMMON | {"text"}, at)
        self.string(block, "text", limits.MARKDOWN_TEXT, at, required=True)
        self.text += len(str(block.get("text", "")))

    def rich_text(self, block: Json, at: str) -> None:
        """reference/block-kit/blocks/rich-text-block; what is in its elements is not looked at."""
        self.only(block, COMMON | {"elements"}, at)
        self.listing(block, "elements", 0, limits.MESSAGE_BLOCKS, at)


def check_message(blocks: Any) -> tuple[str, list[str]]:
    """The error of a message's blocks and its details; an empty error where they are fine."""
    check = Check()
    check.blocks(blocks, limits.MESSAGE_BLOCKS)
    if check.wrong:
        return "invalid_blocks", check.wrong
    if check.text > limits.ALL_BLOCKS_TEXT:
        return "msg_blocks_too_long", [f"[ERROR] {check.text} characters in all blocks"]
    return "", []


def check_view(view: Any) -> tuple[str, list[str]]:
    """The error of a view and its details; an empty error where it is fine."""
    if not isinstance(view, dict):
        return "invalid_arguments", ["[ERROR] must be an object [json-pointer:/view]"]
    if len(json.dumps(view).encode()) > limits.VIEW_SIZE:
        return "view_too_large", []
    check = Check()
    modal = view.get("type") == "modal"
    if view.get("type") not in ("modal", "home"):
        check.error(f"unsupported type: {view.get('type')}", "/view/type")
    _view_fields(check, view, modal=modal)
    check.blocks(view.get("blocks"), limits.VIEW_BLOCKS, "/view/blocks")
    inputs = any(isinstance(b, dict) and b.get("type") == "input" for b in view.get("blocks") or ())
    if modal and inputs and "submit" not in view:
        check.error("missing required field: submit", "/view")
    return ("invalid_arguments", check.wrong) if check.wrong else ("", [])


def _view_fields(check: Check, view: Json, *, modal: bool) -> None:
    known = {"type", "blocks", "private_metadata", "callback_id", "external_id"}
    if modal:
        known |= {"title", "submit", "close", "clear_on_close", "notify_on_close", "submit_disabled"}
        for name in ("title", "submit", "close"):
            check.words(view, name, limits.VIEW_TITLE, "/view", plain=True, required=name == "title")
        check.boolean(view, ("clear_on_close", "notify_on_close", "submit_disabled"), "/view")
    check.only(view, known, "/view")
    for name, most in (
        ("private_metadata", limits.VIEW_METADATA),
        ("callback_id", limits.IDENTIFIER),
        ("external_id", limits.IDENTIFIER),
    ):
        if view.get(name):  # an empty one is as good as none
            check.string(view, name, most, "/view")


def check_metadata(metadata: Any) -> tuple[str, list[str]]:
    """The error of a message's metadata (api.slack.com/metadata/using); an empty one where it is fine."""
    if metadata == {}:
        return "", []
    fine = isinstance(metadata, dict) and set(metadata) == {"event_type", "event_payload"}
    if not fine or not isinstance(metadata["event_type"], str) or not metadata["event_type"]:
        return "invalid_metadata_format", ["[ERROR] needs event_type and event_payload"]
    if not isinstance(metadata["event_payload"], dict):
        return "invalid_metadata_format", ["[ERROR] event_payload must be an object"]
    for name, value in metadata["event_payload"].items():
        if not isinstance(value, str | int | float | bool | dict | list):
            return "invalid_metadata_schema", [f"[ERROR] {name} has no value"]
    if len(json.dumps(metadata).encode()) > limits.METADATA:
        return "metadata_too_large", []
    return "", []


def with_ids(blocks: Iterable[Json], new_id: Callable[[], str]) -> list[Json]:
    """The blocks, with the block_ids and action_ids that Slack gives to those without one."""
    told = []
    for given in blocks:
        block = {**given, "block_id": given.get("block_id") or new_id()}
        if "elements" in block and block["type"] == "actions":
            block["elements"] = [_with_action_id(element, new_id) for element in block["elements"]]
        for name in ("accessory", "element"):
            if isinstance(block.get(name), dict) and block[name].get("type") != "image":
                block[name] = _with_action_id(block[name], new_id)
        told.append(block)
    return told


def _with_action_id(element: Json, new_id: Callable[[], str]) -> Json:
    return {**element, "action_id": element.get("action_id") or new_id()}


def buttons(blocks: Iterable[Json]) -> list[tuple[str, Json]]:
    """Every button with the block_id of its block, from the top."""
    found = []
    for block in blocks:
        elements = block.get("elements", []) if block["type"] == "actions" else [block.get("accessory") or {}]
        found += [(block["block_id"], e) for e in elements if e.get("type") == "button"]
    return found
