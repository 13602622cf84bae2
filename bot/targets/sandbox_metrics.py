"""The metrics of the simulated Prometheus: their series and values at a moment, by the state of the world."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bot.targets import sandbox_pods as pods
from bot.targets.sandbox_state import digest
from bot.targets.sandbox_world import World

_PROVIDERS = ("openai", "anthropic", "zai")
_MODELS = {"openai": "gpt-4o", "anthropic": "claude-sonnet", "zai": "glm-4"}
_SOCKETS = 640  # open at the sandbox's realtime service, shared by its ready pods


@dataclass(frozen=True, slots=True)
class Sample:
    """One series: of a counter the increase a second, of a histogram the 95th percentile in seconds."""

    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Metric:
    samples: Callable[[World, int], Iterator[Sample]]
    counter: bool = False


def _wobble(at: int, *parts: object) -> float:
    """From 0.8 to 1.2, another one every minute."""
    return 0.8 + digest(at // 60_000, *parts) % 1000 / 2500


def _latency_by_provider(world: World, at: int) -> Iterator[Sample]:
    for provider, usual in zip(_PROVIDERS, (0.42, 0.55, 0.61), strict=True):
        yield Sample({"provider_type": provider}, usual * _wobble(at, "latency", provider))


def _requests(world: World, at: int) -> Iterator[Sample]:
    for provider, each in zip(_PROVIDERS, (21.0, 12.0, 4.0), strict=True):
        for status, share in (("success", 0.97), ("error", 0.03)):
            value = each * share * _wobble(at, "requests", provider, status)
            yield Sample({"provider_type": provider, "status": status}, value)


def _load(world: World, at: int) -> Iterator[Sample]:
    for i in (1, 2, 3):
        labels = {"instance": f"instance-{i}", "provider_type": _PROVIDERS[i - 1]}
        yield Sample(labels, round(0.5 * _wobble(at, "load", i), 3))


def _by_provider(
    value: float, what: str, *, steady: bool = False
) -> Callable[[World, int], Iterator[Sample]]:
    def samples(world: World, at: int) -> Iterator[Sample]:
        for provider in _PROVIDERS:
            factor = 1.0 if steady else _wobble(at, what, provider)
            yield Sample({"provider_type": provider, "model_name": _MODELS[provider]}, value * factor)

    return samples


def _service_latency(world: World, at: int) -> Iterator[Sample]:
    for name, deployment in world.state.deployments.items():
        usual = 2.4 if deployment.trouble.startswith("slow") else 0.14
        load = 3 / max(1, len(pods.ready(deployment, at))) if name == "realtime" else 1.0
        yield Sample({"service": name}, usual * min(load, 3.0) * _wobble(at, "service", name))


def _tools(world: World, at: int) -> Iterator[Sample]:
    deployment = world.state.deployments.get("tool-service")
    well = deployment is None or (not deployment.trouble and bool(pods.ready(deployment, at)))
    for tool in ("search", "calculator", "browser"):
        yield Sample({"tool": tool}, float(well))


def _validation(world: World, at: int) -> Iterator[Sample]:
    for name in world.state.deployments:
        yield Sample({"service": name}, 0.02 * _wobble(at, "validation", name))


def _sockets(world: World, at: int) -> Iterator[Sample]:
    deployment = world.state.deployments.get("realtime")
    there = pods.ready(deployment, at) if deployment else []
    for pod in there:
        yield Sample({"pod": pod.name}, float(round(_SOCKETS / len(there) * _wobble(at, pod.name))))


def _drops(world: World, at: int) -> Iterator[Sample]:
    deployment = world.state.deployments.get("realtime")
    there = pods.ready(deployment, at) if deployment else []
    for pod in there:
        yield Sample({"pod": pod.name}, 4.0 / len(there) * _wobble(at, "drops", pod.name))


def _up(world: World, at: int) -> Iterator[Sample]:
    for name, deployment in world.state.deployments.items():
        yield Sample({"job": name}, float(bool(pods.ready(deployment, at)) or deployment.replicas == 0))


METRICS = {
    "ish_chat_request_duration_seconds": Metric(_latency_by_provider),
    "ish_chat_requests_total": Metric(_requests, counter=True),
    "ish_chat_instance_load": Metric(_load),
    "ish_chat_instances_healthy": Metric(_by_provider(3, "healthy", steady=True)),
    "ish_chat_circuit_breaker_state": Metric(_by_provider(0, "breaker", steady=True)),
    "ish_chat_cost_estimate_dollars": Metric(_by_provider(0.0021, "cost"), counter=True),
    "ish_chat_tokens_used_total": Metric(_by_provider(310, "tokens"), counter=True),
    "service_latency_histogram": Metric(_service_latency),
    "tool_service_health_check": Metric(_tools),
    "validation_errors_total": Metric(_validation, counter=True),
    "websocket_connections_active": Metric(_sockets),
    "websocket_backpressure_drops": Metric(_drops, counter=True),
    "up": Metric(_up),
}
