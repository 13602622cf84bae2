"""One more container of a service: the configuration of one that is there, with the next number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.targets.compose_link import Engine, Json, MissingError
from bot.targets.compose_stack import LABEL, MARK, Container, Stack, part
from incidents.ports import RefusedError

_OWN_NETWORKS = ("none", "host", "default", "")
# Labels that say something of one container only.
_ONCE = (f"{LABEL}container-number", f"{LABEL}replace", f"{LABEL}slug", MARK)


@dataclass(frozen=True, slots=True)
class Copy:
    """What is asked of the engine: the container's name and body, and the networks that it joins afterwards."""

    name: str
    body: Json
    joins: Mapping[str, Json]


def refuse(stack: Stack, template: Container) -> None:
    """RefusedError where a second container like this one could not run, or would not be compose's."""
    of = template.label("service")
    if _separator(stack, template) is None:
        raise RefusedError(
            f"{of} has a `container_name` ({template.name}), so there is only one of it, as in docker compose."
        )
    fixed = _fixed_ports(template)
    if fixed:
        raise RefusedError(
            f"{of} publishes the port {fixed} of the host, which only one container can have; give it no fixed port."
        )
    if part(template.raw, "HostConfig", "NetworkMode") == "host":
        raise RefusedError(f"{of} uses the host's network, where two of it would want the same ports.")
    for network in (part(template.raw, "NetworkSettings", "Networks") or {}).values():
        if part(network, "IPAMConfig", "IPv4Address") or part(network, "IPAMConfig", "IPv6Address"):
            raise RefusedError(f"{of} has a fixed address in its network, which only one container can have.")


def volumes(template: Container) -> list[str]:
    """Named volumes and folders of the host that a copy writes to, too."""
    found = part(template.raw, "Mounts") or []
    shared = [m for m in found if isinstance(m, dict) and m.get("RW") and m.get("Type") in ("volume", "bind")]
    names = [str(m.get("Name") or m.get("Source") or "") for m in shared]
    return sorted(name for name in names if name and not _anonymous(name))


async def image(engine: Engine, template: Container) -> tuple[str, bool]:
    """The image for a copy, and whether its tag still means the same one.

    A tag that means another image by now would give a container that is not like the others: its id is taken then.
    """
    word, ident = str(part(template.raw, "Config", "Image") or ""), str(template.raw.get("Image", ""))
    try:
        found = await engine.get(f"/images/{word}/json")
    except MissingError:
        return ident, False
    return (word, True) if part(found, "Id") == ident else (ident, False)


def copied(stack: Stack, template: Container, number: int, mark: str, picture: str) -> Copy:
    """The request for a container like `template`; no part of it is ever written down."""
    name = named_as(stack, template, number)
    config = dict(part(template.raw, "Config") or {})
    host = dict(part(template.raw, "HostConfig") or {})
    short = template.id[:12]
    if config.get("Hostname") == short:
        config.pop("Hostname")  # the engine gives each its own
    for key in ("MacAddress", "OnBuild"):
        config.pop(key, None)
    config["Env"] = [each for each in config.get("Env") or [] if each != f"HOSTNAME={short}"]
    labels = {k: v for k, v in (config.get("Labels") or {}).items() if k not in _ONCE}
    config["Labels"] = labels | {f"{LABEL}container-number": str(number), MARK: mark}
    config["Image"] = picture
    host.pop("ContainerIDFile", None)
    host["Binds"] = [each for each in host.get("Binds") or [] if not _anonymous(each.partition(":")[0])]
    host["Mounts"] = [each for each in host.get("Mounts") or [] if not _anonymous(str(part(each, "Source")))]
    networks = {key: _endpoint(template, name, value) for key, value in _networks(template).items()}
    first = host.get("NetworkMode") if host.get("NetworkMode") in networks else next(iter(networks), None)
    body = {**config, "HostConfig": _accepted(host)}
    if first is not None:
        body["NetworkingConfig"] = {"EndpointsConfig": {first: networks.pop(first)}}
    return Copy(name, body, networks)


def named_as(stack: Stack, template: Container, number: int) -> str:
    """What compose would call the container of that number."""
    separator = _separator(stack, template) or "-"
    return separator.join((stack.project, template.label("service"), str(number)))


def _separator(stack: Stack, template: Container) -> str | None:
    """`-` since compose 2, `_` before; None where the container is called otherwise."""
    words = (stack.project, template.label("service"), str(template.number))
    return next((mark for mark in "-_" if mark.join(words) == template.name), None)


def _fixed_ports(template: Container) -> str:
    """The ports of the host that are named; a range leaves a choice."""
    found = part(template.raw, "HostConfig", "PortBindings") or {}
    ports = [str(part(each, "HostPort") or "0") for bound in found.values() for each in bound or []]
    return ", ".join(sorted({port for port in ports if port != "0" and "-" not in port}))


def _networks(template: Container) -> dict[str, Json]:
    found = part(template.raw, "NetworkSettings", "Networks") or {}
    return {name: value for name, value in found.items() if name not in _OWN_NETWORKS}


def _endpoint(template: Container, name: str, network: Any) -> Json:
    """How a copy stands in a network: by the same names, but for those that are the template's alone."""
    own = (template.id[:12], template.name)
    others = [alias for alias in part(network, "Aliases") or [] if alias not in own]
    return {
        "Aliases": list(dict.fromkeys([*others, name])),
        **({"Links": network["Links"]} if part(network, "Links") else {}),
        **({"DriverOpts": network["DriverOpts"]} if part(network, "DriverOpts") else {}),
    }


def _accepted(host: Json) -> Json:
    """What an inspection says in other words than creation takes (Podman says RLIMIT_NOFILE, Docker nofile)."""
    limits = [
        {**each, "Name": str(each.get("Name", "")).removeprefix("RLIMIT_").lower()}
        for each in host.get("Ulimits") or []
        if isinstance(each, dict)
    ]
    found = {key: value for key, value in host.items() if value is not None and value != ""}
    return found | {"Ulimits": limits}


def _anonymous(name: str) -> bool:
    """64 hexadecimal digits: a volume that each container has of its own."""
    return len(name) == 64 and all(c in "0123456789abcdef" for c in name)
