"""A claim's interval against the region in which it is claimed to lie, as a picture."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from circuitlang.report.document import ClaimForm, MemberForm, ReportForm
from circuitlang.report.page.axis import Axis, axis
from circuitlang.report.terminal import decimals_for, interval, number

WIDTH, HEIGHT = 210.0, 34.0
_LEFT, _RIGHT = 6.0, WIDTH - 6.0


@dataclass(frozen=True)
class IntervalPicture:
    """Pixels. `region` and `bar` are (from, to); `thresholds` are (x, written number)."""

    verdict: str
    region: tuple[float, float] | None
    thresholds: tuple[tuple[float, str], ...]
    bar: tuple[float, float] | None
    dot: float | None
    open_left: bool
    open_right: bool
    description: str


def interval_picture(
    claim: ClaimForm | MemberForm | ReportForm, of: ClaimForm | None = None, on: Axis | None = None
) -> IntervalPicture | None:
    """None where there is no number. The region is that of the claim `of`, by default its own."""
    region = of or (claim if isinstance(claim, ClaimForm) else None)
    if claim.value is None or not math.isfinite(claim.value):
        return None
    low, high = claim.low, claim.high
    ends = (region.region_low, region.region_high) if region else (None, None)
    where = on or axis((claim.value, low, high, *ends), _LEFT, _RIGHT)
    borders = [end for end in ends if end is not None and math.isfinite(end)]
    decimals = decimals_for(claim.value, low, high)
    known = low is not None and high is not None and low != high
    said = [f"value {number(claim.value, decimals)}"]
    if known:
        said.append(f"interval {interval(low, high, decimals)}")
    if region is not None:
        said.append(f"claimed {region.threshold}")
    verdict = getattr(claim, "verdict", "")
    return IntervalPicture(
        verdict,
        _region(ends, where) if borders else None,
        tuple((where(end), f"{end:.4g}") for end in borders),
        (where(-math.inf if low is None else low), where(math.inf if high is None else high))
        if low is not None or high is not None
        else None,
        where(claim.value),
        low is None or math.isinf(low),
        high is None or math.isinf(high),
        ", ".join([*said, verdict] if verdict else said),
    )


def _region(ends: tuple[float | None, float | None], where: Axis) -> tuple[float, float]:
    low, high = ends
    left = 0.0 if low is None or math.isinf(low) else where(low)
    return left, WIDTH if high is None or math.isinf(high) else where(high)


def common_axis(claim: ClaimForm, shown: Iterable[MemberForm]) -> Axis:
    """One axis for all shown members of a claim."""
    ends = [end for m in shown for end in (m.value, m.low, m.high)]
    return axis((*ends, claim.region_low, claim.region_high), _LEFT, _RIGHT)
