"""What is drawn of a domain: the same everywhere, from the right distribution, and never more than is meant."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from resolving import BASE, resolved
from scipy import stats

from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.formulas import drawn
from circuitlang.language.formulas.drawn import Circuits, Listed, NothingToDraw, Paths, Subsets
from circuitlang.language.graph import sets
from circuitlang.language.graph.architecture import INPUT, LOGITS, architecture, bits
from circuitlang.language.graph.edges import uniform
from circuitlang.language.resolve import resolve
from circuitlang.language.source import Source
from circuitlang.language.spec import MemberShare, Quantified

CIRCUIT = """
circuit small {
  input -> m0
  m0 -> a1.h0.v
  a1.h0 -> logits
  input -> early.v
  early -> a1.h0.k
}
"""


def claim(text: str, extra: str = "", seed: int | None = None) -> Quantified:
    source = Source("t.circ", f"{BASE}{CIRCUIT}{extra}\nclaim c: {text}\n", Path())
    diagnostics = Diagnostics()
    found = resolve(source, diagnostics, seed=seed)
    assert [d.message for d in diagnostics.found if d.severity == "error"] == []
    assert found is not None
    (only,) = found.spec.claims
    return only.formula


def labels(formula: Any) -> list[str]:
    return [label for label, _ in formula.members]


def shape() -> Any:
    spec, _ = resolved()
    return next(iter(spec.spec.models.values())).shape


def parts(count: int) -> tuple[tuple[Any, str], ...]:
    from circuitlang.language.graph.sets import node_literal

    graph = architecture(shape())
    names = [f"a{layer}.h{head}" for layer in range(3) for head in range(4)][:count]
    return tuple((node_literal(name, graph), name) for name in names)


# ---------------------------------------------------------------- domains


def test_each_part_is_in_half_of_the_subsets_and_none_is_drawn_twice():
    members = Subsets("subsets(D)", parts(12)).members(1_000, 0)
    assert len({frozenset(value.members) for value, _ in members}) == 1_000
    counts = Counter(located for value, _ in members for located in value.members)
    assert len(counts) == 12
    assert all(abs(count - 500) < 60 for count in counts.values())
    assert abs(sum(counts.values()) / 12_000 - 0.5) < 0.02


def test_few_subsets_are_all_of_them_with_the_empty_one():
    domain = Subsets("subsets(D)", parts(3))
    members = domain.members(100, 0)
    assert sorted(label for _, label in members) == sorted([
        "none", "a0.h0", "a0.h1", "a0.h2", "a0.h0 + a0.h1", "a0.h0 + a0.h2", "a0.h1 + a0.h2",
        "a0.h0 + a0.h1 + a0.h2",
    ])  # fmt: skip
    assert (domain.is_all(8), domain.is_all(7)) == (True, False)
    assert len(domain.members(7, 0)) == 7


def test_a_large_subset_is_printed_short():
    label = Subsets("D", parts(12)).member((1 << 12) - 1)[1]
    assert label == "a0.h0 + a0.h1 + a0.h2 + a0.h3 + 8 more"


def test_a_smaller_draw_is_the_beginning_of_a_larger_one():
    for domain in (
        Subsets("D", parts(12)),
        Circuits("D", shape(), 9, "paths"),
        Paths("D", shape(), uniform(architecture(shape()).everything)),
        Listed("D", parts(12)),
    ):
        assert domain.members(10, 3) == domain.members(5, 3) + domain.members(10, 3)[5:]
        assert domain.members(10, 3) != domain.members(10, 4)


def test_random_circuits():
    graph = architecture(shape())
    for value, _ in Circuits("D", shape(), 30, "paths").members(50, 0):
        mask = value.set.mask
        assert mask.bit_count() >= 30
        alive = sets.reaching_logits(mask, graph) & sets.reached_from_input(mask, graph)
        assert alive == mask
    exact = [value.set.mask for value, _ in Circuits("D", shape(), 30, "edges").members(300, 0)]
    assert {mask.bit_count() for mask in exact} == {30}
    counts = Counter(edge for mask in exact for edge in bits(mask))
    assert len(counts) == graph.size
    assert stats.chisquare([counts[i] for i in range(graph.size)]).pvalue > 1e-4


def test_paths_that_cannot_make_so_many_edges(monkeypatch):
    monkeypatch.setattr(drawn, "MOST_PATHS", 20)
    with pytest.raises(NothingToDraw, match="random paths have"):
        Circuits("D", shape(), architecture(shape()).size, "paths").members(1, 0)


def test_a_path_goes_from_input_to_logits_and_each_way_on_is_as_likely():
    graph = architecture(shape())
    members = Paths("D", shape(), uniform(graph.everything)).members(3_000, 0)
    first: Counter[str] = Counter()
    for value, label in members:
        edges = sorted(graph.edges(value.set.mask), key=lambda e: graph.nodes.index(e.sender))
        assert edges[0].sender == INPUT
        assert edges[-1].receiver.node == LOGITS
        assert all(a.receiver.node == b.sender for a, b in pairwise(edges))
        assert label.startswith("input -> ")
        assert label.endswith(" -> logits")
        first[str(edges[0])] += 1
    ways = graph.leaving(INPUT).bit_count()
    assert len(first) == ways
    assert stats.chisquare(list(first.values())).pvalue > 1e-4


def test_paths_stay_inside_their_set_and_at_its_places():
    spec, _ = resolved("circuit placed { input @ A1 -> m0\n m0 -> logits }\n")
    placed = spec.spec.circuits["placed"]
    ((value, label),) = Paths("D", shape(), placed).members(1, 0)
    assert label == "input -> m0 -> logits"
    assert value.set.reach == placed.reach
    assert value.set.places == placed.places


# ---------------------------------------------------------------- in a spec


def test_members_do_not_depend_on_the_claim_the_variable_or_the_surroundings():
    one = claim("forall K in random(subsets(heads), 20): drop(M, K) >= 0")
    other = claim("most(50%) S in random(subsets(heads), 20): F(S under average) >= 1")
    outer = claim(
        "forall a in [patch, zero]: forall K in random(subsets(heads), 20): F(K under a) >= 0"
    )
    assert labels(one) == labels(other)
    for _, inner in outer.members:
        assert labels(inner) == labels(one)
    named = claim("forall K in some: drop(M, K) >= 0", "let some = random(subsets(heads), 20)")
    assert labels(named) == labels(one)


def test_the_seed_is_the_tasks_or_the_given_one():
    text = "forall K in random(subsets(heads), 20): drop(M, K) >= 0"
    assert claim(text) == claim(text, seed=0)
    assert labels(claim(text)) != labels(claim(text, seed=1))
    source = BASE.replace('  tokens foil = " rice"', '  tokens foil = " rice"\n  seed 1')
    spec, _ = resolved(f"claim c: {text}\n", source)
    assert labels(spec.spec.claims[0].formula) == labels(claim(text, seed=1))


@pytest.mark.parametrize(
    ("text", "extent", "count"),
    [
        ("forall K in random(subsets(heads), 20): drop(M, K) >= 0", "drawn", 20),
        ("forall K in random(subsets(nodes(small)), 16): drop(M, K) >= 0", "all", 16),
        ("forall K in subsets(nodes(small)): drop(M, K) >= 0", "all", 16),
        ("forall K in greedy(subsets(nodes(small))): drop(M, K) >= 0", "all", 16),
        ("forall e in random(edges(small), 3): drop(M, e) >= 0", "drawn", 3),
        ("forall e in random(edges(small), 300): drop(M, e) >= 0", "all", 7),
        ("forall e in search(edges(small)): drop(M, e) >= 0", "all", 7),
        ("forall K in [K + m0 for K in some]: drop(M, K) >= 0", "drawn", 9),
        ("forall K in random(some, 20): drop(M, K) >= 0", "drawn", 9),
        ("forall K in random(some, 4): drop(M, K) >= 0", "drawn", 4),
        ("forall K in some - [m0]: drop(M, K) >= 0", "drawn", 9),
        ("most(90%) e in edges(small): drop(M, e) >= 0", "all", 7),
        ("forall K in subsets(heads): drop(M, K) >= 0", "found", 0),
        ("exists K in search(subsets(heads), budget = 7): drop(M, K) >= 0", "found", 0),
        ("forall x in inputs(likes): F(M on x) >= 0", "prompts", 1),
        ("forall x in examples: F(M on x) >= 0", "all", 1),
    ],
)
def test_what_the_members_are_of_the_domain(text, extent, count):
    found = claim(text, "let some = random(circuits(9), 9)")
    assert (found.extent, len(found.members)) == (extent, count)
    assert (found.search is not None) == (extent == "found")


def test_the_domain_is_printed_with_its_defaults():
    found = claim(
        "most(90%) R in rivals: F(R) >= 0", "let rivals = random(circuits(size(small)), 60)"
    )
    assert found.domain == 'rivals = random(circuits(7, sampler = "paths"), 60)'
    found = claim("forall K in greedy(subsets(heads), runs = 3): drop(M, K) >= 0")
    assert found.domain == "greedy(subsets(heads), runs = 3, steps = 10, width = 10)"
    found = claim("forall K in subsets(heads): drop(M, K) >= 0")
    assert found.domain == "search(subsets(heads), budget = 100)"


def test_limits_on_prompts():
    found = claim("forall x in random(inputs(likes), 9): F(M on x) >= 0")
    assert (found.extent, found.limit, found.budget) == ("prompts", 9, 0)
    found = claim("forall x in search(inputs(likes), budget = 9): F(M on x) >= 0")
    assert (found.extent, found.limit, found.budget) == ("prompts", None, 9)


def test_a_search_gives_the_formula_of_any_member():
    found = claim("forall v in heads: exists K in greedy(subsets(heads - v)): drop(M - K, v) >= 0")
    _, inner = found.members[0]
    search = inner.search
    assert len(search.candidates.base) == 11
    member = search.candidates.member(0b11)
    direct = claim("drop(M - a0.h[1,2], a0.h0) >= 0")
    assert member[1] == "a0.h1 + a0.h2"
    assert search.instantiate(*member) == direct


def test_searches_of_different_conditions_are_different():
    one, other = (claim(f"forall K in subsets(heads): drop(M, K) >= {t}") for t in (0, 1))
    assert one != other
    assert one == claim("forall K in subsets(heads): drop(M, K) >= 0")


def test_chance_gives_no_warnings():
    """Of random members many do not meet the circuit; a person who wrote one would be told."""
    _, diagnostics = resolved(
        f"{CIRCUIT}claim c: most(50%) p in random(paths(M), 60): drop(small, p) >= 0\n"
    )
    assert "CL309" not in {d.code for d in diagnostics.found}
    _, exhausted = resolved(
        f"{CIRCUIT}claim c: forall K in subsets([m0, m2]): drop(small, K) >= 0\n"
    )
    assert "CL309" not in {d.code for d in exhausted.found}
    _, told = resolved(f"{CIRCUIT}claim c: drop(small, m2) >= 0\n")
    assert "CL309" in {d.code for d in told.found}


def test_a_share_of_drawn_members():
    found = claim(
        "share(error(small, M) > error(small + p, small + p - n)"
        " for p in random(paths(M), 80) for n in random(edges(p - small), 1)) >= 90%"
    )
    share = found.left
    assert isinstance(share, MemberShare)
    assert share.drawn
    assert 70 <= len(share.members) <= 80
    label, _ = share.members[0]
    path, edge = label.split(", ")
    assert path.startswith("input -> ")
    assert "->" in edge
    listed = claim("share(drop(M, h) >= 0 for h in heads) >= 90%").left
    assert (listed.drawn, len(listed.members)) == (False, 12)


def test_drawing_does_not_touch_the_global_generator():
    random.seed(5)
    first = random.random()
    random.seed(5)
    claim("forall K in random(subsets(heads), 20): drop(M, K) >= 0")
    assert random.random() == first
