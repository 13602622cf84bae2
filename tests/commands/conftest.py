"""What tests of commands share."""

from __future__ import annotations

import pytest

from tests.commands.fakes import House


@pytest.fixture
def house() -> House:
    """Nothing has happened yet."""
    return House()
