"""From the models, once nothing is wrong with them, to the settings in the domain's types."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from bot import config_model as model
from bot import config_settings as made
from bot.config_check_rotas import starting
from bot.config_environment import Overrides, secret, with_secrets
from bot.config_values import worse_by
from bot.targets import config as targets
from commands.catalogue import Catalogue, Service, Sli, Toggle, WatchTerms
from incidents.oncall import Roster, Rota, Rung
from incidents.policy import Policy, Severity, Step


def build(
    config: model.Config,
    *,
    origin: str,
    environ: Mapping[str, str],
    overrides: Overrides,
    values: tuple[str, ...],
) -> made.Settings:
    """The settings of a configuration without faults; `values` are secrets to be redacted."""
    return made.Settings(
        origin=origin,
        zone=config.zone,
        people={name: _person(name, person, config.zone) for name, person in config.people.items()},
        roster=_roster(config),
        policies={name: _policy(name, policy) for name, policy in config.policies.items()},
        default_policy=config.default_policy,
        catalogue=_catalogue(config, environ),
        postgres=_databases(config.postgres, environ),
        mongo=_databases(config.mongo, environ),
        channels=made.ChannelSettings(
            tuple(config.channels.ops),
            config.channels.team,
            tuple(config.channels.extra),
            config.channels.bridge,
        ),
        contacts=tuple(
            made.OutsideContact(name, c.title, c.phone or "", c.mail or "", c.note)
            for name, c in config.contacts.items()
        ),
        approvals=_approvals(config.approvals),
        limits=made.LimitSettings(**config.limits.model_dump()),
        alerts=_alerts(config.alerts, environ),
        redaction=made.RedactionSettings(
            patterns=tuple(config.redaction.patterns),
            values_env=tuple(config.redaction.values_env),
            redis_readable=tuple(config.redaction.redis_readable),
            redis_refused=tuple(config.redaction.redis_refused),
            values=values,
        ),
        pager={kind: secret(service.url_env, environ) for kind, service in config.pager.items()},
        web=_web(config.web, overrides, environ),
        targets={
            name: with_secrets(targets.section(target.model_dump()), environ)
            for name, target in config.targets.items()
        },
        platforms={name: with_secrets(s, environ) for name, s in config.platforms.sections().items()},
    )


def _person(name: str, person: model.Person, zone: str) -> made.PersonSettings:
    return made.PersonSettings(
        name=name,
        display=person.display or name,
        title=person.title,
        roles=frozenset(person.roles),
        zone=person.zone or zone,
        ids=dict(person.ids),
        contacts=tuple((contact.kind, contact.address) for contact in person.contacts),
    )


def _roster(config: model.Config) -> Roster:
    rotas = {
        name: Rota(
            name=name,
            members=tuple(rota.members),
            handover=rota.handover,
            zone=rota.zone or config.zone,
            start=starting(rota.start, rota.zone or config.zone) if rota.start else None,
        )
        for name, rota in config.rotas.items()
    }
    rungs = {name: Rung(name, rung.rota, tuple(rung.people)) for name, rung in config.rungs.items()}
    return Roster(rungs=rungs, rotas=rotas, fallback=config.fallback)


def _policy(name: str, policy: model.Policy) -> Policy:
    severities = tuple(
        _severity(level, rank, severity) for rank, (level, severity) in enumerate(policy.severities.items())
    )
    return Policy(
        name=name,
        severities=severities,
        default_severity=policy.default_severity,
        ladder=tuple(policy.ladder),
        labels=dict(policy.labels),
        executives=tuple(policy.executives),
        hold_above=policy.hold_above or "",
        page_every=policy.page_every,
        page_repeats=policy.page_repeats,
        reopen_within=policy.reopen_within,
        auto_major=policy.auto_major,
        alert_labels={label: tuple(values) for label, values in policy.alert_labels.items()},
    )


def _severity(name: str, rank: int, severity: model.Severity) -> Severity:
    unanswered = severity.unanswered
    return Severity(
        name=name,
        rank=rank,
        meaning=severity.meaning,
        aliases=tuple(severity.aliases),
        clocks={str(clock): seconds for clock, seconds in severity.clocks.items()},
        steps=tuple(_step(step) for step in severity.steps),
        remind_every=severity.remind_every,
        unanswered=unanswered.reminders if unanswered else None,
        unanswered_page=tuple(unanswered.page) if unanswered else (),
        stakeholders_every=severity.stakeholders_every,
        status_page=severity.status_page,
    )


def _step(step: model.Step) -> Step:
    return Step(
        when=step.when,
        do=step.do,
        to=step.to,
        clock=step.clock or "acknowledged",
        after=step.after,
        major=step.major,
        if_not_yet=step.if_not_yet,
    )


def _catalogue(config: model.Config, environ: Mapping[str, str]) -> Catalogue:
    return Catalogue(
        services={name: _service(name, service) for name, service in config.services.items()},
        redis=_databases(config.redis, environ),
        queries=dict(config.queries),
    )


def _databases(
    section: Mapping[str, model.Database], environ: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "target": database.target,
            "service": database.service,
            "environment": database.environment,
            "url": secret(database.url_env, environ),
            **({"db": database.db} if isinstance(database, model.RedisDatabase) else {}),
            **({"database": database.database} if isinstance(database, model.PostgresDatabase) else {}),
            **(_documents(database) if isinstance(database, model.MongoDatabase) else {}),
        }
        for name, database in section.items()
    }


def _documents(database: model.MongoDatabase) -> dict[str, Any]:
    return {
        "database": database.database,
        "readable": {name: tuple(fields) for name, fields in database.readable.items()},
    }


def _service(name: str, service: model.Service) -> Service:
    """What Kubernetes calls a thing follows from the service's name, unless it is said."""
    in_cluster = service.runtime == "kubernetes"
    return Service(
        name=name,
        aliases=tuple(service.aliases),
        description=service.description,
        environment=service.environment,
        policy=service.policy or "",
        channel=service.channel or "",
        runtime=service.runtime,
        cluster=service.cluster,
        namespace=service.namespace,
        deployment=service.deployment or (name if in_cluster else ""),
        selector=service.selector or (f"app={name}" if in_cluster else ""),
        config_map=service.config_map or (f"{name}-config" if in_cluster else ""),
        replicas=(service.replicas.min, service.replicas.max),
        port=service.port,
        health=dict(service.health),
        metrics=service.metrics or "",
        sli=_sli(service.sli),
        watch=_watch(service.watch),
        links=dict(service.links),
        toggles={key: Toggle(toggle.normal, toggle.relief) for key, toggle in service.toggles.items()},
        redis=service.redis,
        postgres=service.postgres,
        depends_on=tuple(service.depends_on),
        runbook=service.runbook or "",
        approvals=dict(service.approvals),
    )


