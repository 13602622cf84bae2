"""The target `postgres`: real servers, one or several databases each (psycopg)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import SecretStr

from bot.chat_check import Line, right, wrong
from bot.redact import Redactor
from bot.targets.build import Site
from bot.targets.by_name import chosen
from bot.targets.guard import Guarded, Limits
from bot.targets.postgres_config import Address, address
from bot.targets.postgres_link import Access, Link
from bot.targets.postgres_plans import Planner, observed
from bot.targets.postgres_reads import answer
from bot.targets.postgres_runs import Runner
from bot.targets.postgres_server import server
from commands.actions import Answer, Outcome, Plan, Progress, Target

_RIGHTS = (
    "SELECT current_user::text, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),"
    " pg_has_role('pg_monitor', 'USAGE'), pg_has_role('pg_signal_backend', 'USAGE')"
)


@dataclass(frozen=True, slots=True)
class Database:
    """One database: the way there, and who plans and runs its changes."""

    link: Link
    planner: Planner
    runner: Runner


class PostgresTarget:
    """The databases of one configured target, by their names under `postgres:`."""

    name = "postgres"
    ends_within = 900.0  # seconds: large tables are analysed and reindexed

    def __init__(self, databases: Mapping[str, Database], redactor: Redactor) -> None:
        self.databases = dict(databases)
        self._redactor = redactor

    async def plan(self, verb: str, **args: Any) -> Plan:
        """What would happen; RefusedError, or TargetError where PostgreSQL does not say."""
        database, given = self._database(args)
        return await database.planner.plan(verb, given)

    async def observe(self, plan: Plan) -> tuple[str, Mapping[str, Any]]:
        """Start, role and number of the database, table and indexes; and what the plan was made on."""
        link = self._database(plan.args)[0].link
        return await observed(link, link, plan)

    async def run(self, plan: Plan, *, key: str, progress: Progress) -> Outcome:
        """Do it; the connection is called by `key` and the plan for as long as it runs."""
        return await self._database(plan.args)[0].runner.run(plan, key, progress)

    async def follow(self, plan: Plan, *, key: str, progress: Progress) -> Outcome | None:
        """After a crash: the outcome where the state proves it."""
        return await self._database(plan.args)[0].runner.follow(plan, key, progress)

    async def cancel(self, plan: Plan, *, key: str) -> bool:
        """Stop ANALYZE and REINDEX; a signal cannot be called back."""
        return plan.stoppable and await self._database(plan.args)[0].runner.cancel(plan, key)

    async def read(self, verb: str, **args: Any) -> Answer:
        """Look at something."""
        database, _ = self._database(args)
        return await answer(database.link, self._redactor, verb)

    async def stop(self) -> None:
        """Close every connection."""
        for database in self.databases.values():
            await database.link.stop()

    async def check(self) -> AsyncIterator[Line]:
        """What every database says to `watchbell check`."""
        for name, database in self.databases.items():
            found = await server(database.link, database.link)
            what = f"{name}: PostgreSQL {found.version} at {database.link.place}, {found.role}"
            yield right(f"{what}, database {found.name}")
            user, most, sees, stops = (await database.link.look(_RIGHTS))[0]
            if most:
                yield wrong(
                    f"{name}: the user {user} is a superuser; give the bot one of its own with pg_monitor"
                )
            elif not sees:
                yield wrong(f"{name}: the user {user} sees its own queries only; grant it pg_monitor")
            elif not stops:
                yield wrong(f"{name}: the user {user} may stop nobody's queries; grant it pg_signal_backend")
            else:
                yield right(f"{name}: the user {user} may look at everything and stop queries")

    def _database(self, args: Mapping[str, Any]) -> tuple[Database, dict[str, Any]]:
        """The database that is named, else the first; and the arguments without the name."""
        return chosen(self.databases, args, "PostgreSQL")


def build(site: Site) -> dict[str, Target]:
    """The target of one server, with every database of the configuration that names it."""
    own = {n: d for n, d in site.settings.postgres.items() if d.get("target") == site.name}
    databases = {name: _database(site, name, configured) for name, configured in own.items()}
    limits = Limits(at_once=int(site.section["at_once"]))
    target = PostgresTarget(databases, site.redactor)
    return {"postgres": Guarded(target, title=f"PostgreSQL ({site.name})", limits=limits, clock=site.clock)}


def _database(site: Site, name: str, configured: Mapping[str, Any]) -> Database:
    section = site.section
    access = Access(
        username=section["username"],
        password=_secret(section.get("password")),
        tls=bool(section["tls"]),
        ca_file=section["ca_file"],
        timeout=float(section["timeout"]),
        connections=int(section["at_once"]) + 2,  # how far a change is, and what is asked after it
        redact=site.redactor.redact,
    )
    link = Link(name, _place(section, configured), access)
    several = len(site.settings.postgres) > 1
    return Database(link, Planner(link, site.redactor, configured, several=several), Runner(link))


def _place(section: Mapping[str, Any], configured: Mapping[str, Any]) -> Address:
    """Where a database is: an address of its own, or its name at the target's."""
    own = _secret(configured.get("url"))
    text = own or _secret(section.get("url_env") and section.get("url")) or str(section["url"])
    found, database = address(text), configured.get("database")
    return found if database is None else replace(found, database=str(database))


def _secret(value: object) -> str | None:
    return value.get_secret_value() if isinstance(value, SecretStr) else None
