"""ACDC against the loop of the paper, one run of the reference executor per decision."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import circuitlang.discovery.acdc as module
from circuitlang.discovery.acdc import BY, acdc
from circuitlang.discovery.experiment import Context, Experiment
from circuitlang.language.graph.architecture import INPUT, LOGITS, Edge, Node, Receiver
from circuitlang.measurement.runner import Runner
from tests.discovery.tiny import OneByOne, opened


def textbook(
    start: int, worse: Callable[[float, float], float], score: Callable[[int], float], least: float
) -> tuple[int, list[tuple[int, float]]]:
    """Every edge in turn, the last first; what it changes, and what is left."""
    live, before = start, score(start)
    changes = []
    for number in reversed(range(start.bit_length())):
        if not start >> number & 1:
            continue
        after = score(live & ~(1 << number))
        changes.append((number, worse(before, after)))
        if changes[-1][1] < least:
            live, before = live & ~(1 << number), after
    return live, changes


WORSE = {
    "kl": lambda before, after: after - before,
    "absolute": lambda before, after: abs(after - before),
    "signed": lambda before, after: before - after,
}


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("threshold", [0.001, 0.02, 0.3])
def test_it_decides_as_the_textbook_does(either: Experiment, by: str, threshold: float) -> None:
    slow = OneByOne(either)
    score = slow.kl if by == "kl" else slow.score
    live, changes = textbook(either.graph.everything, WORSE[by], score, threshold)
    nearest = min(abs(change - threshold) for _, change in changes)
    assert nearest > 1e-6, "take another seed: a decision hangs on rounding"
    found = acdc(either, threshold, by)
    assert [d.edge for d in found.decisions] == [number for number, _ in changes]
    np.testing.assert_allclose(
        [d.change for d in found.decisions], [change for _, change in changes], atol=2e-5
    )
    assert found.kept == live
    assert found.mask & ~found.kept == 0


def test_thresholds_leave_some_and_not_all(tiny: Experiment) -> None:
    sizes = [acdc(tiny, t).kept.bit_count() for t in (0.0001, 0.001, 0.02)]
    assert 0 < sizes[2] < sizes[1] < sizes[0] < tiny.graph.size


@pytest.mark.parametrize("most", [1, 3, 1000])
def test_guessing_ahead_changes_no_decision(
    tiny: Experiment, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = acdc(tiny, 0.005)
    for name in ("FIRST", "LEAST", "MOST"):
        monkeypatch.setattr(module, name, most)
    other = acdc(tiny, 0.005)
    assert [(d.edge, d.removed) for d in other.decisions] == [
        (d.edge, d.removed) for d in usual.decisions
    ]
    assert other.kept == usual.kept


def test_it_starts_from_candidates_with_the_others_ablated(tiny: Experiment) -> None:
    some = tiny.graph.everything & ~tiny.graph.leaving(tiny.graph.senders[2])
    live, _ = textbook(some, WORSE["kl"], OneByOne(tiny).kl, 0.02)
    found = acdc(tiny, 0.02, candidates=some)
    assert found.start & ~some == 0
    assert found.kept == live


def test_the_language_s_kl_is_the_same(tiny: Experiment, tiny_spec: Path) -> None:
    """A metric that is better when lower becomes worse by growing."""
    with opened(tiny_spec, Context(by="far")) as one:
        assert acdc(one, 0.01, "signed").kept == acdc(tiny, 0.01, "kl").kept


def test_free_nodes_stay(tiny_spec: Path) -> None:
    with opened(tiny_spec, Context(free="[m0, a0.h1]")) as one:
        slow = OneByOne(one)
        found = acdc(one, 0.02)
        assert found.start == one.candidates != one.graph.everything
        live, _ = textbook(one.candidates, WORSE["kl"], slow.kl, 0.02)
        assert found.kept == live


def test_a_head_that_the_metric_looks_at_is_not_dead(tiny_spec: Path) -> None:
    with opened(tiny_spec, Context(by="looks")) as one:
        usual = acdc(one, 0.005, "absolute")
        logits = one.graph.entering(one.graph.receivers[-1])
        into = [r for r in one.graph.receivers if str(r) in ("a1.h2<q>", "a1.h2<k>")]
        assert usual.kept & sum(map(one.graph.entering, into))
        assert any(
            d.change != 0 for d in usual.decisions if not 1 << d.edge & (usual.kept | logits)
        )


def test_extremes_are_said(tiny_spec: Path) -> None:
    with opened(tiny_spec) as one:
        acdc(one, 1000.0)
        assert [d.code for d in one.front.found] == ["CL781"]
        assert "keeps none of the 110 edges" in one.front.found[0].message
    with opened(tiny_spec) as one:
        head = Node("head", 0, 1)
        path = one.graph.mask([Edge(INPUT, Receiver(head, "v")), Edge(head, Receiver(LOGITS))])
        acdc(one, 1e-6, "absolute", candidates=path)
        assert [d.code for d in one.front.found] == ["CL781"]
        assert "keeps all 2 edges" in one.front.found[0].message
    with opened(tiny_spec) as one:
        acdc(one, 0.01, candidates=one.graph.mask([Edge(INPUT, Receiver(head, "v"))]))
        assert "None of the candidate edges lies on a path" in one.front.found[0].message


@pytest.mark.parametrize(("threshold", "by"), [(0.0, "kl"), (float("nan"), "kl"), (1.0, "size")])
def test_nonsense_is_refused(tiny: Experiment, threshold: float, by: str) -> None:
    with pytest.raises(ValueError):
        acdc(tiny, threshold, by)


def test_what_was_killed_goes_on(
    tiny_spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decisions that were made are made again from stored numbers."""
    executed: list[int] = []
    execute = Runner._execute

    def counted(self, batch, missing, checked, keep):
        executed.append(len(missing))
        if len(executed) > most:
            raise KeyboardInterrupt
        execute(self, batch, missing, checked, keep)

    monkeypatch.setattr(Runner, "_execute", counted)
    most = 10**6
    with opened(tiny_spec) as one:
        whole = acdc(one, 0.005)
    at_once = sum(executed)
    assert len(executed) == whole.rounds > 4

    executed.clear()
    most = 3
    with opened(tiny_spec, store=tmp_path) as one, pytest.raises(KeyboardInterrupt):
        acdc(one, 0.005)
    before = sum(executed[:most])
    executed.clear()
    most = 10**6
    with opened(tiny_spec, store=tmp_path) as one:
        assert acdc(one, 0.005) == whole
    assert before + sum(executed) == at_once
    assert len(executed) == whole.rounds - 3

    executed.clear()
    with opened(tiny_spec, store=tmp_path) as one:
        assert acdc(one, 0.005) == whole
    assert executed == []
