"""One port name, several configured targets: each call goes to the one that its arguments are about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bot.patience import ANSWER, END
from bot.targets.by_name import named
from commands.actions import Answer, Outcome, Plan, Progress, Target
from commands.catalogue import Catalogue
from commands.values import nearest, shown
from incidents.ports import RefusedError

# The arguments of a call → the name of the target, and the arguments as that target takes them.
Choose = Callable[[Mapping[str, Any]], tuple[str, dict[str, Any]]]


class Routed:
    """A target made of several, by their names in the configuration."""

    def __init__(self, name: str, parts: Mapping[str, Target], choose: Choose) -> None:
        self.name = name
        self.parts = dict(parts)
        self._choose = choose
        self.answers_within: float = max(getattr(p, "answers_within", ANSWER) for p in parts.values())
        self.ends_within: float = max(getattr(p, "ends_within", END) for p in parts.values())

    async def plan(self, verb: str, **args: Any) -> Plan:
        """As the target does that the arguments are about; RefusedError where there is none."""
        target, args = self._part(args)
        return await target.plan(verb, **args)

    async def observe(self, plan: Plan) -> tuple[str, Mapping[str, Any]]:
        """As `plan`."""
        return await self._part(plan.args)[0].observe(plan)

    async def run(self, plan: Plan, *, key: str, progress: Progress) -> Outcome:
        """As `plan`."""
        return await self._part(plan.args)[0].run(plan, key=key, progress=progress)

    async def follow(self, plan: Plan, *, key: str, progress: Progress) -> Outcome | None:
        """As `plan`."""
        return await self._part(plan.args)[0].follow(plan, key=key, progress=progress)

    async def cancel(self, plan: Plan, *, key: str) -> bool:
        """As `plan`."""
        return await self._part(plan.args)[0].cancel(plan, key=key)

    async def read(self, verb: str, **args: Any) -> Answer:
        """As `plan`."""
        target, args = self._part(args)
        return await target.read(verb, **args)

    async def stop(self) -> None:
        """Let go of every target's connections."""
        for part in self.parts.values():
            if (stop := getattr(part, "stop", None)) is not None:
                await stop()

    def _part(self, args: Mapping[str, Any]) -> tuple[Target, dict[str, Any]]:
        name, given = self._choose(args)
        if name not in self.parts:
            known = ", ".join(sorted(self.parts))
            raise RefusedError(f"{shown(name)} reaches no {self.name.capitalize()}; {known} would.")
        return self.parts[name], given


def by_database(what: str, databases: Mapping[str, Mapping[str, Any]], parts: Mapping[str, Target]) -> Choose:
    """By `name`, that of a database of the configuration; without one it is the first that there is."""

    def choose(args: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        name = args.get("name") or next(iter(databases), None)
        if name is None:
            return next(iter(parts)), dict(args)
        return str(named(databases, str(name), what)["target"]), {**args, "name": name}

    return choose


def by_service(catalogue: Catalogue, parts: Mapping[str, Target]) -> Choose:
    """By `service`, whose cluster it is, else by `cluster`; without both it is the first that is no simulation."""
    real = [name for name, part in parts.items() if not hasattr(part, "world")]
    first = next(iter([*real, *parts]))

    def choose(args: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        given = {key: value for key, value in args.items() if key != "cluster"}
        service = catalogue.service(str(args["service"])) if args.get("service") else None
        asked = args.get("cluster")
        if service is not None and asked and asked != service.cluster:
            raise RefusedError(f"{service.name} is in {service.cluster}, not in {shown(str(asked))}.")
        name = service.cluster if service is not None else asked or first
        return str(name), given

    return choose


def by_target(parts: Mapping[str, Target]) -> Choose:
    """By `target`, its name in the configuration; without it, it is the first that is no simulation."""
    real = [name for name, part in parts.items() if not hasattr(part, "world")]
    first = next(iter([*real, *parts]))

    def choose(args: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        given = {key: value for key, value in args.items() if key != "target"}
        return str(args.get("target") or first), given

    return choose


def by_simulation(catalogue: Catalogue, parts: Mapping[str, Target]) -> Choose:
    """The simulation for the services that it runs, the first real target for all others, and for all at once."""
    real = [name for name, part in parts.items() if not hasattr(part, "world")]
    first = next(iter([*real, *parts]))

    def choose(args: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        service = catalogue.service(str(args["service"])) if args.get("service") else None
        return service.cluster if service is not None and service.cluster in parts else first, dict(args)

    return choose


def by_call(targets: Mapping[str, Mapping[str, Any]], parts: Mapping[str, Target]) -> Choose:
    """By `call`, the name of one that one of the targets declares; without it, it is the first target."""
    owners = {str(call): name for name in parts for call in targets[name].get("calls", {})}

    def choose(args: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        call = args.get("call")
        if call is not None and call not in owners:
            hint = nearest(str(call), owners) or f" There are: {', '.join(sorted(owners))}."
            raise RefusedError(f"There is no call {shown(str(call))}.{hint}")
        return owners[str(call)] if call is not None else next(iter(parts)), dict(args)

    return choose
