"""Each change of a deployment as a plan, made of what was seen of it: for a real one and for the sandbox's alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from bot.targets.kubernetes_objects import tag
from commands.actions import Plan
from commands.catalogue import Service, Toggle
from commands.values import nearest, replicas_taken, shown
from incidents.ports import RefusedError
from incidents.wording import counted

MODE = "MAINTENANCE_MODE"
_ON = frozenset({"true", "1", "yes", "on"})  # how it is spelled, in any case


@dataclass(frozen=True, slots=True)
class Seen:
    """A deployment as it was when the plan was made; `notes` are for every plan of it."""

    service: Service
    identity: str
    replicas: int
    image: str
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the service."""
        return self.service.name


# -- how many pods --------------------------------------------------------------------------------


def check_replicas(seen: Seen, replicas: int) -> None:
    """RefusedError for a number outside the bounds of the catalogue, or that runs already."""
    low, high = seen.service.replicas
    if not low <= replicas <= high:
        stop = " (0 needs two approvals.)" if low == 0 else ""
        raise RefusedError(f"{replicas_taken(seen.service)}; {replicas} is outside.{stop}")
    if replicas == seen.replicas:
        raise RefusedError(f"{seen.name} already runs {replicas}.")


def scale(seen: Seen, *, replicas: int, notes: tuple[str, ...] = ()) -> Plan:
    """So many pods; a danger where it is none."""
    name, count = seen.name, seen.replicas
    stops = () if replicas else (f"0 stops {name} for everybody",)
    return planned(
        seen,
        words=("scale", name, str(replicas)),
        summary=f"scale {name} {count} → {replicas}",
        args={"replicas": replicas},
        after={"replicas": replicas},
        effect="change" if replicas else "danger",
        undo=back("scale", f"{name} {count}", str(count), service=name, replicas=count),
        notes=(*stops, *notes),
        done=f"{name} runs {counted(replicas, 'replica')}",
    )


# -- rollouts -------------------------------------------------------------------------------------


def restart(seen: Seen) -> Plan:
    """Every pod anew."""
    count = _running(seen)
    return planned(
        seen,
        words=("restart", seen.name),
        summary=f"restart {seen.name}: {counted(count, 'pod')}, one after another",
        done=f"{seen.name} was restarted, {count} of {count} ready",
    )


def _running(seen: Seen) -> int:
    """How many pods would be made anew; RefusedError where there are none."""
    if not seen.replicas:
        raise RefusedError(f"{seen.name} runs no pods; scale it first.")
    return seen.replicas


def earlier(
    name: str, *, now: int, others: Collection[int], every: Collection[int], wanted: int | None
) -> int:
    """The revision to go back to: the one asked for, else the newest of the others, which differ from `now`."""
    if not others:
        raise RefusedError(f"{name} has no earlier revision.")
    number = wanted if wanted is not None else max(others)
    if number == now:
        raise RefusedError(f"{name} already runs revision {number}.")
    if number in every and number not in others:
        raise RefusedError(f"{name} already runs what revision {number} is.")
    if number not in others:
        there = ", ".join(str(n) for n in sorted(others))
        raise RefusedError(f"{name} has no revision {number}; there are {there}.")
    return number


def rollback(seen: Seen, *, now: int, revision: int, image: str, **prints: Mapping[str, Any]) -> Plan:
    """Back to what an earlier revision is; `prints` (`before`, `after`) tell the templates, where there are any."""
    name, was, goes = seen.name, tag(seen.image), tag(image)
    alike = seen.image == image
    what = "" if alike else f"{was} → {goes} "
    return planned(
        seen,
        words=("rollback", name, str(revision)),
        summary=f"rollback {name} {what}(revision {now} → {revision})",
        args={"revision": revision},
        before=prints.get("before"),
        after={"image": image, **prints.get("after", {})},
        undo=back("rollback", f"{name} {now}", was, service=name, revision=now),
        notes=("the image stays the same; other settings of the pods change",) if alike else (),
        done=f"{name} runs {goes} again",
    )


# -- configuration --------------------------------------------------------------------------------


