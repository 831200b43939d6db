"""What must be true before a verdict means anything; otherwise it is `invalid`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from circuitlang.judgement.estimator import Estimator
from circuitlang.judgement.forms import Affine, Guard
from circuitlang.judgement.intervals import Vector, clopper_pearson
from circuitlang.judgement.parts import measurements
from circuitlang.language.spec import Mean

ACCURACY = 0.75
LEVEL = 0.95
SMALL_DENOMINATOR = 0.05


@dataclass(frozen=True)
class Precondition:
    """`task` None concerns every claim, otherwise the claims that use that task."""

    code: str
    title: str
    passed: bool
    detail: str
    task: str | None = None


def able(
    task: str, *, correct: Vector | None = None, full: Vector | None = None,
    floor: Vector | None = None, lower_is_better: bool = False, alpha: float = 0.05,
    enumerated: bool = False,
) -> Precondition:  # fmt: skip
    """P1: the model can do the task.

    Either the accuracy's lower Clopper-Pearson bound is 0.75 (MIB's rule), `correct` being 0 or 1
    per prompt, or F(M) is better than F(none), `full` and `floor` being their numbers per prompt.
    Of `enumerated` prompts, which are all there are, the means themselves count.
    """
    said: list[str] = []
    passed = False
    if correct is not None:
        rate = float(np.mean(correct))
        low = rate
        if not enumerated:
            low, _ = clopper_pearson(int(np.sum(correct)), len(correct), alpha)
        passed = low >= ACCURACY
        bound = "on every prompt" if enumerated else f"at least {low:.3f}"
        said.append(f"accuracy {rate:.3f}, {bound} ({ACCURACY} is asked)")
        if not passed and rate > ACCURACY:
            said.append(f"about {_enough(rate, alpha)} prompts would show it")
    if full is not None and floor is not None and not passed:
        gain = (floor - full) if lower_is_better else (full - floor)
        low = float(np.mean(gain)) if enumerated else _lower(gain, alpha)
        passed = low > 0
        said.append(f"F(M) better than F(none) by {np.mean(gain):.4g}, at least {low:.4g}")
    title = f"the model can do {task}"
    return Precondition("P1", title, passed, "; ".join(said) or "nothing was measured", task)


def _enough(rate: float, alpha: float) -> int:
    """The least n at which `rate` of n right answers shows the accuracy that is asked."""
    sizes = (n for n in range(1, 5000) if clopper_pearson(round(rate * n), n, alpha)[0] >= ACCURACY)
    return next(sizes, 5000)


def _lower(gain: Vector, alpha: float) -> float:
    if len(gain) < 2:
        return -np.inf
    error = float(np.std(gain, ddof=1)) / len(gain) ** 0.5
    return float(np.mean(gain) - stats.t.ppf(1 - alpha, len(gain) - 1) * error)


def denominator(estimator: Estimator, guard: Guard, target: str) -> Precondition | None:
    """P2: what a claim divides by, or scales its threshold with, is clear of zero.

    Its 95% interval excludes 0 and it is at least ten times its numeric noise and 0.05 SD. None
    when nothing can be said from so few prompts: the claim is then undecided for the same reason.
    """
    affine = guard.affine
    estimate = estimator.affine(affine, target)
    name = describe(affine)
    title = f"{name} is {'positive' if guard.positive else 'not 0'}"
    if estimate.reason:
        nothing = Precondition("P2", title, False, f"{name} is 0 on every prompt")
        return None if estimate.value else nothing
    low, high = estimate.bounds((1 - LEVEL) / 2)
    noise = estimator.affine_margin(affine)
    least = max(noise, SMALL_DENOMINATOR * estimate.sd)
    said = f"{name} is {estimate.value:.4g}, 95% interval {low:.4g}..{high:.4g}"
    if guard.positive and high < 0:
        said += ": a threshold that scales with it points the wrong way. Divide by it instead: `... / effect`"
        return Precondition("P2", title, False, said)
    if guard.positive and low <= 0:
        return Precondition("P2", title, False, said + ", not clearly above 0")
    if low <= 0 <= high:
        return Precondition("P2", title, False, said + ", which includes 0")
    if abs(estimate.value) < least:
        return Precondition(
            "P2", title, False, f"{said}, smaller than {least:.3g} (noise, 0.05 SD)"
        )
    return Precondition("P2", title, True, said)


def describe(affine: Affine) -> str:
    """A contrast in the words of its runs."""
    text = ""
    for atom, coefficient in affine.terms.items():
        if isinstance(atom, Mean):
            run = atom.measurement.run
            name = f"F({run.written or ('M' if run.ablation is None else '...')})"
        else:
            name = f"{atom.kind}({', '.join(m.run.written for m in measurements(atom))})"
        size = "" if abs(coefficient) == 1 else f"{abs(coefficient):.4g} * "
        sign = " - " if coefficient < 0 else " + " if text else ""
        text += (sign.strip() if not text else sign) + size + name
    if affine.constant:
        text += f" {'-' if affine.constant < 0 else '+'} {abs(affine.constant):.4g}"
    return text


def invariants(report: Iterable[tuple[str, float, bool]]) -> Precondition:
    """P3: the executable invariants hold. `report` is (name, deviation, passed) of each."""
    found = list(report)
    broken = [f"{name}: off by {deviation:.3g}" for name, deviation, passed in found if not passed]
    worst = max((deviation for _, deviation, _ in found), default=0.0)
    detail = "; ".join(broken) or f"{len(found)} hold, largest deviation {worst:.3g}"
    if not found:
        detail = "none was checked"
    return Precondition("P3", "the runs obey the invariants", bool(found) and not broken, detail)
