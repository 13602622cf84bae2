"""What Slack's section of the configuration may hold: words that are taken, forms of ids, kinds of tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bot.config_faults import Finding, mapping

# Slack's own commands, which no app can have (slack.com/help: "Slash commands in Slack"), older ones included.
_RESERVED = (
    "active all apps archive away call canvas close collapse dm dnd expand feed feedback files help huddle invite "
    "invite_people join keys kick leave list me msg mute open part prefs pro quit remind remove rename rooms "
    "search section shortcuts shrug star status topic unarchive unmute unstar who"
)
RESERVED = frozenset(_RESERVED.split(" "))
API = "https://slack.com/api/"

# How tokens begin, and what each kind is called in Slack's pages (api.slack.com/concepts/token-types).
_KINDS = (
    (re.compile(r"xoxb-"), "a bot token (xoxb-…)"),
    (re.compile(r"xapp-"), "an app-level token (xapp-…)"),
    (re.compile(r"xoxp-"), "a user token (xoxp-…)"),
    (re.compile(r"xoxe[.-]"), "a token that expires (xoxe…)"),
    (re.compile(r"xox[a-z]-"), "a token of another kind"),
    (re.compile(r"[0-9a-f]{32}\Z"), "a signing secret or a client secret"),
)
_WANTED = {
    "bot_token_env": ("a bot token (xoxb-…)", "OAuth & Permissions"),
    "app_token_env": ("an app-level token (xapp-…)", "Basic Information, App-Level Tokens"),
    "signing_secret_env": ("a signing secret", "Basic Information, App Credentials"),
}


def prefix(value: str) -> str:
    """A word for `platforms.slack.prefix`, or nothing; ValueError for anything else."""
    if value in RESERVED:
        raise ValueError(f"/{value} is a command of Slack's own; take another word")
    if value and not re.fullmatch(r"[a-z][a-z0-9-]{0,20}", value):
        raise ValueError("should be lower-case letters, digits and -, a letter first, at most 21 of them")
    return value


def api(value: str) -> str:
    """An address to which the names of methods are appended; ValueError where it does not end with a slash."""
    if not value.endswith("/"):
        raise ValueError(f"should end with a slash, as in {API}")
    return value


def misplaced(data: Any, environ: Mapping[str, str]) -> Iterator[Finding]:
    """A fault, which does not repeat it, for every variable that holds a token of another kind.

    What is of no known form is let pass: `watchbell check` asks Slack about it.
    """
    section = mapping(data, "platforms", "slack")
    for key, (wanted, page) in _WANTED.items():
        name = section.get(key)
        value = environ.get(name, "").strip() if isinstance(name, str) else ""
        found = next((kind for form, kind in _KINDS if form.match(value)), wanted)
        if not found.startswith(wanted):
            where = f"{wanted} belongs there (in Slack's page of the app: {page})"
            yield Finding(
                ("platforms", "slack", key), f"the environment variable {name} holds {found}; {where}"
            )
