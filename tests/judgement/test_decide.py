"""Three-valued verdicts."""

import dataclasses
import math

import numpy as np
import pytest
from judgement_fakes import (
    EFFECT,
    FAITHFULNESS,
    F,
    Fake,
    compare,
    div,
    each,
    exists,
    forall,
    op,
    share,
    sub,
    within,
)
from scipy import stats

from circuitlang.judgement import intervals
from circuitlang.judgement.decide import estimate_number, node_of
from circuitlang.judgement.leaf import either_end
from circuitlang.judgement.quantifiers import step_down
from circuitlang.language.spec import Aggregate, Both, Quantified, Rows


def exactly(mean: float, sd: float, n: int, seed: int = 0) -> np.ndarray:
    """n numbers with just this mean and standard deviation."""
    x = np.random.default_rng(seed).normal(size=n)
    return mean + sd * (x - x.mean()) / x.std(ddof=1)


def test_three_values_of_a_half_line():
    fake = Fake().put(C=exactly(1.0, 1.0, 400))
    verdicts = [fake.decide(compare(F("C"), ">=", t)).verdict for t in (0.9, 1.0, 1.1)]
    assert verdicts == ["holds", "undecided", "fails"]
    verdicts = [fake.decide(compare(F("C"), "<=", t)).verdict for t in (0.9, 1.0, 1.1)]
    assert verdicts == ["fails", "undecided", "holds"]


def test_the_picture_agrees_with_the_verdict():
    fake = Fake().put(C=exactly(1.0, 1.0, 400))
    found = fake.decide(compare(F("C"), ">=", 0.9))
    half = stats.t.isf(0.05, 399) / 20
    assert (found.low, found.high) == pytest.approx((1 - half, 1 + half))
    assert (found.level, found.region_low, found.region_high) == (0.9, 0.9, None)
    assert (found.n, found.unit, found.reason, found.n_to_decide) == (400, "prompts", None, None)


def test_a_measured_threshold_is_shown_and_moves_the_interval():
    m, none = exactly(3.0, 1.0, 400, 1), exactly(0.0, 1.0, 400, 2)
    fake = Fake().put(M=m, none=none, C=exactly(2.0, 0.3, 400, 3), D=exactly(1.8, 0.3, 400, 4))
    found = fake.decide(compare(sub(F("C"), F("D")), ">=", op("*", 0.01, EFFECT)))
    assert found.verdict == "holds"
    assert found.threshold == ">= 0.03 (measured)"
    assert found.region_low == pytest.approx(0.03)
    assert found.low > 0.03
    assert found.value == pytest.approx(0.2)


def faith(recovered: float, m: float, none: float, n: int = 256, sd: float = 0.3) -> Fake:
    rng = np.random.default_rng(5)
    floor = none + sd * rng.normal(size=n)
    model = m + sd * rng.normal(size=n)
    circuit = floor + recovered * (m - none) + sd * rng.normal(size=n)
    return Fake().put(M=model, none=floor, C=circuit)


@pytest.mark.parametrize("n", [100, 256])
@pytest.mark.parametrize(("m", "none"), [(3.0, 0.0), (0.0, 3.0), (-3.0, 0.0)])
def test_the_sign_of_the_denominator(m, none, n):
    """With a KL-like metric F(M) < F(none); recovering 10% of it is not 80%."""
    poor, good = faith(0.1, m, none, n), faith(0.95, m, none, n)
    assert poor.decide(compare(FAITHFULNESS, ">=", 0.8)).verdict == "fails"
    assert good.decide(compare(FAITHFULNESS, ">=", 0.8)).verdict == "holds"
    assert good.decide(compare(FAITHFULNESS, "<=", 0.8)).verdict == "fails"
    assert poor.decide(within(FAITHFULNESS, 0.8, 1.2)).verdict == "fails"
    assert good.decide(within(FAITHFULNESS, 0.8, 1.2)).verdict == "holds"
    gap = op("abs", sub(FAITHFULNESS, 1))
    assert good.decide(compare(gap, "<=", 0.2)).verdict == "holds"
    assert poor.decide(compare(gap, ">=", 0.5)).verdict == "holds"


