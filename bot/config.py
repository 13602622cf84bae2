"""Loads the configuration: YAML and environment become frozen settings, or every fault at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import chain
from pathlib import Path

from bot.config_build import build
from bot.config_check import check
from bot.config_environment import check_secrets, check_variables, known_values, overrides
from bot.config_faults import ConfigError, Fault, Finding, dotted, printable
from bot.config_schema import validate
from bot.config_settings import Settings
from bot.config_yaml import MOST_BYTES, Document, UnreadableError, read
from bot.platforms.slack_config import misplaced
from bot.resources import resource
from bot.targets import config as targets

__all__ = ["ConfigError", "Fault", "Settings", "load"]

EXAMPLE = "watchbell.example.yaml"


def load(
    path: Path | None,
    environ: Mapping[str, str],
    *,
    tokens: bool | None = None,
    commands: Collection[str] = (),
) -> Settings:
    """The settings of a file, or of the example where `path` is None; ConfigError with all that is wrong.

    `tokens`: whether variables that the file names have to be set, and its files be there (by default: for a file,
    not for the example; rehearsals need none). `commands`: the names that `approvals` may use, where they are known.
    """
    name = EXAMPLE if path is None else str(path)
    document = _document(name, path or resource(EXAMPLE))
    changed, faults = overrides(environ)
    wanted = tokens if tokens is not None else path is not None
    config, misfits = validate(document.data)
    faults += _faults(
        name,
        document,
        chain(document.findings, check_secrets(document.data)),
        chain(
            misfits,
            check(document.data, commands),
            check_variables(document.data, environ, wanted=wanted),
            misplaced(document.data, environ if wanted else {}),
            targets.misplaced(document.data, environ if wanted else {}),
            targets.files(document.data) if wanted else (),
        ),
    )
    if faults or config is None:
        raise ConfigError(faults)
    values = known_values(document.data, environ)
    return build(config, origin=name, environ=environ, overrides=changed, values=values)


def _document(name: str, path: Path) -> Document:
    try:
        with path.open("rb") as file:
            document = read(file.read(MOST_BYTES + 1))
    except OSError as error:
        raise ConfigError(
            [Fault(name, None, "", f"the file cannot be read: {error.strerror or error}")]
        ) from error
    except UnreadableError as error:
        raise ConfigError([Fault(name, error.line, "", str(error))]) from error
    if not isinstance(document.data, dict):
        why = (
            "the file is empty" if document.data is None else "should be a mapping of settings (name: value)"
        )
        raise ConfigError([Fault(name, 1, "", why), *_faults(name, document, document.findings, ())])
    return document


def _faults(name: str, document: Document, first: Iterable[Finding], then: Iterable[Finding]) -> list[Fault]:
    """The findings by line, each once; what comes of a finding among `first` is not said again."""
    found = list(first)
    known = {finding.path for finding in found}
    # A secret in the file stands where the name of its variable belongs, which is missing therefore.
    known |= {(*path[:-1], f"{path[-1]}_env") for path in known if path}
    found += [finding for finding in then if finding.path not in known]
    faults = {
        Fault(
            name,
            finding.line or document.line(finding.path),
            dotted(finding.path),
            printable(finding.message),
        ): None
        for finding in found
    }
    return sorted(faults, key=lambda fault: (fault.line or 0, fault.key))
