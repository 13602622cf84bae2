"""Matrix's section of the configuration: what it becomes, and what is wrong with it, one sentence a fault."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bot.config import ConfigError, Settings, load
from bot.platforms.matrix import build, options
from bot.platforms.matrix_directory import A_STRANGER

BASE = (Path(__file__).parent / "config_base.yaml").read_text(encoding="utf-8")
TOKENS = {"AM_TOKEN": "a token of the test", "TOKEN": "syt_d2F0Y2g_abcdefgh_012345"}
SERVER = "homeserver: https://matrix.example.com, access_token_env: TOKEN"
WHOLE = f'{SERVER}, user: "@watchbell:example.com"'
ALICE = ("ids: {console: alice}", 'ids: {matrix: "@alice:example.com"}')
BOB = ("ids: {console: bob}", 'ids: {matrix: "@bob:example.com"}')
FINGERPRINT = "X1c3mHdnQEUy8nX7wd3bpxwMm0a3Y7GvYhVhPp5dLbE"
LINE = "45: platforms.matrix"
IN_THE_FILE = "is a secret, which has no place in this file; put it into an environment variable and write"


def written(folder: Path, section: str, *edits: tuple[str, str]) -> Path:
    """The small configuration of the tests with this section in its line 45."""
    text = BASE.replace("platforms: {console: {}}", f"platforms: {{matrix: {section}}}")
    for before, after in (ALICE, BOB, *edits):
        assert text.count(before) == 1
        text = text.replace(before, after)
    path = folder / "watchbell.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def settings(folder: Path, section: str, *edits: tuple[str, str]) -> Settings:
    return load(written(folder, section, *edits), TOKENS)


def faults(
    folder: Path, section: str, *edits: tuple[str, str], environ: Mapping[str, str] = TOKENS, **options: Any
) -> list[str]:
    """What is wrong, one line each, without the name of the file."""
    path = written(folder, section, *edits)
    with pytest.raises(ConfigError) as raised:
        load(path, environ, **options)
    return [line.removeprefix(f"{path}:") for line in str(raised.value).split("\n")]


def test_what_a_section_becomes(tmp_path: Path) -> None:
    """The token stands beside the name of its variable; the rest has its defaults."""
    found = settings(tmp_path, f"{{{WHOLE}}}").platforms
    assert set(found) == {"matrix"}
    matrix = dict(found["matrix"])
    assert matrix.pop("access_token").get_secret_value() == TOKENS["TOKEN"]
    assert matrix == {
        "homeserver": "https://matrix.example.com",
        "user": "@watchbell:example.com",
        "access_token_env": "TOKEN",
        "device_id": None,
        "servers": [],
        "encryption": True,
        "encrypted": False,
        "trust": "first_use",
        "devices": {},
        "danger_by_reaction": False,
        "space": None,
    }


async def test_a_section_with_everything_in_it_reaches_the_adapter(tmp_path: Path) -> None:
    """Each setting by its name; people's devices under their user ids."""
    grouped = " ".join(FINGERPRINT[place : place + 4] for place in range(0, len(FINGERPRINT), 4))
    more = (
        "device_id: WATCH, servers: [partner.example.org], encrypted: true, trust: listed, "
        f'devices: {{alice: [PHONE, "{grouped}"]}}, danger_by_reaction: true, space: "#incidents:example.com"'
    )
    found = settings(tmp_path, f"{{{WHOLE}, {more}}}")
    given = options(found.platforms["matrix"], found, tmp_path)
    assert given.pop("zone").key == "Europe/Berlin"
    assert given == {
        "homeserver": "https://matrix.example.com",
        "user": "@watchbell:example.com",
        "access_token": TOKENS["TOKEN"],
        "device_id": "WATCH",
        "servers": ["partner.example.org"],
        "store": tmp_path / "matrix",
        "encrypted": True,
        "people": {"@alice:example.com": "alice", "@bob:example.com": "bob"},
        "trust": "listed",
        "devices": {"@alice:example.com": ["PHONE", FINGERPRINT]},
        "danger_by_reaction": True,
        "space": "#incidents:example.com",
    }
    made = build(found.platforms["matrix"], found, tmp_path)
    await made.api.close()
    assert made.crypto.enabled
    assert [made.directory.barred(f"@eve:{server}") for server in ("partner.example.org", "a.example")] == [
        "",
        A_STRANGER,
    ]


