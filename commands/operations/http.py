"""Named HTTP calls from chat: what the configuration declares of the admin endpoints of services, and nothing else."""

from __future__ import annotations

from commands.actions import Answer, Ops, Plan
from commands.operations.prometheus import as_typed
from commands.registry import Name, Text, command


@command("http", effect="read")
async def http(name: Name | None = None, arguments: Text | None = None, *, ops: Ops) -> Answer | Plan:
    """Make a named call of the configuration; one that changes something takes an approval, or two.

    /http                                  which calls there are, and what they take
    /http router-config                    a read, at once
    /http router-concurrency limit=50      a change: after an approval, to be taken back where an inverse is declared
    """
    target = ops.target("http")
    if name is None:
        return await target.read("calls")
    typed = as_typed(arguments) if arguments else ""
    if (await target.read("effect", call=name)).headline == "read":
        return await target.read("call", call=name, arguments=typed)
    return await target.plan("call", call=name, arguments=typed)
