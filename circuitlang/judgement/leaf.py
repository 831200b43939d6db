"""One comparison, decided in three values from the ends of its contrasts' intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from scipy import optimize, stats

from circuitlang.judgement import intervals
from circuitlang.judgement.atoms import DataSet, data_set, data_sets, is_indicator
from circuitlang.judgement.contrast import FormClass
from circuitlang.judgement.estimator import Estimator
from circuitlang.judgement.forms import Affine, Form, form_of
from circuitlang.judgement.intervals import Estimate, Vector
from circuitlang.judgement.power import Needed, needed
from circuitlang.judgement.preconditions import denominator
from circuitlang.judgement.ratio import fieller
from circuitlang.judgement.verdict import FAILS, HOLDS, INVALID, UNDECIDED, Decision
from circuitlang.language.spec import Number


class Leaf:
    """The tests of one comparison on one sample, estimated when first asked for."""

    searched = False

    def __init__(self, form: FormClass, estimator: Estimator, target: str) -> None:
        self.form, self.estimator, self.target = form, estimator, target

    @property
    def leaves(self) -> tuple[Leaf, ...] | None:
        return (self,)

    # ---------------------------------------------------------------- the contrasts

    @cached_property
    def invalid(self) -> str | None:
        """The reason why the comparison has no meaning on these numbers."""
        for guard in self.form.guards:
            found = denominator(self.estimator, guard, self.target)
            if found is not None and not found.passed:
                return f"{found.code}, {found.title}: {found.detail}"
        if not all(math.isfinite(test.value) for test in self.tests):
            return "the metric is not a finite number on some prompts"
        return None

    @cached_property
    def sign(self) -> float:
        """The sign of the denominator, which P2 has fixed."""
        over = self.form.over
        return -1.0 if over and self.estimator.affine_value(over) < 0 else 1.0

    @cached_property
    def tests(self) -> tuple[Estimate, ...]:
        """Each is claimed to be at or above zero."""
        form, estimator = self.form, self.estimator
        if form.kind == "bootstrap":
            return (estimator.resampled(form.difference),)
        if form.kind == "quantile":
            return tuple(estimator.quantile(test) for test in form.tests)
        if form.kind == "share" and form.measured_condition:
            return (self._measured_share(),)
        return tuple(estimator.affine(t.scaled(self.sign), self.target) for t in form.tests)

    def _measured_share(self) -> Estimate:
        """A share whose condition contains a mean: binomial error, and that of the condition."""
        binomial = self.estimator.affine(self.form.tests[0], self.target)
        drawn = self.estimator.resampled(self.form.difference)
        if binomial.exact and drawn.exact:
            return binomial
        other = binomial if drawn.reason else drawn

        def at(alpha: float) -> intervals.Interval:
            return intervals.widest(binomial, other, alpha)

        se = max(binomial.se, other.se)
        return Estimate(binomial.value, binomial.n, se, se * math.sqrt(binomial.n), at)

    @cached_property
    def margins(self) -> tuple[float, ...]:
        """Ten times the numeric noise of each contrast."""
        if self.form.kind == "bootstrap":
            return (self.estimator.margin(self.form.difference),)
        return tuple(self.estimator.affine_margin(test) for test in self.form.tests)

    @property
    def exact(self) -> bool:
        """Whether nothing about it is estimated from a sample."""
        return all(test.exact for test in self.tests)

    @cached_property
    def deviations(self) -> tuple[DataSet, list[Vector]] | None:
        """The data set and, of each test, what each prompt adds to its error.

        None where the tests are no means over one set of sampled prompts. A test that has no
        interval or no spread cannot err by chance and is left out.
        """
        if self.form.kind not in ("affine", "ratio") or self.target != "prompts":
            return None
        sampled = [t for t in self.form.tests if not t.is_constant]
        groups = {g for t in sampled for g in data_sets(t) if g[1].kind != "example"}
        atoms = [a for t in sampled for a in t.terms]
        if len(groups) != 1 or any(is_indicator(a) for a in atoms if data_set(a) in groups):
            return None
        (group,) = groups
        strata = self.estimator.strata(group)
        found = []
        for affine, test in zip(self.form.tests, self.tests, strict=True):
            if test.exact or test.reason or test.se == 0:
                continue
            vector = self.sign * self.estimator.contrast(affine, group)
            for rows in strata:
                vector[rows] -= vector[rows].mean()
            found.append(vector)
        return group, found

    # ---------------------------------------------------------------- three values

    def holds(self, alpha: float) -> bool:
        """Any-of needs its share of alpha for each: `abs(L) >= t` is 2 alpha wrong at small t."""
        if self.invalid:
            return False
        level = self._holds_level(alpha)
        passed = (self._above(i, level, noisy=True) for i in range(len(self.tests)))
        return any(passed) if self.form.mode == "any" else all(passed)

    def fails(self, alpha: float) -> bool:
        if self.invalid:
            return False
        level = self._fails_level(alpha)
        below = (self._below(i, level, noisy=True) for i in range(len(self.tests)))
        return all(below) if self.form.mode == "any" else any(below)

    def _holds_level(self, alpha: float) -> float:
        return alpha / len(self.tests) if self.form.mode == "any" else alpha

    def _fails_level(self, alpha: float) -> float:
        if self.form.mode == "any":
            return alpha
        return either_end(alpha, self.tests) if self.form.opposed else alpha / len(self.tests)

    def _above(self, i: int, alpha: float, *, noisy: bool) -> bool:
        low, margin = self.tests[i].bounds(alpha)[0], self.margins[i] if noisy else 0.0
        return low >= margin and (low > 0 or not self.form.strict)

    def _below(self, i: int, alpha: float, *, noisy: bool) -> bool:
        high, margin = self.tests[i].bounds(alpha)[1], self.margins[i] if noisy else 0.0
        return high <= -margin and (high < 0 or self.form.strict)

    def _decided_but_for_noise(self, alpha: float) -> bool:
        count = range(len(self.tests))
        above = [self._above(i, self._holds_level(alpha), noisy=False) for i in count]
        below = [self._below(i, self._fails_level(alpha), noisy=False) for i in count]
        if self.form.mode == "any":
            return any(above) or all(below)
        return all(above) or any(below)

    # ---------------------------------------------------------------- how far, how many

    @property
    def values(self) -> list[float]:
        return [test.value for test in self.tests]

    @property
    def toward(self) -> float:
        """Positive when the estimate is inside the region."""
        return max(self.values) if self.form.mode == "any" else min(self.values)

    def strength(self, alpha: float) -> float:
        """The end that decides, in the number's own units: for finding the weakest member."""
        if self.invalid:
            return -math.inf
        lows = [test.bounds(alpha)[0] for test in self.tests]
        end = max(lows) if self.form.mode == "any" else min(lows)
        scale = abs(self.estimator.affine_value(self.form.over)) if self.form.over else 1.0
        return end / scale

    def needed(self, alpha_holds: float, alpha_fails: float) -> Needed:
        inside = self.toward > 0
        alpha = self._holds_level(alpha_holds) if inside else self._fails_level(alpha_fails)
        one_is_enough = inside == (self.form.mode == "any")
        chosen = [
            needed(test, alpha, margin)
            for test, margin in zip(self.tests, self.margins, strict=True)
            if not one_is_enough or (test.value > 0) == inside
        ]
        return fewest(chosen) if one_is_enough else most(chosen)

    # ---------------------------------------------------------------- what the report shows

    def decision(self, alpha_holds: float, alpha_fails: float) -> Decision:
        if self.invalid:
            return Decision(INVALID, threshold=self.threshold, reason=self.invalid)
        alpha = self._holds_level(alpha_holds)
        low, high = self.shown(alpha)
        right = self.estimator.value(self.form.right)
        first = self.tests[0]
        verdict, reason, need = UNDECIDED, None, Needed(None)
        if self.holds(alpha_holds):
            verdict = HOLDS
        elif self.fails(alpha_fails):
            verdict, reason = FAILS, "the whole interval lies outside the claimed region"
        else:
            reason, need = (
                self._undecided(alpha_holds, alpha_fails),
                self.needed(alpha_holds, alpha_fails),
            )
        return Decision(
            verdict, self.estimator.value(self.form.left), finite(low), finite(high),
            1 - 2 * alpha, self.threshold,
            None if self.form.operator in ("<", "<=") else right,
            None if self.form.operator in (">", ">=") else right,
            first.n, first.unit, first.method(alpha), need.n, need.why, reason,
            companions=self.companions, noise=self.estimator.noise(self.form.left),
        )  # fmt: skip

    def _undecided(self, alpha: float, alpha_fails: float) -> str:
        for test in self.tests:
            if test.reason:
                return test.reason
        at_an_end = (self._below(i, alpha_fails, noisy=True) for i in range(len(self.tests)))
        if self.form.opposed and self.form.mode == "all" and any(at_an_end):
            return narrow(self._fails_level(alpha_fails))
        if self._decided_but_for_noise(alpha):
            return (
                f"numeric noise: the margin is within {max(self.margins):.3g}, ten times the noise"
            )
        if self.tests[0].exact:
            return f"numeric noise: the value is within {max(self.margins):.3g} of the threshold"
        return "the interval straddles the threshold"

    @property
    def threshold(self) -> str:
        right = self.form.right
        value = self.estimator.value(right)
        return f"{self.form.operator} {value:.4g}" + ("" if is_constant(right) else " (measured)")

    def shown(self, alpha: float) -> tuple[float, float]:
        """Interval of the left side: that of the difference, moved by the value of the right."""
        left, right = self.estimator.value(self.form.left), self.estimator.value(self.form.right)
        if self.form.kind == "constant":
            return left, left
        ends = [estimate.bounds(alpha) for estimate in self._differences()]
        pick = max if self.form.mode == "any" else min
        low, high = pick(end[0] for end in ends), pick(end[1] for end in ends)
        moved = (right + low, right + high) if self.form.upward else (right - high, right - low)
        return max(moved[0], floor_of(form_of(self.form.left))), moved[1]

    def _differences(self) -> list[Estimate]:
        over = self.form.over
        if over is None:
            return list(self.tests)
        return [ratio_estimate(self.estimator, t, over, self.target) for t in self.form.tests]

    @cached_property
    def companions(self) -> tuple[tuple[str, float], ...]:
        """Errors of single prompts, which a mean of differences can hide by cancelling."""
        form = form_of(self.form.left) if self.form.kind in ("affine", "ratio") else None
        if form is None or not (form.opposed or form.over) or len(data_sets(form.pieces[0])) != 1:
            return ()
        return rmse(self.estimator, form)