@pytest.mark.parametrize("n", [60, 256])
@pytest.mark.parametrize("m", [1.0, -1.0])
def test_a_ratios_interval_never_contradicts_its_verdict(n, m):
    seen = set()
    for step in range(13):
        t = 0.6 + 0.04 * step
        fake = faith(0.85, m, 0.0, n, sd=0.7)
        for sign in (">=", "<="):
            found = fake.decide(compare(FAITHFULNESS, sign, t))
            inside = found.low >= t - 1e-5 if sign == ">=" else found.high <= t + 1e-5
            outside = found.high <= t + 1e-5 if sign == ">=" else found.low >= t - 1e-5
            straddles = found.low <= t + 1e-5 and found.high >= t - 1e-5
            assert {"holds": inside, "fails": outside, "undecided": straddles}[found.verdict]
            seen.add(found.verdict)
    assert seen == {"holds", "fails", "undecided"}


def test_fieller_matches_its_closed_form():
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, 400), rng.normal(2, 1, 400)
    low, high = estimate_number(div(F("A"), F("B")), Fake().put(A=a, B=b).estimator).bounds(0.05)
    t2 = stats.t.isf(0.05, 399) ** 2 / 400
    cov = np.cov(a, b)
    p = b.mean() ** 2 - t2 * cov[1, 1]
    q = a.mean() * b.mean() - t2 * cov[0, 1]
    r = a.mean() ** 2 - t2 * cov[0, 0]
    root = math.sqrt(q**2 - p * r)
    assert (low, high) == pytest.approx(((q - root) / p, (q + root) / p), abs=1e-5)


def test_a_denominator_that_may_be_zero_makes_the_claim_invalid():
    fake = Fake().put(M=exactly(0.02, 1, 256), none=np.zeros(256), C=exactly(5, 0.1, 256, 1))
    found = fake.decide(compare(FAITHFULNESS, ">=", 0.8))
    assert found.verdict == "invalid"
    assert "F(M) - F(none)" in found.reason
    assert "includes 0" in found.reason


def test_a_denominator_of_a_twentieth_of_its_spread_is_too_small():
    fake = Fake().put(M=exactly(0.04, 1, 20_000), none=np.zeros(20_000), C=exactly(1, 1, 20_000, 1))
    found = fake.decide(compare(FAITHFULNESS, ">=", 0.8))
    assert found.verdict == "invalid"
    assert "smaller than 0.05" in found.reason


def test_a_denominator_under_its_noise_is_too_small():
    fake = Fake(noise=0.01).put(M=exactly(0.19, 0.001, 300), none=exactly(0, 0.001, 300, 1))
    fake.put(C=exactly(0.19, 0.001, 300, 2))
    assert fake.decide(compare(FAITHFULNESS, ">=", 0.1)).verdict == "invalid"


@pytest.mark.parametrize("formula", [
    compare(sub(F("C"), F("C-e")), ">=", op("*", 0.01, EFFECT)),
    compare(op("abs", sub(F("C"), F("C-e"))), ">=", op("*", 0.01, EFFECT)),
    compare(op("abs", sub(F("C"), F("C-e"))), "<=", op("*", 0.1, EFFECT)),
    compare(div(op("abs", sub(F("C"), F("C-e"))), EFFECT), "<=", 0.1),
    compare(sub(F("C"), F("C-e")), ">=", op("*", 0.01, F("M"))),
])  # fmt: skip
def test_a_threshold_that_scales_with_a_negative_effect_is_invalid(formula):
    """An edge that does nothing would hold at `drop >= 1% * effect` where effect < 0."""
    c = exactly(1, 1, 300)
    values = {"C": c, "C-e": c + 0.001 * exactly(0, 1, 300, 3)}
    fake = Fake().put(M=exactly(-3, 0.1, 300, 1), none=exactly(0, 0.1, 300, 2), **values)
    found = fake.decide(formula)
    assert found.verdict == "invalid"
    assert "positive" in found.reason
    fake = Fake().put(M=exactly(3, 0.1, 300, 1), none=exactly(0, 0.1, 300, 2), **values)
    assert fake.decide(formula).verdict in ("holds", "fails")


