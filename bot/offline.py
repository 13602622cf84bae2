"""What the command line does with a log while no bot is needed: exports and the audit."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from bot import store
from bot.app import database, open_store, registry
from bot.config import Settings
from bot.desk import Desk
from bot.export import export
from bot.reader import LogReader
from bot.redact import Redactor
from bot.render import PlainMarks, Renderer
from commands.case import Ask
from commands.grammar import Names, parse
from incidents.ports import RefusedError


def existing(data: Path) -> str:
    """The URL of the log in a data directory; RefusedError where there is none."""
    if not (data / "watchbell.db").is_file():
        raise RefusedError(f"There is no log in {data}; name its directory with --data.")
    return database(data)


async def export_of(settings: Settings, data: Path, number: int, form: str) -> tuple[str, bytes, str]:
    """File name, bytes and MIME type of an incident's export."""
    url = existing(data)
    store.upgrade(url)
    desk = Desk(settings, Redactor(settings.redaction.patterns, settings.redaction.values))
    async with open_store(url) as log:
        reader = LogReader(log, desk)
        incident = await reader.incident(number)
        if incident is None:
            raise RefusedError(f"There is no INC-{number} in {data}.")
        entries = await reader.entries(number)
    people = {name: person.display for name, person in settings.people.items()}
    return export(entries, form, now=entries[-1].at, zone=ZoneInfo(settings.zone), people=people)


async def simulated(settings: Settings, words: str) -> str:
    """What `/simulate WORDS` answers, without a log: overrides are left out."""
    names = Names(settings.catalogue, {name: person.display for name, person in settings.people.items()})
    parsed = parse(f"/simulate {words}", registry(), names)
    with tempfile.TemporaryDirectory(prefix="watchbell-simulate-") as folder:
        url = database(Path(folder))
        store.upgrade(url)
        async with open_store(url) as log:
            desk = Desk(settings, Redactor((), ()))
            ask = Ask(
                by="",
                now=datetime.now(UTC),
                channel="",
                number=None,
                reader=LogReader(log, desk),
                people=settings,
                rules=settings,
                zone=settings.zone,
            )
            answer = await parsed.command.run(**parsed.values, ask=ask)
    text, upload = Renderer(settings.zone).answer(answer, PlainMarks(ZoneInfo(settings.zone)))
    return upload.data.decode() if upload is not None else text


async def verified(data: Path) -> store.VerifyReport:
    """What an audit of the log found."""
    async with open_store(existing(data)) as log:
        return await log.verify()
