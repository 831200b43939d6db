"""What runs have to deliver for their metrics, and the bytes that reading it takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from circuitlang.compiler.reads import (
    Attention,
    Read,
    Reads,
    Spot,
    block_shape,
    readout_bytes,
    reads_of,
)
from circuitlang.language.graph.architecture import Node, Shape
from circuitlang.language.graph.edges import END, Place, Position, uniform
from circuitlang.language.prompt import Prompt
from circuitlang.language.spec import (
    AttentionScore,
    Divergence,
    Lens,
    Loss,
    Metric,
    MetricConstant,
    MetricExpression,
    MetricOperation,
    ModelReference,
    Run,
    TokenScore,
    TopToken,
)

MODEL = ModelReference("m", "m", None, False, "float32", Shape(2, 2, 2, 4, 2, 8, 8))
HERE, NAME, PAIR = Position(END), Position("A"), Position("B")
HEAD, OTHER = Node("head", 0, 1), Node("head", 1, 0)
PROMPTS = [
    Prompt(i, "t", {}, "", (3, 4, 5, 6, 7), {"A": (1, 2), "B": (2, 4)}, answers, {}, {})
    for i, answers in enumerate(
        [{"x": (7,), "xy": (7, 2, 2)}, {"x": (1,), "xy": (1, 4)}, {"x": (7,), "xy": (7, 2)}]
    )
]


def run(number: int) -> Run:
    return Run(MODEL, "t", None, uniform(number))


def metric(expression: MetricExpression) -> Metric:
    return Metric("metric", expression, False)


def reads(*expressions: MetricExpression) -> Reads:
    return reads_of({run(0): [metric(e) for e in expressions]}, PROMPTS)[run(0)]


def test_logits_need_only_the_answer_tokens_of_these_prompts():
    assert reads(TokenScore("logit", "x", HERE)).logits == (Read(Spot(4), (1, 7)),)
    difference = MetricOperation(
        "-", (TokenScore("logit", "x", HERE), TokenScore("logit", "xy", HERE, "mean"))
    )
    assert reads(difference).logits == (Read(Spot(4), (1, 2, 4, 7)),)


def test_what_nodes_write_is_read_apart_from_the_residual():
    found = reads(
        TokenScore("rank", "x", NAME, None, Lens(HEAD)),
        TokenScore("logit", "x", HERE, None, Lens(HEAD)),
        TokenScore("logit", "x", HERE),
    )
    assert found.logits == (
        Read(Spot(1, Lens(HEAD)), None),
        Read(Spot(4), (1, 7)),
        Read(Spot(4, Lens(HEAD)), (1, 7)),
    )
    assert found.residuals == [4]
    assert found.outputs == {HEAD: [1, 4]}


@pytest.mark.parametrize(
    "score",
    [
        *(TokenScore(kind, "x", HERE) for kind in ("prob", "logprob", "rank")),
        TopToken("x", HERE),
        Divergence(run(1)),
        Divergence(run(1), None, "js"),
        Loss(Place((HERE,))),
    ],
)
def test_everything_else_needs_the_vocabulary_where_it_is_read(score):
    position = 3 if isinstance(score, Loss) else 4
    assert reads(score, TokenScore("logit", "x", NAME)).logits == (
        Read(Spot(1), (1, 7)),
        Read(Spot(position), None),
    )
    at_the_same = TokenScore("logit", "x", Position("B", "last") if position == 3 else HERE)
    assert reads(at_the_same, score).logits == (Read(Spot(position), None),)


def test_a_loss_is_read_before_each_of_its_tokens():
    assert reads(Loss(Place((PAIR, HERE)))).logits == (
        Read(Spot(1), None),
        Read(Spot(2), None),
        Read(Spot(3), None),
    )


def test_a_run_that_others_compare_with_is_read_where_they_are():
    requests = {
        run(0): [metric(MetricOperation("neg", (Divergence(run(1), Place((PAIR,))),)))],
        run(2): [metric(Divergence(run(0)))],
    }
    assert reads_of(requests, PROMPTS) == {
        run(0): Reads((Read(Spot(1), None), Read(Spot(2), None), Read(Spot(4), None)), ()),
        run(2): Reads((Read(Spot(4), None),), ()),
        run(1): Reads((Read(Spot(1), None), Read(Spot(2), None)), ()),
    }


def test_attention_is_joined_per_head():
    places = [Place((p,)) for p in (HERE, NAME, PAIR)]
    found = reads(
        AttentionScore(HEAD, places[0], places[1]),
        AttentionScore(HEAD, places[2], places[2]),
        AttentionScore(OTHER, places[0], places[2]),
    )
    assert found == Reads(
        (), (Attention(HEAD, (2, 3, 4), (1, 2, 3)), Attention(OTHER, (4,), (2, 3)))
    )


def test_a_constant_reads_nothing():
    assert reads(MetricConstant(1.0)) == Reads((), ())


def test_prompts_of_two_layouts_are_refused():
    other = replace(PROMPTS[0], spans={"A": (0, 1), "B": (2, 4)})
    with pytest.raises(ValueError, match="too many values"):
        reads_of({}, [*PROMPTS, other])


@pytest.mark.parametrize("references", [0, 1, 3])
@pytest.mark.parametrize("block", [1, 3_000, 20_000, 100_000])
def test_blocks_fill_what_they_may_take(references, block):
    def taken(prompts: int, rows: int) -> int:
        return prompts * 50 * (16 * references + 13 * rows)

    some, rows = block_shape(7, 11, 50, 4, references, block)
    assert taken(some, rows) <= block or (some, rows) == (1, 1)
    cut = (-(-7 // some), -(-11 // rows))
    if cut[0] > 1:
        fewer = -(-7 // (cut[0] - 1))
        assert taken(fewer, 11) > block
    if cut[1] > 1:
        assert some == 1
        assert taken(1, -(-11 // (cut[1] - 1))) > block


def test_blocks_are_even():
    assert block_shape(1, 10, 50, 4, 0, 9 * 50 * 13) == (1, 5)
    assert block_shape(10, 1, 50, 4, 0, 9 * 50 * 13) == (5, 1)


def test_bytes_grow_with_the_runs_up_to_a_block():
    few, some, many = (readout_bytes(4, runs, 1000, 4, block_bytes=10**6) for runs in (1, 2, 10**6))
    assert few == 4 * 1000 * (16 + 13)
    assert few < some < many <= 10**6
