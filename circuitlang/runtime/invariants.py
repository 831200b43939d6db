"""Checks that a model's runs mean what they should, on one small chunk, and measures noise.

Every pair of computations compared here must agree in exact arithmetic. The largest relative
difference of their logits says whether the executor is right; the largest difference of a
metric over all pairs is that metric's numeric noise in this check.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from circuitlang.compiler.collect import reference_runs
from circuitlang.language.architecture import INPUT, LOGITS, Architecture, Node
from circuitlang.language.edges import NOTHING, EdgeSet, uniform
from circuitlang.language.prompt import Prompt, PromptSet
from circuitlang.language.spec import (
    Metric,
    MetricExpression,
    MetricOperation,
    Run,
    TokenScore,
    TopToken,
)
from circuitlang.language.syntax import RELATIONS
from circuitlang.runtime import reference
from circuitlang.runtime.ablation import Ablations, Values, token_tensor
from circuitlang.runtime.measure import Plan, Requests, check_prompts, chunks, explained_memory
from circuitlang.runtime.metrics import Evaluation, Vector, heads_watched
from circuitlang.runtime.models import LoadedModel
from circuitlang.runtime.reference import Outcome

LIMITS = {"float32": 1e-4, "float64": 1e-6}


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
    leaves edges out. Raises like `measure`.
    """
    check_prompts(model, prompts.prompts)
    rows = max(chunks(prompts.prompts, size), key=len)
    chosen = [prompts.prompts[row] for row in rows]
    with explained_memory(model, len(chosen)):
        return _Check(model, chosen, Ablations(model, prompts.references), requests).report()


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
        ablations: Ablations,
        requests: Requests,
    ) -> None:
        self.model, self.prompts, self.ablations = model, prompts, ablations
        self.requests = requests
        self.metrics = list(dict.fromkeys(m for ms in requests.values() for m in ms))
        self.plan = Plan(requests)
        end = len(prompts[0].tokens) - 1
        reads = {p for run in requests for p in self.plan.positions(run, prompts)}
        self.positions = tuple(sorted(reads | {end}))
        self.heads = {h for metric in self.metrics for h in heads_watched(metric.expression)}
        self.noise = dict.fromkeys(self.metrics, 0.0)
        self.references: dict[Run, Outcome] = {}

    def report(self) -> InvariantReport:
        clean = token_tensor(self.prompts, None, self.model)
        self._execute_references(clean)
        invariants = [self._compare(*pair) for pair in self._pairs(clean)]
        return InvariantReport(tuple(invariants), self.noise, len(self.prompts))

    def _pairs(self, clean: Tensor) -> Iterator[tuple[str, Outcome, Outcome, frozenset[Metric]]]:
        """What has to agree, with the metrics that some request reads from such a run."""
        everything = uniform(self.model.architecture.everything)
        whole = self._run(clean, everything, None)
        read = self._read_from(everything)
        yield "F(M) equals an unhooked forward", whole, self._unhooked(clean), read
        for name in self._corruptions():
            corrupted = token_tensor(self.prompts, name, self.model)
            outputs = reference.run_live(self.model, corrupted).outputs
            nothing = self._run(clean, NOTHING, outputs)
            unhooked = self._unhooked(corrupted)
            yield f"F(none) equals the run on {name}", nothing, unhooked, self._read_from(NOTHING)
        circuit = next((run for run in self.requests if run.ablation is not None), None)
        if circuit is None:
            parts = self._in_parts(clean, None, None)
            yield "chunks of another size give the same", parts, whole, read
            return
        assert circuit.ablation is not None
        same = reference.run_live(self.model, clean).outputs
        unchanged = self._run(clean, circuit.live, same)
        yield f"{circuit.written or 'C'} with x' = x equals M", unchanged, whole, read
        values = self.ablations.values(circuit.ablation, self.prompts)
        normal = self._run(clean, circuit.live, values)
        dead = dead_ends(self.model.architecture, circuit.live.reach)
        for head in self.heads:
            for receiver in self.model.architecture.receivers_of(head):
                dead &= ~self.model.architecture.entering(receiver)
        more = self._run(clean, circuit.live | uniform(dead), values)
        read = self._read_from(circuit.live)
        yield "edges that lead nowhere change nothing", more, normal, read
        parts = self._in_parts(clean, circuit, values)
        yield "chunks of another size give the same", parts, normal, read

    def _read_from(self, live: EdgeSet) -> frozenset[Metric]:
        return frozenset(m for run, ms in self.requests.items() if run.live == live for m in ms)

    def _corruptions(self) -> list[str]:
        used = [run.ablation for run in self.plan.order if run.ablation is not None]
        return list(
            dict.fromkeys(a.corruption for a in used if a.kind == "resample" and a.corruption)
        )

    # ------------------------------------------------------------ computing

    def _run(
        self,
        tokens: Tensor,
        live: EdgeSet,
        values: Values | None,
        rows: slice = slice(None),
    ) -> Outcome:
        layouts = [prompt.layout for prompt in self.prompts[rows]]
        regions = reference.regions_of(live, layouts)
        full = reference.run(self.model, tokens, regions, values, self.positions, self.heads)
        return Outcome(full.positions, full.logits, full.patterns)

    def _unhooked(self, tokens: Tensor) -> Outcome:
        positions = tokens.new_tensor(self.positions)
        return Outcome(self.positions, self.model.unhooked(tokens, positions))

    def _in_parts(self, clean: Tensor, run: Run | None, values: Values | None) -> Outcome:
        """The same prompts in two chunks of different sizes."""
        live = uniform(self.model.architecture.everything) if run is None else run.live
        length, cut = clean.shape[1], max(1, len(clean) // 3)
        parts = []
        for rows in (slice(0, cut), slice(cut, len(clean))):
            if not len(clean[rows]):
                continue
            places = slice(rows.start * length, rows.stop * length)
            part = None if values is None else [v if v is None else v[places] for v in values]
            parts.append(self._run(clean[rows], live, part, rows))
        patterns = {h: torch.cat([p.patterns[h] for p in parts]) for h in self.heads}
        return Outcome(self.positions, torch.cat([p.logits for p in parts]), patterns)

    def _execute_references(self, clean: Tensor) -> None:
        for run in self.plan.order:
            if self.plan.uses[run] or self._compares_with_itself(run):
                values = None
                if run.ablation is not None:
                    values = self.ablations.values(run.ablation, self.prompts)
                self.references[run] = self._run(clean, run.live, values)

    def _compares_with_itself(self, run: Run) -> bool:
        metrics = self.requests.get(run, ())
        return any(run in reference_runs(metric.expression) for metric in metrics)

    # ------------------------------------------------------------ comparing

    def _compare(
        self, name: str, one: Outcome, other: Outcome, read: frozenset[Metric]
    ) -> Invariant:
        """A metric that jumps (an indicator, a rank) has noise only where a request reads it:
        elsewhere the smallest difference may decide a tie that nobody asks about."""
        first, second = one.logits.double(), other.logits.double()
        scale = second.abs().max().item()
        deviation = (first - second).abs().max().item() / scale if scale else 0.0
        for metric in self.metrics:
            asked = metric in read or not jumps(metric.expression)
            if asked and self._evaluable(metric, (one, other)):
                values = [self._values(metric, outcome) for outcome in (one, other)]
                self.noise[metric] = max(self.noise[metric], _largest_difference(*values))
        return Invariant(name, deviation, deviation <= LIMITS[self.model.reference.dtype])

    def _evaluable(self, metric: Metric, outcomes: Iterable[Outcome]) -> bool:
        heads = heads_watched(metric.expression)
        return all(head in outcome.patterns for outcome in outcomes for head in heads)

    def _values(self, metric: Metric, outcome: Outcome) -> Vector:
        return Evaluation(outcome, self.prompts, self.references).value(metric.expression)


def jumps(expression: MetricExpression) -> bool:
    """Whether an arbitrarily small change of the logits can change the metric by a step."""
    if isinstance(expression, MetricOperation):
        return expression.operator in RELATIONS or any(map(jumps, expression.operands))
    return isinstance(expression, TopToken) or (
        isinstance(expression, TokenScore) and expression.kind == "rank"
    )


def _largest_difference(one: Vector, other: Vector) -> float:
    finite = np.isfinite(one) & np.isfinite(other)
    return float(np.abs(one - other)[finite].max(initial=0.0))
