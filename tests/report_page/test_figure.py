"""Where a figure puts things, whatever the model and the circuit."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitlang.language.graph.architecture import Node, Shape, architecture
from circuitlang.language.graph.edges import Place, Position, uniform
from circuitlang.report.page.axis import axis
from circuitlang.report.page.figure import MOST_EDGES, figure
from circuitlang.report.page.layout import HEIGHT, Curve, Placed, curve

SMOLLM2 = Shape(30, 9, 3, 576, 64, 1536, 49152, family="llama")
GROUPS = {"movers": ("a23.h0", "a23.h1.q"), "early": ("a5.h6 @ END", "m0"), "again": ("a23.h0",)}
quiet = settings(derandomize=True, deadline=None, database=None, max_examples=60)


@st.composite
def circuits(draw: st.DrawFn) -> tuple[Shape, int]:
    shape = Shape(
        draw(st.integers(1, 6)), draw(st.integers(1, 5)), 1, 8, 8, 8, 8,
        parallel=draw(st.booleans()), mlps=draw(st.booleans()),
    )  # fmt: skip
    size = architecture(shape).size
    chosen = draw(st.sets(st.integers(0, size - 1), max_size=40))
    return shape, sum(1 << edge for edge in chosen)


@quiet
@given(circuits())
def test_edges_run_upwards_between_nodes_that_do_not_touch(circuit: tuple[Shape, int]) -> None:
    shape, mask = circuit
    drawn = figure("c", uniform(mask), shape, {})
    assert [edge.name for edge in drawn.edges] == list(map(str, architecture(shape).edges(mask)))
    assert drawn.edges_in(mask) == tuple(range(len(drawn.edges)))
    assert drawn.edges_in(architecture(shape).everything & ~mask) == ()
    at = {node.name: node.place for node in drawn.nodes}
    for edge in drawn.edges:
        sender, receiver = at[edge.sender], at[edge.receiver]
        assert edge.curve.start == (sender.x, sender.y - HEIGHT / 2)
        assert edge.curve.end[1] == receiver.y + HEIGHT / 2
        assert edge.curve.start[1] > edge.curve.end[1]
        assert abs(edge.curve.end[0] - receiver.x) < receiver.width / 2
    places = list(at.values())
    for i, one in enumerate(places):
        for other in places[:i]:
            beside = abs(one.x - other.x) >= (one.width + other.width) / 2
            assert beside or abs(one.y - other.y) >= HEIGHT
    left, top, width, height = drawn.box
    for p in places:
        assert left < p.x - p.width / 2 < p.x + p.width / 2 < left + width
        assert top < p.y < top + height


@quiet
@given(*[st.tuples(st.floats(-500, 500), st.floats(-500, 500))] * 2)
def test_control_points_are_given_as_cytoscape_wants_them(
    first: tuple[float, float], second: tuple[float, float]
) -> None:
    way = Curve((10, 300), first, second, (200, -40))
    dx, dy = 190.0, -340.0
    length = math.hypot(dx, dy)
    for point, along, beside in zip((first, second), way.weights, way.distances, strict=True):
        x = 10 + along * dx - beside * dy / length
        y = 300 + along * dy + beside * dx / length
        assert (x, y) == pytest.approx(point, abs=1e-6)


def test_ports_enter_beside_one_another() -> None:
    sender, receiver = Placed(0, 200, 60), Placed(100, 0, 60)
    ends = [curve(sender, receiver, port, 0).end[0] for port in ("q", "k", "v", "mlp")]
    assert ends == [82, 100, 118, 100]


def test_an_edge_goes_round_what_is_between() -> None:
    straight = curve(Placed(0, 84, 60), Placed(0, 0, 60), "k", 0)
    around = curve(Placed(0, 400, 60), Placed(0, 0, 60), "k", 0)
    assert straight.middle[0] == 0
    assert abs(around.middle[0]) > 30


def test_the_first_group_of_a_node_colours_it() -> None:
    graph = architecture(SMOLLM2)
    mask = graph.leaving(Node("head", 23, 0)) | graph.leaving(Node("head", 5, 6))
    drawn = figure("c", uniform(mask), SMOLLM2, GROUPS)
    groups = {node.name: node.group for node in drawn.nodes if node.group}
    assert groups["a23.h0"] == "movers"
    assert groups["a5.h6"] == "early"
    assert [group.name for group in drawn.groups] == ["movers", "early"]


def test_places_are_those_of_each_edge() -> None:
    graph = architecture(SMOLLM2)
    at = Place((Position("S1"), Position("END")))
    drawn = figure("c", uniform(0b110).at(at) | uniform(0b10), SMOLLM2, {})
    assert [edge.places for edge in drawn.edges] == [(), ("END", "S1")] or [
        edge.places for edge in drawn.edges
    ] == [(), ("S1", "END")]
    assert [edge.name for edge in drawn.edges] == list(map(str, graph.edges(0b110)))


def test_a_whole_model_is_drawn_as_a_summary() -> None:
    graph = architecture(SMOLLM2)
    drawn = figure("everything", uniform(graph.everything), SMOLLM2, GROUPS)
    assert drawn.size == 123_211
    assert drawn.note.startswith("This set has 123,211 edges. They are drawn together")
    assert len(drawn.edges) <= MOST_EDGES
    assert sum(edge.size for edge in drawn.edges) == graph.size
    assert len(drawn.edges_in(graph.everything)) == len(drawn.edges)
    told = drawn.edges_in(graph.leaving(Node("head", 23, 0)))
    assert {drawn.edges[i].sender for i in told} == {"movers 23"}
    named = {node.name: node for node in drawn.nodes}
    assert named["a0 others"].nodes == tuple(Node("head", 0, h) for h in range(9))
    assert named["movers 23"].nodes == (Node("head", 23, 0), Node("head", 23, 1))
    assert named["early m0"].nodes == (Node("mlp", 0),)
    for edge in drawn.edges:
        assert edge.curve.start[1] > edge.curve.end[1]


def test_a_summary_too_large_has_no_edges() -> None:
    deep = Shape(64, 4, 4, 64, 8, 8, 8)
    drawn = figure("everything", uniform(architecture(deep).everything), deep, {})
    assert drawn.edges == ()
    assert len(drawn.nodes) == 130
    assert "too many to draw" in drawn.note


@pytest.mark.parametrize("number", [MOST_EDGES, MOST_EDGES + 1])
def test_the_border_between_edges_and_a_summary(number: int) -> None:
    drawn = figure("c", uniform((1 << number) - 1), SMOLLM2, {})
    assert (drawn.note == "") == (number == MOST_EDGES)


@quiet
@given(st.lists(st.floats(allow_nan=False) | st.none(), max_size=6))
def test_an_axis_has_every_number_and_few_ticks(values: list[float | None]) -> None:
    where = axis(values, 0, 100)
    finite = [v for v in values if v is not None and math.isfinite(v)]
    assert all(0 <= where(v) <= 100 for v in finite)
    assert len(where.ticks) <= 6
    assert list(map(where, sorted(finite))) == sorted(map(where, finite))
