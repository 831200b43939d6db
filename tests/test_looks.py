"""Looks: what is clear is decided early, at levels that add up to alpha, and costs no more runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from circuitlang import pipeline
from circuitlang.judgement.decide import LEVEL
from circuitlang.judgement.intervals import student
from circuitlang.looks import levels, schedule
from circuitlang.report.outcome import document
from tests.test_cli import invoke

SPEC = """spec looked "1.0.0"
model "toy" { bos yes }
looks yes
task likes {
  slot A = ["ann", "bob", "cid", "dan", "eve", "fay", "gus"]
  slot B = ["ann", "bob", "cid", "dan", "eve", "fay", "gus", "hal"]
  slot X = ["tea", "jam", "rice", "milk", "corn", "bread"]
  slot Y = ["tea", "jam", "rice", "milk", "fish", "cake"]
  where A != B
  where X != Y
  prompt "{A:A1} likes {X}. {B:B1} likes {Y}. {A:A2} likes"
  tokens answer = " {X}"
  tokens foil   = " {Y}"
  corrupt ask_the_other { A2 = B }
  sample 200
}
metric   logit_diff = logit(answer) - logit(foil)
ablation swap       = resample(ask_the_other)
circuit asking {
  input          -> a0.h2.v
  a0.h2          -> a1.h0.q
  a1.h0          -> a2.h2.q
  [a1.h0, a2.h2] -> logits
}
"""


def checked(tmp_path: Path, *lines: str, spec: str = SPEC, **options):
    path = tmp_path / "looked.circ"
    path.write_text(spec + "\n".join(lines) + "\n", encoding="utf-8")
    chosen = pipeline.Options(**options)
    outcome = pipeline.check(path, chosen, pipeline.Silent())
    assert outcome.measured is not None, [d.message for d in outcome.front.found]
    return document(outcome, chosen, per_example=False)


def test_looks_double_and_end_with_all():
    assert schedule(256) == (64, 128, 256)
    assert schedule(300) == (64, 128, 256, 300)
    assert schedule(64) == (64,)
    assert schedule(10) == (10,)


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_the_levels_are_alpha_together(number):
    found = levels(number)
    assert len(found) == number
    assert sum(found) == pytest.approx(LEVEL)
    assert all(alpha > 0 for alpha in found)


def test_a_clear_claim_stops_and_a_close_one_goes_on(tmp_path):
    found = checked(
        tmp_path,
        "assume able: F(M) >= 3",
        "claim clear: faithfulness(asking) in 0.9..1.1",
        "claim close: F(asking) >= 6.1",
        "claim wrong: F(M - a1.h0) >= 1",
        "report both: [F(M), F(asking)]",
    )
    n = {c.name: c.n for c in found.claims}
    assert n == {"able": 64, "clear": 64, "close": 200, "wrong": 64}
    assert [c.verdict for c in found.claims] == ["holds", "holds", "undecided", "fails"]
    assert found.claims[1].method.endswith("look 1 of 3")
    assert found.claims[2].method.endswith("look 3 of 3")
    assert [r.n for r in found.reports] == [200, 200]
    executed = {(r.set, r.by): r.n for r in found.runs}
    assert executed["M - a1.h0", "logit_diff"] == 64
    assert executed["asking", "logit_diff"] == 200


def test_an_early_verdict_is_that_of_the_first_prompts(tmp_path):
    """The obvious twin: the same spec without looks, on 64 prompts."""
    lines = ("claim clear: faithfulness(asking) in 0.9..1.1", "claim wrong: F(M - a1.h0) >= 1")
    looked = checked(tmp_path, *lines)
    alone = checked(tmp_path, *lines, spec=SPEC.replace("looks yes\n", ""), samples=64)
    for one, other in zip(looked.claims, alone.claims, strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-5)
        assert one.verdict == other.verdict
        assert one.level == pytest.approx(1 - 2 * LEVEL / 2)
        assert one.high - one.low > other.high - other.low, "half the alpha, a wider interval"


def test_the_store_has_every_look(tmp_path):
    lines = ("claim close: F(asking) >= 6.1",)
    assert checked(tmp_path, *lines).executed_runs > 0
    assert checked(tmp_path, *lines).executed_runs == 0


def test_when_an_assumption_fails_nothing_more_is_run(tmp_path):
    found = checked(tmp_path, "assume able: F(M) >= 9", "claim close: F(asking) >= 6.1")
    able, close = found.claims
    assert (able.verdict, close.verdict) == ("fails", "invalid")
    assert max(r.n for r in found.runs) == 64


def test_a_search_is_decided_once_at_the_end(tmp_path):
    lines = (
        "assume able: F(M) >= 3",
        "claim worst: forall K in search(subsets(heads), budget = 20): F(M - K) >= -99",
        "claim each: forall x in inputs(likes): F(asking on x) >= 1",
    )
    found = checked(tmp_path, *lines)
    able, worst, each = found.claims
    assert (able.n, worst.verdict, each.verdict) == (64, "survived", "survived")
    assert "look" not in worst.method
    assert len(each.members) == 200


def test_a_small_task_is_all_seen_at_the_first_look(tmp_path):
    found = checked(tmp_path, "claim clear: faithfulness(asking) in 0.9..1.1", samples=20)
    assert (found.claims[0].n, found.claims[0].verdict) == (20, "holds")
    assert "look" not in found.claims[0].method


def test_the_plan_says_at_how_many_prompts(tmp_path):
    path = tmp_path / "looked.circ"
    path.write_text(SPEC + "claim close: F(asking) >= 6.1\n", encoding="utf-8")
    assert "looks at 64, 128 and 200 prompts" in invoke("plan", path)[1]


def test_wrong_verdicts_over_all_looks_are_at_most_alpha():
    """At the boundary, 2,000 times: the first look that decides is wrong in at most 5% of them."""
    random = np.random.default_rng(7)
    sizes, wrong, repeats = schedule(512), 0, 2_000
    for _ in range(repeats):
        drawn = random.normal(size=512)
        for n, alpha in zip(sizes, levels(len(sizes)), strict=True):
            part = drawn[:n]
            error = float(np.std(part, ddof=1)) / n**0.5
            low, _ = student(float(part.mean()), error, n - 1, n=n, sd=1.0, method="t").bounds(
                alpha
            )
            if low > 0:
                wrong += 1
                break
    assert 0.02 < wrong / repeats <= LEVEL + 2 * (LEVEL * (1 - LEVEL) / repeats) ** 0.5
