"""Approved changes: checked again, claimed, run at most once, followed after a crash, undone when asked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import structlog
from sqlalchemy import select

from bot import store
from bot.announce_actions import where
from bot.beside import redacted
from bot.chat import Platform, Say
from bot.deliver import Deliverer
from bot.desk import Desk
from bot.logbook import Logbook
from bot.propose import Proposer, Request, Terms, place_of
from bot.redact import Redactor
from bot.reverts import Reverts
from bot.voters import Count, Voters
from bot.watching import Watcher
from bot.work import Work
from commands.actions import NoAnswerError, Ops, Outcome, Plan, Progress, TargetError
from commands.dispatch import drift
from incidents import approvals
from incidents import events as e
from incidents.action import Action, fold
from incidents.ports import Clock, NotRecordedError, RefusedError

log = structlog.get_logger()

_TOLD, _READ = 300, 4000  # characters of an unforeseen error that are told, and that are looked at


class Executor:
    """Runs what was approved, beside everything else; one run at a time for each thing that is changed."""

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
        *,
        voters: Voters,
        proposer: Proposer,
        watcher: Watcher,
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
        self._voters = voters
        self._proposer = proposer
        self._watcher = watcher
        self._reverts = Reverts(log_store, desk, ops, proposer, clock)
        self._queues: dict[str, deque[int]] = {}  # approved actions by what they change; the first is at work
        self._at_work: set[int] = set()
        self._outcomes: dict[int, Outcome] = {}  # of runs whose end could not be recorded yet
        self._left_told: set[int] = set()

    # -- running ----------------------------------------------------------------------------------

    def acted(self, number: int, kind: str) -> None:
        """After a commit: something about an action wants doing."""
        if kind == "ActionApproved":
            self.begin(number)
        elif kind == "CancelAsked":
            self._work.spawn(self._cancel(number), f"cancel #{number}")
        elif kind == "RevertDue":
            self._work.spawn(self._revert(number), f"revert #{number}")
        elif kind == "WatchDue":
            self._watcher.look(number)

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
            elif action.number in self._outcomes:
                self._at_work.add(action.number)
                self._work.spawn(self._end_at_last(action), f"end #{action.number}")
            elif action.state == "running" and (action.boot == self._boot or not self._alive(action.boot)):
                self._at_work.add(action.number)
                self._work.spawn(self._follow(action), f"follow #{action.number}")
        for number in await self._reverts.missed():
            self._work.spawn(self._revert(number), f"revert #{number}")
        await self._watcher.recover()

    async def _guarded(self, number: int) -> None:
        """Run it, and after it those that were approved meanwhile for the same thing."""
        try:
            subject = str((await self._action(number)).plan["subject"])
        except Exception as error:  # noqa: BLE001 - as below
            self._at_work.discard(number)
            await self._left(number, error)
            return
        queue = self._queues.setdefault(subject, deque())
        queue.append(number)
        if len(queue) > 1:
            return  # its turn comes
        while queue:
            try:
                await self._run(queue[0])
            except Exception as error:  # noqa: BLE001 - logged there, and `recover` takes it up again
                await self._left(queue[0], error)
            finally:
                self._at_work.discard(queue.popleft())
        del self._queues[subject]

    async def _left(self, number: int, error: Exception) -> None:
        """What was approved did not get to its end. Where the log is away, who asked is told, once."""
        log.error("an approved action was left", action=number, exc_info=error)
        ended = self._outcomes.get(number)
        if not isinstance(error, NotRecordedError) or (number in self._left_told and ended is None):
            return
        self._left_told.add(number)
        if ended is None:
            then = f"so #{number} does not run. I try again until it is too old."
        else:
            then = f"but #{number} has run ({ended.kind}: {ended.text.rstrip('.')}). I record that as soon as I can."
        text = self._desk.redactor.redact(f"I can't write to my log ({error}), {then}")
        try:
            action: Action | None = None
            for recorded in await self._store.events(f"action-{number}"):
                action = fold(action, recorded.event)
            assert action is not None
            kind, _, channel = action.channel.partition(":")
            platform, user = self._platforms[kind], self._desk.settings.people[action.requester].ids[kind]
            content = self._deliverer.content("refused", {"text": text}, platform)
            await platform.whisper(channel, user, content)
        except Exception as failed:  # noqa: BLE001 - the edge to a chat that may be away, too
            log.warning("nobody was told", action=number, error=str(failed))

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
        if plan.hash != action.plan_hash:
            log.error("the plan is not the one that was put to the vote", action=number)
            why = "its plan is not the one that was put to the vote"
            await self._record(number, e.ActionVoided(at=self._clock.now(), actor=e.BOT, why=why))
            return
        if too_old := approvals.stale(action, self._clock.now()):
            await self._record(number, *too_old)
            return
        watch, seen = await asyncio.gather(self._watcher.before(action, plan), self._observed(plan))
        if isinstance(seen, str):
            await self._record(number, e.ActionFailed(at=self._clock.now(), actor=e.BOT, text=seen))
            return
        moved = [*drift(plan, *seen), *await self._other_rules(action, plan)]
        if moved:
            await self._void(action, plan, moved)
            return
        count = await self._voters.count(action)  # last of all, so that nobody has time to leave
        if count.against is not None:
            stopped = approvals.stopped(action, by=count.against, now=self._clock.now())
            await self._record(number, *stopped)
        elif not approvals.enough(action, count.counted):
            short = approvals.short_of_votes(action, lost=count.lost, now=self._clock.now())
            await self._record(number, *short)
        elif await self._claim(number, plan, count, watch):
            await self._execute(number, plan)

    async def _observed(self, plan: Plan) -> tuple[str, Mapping[str, Any]] | str:
        """Identity and state now, or why they cannot be seen."""
        try:
            return await self._ops.target(plan.target).observe(plan)
        except Exception as error:  # noqa: BLE001 - the edge to a target: nothing has been changed yet
            return _told(error, self._desk.redactor)

    async def _other_rules(self, action: Action, plan: Plan) -> list[str]:
        """What the configuration asks for now and did not when this was asked."""
        of = action.undo_of or action.revert_of
        needed = self._proposer.needed(plan, await self._action(of) if of is not None else None)
        if action.why or needed == action.quorum:
            return []
        return [f"it takes {needed} approval{'s' if needed != 1 else ''} now, it took {action.quorum}"]

    async def _claim(self, number: int, plan: Plan, count: Count, watch: e.WatchBegan | None) -> bool:
        """Record the start, holding the target's lock; False where somebody else was first."""

        def unit(u: store.Unit) -> bool:
            book = Logbook(u, self._desk, self._clock.now())
            action = book.action(number)
            if action is None or action.state != "approved":
                return False
            counted = tuple(person for person in count.counted if person in action.approvals)
            if not approvals.enough(action, counted):
                book.record(
                    f"action-{number}", *approvals.short_of_votes(action, lost=(), now=self._clock.now())
                )
                book.finish()
                return False
            holders = u.rows(select(store.locks.c.holder).where(store.locks.c.name == plan.subject))
            if holders and holders[0].holder != str(number):
                return False
            u.upsert(store.locks, {"name": plan.subject}, {"holder": str(number)})
            events = approvals.start(action, boot=self._boot, counted=counted, now=book.now)
            book.record(f"action-{number}", *events, *([replace(watch, at=book.now)] if watch else []))
            book.finish()
            return True

        return await self._store.run(unit)

    async def _execute(self, number: int, plan: Plan) -> None:
        target = self._ops.target(plan.target)
        try:
            outcome = await target.run(plan, key=f"wb-{number}", progress=self._progress(number))
        except TargetError as error:  # refused before anything changed
            outcome = Outcome("failed", str(error))
        except Exception as error:  # it may have happened: nothing proves that it did not
            log.error("the outcome is unknown", action=number, exc_info=error)
            outcome = Outcome("unknown", _told(error, self._desk.redactor))
        await self._end(number, plan, outcome)

    def _progress(self, number: int) -> Progress:
        async def report(done: int, total: int, what: str) -> None:
            self._deliverer.progress[number] = (done, total, self._desk.redactor.redact(what))
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
            outcome = Outcome("unknown", _told(error, self._desk.redactor))
        finally:
            self._at_work.discard(action.number)
        await self._end(action.number, plan, outcome)

    async def _end_at_last(self, action: Action) -> None:
        """Record the end of a run that the log did not take."""
        try:
            await self._end(action.number, Plan.from_data(action.plan), self._outcomes[action.number])
        except NotRecordedError as error:
            log.warning("an outcome waits to be recorded", action=action.number, error=str(error))
        finally:
            self._at_work.discard(action.number)

    async def _end(self, number: int, plan: Plan, outcome: Outcome) -> None:
        self._outcomes[number] = outcome
        observed: Mapping[str, object] = outcome.after
        if outcome.kind == "unknown" or (outcome.stands and not observed):
            observed = await self._look(plan)
        redact = self._desk.redactor.redact

        def unit(u: store.Unit) -> None:
            book = Logbook(u, self._desk, self._clock.now())
            action = book.action(number)
            mine = (store.locks.c.name == plan.subject, store.locks.c.holder == str(number))
            u.execute(store.locks.delete().where(*mine))
            if action is None or action.state != "running":
                return
            text = redact(outcome.text)
            events: list[e.Event]
            if outcome.kind == "done":
                events = approvals.finish(action, text=text, after=outcome.after, now=book.now)
            elif outcome.kind == "failed":
                left = observed if outcome.stands else {}
                events = [approvals.fail(action, text=text, after=left, now=book.now)]
            else:
                seen = self._desk.redactor.redact_data(dict(observed))
                events = [e.ActionUnknown(at=book.now, actor=e.BOT, text=text, observed=seen)]
            book.record(f"action-{number}", *events)
            book.finish()

        await self._store.run(unit)
        self._outcomes.pop(number, None)
        self._deliverer.progress.pop(number, None)
        if outcome.answer is not None:
            await self._tell(number, outcome)

    async def _tell(self, number: int, outcome: Outcome) -> None:
        """What a change shows (the value of a key) goes to who asked, alone."""
        action = await self._action(number)
        assert outcome.answer is not None
        lines = [outcome.answer.headline, *outcome.answer.lines, outcome.answer.text]
        text = await redacted(self._desk.redactor.redact, "\n".join(line for line in lines if line))
        data = {"person": action.requester, "text": text}

        def unit(u: store.Unit) -> None:
            book = Logbook(u, self._desk, self._clock.now())
            alone = self._desk.only(where(action), action.channel)  # in the chat where it was asked for
            book.say(Say(alone, op="whisper", template="sentence", data=data))
            book.finish()

        await self._store.run(unit)

    async def _look(self, plan: Plan) -> Mapping[str, object]:
        try:
            _identity, state = await self._ops.target(plan.target).observe(plan)
        except Exception as error:  # noqa: BLE001 - the edge to a target: the look is a service to the reader, no more
            return {"target": _told(error, self._desk.redactor)}
        return state

    # -- what moved, is cancelled, goes back ------------------------------------------------------

    async def _void(self, action: Action, plan: Plan, moved: list[str]) -> None:
        """The target changed since the plan was made: void, and asked again once with the difference."""
        again: Plan | None = None
        if action.again_of is None and not action.why:
            try:
                again = await self._ops.target(plan.target).plan(plan.verb, **plan.args)
            except (RefusedError, TargetError) as error:
                moved = [*moved, str(error)]
        asked: Request | None = None
        if again is not None:
            asked = await self._proposer.request(
                again,
                by=action.requester,
                place=place_of(action),
                terms=Terms(again_of=action.number, undo_of=action.undo_of),
                revert_after=action.revert_after,
                guarded=action.guarded,
            )

        def unit(u: store.Unit) -> None:
            book = Logbook(u, self._desk, self._clock.now())
            now = book.action(action.number)
            if now is None or now.state != "approved":
                return
            why = self._desk.redactor.redact("; ".join(moved))
            voided = e.ActionVoided(at=book.now, actor=e.BOT, why=why, again=asked is not None)
            book.record(f"action-{action.number}", voided)
            if asked is not None:
                self._proposer.put(book, asked)
            book.finish()

        await self._store.run(unit)

    async def _cancel(self, number: int) -> None:
        action = await self._action(number)
        plan = Plan.from_data(action.plan)
        try:
            if await self._ops.target(plan.target).cancel(plan, key=f"wb-{number}"):
                return
            text = f"#{number} cannot be stopped any more; its card shows how it goes on."
        except Exception as error:  # noqa: BLE001 - the edge to a target; who pressed Cancel is told
            why = _told(error, self._desk.redactor)
            text = f"#{number} could not be told to stop: {why} Its card shows how it goes on."

        def unit(u: store.Unit) -> None:
            book = Logbook(u, self._desk, self._clock.now())
            book.say(Say(where(action), template="sentence", data={"text": text}))
            book.finish()

        await self._store.run(unit)

    async def _revert(self, number: int) -> None:
        await self._reverts.revert(await self._action(number))

    async def _record(self, number: int, *events: e.Event) -> None:
        def unit(u: store.Unit) -> None:
            book = Logbook(u, self._desk, self._clock.now())
            action = book.action(number)
            if action is not None and action.state == "approved":
                book.record(f"action-{number}", *events)
                book.finish()

        await self._store.run(unit)


def _told(error: Exception, redactor: Redactor) -> str:
    """What a person is told of a target's failure; redacted before it is cut: half of a secret passes for text."""
    if isinstance(error, RefusedError | TargetError | NoAnswerError):
        return redactor.redact(str(error))
    text = f"{type(error).__name__}: {error}"
    return (redactor.redact(text) if len(text) <= _READ else redactor.beginning(text[:_READ]))[:_TOLD]