def test_equivalence_region():
    fake = Fake().put(M=exactly(0, 1, 400), C=exactly(0.05, 1, 400))
    gap = sub(F("C"), F("M"))  # paired: the same draw, shifted by 0.05
    assert fake.decide(within(gap, -0.1, 0.1)).verdict == "holds"
    wide = Fake().put(M=exactly(0, 1, 20), C=exactly(0.05, 1, 20, 9))
    found = wide.decide(within(gap, -0.1, 0.1))
    assert found.verdict == "undecided", "a wide interval is no equivalence"
    assert (found.region_low, found.region_high, found.threshold) == (-0.1, 0.1, "in -0.1..0.1")
    assert fake.decide(within(gap, 0.1, 0.3)).verdict == "fails"
    assert dict(fake.decide(compare(op("abs", gap), "<=", 0.1)).companions)[
        "rmse"
    ] == pytest.approx(0.05)


def test_absolute_values_in_three_values():
    fake = Fake().put(C=exactly(-0.5, 1, 400))
    size = op("abs", F("C"))
    assert [fake.decide(compare(size, "<=", t)).verdict for t in (0.3, 0.5, 0.7)] == [
        "fails", "undecided", "holds",
    ]  # fmt: skip
    found = [fake.decide(compare(size, ">=", t)) for t in (0.3, 0.5, 0.7)]
    assert [f.verdict for f in found] == ["holds", "undecided", "fails"]
    assert found[0].level == pytest.approx(0.95), "either side may decide, each takes half"
    assert found[0].low == pytest.approx(0.5 - stats.t.isf(0.025, 399) / 20)


def test_both_ends_of_a_wide_region_are_read_off_one_interval():
    """Six standard errors wide: `fails` is a 1 - 2 alpha interval disjoint from the region."""
    fake = Fake().put(C=0.3 - at_p(0.04))
    assert fake.decide(within(F("C"), -0.3, 0.3)).verdict == "fails"
    assert fake.decide(compare(op("abs", F("C")), "<=", 0.3)).verdict == "fails"
    larger = compare(op("max", F("C"), op("-", F("C"), 5)), "<=", 0.3)
    assert fake.decide(larger).verdict == "undecided", "two unrelated tests: .04 > .05 / 2"


def test_the_ends_of_a_region_without_width_share_alpha():
    for p, verdict in ((0.04, "undecided"), (0.024, "fails")):
        fake = Fake().put(C=1 - at_p(p))
        for claim in (within(F("C"), 1, 1 + 1e-9), compare(op("abs", sub(F("C"), 1)), "<=", 1e-9)):
            found = fake.decide(claim)
            assert found.verdict == verdict
            assert ("so narrow" in found.reason) == (verdict == "undecided")
    assert "the 95.0% interval reaches it" in Fake().put(C=1 - at_p(0.04)).decide(claim).reason


def test_the_level_of_either_end_grows_with_the_region():
    def level(width: float) -> float:
        ends = [intervals.student(v, 1.0, 99, n=100, sd=10, method="t") for v in (0.0, width)]
        return either_end(0.05, ends)

    levels = [level(width) for width in (0, 0.5, 1, 2, 4)]
    assert levels[0] == pytest.approx(0.025)
    assert levels == sorted(levels)
    assert levels[-1] == pytest.approx(0.05, abs=1e-6)
    for width, found in zip((0, 0.5, 1, 2, 4), levels, strict=True):
        z = stats.norm.isf(found)
        assert found + stats.norm.cdf(-z - width) == pytest.approx(0.05)


