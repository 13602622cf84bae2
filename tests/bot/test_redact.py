"""What is taken out of text before it is stored or sent, and what is left alone (SAFETY 20)."""

from __future__ import annotations

import base64
import sys
import time
from dataclasses import dataclass
from typing import Any, ClassVar

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
    ('["Authorization", "Basic d2I6Wng5QHEvV20rNzcha2s="]', "d2I6Wng5"),
    ("the header Basic dXNlcjpwYXNz is refused", "dXNlcjpwYXNz"),
    ("sent BASIC ZGVtbzp0aGV5IHNheQ==, twice", "ZGVtbzp0aGV5"),
    ("basic YWRtaW46YWRtaW4=.", "YWRtaW46"),
    ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "16C7e42F"),
    ("github_pat_11AAAAAAA0aaaaaaaaaaaaaaaa", "11AAAAAAA0"),
    ("glpat-abcdefghij0123456789", "abcdefghij"),
    ("sk-" + "made-up-0123456789-abcdef", "0123456789-abcdef"),
    ("sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc", "4eC39HqL"),
    ("AIzaSyA1234567890abcdefghijklmnopqrstuv", "SyA12345"),
    ("syt_YWxpY2U_abcdefghijklmnop_123abc", "abcdefghijklmnop"),
    ("requirepass foobared", "foobared"),
    ("mysql -h db -u root -phunter2secret shop", "hunter2secret"),
    ("mariadb-dump -phunter2secret shop", "hunter2secret"),
    ("redis-cli -h cache -a hunter2secret ping", "hunter2secret"),
    ("curl -s -u admin:hunter2secret http://db/", "hunter2secret"),
    ("curl --user 'admin:hunter2secret' http://db/", "hunter2secret"),
    ("sshpass -p hunter2secret ssh db", "hunter2secret"),
    ("docker login -u me -p hunter2secret registry.example", "hunter2secret"),
    ("CREATE USER bob IDENTIFIED BY 'hunter two'", "hunter two"),
    ("ALTER USER bob WITH PASSWORD 'hunter two'", "hunter two"),
    ("ACL SETUSER bob on >hunter2secret ~*", "hunter2secret"),
    ("AUTH default hunter2secret", "hunter2secret"),
    ("log in with the password hunter2secret please", "hunter2secret"),
    ("take token 0f3a9c2b7d1e4f5a6b7c8d9e", "0f3a9c2b7d1e4f5a6b7c8d9e"),
    ("Private-Lines: 2\nAAAAgQDh1\nb2xpbmcK==\nPrivate-MAC: 01", "b2xpbmcK=="),
    ('1) "requirepass"\n2) "foobared"', "foobared"),
    ("config:requirepass\nconfig:requirepass foobared", "foobared"),
    ("AUTH foobared", "foobared"),
    ("psql --password geheim99", "geheim99"),
    ('psql --password "geheim 99"', "99"),
]

