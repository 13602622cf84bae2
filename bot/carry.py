"""Commands that need a target or the history: carried out beside everything else, and answered where it is due."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

import orjson

from bot import relay, store
from bot.beside import beside, large, without_secrets
from bot.chat import Content, Platform, Request, RetryLaterError, Say, Upload
from bot.desk import Desk
from bot.heard import Heard, Person, message_id
from bot.logbook import Logbook
from bot.reader import LogReader
from bot.render import Renderer
from bot.whispers import Whispers
from bot.work import Work
from commands.actions import Answer, Ops, Plan, Undo
from commands.case import Ask, File, Reply
from commands.dispatch import Place, take_changes
from commands.grammar import Parsed
from commands.registry import Registry
from incidents.ports import Clock, RefusedError

SLOW = 3.0  # seconds; then whoever asked is told that it takes longer
WAITS = 12  # times that an answer waits because a chat asks for it


class Carrier:
    """`propose` has a change approved, `export` makes an incident's export, `runbooks` are their texts by name."""

    def __init__(
        self,
        log_store: store.Store,
        desk: Desk,
        registry: Registry,
        ops: Ops,
        platforms: Mapping[str, Platform],
        renderer: Renderer,
        clock: Clock,
        work: Work,
        heard: Heard,
        whispers: Whispers,
        content: Callable[..., Content],
        *,
        propose: Callable[..., Any],
        export: Callable[..., Any],
        runbooks: Mapping[str, str],
    ) -> None:
        self._store = log_store
        self._desk = desk
        self._registry = registry
        self._ops = ops
        self._platforms = platforms
        self._renderer = renderer
        self._clock = clock
        self._work = work
        self._heard = heard
        self._whispers = whispers
        self._content = content
        self._propose = propose
        self._export = export
        self._runbooks = runbooks
        self._resumed: set[str] = set()  # events whose command was taken in before a crash

    async def begin(self, parsed: Parsed, request: Request, person: Person, place: Place) -> None:
        """A command that needs a target or the history: recorded first, then done beside everything else."""
        payload = orjson.dumps({"request": asdict(request), "place": asdict(place)}).decode()

        def unit(u: store.Unit) -> None:
            book = self._heard.heard(u, request, person, place, state="taken", payload=payload)
            self._heard.echo(book, parsed, request, person, place)
            book.finish()

        await self._store.run(unit)
        self.spawn(parsed, request, person, place)

    def spawn(
        self, parsed: Parsed, request: Request, person: Person, place: Place, *, resumed: bool = False
    ) -> None:
        """Carry it out beside everything else; `resumed`: it was taken in before a crash."""
        if resumed:
            self._resumed.add(request.event_id)
        self._work.spawn(self._carry_out(parsed, request, person, place), f"command {parsed.command.name}")

    async def _carry_out(self, parsed: Parsed, request: Request, person: Person, place: Place) -> None:
        try:
            note = self._work.spawn(self._working(parsed, request), "a note that it takes long")
            try:
                result, shown = await self._run(parsed, person, place)
            finally:
                note.cancel()
            await self._hand_out(parsed, result, request, person, shown)
        except Exception as error:  # noqa: BLE001 - the edge, as in `receive`: this runs in a task of its own
            await self._whispers.error(request, error)
            await self.answered(request, [])

    async def _working(self, parsed: Parsed, request: Request) -> None:
        """Somebody who waits sees that it is in hand."""
        await self._clock.sleep(SLOW)
        text = f"Still working on {parsed.line or parsed.command.name}; the answer comes here."
        await self._whispers.tell(request, Reply("sentence", {"text": text}))

    async def _run(self, parsed: Parsed, person: Person, place: Place) -> tuple[Any, Place]:
        """What came of it, and where it may be told: what is private of other incidents, to the person alone."""
        injected: dict[str, Any] = {}
        reader = LogReader(self._store, self._desk, person.name, place.number)
        if "ask" in parsed.command.injected:
            injected["ask"] = self._ask(reader, person, place)
        if "ops" in parsed.command.injected:
            injected["ops"] = self._ops
        result = await parsed.command.run(**parsed.values, **injected)
        if reader.met and isinstance(result, Answer | File) and place.kind != "direct":
            return result, Place("elsewhere", place.channel)
        return result, place

    def _ask(self, reader: LogReader, person: Person, place: Place) -> Ask:
        settings = self._desk.settings
        return Ask(
            by=person.name or "",
            now=self._clock.now(),
            channel=place.channel,
            number=place.number,
            reader=reader,
            people=settings,
            rules=settings,
            registry=self._registry,
            runbooks=self._runbooks,
            zone=settings.zone,
            export=self._export,
        )

    async def _hand_out(
        self, parsed: Parsed, result: Any, request: Request, person: Person, place: Place
    ) -> None:
        if isinstance(result, Plan | Undo):
            await self._change(parsed, result, request, person, place)
            return
        if isinstance(result, Reply):
            if result.private:
                await self._whispers.tell(request, result)
                await self.answered(request, [])
            else:
                await self.answered(request, [self._heard.said(result, place)])
            return
        if isinstance(result, File):
            await self._waiting(lambda: self._upload(request, result, place))
            await self.answered(request, await self._for_others(result, request, place))
            return
        if isinstance(result, Answer):
            await self._waiting(lambda: self._show(request, result, place))
            await self.answered(request, await self._for_others(result, request, place))
            return
        await self.answered(request, [])

    async def _waiting(self, give: Callable[[], Awaitable[None]]) -> None:
        """Give an answer; where the chat asks to wait, it has not taken it, and the answer waits."""
        for _ in range(WAITS):
            try:
                await give()
            except RetryLaterError as wait:
                await self._clock.sleep(wait.seconds)
            else:
                return
        await give()

    async def _for_others(self, result: Answer | File, request: Request, place: Place) -> list[Say]:
        """What an incident's channels in the other chats see of an answer, unless it is for one person alone."""
        if not self._heard.bridged(place) or (isinstance(result, Answer) and result.private):
            return []
        ref = relay.answer_ref(message_id(request) or request.event_id)
        if isinstance(result, File):
            return [relay.file(result, place, ref)]
        told = await without_secrets(self._desk.redactor, result)
        return [await beside(relay.answer, told, place, ref)]

    async def _change(
        self, parsed: Parsed, result: Plan | Undo, request: Request, person: Person, place: Place
    ) -> None:
        plan = result.plan if isinstance(result, Undo) else result
        # A read can turn out to need an approval: the value of a key, say.
        take_changes(parsed.command, place, self._desk.settings.channels.ops)
        if parsed.for_seconds is not None and plan.undo is None:
            raise RefusedError(
                f"`{plan.line}` cannot be taken back, so it cannot be done for a while only; leave `for` out."
            )
        if parsed.dry_run:
            await self.answered(request, [])
            await self._whispers.tell(request, Reply("dry_run", {"plan": plan.to_data()}))
            return
        assert person.name is not None
        reply = await self._propose(
            result,
            by=person.name,
            place=place,
            revert_after=parsed.for_seconds,
            inbox_id=f"{request.platform}:{request.event_id}",
            assured=request.assured,
        )
        if reply is not None:
            await self._whispers.tell(request, reply)

    async def answered(self, request: Request, says: list[Say]) -> None:
        """Mark the inbox row done, together with what is said."""
        now = self._clock.now()

        def unit(u: store.Unit) -> None:
            t = store.inbox
            ident = f"{request.platform}:{request.event_id}"
            u.execute(t.update().where(t.c.event_id == ident).values(state="done", payload=None))
            book = Logbook(u, self._desk, now)
            for say in says:
                book.say(say)
            book.finish()

        await self._store.run(unit)

    async def _show(self, request: Request, answer: Answer, place: Place) -> None:
        """An answer, in the channel where it was asked for; redacted, long text as a file.

        In a channel that nobody configured it is for the person asking alone, and the bot does not join for it.
        """
        platform = self._platforms[request.platform]
        answer = await without_secrets(self._desk.redactor, answer)
        if large(answer):
            text, upload = await beside(self._renderer.answer, answer, platform.marks)
        else:
            text, upload = self._renderer.answer(answer, platform.marks)
        content = Content(text, text, answers=request.message_id)
        key = f"wb-answer-{message_id(request) or request.event_id}"
        if answer.private or (place.kind == "elsewhere" and upload is None):
            await platform.whisper(request.channel, request.user, content, thread=request.thread)
        elif await self._answered_before(request, key):
            return
        elif upload is not None:
            channel, thread = await self._room(request, place)
            await platform.upload(channel, upload, content, key=key, thread=thread)
        else:
            await platform.post(request.channel, content, key=key, thread=request.thread)

    async def _answered_before(self, request: Request, key: str) -> bool:
        """Whether the answer to a command that is taken up after a crash is there already."""
        if request.event_id not in self._resumed:
            return False
        self._resumed.discard(request.event_id)
        found = await self._platforms[request.platform].find(request.channel, key, thread=request.thread)
        return found is not None

    async def _room(self, request: Request, place: Place) -> tuple[str, str | None]:
        """Channel and thread for a file; elsewhere the person's direct messages."""
        if place.kind == "elsewhere":
            return await self._platforms[request.platform].direct(request.user), None
        return request.channel, request.thread

    async def _upload(self, request: Request, file: File, place: Place) -> None:
        platform = self._platforms[request.platform]
        content = self._content("sentence", {"text": file.text}, platform)
        upload = Upload(file.name, file.data, file.mime)
        key = f"wb-answer-{message_id(request) or request.event_id}"
        if await self._answered_before(request, key):
            return
        channel, thread = await self._room(request, place)
        await platform.upload(channel, upload, content, key=key, thread=thread)
