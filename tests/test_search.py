"""Searches: on one half of the prompts they find what is there, and the other half decides."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from circuitlang import pipeline
from circuitlang.judgement.sample import Sample
from circuitlang.language.prompt import Prompt, PromptSet
from circuitlang.language.spec import Comparison, Constant, Quantified, Search
from circuitlang.measurement.search import halves, restricted, with_members
from circuitlang.report.outcome import document

EDGES = Path(__file__).parent.parent / "specs" / "toy" / "edges.circ"


def prompts(templates: str, enumerated: bool = False) -> PromptSet:
    made = tuple(Prompt(i, t, {}, "", (i,), {}, {}, {}, {}) for i, t in enumerate(templates))
    return PromptSet("likes", tuple(sorted(set(templates))), made, (), None, enumerated)


def test_halves_share_no_prompt_and_have_every_template():
    first, second = halves(prompts("ababababba"))
    assert sorted(first + second) == list(range(10))
    assert [len(first), len(second)] == [6, 4]
    for half in (first, second):
        assert {"ababababba"[row] for row in half} == {"a", "b"}


def test_an_enumerated_task_is_not_split():
    assert halves(prompts("abab", enumerated=True)) == ([0, 1, 2, 3], [0, 1, 2, 3])


def test_a_restricted_sample_has_only_these_prompts():
    sample = Sample(
        {"likes": np.array(list("aabb")), "other": np.array(["x"])}, {}, {},
        slots={"likes": ({"n": "0"}, {"n": "1"}, {"n": "2"}, {"n": "3"})},
    )  # fmt: skip
    found = restricted(sample, {"likes": [1, 3]})
    assert list(found.templates["likes"]) == ["a", "b"]
    assert list(found.templates["other"]) == ["x"]
    assert [slots["n"] for slots in found.slots["likes"]] == ["1", "3"]


# ---------------------------------------------------------------- strategies, on numbers made by hand


class Parts:
    """Twelve parts, of which the sum of weights is claimed to stay small."""

    weights = np.array([0, 0, 0, 5, 0, 0, 3, 0, -4, 0, 0, 0], dtype=float)

    def claim(self, strategy: str, kind: str = "forall", **parameters: int) -> Quantified:
        from circuitlang.language.formulas.drawn import Subsets
        from circuitlang.language.formulas.values import Located, Nodes
        from circuitlang.language.graph.architecture import Node

        base = tuple((Nodes((Located(Node("head", 0, i)),)), str(i)) for i in range(12))

        def instantiate(value: Nodes, label: str) -> Comparison:
            total = sum(self.weights[m.node.head] for m in value.members)
            return Comparison("<=", Constant(float(total)), Constant(1.0))

        candidates = Subsets("subsets(D)", base)
        first = instantiate(Nodes(()), "none")
        search = Search(strategy, tuple(parameters.items()), candidates, 0, first, instantiate)
        return Quantified(kind, "K", "D", (), extent="found", search=search)


def found(claim: Quantified) -> Quantified:
    steps: list[str] = []
    (done,) = with_members([claim], lambda formulas: Sample({}, {}, {}), steps.append)
    assert steps[0].startswith("searching")
    return done


def test_greedy_adds_what_raises_the_violation():
    done = found(Parts().claim("greedy", runs=2, steps=6, width=12))
    assert [label for label, _ in done.members] == ["3", "3 + 6"], "the smallest, then the worst"
    assert done.members[1][1].left == Constant(8.0)
    assert done.tried <= 1 + 2 * 6 * 12


def test_greedy_for_exists_looks_for_what_satisfies():
    done = found(Parts().claim("greedy", "exists", runs=2, steps=6, width=12))
    assert [label for label, _ in done.members] == ["8"]


def test_greedy_counts_each_set_once():
    """One chain that stays at nothing and tries everything: the empty set and twelve others."""
    parts = Parts()
    parts.weights = -np.ones(12)
    done = found(parts.claim("greedy", runs=3, steps=4, width=12))
    assert (done.tried, [label for label, _ in done.members]) == (13, ["none"])


def test_a_random_search_keeps_the_worst_of_its_budget():
    done = found(Parts().claim("search", budget=60))
    (smallest, _), *worst = done.members
    totals = [formula.left.value for _, formula in worst]
    assert (smallest, len(totals)) in [("3", 4), ("6", 4)]
    assert totals == sorted(totals, reverse=True)
    assert totals[0] == 8.0
    assert 60 < done.tried <= 120


def test_what_refuted_a_claim_before_is_looked_at_first():
    claim = Parts().claim("search", budget=2)
    assert claim.search is not None
    known = (claim.search.candidates.base[6][0], "6")
    claim = dataclasses.replace(claim, search=dataclasses.replace(claim.search, replayed=(known,)))
    assert found(claim).members[0] == ("6", Comparison("<=", Constant(3.0), Constant(1.0)))


def test_claims_without_a_search_are_left_alone():
    claim = Comparison(">=", Constant(1.0), Constant(0.0))
    assert with_members([claim], lambda formulas: pytest.fail("measured"), print) == [claim]


# ---------------------------------------------------------------- on the model with known wiring


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    text = EDGES.read_text(encoding="utf-8")
    head = text[: text.index("assume able")].replace("sample 64", "sample 40")
    path = tmp_path_factory.mktemp("searched") / "searched.circ"
    path.write_text(
        head
        + """
