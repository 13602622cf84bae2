"""Which rows of the outbox go next: a look costs about the same however many wait behind those that may go."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import BindParameter, Row, Select, and_, bindparam, func, or_, select

from bot import store
from bot.ways import Way

BATCH = 500
SHARE = 25  # new messages of one channel that are claimed together: a chat that limits takes a few of them
MANY = 32  # channels, from which on one look at all rows is cheaper than a look at each channel
LEASE = timedelta(seconds=60)
EVERYTHING = Way()

_t = store.outbox
_boot: BindParameter[str] = bindparam("boot")
_now: BindParameter[int] = bindparam("now")
_channel: BindParameter[str] = bindparam("channel")
_WAITING = and_(_t.c.sent_at.is_(None), _t.c.failed.is_(None))


def claim(unit: store.Unit, boot: str, now: int, way: Way = EVERYTHING) -> list[Row[Any]]:
    """Lease the next rows of a way at `now` (microseconds) and return them as they were before.

    Channels with a page first; within a channel new messages go in the order in which they were said. A channel
    whose first row waits for another try is left alone, and one that another boot delivers to but for pages.
    """
    rows = _next(unit, boot, now, way)
    if rows:
        until = now + LEASE // timedelta(microseconds=1)
        changed = _t.update().where(_t.c.id.in_([row.id for row in rows]))
        unit.execute(changed.values(claimed_by=boot, claimed_until=until, attempts=_t.c.attempts + 1))
    paged = {row.channel for row in rows if row.lane == 0}
    return sorted(rows, key=lambda row: (row.lane == 2, row.channel not in paged, row.id))


def _next(unit: store.Unit, boot: str, now: int, way: Way) -> Sequence[Row[Any]]:
    told: dict[str, Any] = {"boot": boot, "now": now}
    channels = [row.channel for row in unit.rows(_CHANNELS, told) if way.has(row.channel)]
    if not channels:
        return ()
    busy = {row.channel for row in unit.rows(_BUSY, told)}
    if len(channels) <= MANY:
        return [row for name in channels for row in _of(unit, {**told, "channel": name}, name in busy)]
    query = _FREE.where(or_(_t.c.lane == 0, _t.c.channel.not_in(busy))) if busy else _FREE
    if (mine := way.rows) is not None:
        query = query.where(mine)
    return unit.rows(query.where(_t.c.channel.not_in(_HELD)).limit(BATCH), told)


def _of(unit: store.Unit, told: dict[str, Any], busy: bool) -> list[Row[Any]]:
    """A channel's next rows; what goes when all that is new has been said waits for that, but for cards."""
    if busy:
        return list(unit.rows(_PAGES, told))
    new = unit.rows(_NEW, told)
    return [*new, *unit.rows(_CARDS if len(new) == SHARE else _AFTERWARDS, told)]


def _every_channel() -> Select[Any]:
    """Every channel for which something waits and may go, by one step in the index each."""
    first = select(func.min(_t.c.channel).label("channel")).where(_WAITING).cte("channels", recursive=True)
    o = _t.alias()
    following = select(func.min(o.c.channel)).where(
        o.c.sent_at.is_(None), o.c.failed.is_(None), o.c.channel > first.c.channel
    )
    step = select(following.scalar_subquery()).where(first.c.channel.is_not(None))
    found = first.union_all(step)
    return select(found.c.channel).where(found.c.channel.is_not(None), found.c.channel.not_in(_HELD))


# Made once, for making them costs more than the database takes. `!=` and no DISTINCT, so that SQLite takes the
# index of the time: by its guess all rows of a lane would be few.
_HELD = select(_t.c.channel).where(_WAITING, _t.c.not_before > _now, _t.c.lane != 2)
_CHANNELS = _every_channel()
_BUSY = select(_t.c.channel).where(
    _WAITING, _t.c.claimed_until >= _now, _t.c.claimed_by != _boot, _t.c.lane != 2
)
_UNCLAIMED = or_(_t.c.claimed_until.is_(None), _t.c.claimed_until < _now, _t.c.claimed_by == _boot)
_FREE = select(_t).where(_WAITING, _UNCLAIMED, _t.c.not_before <= _now).order_by(_t.c.lane, _t.c.id)
_ONE = _FREE.where(_t.c.channel == _channel)
_PAGES = _ONE.where(_t.c.lane == 0).limit(SHARE)
_NEW = _ONE.where(_t.c.lane < 2).limit(SHARE)
# A card that waits for another try is not tried for whatever else asks for it meanwhile.
_TRIED = select(_t.c.card).where(
    _WAITING, _t.c.channel == _channel, _t.c.not_before > _now, _t.c.card.is_not(None)
)
_AFTERWARDS = _ONE.where(_t.c.lane == 2, or_(_t.c.card.is_(None), _t.c.card.not_in(_TRIED))).limit(BATCH)
_CARDS = _AFTERWARDS.where(_t.c.op == "card")
