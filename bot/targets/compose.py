"""The target `compose`: one docker compose project, over the API of the engine that runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from bot.chat_check import Line, right, wrong
from bot.targets.build import Site
from bot.targets.compose_link import Engine
from bot.targets.compose_plans import Planner, state
from bot.targets.compose_reads import answer
from bot.targets.compose_runs import Runner
from bot.targets.compose_stack import Stack, count_of, identity, named
from bot.targets.guard import Guarded, Limits
from commands.actions import Answer, Outcome, Plan, Progress, Target
from commands.values import shown
from incidents.ports import RefusedError


class ComposeTarget:
    """One project of one engine."""

    name = "compose"
    ends_within = 900.0  # seconds: containers are restarted one after another

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._planner, self._runner = Planner(stack), Runner(stack)

    async def plan(self, verb: str, **args: Any) -> Plan:
        """What would happen; RefusedError, or TargetError where the engine does not say."""
        return await self._planner.plan(verb, self._given(args))

    async def observe(self, plan: Plan) -> tuple[str, Mapping[str, Any]]:
        """Who the containers of the plan are, and how they are now."""
        found = await self.stack.containers(self.stack.service(str(plan.args["service"])))
        return identity(found, plan.identity, started=plan.verb == "restart"), state(found, plan.before)

    async def run(self, plan: Plan, *, key: str, progress: Progress) -> Outcome:
        """Do it; containers that it makes bear `key` in a label."""
        return await self._runner.run(plan, key, progress)

    async def follow(self, plan: Plan, *, key: str, progress: Progress) -> Outcome | None:
        """After a crash: the outcome where the engine proves it."""
        return await self._runner.follow(plan)

    async def cancel(self, plan: Plan, *, key: str) -> bool:
        """End it before its next container."""
        return plan.stoppable and self._runner.cancel(key)

    async def read(self, verb: str, **args: Any) -> Answer:
        """Look at something."""
        return await answer(self.stack, verb, self._given(args))

    async def stop(self) -> None:
        """Close every connection."""
        await self.stack.engine.stop()

    async def check(self) -> AsyncIterator[Line]:
        """What the engine says to `watchbell check`: whether it is there, and which of the services it runs."""
        engine, project = self.stack.engine, self.stack.project
        way = f"socket {engine.socket}" if engine.socket else engine.url
        yield right(f"{await engine.version()} at {way}; whoever may use that is root on the host")
        every = await self.stack.containers()
        if not every:
            yield wrong(f"the project {project} has no containers; `docker compose ls` lists the projects")
            return
        yield right(f"project {project}: {count_of(every)} of {len(every)} containers running")
        for service in self.stack.services.values():
            own = [each for each in every if each.label("service") == named(service)]
            if own:
                yield right(f"{service.name}: {count_of(own)} of {len(own)} running")
            else:
                yield wrong(f"{service.name}: the project {project} has no container of {named(service)}")

    def _given(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments that were given, without the target's name."""
        chosen = args.get("cluster")
        if chosen is not None and chosen != self.stack.name:
            raise RefusedError(
                f"There is no compose target {shown(str(chosen))}; there is {self.stack.name}."
            )
        return {key: value for key, value in args.items() if value is not None and key != "cluster"}


def build(site: Site) -> dict[str, Target]:
    """The target of one project."""
    engine = Engine(site.name, site.section, site.redactor)
    stack = Stack(
        site.name,
        str(site.section["project"]),
        engine,
        site.settings.catalogue,
        site.clock,
        site.redactor,
    )
    limits = Limits(at_once=int(site.section["at_once"]))
    return {"compose": Guarded(ComposeTarget(stack), title=engine.title, limits=limits, clock=site.clock)}
