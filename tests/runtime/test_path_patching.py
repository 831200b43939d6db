"""Runs that read from other runs, against Wang et al.'s four passes written out."""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import reduce
from operator import or_

import pytest
import torch
from torch import Tensor

from circuitlang.compiler.passes import SWITCHES, Switches
from circuitlang.language.formulas.values import Located, Nodes
from circuitlang.language.graph import sets
from circuitlang.language.graph.architecture import LOGITS, Architecture, Node
from circuitlang.language.graph.edges import END, Position, uniform
from circuitlang.language.spec import Ablation, Metric, Reading, Run, TokenScore
from circuitlang.runtime.measure import measure
from tests.runtime.dense import Weights
from tests.tiny_models import FAMILIES, prompt_set

SWAP = Ablation("other", "resample", "other")
ANSWER = Metric("answer", TokenScore("logprob", "answer", Position(END)), False)
PROMPTS = prompt_set([8, 8, 8], references=3)

Read = Mapping[tuple[int, int, int], Tensor]


class Passes:
    """A model computed layer by layer; `frozen` heads keep given outputs, `given` ports an input."""

    def __init__(self, weights: Weights, graph: Architecture) -> None:
        self.weights, self.shape = weights, graph.shape

    def forward(
        self, tokens: Tensor, frozen: Mapping[tuple[int, int], Tensor], given: Read
    ) -> tuple[Tensor, dict[tuple[int, int], Tensor], dict[int, Tensor]]:
        """The last residual, all heads' outputs, and what the heads of each layer read."""
        stream, outputs, read = self.weights.embed(tokens), {}, {}
        for layer in range(self.shape.layers):
            before = read[layer] = stream
            for head in range(self.shape.heads):
                inputs = [given.get((layer, head, port), before) for port in range(3)]
                live, _ = self.weights.head(layer, head, inputs)
                outputs[layer, head] = frozen.get((layer, head), live)
            heads = [outputs[layer, head] for head in range(self.shape.heads)]
            stream = before + self.weights.attention(layer, heads)
            stream = stream + self.weights.mlp(layer, before if self.shape.parallel else stream)
        return stream, outputs, read

    def patched(
        self, clean: Tensor, corrupted: Tensor, sender: Node, receivers: list[tuple[int, int, int]]
    ) -> Tensor:
        """The last residual of the fourth pass; no receivers stand for the logits."""
        _, own, _ = self.forward(clean, {}, {})
        _, other, _ = self.forward(corrupted, {}, {})
        key = sender.layer, sender.head
        last, _, read = self.forward(clean, {**own, key: other[key]}, {})
        if not receivers:
            return last
        given = {(layer, head, port): read[layer] for layer, head, port in receivers}
        return self.forward(clean, {}, given)[0]


def patched_run(whole: Run, graph: Architecture, sender: Node, receivers: Nodes) -> Run:
    heads = [node for node in graph.senders if node.kind == "head"]
    into_heads = (graph.entering(r) for node in heads for r in graph.receivers_of(node))
    live = whole.live - uniform(graph.leaving(sender))
    readings = (Reading(uniform(reduce(or_, into_heads)), whole),)
    carried = Run(whole.model, whole.task, SWAP, live, readings=readings)
    everyone = Nodes(tuple(map(Located, graph.senders)))
    into = sets.product(everyone, receivers, graph).edges
    return Run(whole.model, whole.task, None, whole.live, readings=(Reading(into, carried),))


@pytest.mark.parametrize("family", FAMILIES)
def test_four_passes(tiny, family):
    model = tiny(family, "float64")
    graph, weights = model.architecture, Weights(model.plain)
    shape, rng = graph.shape, random.Random(family)
    whole = Run(model.reference, "task", None, uniform(graph.everything))
    clean, corrupted = (
        torch.tensor(rows)
        for rows in zip(*((p.tokens, p.corrupted["other"]) for p in PROMPTS.prompts), strict=True)
    )
    passes, wanted = Passes(weights, graph), {}
    for number in range(6):
        layer = rng.randrange(shape.layers - 1)
        sender = Node("head", layer, rng.randrange(shape.heads))
        chosen = [
            (rng.randrange(layer + 1, shape.layers), rng.randrange(shape.heads), rng.randrange(3))
            for _ in range(rng.randint(1, 3))
        ]
        members = [Located(Node("head", la, he), "qkv"[port]) for la, he, port in chosen]
        if number == 0:
            chosen, members = [], [Located(LOGITS)]
        run = patched_run(whole, graph, sender, Nodes(tuple(members)))
        stream = passes.patched(clean, corrupted, sender, chosen)
        logits = weights.logits(stream[:, -1]).log_softmax(-1)
        answers = torch.tensor([p.answers["answer"][0] for p in PROMPTS.prompts])
        wanted[run] = logits[range(len(answers)), answers].numpy()
    requests = {whole: [ANSWER], **{run: [ANSWER] for run in wanted}}
    fast, slow = (measure(model, PROMPTS, requests, reference=way) for way in (False, True))
    moved = 0.0
    for run, numbers in wanted.items():
        assert fast[run, ANSWER] == pytest.approx(numbers, abs=1e-9)
        assert slow[run, ANSWER] == pytest.approx(numbers, abs=1e-9)
        moved = max(moved, abs(numbers - fast[whole, ANSWER]).max())
    assert moved > 1e-3
    for switch in SWITCHES:
        plain = measure(model, PROMPTS, requests, switches=Switches().without(switch))
        for run in requests:
            assert plain[run, ANSWER] == pytest.approx(fast[run, ANSWER], abs=1e-9)
