"""The permutation test of independence against its definition, and what becomes of a claim."""

from __future__ import annotations

from itertools import permutations
from math import exp

import numpy as np
import pytest

from circuitlang.judgement.independence import PERMUTATIONS, dependence
from circuitlang.judgement.verdict import FAILS, INVALID, SURVIVED, UNDECIDED
from circuitlang.language.spec import Both, Independence
from tests.judgement.judgement_fakes import F, Fake, compare, forall


def plain_hsic(one, other, order) -> float:
    """tr(KHLH) / n^2 by loops."""
    n = len(one)

    def kernel(x):
        width = np.median([abs(a - b) for i, a in enumerate(x) for b in x[:i]])
        return [[exp(-((a - b) ** 2) / (2 * width**2)) for b in x] for a in x]

    first, second = kernel(one), kernel([other[i] for i in order])
    centre = np.eye(n) - 1 / n
    return float(np.trace(np.array(first) @ centre @ np.array(second) @ centre)) / n**2


def test_statistic_is_the_definition():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=5), rng.exponential(size=5)
    found = dependence(one, other, seed=0)
    assert found.statistic == pytest.approx(plain_hsic(one, other, range(5)), rel=1e-12)
    everything = [plain_hsic(one, other, order) for order in permutations(range(5))]
    exact = np.mean([value >= found.statistic - 1e-15 for value in everything])
    assert found.p_value == pytest.approx(
        exact, abs=4 * (exact * (1 - exact) / PERMUTATIONS) ** 0.5
    )


def test_a_number_depends_wholly_on_itself():
    one = np.random.default_rng(1).normal(size=60)
    found = dependence(one, one, seed=0)
    assert found.share == pytest.approx(1.0)
    assert found.p_value == pytest.approx(1 / (PERMUTATIONS + 1))


def test_dependence_without_correlation_is_seen():
    rng = np.random.default_rng(2)
    one = rng.normal(size=200)
    other = one**2 - 1 + 0.1 * rng.normal(size=200)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.2
    assert dependence(one, other, seed=0).p_value <= 0.01


def test_level_is_kept():
    """Of independent pairs, at most 5% and chance are called dependent."""
    rng = np.random.default_rng(3)
    pairs = [(rng.normal(size=40), rng.exponential(size=40)) for _ in range(300)]
    refuted = sum(dependence(*pair, seed=i).p_value <= 0.05 for i, pair in enumerate(pairs))
    assert 3 <= refuted <= 26  # 15 expected; below 1e-3 on either side


def test_what_does_not_vary_beyond_noise_depends_on_nothing():
    rng = np.random.default_rng(4)
    one = rng.normal(size=50)
    jitter = 1 + 1e-7 * one
    assert dependence(one, np.ones(50), seed=0).p_value == 1
    assert dependence(one, jitter, seed=0, noise=1e-6).p_value == 1
    assert dependence(one, jitter, seed=0).p_value < 0.01


# ---------------------------------------------------------------- claims

CLAIM = Independence(F("C").measurement, F("M").measurement, 0.05)


def test_verdicts():
    rng = np.random.default_rng(5)
    one, other = rng.normal(size=80), rng.normal(size=80)
    dependent = Fake().put(C=one, M=one + other).decide(CLAIM)
    assert dependent.verdict == FAILS
    assert dict(dependent.companions).keys() == {"HSIC", "normalised HSIC"}
    assert "depend on each other" in dependent.reason
    independent = Fake().put(C=one, M=other).decide(CLAIM)
    assert independent.verdict == SURVIVED
    assert "does not mean that there is none" in independent.reason
    assert Fake().put(C=one[:19], M=other[:19]).decide(CLAIM).verdict == INVALID
    assert Fake().put(C=one * np.nan, M=other).decide(CLAIM).verdict == INVALID


def test_a_conjunction_never_holds_by_it():
    rng = np.random.default_rng(6)
    one, other = rng.normal(size=80), rng.normal(size=80)
    both = Both((compare(F("M"), ">=", -5), CLAIM))
    assert Fake().put(C=one, M=other).decide(both).verdict == SURVIVED
    assert Fake().put(C=one, M=one).decide(both).verdict == FAILS


def test_many_members_are_corrected():
    """What is refuted alone is not among twenty."""
    rng = np.random.default_rng(7)
    for _ in range(400):
        one, other = rng.normal(size=40), rng.normal(size=40)
        if 0.01 < dependence(one, other, seed=0).p_value <= 0.05:
            break
    fake = Fake().put(C=one, M=other)
    assert fake.decide(CLAIM).verdict == FAILS
    many = fake.decide(forall(*[CLAIM] * 20))
    assert many.verdict == UNDECIDED
    assert "Holm" in many.reason
