"""Alertmanager from chat: what fires, what is silent, and silences made and ended."""

from __future__ import annotations

from commands.actions import Answer, Ops, Plan
from commands.operations.prometheus import as_typed
from commands.registry import Duration, Text, command
from commands.values import shown
from incidents.ports import RefusedError


@command("alerts", effect="read")
async def alerts(matchers: Text | None = None, *, ops: Ops) -> Answer:
    """List the alerts that fire, the newest first; silenced ones are marked.

    /alerts
    /alerts service=realtime severity=~"critical|warning"
    """
    wanted = as_typed(matchers) if matchers else None
    return await ops.target("alertmanager").read("alerts", matchers=wanted)


@command("silences", effect="read")
async def silences(*, ops: Ops) -> Answer:
    """List the silences, and how long they last still.

    /silences
    """
    return await ops.target("alertmanager").read("silences")


@command("silence", effect="change")
async def silence(matchers: Text, over: Duration | None = None, *, why: str | None = None, ops: Ops) -> Plan:
    """Silence alerts for a while; two approvals where it is broad, or lasts longer than a day.

    /silence alertname=RedisDown 1h                      one alert, wherever it fires
    /silence alertname=RedisDown service=realtime 30m    that of one service
    /silence service=realtime 1h why="planned work"      all of a service, which is broad
    """
    if over is None:
        raise _endless(matchers)
    return await ops.target("alertmanager").plan(
        "silence", matchers=as_typed(matchers), seconds=over, why=why
    )


def _endless(matchers: str) -> RefusedError:
    """The sentence for a silence without an end; it names a last word that is no matcher."""
    *first, last = matchers.split()
    typed = first and not set("=~!{}") & set(last) and last[-1].isalnum()
    said = f"{shown(last)} is no length of time. " if typed else ""
    return RefusedError(f"{said}Say for how long, at the end, as in silence alertname=RedisDown 1h.")


@command("unsilence", effect="change")
async def unsilence(what: Text, *, ops: Ops) -> Plan:
    """End a silence, by its matchers or by the id that silences shows.

    /unsilence alertname=RedisDown
    """
    return await ops.target("alertmanager").plan("unsilence", what=as_typed(what))
