"""`most(p)` and shares of members, with the numbers of claims that are known."""

import dataclasses

import numpy as np
import pytest
from judgement_fakes import (
    OTHER_METRIC,
    F,
    Fake,
    claim,
    compare,
    forall,
    most,
    sub,
    within,
)
from scipy import stats
from test_decide import exactly

from circuitlang.judgement.contrast import unsupported
from circuitlang.judgement.decide import estimate_report, judge, node_of
from circuitlang.judgement.regions import Region
from circuitlang.judgement.shares import members_needed
from circuitlang.judgement.simultaneous import Family
from circuitlang.language.spec import Both, Comparison, Constant, MemberShare, ReportItem, Within

YES, NO = compare(2.0, ">", 1), compare(1.0, ">", 2)


def verdict(holding: int, count: int, p: float = 0.95, extent: str = "drawn") -> str:
    """Of members that are known exactly, so that only Clopper-Pearson decides."""
    members = [YES] * holding + [NO] * (count - holding)
    return Fake().decide(most(p, *members, extent=extent)).verdict


def test_59_of_59_show_a_share_of_95_percent_and_no_fewer():
    assert verdict(59, 59) == "holds"
    assert verdict(58, 58) == "undecided"
    assert verdict(58, 59) == "undecided"


def test_124_members_may_miss_two():
    assert [verdict(124 - misses, 124) for misses in (0, 2, 3)] == ["holds", "holds", "undecided"]
    assert verdict(121, 123) == "undecided"
    assert [verdict(124 - misses, 124) for misses in (10, 11)] == ["undecided", "fails"]
    assert stats.binom.cdf(124 - 11, 124, 0.95) <= 0.05 < stats.binom.cdf(124 - 10, 124, 0.95)


def test_a_share_of_all_members_is_exact():
    assert [verdict(k, 20, extent="all") for k in (20, 19, 18)] == ["holds", "holds", "fails"]
    found = Fake().decide(most(0.95, *[YES] * 19, NO, extent="all"))
    assert (found.value, found.low, found.high, found.method) == (
        0.95,
        0.95,
        0.95,
        "share of exact members",
    )
    assert (found.failed, found.looked_at) == (("e19",), None)


def clear(count: int, n: int = 300) -> list:
    return [compare(F(f"C{i}"), ">", 0) for i in range(count)], {
        f"C{i}": exactly(2.0, 1.0, n, i) for i in range(count)
    }


def test_estimated_members_leave_half_of_alpha_to_the_share():
    """0.95^72 <= 0.025 < 0.95^71: with intervals in the members, 72 are needed and not 59."""
    for count, wanted in ((59, "undecided"), (71, "undecided"), (72, "holds")):
        members, vectors = clear(count)
        found = Fake().put(**vectors).decide(most(0.95, *members))
        assert found.verdict == wanted, count
    members, vectors = clear(59)
    found = Fake().put(**vectors).decide(most(0.95, *members))
    assert (found.n, found.unit, found.n_to_decide) == (59, "members", 72)
    assert "59 members are too few to show a share >= 0.95 at all" in found.reason
    assert found.method == "Clopper-Pearson over max-t members"


def test_a_false_share_is_rarely_shown():
    """Of 1,000 samples of 124 members from a domain of which just 94.9% satisfy it."""
    rng = np.random.default_rng(2)
    drawn = rng.binomial(124, 0.949, 1_000)
    shown = {int(k): verdict(int(k), 124) == "holds" for k in set(drawn)}
    wrong = sum(shown[int(k)] for k in drawn)
    assert stats.binomtest(wrong, 1_000, 0.05).pvalue > 0.01 or wrong < 50


def test_an_undecided_member_counts_against_both_verdicts():
    members, vectors = clear(20)
    open_ = compare(F("D"), ">", 0)
    fake = Fake().put(**vectors, D=exactly(0.02, 1.0, 300, 99))
    found = fake.decide(most(0.95, *members, open_, open_, extent="all"))
    assert found.verdict == "undecided"
    assert (found.low, found.high) == (20 / 22, 1.0)
    assert "of 22 members 20 hold and 0 fail, 2 are undecided" in found.reason
    assert "at least 21 would have to hold" in found.reason
    assert "prompts would decide enough of them" in found.reason
    assert fake.decide(most(0.9, *members, open_, open_, extent="all")).verdict == "holds"


