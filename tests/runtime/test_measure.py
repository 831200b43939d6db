"""Whole measurements: chunks, buckets, references, means and the errors of bad prompts.

What `measure` promises holds for the executor by plan and for the reference executor alike.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from circuitlang.language.graph.architecture import Node
from circuitlang.language.graph.edges import END, NOTHING, Place, Position, uniform
from circuitlang.language.prompt import mean_key
from circuitlang.language.spec import (
    Ablation,
    AttentionScore,
    Divergence,
    Metric,
    MetricOperation,
    Run,
    TokenScore,
)
from circuitlang.runtime.ablation import Ablations
from circuitlang.runtime.adapters import Adapter
from circuitlang.runtime.measure import measure
from circuitlang.runtime.one_by_one import chunks
from circuitlang.runtime.reference import run_live
from circuitlang.runtime.unavailable import ModelUnavailable, NotMeasurable
from tests.runtime.dense import Weights, evaluate
from tests.tiny_models import CONTEXT, FAMILIES, prompt_set

HERE = Position(END)
DIFFERENCE = Metric(
    "difference",
    MetricOperation(
        "-", (TokenScore("logit", "answer", HERE), TokenScore("logit", "foil", HERE, "mean"))
    ),
    False,
)
INSIDE = Metric("inside", TokenScore("logprob", "answer", Position("A")), False)
ATTENTION = Metric(
    "attention",
    AttentionScore(Node("head", 1, 0), Place((HERE,)), Place((Position("B"),))),
    False,
)
SWAP = Ablation("swap", "resample", "other")
MEAN = Ablation("average", "mean", "other", ("template", "parity"))
ZERO = Ablation("zero", "zero")


@pytest.fixture(params=[False, True], ids=["planned", "reference"])
def reference(request):
    """Which executor measures."""
    return request.param


def runs_of(model):
    half = uniform(int("01" * (model.architecture.size // 2), 2))
    everything = uniform(model.architecture.everything)
    positional = half.at(Place((Position("A"), HERE)))
    return {
        "M": Run(model.reference, "task", None, everything),
        "none": Run(model.reference, "task", SWAP, NOTHING),
        "half": Run(model.reference, "task", SWAP, half),
        "zero": Run(model.reference, "task", ZERO, half),
        "mean": Run(model.reference, "task", MEAN, half),
        "positional": Run(model.reference, "task", SWAP, positional),
    }


def by_hand(model, prompts, run, metric_prompt):
    """The difference metric of one prompt, from the dense evaluator."""
    weights = Weights(model.plain)

    def outputs(one):
        tokens = torch.tensor([one])
        return evaluate(
            model.architecture, weights, tokens, [[model.architecture.everything] * len(one)], None
        )[1]

    prompt = metric_prompt
    values = None
    if run.ablation == SWAP:
        values = outputs(prompt.corrupted["other"])
    elif run.ablation == MEAN:
        group = [r for r in prompts.references if mean_key(MEAN, r) == mean_key(MEAN, prompt)]
        each = [outputs(r.corrupted["other"]) for r in group]
        values = [torch.stack(one).mean(0) for one in zip(*each, strict=True)]
    tokens = torch.tensor([prompt.tokens])
    rows = [run.live.rows(prompt.layout)]
    logits = evaluate(model.architecture, weights, tokens, rows, values)[0][0, -1]
    return (
        logits[prompt.answers["answer"][0]] - logits[list(prompt.answers["foil"])].mean()
    ).item()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_kind_of_run_agrees_with_the_dense_evaluator(tiny, family):
    model = tiny(family)
    prompts = prompt_set([8, 11, 8, 9, 8, 11], references=36)
    requests = {run: [DIFFERENCE] for run in runs_of(model).values()}
    planned, slow = (
        measure(model, prompts, requests, chunk=2, reference=which) for which in (False, True)
    )
    for run in requests:
        expected = [by_hand(model, prompts, run, one) for one in prompts.prompts]
        assert planned[run, DIFFERENCE] == pytest.approx(expected, rel=1e-4, abs=1e-4)
        assert slow[run, DIFFERENCE] == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_results_do_not_depend_on_chunks_or_company(tiny, reference):
    model = tiny("gpt2")
    prompts = prompt_set([8, 11, 8, 9, 8, 11], references=36)
    runs = list(runs_of(model).values())
    metrics = [DIFFERENCE, INSIDE, ATTENTION]
    requests = dict.fromkeys(runs, metrics)
    together = measure(model, prompts, requests, chunk=32, reference=reference)
    for run in runs:
        alone = measure(model, prompts, {run: metrics}, chunk=1, reference=reference)
        for metric in metrics:
            assert alone[run, metric].dtype == np.float64
            assert alone[run, metric] == pytest.approx(together[run, metric], rel=1e-4, abs=1e-4)


def test_means_do_not_depend_on_the_sample(tiny, reference):
    model = tiny("gpt2")
    prompts = prompt_set([8, 8, 8, 8], references=40)
    run = runs_of(model)["mean"]
    fewer = replace(prompts, prompts=prompts.prompts[2:])
    whole, part = (
        measure(model, some, {run: [DIFFERENCE]}, reference=reference)[run, DIFFERENCE]
        for some in (prompts, fewer)
    )
    assert part == pytest.approx(whole[2:], abs=1e-5)


def test_kl_references_are_executed_and_compared(tiny, reference):
    model = tiny("gpt2")
    runs, prompts = runs_of(model), prompt_set([8, 9, 8])
    to_model = Metric("kl", Divergence(runs["M"]), True)
    to_half = Metric("kl", Divergence(runs["half"], Place((Position("B"),)), "js"), True)
    requests = {runs["none"]: [to_model, to_half], runs["M"]: [to_model]}
    results = measure(model, prompts, requests, reference=reference)
    assert results[runs["M"], to_model] == pytest.approx([0, 0, 0], abs=1e-12)
    for row, prompt in enumerate(prompts.prompts):
        clean = model.unhooked(torch.tensor([prompt.tokens]))[0, -1].double().log_softmax(-1)
        other = (
            model.unhooked(torch.tensor([prompt.corrupted["other"]]))[0, -1]
            .double()
            .log_softmax(-1)
        )
        by_hand = (clean.exp() * (clean - other)).sum().item()
        assert results[runs["none"], to_model][row] == pytest.approx(by_hand, rel=1e-4, abs=1e-6)
    assert (results[runs["none"], to_half] > 0).all()


def test_runs_may_be_compared_with_each_other(tiny, reference):
    """Each with the next in a ring, and with itself."""
    model = tiny("gpt2", "float64")
    runs, prompts = runs_of(model), prompt_set([8, 9, 8])
    ring = [runs["none"], runs["half"], runs["M"]]
    metrics = [Metric("kl", Divergence(run), True) for run in ring]
    requests = {ring[i]: [metrics[i], metrics[(i + 1) % 3]] for i in range(3)}
    results = measure(model, prompts, requests, reference=reference)
    for i, run in enumerate(ring):
        assert results[run, metrics[i]] == pytest.approx(0, abs=1e-12)
        alone = measure(model, prompts, {run: [metrics[(i + 1) % 3]]}, reference=reference)
        compared = results[run, metrics[(i + 1) % 3]]
        assert compared == pytest.approx(alone[run, metrics[(i + 1) % 3]], abs=1e-12)
        assert (compared > 1e-4).all()


def test_progress_counts_runs_times_prompts_up_to_the_end(tiny, reference):
    model = tiny("gpt2")
    runs, prompts = runs_of(model), prompt_set([8, 9, 8])
    to_half = Metric("kl", Divergence(runs["half"]), True)
    seen = []
    requests = {runs["none"]: [to_half], runs["M"]: [DIFFERENCE]}
    measure(model, prompts, requests, progress=lambda *at: seen.append(at), reference=reference)
    assert {total for _, total in seen} == {3 * 3}  # the run compared with counts too
    assert sorted(seen) == seen
    assert seen[-1] == (9, 9)
    assert any(0 < done < 9 for done, _ in seen)


def test_prompts_that_do_not_fit_are_refused(tiny):
    model = tiny("gpt2")
    run = runs_of(model)["M"]
    with pytest.raises(NotMeasurable, match=f"at most {CONTEXT}"):
        measure(model, prompt_set([CONTEXT + 1]), {run: [DIFFERENCE]})
    prompts = prompt_set([8])
    strange = replace(prompts.prompts[0], tokens=(*prompts.prompts[0].tokens[:-1], 4000))
    with pytest.raises(NotMeasurable, match="vocabulary"):
        measure(model, replace(prompts, prompts=(strange,)), {run: [DIFFERENCE]})
    shorter = replace(prompts.prompts[0], corrupted={"other": (2, 3)})
    with pytest.raises(NotMeasurable, match="another number of tokens"):
        measure(model, replace(prompts, prompts=(shorter,)), {run: [DIFFERENCE]})


def test_a_prompt_at_the_limit_of_the_context_runs(tiny, reference):
    model = tiny("gpt2")
    run = runs_of(model)["half"]
    results = measure(model, prompt_set([CONTEXT]), {run: [DIFFERENCE]}, reference=reference)
    assert np.isfinite(results[run, DIFFERENCE]).all()


def test_a_mean_without_references_says_for_which_prompt(tiny, reference):
    model = tiny("gpt2")
    requests = {runs_of(model)["mean"]: [DIFFERENCE]}
    with pytest.raises(NotMeasurable, match="no reference prompts like"):
        measure(model, prompt_set([8], references=0), requests, reference=reference)


def interrupt(*_):
    raise KeyboardInterrupt


def test_interrupting_leaves_no_hooks_behind(tiny, reference):
    model = tiny("gpt2")
    prompts, run = prompt_set([8, 9]), runs_of(model)["half"]
    before = model.bridge(torch.tensor([prompts.prompts[0].tokens]))
    with pytest.raises(KeyboardInterrupt):
        measure(model, prompts, {run: [DIFFERENCE]}, progress=interrupt, reference=reference)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("circuitlang.runtime.reference._Execution._record", interrupt)
        patch.setattr(Adapter, "mlp", interrupt)
        with pytest.raises(KeyboardInterrupt):
            measure(model, prompts, {run: [DIFFERENCE]}, reference=reference)
    after = model.bridge(torch.tensor([prompts.prompts[0].tokens]))
    assert torch.equal(before, after)


def test_running_out_of_memory_is_explained(tiny, reference, monkeypatch):
    model = tiny("gpt2")

    def fail(*_):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("circuitlang.runtime.reference._Execution._record", fail)
    monkeypatch.setattr(Adapter, "mlp", fail)
    with pytest.raises(ModelUnavailable, match="memory"):
        measure(model, prompt_set([8]), {runs_of(model)["M"]: [DIFFERENCE]}, reference=reference)


def test_other_errors_are_not_taken_for_memory(tiny, reference, monkeypatch):
    model = tiny("gpt2")

    def fail(*_):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr("circuitlang.runtime.reference._Execution._record", fail)
    monkeypatch.setattr(Adapter, "mlp", fail)
    with pytest.raises(RuntimeError, match="shapes"):
        measure(model, prompt_set([8]), {runs_of(model)["M"]: [DIFFERENCE]}, reference=reference)


def test_chunks_hold_one_length_and_cover_everything():
    prompts = prompt_set([8, 9, 8, 8, 9, 11]).prompts
    pieces = list(chunks(prompts, 2))
    assert sorted(row for piece in pieces for row in piece) == list(range(6))
    assert all(len({len(prompts[row].tokens) for row in piece}) == 1 for piece in pieces)
    assert max(map(len, pieces)) == 2


def test_zero_values_are_marked_as_absent(tiny):
    model = tiny("gpt2")
    prompts = prompt_set([8])
    assert set(Ablations(model, ()).values(ZERO, prompts.prompts)) == {None}
    assert len(run_live(model, torch.tensor([prompts.prompts[0].tokens])).outputs) == 11


def test_what_is_known_is_not_worked_out_again(tiny, reference):
    """Only what is missing reaches `keep`, and the same chunks give the same to the last bit."""
    model = tiny("gpt2")
    prompts = prompt_set([8, 11, 8, 9, 8, 11, 8, 8], references=36)
    runs = runs_of(model)
    compared = Metric("apart", Divergence(runs["M"]), True)
    requests = dict.fromkeys(runs.values(), (DIFFERENCE, compared))
    kept = []

    def keep(rows, found):
        kept.append((tuple(rows), found))

    whole = measure(model, prompts, requests, chunk=2, reference=reference, keep=keep)
    chunks_done, kept = kept[: len(kept) // 2], []
    known = [
        (asked, np.array(rows), vector)
        for rows, found in chunks_done
        for asked, vector in found.items()
    ]
    again = measure(model, prompts, requests, chunk=2, reference=reference, known=known, keep=keep)
    assert all(np.array_equal(again[asked], whole[asked]) for asked in whole)
    there = {(asked, row) for asked, rows, _ in known for row in rows.tolist()}
    new = [(asked, row) for rows, found in kept for asked in found for row in rows]
    assert len(new) == len(set(new))
    assert not there & set(new)
    assert len(there) + len(new) == len(whole) * len(prompts.prompts)


def test_known_numbers_are_taken_as_they_are(tiny, reference):
    """Of some prompts, of one run, of one metric of a run: whatever is left is worked out."""
    model = tiny("gpt2")
    prompts = prompt_set([8, 11, 8, 9, 8, 11, 8, 8], references=36)
    half = runs_of(model)["half"]
    requests = dict.fromkeys(runs_of(model).values(), (DIFFERENCE, INSIDE))
    whole = measure(model, prompts, requests, reference=reference)
    known = [
        ((half, DIFFERENCE), np.array([0, 3]), np.array([100.0, np.nan])),
        ((half, INSIDE), np.arange(8), np.full(8, 200.0)),
    ]
    found = measure(model, prompts, requests, reference=reference, known=known)
    assert found[half, INSIDE].tolist() == [200.0] * 8
    assert found[half, DIFFERENCE][0] == 100.0
    assert np.isnan(found[half, DIFFERENCE][3])
    rest = [1, 2, 4, 5, 6, 7]
    assert found[half, DIFFERENCE][rest] == pytest.approx(whole[half, DIFFERENCE][rest], abs=1e-4)
    for asked in whole:
        if asked[0] != half:
            assert found[asked] == pytest.approx(whole[asked], abs=1e-4)
