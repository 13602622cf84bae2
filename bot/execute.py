"""Approved changes: checked again, claimed, run at most once, followed after a crash, undone when asked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog
from sqlalchemy import select

from bot import store
from bot.chat import Platform, Say, address
from bot.deliver import Deliverer
from bot.desk import Desk
from bot.evidence import evidence, figure
from bot.grants import Grants
from bot.log_rows import fingerprint
from bot.logbook import Logbook
from bot.sli import Indicators
from bot.voters import Count, Voters
from bot.watching import Watcher
from bot.work import Work
from commands.actions import NoAnswerError, Ops, Outcome, Plan, Progress, TargetError, Undo
from commands.case import Reply, sentence
from commands.dispatch import Asked, Place, drift, freeze
from incidents import approvals
from incidents import events as e
from incidents.approvals import Action
from incidents.incident import Incident
from incidents.ports import Clock, NotRecordedError, RefusedError

log = structlog.get_logger()


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
        grants: Grants,
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
        self._voters = Voters(
            log_store, desk.settings, platforms, lambda: grants.refresh(clock.now(), at_once=True)
        )
        self._indicators = Indicators(ops, desk.redactor, clock, work)
        self._watcher = Watcher(log_store, desk, self._indicators, clock, work)
        self._queues: dict[str, deque[int]] = {}  # approved actions by what they change; the first is at work
        self._at_work: set[int] = set()
        self._left_told: set[int] = set()

    # -- asking -----------------------------------------------------------------------------------

    async def propose(
        self,
        result: Plan | Undo,
        *,
        by: str,
        place: Place,
        revert_after: int | None = None,
        inbox_id: str | None = None,
        assured: bool = True,
    ) -> Reply | None:
        """Freeze a plan and put it to the vote; a reply where an identical request waits already.

        Without proof of who asked (`assured`), nothing dangerous is covered by an earlier approval.
        """
        plan = result.plan if isinstance(result, Undo) else result
        terms = Terms()
        if isinstance(result, Undo):
            covered = f"covered by the approval of #{result.number}" if result.covered else ""
            terms = Terms(undo_of=result.number, covered=covered)
        channels = await self._channels(place)
        able, guarded, sli = await asyncio.gather(
            self._able(by, channels), self._voters.guarded(channels), self._figure(plan, terms)
        )
        if guarded and not assured and plan.effect == "danger":
            terms = replace(terms, covered="")

        def unit(u: store.Unit) -> Reply | None:
            book = Logbook(u, self._desk, self._clock.now())
            if inbox_id is not None:
                t = store.inbox
                u.execute(t.update().where(t.c.event_id == inbox_id).values(state="done", payload=None))
            same = book.identical(fingerprint(plan.to_data(), place.number, place.channel))
            if same is not None and terms.undo_of is None and same.plan_hash == plan.hash:
                return Reply("already_waiting", {"number": same.number, "summary": plan.summary})
            if (twin := self._taking_back(book, terms.undo_of, place)) is not None:
                return sentence(f"#{terms.undo_of} is being taken back already, by #{twin}.")
            self._put(
                book,
                plan,
                by=by,
                place=place,
                revert_after=revert_after,
                terms=terms,
                able=able,
                guarded=guarded,
                sli=sli,
            )
            book.finish()
            return None

        return await self._store.run(unit)

    async def _figure(self, plan: Plan | None, terms: Terms) -> str:
        """What the card shows of the service beside a plan; nobody votes on one that is covered."""
        if plan is None or terms.covered:
            return ""
        return await figure(self._indicators, self._desk.settings.catalogue, plan)

    def _taking_back(self, book: Logbook, number: int | None, place: Place) -> int | None:
        """The request that takes back `number` and waits or runs; None where there is none."""
        undone = book.action(number) if number is not None else None
        if undone is None:
            return None
        where = {(undone.incident, undone.channel), (place.number, place.channel)}
        live = [a for incident, channel in where for a in book.pending(incident, channel)]
        return next((a.number for a in live if a.undo_of == number), None)

    async def _able(self, by: str, channels: Sequence[str]) -> list[str]:
        """The approvers other than `by` who can see what is asked there."""
        others = [person for person in self._desk.settings.with_role("approver") if person != by]
        return await self._voters.able(others, channels)

    async def _channels(self, place: Place) -> list[str]:
        """Where it is asked, and every other channel in which its card stands."""
        channels = [place.channel]
        if place.number is not None:
            incident = await self._store.run(lambda unit: unit.state(f"incident-{place.number}"))
            if isinstance(incident, Incident):
                channels += [address(c.platform, c.id) for c in incident.channels]
        return list(dict.fromkeys(channels))

    def _quorum(self, plan: Plan) -> int:
        settings = self._desk.settings
        service = settings.catalogue.service(plan.service) if plan.service else None
        return settings.approvals.needed(
            plan.effect, command=plan.command, service=service, environment=plan.environment
        )

    def _put(
        self,
        book: Logbook,
        plan: Plan,
        *,
        by: str,
        place: Place,
        revert_after: int | None,
        terms: Terms,
        able: list[str],
        guarded: bool,
        sli: str = "",
    ) -> int:
        """Record the proposal; the number it got."""
        rules = self._desk.settings.approvals
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
            quorum=self._quorum(plan),
            eligible=able,
            first=[person for person in able if person in on_call],
            expires=rules.expires,
            widen=rules.widen_after,
            undo_window=rules.undo_window,
            revert_after=revert_after,
            undo_of=terms.undo_of,
            revert_of=terms.revert_of,
            again_of=terms.again_of,
            guarded=guarded,
            evidence=evidence(book, plan, place.number, sli) if not terms.covered else {},
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
            elif action.state == "running" and (action.boot == self._boot or not self._alive(action.boot)):
                self._at_work.add(action.number)
                self._work.spawn(self._follow(action), f"follow #{action.number}")
        await self._revert_missed()
        await self._watcher.recover()

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
        """An approved action did not get as far as running. Where the log is away, who asked is told, once."""
        log.error("an approved action was left", action=number, exc_info=error)
        if not isinstance(error, NotRecordedError) or number in self._left_told:
            return
        self._left_told.add(number)
        text = (
            f"I can't write to my log ({error}), so #{number} does not run. I try again until it is too old."
        )
        try:
            action: Action | None = None
            for recorded in await self._store.events(f"action-{number}"):
                action = approvals.fold(action, recorded.event)
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
        moved = [*drift(plan, *seen), *self._other_rules(action, plan)]
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
            return self._desk.redactor.redact(_told(error))

    def _other_rules(self, action: Action, plan: Plan) -> list[str]:
        """What the configuration asks for now and did not when this was asked."""
        needed = self._quorum(plan)
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
            outcome = Outcome("unknown", _told(error))
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
            mine = (store.locks.c.name == plan.subject, store.locks.c.holder == str(number))
            u.execute(store.locks.delete().where(*mine))
            if action is None or action.state != "running":
                return
            text = redact(outcome.text)
            events: list[e.Event]
            if outcome.kind == "done":
                events = approvals.finish(action, text=text, after=outcome.after, now=book.now)
            elif outcome.kind == "failed":
                events = [e.ActionFailed(at=book.now, actor=e.BOT, text=text)]
            else:
                seen = self._desk.redactor.redact_data(dict(observed))
                events = [e.ActionUnknown(at=book.now, actor=e.BOT, text=text, observed=seen)]
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
            alone = self._desk.only(where, action.channel)  # in the chat where it was asked for
            book.say(Say(alone, op="whisper", template="sentence", data=data))
            book.finish()

        await self._store.run(unit)

    async def _look(self, plan: Plan) -> Mapping[str, object]:
        try:
            _identity, state = await self._ops.target(plan.target).observe(plan)
        except Exception as error:  # noqa: BLE001 - the edge to a target: the look is a service to the reader, no more
            return {"target": _told(error)}
        return state

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
        able = await self._able(action.requester, await self._channels(place))
        sli = await self._figure(again, Terms())

        def unit(u: store.Unit) -> None:
            book = Logbook(u, self._desk, self._clock.now())
            now = book.action(action.number)
            if now is None or now.state != "approved":
                return
            why = self._desk.redactor.redact("; ".join(moved))
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
                    able=able,
                    guarded=action.guarded,
                    sli=sli,
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
        terms = Terms(revert_of=number, covered="" if moved else f"covered by the approval of #{number}")
        able = await self._able(action.requester, await self._channels(place))
        sli = await self._figure(back, terms)

        def unit(u: store.Unit) -> None:
            book = Logbook(u, self._desk, self._clock.now())
            if not u.execute(store.locks.delete().where(store.locks.c.name == f"revert:{number}")).rowcount:
                return  # somebody else has asked for the way back already
            self._put(
                book,
                back,
                by=action.requester,
                place=place,
                revert_after=None,
                terms=terms,
                able=able,
                guarded=action.guarded,
                sli=sli,
            )
            book.finish()

        await self._store.run(unit)

    async def _say(self, action: Action, text: str) -> None:
        where = f"incident:{action.incident}" if action.incident is not None else action.channel

        def unit(u: store.Unit) -> None:
            book = Logbook(u, self._desk, self._clock.now())
            if not u.execute(
                store.locks.delete().where(store.locks.c.name == f"revert:{action.number}")
            ).rowcount:
                return
            book.say(Say(where, template="sentence", data={"text": self._desk.redactor.redact(text)}))
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
        if isinstance(error, RefusedError | TargetError | NoAnswerError)
        else f"{type(error).__name__}: {error}"[:300]
    )
