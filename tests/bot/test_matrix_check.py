"""`watchbell check` and `watchbell login` ask a real homeserver; each line says what to do where it is wrong."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import nio
import pytest
from aiohttp import web
from typer.testing import CliRunner

from bot.chat_check import Line
from bot.cli import app
from bot.config import Settings, load
from bot.platforms import matrix_check, matrix_check_people
from bot.platforms.matrix import build
from bot.platforms.matrix_login import log_in
from bot.serve import serving
from incidents.ports import RefusedError
from tests.servers.synapse import NAME, Account, Synapse, shared

HERE = Path(__file__).parent
BASE = (HERE / "config_base.yaml").read_text(encoding="utf-8")
GUIDE = (HERE.parents[1] / "docs" / "matrix.md").read_text(encoding="utf-8")
NO_REACTIONS = (
    "the bot's power level is 50 and m.reaction takes 100, so it puts no reactions under its cards there"
)
OPEN = "it is open to everybody, and the bot goes in when it starts"


class Home:
    """A homeserver with the bot, alice and bob, and a room of alice's with the bot in it."""

    def __init__(self, folder: Path, server: Synapse) -> None:
        self.folder, self.server, self.tag = folder, server, uuid4().hex[:8]
        self.bot = server.register(f"watchbell-{self.tag}", "Watchbell")
        self.alice, self.bob = (server.register(f"{n}-{self.tag}", n.title()) for n in ("alice", "bob"))
        self.ops = f"#ops-{self.tag}"
        self.room = ""

    def creates(self, **body: Any) -> str:
        """The room that is configured, made by alice, with the bot in it."""
        told = {"room_alias_name": self.ops[1:], "invite": [self.bot.user], **body}
        told = {name: value for name, value in told.items() if value is not None}
        self.room = str(self.call(self.alice, "POST", "/createRoom", told)["room_id"])
        return self.room

    def joins(self) -> None:
        self.call(self.bot, "POST", f"/join/{quote(self.room)}")

    def call(self, who: Account, method: str, path: str, body: Any = None) -> Any:
        return self.server.call(method, path, who, body)

    def state(self, kind: str, content: dict[str, Any]) -> None:
        self.call(self.alice, "PUT", f"/rooms/{quote(self.room)}/state/{kind}/", content)

    def levels(self, **changes: Any) -> None:
        old = self.call(self.alice, "GET", f"/rooms/{quote(self.room)}/state/m.room.power_levels/")
        self.state("m.room.power_levels", {**old, **changes})

    def written(self, section: str = "", *edits: tuple[str, str]) -> Path:
        """The small configuration of the tests, with this homeserver."""
        own = f'homeserver: "{self.server.url}", user: "{self.bot.user}", access_token_env: TOKEN'
        text = BASE.replace("#ops", self.ops)
        text = text.replace("{console: {}}", f"{{matrix: {{{own}{', ' if section else ''}{section}}}}}")
        for name, account in (("alice", self.alice), ("bob", self.bob)):
            text = text.replace(f"ids: {{console: {name}}}", f'ids: {{matrix: "{account.user}"}}')
        for before, after in edits:
            assert before in text
            text = text.replace(before, after)
        path = self.folder / "watchbell.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    @property
    def tokens(self) -> dict[str, str]:
        return {"AM_TOKEN": "a token of the test", "TOKEN": self.bot.token}

    def settings(self, section: str = "", *edits: tuple[str, str], **environ: str) -> Settings:
        return load(self.written(section, *edits), {**self.tokens, **environ})

    async def lines(self, found: Settings) -> list[Line]:
        return [line async for line in matrix_check.check(found, self.folder / "data")]

    async def faults(self, section: str = "", *edits: tuple[str, str], **environ: str) -> list[str]:
        """What is wrong."""
        found = await self.lines(self.settings(section, *edits, **environ))
        return [line.text for line in found if not line.right]

    async def line(self, about: str, section: str = "", *edits: tuple[str, str]) -> Line:
        """The one line about something."""
        found = await self.lines(self.settings(section, *edits))
        (only,) = [line for line in found if line.text.startswith(about)]
        return only


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """All that the configuration names, as it should be."""
    server = shared()
    server.run_clock()
    found = Home(tmp_path, server)
    found.creates()
    found.joins()
    found.levels(users={found.bot.user: 50})
    return found


