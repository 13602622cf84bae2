"""The shape of the configuration file: every setting, its type and its default; strict, nothing extra."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bot.config_values import (
    Cadence,
    Channel,
    Clock,
    Count,
    Delay,
    Duration,
    Homeserver,
    Label,
    Line,
    MatrixDevice,
    MatrixServer,
    MatrixSpace,
    MatrixUser,
    Name,
    Pause,
    Query,
    Regex,
    Role,
    ServiceName,
    SlackApi,
    SlackGroup,
    SlackMember,
    SlackPrefix,
    Text,
    Unit,
    Url,
    Variable,
    Window,
    Word,
    WorseBy,
    Zone,
)
from bot.platforms import slack_config


class Model(BaseModel):
    """Strict, frozen, nothing extra; a section that is there but empty has its defaults."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return {} if value is None else value


# -- people ---------------------------------------------------------------------------------------


class Contact(Model):
    kind: Literal["sms", "phone", "push", "mail"]
    address: Line

    @model_validator(mode="after")
    def _fits(self) -> Contact:
        if self.kind in ("sms", "phone") and not re.fullmatch(r"\+[0-9][0-9 -]{4,20}", self.address):
            raise ValueError(f"{self.kind} needs a number with its country, such as +15550100")
        if self.kind == "mail" and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", self.address):
            raise ValueError("mail needs an address such as alice@example.com")
        return self


class Person(Model):
    display: Line | None = None
    title: Text = ""
    roles: list[Role] = []
    zone: Zone | None = None
    ids: dict[str, Line] = {}
    contacts: list[Contact] = []


class Rota(Model):
    members: list[str]
    handover: str = "0 9 * * mon"
    zone: Zone | None = None
    start: str | None = None


class Rung(Model):
    rota: str | None = None
    people: list[str] = []


class Outside(Model):
    title: Line
    phone: Line | None = None
    mail: Line | None = None
    note: Text = ""


# -- policies -------------------------------------------------------------------------------------


class Step(Model):
    when: Literal["opened", "late", "unresolved"]
    do: Literal["page", "notify", "message"]
    to: str
    clock: Clock | None = None
    after: Delay = 0
    major: bool = False
    if_not_yet: bool = False


class Unanswered(Model):
    reminders: int = Field(ge=1, le=100)
    page: list[str] = Field(min_length=1)


class Severity(Model):
    meaning: Text = ""
    aliases: list[Word] = []
    clocks: dict[Clock, Duration] = {}
    steps: list[Step] = Field(min_length=1)
    remind_every: Cadence = None
    unanswered: Unanswered | None = None
    stakeholders_every: Cadence = None
    status_page: Literal["yes", "significant", "if needed", "no"] = "no"


class Policy(Model):
    severities: dict[Word, Severity] = Field(min_length=1)
    default_severity: str
    ladder: list[str] = Field(min_length=1)
    labels: dict[str, Line] = {}
    executives: list[str] = []
    hold_above: str | None = None
    page_every: Duration = 300
    page_repeats: int = Field(default=5, ge=0, le=100)
    reopen_within: Delay = 1800
    auto_major: bool = False
    alert_labels: dict[Label, list[Line]] = {}


# -- what is operated -----------------------------------------------------------------------------


class Replicas(Model):
    min: int = Field(default=0, ge=0, le=1000)
    max: int = Field(default=20, ge=0, le=1000)


class Toggle(Model):
    normal: Line
    relief: Line


class Sli(Model):
    """`query` has one value; `unit` stands behind it."""

    name: Label = "SLI"
    query: Query
    unit: Unit = ""
    better: Literal["lower", "higher"] = "lower"
    target: str | None = None


class Watch(Model):
    window: Window = 600
    worse_by: WorseBy = "20%"


class Service(Model):
    aliases: list[Word] = []
    description: Text = ""
    environment: Word = "production"
    policy: str | None = None
    channel: Channel | None = None
    runtime: Literal["kubernetes", "compose", "none"] = "kubernetes"
    cluster: str = "sandbox"
    namespace: ServiceName = "production"
    deployment: ServiceName | None = None
    selector: Line | None = None
    config_map: Word | None = None
    replicas: Replicas = Replicas()
    port: int | None = Field(default=None, ge=1, le=65_535)
    health: dict[Name, Url] = {}
    metrics: Url | None = None
    sli: Sli | None = None
    watch: Watch | None = None
    links: dict[Name, Url] = {}
    toggles: dict[Variable, Toggle] = {}
    redis: str | None = None
    postgres: str | None = None
    depends_on: list[str] = []
    runbook: Name | None = None
    approvals: dict[str, Count] = {}


class Database(Model):
    target: str
    service: str | None = None
    environment: Word = "production"
    url_env: Variable | None = None


class RedisDatabase(Database):
    """`db` is the number of the database on its target's server."""

    db: int | None = Field(default=None, ge=0, le=99_999)


class PostgresDatabase(Database):
    """`database` is what it is called on its target's server."""

    database: Line | None = None


class MongoDatabase(Database):
    """`readable` names the fields of each collection that are shown without an approval."""

    database: Line
    readable: dict[Line, list[Line]] = {}


