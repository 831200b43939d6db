"""Runs one after the other through the reference executor: the slow, obvious way.

Prompts are bucketed by token length and cut into chunks. In each chunk every ablation's
values are computed once. A run's metrics are worked out when it and all runs that they compare
it with are executed, and its outcome is kept for as long as some run is compared with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch

from circuitlang.compiler.collect import Requests, all_runs, reference_runs
from circuitlang.language.graph.architecture import Architecture, Node
from circuitlang.language.graph.edges import EdgeSet, Layout
from circuitlang.language.prompt import Prompt, PromptSet
from circuitlang.language.spec import Ablation, Lens, Metric, Run
from circuitlang.runtime import reference
from circuitlang.runtime.ablation import Ablations, Values, token_tensor
from circuitlang.runtime.metrics import Evaluation, Vector, positions_read, watched
from circuitlang.runtime.models import LoadedModel
from circuitlang.runtime.reference import Outcome
from circuitlang.runtime.results import Results

CHUNK_BYTES = 1_500_000_000
LARGEST_CHUNK = 256


def execute_one_by_one(
    model: LoadedModel,
    prompts: PromptSet,
    results: Results,
    chunk: int | None,
    progress: Callable[[int, int], None],
) -> None:
    """Fills `results`; `progress` gets the executed and the total number of (run, prompt) pairs."""
    ablations = Ablations(model, prompts.references)
    done, total = results.pairs, len(prompts.prompts) * len(all_runs(results.requests))
    for together in chunks(prompts.prompts, chunk or default_chunk(model, prompts.prompts)):
        for requests, rows in results.left(results.requests, together):
            chosen = [prompts.prompts[row] for row in rows]
            for run, values in Chunk(model, chosen, RunOrder(requests), ablations).measured():
                results.add(rows, {(run, metric): vector for metric, vector in values.items()})
                done += len(rows)
                progress(min(done, total), total)


def default_chunk(model: LoadedModel, prompts: Sequence[Prompt]) -> int:
    """How many prompts run together: every sender's output is held live, ablated and in sums."""
    graph, bytes_each = model.architecture, torch.finfo(model.dtype).bits // 8
    longest = max((len(p.tokens) for p in prompts), default=1)
    per_prompt = 4 * bytes_each * len(graph.senders) * longest * graph.shape.d_model
    return max(1, min(LARGEST_CHUNK, CHUNK_BYTES // per_prompt))


def chunks(prompts: Sequence[Prompt], size: int) -> Iterator[list[int]]:
    """Row numbers of prompts that run together: equal token length, at most `size` of them."""
    buckets: dict[int, list[int]] = {}
    for row, prompt in enumerate(prompts):
        buckets.setdefault(len(prompt.tokens), []).append(row)
    for _, rows in sorted(buckets.items()):
        for start in range(0, len(rows), max(size, 1)):
            yield rows[start : start + max(size, 1)]


class RunOrder:
    """The requested runs and those they are compared with, each after these unless two are
    compared with each other."""

    def __init__(self, requests: Requests) -> None:
        self.requests = requests
        self.needs: dict[Run, list[Run]] = {}
        self.runs: list[Run] = []
        for run in requests:
            self._add(run)
        self.uses = Counter(other for others in self.needs.values() for other in others)
        self.readers: dict[Run, list[Run]] = {run: [] for run in self.runs}
        for run, others in self.needs.items():
            for other in others:
                self.readers[other].append(run)

    def _add(self, run: Run) -> None:
        if run in self.needs:
            return
        metrics = self.requests.get(run, ())
        others = [o for m in metrics for o in reference_runs(m.expression) if o != run]
        self.needs[run] = list(dict.fromkeys(others))
        for other in self.needs[run]:
            self._add(other)
        self.runs.append(run)

    def positions(self, run: Run, prompts: Sequence[Prompt]) -> tuple[int, ...]:
        """The positions at which the run's logits are read, by its metrics or by others'."""
        found: set[int] = set()
        for reader, others in self.needs.items():
            if reader == run or run in others:
                for metric in self.requests.get(reader, ()):
                    found |= positions_read(metric.expression, prompts)
        return tuple(sorted(found))


@dataclass(frozen=True)
class Chunk:
    """Prompts of one length on which all runs are executed."""

    model: LoadedModel
    prompts: Sequence[Prompt]
    order: RunOrder
    ablations: Ablations

    def measured(self) -> Iterator[tuple[Run, dict[Metric, Vector]]]:
        """Each run with its metrics' values on these prompts, in order."""
        ablated: dict[Ablation, Values] = {}
        kept: dict[Run, Outcome] = {}
        waiting = Counter(self.order.runs) + self.order.uses
        for run in self.order.runs:
            kept[run] = self._execute(run, self.order.requests.get(run, ()), ablated)
            for reader in (run, *self.order.readers[run]):
                needed = (reader, *self.order.needs[reader])
                if not all(one in kept for one in needed):
                    continue
                evaluation = Evaluation(kept[reader], self.prompts, kept)
                metrics = self.order.requests.get(reader, ())
                yield reader, {metric: evaluation.value(metric.expression) for metric in metrics}
                for one in needed:
                    waiting[one] -= 1
                    if not waiting[one]:
                        del kept[one]

    def _execute(
        self, run: Run, metrics: Iterable[Metric], ablated: dict[Ablation, Values]
    ) -> Outcome:
        read = watched(metric.expression for metric in metrics)
        positions = self.order.positions(run, self.prompts)
        full = execute_one(
            self.model,
            self.prompts,
            run,
            self.ablations,
            ablated,
            positions,
            read.heads,
            read.lenses,
        )
        return Outcome(full.positions, full.logits, full.patterns, full.lenses)


def execute_one(
    model: LoadedModel,
    prompts: Sequence[Prompt],
    run: Run,
    ablations: Ablations,
    ablated: dict[Ablation, Values],
    positions: Sequence[int],
    heads: Iterable[Node] = (),
    lenses: Iterable[Lens] = (),
    kept: Container[int] = (),
) -> Outcome:
    """One run on prompts of one length, the runs that it reads from before it.

    `ablated` has the values of ablations that were needed before on these prompts.
    """
    layouts = [prompt.layout for prompt in prompts]
    given = []
    for reading in run.readings:
        places = receivers_of(reading.edges, layouts, model.architecture)
        other = execute_one(
            model, prompts, reading.run, ablations, ablated, positions[:1], kept=places
        )
        given.append(reference.Given(other.brought, places))
    if run.ablation is not None and run.ablation not in ablated:
        ablated[run.ablation] = ablations.values(run.ablation, prompts)
    return reference.run(
        model,
        token_tensor(prompts, None, model),
        reference.regions_of(run.live, layouts),
        None if run.ablation is None else ablated[run.ablation],
        positions,
        heads,
        lenses,
        given,
        kept,
    )


def receivers_of(
    edges: EdgeSet, layouts: Sequence[Layout], graph: Architecture
) -> dict[int, tuple[int, ...]]:
    """The receivers that the set has edges into, each with the places (prompt * length +
    position) where it has them."""
    everywhere = tuple(range(len(layouts) * layouts[0].length))
    found: dict[int, tuple[int, ...]] = {}
    for region in reference.regions_of(edges, layouts):
        places = everywhere if region.index is None else region.index
        for receiver in graph.entered(region.mask):
            found[receiver] = found.get(receiver, ()) + places
    return found
