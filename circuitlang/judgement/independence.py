"""Whether two numbers depend on each other over the prompts: HSIC, by permutation.

The Hilbert-Schmidt independence criterion (Gretton et al. 2007) with Gaussian kernels, of which the
width is the median distance between a number of one run and one of the other, as Shi et al. (2024)
test whether what a circuit leaves out says anything about what the model does. Dependence can be
shown, independence cannot: a claim of it ends as `fails` or `survived`.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np

from circuitlang.judgement.estimator import NOISE_FACTOR, Estimator
from circuitlang.judgement.leaf import Leaf
from circuitlang.judgement.power import Needed
from circuitlang.judgement.sample import Vector
from circuitlang.judgement.verdict import FAILS, INVALID, SURVIVED, Decision
from circuitlang.language.spec import Independence

PERMUTATIONS = 1000
LEAST = 20


class Dependence(NamedTuple):
    """`statistic` is HSIC, `share` it over the geometric mean of both numbers' own (0 to 1)."""

    statistic: float
    share: float
    p_value: float


class Independent:
    """The node of a claim that two runs' numbers are independent over the prompts."""

    searched = True
    exact = False
    leaves: tuple[Leaf, ...] | None = None

    def __init__(self, formula: Independence, estimator: Estimator) -> None:
        self.formula, self.estimator = formula, estimator

    @cached_property
    def _vectors(self) -> tuple[Vector, Vector]:
        sample = self.estimator.sample
        return sample.vector(self.formula.one), sample.vector(self.formula.other)

    @cached_property
    def invalid(self) -> str | None:
        one, other = self._vectors
        if not (np.isfinite(one).all() and np.isfinite(other).all()):
            return "the metric is not a finite number on some prompts"
        if len(one) < LEAST:
            return f"{len(one)} prompts say nothing about independence; {LEAST} are the least"
        return None

    @cached_property
    def found(self) -> Dependence:
        sample = self.estimator.sample
        noise = [
            NOISE_FACTOR * sample.noise[m.metric] for m in (self.formula.one, self.formula.other)
        ]
        return dependence(*self._vectors, seed=sample.seed, noise=max(noise))

    @property
    def toward(self) -> float:
        return self.found.p_value - self.formula.level

    def holds(self, alpha: float) -> bool:
        """Nothing refutes it; as it is `searched`, this makes it survive."""
        return not self.invalid and not self.fails(alpha)

    def fails(self, alpha: float) -> bool:
        return not self.invalid and self.found.p_value <= min(alpha, self.formula.level)

    def strength(self, alpha: float) -> float:
        return -np.inf if self.invalid else self.toward

    def needed(self, alpha_holds: float, alpha_fails: float) -> Needed:
        return Needed(None, "no number of prompts shows independence")

    def decision(self, alpha_holds: float, alpha_fails: float) -> Decision:
        threshold = f">= {self.formula.level:.4g}"
        if self.invalid:
            return Decision(INVALID, threshold=threshold, reason=self.invalid)
        refuted = self.fails(alpha_fails)
        shown = f"{PERMUTATIONS:,} permutations"
        return Decision(
            FAILS if refuted else SURVIVED,
            value=self.found.p_value,
            threshold=threshold,
            region_low=self.formula.level,
            n=len(self._vectors[0]),
            method="HSIC, permuted",
            reason=f"the numbers depend on each other ({shown})"
            if refuted
            else f"{shown} show no dependence, which does not mean that there is none",
            companions=(("HSIC", self.found.statistic), ("normalised HSIC", self.found.share)),
        )


def dependence(one: Vector, other: Vector, *, seed: int, noise: float = 0.0) -> Dependence:
    """HSIC of two vectors of one length, with the share of permutations that reach it.

    The p-value counts the sample itself as one of the permutations, which keeps the test's level.
    Numbers that vary by no more than `noise` depend on nothing: 0 with p-value 1.
    """
    width = float(np.median(np.abs(one[:, None] - other[None, :])))
    first, second = _centred(one, width), _kernel(other, width)
    own = float((first * _kernel(one, width)).sum() * (_centred(other, width) * second).sum())
    size = len(one) ** 2
    statistic = float((first * second).sum()) / size
    if own <= 0 or min(np.ptp(one), np.ptp(other)) <= noise:
        return Dependence(0.0, 0.0, 1.0)
    draw = np.random.default_rng(seed)
    reached = 1
    for _ in range(PERMUTATIONS):
        order = draw.permutation(len(other))
        permuted = float((first * second[np.ix_(order, order)]).sum()) / size
        reached += permuted >= statistic
    return Dependence(statistic, statistic * size / own**0.5, reached / (PERMUTATIONS + 1))


def _kernel(numbers: Vector, width: float) -> Vector:
    squared = (numbers[:, None] - numbers[None, :]) ** 2
    return np.exp(-squared / (2 * max(width, np.finfo(float).tiny) ** 2))


def _centred(numbers: Vector, width: float) -> Vector:
    """The kernel matrix with mean 0 in every row and column."""
    kernel = _kernel(numbers, width)
    rows = kernel.mean(0, keepdims=True)
    return np.asarray(kernel - rows - rows.T + kernel.mean())
