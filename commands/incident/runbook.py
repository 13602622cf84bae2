"""Runbooks: which one fits, by alert, then by service, then by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from commands.actions import Answer
from commands.case import Ask
from commands.catalogue import Catalogue
from commands.registry import Name, command
from commands.values import nearest, shown
from incidents.ports import RefusedError

_FENCE = "---"
# libyaml is many times faster; a PyYAML built without it works too.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Page:
    """One runbook file: its front matter, and the text below."""

    name: str
    title: str
    text: str
    alerts: tuple[str, ...] = ()
    services: tuple[str, ...] = ()


def pages(files: Mapping[str, str] | None) -> list[Page]:
    """The runbooks of `files` (name → raw text), by name; what has no front matter is none."""
    read = [_page(name.removesuffix(".md"), raw) for name, raw in sorted((files or {}).items())]
    return [page for page in read if page is not None]


def _page(name: str, raw: str) -> Page | None:
    lines = raw.replace("\r\n", "\n").split("\n")
    if lines[0].strip() != _FENCE or _FENCE not in lines[1:]:
        return None
    end = lines.index(_FENCE, 1)
    try:
        front = yaml.load("\n".join(lines[1:end]), Loader=_LOADER)  # noqa: S506 - a safe one
    except yaml.YAMLError:
        front = None
    fields: Mapping[str, Any] = front if isinstance(front, Mapping) else {}
    text = "\n".join(lines[end + 1 :]).strip()
    title = str(fields.get("title") or name)
    return Page(name, title, text, _words(fields.get("alerts")), _words(fields.get("services")))


def _words(value: Any) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def matching(
    every: Iterable[Page], alerts: Iterable[str], services: Iterable[str], catalogue: Catalogue
) -> Page | None:
    """The runbook of the first alert that has one, else of the first service, else None."""
    every = list(every)
    for alert in alerts:
        for page in every:
            if alert in page.alerts:
                return page
    for service in services:
        known = catalogue.service(service)
        named = known.runbook.removesuffix(".md") if known is not None else ""
        for page in every:
            if page.name == named or (not named and service in page.services):
                return page
    return None


def section(page: Page, heading: str) -> list[str]:
    """The items of the list under `## heading`; empty where the runbook has no such part."""
    _, _, rest = f"\n{page.text}".partition(f"\n## {heading}\n")
    lines = [line.strip() for line in rest.partition("\n## ")[0].splitlines()]
    return [line[2:].rstrip(";.") for line in lines if line.startswith(("- ", "* "))]


@command("runbook", effect="read", who="reporter")
async def runbook(name: Name | None = None, *, ask: Ask) -> Answer:
    """Show a runbook: by its name, by an alert's, or the one that fits this incident.

    /runbook                the one that fits this incident
    /runbook redis-down     by name
    /runbook RedisDown      by alert
    """
    every = pages(ask.runbooks)
    found = _named(every, name, ask.rules.catalogue) if name is not None else await _fitting(ask, every)
    if found is None:
        return _list(every)
    return Answer(f"Runbook: {found.title}", text=found.text, file_name=f"{found.name}.md")


def _named(every: list[Page], name: str, catalogue: Catalogue) -> Page:
    folded = name.casefold().removesuffix(".md")
    for page in every:
        if folded in (page.name.casefold(), *(alert.casefold() for alert in page.alerts)):
            return page
    found = matching(every, (), [name], catalogue)
    if found is None:
        hint = nearest(name, [word for page in every for word in (page.name, *page.alerts)], 3)
        raise RefusedError(f"There is no runbook {shown(name)}.{hint or ' `/runbook` lists them.'}")
    return found


async def _fitting(ask: Ask, every: list[Page]) -> Page | None:
    """The runbook of this channel's incident; None elsewhere, or where none fits."""
    found = await ask.reader.incident(ask.number) if ask.number is not None else None
    if found is None:
        return None
    alerts = sorted(found.alerts.values(), key=lambda alert: (not alert.firing, alert.starts_at))
    return matching(every, (alert.name for alert in alerts), found.services, ask.rules.catalogue)


def _list(every: list[Page]) -> Answer:
    if not every:
        return Answer("There are no runbooks; put Markdown files into the runbooks folder.")
    lines = tuple(f"{page.name}: {page.title}" for page in every)
    return Answer("“/runbook NAME” posts one of these:", lines=lines, private=True)
