"""A horizontal axis: where numbers are in a picture, and which of them are written below it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_LARGEST = 1e300


@dataclass(frozen=True)
class Axis:
    """Numbers from `low` to `high` over pixels from `left` to `right`."""

    low: float
    high: float
    left: float
    right: float

    def __call__(self, value: float) -> float:
        """The pixel of a number; one beyond an end is put at that end."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.left + share * (self.right - self.left)

    @property
    def ticks(self) -> tuple[float, ...]:
        """Two to six round numbers."""
        rough = (self.high - self.low) / 4
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return tuple(i * step for i in range(first, last + 1))


def finite(values: Iterable[float | None]) -> list[float]:
    return [v for v in values if v is not None and math.isfinite(v)]


def axis(values: Iterable[float | None], left: float, right: float, air: float = 0.12) -> Axis:
    """An axis on which every finite one of the values is, with some room at both ends."""
    known = finite(values)
    low, high = max(min(known, default=0.0), -_LARGEST), min(max(known, default=1.0), _LARGEST)
    span = high - low
    if span <= 1e-9 * max(abs(low), abs(high), 1e-300):
        span = 2 * abs(high) or 1.0
        low, high = low - span / 2, high + span / 2
    return Axis(low - air * span, high + air * span, left, right)
