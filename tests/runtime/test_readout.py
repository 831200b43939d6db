"""The batched metrics against the plain ones, and what they cost."""

from __future__ import annotations

import random
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from circuitlang.compiler.reads import Spot, readout_bytes, reads_of, working_bytes
from circuitlang.language.graph.architecture import Node, Shape
from circuitlang.language.graph.edges import END, Place, Position, UnresolvedPosition, uniform
from circuitlang.language.prompt import Prompt
from circuitlang.language.spec import (
    AttentionScore,
    Divergence,
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
from circuitlang.runtime.metrics import Evaluation
from circuitlang.runtime.readout import Readout, check_measurable
from circuitlang.runtime.reference import Outcome
from circuitlang.runtime.unavailable import NotMeasurable
from tests.tiny_models import VOCABULARY, prompt

LENGTH, WIDTH, RUNS = 8, 6, 5
HERE, NAME = Position(END), Position("A")
PLACES = (HERE, NAME, Position("B", "first"), Position("B", "last"))
SPANS = {"A": (2, 3), "B": (3, 5)}
HEADS = (Node("head", 0, 1), Node("head", 1, 0))
MODEL = ModelReference("m", "m", None, False, "float32", Shape(2, 2, 2, 4, 2, 8, 8))


def run(number: int) -> Run:
    return Run(MODEL, "t", None, uniform(number))


def metric(expression: MetricExpression) -> Metric:
    return Metric("metric", expression, False)


def one_layout(count: int, seed: int = 0) -> list[Prompt]:
    rng = random.Random(seed)

    def some(least: int) -> tuple[int, ...]:
        return tuple(rng.choices(range(VOCABULARY), k=rng.randint(least, 4)))

    return [
        replace(one, spans=SPANS, answers={**one.answers, "some": some(1), "any": some(0)})
        for one in (prompt(i, LENGTH, rng) for i in range(count))
    ]


class Case:
    """Runs with final residuals at every position, and attention patterns.

    Residuals and unembedding are coarse fractions, so logits are exact however they are batched.
    `rows` names the residual that each run has; runs may share one.
    """

    def __init__(self, prompts: Sequence[Prompt], rows: Sequence[int], seed: int = 0) -> None:
        self.prompts = prompts
        self.rows = rows
        draw = torch.Generator().manual_seed(seed)

        def fractions(*size: int) -> Tensor:
            return torch.randint(-16, 17, size, generator=draw).float() / 8

        self.residuals = fractions(max(rows) + 1, LENGTH, len(prompts), WIDTH)
        self.weight = fractions(WIDTH, VOCABULARY)
        size = (len(rows), len(HEADS), len(prompts), LENGTH, LENGTH)
        self.patterns = torch.rand(size, generator=draw).softmax(-1)
        self.asked: list[tuple[tuple[int, ...], Tensor | None]] = []

    def unembed(self, x: Tensor, tokens: Tensor | None) -> Tensor:
        self.asked.append((tuple(x.shape[:-1]), tokens))
        return x @ (self.weight if tokens is None else self.weight[:, tokens])

    def direct(self, x: Tensor, tokens: Tensor | None) -> Tensor:
        raise AssertionError("no lens is read here")

    def plain(self, number: int, expression: MetricExpression) -> np.ndarray:
        outcomes = {
            run(i): Outcome(
                tuple(range(LENGTH)),
                (self.residuals[row] @ self.weight).transpose(0, 1),
                dict(zip(HEADS, self.patterns[i], strict=True)),
            )
            for i, row in enumerate(self.rows)
        }
        return Evaluation(outcomes[run(number)], self.prompts, outcomes).value(expression)

    def values(
        self, requests: Mapping[Run, Sequence[Metric]], block_bytes: int = 1 << 20, device="cpu"
    ) -> dict[tuple[Run, Metric], Tensor]:
        check_measurable(requests, self.prompts)
        reads = reads_of(requests, self.prompts)
        finals: dict[Spot, tuple[dict[Run, int], Tensor]] = {}
        patterns = {}
        for number, row in enumerate(self.rows):
            delivered = reads.get(run(number))
            if delivered is None:
                continue
            for read in delivered.logits:
                if read.spot not in finals:
                    finals[read.spot] = {}, self.residuals[:, read.spot.position].to(device)
                finals[read.spot][0][run(number)] = row
            for head, whole in zip(HEADS, self.patterns[number], strict=True):
                for watched in delivered.attention:
                    if watched.head == head:
                        part = whole[:, watched.queries][:, :, watched.keys].transpose(0, 1)
                        patterns[run(number), head] = part.to(device)
        self.weight = self.weight.to(device)
        readout = Readout(
            self.unembed, self.direct, self.prompts, VOCABULARY, device, block_bytes=block_bytes
        )
        pairs, numbers = readout.values(requests, reads, finals, patterns)
        assert numbers.dtype == torch.float64
        assert numbers.shape == (len(pairs), len(self.prompts))
        assert set(pairs) == {(run, metric) for run, found in requests.items() for metric in found}
        return dict(zip(pairs, numbers, strict=True))


# ---------------------------------------------------------------- random expressions


def operations(operators: Sequence[str], arity: int, operand: st.SearchStrategy[MetricExpression]):
    return st.builds(MetricOperation, st.sampled_from(operators), st.tuples(*[operand] * arity))


positions = st.sampled_from(PLACES)
places = st.lists(st.sampled_from([*PLACES, Position("B")]), min_size=1, max_size=3).map(
    lambda found: Place(tuple(found))
)
sets = st.sampled_from(["answer", "foil", "some"])
sets_or_empty = st.sampled_from(["answer", "foil", "some", "any"])
constants = st.sampled_from([-1.5, 0.0, 0.25, 3.0]).map(MetricConstant)
exact_scores = st.one_of(
    constants,
    st.builds(TokenScore, st.just("logit"), st.just("answer"), positions),
    st.builds(TokenScore, st.just("logit"), sets, positions, st.just("max")),
    st.builds(TokenScore, st.just("rank"), sets, positions),
    st.builds(TopToken, sets_or_empty, positions),
)
ARITHMETIC = ("+", "-", "*", "/", "min", "max", "<", "<=", ">", ">=", "==", "!=")
exact = st.recursive(
    exact_scores,
    lambda part: (
        operations(("neg", "abs", "square", "sqrt"), 1, part) | operations(ARITHMETIC, 2, part)
    ),
    max_leaves=6,
)
rounded_scores = st.one_of(
    st.builds(TokenScore, st.just("logit"), sets, positions, st.just("mean")),
    st.builds(TokenScore, st.just("logprob"), sets, positions),
    st.builds(TokenScore, st.just("prob"), sets_or_empty, positions),
    st.builds(
        Divergence, st.integers(0, RUNS).map(run), st.none() | places, st.sampled_from(["kl", "js"])
    ),
    st.builds(Loss, places),
    st.builds(AttentionScore, st.sampled_from(HEADS), places, places),
)
smooth = st.recursive(
    rounded_scores | constants,
    lambda part: (
        operations(("neg", "abs"), 1, part) | operations(("+", "-", "min", "max"), 2, part)
    ),
    max_leaves=6,
)
row_choices = st.lists(st.integers(0, 3), min_size=RUNS + 1, max_size=RUNS + 1)
metric_lists = st.lists(st.lists(smooth | exact, max_size=3), min_size=1, max_size=RUNS)


@settings(max_examples=300, deadline=None)
@given(metric_lists, row_choices, st.integers(1, 4), st.sampled_from([1, 2000, 20000]))
def test_every_expression_agrees_with_the_plain_evaluation(lists, rows, count, block_bytes):
    case = Case(one_layout(count), rows)
    requests = {run(i): [metric(e) for e in found] for i, found in enumerate(lists)}
    found = case.values(requests, block_bytes)
    with np.errstate(over="ignore"):
        for number, expressions in enumerate(lists):
            for expression in expressions:
                np.testing.assert_allclose(
                    found[run(number), metric(expression)].numpy(),
                    case.plain(number, expression),
                    rtol=1e-12,
                    atol=1e-12,
                )


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_zero_has_no_sign_as_a_divisor(zero):
    case = Case(one_layout(1), [0])
    one = MetricConstant(1.0)
    expression = MetricOperation("/", (one, MetricConstant(zero)))
    negated = MetricOperation("/", (one, MetricOperation("neg", (MetricConstant(-zero),))))
    found = case.values({run(0): [metric(expression), metric(negated)]})
    for asked in (expression, negated):
        assert found[run(0), metric(asked)].tolist() == [np.inf]
        assert case.plain(0, asked).tolist() == [np.inf]


@pytest.mark.parametrize("operator", ["exp", "log", "sqrt"])
def test_functions_are_the_real_ones(operator):
    case = Case(one_layout(4), [0])
    expression = MetricOperation(operator, (TokenScore("logit", "answer", HERE),))
    found = case.values({run(0): [metric(expression)]})[run(0), metric(expression)]
    with np.errstate(invalid="ignore"):
        expected = case.plain(0, expression)
    assert operator == "exp" or np.isnan(expected).any()
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-14)


