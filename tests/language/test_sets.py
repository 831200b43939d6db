"""What node and edge expressions denote: language.md's rulings on sets and positions."""

from __future__ import annotations

import pytest

from circuitlang.language.graph.architecture import architecture
from circuitlang.language.graph.edges import Layout
from tests.language.resolving import edges, resolved, run, value

SIX = Layout(6, (("A1", 1, 2), ("A2", 4, 5), ("X", 3, 4)))


def at(expression: str, extra: str = "", layout: Layout = SIX) -> dict[int, set[str]]:
    """Position -> edges there."""
    found = run(expression, extra)
    graph = architecture(found.model.shape)
    return {
        position: {str(e) for e in graph.edges(row)}
        for position, row in enumerate(found.live.rows(layout))
        if row
    }


@pytest.mark.parametrize(
    ("written", "listed"),
    [
        ("a0.h[0..2] -> logits", "[a0.h0, a0.h1, a0.h2] -> logits"),
        ("a0.h[*] -> logits", "a0.h[0..3] -> logits"),
        ("a[0,1].h0 -> logits", "[a0.h0, a1.h0] -> logits"),
        ("m[*] -> logits", "mlps -> logits"),
        ("heads -> logits", "a[*].h[*] -> logits"),
        ("early -> logits", "a0.h[0,1] -> logits"),
        ("[early, m0] -> logits", "[a0.h0, a0.h1, m0] -> logits"),
        ("early + m0", "[early, m0]"),
        ("early - a0.h1", "a0.h0"),
        ("early & [a0.h1, a2.h2]", "a0.h1"),
        ("m1", "m1 -> any"),
        ("input -> a1.h0.kv", "[input] -> [a1.h0.k, a1.h0.v]"),
        ("input -> early.q", "input -> [a0.h0.q, a0.h1.q]"),
        ("M - (M - m0)", "m0"),
        ("M & m0", "m0"),
        ("none + m0", "m0"),
    ],
)
def test_two_ways_to_write_a_set(written, listed):
    assert edges(written) == edges(listed)


def test_a_placed_node_is_taken_out_of_a_list_as_it_stands_there():
    two = "let two = a0.h2 @ [A2, END] + a1.h0 @ END\n"
    assert value("size(two)", two).value == 3
    assert value("size(two - (a0.h2 @ A2))", two).value == 2
    assert value("size(two - a0.h2)", two).value == 1
    # X may be the last token of some prompt: only edges can tell, and these are counted.
    assert value("size(two - (a0.h2 @ X))", two).value > 50


def test_a_product_has_every_port_and_drops_what_cannot_be():
    assert edges("input -> a0.h0") == {"input->a0.h0<q>", "input->a0.h0<k>", "input->a0.h0<v>"}
    assert edges("m1 -> any") == {e for e in edges("M") if e.startswith("m1->")}
    assert edges("any -> a1.h0.q") == {e for e in edges("M") if e.endswith("->a1.h0<q>")}


def test_the_complement_and_the_whole():
    whole = edges("M")
    assert len(whole) == architecture(run("M").model.shape).size
    assert edges("M - early") == {e for e in whole if not e.startswith(("a0.h0->", "a0.h1->"))}
    assert edges("none") == set()


def test_a_head_at_a_place_reads_its_query_there_and_keys_anywhere():
    """E3: where the reader reads."""
    found = at("input -> a0.h0 @ A2")
    assert found[4] == {"input->a0.h0<q>", "input->a0.h0<k>", "input->a0.h0<v>"}
    assert found[0] == {"input->a0.h0<k>", "input->a0.h0<v>"}


def test_a_port_at_a_place_reads_there():
    assert at("input -> a0.h0.k @ A2") == {4: {"input->a0.h0<k>"}}


def test_a_sender_at_a_place_writes_there():
    assert at("a0.h0 @ END -> logits") == {5: {"a0.h0->logits"}}
    assert set(at("a0.h0 @ [A1 + 1, A2]")) == {2, 4}


def test_edges_at_a_place():
    assert at("(a0.h0 -> logits) @ A1") == {1: {"a0.h0->logits"}}


def test_positions_that_coincide_are_one():
    layout = Layout(6, (("A1", 4, 5), ("A2", 4, 5), ("X", 3, 4)))
    assert at("a0.h0 @ A1 - a0.h0 @ A2", layout=layout) == {}
    assert at("a0.h0 @ A1 - a0.h0 @ A2") != {}


CIRCUIT = """
circuit c {
  input -> early.v
  early @ A2 -> late
  late @ END -> logits
}
"""


def test_nodes_stand_where_the_circuit_has_them():
    """E4: knocking them out leaves the same heads elsewhere alone."""
    found = [label for label, _, _ in value("[size(n) for n in nodes(c)]", CIRCUIT)]
    assert found == ["a0.h0 @ A2", "a0.h1 @ A2", "a1.h0 @ END", "m1 @ END"]
    after = at("M - nodes(c)", CIRCUIT)
    assert "a0.h0->logits" not in after[4]
    assert "a0.h0->logits" in after[3]


def test_groups_are_met_with_the_circuit():
    found = [label for label, _, _ in value("[F(c - g) for g in groups(c)]", CIRCUIT)]
    assert found == ["early @ A2", "late @ END"]
    assert 3 in at("M - nodes(c & early)", CIRCUIT)


def test_arrows_are_the_written_lines():
    found = [label for label, _, _ in value("[F(M - a) for a in arrows(c)]", CIRCUIT)]
    assert found == ["input -> early.v", "early @ A2 -> late", "late @ END -> logits"]


def test_an_edge_at_two_places_is_two_edges():
    extra = "circuit two { early @ [A1, A2] -> logits }"
    found = [label for label, _, _ in value("[F(M - e) for e in edges(two)]", extra)]
    assert found == [f"a0.h{h}->logits @ {p}" for p in ("A1", "A2") for h in (0, 1)]


def test_a_live_line_is_what_leaves_its_nodes():
    extra = "circuit l { live [early, m0] @ A2 }"
    assert at("l", extra) == at("[early, m0] @ A2")


def test_free_nodes_are_never_ablated():
    """E2: F(S) means F(S + what leaves free nodes), none included."""
    free = value("F(none free [input, mlps])").measurement.run
    assert free.live == run("input + mlps").live
    assert [str(n) for n, _, _ in value("[size(n) for n in nodes(c free late)]", CIRCUIT)] == [
        "a0.h0 @ A2",
        "a0.h1 @ A2",
    ]


def test_a_run_of_everything_has_no_ablation():
    assert run("M").ablation is None
    assert run("M - m0").ablation.kind == "resample"


def test_no_edge_of_a_difference_is_said():
    _, diagnostics = resolved("circuit c { input -> logits }\nclaim x: F(c - m0) >= 1")
    assert [d.code for d in diagnostics.found if d.code == "CL309"] == ["CL309"]
