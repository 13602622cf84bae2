"""Titles that are not alike, so that an opening warns of no similar incident."""

from __future__ import annotations

import random
import string


def title(number: int) -> str:
    """A title of random letters, the same for the same number."""
    dice = random.Random(number)
    return " ".join("".join(dice.choices(string.ascii_lowercase, k=7)) for _ in range(4))
