"""The command line: demo, run, play, check, simulate, export, manifest, login, audit and db."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from bot import logs
from bot.cli_login import login
from bot.config import ConfigError, Settings, load
from incidents.ports import NotRecordedError, RefusedError
from incidents.wording import counted

if TYPE_CHECKING:
    from bot.app import Bot

    Living = AbstractAsyncContextManager[tuple[Bot, str]]

app = typer.Typer(
    help="Watchbell keeps the watch over incidents, in chat. New here? Start with `watchbell demo`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
audit = typer.Typer(help="Check that nobody changed the log.", no_args_is_help=True)
db = typer.Typer(help="Look after the database.", no_args_is_help=True)
manifest = typer.Typer(help="Print what a chat, or a cluster, has to know of the bot.", no_args_is_help=True)
app.add_typer(manifest, name="manifest")
app.add_typer(login, name="login")
app.add_typer(audit, name="audit")
app.add_typer(db, name="db")

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="Configuration file; without it, the example.")
]
DataOption = Annotated[Path, typer.Option("--data", "-d", help="Directory of the log and the chat.")]
DEFAULT_DATA = Path("watchbell-data")


def main() -> None:
    """Run the command line; what a person can mend is one sentence on standard error."""
    try:
        app()
    except (RefusedError, NotRecordedError, LookupError) as error:
        fail(str(error), 1)
    except OSError as error:
        fail(f"{error.filename or ''}: {error.strerror or error}".lstrip(": "), 1)


def fail(sentence: str, code: int) -> NoReturn:
    """Say it on standard error and end."""
    typer.echo(sentence, err=True)
    raise SystemExit(code)


def settings_of(config: Path | None, *, tokens: bool | None = None) -> Settings:
    """The settings; a wrong configuration is one line a fault, and exit status 2."""
    from bot.app import registry

    try:
        return load(config, os.environ, tokens=tokens, commands=registry().names())
    except ConfigError as error:
        for fault in error.faults:
            typer.echo(str(fault), err=True)
        raise SystemExit(2) from error


def quiet(level: int = logging.WARNING, settings: Settings | None = None) -> None:
    """Log to standard error, warnings and worse; without the secrets of the settings, once they are known."""
    logs.configure(level, settings.redaction.values if settings is not None else ())


@app.command()
def demo(
    config: ConfigOption = None,
    data: Annotated[
        Path | None, typer.Option("--data", "-d", help="Keep the demo here; without it, a new directory.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8080,
    speed: Annotated[float, typer.Option(help="How fast time runs; the page can change it.")] = 1,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
) -> None:
    """Open the browser chat with sandbox services: nothing to install, no token needed."""
    quiet()
    from bot import serve

    settings = settings_of(config, tokens=False)
    with tempfile.TemporaryDirectory(prefix="watchbell-demo-") as fresh:
        folder = data or Path(fresh)

        def started(address: str) -> None:
            typer.echo(f"Watchbell's demo is at {address} (Ctrl-C ends it).")
            if browser:
                typer.launch(address)

        living = serve.demo(settings, folder, host=host, port=port, speed=speed)
        run_until_told(living, started, port)


def run_until_told(
    living: Living, started: Callable[[str], object], port: int, setting: str = "--port"
) -> None:
    """Serve until told to stop; a taken port is a sentence, which names the `setting` that chooses another."""
    from bot import loop, serve
    from bot.chat import DeliveryError

    try:
        loop.run(serve.until_told(started, living))
    except DeliveryError as error:  # a chat that refuses this bot for good
        fail(f"{str(error).rstrip('.')}. `watchbell check` says more.", 1)
    except OSError as error:
        if error.errno in (98, 48, 13):
            fail(f"Port {port} is taken or not allowed; choose another with {setting}.", 1)
        raise


@app.command()
def run(config: ConfigOption = None, data: DataOption = DEFAULT_DATA) -> None:
    """Run the bot as configured, until it is told to stop."""
    quiet(logging.INFO)
    from bot import serve

    settings = settings_of(config, tokens=True)
    quiet(logging.INFO, settings)
    living = serve.production(settings, data)
    run_until_told(
        living,
        lambda address: typer.echo(f"Watchbell is up; its pages are at {address}."),
        settings.web.port,
        "`web.port` or WATCHBELL_WEB_PORT",
    )


@app.command()
def play(
    files: Annotated[list[Path], typer.Argument(help="Chat scripts; docs/rehearsals.md explains them.")],
    config: ConfigOption = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", "-d", help="Keep the data here; without it, a temporary directory."),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line for all that the bot did.")
    ] = False,
) -> None:
    """Rehearse: play chat scripts on a virtual clock. Exit 0 when every `expect` holds, else 1; 2 unreadable."""
    quiet()
    from bot.play import play as rehearse
    from bot.stage import stage

    settings_of(config, tokens=False)
    code = asyncio.run(
        rehearse(
            files, config=config, data=data, json=json, out=sys.stdout, err=sys.stderr, stage_factory=stage
        )
    )
    raise SystemExit(code)


@app.command()
def check(
    config: ConfigOption = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Read the file only; ask no chat and no target.")
    ] = False,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Check a configuration: one line a fault with its line number, and exit status 2.

    Where there is nothing to fault, Slack and Matrix are asked, each where its token is set, whether they know the
    token, the channels and the people, and every real target whether it is there and lets the bot do its work: a
    line each, and exit status 1 where one is wrong.
    """
    settings = settings_of(config)
    people, services = len(settings.people), len(settings.catalogue.services)
    typer.echo(
        f"{settings.origin} is in order: {counted(people, 'person', 'people')}, {counted(services, 'service')}, "
        f"{counted(len(settings.policies), 'policy', 'policies')} ({', '.join(settings.policies)})."
    )
    if offline:
        return
    from bot.cli_check import ask

    if not asyncio.run(ask(settings, data)):
        raise SystemExit(1)


