"""The target `redis`: real servers, one or several databases each (redis.asyncio)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from bot.chat_check import Line, right, wrong
from bot.targets.build import Site
from bot.targets.by_name import chosen
from bot.targets.guard import Guarded, Limits
from bot.targets.redis_check import permissions
from bot.targets.redis_config import Address, address
from bot.targets.redis_dumps import Dumps
from bot.targets.redis_link import Access, Link
from bot.targets.redis_plans import Planner
from bot.targets.redis_reads import answer
from bot.targets.redis_runs import Runner
from bot.targets.redis_server import server
from bot.targets.redis_state import observed
from bot.targets.redis_values import Keys
from commands.actions import Answer, Outcome, Plan, Progress, Target


@dataclass(frozen=True, slots=True)
class Database:
    """One database: the way there, and who plans and runs its changes."""

    link: Link
    planner: Planner
    runner: Runner


class RedisTarget:
    """The databases of one configured target, by their names under `redis:`."""

    name = "redis"
    ends_within = 900.0  # seconds: millions of keys go in batches

    def __init__(self, databases: Mapping[str, Database], keys: Keys, dumps: Dumps, *, replica: bool) -> None:
        self.databases = dict(databases)
        self._keys, self._dumps, self._replica = keys, dumps, replica

    async def plan(self, verb: str, **args: Any) -> Plan:
        """What would happen; RefusedError, or TargetError where Redis does not say."""
        database, given = self._database(args)
        return await database.planner.plan(verb, given)

    async def observe(self, plan: Plan) -> tuple[str, Mapping[str, Any]]:
        """Run, role and number of the database; and what the plan was made on."""
        link = self._database(plan.args)[0].link
        return await observed(link, link, self._keys, plan)

    async def run(self, plan: Plan, *, key: str, progress: Progress) -> Outcome:
        """Do it. Redis keeps no mark of `key`: see `follow`."""
        return await self._database(plan.args)[0].runner.run(plan, progress)

    async def follow(self, plan: Plan, *, key: str, progress: Progress) -> Outcome | None:
        """After a crash: the outcome where the state proves it."""
        return await self._database(plan.args)[0].runner.follow(plan)

    async def cancel(self, plan: Plan, *, key: str) -> bool:
        """Redis does at once what it is told."""
        return False

    async def read(self, verb: str, **args: Any) -> Answer:
        """Look at something."""
        database, given = self._database(args)
        return await answer(database.link, self._keys, verb, given)

    async def stop(self) -> None:
        """Close every connection."""
        for database in self.databases.values():
            await database.link.stop()

    async def check(self) -> AsyncIterator[Line]:
        """What every database says to `watchbell check`."""
        for name, database in self.databases.items():
            link = database.link
            found = await server(link, link.title, link.place.db)
            what = f"{name}: Redis {found.fields.get('redis_version', '')} at {link.place}, {found.role}"
            yield right(f"{what}, database {link.place.db}, {'with' if link.place.tls else 'without'} TLS")
            if (found.role == "replica") != self._replica:
                should = "write `replica: true`" if found.role == "replica" else "take `replica: true` out"
                yield wrong(
                    f"{name}: the server is a {found.role}; {should}, or give the other server's address"
                )
            async for line in permissions(link, replica=found.role == "replica"):
                yield line

    def _database(self, args: Mapping[str, Any]) -> tuple[Database, dict[str, Any]]:
        """The database that is named, else the first; and the arguments without the name."""
        self._dumps.forget()
        return chosen(self.databases, args, "Redis")


def build(site: Site) -> dict[str, Target]:
    """The target of one server, with every database of the configuration that names it."""
    rules = site.settings.redaction
    keys = Keys(rules.redis_readable, rules.redis_refused, site.redactor)
    dumps = Dumps(site.clock, site.settings.approvals.undo_window)
    own = {n: d for n, d in site.settings.catalogue.redis.items() if d.get("target") == site.name}
    databases = {name: _database(site, name, configured, keys, dumps) for name, configured in own.items()}
    target = RedisTarget(databases, keys, dumps, replica=bool(site.section["replica"]))
    limits = Limits(at_once=int(site.section["at_once"]))
    return {"redis": Guarded(target, title=f"Redis ({site.name})", limits=limits, clock=site.clock)}


def _database(site: Site, name: str, configured: Mapping[str, Any], keys: Keys, dumps: Dumps) -> Database:
    section = site.section
    access = Access(
        username=section["username"],
        password=_secret(section.get("password")),
        ca_file=section["ca_file"],
        timeout=float(section["timeout"]),
        connections=int(section["at_once"]) + 8,  # changes, and what is asked after them
        redact=site.redactor.redact,
    )
    link = Link(name, _place(section, configured), access)
    others = [other for other in site.settings.catalogue.redis if other != name]
    planner = Planner(link, keys, dumps, configured, others=others, replica=bool(section["replica"]))
    return Database(link, planner, Runner(link, keys, dumps, site.clock))


def _place(section: Mapping[str, Any], configured: Mapping[str, Any]) -> Address:
    """Where a database is: an address of its own, or its number at the target's."""
    own = _secret(configured.get("url"))
    text = own or _secret(section.get("url_env") and section.get("url")) or str(section["url"])
    found = address(text)
    number = configured.get("db")
    return (
        found
        if number is None
        else Address(found.host, found.port, int(number), found.tls, found.username, found.password)
    )


def _secret(value: object) -> str | None:
    return value.get_secret_value() if isinstance(value, SecretStr) else None