claim lean_is_not_complete
  expect fails "without a0.h0 the model goes on with a0.h1":
  forall K in greedy(subsets(heads), runs = 3, steps = 3, width = 12):
    incompleteness(lean, K) <= 20% * effect
claim full_is_complete
  expect survived "it is":
  forall K in search(subsets(heads), budget = 20): incompleteness(full, K) <= 20% * effect
claim not_for_sure: forall K in random(subsets(nodes(full)), 9): incompleteness(full, K) <= 20% * effect
claim all_of_them: forall K in subsets([previous, asker]): incompleteness(full, K) <= 20% * effect
claim somehow: exists K in search(subsets(heads), budget = 20): drop(M, K) >= 50% * effect
""",
        encoding="utf-8",
    )
    options = pipeline.Options(stored=False)
    return pipeline.check(path, options, pipeline.Silent()), options


def test_searched_claims_are_decided_on_the_other_half(outcome):
    found = {r.name: r for r in outcome[0].results}
    assert {n: (r.verdict, r.ok) for n, r in found.items()} == {
        "lean_is_not_complete": ("fails", True),
        "full_is_complete": ("survived", True),
        "not_for_sure": ("survived", False),
        "all_of_them": ("holds", True),
        "somehow": ("holds", True),
    }
    assert [found[n].decision.n for n in ("full_is_complete", "not_for_sure")] == [20, 40]
    assert "a0.h0" in found["lean_is_not_complete"].decision.worst
    assert found["full_is_complete"].decision.looked_at == 20
    assert outcome[0].exit_code == 1


def test_what_was_looked_at_is_in_the_document(outcome):
    found = {c.name: c for c in document(*outcome, per_example=False).claims}
    assert found["full_is_complete"].looked_at == 20
    assert found["not_for_sure"].looked_at == 9
    assert found["all_of_them"].looked_at is None
    assert "20 members were looked at" in found["full_is_complete"].reason


def test_the_same_seed_finds_the_same_members(outcome):
    again = pipeline.check(outcome[0].path, outcome[1], pipeline.Silent())
    first, second = (
        [(r.name, r.verdict, [m for m, _ in r.decision.members]) for r in o.results]
        for o in (outcome[0], again)
    )
    assert first == second
    other = pipeline.check(
        outcome[0].path, dataclasses.replace(outcome[1], seed=7), pipeline.Silent()
    )
    assert [[m for m, _ in r.decision.members] for r in other.results] != [m for _, _, m in first]
