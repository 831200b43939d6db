"""ACDC (Conmy et al. 2023): edges taken out one after the other, as long as little changes.

Takes an experiment and a threshold, and gives every decision in its order. A decision compares two
runs, the circuit before and after, and depends on all decisions before it. Runs are cheap when they
are measured together, so they are guessed ahead: what is measured at once are the runs of the next
decisions if these come out as expected. Decisions are taken from them up to the first that does not,
which is still one that was measured; the result is that of one decision at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from circuitlang.discovery.experiment import Experiment
from circuitlang.discovery.pruning import pruned, watched
from circuitlang.discovery.selection import say_kept
from circuitlang.language.graph.architecture import LOGITS, Architecture, bits
from circuitlang.language.graph.edges import uniform
from circuitlang.language.spec import Divergence, Metric

if TYPE_CHECKING:
    from circuitlang.language.spec import Run

BY = ("kl", "absolute", "signed")
FIRST, LEAST, MOST = 32, 16, 256


@dataclass(frozen=True)
class Decision:
    """An edge, by how much the circuit without it is worse, and whether it was taken out.

    The change is exactly 0 of an edge from which the logits could no longer be reached.
    """

    edge: int
    change: float
    removed: bool


@dataclass(frozen=True)
class Steps:
    """What ACDC did: `start` less what was removed is `kept`, and `mask` is `kept` pruned.

    `close` counts the decisions whose change is so near the threshold that rounding may have made
    them. `runs` were measured in `rounds` plans.
    """

    graph: Architecture
    by: str
    threshold: float
    start: int
    kept: int
    mask: int
    decisions: tuple[Decision, ...]
    close: int
    runs: int
    rounds: int


def acdc(
    experiment: Experiment, threshold: float, by: str = "kl", candidates: int | None = None
) -> Steps:
    """Takes edges out of M, or of `candidates` with all others ablated, the latest first.

    Receivers are gone through from the logits to the first layer, and each one's senders from the
    latest to input: in a layer the MLP, then all v, k and q ports, later heads first. The order
    matters, and this is the descending order of edge numbers. An edge is removed when the change
    is below `threshold`, which is in nats or in the metric's unit and above 0:

        kl         KL(M || this run) at the answer position grows by less (the paper's way)
        absolute   the metric changes by less, in either direction
        signed     the metric becomes worse by less
    """
    if by not in BY:
        raise ValueError(f"{by!r} is none of {', '.join(BY)}")
    if not threshold > 0:
        raise ValueError(f"the threshold is {threshold:g}, and has to be above 0")
    some = experiment.candidates if candidates is None else candidates & experiment.candidates
    start = some if candidates is None else pruned(experiment, some)
    search = _Search(experiment, threshold, by, start)
    while search.left:
        search.round()
    mask = pruned(experiment, search.live)
    say_kept(
        experiment, mask, f"A threshold of {threshold:g}", "a larger one", "a smaller one", start
    )
    close = sum(
        abs(d.change - threshold) <= 2 * experiment.noise(search.metric) for d in search.decisions
    )
    decisions = tuple(search.decisions)
    runs, rounds = search.runs, search.rounds
    graph = experiment.graph
    return Steps(graph, by, threshold, start, search.live, mask, decisions, close, runs, rounds)


@dataclass(frozen=True)
class _State:
    """Edges that are live, and the senders of those kept so far, bit s for sender s."""

    live: int
    alive: int

    def after(self, number: int, sender: int, removed: bool) -> _State:
        if removed:
            return replace(self, live=self.live & ~(1 << number))
        return replace(self, alive=self.alive | 1 << sender)


@dataclass(frozen=True)
class _Expected:
    """The run without an edge, None where it cannot matter, and whether it is expected to go."""

    edge: int
    sender: int
    run: Run | None
    removed: bool


class _Search:
    def __init__(self, experiment: Experiment, threshold: float, by: str, start: int) -> None:
        self.experiment, self.threshold, self.graph = experiment, threshold, experiment.graph
        self.metric, self.change = _measure(experiment, by)
        self.left = list(bits(start))  # the next to decide is the last
        self.total = len(self.left)
        graph = self.graph
        seen = watched(experiment, self.metric) - {LOGITS}
        free = (graph.edge(n).sender for n in bits(experiment.floor.floor.reach))
        alive = {graph.sender_index[node] for node in (*seen, *free)}
        self.state = _State(start, sum(1 << sender for sender in alive))
        self.value: float | None = None
        self.decisions: list[Decision] = []
        self.guesses: dict[int, bool] = {}
        self.size, self.runs, self.rounds = FIRST, 0, 0

    @property
    def live(self) -> int:
        return self.state.live

    def round(self) -> None:
        """Measures what is expected and takes the decisions that it settles."""
        expected = list(self._expected())
        decided = len(self.decisions)
        kept = decided - sum(d.removed for d in self.decisions)
        self.experiment.progress.stage(f"ACDC: {kept:,} edges kept so far")
        self.experiment.progress.pairs(decided, self.total)
        values = self._measured([e.run for e in expected if e.run is not None])
        right = self._decide(expected, values)
        self.size = min(2 * self.size, MOST) if right else max(self.size // 2, LEAST)

    def _expected(self) -> Iterator[_Expected]:
        state, runs = self.state, 0
        for number in reversed(self.left):
            receiver = self.graph.receiver_of(number)
            sender = number - self.graph.offsets[receiver]
            node = self.graph.receivers[receiver].node
            if node != LOGITS and not state.alive >> self.graph.sender_index[node] & 1:
                removed, run = True, None
            elif runs == self.size:
                return
            else:
                runs += 1
                removed = self.guesses.get(number, True)
                run = self._run(state.live & ~(1 << number))
            yield _Expected(number, sender, run, removed)
            state = state.after(number, sender, removed)

    def _run(self, live: int) -> Run:
        return self.experiment.run(uniform(live))

    def _measured(self, runs: list[Run]) -> dict[Run, float]:
        first = [self._run(self.state.live)] if self.value is None else []
        if not runs and not first:
            return {}
        self.rounds += 1
        self.runs += len(runs) + len(first)
        means = self.experiment.means([*first, *runs], self.metric)
        if first:
            self.value = means[first[0]]
        return means

    def _decide(self, expected: list[_Expected], values: dict[Run, float]) -> bool:
        """Whether all came out as expected."""
        assert self.value is not None
        for at, e in enumerate(expected):
            after = self.value if e.run is None else values[e.run]
            change = 0.0 if e.run is None else self.change(self.value, after)
            removed = change < self.threshold
            self.decisions.append(Decision(e.edge, change, removed))
            self.state = self.state.after(e.edge, e.sender, removed)
            self.left.pop()
            before = self.value
            if removed:
                self.value = after
            if removed != e.removed:
                self._guess(expected[at + 1 :], values, after if e.removed else before)
                return False
        return True

    def _guess(self, later: list[_Expected], values: dict[Run, float], before: float) -> None:
        """What was measured for nothing still suggests how the next decisions come out."""
        for e in later:
            if e.run is not None:
                after = values[e.run]
                self.guesses[e.edge] = self.change(before, after) < self.threshold
                before = after if e.removed else before


def _measure(experiment: Experiment, by: str) -> tuple[Metric, Callable[[float, float], float]]:
    """The metric, and how much worse it is after an edge is gone than before."""
    if by == "kl":
        return divergence(experiment), lambda before, after: after - before
    metric = experiment.metric
    if by == "absolute":
        return metric, lambda before, after: abs(before - after)
    sign = -1.0 if metric.lower_is_better else 1.0
    return metric, lambda before, after: sign * (before - after)


def divergence(experiment: Experiment) -> Metric:
    """KL(M || this run) of what follows the prompt, in nats: the language's `kl`."""
    return Metric("kl", Divergence(experiment.whole), True)
