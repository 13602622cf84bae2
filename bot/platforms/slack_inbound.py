"""What people do in Slack, taken in by Bolt: decoded, handed over, acknowledged in time."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import structlog
from aiohttp import web
from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncBoltRequest
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.error import BoltUnhandledRequestError
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.chat import House, Incoming, Press, Receive, Request
from bot.platforms import slack_decode as decode
from bot.platforms import slack_views as views
from bot.platforms.slack_handover import SORRY, UNSENT, FormError, Handover, Wait, Work, sentence
from bot.platforms.slack_http import Door, Endpoint, Verification
from bot.platforms.slack_ports import Accounts, Workspace
from bot.platforms.slack_socket import Socket

_log = structlog.get_logger()

_UNREADABLE = (LookupError, TypeError, ValueError, AttributeError)
_INSTEAD = {
    views.OPEN: "/incident open SEVERITY TITLE",
    views.UPDATE: "/update TEXT",
    views.RESOLVE: "/resolve TEXT",
}

T = TypeVar("T")


class Inbound:
    """The inward half of the adapter. `wait` is asyncio.wait; `now` is the real time, which Slack signs with."""

    def __init__(
        self, slack: Workspace, *, wait: Wait = asyncio.wait, now: Callable[[], float] = time.time
    ) -> None:
        self._slack = slack
        self._now = now
        self._handover = Handover(slack, wait)
        self._house: House | None = None
        # Not below WARNING: what Bolt and slack_sdk tell there is what people wrote.
        self._logger = logging.getLogger("watchbell.slack")
        self._logger.setLevel(logging.WARNING)
        self._socket: Socket | None = None
        self.app = self._made()
        secret = slack.signing_secret
        self._endpoint = Endpoint(Door(secret, now), self.app.async_dispatch, self._ready) if secret else None

    async def start(self, receive: Receive, house: House | None = None) -> None:
        """Hand over from now on; with an app token, connect. DeliveryError where Slack does not take it."""
        self._handover.receive, self._house = receive, house
        if self._slack.app_token:
            self._socket = Socket(self.app, self._slack.app_token, self._slack.api.web, self._logger)
            await self._socket.open()

    async def stop(self) -> None:
        """Take in no more; what was begun is given a few seconds to come to its end."""
        if self._socket is not None:
            await self._socket.close()
            self._socket = None
        await self._handover.stop()

    def routes(self) -> list[web.RouteDef]:
        """POST /slack/events, where there is a signing secret."""
        return self._endpoint.routes() if self._endpoint is not None else []

    def incoming_of_message(self, event: dict[str, Any], channel: str) -> Incoming | None:
        """What a message is, an edited or deleted one too, by what is known of its author; None for nothing.

        Raises KeyError, TypeError or ValueError for what is no message.
        """
        made = decode.message(event, channel, self._reading())
        if made is None or made.barred or not made.user:
            return made
        return replace(made, barred=self._slack.directory.barred(made.user))

    # -- Bolt -------------------------------------------------------------------------------------

    def _made(self) -> AsyncApp:
        """The Bolt app: one listener a kind. What none is for is acknowledged, by `_failed`."""
        secret = self._slack.signing_secret
        verification = Verification(secret, self._now, self._logger) if secret else None
        app = AsyncApp(
            name="watchbell",
            logger=self._logger,
            client=AsyncWebClient(base_url=self._slack.api.web.base_url),
            authorize=_authorizing(self._slack.directory),
            signing_secret=secret or "",
            request_verification_enabled=verification is None,  # where it is given, it stands in Bolt's place
            before_authorize=verification,
            # Decoding leaves out what the bot did itself; the history needs that as well.
            ignoring_self_events_enabled=False,
            attaching_conversation_kwargs_enabled=False,
            process_before_response=True,
            raise_error_for_unhandled_request=True,
        )
        app.error(self._failed)
        # Bolt asks one after another whether a request is its own: what people wait for comes first.
        app.command(re.compile(""))(self._on_command)
        app.block_action(re.compile("^wb:"))(self._on_press)
        for kind in ("message", "app_mention"):
            app.event(kind)(self._on_message)
        for kind in ("reaction_added", "reaction_removed"):
            app.event(kind)(self._on_reaction)
        for kind in ("user_change", "team_join"):
            app.event(kind)(self._on_account)
        app.event("pin_added")(self._on_pin)
        app.event("app_home_opened")(self._on_home)
        app.global_shortcut("open_incident")(self._on_form_asked)
        app.message_shortcut("add_to_timeline")(self._on_timeline_mark)
        app.view_submission(re.compile("^wb:"))(self._on_submission)
        return app

    async def _failed(self, error: Exception) -> BoltResponse | None:
        """What nobody listens to is acknowledged; after an error Slack gets a 500, and sends events again."""
        if isinstance(error, BoltUnhandledRequestError):
            return BoltResponse(status=200, body="")
        self._handover.failed("what came from Slack could not be taken in", error)
        return None

    # -- events -----------------------------------------------------------------------------------

    async def _take(self, make: Callable[[decode.Reading], Incoming | None]) -> None:
        if (made := self._read(make)) is not None:
            await self._handover.within(self._handover.hand_over(made))

    async def _on_message(self, event: dict[str, Any]) -> None:
        if event.get("type") == "app_mention" and "edited" in event:
            return  # the mention was put in afterwards; an edit runs nothing
        await self._take(lambda r: decode.message(event, event["channel"], r))

    async def _on_reaction(self, event: dict[str, Any]) -> None:
        await self._take(lambda r: decode.reaction(event, r))

    async def _on_pin(self, event: dict[str, Any]) -> None:
        await self._take(lambda r: decode.pin(event, r))

    async def _on_account(self, event: dict[str, Any]) -> None:
        try:
            self._slack.directory.update(event["user"])
        except _UNREADABLE as error:
            _unreadable(error)

    async def _on_home(self, event: dict[str, Any]) -> None:
        if event.get("tab") == "home" and self._house is not None:
            await self._handover.within(self._publish(str(event["user"]), self._house))

    async def _publish(self, user: str, house: House) -> None:
        why = await self._handover.barred(user)
        view = views.barred_home(why) if why else views.home(await house.home(user))
        await self._slack.api.call("views.publish", user_id=user, view=view)

    # -- commands, buttons, shortcuts -------------------------------------------------------------

    async def _on_command(self, body: dict[str, Any], ack: AsyncAck, req: AsyncBoltRequest) -> None:
        made = self._read(
            lambda r: decode.command(body, r, prefix=self._slack.prefix, age=self._signed_ago(req))
        )
        if made is None:
            await ack(text=SORRY, response_type="ephemeral")
            return
        kind = views.form_of(made.text, self._slack.prefix, "wb")
        origin = views.Origin(made.channel, made.thread)
        work = self._form_or_hand_over(kind, made, body["trigger_id"], origin)
        try:
            await self._handover.within(work, made)
        except Exception as error:  # noqa: BLE001 - an edge: logged once, and told
            self._handover.failed("a slash command could not be taken in", error)
            await ack(text=sentence(error), response_type="ephemeral")
        else:
            await ack()

    async def _on_press(self, body: dict[str, Any], ack: AsyncAck) -> None:
        if (made := self._read(lambda r: decode.press(body, r))) is None:
            await ack()
            return
        value = made.value if isinstance(made, Press) else made.text
        message = made.message_id
        kind = views.form_of(value) if views.asks_for_form(value) else None
        origin = views.Origin(made.channel, decode.thread_of(body), message)
        await self._pressed(self._form_or_hand_over(kind, made, body["trigger_id"], origin), made, ack)

    async def _on_form_asked(self, body: dict[str, Any], ack: AsyncAck) -> None:
        if (made := self._read(lambda r: decode.form_asked(body, r))) is None:
            await ack()
            return
        work = self._form_or_hand_over(views.OPEN, made, body["trigger_id"], views.Origin())
        await self._pressed(work, made, ack)

    async def _on_timeline_mark(self, body: dict[str, Any], ack: AsyncAck) -> None:
        if (made := self._read(lambda r: decode.timeline_mark(body, r))) is None:
            await ack()
            return
        await self._pressed(self._handover.hand_over(made), made, ack)

    async def _pressed(self, work: Work, made: Incoming, ack: AsyncAck) -> None:
        """Slack shows nothing of the answer to a button: what failed is told in the channel, to that person."""
        try:
            await self._handover.within(work, made)
        except Exception as error:  # noqa: BLE001 - an edge: logged once, and told
            self._handover.failed("a button or shortcut could not be taken in", error, made)
        await ack()

    async def _form_or_hand_over(
        self, kind: str | None, made: Incoming, trigger: str, origin: views.Origin
    ) -> None:
        """Forms are for those who may fill them in; a line of anybody else is refused by the house itself."""
        if kind is None or self._house is None or await self._handover.barred(made.user):
            await self._handover.hand_over(made)
            return
        try:
            view = views.form(kind, self._house, origin)
            await self._slack.api.call("views.open", trigger_id=trigger, view=view)
        except UNSENT as error:
            raise FormError(f"Slack opened no form; type `{_INSTEAD[kind]}` instead.") from error

    async def _on_submission(self, body: dict[str, Any], ack: AsyncAck) -> None:
        read = self._read(lambda _: _submitted(body))
        if read is None or self._house is None:
            await ack(response_action="errors", errors=_told_at(body, SORRY))
            return
        made, kind, values = read
        if wrong := views.faults(kind, values, self._house.refusal):
            await ack(response_action="errors", errors=wrong)
            return
        try:
            await self._handover.within(self._handover.hand_over(made), made)
        except Exception as error:  # noqa: BLE001 - an edge: logged once, and told
            self._handover.failed("a form could not be taken in", error)
            await ack(response_action="errors", errors=_told_at(body, SORRY))
        else:
            await ack()

    # -- inside -----------------------------------------------------------------------------------

    def _reading(self) -> decode.Reading:
        who = self._slack.directory
        return decode.Reading(
            people=self._slack.people, bot=who.user_id, bot_id=who.bot_id, now=self._slack.wall()
        )

    def _read(self, make: Callable[[decode.Reading], T]) -> T | None:
        """None where Slack's payload is not what its kind should be: sent again it would read no better."""
        try:
            return make(self._reading())
        except _UNREADABLE as error:
            _unreadable(error)
            return None

    def _ready(self) -> bool:
        return self._handover.receive is not None

    def _signed_ago(self, req: AsyncBoltRequest) -> float:
        """Seconds since Slack sent a request; over Socket Mode nothing is told, and it is counted as new.

        The stamp is in whole seconds: less than two tell nothing of the way here, and are none.
        """
        stamp = req.headers.get("x-slack-request-timestamp", [""])[0]
        passed = self._now() - int(stamp) if stamp.isdigit() else 0.0
        return passed if passed >= 2 else 0.0