def test_a_number_on_its_threshold():
    fake = Fake(enumerated={"ioi": True}).put(C=np.array([0.5, 1.5]))
    for sign, verdict in ((">=", "holds"), ("<=", "holds"), (">", "fails"), ("<", "fails")):
        node = node_of(compare(F("C"), sign, 1), fake.estimator, "prompts")
        assert (node.holds(0.05), node.fails(0.05)) == (verdict == "holds", verdict == "fails")


def test_large_absolute_values_of_nothing_do_not_hold():
    """At t near 0 both sides can be wrong: halves of alpha keep the sum at alpha."""
    rng, wrong, trials = np.random.default_rng(0), 0, 1000
    for _ in range(trials):
        fake = Fake().put(C=rng.normal(0, 1, 200))
        wrong += fake.decide(compare(op("abs", F("C")), ">=", 1e-6)).verdict == "holds"
    assert wrong <= stats.binom.isf(0.001, trials, 0.05)


@pytest.mark.parametrize("n", [30, 120, 250])
def test_wrong_holds_at_the_boundary(n):
    """A ratio exactly at its threshold, mildly skewed numbers: at most alpha wrong `holds`."""
    rng, wrong, failed, trials = np.random.default_rng(1), 0, 0, 200
    for _ in range(trials):
        floor, model = rng.gamma(4, 0.25, n), 3 + rng.gamma(4, 0.25, n)
        circuit = 0.2 * floor + 0.8 * model + 0.3 * rng.normal(size=n)
        found = Fake().put(M=model, none=floor, C=circuit).estimator
        node = node_of(compare(FAITHFULNESS, ">=", 0.8), found, "prompts")
        wrong += node.holds(0.05)
        failed += node.fails(0.05)
    limit = stats.binom.isf(0.001, trials, 0.05)
    assert wrong <= limit
    assert failed <= limit
    assert wrong + failed > stats.binom.ppf(0.001, trials, 0.05), "it does decide"


def test_noise_makes_it_undecided():
    fake = Fake(noise=0.001).put(A=exactly(1, 0.001, 400), B=exactly(0.985, 0.001, 400, 1))
    claim = compare(sub(F("A"), F("B")), ">=", 0)
    found = fake.decide(claim)
    assert found.verdict == "undecided", "0.015 is under 10 * (0.001 + 0.001)"
    assert "numeric noise" in found.reason
    assert found.n_to_decide is None
    assert "noise" in found.power_note
    assert fake.decide(compare(sub(F("B"), F("A")), ">=", 0)).verdict == "undecided"
    fake.noise = 0.0005
    assert fake.decide(claim).verdict == "holds"


def test_noise_of_a_share_is_the_prompts_at_the_edge():
    near = np.r_[np.full(95, 1.0), np.full(5, 1e-6), -np.ones(1)]
    claim = compare(share(each("C"), ">", 0), ">=", 0.92)
    assert Fake().put(C=near).decide(claim).verdict == "holds"
    assert Fake(noise=1e-5).put(C=near).decide(claim).verdict == "undecided"


def edges(values: list[np.ndarray], kind: str = "forall") -> tuple[Fake, Quantified]:
    fake = Fake().put(**{f"e{i}": v for i, v in enumerate(values)})
    members = [compare(F(f"e{i}"), ">=", 0) for i in range(len(values))]
    return fake, forall(*members, kind=kind)


def at_p(p: float, n: int = 400, seed: int = 0) -> np.ndarray:
    """Numbers whose one-sided p-value against `mean >= 0` is p."""
    return exactly(-float(stats.t.isf(p, n - 1)) / math.sqrt(n), 1.0, n, seed)


