"""The intervals themselves: known numbers, coverage, degenerate data."""

import math

import numpy as np
import pytest
from judgement_fakes import OTHER_METRIC, RANK, F, Fake, compare, each, op, share, sub
from scipy import stats

from circuitlang.judgement import intervals
from circuitlang.judgement.decide import estimate_number
from circuitlang.judgement.intervals import bounded, clopper_pearson, proportion, quantile
from circuitlang.language.spec import Rows


def wins(alpha: float, level: float, n: int) -> int:
    """Fewest wins of n whose lower bound is above `level`."""
    return next(k for k in range(n + 1) if clopper_pearson(k, n, alpha)[0] > level)


def test_the_binomial_numbers_of_the_literature():
    assert wins(0.05, 0.9, 100) == 96
    assert wins(0.05, 0.9, 500) == 462
    most = max(k for k in range(101) if clopper_pearson(k, 100, 0.05)[1] < 0.9)
    assert most == 84
    assert clopper_pearson(59, 59, 0.05)[0] > 0.95 > clopper_pearson(58, 58, 0.05)[0]


def test_a_win_rate_is_decided_by_the_exact_binomial():
    for won, verdict in ((96, "holds"), (95, "undecided"), (84, "fails"), (85, "undecided")):
        fake = Fake().put(C=np.r_[np.ones(won), -np.ones(100 - won)])
        assert fake.decide(compare(share(each("C"), ">", 0), ">=", 0.9)).verdict == verdict


def test_gaffke_is_clopper_pearson_for_one_metric_of_bits():
    bits = np.r_[np.ones(37), np.zeros(3)]
    for alpha in (0.05, 0.001):
        found = bounded(bits, 0.0, 1.0).bounds(alpha)
        assert found == pytest.approx(clopper_pearson(37, 40, alpha), abs=0.004)
        assert proportion(37, 40).bounds(alpha) == clopper_pearson(37, 40, alpha)


def test_twenty_of_twenty_is_no_proof_of_95_percent():
    fake = Fake().put(M=np.ones(20), metric=OTHER_METRIC)
    accuracy = F("M", metric=OTHER_METRIC)
    assert fake.decide(compare(accuracy, ">=", 0.95)).verdict == "undecided"
    assert fake.decide(compare(accuracy, ">=", 0.85)).verdict == "holds"


def test_two_runs_that_agree_on_few_bits_are_not_shown_equal():
    ones = np.ones(30)
    fake = Fake().put(A=ones, B=ones, metric=OTHER_METRIC)
    gap = op("abs", sub(F("A", metric=OTHER_METRIC), F("B", metric=OTHER_METRIC)))
    assert fake.decide(compare(gap, "<=", 0.05)).verdict == "undecided"
    assert fake.decide(compare(gap, "<=", 0.15)).verdict == "holds"


def test_bits_on_two_data_sets_have_no_zero_width():
    fake = Fake().put(metric=OTHER_METRIC, A=np.ones(30))
    fake.put("gt", metric=OTHER_METRIC, A=np.ones(30))
    gap = sub(F("A", metric=OTHER_METRIC), F("A", task="gt", metric=OTHER_METRIC))
    assert fake.decide(compare(gap, ">=", -0.05)).verdict == "undecided"
    assert fake.decide(compare(gap, ">=", -0.2)).verdict == "holds"


def test_a_whole_number_on_every_prompt_proves_nothing():
    fake = Fake().put(metric=RANK, M=np.full(50, 3.0))
    found = fake.decide(compare(F("M", metric=RANK), "<=", 3.5))
    assert found.verdict == "undecided"
    assert "the same value" in found.reason


def test_runs_that_agree_prompt_by_prompt_agree_exactly():
    values = np.random.default_rng(0).normal(size=50)
    fake = Fake().put(A=values, B=values)
    found = fake.decide(compare(op("abs", sub(F("A"), F("B"))), "<=", 0.01))
    assert found.verdict == "holds"
    assert (found.low, found.high) == pytest.approx((0, 0), abs=1e-12)
    fake.noise = 0.001
    assert fake.decide(compare(op("abs", sub(F("A"), F("B"))), "<=", 0.01)).verdict == "undecided"


