"""Pruning takes away what nothing flows over, and F stays what it is."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from circuitlang.discovery.experiment import Context, Experiment
from circuitlang.discovery.pruning import pruned, watched
from circuitlang.language.graph.architecture import INPUT, LOGITS, Edge, Node, Receiver
from circuitlang.language.graph.edges import uniform
from tests.discovery.tiny import opened, value

SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def random_mask(one: Experiment, seed: int) -> int:
    """Sparse enough that most have dead edges."""
    draw = np.random.default_rng(seed)
    share = draw.choice([0.05, 0.1, 0.2, 0.5])
    chosen = np.flatnonzero(draw.random(one.graph.size) < share).tolist()
    return sum(1 << number for number in chosen) & one.candidates


def reachable(edges: list[Edge], starts: set[Node], backwards: bool) -> set[Node]:
    """All nodes on paths from `starts`, edge by edge."""
    found, queue = set(starts), deque(starts)
    while queue:
        node = queue.popleft()
        for edge in edges:
            ends = (edge.receiver.node, edge.sender)
            here, there = ends if backwards else ends[::-1]
            if here == node and there not in found:
                found.add(there)
                queue.append(there)
    return found


@FEW
@given(seed=SEEDS)
def test_what_is_pruned_is_a_part_and_nothing_more_can_be(either: Experiment, seed: int) -> None:
    mask = random_mask(either, seed)
    kept = pruned(either, mask)
    assert kept & mask == kept
    assert pruned(either, kept) == kept


@FEW
@given(seed=SEEDS)
def test_what_is_kept_lies_on_paths(either: Experiment, seed: int) -> None:
    mask = random_mask(either, seed)
    edges = list(either.graph.edges(mask))
    ends = reachable(edges, {LOGITS}, backwards=True)
    kept = [edge for edge in edges if edge.receiver.node in ends]
    if either.floor.ablation.kind == "resample":
        starts = reachable(edges, {INPUT}, backwards=False)
        kept = [edge for edge in kept if edge.sender in starts]
    assert list(either.graph.edges(pruned(either, mask))) == kept


@FEW
@given(seed=SEEDS)
def test_pruning_changes_no_number(either: Experiment, seed: int) -> None:
    mask = random_mask(either, seed)
    before, after = (either.run(uniform(m)) for m in (mask, pruned(either, mask)))
    assert abs(value(either, before) - value(either, after)) <= 1e-4


def test_under_zeros_a_node_without_input_still_says_something(tiny_spec: Path) -> None:
    with opened(tiny_spec, Context(under="nothing")) as one:
        edge = one.graph.mask([Edge(Node("mlp", 0), one.graph.receivers[-1])])
        assert pruned(one, edge) == edge
        assert abs(value(one, one.run(uniform(edge))) - value(one, one.floor)) > 1e-3


def test_what_a_metric_looks_at_is_kept(tiny_spec: Path) -> None:
    with opened(tiny_spec, Context(by="looks")) as one:
        head = Node("head", 1, 2)
        assert watched(one, one.metric) == {head}
        into = sum(one.graph.entering(r) for r in one.graph.receivers_of(head))
        from_input = into & one.graph.leaving(INPUT)
        assert pruned(one, from_input) == from_input
        assert abs(value(one, one.run(uniform(from_input))) - value(one, one.floor)) > 1e-3


def test_free_nodes_are_part_of_every_path(tiny_spec: Path) -> None:
    with opened(tiny_spec, Context(free="a0.h1")) as one:
        reads = one.graph.mask([Edge(INPUT, Receiver(Node("head", 0, 1), "v"))])
        assert pruned(one, reads) == reads
        assert abs(value(one, one.run(uniform(reads))) - value(one, one.floor)) > 1e-4
        other = one.graph.mask([Edge(INPUT, Receiver(Node("head", 0, 2), "v"))])
        assert pruned(one, other) == 0
