"""Wrong configurations: every fault is named with its line and key, all at once; nothing else is raised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.config import ConfigError, load
from bot.config_yaml import MOST_BYTES
from bot.resources import resource
from tests import examples

EXAMPLE = resource("watchbell.example.yaml").read_text(encoding="utf-8")
TOKENS = {"AM_TOKEN": "a token of the test"}

HERE = Path(__file__).parent
BASE = (HERE / "config_base.yaml").read_text(encoding="utf-8")


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "watchbell.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def faults(folder: Path, text: str | bytes, environ: Mapping[str, str] = TOKENS, **options: Any) -> list[str]:
    """What is wrong, one line each, without the name of the file."""
    path = written(folder, text)
    try:
        load(path, environ, **options)
    except ConfigError as error:
        return [line.removeprefix(f"{path}:").removeprefix(" ") for line in str(error).split("\n")]
    return []


def cases() -> Iterator[Any]:
    """Those of config_wrong.txt: what is replaced by what, and the faults that come of it."""
    blocks = (HERE / "config_wrong.txt").read_text(encoding="utf-8").split("\n\n")[1:]
    for block in blocks:
        name, *lines = block.strip("\n").split("\n")
        before, after, expected = ([line[2:] for line in lines if line[0] == mark] for mark in "<>!")
        yield pytest.param("\n".join(before), "\n".join(after), expected, id=name.removeprefix("# "))


def test_the_configuration_that_the_cases_start_from_has_no_fault(tmp_path: Path) -> None:
    """Otherwise they would prove nothing."""
    assert faults(tmp_path, BASE) == []


@pytest.mark.parametrize(("before", "after", "expected"), list(cases()))
def test_a_fault_is_named_with_its_line_and_its_key(
    tmp_path: Path, before: str, after: str, expected: list[str]
) -> None:
    """One line per fault: the line in the file, the way to the setting, what is wrong, what was meant."""
    assert BASE.count(before) == 1
    assert faults(tmp_path, BASE.replace(before, after)) == expected


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    """Those of shape, of values, of names, of secrets and of the environment, in the order of the file."""
    text = BASE
    for before, after in (
        ("zone: Europe/Berlin", "zone: Europe/Berln"),
        ("    display: Bob\n", "    dispaly: Bob\n"),
        ("members: [alice, bob]", "members: [alice, bbo]"),
        ("to: team_lead\n", "to: team-lead\n"),
        ("platforms: {console: {}}", "platforms: {console: {}, slack: {app_token: xapp-1-A0123456789}}"),
        ("{min: 0, max: 20}", "{min: 20, max: 2}"),
        ("  expires: 15m", "  expires: soon"),
    ):
        text = text.replace(before, after)
    found = faults(tmp_path, text, {})
    assert [line.split(": ")[0] for line in found] == ["1", "5", "14", "37", "45", "45", "53", "57", "60"]
    assert (
        found[-1] == "60: alerts.sources.alertmanager.token_env: the environment variable AM_TOKEN is not set"
    )


def test_the_name_of_the_file_is_the_one_that_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that an editor or a terminal opens the place."""
    written(tmp_path, BASE.replace("to: team_lead\n", "to: team-lead\n"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as raised:
        load(Path("watchbell.yaml"), TOKENS)
    assert str(raised.value) == (
        "watchbell.yaml:37: policies.ish.severities.critical.steps[1].to: "
        'there is no rung "team-lead"; did you mean team_lead?'
    )


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("  port: 80\x0780", "62: there is a control character (U+0007) here"),
        ("  port: 8080  # \u2028web: {}", "62: there is a control character (U+2028) here"),
        (
            "\tport: 8080",
            "this is not YAML: found character that cannot start any token; indent with spaces, not tabs",
        ),
    ],
    ids=["bell", "line separator", "tab"],
)
def test_a_character_that_nobody_sees(tmp_path: Path, after: str, expected: str) -> None:
    """The line is named, the tab too."""
    found = faults(tmp_path, BASE.replace("  port: 8080", after))
    assert found == [expected if expected.startswith("62") else f"62: {expected}"]


