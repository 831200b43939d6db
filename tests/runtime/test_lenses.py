"""What single nodes write towards a token, against the published weights and against each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from circuitlang.language.graph.architecture import Node
from circuitlang.language.graph.edges import END, Place, Position, uniform
from circuitlang.language.spec import CopyScore, Lens, Metric, Run, TokenScore
from circuitlang.runtime.measure import measure
from circuitlang.runtime.precision import precision
from circuitlang.runtime.reference import run_live
from tests.runtime.dense import Weights
from tests.tiny_models import FAMILIES, prompt_set

HERE = Position(END)
PROMPTS = prompt_set([8, 8, 8, 8], references=3)
TOKENS = torch.tensor([prompt.tokens for prompt in PROMPTS.prompts])
ANSWERS = torch.tensor([prompt.answers["answer"][0] for prompt in PROMPTS.prompts])
FINAL = {"gpt2": "transformer.ln_f", "gpt_neox": "gpt_neox.final_layer_norm"}


def written(node: Node, norm: str) -> Metric:
    score = TokenScore("logit", "answer", HERE, None, Lens(node, norm))
    return Metric(f"{node} {norm}", score, False)


def numbers(model, metrics: list[Metric]) -> dict[str, np.ndarray]:
    whole = Run(model.reference, "task", None, uniform(model.architecture.everything))
    fast, slow = (measure(model, PROMPTS, {whole: metrics}, reference=way) for way in (False, True))
    for metric in metrics:
        assert fast[whole, metric] == pytest.approx(slow[whole, metric], abs=1e-9), metric.name
    return {metric.name: fast[whole, metric] for metric in metrics}


def unembedding(weights: Weights) -> torch.Tensor:
    name = "embed_out" if "embed_out.weight" in weights.w else "lm_head"
    return weights.w[f"{name}.weight"]


@pytest.mark.parametrize("family", FAMILIES)
def test_parts_add_up_to_the_logit(tiny, family):
    """Under the frozen scale all nodes, output biases and the norm's bias make the logit."""
    model = tiny(family, "float64")
    weights, graph = Weights(model.plain), model.architecture
    post_norm = graph.shape.post_norm
    nodes = [node for node in graph.senders if not (post_norm and node.kind == "head")]
    parts = numbers(model, [written(node, "frozen") for node in nodes])
    stream = sum(o.view(*TOKENS.shape, -1) for o in run_live(model, TOKENS).outputs)[:, -1]
    if post_norm:
        stream = _last_residual(model)
    else:
        stream = stream + sum(weights.bias(layer) for layer in range(graph.shape.layers))
    norm = FINAL.get(weights.family, "model.norm")
    normed = weights.norm(stream, norm)
    logit = (normed * unembedding(weights)[ANSWERS]).sum(-1)
    total = sum(parts.values()) + _remainder(model, weights, stream, norm)
    assert total == pytest.approx(logit.numpy(), abs=1e-9)


def _last_residual(model) -> torch.Tensor:
    seen = {}

    def keep(value, hook):
        seen["x"] = value[:, -1]

    with precision(model.dtype):
        model.bridge.run_with_hooks(TOKENS, fwd_hooks=[("ln_final.hook_in", keep)])
    return seen["x"]


def _remainder(model, weights: Weights, stream: torch.Tensor, norm: str) -> np.ndarray:
    """What no node of the test wrote: biases, or in post-norm models all mixtures of heads."""
    towards = unembedding(weights)[ANSWERS]
    outputs = [o.view(*TOKENS.shape, -1)[:, -1] for o in run_live(model, TOKENS).outputs]
    graph = model.architecture
    named = [
        value
        for node, value in zip(graph.senders, outputs, strict=True)
        if not (graph.shape.post_norm and node.kind == "head")
    ]
    rest = stream - sum(named)
    weight = weights.w[f"{norm}.weight"]
    if weights.family in ("gpt2", "gpt_neox"):
        centred = stream - stream.mean(-1, keepdim=True)
        eps = getattr(model.plain.config, "layer_norm_epsilon", None)
        eps = model.plain.config.layer_norm_eps if eps is None else eps
        scale = (centred.square().mean(-1, keepdim=True) + eps).sqrt()
        part = (rest - rest.mean(-1, keepdim=True)) / scale * weight + weights.w[f"{norm}.bias"]
    else:
        scale = (stream.square().mean(-1, keepdim=True) + model.plain.config.rms_norm_eps).sqrt()
        part = rest / scale * (1 + weight if graph.shape.post_norm else weight)
    return (part * towards).sum(-1).numpy()


@pytest.mark.parametrize("family", FAMILIES)
def test_without_a_norm_it_is_a_product(tiny, family):
    model = tiny(family, "float64")
    weights, graph = Weights(model.plain), model.architecture
    outputs = [o.view(*TOKENS.shape, -1)[:, -1] for o in run_live(model, TOKENS).outputs]
    found = numbers(model, [written(node, "none") for node in graph.senders])
    for node, output in zip(graph.senders, outputs, strict=True):
        product = (output * unembedding(weights)[ANSWERS]).sum(-1)
        assert found[f"{node} none"] == pytest.approx(product.numpy(), abs=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_copies_are_the_head_s_own(tiny, family):
    """Every head of the second layer, on all tokens, against the published weights."""
    model = tiny(family, "float64")
    weights, shape = Weights(model.plain), model.architecture.shape
    outputs = run_live(model, TOKENS).outputs[: 1 + shape.heads + shape.mlps]
    values = [o.view(*TOKENS.shape, -1) for o in outputs]
    attention = weights.attention(0, values[1 : 1 + shape.heads])
    early = values[0] + attention + values[1 + shape.heads]
    place = Place((Position("A"), Position("B"), HERE))
    found = numbers(
        model,
        [
            Metric(f"h{h}", CopyScore(Node("head", 1, h), place, 12), False)
            for h in range(shape.heads)
        ],
    )
    seen = set()
    for head in range(shape.heads):
        value = weights.project(early, 1, head, 2)
        rows = slice(head * weights.d_head, (head + 1) * weights.d_head)
        matrix = weights.w[f"{weights.output_name(1)}.weight"]
        matrix = matrix if weights.family == "gpt2" else matrix.T
        logits = weights.logits(value @ matrix[rows])
        for index, prompt in enumerate(PROMPTS.prompts):
            places = sorted(place.tokens(prompt.layout))
            ranks = [(logits[index, p] > logits[index, p, prompt.tokens[p]]).sum() for p in places]
            share = np.mean([float(rank < 12) for rank in ranks])
            assert found[f"h{head}"][index] == pytest.approx(share)
            seen.add(round(float(share), 6))
    assert len(seen) > 1
