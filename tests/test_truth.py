"""The models of `truth/` are what they are said to be, and a small part of `python -m truth`."""

from __future__ import annotations

import importlib.util
import itertools
import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM

import truth.trials
from circuitlang import pipeline
from truth.__main__ import Suite
from truth.exact import Exact, one_edge
from truth.statements import ALPHA
from truth.subjects import MODELS, SUBJECTS
from truth.tally import Row, Trial, power, rows, violations

ROOT = Path(__file__).resolve().parent.parent
TRACR = sorted(folder.name for folder in MODELS.glob("tracr_*"))
FRACTION = next(subject for subject in SUBJECTS if subject.name == "tracr_fraction")  # the quickest


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Threads cost tiny models more than they give."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def facts(name: str) -> dict[str, Any]:
    return json.loads((MODELS / name / "truth.json").read_text(encoding="utf-8"))


def vocabulary(name: str) -> dict[str, int]:
    tokenizer = json.loads((MODELS / name / "tokenizer.json").read_text(encoding="utf-8"))
    return tokenizer["model"]["vocab"]


@torch.no_grad()
def logits(name: str, prompts: list[str]) -> np.ndarray:
    """[prompt, position after <bos>, token], by transformers."""
    number = vocabulary(name)
    model = AutoModelForCausalLM.from_pretrained(MODELS / name).eval()
    tokens = [[number[word] for word in ("<bos>", *prompt.split())] for prompt in prompts]
    return model(torch.tensor(tokens)).logits[:, 1:].double().numpy()


# ------------------------------------------------------------------------------------- the models


@pytest.mark.parametrize("name", TRACR)
def test_a_compiled_program_gives_what_tracr_gives(name: str) -> None:
    known, number = facts(name), vocabulary(name)
    found = logits(name, [one["prompt"] for one in known["expected"]])
    if known["numerical"]:
        outputs = found[:, :, number["more"]] / known["logits per unit"]
        expected = [one["output"] for one in known["expected"]]
        np.testing.assert_allclose(outputs, expected, atol=5e-4)
        np.testing.assert_allclose(found[:, :, number["less"]], 0, atol=1e-3)
    else:
        word = {index: text for text, index in number.items()}
        for one, row in zip(known["expected"], found.argmax(-1), strict=True):
            said = [word[i] for i in row]
            known_words = [
                w if e is not None else None for w, e in zip(said, one["output"], strict=True)
            ]
            assert known_words == one["output"], one["prompt"]
            assert one["output"][-1] is not None


def test_the_gates_do_what_their_script_says() -> None:
    known, number = facts("gates"), vocabulary("gates")
    value = known["values"]
    combinations = list(itertools.product(value, repeat=5))[::7]
    found = logits("gates", [" ".join((*words, "so")) for words in combinations])[:, -1]
    p, q, r, s, t = np.array([[value[word] for word in words] for words in combinations]).T
    good = np.maximum(p + q - 1, 0) + np.minimum(2 * r, known["cap"]) + s + t / 2
    np.testing.assert_allclose(found[:, number["good"]], known["logits per unit"] * good, atol=5e-3)
    np.testing.assert_allclose(found[:, number["bad"]], 0, atol=1e-3)


def test_building_the_gates_again_gives_the_same_weights() -> None:
    built = script("make_gates")
    weights = sys.modules["truth.wiring"].gpt2(built.model())
    shipped = load_file(MODELS / "gates" / "model.safetensors")
    assert weights.keys() == shipped.keys()
    for name, weight in weights.items():
        np.testing.assert_array_equal(weight, shipped[name], err_msg=name)


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_folders_are_small() -> None:
    assert sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file()) < 2_000_000


WIRED = [subject for subject in SUBJECTS if (MODELS / subject.name / "truth.json").exists()]


def test_all_but_two_say_how_they_are_wired() -> None:
    assert {s.name for s in SUBJECTS} - {s.name for s in WIRED} == {"toy", "trained"}


def test_what_was_learned_is_right_on_every_prompt() -> None:

    script_of = script("make_trained")
    rows = script_of.prompts(vocabulary("trained"))
    model = AutoModelForCausalLM.from_pretrained(MODELS / "trained").eval()
    with torch.no_grad():
        said = model(rows[:, :-1]).logits[:, -1].argmax(-1)
    assert torch.equal(said, rows[:, -1])


@pytest.mark.parametrize("subject", WIRED, ids=lambda subject: subject.name)
def test_planted_edges_are_wired(subject) -> None:
    assert {edge.partition("@")[0] for edge in subject.planted} <= set(
        facts(subject.name)["wiring"]
    )