# -- where all is well ----------------------------------------------------------------------------


async def test_a_line_for_each_thing(home: Home) -> None:
    """Homeserver, token, keys, room, people; and who has no account."""
    found = [str(line) for line in await home.lines(home.settings())]
    assert re.fullmatch(rf"ok    homeserver: {home.server.url} speaks v1\.\d+ of Matrix", found.pop(0))
    assert found == [
        f"ok    access token: the bot is {home.bot.user} (Watchbell), device {home.bot.device}",
        f"ok    keys: there are none yet; they are made in {home.folder / 'data' / 'matrix'} at the first start",
        f"ok    room {home.ops}: the bot is in it",
        f"ok    person alice ({home.alice.user}): Alice",
        f"ok    person bob ({home.bob.user}): Bob",
        "ok    people without a Matrix account, who cannot be reached there: carol, grace",
    ]


async def test_nothing_is_changed(home: Home) -> None:
    """No folder is made, no room is joined, no key is published."""
    home.creates(room_alias_name=None, name="extra", preset="public_chat", invite=[])
    await home.lines(home.settings("space: Incidents"))
    assert not (home.folder / "data").exists()
    told = await home.server.act("POST", "/keys/query", home.alice, {"device_keys": {home.bot.user: []}})
    assert told["device_keys"] == {home.bot.user: {}}
    assert len((await home.server.act("GET", "/joined_rooms", home.bot))["joined_rooms"]) == 1


# -- homeserver and token -------------------------------------------------------------------------


async def test_a_homeserver_that_does_not_answer(home: Home) -> None:
    """Said once; nothing hangs, nothing is raised."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
    (only,) = await home.lines(home.settings("", (home.server.url, nobody)))
    assert not only.right
    assert only.text.startswith("homeserver: Matrix did not answer")
    assert f"is {nobody} its address" in only.text


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (404, "nothing here", "homeserver: Matrix failed at GET"),
        (404, "{}", "homeserver: what answers at"),
        (200, '{"versions": ["r0.6.1", "v1.5"]}', "speaks v1.5 of Matrix, and v1.11 is needed; update it"),
        (200, '{"versions": ["r0.6.1"]}', "speaks v0.0 of Matrix, and v1.11 is needed; update it"),
    ],
)
async def test_what_is_no_homeserver_of_today(home: Home, status: int, body: str, expected: str) -> None:
    """Another web page, or a server of years ago."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, text=body)

    other = web.Application()
    other.router.add_get("/{path:.*}", answer)
    async with serving(other, "127.0.0.1", 0) as address:
        (only,) = await home.lines(home.settings("", (home.server.url, address)))
    assert not only.right
    assert expected in only.text


async def test_a_token_that_the_homeserver_does_not_know(home: Home) -> None:
    """Nothing else can be asked with it."""
    found = await home.lines(home.settings(TOKEN="syt_bm9ib2R5_another_012345"))
    assert [line.right for line in found] == [True, False]
    assert found[1].text == (
        "access token: the homeserver does not know it; get a new one by `watchbell login matrix` (M_UNKNOWN_TOKEN)"
    )


async def test_a_token_of_somebody_else_or_of_another_device(home: Home) -> None:
    """Each with what to correct."""
    (only,) = await home.faults(TOKEN=home.alice.token)
    assert only == (
        f"access token: the access token is of {home.alice.user}, not of {home.bot.user}: "
        "correct `user` or the token"
    )
    (only,) = await home.faults("device_id: ANOTHER")
    assert only == (
        f"access token: the access token is of the device {home.bot.device}, not of ANOTHER: "
        "correct `device_id` or the token"
    )


