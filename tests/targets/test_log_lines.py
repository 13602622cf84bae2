"""Logs as they come in: never more than the limit, no half lines, and no secret across the borders of pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bot.redact import Redactor
from bot.targets.log_lines import LONGEST, Lines, having, newest, printable

KEY = ["-----BEGIN RSA PRIVATE KEY-----", "MIIEpAIBAAKCAQEAzz", "abcdefgh=", "-----END RSA PRIVATE KEY-----"]
TEXT = "\n".join(["one", "password=Sw0rdfish-4711 two", *KEY, "three", "last without an end"]).encode()


class Wire:
    """Pieces of a text, counted as they are taken."""

    def __init__(self, text: bytes, size: int) -> None:
        self.text, self.size, self.taken = text, size, 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Piece by piece."""
        for at in range(0, len(self.text), self.size):
            self.taken += 1
            yield self.text[at : at + self.size]


async def told(text: bytes, size: int, *, most: int = 10_000, count: int = 100, word: str = "") -> list[str]:
    lines = Lines(aiter(Wire(text, size)), most)
    return await newest(lines, Redactor(), count, having(word))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 64, 10_000])
async def test_safety_20_a_secret_across_pieces_is_found(size: int) -> None:
    """However the network cuts it, also in the middle of a letter; a key of several lines is one secret."""
    found = await told(TEXT + "\nümlaut".encode(), size)
    assert found[0] == "one"
    assert found[-3:] == ["three", "last without an end", "ümlaut"]
    whole = "\n".join(found)
    assert not any(part in whole for part in ("Sw0rdfish", "MIIE", "abcdefgh", "PRIVATE"))
    assert whole.count("‹redacted›") == 2


@pytest.mark.parametrize("size", [1, 4, 1000])
async def test_a_line_that_the_limit_cuts_is_left_out_and_nothing_more_is_read(size: int) -> None:
    """The limit may lie at the end of a line, within one, or at the end of everything."""
    text = b"aaa\nbbb\nccc\n" + b"d" * 5000
    for most, lines in (
        (3, []),
        (4, ["aaa"]),
        (7, ["aaa"]),
        (8, ["aaa", "bbb"]),
        (12, ["aaa", "bbb", "ccc"]),
    ):
        wire = Wire(text, size)
        reading = Lines(aiter(wire), most)
        assert [line.decode() async for line in reading] == lines
        assert reading.cut
        assert wire.taken <= most // size + 1
    whole = Lines(aiter(Wire(b"aaa\nbbb", size)), 7)
    assert [line async for line in whole] == [b"aaa", b"bbb"]
    assert not whole.cut


async def test_only_the_newest_that_are_wanted_are_kept() -> None:
    """A secret cannot be searched for: what is looked at is what may be told."""
    text = "\n".join(f"{n} password=Sw0rdfish-{n} x" for n in range(1000)).encode()
    assert [line.split()[0] for line in await told(text, 100, most=10**6, count=3)] == ["997", "998", "999"]
    assert await told(text, 100, most=10**6, word="Sw0rdfish") == []


async def test_a_key_without_an_end_takes_the_rest_with_it() -> None:
    """Where the end is beyond the limit nobody knows where the key stops."""
    text = "\n".join(["before", *KEY[:3], "still the key"]).encode()
    assert await told(text, 5) == ["before", "‹redacted›"]


async def test_bytes_that_are_no_text() -> None:
    """As escapes; colours not at all, controls as signs of their own."""
    assert await told(b"\xff\xfe ok\r\n\x1b[31mred\x00", 3) == ["\\xff\\xfe ok", "red�"]


@pytest.mark.parametrize(
    "colour",
    [
        *(
            "\x1b[31m",
            "\x1b[0m",
            "\x1b[m",
            "\x1b[1;31;40m",
            "\x1b[38:5:1m",
            "\x1b[?25l",
            "\x1b[2K",
            "\x9b31m",
        ),
        *("\x1b]0;title\x07", "\x1b]8;;http://x\x1b\\"),
    ],
)
async def test_safety_20_colours_hide_no_secret(colour: str) -> None:
    """A logger that paints names and values: what a terminal would show is what is looked at."""
    for line in (
        f"{colour}password{colour}={colour}Sw0rdfish-4711",
        f"pass{colour}word=Sw0rdfish-4711",
        f"password={colour}Sw0rdfish{colour}-4711",
        f"{colour}password {colour}=Sw0rdfish-4711",
    ):
        [found] = await told(line.encode(), 100)
        assert "Sw0rdfish" not in found
        assert "4711" not in found
        assert printable(line.encode()).isprintable()


STAMP = "2026-01-03T02:29:00.123456789Z "


@pytest.mark.parametrize("stamp", ["", STAMP])
@pytest.mark.parametrize("lost", [1, 2, 3])
async def test_safety_20_a_key_whose_beginning_is_cut_off(stamp: str, lost: int) -> None:
    """Its end alone tells that what stands before may be the key: it goes, and what comes after stays."""
    lines = ["written while the key was", *KEY[lost:], "after", *KEY, "last"]
    text = "\n".join(stamp + line for line in lines).encode()
    found = await told(text, 16)
    assert found == [f"{stamp}{line}" for line in ("‹redacted›", "after", "‹redacted›", "last")]
    assert await told("\n".join([*KEY[1:3], "x -----END PRIVATE KEY----- y"]).encode(), 16) == [
        "‹redacted› y"
    ]


async def test_a_very_long_line_is_told_in_part() -> None:
    """Its beginning, without the word that the cut goes through."""
    word = "Sw0rdfish-4711-not-by-name "
    [found] = await told((word * 1000 + "\n").encode(), 5000, most=10**6)
    assert found.endswith("Sw0rdfish-4711-not-by-name …")
    assert LONGEST - 2 * len(word) < len(found) <= LONGEST + 1


async def test_other_work_goes_on_while_a_long_log_is_told() -> None:
    """A counter gets its turns: several lines of the log are told between any two of them, never all."""
    turns = 0

    async def counting() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counter = asyncio.create_task(counting())
    text = b"\n".join(b"_key" * 60 for _ in range(1000))
    seen = []

    def wanted(line: str) -> bool:
        seen.append(turns)
        return True

    lines = Lines(aiter(Wire(text, len(text))), 10**6)
    assert len(await newest(lines, Redactor(), 5, wanted)) == 5
    counter.cancel()
    assert len(seen) == 1000
    assert len(set(seen)) > 5, "the whole log was told at once"