def maintenance(seen: Seen, *, state: str, now: str | None, value: str | None = None) -> Plan:
    """Its maintenance mode on or off; `now` is what the config map has, None where it has nothing.

    `value` is how the way back spells it: as it was before.
    """
    name, on, other = seen.name, state == "on", "off" if state == "on" else "on"
    if not now and not on:
        raise RefusedError(f"{_config_map(seen)} has no {MODE}, so {name}'s maintenance mode is off already.")
    if _is_on(now or "") == on:
        raise RefusedError(f"{name}'s maintenance mode is {state} already.")
    usual = {"on": "true", "off": "false"}
    spelled = {} if value is None else {"value": value}
    former = {} if now in (None, usual[other]) else {"value": now}
    return planned(
        seen,
        words=("maintenance", name, state),
        summary=f"maintenance {name} {other} → {state}",
        args={"state": state, **spelled},
        before={MODE: now},
        after={MODE: usual[state] if value is None else value},
        undo=None
        if now is None
        else back("maintenance", f"{name} {other}", other, service=name, state=other, **former),
        notes=_configures(seen),
        done=f"{name}'s maintenance mode is {state}",
    )


def _is_on(value: str) -> bool:
    return value.strip().casefold() in _ON


def toggle(seen: Seen, *, key: str, new: str, now: str, expect: str | None = None) -> Plan:
    """Another value of a toggle that has `now`; where that is not what was expected, it is refused."""
    name, known = seen.name, known_toggle(seen.service, key)
    if now == new:
        raise RefusedError(f"{name} has {key}={now} already.")
    if _kind(new) != _kind(known.normal):
        raise RefusedError(
            f"{key} takes a value like {known.normal} or {known.relief}; {shown(new)} is none."
        )
    expected = expect if expect is not None else known.relief if new == known.normal else known.normal
    if now != expected:
        raise RefusedError(
            f"{name} has {key}={now}, not {expected}; say expect={now} if you mean to change that."
        )
    way = {"service": name, "key": key, "new": now, "expect": new}
    return planned(
        seen,
        words=("toggle", name, key, new, f"expect={now}"),
        summary=f"toggle {name} {key} {now} → {new}",
        args={"key": key, "new": new, "expect": now},
        before={key: now},
        after={key: new},
        undo=back("toggle", f"{name} {key} {now} expect={new}", now, **way),
        notes=_configures(seen),
        done=f"{name} has {key}={new}",
    )


def known_toggle(service: Service, key: str) -> Toggle:
    """The toggle of the catalogue that is called so; RefusedError where there is none."""
    if (found := service.toggles.get(key)) is None:
        there = ", ".join(sorted(service.toggles)) or "none"
        hint = nearest(key, service.toggles) or f" It has: {there}."
        raise RefusedError(f"{service.name} has no toggle {key}.{hint}")
    return found


def _kind(value: str) -> str:
    folded = value.casefold()
    if folded in ("true", "false"):
        return "bool"
    whole, point, fraction = folded.partition(".")
    number = folded.isascii() and whole.isdigit() and (fraction.isdigit() or not point)
    return "number" if number else "text"


def _configures(seen: Seen) -> tuple[str, ...]:
    return (f"patches {_config_map(seen)}, then restarts {counted(_running(seen), 'pod')}",)


def _config_map(seen: Seen) -> str:
    return seen.service.config_map or f"{seen.name}-config"


# -- what all have --------------------------------------------------------------------------------


def planned(
    seen: Seen,
    *,
    words: tuple[str, ...],
    args: Mapping[str, Any] | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    notes: tuple[str, ...] = (),
    **more: Any,
) -> Plan:
    """A plan; `words` are what is typed, `before` and `after` what is seen and to be besides replicas and image."""
    service = seen.service
    state = {"replicas": seen.replicas, "image": seen.image, **(before or {})}
    return Plan(
        command=words[0],
        line=" ".join(words),
        target="kubernetes",
        verb=words[0],
        args={"service": service.name, **(args or {})},
        subject=f"{service.cluster}/{service.namespace}/{service.deployment or service.name}",
        identity=seen.identity,
        before=state,
        after={**state, **(after or {})},
        environment=service.environment,
        service=service.name,
        notes=(*notes, *seen.notes),
        **more,
    )


def back(command: str, words: str, label: str, **args: Any) -> dict[str, Any]:
    """The way back, as a plan carries it."""
    return {"line": f"{command} {words}", "verb": command, "args": args, "label": label}