async def test_encryption_can_be_left_out(tmp_path: Path) -> None:
    """Then no folder for keys is made."""
    found = settings(tmp_path, f"{{{WHOLE}, encryption: false}}")
    made = build(found.platforms["matrix"], found, tmp_path / "data")
    await made.api.close()
    assert not made.crypto.enabled
    assert not (tmp_path / "data").exists()


def test_the_token_is_redacted_and_not_shown(tmp_path: Path) -> None:
    """In log and chat, and where somebody prints the settings."""
    found = settings(tmp_path, f"{{{WHOLE}}}")
    assert TOKENS["TOKEN"] in found.redaction.values
    assert TOKENS["TOKEN"] not in repr(found)


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:8008", "http://localhost:8008/", "http://[::1]:8008", "https://example.com/matrix/"],
)
def test_addresses_of_homeservers(tmp_path: Path, address: str) -> None:
    """Without https on this machine only; a slash at the end is left out."""
    found = settings(
        tmp_path, f'{{homeserver: "{address}", access_token_env: TOKEN, user: "@w:example.com"}}'
    )
    assert found.platforms["matrix"]["homeserver"] == address.rstrip("/")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (
            "http://matrix.example.com",
            "should begin with https://; http:// is for a homeserver on this machine only",
        ),
        (
            "http://10.0.0.1:8008",
            "should begin with https://; http:// is for a homeserver on this machine only",
        ),
        ("ftp://matrix.example.com", "should begin with https://"),
        ("matrix.example.com", "should be the address of the homeserver, such as https://matrix.example.com"),
        ("https://", "should be the address of the homeserver, such as https://matrix.example.com"),
        (
            "https://a.example/?x=1",
            "should be the address of the homeserver, such as https://matrix.example.com",
        ),
        (
            "https://a.example:0",
            "should be the address of the homeserver, such as https://matrix.example.com",
        ),
    ],
)
def test_what_is_no_address_of_a_homeserver(tmp_path: Path, address: str, expected: str) -> None:
    """A token that goes there unencrypted would be anybody's."""
    section = f'{{homeserver: "{address}", access_token_env: TOKEN, user: "@watchbell:example.com"}}'
    assert faults(tmp_path, section) == [f"{LINE}.homeserver: {expected}"]


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (f"{{{SERVER}}}", ".user: is missing"),
        ("[]", ": should be a mapping (name: value)"),
        (f"{{{SERVER}, user: watchbell}}", ".user: should be a whole user ID such as @alice:example.com"),
        (f'{{{SERVER}, user: "@watchbell"}}', ".user: should be a whole user ID such as @alice:example.com"),
        (f"{{{WHOLE}, encripted: true}}", ".encripted: there is no such setting; did you mean encrypted?"),
        (
            f"{{{WHOLE}, servers: [https://partner.example.org]}}",
            ".servers[0]: should be what stands behind the colon of a user ID, such as partner.example.com",
        ),
        (
            f"{{{WHOLE}, encrypted: true, encryption: false}}",
            ": new rooms cannot be `encrypted` without `encryption`; leave `encryption: false` out",
        ),
        (
            f"{{{WHOLE}, trust: everybody}}",
            '.trust: "everybody" is not one of first_use, cross_signed, listed',
        ),
        (
            f"{{{WHOLE}, trust: listed}}",
            ": with `trust: listed` no device is trusted as long as `devices` names none",
        ),
        (
            f"{{{WHOLE}, trust: listed, devices: {{alice: []}}}}",
            ": with `trust: listed` no device is trusted as long as `devices` names none",
        ),
        (
            f"{{{WHOLE}, devices: {{alice: [PHONE]}}}}",
            ": `devices` counts with `trust: listed` only, and `trust` is first_use",
        ),
        (
            f"{{{WHOLE}, trust: listed, devices: {{eve: [PHONE]}}}}",
            '.devices.eve: nobody under `people` is called "eve"',
        ),
        (
            f"{{{WHOLE}, trust: listed, devices: {{carol: [PHONE]}}}}",
            ".devices.carol: carol has no account there; write `ids: {matrix: …}` under `people`",
        ),
        (
            f'{{{WHOLE}, trust: listed, devices: {{alice: ["a b?"]}}}}',
            ".devices.alice[0]: should be a device's ID such as JLAFKJWSCS, or its session key, as the client shows it",
        ),
        (
            f"{{{WHOLE}, trust: listed, devices: {{alice: [syt_YWxpY2U_abcdefgh_012345]}}}}",
            ".devices.alice[0]: looks like a secret; take it out of the file, and renew it",
        ),
        (
            f'{{{WHOLE}, space: "#incidents"}}',
            '.space: should be an alias such as "#incidents:example.com", a room ID that begins with !, or a name',
        ),
        (
            f'{{{WHOLE}, space: ""}}',
            ".space: should be a name, an alias or a room ID of at most 100 characters",
        ),
        (f"{{{WHOLE}, danger_by_reaction: 1}}", ".danger_by_reaction: should be true or false"),
        (
            '{homeserver: https://matrix.example.com, access_token: abc, user: "@w:example.com"}',
            f".access_token: {IN_THE_FILE} `access_token_env: NAME_OF_THE_VARIABLE`",
        ),
        (
            '{homeserver: "https://w:secret@matrix.example.com", access_token_env: TOKEN, user: "@w:example.com"}',
            ".homeserver: looks like a secret; take it out of the file, and renew it",
        ),
    ],
)
def test_a_fault_is_one_sentence_with_its_line(tmp_path: Path, section: str, expected: str) -> None:
    """The setting, what is wrong, what to write."""
    (only,) = faults(tmp_path, section)
    assert only.startswith(f"{LINE}{expected}")


