"""What a reaction means: a vote on an approval card, or a message put on the timeline."""

from __future__ import annotations

from sqlalchemy import select

from bot import store
from bot.chat import Reaction, Say
from bot.copies import original
from bot.logbook import Logbook
from commands.dispatch import Place
from incidents import approvals
from incidents import events as e
from incidents.action import APPROVE, DENY
from incidents.ports import RefusedError

_VARIATION = {0xFE0E, 0xFE0F, *range(0x1F3FB, 0x1F400)}  # text/emoji presentation and skin tones
MEANINGS = {"✅": APPROVE, "❌": DENY, "📌": "pin"}


def meaning(emoji: str) -> str | None:
    """What exactly this emoji means here; look-alikes and custom ones mean nothing."""
    return MEANINGS.get("".join(c for c in emoji if ord(c) not in _VARIATION))


def means_of(platform: str, emoji: str) -> str:
    """How a vote by this reaction is kept: one in another tone stands and goes by itself."""
    return f"reaction:{platform}" if emoji in MEANINGS else f"reaction:{platform}:{emoji}"


def react(book: Logbook, reaction: Reaction, by: str, place: Place) -> None:
    """Record what a person's reaction does; on anything but a card or a message in an incident's channel, nothing."""
    wanted = meaning(reaction.emoji)
    if wanted is None:
        return
    t = store.messages
    rows = book.unit.rows(
        select(t.c.card, t.c.author).where(
            t.c.platform == reaction.platform,
            t.c.channel == reaction.channel,
            t.c.message_id == reaction.message_id,
        )
    )
    if not rows:
        return
    card = rows[0].card or ""
    if wanted == "pin":
        _pin(book, reaction, by, place, original(card) or (place.channel, reaction.message_id))
    elif card.startswith("action:"):
        vote(book, int(card.partition(":")[2]), by, wanted, reaction, place)


def vote(book: Logbook, number: int, by: str, choice: str, reaction: Reaction, place: Place) -> None:
    """Cast or withdraw a vote by reaction."""
    action = book.action(number)
    if action is None:
        return
    stream, means = f"action-{number}", means_of(reaction.platform, reaction.emoji)
    book.fall_due(stream)
    action = book.action(number) or action
    if not reaction.added:
        if action.votes.get(by, {}).get(means) != choice:
            return
        book.record(stream, *approvals.withdraw(action, by=by, means=means, now=book.now))
        if action.state == "running":
            stop = f" `/cancel {number}` asks it to stop." if action.plan.get("stoppable") else ""
            whisper(book, place, by, f"#{number} runs already; your vote is taken back too late.{stop}")
        return
    refusal = None
    if not book.desk.settings.can(by, "approver"):
        refusal = f"{by}, you are no approver, so your vote on #{number} does not count."
    try:
        found = approvals.vote(
            action,
            by=by,
            choice=choice,
            means=means,
            now=book.now,
            refusal=refusal,
            assured=reaction.assured,
        )
    except RefusedError as error:
        whisper(book, place, by, str(error))
        return
    book.record(stream, *found)


def whisper(book: Logbook, place: Place, person: str, text: str) -> None:
    """Tell one person something about their reaction."""
    where = f"incident:{place.number}" if place.number is not None else place.channel
    where = book.desk.only(where, place.channel)
    book.say(Say(where, op="whisper", template="refused", data={"person": person, "text": text}))


def _pin(book: Logbook, reaction: Reaction, by: str, place: Place, message: tuple[str, str]) -> None:
    """Put a message on the timeline, by its channel's address and its id, or take it away again."""
    channel, message_id = message
    if place.number is None:
        return
    if not book.desk.settings.can(by, "responder"):
        whisper(book, place, by, "The timeline is for responders; ask one of them to pin it.")
        return
    stream = f"incident-{place.number}"
    if not reaction.added:
        book.record(stream, e.MessageUnpinned(at=book.now, actor=by, message_id=message_id))
        return
    found = book.message(channel, message_id)
    if found is None:
        return  # the bot's own messages are on the timeline by their events
    _position, author, text = found
    book.record(
        stream,
        e.MessagePinned(at=book.now, actor=by, message_id=message_id, author=author, text=text),
    )