def test_the_t_interval_is_the_textbook_one():
    values = np.random.default_rng(0).normal(1, 2, 300)
    fake = Fake().put(A=values)
    low, high = estimate_number(F("A"), fake.estimator).bounds(0.05)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert (low, high) == pytest.approx((expected.low, expected.high))


def bootstrap_t(values: np.ndarray, alpha: float) -> tuple[float, float]:
    """By the textbook: t of every resample, one by one."""
    rng, n, ts = np.random.default_rng(1), len(values), []
    for _ in range(9_999):
        drawn = values[rng.integers(0, n, n)]
        ts.append((drawn.mean() - values.mean()) / (drawn.std(ddof=1) / math.sqrt(n)))
    low, high = np.quantile(ts, [alpha, 1 - alpha])
    se = values.std(ddof=1) / math.sqrt(n)
    return values.mean() - high * se, values.mean() - low * se


def test_below_200_it_is_the_wider_of_t_and_the_bootstrap_t():
    values = np.random.default_rng(0).exponential(size=120)
    found = estimate_number(F("A"), Fake().put(A=values).estimator)
    assert found.method(0.05) == "wider of t and bootstrap-t"
    t = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    low, high = bootstrap_t(values, 0.05)
    assert low > t.low, "skewed to the right: below, t is the wider"
    assert high > t.high
    assert found.bounds(0.05) == pytest.approx((t.low, high), abs=0.01)


def test_a_bootstrap_of_few_distinct_values_has_no_upper_end():
    """A third of the resamples of fifteen 0 and one 1 are all 0, and say nothing of the spread."""
    values = np.r_[np.zeros(15), 1.0]
    fake = Fake().put(metric=RANK, A=values)
    assert estimate_number(F("A", metric=RANK), fake.estimator).bounds(0.05)[1] == math.inf
    assert fake.decide(compare(F("A", metric=RANK), "<=", 1e6)).verdict == "undecided"


def test_the_bootstrap_of_strata_resamples_each_by_itself():
    rng = np.random.default_rng(0)
    samples = [rng.exponential(size=30), 5 + 3 * rng.exponential(size=20)]
    means, squares = intervals.resampled_means(samples, (3,))
    error, _ = intervals.stratified_error(samples)
    assert np.mean(means) == pytest.approx(0, abs=0.05 * error)
    assert np.std(means) == pytest.approx(error, rel=0.05), "not the spread between strata"
    assert math.sqrt(np.mean(squares)) == pytest.approx(error, rel=0.05)
    drawn = intervals.resampled_means([2 * s for s in samples], (3,))
    assert drawn[0] == pytest.approx(2 * means)
    assert drawn[1] == pytest.approx(4 * squares)


def test_blocks_of_resamples_are_all_there():
    values = np.random.default_rng(0).lognormal(size=2_500)
    means, squares = intervals.resampled_means([values], (3,))
    assert len(means) == len(squares) == intervals.RESAMPLES
    assert np.std(means) == pytest.approx(values.std() / 50, rel=0.05)


def test_few_resamples_beyond_alpha_leave_t_the_wider():
    values = np.random.default_rng(0).exponential(size=120)
    found = estimate_number(F("A"), Fake().put(A=values).estimator)
    half = float(values.std(ddof=1)) / math.sqrt(120) * stats.t.isf(0.05 / 671, 119)
    low, high = found.bounds(0.05 / 671)
    assert low <= values.mean() - half
    assert high >= values.mean() + half
    assert low < found.bounds(0.05 / 10)[0] < found.bounds(0.05)[0]


def test_skewed_numbers_are_not_left_to_the_t_interval():
    rng = np.random.default_rng(0)
    skewed, even = rng.exponential(size=250), rng.normal(size=250)
    assert "bootstrap" in estimate_number(F("A"), Fake().put(A=skewed).estimator).method(0.05)
    assert estimate_number(F("A"), Fake().put(A=even).estimator).method(0.05) == "t"


