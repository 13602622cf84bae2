"""The Slack stand-in's rate limits and faults, met by the real slack_sdk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.servers.slack_calls import ALICE, client_of, furnish, refused, violations
from tests.servers.slack_server import SlackServer


@pytest.fixture(scope="module")
def process() -> Iterator[SlackServer]:
    with SlackServer() as server:
        yield server


@pytest.fixture
def slack(process: SlackServer) -> SlackServer:
    return furnish(process)


@pytest.fixture
def client(slack: SlackServer) -> AsyncWebClient:
    return client_of(slack)


async def test_posts_into_one_channel_are_limited(slack: SlackServer) -> None:
    """One a second with a few in a row; Retry-After in whole seconds, over by the stand-in's clock."""
    slack.reset(rate_limits=True)
    slack.call("add_channel", name="ops", id="C0OPS")
    slack.call("add_channel", name="other", id="C0OTHER")
    client = client_of(slack)

    async def until_limited() -> None:
        for n in range(20):
            await client.chat_postMessage(channel="C0OPS", text=str(n))

    response = await refused(until_limited(), "ratelimited")
    assert (response.status_code, response["error"], response.headers["Retry-After"]) == (
        429,
        "ratelimited",
        "1",
    )
    assert 5 <= len(slack.call("journal")["journal"]) < 20
    await client.chat_postMessage(channel="C0OTHER", text="another channel")
    slack.call("forward", seconds=1)
    await client.chat_postMessage(channel="C0OPS", text="again")
    assert violations(slack) == []


async def test_a_tier_is_so_many_calls_a_minute(slack: SlackServer) -> None:
    """Tier 2: twenty; a minute later there are twenty more."""
    slack.reset(rate_limits=True)
    client = client_of(slack)
    for _ in range(20):
        await client.users_list()
    answer = await refused(client.users_list(), "ratelimited")
    assert 50 <= int(answer.headers["Retry-After"]) <= 60
    slack.call("forward", seconds=int(answer.headers["Retry-After"]))
    assert (await client.users_list())["ok"] is True


async def post_with_fault(slack: SlackServer, **fault: Any) -> tuple[object, list[str]]:
    """What a post ends with under a fault, and what is in the channel afterwards."""
    slack.call("faults", methods=["chat.postMessage"], **fault)
    try:
        outcome: object = await client_of(slack).chat_postMessage(channel="C0OPS", text="x")
    except (SlackApiError, aiohttp.ClientError, OSError) as error:
        outcome = error
    return outcome, [m["text"] for m in slack.call("history", channel="C0OPS", reader=ALICE)["messages"]]


@pytest.mark.parametrize(
    ("kind", "status", "error"),
    [("429", 429, "ratelimited"), ("500", 500, "internal_error"), ("error:fatal_error", 200, "fatal_error")],
)
async def test_a_fault_in_place_of_the_answer(slack: SlackServer, kind: str, status: int, error: str) -> None:
    outcome, said = await post_with_fault(slack, kinds=[kind], retry_after=7)
    assert isinstance(outcome, SlackApiError)
    assert (outcome.response.status_code, outcome.response["error"], said) == (status, error, [])
    assert kind != "429" or outcome.response.headers["Retry-After"] == "7"


async def test_a_page_of_html_in_place_of_the_answer(slack: SlackServer) -> None:
    """As from a proxy in between."""
    outcome, said = await post_with_fault(slack, kinds=["503"])
    assert isinstance(outcome, SlackApiError)
    assert (outcome.response.status_code, said) == (503, [])


@pytest.mark.parametrize(("kind", "said"), [("reset", []), ("after", ["x"])])
async def test_a_connection_that_is_closed(slack: SlackServer, kind: str, said: list[str]) -> None:
    """Before it was done, or after: the app cannot tell."""
    outcome, found = await post_with_fault(slack, kinds=[kind])
    assert isinstance(outcome, aiohttp.ClientError)
    assert found == said


async def test_an_answer_that_is_late(slack: SlackServer) -> None:
    """It was done, and its answer comes after so many seconds."""
    began = time.monotonic()
    outcome, said = await post_with_fault(slack, kinds=["timeout"], seconds=0.3)
    assert not isinstance(outcome, Exception)
    assert time.monotonic() - began >= 0.3
    assert said == ["x"]


async def test_faults_of_a_rate_and_a_count(slack: SlackServer, client: AsyncWebClient) -> None:
    """The same seed gives the same faults; with a count they end, and only their methods have them."""

    async def outcomes() -> list[bool]:
        slack.call("faults", rate=0.5, seed=4, kinds=["500"], methods=["auth.test"], count=3)
        await client.users_list()
        answers: list[object] = []
        for _ in range(20):  # one after the other: the seed goes by the order
            answers += await asyncio.gather(client.auth_test(), return_exceptions=True)
        return [isinstance(answer, SlackApiError) for answer in answers]

    first = await outcomes()
    assert sum(first) == 3
    assert first == await outcomes()
    assert slack.call("faults")["done"] == {"500": 3}
    assert (await client.auth_test())["ok"] is True
