"""Mistakes of other tools for circuits, shown absent."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from calibration.claims import (
    EFFECT,
    FAITHFULNESS,
    F,
    compare,
    each,
    op,
    quantified,
    sample,
    verdict,
    within,
)
from circuitlang.judgement.decide import decide, estimate_number
from circuitlang.judgement.estimator import Estimator
from circuitlang.language.spec import Aggregate, Comparison

RNG = np.random.default_rng


def wins() -> Aggregate:
    """The share of prompts on which the circuit scores higher than the model."""
    return Aggregate("share", Comparison(">", each("C"), each("M")))


# ---------------------------------------------------------------- a mean where a fraction belongs


@pytest.mark.parametrize("scale", [0.001, 1.0, 1000.0])
def test_an_equivalent_circuit_is_not_rejected_whatever_the_unit(scale: float):
    """Half of the prompts higher, half lower: the win rate is 1/2, the mean difference 0."""
    rng = RNG(0)
    model = rng.normal(3, 1, 400)
    error = rng.permutation(np.r_[np.full(200, 1.0), np.full(200, -1.0)])
    numbers = sample({"M": scale * model, "C": scale * (model + 0.1 * error)})
    assert verdict(within(wins(), 0.4, 0.6), numbers) == "holds"


@pytest.mark.parametrize("n", [100, 2_000])
def test_a_perfect_circuit_is_equivalent(n: int):
    rng = RNG(1)
    model = rng.normal(3, 1, n)
    numbers = sample({"M": model, "none": rng.normal(0, 1, n), "C": model})
    gap = op("abs", op("-", F("C"), F("M")))
    assert verdict(within(FAITHFULNESS, 0.95, 1.05), numbers) == "holds"
    assert verdict(compare(gap, "<=", op("*", 0.1, EFFECT)), numbers) == "holds"
    assert verdict(compare(Aggregate("share", Comparison(">=", each("C"), each("M"))), ">=", 0.9), numbers) == "holds"  # fmt: skip


def test_equivalent_circuits_are_rejected_in_5_of_100_samples_at_most():
    """True win rate on the edge of 0.4..0.6; a test that cannot fail would not decide."""
    rng, trials, n = RNG(2), 200, 200
    found = []
    for _ in range(trials):
        higher = rng.random(n) < 0.6
        numbers = sample({"M": np.zeros(n), "C": np.where(higher, 1.0, -1.0)})
        found.append(verdict(within(wins(), 0.4, 0.6), numbers))
    most = stats.binom.isf(0.001, trials, 0.05)
    assert 0 < found.count("fails") <= most
    assert 0 < found.count("holds") <= most


def test_a_circuit_that_wins_everywhere_is_rejected():
    model = RNG(3).normal(3, 1, 100)
    assert verdict(within(wins(), 0.4, 0.6), sample({"M": model, "C": model + 1e-6})) == "fails"


# ---------------------------------------------------------------- many edges


def test_671_edges_on_their_thresholds_fail_in_5_of_100_samples_at_most():
    """Without Holm's correction some edge of 671 is below in every sample."""
    rng, trials, failed = RNG(4), 20, 0
    claims = [compare(F(f"e{i}"), ">=", 0) for i in range(671)]
    for _ in range(trials):
        numbers = sample({f"e{i}": v for i, v in enumerate(rng.normal(size=(671, 256)))})
        failed += verdict(quantified("forall", *claims), numbers) == "fails"
    assert failed <= stats.binom.isf(0.001, trials, 0.05)
    alone = [verdict(claim, numbers) for claim in claims]
    assert alone.count("fails") > 10, "one by one, dozens of the last sample's are below"


# ---------------------------------------------------------------- ratios


@pytest.mark.parametrize("recovered", [-0.7, 1.6, 25.0])
def test_a_ratio_is_not_clipped(recovered: float):
    rng = RNG(5)
    floor, model = rng.normal(0, 1, 300), rng.normal(3, 1, 300)
    circuit = floor + recovered * (model - floor) + 0.1 * rng.normal(size=300)
    estimator = Estimator(sample({"M": model, "none": floor, "C": circuit}))
    found = decide(within(FAITHFULNESS, 0.8, 1.2), estimator)
    assert found.verdict == "fails"
    assert found.value == pytest.approx(recovered, abs=0.02)
    assert found.low is not None
    assert found.high is not None
    assert found.low < recovered < found.high


def test_a_ratio_is_of_means_and_no_mean_of_ratios():
    """Prompts whose own effect is near 0 have ratios of thousands."""
    rng = RNG(6)
    model = np.r_[rng.normal(3, 1, 299), 1e-9]
    circuit = 0.9 * model + 0.1 * rng.normal(size=300)
    numbers = sample({"M": model, "none": np.zeros(300), "C": circuit})
    assert abs(np.mean(circuit / model) - 0.9) > 100
    assert Estimator(numbers).value(FAITHFULNESS) == pytest.approx(0.9, abs=0.01)
    assert verdict(within(FAITHFULNESS, 0.8, 1.0), numbers) == "holds"


# ---------------------------------------------------------------- many prompts


@pytest.mark.parametrize("n", [2_000, 20_000])
def test_many_prompts_overflow_nothing(n: int):
    rng = RNG(7)
    values = {"A": rng.lognormal(0, 1, n), "C": rng.normal(0.2, 1, n), "M": rng.normal(0, 1, n)}
    estimator = Estimator(sample(values))
    with np.errstate(over="raise", invalid="raise"):
        for number in (
            F("A"), F("C"), wins(), op("/", F("C"), F("A")),
            Aggregate("median", each("A")), Aggregate("quantile", each("A"), 0.99),
        ):  # fmt: skip
            low, high = estimate_number(number, estimator).bounds(0.05)
            assert np.isfinite([low, high]).all()
            assert low < estimator.value(number) < high
        assert decide(compare(wins(), ">=", 0.5), estimator).verdict == "holds"


def test_the_largest_numbers_of_a_float_are_invalid_or_decided_but_never_nan():
    huge = sample({"C": 1e308 * (1 + 1e-3 * RNG(8).normal(size=50))})
    with np.errstate(over="ignore"):
        found = decide(compare(F("C"), ">=", 0), Estimator(huge))
    assert found.verdict in ("invalid", "undecided")
    assert "nan" not in str(found).lower()
