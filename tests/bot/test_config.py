"""The example configuration says what the source documents say, and every setting is in it and in the manual."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.config import Settings, load
from bot.config_schema import settings as all_settings
from bot.config_values import duration, worse_by
from bot.resources import resource
from commands.catalogue import Service, Toggle, WatchTerms
from incidents.policy import Severity, Step, digest, from_data, to_data
from tests.servers.redis_server import certificate

EXAMPLE = resource("watchbell.example.yaml").read_text(encoding="utf-8")
MANUAL = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
BASE = (Path(__file__).parent / "config_base.yaml").read_text(encoding="utf-8")
NOW = datetime(2026, 1, 3, 2, 30, tzinfo=UTC)
TOKENS = {"AM_TOKEN": "a token of the test"}


@pytest.fixture(scope="module")
def example() -> Settings:
    """The example, without a file and without a token."""
    return load(None, {})


def base(folder: Path, *edits: tuple[str, str], environ: Mapping[str, str] = TOKENS) -> Settings:
    """The small configuration of the tests, changed."""
    text = BASE
    for before, after in edits:
        assert text.count(before) == 1
        text = text.replace(before, after)
    path = folder / "watchbell.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, environ)


# -- the cast -------------------------------------------------------------------------------------

CAST = [
    ("alice", {"responder", "approver"}, "primary"),
    ("bob", {"responder", "approver"}, "secondary"),
    ("carol", {"responder", "approver"}, "team_lead"),
    ("dave", {"responder", "approver"}, "manager"),
    ("erin", {"responder"}, "vp"),
    ("frank", {"responder"}, "cto"),
    ("grace", {"reporter"}, None),
    ("heidi", {"responder"}, "level2"),
    ("mallory", set(), None),
]


@pytest.mark.parametrize(("name", "roles", "rung"), CAST)
def test_the_cast(example: Settings, name: str, roles: set[str], rung: str | None) -> None:
    """Everybody of the rehearsals: who they are, what they may do, where they stand."""
    person = example.people[name]
    assert (person.name, person.roles, person.ids) == (name, roles, {"console": name})
    assert person.zone == example.zone == "Europe/Berlin"
    if rung is not None:
        assert example.roster.people(rung, NOW) == (name,)
    else:
        assert all(name not in example.roster.people(r, NOW) for r in example.roster.rungs)


def test_there_is_nobody_else(example: Settings) -> None:
    """In the order in which they are asked."""
    assert list(example.people) == [name for name, _, _ in CAST]
    assert example.with_role("approver") == ("alice", "bob", "carol", "dave")
    assert example.with_role("responder") == ("alice", "bob", "carol", "dave", "erin", "frank", "heidi")


def test_whoever_is_on_call_can_be_called(example: Settings) -> None:
    """By text message and telephone."""
    for rung in ("primary", "secondary", "team_lead", "manager", "level1", "level2", "level3"):
        (person,) = example.roster.people(rung, NOW)
        assert {"sms", "phone"} <= {kind for kind, _ in example.people[person].contacts}


@pytest.mark.parametrize(
    ("person", "can", "cannot"),
    [
        ("alice", ["anyone", "reporter", "responder", "approver"], []),
        ("erin", ["anyone", "reporter", "responder"], ["approver"]),
        ("grace", ["anyone", "reporter"], ["responder", "approver"]),
        ("mallory", ["anyone"], ["reporter", "responder", "approver"]),
        ("nobody", ["anyone"], ["reporter", "responder", "approver", "root", ""]),
    ],
)
def test_who_may_do_what(example: Settings, person: str, can: list[str], cannot: list[str]) -> None:
    """Responders and approvers are reporters too; somebody unknown is nothing."""
    assert all(example.can(person, role) for role in can)
    assert not any(example.can(person, role) for role in cannot)


def test_an_account_is_its_owner_s_on_its_chat_only(example: Settings) -> None:
    """The same word on another chat is nobody; SAFETY 22 and 23."""
    found = example.person_of("console", "alice")
    assert found is not None
    assert found.name == "alice"
    assert example.person_of("slack", "alice") is None
    assert example.person_of("console", "Alice") is None


# -- the policies ---------------------------------------------------------------------------------


def minutes(found: Severity) -> dict[str, float]:
    return {clock: seconds / 60 for clock, seconds in found.clocks.items()}


def steps(found: Severity) -> list[tuple[Any, ...]]:
    """Each step as (minutes after the opening where nobody answers, when, do, to)."""
    return [
        ((found.clocks[s.clock] if s.when == "late" else 0) / 60 + s.after / 60, s.when, s.do, s.to)
        for s in found.steps
    ]


ISH = [
    (
        "critical",
        ("P0",),
        15,
        [
            (0, "opened", "page", "primary"),
            (15, "late", "page", "secondary"),
            (30, "unresolved", "page", "team_lead"),
            (60, "unresolved", "page", "manager"),
        ],
        30,
    ),
    (
        "high",
        ("P1",),
        60,
        [
            (0, "opened", "page", "primary"),
            (60, "late", "page", "secondary"),
            (30, "unresolved", "page", "team_lead"),
        ],
        60,
    ),
    (
        "medium",
        ("P2", "warning"),
        240,
        [
            (0, "opened", "notify", "primary"),
            (240, "late", "page", "primary"),
            (300, "late", "page", "secondary"),
        ],
        240,
    ),
    (
        "low",
        ("P3", "info"),
        1440,
        [(0, "opened", "message", "team"), (1440, "late", "notify", "primary")],
        None,
    ),
]


@pytest.mark.parametrize(("name", "aliases", "response", "expected", "reminders"), ISH)
def test_the_default_policy(
    example: Settings,
    name: str,
    aliases: tuple[str, ...],
    response: int,
    expected: list[Any],
    reminders: int | None,
) -> None:
    """ISH Chat Monitoring: first response within 15 min, 1 h, 4 h, 24 h, and who is paged when."""
    found = example.policies["ish"].severity(name)
    assert found is not None
    assert found.aliases == aliases
    assert minutes(found) == {"acknowledged": response}
    assert steps(found) == expected
    assert found.remind_every == (reminders * 60 if reminders else None)
    assert found.meaning


def test_the_rest_of_the_default_policy(example: Settings) -> None:
    """Severities in order, pages, reopening, executives, what waits while all alerts are resolved."""
    policy = example.policies[example.default_policy]
    assert policy.name == "ish"
    assert [(s.name, s.rank) for s in policy.severities] == [
        ("critical", 0),
        ("high", 1),
        ("medium", 2),
        ("low", 3),
    ]
    assert policy.default.name == "high"
    assert policy.ladder == ("primary", "secondary", "team_lead", "manager", "vp", "cto")
    assert policy.executives == ("vp", "cto")
    assert [policy.held(rung) for rung in policy.ladder] == [False, False, True, True, True, True]
    assert (policy.page_every, policy.page_repeats, policy.reopen_within) == (300, 5, 1800)
    assert not policy.auto_major
    assert (policy.label("team_lead"), policy.label("manager")) == ("team lead", "engineering manager")
    critical, *others = policy.severities
    assert (critical.unanswered, critical.unanswered_page) == (2, ("owner", "secondary"))
    assert critical.stakeholders_every == 1800
    assert all(s.unanswered is None and s.stakeholders_every is None for s in others)


AIAAS = [
    ("P0", "critical", 5, 10, 30, "yes"),
    ("P1", "warning", 15, 30, 60, "significant"),
    ("P2", "info", 60, 120, 240, "if needed"),
]


@pytest.mark.parametrize(("name", "alias", "first", "second", "reminders", "page"), AIAAS)
def test_the_aiaas_policy(
    example: Settings, name: str, alias: str, first: int, second: int, reminders: int, page: str
) -> None:
    """Two clocks, three levels; level 3 for a P0 that is unresolved after half an hour."""
    found = example.policies["aiaas"].severity(alias)
    assert found is not None
    assert found.name == name
    assert minutes(found) == {"acknowledged": first, "investigating": second}
    third = [(30, "unresolved", "page", "level3")] if name == "P0" else []
    assert steps(found) == [
        (0, "opened", "page", "level1"),
        (first, "late", "page", "level2"),
        (second, "late", "page", "level2"),
        *third,
    ]
    assert [step.if_not_yet for step in found.steps][:3] == [False, False, True]
    assert [step.clock for step in found.steps][1:3] == ["acknowledged", "investigating"]
    assert (found.remind_every, found.status_page) == (reminders * 60, page)


def test_the_levels_of_aiaas(example: Settings) -> None:
    """On-call engineer, senior engineer, engineering manager; what is above level 2 waits."""
    assert [example.roster.people(f"level{n}", NOW) for n in (1, 2, 3)] == [("alice",), ("heidi",), ("dave",)]
    policy = example.policies["aiaas"]
    assert policy.ladder[:3] == ("level1", "level2", "level3")
    assert [policy.held(rung) for rung in policy.ladder[:3]] == [False, False, True]
    assert "level 2" in policy.label("level2")


def test_the_chatbot_platform_s_policy(example: Settings) -> None:
    """On-call first, the manager after 30 minutes, the incident response plan in a major outage only."""
    for name in ("critical", "high"):
        found = example.policies["platform"].severity(name)
        assert found is not None
        assert found.steps == (
            Step("opened", "page", "platform_oncall"),
            Step("unresolved", "page", "manager", after=1800),
            Step("unresolved", "page", "response_team", after=1800, major=True),
        )


@pytest.mark.parametrize("name", ["ish", "aiaas", "platform"])
def test_a_policy_survives_the_log(example: Settings, name: str) -> None:
    """An incident keeps a snapshot; read back it is the same policy."""
    policy = example.policies[name]
    assert from_data(to_data(policy)) == policy
    assert digest(from_data(to_data(policy))) == digest(policy)


@pytest.mark.parametrize(
    ("service", "labels", "expected"),
    [
        ("realtime", {"alertname": "WS_OVERLOAD"}, "ish"),  # the service's own comes first
        ("rt", {}, "ish"),
        ("tool-service", {}, "aiaas"),
        ("api-gateway", {"severity": "critical"}, "aiaas"),
        ("service-name", {}, "aiaas"),
        ("chatbot-api", {}, "platform"),
        ("redis", {"alertname": "RedisDown"}, "ish"),  # it has none, and the label chooses none
        ("redis", {"alertname": "TIMEOUT"}, "aiaas"),
        (None, {"alertname": "TIMEOUT"}, "aiaas"),
        (None, {"alertname": "TOOL_DOWN"}, "aiaas"),
        (None, {"alertname": "VALIDATION_FAIL"}, "aiaas"),
        (None, {"alertname": "WS_OVERLOAD"}, "aiaas"),
        (None, {"policy": "aiaas"}, "aiaas"),
        (None, {"namespace": "database"}, "platform"),
        ("no-such-service", {"policy": "platform"}, "platform"),
        (None, {"alertname": "timeout"}, "ish"),
        (None, {}, "ish"),
    ],
)
def test_which_policy_an_incident_gets(
    example: Settings, service: str | None, labels: dict[str, str], expected: str
) -> None:
    """The service's, else that of a label, else the default."""
    assert example.policy_for(service, labels).name == expected


