"""What the process writes to standard error: one line an event, without secrets and without local variables."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from bot.redact import Redactor


def configure(level: int = logging.WARNING, known_values: Iterable[str] = ()) -> None:
    """Log events of this level and worse; what looks like a secret, or is one of the known ones, is left out.

    Tracebacks are told without the values of variables: those hold tokens, and what people typed.
    """
    redactor = Redactor(known_values=known_values)
    # nio tells of every device that it has no session with; what matters of it the adapter says.
    logging.getLogger("nio").setLevel(logging.CRITICAL)

    def redacted(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        told: dict[str, Any] = redactor.redact_data(dict(event))
        return told

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redacted,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