def test_members_that_no_prompts_would_decide_are_said_to_be_so():
    """Ties: the member's contrast is zero on every prompt, up to the numeric noise."""
    members, vectors = clear(20)
    tie = compare(F("D"), ">", 0)
    fake = Fake(noise=1e-3).put(**vectors, D=exactly(1e-6, 1e-5, 300, 99))
    found = fake.decide(most(0.95, *members, *[tie] * 3, extent="all"))
    assert found.verdict == "undecided"
    assert found.reason.endswith("the distance to the threshold is within the numeric noise")


def test_an_undecided_share_that_no_number_of_prompts_would_decide_says_why():
    members, vectors = clear(2)
    on_the_border = compare(F("D"), ">", 0)
    fake = Fake().put(**vectors, D=exactly(0.0, 1.0, 300, 99))
    found = fake.decide(most(0.9, *members, on_the_border, extent="all"))
    assert found.verdict == "undecided"
    assert "the estimate lies on the threshold" in found.reason


def test_a_share_fails_when_too_many_members_are_refuted():
    members, vectors = clear(10)
    refuted = [compare(F(f"C{i}"), "<", 0) for i in range(10)]
    fake = Fake().put(**vectors)
    found = fake.decide(most(0.6, *members[:5], *refuted[:5], extent="all"))
    assert (found.verdict, len(found.failed)) == ("fails", 5)
    assert fake.decide(most(0.95, *refuted)).verdict == "fails"


def test_survived_below_most_is_not_holds():
    partial = forall(YES, YES, extent="drawn")
    found = Fake().decide(most(0.5, *[partial] * 20))
    assert found.verdict == "survived"
    (result,) = judge([claim("a", most(0.5, *[partial] * 20))], Fake().sample)
    assert not result.ok
    (result,) = judge(
        [claim("a", forall(YES, extent="drawn"), expect=("survived", "x"))], Fake().sample
    )
    assert result.ok


def test_most_inside_a_quantifier():
    good, bad = most(0.9, *[YES] * 60), most(0.9, *[NO] * 60)
    assert Fake().decide(forall(good, good)).verdict == "holds"
    assert Fake().decide(forall(good, bad)).verdict == "fails"
    assert Fake().decide(Both((good, most(0.9, *[YES] * 20)))).verdict == "undecided"
    assert Fake().decide(most(0.5, *[good] * 10, extent="all")).verdict == "holds"


def test_the_members_of_an_undecided_part_are_not_taken_for_prompts():
    few = most(0.95, *[YES] * 20)
    found = Fake().decide(forall(few, few))
    assert (found.n_to_decide, found.unit) == (59, "members")


# ---------------------------------------------------------------- shares as numbers


def share_of(*members, drawn=True) -> MemberShare:
    return MemberShare("D", tuple((f"e{i}", m) for i, m in enumerate(members)), drawn)


@pytest.mark.parametrize(
    ("operator", "right", "wanted"),
    [(">=", 0.95, "holds"), ("<=", 0.95, "fails"), ("<", 0.99, "undecided"), ("<=", 1.0, "holds")],
)
def test_a_share_against_a_number(operator, right, wanted):
    share = share_of(*[YES] * 100)
    assert Fake().decide(Comparison(operator, share, Constant(right))).verdict == wanted
    mirror = {">=": "<=", "<=": ">=", "<": ">"}[operator]
    assert Fake().decide(Comparison(mirror, Constant(right), share)).verdict == wanted


def test_a_share_in_an_interval():
    half = share_of(*[YES] * 200, *[NO] * 200)
    assert Fake().decide(within(half, 0.4, 0.6)).verdict == "holds"
    assert Fake().decide(within(half, 0.6, 0.8)).verdict == "fails"
    assert Fake().decide(within(half, 0.48, 0.52)).verdict == "undecided"


def test_the_end_of_a_region():
    all_of_them = share_of(*[YES] * 4, drawn=False)
    assert Fake().decide(Comparison(">", all_of_them, Constant(1.0))).verdict == "fails"
    assert Fake().decide(Comparison(">=", all_of_them, Constant(1.0))).verdict == "holds"


def test_a_share_is_compared_with_plain_numbers_only():
    share = share_of(compare(F("C"), ">", 0))
    for formula in (
        Comparison(">=", share, F("C")),
        Comparison(">=", sub(share, 0.1), Constant(0.5)),
        Within(share, F("C"), Constant(1.0)),
    ):
        assert any("plain number" in problem.reason for problem in unsupported(formula))
    assert unsupported(Comparison(">=", share, Constant(0.5))) == ()


