"""How messages, times and sizes are shown on the pages."""

from __future__ import annotations

import pytest

from bot.web.page import size, span
from bot.web.text import markup, tone
from tests.bot.web_client import (
    a_bot,  # noqa: F401
    a_browser,  # noqa: F401
)


def html(text: str, *people: str, me: str = "", lead: bool = False) -> str:
    return str(markup(text, people, me, lead=lead))


def test_messages_are_escaped_marked_and_laid_out() -> None:
    assert html("a < b\n& c") == "<p>a &lt; b\n&amp; c</p>"
    assert html("hi @bob and @eve", "bob") == '<p>hi <span class="mention">@bob</span> and @eve</p>'
    assert html("@bob", "bob", me="bob") == '<p><span class="mention me">@bob</span></p>'
    assert html("mail@bob.example", "bob") == "<p>mail@bob.example</p>"
    assert html("@\u2060bob", "bob") == "<p>@\u2060bob</p>"
    assert html("one\ntwo", lead=True) == '<p class="lead">one</p><p>two</p>'
    assert html("x\n```\na  b\n```\ny") == '<p>x</p><pre tabindex="0">a  b</pre><p>y</p>'
    assert html("``` open") == "<p>``` open</p>"
    assert html("`x<y`") == "<p><code>x&lt;y</code></p>"
    assert html("") == ""


def test_only_web_addresses_become_links() -> None:
    assert 'href="https://a.example/?x=1&amp;y=2"' in html("see https://a.example/?x=1&y=2.")
    assert html("see https://a.example).").endswith("</a>).</p>")
    for text in ("javascript:alert(1)", "https:\u2060//evil.example", "data:text/html,x"):
        assert "<a" not in html(text)


@pytest.mark.parametrize(
    ("text", "accent"),
    [("🔴 Critical", "rank-0"), ("🟢 resolved", "good"), ("⚠️ not run", "warn"), ("hello", ""), ("", "")],
)
def test_the_first_sign_gives_the_accent(text: str, accent: str) -> None:
    assert tone(text) == accent


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_spans_of_time_are_cut_off(seconds: int, words: str) -> None:
    assert span(seconds) == words


def test_sizes() -> None:
    assert [size(n) for n in (0, 999, 1500, 2_100_000)] == ["0 B", "999 B", "2 kB", "2.1 MB"]