def _sli(section: model.Sli | None) -> Sli | None:
    if section is None:
        return None
    return Sli(section.name, section.query, section.unit, section.better, section.target or "")


def _watch(section: model.Watch | None) -> WatchTerms | None:
    return WatchTerms(section.window, *worse_by(section.worse_by)) if section is not None else None


def _approvals(section: model.Approvals) -> made.ApprovalSettings:
    delays = section.break_glass.delay
    return made.ApprovalSettings(
        expires=timedelta(seconds=section.expires),
        widen_after=timedelta(seconds=section.widen_after),
        undo_window=timedelta(seconds=section.undo_window),
        quorum=section.quorum.model_dump(),
        raises=tuple(made.Raise(**rule.model_dump()) for rule in section.raises),
        break_glass=tuple(section.break_glass.who),
        break_glass_delay={
            "change": timedelta(seconds=delays.change),
            "danger": timedelta(seconds=delays.danger),
        },
    )


def _alerts(section: model.Alerts, environ: Mapping[str, str]) -> made.AlertSettings:
    sources = {
        name: made.SourceSettings(name, source.kind or name, secret(source.token_env, environ))
        for name, source in section.sources.items()
    }
    return made.AlertSettings(tuple(section.group_by), section.auto_resolve, section.max_bytes, sources)


def _web(section: model.Web, overrides: Overrides, environ: Mapping[str, str]) -> made.WebSettings:
    port = section.port if overrides.web_port is None else overrides.web_port
    return made.WebSettings(
        overrides.web_host or section.host, port, tuple(section.hosts), secret(section.password_env, environ)
    )
