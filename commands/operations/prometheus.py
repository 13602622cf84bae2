"""Figures from Prometheus: an expression, or one of the named queries of the configuration."""

from __future__ import annotations

from commands.actions import Answer, Ops
from commands.registry import Duration, Name, Text, command
from commands.values import nearest, shown
from incidents.ports import RefusedError

_TYPED_BY_PHONES = str.maketrans(dict.fromkeys("“”„‟«»", '"') | dict.fromkeys("‘’‚‛", "'"))


def as_typed(text: str) -> str:
    """The text with the plain quotation marks that phones replace."""
    return text.translate(_TYPED_BY_PHONES)


@command("promql", effect="read")
async def promql(expression: Text, over: Duration | None = None, *, ops: Ops) -> Answer:
    """Evaluate a PromQL expression, now or over a time until now.

    /promql websocket_connections_active       the values now
    /promql websocket_connections_active 1h    least, mean, most and last of an hour, with a chart
    """
    return await ops.target("prometheus").read("query", expression=as_typed(expression), over=over, name=None)


@command("query", effect="read")
async def query(name: Name | None = None, over: Duration | None = None, *, ops: Ops) -> Answer:
    """Evaluate a query by its name in the configuration.

    /query                   which queries there are
    /query p95-latency       the values now
    /query p95-latency 1h    over the last hour
    """
    queries = ops.catalogue.queries
    if name is None:
        lines = tuple(f"{known}: {expression}" for known, expression in sorted(queries.items()))
        return Answer(f"Named queries: {len(lines)}", lines=lines, file_name="queries.txt")
    if name not in queries:
        hint = nearest(name, queries) or (f" There are: {', '.join(sorted(queries))}." if queries else "")
        raise RefusedError(f"There is no query {shown(name)}.{hint}")
    return await ops.target("prometheus").read("query", expression=queries[name], over=over, name=name)