# -- keys -----------------------------------------------------------------------------------------


async def listened(home: Home, folder: Path) -> None:
    """The bot, started once and stopped, with its keys there."""
    found = home.settings()
    made = build(found.platforms["matrix"], found, folder)

    async def receive(_act: object) -> None:
        raise AssertionError("nobody said anything")

    await made.start(receive)
    await made.stop()


async def test_keys_of_this_device(home: Home) -> None:
    """Made at the first start; while another process has them they are looked at all the same."""
    await listened(home, home.folder / "data")
    about = await home.line("keys:")
    assert about.right
    assert about.text.endswith(f"has those of the device {home.bot.device}")


async def test_keys_that_are_elsewhere(home: Home) -> None:
    """Another data directory: the bot could read nothing that was encrypted for it."""
    await listened(home, home.folder / "elsewhere")
    about = await home.line("keys:")
    assert not about.right
    assert about.text.startswith(
        f"keys: the device {home.bot.device} has published some, and they are not in"
    )


async def test_keys_of_before(home: Home) -> None:
    """Made anew for the same device, or overwritten by a backup."""
    await listened(home, home.folder / "data")
    (file,) = (home.folder / "data" / "matrix").glob("*.db")
    file.unlink()
    old = nio.store.DefaultStore(home.bot.user, home.bot.device, str(file.parent), "DEFAULT_KEY")
    old.save_account(nio.crypto.OlmAccount())
    old.database.close()
    about = await home.line("keys:")
    assert not about.right
    assert "has other keys than the homeserver has of the device" in about.text


@pytest.mark.parametrize("content", [b"", b"not a database at all", b"SQLite format 3\0" + b"\7" * 5000])
async def test_keys_that_cannot_be_read(home: Home, content: bytes) -> None:
    """A disk that was full, or worse; the file stays as it was."""
    await listened(home, home.folder / "data")
    (file,) = (home.folder / "data" / "matrix").glob("*.db")
    file.write_bytes(content)
    about = await home.line("keys:")
    assert not about.right
    assert "cannot be read" in about.text
    assert "log in as a new device by `watchbell login matrix`" in about.text
    assert file.read_bytes() == content


async def test_without_encryption_keys_are_not_asked_for(home: Home) -> None:
    assert "keys" not in " ".join(str(line) for line in await home.lines(home.settings("encryption: false")))


# -- rooms ----------------------------------------------------------------------------------------


async def test_a_room_that_is_not_there(home: Home) -> None:
    """With the address that it should have."""
    home.ops = f"#nowhere-{home.tag}"
    (only,) = await home.faults()
    assert only == (
        f"room {home.ops}: there is none that the bot can see; create it, give it the address "
        f"{home.ops}:{NAME}, and invite {home.bot.user}"
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"preset": "private_chat"}, "the bot is invited, and goes in when it starts"),
        ({"preset": "public_chat", "invite": []}, OPEN),
        ({"preset": "private_chat", "invite": []}, "the bot is not in it; invite"),
    ],
)
async def test_a_room_without_the_bot(home: Home, body: dict[str, Any], expected: str) -> None:
    """What happens at the start is said; only what does not is wrong."""
    home.ops = f"#other-{home.tag}"
    home.creates(**body)
    about = await home.line(f"room {home.ops}")
    assert about.text.startswith(f"room {home.ops}: {expected}")
    assert about.right == ("not in it" not in expected)