# Shapes of assignments and lists; what must go is "geheim99" each time.
SHAPES = [
    # JSON within JSON, once and twice
    r'{"msg":"{\"user\":\"a\",\"password\":\"geheim99\"} failed"}',
    r'{"a":"{\"b\":\"{\\\"token\\\":\\\"x geheim99\\\"}\"}"}',
    r'{"msg":"{\"tokens\":[\"x\",\"geheim99\"]}"}',
    r'{"msg":"{\"password\":\"ab\\\"geheim99\"}"}',
    # lists and objects
    'tokens: ["geheim99"]',
    '{"tokens": ["x", "geheim99"]}',
    '{"password": {"value": "geheim99"}}',
    '{"password_history": ["x", "geheim99"]}',
    '{"secrets": {"a": {"b": ["x]", "geheim99"]}}}',
    '{"secrets": [[[[[["x"], "geheim99"]]]]]}',
    '{"tokens": [\n  "x",\n  "geheim99"\n]}',
    '{"tokens": ["x", "geheim99',
    'tokens=[]string{"x", "geheim99"}',
    "secrets=map[a:x b:geheim99]",
    'token=Some("geheim99")',
    "DETAIL: Key (api_key)=(geheim99) already exists.",
    # long values
    f'"refresh_token":"0.{"x" * 600}geheim99"',
    f"password={'x' * 3000}geheim99",
    f"token: eyJ{'x' * 5000}.{'x' * 5000}.geheim99",
    # colours, as terminals have them and as they are made printable
    "\x1b[31mpassword\x1b[0m=geheim99",
    "\x1b[31mpassword \x1b[0m=geheim99",
    "\x1b[36mpassword\x1b[0m=\x1b[35mgeheim99\x1b[0m",
    "\ufffd[36mpassword\ufffd[0m=\ufffd[35mgeheim99\ufffd[0m",
    '\x1b[34;1m"password"\x1b[0m\x1b[1;39m:\x1b[0m \x1b[0;32m"geheim99"\x1b[0m',
    r'{"log":"\u001b[36mpassword\u001b[0m=geheim99"}',
    # quotes and signs within
    "password=b'geheim99'",
    r'"password":"ab\"geheim99"',
    r"password='it\'s geheim99'",
    "password='ab geheim99",
    "password=ab,geheim99",
    "password=ab&geheim99",
    "password=ab;geheim99",
    "password=a}geheim99",
    "password := geheim99",
    "password == geheim99",
    "password%3Dgeheim99",
    "config[\"password\"] = 'geheim99'",
    "token: Bearer geheim99",
    "password: |\n  x\n  geheim99\nuser: a",
    # a name here, its value there
    '{"name":"DB_PASSWORD","value":"geheim99"}',
    r'{"env":"[{\"name\":\"DB_PASSWORD\",\"value\":\"geheim99\"}]"}',
    "- name: DB_PASSWORD\n  value: geheim99",
    '<property name="db.password" value="geheim99"/>',
    "Key=DB_PASSWORD,Value=geheim99",
    # further names
    "MYSQL_PWD=geheim99",
    "pass=geheim99",
    '"pass":"geheim99"',
    "DBPASS=geheim99",
    "user.pass: geheim99",
    "AccountName=x;AccountKey=geheim99==;EndpointSuffix=y",
    "Set-Cookie: session=geheim99; HttpOnly",
    "Cookie: a=b; session=geheim99",
    '{"Cookie": "session=geheim99"}',
    "<password>geheim99</password>",
    '<db:password type="plain">geheim99</db:password>',
    "Authorization: ApiKey-v1 geheim99",
    # addresses
    f"redis://u:{'x' * 300}geheim99@host",
    "redis://u:1234/geheim99@host",
    "mongodb://a:x@geheim99@h1,h2/db",
    "postgres://a:geheim99@h,redis://:geheim99@h",
]

