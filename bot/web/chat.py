"""The browser chat of the sandbox: its page, what people do on it, completion and live updates."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from bot.platforms.console import Console
from bot.platforms.console_people import NotPossibleError
from bot.web.board import Board
from bot.web.chat_view import Reader
from bot.web.completion import completion
from bot.web.context import WebContext
from bot.web.demo_alerts import ALERTS, AlertMenu
from bot.web.download import download
from bot.web.live import Live
from bot.web.page import Pages

TEXT_LIMIT = 40_000  # characters of one message, as in Slack

_log = structlog.get_logger()
Fields = dict[str, str]
Do = Callable[[Fields], Awaitable[str | None]]


class Chat:
    """The chat's pages; who one is stands in the address (`as=alice`), so that two tabs can be two people."""

    def __init__(self, context: WebContext, console: Console, pages: Pages, board: Board) -> None:
        self._context = context
        self._console = console
        self._pages = pages
        self._board = board
        self._live = Live(context, console, pages, board)
        self._menu = AlertMenu(console.store)
        self._zone = context.settings.zone

    async def close(self, _: web.Application) -> None:
        """End the streams, so that the server can stop."""
        self._live.close()

    def routes(self) -> list[web.RouteDef]:
        """/ and everything under /chat/."""
        acts: dict[str, Do] = {
            "say": self._say,
            "react": self._react,
            "press": self._press,
            "edit": self._edit,
            "delete": self._delete,
            "alert": self._alert,
            "speed": self._speed,
        }
        return [
            web.get("/", self.page),
            *(web.post(f"/chat/{name}", self._handler(do)) for name, do in acts.items()),
            web.get("/chat/commands", self.commands),
            web.get("/chat/messages", self.messages),
            web.get("/chat/events", self.events),
            web.get("/chat/files/{number:[0-9]{1,18}}", self.file),
        ]

    # -- looking ----------------------------------------------------------------------------------

    async def page(self, request: web.Request) -> web.Response:
        """The whole page, readable with scripts off."""
        reader = self._reader(request.query)
        query = request.query
        thread = reader.thread(query.get("thread"), editing=query.get("edit"))
        channel = reader.channel(thread[0].message.channel if thread else query.get("channel"))
        return self._pages.response(
            "chat.html",
            reader=reader,
            channel=channel,
            messages=reader.messages(channel.id, editing=query.get("edit")),
            thread=thread,
            board=await self._board.html(reader.me),
            alerts=[(alert, self._menu.firing(alert.key)) for alert in ALERTS],
            rev=self._console.store.rev,
            origin=self._console.store.notes["origin"],
        )

    async def commands(self, _: web.Request) -> web.Response:
        """What the command line completes."""
        return web.json_response(completion(self._context, self._console))

    async def messages(self, request: web.Request) -> web.Response:
        """A channel's messages as data."""
        reader = self._reader(request.query)
        channel = reader.channel(request.query.get("channel"))
        found = [m for m in self._console.messages(channel.id, seen_by=reader.me) if not m.deleted]
        rows = [
            {
                "id": m.id,
                "at": m.at.isoformat(),
                "author": m.author,
                "text": m.plain,
                "thread": m.thread,
                "card": m.card,
                "buttons": [b.label for b in m.buttons],
                "reactions": m.reactions,
            }
            for m in found
        ]
        return web.json_response({"channel": channel.title, "messages": rows})

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Everything new for one reader, from `since` or where the browser lost the stream."""
        since = request.headers.get("Last-Event-ID") or request.query.get("since", "0")
        if not since.isdecimal() or len(since) > 18:
            raise web.HTTPBadRequest(text="since is a revision: a whole number.\n")
        return await self._live.stream(request, self._reader(request.query), int(since))

    async def file(self, request: web.Request) -> web.Response:
        """A file that the bot uploaded, as a download."""
        reader = self._reader(request.query)
        number = int(request.match_info["number"])
        for message in reversed(self._console.store.messages.values()):
            for file in message.files:
                if file.id == number and reader.sees(message.channel) and message.seen_by(reader.me):
                    return download(file.name, self._console.store.file(number))
        raise web.HTTPNotFound(text="There is no such file here.\n")

    # -- doing ------------------------------------------------------------------------------------

    async def _say(self, fields: Fields) -> str | None:
        text = fields.get("text", "").replace("\r\n", "\n").strip()
        if not text:
            raise NotPossibleError("there is nothing to send yet")
        if len(text) > TEXT_LIMIT:
            raise NotPossibleError(f"a message has at most {TEXT_LIMIT:,} characters, this one {len(text):,}")
        thread = fields.get("thread") or None
        return await self._console.says(fields["as"], fields.get("channel", ""), text, thread)

    async def _react(self, fields: Fields) -> None:
        message = self._console.store.messages.get(fields.get("message", ""))
        emoji = fields.get("emoji", "")
        mine = message is not None and fields["as"] in message.reactions.get(emoji, ())
        await self._console.reacts(fields["as"], fields.get("message", ""), emoji, added=not mine)

    async def _press(self, fields: Fields) -> None:
        await self._console.presses(fields["as"], fields.get("message", ""), fields.get("label", ""))

    async def _edit(self, fields: Fields) -> None:
        text = fields.get("text", "").replace("\r\n", "\n").strip()
        if not text or len(text) > TEXT_LIMIT:
            raise NotPossibleError(f"a message has 1 to {TEXT_LIMIT:,} characters")
        await self._console.edits(fields["as"], fields.get("message", ""), text)

    async def _delete(self, fields: Fields) -> None:
        await self._console.deletes(fields["as"], fields.get("message", ""))

    async def _alert(self, fields: Fields) -> str:
        """Fire or resolve one of the menu's alerts, by the way that real ones come."""
        key, now = fields.get("fire") or fields.get("resolve", ""), self._context.clock.now()
        resolve = "fire" not in fields
        try:
            body = self._menu.body(key, now, resolve=resolve)
        except KeyError:
            raise NotPossibleError("this alert does not fire, so it cannot be resolved") from None
        token = self._context.settings.alert_token
        reply = await self._context.receive_alert("alertmanager", body, token)
        if reply.status >= 300:
            raise NotPossibleError(f"the alert was not taken ({reply.status}): {reply.text}")
        self._menu.sent(key, now, resolve=resolve)
        return reply.text

    async def _speed(self, fields: Fields) -> None:
        allowed = {f"{speed:g}": speed for speed in self._context.settings.speeds}
        if fields.get("speed") not in allowed:
            raise NotPossibleError(f"the speeds are {', '.join(allowed)}")
        self._context.clock.set_speed(allowed[fields["speed"]])
        self._live.wake()

    def _handler(self, do: Do) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            fields = await _fields(request)
            fields["as"] = self._reader(fields).me
            wants_data = "application/json" in request.headers.get("Accept", "")
            try:
                result = await do(fields)
            except NotPossibleError as refusal:
                return self._refused(str(refusal), fields, wants_data, 409)
            except Exception:  # noqa: BLE001 - an edge: the chat has kept the act, the bot gets it again
                _log.exception("the bot did not take what somebody did", path=request.path)
                sentence = "Watchbell did not take this; it is kept and handed over again"
                return self._refused(sentence, fields, wants_data, 503)
            if wants_data:
                return web.json_response({"ok": True, "result": result})
            raise web.HTTPSeeOther(self._back(fields))

        return handle

    def _refused(self, sentence: str, fields: Fields, wants_data: bool, status: int) -> web.Response:
        sentence = sentence[:1].upper() + sentence[1:]
        if wants_data:
            return web.json_response({"ok": False, "error": sentence}, status=status)
        return self._pages.response("refused.html", status=status, text=sentence, back=self._back(fields))

    def _back(self, fields: Fields) -> str:
        kept = {name: fields[name] for name in ("as", "channel") if fields.get(name)}
        if fields.get("open"):
            kept["thread"] = fields["open"]
        return "/?" + urlencode(kept)

    def _reader(self, query: Any) -> Reader:
        wanted = query.get("as")
        me = wanted if wanted in self._console.people else next(iter(self._console.people))
        return Reader(self._console, me, self._zone, self._context.settings.about)


async def _fields(request: web.Request) -> Fields:
    """The fields of a form; files and repeated ones left out."""
    try:
        return {k: v for k, v in (await request.post()).items() if isinstance(v, str)}
    except (ValueError, LookupError, HttpProcessingError, web.RequestPayloadError):
        # Half a body, no UTF-8, a strange charset, an encoding that is none.
        raise web.HTTPBadRequest(text="This form cannot be read.\n") from None