async def test_a_room_that_is_known_by_its_name(home: Home) -> None:
    """Private rooms have no address at times."""
    home.ops = f"#named-{home.tag}"
    home.creates(room_alias_name=None, name=home.ops[1:], preset="private_chat")
    home.joins()
    assert (await home.line(f"room {home.ops}")).right


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        (
            {"events_default": 60},
            "the bot's power level is 50 and m.room.message takes 60, so it says nothing there; raise",
        ),
        (
            {"events": {"m.room.message": 51}},
            "the bot's power level is 50 and m.room.message takes 51, so it says nothing there; raise",
        ),
        (
            {"events": {"m.reaction": 100}},
            f"{NO_REACTIONS}; raise",
        ),
    ],
)
async def test_a_power_level_that_is_too_low_is_named_with_what_it_is_for(
    home: Home, levels: dict[str, Any], expected: str
) -> None:
    """And who has to be raised."""
    home.levels(**levels)
    assert await home.faults() == [f"room {home.ops}: {expected} {home.bot.user} in the room's settings"]


async def test_what_a_low_level_keeps_from_working_is_said(home: Home) -> None:
    """It is right all the same: nobody has to let a bot delete what people write."""
    home.levels(users={})
    assert (await home.line(f"room {home.ops}")).text == (
        f"room {home.ops}: the bot is in it; to take away what others wrote (`!scrub`) it would need level 50"
    )


@pytest.mark.parametrize("version", ["11", "12"])
async def test_the_levels_of_whoever_made_the_room(home: Home, version: str) -> None:
    """The bot's own room: from version 12 on its maker stands in no list of levels."""
    home.ops = f"#own-{home.tag}"
    body = {"room_alias_name": home.ops[1:], "room_version": version}
    body |= {"power_level_content_override": {"events_default": 100}}
    home.call(home.bot, "POST", "/createRoom", body)
    assert (await home.line(f"room {home.ops}")).text == f"room {home.ops}: the bot is in it"


