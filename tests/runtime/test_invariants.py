"""The invariants pass on a right executor and catch wrong ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from circuitlang.language.graph.architecture import Architecture, Shape, parse_edge
from circuitlang.language.graph.edges import uniform
from circuitlang.language.spec import Run
from circuitlang.runtime.invariants import _Check, check_invariants, dead_ends
from circuitlang.runtime.reference import Outcome
from tests.runtime.test_measure import ATTENTION, DIFFERENCE, runs_of
from tests.tiny_models import FAMILIES, prompt_set


def requests_of(model):
    runs = runs_of(model)
    kept = [runs[name] for name in ("half", "mean", "zero", "positional", "M", "none")]
    return {run: [DIFFERENCE, ATTENTION] for run in kept}


@pytest.mark.parametrize("family", FAMILIES)
def test_all_hold_on_tiny_models(tiny, family):
    model = tiny(family)
    report = check_invariants(model, prompt_set([8, 9, 9, 9], references=20), requests_of(model))
    assert report.passed, report.invariants
    assert len(report.invariants) == 13
    assert report.prompts == 3
    assert 0 < report.noise[DIFFERENCE] < 1e-3
    assert report.noise[ATTENTION] < 1e-4


def test_float64_is_quieter(tiny):
    prompts = prompt_set([9, 9, 9], references=20)
    noise = {}
    for dtype in ("float32", "float64"):
        model = tiny("gpt2", dtype)
        noise[dtype] = check_invariants(model, prompts, requests_of(model)).noise[DIFFERENCE]
    assert noise["float64"] < noise["float32"] / 1000


def test_another_model_behind_the_hooks_is_caught(tiny):
    model = tiny("gpt2")
    wrong = replace(model, plain=tiny("llama").plain)
    report = check_invariants(wrong, prompt_set([8, 8]), requests_of_swap(model))
    assert [i.passed for i in report.invariants] == [False, False] + 11 * [True]


def requests_of_swap(model):
    return {runs_of(model)["half"]: [DIFFERENCE]}


def test_edges_added_where_they_matter_are_caught(tiny, monkeypatch):
    model = tiny("gpt2")
    everything = model.architecture.everything
    monkeypatch.setattr("circuitlang.runtime.invariants.dead_ends", lambda *_: everything)
    report = check_invariants(model, prompt_set([8, 8]), requests_of_swap(model))
    assert not report.passed


def test_ablated_values_that_leak_are_caught(tiny, monkeypatch):
    model = tiny("gpt2")
    from circuitlang.runtime import reference

    monkeypatch.setattr(
        reference._Execution, "_change", lambda self, area, s: area.of(self.outputs[s]).double()
    )
    report = check_invariants(model, prompt_set([8, 8]), requests_of_swap(model))
    assert not report.passed


def test_a_spec_without_ablations_still_has_checks(tiny):
    model = tiny("gpt2")
    report = check_invariants(model, prompt_set([8, 8]), {runs_of(model)["M"]: [DIFFERENCE]})
    assert report.passed
    assert len(report.invariants) == 2


def test_dead_ends_are_edges_into_nodes_without_a_way_out():
    small = Architecture(Shape(2, 1, 1, 4, 4, 4, 10))
    live = small.mask(map(parse_edge, ["input->a0.h0<q>", "a0.h0->m1", "m1->logits", "input->m0"]))
    dead = {str(edge) for edge in small.edges(dead_ends(small, live))}
    assert dead == {
        "input->m0",
        "a0.h0->m0",
        *(f"{u}->a1.h0<{p}>" for u in ("input", "a0.h0", "m0") for p in "qkv"),
    }


def test_adding_dead_ends_changes_no_logits_on_a_sparse_circuit(tiny):
    model = tiny("gpt2")
    edges = ["input->a0.h1<v>", "a0.h1->m1", "m1->logits", "m0->a1.h2<q>"]
    live = uniform(model.architecture.mask(map(parse_edge, edges)))
    run = Run(model.reference, "task", runs_of(model)["half"].ablation, live)
    report = check_invariants(model, prompt_set([8, 8]), {run: [DIFFERENCE]})
    assert report.passed
    assert torch.tensor([i.deviation for i in report.invariants]).isfinite().all()


def test_a_run_of_tiny_logits_is_measured_in_those_of_the_model(tiny):
    """Zeroing everything can leave logits that are 0 up to rounding; that is no broken invariant."""
    requests = {run: [ATTENTION] for run in requests_of_swap(tiny("gpt2"))}
    check = _Check(tiny("gpt2"), prompt_set([8, 8]).prompts, (), requests)
    check.largest_logit = 10.0
    one, other, far = (Outcome((7,), torch.full((2, 1, 4), x)) for x in (1e-7, 2e-7, 1.0))
    assert check._compare("tiny", one, other, frozenset()).passed
    assert not check._compare("far", one, far, frozenset()).passed
