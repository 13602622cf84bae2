"""Plans put to the vote: what is frozen with a request, and what its card shows beside the plan."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot import store
from bot.chat import address
from bot.desk import Desk
from bot.evidence import evidence, figure
from bot.log_rows import fingerprint
from bot.logbook import Logbook
from bot.sli import Indicators
from bot.voters import Voters
from commands.actions import Plan, Undo
from commands.case import Reply, sentence
from commands.dispatch import Asked, Place, freeze
from incidents import events as e
from incidents.action import Action
from incidents.incident import Incident
from incidents.ports import Clock


@dataclass(frozen=True, slots=True)
class Terms:
    """What a request refers to: the action it undoes, reverts or repeats."""

    undo_of: int | None = None
    revert_of: int | None = None
    again_of: int | None = None
    covered: str = ""  # why no vote is needed, in words; empty where votes are


@dataclass(frozen=True, slots=True)
class Request:
    """A plan, who wants it where, and what the outside showed when it was looked at."""

    plan: Plan
    by: str
    place: Place
    able: Sequence[str]  # the approvers other than `by` who can see it there
    guarded: bool  # where it is dangerous, reactions there prove nothing
    terms: Terms = Terms()
    revert_after: int | None = None  # minutes
    sli: str = ""  # the service's figure, in words


class Proposer:
    """Looks outside first, and then records a request in one transaction."""

    def __init__(
        self, log_store: store.Store, desk: Desk, voters: Voters, indicators: Indicators, clock: Clock
    ) -> None:
        self._store = log_store
        self._desk = desk
        self._voters = voters
        self._indicators = indicators
        self._clock = clock

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
        asked = await self.request(plan, by=by, place=place, terms=terms, revert_after=revert_after)
        if asked.guarded and not assured and plan.effect == "danger":
            asked = replace(asked, terms=replace(terms, covered=""))

        def unit(u: store.Unit) -> Reply | None:
            book = Logbook(u, self._desk, self._clock.now())
            if inbox_id is not None:
                t = store.inbox
                u.execute(t.update().where(t.c.event_id == inbox_id).values(state="done", payload=None))
            same = book.identical(fingerprint(plan.to_data(), place.number, place.channel, revert_after))
            if same is not None and terms.undo_of is None and same.plan_hash == plan.hash:
                return Reply("already_waiting", {"number": same.number, "summary": plan.summary})
            if (why := _taken_back(book, terms.undo_of, place)) is not None:
                return sentence(why)
            self.put(book, asked)
            book.finish()
            return None

        return await self._store.run(unit)

    async def request(
        self,
        plan: Plan,
        *,
        by: str,
        place: Place,
        terms: Terms,
        revert_after: int | None = None,
        guarded: bool | None = None,
    ) -> Request:
        """A request as `put` takes it; `guarded` where an earlier one settled that."""
        channels = await self._channels(place)
        able, sli, proved = await asyncio.gather(
            self._able(by, channels), self._figure(plan, terms), self._guarded(channels, guarded)
        )
        return Request(plan, by, place, able, proved, terms, revert_after, sli)

    def put(self, book: Logbook, asked: Request) -> int:
        """Record a request; the number it got."""
        rules = self._desk.settings.approvals
        on_call = {book.roster.on_call(rota, book.now) for rota in book.roster.rotas}
        number = book.next_number("action")
        terms, plan = asked.terms, asked.plan
        frozen = Asked(
            plan=plan,
            by=asked.by,
            place=asked.place,
            quorum=self.needed(plan, book.action(of) if (of := terms.undo_of or terms.revert_of) else None),
            eligible=asked.able,
            first=[person for person in asked.able if person in on_call],
            expires=rules.expires,
            widen=rules.widen_after,
            undo_window=rules.undo_window,
            revert_after=asked.revert_after,
            undo_of=terms.undo_of,
            revert_of=terms.revert_of,
            again_of=terms.again_of,
            guarded=asked.guarded,
            evidence=evidence(book, plan, asked.place.number, asked.sli) if not terms.covered else {},
        )
        events: list[e.Event] = [freeze(frozen, number=number, now=book.now)]
        if terms.covered:
            events.append(e.ActionApproved(at=book.now, actor=asked.by, voters=(), why=terms.covered))
        book.record(f"action-{number}", *events)
        return number

    def quorum(self, plan: Plan) -> int:
        """How many approvals a plan takes by the configuration of now."""
        settings = self._desk.settings
        service = settings.catalogue.service(plan.service) if plan.service else None
        return settings.approvals.needed(
            plan.effect, command=plan.command, service=service, environment=plan.environment
        )

    def needed(self, plan: Plan, taken_back: Action | None) -> int:
        """How many approvals a request takes; to take a change back, as many as the change itself took."""
        return max(self.quorum(plan), taken_back.quorum if taken_back is not None else 0)

    async def _figure(self, plan: Plan, terms: Terms) -> str:
        """What the card shows of the service beside a plan; nobody votes on one that is covered."""
        if terms.covered:
            return ""
        return await figure(self._indicators, self._desk.settings.catalogue, plan)

    async def _able(self, by: str, channels: Sequence[str]) -> list[str]:
        """The approvers other than `by` who can see what is asked there."""
        others = [person for person in self._desk.settings.with_role("approver") if person != by]
        return await self._voters.able(others, channels)

    async def _guarded(self, channels: Sequence[str], settled: bool | None) -> bool:
        return await self._voters.guarded(channels) if settled is None else settled

    async def _channels(self, place: Place) -> list[str]:
        """Where it is asked, and every other channel in which its card stands."""
        channels = [place.channel]
        if place.number is not None:
            incident = await self._store.run(lambda unit: unit.state(f"incident-{place.number}"))
            if isinstance(incident, Incident):
                channels += [address(c.platform, c.id) for c in incident.channels]
        return list(dict.fromkeys(channels))


def place_of(action: Action) -> Place:
    """Where an action was asked for."""
    return Place("incident" if action.incident is not None else "operations", action.channel, action.incident)


def _taken_back(book: Logbook, number: int | None, place: Place) -> str | None:
    """Why `number` cannot be taken back once more, because of a request that has done that or is about to; or None."""
    undone = book.action(number) if number is not None else None
    if undone is None:
        return None
    if (by := book.taken_back_by(undone)) is not None:
        return f"#{number} has been taken back already, by #{by}."
    where = {(undone.incident, undone.channel), (place.number, place.channel)}
    live = [a for incident, channel in where for a in book.pending(incident, channel)]
    twin = next((a.number for a in live if a.undo_of == number), None)
    return f"#{number} is being taken back already, by #{twin}." if twin is not None else None
