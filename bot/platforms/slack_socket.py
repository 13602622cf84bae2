"""Socket Mode: the connection that Slack's events come by where no address of ours is open to the internet."""

from __future__ import annotations

import asyncio
import logging

import aiohttp
import structlog
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.web.async_client import AsyncWebClient

from bot.chat import DeliveryError

_log = structlog.get_logger()

PING = 5.0  # seconds between pings; four without an answer, and the connection is made anew
ATTEMPT = 20.0  # seconds for one address: Slack's are good for 30 at most
START = 10.0  # seconds that the start waits for the connection

_FINAL = {
    "account_inactive": "the app was removed from the workspace: install it again",
    "invalid_auth": "check it in the configuration",
    "missing_scope": "it needs the scope connections:write",
    "not_allowed_token_type": "an app-level token begins with xapp-",
    "not_authed": "check it in the configuration",
    "token_expired": "make a new one in Basic Information, App-Level Tokens",
    "token_revoked": "make a new one in Basic Information, App-Level Tokens",
}


class _Client(SocketModeClient):
    """slack_sdk's client, but for this: where an address does not answer, it asks for another one.

    slack_sdk tries the same address again for ever, and Slack's are good for half a minute.
    """

    async def connect(self) -> None:
        while not self.closed:
            try:
                async with asyncio.timeout(ATTEMPT):
                    await super().connect()  # type: ignore[no-untyped-call]
                return
            except TimeoutError:
                self.wss_uri = None


class _Handler(AsyncSocketModeHandler):
    """Bolt's handler around that client; Bolt's own would make one of slack_sdk's."""

    def __init__(self, app: AsyncApp, app_token: str, web: AsyncWebClient, logger: logging.Logger) -> None:
        self.app = app
        self.app_token = app_token
        self.client = _Client(app_token, logger, web, ping_interval=PING)
        self.client.socket_mode_request_listeners.append(self.handle)  # type: ignore[arg-type]


class Socket:
    """One connection, which comes back by itself until it is closed."""

    def __init__(self, app: AsyncApp, app_token: str, web: AsyncWebClient, logger: logging.Logger) -> None:
        self._app = app
        self._token = app_token
        self._web = web
        self._logger = logger
        self._handler: _Handler | None = None
        self._connecting: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect; goes on trying in the background where Slack does not answer within 10 seconds.

        DeliveryError where Slack does not take the token: that does not get better by itself.
        """
        address = await self._address()
        self._handler = _Handler(self._app, self._token, self._web, self._logger)
        self._handler.client.wss_uri = address
        self._connecting = asyncio.create_task(self._handler.connect_async())  # type: ignore[no-untyped-call]
        done, _ = await asyncio.wait({self._connecting}, timeout=START)
        if done:
            self._connecting.result()
        else:
            _log.warning("Slack's Socket Mode does not answer; it is tried again until it does")

    async def close(self) -> None:
        """Disconnect for good."""
        if self._handler is not None:
            await self._handler.close_async()  # type: ignore[no-untyped-call]
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait({self._connecting})

    async def _address(self) -> str | None:
        """Where to connect (apps.connections.open); None where there is no answer now."""
        try:
            return str((await self._web.apps_connections_open(app_token=self._token))["url"])
        except SlackApiError as error:
            data = getattr(error.response, "data", None)  # an answer that is no JSON comes without
            why = str(data.get("error") or "") if isinstance(data, dict) else "an answer that is no JSON"
            if why in _FINAL:
                told = f"Slack does not take the app-level token ({why}): {_FINAL[why]}"
                raise DeliveryError(told) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            why = type(error).__name__
        _log.warning("Slack gave no address for Socket Mode; it is asked again", error=why)
        return None