# -- what is operated -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("realtime", "chat-adapters", "ish-chat", "instance-manager", "intelligent-router", "load-balancer"),
        *(
            "postgres",
            "redis",
            "prometheus",
            "alertmanager",
            "grafana",
            "tool-service",
            "api-gateway",
            "aiaas",
        ),
        *(
            "chatbot-api",
            "auth-service",
            "payment-service",
            "subscription-service",
            "mongodb",
            "chatbot-cache",
        ),
        *("identity-provider", "payment-gateway"),
    ],
)
def test_every_service_of_the_documents(example: Settings, name: str) -> None:
    """Each is there and says what it is."""
    assert example.catalogue.services[name].description


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("realtime", {"port": 8004, "namespace": "production", "replicas": (0, 20), "policy": "ish"}),
        (
            "realtime",
            {"selector": "app=realtime", "config_map": "realtime-config", "channel": "#team-realtime"},
        ),
        ("chat-adapters", {"port": 8009, "namespace": "production", "replicas": (0, 20), "policy": "ish"}),
        ("chat-adapters", {"selector": "app=chat-adapters", "config_map": "chat-adapters-config"}),
        ("instance-manager", {"port": 9090, "runtime": "compose", "runbook": "instance-manager-down"}),
        ("intelligent-router", {"port": 9091, "runtime": "compose"}),
        ("load-balancer", {"port": 9092, "runtime": "compose"}),
        ("redis", {"runtime": "compose", "redis": "redis", "runbook": "redis-down"}),
        ("postgres", {"runtime": "compose", "postgres": "ish-chat"}),
        ("prometheus", {"health": {"service": "http://prometheus:9090/-/healthy"}}),
        ("alertmanager", {"health": {"service": "http://alertmanager:9093/-/healthy"}}),
        ("grafana", {"health": {"service": "http://grafana:3000/api/health"}}),
        ("ish-chat", {"health": {"service": "http://ish-chat:8000/health"}}),
        ("chatbot-api", {"namespace": "chatbot-platform", "deployment": "chatbot-api"}),
        ("mongodb", {"namespace": "database"}),
        ("chatbot-cache", {"namespace": "cache", "selector": "app=redis"}),
        ("payment-gateway", {"runtime": "none", "deployment": "", "selector": "", "config_map": ""}),
    ],
)
def test_what_the_documents_say_of_a_service(example: Settings, name: str, facts: dict[str, Any]) -> None:
    """Ports, namespaces, names in Kubernetes, health endpoints."""
    service = example.catalogue.services[name]
    assert {fact: getattr(service, fact) for fact in facts} == facts


