"""Pages beyond chat: one port, Apprise for the real thing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import quote

import apprise

from bot.chat import DeliveryError

NO_SERVICE = "no service for"


class Pager(Protocol):
    """Sends a page by one contact method of a person; DeliveryError where that cannot work."""

    async def send(self, person: str, kind: str, address: str, text: str) -> None: ...


class ApprisePager:
    """Contact methods through Apprise: `urls` is kind → URL in which {address} stands for the person's."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = urls

    async def send(self, person: str, kind: str, address: str, text: str) -> None:
        """Send; DeliveryError where the kind is not configured or the service refuses."""
        url = self._urls.get(kind)
        if url is None:
            raise DeliveryError(f"{NO_SERVICE} {kind} is configured under pager:")
        service = apprise.Apprise()
        if not service.add(url.replace("{address}", quote(address, safe=""))):
            raise DeliveryError(f"the {kind} service's URL is not one that Apprise knows")
        title, _, _rest = text.partition("\n")
        if not await asyncio.wait_for(service.async_notify(body=text, title=title), 30):
            raise DeliveryError(f"the {kind} service did not take the page")
