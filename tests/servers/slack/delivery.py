"""What happens in the workspace goes to the app: events with their retries, commands, interactions."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiohttp import web

from tests.servers.slack.delivery_http import Post
from tests.servers.slack.sockets import Sockets
from tests.servers.slack.state import Ack, Json, Workspace

LIMIT = 3.0  # seconds for an acknowledgement (api.slack.com/apis/events-api, interactivity/slash-commands)
RETRIES = (0.0, 60.0, 300.0)  # seconds from one attempt of an event to the next: at once, 1 and 5 minutes
ANSWERS = frozenset({"view_submission", "block_suggestion"})  # interactions answered in the acknowledgement


@dataclass(slots=True, eq=False)
class Parcel:
    """An event on its way; `due` is when it is tried next, by the stand-in's clock."""

    body: Json
    tries: int = 0
    due: float = 0.0
    reason: str = ""


class Courier:
    """Delivers over HTTP where the app has an address, else over its WebSockets.

    Events are kept until they are acknowledged or three retries are over; commands and interactions are
    delivered once. `duplicate` delivers every event twice, `reorder` each pair of events the wrong way round.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._post = Post(workspace)
        self.sockets = Sockets(workspace, self._connected)
        self.limit = LIMIT
        self.duplicate = self.reorder = False
        self.kept: list[Parcel] = []
        self._held: Parcel | None = None
        self._spawned: list[Json] = []
        self._worker: asyncio.Task[None] | None = None
        self._catching: asyncio.Task[None] | None = None
        self._timers: set[asyncio.TimerHandle] = set()

    # -- the Delivery protocol ------------------------------------------------------------------------

    async def event(self, event: Json) -> Ack:
        """Deliver an event, at once again where that fails; what still fails is kept for later."""
        parcel = Parcel(envelope(self._workspace, event), due=self._workspace.now())
        if not self.reorder:
            return await self._deliver(parcel)
        held, self._held = self._held, None
        if held is None:
            self._held = parcel
            return Ack(False, error="held")
        ack = await self._deliver(parcel)
        await self._deliver(held)
        return ack

    def spawn_event(self, event: Json) -> None:
        """Deliver an event that nobody waits for; several so spawned arrive in order."""
        self._spawned.append(event)
        if self._worker is None or self._worker.done():
            self._worker = self._workspace.spawn(self._drain())

    async def interactive(self, payload: Json) -> Ack:
        """Deliver an interaction, once."""
        if self._workspace.app.events_url is not None:
            return _once(await self._post.interactive(payload, self.limit))
        takes = payload["type"] in ANSWERS
        return _once(await self.sockets.send("interactive", payload, self.limit, takes=takes))

    async def command(self, form: Json) -> Ack:
        """Deliver a slash command, once."""
        if self._workspace.app.events_url is not None:
            return _once(await self._post.command(form, self.limit))
        return _once(await self.sockets.send("slash_commands", form, self.limit, takes=True))

    async def configured(self) -> Ack:
        """url_verification (api.slack.com/events/url_verification), where the app has an address."""
        if self._workspace.app.events_url is None:
            return Ack(True)
        challenge = self._workspace.new_id("")
        body = {
            "token": self._workspace.app.verification_token,
            "challenge": challenge,
            "type": "url_verification",
        }
        ack = await self._post.event(body, self.limit)
        answer = (ack.body or {}).get("challenge") or (ack.body or {}).get("text")
        if ack.acknowledged and answer != challenge:
            return Ack(False, ack.status, ack.body, "challenge_failed")
        return ack

    async def clock_moved(self) -> None:
        """Deliver again what has become due, the earliest first."""
        while due := [p for p in self.kept if p.due <= self._workspace.now()]:
            await self._again(min(due, key=lambda p: p.due))

    async def reset(self) -> None:
        """Forget what waits to be delivered, end the faults, close the connections."""
        if self._worker is not None:
            self._worker.cancel()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self.kept.clear()
        self._spawned.clear()
        self._held = None
        self.duplicate = self.reorder = False
        self.limit = LIMIT
        await self.sockets.close()
        await self._post.close()

    # -- faults on command ----------------------------------------------------------------------------

    async def faults(self, asked: Json) -> Json:
        """`deliver`: {duplicate, reorder, limit: seconds}; what was held back goes out with reorder off."""
        self.duplicate = bool(asked.get("duplicate", self.duplicate))
        self.reorder = bool(asked.get("reorder", self.reorder))
        self.limit = float(asked.get("limit", self.limit))
        if not self.reorder and self._held is not None:
            held, self._held = self._held, None
            await self._deliver(held)
        return {"duplicate": self.duplicate, "reorder": self.reorder, "limit": self.limit}

    # -- events ---------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        while self._spawned:
            await self.event(self._spawned.pop(0))

    async def _deliver(self, parcel: Parcel) -> Ack:
        """The first attempt, and the retry that comes at once."""
        ack = await self._attempt(parcel)
        if self.duplicate:
            await self._attempt(parcel)
        if ack.acknowledged or ack.error == "no_retry":
            return ack
        parcel.tries, parcel.reason = 1, ack.error
        return await self._tried(parcel, await self._attempt(parcel))

    async def _again(self, parcel: Parcel) -> None:
        self.kept.remove(parcel)
        parcel.tries += 1
        await self._tried(parcel, await self._attempt(parcel))

    async def _tried(self, parcel: Parcel, ack: Ack) -> Ack:
        """Keep what failed once more, unless that was its last retry."""
        if ack.acknowledged or ack.error == "no_retry" or parcel.tries >= len(RETRIES):
            return ack
        parcel.due += RETRIES[parcel.tries]
        parcel.reason = ack.error
        self.kept.append(parcel)
        self._ring(parcel)
        return ack

    def _ring(self, parcel: Parcel) -> None:
        """Have it tried when its time comes, also if nobody moves the clock."""
        seconds = max(0.0, parcel.due - self._workspace.now())

        def due() -> None:
            self._timers.discard(timer)
            self._workspace.spawn(self.clock_moved())

        timer = asyncio.get_running_loop().call_later(seconds, due)
        self._timers.add(timer)

    async def _attempt(self, parcel: Parcel) -> Ack:
        if self._workspace.app.events_url is not None:
            return await self._post.event(parcel.body, self.limit, parcel.tries, parcel.reason)
        return await self.sockets.send(
            "events_api", parcel.body, self.limit, retry=parcel.tries, reason=parcel.reason
        )

    def _connected(self) -> None:
        """What was not acknowledged before goes over the new connection."""
        if self.kept:
            self._catching = self._workspace.spawn(self._catch_up())

    async def caught_up(self) -> None:
        """Return when what waited for a connection was sent over it."""
        if self._catching is not None:
            await asyncio.wait([self._catching])

    async def _catch_up(self) -> None:
        for parcel in list(self.kept):
            if parcel in self.kept:
                await self._again(parcel)


def envelope(workspace: Workspace, event: Json) -> Json:
    """The outer body of an event (api.slack.com/apis/events-api, "event_callback")."""
    authorization = {
        "enterprise_id": None,
        "team_id": workspace.team,
        "user_id": workspace.app.bot_user,
        "is_bot": True,
        "is_enterprise_install": False,
    }
    return {
        "token": workspace.app.verification_token,
        "team_id": workspace.team,
        "context_team_id": workspace.team,
        "context_enterprise_id": None,
        "api_app_id": workspace.app.id,
        "event": event,
        "type": "event_callback",
        "event_id": workspace.new_id("Ev"),
        "event_time": int(workspace.now()),
        "authorizations": [authorization],
        "is_ext_shared_channel": False,
        "event_context": f"4-{workspace.new_id('')}",
    }


def _once(ack: Ack) -> Ack:
    """What the person sees where a command or an interaction was not acknowledged."""
    if ack.acknowledged:
        return ack
    if ack.error in ("http_timeout", "timeout"):
        error = "operation_timeout"
    elif ack.status is not None:
        error = "http_client_error" if ack.status < 500 else "http_service_error"
    else:
        error = "dispatch_failed"
    return Ack(False, ack.status, ack.body, error)


def routes(workspace: Workspace) -> list[web.RouteDef]:
    """The app's WebSocket and the controls of delivery; the workspace delivers through them from now on."""
    courier = Courier(workspace)
    workspace.deliver = courier

    async def deliver(request: web.Request) -> web.Response:
        return web.json_response({"ok": True, **await courier.faults(await _asked(request))})

    async def drop_sockets(_request: web.Request) -> web.Response:
        return web.json_response({"ok": True, "dropped": courier.sockets.drop()})

    async def refresh_sockets(request: web.Request) -> web.Response:
        reason = (await _asked(request)).get("reason", "refresh_requested")
        return web.json_response({"ok": True, "asked": await courier.sockets.refresh(reason)})

    async def sockets(_request: web.Request) -> web.Response:
        await courier.caught_up()
        waiting = sum(len(c.waiting) for c in courier.sockets.connections)
        found = {"connections": len(courier.sockets.ready), "waiting": waiting, "kept": len(courier.kept)}
        return web.json_response({"ok": True, **found})

    return [
        web.get("/link", courier.sockets.link),
        web.get("/link/", courier.sockets.link),
        web.post("/_control/deliver", deliver),
        web.post("/_control/drop_sockets", drop_sockets),
        web.post("/_control/refresh_sockets", refresh_sockets),
        web.post("/_control/sockets", sockets),
    ]


async def _asked(request: web.Request) -> Json:
    return dict(await request.json()) if request.can_read_body else {}
