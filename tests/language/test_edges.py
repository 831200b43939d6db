"""Edges of an architecture, edge sets with positions, dead edges: against brute force."""

from __future__ import annotations

import random

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitlang.language.graph import sets
from circuitlang.language.graph.architecture import (
    Architecture,
    Edge,
    Node,
    Receiver,
    Shape,
    architecture,
)
from circuitlang.language.graph.edges import (
    NOTHING,
    EdgeSet,
    Layout,
    Place,
    Position,
    UnresolvedPosition,
    uniform,
)
from circuitlang.language.models.known import KNOWN, SMOLLM2_SHAPE

SMALL = Shape(2, 2, 2, 8, 4, 16, 50)


def test_known_sizes():
    assert architecture(KNOWN["gpt2"]).size == 32_491
    assert architecture(SMOLLM2_SHAPE).size == 123_211


@pytest.mark.parametrize("parallel", [False, True])
def test_attention_and_mlp_of_a_layer(parallel):
    graph = architecture(Shape(2, 2, 2, 8, 4, 16, 50, parallel=parallel))
    same_layer = Edge(Node("head", 1, 0), Receiver(Node("mlp", 1)))
    assert (graph.edge_number(same_layer) is None) == parallel
    assert graph.edge_number(Edge(Node("head", 0, 0), Receiver(Node("mlp", 1)))) is not None
    assert graph.size == sum(graph.counts)


def test_numbers_and_edges_are_one_to_one():
    graph = architecture(SMALL)
    edges = [graph.edge(number) for number in range(graph.size)]
    assert len(set(edges)) == graph.size
    assert [graph.edge_number(e) for e in edges] == list(range(graph.size))


def _paths(graph: Architecture, mask: int) -> networkx.DiGraph:
    net = networkx.DiGraph()
    net.add_nodes_from(graph.nodes)
    net.add_edges_from((e.sender, e.receiver.node) for e in graph.edges(mask))
    return net


@pytest.mark.parametrize("seed", range(60))
def test_dead_edges_by_brute_force(seed):
    """An edge is dead when no path leads from it to logits, unfed when none from input leads to it."""
    chance = random.Random(seed)
    graph = architecture(
        Shape(chance.randint(1, 3), chance.randint(1, 3), 1, 8, 4, 16, 50,
              parallel=chance.random() < 0.3, mlps=chance.random() < 0.8)
    )  # fmt: skip
    density = chance.choice([0.05, 0.1, 0.3])
    mask = sum(1 << n for n in range(graph.size) if chance.random() < density)
    net = _paths(graph, mask)
    to_logits = networkx.ancestors(net, Node("logits")) | {Node("logits")}
    from_input = networkx.descendants(net, Node("input")) | {Node("input")}
    edges = list(graph.edges(mask))
    alive = set(graph.edges(sets.reaching_logits(mask, graph)))
    fed = set(graph.edges(sets.reached_from_input(mask, graph)))
    assert alive == {e for e in edges if e.receiver.node in to_logits}
    assert fed == {e for e in edges if e.sender in from_input}


# ---------------------------------------------------------------- sets of (position, edge)

LABELS = ("S1", "S2", "IO")
positions = st.builds(
    Position,
    st.sampled_from([*LABELS, "END"]),
    st.sampled_from(["span", "first", "last"]),
    st.integers(-1, 1),
)
places = st.builds(Place, st.lists(positions, min_size=1, max_size=2).map(tuple))
masks = st.integers(0, 2**6 - 1).map(uniform)


def _grow(inner):
    pairs = st.tuples(inner, inner)
    return st.one_of(
        pairs.map(lambda p: p[0] | p[1]),
        pairs.map(lambda p: p[0] - p[1]),
        pairs.map(lambda p: p[0] & p[1]),
        st.tuples(inner, places).map(lambda p: p[0].at(p[1])),
    )


edge_sets = st.recursive(masks, _grow, max_leaves=8)
layouts = st.integers(2, 7).flatmap(
    lambda length: st.tuples(*[st.integers(0, length - 1) for _ in LABELS]).map(
        lambda starts: Layout(
            length,
            tuple(
                (label, s, min(length, s + 1 + s % 2))
                for label, s in zip(LABELS, starts, strict=True)
            ),
        )
    )
)


def _meaning(edges: EdgeSet, layout: Layout) -> set[tuple[int, int]]:
    """The same set as Python sets of (position, edge)."""
    everywhere = range(layout.length)
    if edges.operation == "uniform":
        return {(p, e) for p in everywhere for e in range(6) if edges.mask >> e & 1}
    left = _meaning(edges.left, layout)
    if edges.operation == "at":
        kept = edges.place.tokens(layout)
        return {(p, e) for p, e in left if p in kept}
    right = _meaning(edges.right, layout)
    return {"or": left | right, "sub": left - right, "and": left & right}[edges.operation]


@settings(max_examples=150, derandomize=True, deadline=None)
@given(edge_sets, edge_sets, layouts)
def test_algebra_is_that_of_sets(a, b, layout):
    try:
        x, y = _meaning(a, layout), _meaning(b, layout)
    except UnresolvedPosition:
        return
    for result, wanted in ((a | b, x | y), (a - b, x - y), (a & b, x & y)):
        rows = result.rows(layout)
        found = {(p, e) for p, row in enumerate(rows) for e in range(6) if row >> e & 1}
        assert found == wanted
        assert all(result.reach >> e & 1 for _, e in wanted)


def test_laws():
    a = uniform(0b101)
    s1 = Place((Position("S1"),))
    assert (a | NOTHING, a & NOTHING, a - NOTHING, a - a) == (a, NOTHING, a, NOTHING)
    assert NOTHING.at(s1) == NOTHING
    assert a.at(s1) - a.at(s1) == NOTHING


@pytest.mark.parametrize(
    ("position", "tokens"),
    [
        (Position("END"), (6,)),
        (Position("S1"), (1, 2)),
        (Position("S1", "first"), (1,)),
        (Position("S1", "last", 1), (3,)),
        (Position("S2", shift=1), (6,)),
        (Position("S1", shift=1), None),
        (Position("END", shift=1), None),
        (Position("nobody"), None),
    ],
)
def test_positions(position, tokens):
    layout = Layout(7, (("S1", 1, 3), ("S2", 5, 6)))
    if tokens is None:
        with pytest.raises(UnresolvedPosition):
            position.tokens(layout)
    else:
        assert position.tokens(layout) == tokens
