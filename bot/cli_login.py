"""`watchbell login`: an access token for a chat, asked for with the password of the bot's account."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

login = typer.Typer(help="Get an access token of a chat.", no_args_is_help=True)


@login.callback()
def _group() -> None:
    """Get an access token of a chat."""


@login.command("matrix")
def matrix(
    homeserver: Annotated[
        str,
        typer.Option(help="Its address, or the name behind the colon of a user ID; asked for if left out."),
    ] = "",
    user: Annotated[str, typer.Option(help="The bot's account; asked for if left out.")] = "",
) -> None:
    """Log the bot's account in as a new device, and print the token for the environment. Nothing is stored.

    The password is asked for, or read from standard input where that is no terminal.
    """
    from bot.platforms.matrix_login import log_in

    server = homeserver or _asked("Homeserver")
    account = user or _asked("User")
    typer.echo(asyncio.run(log_in(server, account, _password())).written())


def _asked(what: str) -> str:
    """A line of the terminal's, or of standard input; the question goes to standard error."""
    found: str = typer.prompt(what, err=True)
    return found


def _password() -> str:
    if sys.stdin.isatty():
        found: str = typer.prompt("Password", hide_input=True, err=True)
        return found
    return sys.stdin.readline().rstrip("\r\n")
