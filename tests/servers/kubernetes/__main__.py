"""`python -m tests.servers.kubernetes`: serves on 127.0.0.1 until it is ended, after a line `ready URL`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import ssl
import sys

from aiohttp import web

from tests.servers.kubernetes.server import Server


async def main(asked: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT; over TLS where a certificate is given."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    server = Server()
    context = None
    if asked.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(asked.certificate, asked.key)
    runner = web.AppRunner(server.application(), shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", asked.port, ssl_context=context).start()
    await server.pulse.set(asked.every)
    scheme = "http" if context is None else "https"
    sys.stdout.write(f"ready {scheme}://127.0.0.1:{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await ended.wait()
    await server.pulse.stop()
    server.faults.set({})
    server.cluster.signals.ended += 1
    server.cluster.store.announce()
    await runner.cleanup()


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers.kubernetes", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--certificate", help="PEM file of the server's certificate; without it plain HTTP")
    parser.add_argument("--key", help="PEM file of its key")
    parser.add_argument("--every", type=float, default=0.0, help="step by itself every so many seconds")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main(arguments()))
