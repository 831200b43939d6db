"""How many prompts would decide: n = (z_{1-alpha} + z_{0.8})^2 sd^2 / margin^2."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import stats

from circuitlang.judgement.intervals import Estimate

POWER = 0.8
MOST = 10_000_000


@dataclass(frozen=True)
class Needed:
    """The n of `unit` that would decide with 80% power, or why no n would."""

    n: int | None
    why: str | None = None
    unit: str = "prompts"


def needed(estimate: Estimate, alpha: float, noise_margin: float) -> Needed:
    """For a contrast that is compared with zero."""
    if estimate.exact:
        return Needed(None, "there is nothing left to sample")
    margin = abs(estimate.value) - noise_margin
    if not math.isfinite(estimate.se):
        return Needed(
            None, estimate.reason or "there are too few prompts beyond the quantile to say"
        )
    if estimate.value == 0:
        return Needed(None, "the estimate lies on the threshold")
    if margin <= 0:
        return Needed(None, "the distance to the threshold is within the numeric noise")
    z = float(stats.norm.isf(alpha) + stats.norm.ppf(POWER))
    n = estimate.n * (z * estimate.se / margin) ** 2
    if n > MOST:
        return Needed(
            None, f"the estimate lies on the threshold: more than {MOST:,} {estimate.unit}"
        )
    return Needed(max(round_up(n), estimate.n + 1), unit=estimate.unit)


def round_up(n: float) -> int:
    """Up, to two significant digits."""
    if n <= 100:
        return math.ceil(n)
    unit: int = 10 ** (math.floor(math.log10(n)) - 1)
    return math.ceil(n / unit) * unit