def test_least_and_greatest_of_three():
    case = Case(one_layout(4), [0])
    parts = [TokenScore("logit", "foil", place, "max") for place in PLACES[:3]]
    least, greatest = (metric(MetricOperation(o, tuple(parts))) for o in ("min", "max"))
    found = case.values({run(0): [least, greatest]})
    single = np.stack([case.plain(0, part) for part in parts])
    assert found[run(0), least].tolist() == single.min(0).tolist()
    assert found[run(0), greatest].tolist() == single.max(0).tolist()


def test_token_0_is_in_no_empty_set():
    case = Case(one_layout(2), [0])
    case.weight[:, 1:] = 0
    case.residuals = case.residuals.abs() + 1
    case.weight[:, 0] = 1
    answers = [{"any": ()}, {"any": (0, 3)}]
    case.prompts = [replace(p, answers=a) for p, a in zip(case.prompts, answers, strict=True)]
    top = metric(TopToken("any", HERE))
    assert case.values({run(0): [top]})[run(0), top].tolist() == [0, 1]


def test_a_model_in_float64():
    case = Case(one_layout(3), [0, 1])
    case.residuals, case.weight = case.residuals.double() / 3, case.weight.double()
    scores = [
        TokenScore("logprob", "answer", HERE),
        TokenScore("rank", "foil", HERE),
        Divergence(run(1)),
        Divergence(run(1), None, "js"),
    ]
    found = case.values({run(0): [metric(s) for s in scores]})
    for score in scores:
        np.testing.assert_allclose(
            found[run(0), metric(score)].numpy(), case.plain(0, score), rtol=1e-12
        )


