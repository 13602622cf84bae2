"""The documents say what the code does, their links lead somewhere, and they name nobody's machine."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from urllib.parse import unquote

import pytest
import typer
import yaml

from bot.cli import app
from bot.config_model import Config
from bot.config_schema import validate
from bot.measures import Measures
from incidents import events as e
from tests.house import operations_page
from tests.house.commands_page import page

ROOT = Path(__file__).parents[2]
ELSEWHERE = {".venv", ".git", "node_modules", "build", "dist"}
FENCED = re.compile(r"^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
# Where people keep their files, and what only one machine has. Addresses in a URL are another thing.
OF_A_MACHINE = re.compile(
    r"(?<![\w.:/])/(?:home|root|Users|mnt|media|srv|work|workspace)/|\b[A-Z]:\\\\?\w|file://"
)


def documents() -> list[Path]:
    """Every document that travels with the project."""
    folders = [ROOT / "docs", ROOT / "runbooks", ROOT / "benchmarks", ROOT / "tests", ROOT / "templates"]
    found = [*ROOT.glob("*.md"), *(file for folder in folders for file in folder.rglob("*.md"))]
    return sorted(file for file in found if not ELSEWHERE & set(file.relative_to(ROOT).parts))


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def text_of(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def rows(file: str) -> Iterator[list[str]]:
    """The cells of every row of every table."""
    for line in text_of(ROOT / file).splitlines():
        if line.startswith("|"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def test_the_page_of_the_commands_is_up_to_date() -> None:
    """If not: python -m tests.house.commands_page > docs/commands.md."""
    assert text_of(ROOT / "docs" / "commands.md") == page()


def test_the_table_of_the_operations_is_up_to_date() -> None:
    """If not: python -m tests.house.operations_page. Every change says there how it is taken back."""
    changes = {command.name for command in operations_page.operations() if command.effect != "read"}
    assert changes == set(operations_page.UNDO)
    text = text_of(operations_page.PAGE)
    assert text == operations_page.written(text)


def test_every_event_is_described_with_its_fields() -> None:
    """docs/events.md has a row for each kind, with exactly the fields that it has, in their order."""
    described = {
        cells[0].strip("`"): re.findall(r"`(\w+)`", cells[2])
        for cells in rows("docs/events.md")
        if len(cells) == 3 and re.fullmatch(r"`[A-Z]\w+`", cells[0])
    }
    there = {
        kind.__name__: [f.name for f in fields(kind) if f.name not in ("at", "actor")] for kind in e.kinds()
    }
    assert described == there


def test_every_metric_is_described() -> None:
    """docs/operating.md has a row for each, under the name that Prometheus sees."""
    described = {cells[0].strip("`") for cells in rows("docs/operating.md")}
    for metric in Measures().registry.collect():
        seen = f"{metric.name}_total" if metric.type == "counter" else metric.name
        assert seen in described, f"{seen} is not described"


def test_every_command_of_the_command_line_is_in_the_readme() -> None:
    """In its table, with the group before it."""
    text = " ".join(cells[0] for cells in rows("README.md"))
    for words in command_lines(typer.main.get_command(app)):
        assert f"`watchbell {words}" in text, words


def command_lines(command: object, before: str = "") -> Iterator[str]:
    """`demo`, `audit verify`, …"""
    for name_, found in sorted(getattr(command, "commands", {}).items()):
        words = f"{before} {name_}".strip()
        if hasattr(found, "commands"):
            yield from command_lines(found, words)
        else:
            yield words


@pytest.mark.parametrize("chat", ["slack", "matrix"])
def test_what_a_guide_has_written_into_the_configuration_fits(chat: str) -> None:
    """Nothing is wrong with it but that it is a part of a whole; what begins further in stands under the chat."""
    blocks = re.findall(
        r"^ *```yaml\n(.*?)^ *```", text_of(ROOT / "docs" / f"{chat}.md"), re.DOTALL | re.MULTILINE
    )
    assert blocks
    for block in blocks:
        data = yaml.safe_load(textwrap.dedent(block))
        whole = data if set(data) & set(Config.model_fields) else {"platforms": {chat: data}}
        wrong = [finding for finding in validate(whole)[1] if not finding.message.startswith("is missing")]
        assert not wrong, wrong


@pytest.mark.parametrize("document", documents(), ids=name)
def test_links_lead_somewhere(document: Path) -> None:
    """Files exist, and headings too; what leads elsewhere is left to readers."""
    lost = []
    for plain, tagged in LINK.findall(FENCED.sub("", text_of(document))):
        target, _, heading = (plain or tagged).partition("#")
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        file = (document.parent / unquote(target)).resolve() if target else document
        if not file.is_relative_to(ROOT) or not file.exists():
            lost.append(f"{target}: there is no such file")
        elif heading and heading not in headings(file):
            lost.append(f"{target}#{heading}: there is no such heading")
    assert not lost, "\n".join(lost)


def headings(file: Path) -> set[str]:
    """The anchors that code hosts make of the headings."""
    found = re.findall(r"^#{1,6} +(.+?) *#*$", FENCED.sub("", text_of(file)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("document", documents(), ids=name)
def test_no_document_names_a_folder_of_somebody_s_machine(document: Path) -> None:
    """What is printed works on every machine."""
    assert OF_A_MACHINE.findall(text_of(document)) == []


def test_the_rules_find_what_they_are_for(tmp_path: Path) -> None:
    """A rule that finds nothing would let everything pass."""
    assert all(OF_A_MACHINE.search(text) for text in ("in /home/alice/x", "`/root/.venv`", "C:\\Users\\x"))
    assert not any(
        OF_A_MACHINE.search(text) for text in ("GET /health", "http://host/home/", "/etc/watchbell/")
    )
    assert LINK.findall('[a](b.md#c) <img src="d.png">') == [("b.md#c", ""), ("", "d.png")]
    (tmp_path / "x.md").write_text("# Who may *vote*?\n```\n# not one\n```\n", encoding="utf-8")
    assert headings(tmp_path / "x.md") == {"who-may-vote"}
    assert documents()
