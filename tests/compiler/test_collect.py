"""Which runs claims need: each once, with everything the preconditions look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitlang.compiler.collect import all_runs, collect, expand_examples, measurements
from circuitlang.compiler.show import runs_text
from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.resolve import Resolved, resolve
from circuitlang.language.source import Source
from circuitlang.language.spec import Constant, Mean, Rows

HEAD = """
spec s "1"
model "toy"
task t {
  slot A = ["ann", "bob"]
  slot X = ["tea", "jam"]
  prompt "{A} likes {X}. {A:A2} likes"
  tokens answer = "{X}"
  tokens foil = "ham"
  corrupt other { A = "ida"  X = "soup" }
}
metric score = logit(answer) - logit(foil)
ablation patch = resample(other)
circuit c { input -> a0.h0.v  a0.h0 -> a1.h0.k  a1.h0 -> logits }
"""


def resolved(claims: str) -> Resolved:
    diagnostics = Diagnostics()
    found = resolve(Source("s.circ", HEAD + claims, Path()), diagnostics)
    assert found is not None
    assert not diagnostics.has_errors, diagnostics.sorted
    return found


def needed(claims: str):
    found = resolved(claims)
    tokens = {name: tuple(t.tokens) for name, t in found.tasks.items()}
    return collect((c.formula for c in found.spec.claims), tokens)


def written(claims: str) -> list[str]:
    return [run.written for run in needed(claims).requests]


def test_equal_runs_are_one():
    assert written("claim a: faithfulness(c) >= 0.8 and necessity(c) >= 0.5") == [
        "c",
        "none",
        "M",
        "M - c",
    ]
    assert written("claim a: F(c - a0.h0) > 0 and F(c - (a0.h0 -> a1.h0.k)) > 0")[0] == "c - a0.h0"
    assert len(needed("claim a: F(c - a0.h0) > 0 and F(c - (a0.h0 -> a1.h0.k)) > 0").requests) == 3


def test_everything_live_has_no_ablation_and_is_shared_by_all_of_them():
    claims = "claim a: forall x in [patch, zero, mean(other)]: F(c under x) <= F(M under x)"
    runs = list(needed(claims).requests)
    assert sum(run.ablation is None for run in runs) == 1
    assert len(runs) == 3 + 1 + 3  # c, M, and the floor of every ablation


def test_preconditions_get_floor_and_accuracy():
    found = needed("claim a: F(c) > 0")
    (setting,) = found.settings
    assert setting.whole.written == "M"
    assert setting.floor is not None
    assert setting.floor.live.mask == 0
    assert found.accuracy["t"] in found.requests[setting.whole]


def test_free_nodes_are_part_of_the_floor():
    found = needed("claim a free mlps: F(c) > 0")
    (setting,) = found.settings
    assert setting.floor is not None
    assert setting.floor.live.mask == setting.floor.floor.mask != 0


def test_runs_that_a_metric_compares_with_are_needed():
    found = needed("claim a by kl(M): F(c) <= 0.1 * F(none)")
    names = {run.written for run in all_runs(found.requests)}
    assert names == {"c", "none", "M"}


def test_quantifiers_over_prompts_expand_to_one_member_a_prompt():
    (claim,) = resolved("claim a: forall x in examples: F(c on x) > F(M on x)").spec.claims
    formula = expand_examples(claim.formula, {"t": 3})
    assert [name for name, _ in formula.members] == ["prompt 0", "prompt 1", "prompt 2"]
    rows = {m.rows for m in measurements(formula.members[2][1])}
    assert rows == {Rows("example", 2)}


def test_nested_quantifiers_over_prompts_keep_their_own_index():
    text = "claim a: forall x in examples: forall y in examples: F(c on x) >= F(c on y)"
    (claim,) = resolved(text).spec.claims
    formula = expand_examples(claim.formula, {"t": 2})
    inner = formula.members[1][1].members[0][1]
    assert isinstance(inner.left, Mean)
    assert (inner.left.measurement.rows.key, inner.right.measurement.rows.key) == (1, 0)


@pytest.mark.parametrize(
    ("text", "value"),
    [("size(c) <= 3", 3.0), ("size(edges(c)) <= 3", 3.0), ("size(nodes(c)) <= 2", 2.0)],
)
def test_sizes_need_no_run(text: str, value: float):
    found = resolved(f"claim a: {text}")
    assert found.spec.claims[0].formula.left == Constant(value)
    assert not needed(f"claim a: {text}").requests


def test_runs_are_printed_with_what_they_are():
    text = runs_text(needed("claim a: F(c) > 0"))
    assert '1  F(c on t under patch with "toy"): 3 of 262 edges live; score' in text
