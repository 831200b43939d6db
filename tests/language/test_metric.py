"""Metrics and ablations as they are resolved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from circuitlang.compiler.collect import collect
from circuitlang.language.formulas.constants import missing
from circuitlang.language.graph.architecture import architecture
from circuitlang.language.graph.edges import NOTHING, Place, Position
from circuitlang.language.spec import Ablation, Divergence, Metric
from tests.language.resolving import resolved, run, value


def metric(written: str) -> Metric:
    found: Metric = value("F(M by tried)", f"metric tried = {written}\n").measurement.metric
    return found


def warnings(written: str) -> list[str]:
    _, diagnostics = resolved(f"metric tried = {written}\nclaim c: F(M by tried) <= 1\n")
    return [d.message for d in diagnostics.found if d.code == "CL315"]


@pytest.mark.parametrize(
    ("written", "lower"),
    [
        ("prob(answer)", False),
        ("rank(answer)", True),
        ("kl(M)", True),
        ("js(M)", True),
        ("loss(X)", True),
        ("-loss(X)", False),
        ("1 - js(M)", False),
        ("1 - prob(answer)", True),
        ("-1 * kl(M)", False),
        ("2 * kl(M)", True),
        ("1 / loss(X)", False),
        ("prob(answer) - prob(foil)", False),
        ("kl(M) - kl(none)", True),
        ("prob(answer) - loss(X)", False),
        ("loss(X) - prob(answer)", True),
        ("prob(answer) + -kl(M)", False),
        ("indicator(rank(answer) == 0)", False),
        ("indicator(rank(answer) < 5)", False),
        ("indicator(5 > rank(answer))", False),
        ("indicator(kl(M) > 1)", True),
        ("indicator(logit(answer) > logit(foil))", False),
        ("indicator(argmax in answer)", False),
        ("sqrt(js(M))", True),
        ("max(js(M), kl(M))", True),
        ("attention(a1.h0, END, X)", False),
        ("attention(a1.h0, END, X) + kl(M)", True),
    ],
)
def test_a_metric_has_one_direction(written: str, lower: bool) -> None:
    assert metric(written).lower_is_better == lower
    assert warnings(written) == []


@pytest.mark.parametrize(
    "written",
    [
        "prob(answer) + kl(M)",
        "loss(X) + 0.1 * logit(answer)",
        "prob(answer) * rank(answer)",
        "max(js(M), prob(answer))",
        "prob(answer) + 1 - (prob(foil) + kl(M))",
    ],
)
def test_scores_of_opposite_directions_are_not_joined(written: str) -> None:
    (message,) = warnings(written)
    assert "is better when it is higher" in message


def test_what_is_compared_where() -> None:
    assert metric("js(M)").expression == Divergence(run("M"), None, "js")
    spans = Place((Position("A1"), Position("X")))
    assert metric("kl(M, [A1, X])").expression == Divergence(run("M"), spans)
    assert metric("logit(answer @ [first(X)])").expression.position == Position("X", "first")
    compared = value("F(early by kl(M - early))").measurement.metric.expression.reference
    assert compared == run("M - early")
    under_zero = value("F(early under zero by js(late))").measurement.metric.expression.reference
    assert under_zero == run("late under zero")


def test_js_is_bounded_and_a_percentage_of_it_means_something() -> None:
    def codes(name: str) -> list[str]:
        _, diagnostics = resolved(f"claim close by {name}(M): F(early) <= 5%\n")
        return [d.code for d in diagnostics.found]

    assert "CL306" in codes("kl")
    assert "CL306" not in codes("js")


# ---------------------------------------------------------------- random donors


def test_donors_are_of_a_corruption_or_of_clean_prompts() -> None:
    some = run("early under donors(other, 3)").ablation
    assert some == Ablation("", "donors", "other", draws=3)
    assert str(some) == "donors(other, 3)"
    clean = run("early under donors(clean, 2)").ablation
    assert clean == Ablation("", "donors", None, draws=2)
    assert run("M under donors(other, 3)").ablation is None
    named = "ablation others = donors(food, number)\nlet number = 4\n"
    assert str(run("early under others", named).ablation) == "others"
    assert run("early under others", named).ablation.draws == 4


def test_a_quantifier_runs_over_donors_of_each_corruption() -> None:
    claim = value("forall c in corruptions(likes): F(early under donors(c, 2)) > 0")
    used = [f.left.measurement.run.ablation for _, f in claim.members]
    assert [(one.corruption, one.draws) for one in used] == [("other", 2), ("food", 2)]
    assert [one.name for one in used] == ["donors(other, 2)", "donors(food, 2)"]


# ---------------------------------------------------------------- constants


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With vectors for some of the toy's nodes."""
    monkeypatch.chdir(tmp_path)
    save_file({"a0.h0": np.zeros(96, "f4"), "m1": np.ones(96, "f8")}, "some.safetensors")
    return tmp_path


SOME = 'ablation some = constants("some.safetensors")\n'


def problems(claim: str) -> list[str]:
    _, diagnostics = resolved(f"{SOME}claim c: {claim}\n")
    return [d.message for d in diagnostics.found if d.severity == "error"]


def test_a_file_of_constants(folder: Path) -> None:
    ablation = run("M - (a0.h0 -> m1) under some", SOME).ablation
    assert ablation.kind == "constants"
    assert ablation.constants.nodes == {"a0.h0", "m1"}
    assert ablation.constants.path == folder / "some.safetensors"


def test_only_nodes_that_are_ablated_need_a_vector(folder: Path) -> None:
    assert problems("F(M - [a0.h0, m1] under some) > 0") == []
    assert problems("F(M - m1 @ [X, END] under some) > 0") == []
    assert problems("F((M - m0) + m0 under some) > 0") == []
    (message,) = problems("F(M - [a0.h0, a0.h1, m0] under some) > 0")
    assert "2 nodes without a vector in `some.safetensors`: `a0.h1`, `m0`." in message
    (message,) = problems("F(M - a0.h1 @ END under some) > 0")
    assert "1 node without" in message
    kept = "input, a0.h[1..3], a[1,2].h[*], m[0,2]"
    assert problems(f"F(none under some free [{kept}]) > 0") == []


def test_what_a_metric_compares_with_needs_vectors_too(folder: Path) -> None:
    (message,) = problems("F(M - m1 under some by kl(M - m0)) > 0")
    assert "`m0`" in message


def test_there_is_no_floor_without_vectors_for_it(folder: Path) -> None:
    """`M - m1` can be run and `none`, which nobody asked for, cannot."""
    form = value("F(M - m1 under some)", SOME)
    asked = form.measurement.run
    graph = architecture(asked.model.shape)
    assert missing(asked.ablation.constants, asked.live, graph) == ()
    assert len(missing(asked.ablation.constants, NOTHING, graph)) == len(graph.senders) - 2
    (setting,) = collect([form], {"likes": ()}).settings
    assert setting.floor is None
    (with_floor,) = collect([value("F(M - m1 under zero)")], {"likes": ()}).settings
    assert with_floor.floor is not None