# ---------------------------------------------------------------- what it costs

LOGIT = metric(TokenScore("logit", "answer", HERE))
PROB = metric(TokenScore("prob", "answer", HERE))
KL, JS = (metric(Divergence(run(3), None, kind)) for kind in ("kl", "js"))


def test_a_shared_row_is_unembedded_once():
    case = Case(one_layout(3), [0, 1, 0, 1, 0])
    found = case.values({run(i): [PROB] for i in range(5)})
    assert case.asked == [((2, 3), None)]
    assert found[run(0), PROB].tolist() == found[run(4), PROB].tolist()
    assert found[run(0), PROB].tolist() != found[run(1), PROB].tolist()


def test_logits_are_asked_for_the_answer_tokens_only():
    case = Case(one_layout(3), [0, 1, 2])
    requests = {run(0): [LOGIT, PROB], run(1): [LOGIT], run(2): [LOGIT]}
    found = case.values(requests)
    (whole, all_tokens), (some, tokens) = case.asked
    assert (whole, all_tokens) == ((1, 3), None)
    assert some == (2, 3)
    assert tokens is not None
    assert tokens.tolist() == sorted({p.answers["answer"][0] for p in case.prompts})
    assert found[run(1), LOGIT].tolist() == case.plain(1, LOGIT.expression).tolist()


def test_a_reference_is_unembedded_once_for_all_that_compare_with_it():
    case = Case(one_layout(3), [0, 1, 2, 3])
    block = VOCABULARY * (16 + 2 * 13)
    case.values({run(i): [KL] for i in range(3)}, block)
    assert case.asked == [((1,), None), ((2, 1), None), ((1, 1), None)] * 3


def test_no_block_is_larger_than_allowed():
    case = Case(one_layout(5), range(7))
    case.values({run(i): [PROB] for i in range(7)}, 4 * VOCABULARY * 13)
    assert [shape for shape, _ in case.asked] == [(4, 1), (3, 1)] * 5


