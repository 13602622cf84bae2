"""Approved changes: checked again, claimed, run at most once, followed after a crash, undone when asked."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from sqlalchemy import select

from bot import store
from bot.chat import Platform, Say
from bot.deliver import Deliverer
from bot.logbook import Desk, Logbook, fingerprint
from bot.votes import meaning
from bot.work import Work
from commands.actions import Ops, Outcome, Plan, Progress, TargetError, Undo
from commands.case import Reply
from commands.dispatch import Asked, Place, drift, freeze
from incidents import approvals
from incidents import events as e
from incidents.approvals import APPROVE, Action
from incidents.ports import Clock, RefusedError

log = structlog.get_logger()

RUN_LIMIT = 900.0  # seconds; a target that has not ended by then is reported as unknown


@dataclass(frozen=True, slots=True)
class Terms:
    """What a proposal refers to: the action it undoes, reverts or repeats."""

    undo_of: int | None = None
    revert_of: int | None = None
    again_of: int | None = None
    covered: str = ""  # why no vote is needed, in words; empty where votes are


class Executor:
    """Proposes plans, and runs those that were approved."""

    def __init__(
        self,
        log_store: store.Store,
        desk: Desk,
        ops: Ops,
        platforms: Mapping[str, Platform],
        deliverer: Deliverer,
        clock: Clock,
        work: Work,
        boot: str,
        alive: Callable[[str], bool],
    ) -> None:
        self._store = log_store
        self._desk = desk
        self._ops = ops
        self._platforms = platforms
        self._deliverer = deliverer
        self._clock = clock
        self._work = work
        self._boot = boot
        self._alive = alive
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._at_work: set[int] = set()

    # -- asking -----------------------------------------------------------------------------------

    async def propose(
        self,
        result: Plan | Undo,
        *,
        by: str,
        place: Place,
        revert_after: int | None = None,
        inbox_id: str | None = None,
    ) -> Reply | None:
        """Freeze a plan and put it to the vote; a reply where an identical request waits already."""
        plan = result.plan if isinstance(result, Undo) else result
        terms = Terms()
        if isinstance(result, Undo):
            covered = f"covered by the approval of #{result.number}" if result.covered else ""
            terms = Terms(undo_of=result.number, covered=covered)

        def unit(u: store.Unit) -> Reply | None:
            book = Logbook(u, self._desk, self._clock.now())
            if inbox_id is not None:
                t = store.inbox
                u.execute(t.update().where(t.c.event_id == inbox_id).values(state="done", payload=None))
            same = book.identical(fingerprint(plan.to_data(), place.number, place.channel))
            if same is not None and terms.undo_of is None and same.plan_hash == plan.hash:
                return Reply("already_waiting", {"number": same.number, "summary": plan.summary})
            self._put(book, plan, by=by, place=place, revert_after=revert_after, terms=terms)
            book.finish()
            return None

        return await self._store.run(unit)

    def _put(
        self, book: Logbook, plan: Plan, *, by: str, place: Place, revert_after: int | None, terms: Terms
    ) -> int:
        """Record the proposal; the number it got."""
        settings = self._desk.settings
        rules = settings.approvals
        service = settings.catalogue.service(plan.service) if plan.service else None
        quorum = rules.needed(
            plan.effect, command=plan.command, service=service, environment=plan.environment
        )
        eligible = [person for person in settings.with_role("approver") if person != by]
        on_call = {
            person
            for rota in book.roster.rotas
            if (person := book.roster.on_call(rota, book.now)) is not None
        }
        number = book.next_number("action")
        asked = Asked(
            plan=plan,
            by=by,
            place=place,
            quorum=quorum,
            eligible=eligible,
            first=[person for person in eligible if person in on_call],
            expires=rules.expires,
            widen=rules.widen_after,
            undo_window=rules.undo_window,
            revert_after=revert_after,
            undo_of=terms.undo_of,
            revert_of=terms.revert_of,
            again_of=terms.again_of,
        )
        events: list[e.Event] = [freeze(asked, number=number, now=book.now)]
        if terms.covered:
            events.append(e.ActionApproved(at=book.now, actor=by, voters=(), why=terms.covered))
        book.record(f"action-{number}", *events)
        return number

    # -- running ----------------------------------------------------------------------------------

    def acted(self, number: int, kind: str) -> None:
        """After a commit: something about an action wants doing."""
        if kind == "ActionApproved":
            self.begin(number)
        elif kind == "CancelAsked":
            self._work.spawn(self._cancel(number), f"cancel #{number}")
        elif kind == "RevertDue":
            self._work.spawn(self._revert(number), f"revert #{number}")

    def begin(self, number: int) -> None:
        """Run an approved action beside everything else."""
        if number not in self._at_work:
            self._at_work.add(number)
            self._work.spawn(self._guarded(number), f"action #{number}")

    async def recover(self) -> None:
        """At start and every minute: approved actions are run, those of a dead boot are looked at."""
        t = store.actions
        query = (
            select(t.c.number, t.c.state).where(t.c.state.in_(("approved", "running"))).order_by(t.c.number)
        )
        rows = await self._store.read(lambda connection: connection.execute(query).all())
        for row in rows:
            action = await self._action(row.number)
            if action.number in self._at_work:
                continue
            if action.state == "approved":
                self.begin(action.number)
            elif action.state == "running" and (action.boot == self._boot or not self._alive(action.boot)):
                self._at_work.add(action.number)
                self._work.spawn(self._follow(action), f"follow #{action.number}")
        await self._revert_missed()

    async def _revert_missed(self) -> None:
        """Reverts that were due when the process died, before their request was made."""
        for name in await self._store.read(
            lambda c: [
                r.name
                for r in c.execute(select(store.locks.c.name).where(store.locks.c.name.like("revert:%")))
            ]
        ):
            number = int(name.partition(":")[2])
            self._work.spawn(self._revert(number), f"revert #{number}")

    async def _guarded(self, number: int) -> None:
        try:
            action = await self._action(number)
            async with self._locks[str(action.plan["subject"])]:
                await self._run(number)
        finally:
            self._at_work.discard(number)

    async def _action(self, number: int) -> Action:
        found = await self._store.run(lambda unit: unit.state(f"action-{number}"))
        if not isinstance(found, Action):
            raise RefusedError(f"There is no request #{number}.")
        return found

    async def _run(self, number: int) -> None:
        action = await self._action(number)
        if action.state != "approved":
            return
        plan = Plan.from_data(action.plan)
        counted, lost = await self._count(action)
        if not approvals.enough(action, counted):
            await self._record(number, *approvals.short_of_votes(action, lost=lost, now=self._clock.now()))
            return
        try:
            identity, state = await self._ops.target(plan.target).observe(plan)
        except Exception as error:  # noqa: BLE001 - the edge to a target: nothing has been changed yet
            await self._record(number, e.ActionFailed(at=self._clock.now(), actor=e.BOT, text=_told(error)))
            return
        moved = drift(plan, identity, state)
        if moved:
            await self._void(action, plan, moved)
            return
        if await self._claim(number, plan, counted):
            await self._execute(number, plan)

    async def _claim(self, number: int, plan: Plan, counted: tuple[str, ...]) -> bool:
        """Record the start, holding the target's lock; False where somebody else was first."""

        def unit(u: store.Unit) -> bool:
            book = Logbook(u, self._desk, self._clock.now())
            action = book.action(number)
            if action is None or action.state != "approved":
                return False
            holders = u.rows(select(store.locks.c.holder).where(store.locks.c.name == plan.subject))
            if holders and holders[0].holder != str(number):
                return False
            u.upsert(store.locks, {"name": plan.subject}, {"holder": str(number)})
            events = approvals.start(action, boot=self._boot, counted=counted, now=book.now)
            book.record(f"action-{number}", *events)
            book.finish()
            return True

        return await self._store.run(unit)

    async def _execute(self, number: int, plan: Plan) -> None:
        target = self._ops.target(plan.target)
        try:
            async with asyncio.timeout(RUN_LIMIT):
                outcome = await target.run(plan, key=f"wb-{number}", progress=self._progress(number))
        except TargetError as error:  # refused before anything changed
            outcome = Outcome("failed", str(error))
        except Exception as error:  # it may have happened: nothing proves that it did not
            log.error("the outcome is unknown", action=number, exc_info=error)
            outcome = Outcome("unknown", _told(error))
        await self._end(number, plan, outcome)

    def _progress(self, number: int) -> Progress:
        async def report(done: int, total: int, what: str) -> None:
            self._deliverer.progress[number] = (done, total, what)
            self._deliverer.touch(f"action:{number}")

        return report

    async def _follow(self, action: Action) -> None:
        """A run that a crash cut off: followed where the target proves it was accepted, else unknown."""
        plan = Plan.from_data(action.plan)
        try:
            target = self._ops.target(plan.target)
            followed = await target.follow(
                plan, key=f"wb-{action.number}", progress=self._progress(action.number)
            )
            outcome = followed or Outcome(
                "unknown",
                "Watchbell was restarted while it ran, and the target does not show whether it did.",
            )
        except Exception as error:  # noqa: BLE001 - the edge to a target; never run again
            outcome = Outcome("unknown", _told(error))
        finally:
            self._at_work.discard(action.number)
        await self._end(action.number, plan, outcome)

    async def _end(self, number: int, plan: Plan, outcome: Outcome) -> None:
        observed: Mapping[str, object] = outcome.after
        if outcome.kind == "unknown":
            observed = await self._look(plan)
        redact = self._desk.redactor.redact

        def unit(u: store.Unit) -> None:
            book = Logbook(u, self._desk, self._clock.now())
            action = book.action(number)
            u.execute(store.locks.delete().where(store.locks.c.name == plan.subject))
            if action is None or action.state != "running":
                return
            text = redact(outcome.text)
            events: list[e.Event]
            if outcome.kind == "done":
                events = approvals.finish(action, text=text, after=outcome.after, now=book.now)
            elif outcome.kind == "failed":
                events = [e.ActionFailed(at=book.now, actor=e.BOT, text=text)]
            else:
                events = [e.ActionUnknown(at=book.now, actor=e.BOT, text=text, observed=dict(observed))]
            book.record(f"action-{number}", *events)
            book.finish()

        await self._store.run(unit)
        self._deliverer.progress.pop(number, None)
        if outcome.answer is not None:
            await self._tell(number, outcome)

    async def _tell(self, number: int, outcome: Outcome) -> None:
        """What a change shows (the value of a key) goes to who asked, alone."""
        action = await self._action(number)
        assert outcome.answer is not None
        lines = [outcome.answer.headline, *outcome.answer.lines, outcome.answer.text]
        text = self._desk.redactor.redact("\n".join(line for line in lines if line))
        where = f"incident:{action.incident}" if action.incident is not None else action.channel
        data = {"person": action.requester, "text": text}

        def unit(u: store.Unit) -> None:
            book = Logbook(u, self._desk, self._clock.now())
            book.say(Say(where, op="whisper", template="sentence", data=data))
            book.finish()

        await self._store.run(unit)

    async def _look(self, plan: Plan) -> Mapping[str, object]:
        try:
            _identity, state = await self._ops.target(plan.target).observe(plan)
        except Exception as error:  # noqa: BLE001 - the edge to a target: the look is a service to the reader, no more
            return {"target": _told(error)}
        return state

    # -- votes counted again ----------------------------------------------------------------------

    async def _count(self, action: Action) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Whose votes hold right now, and whose do not: role, account, channel, and reactions read again."""
        shown = await self._reactions(action)
        counted: list[str] = []
        lost: list[str] = []
        for person in action.approvals:
            held = False
            for means, choice in action.votes[person].items():
                if choice != APPROVE:
                    continue
                held = held or not means.startswith("reaction:") or (means, person) in shown
            ok = held and person != action.requester and await self._may_vote(person, action)
            (counted if ok else lost).append(person)
        return tuple(counted), tuple(lost)

    async def _reactions(self, action: Action) -> set[tuple[str, str]]:
        """(means, person) of every approving reaction that stands on the card now."""
        t = store.messages
        query = select(t.c.platform, t.c.channel, t.c.message_id).where(t.c.card == f"action:{action.number}")
        rows = await self._store.read(lambda connection: connection.execute(query).all())
        found: set[tuple[str, str]] = set()
        for row in rows:
            platform = self._platforms.get(row.platform)
            if platform is None:
                continue
            for emoji, users in (await platform.reactions(row.channel, row.message_id)).items():
                if meaning(emoji) == APPROVE:
                    people = [self._desk.settings.person_of(row.platform, user) for user in users]
                    found |= {(f"reaction:{row.platform}", p.name) for p in people if p is not None}
        return found

    async def _may_vote(self, person: str, action: Action) -> bool:
        """An approver with an active account who may read the channel; a look-up that fails denies."""
        settings = self._desk.settings
        if not settings.can(person, "approver"):
            return False
        kind, _, channel = action.channel.partition(":")
        platform = self._platforms.get(kind)
        user = settings.people[person].ids.get(kind)
        if platform is None or user is None:
            return False
        try:
            members = await platform.members(channel)
            return await platform.active(user) and (members is None or user in members)
        except Exception as error:  # noqa: BLE001 - the edge to a chat: no answer is a no
            log.warning("a voter could not be checked", person=person, error=str(error))
            return False

    # -- what moved, cancelled, goes back ---------------------------------------------------------

    async def _void(self, action: Action, plan: Plan, moved: list[str]) -> None:
        """The target changed since the plan was made: void, and asked again once with the difference."""
        again: Plan | None = None
        if action.again_of is None and not action.why:
            try:
                again = await self._ops.target(plan.target).plan(plan.verb, **plan.args)
            except (RefusedError, TargetError) as error:
                moved = [*moved, str(error)]
        place = Place(
            "incident" if action.incident is not None else "operations", action.channel, action.incident
        )

        def unit(u: store.Unit) -> None:
            book = Logbook(u, self._desk, self._clock.now())
            now = book.action(action.number)
            if now is None or now.state != "approved":
                return
            why = "; ".join(moved)
            voided = e.ActionVoided(at=book.now, actor=e.BOT, why=why, again=again is not None)
            book.record(f"action-{action.number}", voided)
            if again is not None:
                terms = Terms(again_of=action.number, undo_of=action.undo_of)
                self._put(
                    book,
                    again,
                    by=action.requester,
                    place=place,
                    revert_after=action.revert_after,
                    terms=terms,
                )
            book.finish()

        await self._store.run(unit)

    async def _cancel(self, number: int) -> None:
        action = await self._action(number)
        plan = Plan.from_data(action.plan)
        stopped = await self._ops.target(plan.target).cancel(plan, key=f"wb-{number}")
        if not stopped:
            where = f"incident:{action.incident}" if action.incident is not None else action.channel
            text = f"#{number} cannot be stopped any more; its card shows how it goes on."

            def unit(u: store.Unit) -> None:
                book = Logbook(u, self._desk, self._clock.now())
                book.say(Say(where, template="sentence", data={"text": text}))
                book.finish()

            await self._store.run(unit)

    async def _revert(self, number: int) -> None:
        """`for 30m` is over: go back without asking, unless the world moved; then ask."""
        action = await self._action(number)
        plan = Plan.from_data(action.plan)
        undo = plan.undo
        assert undo is not None
        target = self._ops.target(plan.target)
        place = Place(
            "incident" if action.incident is not None else "operations", action.channel, action.incident
        )
        try:
            _identity, state = await target.observe(plan)
            back = await target.plan(undo["verb"], **undo["args"])
        except (RefusedError, TargetError) as error:
            await self._say(action, f"#{number} could not go back by itself: {error}")
            return
        moved = any(state.get(key) != value for key, value in action.after.items() if key in state)
        covered = "" if moved else f"covered by the approval of #{number}"

        def unit(u: store.Unit) -> None:
            book = Logbook(u, self._desk, self._clock.now())
            u.execute(store.locks.delete().where(store.locks.c.name == f"revert:{number}"))
            self._put(
                book,
                back,
                by=action.requester,
                place=place,
                revert_after=None,
                terms=Terms(revert_of=number, covered=covered),
            )
            book.finish()

        await self._store.run(unit)

    async def _say(self, action: Action, text: str) -> None:
        where = f"incident:{action.incident}" if action.incident is not None else action.channel

        def unit(u: store.Unit) -> None:
            book = Logbook(u, self._desk, self._clock.now())
            u.execute(store.locks.delete().where(store.locks.c.name == f"revert:{action.number}"))
            book.say(Say(where, template="sentence", data={"text": text}))
            book.finish()

        await self._store.run(unit)

    async def _record(self, number: int, *events: e.Event) -> None:
        def unit(u: store.Unit) -> None:
            book = Logbook(u, self._desk, self._clock.now())
            action = book.action(number)
            if action is not None and action.state == "approved":
                book.record(f"action-{number}", *events)
                book.finish()

        await self._store.run(unit)


def _told(error: Exception) -> str:
    """What a person is told of a target's failure."""
    return (
        str(error)
        if isinstance(error, RefusedError | TargetError)
        else f"{type(error).__name__}: {error}"[:300]
    )
