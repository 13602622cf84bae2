"""What the web pages need from the rest of the bot, and nothing more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Protocol

from prometheus_client import CollectorRegistry

from bot.platforms.console import Console
from bot.views import AlertReply, HealthView, IncidentPage, IncidentView, StatusView
from commands.registry import Registry


class Pace(Protocol):
    """The bot's clock; in a demo its speed can be set (seconds of its time in one second)."""

    @property
    def speed(self) -> float: ...

    def now(self) -> datetime: ...

    def set_speed(self, speed: float) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """Settings of the pages.

    `demo` mounts the browser chat with its switch between people, and the alert menu. `hosts` are further
    names (without port) under which the pages are called; loopback names always work, `*` takes all.
    `password` asks for one (HTTP Basic, any user name); without it, and outside of a demo, board and
    incidents are shown to this machine only. `alert_token` is what the demo's own menu sends, and
    `alert_limit` the largest alert body in bytes; one that takes longer than `body_seconds` to come is refused.
    """

    templates: Path  # the folder templates/web
    zone: tzinfo
    demo: bool = False
    hosts: tuple[str, ...] = ()
    password: str | None = None
    about: Mapping[str, str] = field(default_factory=dict)  # person → "primary on-call", for the switch
    services: tuple[str, ...] = ()  # for completion, as are these:
    rotas: tuple[str, ...] = ()
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # argument's name → what it may be
    alert_token: str | None = None
    alert_limit: int = 1_000_000
    body_seconds: float = 30
    speeds: tuple[float, ...] = (1, 60, 600)


class WebContext(Protocol):
    """The bot as the pages see it. `board` leaves private incidents out; `incident` is None for them too,
    outside of a demo. `export` raises LookupError where there is no such incident."""

    @property
    def settings(self) -> WebSettings: ...

    @property
    def console(self) -> Console | None: ...

    @property
    def clock(self) -> Pace: ...

    @property
    def registry(self) -> Registry: ...

    @property
    def metrics(self) -> CollectorRegistry: ...

    async def board(self) -> list[IncidentView]:
        """Open incidents, and those resolved but not closed; any order."""
        ...

    async def incident(self, number: int) -> IncidentPage | None: ...

    async def export(self, number: int, form: str) -> tuple[str, bytes, str]:
        """File name, bytes and MIME type of an incident's report; form is md, html, json, csv or zip."""
        ...

    async def receive_alert(self, source: str, body: bytes, token: str | None) -> AlertReply: ...

    async def status(self) -> StatusView: ...

    async def health(self) -> HealthView: ...