def test_a_reported_share():
    from pathlib import Path

    from circuitlang.language.source import Source, Span

    span = Span(Source("s.circ", "", Path()), 0, 0)
    item = ReportItem("r", None, (("", share_of(*[YES] * 3, NO)),), None, "", span)
    (found,) = estimate_report(item, Fake().estimator)
    low, high = stats.binomtest(3, 4).proportion_ci(0.9, method="exact")
    assert (found.value, found.low, found.high) == pytest.approx((0.75, low, high))
    assert (found.n, found.unit) == (4, "members")


# ---------------------------------------------------------------- members needed


def test_members_needed():
    at_95 = Region(low=0.95)
    assert members_needed(1.0, at_95, 0.05, 10).n == 59
    assert members_needed(1.0, at_95, 0.025, 10).n == 72
    n = members_needed(0.99, at_95, 0.05, 10).n
    few = max(k for k in range(n) if stats.binom.cdf(k, n, 0.05) <= 0.05)
    assert stats.binom.cdf(few, n, 0.01) >= 0.8
    assert members_needed(0.95, at_95, 0.05, 10).n is None
    assert members_needed(0.0, at_95, 0.05, 1).n == 2


# ---------------------------------------------------------------- intervals that hold together


def family(fake: Fake, members) -> Family:
    return Family([node_of(member, fake.estimator, "prompts") for member in members])


def test_members_that_go_together_cost_little_and_independent_ones_bonferroni():
    rng = np.random.default_rng(3)
    common = rng.normal(size=400)
    alike = {f"C{i}": 1 + common + 1e-3 * rng.normal(size=400) for i in range(50)}
    apart = {f"C{i}": 1 + rng.normal(size=400) for i in range(50)}
    members = [compare(F(f"C{i}"), ">", 0) for i in range(50)]
    together = family(Fake().put(**alike), members)
    independent = family(Fake().put(**apart), members)
    assert together.method == independent.method == "max-t"
    assert together.level(0.05) == pytest.approx(0.05, rel=0.1)
    sidak = 1 - 0.95 ** (1 / 50)
    assert independent.level(0.05) == pytest.approx(sidak, rel=0.2)
    assert independent.level(0.05) >= 0.05 / 50


def test_intervals_hold_together_at_their_level():
    """200 families of 30 members whose truth is 0: some member is off in about 5% of them."""
    rng, wrong = np.random.default_rng(11), 0
    members = [compare(F(f"C{i}"), ">", 0) for i in range(30)]
    for _ in range(200):
        common = rng.normal(size=(1, 200))
        drawn = 0.7 * common + 0.7 * rng.normal(size=(30, 200))
        fake = Fake().put(**{f"C{i}": v for i, v in enumerate(drawn)})
        nodes = [node_of(member, fake.estimator, "prompts") for member in members]
        level = Family(nodes).level(0.05)
        wrong += any(node.holds(level) for node in nodes)
    assert stats.binomtest(wrong, 200, 0.05).pvalue > 0.01


def test_what_is_not_alike_falls_back_to_bonferroni():
    rng = np.random.default_rng(0)
    bits = Fake().put(metric=OTHER_METRIC, A=rng.integers(0, 2, 50), B=rng.integers(0, 2, 50))
    shares = [compare(F(n, metric=OTHER_METRIC), ">", 0.1) for n in "AB"]
    found = family(bits, shares)
    assert (found.method, found.level(0.05)) == ("Bonferroni", 0.025)
    two = Fake().put(A=rng.normal(size=50)).put(task="gt", B=rng.normal(size=60))
    found = family(two, [compare(F("A"), ">", 0), compare(F("B", task="gt"), ">", 0)])
    assert (found.method, found.level(0.05)) == ("Bonferroni", 0.025)


def test_exact_members_need_no_correction():
    fake = Fake().put(A=np.arange(9.0), B=np.arange(9.0) + 1)
    fake.enumerated["ioi"] = True
    found = family(fake, [compare(F("A"), ">", 0), compare(F("B"), ">", 0)])
    assert (found.method, found.level(0.05)) == ("exact", 0.05)
    mixed = family(Fake().put(A=exactly(0, 1, 300)), [compare(F("A"), ">", 0), YES, YES])
    assert (mixed.method, mixed.level(0.05)) == ("one interval", 0.05)


def test_a_search_that_was_not_run():
    claimed = claim("a", dataclasses.replace(forall(extent="found")))
    (found,) = judge([claimed], Fake().sample)
    assert (found.verdict, found.ok) == ("not run", False)
    assert found.decision.reason == "its search was not run"
