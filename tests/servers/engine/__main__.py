"""`python -m tests.servers.engine --socket PATH`: serves there until it is ended, after a line `ready PATH`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import ssl
import sys

from aiohttp import web

from tests.servers.engine.server import Server


async def main(asked: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT; on a free port over TLS, clients' certificates wanted, where a folder is given."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    runner = web.AppRunner(Server().application(), shutdown_timeout=0.5)
    await runner.setup()
    await web.UnixSite(runner, asked.socket).start()
    where = asked.socket
    if asked.certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=asked.authority)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(asked.certificate, asked.key)
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        where = f"https://127.0.0.1:{runner.addresses[-1][1]}"
    sys.stdout.write(f"ready {where}\n")
    sys.stdout.flush()
    await ended.wait()
    await runner.cleanup()


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers.engine", description=__doc__)
    parser.add_argument("--socket", required=True)
    parser.add_argument("--certificate", help="PEM file of the server's certificate; then it speaks TLS, too")
    parser.add_argument("--key", help="PEM file of its key")
    parser.add_argument("--authority", help="PEM file of the authority that clients' certificates are from")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main(arguments()))
