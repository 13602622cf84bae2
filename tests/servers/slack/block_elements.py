"""Block Kit's values and elements, checked strictly (api.slack.com/reference/block-kit/block-elements)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.servers.slack import limits
from tests.servers.slack.state import Json

SELECTS = {"users_select", "conversations_select", "channels_select"}
PICKERS = {"datepicker": "initial_date", "timepicker": "initial_time", "datetimepicker": "initial_date_time"}
BUTTON = {"type", "text", "action_id", "value", "url", "style", "confirm", "accessibility_label"}
INTERACTIVE = {
    "button",
    "static_select",
    "checkboxes",
    "radio_buttons",
    "overflow",
    *SELECTS,
    *PICKERS,
}


class Elements:
    """Goes through elements and collects what is wrong, in the form of `response_metadata.messages`."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.text = 0  # characters in all the blocks

    def error(self, what: str, at: str) -> None:
        """Keep one error; `at` is a JSON pointer."""
        self.wrong.append(f"[ERROR] {what} [json-pointer:{at}]")

    # -- values ---------------------------------------------------------------------------------------

    def only(self, item: Json, allowed: Iterable[str], at: str) -> None:
        """No other properties than these."""
        for name in sorted(set(item) - set(allowed)):
            self.error(f"invalid additional property: {name}", at)

    def string(self, item: Json, name: str, most: int, at: str, *, required: bool = False) -> None:
        """A string of 1 to `most` characters."""
        if name not in item:
            if required:
                self.error(f"missing required field: {name}", at)
            return
        value = item[name]
        if not isinstance(value, str):
            self.error("must be a string", f"{at}/{name}")
        elif not value:
            self.error("must be more than 0 characters", f"{at}/{name}")
        elif len(value) > most:
            self.error(f"must be less than {most + 1} characters", f"{at}/{name}")

    def boolean(self, item: Json, names: Iterable[str], at: str) -> None:
        """Either true or false, where given."""
        for name in names:
            if not isinstance(item.get(name, False), bool):
                self.error("must be a boolean", f"{at}/{name}")

    def identifiers(self, item: Json, at: str, *names: str) -> None:
        """Strings of at most 255 characters, where given."""
        for name in names:
            self.string(item, name, limits.IDENTIFIER, at)

    def words(self, item: Json, name: str, most: int, at: str, **how: bool) -> None:
        """A text object; with `plain` only plain_text, with `required` it must be there."""
        at = f"{at}/{name}"
        if name not in item:
            if how.get("required"):
                self.error(f"missing required field: {name}", at.rpartition("/")[0])
            return
        text = item[name]
        if not isinstance(text, dict):
            self.error("must be an object", at)
            return
        kind = text.get("type")
        if kind not in (("plain_text",) if how.get("plain") else ("plain_text", "mrkdwn")):
            self.error(f"unsupported type: {kind}", f"{at}/type")
        self.only(text, {"type", "text", "emoji" if kind == "plain_text" else "verbatim"}, at)
        self.boolean(text, ("emoji", "verbatim"), at)
        self.string(text, "text", most, at, required=True)
        self.text += len(text["text"]) if isinstance(text.get("text"), str) else 0

    def listing(self, item: Json, name: str, least: int, most: int, at: str) -> list[Json]:
        """A list of objects of such a length; what of it can be looked at further."""
        found = item.get(name)
        if found is None:
            self.error(f"missing required field: {name}", at)
            return []
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            self.error("must be an array of objects", f"{at}/{name}")
            return []
        if len(found) < least:
            self.error(f"no fewer than {least} items allowed", f"{at}/{name}")
        if len(found) > most:
            self.error(f"no more than {most} items allowed", f"{at}/{name}")
        return found

    # -- elements -------------------------------------------------------------------------------------

    def element(self, element: Any, at: str, allowed: Iterable[str]) -> None:
        """One element of a block."""
        if not isinstance(element, dict):
            self.error("must be an object", at)
            return
        kind = str(element.get("type"))
        if kind not in allowed:
            self.error(f"unsupported type: {kind}", f"{at}/type")
            return
        self.identifiers(element, at, "action_id")
        if kind in ("button", "image", "static_select", "plain_text_input", "overflow"):
            getattr(self, f"_{kind}")(element, at)
        elif kind in ("checkboxes", "radio_buttons"):
            self._boxes(element, at)
        else:
            self._picker(element, at)

    def _button(self, element: Json, at: str) -> None:
        self.only(element, BUTTON, at)
        self.words(element, "text", limits.BUTTON_TEXT, at, plain=True, required=True)
        self.string(element, "value", limits.BUTTON_VALUE, at)
        self.string(element, "url", limits.URL, at)
        self.string(element, "accessibility_label", limits.BUTTON_TEXT, at)
        if element.get("style", "primary") not in ("primary", "danger"):
            self.error("must be one of: primary, danger", f"{at}/style")

    def _image(self, element: Json, at: str) -> None:
        self.only(element, {"type", "image_url", "alt_text", "slack_file"}, at)
        self.string(element, "image_url", limits.URL, at, required="slack_file" not in element)
        self.string(element, "alt_text", limits.FIELD_TEXT, at, required=True)

    def _static_select(self, element: Json, at: str) -> None:
        known = {"options", "option_groups", "initial_option", "placeholder", "confirm", "focus_on_load"}
        self.only(element, known | {"type", "action_id"}, at)
        self.words(element, "placeholder", limits.PLACEHOLDER, at, plain=True)
        if "option_groups" in element:
            groups = self.listing(element, "option_groups", 1, limits.OPTIONS, at)
            options = []
            for number, group in enumerate(groups):
                here = f"{at}/option_groups/{number}"
                self.words(group, "label", limits.OPTION_TEXT, here, plain=True, required=True)
                options += self._options(group, limits.OPTIONS, here)
        else:
            options = self._options(element, limits.OPTIONS, at)
        if "initial_option" in element and element["initial_option"] not in options:
            self.error("must match one of the options", f"{at}/initial_option")

    def _plain_text_input(self, element: Json, at: str) -> None:
        known = {"initial_value", "multiline", "min_length", "max_length", "dispatch_action_config"}
        self.only(element, known | {"type", "action_id", "placeholder", "focus_on_load"}, at)
        self.words(element, "placeholder", limits.PLACEHOLDER, at, plain=True)
        self.boolean(element, ("multiline", "focus_on_load"), at)
        if not isinstance(element.get("initial_value", ""), str):
            self.error("must be a string", f"{at}/initial_value")
        for name, least in (("min_length", 0), ("max_length", 1)):
            value = element.get(name, least)
            if type(value) is not int or not least <= value <= limits.INPUT_VALUE:
                self.error(f"must be from {least} to {limits.INPUT_VALUE}", f"{at}/{name}")

    def _overflow(self, element: Json, at: str) -> None:
        self.only(element, {"type", "action_id", "options", "confirm"}, at)
        self._options(element, 5, at)

    def _boxes(self, element: Json, at: str) -> None:
        chosen = "initial_options" if element["type"] == "checkboxes" else "initial_option"
        self.only(element, {"type", "action_id", "options", "confirm", "focus_on_load", chosen}, at)
        options = self._options(element, 10, at)
        picked = element.get(chosen, [])
        for option in picked if isinstance(picked, list) else [picked]:
            if option not in options:
                self.error("must match one of the options", f"{at}/{chosen}")
        if chosen in element and picked == []:
            self.error("no fewer than 1 items allowed", f"{at}/{chosen}")

    def _picker(self, element: Json, at: str) -> None:
        kind = element["type"]
        initial = PICKERS.get(kind, f"initial_{kind.removesuffix('s_select')}")
        known = {"type", "action_id", "placeholder", "confirm", "focus_on_load", initial}
        extra = {"default_to_current_conversation", "filter"} if kind == "conversations_select" else set()
        self.only(element, known | extra, at)
        self.words(element, "placeholder", limits.PLACEHOLDER, at, plain=True)

    def _options(self, element: Json, most: int, at: str) -> list[Json]:
        options = self.listing(element, "options", 1, most, at)
        for number, option in enumerate(options):
            here = f"{at}/options/{number}"
            self.only(option, {"text", "value", "description", "url"}, here)
            self.words(option, "text", limits.OPTION_TEXT, here, required=True)
            self.words(option, "description", limits.OPTION_TEXT, here)
            self.string(option, "value", limits.OPTION_VALUE, here, required=True)
        return options
