"""Secrets and what a container sets: read from the environment, never from the file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from bot.config_faults import Fault, Finding, KeyPath, leaves
from bot.platforms.matrix_config import is_device

# Keys whose value is a secret whatever it looks like, and texts that are one wherever they stand.
_SECRET_KEY = re.compile(
    r"(?:[a-z0-9]+_){0,9}(?:token|password|passwd|secret|api_?key|access_key|private_key|signing_key|credentials?)"
)
_SECRET_TEXT = re.compile(
    r"xox[abeoprs]-[\w-]{8,}|xapp-[\w-]{8,}|hooks\.slack\.com/services/\w"  # Slack
    r"|syt_\w{4,}|mct_\w{8,}"  # Matrix
    r"|gh[oprsu]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
    r"|AKIA[0-9A-Z]{16}|sk-[\w-]{20,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\."  # a JSON Web Token
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|[a-z][a-z0-9+.-]*://[^\s:/@]*:[^\s/@]+@"  # a URL with a password
)
_LONG_WORD = re.compile(r"[A-Za-z0-9+/=_-]{32,}")
_ENV = "_env"


def check_secrets(data: Any) -> Iterator[Finding]:
    """A fault, which does not repeat it, for every value that looks like a secret."""
    for path, value in leaves(data):
        if path[:2] == ("redaction", "patterns") or isinstance(value, bool) or value in (None, ""):
            continue
        if is_device(path) and not _SECRET_TEXT.search(str(value)):
            continue  # fingerprints of keys look random, and are public
        key = _key(path).casefold().replace("-", "_")
        looks = isinstance(value, str) and _looks_secret(value)
        if _SECRET_KEY.fullmatch(key):
            advice = f"put it into an environment variable and write `{key}_env: NAME_OF_THE_VARIABLE`"
            yield Finding(path, f"is a secret, which has no place in this file; {advice}")
        elif looks and key.endswith(_ENV):
            advice = "write the name of the environment variable that holds it"
            yield Finding(path, f"looks like the secret itself; {advice}, and renew the secret")
        elif looks:
            yield Finding(path, "looks like a secret; take it out of the file, and renew it")


def _looks_secret(text: str) -> bool:
    if _SECRET_TEXT.search(text):
        return True
    return any(_random(word) for word in re.split(r"[\s,]+", text) if _LONG_WORD.fullmatch(word))


def _random(word: str) -> bool:
    digits = sum(c.isdigit() for c in word)
    kinds = (any(c.islower() for c in word), any(c.isupper() for c in word), digits > 2)
    return all(kinds) or bool(re.fullmatch(r"[0-9a-f]{32,}", word) and digits > 2)


def check_variables(data: Any, environ: Mapping[str, str], *, wanted: bool) -> Iterator[Finding]:
    """Faults of the settings `…_env`: no name of a variable or, where `wanted`, one that is not set."""
    for path, name in leaves(data):
        if not str(path[-1]).endswith(_ENV) or name is None:
            continue
        if not isinstance(name, str) or not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,99}", name):
            yield Finding(path, "should be the name of an environment variable, in capitals")
        elif wanted and not environ.get(name, "").strip():
            state = "is empty" if name in environ else "is not set"
            yield Finding(path, f"the environment variable {name} {state}")


def with_secrets(section: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """A section with `token` beside every `token_env`, at any depth: a SecretStr, or None if not set."""
    found: dict[str, Any] = {}
    for key, value in section.items():
        found[key] = with_secrets(value, environ) if isinstance(value, dict) else value
        if key.endswith(_ENV):
            found[key.removesuffix(_ENV)] = secret(value, environ)
    return found


def secret(name: str | None, environ: Mapping[str, str]) -> SecretStr | None:
    """What a variable holds, spaces around it left out; None where it is not set or empty."""
    value = environ.get(name, "").strip() if name else ""
    return SecretStr(value) if value else None


def known_values(data: Any, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Every secret of the environment that the file names, the longest first: none survives in part."""
    names = [n for path, n in leaves(data) if _key(path).endswith(_ENV) and isinstance(n, str)]
    whole = {found.get_secret_value() for name in names if (found := secret(name, environ))}
    values = {part for value in whole for part in (value, *_passwords(value))}
    # Anything shorter would be cut out of ordinary words.
    return tuple(sorted((v for v in values if len(v) >= 4), key=lambda value: (-len(value), value)))


def _passwords(url: str) -> tuple[str, ...]:
    """The password of an address, as it stands there and as it is sent; nothing for other texts.

    A short one is no more than a word: it would be cut out of everything.
    """
    found = re.match(r"[a-z][a-z0-9+.-]*://[^/?#]*?:([^/?#]{6,})@", url)
    return (found[1], unquote(found[1])) if found else ()


def _key(path: KeyPath) -> str:
    return next((part for part in reversed(path) if isinstance(part, str)), "")


class Overrides(BaseSettings):
    """What the environment may change without a file: WATCHBELL_WEB_HOST and WATCHBELL_WEB_PORT."""

    model_config = SettingsConfigDict(env_prefix="WATCHBELL_", extra="ignore", env_ignore_empty=True)

    web_host: str | None = None
    web_port: int | None = Field(default=None, ge=0, le=65_535)


def overrides(environ: Mapping[str, str]) -> tuple[Overrides, list[Fault]]:
    """The overrides in `environ`, and what is wrong with them."""

    class Handed(Overrides):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *_: Any, **__: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            source = EnvSettingsSource(settings_cls)
            source.env_vars = {key.lower(): value for key, value in environ.items() if value}
            return (source,)

    try:
        return Handed(), []
    except ValidationError as error:
        faults = [
            Fault(
                "environment", None, f"WATCHBELL_{str(e['loc'][0]).upper()}", "should be a port, 0 to 65535"
            )
            for e in error.errors()
        ]
        return Overrides.model_construct(), faults
