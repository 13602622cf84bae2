"""The chat that most of these tests play in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.safety.rig import Chat, chatting


@pytest.fixture
async def chat(tmp_path: Path) -> AsyncIterator[Chat]:
    """A running bot with an open incident; people write in its channel."""
    async with chatting(tmp_path) as made:
        yield made


@pytest.fixture
async def new_chat(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Makes a chat as a test wants it: `await new_chat(with_roles(…), bots=2)`."""
    async with AsyncExitStack() as stack:

        async def make(*changes: Any, **options: Any) -> Chat:
            made: AbstractAsyncContextManager[Chat] = chatting(tmp_path, *changes, **options)
            return await stack.enter_async_context(made)

        yield make


@pytest.fixture(autouse=True)
def _no_log() -> Iterator[None]:
    """What the process logs is looked at where a test is about it; laying tracebacks out takes seconds."""
    with capture_logs():
        yield