def either_end(alpha: float, tests: Sequence[Estimate]) -> float:
    """The level of each end of a region, so that a number in it is refuted with probability alpha.

    `tests` are the number less the lower border, and the upper border less the number. On one border
    the far end refutes too where the error exceeds the region's width: that is nothing for a wide
    region, which leaves alpha, and as much again for one without width, which leaves alpha / 2.
    """
    se, width = max(test.se for test in tests), max(sum(test.value for test in tests), 0.0)
    if se == 0:
        return alpha
    far = width / se

    def excess(level: float) -> float:
        return level + float(stats.norm.sf(stats.norm.isf(level) + far)) - alpha

    return float(optimize.brentq(excess, alpha / 2, alpha, xtol=alpha * 1e-9))


def narrow(level: float) -> str:
    return (
        "the region is so narrow that a number in it may look outside at either end; the "
        f"{1 - 2 * level:.1%} interval reaches it"
    )


def rmse(estimator: Estimator, form: Form) -> tuple[tuple[str, float], ...]:
    """For abs(L): root mean square of L per prompt. For A / B: of A - B, relative to B."""
    (group,) = data_sets(form.pieces[0])
    vector = estimator.contrast(form.pieces[0], group)
    if form.over is None:
        return (("rmse", float(np.sqrt(np.mean(vector**2)))),)
    if data_sets(form.over) != [group]:
        return ()
    below = estimator.contrast(form.over, group)
    size = abs(float(np.mean(below)))
    if size == 0:
        return ()
    return (("rmse from ratio 1", float(np.sqrt(np.mean((vector - below) ** 2))) / size),)


