"""What runs in a compose project: its containers, known by the labels that compose gives them, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.redact import Redactor
from bot.targets.compose_link import Engine, Json, MissingError
from commands.actions import TargetError
from commands.catalogue import Catalogue, Service
from commands.values import find_service
from incidents.ports import Clock, RefusedError

LABEL = "com.docker.compose."
MARK = "watchbell.change"  # a label of ours on containers that we made: which change it was
MOST = 200  # containers of a project that are looked at
GRACE = 10.0  # seconds that a container has to stop, where it says nothing else


def part(data: Any, *keys: str) -> Any:
    """What stands under these keys; None where nothing does."""
    for key in keys:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data


def whole(data: Any, *keys: str) -> int:
    """A number that stands there; 0 where none does."""
    found = part(data, *keys)
    return int(found) if isinstance(found, int | float) else 0


@dataclass(frozen=True)
class Container:
    """One container, as the engine's inspection shows it."""

    raw: Json

    @property
    def id(self) -> str:
        """64 hexadecimal digits."""
        return str(self.raw.get("Id", ""))

    @property
    def name(self) -> str:
        """`stack-router-1`."""
        return str(self.raw.get("Name", "")).lstrip("/")

    def label(self, name: str) -> str:
        """One of compose's labels."""
        return str(part(self.raw, "Config", "Labels", f"{LABEL}{name}") or "")

    @property
    def mark(self) -> str:
        """Which change of ours made it."""
        return str(part(self.raw, "Config", "Labels", MARK) or "")

    @property
    def number(self) -> int:
        """Its number among those of its service."""
        text = self.label("container-number")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0

    @property
    def short(self) -> str:
        """`router-1`: by service and number, whatever it is called."""
        return f"{self.label('service')}-{self.number}"

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return bool(part(self.raw, "State", "Running"))

    @property
    def state(self) -> str:
        """`running`, `exited`, `created`, `restarting`, `paused`, `dead`."""
        return str(part(self.raw, "State", "Status") or "unknown")

    @property
    def health(self) -> str:
        """`healthy`, `unhealthy`, `starting`; empty where nothing checks it."""
        found = str(part(self.raw, "State", "Health", "Status") or "")
        return "" if found == "none" else found

    @property
    def created(self) -> str:
        """When it was made, as the engine writes it."""
        return str(self.raw.get("Created", ""))

    @property
    def started(self) -> str:
        """When it was last started, as the engine writes it."""
        return str(part(self.raw, "State", "StartedAt") or "")

    @property
    def memory(self) -> int:
        """Its limit in bytes; 0 is none."""
        return whole(self.raw, "HostConfig", "Memory")

    @property
    def swap(self) -> int:
        """Its limit of memory and swap together, in bytes; -1 is none, 0 that nothing was said."""
        return whole(self.raw, "HostConfig", "MemorySwap")

    @property
    def grace(self) -> float:
        """Seconds that it has to stop before it is killed."""
        return float(whole(self.raw, "Config", "StopTimeout")) or GRACE

    @property
    def terminal(self) -> bool:
        """Whether it has one: its log is no sequence of frames then."""
        return bool(part(self.raw, "Config", "Tty"))

    def holds(self, *, started: bool) -> str:
        """Who it is: number, id, when it was made, and if asked when it was started."""
        words = (str(self.number), self.id[:12], self.created, *([self.started] if started else []))
        return "@".join(word.replace(" ", "") for word in words)