def test_a_section_without_anything_names_what_is_missing(tmp_path: Path) -> None:
    assert faults(tmp_path, "") == [
        f"{LINE}.access_token_env: is missing",
        f"{LINE}.homeserver: is missing",
        f"{LINE}.user: is missing",
    ]


def test_a_variable_that_is_not_set_is_said(tmp_path: Path) -> None:
    """By its name."""
    assert faults(tmp_path, f"{{{WHOLE}}}", environ={"AM_TOKEN": "a token"}) == [
        f"{LINE}.access_token_env: the environment variable TOKEN is not set"
    ]


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        ("alice", "should be a whole user ID such as @alice:example.com"),
        ("@alice", "should be a whole user ID such as @alice:example.com"),
        ("@watchbell:example.com", "this is the bot's own account"),
        (
            "@alice:partner.example",
            "partner.example is another homeserver; list it under platforms.matrix.servers",
        ),
        ("@bob:example.com", "alice has this matrix account already; an account is one person's"),
    ],
)
def test_accounts_of_people(tmp_path: Path, account: str, expected: str) -> None:
    """SAFETY 23: whole user ids, of homeservers that are listed."""
    edit = ("@alice:example.com", account)
    (only,) = faults(tmp_path, f"{{{WHOLE}}}", edit)
    assert only.partition(": ")[2].endswith(f".ids.matrix: {expected}")


def test_people_of_a_listed_homeserver(tmp_path: Path) -> None:
    """Also with a port in its name."""
    edit = ("@alice:example.com", "@alice:partner.example:8448")
    found = settings(tmp_path, f'{{{WHOLE}, servers: ["partner.example:8448"]}}', edit)
    assert found.person_of("matrix", "@alice:partner.example:8448") is found.people["alice"]
