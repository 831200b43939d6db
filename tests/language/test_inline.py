"""Measures and context words, written out: who inherits what, and whose name is whose."""

from __future__ import annotations

import pytest

from circuitlang.language.spec import Aggregate, Mean, Operation
from tests.language.resolving import resolved, value

CIRCUIT = "circuit c { input -> logits }\n"


def means(number) -> list:
    """Every F in a number."""
    if isinstance(number, Mean):
        return [number.measurement]
    if isinstance(number, Operation):
        return [m for o in number.operands for m in means(o)]
    return means(number.body) if isinstance(number, Aggregate) else []


def test_words_at_a_call_reach_every_f_inside():
    """E1: the floor of `faithfulness(C under zero)` is under zero too."""
    found = means(value("faithfulness(c under zero)", CIRCUIT))
    assert len(found) == 4
    assert {m.run.ablation.kind for m in found if m.run.ablation} == {"zero"}


def test_the_innermost_word_wins():
    extra = CIRCUIT + "measure mixed(C) = F(C) - F(C under zero)"
    first, second = means(value("mixed(c under average)", extra))
    assert (first.run.ablation.kind, second.run.ablation.kind) == ("mean", "zero")


@pytest.mark.parametrize(
    ("call", "kinds"),
    [("F(c)", ["resample"]), ("F(c under zero)", ["zero"]), ("recovered(c under zero)", ["zero"])],
)
def test_the_default_is_outermost(call, kinds):
    found = [m.run.ablation.kind for m in means(value(call, CIRCUIT)) if m.run.ablation]
    assert found == kinds


def test_a_claims_head_stands_between_default_and_call():
    spec, _ = resolved(CIRCUIT + "claim x under zero by right: F(c) - F(c under average) >= 0")
    left = spec.spec.claims[0].formula.left
    assert [(m.run.ablation.kind, str(m.metric)) for m in means(left)] == [
        ("zero", "right"),
        ("mean", "right"),
    ]


def test_words_reach_data_and_metric():
    numbers = value("[recovered(c on t by right) for t in templates(likes)]", CIRCUIT)
    found = [m for _, number, _ in numbers for m in means(number)]
    assert [m.rows.key for m in found] == ["first", "first", "second", "second"]
    assert {str(m.metric) for m in found} == {"right"}


def test_bound_names_are_not_captured():
    """The variable of a measure's loop is another one than the argument's."""
    extra = CIRCUIT + "measure each(S) = mean(F(S - e) for e in [m0, m1])\n"
    inner = value("[each(M - e) for e in [m2, early]]", extra)
    written = [m.run.written for _, number, _ in inner for m in means(number)]
    assert written == ["M - m2 - m0", "M - m2 - m1", "M - early - m0", "M - early - m1"]


def test_parameters_may_share_names_with_the_spec():
    extra = CIRCUIT + "measure twice(early) = F(early) + F(early)\n"
    assert {m.run.written for m in means(value("twice(m0)", extra))} == {"m0"}


@pytest.mark.parametrize(
    "measures",
    [
        "measure f(C) = f(C)\nclaim x: f(c) >= 1",
        "measure f(C) = g(C)\nmeasure g(C) = f(C)\nclaim x: f(c) >= 1",
        "measure f = g\nmeasure g = f\nclaim x: f >= 1",
    ],
)
def test_recursion_is_refused(measures):
    _, diagnostics = resolved(CIRCUIT + measures)
    assert "CL109" in {d.code for d in diagnostics.found}


def test_a_measure_of_a_measure_of_a_measure():
    extra = (
        CIRCUIT + "measure a(C) = F(C)\nmeasure b(C, K) = a(C) - a(C - K)\nmeasure d(K) = b(M, K)"
    )
    first, second = means(value("d(m0 under zero)", extra))
    assert first.run.ablation is None
    assert second.run.ablation.kind == "zero"


def test_one_prompt_at_a_time():
    found = value("mean(F(c on x) for x in examples)", CIRCUIT)
    assert isinstance(found, Aggregate)
