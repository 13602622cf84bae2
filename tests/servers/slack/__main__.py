"""`python -m tests.servers.slack [PORT]`: serves on 127.0.0.1 until it is ended, after a line `ready URL`."""

from __future__ import annotations

import asyncio
import signal
import sys

from aiohttp import web

from tests.servers.slack.api import application
from tests.servers.slack.state import Workspace


async def main(port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    workspace = Workspace()
    runner = web.AppRunner(application(workspace), shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    workspace.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    sys.stdout.write(f"ready {workspace.base_url}\n")
    sys.stdout.flush()
    await ended.wait()
    await workspace.deliver.reset()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
