"""Whole claims: assumptions, preconditions, expectations, reports."""

import dataclasses
import json
import time

import numpy as np
import pytest
from judgement_fakes import EFFECT, FAITHFULNESS, F, Fake, claim, compare, forall, op, sub, within

from circuitlang.judgement.decide import UnsupportedError, estimate_number, estimate_report, judge
from circuitlang.judgement.preconditions import Precondition, able, invariants
from circuitlang.judgement.sample import Sample
from circuitlang.language.spec import ReportItem

RNG = np.random.default_rng(0)
FAKE = Fake().put(
    M=RNG.normal(3, 0.5, 300), none=RNG.normal(0, 0.5, 300), C=RNG.normal(2.9, 0.5, 300)
)
TRUE, FALSE = compare(FAITHFULNESS, ">=", 0.8), compare(FAITHFULNESS, "<=", 0.8)
OPEN = compare(
    F("C"),
    ">=",
    float(FAKE.put().values[next(k for k in FAKE.values if k[0].written == "C")].mean()) + 0.01,
)


def test_verdicts_and_expectations():
    results = judge(
        [
            claim("a", TRUE),
            claim("b", FALSE),
            claim("c", FALSE, expect=("fails", "a known artefact")),
            claim("d", TRUE, expect=("fails", "wrong")),
            claim("e", OPEN, expect=("undecided", "too few prompts")),
        ],
        FAKE.sample,
    )
    assert [(r.verdict, r.as_expected, r.ok) for r in results] == [
        ("holds", None, True),
        ("fails", None, False),
        ("fails", True, True),
        ("holds", False, False),
        ("undecided", True, True),
    ]


@pytest.mark.parametrize(("assumed", "word"), [(FALSE, "fails"), (OPEN, "undecided")])
def test_an_assumption_that_does_not_hold_makes_every_claim_invalid(assumed, word):
    first, able_ = judge([claim("a", TRUE), claim("able", assumed, kind="assume")], FAKE.sample)
    assert (first.verdict, first.ok, able_.verdict) == ("invalid", False, word)
    assert f"assume able is {word}" in first.decision.reason
    kept, _ = judge([claim("a", TRUE), claim("able", TRUE, kind="assume")], FAKE.sample)
    assert kept.verdict == "holds"


def test_an_invalid_claim_does_not_meet_an_expectation():
    bad = Precondition("P5", "answers are single tokens", False, "' Mary' is two")
    (found,) = judge([claim("a", FALSE, expect=("fails", "x"))], FAKE.sample, [bad])
    assert (found.verdict, found.as_expected, found.ok) == ("invalid", False, False)
    assert "' Mary' is two" in found.decision.reason


def test_a_precondition_of_another_task_is_not_ours():
    bad = Precondition("P1", "the model can do gt", False, "0.5", task="gt")
    assert judge([claim("a", TRUE)], FAKE.sample, [bad])[0].verdict == "holds"
    ours = dataclasses.replace(bad, task="ioi")
    assert judge([claim("a", TRUE)], FAKE.sample, [ours])[0].verdict == "invalid"


def test_able_by_accuracy_or_by_effect():
    right = np.r_[np.ones(90), np.zeros(10)]
    assert able("ioi", correct=right).passed
    assert not able("ioi", correct=right[10:60] * 0 + np.r_[np.ones(38), np.zeros(12)]).passed
    rng = np.random.default_rng(0)
    high, low = rng.normal(1, 1, 100), rng.normal(0, 1, 100)
    assert able("ioi", full=high, floor=low).passed
    assert not able("ioi", full=high, floor=low, lower_is_better=True).passed
    assert able("ioi", full=low, floor=high, lower_is_better=True).passed
    assert not able("ioi").passed
    five = np.ones(5)
    assert not able("ioi", correct=five).passed
    assert able("ioi", correct=five, enumerated=True).passed
    assert not able("ioi", correct=five * 0, enumerated=True).passed
    assert able("ioi", full=five, floor=five - 0.1, enumerated=True).passed
    assert not able("ioi", full=five, floor=five, enumerated=True).passed


def test_invariants():
    good, bad = ("M is the model", 1e-6, True), ("none is the corrupted run", 0.2, False)
    assert invariants([good]).passed
    found = invariants([good, bad])
    assert not found.passed
    assert "corrupted run: off by 0.2" in found.detail
    assert not invariants([]).passed


def test_results_are_plain_data():
    members = [compare(sub(F("M"), F("C")), ">=", 0), TRUE]
    results = judge([claim("a", forall(*members)), claim("b", within(F("C"), 0, 9))], FAKE.sample)
    text = json.dumps([dataclasses.asdict(r) for r in results], allow_nan=False)
    assert json.loads(text)[0]["decision"]["members"][1][1]["verdict"] == "holds"


def test_reported_numbers():
    estimator = FAKE.estimator
    gap = op("abs", sub(F("C"), F("M")))
    item = ReportItem("r", None, (("faith", FAITHFULNESS), ("gap", gap)), None, "", None)
    faith, shown = estimate_report(item, estimator)
    assert faith.low < faith.value < faith.high
    assert "Fieller" in faith.method
    assert 0 <= shown.low <= shown.value <= shown.high
    zero = Fake().put(A=RNG.normal(size=300), B=RNG.normal(size=300))
    item = ReportItem("r", None, (("ratio", op("/", F("A"), F("B"))),), None, "", None)
    (shown,) = estimate_report(item, zero.estimator)
    assert (shown.low, shown.high) == (None, None)
    assert "includes 0" in shown.reason
    product = estimate_number(op("*", F("C"), F("M")), estimator)
    assert product.bounds(0.05)[0] < product.value < product.bounds(0.05)[1]


def test_what_classification_refuses_is_our_mistake_here():
    with pytest.raises(UnsupportedError):
        judge([claim("a", compare(F("C"), "==", 1))], FAKE.sample)


def test_a_sample_must_be_complete():
    sample = FAKE.sample
    with pytest.raises(ValueError, match="no numeric noise"):
        Sample(sample.templates, sample.values, {})
    with pytest.raises(ValueError, match="not one a prompt"):
        Sample({"ioi": sample.templates["ioi"][:-1]}, sample.values, sample.noise)


def test_minimality_of_671_edges_is_decided_in_time():
    rng = np.random.default_rng(0)
    c = rng.normal(3, 1, 128)
    fake = Fake().put(M=rng.normal(3.5, 1, 128), none=rng.normal(0, 1, 128), C=c)
    drops = rng.exponential(0.2, 671)
    fake.put(**{f"C-e{i}": c - d - rng.normal(0, 0.3, 128) for i, d in enumerate(drops)})
    claims = [compare(sub(F("C"), F(f"C-e{i}")), ">=", op("*", 0.01, EFFECT)) for i in range(671)]
    start = time.perf_counter()
    found = fake.decide(forall(*claims))
    assert time.perf_counter() - start < 60
    assert found.verdict in ("undecided", "fails")
    assert found.members[int(np.argmax(drops))][1].verdict == "holds"
