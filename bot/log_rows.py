"""The rows beside the log: the indexes of incidents and actions, and what waits to be said."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from bot import store
from bot.chat import Say
from incidents.action import Action
from incidents.incident import Incident


def outbox_row(say: Say, now: datetime, position: int | None) -> dict[str, Any]:
    """The row that keeps something to be said until it is delivered."""
    payload = {
        "template": say.template,
        "data": say.data,
        "card": say.card,
        "thread": say.thread,
        "buttons": [(b.label, b.value, b.style) for b in say.buttons],
        "seeds": say.seeds,
    }
    if say.home:
        payload["home"] = say.home
    ref = say.ref
    if say.op in ("direct", "contact"):  # all methods of one page to one person belong together
        ref = f"page:{say.data.get('incident')}:{say.data.get('person')}:{position}"
    return {
        "at": now,
        "channel": say.channel,
        "lane": say.lane,
        "op": say.op,
        "card": ref,
        "payload": orjson.dumps(payload).decode(),
        "event_position": position,
    }


def incident_row(i: Incident) -> dict[str, Any]:
    """What the index of incidents says of one."""
    channel = f"{i.channels[0].platform}:{i.channels[0].id}" if i.channels else None
    return {
        "state": i.state,
        "severity": i.severity,
        "rank": i.rank,
        "service": i.service,
        "title": i.title,
        "channel": channel,
        "opened_at": store.micros(i.opened_at),
        "private": int(i.private),
        "owner": i.owner,
        "group_key": i.group_key,
    }


def action_row(a: Action) -> dict[str, Any]:
    """What the index of actions says of one."""
    return {
        "incident": a.incident,
        "channel": a.channel,
        "state": a.state,
        "requester": a.requester,
        "target": str(a.plan.get("subject", "")),
        "fingerprint": fingerprint(a.plan, a.incident, a.channel, a.revert_after),
        "boot": a.boot,
        "command": str(a.plan.get("command", "")),
    }


def fingerprint(plan: Mapping[str, Any], incident: int | None, channel: str, revert_after: int | None) -> str:
    """Names a request by what it does, for how long, and where it was asked, so that identical ones collapse."""
    where = f"incident:{incident}" if incident is not None else channel
    lasts = (f"for {revert_after} s",) if revert_after else ()
    return "|".join((where, str(plan.get("target")), str(plan.get("line")), *lasts))