def _authorizing(who: Accounts) -> Callable[..., Awaitable[AuthorizeResult]]:
    """Tells Bolt who the bot is, without asking Slack for each request; Bolt wants a function, not a method."""

    async def authorize(enterprise_id: str | None, team_id: str | None) -> AuthorizeResult:
        return AuthorizeResult(
            enterprise_id=enterprise_id, team_id=team_id, bot_user_id=who.user_id, bot_id=who.bot_id
        )

    return authorize


def _submitted(body: Mapping[str, Any]) -> tuple[Request, str, dict[str, str]]:
    """A filled-in form as a request, its kind, and its values."""
    view = body["view"]
    origin = views.Origin.read(view["private_metadata"])
    kind, values = view["callback_id"], views.values_of(view)
    if kind not in _INSTEAD:
        raise ValueError("a form that is none of ours")
    made = Request(
        platform=decode.NAME,
        event_id=f"view:{view['id']}:{view['hash']}",
        channel=origin.channel,
        user=body["user"]["id"],
        text=views.line(kind, values),
        thread=origin.thread,
        direct=not origin.channel or decode.is_direct(origin.channel),
    )
    return made, kind, values


def _told_at(body: Mapping[str, Any], said: str) -> dict[str, str]:
    """A sentence at the first field of a form."""
    return {body["view"]["blocks"][0]["block_id"]: said}


def _unreadable(error: Exception) -> None:
    _log.warning("what Slack sent could not be read", error=f"{type(error).__name__}: {error}")
