"""Slack's markup (mrkdwn) in and out: neutral text, mentions, dates, and the names of emoji."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, tzinfo

from bot.chat import DeliveryError
from bot.platforms.console_text import neutral
from incidents import wording
from incidents.events import BOT

_JOINER = "\u2060"  # a word joiner: shows nothing, and what stands beside it is no markup any more
# Bold, italics: a mark where a word begins and the same one where a word ends, on one line; two tildes strike what
# is between them wherever they stand. Slack has no escape for these, so the one that opens becomes another sign
# that looks like it. Patterns such as *.log and */5 stay as they are, so that they can be copied.
_OPENS = re.compile(r"(?<!\w)(?:[*_](?=\S)|~)")
_CLOSES = re.compile(r"(?<=\S)[*_](?!\w)|~")
_LOOK_ALIKE = {"*": "\u2217", "_": "\u02cd", "~": "\u223c"}
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">"}
_TOKEN = re.compile(r"<([^<>]*)>|&(amp|lt|gt);")
_ADDRESS = re.compile(r"https?://[^\s<>|]+")
_SKIN = re.compile(r"::skin-tone-[2-6]$")
_VARIATION = "\ufe0f"  # asks for the coloured form of a character; Slack's names do not tell the two apart

# Slack's short name first, then its other names for the same one (the emoji-data project, which Slack uses).
_EMOJI: Mapping[str, tuple[str, ...]] = {
    "✅": ("white_check_mark",),
    "❌": ("x",),
    "📌": ("pushpin",),
    "✔": ("heavy_check_mark",),
    "☑": ("ballot_box_with_check",),
    "✖": ("heavy_multiplication_x",),
    "❎": ("negative_squared_cross_mark",),
    "📍": ("round_pushpin",),
    "👍": ("+1", "thumbsup"),
    "👎": ("-1", "thumbsdown"),
    "👀": ("eyes",),
    "👌": ("ok_hand",),
    "👋": ("wave",),
    "🙏": ("pray",),
    "🙌": ("raised_hands",),
    "✋": ("hand", "raised_hand"),
    "👏": ("clap",),
    "💪": ("muscle",),
    "🎉": ("tada",),
    "🔥": ("fire",),
    "❤": ("heart",),
    "🚀": ("rocket",),
    "🔔": ("bell",),
    "🔕": ("no_bell",),
    "🛎": ("bellhop_bell",),
    "🔐": ("closed_lock_with_key",),
    "🔒": ("lock",),
    "⏰": ("alarm_clock",),
    "⏳": ("hourglass_flowing_sand",),
    "⌛": ("hourglass",),
    "⚠": ("warning",),
    "🚨": ("rotating_light",),
    "🛑": ("octagonal_sign",),
    "⛔": ("no_entry",),
    "🚫": ("no_entry_sign",),
    "❓": ("question",),
    "❗": ("exclamation", "heavy_exclamation_mark"),
    "🔴": ("red_circle",),
    "🟠": ("large_orange_circle",),
    "🟡": ("large_yellow_circle",),
    "🟢": ("large_green_circle",),
    "🔵": ("large_blue_circle",),
    "⚪": ("white_circle",),
    "⚫": ("black_circle",),
    "➕": ("heavy_plus_sign",),
    "➖": ("heavy_minus_sign",),
    "📝": ("memo", "pencil"),
    "📎": ("paperclip",),
    "💬": ("speech_balloon",),
    "🤔": ("thinking_face",),
    "😀": ("grinning",),
    "💯": ("100",),
}
_BY_NAME = {name: emoji for emoji, names in _EMOJI.items() for name in names}


class SlackMarks:
    """How Slack writes what templates ask for.

    `zone` is the team's, for readers whose Slack shows no dates of its own; `people` is Slack user id → name of
    the configuration.
    """

    def __init__(self, zone: tzinfo, people: Mapping[str, str]) -> None:
        self._zone = zone
        self._ids = {name: user for user, name in reversed(list(people.items()))}

    def escape(self, text: str) -> str:
        """Text from outside, neutral: no markup, no mention, no link, nothing hidden."""
        told = neutral(text.replace(_JOINER, ""))
        return "\n".join(map(_without_emphasis, told.split("\n"))).replace("&", "&amp;")

    def mention(self, person: str) -> str:
        """A real mention; of somebody without a Slack account only the name."""
        user = self._ids.get(person)
        return f"<@{user}>" if user else self.escape(person)

    def time(self, at: datetime, form: str) -> str:
        """A date that Slack shows in the reader's zone ("Formatting text", date formatting)."""
        local = wording.local(at, self._zone)
        told = f"{local:%H:%M} {wording.abbreviation(local)}"
        shown = "{time}"
        if form != "clock":
            told, shown = f"{wording.day(local).rpartition(' ')[0]} {told}", "{date_short} {time}"
        return f"<!date^{int(at.timestamp())}^{shown}|{told}>"

    def code(self, text: str) -> str:
        """A block of fixed width (the text is already neutral)."""
        return f"```\n{text.strip(chr(10))}\n```"

    def bold(self, text: str) -> str:
        """Bold, line by line (the text is already neutral)."""
        return "\n".join(f"*{line.strip()}*" if line.strip() else line for line in text.split("\n"))

    def link(self, url: str) -> str:
        """An address of the configuration, to be followed (already neutral); anything strange stays text."""
        return f"<{url}>" if _ADDRESS.fullmatch(url) else url


