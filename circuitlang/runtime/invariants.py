"""Checks that a model's runs mean what they should, on one small chunk, and measures noise.

Every pair of computations compared here must agree in exact arithmetic. The largest relative
difference of their logits says whether the executor is right; the largest difference of a
metric over all pairs is that metric's numeric noise in this check.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_

import numpy as np
import torch

from circuitlang.compiler.collect import Requests, reference_runs
from circuitlang.compiler.draws import at_draw, per_draw
from circuitlang.compiler.passes import ALL
from circuitlang.compiler.wiring import wiring
from circuitlang.language.graph.architecture import INPUT, LOGITS, Architecture, Node
from circuitlang.language.graph.edges import NOTHING, uniform
from circuitlang.language.prompt import Prompt, PromptSet
from circuitlang.language.spec import (
    Ablation,
    CopyScore,
    Metric,
    MetricExpression,
    MetricOperation,
    Run,
    TokenScore,
    TopToken,
)
from circuitlang.language.text.syntax import RELATIONS
from circuitlang.runtime.ablation import Ablations, token_tensor
from circuitlang.runtime.means import Averages
from circuitlang.runtime.measure import check_prompts, explained_memory
from circuitlang.runtime.metrics import Evaluation, Vector, watched
from circuitlang.runtime.models import LoadedModel
from circuitlang.runtime.one_by_one import RunOrder, execute_one
from circuitlang.runtime.planned import outcomes
from circuitlang.runtime.reference import Outcome

LIMITS = {"float32": 1e-4, "float64": 1e-6}
REFERENCE_PROMPTS = 2
PLAIN = ALL.without("prefix", "prune", "fold", "dead")
SAME = Ablation("x' = x", "resample", "same")

Executor = Callable[[Sequence[Prompt], Sequence[Run]], list[Outcome]]


@dataclass(frozen=True)
class Invariant:
    """One comparison: the largest |logit difference| / max |logit|, and whether it is small."""

    name: str
    deviation: float
    passed: bool


@dataclass(frozen=True)
class InvariantReport:
    """All comparisons, and per metric the largest |difference| seen, in the metric's unit."""

    invariants: tuple[Invariant, ...]
    noise: Mapping[Metric, float]
    prompts: int

    @property
    def passed(self) -> bool:
        return all(invariant.passed for invariant in self.invariants)


def check_invariants(
    model: LoadedModel, prompts: PromptSet, requests: Requests, *, size: int = 8
) -> InvariantReport:
    """Compares runs on up to `size` prompts of the most frequent length.

    Takes what `measure` takes: the circuit that is checked is the first requested run that
    leaves edges out. Of random donors the first are looked at. Raises like `measure`.
    """
    check_prompts(model, prompts.prompts)
    lengths: dict[int, list[Prompt]] = {}
    for prompt in prompts.prompts:
        lengths.setdefault(len(prompt.tokens), []).append(prompt)
    chosen = max(lengths.values(), key=len)[:size]
    executed = per_draw(requests, most=1)
    with explained_memory(model):
        report = _Check(model, chosen, prompts.references, executed).report()
    noise = {
        metric: report.noise[at_draw(run, metric, 0)[1]]
        for run, metrics in requests.items()
        for metric in metrics
    }
    return replace(report, noise=noise)


def dead_ends(architecture: Architecture, live: int) -> int:
    """All edges into nodes from which no path inside `live` leads to the logits."""
    alive = {LOGITS}
    dead = 0
    for node in reversed(architecture.senders):
        if any(_reaches(architecture, live, node, other) for other in alive):
            alive.add(node)
        elif node != INPUT:
            for receiver in architecture.receivers_of(node):
                dead |= architecture.entering(receiver)
    return dead


def _reaches(architecture: Architecture, live: int, node: Node, other: Node) -> bool:
    sender = architecture.sender_index[node]
    return any(
        architecture.row(live, architecture.receiver_index[receiver]) >> sender & 1
        for receiver in architecture.receivers_of(other)
    )


