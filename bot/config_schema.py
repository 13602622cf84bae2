"""Holds a file's data against the models, and says in sentences what does not fit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from bot.config_faults import Finding, KeyPath, dotted, mapping, meant, quoted
from bot.config_model import Config
from bot.targets import config as targets

_SENTENCES: Mapping[str, str] = {
    "bool_type": "should be true or false",
    "dict_type": "should be a mapping (name: value)",
    "greater_than_equal": "should be at least {ge}",
    "int_from_float": "should be a whole number",
    "int_type": "should be a whole number",
    "less_than_equal": "should be at most {le}",
    "list_type": "should be a list",
    "missing": "is missing",
    "model_type": "should be a mapping (name: value)",
    "string_type": "should be text; put it in quotes",
    "too_short": "needs at least {min_length}",
}
# What a newcomer is told about a setting that has to be there.
_WHY: Mapping[str, str] = {
    "channels": "say which channels the bot is operated from",
    "default_policy": "name the policy of incidents that no other one fits",
    "fallback": "somebody has to be paged when every rung is empty",
    "platforms": "name at least one chat, such as console",
    "zone": "the team's time zone, such as Europe/Berlin",
}


def validate(data: Any) -> tuple[Config | None, list[Finding]]:
    """The models of `data`, or all that does not fit."""
    found, findings = _held(Config, data, ())
    findings = [_misspelt(finding, data) for finding in findings]
    for name, driver, section in targets.drivers(data):
        findings += _held(targets.DRIVERS[driver].model, section, ("targets", name))[1]
    return found, findings


def _misspelt(finding: Finding, data: Any) -> Finding:
    """A target's missing `driver`, found under another name: what else stands there is judged by the driver alone."""
    match finding.path:
        case ("targets", str(name), "driver") if finding.message == _SENTENCES["missing"]:
            for key in mapping(data, "targets", name):
                if "did you mean" in (hint := meant(key, ["driver"])):
                    return Finding(("targets", name, key), f"there is no such setting{hint}")
    return finding


M = TypeVar("M", bound=BaseModel)


def _held(model: type[M], data: Any, path: KeyPath) -> tuple[M | None, list[Finding]]:
    """The model of the data at `path`, or all that does not fit."""
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=True)
        return None, [_finding(detail, model, path) for detail in details]


def _finding(error: ErrorDetails, root: type[BaseModel], before: KeyPath) -> Finding:
    path: KeyPath = error["loc"]
    if path and path[-1] == "[key]":
        path = path[:-1]
        if error["type"] == "literal_error":
            return Finding((*before, *path), _not_one_of(str(path[-1]), error))
    return Finding((*before, *path), _sentence(path, error, root))


def _sentence(path: KeyPath, error: ErrorDetails, root: type[BaseModel]) -> str:
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        model = model_at(path[:-1], root)
        known = tuple(model.model_fields) if model else ()
        return f"there is no such setting{meant(str(path[-1]), known)}"
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind == "missing":
        why = _WHY.get(dotted(path))
        return f"is missing: {why}" if why else "is missing"
    if value is None:
        return "is empty; write a value (in quotes where it begins with #) or leave the line out"
    if kind == "literal_error" and isinstance(value, str):
        return _not_one_of(value, error)
    if kind == "literal_error":
        return f"should be one of {', '.join(_choices(error))}"
    sentence = _SENTENCES.get(kind)
    return sentence.format(**error.get("ctx", {})) if sentence else error["msg"]


def _choices(error: ErrorDetails) -> list[str]:
    return re.findall(r"'([^']*)'", error["ctx"]["expected"])


def _not_one_of(word: str, error: ErrorDetails) -> str:
    choices = _choices(error)
    return f"{quoted(word)} is not one of {', '.join(choices)}{_near(word, choices)}"


def _near(word: str, choices: list[str]) -> str:
    hint = meant(word, choices)
    return hint if "did you mean" in hint else ""


# -- the models as a tree ---------------------------------------------------------------------------


def model_at(path: KeyPath, root: type[BaseModel] = Config) -> type[BaseModel] | None:
    """The model that describes the mapping at `path`, seen from `root`, or None."""
    model: type[BaseModel] | None = root
    among = False
    for part in path:
        if among:  # the name or number of one of several
            among = False
            continue
        field = model.model_fields.get(str(part)) if model else None
        if field is None:
            return None
        form, model = _form(field.annotation)
        among = bool(form)
    return None if among else model


def settings(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting of the file, as the manual writes it: `people.NAME.contacts[].kind`."""
    for name, field in model.model_fields.items():
        form, inner = _form(field.annotation)
        if inner is None:
            yield f"{prefix}{name}", field
        else:
            yield from settings(inner, f"{prefix}{name}{form}.")
        if (model, name) == (Config, "targets"):
            yield from _of_drivers()


def _of_drivers() -> Iterator[tuple[str, FieldInfo]]:
    """What drivers add to a target; what several of them have means the same, and stands there once."""
    fields: dict[str, FieldInfo] = {}
    for model in targets.models().values():
        fields = {**model.model_fields, **fields}
    yield from ((f"targets.NAME.{name}", field) for name, field in fields.items() if name != "driver")


def _form(annotation: Any) -> tuple[str, type[BaseModel] | None]:
    """How a setting holds a model: alone, several by name or in a list; None for plain values."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "", annotation
    inside = get_args(annotation)
    if get_origin(annotation) in (dict, list):
        return (".NAME" if get_origin(annotation) is dict else "[]"), _form(inside[-1])[1]
    models = (model for _, model in map(_form, inside) if model is not None)
    return "", next(models, None)