def test_671_edges_at_their_thresholds_do_not_fail_by_chance():
    rng = np.random.default_rng(0)
    fake, claim = edges(list(rng.normal(size=(671, 256))))
    found = fake.decide(claim)
    alone = [d.low is not None and d.high < 0 for _, d in found.members]
    assert sum(alone) > 10, "uncorrected, dozens are below"
    assert found.verdict == "undecided"
    assert found.failed == ()
    assert sum("Holm" in (d.reason or "") for _, d in found.members) == sum(alone)


def test_holm_at_the_boundary_of_671():
    clear = [exactly(1, 1, 400, i) for i in range(670)]
    fake, claim = edges([*clear, at_p(0.049 / 671)])
    found = fake.decide(claim)
    assert (found.verdict, found.failed, found.worst) == ("fails", ("e670",), "e670")
    fake, claim = edges([*clear, at_p(0.051 / 671)])
    assert fake.decide(claim).verdict == "undecided"
    fake, claim = edges(clear)
    assert fake.decide(claim).verdict == "holds"


def test_forall_holds_uncorrected():
    fake, claim = edges([exactly(1.66 / 20, 1, 400, i) for i in range(200)])
    assert fake.decide(claim).verdict == "holds", "each at .05, no correction (t(.05) is 1.649)"


def test_holm_steps_down():
    ps = [0.001, 0.012, 0.02, 0.04, 0.5]
    rejected = lambda level: [p <= level for p in ps]  # noqa: E731
    level = step_down([lambda a, p=p: p <= a for p in ps], 0.05)
    assert sum(rejected(level)) == 2  # .001 <= .05/5, .012 <= .05/4, .02 > .05/3
    fake, claim = edges([at_p(p, seed=i) for i, p in enumerate(ps)])
    assert fake.decide(claim).failed == ("e0", "e1")


def test_exists_is_the_dual():
    up = [-at_p(p, seed=i) for i, p in enumerate((0.02, 0.4, 0.5))]
    fake, claim = edges(up, "exists")
    assert fake.decide(claim).verdict == "undecided", ".02 > .05 / 3"
    fake, claim = edges([-at_p(0.016), *up[1:]], "exists")
    found = fake.decide(claim)
    assert (found.verdict, found.worst) == ("holds", "e0")
    fake, claim = edges([exactly(-1.66 / 20, 1, 400, i) for i in range(20)], "exists")
    assert fake.decide(claim).verdict == "fails", "all below, uncorrected"


def test_nested_quantifiers_split_alpha():
    """forall x exists y, 2 x 2: a member holds at alpha / 2; failing needs alpha / 2 twice, all."""
    runs = {"a": -at_p(0.02), "b": at_p(0.001), "c": at_p(0.02, seed=2), "d": at_p(0.03, seed=3)}
    fake = Fake().put(**runs)
    at_least = {name: compare(F(name), ">=", 0) for name in runs}
    good, poor = exists(at_least["a"], at_least["b"]), exists(at_least["c"], at_least["d"])
    assert fake.decide(good).verdict == "holds"
    assert fake.decide(poor).verdict == "fails"
    assert fake.decide(forall(good, good)).verdict == "holds"
    assert fake.decide(forall(good, poor)).verdict == "undecided", ".03 > .05 / 2"
    fake.put(d=at_p(0.024, seed=3))
    assert fake.decide(forall(good, poor)).verdict == "fails"
    assert fake.decide(exists(good, poor)).verdict == "undecided", ".02 > .05 / 2 / 2"
    fake.put(a=-at_p(0.012))
    assert fake.decide(exists(good, poor)).verdict == "holds"


def test_and_is_a_forall_over_its_parts():
    fake = Fake().put(a=exactly(1, 1, 400), b=at_p(0.04), c=at_p(0.02))
    a, b, c = (compare(F(n), ">=", 0) for n in "abc")
    assert fake.decide(Both((a, a))).verdict == "holds"
    assert fake.decide(Both((a, b))).verdict == "undecided"
    assert fake.decide(Both((a, c))).verdict == "fails"


