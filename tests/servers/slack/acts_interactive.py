"""What people do with the app itself: slash commands, buttons, shortcuts, modals, the App Home."""

from __future__ import annotations

from tests.servers.slack import payloads
from tests.servers.slack.acting import Acting, NotPossibleError, told
from tests.servers.slack.blocks import buttons
from tests.servers.slack.modals import after_submission, missing, values_of
from tests.servers.slack.readable import message_text, typed
from tests.servers.slack.response_urls import answer
from tests.servers.slack.shapes import view_shape
from tests.servers.slack.state import Ack, Channel, Json, View


class Interactions(Acting):
    """Commands and interactions; none is delivered twice."""

    async def command(
        self, *, user: str, channel: str, command: str, text: str = "", wait: bool = True
    ) -> Json:
        """Type a slash command; `responses` is what its acknowledgement says to the person."""
        self._account(user)
        where = self._entered(user, channel)
        form = payloads.command(self.workspace, user, where, command, typed(text, self.workspace, named=True))
        if not wait:
            self.workspace.spawn(self._commanded(form, where))
            return told(Ack(True))
        return await self._commanded(form, where)

    async def _commanded(self, form: Json, where: Channel) -> Json:
        ack = await self.workspace.deliver.command(form)
        responses = []
        if ack.acknowledged and ack.body and (ack.body.get("text") or ack.body.get("blocks")):
            url = self.workspace.response_urls[form["response_url"].rpartition("/")[2]]
            answer(self.workspace, url, ack.body)
            newest = list(self.workspace.messages[where.id].values())[-1]
            responses = [message_text(newest, self.workspace)]
        return told(ack, responses=responses)

    async def presses(
        self,
        *,
        user: str,
        label: str,
        channel: str | None = None,
        ts: str | None = None,
        view_id: str | None = None,
        wait: bool = True,
    ) -> Json:
        """Press the button with that label, in a message or in a view."""
        self._account(user)
        if view_id is not None:
            view = self._view(user, view_id)
            block, button = self._button(view.view["blocks"], label)
            payload = payloads.press_in_view(self.workspace, user, view, block, button, values_of(view.view))
        else:
            message = self._message_at(channel or "", ts or "", reader=user)
            block, button = self._button(message.blocks, label)
            payload = payloads.press(self.workspace, user, message, block, button)
        return await self._interaction(payload, wait=wait)

    async def shortcut(
        self,
        *,
        user: str,
        callback_id: str,
        channel: str | None = None,
        ts: str | None = None,
        wait: bool = True,
    ) -> Json:
        """Use a global shortcut or, with channel and ts, one of a message."""
        self._account(user)
        message = self._message_at(channel, ts or "") if channel is not None else None
        payload = payloads.shortcut(self.workspace, user, callback_id, message)
        return await self._interaction(payload, wait=wait)

    async def submits(
        self, *, user: str, view_id: str, values: Json | None = None, wait: bool = True
    ) -> Json:
        """Submit a modal; values by block_id. `errors` is what stands beside its fields afterwards."""
        view = self._view(user, view_id)
        chosen = values or {}
        if unknown := set(chosen) - {b["block_id"] for b in view.view["blocks"] if b["type"] == "input"}:
            raise NotPossibleError(f"the modal has no field {', '.join(sorted(unknown))}")
        if errors := missing(view.view, chosen):
            return told(Ack(False, error="not_submitted"), errors=errors)
        payload = payloads.submission(self.workspace, user, view, values_of(view.view, chosen))
        if not wait:
            self.workspace.spawn(self._submitted(view, payload))
            return told(Ack(True), errors={})
        return await self._submitted(view, payload)

    async def _submitted(self, view: View, payload: Json) -> Json:
        ack = await self.workspace.deliver.interactive(payload)
        errors = after_submission(self.workspace, view, ack.body or {}) if ack.acknowledged else {}
        return told(ack, errors=errors)

    async def closes(self, *, user: str, view_id: str, wait: bool = True) -> Json:
        """Close a modal; the app hears of it where the modal asks for that."""
        view = self._view(user, view_id)
        self.workspace.modals[user].remove(view)
        if not view.view.get("notify_on_close"):
            return told(Ack(True))
        return await self._interaction(payloads.closed(self.workspace, user, view), wait=wait)

    async def home(self, *, user: str, tab: str = "home", wait: bool = True) -> Json:
        """Open the App Home."""
        self._account(user)
        event: Json = {
            "type": "app_home_opened",
            "user": user,
            "tab": tab,
            "event_ts": self.workspace.new_ts(),
        }
        event["channel"] = self.workspace.open_direct(user).id
        if tab == "home" and (view := self.workspace.homes.get(user)) is not None:
            event["view"] = view_shape(self.workspace, view)
        return told(await self._event(event, None, "", wait=wait))

    async def direct(self, *, user: str) -> Json:
        """Open the direct messages with the bot."""
        self._account(user)
        return {"channel": self.workspace.open_direct(user).id}

    def _view(self, user: str, view_id: str) -> View:
        shown = [*self.workspace.modals.get(user, []), *filter(None, [self.workspace.homes.get(user)])]
        found = next((view for view in shown if view.id == view_id), None)
        if found is None:
            raise NotPossibleError(f"{user} sees no view {view_id}")
        return found

    def _button(self, blocks: list[Json], label: str) -> tuple[str, Json]:
        shown = buttons(blocks)
        for block, button in shown:
            if button["text"]["text"].casefold() == label.casefold():
                return block, button
        raise NotPossibleError(f"no button {label!r} among {[b['text']['text'] for _, b in shown]}")

    async def _interaction(self, payload: Json, *, wait: bool) -> Json:
        if wait:
            return told(await self.workspace.deliver.interactive(payload))
        self.workspace.spawn(self.workspace.deliver.interactive(payload))
        return told(Ack(True))
