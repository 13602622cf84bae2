"""The kill loop over Synapse: the bot's side in each child, and the people, who act beside it without a pause."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx

from bot.app import Bot
from bot.config import load
from bot.platforms.console_people import NotPossibleError
from bot.platforms.matrix import Matrix
from bot.stage import channels_of
from incidents.ports import Clock
from tests.servers.matrix_people import MatrixPeople
from tests.servers.matrix_view import Post, Room
from tests.servers.synapse import Synapse

MOST = 5  # incidents
PEOPLE = ("alice", "bob", "carol")
LATER = 30.0  # seconds of the homeserver's time between a kill and the next start
SILENCE = "silence"  # the file that is there once people have said their last
PATIENCE = 60.0  # seconds until then
MEMBERS = (*PEOPLE, "dave", "grace")
APPROVERS = ("bob", "carol", "dave")
SERVICES = ("realtime", "chat-adapters", "api-gateway", "tool-service", "aiaas")
LAST_ASKED = "chatbot-api"


@dataclass(frozen=True, slots=True)
class Homeserver:
    """What a child has to know of it; `people` is name → user id."""

    url: str
    user: str
    token: str
    device: str
    people: Mapping[str, str]
    encrypted: bool

    @classmethod
    def of(cls, people: MatrixPeople, *, encrypted: bool) -> Homeserver:
        """The one that these people are on."""
        names = load(None, {}).people
        bot, users = people.bot, {name: people.user(name) for name in names}
        return cls(people.server.url, bot.user, bot.token, bot.device, users, encrypted)

    def kept(self, folder: Path) -> Path:
        """The file that `MatrixChat` reads."""
        file = folder / "homeserver.json"
        file.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return file


class MatrixChat:
    """Synapse, which is a process of its own and outlives every child; the keys are with the log."""

    # Slower than other chats while it lives, for what falls due is said at the pace of a homeserver.
    speed, away, longest, lives = 10.0, 50.0, 0.8, 3.0  # commands older than a minute are not run

    def __init__(self, file: Path, data: Path) -> None:
        self._server = Homeserver(**json.loads(file.read_text(encoding="utf-8")))
        self._silence = data / SILENCE
        self._store = data / "matrix" if self._server.encrypted else None
        self._offset = 0.0  # seconds that the homeserver's events are ahead of this machine
        settings = load(None, {})
        people = {n: replace(p, ids={"matrix": self._server.people[n]}) for n, p in settings.people.items()}
        self.settings = replace(settings, people=people)

    def open(self, clock: Clock) -> Matrix:
        """The adapter; its clock for ages is the homeserver's, which is not as fast as the bot's."""
        offset, server = self._offset, self._server
        return Matrix(
            homeserver=server.url,
            user=server.user,
            access_token=server.token,
            device_id=server.device,
            store=self._store,
            people={user: name for name, user in server.people.items()},
            zone=ZoneInfo(self.settings.zone),
            encrypted=server.encrypted,
            wall=lambda: time.time() + offset,
        )

    def telephones(self, platform: Matrix) -> MatrixChat:
        """Telephones ring here."""
        return self

    def page(self, person: str, method: str, text: str) -> None:
        """Nobody listens to them."""

    def ready(self, bot: Bot) -> None:
        """Nobody is told to type more slowly: what is not taken in would not be tested."""
        bot.inbox.unlimited = True

    async def live(self, platform: Matrix, seed: int) -> None:
        """People act beside the child."""
        await asyncio.Event().wait()

    def pass_away(self) -> None:
        """The homeserver's clock goes on, too; less, for a command that is a minute old is late."""
        self._offset += LATER
        told = httpx.post(f"{self._server.url}/_watchbell/clock", json={"offset": self._offset}, timeout=60)
        told.raise_for_status()

    def conclude(self) -> None:
        """The last one has to find everything there: nothing tells it that somebody is still typing."""
        until = time.monotonic() + PATIENCE
        while not self._silence.exists():
            if time.monotonic() > until:
                raise TimeoutError("people never stopped")
            time.sleep(0.02)