def test_a_prompt_speaks_for_itself():
    values = np.r_[exactly(5, 1, 50), -0.2]
    fake = Fake().put(C=values)
    members = [compare(F("C", Rows("example", i)), ">", 0) for i in range(51)]
    claim = forall(*members, domain="examples")
    found = fake.decide(claim)
    assert (found.verdict, found.failed, found.low) == ("fails", ("e50",), -0.2)
    assert fake.decide(forall(*members[:50], domain="examples")).verdict == "holds"
    assert fake.decide(exists(*members)).verdict == "holds"


def test_a_universal_over_some_members_survives_and_never_holds():
    fake = Fake().put(C=exactly(5, 1, 50))
    members = [compare(F("C", Rows("example", i)), ">", 0) for i in range(50)]
    for extent in ("prompts", "found", "drawn"):
        found = fake.decide(forall(*members, extent=extent))
        assert (found.verdict, "50 members" in found.reason) == ("survived", True)
        assert found.looked_at == 50
    nested = fake.decide(forall(forall(*members, extent="prompts"), forall(*members)))
    assert (nested.verdict, nested.looked_at) == ("survived", 50)
    none_found = forall(
        *[compare(m.left, "<", 0) for m in members], kind="exists", extent="prompts"
    )
    assert fake.decide(none_found).verdict == "undecided"
    assert fake.decide(dataclasses.replace(none_found, extent="all")).verdict == "fails"
    fake.enumerated["ioi"] = True
    assert fake.decide(forall(*members, extent="prompts")).verdict == "holds"
    assert fake.decide(forall(*members, extent="drawn")).verdict == "survived"


def test_survived_tells_how_many_a_search_tried():
    fake = Fake().put(C=exactly(5, 1, 50))
    claim = dataclasses.replace(forall(compare(F("C"), ">", 0), extent="found"), tried=1_000)
    found = fake.decide(claim)
    assert (found.verdict, found.looked_at) == ("survived", 1_000)
    assert "1,000 members" in found.reason


def test_an_empty_list_says_nothing():
    assert Fake().decide(forall()).verdict == "invalid"


def test_one_invalid_member_makes_the_whole_invalid():
    fake = Fake().put(A=exactly(1, 1, 300), B=exactly(3, 1, 300, 1), Z=exactly(0, 1, 300, 2))
    good, bad = (compare(div(F("A"), F(b)), ">=", 0.1) for b in "BZ")
    found = fake.decide(forall(good, bad))
    assert (found.verdict, "e1" in found.reason) == ("invalid", True)


def test_numbers_that_are_not_finite_are_invalid():
    fake = Fake().put(A=np.r_[np.ones(9) / 3, np.nan])
    assert fake.decide(compare(F("A"), ">=", 0)).verdict == "invalid"
    assert fake.decide(compare(share(each("A"), ">", 0), ">=", 0.1)).verdict == "invalid"


def test_constants():
    fake = Fake()
    for left, sign, right, verdict in [
        (671, "<=", 700, "holds"), (700, "<", 700, "fails"), (3, "==", 3, "holds"),
        (3, "!=", 3, "fails"), (3, "==", 4, "fails"), (4, ">=", 4, "holds"),
    ]:  # fmt: skip
        assert fake.decide(compare(left, sign, right)).verdict == verdict


def test_medians_and_quantiles():
    fake = Fake().put(A=exactly(1, 1, 200), M=np.ones(200))
    median = Aggregate("median", div(each("A"), each("M")))
    verdicts = [fake.decide(compare(median, ">=", t)).verdict for t in (0.5, 1.0, 1.5)]
    assert verdicts == ["holds", "undecided", "fails"]
    tail = Aggregate("quantile", each("A"), 0.99)
    found = fake.decide(compare(tail, "<=", 100))
    assert found.verdict == "undecided", "200 prompts do not bound the 99% quantile"
    assert fake.decide(compare(Aggregate("quantile", each("A"), 0.9), "<=", 100)).verdict == "holds"


