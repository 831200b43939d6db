"""Which test decides which formula, without any data."""

import pytest
from judgement_fakes import (
    EFFECT,
    FAITHFULNESS,
    F,
    compare,
    div,
    each,
    forall,
    op,
    run,
    share,
    sub,
    within,
)

from circuitlang.judgement.contrast import FormClass, Unsupported, classify, unsupported
from circuitlang.language.spec import Aggregate, Mean, Measurement, Rows


def terms(form: FormClass, i: int = 0) -> dict[str, float]:
    """Coefficients by run name."""
    return {
        atom.measurement.run.written: pytest.approx(c) for atom, c in form.tests[i].terms.items()
    }


def classified(comparison) -> FormClass:
    form = classify(comparison)
    assert isinstance(form, FormClass), form
    return form


def test_a_scaled_threshold_becomes_one_contrast():
    form = classified(compare(sub(F("C"), F("C-e")), ">=", op("*", 0.01, EFFECT)))
    assert form.kind == "affine"
    assert terms(form) == {"C": 1, "C-e": -1, "M": -0.01, "none": 0.01}
    assert [g.positive for g in form.guards] == [True]


def test_a_ratio_becomes_the_contrast_and_a_guard():
    form = classified(compare(FAITHFULNESS, ">=", 0.8))
    assert form.kind == "ratio"
    assert terms(form) == {"C": 1, "none": -0.2, "M": -0.8}
    assert len(form.guards) == 1
    assert not form.guards[0].positive


def test_at_most_turns_the_contrast_round():
    form = classified(compare(F("C"), "<=", 3))
    assert terms(form) == {"C": -1}
    assert form.tests[0].constant == 3


def test_a_constant_on_the_left_is_the_threshold():
    form = classified(compare(0.8, "<", FAITHFULNESS))
    assert form.operator == ">"
    assert form.strict
    assert terms(form) == {"C": 1, "none": -0.2, "M": -0.8}


def test_fractions_over_one_denominator_add_up():
    left, right = div(F("A"), EFFECT), div(F("B"), op("*", 2, EFFECT))
    form = classified(compare(op("+", left, right), ">=", 0.5))
    assert terms(form) == {"A": 1, "B": 0.5, "M": -0.5, "none": 0.5}
    assert classified(compare(left, ">=", right)).kind == "ratio"


def test_fractions_over_different_denominators_are_bootstrapped():
    form = classified(compare(op("+", div(F("A"), F("B")), div(F("A"), F("D"))), ">=", 1))
    assert form.kind == "bootstrap"
    assert len(form.guards) == 2


def test_a_denominator_cancels_and_stays_guarded():
    form = classified(compare(op("*", FAITHFULNESS, EFFECT), ">=", 1))
    assert form.kind == "affine"
    assert terms(form) == {"C": 1, "none": -1}
    assert len(form.guards) == 1


def test_absolute_values():
    gap = op("abs", sub(F("C"), F("M")))
    small, large = classified(compare(gap, "<=", 0.1)), classified(compare(gap, ">=", 0.1))
    assert (small.mode, len(small.tests), small.opposed) == ("all", 2, True)
    assert (large.mode, len(large.tests), large.opposed) == ("any", 2, True)
    scaled = classified(compare(gap, "<=", op("*", 0.1, EFFECT)))
    assert [g.positive for g in scaled.guards] == [True]
    over = classified(compare(sub(1, div(gap, EFFECT)), ">=", 0.9))
    assert (over.kind, over.mode, [g.positive for g in over.guards]) == ("ratio", "all", [True])


def test_extremes_are_all_or_any():
    assert classified(compare(op("max", F("A"), F("B")), "<=", 1)).mode == "all"
    assert classified(compare(op("max", F("A"), F("B")), ">=", 1)).mode == "any"
    assert classified(compare(op("min", F("A"), F("B")), ">=", 1)).mode == "all"
    assert len(classified(compare(op("+", *[op("abs", F(x)) for x in "AB"]), "<=", 1)).tests) == 4
    gap = sub(op("abs", F("A")), op("abs", F("B")))
    assert classified(compare(gap, "<=", 0)).kind == "bootstrap"


def test_products_are_bootstrapped():
    assert classified(compare(op("*", F("A"), F("B")), ">=", 1)).kind == "bootstrap"
    assert classified(compare(op("log", F("A")), ">=", 1)).kind == "bootstrap"


def test_the_mean_of_an_affine_expression_is_that_of_its_means():
    form = classified(compare(Aggregate("mean", sub(each("A"), each("B"))), ">=", 0))
    assert terms(form) == {"A": 1, "B": -1}


def test_statistics_over_prompts():
    assert classified(compare(share(each("A"), ">", 0), ">=", 0.9)).kind == "share"
    median = Aggregate("median", div(each("A"), each("M")))
    assert classified(compare(median, ">=", 0.8)).kind == "quantile"
    assert classified(compare(sub(median, F("A")), ">=", 0)).kind == "bootstrap"
    measured = share(each("A"), "<=", op("*", 0.1, EFFECT))
    assert classified(compare(measured, ">=", 0.9)).measured_condition


def test_a_share_of_a_condition_is_not_multiplied():
    product = op("*", share(each("A"), ">", 0), F("B"))
    assert isinstance(classify(compare(product, ">=", 0)), Unsupported)


def test_constants_are_decided_exactly():
    assert classified(compare(op("+", 300, 26), "<=", 700)).kind == "constant"
    assert classified(compare(26, "==", 26)).kind == "constant"


@pytest.mark.parametrize(
    ("comparison", "said"),
    [
        (compare(F("C"), "==", 1), "interval"),
        (compare(F("C"), "!=", F("M")), "interval"),
        (compare(each("C"), ">=", 1), "outside"),
        (compare(div(F("C"), 0), ">=", 1), "divides by 0"),
        (compare(Aggregate("mean", share(each("A"), ">", 0)), ">", 0), "inside another"),
        (compare(Aggregate("quantile", each("A"), 1.0), ">", 0), "level"),
        (compare(Aggregate("mean", sub(each("A"), each("A", "gt"))), ">", 0), "one data set"),
        (compare(Aggregate("mode", each("A")), ">", 0), "no statistic"),
        (compare(op("*", F("A"), F("A", Rows("template", "t1"))), ">", 0), "different rows"),
        (compare(div(F("A"), op("*", F("B"), F("D"))), ">", 0), "sign cannot be tested"),
    ],
)
def test_what_is_refused_and_why(comparison, said):
    (found,) = unsupported(forall(comparison, comparison))
    assert said in f"{found.reason} {found.help}"


def test_only_means_generalise_over_templates():
    formula = within(Aggregate("median", each("A")), 0, 1)
    assert unsupported(formula) == ()
    assert "over templates" in unsupported(formula, "templates")[0].reason


def test_a_difference_of_two_effects_needs_no_positive_scale():
    form = classified(compare(sub(F("A"), F("B")), ">=", sub(F("D"), F("none"))))
    assert form.guards == ()


def test_runs_are_told_apart_in_contrasts():
    assert Mean(Measurement(run("A"), F("A").measurement.metric)) == F("A")
    assert run("C-e1") != run("C-e2")
