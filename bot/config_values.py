"""The kinds of values in the configuration file; each says what it should be."""

from __future__ import annotations

import re
import warnings
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field

from bot.config_faults import meant, quoted
from bot.platforms import matrix_config, slack_config

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST = 366 * _UNITS["d"]
_LONGEST_WINDOW = 6 * _UNITS["h"]


def duration(value: object, least: int = 1) -> int:
    """The seconds of `90s`, `15m`, `4h`, `1d` or `1h30m`; ValueError for anything else."""
    parts = re.findall(r"([0-9]{1,9})([smhd])", value) if isinstance(value, str) else []
    if not parts or value != "".join(amount + unit for amount, unit in parts):
        raise ValueError("should be a duration such as 90s, 15m, 4h or 1d")
    found = sum(int(amount) * _UNITS[unit] for amount, unit in parts)
    if not least <= found <= _LONGEST:
        raise ValueError(f"should be at least {least}s" if found < least else "should be at most 366d")
    return found


def seconds(value: object) -> int | None:
    """As `duration`, None for what is none."""
    try:
        return duration(value, least=0)
    except ValueError:
        return None


def _delay(value: object) -> int:
    return duration(value, least=0)


def _pause(value: object) -> int:
    return duration(value, least=10)


def _window(value: object) -> int:
    found = duration(value, least=60)
    if found > _LONGEST_WINDOW:
        raise ValueError("should be at most 6h")
    return found


def worse_by(value: str) -> tuple[float, bool]:
    """How much, and whether that is a part of the figure: (0.2, True) for `20%`, (0.01, False) for `0.01`."""
    number = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(%?)", value, re.ASCII)
    if number is None:
        raise ValueError("should be a percentage such as 20%, or a difference such as 0.01")
    return (float(number[1]) / 100, True) if number[2] else (float(number[1]), False)


def _worse_by(value: object) -> str:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    told = f"{value:f}" if isinstance(value, float) else str(value)
    worse_by(told if plain or isinstance(value, str) else "")
    return told


def _unit(value: str) -> str:
    if len(value) > 12 or not value.isprintable():
        raise ValueError("should be a short word such as s, ms, ratio or req/s")
    return value.strip()


def _query(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty")
    return _text(value)


def _unless_none(value: object) -> int | None:
    return None if value in ("none", None) else duration(value)


def _word(pattern: str, what: str) -> AfterValidator:
    """A text that matches `pattern` as a whole."""
    compiled = re.compile(pattern, re.ASCII)

    def check(value: str) -> str:
        if not value:
            raise ValueError("a name is missing")
        if not compiled.fullmatch(value):
            raise ValueError(f"should be {what}")
        return value

    return AfterValidator(check)


def _line(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty")
    if len(value) > 500 or not value.isprintable():
        raise ValueError("should be one line of at most 500 characters")
    return value.strip()


def _text(value: str) -> str:
    if len(value) > 2000:
        raise ValueError("should be at most 2000 characters")
    return " ".join(value.split())


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        hint = meant(value, available_timezones())
        raise ValueError(
            f"there is no time zone {quoted(value)}{hint or '; write one like Europe/Berlin'}"
        ) from error
    return value


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    if not whole or not value.isprintable() or " " in value:
        raise ValueError("should be a URL that begins with http:// or https://")
    return value


def _regex(value: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what Python only warns of will mean something else one day
            re.compile(value)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise ValueError(f"is no regular expression: {error}") from error
    return _line(value)


SLACK_MEMBER = r"[UW][A-Z0-9]{6,20}"
SLACK_MEMBER_IS = "a member ID such as U012AB3CD, as Slack shows it in the profile"
_GROUP_IS = 'a user group: its ID such as S012AB3CD, or its handle in quotes such as "@sre"'
_CAPITALS = "the name of an environment variable, in capitals"
_HASHED = 'a channel such as "#ops", in quotes because of the #'

Name = Annotated[str, _word(r"[a-z][a-z0-9_-]{0,62}", "lower-case letters, digits, - and _, a letter first")]
ServiceName = Annotated[
    str, _word(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "lower-case letters, digits and -, as in Kubernetes")
]
Word = Annotated[str, _word(r"[A-Za-z0-9][\w.-]{0,62}", "one word: letters, digits, - _ and .")]
ShortWord = Annotated[str, _word(r"[a-z][a-z0-9]{0,11}", "a short word such as inc")]
Variable = Annotated[str, _word(r"[A-Z_][A-Z0-9_]{0,99}", _CAPITALS)]
Channel = Annotated[str, _word(r"#[a-z0-9][a-z0-9_-]{0,78}", _HASHED)]
Label = Annotated[str, _word(r"[A-Za-z_]\w{0,99}", "the name of an alert label")]
SlackMember = Annotated[str, _word(SLACK_MEMBER, SLACK_MEMBER_IS)]
SlackGroup = Annotated[str, _word(r"S[A-Z0-9]{6,20}|@[\w.-]{1,80}", _GROUP_IS)]
SlackPrefix = Annotated[str, AfterValidator(slack_config.prefix)]
Line = Annotated[str, AfterValidator(_line)]
Text = Annotated[str, AfterValidator(_text)]
Zone = Annotated[str, AfterValidator(_zone)]
Url = Annotated[str, AfterValidator(_url)]
SlackApi = Annotated[str, AfterValidator(_url), AfterValidator(slack_config.api)]
Homeserver = Annotated[str, AfterValidator(matrix_config.homeserver)]
MatrixUser = Annotated[str, AfterValidator(matrix_config.user)]
MatrixServer = Annotated[str, AfterValidator(matrix_config.server)]
MatrixDevice = Annotated[str, AfterValidator(matrix_config.device)]
MatrixSpace = Annotated[str, AfterValidator(matrix_config.space)]
Regex = Annotated[str, AfterValidator(_regex)]
Duration = Annotated[int, BeforeValidator(duration)]
Delay = Annotated[int, BeforeValidator(_delay)]
Window = Annotated[int, BeforeValidator(_window)]
WorseBy = Annotated[str, BeforeValidator(_worse_by)]
Query = Annotated[str, AfterValidator(_query)]
Unit = Annotated[str, AfterValidator(_unit)]
Pause = Annotated[int, BeforeValidator(_pause)]
Cadence = Annotated[int | None, BeforeValidator(_unless_none)]
Count = Annotated[int, Field(ge=1, le=10)]
Role = Literal["reporter", "responder", "approver"]
Clock = Literal["acknowledged", "investigating", "updated", "resolved"]
