"""A few commands with every kind of argument, for what completes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from commands.catalogue import Service
from commands.registry import Duration, Person, Range, Text, command


@command("scale", effect="change")
async def scale(
    service: Service, replicas: Annotated[int, Range(0, 1000)], *, namespace: str | None = None, ops: Any
) -> None:
    """Set how many replicas of SERVICE run.

    /scale realtime 10            ask for ten replicas
    /scale realtime 10 for 30m    go back by itself after thirty minutes
    """


@command("restart", effect="change")
async def restart(service: Service, *, ops: Any) -> None:
    """Restart SERVICE, one pod after another."""


@command("redis flush", effect="danger")
async def flush(name: str, *, ops: Any) -> None:
    """Empty a Redis database."""


@command("redis info", effect="read")
async def info(section: Text | None = None, *, ops: Any) -> None:
    """What Redis says about itself."""


@command("ack", effect="incident", aliases=("acknowledge",))
async def ack(text: Text | None = None, *, eta: Duration | None = None, case: Any) -> None:
    """Take the incident: you become its owner, and nobody else is paged for the first response."""


@command("incident open", effect="incident", who="reporter")
async def incident_open(
    severity: Literal["critical", "high", "medium", "low"],
    title: Text,
    *,
    service: Service | None = None,
    drill: bool = False,
    case: Any,
) -> None:
    """Open an incident.

    /incident open critical Redis is down service=realtime
    """


@command("page", effect="incident")
async def page(person: Person, why: Text | None = None, *, case: Any) -> None:
    """Page somebody."""


@command("status", effect="incident")
async def status(
    status: Literal["investigating", "identified", "resolving", "resolved"],
    text: Text | None = None,
    *,
    eta: Duration | None = None,
    case: Any,
) -> None:
    """Say where the incident stands."""


@command("help", effect="read", who="anyone")
async def help_(name: Text | None = None, *, ask: Any) -> None:
    """What the bot can do, or how NAME works."""
