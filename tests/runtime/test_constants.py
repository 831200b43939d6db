"""Constants from a file: both executors against each other, and against the dense evaluator."""

from __future__ import annotations

import random
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from circuitlang.language.graph.edges import NOTHING, uniform
from circuitlang.language.spec import Ablation, Constants, Run
from circuitlang.runtime.measure import measure
from circuitlang.runtime.planned import PlannedExecution
from circuitlang.runtime.unavailable import NotMeasurable
from tests.runtime.dense import Weights, evaluate
from tests.runtime.test_planned import (
    ABLATIONS,
    JUMPING,
    LiveBytes,
    alike,
    assert_equal,
    difference_of,
    larger,
    larger_runs,
    largest_logit,
    live_sets,
    plans,
    smooth_metrics,
)
from tests.tiny_models import FAMILIES, prompt_set

__all__ = ["larger", "plans"]

PROMPTS = alike(prompt_set([8, 8, 8, 11], references=12), 3)


def written(
    path: Path, model, without: tuple[str, ...] = (), dtype: torch.dtype = torch.float64
) -> tuple[Ablation, dict[str, torch.Tensor]]:
    """A file of random vectors for the model's nodes; a node's is the same in all files."""
    draw = torch.Generator().manual_seed(1)
    size = (len(model.architecture.senders), model.shape.d_model)
    rows = torch.randn(size, generator=draw, dtype=torch.float64).to(dtype)
    vectors = {
        str(node): row.clone()
        for node, row in zip(model.architecture.senders, rows, strict=True)
        if str(node) not in without
    }
    path.write_bytes(save(vectors))
    return ablation_of(path), vectors


def ablation_of(path: Path) -> Ablation:
    content = path.read_bytes()
    digest, nodes = sha256(content).hexdigest(), frozenset(load(content))
    constants = Constants("c.safetensors", path, digest, nodes)
    return Ablation("constants", "constants", constants=constants)


@pytest.mark.parametrize("family", FAMILIES)
def test_numbers_are_the_reference_executors_and_the_dense_evaluators(tiny, family, tmp_path):
    model, rng = tiny(family, "float64"), random.Random(family)
    ablation, vectors = written(tmp_path / "c.safetensors", model)
    scale = largest_logit(model, PROMPTS)
    runs = [Run(model.reference, "task", ablation, s) for s in live_sets(model.architecture, rng)]
    other = [Run(model.reference, "task", ABLATIONS[i], runs[i].live) for i in (0, 2, 4)]
    smooth = smooth_metrics(runs[0], runs[1])
    requests = {run: [*smooth, *JUMPING] for run in (*runs, *other)}
    planned = measure(model, PROMPTS, requests)
    assert_equal(planned, measure(model, PROMPTS, requests, reference=True), 1e-9 * scale)
    weights = Weights(model.plain)
    for run in runs[::4]:
        for row, prompt in enumerate(PROMPTS.prompts):
            tokens = torch.tensor([prompt.tokens])
            ablated = [
                vectors[str(node)].expand(1, len(prompt.tokens), -1)
                for node in model.architecture.senders
            ]
            live = [run.live.rows(prompt.layout)]
            logits = evaluate(model.architecture, weights, tokens, live, ablated)[0]
            expected = difference_of(logits[0, -1], prompt)
            assert planned[run, smooth[0]][row] == pytest.approx(expected, abs=1e-9 * scale)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_other_number_formats_are_read(tiny, tmp_path, dtype):
    model = tiny("gpt2", "float64")
    exact, _ = written(tmp_path / "exact.safetensors", model)
    rounded, _ = written(tmp_path / "rounded.safetensors", model, dtype=dtype)
    runs = [Run(model.reference, "task", ablation, NOTHING) for ablation in (exact, rounded)]
    metric = smooth_metrics(runs[0], runs[0])[0]
    found = measure(model, PROMPTS, {run: [metric] for run in runs})
    apart = abs(found[runs[0], metric] - found[runs[1], metric])
    assert 0 < apart.max() < 1


@pytest.mark.parametrize("family", ["gpt2", "gemma2"])
def test_nodes_without_a_vector_may_be_live(tiny, family, tmp_path):
    """What the file says of nodes that are never ablated has no effect."""
    model = tiny(family, "float64")
    graph = model.architecture
    always = ("a0.h1", "m0", "input")
    ablations = [
        written(tmp_path / f"{len(without)}.safetensors", model, without)[0]
        for without in (always, ())
    ]
    free = uniform(sum(graph.leaving(node) for node in graph.senders if str(node) in always))
    rng = random.Random(family)
    lives = [live | free for live in live_sets(graph, rng)[:6]]
    whole = Run(model.reference, "task", None, uniform(graph.everything))
    metric = smooth_metrics(whole, whole)[0]
    for reference in (False, True):
        found = [
            measure(
                model,
                PROMPTS,
                {Run(model.reference, "task", a, live): [metric] for live in lives},
                reference=reference,
            )
            for a in ablations
        ]
        for one, other in zip(found[0].values(), found[1].values(), strict=True):
            assert one == pytest.approx(other, abs=1e-9)


@pytest.mark.parametrize("kind", ["C - e", "M - K"])
def test_planned_bytes_are_those_of_live_tensors(larger, kind, tmp_path):
    ablation, _ = written(tmp_path / "c.safetensors", larger)
    prompts = alike(prompt_set([12] * 16), 16)
    runs = larger_runs(larger.reference, kind, ablation)
    requests = {run: smooth_metrics(runs[0], runs[0])[:1] for run in runs}
    execution = PlannedExecution(larger, prompts, requests, 1 << 32, 8)
    first, second = execution.planner.pieces()
    execution.execute(first, lambda pairs, share: None)  # the table is made once, and kept
    with LiveBytes() as live:
        execution.execute(second, lambda pairs, share: None)
    assert second.bytes == pytest.approx(live.peak, rel=0.25)


def test_a_file_that_changed_or_is_not_finite_is_refused(tiny, tmp_path):
    model, path = tiny("gpt2"), tmp_path / "c.safetensors"
    ablation, _ = written(path, model)
    run = Run(model.reference, "task", ablation, NOTHING)
    requests = {run: [smooth_metrics(run, run)[0]]}
    path.write_bytes(path.read_bytes()[:-8] + bytes(8))
    for reference in (False, True):
        with pytest.raises(NotMeasurable, match="was changed"):
            measure(model, PROMPTS, requests, reference=reference)
    path.write_bytes(save({"m0": torch.full((model.shape.d_model,), float("nan"))}))
    run = Run(model.reference, "task", ablation_of(path), NOTHING)
    with pytest.raises(NotMeasurable, match="not finite"):
        measure(model, PROMPTS, {run: [smooth_metrics(run, run)[0]]})
    path.unlink()
    with pytest.raises(NotMeasurable, match="cannot be read"):
        measure(model, PROMPTS, {run: [smooth_metrics(run, run)[0]]})