@pytest.mark.parametrize("name", ["realtime", "chat-adapters"])
def test_the_links_of_the_documents(example: Settings, name: str) -> None:
    """Exactly the three addresses that the runbooks give."""
    links = example.catalogue.services[name].links
    assert links["grafana"] == f"http://grafana.company.com/d/{name}"
    assert links["prometheus"] == "http://prometheus.company.com/alerts"
    assert links["logs"] == f"http://logs.company.com/{name}"


@pytest.mark.parametrize(
    ("service", "key", "normal", "relief"),
    [
        ("api-gateway", "TIMEOUT_THRESHOLD_MS", "5000", "10000"),
        ("api-gateway", "CIRCUIT_BREAKER_TIMEOUT", "30000", "60000"),
        ("api-gateway", "MAX_RETRIES", "3", "5"),
        ("tool-service", "TOOL_TIMEOUT_MS", "30000", "60000"),
        ("tool-service", "TOOL_RETRY_ATTEMPTS", "3", "5"),
        ("tool-service", "CIRCUIT_BREAKER_THRESHOLD", "5", "10"),
        ("api-gateway", "VALIDATION_STRICT_MODE", "true", "false"),
        ("api-gateway", "VALIDATION_TIMEOUT_MS", "1000", "5000"),
        ("api-gateway", "LOG_VALIDATION_ERRORS", "false", "true"),
        ("realtime", "MAX_WEBSOCKET_CONNECTIONS", "1000", "2000"),
        ("realtime", "BACKPRESSURE_THRESHOLD", "0.8", "0.9"),
        ("realtime", "WEBSOCKET_TIMEOUT_MS", "30000", "60000"),
    ],
)
def test_the_toggles_of_the_documents(
    example: Settings, service: str, key: str, normal: str, relief: str
) -> None:
    """All twelve, as text, as the environment has them."""
    assert example.catalogue.services[service].toggles[key] == Toggle(normal, relief)