class Peak(TorchDispatchMode):
    """The most bytes that tensors made inside it held at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.held = self.most = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            storage = result.untyped_storage()
            if storage._cdata not in self.known:
                self.known.add(storage._cdata)
                self.held += storage.nbytes()
                self.most = max(self.most, self.held)
                weakref.finalize(storage, self.release, storage._cdata, storage.nbytes())
        return result

    def release(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.held -= size


@pytest.mark.parametrize("distance", [KL, JS])
@pytest.mark.parametrize("block_bytes", [1, 40_000, 10**7])
def test_the_peak_is_what_the_planner_is_told(block_bytes, distance):
    case = Case(one_layout(4), range(9))
    case.weight = case.weight.repeat(1, 50)
    vocabulary = case.weight.shape[1]
    requests = {
        run(i): [PROB, distance, metric(TokenScore("rank", "answer", HERE))] for i in range(8)
    }
    reads = reads_of(requests, case.prompts)
    finals = {Spot(LENGTH - 1): ({run(i): i for i in range(9)}, case.residuals[:, -1])}
    readout = Readout(
        case.unembed, case.direct, case.prompts, vocabulary, "cpu", block_bytes=block_bytes
    )
    with Peak() as peak:
        readout.values(requests, reads, finals, {})
    work = working_bytes({distance.expression.kind})
    told = readout_bytes(4, 8, vocabulary, 4, block_bytes=block_bytes, work=work)
    assert 0.7 * told < peak.most < told + 10_000


def test_nothing_waits_for_the_device():
    """Tensors on the meta device have no values, so whatever needs one on the host fails."""
    case = Case(one_layout(3), [0, 1, 2, 3])
    everything = [
        *(TokenScore(kind, "some", HERE, "mean") for kind in ("logit", "logprob", "prob", "rank")),
        TopToken("any", NAME),
        Divergence(run(3)),
        Divergence(run(3), Place((NAME,)), "js"),
        Loss(Place((NAME, HERE))),
        AttentionScore(HEADS[0], Place((HERE,)), Place((NAME, Position("B")))),
        MetricOperation("<", (MetricConstant(1.0), TokenScore("logit", "answer", HERE))),
    ]
    found = case.values({run(0): [metric(e) for e in everything]}, device="meta")
    assert len(found) == len(everything)


# ---------------------------------------------------------------- what has no value


@pytest.mark.parametrize(
    "expression",
    [
        TokenScore("prob", "answer", Position("B")),
        TopToken("answer", Position("B")),
        Divergence(run(0), Place((Position("B"), Position("start")))),
        Divergence(run(0), Place((Position("nothing"),)), "js"),
        TokenScore("logit", "two", HERE),
        TokenScore("logit", "two", HERE, "median"),
        TokenScore("logit", "absent", HERE),
        TokenScore("logprob", "absent", HERE),
        TokenScore("rank", "absent", HERE),
        TokenScore("odds", "answer", HERE),
        Loss(Place((Position(END), Position("start")))),
        Loss(Place((Position("nothing"),))),
        TokenScore("prob", "answer", Position("C")),
        AttentionScore(HEADS[0], Place((Position("C"),)), Place((HERE,))),
        AttentionScore(HEADS[0], Place((HERE,)), Place((Position("A", "last", 9),))),
    ],
)
def test_what_has_no_value_is_refused_in_the_same_words(expression):
    prompts = [
        replace(
            one,
            spans={**one.spans, "start": (0, 1), "nothing": (4, 4)},
            answers={**one.answers, "two": (5, 6, 5)},
        )
        for one in one_layout(2)
    ]
    nested = MetricOperation("+", (MetricConstant(1.0), expression))
    with pytest.raises((NotMeasurable, UnresolvedPosition)) as plain:
        Case(prompts, [0]).plain(0, nested)
    with pytest.raises(plain.type) as batched:
        check_measurable({run(0): [PROB], run(1): [metric(nested)]}, prompts)
    assert vars(batched.value) == vars(plain.value)


def test_sets_that_may_be_empty_are_not_refused():
    prompts = one_layout(2)
    may_be = [TokenScore("prob", "absent", HERE), TopToken("absent", HERE)]
    check_measurable({run(0): [metric(e) for e in may_be]}, prompts)
    found = Case(prompts, [0]).values({run(0): [metric(e) for e in may_be]})
    assert [numbers.tolist() for numbers in found.values()] == [[0, 0], [0, 0]]