@dataclass(frozen=True)
class Stack:
    """One project, with the services of the catalogue that run there. `name` is the target's."""

    name: str
    project: str
    engine: Engine
    catalogue: Catalogue
    clock: Clock
    redactor: Redactor

    @property
    def services(self) -> dict[str, Service]:
        """The services that run there."""
        return {
            known.name: known
            for known in self.catalogue.services.values()
            if known.runtime == "compose" and known.cluster == self.name
        }

    def service(self, word: str) -> Service:
        """A service that runs there; RefusedError where there is none."""
        found = find_service(word, self.catalogue)
        if found.name not in self.services:
            raise RefusedError(
                f"{found.name} does not run in the compose project of {self.name}: its `cluster` says {found.cluster}."
            )
        return found

    async def containers(self, service: Service | None = None) -> list[Container]:
        """The containers of a service, or of the project, by service and number; those of `compose run` left out."""
        labels = [f"{LABEL}project={self.project}"]
        if service is not None:
            labels.append(f"{LABEL}service={named(service)}")
        found = await self.engine.get("/containers/json", all=True, filters={"label": labels})
        if not isinstance(found, list):
            raise TargetError(f"{self.engine.title} sent something else than a list of containers.")
        ids = [str(each.get("Id", "")) for each in found if isinstance(each, dict)]
        if len(ids) > MOST:
            raise TargetError(
                f"{self.project} has {len(ids)} containers, more than the {MOST} that I look at."
            )
        places = asyncio.Semaphore(8)
        looked = await asyncio.gather(*(self._inspected(each, places) for each in ids))
        ours = [each for each in looked if each is not None and self._ours(each, service)]
        return sorted(ours, key=lambda each: (each.label("service"), each.number, each.created))

    async def there(self, service: Service) -> list[Container]:
        """The containers of a service; TargetError where there are none."""
        found = await self.containers(service)
        if not found:
            raise TargetError(
                f"The project {self.project} has no container of {named(service)}; `docker compose up` makes the first."
            )
        return found

    async def container(self, ident: str) -> Container:
        """One container now; MissingError where it is gone, or is none of ours."""
        found = await self.engine.get(f"/containers/{ident}/json")
        made = Container(found if isinstance(found, dict) else {})
        if not self._ours(made, None):
            raise MissingError(f"{ident[:12]} is no container of the project {self.project}.")
        return made

    async def _inspected(self, ident: str, places: asyncio.Semaphore) -> Container | None:
        async with places:
            try:
                return await self.container(ident)
            except MissingError:
                return None  # it has gone since it was listed

    def _ours(self, found: Container, service: Service | None) -> bool:
        """Whatever a filter let through: what bears no label of the project is never touched."""
        return (
            len(found.id) >= 12
            and found.label("project") == self.project
            and found.label("oneoff").lower() != "true"
            and (service is None or found.label("service") == named(service))
        )


def named(service: Service) -> str:
    """What the compose file calls it."""
    return service.deployment or service.name


def numbers(found: Iterable[Container]) -> str:
    """`1, 2, 3`."""
    return ", ".join(str(each.number) for each in found) or "none"


def count_of(found: Iterable[Container]) -> int:
    """How many run."""
    return sum(each.running for each in found)


def stopped(found: Iterable[Container]) -> str:
    """The numbers of those that do not run."""
    return numbers(each for each in found if not each.running)


def identity(found: list[Container], planned: str = "", *, started: bool = False) -> str:
    """Who the containers are; with the identity of a plan, who the containers of that plan are now.

    One that is gone counts as it was, unless another one has its number: that it is gone, and that others came, is
    their state.
    """
    every = [each.holds(started=started) for each in found]
    was = [word.split("@") for word in planned.split(" ")]
    if not all(words[0].isdigit() and len(words) > 1 for words in was):
        return " ".join(every)
    there = {word.split("@")[1]: word for word in every}
    known = {words[1] for words in was}
    anew = {word.split("@")[0]: word for ident, word in there.items() if ident not in known}
    return " ".join(there.get(words[1]) or anew.get(words[0]) or "@".join(words) for words in was)


def moment(text: str) -> datetime | None:
    """The time that an engine wrote; None where it is none, or the year 1, which is never."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.year > 1 and found.tzinfo is not None else None


def later(was: str, now: str) -> bool:
    """Whether the second of two times that an engine wrote is later; never comes before all others."""
    before, after = moment(was), moment(now)
    return after is not None and (before is None or after > before)


def size(count: int) -> str:
    """A limit exactly, as compose takes it: `4g`, `512m`, `1500k`; 0 is `no limit`."""
    if count <= 0:
        return "no limit"
    for unit, each in (("g", 1024**3), ("m", 1024**2), ("k", 1024)):
        if count % each == 0:
            return f"{count // each}{unit}"
    return f"{count}b"


def about(count: float) -> str:
    """Memory as people read it: `1.2g`, `512m`."""
    return f"{count / 1024**3:.1f}g" if count >= 1024**3 else f"{round(count / 1024**2)}m"
