"""The outbox out: in order per channel, pages first, at least once, and looked for before it is sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson
import structlog
from sqlalchemy import Row, select

from bot import store
from bot.chat import DeliveryError, Platform, RetryLaterError
from bot.claims import claim
from bot.desk import Desk
from bot.logbook import Logbook
from bot.opening import NotPostedError
from bot.outward import Outward
from bot.pager import NO_SERVICE, Pager
from bot.places import Places
from bot.render import Renderer
from bot.send import Sender, remember
from bot.shown_cards import Progress, ShownCards
from bot.spots import NotYetError
from bot.ways import Spot, Way, Ways, scope
from incidents import due
from incidents import events as e
from incidents.ports import Clock, NotRecordedError

log = structlog.get_logger()

SLOWEST = 60.0  # seconds between two tries, at most
IDLE = 0.02  # seconds until the next look after one that found nothing that may go
MARKED = 0.05  # seconds within which what went out is marked together; pages at once, lest they be sent again
CONTACT_TRIES, TRIES = 4, 60
LAST = ("archive", "amend", "erase")  # ops that go, after cards, when all that is new has been said
AFTERWARDS = frozenset({"card", *LAST})

Sent = tuple[Row[Any], list[tuple[Spot, str]]]


class Deliverer:
    """Takes rows of the outbox under a lease, delivers them, and marks them sent."""

    def __init__(
        self,
        log_store: store.Store,
        desk: Desk,
        platforms: Mapping[str, Platform],
        places: Places,
        pager: Pager,
        renderer: Renderer,
        clock: Clock,
        boot: str,
    ) -> None:
        self._store = log_store
        self._desk = desk
        self._clock = clock
        self._boot = boot
        self.progress: dict[int, Progress] = {}
        out = Outward(log_store, desk, platforms, places, renderer, clock)
        self.content = out.content
        self._cards = ShownCards(out, self.progress)
        self._send = Sender(out, pager, self._cards, lambda ref: self.found(ref))
        self.wake = Ways.of(tuple(platforms))  # a chat that is away holds up none of the others
        self.found: Callable[[str], object] = lambda ref: None  # told of cards that an earlier try had posted

    # -- the loop ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Deliver whatever comes, for ever; a log that is away is tried again every second."""
        await asyncio.gather(*(self._run(way) for way in self.wake.all))

    async def _run(self, way: Way) -> None:
        while True:
            way.wake.clear()
            try:
                if not await self._drain(way):
                    await asyncio.sleep(IDLE)  # where chats limit the bot, every commit wakes it for nothing
            except NotRecordedError as error:
                log.warning("the outbox cannot be read", error=str(error))
            try:
                async with asyncio.timeout(1.0):
                    await way.wake.wait()
            except TimeoutError:
                continue

    async def release_dead(self, alive: Callable[[str], bool]) -> None:
        """Void the claims of boots that are gone, so that what they had in hand goes out at once."""
        t = store.outbox
        waiting = (t.c.sent_at.is_(None), t.c.failed.is_(None), t.c.claimed_until.is_not(None))
        query = select(t.c.claimed_by).where(*waiting).distinct()
        rows = await self._store.read(lambda connection: connection.execute(query).all())
        dead = [row.claimed_by for row in rows if row.claimed_by and not alive(row.claimed_by)]
        if dead:
            void = t.update().where(*waiting, t.c.claimed_by.in_(dead)).values(claimed_until=None)
            await self._store.run(lambda unit: unit.execute(void).rowcount)

    def touch(self, ref: str) -> None:
        """Have the card `ref` edited soon, without a row: progress is not worth one."""
        self.wake.touch(ref)

    async def drain(self) -> int:
        """Deliver everything that may go now; returns how many rows and stale cards that were."""
        if len(self.wake.all) == 1:
            return await self._drain(self.wake.all[0])
        found = await asyncio.gather(*(self._drain(way) for way in self.wake.all), return_exceptions=True)
        for failed in found:
            if isinstance(failed, BaseException):
                raise failed
        return sum(number for number in found if isinstance(number, int))

    async def _drain(self, way: Way) -> int:
        """Every channel by itself, so that one which is slow holds up no other: not even what comes meanwhile."""
        delivered = 0
        hands: set[asyncio.Task[None]] = set()
        async with way.turn:
            try:
                await self._mark(way)  # what a pass before could not mark must not go out again
                while True:
                    rows = await self._store.run(lambda unit: self._claim(unit, way))
                    groups = _by_channel(rows)
                    way.busy |= frozenset(groups)
                    hands |= {asyncio.create_task(self._channel(name, groups[name], way)) for name in groups}
                    delivered += len(rows)
                    if not hands:
                        break
                    if not rows:
                        hands = await _ended(hands, way.wake)
            finally:
                await _end(hands)
                way.busy = frozenset()
            for ref in list(way.stale):
                way.stale.pop(ref, None)
                await self._show_progress(ref, way.chat)
                delivered += 1
        return delivered

    async def _channel(self, name: str, rows: list[Row[Any]], way: Way) -> None:
        """The claimed rows of one channel; the next ones are claimed when these are marked."""
        said = await self._in_order([row for row in rows if row.op not in AFTERWARDS], way)
        await self._edits([row for row in rows if row.op == "card"], way)
        last = [row for row in rows if row.op in LAST]
        if said:
            await self._in_order(last, way)
        else:  # nothing can be said where a channel is archived
            await self._release(last)
        await self._mark(way)
        way.busy -= {name}

    async def _show_progress(self, ref: str, chat: str | None) -> None:
        """Progress that a chat does not take is not shown: the end has a row of its own."""
        try:
            await self._cards.refresh(ref, chat)
        except Exception as error:  # noqa: BLE001 - chats: nothing here is worth a second try
            log.info("progress was not shown", card=ref, error=str(error))

    async def next_retry(self) -> datetime | None:
        """When a row that waits may be tried again, or None; those behind it in its channel have no such time."""
        now, t = store.micros(self._clock.now()), store.outbox
        waiting = (t.c.sent_at.is_(None), t.c.failed.is_(None), t.c.not_before > now)
        query = select(t.c.not_before).where(*waiting).order_by(t.c.not_before).limit(1)
        row = await self._store.read(lambda connection: connection.execute(query).first())
        return store.moment(row.not_before) if row is not None else None

    def _claim(self, unit: store.Unit, way: Way) -> list[Row[Any]]:
        """The next rows, pages first; a channel whose first row waits for another try is left alone."""
        return claim(unit, self._boot, store.micros(self._clock.now()), way)

    async def _in_order(self, rows: list[Row[Any]], way: Way) -> bool:
        """Deliver one after the other; False where one waits for another try, and those behind it with it."""
        for index, row in enumerate(rows):
            try:
                sent = await self._send.row(row)
            except Exception as error:  # noqa: BLE001 - chats and pagers: any failure is recorded
                waits = await self._failed(row, error)
                if waits:
                    await self._release(rows[index + 1 :])
                    return False
            else:
                await self._sent([row], sent, way)
        return True

    # -- cards ------------------------------------------------------------------------------------

    async def _edits(self, rows: list[Row[Any]], way: Way) -> None:
        """One edit a card, however many rows asked for it."""
        for ref, chat in dict.fromkeys((str(row.card), scope(row.channel)[1]) for row in rows):
            mine = [row for row in rows if (row.card, scope(row.channel)[1]) == (ref, chat)]
            try:
                await self._cards.refresh(ref, chat)
            except Exception as error:  # noqa: BLE001 - as in `_in_order`
                # The first, which knows of the tries before, asks for the same.
                await self._sent(mine[1:], [], way)
                await self._failed(mine[0], error)
            else:
                await self._sent(mine, [], way)

    # -- marks ------------------------------------------------------------------------------------

    async def _sent(self, rows: list[Row[Any]], spots: list[tuple[Spot, str]], way: Way) -> None:
        """Note what went out; marked together, and soon: what a crash forgets has to be looked for."""
        now = asyncio.get_running_loop().time()
        if not way.unmarked:
            way.unmarked_since = now
        way.unmarked += [(row, spots) for row in rows]
        if now - way.unmarked_since > MARKED or any(row.lane == 0 for row in rows):
            await self._mark(way)

    async def _mark(self, way: Way) -> None:
        async with way.marking:  # what another channel marks just now is not marked yet
            done, way.unmarked = way.unmarked, []
            if not done:
                return
            now = self._clock.now()
            try:
                await self._store.run(lambda unit: _mark_sent(unit, done, now))
            except NotRecordedError:
                way.unmarked = done + way.unmarked
                raise

    async def _release(self, rows: list[Row[Any]]) -> None:
        if rows:
            t = store.outbox
            back = t.update().where(t.c.id.in_([row.id for row in rows]))
            changed = back.values(claimed_until=None, attempts=t.c.attempts - 1)
            await self._store.run(lambda u: u.execute(changed).rowcount)

    async def _failed(self, row: Row[Any], error: Exception) -> bool:
        """Note a failure; True where the row is tried again, and its channel waits for that."""
        tries = row.attempts + 1
        limit = CONTACT_TRIES if row.op in ("contact", "direct") else TRIES
        # Being asked to wait is no failure, however often; but a page that waits too long goes to somebody else.
        unposted = isinstance(error, NotPostedError) and row.op in ("say", "open")
        # An incident is not left out of a chat because that was away for long.
        waits = unposted or (row.op == "open" and scope(row.channel)[1] is not None)
        final = isinstance(error, DeliveryError) or (tries >= limit and not waits)
        delay = (
            error.seconds if isinstance(error, RetryLaterError) else min(SLOWEST, 2.0 ** min(tries, 6) / 2)
        )
        if isinstance(error, NotYetError):
            delay = 1.0
        told = log.info if isinstance(error, RetryLaterError) else log.warning
        told("not delivered", row=row.id, op=row.op, channel=row.channel, final=final, error=str(error))
        now, why = self._clock.now(), self._desk.redactor.redact(str(error))  # before it is cut

        def unit(u: store.Unit) -> None:
            t = store.outbox
            values: dict[str, Any] = {"claimed_until": None}
            if unposted:
                values["attempts"] = row.attempts
            if final:
                values["failed"] = why[:500] or type(error).__name__
            else:
                values["not_before"] = store.micros(now + timedelta(seconds=delay))
            u.execute(t.update().where(t.c.id == row.id).values(**values))
            if final and row.op in ("contact", "direct"):
                self._page_failed(u, row, now, why)

        await self._store.run(unit)
        return not final

    def _page_failed(self, u: store.Unit, row: Row[Any], now: datetime, detail: str) -> None:
        """Once every method of one page to a person has failed, the page goes to the next rung.

        A kind that no service is configured for is none; where nothing else is left, direct messages count.
        """
        t = store.outbox
        same = u.rows(select(t.c.op, t.c.failed).where(t.c.card == row.card))
        contacts = [r for r in same if r.op == "contact" and not (r.failed or "").startswith(NO_SERVICE)]
        methods = contacts or [r for r in same if r.op == "direct"] or list(same)
        if not all(r.failed for r in methods):
            return
        data = orjson.loads(row.payload)["data"]
        book = Logbook(u, self._desk, now)
        incident = book.incident(int(data["incident"]))
        if incident is None:
            return
        failed = e.PageFailed(
            at=now, actor=e.BOT, person=data["person"], key=str(data["key"]), detail=detail[:200]
        )
        found = due.unreachable(
            incident,
            book.policy(incident),
            book.roster,
            failed=failed,
            rung=str(data.get("rung") or ""),
            now=now,
        )
        book.record(f"incident-{incident.number}", *found)
        book.finish()