# -------------------------------------------------------------------------------------- the specs


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_specs_lint_without_a_word_and_are_enumerated(subject) -> None:
    front = pipeline.lint(subject.spec)
    assert [d.message for d in front.found if d.severity in ("error", "warning")] == []
    [drawn] = front.prompts.values()
    assert drawn.enumerated


@pytest.mark.parametrize("name", ["gates", "tracr_induction"])
def test_claims_of_the_specs_meet_what_is_planted(name: str) -> None:
    subject = next(s for s in SUBJECTS if s.name == name)
    outcome = pipeline.check(subject.spec, pipeline.Options(stored=False), pipeline.Silent())
    assert outcome.exit_code == 0, [(r.name, r.verdict) for r in outcome.results if not r.ok]
    assert all(drawn.enumerated for drawn in outcome.front.prompts.values())


# -------------------------------------------------------------------------------------- the suite


@pytest.fixture(scope="module")
def suite() -> Suite:
    return Suite.of([FRACTION], 4, 0, Console(stderr=True))


def test_every_verdict_on_all_prompts_is_right(suite: Suite) -> None:
    trials = suite.exhaustive()
    assert {t.statement.true for t in trials} == {True, False}
    for trial in trials:
        assert trial.verdict == trial.statement.verdict, trial.statement.text


def test_samples_are_no_more_often_wrong_than_promised(suite: Suite) -> None:
    trials = suite.sampled()
    assert violations([*rows(trials, true=False), *rows(trials, true=True)]) == []
    assert power(trials).verdicts["holds"] > 0


def test_a_judge_without_intervals_is_caught(suite: Suite, monkeypatch) -> None:
    honest = truth.trials.sample_of

    def certain(measured, seed):
        sample = honest(measured, seed)
        return replace(sample, enumerated=dict.fromkeys(sample.enumerated, True))

    monkeypatch.setattr(truth.trials, "sample_of", certain)
    again = [
        Trial(s, population.verdict(s.name, population.rows(40, seed), seed))
        for s in suite.statements
        if not s.true and s.distance == 0.001 and s.quantity.varies
        for population in suite.populations.values()
        for seed in range(20)
    ]
    assert violations(rows(again, true=False)) != []


def test_a_circuit_that_is_not_the_planted_one_is_caught(suite: Suite) -> None:
    """Were an edge meant that the text does not say, exact verdicts would contradict the truth."""
    [population] = suite.populations.values()
    wrong = []
    for s in suite.statements:
        sides = {
            o: replace(side, value=side.value * 2 + 0.3) for o, side in s.quantity.sides.items()
        }
        meant = replace(s, quantity=replace(s.quantity, sides=sides))
        wrong.append(Trial(meant, population.verdict(s.name, None)).wrong)
    assert any(wrong)


def test_spec_files_and_cut_samples_give_the_same_verdicts(suite: Suite) -> None:
    trials, apart = suite.files([FRACTION], 1, 0, Console(stderr=True))
    assert len(trials) > 20
    assert apart == []


# ------------------------------------------------------------------------------------ its own parts


def test_edge_sets_mean_what_their_texts_say() -> None:
    exact = Exact(FRACTION)
    edge = "m0->a1.h0<v>"
    split = exact.planted - one_edge(edge, "A")
    joined = split + one_edge(edge, "A")
    assert split.text == "(planted - ((m0 -> a1.h0.v) @ A))"
    assert joined.edges == exact.planted.edges
    assert (
        exact.everything - exact.leaving("m0") + exact.leaving("m0")
    ).edges == exact.everything.edges
    assert (split - one_edge(edge)).edges.keys() == exact.planted.edges.keys() - {edge}
    np.testing.assert_allclose(exact.score(joined), exact.score(exact.planted), atol=1e-6)
    assert np.abs(exact.score(split) - exact.score(exact.planted)).max() > 1


def test_bounds_are_those_of_the_binomial() -> None:
    fair = Row("fair", False, Counter({"holds": 5, "fails": 95}))
    foul = Row("foul", False, Counter({"holds": 15, "fails": 85}))
    assert fair.bound == pytest.approx(0.1023, abs=1e-3)
    assert fair.chance == pytest.approx(1 - sum_binomial(4, 100, ALPHA))
    assert violations([fair]) == []
    assert len(violations([fair, foul])) == 1
    assert violations([Row("foul", True, Counter({"fails": 15, "holds": 85}))]) != []


def sum_binomial(most: int, n: int, p: float) -> float:
    from math import comb

    return sum(comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(most + 1))