class Target(Model):
    """What else stands there is the driver's: bot/targets/config.py has the models."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    driver: str


# -- how it behaves -------------------------------------------------------------------------------


class Channels(Model):
    ops: list[Channel] = Field(min_length=1)
    team: Channel
    extra: list[Channel] = []
    bridge: bool = True


class Quorum(Model):
    change: int = Field(default=1, ge=1, le=10)
    danger: int = Field(default=2, ge=2, le=10)  # two different people: the floor of SAFETY


class Raise(Model):
    command: str | None = None
    service: str | None = None
    environment: str | None = None
    approvals: Count


class GlassDelay(Model):
    change: Pause = 60
    danger: Pause = 300


class BreakGlass(Model):
    who: list[Literal["on_call", "commander"]] = ["on_call", "commander"]
    delay: GlassDelay = GlassDelay()


class Approvals(Model):
    expires: Duration = 900
    widen_after: Delay = 180
    undo_window: Delay = 1800
    quorum: Quorum = Quorum()
    raises: list[Raise] = []
    break_glass: BreakGlass = BreakGlass()


class Limits(Model):
    person_per_minute: int = Field(default=120, ge=1, le=100_000)
    channel_per_minute: int = Field(default=600, ge=1, le=100_000)
    person_pages_per_hour: int = Field(default=20, ge=1, le=1000)


class PagerService(Model):
    url_env: Variable


class Source(Model):
    kind: str | None = None
    token_env: Variable


class Alerts(Model):
    group_by: list[Label] = ["alertname", "service"]
    auto_resolve: bool = False
    max_bytes: int = Field(default=1_000_000, ge=1000, le=100_000_000)
    sources: dict[Name, Source] = {}


class Redaction(Model):
    patterns: list[Regex] = []
    values_env: list[Variable] = []
    redis_readable: list[Line] = []
    redis_refused: list[Line] = ["session:*"]


class Web(Model):
    host: Line = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65_535)
    hosts: list[Line] = []
    password_env: Variable | None = None


# -- chats ----------------------------------------------------------------------------------------


class Slack(Model):
    """`app_token_env` is for Socket Mode, `signing_secret_env` for HTTP; one of the two it needs."""

    bot_token_env: Variable
    app_token_env: Variable | None = None
    signing_secret_env: Variable | None = None
    prefix: SlackPrefix = ""
    guests: list[SlackMember] = []
    roles: dict[Role, list[SlackGroup]] = {}
    api: SlackApi = slack_config.API

    @model_validator(mode="after")
    def _reached(self) -> Slack:
        if self.app_token_env is None and self.signing_secret_env is None:
            raise ValueError(
                "say how Slack reaches the bot: `app_token_env` for Socket Mode, or `signing_secret_env` for HTTP"
            )
        return self


class Matrix(Model):
    """`encryption` keeps keys and opens encrypted rooms; with `encrypted` new rooms are encrypted, too."""

    homeserver: Homeserver
    user: MatrixUser
    access_token_env: Variable
    device_id: MatrixDevice | None = None
    servers: list[MatrixServer] = []
    encryption: bool = True
    encrypted: bool = False
    trust: Literal["first_use", "cross_signed", "listed"] = "first_use"
    devices: dict[Name, list[MatrixDevice]] = {}
    danger_by_reaction: bool = False
    space: MatrixSpace | None = None

    @model_validator(mode="after")
    def _fits(self) -> Matrix:
        if self.encrypted and not self.encryption:
            raise ValueError(
                "new rooms cannot be `encrypted` without `encryption`; leave `encryption: false` out"
            )
        if self.trust == "listed" and not any(self.devices.values()):
            raise ValueError("with `trust: listed` no device is trusted as long as `devices` names none")
        if self.trust != "listed" and self.devices:
            raise ValueError(f"`devices` counts with `trust: listed` only, and `trust` is {self.trust}")
        return self


class Platforms(Model):
    """A chat is used where its section stands here; that there are no others is checked elsewhere."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    console: dict[str, Any] | None = None
    slack: Slack | None = None
    matrix: Matrix | None = None

    @model_validator(mode="before")
    @classmethod
    def _there(cls, value: Any) -> Any:
        """A section that is there but empty is used, with its defaults."""
        if value == {}:
            raise ValueError("name at least one chat, such as console")
        return (
            {name: {} if s is None else s for name, s in value.items()} if isinstance(value, dict) else value
        )

    def sections(self) -> dict[str, dict[str, Any]]:
        """Chat → its settings, of those that are there."""
        return {name: section for name, section in self.model_dump().items() if section is not None}


class Config(Model):
    """The whole file."""

    zone: Zone
    people: dict[Name, Person] = Field(min_length=1)
    rotas: dict[Name, Rota] = {}
    rungs: dict[Name, Rung] = Field(min_length=1)
    fallback: str
    policies: dict[Name, Policy] = Field(min_length=1)
    default_policy: str
    channels: Channels
    services: dict[ServiceName, Service] = {}
    redis: dict[Name, RedisDatabase] = {}
    postgres: dict[Name, PostgresDatabase] = {}
    mongo: dict[Name, MongoDatabase] = {}
    queries: dict[Name, Text] = {}
    contacts: dict[Name, Outside] = {}
    approvals: Approvals = Approvals()
    limits: Limits = Limits()
    pager: dict[Literal["sms", "phone", "push", "mail"], PagerService] = {}
    alerts: Alerts = Alerts()
    redaction: Redaction = Redaction()
    web: Web = Web()
    targets: dict[Name, Target] = {}
    platforms: Platforms