@manifest.command("slack")
def manifest_slack(
    http: Annotated[
        str,
        typer.Option("--http", help="Where Slack reaches the bot; without it, Socket Mode.", metavar="URL"),
    ] = "",
    prefix: Annotated[
        str, typer.Option(help="Have only this slash command; all others go behind it: /wb ack.")
    ] = "",
    name: Annotated[str, typer.Option(help="What the app is called.")] = "Watchbell",
) -> None:
    """Print the manifest of the Slack app, to be pasted where Slack creates it; docs/slack.md says how."""
    from bot.platforms.slack_manifest import manifest as slack
    from bot.platforms.slack_manifest import written

    typer.echo(written(slack(url=http, prefix=prefix, name=name)), nl=False)


@manifest.command("rbac")
def manifest_rbac(
    config: ConfigOption = None,
    cluster: Annotated[
        str, typer.Option(help="The target whose commands it is for; without it, the only cluster.")
    ] = "",
) -> None:
    """Print the smallest ClusterRole that the commands need in Kubernetes; docs/kubernetes.md binds it."""
    from bot.targets.kubernetes_rights import enabled, unnamed, written

    targets = settings_of(config, tokens=False).targets
    commands = enabled(targets, cluster)
    if config is not None and not cluster and (told := unnamed(targets)):
        typer.echo(f"{config}: {told}", err=True)
    typer.echo(written(commands), nl=False)


@app.command()
def simulate(
    words: Annotated[list[str], typer.Argument(help="As in chat: critical, or high 02:30 service=realtime.")],
    config: ConfigOption = None,
) -> None:
    """Show who would be paged when, and which contact is missing."""
    quiet()
    from bot.offline import simulated

    settings = settings_of(config, tokens=False)
    typer.echo(asyncio.run(simulated(settings, " ".join(words))))


@app.command()
def export(
    number: Annotated[int, typer.Argument(help="The incident's number.")],
    form: Annotated[str, typer.Argument(help="md, html, json, csv or zip.")] = "md",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write.")] = None,
    config: ConfigOption = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Write an incident's post-mortem, as the chat's /export does."""
    quiet()
    from bot.offline import export_of

    settings = settings_of(config, tokens=False)
    name, content, _mime = asyncio.run(export_of(settings, data, number, form))
    target = output or Path(name)
    target.write_bytes(content)
    typer.echo(f"Wrote {target} ({len(content):,} bytes).")


@audit.command()
def verify(data: DataOption = DEFAULT_DATA) -> None:
    """Compute every hash of the log again; exit status 1 where something was changed."""
    quiet()
    from bot.offline import verified

    report = asyncio.run(verified(data))
    for fault in report.faults:
        typer.echo(fault, err=True)
    if report.faults:
        fail(f"The log does not hold: {len(report.faults)} faults.", 1)
    typer.echo(f"The log holds: {report.events:,} events in {report.streams:,} streams.")


@db.command("upgrade")
def upgrade(data: DataOption = DEFAULT_DATA) -> None:
    """Bring the database to this version's schema (`run` and `demo` do it by themselves)."""
    from bot import store
    from bot.app import database

    data.mkdir(parents=True, exist_ok=True)
    store.upgrade(database(data))
    typer.echo(f"The database in {data} has this version's schema.")


@db.command("backup")
def backup(
    path: Annotated[Path, typer.Argument(help="File to write; it must not exist.")],
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Copy the log to a file while the bot runs."""
    from bot import store
    from bot.app import database

    store.backup(database(data), path)
    typer.echo(f"Wrote {path}.")


if __name__ == "__main__":
    main()
