"""Where to look: dashboards, alerts, traces and logs of a service."""

from __future__ import annotations

from commands.actions import Answer
from commands.catalogue import Service
from commands.registry import command
from incidents.ports import RefusedError


@command("links", effect="read", who="reporter")
async def links(service: Service) -> Answer:
    """Show SERVICE's dashboards, alerts, traces and logs.

    /links realtime
    """
    if not service.links:
        raise RefusedError(f"No links are configured for {service.name}.")
    return Answer(f"{service.name} · {service.environment}", links=service.links)
