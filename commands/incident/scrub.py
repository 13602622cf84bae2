"""Taking a pasted secret out of the log: the body goes everywhere, a tombstone stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from commands.case import Case, Reply, sentence
from commands.registry import Text, command
from incidents import events as e
from incidents.ports import RefusedError

_SHORTEST = 4  # characters of a quotation


@command("scrub", effect="incident")
def scrub(message: Text, *, case: Case) -> Reply:
    """Erase what a message of this channel said, everywhere; a tombstone stays.

    /scrub 1736.4021               the message's id
    /scrub "password is hunter"    some words of it; they are erased from this command, too
    """
    incident = case.incident
    words = message.strip()
    found = _messages(case, words)
    own = [case.message_id] if case.message_id is not None and words not in found else []
    for message_id in (*found, *own):
        positions = case.log.scrub(case.channel, message_id)
        if positions:
            scrubbed = e.MessageScrubbed(
                at=case.now, actor=case.by, message_id=message_id, positions=positions
            )
            case.log.record(f"chat-{incident.number}", scrubbed)
    what = "The message is" if len(found) == 1 else f"{len(found)} messages are"
    return sentence(f"{what} erased from my log. Delete it in the chat, too, and replace the secret.")


def _messages(case: Case, words: str) -> list[str]:
    """The messages meant: one by its id, else those that hold the words."""
    if case.log.message(case.channel, words) is not None:
        return [words]
    if len(words) < _SHORTEST:
        raise RefusedError(f"Quote at least {_SHORTEST} characters of the message, or give its id.")
    finder: Any = getattr(case.log, "find_messages", None)
    matches: Sequence[str] = finder(case.channel, words) if finder is not None else ()
    found = [message_id for message_id in matches if message_id != case.message_id]
    if not found:
        raise RefusedError("No message of this channel has that id or these words; quote it exactly.")
    return found
