"""Attribution against the derivative of a dense evaluator with a dial on every edge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from circuitlang.language.graph.architecture import Node
from circuitlang.language.graph.edges import END, NOTHING, Place, Position, uniform
from circuitlang.language.spec import (
    Ablation,
    AttentionScore,
    Divergence,
    Lens,
    Loss,
    Metric,
    MetricConstant,
    MetricOperation,
    Run,
    TokenScore,
    TopToken,
)
from circuitlang.runtime.attribution import attribute, check_differentiable
from circuitlang.runtime.attribution import edges as attribution_edges
from circuitlang.runtime.measure import measure
from circuitlang.runtime.unavailable import NotMeasurable
from tests.runtime.dense import Weights, flow
from tests.tiny_models import FAMILIES, prompt_set

HERE = Position(END)
ANSWER = TokenScore("logit", "answer", HERE)
FOIL = TokenScore("logit", "foil", HERE, "mean")
DIFFERENCE = Metric("difference", MetricOperation("-", (ANSWER, FOIL)), False)
RESAMPLE = Ablation("other", "resample", "other")


def scores_by_dials(model, prompts, metric, ablated, steps=None) -> np.ndarray:
    """[position, edge] of one prompt: what turning every edge's dial from live to ablated is worth.

    `metric` takes logits [1, position, vocabulary] in float64.
    """
    graph, weights = model.architecture, Weights(model.plain)
    prompt = prompts
    tokens = torch.tensor([prompt.tokens])
    length = len(prompt.tokens)
    embedded = weights.embed(tokens)
    with torch.no_grad():
        _, clean, _ = flow(graph, weights, embedded, lambda receiver, sender, output: output)
    change = [own - other for own, other in zip(clean, ablated, strict=True)]
    total = torch.zeros(length, graph.size, dtype=torch.float64)
    shares = [1.0] if steps is None else [k / steps for k in range(steps)]
    for share in shares:
        dials = torch.ones(length, graph.size, dtype=torch.float64, requires_grad=True)

        def carry(receiver: int, sender: int, output: Tensor, dials: Tensor = dials) -> Tensor:
            dial = dials[:, graph.offsets[receiver] + sender]
            return output + (dial - 1)[None, :, None] * change[sender]

        start = ablated[0] + share * (embedded - ablated[0])
        logits, _, patterns = flow(graph, weights, start, carry)
        (found,) = torch.autograd.grad(metric(logits, patterns), dials)
        total += found
    return (total / len(shares)).numpy()


def difference(prompt):
    foils = sorted(set(prompt.answers["foil"]))
    answer = prompt.answers["answer"][0]
    return lambda logits, patterns: logits[0, -1, answer] - logits[0, -1, foils].mean()


def resampled(model, prompt) -> list[Tensor]:
    weights = Weights(model.plain)
    embedded = weights.embed(torch.tensor([prompt.corrupted["other"]]))
    with torch.no_grad():
        return flow(model.architecture, weights, embedded, lambda r, s, output: output)[1]


def close(one: np.ndarray, other: np.ndarray, tolerance: float = 1e-9) -> None:
    np.testing.assert_allclose(one, other, atol=tolerance * np.abs(other).max(), rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("steps", [None, 3])
def test_scores_are_derivatives_of_the_dense_evaluator(tiny, family, steps):
    model, prompts = tiny(family, "float64"), prompt_set([7, 9, 7])
    found = attribute(model, prompts, DIFFERENCE, RESAMPLE, steps=steps)
    expected = [
        scores_by_dials(model, p, difference(p), resampled(model, p), steps).sum(0)
        for p in prompts.prompts
    ]
    close(found.scores, np.mean(expected, axis=0))
    assert np.abs(found.scores).min() < np.abs(found.scores).max()


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma3"])
def test_scores_at_places_are_the_dials_there(tiny, family):
    model, prompts = tiny(family, "float64"), prompt_set([7, 9, 7])
    places = (Position("A"), Position("B"), HERE)
    found = attribute(model, prompts, DIFFERENCE, RESAMPLE, steps=2, places=places)
    expected = np.zeros((4, model.architecture.size))
    for prompt in prompts.prompts:
        each = scores_by_dials(model, prompt, difference(prompt), resampled(model, prompt), 2)
        inside = set()
        for row, place in enumerate(places):
            tokens = list(place.tokens(prompt.layout))
            inside |= set(tokens)
            expected[row] += each[tokens].sum(0)
        expected[-1] += each[[t for t in range(len(each)) if t not in inside]].sum(0)
    close(found.scores, expected / 3)


@pytest.mark.parametrize("family", ["gpt2", "qwen3", "gemma2"])
@pytest.mark.parametrize(
    "ablation", [Ablation("zero", "zero"), Ablation("m", "mean", None, ("template",))]
)
def test_scores_under_ablations_that_are_no_run(tiny, family, ablation):
    model, prompts = tiny(family, "float64"), prompt_set([7, 9], references=24)
    found = attribute(model, prompts, DIFFERENCE, ablation, steps=2)
    expected = []
    weights, graph = Weights(model.plain), model.architecture
    for prompt in prompts.prompts:
        with torch.no_grad():
            runs = [
                flow(graph, weights, weights.embed(torch.tensor([r.tokens])), lambda r, s, o: o)[1]
                for r in prompts.references
                if r.layout == prompt.layout
            ]
        means = [torch.stack(values).mean(0) for values in zip(*runs, strict=True)]
        ablated = means if ablation.kind == "mean" else [torch.zeros_like(m) for m in means]
        expected.append(scores_by_dials(model, prompt, difference(prompt), ablated, 2).sum(0))
    close(found.scores, np.mean(expected, axis=0), 1e-6 if ablation.kind == "mean" else 1e-9)


def metrics_and_twins(model):
    """Metrics with the same in plain torch, from logits and patterns of one prompt."""
    whole = Run(model.reference, "task", None, uniform(model.architecture.everything), "M")
    head = Node("head", 1, 2)

    def kl(prompt, clean):
        reference = clean[0, -1].log_softmax(-1)
        return lambda logits, patterns: (
            reference.exp() * (reference - logits[0, -1].log_softmax(-1))
        ).sum()

    def loss(prompt, clean):
        start, stop = prompt.spans["B"]
        true = list(prompt.tokens[start:stop])
        return lambda logits, patterns: (
            -(logits[0, range(start - 1, stop - 1)].log_softmax(-1)[range(len(true)), true].mean())
        )

    def attention(prompt, clean):
        start, stop = prompt.spans["B"]
        return lambda logits, patterns: patterns["a1.h2"][0, -1, start:stop].sum()

    def composed(prompt, clean):
        answer, foils = prompt.answers["answer"][0], sorted(set(prompt.answers["foil"]))

        def value(logits, patterns):
            p = logits[0, -1].softmax(-1)
            return (p[answer] / p[foils].sum()).log().abs() + torch.maximum(
                p[answer], p[foils].sum()
            )

        return value

    probabilities = [TokenScore("prob", name, HERE) for name in ("answer", "foil")]
    ratio = MetricOperation(
        "abs", (MetricOperation("log", (MetricOperation("/", tuple(probabilities)),)),)
    )
    largest = MetricOperation("max", tuple(probabilities))
    return {
        "kl": (Metric("kl", Divergence(whole), True), kl),
        "loss": (Metric("loss", Loss(Place((Position("B"),))), True), loss),
        "attention": (
            Metric(
                "attention", AttentionScore(head, Place((HERE,)), Place((Position("B"),))), False
            ),
            attention,
        ),
        "composed": (Metric("composed", MetricOperation("+", (ratio, largest)), False), composed),
    }


@pytest.mark.parametrize("name", ["kl", "loss", "attention", "composed"])
def test_metrics_have_the_gradients_of_their_twins(tiny, name):
    model, prompts = tiny("gemma3", "float64"), prompt_set([7, 9])
    metric, twin = metrics_and_twins(model)[name]
    found = attribute(model, prompts, metric, RESAMPLE, steps=2)
    expected, weights = [], Weights(model.plain)
    for prompt in prompts.prompts:
        with torch.no_grad():
            embedded = weights.embed(torch.tensor([prompt.tokens]))
            clean, _, _ = flow(model.architecture, weights, embedded, lambda r, s, o: o)
        value = twin(prompt, clean)
        expected.append(scores_by_dials(model, prompt, value, resampled(model, prompt), 2).sum(0))
    close(found.scores, np.mean(expected, axis=0))


def test_values_are_those_that_a_check_measures(tiny):
    model, prompts = tiny("gpt2", "float64"), prompt_set([7, 9])
    whole = Run(model.reference, "task", None, uniform(model.architecture.everything), "M")
    for metric, _ in metrics_and_twins(model).values():
        found = attribute(model, prompts, metric, RESAMPLE, steps=2)
        measured = measure(model, prompts, {whole: (metric,)})[whole, metric]
        np.testing.assert_allclose(found.values, measured, atol=1e-12)


def test_the_gradient_of_kl_from_the_model_is_zero_at_the_model(tiny):
    model, prompts = tiny("gpt2", "float64"), prompt_set([7])
    metric, _ = metrics_and_twins(model)["kl"]
    assert np.abs(attribute(model, prompts, metric, RESAMPLE).scores).max() < 1e-12
    assert np.abs(attribute(model, prompts, metric, RESAMPLE, steps=3).scores).max() > 1e-3


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_little_memory_changes_the_order_of_work_alone(tiny, family, monkeypatch):
    model, prompts = tiny(family, "float64"), prompt_set([7, 7, 7, 9])
    expected = attribute(model, prompts, DIFFERENCE, RESAMPLE, steps=2).scores
    blocks = []
    real = attribution_edges._Chunk.__init__

    def noted(self, *args):
        blocks.append(args[-1])
        real(self, *args)

    monkeypatch.setattr(attribution_edges._Chunk, "__init__", noted)
    found = attribute(model, prompts, DIFFERENCE, RESAMPLE, steps=2, memory=1).scores
    assert blocks == [(0, 1), (1, 2)] * 4
    close(found, expected)
    blocks.clear()
    close(attribute(model, prompts, DIFFERENCE, RESAMPLE, steps=2, chunk=2).scores, expected)
    assert len(blocks) == 3


def test_a_chunk_without_memory_is_halved(tiny, monkeypatch):
    model, prompts = tiny("llama", "float64"), prompt_set([7, 7, 7, 7])
    expected = attribute(model, prompts, DIFFERENCE, RESAMPLE).scores
    seen = []
    real = attribution_edges._Chunk.add

    def scarce(self):
        seen.append(len(self.prompts))
        real(self)
        if len(self.prompts) > 1:
            raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(attribution_edges._Chunk, "add", scarce)
    close(attribute(model, prompts, DIFFERENCE, RESAMPLE).scores, expected)
    assert seen == [4, 2, 1, 1, 2, 1, 1]


def test_donors_are_averaged(tiny):
    model, prompts = tiny("llama", "float64"), prompt_set([7, 7])
    one, other = prompts.prompts
    other = replace(other, spans=one.spans)
    given = (
        replace(one, donors=(other, replace(one, tokens=one.corrupted["other"]))),
        replace(other, donors=(one, one)),
    )
    drawn = replace(prompts, prompts=given)
    found = attribute(model, drawn, DIFFERENCE, Ablation("d", "donors", None, draws=2), steps=2)
    each = [
        attribute(model, drawn, DIFFERENCE, Ablation("d", "donor", None, draw=d), steps=2).scores
        for d in range(2)
    ]
    close(found.scores, np.mean(each, axis=0))


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        (TokenScore("rank", "answer", HERE), "a rank changes in steps"),
        (TopToken("answer", HERE), "an indicator is 0 or 1"),
        (MetricOperation(">", (ANSWER, MetricConstant(0.0))), "`>` is 0 or 1"),
        (replace(ANSWER, lens=Lens(Node("mlp", 0))), "what m0 itself writes is read"),
    ],
)
def test_a_metric_without_gradient_is_refused(tiny, expression, reason):
    model = tiny("gpt2")
    with pytest.raises(NotMeasurable, match=reason):
        check_differentiable(Metric("x", expression, False), model.architecture)


def test_only_the_model_can_be_compared_with(tiny):
    model = tiny("gpt2")
    other = Run(model.reference, "task", RESAMPLE, NOTHING, "none")
    with pytest.raises(NotMeasurable, match="only `M` can be compared with"):
        check_differentiable(Metric("x", Divergence(other), True), model.architecture)


def test_float32_is_close_to_float64(tiny):
    prompts = prompt_set([7, 9, 11])
    for family in FAMILIES:
        wide = attribute(tiny(family, "float64"), prompts, DIFFERENCE, RESAMPLE, steps=3).scores
        close(attribute(tiny(family), prompts, DIFFERENCE, RESAMPLE, steps=3).scores, wide, 2e-5)