@pytest.mark.parametrize("per_template", [8, 60])
def test_templates_are_strata_when_the_target_is_prompts(per_template):
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(10 * g, 1, per_template) for g in range(5)])
    fake = Fake(templates={"ioi": np.repeat([f"t{g}" for g in range(5)], per_template)})
    found = estimate_number(F("A"), fake.put(A=values).estimator)
    low, high = found.bounds(0.05)
    naive = values.std(ddof=1) / math.sqrt(len(values))
    assert high - low < naive
    within = np.mean([values[rows].var(ddof=1) for rows in np.split(np.arange(len(values)), 5)])
    t = 2 * stats.t.isf(0.05, len(values) - 5) * math.sqrt(within / len(values))
    assert high - low == pytest.approx(t, rel=0.05)
    assert high - low >= t or per_template == 60


def test_too_few_prompts_or_templates_give_no_interval():
    few = Fake().put(A=np.array([5.0, 6.1, 7.2, 5.5]))
    found = few.decide(compare(F("A"), ">=", 0))
    assert (found.verdict, found.low, found.high) == ("undecided", None, None)
    assert "too few" in found.reason
    fake = Fake(templates={"ioi": np.repeat(["a", "b", "c", "d"], 50)})
    fake.put(A=np.random.default_rng(0).normal(5, 1, 200))
    assert fake.decide(compare(F("A"), ">=", 0)).verdict == "holds"
    found = fake.decide(compare(F("A"), ">=", 0), target="templates")
    assert found.verdict == "undecided"
    assert "4 templates" in found.reason


def test_an_enumerated_population_is_exact():
    fake = Fake(enumerated={"ioi": True}).put(A=np.array([1.0, -0.9, 0.2, 0.1]))
    found = fake.decide(compare(F("A"), ">", 0))
    assert (found.verdict, found.low, found.high) == ("holds", found.value, found.value)
    assert fake.decide(compare(F("A"), ">", 0), target="templates").verdict == "undecided"


def test_order_statistics():
    values = np.arange(1.0, 129.0)
    assert quantile(values, 0.99).bounds(0.05)[1] == math.inf
    low, high = quantile(values, 0.5).bounds(0.05)
    below, above = int(low), int(high)
    assert stats.binom.cdf(below - 1, 128, 0.5) <= 0.05 < stats.binom.cdf(below, 128, 0.5)
    assert stats.binom.sf(above - 1, 128, 0.5) <= 0.05 < stats.binom.sf(above - 2, 128, 0.5)
    assert quantile(np.arange(300.0), 0.99).bounds(0.05)[1] == 299


def test_different_data_sets_are_welch():
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, 260), rng.normal(0, 5, 240)
    fake = Fake().put(A=a).put("gt", A=b)
    found = estimate_number(sub(F("A"), F("A", task="gt")), fake.estimator)
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.9)
    assert found.bounds(0.05) == pytest.approx((expected.low, expected.high))
    assert found.method(0.05) == "Welch t"
    a, b = rng.exponential(size=60), 5 * rng.exponential(size=40)
    fake = Fake().put(A=a).put("gt", A=b)
    found = estimate_number(sub(F("A"), F("A", task="gt")), fake.estimator)
    assert found.method(0.05) == "wider of Welch t and bootstrap-t"
    welch = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.9)
    low, high = found.bounds(0.05)
    assert low < welch.low - 0.1, "the task with the larger spread is skewed to the right"
    assert high == pytest.approx(welch.high)


def test_parts_of_one_task_are_independent_and_overlaps_are_not():
    rng = np.random.default_rng(0)
    names = np.repeat(["x", "y"], 250)
    values = rng.normal(size=500) + np.where(names == "x", 2, 0)
    fake = Fake(slots={"ioi": tuple({"name": n} for n in names)}).put(A=values)
    x, y = (F("A", Rows("part", n, "name")) for n in "xy")
    parts = estimate_number(sub(x, y), fake.estimator)
    expected = stats.ttest_ind(values[:250], values[250:], equal_var=False).confidence_interval(0.9)
    assert parts.bounds(0.05) == pytest.approx((expected.low, expected.high))
    fake.templates["ioi"] = names
    of_x, of_y = (F("A", Rows("template", n)) for n in "xy")
    assert estimate_number(sub(of_x, of_y), fake.estimator).se == pytest.approx(parts.se)
    # with equal templates mean(x) - mean(all) is half of mean(x) - mean(y)
    whole = estimate_number(sub(of_x, F("A")), fake.estimator)
    assert whole.method(0.05) == "linearised t"
    assert whole.value == pytest.approx(parts.value / 2)
    assert whole.se == pytest.approx(parts.se / 2, rel=0.01)


