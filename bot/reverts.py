"""`for 30m`: a change goes back by itself when its time is over."""

from __future__ import annotations

from sqlalchemy import select

from bot import store
from bot.announce_actions import where
from bot.chat import Say
from bot.desk import Desk
from bot.logbook import Logbook
from bot.propose import Proposer, Terms, place_of
from commands.actions import Ops, Plan, TargetError
from incidents.approvals import Action
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
        """Go back without asking, unless the world moved; then ask."""
        plan = Plan.from_data(action.plan)
        undo = plan.undo
        assert undo is not None
        target = self._ops.target(plan.target)
        try:
            _identity, state = await target.observe(plan)
            back = await target.plan(undo["verb"], **undo["args"])
        except (RefusedError, TargetError) as error:
            await self._say(action, f"#{action.number} could not go back by itself: {error}")
            return
        moved = any(state.get(key) != value for key, value in action.after.items() if key in state)
        covered = "" if moved else f"covered by the approval of #{action.number}"
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
            self._proposer.put(book, asked)
            book.finish()

        await self._store.run(unit)

    async def _say(self, action: Action, text: str) -> None:
        said = {"text": self._desk.redactor.redact(text)}

        def unit(u: store.Unit) -> None:
            if not _taken(u, action.number):
                return
            book = Logbook(u, self._desk, self._clock.now())
            book.say(Say(where(action), template="sentence", data=said))
            book.finish()

        await self._store.run(unit)


def _taken(unit: store.Unit, number: int) -> bool:
    """Whether the row that waits for this revert was there, and is this transaction's."""
    t = store.locks
    return bool(unit.execute(t.delete().where(t.c.name == f"revert:{number}")).rowcount)
