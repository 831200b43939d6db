"""The walk from the logits backwards along the edges that matter (iterated path patching).

Takes an experiment and a share of the effect, and gives edges with their effects in the order in
which they were found. The effect of an edge is `drop(M, s -> r)`: F(M) less F of M in which r alone
reads the ablated value of s there, and what is behind r is computed anew. That is path patching with
a path of one edge (Wang et al. 2022; Goldowsky-Dill et al. 2023), the language's
`path_effect(s, r, through = none)`, so whatever number is found can be claimed in a spec.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from circuitlang.discovery.experiment import Experiment
from circuitlang.discovery.selection import say_kept, say_no_effect
from circuitlang.language.graph.architecture import (
    INPUT,
    LOGITS,
    Architecture,
    Edge,
    Node,
    bits,
)
from circuitlang.language.graph.edges import uniform


@dataclass(frozen=True)
class Walked:
    """An edge that was looked at from step `depth`, counted from 1, and what its ablation costs."""

    edge: Edge
    effect: float
    depth: int


@dataclass(frozen=True)
class Walk:
    """`kept` are the edges with enough effect, those of a step by size; `mask` is their circuit.

    `seen` has the effect of every edge that was looked at, by number. `left` are nodes that were
    reached and not gone behind, because of the depth or the budget.
    """

    graph: Architecture
    share: float
    effect: float
    kept: tuple[Walked, ...]
    seen: Mapping[int, float]
    left: tuple[Node, ...]

    @property
    def mask(self) -> int:
        return self.graph.mask(one.edge for one in self.kept)


def walk(
    experiment: Experiment,
    threshold: float = 0.02,
    max_depth: int | None = None,
    budget: int | None = None,
    candidates: int | None = None,
) -> Walk | None:
    """Goes from the logits to input along edges whose effect is at least a share of F(M) - F(none).

    Each step measures all edges into the nodes that the step before has reached, in one plan, and
    goes on from the senders of those whose absolute effect is large enough. A node is gone behind
    once. With `max_depth` that many steps are made; with `budget` so many edges are looked at, of a
    step those first that lead to the nodes with the largest effects. None where the effect of the
    whole is within its numeric noise.
    """
    if not threshold > 0:
        raise ValueError(f"the threshold is {threshold:g}, and has to be above 0")
    some = experiment.candidates if candidates is None else candidates
    return _Walk(experiment, threshold, some).all(
        math.inf if max_depth is None else max_depth, math.inf if budget is None else budget
    )


class _Walk:
    def __init__(self, experiment: Experiment, share: float, candidates: int) -> None:
        self.experiment, self.share = experiment, share
        self.graph, self.candidates = experiment.graph, candidates & experiment.candidates
        self.seen: dict[int, float] = {}
        self.kept: list[Walked] = []
        self.reached = {INPUT, LOGITS}
        self.whole = self.effect = 0.0

    def all(self, max_depth: float, budget: float) -> Walk | None:
        depth, frontier = 0, [LOGITS]
        left: list[Node] = []
        while frontier and depth < max_depth:
            affordable = list(self._affordable(frontier, budget - len(self.seen)))
            left += frontier[len(affordable) :]
            if not affordable:
                frontier = []
                break
            depth += 1
            self.experiment.progress.stage(
                f"step {depth}: edges into {len(affordable)} nodes, {len(self.kept)} kept so far"
            )
            entering = [n for node in affordable for n in self._entering(node)]
            effects = self._effects(entering)
            if effects is None:
                return None
            self.seen |= effects
            frontier = self._kept(effects, depth)
        kept, left = tuple(self.kept), [*left, *frontier]
        found = Walk(self.graph, self.share, self.effect, kept, self.seen, tuple(left))
        what = f"A threshold of {self.share:.3g} of the effect"
        say_kept(
            self.experiment, found.mask, what, "a larger one", "a smaller one", self.candidates
        )
        return found

    def _affordable(self, frontier: Iterable[Node], budget: float) -> Iterator[Node]:
        """The first nodes whose edges the budget allows."""
        for node in frontier:
            budget -= sum(1 for _ in self._entering(node))
            if budget < 0:
                return
            yield node

    def _entering(self, node: Node) -> Iterator[int]:
        for receiver in self.graph.receivers_of(node):
            index = self.graph.receiver_index[receiver]
            for sender in bits(self.graph.row(self.candidates, index)):
                yield self.graph.offsets[index] + sender

    def _effects(self, numbers: list[int]) -> dict[int, float] | None:
        """F(M) less F of M without each edge; None where there is no effect to compare with."""
        experiment, metric = self.experiment, self.experiment.metric
        runs = {number: experiment.without(uniform(1 << number)) for number in numbers}
        first = [experiment.whole, experiment.floor] if not self.seen else []
        means = experiment.means([*runs.values(), *first])
        if first:
            self.whole = means[experiment.whole]
            self.effect = self.whole - means[experiment.floor]
            if abs(self.effect) <= 2 * experiment.noise(metric):
                say_no_effect(experiment)
                return None
        return {number: self.whole - means[run] for number, run in runs.items()}

    def _kept(self, effects: Mapping[int, float], depth: int) -> list[Node]:
        """Takes the edges that matter; their senders that are new, those with most effect first."""
        least = self.share * abs(self.effect)
        by_size = sorted(effects.items(), key=lambda item: (-abs(item[1]), item[0]))
        found = [Walked(self.graph.edge(n), e, depth) for n, e in by_size if abs(e) >= least]
        self.kept += found
        senders = dict.fromkeys(one.edge.sender for one in found)
        new = [node for node in senders if node not in self.reached]
        self.reached.update(new)
        return new
