"""From scores to circuits: the order of edges, and how many of them are enough."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from circuitlang.discovery.experiment import Context, Experiment
from circuitlang.discovery.pruning import pruned
from circuitlang.discovery.scores import Scores
from circuitlang.discovery.selection import HOW, order, select
from circuitlang.language.graph.architecture import INPUT, LOGITS, Edge, Node, Receiver, bits
from circuitlang.language.spec import Rows
from tests.discovery.tiny import OneByOne, opened
from truth.subjects import SPECS

SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def random_scores(one: Experiment, seed: int, unscored: float = 0.1) -> Scores:
    """With ties, zeros and edges that have none."""
    draw = np.random.default_rng(seed)
    values = np.round(draw.normal(size=one.graph.size), 1)
    values[draw.random(one.graph.size) < unscored] = np.nan
    return Scores(one.graph, values)


@FEW
@given(seed=SEEDS)
def test_the_greedy_order_is_the_one_step_by_step(tiny: Experiment, seed: int) -> None:
    scores = random_scores(tiny, seed)
    nodes, left, grown = {LOGITS}, set(scores.order(tiny.candidates)), []
    while True:
        ready = [n for n in left if tiny.graph.edge(n).receiver.node in nodes]
        if not ready:
            break
        best = min(ready, key=lambda n: (-abs(scores.values[n]), n))
        grown.append(best)
        left.remove(best)
        nodes.add(tiny.graph.edge(best).sender)
    assert order(scores, tiny.candidates, "greedy") == grown


@FEW
@given(seed=SEEDS)
def test_every_start_of_the_greedy_order_reaches_the_logits(tiny: Experiment, seed: int) -> None:
    from circuitlang.language.graph.sets import reaching_logits

    grown = order(random_scores(tiny, seed), tiny.candidates, "greedy")
    for taken in (1, 5, 20):
        mask = sum(1 << number for number in grown[:taken])
        assert reaching_logits(mask, tiny.graph) == mask


@FEW
@given(seed=SEEDS, wanted=st.sampled_from([0.2, 0.6, 0.9]), how=st.sampled_from(HOW))
def test_the_chosen_size_is_the_rule_s(
    tiny: Experiment, seed: int, wanted: float, how: str
) -> None:
    found = select(tiny, random_scores(tiny, seed), wanted, how)
    assert found is not None
    sizes = [probe.taken for probe in found.probes]
    enough = [probe.faithfulness >= wanted for probe in found.probes]
    assert sizes == sorted(set(sizes))
    right = [i for i, good in enumerate(enough) if good and all(enough[i + 1 : i + 2])]
    assert found.reached == bool(right)
    if not right:
        assert found.faithfulness == max(probe.faithfulness for probe in found.probes)
        return
    chosen = right[0]
    assert found.chosen == found.probes[chosen]
    # Nothing is left to look at between it and the next smaller one that was measured.
    assert sizes[chosen] - (sizes[chosen - 1] if chosen else 0) == 1


def test_faithfulness_is_the_reference_executor_s(tiny: Experiment) -> None:
    slow = OneByOne(tiny)
    scores = random_scores(tiny, 3)
    found = select(tiny, scores, 0.5, "score")
    assert found is not None
    floor, whole = slow.score(0), slow.score(tiny.graph.everything)
    ranked = sorted(
        (n for n in range(tiny.graph.size) if not np.isnan(scores.values[n])),
        key=lambda n: (-scores.values[n], n),
    )
    for probe in found.probes[::4]:
        mask = sum(1 << number for number in ranked[: probe.taken])
        expected = (slow.score(mask) - floor) / (whole - floor)
        assert probe.faithfulness == pytest.approx(expected, abs=1e-4)
        assert probe.mask == pruned(tiny, mask)


def test_powers_are_measured_together_and_then_eight_at_a_time(
    tiny: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds, values = [], Experiment.values

    def counted(one, runs, metrics=()):
        rounds.append(len(runs))
        return values(one, runs, metrics)

    monkeypatch.setattr(Experiment, "values", counted)
    select(tiny, random_scores(tiny, 0, unscored=0.0), 0.9)
    size = tiny.graph.size
    assert rounds[0] == size.bit_length() + 1 + 2
    assert all(number <= 8 for number in rounds[1:])
    assert len(rounds) <= 4


def codes(one: Experiment) -> list[str]:
    return [diagnostic.code for diagnostic in one.front.found]


def test_what_cannot_be_reached_is_said(tiny_spec: Path) -> None:
    with opened(tiny_spec) as one:
        values = np.full(one.graph.size, np.nan)
        values[:3] = 1.0  # into the first layer only: nothing reaches the logits
        found = select(one, Scores(one.graph, values), 0.9)
        assert found is not None
        assert not found.reached
        assert codes(one) == ["CL783"]
        [said] = one.front.found
        assert "None of the 3 sizes measured reaches a faithfulness of 0.9" in said.message


def test_a_circuit_of_everything_is_said() -> None:
    with opened(SPECS / "tracr_fraction.circ") as one:
        values = np.zeros(one.graph.size)
        # Three edges in series, of which the first is taken last.
        values[one.graph.edge_number(Edge(INPUT, Receiver(Node("mlp", 0))))] = -1
        found = select(one, Scores(one.graph, values), how="score")
        assert found is not None
        assert found.reached
        assert found.mask == one.graph.everything
        assert [probe.faithfulness for probe in found.probes[:-1]] == pytest.approx(
            [0] * (len(found.probes) - 1), abs=1e-5
        )
        assert codes(one) == ["CL781"]
        assert "A faithfulness of 0.9 keeps all" in one.front.found[0].message


def test_no_effect_is_said(tiny_spec: Path, tmp_path: Path) -> None:
    text = tiny_spec.read_text(encoding="utf-8").replace('"model"', f'"{tiny_spec.parent}/model"')
    path = tmp_path / "same.circ"
    path.write_text(
        text.replace(
            "metric score = logit(answer) - logit(foil)",
            "metric score = logit(answer) - logit(answer)",
        ),
        encoding="utf-8",
    )
    with opened(path) as one:
        assert select(one, Scores(one.graph, np.ones(one.graph.size))) is None
        assert "CL784" in codes(one)


def test_only_candidates_are_taken(tiny_spec: Path) -> None:
    with opened(tiny_spec, Context(free="m0")) as one:
        assert set(order(random_scores(one, 0), one.candidates, "score")) <= set(
            bits(one.candidates)
        )


def test_means_are_over_the_prompts_that_the_context_names(tiny: Experiment) -> None:
    part = Experiment(tiny.runner, tiny.extremes, tiny.context, Rows("part", "w3", "A"))
    values = tiny.values([tiny.whole])[tiny.whole, tiny.metric]
    rows = [prompt.slots["A"] == "w3" for prompt in tiny.drawn.prompts]
    assert 0 < sum(rows) < len(rows)
    assert part.means([part.whole])[part.whole] == pytest.approx(values[rows].mean())
    assert tiny.means([tiny.whole])[tiny.whole] == pytest.approx(values.mean())
