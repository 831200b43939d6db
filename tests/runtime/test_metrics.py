"""Metrics against numbers worked out by hand."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest
import torch

from circuitlang.language.graph.architecture import Node, Shape
from circuitlang.language.graph.edges import END, NOTHING, Place, Position
from circuitlang.language.prompt import Prompt
from circuitlang.language.spec import (
    AttentionScore,
    Divergence,
    Lens,
    Loss,
    MetricConstant,
    MetricOperation,
    ModelReference,
    Run,
    TokenScore,
    TopToken,
)
from circuitlang.runtime.metrics import Evaluation, Watched, positions_read, watched
from circuitlang.runtime.reference import Outcome
from circuitlang.runtime.unavailable import NotMeasurable

END_HERE = Position(END)
HEAD = Node("head", 0, 1)
PROMPTS = [
    Prompt(
        0,
        "t",
        {},
        "one",
        (0, 1, 2),
        {"A": (0, 2)},
        {"x": (1,), "xy": (1, 2, 2), "none": ()},
        {},
        {},
    ),
    Prompt(
        1, "t", {}, "two", (2, 2, 1), {"A": (1, 3)}, {"x": (3,), "xy": (3, 0), "none": ()}, {}, {}
    ),
]
PROBABILITIES = torch.tensor(
    [
        [[0.25, 0.25, 0.25, 0.25], [0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]],
        [[0.5, 0.3, 0.1, 0.1], [0.1, 0.6, 0.2, 0.1], [0.4, 0.3, 0.2, 0.1]],
    ],
    dtype=torch.float64,
)
PATTERN = torch.tensor(
    [[[1, 0, 0], [0.5, 0.5, 0], [0.2, 0.3, 0.5]], [[1, 0, 0], [0.1, 0.9, 0], [0.6, 0.1, 0.3]]]
)
OUTCOME = Outcome((0, 1, 2), PROBABILITIES.log() + 3, {HEAD: PATTERN})


def value(expression, outcome=OUTCOME, references=None):
    return Evaluation(outcome, PROMPTS, references or {}).value(expression)


@pytest.mark.parametrize(
    ("kind", "tokens", "pool", "numbers"),
    [
        ("prob", "x", None, [0.1, 0.1]),
        ("prob", "xy", None, [0.2, 0.5]),
        ("prob", "none", None, [0, 0]),
        ("logprob", "x", None, [log(0.1), log(0.1)]),
        ("logprob", "xy", None, [log(0.2), log(0.5)]),
        ("logit", "x", None, [log(0.1) + 3, log(0.1) + 3]),
        ("logit", "xy", "mean", [log(0.1) + 3, (log(0.1) + log(0.4)) / 2 + 3]),
        ("logit", "xy", "max", [log(0.1) + 3, log(0.4) + 3]),
        ("rank", "x", None, [1, 3]),
        ("rank", "xy", None, [1, 0]),
    ],
)
def test_token_scores(kind, tokens, pool, numbers):
    assert value(TokenScore(kind, tokens, END_HERE, pool)) == pytest.approx(numbers)


def test_a_position_is_found_in_each_prompt():
    score = TokenScore("prob", "x", Position("A", "first"))
    assert value(score) == pytest.approx([0.25, 0.1])
    assert positions_read(score, PROMPTS) == {0, 1}


def test_only_requested_positions_are_indexed():
    outcome = Outcome((0, 1), OUTCOME.logits[:, :2])
    assert value(TokenScore("prob", "x", Position("A", "first")), outcome) == pytest.approx(
        [0.25, 0.1]
    )


OTHER = Run(
    ModelReference("m", "m", None, False, "float32", Shape(1, 2, 2, 4, 2, 4, 4)), "t", None, NOTHING
)
FLAT = Outcome((0, 1, 2), torch.zeros(2, 3, 4))


def flat_kl(row: list[float]) -> float:
    return sum(0.25 * log(0.25 / p) for p in row)


def flat_js(row: list[float]) -> float:
    from_middle = sum(p * log(2 * p / (p + 0.25)) for p in row)
    return (from_middle + sum(0.25 * log(0.5 / (p + 0.25)) for p in row)) / 2


@pytest.mark.parametrize(("kind", "by_hand"), [("kl", flat_kl), ("js", flat_js)])
def test_divergences_from_a_reference(kind, by_hand):
    """Of what follows the prompt, or over the predictions of a span's tokens."""
    rows = PROBABILITIES.tolist()
    after = value(Divergence(OTHER, None, kind), references={OTHER: FLAT})
    assert after == pytest.approx([by_hand(row[2]) for row in rows])
    place = Place((Position("A", "last"), END_HERE))
    span = Divergence(OTHER, place, kind)
    first = (by_hand(rows[0][0]) + by_hand(rows[0][1])) / 2
    assert value(span, references={OTHER: FLAT}) == pytest.approx([first, by_hand(rows[1][1])])
    assert positions_read(span, PROMPTS) == {0, 1}
    same = value(Divergence(OTHER, None, kind), references={OTHER: OUTCOME})
    assert same == pytest.approx([0, 0], abs=1e-15)


