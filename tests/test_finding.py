"""What finds circuits, on models of which the circuit is known (`python -m truth.finding`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from circuitlang.discovery.attribution import METHODS, attributed
from circuitlang.discovery.experiment import Context, experiment
from circuitlang.front import Options, Silent
from circuitlang.language.graph.architecture import parse_edge
from truth.exact import Exact, one_edge
from truth.finding import VISIBLE, WAYS, Known, Miss, missed, recovered, settled
from truth.subjects import SUBJECTS

BY_NAME = {subject.name: subject for subject in SUBJECTS}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads cost tiny models more than they give."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@contextmanager
def opened(name: str, samples: int = 64) -> Iterator[Known]:
    options = Options(samples=samples, stored=False)
    with experiment(BY_NAME[name].spec, options, Context(), Silent()) as (_, one):
        assert one is not None
        yield Known(one, BY_NAME[name])


def number(known: Known, name: str) -> int:
    edge = parse_edge(name)
    assert edge is not None
    found = known.graph.edge_number(edge)
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["tracr_fraction", "tracr_balance", "tracr_previous"])
def test_where_edges_work_in_series_every_way_finds_them_all(name: str) -> None:
    rows, misses = recovered(BY_NAME[name], 64, list(WAYS))
    assert [row.way for row in rows] == list(WAYS)
    assert {row.usual for row in rows} == {(1.0, 1.0, 1.0)}
    assert misses == {}


def test_ablating_one_arm_of_an_or_shows_nothing_and_restoring_it_does() -> None:
    """By the slow reference executor, which none of the ways uses."""
    exact = Exact(BY_NAME["gates"])
    arms = [one_edge("a0.h2->m0"), one_edge("a0.h3->m0")]
    whole, floor = (exact.score(edges).mean() for edges in (exact.everything, exact.nothing))
    effect = whole - floor
    neither = exact.everything - arms[0] - arms[1]
    for arm in arms:
        noised = (whole - exact.score(exact.everything - arm).mean()) / effect
        restored = (exact.score(neither + arm).mean() - exact.score(neither).mean()) / effect
        assert abs(noised) < 1e-4
        assert restored > 0.2


KINDS = {
    "a0.h2->m0": "or",
    "input->a0.h3<v>": "or",
    "m1->logits": "backup",
    "a0.h4->m1": "backup",
    "input->a0.h4<v>": "backup",
    "input->a1.h0<v>": "cancels",
}


def test_hidden_edges_of_the_gates_are_hidden_for_the_planted_reason() -> None:
    with opened("gates") as known:
        for name, kind in KINDS.items():
            miss = missed(known, number(known, name), "walk")
            assert miss.kind == kind, name
            assert abs(miss.alone) < 1e-3
            assert abs(miss.then) > 0.2


def test_a_way_that_misses_what_is_visible_has_a_reason_of_its_own() -> None:
    with opened("gates") as known:
        negative = number(known, "a1.h1->logits")
        assert missed(known, negative, "acdc, signed").kind == "negative"
        assert missed(known, negative, "acdc, kl").kind == "saturated"
        assert missed(known, negative, "acdc, absolute").kind == "order"
        assert missed(known, negative, "eap").kind == "underrated"
        assert missed(known, negative, "walk").kind == "unreached"
        assert missed(known, negative, "walk").alone < -VISIBLE


def test_gradients_where_attention_is_saturated_are_nothing() -> None:
    with opened("toy") as known:
        query, arm = number(known, "a0.h2->a1.h0<q>"), number(known, "input->a0.h1<v>")
        at_clean, between = (
            attributed(known.experiment, method).values / known.effect for method in METHODS
        )
        assert known.exact.values[query] / known.effect > 0.99
        assert abs(at_clean[query]) < 1e-3 < between[query]
        assert abs(known.exact.values[arm] / known.effect) < 1e-3
        assert abs(at_clean[arm]) < 1e-3 < between[arm]


def test_what_the_corruption_does_not_change_is_idle() -> None:
    with opened("tracr_induction") as known:
        edge = number(known, "m0->a1.h0<q>")
        idle = missed(known, edge, "walk")
        assert idle.kind == "idle"
        assert settled(known, {idle: ["walk"]}) == {idle: ["walk"]}


def test_idle_edges_that_matter_together_are_not_idle() -> None:
    with opened("gates") as known:
        arms = [known.graph.edge(number(known, name)) for name in ("a0.h2->m0", "a0.h3->m0")]
        said = settled(known, {Miss(arm, "idle", 0.0): ["walk"] for arm in arms})
        assert [miss.kind for miss in said] == ["several", "several"]


def test_accuracy_is_counted_on_edges() -> None:
    with opened("tracr_fraction") as known:
        other = 1 << number(known, "input->logits")
        first = 1 << number(known, "input->m0")
        assert known.accuracy(first | other) == pytest.approx((1 / 2, 1 / 3, 2 / 5))
        assert known.accuracy(0) == (0.0, 0.0, 0.0)
        assert known.accuracy(known.planted) == (1.0, 1.0, 1.0)
