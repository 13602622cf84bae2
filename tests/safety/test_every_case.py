"""Every case of the list that the chats of this version can hold has a test that carries its number."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

HELD = [number for number in range(1, 39) if number not in (30, 34)]  # 30 comes with the runbooks' checklists
# Played on a cluster and on a Redis as well; 34 is about what the bot may do there, and nowhere else.
ON_SYSTEMS = [*range(10, 17), *range(18, 21), *range(31, 35), 38]

_IN_NAME = re.compile(r"^test_safety_(\d+)_")
_IN_DOCSTRING = re.compile(r"\bSAFETY (\d+(?:, \d+)*)")


def every_test() -> Iterator[tuple[str, set[int]]]:
    """Each test of the tree, and the cases that its name or its docstring names."""
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                found = {int(number) for number in _IN_NAME.findall(node.name)}
                for listed in _IN_DOCSTRING.findall(ast.get_docstring(node) or ""):
                    found |= {int(number) for number in listed.split(", ")}
                yield f"{path.relative_to(TESTS)}::{node.name}", found


CASES = list(every_test())


@pytest.mark.parametrize("number", HELD)
def test_the_case_has_a_test(number: int) -> None:
    """By its number, in a test's name or docstring; in this folder one that plays it."""
    named = [name for name, cases in CASES if number in cases]
    assert named
    assert [name for name in named if name.startswith("safety/")]


@pytest.mark.parametrize("system", ["kubernetes", "redis"])
@pytest.mark.parametrize("number", ON_SYSTEMS)
def test_the_case_is_played_on_the_system(number: int, system: str) -> None:
    """In a file of its own, or in one whose tests are played on both."""
    files = {name.partition("::")[0] for name, cases in CASES if number in cases}
    assert [file for file in files if re.match(rf"targets/test_({system}|safety)_", file)]


def test_no_test_names_a_case_that_there_is_not() -> None:
    """A slip in a number would hide a case without a test."""
    strange = {name: cases for name, cases in CASES if not cases <= set(range(1, 39))}
    assert strange == {}


def test_every_test_of_this_folder_names_its_case() -> None:
    """So that a failure says at once what does not hold."""
    here = [name for name, cases in CASES if name.startswith("safety/") and not cases]
    assert [name for name in here if "test_every_case" not in name] == []
