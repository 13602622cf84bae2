"""The bot's own metrics, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge

from incidents import events as e

if TYPE_CHECKING:
    from bot.app import Bot


class Measures:
    """Counters of what was recorded, and gauges of what waits; docs/operating.md explains each."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._events = Counter(
            "watchbell_events_total", "Events recorded, by kind.", ["kind"], registry=self.registry
        )
        self._pending = Gauge(
            "watchbell_writer_pending", "Units that wait for the log.", registry=self.registry
        )
        self._tasks = Gauge("watchbell_tasks", "Commands and changes under way.", registry=self.registry)

    def event(self, stream: str, event: e.Event, number: int | None) -> None:
        """Count an event."""
        self._events.labels(type(event).__name__).inc()

    def watch(self, bot: Bot) -> None:
        """Read the gauges from a bot when Prometheus asks."""
        self._pending.set_function(lambda: bot.store.pending)
        self._tasks.set_function(lambda: bot.work.active)