class Crowd:
    """People on a homeserver who act at random, whether the bot lives or not."""

    def __init__(self, server: Synapse, seed: int, *, encrypted: bool = False) -> None:
        server.run_clock()
        self.people = MatrixPeople(server, lambda: datetime.now(UTC), encrypted=encrypted)
        self.homeserver = Homeserver.of(self.people, encrypted=encrypted)
        self._dice = random.Random(seed)
        self._count = 0
        settings = load(None, {})
        self.people.joins((name, person.display) for name, person in settings.people.items())
        self.ops = ""
        for channel in channels_of(settings):
            made = self.people.creates(channel.removeprefix("#"), members=MEMBERS)
            self.ops = made if channel == "#ops" else self.ops

    @property
    def rooms(self) -> list[Room]:
        """The rooms of incidents that people come into, as they were read last: those have a topic."""
        found = self.people.beside.rooms.values()
        mine = [room for room in found if str(room.of("org.watchbell.room").get("key")).startswith("wb-open")]
        return [room for room in mine if room.of("m.room.topic")]

    async def act(self) -> None:
        """One thing, and a short pause."""
        self._count += 1
        await asyncio.to_thread(self.people.beside.refresh)
        rooms = self.rooms
        if len(rooms) < MOST and self._count % 30 == 1:  # one that comes late is not opened
            line = f'!incident open critical "case {self._count}" service=realtime'
            await self.people.says("grace", self.ops, line)
        elif rooms:
            await self._act_in(self._dice.choice(rooms))
        await asyncio.sleep(self._dice.uniform(0.0, 0.05))

    async def ask(self) -> None:
        """Each incident gets one more request, of which nobody will think before all has come to rest."""
        for number, room in enumerate(self.rooms, 1):
            await self.people.says("alice", room.id, f"!scale {LAST_ASKED} {4 + number}")

    async def _act_in(self, room: Room) -> None:
        name, choice = self._count, self._dice.random()
        if choice < 0.4:
            await self.people.says(self._anybody(), room.id, f"!note written remark {name}")
        elif choice < 0.55:
            await self.people.says(self._anybody(), room.id, f"chatting about {name}")
        elif choice < 0.6:
            await self._answer(room, f"an answer about {name}")
        elif choice < 0.62:
            await self.people.says(self._anybody(), room.id, f"!update progress {name}")
        elif choice < 0.64:
            await self.people.says("alice", room.id, f"!ack case {name}")
        elif choice < 0.73:
            await self.people.says(
                "alice", room.id, f"!scale {self._dice.choice(SERVICES)} {self._dice.randint(1, 20)}"
            )
        else:
            await self._vote(room)

    def _anybody(self) -> str:
        return self._dice.choice(PEOPLE)

    async def _answer(self, room: Room, text: str) -> None:
        roots = [post for post in room.posts.values() if post.thread is None]
        if roots:  # the room may have no more than its topic yet
            await self.people.says(self._anybody(), room.id, text, roots[-1].id)

    async def _vote(self, room: Room) -> None:
        cards = [post for post in room.posts.values() if post.mark.get("card") == "approval"]
        if not cards:
            return
        user, card = self._dice.choice(APPROVERS), cards[-1]
        if self._dice.random() < 0.3 and card.tap("Approve"):
            with suppress(NotPossibleError):  # the button has gone meanwhile
                await self.people.presses(user, card.id, "Approve")
        else:
            await self.people.reacts(user, card.id, "❌" if self._dice.random() < 0.1 else "✅")


def offered(post: Post) -> set[str]:
    """The reactions that should stand under a card which people can still vote on."""
    return {"✅", "❌"} if post.mark.get("card") == "approval" and post.tap("Approve") is not None else set()
