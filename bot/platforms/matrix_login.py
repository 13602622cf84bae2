"""An access token for the bot's account, by its password: asked for once, printed, stored nowhere."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from bot.platforms.matrix_config import homeserver as checked
from bot.platforms.matrix_config import user as whole_user
from incidents.ports import RefusedError

VARIABLE = "WATCHBELL_MATRIX_ACCESS_TOKEN"
PATIENCE = 20  # seconds for one call
_PASSWORD = "m.login.password"  # noqa: S105 - the name of a way to log in
_REASONS = {
    "M_FORBIDDEN": "the homeserver does not know this account, or the password is another one",
    "M_USER_DEACTIVATED": "the account is deactivated",
    "M_LIMIT_EXCEEDED": "the homeserver wants a pause after so many tries; wait some minutes",
}


@dataclass(frozen=True, slots=True)
class Session:
    """A device of the account, and the token by which it acts."""

    homeserver: str
    user: str
    device_id: str
    access_token: str = field(repr=False)

    def written(self) -> str:
        """Lines for the shell; the section of the configuration is in them as a comment."""
        return "\n".join(
            (
                f"export {VARIABLE}={shlex.quote(self.access_token)}",
                "# In the configuration:",
                "# platforms:",
                "#   matrix:",
                f"#     homeserver: {self.homeserver}",
                f'#     user: "{self.user}"',
                f"#     access_token_env: {VARIABLE}",
                f"#     device_id: {self.device_id}",
            )
        )


async def log_in(server: str, user: str, password: str) -> Session:
    """Log in as a new device; `server` is an address, or a name such as example.com. RefusedError says why not."""
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        address = await _address(http, server.strip())
        where = f"{address}/_matrix/client/v3/login"
        ways = {str(flow.get("type")) for flow in (await _call(http, "GET", where)).get("flows") or ()}
        if _PASSWORD not in ways:
            raise RefusedError(
                f"{address} gives no token for a password (it offers {', '.join(sorted(ways)) or 'nothing'}); "
                "have its administrator issue one: docs/matrix.md says how."
            )
        name = user.strip()
        told = await _call(
            http,
            "POST",
            where,
            {
                "type": _PASSWORD,
                "identifier": {"type": "m.id.user", "user": name if ":" in name else name.removeprefix("@")},
                "password": password,
                "initial_device_display_name": "Watchbell",
            },
        )
    return _session(address, told)


def _session(address: str, told: dict[str, Any]) -> Session:
    try:
        return Session(
            address, whole_user(told["user_id"]), str(told["device_id"]), str(told["access_token"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RefusedError(f"{address} logged in, and did not say as whom.") from error


async def _address(http: aiohttp.ClientSession, server: str) -> str:
    """Where the client-server API of a homeserver is ("Well-known URIs"): what it tells there, else its name."""
    try:
        if "://" in server:
            return checked(server)
        named = checked(f"https://{server}")
        told = await _well_known(http, f"{named}/.well-known/matrix/client")
        return checked(told) if told else named
    except ValueError as error:
        raise RefusedError(f"The homeserver {error}.") from error


async def _well_known(http: aiohttp.ClientSession, where: str) -> str:
    try:
        async with http.get(where) as answer:
            told = await answer.json(content_type=None) if answer.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return ""
    base = (told.get("m.homeserver") or {}).get("base_url") if isinstance(told, dict) else None
    return base if isinstance(base, str) else ""


async def _call(http: aiohttp.ClientSession, method: str, where: str, body: Any = None) -> dict[str, Any]:
    try:
        async with http.request(method, where, json=body) as answer:
            told = await answer.json(content_type=None)
    except ValueError as error:
        raise RefusedError(f"What answers at {where} is no Matrix homeserver.") from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise RefusedError(f"Nothing answers at {where} ({type(error).__name__}).") from error
    if not isinstance(told, dict):
        raise RefusedError(f"What answers at {where} is no Matrix homeserver.")
    if answer.status != 200:
        code = str(told.get("errcode") or answer.status)
        raise RefusedError(f"No log-in: {_REASONS.get(code, told.get('error') or 'refused')} ({code}).")
    return told
