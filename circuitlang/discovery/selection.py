"""From one score per edge to a circuit of a wanted faithfulness.

Takes an experiment and `Scores`, puts the edges in an order, and looks for how many of the first are
enough. What is taken is pruned before it is measured.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from circuitlang.discovery.experiment import Experiment
from circuitlang.discovery.pruning import pruned
from circuitlang.discovery.scores import Scores
from circuitlang.language.graph.architecture import LOGITS, Architecture
from circuitlang.language.graph.edges import uniform

if TYPE_CHECKING:
    from circuitlang.language.spec import Run

HOW = ("score", "size", "greedy")
PER_ROUND = 8


@dataclass(frozen=True)
class Probe:
    """The first `taken` edges of the order: what is left of them, and its faithfulness."""

    taken: int
    mask: int
    faithfulness: float

    @property
    def edges(self) -> int:
        return self.mask.bit_count()


@dataclass(frozen=True)
class Selection:
    """`mask` is the chosen circuit; `probes` are all sizes that were measured, ascending.

    Where no size reaches what is `wanted`, `reached` is False and the circuit is the most faithful
    one that was measured.
    """

    graph: Architecture
    how: str
    wanted: float
    chosen: Probe
    reached: bool
    probes: tuple[Probe, ...]

    @property
    def mask(self) -> int:
        return self.chosen.mask

    @property
    def faithfulness(self) -> float:
        """(F(C) - F(none)) / (F(M) - F(none)) of the circuit."""
        return self.chosen.faithfulness


def select(
    experiment: Experiment, scores: Scores, faithfulness: float = 0.9, how: str = "score"
) -> Selection | None:
    """The fewest edges of the order `how` whose circuit reaches the faithfulness.

    Faithfulness need not grow with the number of edges, so what is found is the smallest number
    measured that reaches it and of which the next larger measured number reaches it too. Measured
    are the powers of two, then eight numbers at a time between that one and the one before it,
    until none is left between. A circuit that is all or that is not there is said, and None is
    given where the effect is within its numeric noise.
    """
    lower = experiment.metric.lower_is_better
    ranked = order(scores, experiment.candidates, how, lower_is_better=lower)
    if not ranked:
        raise ValueError("no candidate edge has a score")
    probes = _Probes(experiment, ranked)
    probes.look(_powers(len(ranked)))
    if probes.effect is None:
        say_no_effect(experiment)
        return None
    while between := probes.between(faithfulness):
        probes.look(between)
    at = probes.reaching(faithfulness)
    known = probes.ascending
    best = known[at] if at is not None else max(known, key=lambda probe: probe.faithfulness)
    found = Selection(experiment.graph, how, faithfulness, best, at is not None, tuple(known))
    _say(experiment, found)
    return found


def order(scores: Scores, candidates: int, how: str, *, lower_is_better: bool = False) -> list[int]:
    """The numbers of candidate edges with a score, in the order in which they are taken.

    `size` is by absolute score, so that edges which work against the task have their place in its
    circuit; `score` takes those that help before those that do not. `greedy` grows a circuit from
    the logits backwards (Hanna et al. 2024): of the edges into nodes that are in it already, the
    one with the largest absolute score is next. `lower_is_better` is the scored metric's.
    """
    match how:
        case "size":
            return scores.order(candidates, by_size=True)
        case "score":
            return scores.order(candidates, lowest_first=lower_is_better)
        case "greedy":
            return _grown(scores.graph, scores.order(candidates, by_size=True))
    raise ValueError(f"{how!r} is none of {', '.join(HOW)}")


def _grown(graph: Architecture, ranked: Sequence[int]) -> list[int]:
    entering: dict[object, list[int]] = {}
    for rank, number in enumerate(ranked):
        node = graph.receivers[graph.receiver_of(number)].node
        entering.setdefault(node, []).append(rank)
    # Ranks come in ascending order, so a list of them is a heap.
    ready = entering.pop(LOGITS, [])
    grown = []
    while ready:
        number = ranked[heapq.heappop(ready)]
        grown.append(number)
        for rank in entering.pop(graph.edge(number).sender, ()):
            heapq.heappush(ready, rank)
    return grown


def _powers(most: int) -> list[int]:
    return [1 << i for i in range(most.bit_length()) if 1 << i < most] + [most]


class _Probes:
    """What is known of the circuits of the first edges of an order."""

    def __init__(self, experiment: Experiment, ranked: Sequence[int]) -> None:
        self.experiment, self.ranked = experiment, ranked
        self.known: dict[int, Probe] = {}
        self.floor = 0.0
        self.effect: float | None = None

    @property
    def ascending(self) -> list[Probe]:
        return [self.known[taken] for taken in sorted(self.known)]

    def look(self, numbers: Iterable[int]) -> None:
        """Measures the circuits of so many edges, all in one plan."""
        experiment, metric = self.experiment, self.experiment.metric
        masks = self._masks(sorted(numbers))
        runs = {taken: experiment.run(uniform(mask)) for taken, mask in masks.items()}
        asked: list[Run] = list(runs.values())
        if not self.known:
            asked += [experiment.whole, experiment.floor]
        experiment.progress.stage(f"measuring {len(runs)} circuits of other sizes")
        means = experiment.means(asked)
        if not self.known:
            self.floor = means[experiment.floor]
            effect = means[experiment.whole] - self.floor
            self.effect = effect if abs(effect) > 2 * experiment.noise(metric) else None
        for taken, mask in masks.items():
            share = (means[runs[taken]] - self.floor) / (self.effect or 1.0)
            self.known[taken] = Probe(taken, mask, share)

    def _masks(self, numbers: Sequence[int]) -> dict[int, int]:
        found, mask, before = {}, bytearray(-(-self.experiment.graph.size // 8)), 0
        for taken in numbers:
            for number in self.ranked[before:taken]:
                mask[number >> 3] |= 1 << (number & 7)
            before = taken
            found[taken] = pruned(self.experiment, int.from_bytes(mask, "little"))
        return found

    def reaching(self, wanted: float) -> int | None:
        """Which of the ascending probes is the first that reaches it, as does the next larger."""
        enough = [probe.faithfulness >= wanted for probe in self.ascending] + [True]
        return next(
            (i for i, (this, following) in enumerate(pairwise(enough)) if this and following), None
        )

    def between(self, wanted: float) -> list[int]:
        """At most `PER_ROUND` sizes between the first that is enough and the one before it."""
        at = self.reaching(wanted)
        if at is None:
            return []
        known = self.ascending
        low, high = known[at - 1].taken if at else 0, known[at].taken
        step = max(1.0, (high - low) / (PER_ROUND + 1))
        sizes = {low + round(step * i) for i in range(1, PER_ROUND + 1)}
        return sorted(size for size in sizes if low < size < high)


def _say(experiment: Experiment, found: Selection) -> None:
    if found.reached:
        what, help = (
            f"A faithfulness of {found.wanted:g}",
            "a lower one, `--order size` or more prompts",
        )
        say_kept(experiment, found.mask, what, help)
        return
    best = found.chosen
    experiment.front.diagnostics.warn(
        "CL783",
        f"None of the {len(found.probes)} sizes measured reaches a faithfulness of {found.wanted:g}; "
        f"the most faithful has {best.edges:,} edges and {best.faithfulness:.3f}.",
        None,
        "ask for less, or score the edges in another way",
    )


def say_kept(
    experiment: Experiment,
    mask: int,
    what: str,
    fewer: str,
    more: str = "",
    among: int | None = None,
) -> None:
    """Says that `what` keeps nothing, or all of the candidates, where it does."""
    candidates = experiment.candidates if among is None else among
    total, diagnostics = candidates.bit_count(), experiment.front.diagnostics
    if not mask:
        message = f"{what} keeps none of the {total:,} edges."
        if not total:
            message = "None of the candidate edges lies on a path to the logits."
        diagnostics.error("CL781", message, None, f"take {more}" if more else "look at the scores")
    elif mask & candidates == candidates:
        diagnostics.warn("CL781", f"{what} keeps all {total:,} edges.", None, f"take {fewer}")


def say_no_effect(experiment: Experiment) -> None:
    experiment.front.diagnostics.error(
        "CL784",
        "F(M) - F(none) cannot be told from zero, so no circuit has a share of it.",
        None,
        "take a metric, an ablation or a task for which the two differ",
    )
