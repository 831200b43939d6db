"""Numbers that the literature or a simulation gives, reproduced by the judgement."""

import math

import numpy as np
import pytest
from judgement_fakes import F, Fake, compare, most, op, sub
from scipy import stats

from circuitlang.judgement.decide import estimate_number
from circuitlang.judgement.intervals import bounded, quantile

YES, NO = compare(2.0, ">", 1), compare(1.0, ">", 2)


@pytest.mark.parametrize(("members", "misses"), [(59, 0), (93, 1), (124, 2)])
def test_members_known_exactly_that_show_95_percent(members, misses):
    def verdict(count: int, without: int) -> str:
        return Fake().decide(most(0.95, *[YES] * (count - without), *[NO] * without)).verdict

    assert verdict(members, misses) == "holds"
    assert verdict(members - 1, misses) == "undecided"
    assert verdict(members, misses + 1) == "undecided"


@pytest.mark.parametrize(("members", "misses"), [(72, 0), (110, 1), (142, 2)])
def test_members_with_intervals_that_show_95_percent(members, misses):
    """Half of alpha is for the members, the other half for their share."""
    rng = np.random.default_rng(0)

    def verdict(count: int, without: int) -> str:
        names = [f"C{i}" for i in range(count)]
        means = np.r_[np.full(without, -2.0), np.full(count - without, 2.0)]
        fake = Fake().put(
            **{n: m + rng.normal(size=250) for n, m in zip(names, means, strict=True)}
        )
        return fake.decide(most(0.95, *[compare(F(name), ">", 0) for name in names])).verdict

    assert verdict(members, misses) == "holds"
    assert verdict(members - 1, misses) == "undecided"


@pytest.mark.parametrize(("n", "half"), [(500, 0.061), (1000, 0.043)])
def test_gaffkes_bound_is_within_hoeffdings_half_width(n, half):
    """95% for numbers in 0..1, at the widest: half of them 0 and half of them 1."""
    assert math.sqrt(math.log(2 / 0.05) / (2 * n)) == pytest.approx(half, abs=0.0005)
    low, high = bounded(np.arange(n) % 2.0, 0.0, 1.0).bounds(0.025)
    normal = stats.norm.isf(0.025) * 0.5 / math.sqrt(n)
    assert normal < (high - low) / 2 < half


@pytest.mark.parametrize(("level", "n"), [(0.99, 299), (0.999, 2995)])
def test_how_many_prompts_an_upper_bound_of_a_quantile_needs(level, n):
    assert quantile(np.arange(float(n)), level).bounds(0.05)[1] == n - 1
    assert quantile(np.arange(n - 1.0), level).bounds(0.05)[1] == math.inf


def coverage(templates: int, target: str, trials: int) -> float:
    """Of 95% intervals of a mean over templates in general: ICC 0.3, 20 prompts each."""
    rng, hits = np.random.default_rng(templates), 0
    names = np.repeat([f"t{g:02}" for g in range(templates)], 20)
    for _ in range(trials):
        between = np.repeat(rng.normal(0, math.sqrt(0.3), templates), 20)
        fake = Fake(templates={"ioi": names})
        fake.put(A=between + rng.normal(0, math.sqrt(0.7), 20 * templates))
        low, high = estimate_number(F("A"), fake.estimator, target).bounds(0.025)
        hits += low <= 0 <= high
    return hits / trials


@pytest.mark.parametrize(("templates", "known"), [(8, 0.956), (15, 0.949), (30, 0.947)])
def test_template_means_cover_what_they_should(templates, known):
    trials = 500
    error = math.sqrt(known * (1 - known) / trials)
    assert coverage(templates, "templates", trials) == pytest.approx(known, abs=3 * error)


def test_single_prompts_cover_55_percent_of_templates_in_general():
    assert coverage(15, "prompts", 300) == pytest.approx(0.55, abs=3 * math.sqrt(0.25 / 300))


def test_a_ratio_covers_where_its_denominator_is_small():
    """A denominator of 0.15 standard deviations: 0.94 to 0.97 of 95% intervals."""
    rng, hits, trials, ratio, n = np.random.default_rng(2), 0, 1000, 0.8, 400
    for _ in range(trials):
        below = 0.15 + rng.normal(size=n)
        fake = Fake().put(A=ratio * below + 0.5 * rng.normal(size=n), B=below)
        contrast = sub(F("A"), op("*", ratio, F("B")))
        low, high = estimate_number(contrast, fake.estimator).bounds(0.025)
        hits += low <= 0 <= high
    assert 0.935 <= hits / trials <= 0.97
