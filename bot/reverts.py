"""`for 30m`: a change goes back by itself when its time is over."""

from __future__ import annotations

from sqlalchemy import select

from bot import store
from bot.desk import Desk
from bot.logbook import Logbook
from bot.propose import Proposer, Terms, place_of
from commands.actions import NoAnswerError, Ops, Plan, TargetError
from incidents import events as e
from incidents import ways_back
from incidents.action import Action
from incidents.ports import Clock, RefusedError


class Reverts:
    """Makes the request for the way back; one row of the locks holds each that is due and not yet made."""

    def __init__(
        self, log_store: store.Store, desk: Desk, ops: Ops, proposer: Proposer, clock: Clock
    ) -> None:
        self._store = log_store
        self._desk = desk
        self._ops = ops
        self._proposer = proposer
        self._clock = clock

    async def missed(self) -> list[int]:
        """Reverts that were due when the process died, before their request was made."""
        t = store.locks
        query = select(t.c.name).where(t.c.name.like("revert:%"))
        rows = await self._store.read(lambda connection: connection.execute(query).all())
        return [int(row.name.partition(":")[2]) for row in rows]

    async def revert(self, action: Action) -> None:
        """Go back without asking, unless the world moved or the way back is a danger by now; then ask.

        Where the target does not answer, who asked is told, once, and it falls due again.
        """
        plan = Plan.from_data(action.plan)
        try:
            back, covered = await self._way_back(action, plan)
        except (RefusedError, TargetError, NoAnswerError) as error:
            await self._blocked(action.number, str(error), again=not isinstance(error, RefusedError))
            return
        asked = await self._proposer.request(
            back,
            by=action.requester,
            place=place_of(action),
            terms=Terms(revert_of=action.number, covered=covered),
            guarded=action.guarded,
        )

        def unit(u: store.Unit) -> None:
            if not _taken(u, action.number):
                return  # somebody else has asked for the way back already
            book = Logbook(u, self._desk, self._clock.now())
            now = book.action(action.number)
            if now is not None and now.blocked:
                book.record(f"action-{now.number}", e.RevertBlocked(at=book.now, actor=e.BOT, why=""))
            if not _undone(book, action):
                self._proposer.put(book, asked)
            book.finish()

        await self._store.run(unit)

    async def _way_back(self, action: Action, plan: Plan) -> tuple[Plan, str]:
        """The plan that goes back, and why no vote is needed; empty where it is."""
        undo = plan.undo
        assert undo is not None
        target = self._ops.target(plan.target)
        identity, state = await target.observe(plan)
        back = await target.plan(undo["verb"], **undo["args"])
        n = action.number
        if identity != plan.identity or ways_back.moved(action, state, back.before):
            return back.noting(f"it is not as #{n} left it, so this is asked first"), ""
        if back.graver_than(plan):
            return back.noting(f"it is a danger, which the approval of #{n} does not cover"), ""
        return back, f"covered by the approval of #{n}"

    async def _blocked(self, number: int, why: str, *, again: bool) -> None:
        why = self._desk.redactor.redact(why)

        def unit(u: store.Unit) -> None:
            book = Logbook(u, self._desk, self._clock.now())
            action = book.action(number)
            if action is None or not _taken(u, number):
                return
            book.record(f"action-{number}", ways_back.blocked(action, why, again=again, now=book.now))
            book.finish()

        await self._store.run(unit)


def _undone(book: Logbook, action: Action) -> bool:
    """Whether somebody has taken it back by hand meanwhile, or is about to."""
    every = book.actions(action.incident, action.channel)
    live = ("pending", "approved", "running", "done")
    return any(a.undo_of == action.number and a.state in live for a in every)


def _taken(unit: store.Unit, number: int) -> bool:
    """Whether the row that waits for this revert was there, and is this transaction's."""
    t = store.locks
    return bool(unit.execute(t.delete().where(t.c.name == f"revert:{number}")).rowcount)