# -- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", "1: the file is empty"),
        (b"# nothing\n", "1: the file is empty"),
        (b"- zone\n", "1: should be a mapping of settings (name: value)"),
        (b"zone: UTC\nteam: \xff\xfe\n", "2: this is no text in UTF-8"),
        (b"x" * (MOST_BYTES + 1), f"the file is larger than {MOST_BYTES:,} bytes"),
    ],
    ids=["empty", "comments only", "a list", "not UTF-8", "too large"],
)
def test_a_file_of_another_kind(tmp_path: Path, text: bytes, expected: str) -> None:
    """A sentence, and nothing of the file in it."""
    assert faults(tmp_path, text) == [expected]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The same for a folder, and for a file that may not be read."""
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(tmp_path / "none.yaml", {})
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path, {})


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    """Editors write them."""
    text = "\ufeff" + BASE.replace("\n", "\r\n")
    assert faults(tmp_path, text) == []
    assert faults(tmp_path, text.replace("fallback: carol", "fallback: carl")) == [
        '21: fallback: there is no person "carl"; did you mean carol?'
    ]


@pytest.mark.parametrize(
    "bomb",
    [
        "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n",
        "a: &a [*a]\n",
        "[" * 200_000,
        "a: " + "{a: " * 100_000,
        "? " * 100_000,
        "- " * 400_000,
        "&a " * 1000 + "x",
    ],
    ids=["aliases", "recursion", "lists", "mappings", "keys", "entries", "anchors"],
)
def test_a_bomb_is_a_fault(tmp_path: Path, bomb: str) -> None:
    """Aliases are not read and depth is bounded, so nothing grows and nothing takes long."""
    assert faults(tmp_path, bomb)


# -- secrets and the environment ------------------------------------------------------------------


@pytest.mark.parametrize(
    "secret",
    [
        "xoxb-12345678901-abcdefghij",
        "https://hooks.slack.com/services/T000/B000/XXXX",
        "syt_Ym90_abcdefgh_1a2b3c",
        "ghp_0123456789abcdefghij0123456789abcdef",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "-----BEGIN RSA PRIVATE KEY----- MIIB",
        "postgres://bot:hunter2@db/ish_chat",
        "redis://:hunter2@redis:6379/0",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLE3KEY9",
    ],
)
def test_a_secret_in_the_file_is_a_fault_and_not_repeated(tmp_path: Path, secret: str) -> None:
    """Wherever it stands, also where any text is allowed; SAFETY 20."""
    found = faults(tmp_path, BASE.replace("display: Bob", f'title: "{secret}"'))
    assert found == ["5: people.bob.title: looks like a secret; take it out of the file, and renew it"]
    found = faults(tmp_path, BASE.replace("fallback: carol", f'fallback: "{secret}"'))
    assert found == ["21: fallback: looks like a secret; take it out of the file, and renew it"]


@pytest.mark.parametrize(
    "harmless",
    [
        "https://grafana.example.com/d/abc/realtime?from=now-1h",
        "sum by (le, provider_type) (rate(ish_chat_request_duration_seconds_bucket[5m]))",
        "!31hneApxJ_1o-63DmFrpeqnkFFWppnzWso1JvH3ogLM",
        "WATCHBELL_A_LONG_NAME_OF_A_VARIABLE_OF_THE_TEAM",
        "customizable-chatbots-production-europe-west",
    ],
)
def test_what_is_no_secret_is_left_alone(tmp_path: Path, harmless: str) -> None:
    """Addresses, queries, room ids and long names."""
    assert faults(tmp_path, BASE.replace("display: Bob", f'title: "{harmless}"')) == []


@pytest.mark.parametrize(
    ("environ", "state"),
    [({}, "is not set"), ({"AM_TOKEN": ""}, "is empty"), ({"AM_TOKEN": " "}, "is empty")],
)
def test_a_variable_that_is_not_there(tmp_path: Path, environ: dict[str, str], state: str) -> None:
    """A token that is missing is a fault, except where tokens are not asked for."""
    expected = f"60: alerts.sources.alertmanager.token_env: the environment variable AM_TOKEN {state}"
    assert faults(tmp_path, BASE, environ) == [expected]
    assert faults(tmp_path, BASE, environ, tokens=False) == []


def test_variables_of_chats_and_targets_are_checked_too(tmp_path: Path) -> None:
    """Their sections are passed through, their secrets are not guessed."""
    text = BASE.replace("{console: {}}", "{slack: {bot_token_env: SLACK_TOKEN, app_token_env: AM_TOKEN}}")
    text = text.replace("{sandbox: {driver: sandbox}}", "{sandbox: {driver: redis, url_env: the key}}")
    assert faults(tmp_path, text) == [
        "45: platforms.slack.bot_token_env: the environment variable SLACK_TOKEN is not set",
        "46: targets.sandbox.url_env: should be the name of an environment variable, in capitals",
    ]


@pytest.mark.parametrize("port", ["http", "-1", "70000", "80.5"])
def test_a_port_of_the_environment_that_is_none(tmp_path: Path, port: str) -> None:
    """It has no line, so the variable is named."""
    with pytest.raises(ConfigError) as raised:
        load(written(tmp_path, BASE), {**TOKENS, "WATCHBELL_WEB_PORT": port})
    assert str(raised.value) == "environment: WATCHBELL_WEB_PORT: should be a port, 0 to 65535"


def test_commands_are_checked_where_they_are_known(tmp_path: Path) -> None:
    """A misspelt command would raise no number of approvals, and nobody would notice."""
    text = BASE.replace("  expires: 15m", "  raises: [{command: scael, approvals: 2}]")
    text = text.replace("    redis: redis\n", "    approvals: {restrat: 2}\n")
    assert faults(tmp_path, text) == []
    assert faults(tmp_path, text, commands=("scale", "restart")) == [
        '54: services.realtime.approvals.restrat: there is no command "restrat"; did you mean restart?',
        '57: approvals.raises[0].command: there is no command "scael"; did you mean scale?',
    ]


# -- anything at all ------------------------------------------------------------------------------


def only_faults(folder: Path, text: str | bytes) -> None:
    """Settings or ConfigError, each fault on one line that begins with the file and a line of it."""
    path = written(folder, text)
    most = (
        path.read_text(encoding="utf-8", errors="replace").count("\n") + 2
    )  # reading makes all ends of lines \n
    error: ConfigError | None = None
    try:
        load(path, {})
    except ConfigError as raised:
        error = raised
    if error is not None:
        assert error.faults
        assert len(str(error).splitlines()) == len(error.faults)
        assert all(str(fault).startswith(f"{path}:") for fault in error.faults)
        assert all(fault.line is None or 1 <= fault.line <= most for fault in error.faults)


FUZZED = settings(
    deadline=None, max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture]
)

WORDS = [line.strip(" -:") for line in EXAMPLE.splitlines() if line.strip()]
ODD = [
    "",
    "~",
    "null",
    "true",
    "1e9",
    "-0",
    ".nan",
    "'",
    '"',
    "#ops",
    "*a",
    "&a",
    "!!int 3",
    "<<",
    "\u2028",
    "\x85",
]
SCALARS = st.one_of(
    st.sampled_from(ODD),
    st.text(max_size=20),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.sampled_from(["alice", "primary", "ish", "15m", "#ops", "sandbox", "team", "late", "P0", "responder"]),
)
KEYS = st.sampled_from(
    sorted(
        {
            word
            for line in EXAMPLE.splitlines()
            for word in [line.split(":")[0].strip(" -{#")]
            if word.isidentifier()
        }
    )
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(KEYS, st.text(max_size=5)), inner, max_size=6)
    ),
    max_leaves=40,
)


@FUZZED
@given(
    st.one_of(
        st.binary(max_size=200), st.text(max_size=300).map(lambda t: t.encode("utf-8", "surrogatepass"))
    )
)
def test_no_file_raises_anything_but_faults(tmp_path: Path, raw: bytes) -> None:
    """Bytes and texts of all kinds."""
    only_faults(tmp_path, raw)


@FUZZED
@given(
    st.lists(st.one_of(st.sampled_from(WORDS), st.sampled_from(ODD), st.text(max_size=8)), max_size=30),
    st.data(),
)
def test_no_lines_raise_anything_but_faults(tmp_path: Path, lines: list[str], data: st.DataObject) -> None:
    """Lines of the example in any order and depth."""
    indents = data.draw(st.lists(st.integers(0, 4), min_size=len(lines), max_size=len(lines)))
    text = "\n".join("  " * indent + line for indent, line in zip(indents, lines, strict=True))
    only_faults(tmp_path, text.encode("utf-8", "surrogatepass"))


@FUZZED
@given(st.dictionaries(KEYS, TREES, max_size=12))
def test_no_tree_raises_anything_but_faults(tmp_path: Path, tree: dict[str, Any]) -> None:
    """Well-formed YAML with the right keys in the wrong places."""
    only_faults(tmp_path, yaml.safe_dump(tree, allow_unicode=True))


@FUZZED
@given(st.data())
def test_no_change_of_the_base_raises_anything_but_faults(tmp_path: Path, data: st.DataObject) -> None:
    """Any value of a working file replaced by any tree: every check meets every type."""
    document = yaml.load(BASE, Loader=yaml.BaseLoader)  # noqa: S506 - it makes texts only
    for _ in range(data.draw(st.integers(1, 4))):
        here, key = document, data.draw(st.sampled_from(sorted(document)))
        while isinstance(here[key], dict | list) and here[key] and data.draw(st.booleans()):
            here = here[key]
            key = data.draw(
                st.sampled_from(sorted(here) if isinstance(here, dict) else list(range(len(here))))
            )
        here[key] = data.draw(TREES)
    only_faults(tmp_path, yaml.safe_dump(document, allow_unicode=True))


@FUZZED
@given(st.integers(0, len(EXAMPLE)), st.integers(0, 60), st.text(max_size=6))
def test_no_edit_of_the_example_raises_anything_but_faults(
    tmp_path: Path, at: int, length: int, instead: str
) -> None:
    """Something cut out of it, and something put in."""
    only_faults(tmp_path, (EXAMPLE[:at] + instead + EXAMPLE[at + length :]).encode("utf-8", "surrogatepass"))
