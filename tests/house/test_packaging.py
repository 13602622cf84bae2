"""The house is built as its plan says: one direction of imports, a whole parcel, a sealed lock."""

import ast
import importlib
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import bot
import commands
import incidents
from bot.resources import resource
from tests.servers import require

ROOT = Path(__file__).parents[2]

# --- imports -------------------------------------------------------------------------------------

MAY_IMPORT = {
    "incidents": {"incidents"},
    "commands": {"commands", "incidents"},
    "bot": {"bot", "commands", "incidents"},
}
OUTSIDE_OF_EVERY_PACKAGE = {"tests", "benchmarks"}

# Pure calculation only: each of these takes its input as an argument.
LIBRARIES_OF_THE_DOMAIN = ("apscheduler.triggers", "icalendar", "recurring_ical_events", "markdown_it")

# The parts of the standard library that read a clock, roll dice, wait, or touch the world.
IMPURE = {
    *("asyncio", "concurrent", "multiprocessing", "queue", "sched", "select", "selectors", "signal"),
    *("subprocess", "threading", "time", "random", "secrets"),
    *("ctypes", "importlib", "io", "logging", "os", "pathlib", "sys"),
    *("dbm", "fileinput", "glob", "linecache", "mmap", "pickle", "shelve", "shutil", "sqlite3", "tempfile"),
    *("tarfile", "zipfile", "ftplib", "http", "imaplib", "poplib", "smtplib", "socket", "socketserver"),
    *("ssl", "urllib", "webbrowser", "xmlrpc"),
}
# It loads, decides and appends, so it awaits the store.
SERVICE = "incidents/service.py"


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(file: Path) -> Iterator[tuple[str, int]]:
    """Yield the full name of each module that a file imports, anywhere in it, and the line."""
    folder = file.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = folder[: len(folder) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            # Of `from apscheduler import triggers` either half may be the module.
            yield from ((f"{module}.{alias.name}", node.lineno) for alias in node.names)


def domain_may_import(module: str, file: str) -> bool:
    top = module.partition(".")[0]
    if top == "incidents" or any(f"{module}.".startswith(f"{name}.") for name in LIBRARIES_OF_THE_DOMAIN):
        return True
    if file == SERVICE and top == "asyncio":
        return True
    return top in sys.stdlib_module_names and top not in IMPURE


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_go_from_bot_to_commands_to_incidents_and_never_back(package: str) -> None:
    """No package knows of one above it, nor of the tests."""
    ours = set(MAY_IMPORT) | OUTSIDE_OF_EVERY_PACKAGE
    assert sources(package)
    breaches = [
        f"{file.relative_to(ROOT)}:{line} imports {module}"
        for file in sources(package)
        for module, line in imports(file)
        if (top := module.partition(".")[0]) in ours and top not in MAY_IMPORT[package]
    ]
    assert not breaches, "\n".join(breaches)


def test_the_domain_imports_nothing_that_touches_the_world() -> None:
    """incidents/ calculates: no input or output, no clock, no chance, no library of a platform."""
    breaches = [
        f"{name}:{line} imports {module}"
        for file in sources("incidents")
        for module, line in imports(file)
        if not domain_may_import(module, name := file.relative_to(ROOT).as_posix())
    ]
    assert not breaches, "\n".join(breaches)


def test_the_domain_asks_no_clock() -> None:
    """Time is handed in: nobody in incidents/ asks datetime what time it is."""
    breaches = [
        f"{file.relative_to(ROOT)}:{node.lineno} calls {ast.unparse(node)}"
        for file in sources("incidents")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in {"now", "utcnow", "today"}
        and ast.unparse(node.value).split(".")[-1] in {"datetime", "date"}
    ]
    assert not breaches, "\n".join(breaches)


# --- the wheel -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built and installed in a folder elsewhere."""
    parcel, target = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("installed")
    python(["-m", "build", "--wheel", "--no-isolation", "--outdir", str(parcel), str(ROOT)], cwd=parcel)
    (wheel,) = parcel.glob("watchbell-*.whl")
    python(
        ["-m", "pip", "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)], cwd=parcel
    )
    return target


def python(arguments: list[str], *, cwd: Path, path: Path | None = None) -> str:
    """Run this Python, with `path` before everything else that it imports from; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(path or ""), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "parts", [("templates",), ("runbooks",), ("bot", "migrations"), ("watchbell.example.yaml",)], ids="/".join
)
def test_an_installed_wheel_finds_its_resources(
    parts: tuple[str, ...], installed: Path, tmp_path: Path
) -> None:
    """Every file of them lies in the wheel, unchanged."""
    program = "import sys; from bot.resources import resource; print(resource(*sys.argv[1:]))"
    there = Path(python(["-c", program, *parts], cwd=tmp_path, path=installed).strip())
    assert there.is_relative_to(installed)
    assert contents(there) == contents(resource(*parts))


def contents(path: Path) -> dict[str, bytes]:
    files = [path, *path.rglob("*")]
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in files
        if file.is_file() and "__pycache__" not in file.parts
    }


REHEARSAL = """\
at 2026-01-03T02:30:00Z
grace in #ops: /incident open critical "Redis is down" service=realtime
expect in inc-1 alice
"""


def test_an_installed_wheel_plays_a_rehearsal(installed: Path, tmp_path: Path) -> None:
    """The program starts far from any checkout and holds a watch there."""
    script = tmp_path / "rehearsal.txt"
    script.write_text(REHEARSAL, encoding="utf-8")
    python(["-m", "bot", "play", str(script)], cwd=tmp_path, path=installed)


# --- the lock ------------------------------------------------------------------------------------


def locked() -> dict[str, list[str]]:
    """Return the block of lines of each requirement in the lock, by its first line."""
    lines = [line for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines() if line]
    starts = [n for n, line in enumerate(lines) if not line.startswith((" ", "#"))]
    return {lines[a].removesuffix(" \\"): lines[a:b] for a, b in pairwise([*starts, len(lines)])}


def test_every_requirement_in_the_lock_has_a_version_and_hashes() -> None:
    """Nobody can slip another file in."""
    assert locked()
    for requirement, block in locked().items():
        assert re.match(r"[a-z0-9-]+==\S+", requirement), requirement
        assert any("--hash=sha256:" in line for line in block), requirement


def test_the_lock_names_no_index_and_no_folder() -> None:
    """Where a machine gets its packages is that machine's business."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"(?m)^-|(?<!\S)[./~]*/\S|@ file", text)


def test_the_lock_fits_the_project() -> None:
    """Everything that pyproject.toml asks for is locked, at a version that it allows; if not: make lock."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"].values()
    wanted = [*project["project"]["dependencies"], *(each for extra in extras for each in extra)]
    versions = {}
    for requirement in locked():
        name, _, version = requirement.partition(";")[0].strip().partition("==")
        versions.setdefault(name, []).append(version)
    for text in [*wanted, *project["build-system"]["requires"]]:
        requirement = Requirement(text)
        if requirement.name == project["project"]["name"]:
            continue  # an extra made of the others
        found = versions.get(canonicalize_name(requirement.name), [])
        assert found, f"{text} is not in the lock"
        assert all(requirement.specifier.contains(version) for version in found), f"{text}, locked at {found}"


# --- containers ----------------------------------------------------------------------------------


def test_the_compose_file_is_valid() -> None:
    """Both ways to start it: the service and the demo."""
    compose = require("docker-compose")
    command = [compose, "--profile", "demo", "-f", str(ROOT / "docker-compose.yml"), "config", "--services"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {"watchbell", "demo"}


def patterns() -> Iterator[re.Pattern[str]]:
    """The regular expressions that modules keep."""
    for room in (bot, commands, incidents):
        for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            if not module.name.endswith("__main__") and "migrations" not in module.name:
                kept = vars(importlib.import_module(module.name)).values()
                yield from (
                    each for each in kept if isinstance(each, re.Pattern) and isinstance(each.pattern, str)
                )


def possessive_groups(parsed: Any) -> bool:
    """Whether something in it that is more than one character is repeated possessively."""
    for what, value in parsed:
        name, inner = str(what), value if isinstance(value, list | tuple) else [value]
        if name == "POSSESSIVE_REPEAT" and str(value[2][0][0]) not in ("LITERAL", "NOT_LITERAL", "IN", "ANY"):
            return True
        found = [each for part in inner for each in (part if isinstance(part, list) else [part])]
        if any(possessive_groups(each) for each in found if hasattr(each, "getwidth")):
            return True
    return False


def test_no_possessive_group() -> None:
    """Python before 3.11.5 mistakes `(…)*+` (cpython issue 106052); `(?>(…)*)` says the same."""
    parse: Any = importlib.import_module("re._parser").parse
    assert possessive_groups(parse("a(?:b|c(?:d|ef)*+)"))
    assert not possessive_groups(parse("a(?:b++|[cd]{1,3}+)*(?>(?:e|f)*)"))
    found = list(patterns())
    assert len(found) > 50
    assert [each.pattern for each in found if possessive_groups(parse(each.pattern, each.flags))] == []
