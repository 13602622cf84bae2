"""The figures of the runbooks' services, as their metrics endpoints show them: more of everything at each look.

The format is Prometheus' text format (prometheus.io/docs/instrumenting/exposition_formats).
"""

from __future__ import annotations

import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

PROVIDERS = ("openai", "anthropic", "zai")
BUCKETS = ("0.1", "0.5", "1", "+Inf")


class Exposed:
    """A server of one page, on `port`."""

    def __init__(self) -> None:
        looks = iter(range(1, 1_000_000))

        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = page(next(looks)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with suppress(ConnectionError):  # whoever asked has gone
                    self.wfile.write(body)

            def log_message(self, *_said: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def page(look: int) -> str:
    """Everything that the named queries of the example ask for, at this look."""
    lines = [
        f'service_latency_histogram_bucket{{service="realtime",le="{le}"}} {look * 10}' for le in BUCKETS
    ]
    for number, provider in enumerate(PROVIDERS, 1):
        of = f'provider_type="{provider}"'
        name = "ish_chat_request_duration_seconds_bucket"
        lines += [f'{name}{{{of},le="{le}"}} {look * 10 * number}' for le in BUCKETS]
        lines += [f'ish_chat_requests_total{{{of},status="{s}"}} {look * number}' for s in ("ok", "error")]
        lines += [
            f'ish_chat_instance_load{{{of},instance_id="{number}"}} 0.{number}',
            f"ish_chat_instances_healthy{{{of}}} {number}",
            f"ish_chat_circuit_breaker_state{{{of}}} 0",
            f"ish_chat_cost_estimate_dollars{{{of}}} {look * 0.01 * number}",
            f'ish_chat_tokens_used_total{{{of},model_name="large"}} {look * 100 * number}',
        ]
    lines += [
        "tool_service_health_check 1",
        f'validation_errors_total{{service="aiaas"}} {look}',
        f'websocket_connections_active{{service="realtime"}} {100 + look % 7}',
        f'websocket_backpressure_drops{{service="realtime"}} {look}',
    ]
    return "\n".join([*lines, ""])
