"""What is taken out of text before it is stored or sent, and what is left alone (SAFETY 20)."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.redact import REDACTED, Redactor
from commands.actions import Answer, Table

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabc=\n-----END RSA PRIVATE KEY-----"

SECRETS = [
    ("password=hunter2", "hunter2"),
    ("PASSWORD: 'correct horse battery'", "correct horse"),
    ('{"db_password": "p@ss, word"}', "p@ss"),
    ("DB_PASS=geheim99", "geheim99"),
    ("pwd=1234", "1234"),
    ("my password is Tr0ub4dor&3", "Tr0ub4dor"),
    ("client_secret => abcdef123456", "abcdef123456"),
    ("api-key: 9f8e7d6c5b4a", "9f8e7d6c5b4a"),
    ("ENCRYPTION_KEY=abc123def456", "abc123def456"),
    ("access_token=ya29.a0AfH6SMBx", "ya29"),
    ("postgres://app:s3cr3t@db:5432/chat", "s3cr3t"),
    ("redis://:onlypassword1@cache:6379/0", "onlypassword1"),
    ("https://user:p@ss:word@host/path", "p@ss"),
    ("git clone https://0123456789abcdef0123456789abcdef@host/x.git", "0123456789abcdef"),
    ("AKIAIOSFODNN7EXAMPLE in the bucket", "AKIAIOSFODNN7EXAMPLE"),
    (f"cookie {JWT} sent", "eyJzdWIi"),
    (f"the key\n{KEY}\nend", "MIIEpAIBAAKCAQEA"),
    ("-----BEGIN PRIVATE KEY-----\nMIIEcut off", "MIIEcut"),
    ("xoxb-123456789012-abcdefghij", "abcdefghij"),
    ("xapp-1-A111-222-abcdef", "A111"),
    ("https://hooks.slack.com/services/T000/B000/XXXX1234", "XXXX1234"),
    ("Authorization: Bearer abcdef0123456789", "abcdef0123456789"),
    ("authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
    ("curl -H 'X: Bearer abc1234567'", "abc1234567"),
    ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "16C7e42F"),
    ("github_pat_11AAAAAAA0aaaaaaaaaaaaaaaa", "11AAAAAAA0"),
    ("glpat-abcdefghij0123456789", "abcdefghij"),
    ("sk-" + "made-up-0123456789-abcdef", "0123456789-abcdef"),
    ("sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc", "4eC39HqL"),
    ("AIzaSyA1234567890abcdefghijklmnopqrstuv", "SyA12345"),
    ("syt_YWxpY2U_abcdefghijklmnop_123abc", "abcdefghijklmnop"),
    ("requirepass foobared", "foobared"),
    ('1) "requirepass"\n2) "foobared"', "foobared"),
    ("config:requirepass\nconfig:requirepass foobared", "foobared"),
    ("AUTH foobared", "foobared"),
    ("psql --password geheim99", "geheim99"),
]

ORDINARY = [
    "the replica lags by 40 s, looking at the proxy now",
    "/scale realtime 10 for 30m",
    "tokens: 120 per provider, max_tokens=4096",
    "token is invalid, the key is missing",
    "password reset fails for customers",
    "http://localhost:9090/api/v1/query?query=up",
    "ssh://git@github.com/x/y.git",
    "group_key: realtime · primary_key=12",
    "monkey: business, keyboard: on",
    "3 passengers: alice, bob, carol",
    "VALIDATION_STRICT_MODE false → true, secret: –",
    "devops@customizable-chatbots.com or +1-800-CHATBOT-911",
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_secrets_go(text: str, secret: str) -> None:
    """SAFETY 20: each kind of secret goes, whatever stands around it."""
    told = Redactor().redact(f"look: {text}" if not text.startswith("AUTH") else text)
    assert secret not in told
    assert REDACTED in told


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_stays(text: str) -> None:
    """What only sounds like a secret is left alone."""
    assert Redactor().redact(text) == text


def test_what_stands_beside_a_secret_stays() -> None:
    """One can still read which setting it was, and where it pointed."""
    redact = Redactor().redact
    assert redact('{"password": "x1", "user": "app"}') == '{"password": "‹redacted›", "user": "app"}'
    assert redact("postgres://app:s3cr3t@db:5432/chat") == "postgres://‹redacted›db:5432/chat"
    assert redact("Authorization: Bearer abcdef0123456789") == "Authorization: Bearer ‹redacted›"


def test_known_values_go_wherever_they_are() -> None:
    """The secrets of the process go without any sign before them, the longest first."""
    redactor = Redactor(known_values=("hunter2", "hunter2-long", "abc"))
    assert (
        redactor.redact("it said hunter2-long and hunter2, abc") == f"it said {REDACTED} and {REDACTED}, abc"
    )


def test_further_patterns_keep_their_first_group() -> None:
    """A pattern of the configuration may keep what names the secret."""
    redactor = Redactor(patterns=(r"(pin=)\d+", r"CUST-\d{6}"))
    assert redactor.redact("pin=9999 of CUST-123456") == f"pin={REDACTED} of {REDACTED}"


@given(st.text())
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    """What was redacted stays as it is."""
    redactor = Redactor()
    once = redactor.redact(text)
    assert redactor.redact(once) == once


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_redacting_a_secret_twice_changes_nothing_more(text: str, secret: str) -> None:
    redactor = Redactor()
    once = redactor.redact(text)
    assert redactor.redact(once) == once


def test_data_is_redacted_however_deep() -> None:
    """Keys that name a secret take their text with them; numbers and switches stay."""
    data = {
        "password": "plain words",
        "tokens": 12,
        "list": ["a", "pwd=x9", {"url": "redis://:onlypassword1@c/0"}],
        "pair": ("k", "v"),
        "none": None,
    }
    assert Redactor().redact_data(data) == {
        "password": REDACTED,
        "tokens": 12,
        "list": ["a", f"pwd={REDACTED}", {"url": f"redis://{REDACTED}c/0"}],
        "pair": ("k", "v"),
        "none": None,
    }


def test_dataclasses_are_redacted() -> None:
    """What a read gives back is a dataclass; it comes back as one."""
    answer = Answer("config", Table(("KEY", "VALUE"), (("a", "password=x1y2"),)), lines=("token=abcdefg",))
    told = Redactor().redact_data(answer)
    assert isinstance(told, Answer)
    assert told.table is not None
    assert told.table.rows == (("a", f"password={REDACTED}"),)
    assert told.lines == (f"token={REDACTED}",)


def test_what_somebody_else_cut_off_loses_its_last_word() -> None:
    """Half of a secret looks like any other text; a document without spaces stays."""
    redactor = Redactor(known_values=["correct-horse-battery"])
    assert redactor.beginning("first correct-horse-battery, then correct-hor") == f"first {REDACTED}, then "
    assert redactor.beginning("correct-hor") == ""
    assert redactor.beginning("x" * 501) == "x" * 501


@dataclass(frozen=True)
class Whole:
    word: str = "plain"


def test_nothing_to_find_is_the_same_object() -> None:
    """Ordinary text is not copied."""
    text = "the replica lags"
    assert Redactor().redact(text) is text
    assert Redactor().redact_data(Whole()) == Whole()


@pytest.mark.parametrize(
    "piece",
    [
        "://",
        "://a:",
        "eyJ-",
        "a.b-",
        "password",
        "password:",
        "-----BEGIN PRIVATE KEY-----",
        "bearer ",
        "key ",
        'pwd="',
        "token is ",
        "sk-",
        "--token ",
        "authorization: ",
        "token    ",
        "auth \n",
        "xox",
        "_key.-",
        "requirepass \n",
    ],
)
def test_the_time_is_linear(piece: str) -> None:
    """A hostile text four times as long takes about four times as long, not sixteen times."""
    redactor = Redactor()

    def took(size: int) -> float:
        text = piece * (size // len(piece))
        started = time.process_time()
        redactor.redact(text)
        return time.process_time() - started

    took(10_000)
    small, large = took(100_000), took(400_000)
    assert large < max(small, 0.02) * 12
