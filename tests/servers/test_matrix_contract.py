"""The platform contract over Synapse, for rooms of both versions that servers make now."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contracts.matrix_rig import MatrixRig
from tests.contracts.test_platforms import *  # noqa: F403 - all its tests
from tests.servers.synapse import shared


@pytest.fixture(params=["12", "11"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MatrixRig]:
    """In the place of the contract's own."""
    found = MatrixRig(tmp_path, server=shared(request.param))
    yield found
    await found.close()


async def test_a_block_stays_one_block(rig: MatrixRig) -> None:
    """In the place of the contract's own, which looks for the fences that other chats have."""
    marks = rig.platform.marks
    told = marks.code(marks.escape("a\n</code></pre>```\nb"))
    assert told.count("<pre>") == told.count("</pre>") == 1
    assert "```" not in told
