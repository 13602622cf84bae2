"""Matchers of alert labels as people type them, and which of them are broad (prometheus.io: "Alertmanager")."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from commands.values import shown
from incidents.ports import RefusedError

_ONE = re.compile(
    r"\s*(?P<name>[A-Za-z_][A-Za-z0-9_]{0,99})\s*(?P<sign>=~|!~|!=|=)\s*"
    r"(?:\"(?P<quoted>(?:[^\"\\\n]|\\[\"\\n]){0,500})\"|(?P<plain>[^\s,;\"'{}=~!]{1,500}))"
    r"\s*(?:,|$|(?<=[\s\"])(?=[A-Za-z_]))",
    re.ASCII,
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,199}", re.ASCII)
_NARROW = frozenset(["alertname", "instance", "pod"])  # one of these by its whole value
_MOST = 20


@dataclass(frozen=True, slots=True, order=True)
class Matcher:
    """One matcher; `sign` is =, !=, =~ or !~."""

    name: str
    sign: str
    value: str

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{json.dumps(self.value, ensure_ascii=False)}"

    def to_data(self) -> dict[str, Any]:
        """As the API has it."""
        regex, equal = self.sign in ("=~", "!~"), self.sign in ("=", "=~")
        return {"name": self.name, "value": self.value, "isRegex": regex, "isEqual": equal}


def matchers(text: str) -> tuple[Matcher, ...]:
    """The matchers of `alertname=RedisDown service=~"a|b"`, in order of their names; a lone word is the alert's name.

    RefusedError where it is something else.
    """
    plain = text.strip()
    plain = plain[1:-1] if plain[:1] == "{" and plain[-1:] == "}" else plain
    if _NAME.fullmatch(plain):
        return (Matcher("alertname", "=", plain),)
    found: list[Matcher] = []
    at = 0
    while at < len(plain):
        one = _ONE.match(plain, at)
        if one is None or len(found) >= _MOST:
            raise RefusedError(
                f'Write which alerts, as in alertname=RedisDown service="realtime"; {shown(plain[at:])} is no matcher.'
            )
        value = one["plain"] if one["quoted"] is None else _unescaped(one["quoted"])
        found.append(Matcher(one["name"], one["sign"], value))
        at = one.end()
    if not found:
        raise RefusedError("Say which alerts, as in alertname=RedisDown.")
    return tuple(sorted(set(found)))


def written(found: Iterable[Matcher]) -> str:
    """The matchers as they are typed again."""
    return ", ".join(map(str, found))


def broad(found: Iterable[Matcher]) -> bool:
    """Whether no alert, instance or pod is named by its whole name: a service's whole noise, or everybody's."""
    return not any(m.sign == "=" and m.value and m.name in _NARROW for m in found)


def everything(found: Iterable[Matcher]) -> bool:
    """Whether each one fits alerts without such a label, too: no server takes a silence of that kind."""
    return all(_fits_nothing(m) for m in found)


def from_data(raw: Iterable[Mapping[str, Any]]) -> tuple[Matcher, ...]:
    """The matchers of a silence as the API tells it."""
    signs = {(True, False): "=", (False, False): "!=", (True, True): "=~", (False, True): "!~"}
    return tuple(
        sorted(
            Matcher(
                str(m["name"]), signs[bool(m.get("isEqual", True)), bool(m.get("isRegex"))], str(m["value"])
            )
            for m in raw
        )
    )


def _fits_nothing(m: Matcher) -> bool:
    """Whether it fits the empty text; regular expressions of the server are anchored (RE2)."""
    if m.sign in ("=", "!="):
        return (m.value == "") == (m.sign == "=")
    return (m.value in ("", ".*", "|", "(.*)", ".?", "()")) == (m.sign == "=~")


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], text)
