"""How the tests' Synapse is configured: limits, what a quick one is spared, its module."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

NAME = "watchbell.test"

Limits = Literal["none", "default", "strict"]
_ENDLESS = {"per_second": 100_000, "burst_count": 100_000}
_ALONE = (
    "rc_message",
    "rc_registration",
    "rc_admin_redaction",
    "rc_joins_per_room",
    "rc_key_requests",
    "rc_3pid_validation",
    "rc_media_create",
    "rc_third_party_invite",
    "rc_room_creation",
    "rc_profile",
    "rc_reports",
    "rc_user_directory",
    "rc_delayed_event_mgmt",
)
_UNLIMITED: Mapping[str, Any] = {
    **dict.fromkeys(_ALONE, _ENDLESS),
    "rc_login": dict.fromkeys(("address", "account", "failed_attempts"), _ENDLESS),
    "rc_joins": dict.fromkeys(("local", "remote"), _ENDLESS),
    "rc_invites": dict.fromkeys(("per_room", "per_user", "per_issuer"), _ENDLESS),
}
# `default` is what Synapse does where nobody sets limits.
_LIMITS: Mapping[str, Mapping[str, Any]] = {
    "none": _UNLIMITED,
    "default": {},
    "strict": {**_UNLIMITED, "rc_message": {"per_second": 1, "burst_count": 3}},
}

# What no bot and no scenario looks at costs a third of every event.
_SPARED: Mapping[str, Any] = {
    "push": {"enabled": False},
    "user_directory": {"enabled": False},
    "stats": {"enabled": False},
    "enable_search": False,
    "send_federation": False,
    "redaction_retention_period": None,
}

_LOG = {
    "version": 1,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"level": "WARNING", "handlers": ["out"]},
    "disable_existing_loggers": False,
}


def config(
    folder: Path, url: str, port: int, *, secret: str, limits: Limits, room_version: str, quick: bool
) -> dict[str, Any]:
    """The configuration of a server in that folder; its logging is written there. `secret` registers accounts."""
    (folder / "log.json").write_text(json.dumps(_LOG), encoding="utf-8")
    return {
        "server_name": NAME,
        "public_baseurl": f"{url}/",
        "pid_file": str(folder / "pid"),
        "listeners": [
            {
                "port": port,
                "bind_addresses": ["127.0.0.1"],
                "type": "http",
                "resources": [{"names": ["client"]}],
            }
        ],
        "database": {"name": "sqlite3", "args": {"database": str(folder / "homeserver.db")}},
        "media_store_path": str(folder / "media"),
        "signing_key_path": str(folder / "signing.key"),
        "log_config": str(folder / "log.json"),
        "trusted_key_servers": [],
        "report_stats": False,
        "presence": {"enabled": False},
        "bcrypt_rounds": 4,
        "macaroon_secret_key": secrets.token_hex(16),
        "form_secret": secrets.token_hex(16),
        "registration_shared_secret": secret,
        "filter_timeline_limit": -1,
        "default_room_version": room_version,
        "modules": [
            {
                "module": "tests.servers.synapse_module.ServerClock",
                "config": {"quick": quick, "limited": limits != "none"},
            }
        ],
        **_LIMITS[limits],
        **(_SPARED if quick else {}),
    }
