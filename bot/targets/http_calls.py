"""Named calls: what was typed becomes typed arguments by JSON schema, and these become one request."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import jsonschema
import orjson

from bot.redact import REDACTED
from bot.targets.http_config import FORMATS, PLACEHOLDER, Call
from commands.actions import TargetError
from commands.values import nearest, shown
from incidents.ports import RefusedError

_PLAIN = re.compile(
    r"[A-Za-z0-9._:/+][A-Za-z0-9._:/+@ -]{0,199}", re.ASCII
)  # a text without a schema of its own
_INTEGER = re.compile(r"-?[0-9]{1,15}", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,9})?", re.ASCII)
_INDEX = re.compile(r"[0-9]{1,9}", re.ASCII)
_SPACE = re.compile(r"\s", re.ASCII)
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_WORD = re.compile(r"\s*([A-Za-z][A-Za-z0-9_-]{0,62})=(?:\"([^\"\n]*)\"|([^\s\"]*))(?=\s|$)", re.ASCII)
_KEPT = ("enum", "pattern", "const")
_DEEPEST = 100  # lists and objects within one another, in an answer
_CHECKER = jsonschema.FormatChecker(FORMATS)


def words(name: str, text: str, call: Call | None = None) -> dict[str, str]:
    """`provider=openai instances=5` by name; RefusedError for what is no `name=value`, stands twice, or was a secret.

    `call` is what an example is made from.
    """
    if REDACTED in text:
        raise RefusedError(
            f"What looked like a secret was taken out of the arguments of {name}, so it is not sent: "
            "a secret cannot be typed into a chat."
        )
    found: dict[str, str] = {}
    at, plain = 0, text.rstrip()
    while at < len(plain):
        word = _WORD.match(plain, at)
        if word is None:
            told = f", as in `{example(name, call)}`" if call is not None and call.args else ""
            raise RefusedError(f"Write arguments as name=value{told}, not {shown(plain[at:].strip())}.")
        if word[1] in found:
            raise RefusedError(f"{word[1]} stands there twice.")
        found[word[1]] = word[3] if word[2] is None else word[2]
        at = word.end()
    return found


def typed(name: str, call: Call, given: Mapping[str, str]) -> dict[str, Any]:
    """The arguments as the schemas have them, in the configuration's order; RefusedError where one does not fit."""
    for argument in given:
        if argument not in call.args:
            hint = nearest(argument, call.args) or f" It takes {', '.join(call.args) or 'none'}."
            raise RefusedError(f"{name} has no argument {shown(argument)}.{hint}")
    missing = [a for a in call.args if a not in given and a not in call.optional]
    if missing:
        raise RefusedError(f"{name} needs {', '.join(missing)}, as in `{example(name, call)}`.")
    found = {a: _value(a, schema, given[a]) for a, schema in call.args.items() if a in given}
    for argument, value in found.items():
        _hold(argument, value, call.args[argument])
    return found


def _value(name: str, schema: Mapping[str, Any], word: str) -> Any:
    """One word as its schema's type; choices that are no text are told by how they are written."""
    if not word or (word[0] in "-—–" and schema.get("type") not in ("integer", "number")):
        raise RefusedError(f"{name} has no value." if not word else f"{name} does not begin with -.")
    kind = schema.get("type")
    if kind == "array":
        items = schema.get("items")
        inner = items if isinstance(items, dict) else {"type": "string"}
        return [_value(name, inner, part.strip()) for part in word.split(",")]
    if kind == "integer":
        return int(_like(name, _INTEGER, word, "a whole number in plain digits"))
    if kind == "number":
        plain = _like(name, _NUMBER, word, "a number in plain digits")
        return float(plain) if "." in plain else int(plain)
    if kind == "boolean":
        if word.casefold() not in _BOOLEANS:
            raise RefusedError(f"{name} is yes or no; {shown(word)} is neither.")
        return _BOOLEANS[word.casefold()]
    choices = schema.get("enum")
    if isinstance(choices, list):
        return next((choice for choice in choices if flat(choice) == word), word)
    return (
        word
        if any(key in schema for key in _KEPT)
        else _like(name, _PLAIN, word, "letters, digits and . _ : / + @ -")
    )


def _like(name: str, form: re.Pattern[str], word: str, what: str) -> str:
    if not form.fullmatch(word):
        raise RefusedError(f"{name} is {what}; {shown(word)} is not.")
    return word


