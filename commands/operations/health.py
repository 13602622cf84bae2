"""Is it well: health endpoints, and the on-call checklist that Watchbell goes through by itself."""

from __future__ import annotations

from commands.actions import Answer, Ops
from commands.catalogue import Service
from commands.registry import Name, command
from commands.values import find_service


@command("health", effect="read")
async def health(what: Name, *, ops: Ops) -> Answer:
    """Ask the health endpoints of a service, or of all.

    /health realtime    every endpoint, a tick or a cross each
    /health all         a line for each service
    """
    service = None if what.casefold() == "all" else find_service(what, ops.catalogue)
    return await ops.target("health").read("health", service=service.name if service else None)


@command("checklist", effect="read")
async def checklist(service: Service, *, ops: Ops) -> Answer:
    """Go through SERVICE's on-call checklist.

    /checklist realtime    health, database, Redis, deployments, resources, downstream: a tick or a cross
    """
    return await ops.target("health").read("checklist", service=service.name)


@command("metrics", effect="read")
async def metrics(service: Service, grep: str | None = None, *, ops: Ops) -> Answer:
    """Show what SERVICE's own metrics endpoint tells; long output comes as a file.

    /metrics realtime              everything but the comments
    /metrics realtime websocket    lines holding a word, whatever its case
    """
    return await ops.target("health").read("metrics", service=service.name, grep=grep)
