"""The interval of a ratio: every t that the contrast A - tB does not rule out (Fieller 1954).

Inverting the very test that decides the claim keeps picture and verdict together, whichever
interval the contrast has: with a t interval this is Fieller's, with a bootstrap one its twin.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

from scipy import optimize

from circuitlang.judgement.intervals import Estimate, Interval

ContrastAt = Callable[[float], Estimate]
DOUBLINGS = 30
FIRST_STEP = 1.7
HUGE = 1e100  # for no bound: the search for roots wants finite numbers


def fieller(contrast_at: ContrastAt, value: float, denominator: float) -> Estimate:
    """`contrast_at(t)` estimates (A - tB) * sign(B); `value` is A / B and `denominator` B."""
    here = contrast_at(value)
    scale = abs(denominator)
    if here.exact or here.reason:
        return Estimate(
            value, here.n, here.se, here.sd / scale, lambda alpha: _whole(here, value, alpha),
            here.unit, here.reason, here.exact,
        )  # fmt: skip

    @cache
    def at(alpha: float) -> Interval:
        low = _crossing(
            lambda t: max(contrast_at(t).at(alpha).low, -HUGE), value, -FIRST_STEP * here.se / scale
        )
        high = _crossing(
            lambda t: min(contrast_at(t).at(alpha).high, HUGE), value, FIRST_STEP * here.se / scale
        )
        return Interval(low, high, f"{here.at(alpha).method} of the contrast, inverted (Fieller)")

    return Estimate(value, here.n, here.se / scale, here.sd / scale, at, here.unit)


def _whole(here: Estimate, value: float, alpha: float) -> Interval:
    found = here.at(alpha)
    return Interval(value, value, found.method) if here.exact else found


def _crossing(end: Callable[[float], float], start: float, step: float) -> float:
    """Where a bound of the contrast crosses zero, going from `start` in the direction of `step`.

    The contrast falls with t: its lower bound is positive far below the ratio and its upper bound
    negative far above. Where it never crosses, the ratio has no bound on that side.
    """
    if step == 0:
        return start
    sign = -1.0 if step > 0 else 1.0
    if sign * end(start) >= 0:
        return start
    near = start
    for _ in range(DOUBLINGS):
        far = start + step
        if sign * end(far) > 0:
            return float(optimize.brentq(end, near, far, xtol=1e-5 * abs(far - start)))
        near, step = far, 2 * step
    return math.copysign(math.inf, step)
