"""The target `mongo`: real servers and replica sets, one or several databases each (pymongo)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from bot.chat_check import Line, right
from bot.targets.build import Site
from bot.targets.by_name import chosen
from bot.targets.guard import Guarded, Limits
from bot.targets.mongo_changes import Changes
from bot.targets.mongo_check import rights
from bot.targets.mongo_config import Address, address
from bot.targets.mongo_documents import Rules
from bot.targets.mongo_link import Access, Link
from bot.targets.mongo_operations import hello, role
from bot.targets.mongo_reads import answer, status
from commands.actions import Answer, Outcome, Plan, Progress, Target


@dataclass(frozen=True, slots=True)
class Database:
    """One database: the way there, what may be seen of it, and who plans and runs its changes."""

    link: Link
    rules: Rules
    changes: Changes


class MongoTarget:
    """The databases of one configured target, by their names under `mongo:`."""

    name = "mongo"

    def __init__(self, databases: Mapping[str, Database]) -> None:
        self.databases = dict(databases)

    async def plan(self, verb: str, **args: Any) -> Plan:
        """What would happen; RefusedError, or TargetError where MongoDB does not say."""
        database, given = self._database(args)
        return await database.changes.plan(verb, given)

    async def observe(self, plan: Plan) -> tuple[str, Mapping[str, Any]]:
        """Process and role of the server; and the operation that the plan was made on."""
        return await self._database(plan.args)[0].changes.observed(plan)

    async def run(self, plan: Plan, *, key: str, progress: Progress) -> Outcome:
        """Do it; `key` stands in the server's own log beside the command."""
        return await self._database(plan.args)[0].changes.run(plan, key)

    async def follow(self, plan: Plan, *, key: str, progress: Progress) -> Outcome | None:
        """After a crash: the outcome where what is running proves it."""
        return await self._database(plan.args)[0].changes.follow(plan)

    async def cancel(self, plan: Plan, *, key: str) -> bool:
        """What was told to end cannot be told to go on."""
        return False

    async def read(self, verb: str, **args: Any) -> Answer:
        """Look at something."""
        database, given = self._database(args)
        return await answer(database.link, database.rules, verb, given)

    async def stop(self) -> None:
        """Close every connection."""
        for database in self.databases.values():
            await database.link.stop()

    async def check(self) -> AsyncIterator[Line]:
        """What every database says to `watchbell check`."""
        for name, database in self.databases.items():
            link = database.link
            said, found = await hello(link), await status(link)
            what = f"{name}: MongoDB {found.get('version', '')} at {link.place}, {role(said)}"
            yield right(f"{what}, database {link.database}")
            async for line in rights(link):
                yield line

    def _database(self, args: Mapping[str, Any]) -> tuple[Database, dict[str, Any]]:
        """The database that is named, else the first; and the arguments without the name."""
        return chosen(self.databases, args, "MongoDB")


def build(site: Site) -> dict[str, Target]:
    """The target of one server or replica set, with every database of the configuration that names it."""
    own = {n: d for n, d in site.settings.mongo.items() if d.get("target") == site.name}
    databases = {name: _database(site, name, configured) for name, configured in own.items()}
    limits = Limits(at_once=int(site.section["at_once"]))
    target = MongoTarget(databases)
    return {"mongo": Guarded(target, title=f"MongoDB ({site.name})", limits=limits, clock=site.clock)}


def _database(site: Site, name: str, configured: Mapping[str, Any]) -> Database:
    section = site.section
    access = Access(
        username=section["username"],
        password=_secret(section.get("password")),
        auth_source=str(section["auth_source"]),
        tls=bool(section["tls"]),
        ca_file=section["ca_file"],
        timeout=float(section["timeout"]),
        connections=int(section["at_once"]) + 2,  # a change, and what is asked after it
        redact=site.redactor.redact,
    )
    link = Link(name, _place(section, configured), str(configured["database"]), access)
    rules = Rules(configured.get("readable") or {}, site.redactor)
    several = len(site.settings.mongo) > 1
    return Database(link, rules, Changes(link, rules, configured, several=several))


def _place(section: Mapping[str, Any], configured: Mapping[str, Any]) -> Address:
    """Where a database is: an address of its own, or the target's."""
    own = _secret(configured.get("url"))
    return address(own or _secret(section.get("url_env") and section.get("url")) or str(section["url"]))


def _secret(value: object) -> str | None:
    return value.get_secret_value() if isinstance(value, SecretStr) else None
