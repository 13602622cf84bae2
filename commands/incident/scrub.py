"""Taking a pasted secret out of the log: the body goes everywhere, a tombstone stays."""

from __future__ import annotations

from typing import Any

from commands.case import Case, Reply, sentence
from commands.registry import Text, command
from incidents import events as e
from incidents.ports import RefusedError

_SHORTEST = 4  # characters of a quotation


@command("scrub", effect="incident")
def scrub(message: Text, *, case: Case) -> Reply:
    """Erase what a message of this incident's channels said, everywhere; a tombstone stays.

    /scrub 1736.4021               the message's id
    /scrub "password is hunter"    some words of it; they are erased from this command, too
    """
    incident = case.incident
    words = message.strip()
    found = _messages(case, words)
    quoted = words not in {ident for _, ident in found}  # then the command holds the words, too
    own = [(case.channel, case.message_id)] if case.message_id is not None and quoted else []
    for channel, message_id in (*found, *own):
        positions = case.log.scrub(channel, message_id, case.by)
        if positions:
            scrubbed = e.MessageScrubbed(
                at=case.now, actor=case.by, message_id=message_id, positions=positions
            )
            case.log.record(f"chat-{incident.number}", scrubbed)
    what = "The message is" if len(found) == 1 else f"{len(found)} messages are"
    return sentence(f"{what} erased from my log, and in the chat where I may. Replace the secret, too.")


def _messages(case: Case, words: str) -> list[tuple[str, str]]:
    """Channel and id of the messages meant: one by its id, else those that hold the words."""
    everywhere = (f"{channel.platform}:{channel.id}" for channel in case.incident.channels)
    channels = list(dict.fromkeys([case.channel, *everywhere]))
    for channel in channels:
        if case.log.message(channel, words) is not None:
            return [(channel, words)]
    if len(words) < _SHORTEST:
        raise RefusedError(f"Quote at least {_SHORTEST} characters of the message, or give its id.")
    finder: Any = getattr(case.log, "find_messages", None)
    matches = [(c, ident) for c in channels for ident in (finder(c, words) if finder is not None else ())]
    found = [match for match in matches if match != (case.channel, case.message_id)]
    if not found:
        raise RefusedError("No message of this channel has that id or these words; quote it exactly.")
    return found
