"""Large texts are worked on a piece at a time: the same comes out, and everything else goes on meanwhile."""

from __future__ import annotations

import asyncio
import threading

import pytest

from bot.beside import PIECE, beside, in_pieces, large, redacted, without_secrets
from bot.redact import REDACTED, Redactor
from commands.actions import Answer, Table

SECRET = "Tr0ub4dor-and-3-more-words"
KEY = ["-----BEGIN RSA PRIVATE KEY-----", *["MIIEpAIBAAKCAQEAzz" * 3] * 60, "-----END RSA PRIVATE KEY-----"]


async def test_other_work_goes_on_while_a_long_text_is_redacted() -> None:
    """Each turn of a counter lets one step of a redactor through, which waits for it: without turns it would hang."""
    turns = threading.Semaphore(0)
    inside: list[str] = []

    def slow(text: str) -> str:
        inside.append(threading.current_thread().name)
        assert turns.acquire(timeout=20), "nobody else had a turn"
        return text

    async def counting() -> None:
        while True:
            turns.release()
            await asyncio.sleep(0)

    text = "a line of no interest\n" * (PIECE // 4)
    counter = asyncio.create_task(counting())
    try:
        assert await redacted(slow, text) == text
    finally:
        counter.cancel()
    assert len(inside) >= 5
    assert all(name.startswith("texts") for name in inside)


@pytest.mark.parametrize("before", [PIECE - 700, PIECE - 30, PIECE - 9, PIECE - 1, PIECE, PIECE + 5])
@pytest.mark.parametrize(
    "secret",
    [
        f"password={SECRET}",
        f"password:\n  {SECRET}",
        f"requirepass\n{SECRET}\n",
        f"postgres://app:{SECRET}@host/db",
        "\n".join(KEY),
        "\n".join([*KEY, "between", *KEY]),
        "\n".join(["secret: |", *[f"  {SECRET} {n}" for n in range(60)]]),
        "\n".join(["tokens: [", *[f'  "{SECRET}-{n}",' for n in range(60)], "]"]),
    ],
)
def test_safety_20_no_border_hides_a_secret(before: int, secret: str) -> None:
    """Wherever it falls: the pieces say the same as the whole."""
    text = "x" * 60 + "\n"
    text = text * (before // 61) + "y" * (before % 61) + "\n" + secret + "\nafter\n" + text * 600
    redact = Redactor().redact
    pieces = list(in_pieces(redact, text))
    assert len(pieces) >= 3
    assert "".join(pieces) == redact(text)
    assert SECRET not in "".join(pieces)
    assert "MIIE" not in "".join(pieces)


def test_a_key_that_never_ends_takes_everything_behind_it() -> None:
    """Over as many pieces as there are."""
    text = "\n".join(["before", *KEY[:-1], *["still the key"] * 5000])
    assert "".join(in_pieces(Redactor().redact, text)) == f"before\n{REDACTED}"


@pytest.mark.parametrize("lines", [1, 3000])
async def test_safety_20_every_part_of_an_answer(lines: int) -> None:
    """Small or large: headline, table, lines and text."""
    line = f"token={SECRET}"
    answer = Answer(line, Table(("A",), ((line,),)), (line,), "\n".join([line] * lines))
    assert large(answer) is (lines > 1)
    told = await without_secrets(Redactor(), answer)
    assert SECRET not in str(told)
    assert told.text.count(REDACTED) == lines


class Server:
    """Somebody whose answers take a while to be worked on."""

    def __init__(self) -> None:
        self.go, self.began = threading.Event(), threading.Event()
        self.begun: list[int] = []

    def answer(self, number: int) -> int:
        """Waits for its go."""
        self.begun.append(number)
        self.began.set()
        assert self.go.wait(timeout=20), "nobody let it go on"
        return number


async def test_many_large_answers_of_one_server_hold_up_nobody_else() -> None:
    """One of them is worked on, in its order, while another server's come and go."""
    heavy, other = Server(), Server()
    other.go.set()
    waiting = [asyncio.create_task(beside(heavy.answer, number)) for number in range(8)]
    assert await asyncio.to_thread(heavy.began.wait, 20)
    for number in range(5):
        assert await beside(other.answer, number) == number
    assert await redacted(str, "a line\n" * PIECE) == "a line\n" * PIECE
    assert heavy.begun == [0]
    waiting[1].cancel()
    await asyncio.wait(waiting[1:2])
    heavy.go.set()
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(done.pop(1), asyncio.CancelledError)
    assert done == heavy.begun == [0, 2, 3, 4, 5, 6, 7]


async def test_one_that_is_given_up_on_keeps_its_turn_until_it_ends() -> None:
    """Otherwise those that nobody waits for any more would take every thread."""
    heavy, other = Server(), Server()
    other.go.set()
    given_up = [asyncio.create_task(beside(heavy.answer, number)) for number in range(6)]
    assert await asyncio.to_thread(heavy.began.wait, 20)
    for task in given_up:
        task.cancel()
    await asyncio.wait(given_up)
    last = asyncio.create_task(beside(heavy.answer, 9))
    assert await beside(other.answer, 1) == 1
    assert len(heavy.begun) == 1
    heavy.go.set()
    assert await last == 9
    assert heavy.begun == [0, 9]


async def test_what_fails_there_fails_here() -> None:
    """An error comes to whoever waits, as it is."""

    def fails() -> None:
        raise ValueError("of the thread")

    with pytest.raises(ValueError, match="of the thread"):
        await beside(fails)