def test_kl_is_from_the_reference_and_js_from_neither():
    def both(kind: str) -> tuple[float, float]:
        there = value(Divergence(OTHER, None, kind), references={OTHER: FLAT})
        back = value(Divergence(OTHER, None, kind), FLAT, {OTHER: OUTCOME})
        return there[0], back[0]

    one, other = both("kl")
    assert one != pytest.approx(other, rel=0.01)
    one, other = both("js")
    assert one == pytest.approx(other, rel=1e-12)


def test_js_is_at_most_log_2():
    """Distributions that share nothing, with probabilities that underflow."""
    logits = torch.tensor([[[0.0, -900.0, -1000.0, -900.0]], [[0.0, 0.0, -2000.0, -2000.0]]])
    one, other = Outcome((2,), logits), Outcome((2,), logits.flip(2))
    found = value(Divergence(OTHER, None, "js"), one, {OTHER: other})
    assert found == pytest.approx([log(2), log(2)], rel=1e-15)


def test_loss_predicts_the_tokens_of_the_place():
    last = Loss(Place((Position("A", "last"),)))
    assert value(last) == pytest.approx([-log(0.25), -log(0.6)])
    both = Loss(Place((Position("A", "last"), END_HERE)))
    assert value(both) == pytest.approx([-(log(0.25) + log(0.3)) / 2, -log(0.6)])
    assert positions_read(both, PROMPTS) == {0, 1}


def test_loss_of_the_first_token_does_not_exist():
    with pytest.raises(NotMeasurable, match="which nothing predicts"):
        value(Loss(Place((Position("A"),))))
    with pytest.raises(NotMeasurable, match="which nothing predicts"):
        value(Divergence(OTHER, Place((Position("A"),))), references={OTHER: FLAT})


def test_attention_sums_over_keys_and_averages_over_queries():
    score = AttentionScore(HEAD, Place((Position("A", "last"), END_HERE)), Place((Position("A"),)))
    assert value(score) == pytest.approx([(1.0 + 0.5) / 2, 0.4])
    lens = TokenScore("rank", "answer", Position(END), None, Lens(HEAD))
    both = MetricOperation("-", (score, lens))
    assert watched([both]) == Watched(frozenset([HEAD]), frozenset([Lens(HEAD)]))


def test_top_token_is_an_indicator():
    assert value(TopToken("xy", END_HERE)) == pytest.approx([0, 1])


def test_operations():
    x, y = TokenScore("prob", "x", END_HERE), MetricConstant(0.2)
    cases = {"+": 0.3, "-": -0.1, "*": 0.02, "/": 0.5, "min": 0.1, "max": 0.2, "<": 1, ">=": 0}
    for operator, number in cases.items():
        result = value(MetricOperation(operator, (x, y)))
        assert result.dtype == np.float64
        assert result == pytest.approx([number, number])
    assert value(MetricOperation("abs", (MetricOperation("neg", (y,)),))) == pytest.approx(
        [0.2] * 2
    )


def test_several_logits_need_a_pool_and_scores_need_tokens():
    with pytest.raises(NotMeasurable, match="has 2 tokens"):
        value(TokenScore("logit", "xy", END_HERE))
    with pytest.raises(NotMeasurable, match="no token in the set none"):
        value(TokenScore("logprob", "none", END_HERE))
    with pytest.raises(NotMeasurable, match="covers 2 tokens"):
        value(TokenScore("prob", "x", Position("A")))


def test_small_probabilities_keep_their_digits():
    logits = torch.tensor([[[0.0, -80.0, -81.0, -300.0]], [[0.0, 0.0, 0.0, -700.0]]])
    score = TokenScore("prob", "x", END_HERE)
    assert value(score, Outcome((2,), logits)) == pytest.approx([exp(-80), exp(-700) / 3], rel=1e-9)
