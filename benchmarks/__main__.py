"""`python -m benchmarks [NAME…]`: measure everything, or what is named (commands, crowd, history, matrix, slack,
targets)."""

from __future__ import annotations

import sys

import structlog

from benchmarks import commands, crowd, history, matrix, slack, targets
from bot.loop import run

ALL = {
    "commands": commands.measure,
    "crowd": crowd.measure,
    "history": history.measure,
    "matrix": matrix.measure,
    "slack": slack.measure,
    "targets": targets.measure,
}


def main() -> None:
    """Print one JSON object a figure."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=sys.stderr))
    names = sys.argv[1:] or list(ALL)
    unknown = [name for name in names if name not in ALL]
    if unknown:
        sys.exit(f"There is no benchmark {unknown[0]}; there are: {', '.join(ALL)}.")
    for name in names:
        for figure in run(ALL[name]()):
            print(figure, flush=True)


main()
