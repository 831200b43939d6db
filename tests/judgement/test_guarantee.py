"""Intervals that are right at any number of prompts, for numbers that have bounds."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from circuitlang import pipeline
from circuitlang.judgement.contrast import unguaranteed
from circuitlang.judgement.intervals import hoeffding
from circuitlang.judgement.ranges import of_metric
from circuitlang.language.graph.edges import END, Position
from circuitlang.language.spec import (
    MetricConstant,
    MetricOperation,
    TokenScore,
    TopToken,
)
from circuitlang.report.outcome import document
from tests.judgement.judgement_fakes import OTHER_METRIC, RANK, F, compare

FIRST = Path(__file__).parent.parent.parent / "specs" / "toy" / "first.circ"
AT_END = Position(END)
PROB, LOGIT, BEST = (TokenScore(kind, "answer", AT_END) for kind in ("prob", "logit", "rank"))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (PROB, (0, 1)),
        (TopToken("answer", AT_END), (0, 1)),
        (LOGIT, (-math.inf, math.inf)),
        (BEST, (0, math.inf)),
        (MetricOperation("-", (PROB, PROB)), (-1, 1)),
        (MetricOperation("neg", (PROB,)), (-1, 0)),
        (MetricOperation("abs", (MetricOperation("-", (PROB, PROB)),)), (0, 1)),
        (MetricOperation("*", (PROB, MetricConstant(-3.0))), (-3, 0)),
        (MetricOperation("max", (PROB, MetricConstant(0.25))), (0.25, 1)),
        (MetricOperation(">", (LOGIT, LOGIT)), (0, 1)),
        (MetricOperation("*", (LOGIT, MetricConstant(0.0))), (0, 0)),
        (MetricOperation("/", (PROB, PROB)), (-math.inf, math.inf)),
    ],
)
def test_the_range_of_a_metric(expression, expected):
    assert of_metric(expression) == pytest.approx(expected)


def test_hoeffding_is_the_textbook_half_width():
    vector = np.linspace(0, 1, 500)
    low, high = hoeffding(vector, 1.0).bounds(0.025)
    assert (high - low) / 2 == pytest.approx(0.0607, abs=1e-4)
    low, high = hoeffding(np.linspace(0, 1, 1000), 1.0).bounds(0.025)
    assert (high - low) / 2 == pytest.approx(0.0429, abs=1e-4)


@pytest.mark.parametrize("n", [5, 20, 100])
def test_it_is_right_where_t_is_not(n):
    """One prompt in fifty is wrong: most samples of few prompts have none of these."""
    random = np.random.default_rng(3)
    truth, missed = 0.98, 0
    for _ in range(2_000):
        drawn = (random.random(n) < truth).astype(float)
        low, _ = hoeffding(drawn, 1.0).bounds(0.05)
        missed += low > truth
    assert missed / 2_000 <= 0.05


def test_only_means_of_bounded_numbers_are_guaranteed():
    assert unguaranteed(compare(F("C", metric=OTHER_METRIC), ">", 0.5)) == ()
    assert unguaranteed(compare(F("C", metric=RANK), "<", 3)) != ()


def test_a_check_uses_it(tmp_path):
    text = FIRST.read_text(encoding="utf-8")
    text = text[: text.index("assume able")].replace(
        'model "', 'guarantee "finite-sample"\nmodel "', 1
    )
    text = text.replace("  corrupt", "  sample 12\n  corrupt", 1)
    path = tmp_path / "guaranteed.circ"
    path.write_text(
        text + "claim p: F(asking by prob(answer)) >= 0.3\n"
        "claim two: F(M by prob(answer)) - F(none by prob(answer)) >= 0.01\n",
        encoding="utf-8",
    )
    outcome = pipeline.check(path, pipeline.Options(), pipeline.Silent())
    found = document(outcome, pipeline.Options(), per_example=False).claims
    assert {c.method for c in found} == {"Hoeffding's bound"}
    half = [math.sqrt(math.log(20) / 24), 2 * math.sqrt(math.log(20) / 24)]
    assert [(c.high - c.low) / 2 for c in found] == pytest.approx(half)