def _by_channel(rows: Iterable[Row[Any]]) -> dict[str, list[Row[Any]]]:
    groups: dict[str, list[Row[Any]]] = {}
    for row in rows:
        groups.setdefault(row.channel, []).append(row)
    return groups


async def _ended(hands: set[asyncio.Task[None]], wake: asyncio.Event) -> set[asyncio.Task[None]]:
    """The tasks that are still at work, once one has ended or there may be more to do; raises what one raised.

    Where all wait for slow chats, every commit wakes it for nothing: it looks again after `IDLE` at the earliest.
    """
    done, left = await asyncio.wait(hands, timeout=IDLE, return_when=asyncio.FIRST_COMPLETED)
    if not done:
        woken = asyncio.create_task(_woken(wake))
        try:
            done, left = await asyncio.wait({*hands, woken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
        done, left = done - {woken}, left - {woken}
    for task in done:
        task.result()
    return left


async def _woken(wake: asyncio.Event) -> None:
    await wake.wait()
    wake.clear()


async def _end(hands: set[asyncio.Task[None]]) -> None:
    """Wait for all that is at work, for nothing goes out twice; cut it off where the bot is being stopped."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        for hand in hands:
            hand.cancel()
    await asyncio.gather(*hands, return_exceptions=True)


def _mark_sent(unit: store.Unit, done: list[Sent], now: datetime) -> None:
    """Set the rows sent, and remember their messages."""
    t = store.outbox
    ids = [row.id for row, _ in done]
    unit.execute(t.update().where(t.c.id.in_(ids)).values(sent_at=store.micros(now)))
    for row, spots in done:
        remember(unit, row, spots)
