"""Opening an incident by hand."""

from __future__ import annotations

from datetime import timedelta

from commands.case import Case, Reply, sentence
from commands.catalogue import Service
from commands.registry import Duration, Name, Text, command
from commands.values import STOPS, shown
from incidents import life
from incidents.incident import Incident
from incidents.policy import Policy, Severity
from incidents.ports import RefusedError


@command("incident open", effect="incident", who="reporter", aliases=("open",))
def open_(
    severity: Name,
    title: Text,
    *,
    service: Service | None = None,
    since: Duration | None = None,
    private: bool = False,
    drill: bool = False,
    policy: Name | None = None,
    here: bool = False,
    case: Case,
) -> Reply | None:
    """Open an incident: its channel is made, the on-call person is paged, the clocks start.

    /incident open critical Redis is down                    page whoever is on call
    /incident open high Sockets drop service=realtime        by the policy of that service
    /incident open critical Keys were leaked --private       for the people in it alone
    /incident open high Search is slow --since 40m           the impact began 40 minutes ago
    /incident open critical Failover --drill                 an exercise, marked as one
    /incident open high Search is slow --here                this channel becomes the incident's
    """
    if here:
        _must_be_free(case)
    name = service.name if service else None
    chosen = _policy(case, name, policy)
    level = severity_of(chosen, severity)
    similar = case.log.similar(title, name)
    number = case.log.next_number("incident")
    opened = life.open_incident(
        number=number,
        title=title,
        severity=level,
        policy=chosen,
        by=case.by,
        now=case.now,
        service=name,
        since=case.now - timedelta(seconds=since) if since else None,
        private=private,
        drill=drill,
        asked_in=case.channel,
        here=here,
    )
    case.log.adopt(chosen)
    case.record(*opened, number=number)
    return _warning(similar, number)


def _must_be_free(case: Case) -> None:
    """A channel that people have can become an incident's, where it is nothing else."""
    if case.number is not None:
        raise RefusedError(f"This channel is INC-{case.number}'s; leave --here out, and a new one is made.")
    if case.place != "elsewhere":
        what = "Direct messages" if case.place == "direct" else "A channel of my configuration"
        raise RefusedError(f"{what} cannot become an incident's channel; leave --here out, and one is made.")


def _policy(case: Case, service: str | None, name: str | None) -> Policy:
    if name is None:
        return case.rules.policy_for(service, {})
    if name not in case.rules.policies:
        known = ", ".join(case.rules.policies)
        raise RefusedError(f"There is no policy {shown(name)}; there are: {known}.")
    return case.rules.policies[name]


def severity_of(policy: Policy, word: str) -> Severity:
    """The severity that `word` names; RefusedError with the names and aliases that there are."""
    found = policy.severity(word) or policy.severity(word.rstrip(STOPS))
    if found is None:
        known = ", ".join(_with_aliases(severity) for severity in policy.severities)
        raise RefusedError(
            f"There is no severity {shown(word)} in the policy {policy.name}; there are: {known}."
        )
    return found


def _with_aliases(severity: Severity) -> str:
    return f"{severity.name} ({', '.join(severity.aliases)})" if severity.aliases else severity.name


def _warning(similar: list[Incident], number: int) -> Reply | None:
    if not similar:
        return None
    first = similar[0]
    what = f"{first.severity}, {first.service}" if first.service else first.severity
    more = f" So {'is' if len(similar) == 2 else 'are'} {_numbers(similar[1:])}." if len(similar) > 1 else ""
    return sentence(
        f"INC-{number} is open. INC-{first.number} {first.title} ({what}) is open, too, and looks "
        f"alike.{more} If it is the same, type `/merge INC-{first.number}` in the channel of INC-{number}."
    )


def _numbers(incidents: list[Incident]) -> str:
    *most, last = [f"INC-{i.number}" for i in incidents]
    return f"{', '.join(most)} and {last}" if most else last
