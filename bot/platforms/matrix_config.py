"""What Matrix's section of the configuration may hold: addresses, user ids, devices, the name of a space."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from bot.config_faults import Finding, KeyPath, each_text, mapping, quoted, texts

# Matrix specification, appendices, "Server Name" and "User Identifiers" (older servers allow more than lower case).
_HOST = r"(?:[A-Za-z0-9.-]{1,230}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
_SERVER = re.compile(_HOST)
USER = re.compile(rf"@[!-9;-~]{{1,200}}:{_HOST}")
USER_IS = "a whole user ID such as @alice:example.com"
LONGEST = 255  # bytes of any identifier, with its sigil and its server
# A room has an alias, an id (with a server up to version 11, without one from 12 on), or a name.
_ALIAS = re.compile(rf"#[^:\s\x00]{{1,200}}:{_HOST}")
_ROOM_ID = re.compile(rf"![\w./=+-]{{1,200}}(?::{_HOST})?", re.ASCII)
# A device's id, or its ed25519 key in unpadded base64 ("Device keys"), as clients show it: in groups of four.
_DEVICE = re.compile(r"[\w./=+-]{1,100}", re.ASCII)


def homeserver(value: str) -> str:
    """The address of a homeserver without a slash at its end; ValueError where a token is not safe on its way there."""
    try:
        parts = urlsplit(value)
        host, whole = parts.hostname or "", parts.port != 0 and not (parts.query or parts.fragment)
    except ValueError:
        host, whole = "", False
    if not host or not whole or not value.isprintable() or " " in value or parts.username is not None:
        raise ValueError("should be the address of the homeserver, such as https://matrix.example.com")
    if parts.scheme == "http" and not loopback(host):
        raise ValueError("should begin with https://; http:// is for a homeserver on this machine only")
    if parts.scheme not in ("http", "https"):
        raise ValueError("should begin with https://")
    return value.rstrip("/")


def loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def user(value: str) -> str:
    """A whole user id; ValueError for anything else."""
    if not USER.fullmatch(value) or len(value) > LONGEST:
        raise ValueError(f"should be {USER_IS}")
    return value


def server(value: str) -> str:
    """The name of a homeserver, as it stands behind the colon of a user id; ValueError for anything else."""
    if not _SERVER.fullmatch(value):
        raise ValueError("should be what stands behind the colon of a user ID, such as partner.example.com")
    return value


def space(value: str) -> str:
    """Alias, room id or plain name of a space; ValueError for what is none of them."""
    name = value.strip()
    if not name or len(name) > 100 or not name.isprintable():
        raise ValueError("should be a name, an alias or a room ID of at most 100 characters")
    if (name[0] == "#" and not _ALIAS.fullmatch(name)) or (name[0] == "!" and not _ROOM_ID.fullmatch(name)):
        raise ValueError(
            'should be an alias such as "#incidents:example.com", a room ID that begins with !, or a name'
        )
    return name


def device(value: str) -> str:
    """A device id, or an ed25519 fingerprint without its spaces; ValueError for anything else."""
    folded = "".join(value.split())
    if not _DEVICE.fullmatch(folded):
        raise ValueError(
            "should be a device's ID such as JLAFKJWSCS, or its session key, as the client shows it"
        )
    return folded


def is_device(path: KeyPath) -> bool:
    """Whether a value of the file stands among the people's devices: fingerprints look like secrets, and are none."""
    return path[:3] == ("platforms", "matrix", "devices")


def check(data: Any) -> Iterator[Finding]:
    """What shows only across settings: devices of nobody, the bot among the people, servers that are not listed."""
    section = mapping(data, "platforms", "matrix")
    if not section:
        return
    yield from _devices(data, section)
    yield from _people(data, section)


def _devices(data: Any, section: dict[str, Any]) -> Iterator[Finding]:
    people = mapping(data, "people")
    path = ("platforms", "matrix", "devices")
    for name in mapping(section, "devices"):
        if name not in people:
            yield Finding((*path, name), f"nobody under `people` is called {quoted(str(name))}")
        elif "matrix" not in mapping(people, name, "ids"):
            yield Finding(
                (*path, name), f"{name} has no account there; write `ids: {{matrix: …}}` under `people`"
            )


def _people(data: Any, section: dict[str, Any]) -> Iterator[Finding]:
    own = section.get("user")
    if not isinstance(own, str) or not USER.fullmatch(own):
        return
    servers = [own.partition(":")[2], *texts(section.get("servers"))]
    for path, account in each_text(data, "people.*.ids.matrix"):
        if account == own:
            yield Finding(path, "this is the bot's own account")
        elif USER.fullmatch(account) and account.partition(":")[2] not in servers:
            there = account.partition(":")[2]
            yield Finding(path, f"{there} is another homeserver; list it under platforms.matrix.servers")