async def test_an_encrypted_room(home: Home) -> None:
    """Read with the keys, and only with them; what is encrypted needs a power level of its own."""
    home.state("m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    assert (await home.line(f"room {home.ops}")).text == f"room {home.ops}: the bot is in it, encrypted"
    (only,) = await home.faults("encryption: false")
    assert only == (
        f"room {home.ops}: it is encrypted, and the bot cannot read it without its keys; "
        "leave `encryption: false` out"
    )
    home.levels(events={"m.room.encrypted": 60})
    (only,) = await home.faults()
    assert "m.room.encrypted takes 60, so it says nothing there" in only


# -- people and their devices ---------------------------------------------------------------------


async def test_an_account_that_nobody_has(home: Home) -> None:
    """A slip of the pen, or another homeserver's."""
    nobody = f"@nobody-{home.tag}:{NAME}"
    assert await home.faults("", (home.alice.user, nobody)) == [
        f"person alice ({nobody}): there is no such account on {NAME}",
    ]


async def test_nobody_with_an_account(home: Home) -> None:
    """A bot that nobody can talk to."""
    edits = [(f'ids: {{matrix: "{a.user}"}}', "ids: {console: x}") for a in (home.alice,)]
    edits += [(f'ids: {{matrix: "{home.bob.user}"}}', "ids: {console: y}")]
    assert await home.faults("", *edits) == [
        'people: nobody has a Matrix account here; write `ids: {matrix: "@alice:example.com"}` for each of them'
    ]


async def encrypting(home: Home, who: Account) -> str:
    """A client that has published its keys; its fingerprint."""
    folder = home.folder / who.device
    folder.mkdir()
    client = nio.AsyncClient(home.server.url, who.user, who.device, store_path=str(folder))
    client.restore_login(who.user, who.device, who.token)
    await client.keys_upload()
    await client.close()
    return str(client.olm.account.identity_keys["ed25519"])


async def test_devices_that_are_listed(home: Home) -> None:
    """By ID or fingerprint; one that is not there would be waited for in the night."""
    fingerprint = await encrypting(home, home.alice)
    listed = f"trust: listed, devices: {{alice: [{home.alice.device}, {fingerprint}, LOST], bob: [PHONE]}}"
    found = [line for line in await home.lines(home.settings(listed)) if line.text.startswith("device")]
    assert [str(line) for line in found] == [
        f"ok    device {home.alice.device} of alice: it is there",
        f"ok    device {fingerprint} of alice: it is there",
        f"wrong device LOST of alice: there is none that encrypts; there are: {home.alice.device}",
        "wrong device PHONE of bob: there is none that encrypts; there are: none at all",
    ]


async def test_people_who_sign_no_devices(home: Home) -> None:
    """With `cross_signed` none of their devices counts."""
    faults = await home.faults("trust: cross_signed")
    assert [fault.partition(";")[0] for fault in faults] == [
        "devices of alice: there is no cross-signing key, so none of them counts",
        "devices of bob: there is no cross-signing key, so none of them counts",
    ]


# -- the space ------------------------------------------------------------------------------------


async def test_a_space_by_name_address_and_id(home: Home) -> None:
    """By name it is made; otherwise it has to be there, to be a space, and to let the bot put rooms into it."""
    name = f"Incidents {home.tag}"
    assert (await home.line("space", f"space: {name}")).text == (
        f"space {name}: there is none yet; the bot makes it when it starts"
    )
    alias = f"#incidents-{home.tag}:{NAME}"
    about = await home.line("space", f'space: "{alias}"')
    assert about.text == (
        f"space {alias}: there is none that the bot is in; create it, and invite {home.bot.user}"
    )
    body = {"room_alias_name": alias[1:].partition(":")[0], "creation_content": {"type": "m.space"}}
    room = home.creates(**body)
    home.joins()
    for named in (name, f'"{alias}"', f'"{room}"'):
        about = await home.line("space", f"space: {named}")
        assert "the bot's power level is 0 and putting rooms into it takes 50" in about.text
    home.levels(users={home.bot.user: 50})
    for named in (name, f'"{alias}"', f'"{room}"'):
        about = await home.line("space", f"space: {named}")
        assert str(about) == f"ok    space {named.strip(chr(34))}: the bot can put rooms into it"


async def test_a_room_is_no_space(home: Home) -> None:
    about = await home.line("space", f'space: "{home.ops}:{NAME}"')
    assert not about.right
    assert about.text.endswith("this is a room and no space; take the address of a space")


# -- the command line -----------------------------------------------------------------------------


def run(home: Home, *options: str, edits: tuple[tuple[str, str], ...] = (), **environ: str) -> Any:
    """`watchbell check` with this token and no other."""
    path = home.written("", *edits)
    environ = environ or home.tokens
    unset = {name: None for name in home.tokens if name not in environ}
    words = ["check", "--config", str(path), "--data", str(home.folder / "data"), *options]
    return CliRunner().invoke(app, words, env={**unset, **environ})


def test_exit_status_0_where_all_is_well(home: Home) -> None:
    """The file's own line first."""
    done = run(home)
    assert done.exit_code == 0, done.output
    first, second, *_ = done.stdout.splitlines()
    assert first.endswith("is in order: 4 people, 2 services, 1 policy (ish).")
    assert second.startswith(f"matrix ok    homeserver: {home.server.url} speaks v1.")
    assert done.stderr == ""


def test_exit_status_1_where_something_is_wrong(home: Home) -> None:
    """What is wrong goes to standard error, with how much there is."""
    done = run(home, edits=((home.bob.user, f"@nobody:{NAME}"),))
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        f"matrix wrong person bob (@nobody:{NAME}): there is no such account on {NAME}",
        "Matrix is not in order: 1 of these is to be mended; docs/matrix.md helps.",
    ]


def test_offline_asks_nobody(home: Home) -> None:
    """For a build that has no way out."""
    done = run(home, "--offline", edits=((home.bob.user, f"@nobody:{NAME}"),))
    assert (done.exit_code, done.stderr) == (0, "")
    assert "matrix ok" not in done.stdout


