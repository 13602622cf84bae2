"""Which scenarios are played on which chat: all on the browser chat and on Slack, on the others a choice.

What the bot decides does not depend on the chat, and those two play everything. What a chat adds
is how it takes in each kind of act and shows each kind of message, so each kind has to be there once. Over Synapse a
scenario takes ten times as long as in the browser chat. WATCHBELL_ALL=1 (`make test-all`) plays all on all.
"""

from __future__ import annotations

from tests import EVERYTHING
from tests.scenarios.stages import NAMES

# Played on every chat, and held against the browser chat's (test_same_everywhere.py): the first four by the export,
# the others by all that the bot did.
EXPORTED = ("story", "note_and_pin", "two_approvals", "threads")
COMPARED = ("critical_not_acknowledged", "for_a_while", "reminder_help", "drift")
EVERYWHERE = (*EXPORTED, *COMPARED)

# With those above they have every step of a script, command, button, emoji, card and event that any scenario has.
ON_MATRIX = (
    "acknowledge_by_button",
    "acknowledge_by_status",
    "acknowledge_is_for_responders",
    "all_alerts_resolved_button",
    "approval_expires",
    "auto_major",
    "breakglass_other_rota",
    "cannot",
    "catchup",
    "contacts",
    "deny_with_a_reason",
    "dry_run",
    "elsewhere",
    "escalation_criteria",
    "eta_passed",
    "firing_again_after_close",
    "for_a_while_kept",
    "handover",
    "major_outage",
    "merged_into_a_milder_one",
    "other_emoji",
    "page_by_hand",
    "post_mortem",
    "private",
    "reads",
    "reminder_button",
    "reopened",
    "severity_raised_overdue",
    "snooze",
    "snooze_button",
    "undo_button",
    "undo_moved",
    "watch_stopped",
    "watch_worse",
    "withdraw_request",
    "withdraw_vote",
)
# Encryption changes neither words nor buttons, only who gets a key: with those above, where few or one can read.
ENCRYPTED = ("cannot", "handover", "private", "reads")
# Socket Mode differs from HTTP in how acts come in: by message, command, button, and from a private channel.
BY_SOCKET = ("private", "undo_button")
# In rooms of version 11; what differs in them is who made a room, and where a redaction points to.
OLDER = ("story", "two_approvals", "private", "note_and_pin", "threads")


def played() -> list[tuple[str, str]]:
    """Chat and scenario, for each that is played there; the browser chat plays every one with restarts."""
    chosen = {
        "slack": NAMES,
        "slack_socket": BY_SOCKET,
        "matrix": ON_MATRIX,
        "matrix_encrypted": ENCRYPTED,
    }
    return [
        (chat, name)
        for chat, names in chosen.items()
        for name in (NAMES if EVERYTHING else names)
        if name not in EVERYWHERE
    ]
