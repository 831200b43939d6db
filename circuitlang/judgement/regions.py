"""Claims about a share of members: the share, and where it is claimed to lie. Needs no numpy."""

from __future__ import annotations

import math
from dataclasses import dataclass

from circuitlang.language.spec import Comparison, Constant, Formula, MemberShare, Within

FLIPPED = {">=": "<=", ">": "<", "<=": ">=", "<": ">"}


@dataclass(frozen=True)
class Region:
    """Where a share is claimed to lie; `strict` leaves the ends out."""

    low: float = -math.inf
    high: float = math.inf
    strict: bool = False

    def contains(self, low: float, high: float) -> bool:
        if self.strict:
            return self.low < low and high < self.high
        return self.low <= low and high <= self.high

    def misses(self, low: float, high: float) -> bool:
        if self.strict:
            return high <= self.low or low >= self.high
        return high < self.low or low > self.high

    def distance(self, share: float) -> float:
        """How far inside the region a share lies, negative outside."""
        return min(share - self.low, self.high - share)

    def border(self, share: float) -> float:
        """The end that is nearer to a share."""
        return self.low if share - self.low <= self.high - share else self.high

    def __str__(self) -> str:
        equal = "" if self.strict else "="
        if self.high == math.inf:
            return f">{equal} {self.low:.4g}"
        if self.low == -math.inf:
            return f"<{equal} {self.high:.4g}"
        return f"in {self.low:.4g}..{self.high:.4g}"


def claimed_share(formula: Formula) -> tuple[MemberShare, Region] | None:
    """The share of members that a formula compares with plain numbers; None for any other."""
    match formula:
        case Comparison(operator, Constant(), MemberShare()) if operator in FLIPPED:
            return claimed_share(Comparison(FLIPPED[operator], formula.right, formula.left))
        case Comparison(">=" | ">" as operator, MemberShare() as share, Constant(low)):
            return share, Region(low=low, strict=operator == ">")
        case Comparison("<=" | "<" as operator, MemberShare() as share, Constant(high)):
            return share, Region(high=high, strict=operator == "<")
        case Within(MemberShare() as share, Constant(low), Constant(high)):
            return share, Region(low, high)
    return None
