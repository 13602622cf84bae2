"""The platform contract over Synapse once more, in rooms of version 11; and what is asked of encryption alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.platforms.matrix_client import UnavailableError
from tests.contracts.matrix_rig import MatrixRig
from tests.contracts.test_platforms import *  # noqa: F403 - all its tests
from tests.contracts.test_platforms import said
from tests.servers.synapse import shared


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[MatrixRig]:
    """In the place of the contract's own."""
    found = MatrixRig(tmp_path, server=shared("11"))
    yield found
    await found.close()


async def test_before_the_keys_are_loaded_nothing_is_said(tmp_path: Path) -> None:
    """The homeserver was away at the start, perhaps: what has to be encrypted waits, and is said later."""
    found = MatrixRig(tmp_path, encrypted=True)
    with pytest.raises(UnavailableError, match="keys"):
        await found.platform.post(found.ops, said("hello"), key="k1")
    await found.ready()
    await found.platform.post(found.ops, said("hello"), key="k1")
    assert [shown.text for shown in found.shown(found.ops, found.user("bob"))] == ["hello"]
    await found.close()