def test_the_queries_are_those_that_the_runbooks_rely_on(example: Settings) -> None:
    """Name for name and expression for expression: the table in runbooks/README.md."""
    readme = resource("runbooks", "README.md").read_text(encoding="utf-8")
    table = dict(re.findall(r"^\| ([a-z0-9-]+) \| `([^`]+)`", readme, re.MULTILINE))
    assert table
    assert example.catalogue.queries == table


def test_queries_aggregate_inside_of_the_quantile(example: Settings) -> None:
    """The documents' own lines did not parse; these keep `le` and close what they open."""
    for query in example.catalogue.queries.values():
        assert query.count("(") == query.count(")")
        if "histogram_quantile" in query:
            assert re.search(r"histogram_quantile\(0\.95, sum by \(le\b", query)


def test_every_runbook_that_a_service_names_is_there(example: Settings) -> None:
    """Otherwise an incident would open without one, and nobody would know."""
    for service in example.catalogue.services.values():
        if service.runbook:
            assert resource("runbooks", f"{service.runbook}.md").is_file()


def test_the_contacts_outside_of_the_team(example: Settings) -> None:
    """Cloud provider, DBA, security, the platform's addresses and its telephone."""
    contacts = {contact.name: contact for contact in example.contacts}
    assert {"cloud-provider", "dba", "security"} <= set(contacts)
    mails = {contact.mail for contact in example.contacts}
    assert {f"{who}@customizable-chatbots.com" for who in ("devops", "database", "security")} <= mails
    assert contacts["platform-phone"].phone == "+1-800-CHATBOT-911"


