"""Random donors: which they are, and numbers under them in both executors and by hand."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from circuitlang.compiler.draws import per_draw
from circuitlang.language.graph.edges import NOTHING, uniform
from circuitlang.language.prompt import PromptSet
from circuitlang.language.spec import Ablation, Divergence, Metric, Run, TopToken
from circuitlang.language.tasks.donors import with_donors
from circuitlang.runtime.invariants import check_invariants
from circuitlang.runtime.measure import measure
from circuitlang.runtime.unavailable import NotMeasurable
from tests.runtime.test_planned import (
    ABLATIONS,
    HERE,
    JUMPING,
    alike,
    assert_equal,
    difference_of,
    largest_logit,
    live_sets,
    plans,
    smooth_metrics,
)
from tests.tiny_models import prompt_set

__all__ = ["plans"]

DONORS = Ablation("donors", "donors", "other", draws=3)
CLEAN = Ablation("clean donors", "donors", None, draws=2)


def drawn(seed: int = 0, prompts: PromptSet | None = None) -> PromptSet:
    found, alone = with_donors(prompts or alike(prompt_set([8] * 6, references=12), 6), 3, seed)
    assert not alone
    return found


# ---------------------------------------------------------------- which they are


def test_donors_are_other_prompts_of_the_same_layout() -> None:
    lengths = [8, 9] * 10
    own = alike(prompt_set(lengths), 0)
    spans = [{"A": (2, 3), "B": (3 + i // 2 % 2, 5)} for i in range(len(lengths))]
    prompts = replace(
        own, prompts=tuple(replace(p, spans=s) for p, s in zip(own.prompts, spans, strict=True))
    )
    for prompt in drawn(prompts=prompts).prompts:
        assert len(prompt.donors) == 3
        for donor in prompt.donors:
            assert donor.layout == prompt.layout
            assert donor.tokens != prompt.tokens
            assert donor.tokens == prompts.prompts[donor.index].tokens


def test_donors_depend_on_seed_prompt_and_draw() -> None:
    prompts = alike(prompt_set([8] * 40), 40)

    def indices(seed: int, draws: int) -> list[list[int]]:
        found, _ = with_donors(prompts, draws, seed)
        return [[donor.index for donor in prompt.donors] for prompt in found.prompts]

    many = indices(0, 50)
    assert [row[:3] for row in many] == indices(0, 3)
    assert indices(1, 3) != indices(0, 3)
    assert len({tuple(row) for row in many}) == len(many)
    for row, found in enumerate(many):
        assert row not in found
        assert len(set(found)) > 20


def test_every_other_prompt_is_as_likely() -> None:
    prompts = alike(prompt_set([8] * 5), 5)
    found, _ = with_donors(prompts, 4000, 0)
    for prompt in found.prompts:
        counts = np.bincount([donor.index for donor in prompt.donors], minlength=5)
        assert counts[prompt.index] == 0
        others = np.delete(counts, prompt.index)
        assert (abs(others - 1000) < 5 * np.sqrt(750)).all()


def test_prompts_without_others_of_their_layout_are_named() -> None:
    prompts = alike(prompt_set([8, 8, 9]), 2)
    twice = replace(prompts, prompts=(*prompts.prompts, replace(prompts.prompts[2], index=3)))
    found, alone = with_donors(twice, 2, 0)
    assert [prompt.index for prompt in alone] == [2, 3]
    with pytest.raises(StopIteration):
        next(iter(found.prompts[2].donors))


def test_what_is_drawn_at_random_is_no_enumeration() -> None:
    prompts = replace(alike(prompt_set([8] * 4), 4), enumerated=True)
    assert not with_donors(prompts, 1, 0)[0].enumerated


# ---------------------------------------------------------------- numbers under them


@pytest.mark.parametrize("family", ["gpt2", "neox", "qwen3", "gemma2"])
def test_both_executors_agree(tiny, family) -> None:
    """With resampling, a mean and zero in the same program."""
    model, prompts = tiny(family, "float64"), drawn()
    rng = random.Random(family)
    whole = Run(model.reference, "task", None, uniform(model.architecture.everything))
    sets = live_sets(model.architecture, rng)
    runs = [Run(model.reference, "task", DONORS, live) for live in sets]
    mixed = [ABLATIONS[0], CLEAN, ABLATIONS[2], ABLATIONS[4]]
    others = [replace(run, ablation=a) for run, a in zip(runs[::2][:8], mixed * 2, strict=True)]
    smooth = smooth_metrics(whole, runs[0])
    from_donors = Metric("from a circuit", Divergence(runs[0]), True)
    requests = {run: [*smooth[:3], *JUMPING] for run in (*runs, *others)}
    requests[whole] = [smooth[0], from_donors]
    requests[runs[1]] = [*smooth, *JUMPING, from_donors]
    planned = measure(model, prompts, requests)
    slow = measure(model, prompts, requests, reference=True)
    assert_equal(planned, slow, 1e-9 * largest_logit(model, prompts))


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("ablation", [DONORS, CLEAN])
def test_the_floor_is_the_mean_over_the_donors_own_runs(tiny, ablation, reference) -> None:
    model, prompts = tiny("llama", "float64"), drawn()
    floor = Run(model.reference, "task", ablation, NOTHING)
    difference, top = smooth_metrics(floor, floor)[0], Metric("top", TopToken("foil", HERE), False)
    found = measure(model, prompts, {floor: [difference, top]}, reference=reference)
    apart = []
    for row, prompt in enumerate(prompts.prompts):
        logits = [
            model.unhooked(torch.tensor([d.corrupted["other"] if ablation is DONORS else d.tokens]))
            for d in prompt.donors[: ablation.draws]
        ]
        numbers = [difference_of(one[0, -1], prompt) for one in logits]
        apart.append(np.ptp(numbers))
        assert found[floor, difference][row] == pytest.approx(np.mean(numbers), abs=1e-10)
        hits = [one[0, -1].argmax().item() in prompt.answers["foil"] for one in logits]
        assert found[floor, top][row] == pytest.approx(np.mean(hits))
    assert max(apart) > 0.1


def test_a_run_is_compared_with_the_run_of_the_same_donors(tiny) -> None:
    model, prompts = tiny("gpt2", "float64"), drawn()
    rng = random.Random(0)
    run = Run(model.reference, "task", DONORS, live_sets(model.architecture, rng)[0])
    floor = replace(run, live=NOTHING)
    to_itself, to_floor = (Metric("kl", Divergence(one), True) for one in (run, floor))
    found = measure(model, prompts, {run: [to_itself, to_floor]})
    assert found[run, to_itself] == pytest.approx(0, abs=1e-12)
    assert (found[run, to_floor] > 1e-3).all()


def test_draws_are_shared_between_ablations_that_take_more_and_fewer(tiny) -> None:
    model = tiny("gpt2")
    metric = Metric("top", TopToken("foil", HERE), False)
    few, many = (
        Run(model.reference, "task", a, NOTHING) for a in (DONORS, replace(DONORS, draws=5))
    )
    assert len(per_draw({few: [metric]})) == 3
    assert len(per_draw({few: [metric], many: [metric]})) == 5
    assert len(per_draw({few: [metric], many: [metric]}, most=1)) == 1


def test_numbers_do_not_depend_on_the_other_prompts_measured(tiny) -> None:
    model, prompts = tiny("gpt2", "float64"), drawn()
    run = Run(model.reference, "task", DONORS, live_sets(model.architecture, random.Random(1))[0])
    metric = smooth_metrics(run, run)[0]
    all_of_them = measure(model, prompts, {run: [metric]})[run, metric]
    some = replace(prompts, prompts=prompts.prompts[2:4])
    part = measure(model, some, {run: [metric]})[run, metric]
    assert part == pytest.approx(all_of_them[2:4], abs=1e-10)


def test_a_prompt_without_donors_is_refused(tiny) -> None:
    model = tiny("gpt2")
    run = Run(model.reference, "task", DONORS, NOTHING)
    with pytest.raises(NotMeasurable, match="0 donors of the 3"):
        measure(model, prompt_set([8, 8]), {run: [Metric("top", TopToken("foil", HERE), False)]})


def test_invariants_are_checked_and_noise_is_of_what_was_asked(tiny) -> None:
    model, prompts = tiny("gpt2"), drawn()
    run = Run(model.reference, "task", DONORS, live_sets(model.architecture, random.Random(1))[0])
    metrics = [
        smooth_metrics(run, run)[0],
        Metric("kl", Divergence(replace(run, live=NOTHING)), True),
    ]
    report = check_invariants(model, prompts, {run: metrics})
    assert report.passed
    assert set(report.noise) == set(metrics)
    assert all(0 < noise < 1e-3 for noise in report.noise.values())
    assert "F(none) equals the run on other of other prompts" in {i.name for i in report.invariants}
