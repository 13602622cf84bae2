"""What stands in a demo and in a rehearsal for the systems that the sandbox does not simulate: it says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bot.config_settings import Settings
from bot.targets.alertmanager_matchers import matchers
from bot.targets.config import serves
from bot.targets.http_config import Call
from bot.targets.router import by_call, by_database
from commands.actions import Answer, Outcome, Plan, Progress, Target, TargetError
from commands.values import find_service
from incidents.ports import RefusedError

# Port → what the sandbox does not do, and what `watchbell run` does.
_SAID: Mapping[str, tuple[str, str]] = {
    "postgres": ("simulate PostgreSQL", "asks"),
    "mongo": ("simulate MongoDB", "asks"),
    "compose": ("simulate docker compose", "asks"),
    "alertmanager": ("simulate Alertmanager", "asks"),
    "http": ("make HTTP calls", "makes"),
}
# What was typed, looked at as the real target would look at it before it asks anybody.
_Look = Callable[[str, Mapping[str, Any]], None]


class Absent:
    """Refuses: first what no system would take, then everything."""

    def __init__(self, name: str, said: str, look: _Look) -> None:
        self.name = name
        self._said, self._look = said, look

    async def plan(self, verb: str, **args: Any) -> Plan:
        """RefusedError, always."""
        self._look(verb, args)
        raise RefusedError(self._said)

    async def read(self, verb: str, **args: Any) -> Answer:
        """RefusedError, always."""
        self._look(verb, args)
        raise RefusedError(self._said)

    async def observe(self, plan: Plan) -> tuple[str, Mapping[str, Any]]:
        """TargetError, always: there is nothing to see."""
        raise TargetError(self._said)

    async def run(self, plan: Plan, *, key: str, progress: Progress) -> Outcome:
        """TargetError, always: nothing was changed."""
        raise TargetError(self._said)

    async def follow(self, plan: Plan, *, key: str, progress: Progress) -> Outcome | None:
        """None: nothing was ever accepted."""
        return None

    async def cancel(self, plan: Plan, *, key: str) -> bool:
        """False: nothing runs."""
        return False


class AbsentCalls(Absent):
    """The named HTTP calls: whether one is a read is known, and which arguments it takes."""

    def __init__(self, said: str, calls: Mapping[str, Call], look: _Look) -> None:
        super().__init__("http", said, look)
        self._calls = calls

    async def read(self, verb: str, **args: Any) -> Answer:
        """`effect` of a call, as the configuration has it; RefusedError for everything else."""
        if verb == "effect" and self._calls:
            self._look(verb, args)
            call = self._calls[str(args["call"])]
            return Answer("read" if call.method == "GET" else "change")
        return await super().read(verb, **args)


def absent(settings: Settings) -> dict[str, Target]:
    """A stand-in for every kind of system that the sandbox has not, by port name."""
    found: dict[str, Target] = {}
    for port in _SAID:
        there = {name: t for name, t in settings.targets.items() if port in serves(str(t["driver"]))}
        look = _looks(port, settings, there)
        if port == "http":
            found[port] = AbsentCalls(_sentence(port, there), _calls(there), look)
        else:
            found[port] = Absent(port, _sentence(port, there), look)
    return found


def _sentence(port: str, there: Mapping[str, Any]) -> str:
    lacks, does = _SAID[port]
    many = "ones" if port == "http" else "one"
    way = (
        f"the real {many}" if there else f"{'' if port == 'http' else 'a '}real {many} named under `targets:`"
    )
    return f"The sandbox does not {lacks}; `watchbell run` {does} {way}."


def _looks(port: str, settings: Settings, there: Mapping[str, Any]) -> _Look:
    """Refuses names that the configuration has not, and values that no system takes."""

    def look(verb: str, args: Mapping[str, Any]) -> None:
        if port == "alertmanager" and args.get("matchers"):
            matchers(str(args["matchers"]))
        if port == "postgres" and there:
            by_database("PostgreSQL", settings.postgres, there)(args)
        if port == "mongo" and there:
            by_database("MongoDB", settings.mongo, there)(args)
        if port == "compose" and args.get("service"):
            find_service(str(args["service"]), settings.catalogue)
        if port == "http" and there:
            by_call(settings.targets, there)(args)
            _arguments(_calls(there), verb, args)

    return look


def _calls(there: Mapping[str, Mapping[str, Any]]) -> dict[str, Call]:
    found = [named for target in there.values() for named in target.get("calls", {}).items()]
    return {str(name): Call.model_validate(call) for name, call in found}


def _arguments(calls: Mapping[str, Call], verb: str, args: Mapping[str, Any]) -> None:
    """RefusedError for arguments that a call does not take."""
    if verb != "call":
        return
    try:
        from bot.targets.http_calls import typed, words
    except ModuleNotFoundError:  # the extra `http` is not installed, and a demo does without it
        return
    name = str(args["call"])
    typed(name, calls[name], words(name, str(args.get("arguments") or ""), calls[name]))