def _hold(name: str, value: Any, schema: Mapping[str, Any]) -> None:
    """Hold a value against its JSON schema (draft 2020-12)."""
    validator = jsonschema.Draft202012Validator(schema, format_checker=_CHECKER)
    fault = next(iter(validator.iter_errors(value)), None)
    if fault is None:
        return
    rule = fault.validator_value
    sentence = {
        "enum": f"is one of {', '.join(map(flat, rule)) if isinstance(rule, list) else rule}",
        "minimum": f"is at least {rule}",
        "maximum": f"is at most {rule}",
        "exclusiveMinimum": f"is more than {rule}",
        "exclusiveMaximum": f"is less than {rule}",
        "maxLength": f"has at most {rule} characters",
        "minItems": f"has at least {rule} parts",
        "maxItems": f"has at most {rule} parts",
        "uniqueItems": "names nothing twice",
        "pattern": f"has the form {rule}",
        "format": f"has the form of {FORMATS.get(str(rule))}",
    }.get(str(fault.validator), "has another form by its schema")
    raise RefusedError(f"{name} {sentence}; {shown(str(fault.instance))} is not allowed.")


def sound(name: str, call: Call) -> None:
    """RefusedError where a schema is none."""
    for argument, schema in call.args.items():
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as error:
            raise RefusedError(
                f"The schema of {argument} of the call {name} is none: {error.message}."
            ) from error


def request(call: Call, args: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Path and content of the request; what does not stand in the path goes into the query, or into the body."""
    named = PLACEHOLDER.findall(call.path)
    path = PLACEHOLDER.sub(lambda found: _segment(found[1], args[found[1]]), call.path)
    rest = {**call.fixed, **{name: value for name, value in args.items() if name not in named}}
    if call.method in ("GET", "DELETE"):
        return path, {"params": {name: flat(value) for name, value in rest.items()}} if rest else {}
    return path, {"json": rest} if rest else {}


def _segment(name: str, value: Any) -> str:
    """One segment of a path, whatever is in it (RFC 3986, 2.1); `.` and `..` would be another path."""
    text = flat(value)
    if text in (".", ".."):
        raise RefusedError(f"{name} cannot be {text}.")
    return quote(text, safe="")


def flat(value: Any) -> str:
    """How a value is written in a path, a query and a line: `true`, `0.5`, `a,b`."""
    if isinstance(value, list):
        return ",".join(map(flat, value))
    if isinstance(value, float):
        return f"{Decimal(repr(value)):f}"  # 0.0000001, not 1e-07
    return str(value).lower() if isinstance(value, bool) else str(value)


def deep(data: Any) -> bool:
    """Whether data is nested deeper than what reads it goes down."""
    level = [data]
    for _ in range(_DEEPEST):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return True


def at(data: Any, way: str, args: Mapping[str, Any]) -> Any:
    """The value at `instances.{provider}.wanted`; TargetError where there is none, or it is no plain value."""
    found = data
    for key in way.split("."):  # before arguments come in: a point in one of them is part of a key
        part = PLACEHOLDER.sub(lambda m: flat(args[m[1]]) if m[1] in args else m[0], key)
        if isinstance(found, list) and _INDEX.fullmatch(part) and int(part) < len(found):
            found = found[int(part)]
        elif isinstance(found, dict) and part in found:
            found = found[part]
        else:
            raise TargetError(f"The answer has no {shown(way)}, so what is there now cannot be told.")
    if isinstance(found, dict) or len(str(found)) > 200:
        raise TargetError(f"What stands at {shown(way)} is no single value.")
    return found


def line(name: str, args: Mapping[str, Any]) -> str:
    """The call as it is typed again."""
    return " ".join(["http", name, written(args)]).rstrip()


def written(args: Mapping[str, Any]) -> str:
    """The arguments as they are typed. Not every text can be; whether `words` and `typed` find the same in it tells."""
    return " ".join(f"{a}={_quoted(flat(value))}" for a, value in args.items())


def example(name: str, call: Call) -> str:
    """How the call is typed: `http router-scale provider_type=openai desired_instances=…`."""
    parts = []
    for argument, schema in call.args.items():
        choices = schema.get("enum")
        word = flat(choices[0]) if isinstance(choices, list) and choices else "…"
        parts.append(f"[{argument}={word}]" if argument in call.optional else f"{argument}={word}")
    return " ".join(["http", name, *parts])


def digest(name: str, calls: Mapping[str, Call]) -> str:
    """What the configuration says of a call, in a few letters: a plan is void where it says something else now.

    The calls that its `before` and `undo` lead to belong to it, for an approval covers them.
    """
    said: dict[str, Any] = {}
    waiting = [name]
    while waiting:
        if (each := waiting.pop()) not in said:
            call = calls[each]
            said[each] = call.model_dump()
            waiting += [other for other in (call.undo, call.before and call.before.call) if other]
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]


def _quoted(text: str) -> str:
    return f'"{text}"' if not text or _SPACE.search(text) else text
