"""What several tests of the bot are handed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.bot.matrix_world import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A bot on the real Synapse with alice, bob and eve."""
    from tests.bot.matrix_world import World  # nobody else waits for Matrix's libraries
    from tests.servers.synapse import shared

    found = World(shared(), tmp_path)
    yield found
    await found.close()