def coverage(target: str, templates: int, trials: int = 300) -> float:
    """Of a 90% interval of the mean over templates in general, ICC 0.3, 20 prompts each."""
    rng, hits = np.random.default_rng(7), 0
    names = np.repeat([f"t{g:02}" for g in range(templates)], 20)
    for _ in range(trials):
        between = np.repeat(rng.normal(0, math.sqrt(0.3), templates), 20)
        fake = Fake(templates={"ioi": names})
        fake.put(A=between + rng.normal(0, math.sqrt(0.7), 20 * templates))
        low, high = estimate_number(F("A"), fake.estimator, target).bounds(0.05)
        hits += low <= 0 <= high
    return hits / trials


def test_template_means_cover_and_prompts_do_not():
    assert coverage("templates", 15) >= 0.86
    assert coverage("prompts", 15) <= 0.7


def test_degenerate_template_means_of_bits_are_no_free_pass():
    fake = Fake(templates={"ioi": np.repeat([f"t{g}" for g in range(6)], 30)})
    fake.put(metric=OTHER_METRIC, A=np.ones(180))
    assert (
        fake.decide(compare(F("A", metric=OTHER_METRIC), ">=", 0.95), target="templates").verdict
        == "undecided"
    )

    fake.put("gt", metric=OTHER_METRIC, A=np.ones(180))
    fake.templates["gt"] = fake.templates["ioi"]
    gap = compare(
        sub(F("A", metric=OTHER_METRIC), F("A", task="gt", metric=OTHER_METRIC)), ">=", -0.05
    )
    found = fake.decide(gap, target="templates")
    assert (found.verdict, "Bonferroni" in found.method) == ("undecided", True)


@pytest.mark.parametrize("rare", [0.02, 0.3])
def test_bounded_intervals_cover(rare):
    """A difference of bits that is rarely not 0: the t interval misses far more often."""
    rng, missed, missed_t, trials = np.random.default_rng(3), 0, 0, 400
    for _ in range(trials):
        vector = (rng.random(60) < rare).astype(float)
        missed += bounded(vector, -1.0, 1.0).bounds(0.05)[1] < rare
        missed_t += (
            stats.ttest_1samp(vector, 0).confidence_interval(0.9).high < rare or not vector.any()
        )
    assert missed <= stats.binom.isf(0.001, trials, 0.05)
    if rare < 0.1:
        assert missed_t > stats.binom.isf(0.001, trials, 0.05)


def test_resamples_repeat_and_follow_the_seed():
    values = np.random.default_rng(0).exponential(size=80)
    found = [
        estimate_number(F("A"), Fake(seed=s).put(A=values).estimator).bounds(0.05)
        for s in (0, 0, 1)
    ]
    assert found[0] == found[1] != found[2]


def test_mapped_turns_ends_round():
    low, high = proportion(9, 10).mapped(-2.0, 1.0).bounds(0.05)
    plain = clopper_pearson(9, 10, 0.05)
    assert (low, high) == (1 - 2 * plain[1], 1 - 2 * plain[0])
    assert intervals.widest(proportion(9, 10), proportion(5, 10), 0.05).high == plain[1]


def test_a_count_that_never_varies_is_no_bit():
    """A rank of 0 on every prompt of a sample may be 100 on others: it has no exact binomial."""
    fake = Fake(templates={"ioi": np.repeat([f"t{g}" for g in range(6)], 30)}).put(
        metric=RANK, A=np.zeros(180)
    )
    for target in ("prompts", "templates"):
        decision = fake.decide(compare(F("A", metric=RANK), "<=", 0.5), target=target)
        assert decision.verdict == "undecided"
        assert "the same value" in (decision.reason or "")