class _Check:
    def __init__(
        self,
        model: LoadedModel,
        prompts: Sequence[Prompt],
        references: Sequence[Prompt],
        requests: Requests,
    ) -> None:
        self.model, self.prompts, self.requests = model, prompts, requests
        self.ablations = Ablations(model, references)
        self.metrics = list(dict.fromkeys(m for ms in requests.values() for m in ms))
        self.order = RunOrder(requests)
        end = len(prompts[0].tokens) - 1
        reads = {p for run in requests for p in self.order.positions(run, prompts)}
        self.positions = tuple(sorted(reads | {end}))
        self.watched = watched(metric.expression for metric in self.metrics)
        self.noise = dict.fromkeys(self.metrics, 0.0)
        self.largest_logit = 0.0
        self.references: dict[Run, Outcome] = {}
        if model.adapter is not None:
            graph = wiring(model.shape)
            self.averages = Averages(model.adapter, graph, references, model.device)
        self.execute = self._one_by_one if model.adapter is None else self._planned
        self.plainly = self._one_by_one if model.adapter is None else self._planned_plainly

    def report(self) -> InvariantReport:
        compared = [
            run
            for run in self.order.runs
            if self.order.uses[run] or self._compares_with_itself(run)
        ]
        self.references = dict(zip(compared, self.execute(self.prompts, compared), strict=True))
        invariants = [self._compare(*pair) for pair in self._pairs()]
        return InvariantReport(tuple(invariants), self.noise, len(self.prompts))

    def _pairs(self) -> Iterator[tuple[str, Outcome, Outcome, frozenset[Metric]]]:
        """What has to agree, with the metrics that some request reads from such a run."""
        everything = uniform(self.model.architecture.everything)
        some = next(iter(self.requests))
        whole_run = replace(some, ablation=None, live=everything, readings=())
        (whole,) = self.execute(self.prompts, [whole_run])
        self.largest_logit = whole.logits.double().abs().max().item()
        read = self._read_by(whole_run)
        yield "F(M) equals an unhooked forward", whole, self._unhooked(None), read
        for ablation in self._resampled():
            none = replace(whole_run, ablation=ablation, live=NOTHING)
            (nothing,) = self.execute(self.prompts, [none])
            unhooked = self._unhooked(ablation)
            name = f"F(none) equals the run on {_tokens_of(ablation)}"
            yield name, nothing, unhooked, self._read_by(none)
        plain = (run for run in self.requests if not run.readings)
        circuit = next((run for run in plain if run.ablation is not None), None)
        if circuit is None:
            yield "chunks of another size give the same", self._in_parts(whole_run), whole, read
            return
        same = [replace(p, corrupted={"same": p.tokens}) for p in self.prompts]
        (unchanged,) = self.plainly(same, [replace(circuit, ablation=SAME)])
        yield f"{circuit.written or 'C'} with x' = x equals M", unchanged, whole, read
        (normal,) = self.execute(self.prompts, [circuit])
        read = self._read_by(circuit)
        with_dead = replace(circuit, live=circuit.live | uniform(self._dead(circuit)))
        (more,) = self.plainly(self.prompts, [with_dead])
        yield "edges that lead nowhere change nothing", more, normal, read
        yield "chunks of another size give the same", self._in_parts(circuit), normal, read
        if self.model.adapter is not None:
            yield from self._executors([whole_run, replace(circuit, live=NOTHING), circuit])

    def _executors(
        self, runs: list[Run]
    ) -> Iterator[tuple[str, Outcome, Outcome, frozenset[Metric]]]:
        """The same runs, and a random one, with nothing folded and by the reference executor."""
        graph, draw = self.model.architecture, random.Random(0)
        leaving = (graph.leaving(node) for node in graph.senders if draw.random() < 0.5)
        runs.append(replace(runs[-1], live=uniform(reduce(or_, leaving, 0))))
        names = ["M", "none", runs[2].written or "C", "a random half of all nodes"]
        for run in [run for run in self.requests if run.readings][:1]:
            runs.append(run)
            names.append(run.written)
        fast, plain = (execute(self.prompts, runs) for execute in (self.execute, self.plainly))
        slow = self._one_by_one(self.prompts[:REFERENCE_PROMPTS], runs)
        for name, run, one, other, third in zip(names, runs, fast, plain, slow, strict=True):
            read = self._read_by(run)
            yield f"F({name}) is the same with nothing folded", one, other, read
            part = _prompts(one, slice(REFERENCE_PROMPTS))
            yield f"F({name}) is the reference executor's", part, third, read

    def _dead(self, circuit: Run) -> int:
        """Edges that lead nowhere, neither to the logits nor to a node that is watched."""
        graph = self.model.architecture
        dead = dead_ends(graph, circuit.live.reach)
        looked_at = {lens.node for lens in self.watched.lenses if lens.norm != "copied"}
        if any(lens.norm == "copied" for lens in self.watched.lenses):
            looked_at.update(graph.senders[: wiring(graph.shape).first(1)])
        for node in self.watched.heads | (looked_at - {INPUT}):
            for receiver in graph.receivers_of(node):
                dead &= ~graph.entering(receiver)
        return dead

    def _read_by(self, run: Run) -> frozenset[Metric]:
        """The metrics of requests with the run's live edges and readings."""
        same = ((r, ms) for r, ms in self.requests.items() if r.readings == run.readings)
        return frozenset(m for r, ms in same if r.live == run.live for m in ms)

    def _resampled(self) -> list[Ablation]:
        runs = (one for run in self.order.runs for one in run.with_readings)
        used = [run.ablation for run in runs if run.ablation is not None]
        return list(dict.fromkeys(a for a in used if a.is_run))

    def _compares_with_itself(self, run: Run) -> bool:
        metrics = self.requests.get(run, ())
        return any(run in reference_runs(metric.expression) for metric in metrics)

    # ------------------------------------------------------------ computing

    def _planned(self, prompts: Sequence[Prompt], runs: Sequence[Run]) -> list[Outcome]:
        return outcomes(self.model, prompts, runs, self.positions, self.watched, self.averages)

    def _planned_plainly(self, prompts: Sequence[Prompt], runs: Sequence[Run]) -> list[Outcome]:
        return outcomes(
            self.model, prompts, runs, self.positions, self.watched, self.averages, PLAIN
        )

    def _one_by_one(self, prompts: Sequence[Prompt], runs: Sequence[Run]) -> list[Outcome]:
        found = []
        for run in runs:
            full = execute_one(
                self.model,
                prompts,
                run,
                self.ablations,
                {},
                self.positions,
                self.watched.heads,
                self.watched.lenses,
            )
            found.append(Outcome(full.positions, full.logits, full.patterns, full.lenses))
        return found

    def _unhooked(self, ablation: Ablation | None) -> Outcome:
        tokens = token_tensor(self.prompts, ablation, self.model)
        return Outcome(
            self.positions, self.model.unhooked(tokens, tokens.new_tensor(self.positions))
        )

    def _in_parts(self, run: Run) -> Outcome:
        """The same prompts in two chunks of different sizes, the second part first."""
        cut = max(1, len(self.prompts) // 3)
        sides = [side for side in (self.prompts[cut:], self.prompts[:cut]) if side]
        parts = [outcome for side in sides for outcome in self.execute(side, [run])][::-1]
        patterns = {h: torch.cat([p.patterns[h] for p in parts]) for h in self.watched.heads}
        shown = {x: torch.cat([p.lenses[x] for p in parts]) for x in self.watched.lenses}
        return Outcome(self.positions, torch.cat([p.logits for p in parts]), patterns, shown)

    # ------------------------------------------------------------ comparing

    def _compare(
        self, name: str, one: Outcome, other: Outcome, read: frozenset[Metric]
    ) -> Invariant:
        """In units of M's largest logit: a run's own may be 0 up to rounding.

        A metric that jumps (an indicator, a rank) has noise only where a request reads it:
        elsewhere the smallest difference may decide a tie that nobody asks about.
        """
        first, second = one.logits.double(), other.logits.double()
        scale = max(self.largest_logit, second.abs().max().item())
        deviation = (first - second).abs().max().item() / scale if scale else 0.0
        for metric in self.metrics:
            asked = metric in read or not jumps(metric.expression)
            if asked and self._evaluable(metric, (one, other)):
                values = [self._values(metric, outcome) for outcome in (one, other)]
                self.noise[metric] = max(self.noise[metric], _largest_difference(*values))
        return Invariant(name, deviation, deviation <= LIMITS[self.model.reference.dtype])

    def _evaluable(self, metric: Metric, outcomes: Iterable[Outcome]) -> bool:
        read = watched([metric.expression])
        return all(
            read.heads <= outcome.patterns.keys() and read.lenses <= outcome.lenses.keys()
            for outcome in outcomes
        )

    def _values(self, metric: Metric, outcome: Outcome) -> Vector:
        prompts = self.prompts[: len(outcome.logits)]
        references = {r: _prompts(o, slice(len(prompts))) for r, o in self.references.items()}
        return Evaluation(outcome, prompts, references).value(metric.expression)


def _prompts(outcome: Outcome, part: slice) -> Outcome:
    """The outcome for some of its prompts."""
    patterns = {head: pattern[part] for head, pattern in outcome.patterns.items()}
    shown = {lens: logits[part] for lens, logits in outcome.lenses.items()}
    return Outcome(outcome.positions, outcome.logits[part], patterns, shown)


def _tokens_of(ablation: Ablation) -> str:
    tokens = ablation.corruption or "clean tokens"
    return f"{tokens} of other prompts" if ablation.kind == "donor" else tokens


def jumps(expression: MetricExpression) -> bool:
    """Whether an arbitrarily small change of the logits can change the metric by a step."""
    if isinstance(expression, MetricOperation):
        return expression.operator in RELATIONS or any(map(jumps, expression.operands))
    return isinstance(expression, TopToken | CopyScore) or (
        isinstance(expression, TokenScore) and expression.kind == "rank"
    )


def _largest_difference(one: Vector, other: Vector) -> float:
    finite = np.isfinite(one) & np.isfinite(other)
    return float(np.abs(one - other)[finite].max(initial=0.0))