def ratio_estimate(estimator: Estimator, above: Affine, over: Affine, target: str) -> Estimate:
    """A / B with its inverted interval."""
    below = estimator.affine_value(over)
    if below == 0:
        return intervals.unknown(math.nan, 0, "it divides by 0")
    sign = -1.0 if below < 0 else 1.0
    return fieller(
        lambda t: estimator.affine((above - over.scaled(t)).scaled(sign), target),
        estimator.affine_value(above) / below, below,
    )  # fmt: skip


def floor_of(form: Form | None) -> float:
    """0 for an absolute value: no interval of one goes below."""
    if form is None or not form.opposed or form.shape != "max":
        return -math.inf
    total = form.pieces[0] + form.pieces[1]
    return 0.0 if total.is_constant and total.constant == 0 else -math.inf


def is_constant(number: Number) -> bool:
    form = form_of(number)
    return form is not None and form.is_constant


def finite(value: float) -> float | None:
    """An end of an interval or region as a report shows it: None where there is none."""
    return value if math.isfinite(value) else None


def most(found: list[Needed]) -> Needed:
    """All are needed."""
    hopeless = [need for need in found if need.n is None]
    return hopeless[0] if hopeless else max(found, key=lambda need: need.n or 0)


def fewest(found: list[Needed]) -> Needed:
    """One is enough."""
    possible = [need for need in found if need.n is not None]
    return min(possible, key=lambda need: need.n or 0) if possible else found[0]
