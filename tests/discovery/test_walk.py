"""The walk from the logits backwards: its numbers are claims' numbers, its edges a breadth-first search's."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitlang import pipeline
from circuitlang.discovery.experiment import Experiment
from circuitlang.discovery.path import walk
from circuitlang.front import Options, Silent, fetched_front
from circuitlang.language.graph.architecture import INPUT, LOGITS
from circuitlang.language.graph.edges import uniform
from circuitlang.language.spec import Mean, Operation
from tests.discovery.tiny import OneByOne, opened


def breadth_first(one: Experiment, share: float, max_depth: int = 99) -> dict[str, float]:
    """Edges by name with their effects, by the reference executor, one after the other."""
    slow, graph = OneByOne(one), one.graph
    whole = slow.score(graph.everything)
    least = share * abs(whole - slow.score(0))
    found: dict[str, float] = {}
    frontier, reached = {LOGITS}, {LOGITS, INPUT}
    for _ in range(max_depth):
        senders = set()
        for number, edge in enumerate(graph.edges(graph.everything)):
            if edge.receiver.node in frontier:
                effect = whole - slow.score(graph.everything & ~(1 << number))
                if abs(effect) >= least:
                    found[str(edge)] = effect
                    senders.add(edge.sender)
        frontier = senders - reached
        reached |= frontier
    return found


@pytest.mark.parametrize("share", [0.02, 0.2])
def test_it_finds_what_one_run_at_a_time_finds(either: Experiment, share: float) -> None:
    found = walk(either, share)
    assert found is not None
    expected = breadth_first(either, share)
    assert 0 < len(expected) < either.graph.size
    names = [str(one.edge) for one in found.kept]
    assert set(names) == expected.keys()
    assert len(names) == len(expected)
    assert {str(one.edge): one.effect for one in found.kept} == pytest.approx(expected, abs=1e-4)
    assert found.left == ()


def test_depth_ends_it(tiny: Experiment) -> None:
    found = walk(tiny, 0.02, max_depth=1)
    assert found is not None
    assert {str(one.edge) for one in found.kept} == breadth_first(tiny, 0.02, 1).keys()
    assert {one.depth for one in found.kept} == {1}
    assert set(found.left) == {one.edge.sender for one in found.kept} - {INPUT}


def test_the_budget_is_spent_on_the_largest_effects(tiny: Experiment) -> None:
    whole, logits = walk(tiny, 0.02), tiny.graph.counts[-1]
    assert whole is not None
    some = walk(tiny, 0.02, budget=logits + 40)
    assert some is not None
    assert logits < len(some.seen) <= logits + 40
    first = next(one.edge.sender for one in whole.kept if one.edge.sender != INPUT)
    looked = {one.receiver.node for one in map(tiny.graph.edge, some.seen)}
    assert first in looked
    assert some.left
    assert not set(some.left) & looked
    none = walk(tiny, 0.02, budget=logits - 1)
    assert none is not None
    assert (none.kept, none.left) == ((), (LOGITS,))


def test_steps_and_sizes_are_in_order(tiny: Experiment) -> None:
    found = walk(tiny, 0.02)
    assert found is not None
    keys = [(one.depth, -abs(one.effect)) for one in found.kept]
    assert keys == sorted(keys)


def test_a_number_is_one_that_a_spec_can_claim(tiny: Experiment, tiny_spec: Path) -> None:
    """`drop(M, s -> r)` is the same run, and `path_effect(s, r, through = none)` the same number."""
    found = walk(tiny, 0.02)
    assert found is not None
    for one in [e for e in found.kept if e.edge.receiver.port][:2] + list(found.kept[:2]):
        sender = one.edge.sender
        port = one.edge.receiver.port
        receiver = f"{one.edge.receiver.node}" + (f".{port}" if port else "")
        front = fetched_front(
            tiny_spec, Options(stored=False), Silent(), f"drop(M, {sender} -> {receiver})"
        )
        number = front.asked[0][0]
        assert isinstance(number, Operation)
        _, patched = number.operands
        assert isinstance(patched, Mean)
        edge = tiny.graph.mask([one.edge])
        assert patched.measurement.run == tiny.without(uniform(edge))
        text = f"path_effect({sender}, {receiver}, through = none)"
        outcome = pipeline.evaluate(tiny_spec, text, Options(stored=False), Silent())
        [[(_, [estimate])]] = [outcome.estimates]
        assert estimate.value == pytest.approx(one.effect, abs=1e-4)


def test_nothing_found_is_said(tiny_spec: Path) -> None:
    with opened(tiny_spec) as one:
        found = walk(one, 1000.0)
        assert found is not None
        assert found.mask == 0
        assert [d.code for d in one.front.found] == ["CL781"]