def test_one_redis_in_the_sandbox(example: Settings) -> None:
    """`redis` without a name means this one."""
    assert list(example.catalogue.redis) == ["redis"]
    assert example.catalogue.redis["redis"]["target"] == "sandbox"
    assert example.targets == {"sandbox": {"driver": "sandbox"}}
    assert set(example.platforms) == {"console"}


# -- how it behaves -------------------------------------------------------------------------------


def test_approvals_and_limits_of_the_example(example: Settings) -> None:
    """15 minutes, 3 minutes, one and two people, half an hour of undo, a minute and five for break-glass."""
    rules = example.approvals
    assert (rules.expires, rules.widen_after, rules.undo_window) == (
        timedelta(minutes=15),
        timedelta(minutes=3),
        timedelta(minutes=30),
    )
    assert rules.quorum == {"change": 1, "danger": 2}
    assert rules.break_glass == ("on_call", "commander")
    assert rules.break_glass_delay == {"change": timedelta(seconds=60), "danger": timedelta(minutes=5)}
    assert example.limits.person_per_minute == 120
    assert "#ops" in example.channels.ops
    assert not example.alerts.auto_resolve


def test_the_number_of_approvals_is_the_highest_that_applies(tmp_path: Path) -> None:
    """By effect, command, service and environment; never below the floor."""
    rules = "  raises:\n    - {command: scale, service: web, approvals: 2}\n    - {environment: staging, approvals: 3}"
    found = base(
        tmp_path,
        ("  expires: 15m", rules),
        ("    redis: redis\n", "    redis: redis\n    approvals: {restart: 3}\n"),
        ("depends_on: [realtime]", "depends_on: [realtime], environment: staging"),
    ).approvals
    realtime, web = Service("realtime", approvals={"restart": 3}), Service("web", environment="staging")

    def needed(command: str, service: Service | None, environment: str, effect: str = "change") -> int:
        return found.needed(effect, command=command, service=service, environment=environment)

    assert needed("scale", realtime, "production") == 1
    assert needed("scale", realtime, "production", "danger") == 2
    assert needed("restart", realtime, "production") == 3
    assert needed("scale", web, "production") == 2
    assert needed("restart", web, "production") == 1
    assert needed("restart", web, "staging") == 3
    assert needed("silence", None, "production") == 1
    assert needed("silence", None, "staging") == 3


def test_the_first_channel_comes_first_and_each_once(example: Settings) -> None:
    """The team's channel is an operations channel here."""
    assert example.channels.all == ("#ops", "#team-realtime")


# -- rotas ----------------------------------------------------------------------------------------


def test_a_weekly_rotation_hands_over_on_monday_at_nine(tmp_path: Path) -> None:
    """In the zone of the rota, summer time included; the start is the first one's."""
    rota = base(tmp_path).roster.rotas["primary"]
    assert rota.start == datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
    assert rota.member(datetime(2026, 1, 12, 7, 59, tzinfo=UTC)) == "alice"
    assert rota.member(datetime(2026, 1, 12, 8, 0, tzinfo=UTC)) == "bob"
    assert rota.next_handover(datetime(2026, 7, 1, tzinfo=UTC)) == datetime(2026, 7, 6, 7, 0, tzinfo=UTC)