ORDINARY = [
    "basic authentication=required, basic auth/authorization",
    "Basic HealthCheck passed, BASIC AUTHENTICATION failed, visual basic 6",
    "a basic configuration of 12 replicas",
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
    "3 passed, 1 failed, 2 passing, passed=3",
    "--- PASS: TestLogin (0.00s)",
    "pass: 12, fail: 0, tests_pass_rate: 98%",
    "bypass=true, bypass: the proxy, compass: north",
    "tokens per second: 412",
    "tokens/s: 412.5",
    "(max_tokens=4096)",
    "completion_tokens: 17 prompt_tokens 128",
    "total_tokens: 12,345,678 token_count=123456789",
    '{"total_tokens":1234567,"model":"x"}',
    '{"completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": null}, "b": 1}',
    'tokens: {"small-1": 12345678, "large-2": 5}',
    "tokens: [1, 2, 3]",
    "tokenizer=bert",
    "key=realtime, value: 10",
    "keyspace_hits:12345678\r\nexpired_keys:123456789\r\ndb0:keys=12,expires=3,avg_ttl=0",
    "cookie banner: closed; a cookie: the small one",
    "monkey=1",
    "primary key (id)",
    'FATAL: password authentication failed for user "app"',
    "OLDPWD=/home/app",
    "usage: login <user> <password>\nthen <enter>",
    "password:\n  user: bob",
    'password="" token=[] secret={}',
    "http://h:8080/users/a@b.com",
    "https://registry:5000/npm/@scope/pkg",
    "redis://h:6379/0 bob@example.com",
    '{"msg":"bad token","user":"bob"}',
    "mysql -h db -P 3306 -u root -p shop",
    "curl -u admin http://db/",
    "the password reset of 12 people failed",
    "redis-cli -h cache -p 6379 ping",
    "auth service v2 restarted",
    "the secret realtime-tls-2024a is missing",
    "docker login failed",
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_secrets_go(text: str, secret: str) -> None:
    """SAFETY 20: each kind of secret goes, whatever stands around it."""
    told = Redactor().redact(f"look: {text}" if not text.startswith("AUTH") else text)
    assert secret not in told
    assert REDACTED in told


@pytest.mark.parametrize("text", SHAPES)
def test_secrets_go_in_every_shape(text: str) -> None:
    """SAFETY 20: also within lists, objects, quotes and colours; and at once, not only the second time."""
    redact = Redactor().redact
    told = redact(text)
    assert "geheim99" not in told
    assert REDACTED in told
    assert redact(told) == told
    assert "geheim99" not in redact(f"İ {text}")


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
    assert redact('{"tokens":["x1"],"user":"app"}') == '{"tokens":[‹redacted›],"user":"app"}'
    assert redact('{"a":{"token":{"b":"c"}},"d":1}') == '{"a":{"token":{‹redacted›}},"d":1}'
    assert redact(r'{"m":"{\"password\":\"x1\",\"user\":\"app\"}"}') == (
        r'{"m":"{\"password\":\"‹redacted›\",\"user\":\"app\"}"}'
    )
    assert redact("Password=B'x1',user=app") == "Password=B'‹redacted›',user=app"
    assert redact("token=abc&user=app") == "token=‹redacted›&user=app"
    assert redact('tokens=["x"\nnext line') == "tokens=‹redacted›\nnext line"
    assert redact("- name: A\n  value: b\n- name: TOKEN\n  value: c\n- name: D\n  value: e") == (
        "- name: A\n  value: b\n- name: TOKEN\n  value: ‹redacted›\n- name: D\n  value: e"
    )


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


def test_lists_and_objects_under_such_a_key_go_as_a_whole() -> None:
    """What they hold is secret whatever it is called; counts stay."""
    data = {
        "tokens": ["x"],
        "password_history": ("x",),
        "Password": {"value": "x"},
        "passwords": {"bob": "x"},
        "db_password": 12345678,
        "pass": "x",
        "secret": b"x",
        "Authorization": "Basic x",
        "env": [{"name": "DB_PASSWORD", "value": "x"}, {"Key": "token", "Value": ["x"]}],
    }
    gone = dict.fromkeys([*data][:-1], REDACTED)
    assert Redactor().redact_data(data) == {
        **gone,
        "env": [{"name": "DB_PASSWORD", "value": REDACTED}, {"Key": "token", "Value": REDACTED}],
    }
    stays = {
        "usage": {"completion_tokens": 17, "completion_tokens_details": {"reasoning_tokens": 0}},
        "tokens": {"small": 1234567, "large": 2},
        "total_tokens": "1234567",
        "secrets": [],
        "password": None,
        "token": True,
        "name": "realtime",
        "value": "x",
        "password authentication failed": "x",
        "keyspace_hits": "12345678",
    }
    assert Redactor().redact_data(stays) == stays


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


@pytest.mark.parametrize("user", ["", "w", "wb", "bot", "watchbell"])
def test_a_known_value_is_found_in_base64(user: str) -> None:
    """As a server repeats the header that it was sent; the user may be of any length."""
    password = "Zx9@q/Wm+77!kk"
    redactor = Redactor(known_values=[password, "short"])
    sent = base64.b64encode(f"{user}:{password}".encode()).decode()
    assert redactor.redact(f'{{"got": "{sent}", "and": "{sent}"}}') == (
        f'{{"got": "{REDACTED}", "and": "{REDACTED}"}}'
    )
    other = base64.b64encode(f"{user}:something else".encode()).decode()
    assert redactor.redact(f'"{other}"') == f'"{other}"'


def test_numbers_cost_nothing_and_what_is_repeated_is_looked_at_once() -> None:
    """A server may answer with a million of each; counted in calls of functions, one for each would be too many."""
    data = {
        "numbers": [1, 2.5, True, None] * 10_000,
        "words": ["up", "token=abc123def"] * 10_000,
        "rows": [{"name": "token", "Value": "x1y2z3"}, {"value": 7}] * 2,
    }
    calls = 0

    def counting(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event == "call" and frame.f_code.co_filename.endswith("redact.py")

    class Looking(Redactor):
        looked: ClassVar[list[str]] = []

        def redact(self, text: str) -> str:
            self.looked.append(text)
            return super().redact(text)

    sys.setprofile(counting)
    try:
        told = Looking().redact_data({"numbers": data["numbers"]})
    finally:
        sys.setprofile(None)
    assert told == {"numbers": data["numbers"]}
    assert calls < 50
    told = Looking().redact_data(data)
    assert told["words"] == ["up", f"token={REDACTED}"] * 10_000
    assert told["rows"][:2] == [{"name": "token", "Value": REDACTED}, {"value": 7}]
    assert len(Looking.looked) < 50


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
        "basic ",
        "basic a",
        "basic aaaaaaaa",
        "Basic aB",
        "basic 1",
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
        "tokens=[",
        "tokens=[{",
        'token=\\"',
        "password='\\'",
        "pwd=a,",
        "pwd=a,b",
        "token,value:",
        "token\x1b[0m",
        "://:@",
        "://a:b@",
        "<pwd>",
        "<pwd ",
        "<pwd>a</pwd>",
        "cookie: a=b",
        "cookie:",
        "token:|\n a",
        "password=f(",
        "eyJaaaaaaaa.",
        "mysql ",
        "mysql -p",
        "curl -u a",
        "redis-cli -h a ",
        "docker login ",
        "setuser a ",
        "password a1",
        "password 'a",
        "identified by '",
        "secret aaaa",
        "private-lines: 1\na",
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