def _without_emphasis(line: str) -> str:
    """A line in which no mark opens what another one closes; one pass, however many marks there are."""
    last = {found[0]: found.start() for found in _CLOSES.finditer(line)}
    room = {"*": 2, "_": 2, "~": 1}  # from a mark to the one that closes it, at least

    def told(found: re.Match[str]) -> str:
        mark = found[0]
        return _LOOK_ALIKE[mark] if last.get(mark, -1) >= found.start() + room[mark] else mark

    return _OPENS.sub(told, line) if last else line


def escaped(text: str) -> str:
    """Our own plain text with the three characters replaced that Slack gives a meaning ("Formatting text")."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def decode(text: str, people: Mapping[str, str], bot: str) -> str:
    """Text as people read it; `people` is user id → name of the configuration, `bot` the bot's user id."""

    def told(found: re.Match[str]) -> str:
        if found[2]:
            return _ENTITIES[found[2]]
        target, _, label = found[1].partition("|")
        return _unescaped(_token(target, label, people, bot))

    return _TOKEN.sub(told, text)


def _token(target: str, label: str, people: Mapping[str, str], bot: str) -> str:
    """What stands between < and > ("Formatting text", retrieving messages)."""
    kind, rest = target[:1], target[1:]
    if kind == "@":
        return f"@{BOT if rest == bot else people.get(rest, rest)}"
    if kind == "#":
        return f"#{label or rest}"
    if kind == "!":
        return _special(rest, label)
    address = target.removeprefix("mailto:").removeprefix("tel:")
    if not label or label in (target, address):
        return address
    # Slack makes links of what looks like an address: the label is what the person typed.
    typed = target.rstrip("/") in (f"{scheme}{label.rstrip('/')}" for scheme in ("http://", "https://"))
    return label if typed else f"{label} ({address})"


def _special(name: str, label: str) -> str:
    kind, _, rest = name.partition("^")
    if kind == "subteam":
        return label if label.startswith("@") else f"@{label or rest}"
    if kind == "date":
        return label
    return f"@{kind}" if kind in ("channel", "here", "everyone") else label or kind


def _unescaped(text: str) -> str:
    return re.sub(r"&(amp|lt|gt);", lambda found: _ENTITIES[found[1]], text)


def emoji_in(name: str) -> str:
    """A reaction's name as the emoji; skin tones are left out, and what Slack alone knows stays `:name:`."""
    plain = _SKIN.sub("", name)
    return _BY_NAME.get(plain, f":{plain}:")


def emoji_out(emoji: str) -> str:
    """Slack's name of an emoji; DeliveryError for one that has none here."""
    if re.fullmatch(r":[^\s:]+:", emoji):
        return emoji[1:-1]
    names = _EMOJI.get(emoji.replace(_VARIATION, ""))
    if names is None:
        raise DeliveryError(f"I know no name that Slack has for {emoji}")
    return names[0]
