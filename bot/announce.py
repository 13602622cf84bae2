"""What is said and done in chat because of one recorded event: pure, and by table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bot import announce_actions, announce_alerts, announce_life, announce_pages, announce_people
from bot.announce_parts import edit
from bot.chat import Say
from bot.facts import Facts
from incidents import events as e
from incidents.incident import Incident

Rule = Callable[[Any, Any, Any, Sequence[e.Event], Facts], list[Say]]

RULES: Mapping[type[e.Event], Rule] = {
    **announce_life.RULES,
    **announce_alerts.RULES,
    **announce_pages.RULES,
    **announce_actions.RULES,
    **announce_people.RULES,
}

# What changes nothing that an incident's card shows.
UNSHOWN = frozenset(
    {
        e.PageRepeated,
        e.PageFailed,
        e.Joined,
        e.ActionItemAdded,
        e.ActionItemDone,
        e.ActionItemChased,
        e.WatchBegan,
        e.WatchDue,
        e.WatchMeasured,
        e.WatchEnded,
    }
)

# What is recorded without a word, and why.
SILENT: Mapping[type[e.Event], str] = {
    e.ChannelBound: "the channel itself and the card in it are what people see",
    e.MessagePinned: "the person's own 📌 shows it",
    e.MessageUnpinned: "the 📌 is gone",
    e.MessagePosted: "people read each other without the bot",
    e.MessageEdited: "the chat shows the edit",
    e.MessageDeleted: "the chat shows the deletion",
    e.MessageScrubbed: "the command answers who scrubbed; repeating it would point at the secret",
    e.WatchBegan: "the card says so when the change is done",
    e.WatchDue: "what it leads to is told at the end, or early where it is worse",
    e.WatchMeasured: "one look settles nothing",
    e.PolicyAdopted: "a snapshot for the log alone",
    e.HandoverDue: "said by whoever records it (bot/handovers.py)",
    e.CommandRefused: "the refusal went to who asked",
}


def announce(event: e.Event, before: Any, after: Any, *, batch: Sequence[e.Event], facts: Facts) -> list[Say]:
    """The things to say because of `event`, in order; `before` and `after` are the states around it.

    An incident's card is made anew with whatever changed its state; who calls says the same card once.
    """
    rule = RULES.get(type(event))
    if rule is None:
        return []
    says = rule(event, before, after, batch, facts)
    if (
        after is not before
        and before is not None
        and isinstance(after, Incident)
        and type(event) not in UNSHOWN
    ):
        says.append(edit(after))
    return says
