"""One measured figure, as it is printed."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """`floor` is what it is held against, `ratio` value / floor (or what the README explains)."""

    name: str
    value: float
    unit: str
    floor: float | None = None
    ratio: float | None = None

    def __str__(self) -> str:
        ratio = self.ratio
        if ratio is None and self.floor:
            ratio = self.value / self.floor
        row = {
            "name": self.name,
            "value": round(self.value, 4),
            "unit": self.unit,
            "floor": round(self.floor, 4) if self.floor is not None else None,
            "ratio": round(ratio, 3) if ratio is not None else None,
        }
        return json.dumps(row)
