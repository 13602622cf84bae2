"""Logs as they come in: never more than the limit, no half lines, and no secret across the borders of pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bot.redact import Redactor
from bot.targets.log_lines import Lines, newest

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
    return await newest(lines, Redactor().redact, count, lambda line: word in line)


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
    """As escapes; colours and controls as signs of their own."""
    assert await told(b"\xff\xfe ok\r\n\x1b[31mred", 3) == ["\\xff\\xfe ok", "�[31mred"]