def test_the_rotation_in_the_example_s_comment_is_right(tmp_path: Path) -> None:
    """What newcomers copy must load."""
    lines = EXAMPLE.splitlines()
    start = lines.index("#   primary:")
    rota = "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines[start : start + 5])
    text = EXAMPLE.replace("  primary: {members: [alice]}", rota)
    path = tmp_path / "watchbell.yaml"
    path.write_text(text, encoding="utf-8")
    found = load(path, {}, tokens=False).roster.rotas["primary"]
    assert [found.member(datetime(2026, 1, day, 12, tzinfo=UTC)) for day in (5, 12, 19, 26)] == [
        *("alice", "bob", "carol", "alice")
    ]


def test_the_settings_in_the_example_s_comments_are_right(tmp_path: Path) -> None:
    """Those of Slack, Matrix, the databases and the password, taken out of their comments."""
    text = re.sub(r"^( +)# ((?:  )?\w+:)", r"\1\2", EXAMPLE, flags=re.MULTILINE)
    text = with_files(text, tmp_path)
    names = sorted(set(re.findall(r"_env: (\w+)", text)))
    assert {"WATCHBELL_REDIS_URL", "WATCHBELL_SLACK_BOT_TOKEN", "WATCHBELL_WEB_PASSWORD"} <= set(names)
    path = tmp_path / "watchbell.yaml"
    path.write_text(text, encoding="utf-8")
    found = load(path, {name: f"value of {name}" for name in names})
    assert set(found.platforms) == {"console", "slack", "matrix"}
    assert found.platforms["slack"]["bot_token"].get_secret_value() == "value of WATCHBELL_SLACK_BOT_TOKEN"
    assert found.catalogue.redis["redis"]["url"].get_secret_value() == "value of WATCHBELL_REDIS_URL"
    assert found.web.password is not None


def with_files(text: str, folder: Path) -> str:
    """The files that targets name, in this folder."""
    certificate(folder)
    return re.sub(r"(ca_file|certificate|key|kubeconfig): /\S+?(?=[\s,}])", rf"\1: {folder}/server.crt", text)


# -- the environment ------------------------------------------------------------------------------


def test_the_example_needs_no_token_and_uses_one_that_is_there() -> None:
    """A rehearsal runs anywhere; a demo may receive real alerts."""
    assert load(None, {}).alerts.sources["alertmanager"].token is None
    token = load(None, {"WATCHBELL_ALERTMANAGER_TOKEN": "s3cret words"}).alerts.sources["alertmanager"].token
    assert token is not None
    assert token.get_secret_value() == "s3cret words"


def test_secrets_are_known_to_redaction_and_never_shown(tmp_path: Path) -> None:
    """Tokens and the values of values_env; the longest first, what is too short to cut out left alone."""
    found = base(
        tmp_path,
        ("{console: {}}", "{console: {}, slack: {bot_token_env: SLACK_TOKEN, app_token_env: SLACK_TOKEN}}"),
        ("web:\n  port", "redaction: {values_env: [DATABASE_URL, SHORT, UNSET]}\nweb:\n  port"),
        environ={
            "AM_TOKEN": " one-token ",
            "SLACK_TOKEN": "two",
            "DATABASE_URL": "postgres://db",
            "SHORT": "abc",
        },
    )
    assert found.redaction.values == ("postgres://db", "one-token")
    assert found.platforms["slack"]["bot_token"].get_secret_value() == "two"
    assert "one-token" not in repr(found)
    assert "postgres://db" not in repr(found)


def test_the_environment_moves_the_web_server(tmp_path: Path) -> None:
    """A container needs no file of its own for it."""
    assert base(tmp_path).web.port == 8080
    environ = {**TOKENS, "WATCHBELL_WEB_PORT": "80", "WATCHBELL_WEB_HOST": "0.0.0.0"}
    web = base(tmp_path, environ=environ).web
    assert (web.host, web.port) == ("0.0.0.0", 80)
    assert base(tmp_path, environ={**TOKENS, "WATCHBELL_WEB_PORT": ""}).web.port == 8080