def test_without_the_token_the_variable_is_named(home: Home) -> None:
    """Exit status 2, as for every fault of the file."""
    done = run(home, AM_TOKEN="x")
    assert done.exit_code == 2
    assert "platforms.matrix.access_token_env: the environment variable TOKEN is not set" in done.stderr


# -- logging in -----------------------------------------------------------------------------------


def login(home: Home, password: str, *options: str) -> Any:
    words = ["login", "matrix", "--homeserver", home.server.url, "--user", home.bot.user, *options]
    return CliRunner().invoke(app, words, input=f"{password}\n")


def test_a_login_prints_what_the_environment_and_the_file_need(home: Home) -> None:
    """A device of its own, whose token works; the password is the account's."""
    name = home.bot.user[1:].partition(":")[0]
    done = login(home, name)
    assert done.exit_code == 0, done.output
    token = re.search(r"^export WATCHBELL_MATRIX_ACCESS_TOKEN=(\S+)$", done.stdout, re.MULTILINE)
    device = re.search(r"^#     device_id: (\S+)$", done.stdout, re.MULTILINE)
    assert token is not None
    assert device is not None
    who = home.call(Account(home.bot.user, token[1], device[1]), "GET", "/account/whoami")
    assert (who["user_id"], who["device_id"]) == (home.bot.user, device[1])
    assert device[1] != home.bot.device
    assert f'#     user: "{home.bot.user}"' in done.stdout
    assert name not in done.stderr


def test_a_login_that_is_refused(home: Home) -> None:
    """One sentence, which does not repeat the password."""
    done = login(home, "not-the-password")
    assert isinstance(done.exception, RefusedError)
    assert str(done.exception) == (
        "No log-in: the homeserver does not know this account, or the password is another one (M_FORBIDDEN)."
    )
    assert "not-the-password" not in done.output


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (
            "http://matrix.example.com",
            "should begin with https://; http:// is for a homeserver on this machine only",
        ),
        ("http://127.0.0.1:9", "Nothing answers at http://127.0.0.1:9/_matrix/client/v3/login"),
        ("two words", "should be the address of the homeserver"),
    ],
)
async def test_a_homeserver_to_which_no_password_is_sent(server: str, expected: str) -> None:
    """Not unencrypted, and not to what is no address."""
    with pytest.raises(RefusedError, match=re.escape(expected)):
        await log_in(server, "watchbell", "secret")


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"flows": [{"type": "m.login.sso"}]}, "gives no token for a password (it offers m.login.sso)"),
        ({"flows": []}, "gives no token for a password (it offers nothing)"),
        ([], "is no Matrix homeserver"),
    ],
)
async def test_a_homeserver_without_passwords(answers: object, expected: str) -> None:
    """Its administrator issues tokens; the password is not sent there."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.method)
        return web.json_response(answers)

    other = web.Application()
    other.router.add_route("*", "/_matrix/client/v3/login", answer)
    async with serving(other, "127.0.0.1", 0) as address:
        with pytest.raises(RefusedError, match=re.escape(expected)):
            await log_in(address, "watchbell", "secret")
    assert asked == ["GET"]


# -- the guide ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        "does not know it; get a new one by `watchbell login matrix`",
        "it belongs to no device",
        "of Matrix, and v",
        "has published some, and they are not in",
        "has other keys than the homeserver has of the device",
        "cannot be read",
        "there is none that the bot can see",
        "the bot is not in it",
        "it is encrypted, and the bot cannot read it without its keys",
        "the bot's power level is",
        "nobody has a Matrix account here",
        "there is no such account on",
        "there is no cross-signing key, so none of them counts",
        "there is none that encrypts",
        "there is none that the bot is in",
        "this is a room and no space",
    ],
)
def test_the_guide_explains_what_is_said(said: str) -> None:
    """By the words that people search for."""
    sources = (Path(str(module.__file__)) for module in (matrix_check, matrix_check_people))
    assert any(said in source.read_text(encoding="utf-8") for source in sources)
    assert said in GUIDE.partition("## When something is wrong")[2]