def test_bootstrapped_forms_are_labelled():
    fake = Fake().put(A=exactly(2, 1, 150), B=exactly(3, 1, 150, 1), D=exactly(1, 1, 150, 2))
    product = op("*", F("A"), F("B"))
    found = [fake.decide(compare(product, ">=", t)) for t in (4.5, 6, 7.5)]
    assert [f.verdict for f in found] == ["holds", "undecided", "fails"]
    assert "bootstrap" in found[0].method
    gap = sub(op("abs", F("A")), op("abs", F("B")))
    assert fake.decide(compare(gap, "<=", 0)).verdict == "holds"
    ratios = sub(div(F("A"), F("B")), div(F("A"), F("D")))
    assert fake.decide(compare(ratios, "<=", 0)).verdict == "holds"
    median = Aggregate("median", each("A"))
    assert fake.decide(compare(sub(F("B"), median), ">=", 0.5)).verdict == "holds"


def test_a_share_of_a_measured_condition():
    fake = Fake().put(
        M=exactly(3, 0.5, 300), none=exactly(0, 0.5, 300, 1), C=exactly(0, 0.1, 300, 2)
    )
    close = share(op("abs", each("C")), "<=", op("*", 0.1, EFFECT))
    assert fake.decide(compare(close, ">=", 0.9)).verdict == "holds"
    small = Fake().put(
        M=exactly(3, 0.5, 20), none=exactly(0, 0.5, 20, 1), C=exactly(0, 0.05, 20, 2)
    )
    assert small.decide(compare(close, ">=", 0.95)).verdict == "undecided", "20 of 20"


def test_verdicts_repeat():
    fake = faith(0.83, 3, 0, 60)
    claim = within(FAITHFULNESS, 0.8, 1.2)
    assert fake.decide(claim) == fake.decide(claim)


# ---------------------------------------------------------------- how many prompts would decide


@pytest.mark.parametrize("mean", [0.15, -0.12])
def test_the_n_that_would_decide_does(mean):
    found = Fake().put(C=exactly(mean, 2, 256)).decide(compare(F("C"), ">=", 0))
    assert found.verdict == "undecided"
    n = found.n_to_decide
    expected = (stats.norm.isf(0.05) + stats.norm.ppf(0.8)) ** 2 * 4 / mean**2
    assert expected <= n <= 1.1 * expected
    rng, decided = np.random.default_rng(0), 0
    for _ in range(300):
        node = Fake().put(C=rng.normal(mean, 2, n)).decide(compare(F("C"), ">=", 0))
        decided += node.verdict == ("holds" if mean > 0 else "fails")
    assert 0.7 <= decided / 300 <= 0.9


def test_wangs_smallest_head_needs_eighty_thousand_prompts():
    found = Fake().put(C=exactly(0.04, 0.5, 100)).decide(compare(F("C"), ">=", 0.0356))
    assert found.verdict == "undecided"
    assert 70_000 <= found.n_to_decide <= 90_000


def test_when_no_number_of_prompts_would_decide():
    found = Fake().put(C=exactly(0, 1, 256)).decide(compare(F("C"), ">=", 0))
    assert found.n_to_decide is None
    assert "on the threshold" in found.power_note


def test_a_forall_needs_what_its_hardest_member_needs():
    fake, claim = edges([exactly(0.05, 1, 256), exactly(0.02, 1, 256, 1), exactly(1, 1, 256, 2)])
    found = fake.decide(claim)
    alone = fake.decide(claim.members[1][1])
    assert found.n_to_decide == alone.n_to_decide > fake.decide(claim.members[0][1]).n_to_decide
    fake, claim = edges([exactly(-0.08, 1, 256), exactly(0.02, 1, 256, 1)])
    found, alone = fake.decide(claim), fake.decide(claim.members[0][1])
    assert found.n_to_decide > alone.n_to_decide, "one member refutes it, at alpha / 2"