def test_settings_cannot_be_changed(example: Settings) -> None:
    """What was checked stays as it was."""
    with pytest.raises(FrozenInstanceError):
        example.zone = "UTC"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        example.people["alice"].roles = frozenset()  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("4h", 14_400), ("1d", 86_400), ("1h30m", 5400), ("366d", 31_622_400)],
)
def test_durations(text: str, seconds: int) -> None:
    """Units of a letter, one after the other."""
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "15", "m", "15 m", "15min", "-5m", "1.5h", "1w", "15M", "٣m", "367d", "0s", 15, None, True]
)
def test_what_is_no_duration(text: object) -> None:
    """A number without a unit least of all."""
    with pytest.raises(ValueError, match="should be"):
        duration(text)


# -- the manual -----------------------------------------------------------------------------------


def manual_rows() -> dict[str, list[str]]:
    """The rows of the manual's tables: setting → value, default, meaning."""
    rows = (re.split(r"(?<!\\)\|", line)[1:-1] for line in MANUAL.splitlines() if line.startswith("| `"))
    return {cells[0].strip(" `"): [cell.strip() for cell in cells[1:]] for cells in rows}


def test_every_setting_is_in_the_manual_and_nothing_else() -> None:
    """A setting that nobody can look up does not exist."""
    assert set(manual_rows()) == {path for path, _ in all_settings()}


@pytest.mark.parametrize(("path", "field"), list(all_settings()))
def test_the_manual_names_the_right_default(path: str, field: Any) -> None:
    """Required, or the very value that the code has; words where it depends on something else."""
    stated = manual_rows()[path][1]
    if field.is_required():
        assert stated == "required"
        return
    default = field.get_default(call_default_factory=True)
    text = stated.strip("`")
    if default in (None, ""):
        assert stated != "required"
    elif type(default) is int and re.fullmatch(r"\d+[smhd]", text):
        assert duration(text, least=0) == default
    else:
        assert default in (text, yaml.safe_load(text))


@pytest.mark.parametrize("path", [path for path, _ in all_settings()])
def test_every_setting_is_in_the_example(path: str) -> None:
    """In use, or in a comment that shows how."""
    parts = path.replace("[]", "").split(".")
    here: list[Any] = [yaml.load(EXAMPLE, Loader=yaml.BaseLoader)]  # noqa: S506 - it makes texts only
    for part in parts:
        here = [item for value in here for item in (value if isinstance(value, list) else [value])]
        if part == "NAME":
            here = [item for value in here for item in value.values()]
        else:
            here = [value[part] for value in here if isinstance(value, dict) and part in value]
    assert here or re.search(rf"^ *# +{parts[-1]}:", EXAMPLE, re.MULTILINE)


# -- the figures of services ------------------------------------------------------------------------


def test_the_figure_of_a_service_and_how_it_is_followed(example: Settings) -> None:
    """As the example has it, and nothing for who has none."""
    realtime = example.catalogue.services["realtime"]
    assert realtime.sli is not None
    assert (realtime.sli.name, realtime.sli.unit, realtime.sli.better, realtime.sli.target) == (
        "p95",
        "s",
        "lower",
        "",
    )
    assert realtime.watch == WatchTerms(600, 0.5, True)
    assert example.catalogue.services["chat-adapters"].sli is None
    assert example.catalogue.services["chat-adapters"].watch is None


@pytest.mark.parametrize(
    ("told", "found"),
    [("20%", (0.2, True)), ("12.5 %", (0.125, True)), ("0", (0.0, False)), ("0.01", (0.01, False))],
)
def test_how_much_worse(told: str, found: tuple[float, bool]) -> None:
    """A part of the figure, or a difference in its own unit."""
    assert worse_by(told) == found


@pytest.mark.parametrize("text", ["", "%", "-1%", "1e3", "٢%", "20 percent", "NaN", "inf"])
def test_what_is_no_measure_of_worse(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="should be a percentage such as 20%"):
        worse_by(text)
