"""Requests and prompts -> pieces: some runs on some prompts, with a plan that fits the memory.

Prompts of one layout are sorted by where their corruptions begin and cut into chunks. Where
even one prompt does not fit, the runs are cut in halves, and what these share is computed twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from circuitlang.compiler.allocate import Plan
from circuitlang.compiler.collect import Requests, all_runs
from circuitlang.compiler.passes import ALL, Switches, compile_program
from circuitlang.compiler.program import Program, first_difference, program
from circuitlang.compiler.reads import Reads, leaves, readout_bytes, reads_of, working_bytes
from circuitlang.language.graph.edges import Layout, Place, Position
from circuitlang.language.prompt import Prompt, mean_key
from circuitlang.language.spec import (
    AttentionScore,
    CopyScore,
    Divergence,
    Loss,
    MetricExpression,
    Run,
)

LARGEST_CHUNK = 1024
AllReads = Mapping[Run, Reads]


class BudgetTooSmall(Exception):
    """One run on one prompt needs `needed` bytes, more than the budget."""

    def __init__(self, needed: int) -> None:
        super().__init__(f"one run on one prompt needs {needed:,} bytes")
        self.needed = needed


@dataclass(frozen=True)
class Budget:
    """Bytes that tensors may take besides the model; `itemsize` of one number in bytes."""

    bytes: int
    itemsize: int


@dataclass(frozen=True)
class Piece:
    """Runs and prompts that are executed together; `rows` number the prompts in their set.

    `prompts` keep only the spans that some run or metric names, so all have one layout; `reads`
    are what is read on all prompts of this layout.
    """

    requests: Requests
    runs: tuple[Run, ...]
    rows: tuple[int, ...]
    prompts: tuple[Prompt, ...]
    reads: AllReads
    plan: Plan
    bytes: int

    @property
    def program(self) -> Program:
        return self.plan.graph.program


class Planner:
    """Plans one model's runs on one task's prompts; compiles each distinct program once."""

    def __init__(
        self,
        requests: Requests,
        prompts: Sequence[Prompt],
        budget: Budget,
        *,
        largest: int = LARGEST_CHUNK,
        switches: Switches = ALL,
    ) -> None:
        self.requests, self.prompts, self.budget = requests, prompts, budget
        self.largest, self.switches = largest, switches
        self._plans: dict[object, Plan] = {}

    def pieces(self) -> Iterator[Piece]:
        """All pieces; raises `BudgetTooSmall` and, like `EdgeSet.rows`, `UnresolvedPosition`."""
        for rows in self._buckets():
            reads = reads_of(self.requests, [self._plain[row] for row in rows])
            yield from self._cut(self.requests, reads, rows)

    def halves(self, piece: Piece) -> Iterator[Piece]:
        """The same work in smaller pieces; raises `BudgetTooSmall` when there are none."""
        middle = len(piece.rows) // 2
        if middle:
            for rows in (piece.rows[:middle], piece.rows[middle:]):
                yield self._piece(piece.requests, piece.reads, rows)
        else:
            for part in self._halved(piece.requests, piece.bytes):
                yield self._piece(part, piece.reads, piece.rows)

    def part(self, piece: Piece, requests: Requests, rows: Sequence[int]) -> Piece:
        """Some of a piece's requests on some of its prompts."""
        return self._piece(requests, piece.reads, rows)

    # ------------------------------------------------------------ cutting

    def _buckets(self) -> Iterator[list[int]]:
        """Row numbers by layout, each bucket in the order of its corruptions' first tokens."""
        buckets: dict[Layout, list[int]] = {}
        for row, prompt in enumerate(self._plain):
            buckets.setdefault(prompt.layout, []).append(row)
        for _, rows in sorted(buckets.items(), key=lambda item: item[0].length):
            yield sorted(rows, key=lambda row: self._firsts(self._plain[row]))

    def _cut(self, requests: Requests, reads: AllReads, rows: Sequence[int]) -> Iterator[Piece]:
        plan = self._plan(requests, reads, rows)
        fitting = self._fitting(plan, reads, rows)
        if not fitting:
            for part in self._halved(requests, self._bytes(plan, reads, rows[:1])):
                yield from self._cut(part, reads, rows)
            return
        number = -(-len(rows) // fitting)
        each = -(-len(rows) // number)
        for start in range(0, len(rows), each):
            yield self._piece(requests, reads, tuple(rows[start : start + each]))

    def _fitting(self, plan: Plan, reads: AllReads, rows: Sequence[int]) -> int:
        """How many prompts fit the budget together."""
        low, high = 0, min(len(rows), self.largest)
        while low < high:
            middle = (low + high + 1) // 2
            fits = self._bytes(plan, reads, rows[:middle]) <= self.budget.bytes
            low, high = (middle, high) if fits else (low, middle - 1)
        return low

    def _halved(self, requests: Requests, needed: int) -> tuple[Requests, Requests]:
        if len(requests) < 2:
            raise BudgetTooSmall(needed)
        items, middle = list(requests.items()), len(requests) // 2
        return dict(items[:middle]), dict(items[middle:])

    # ------------------------------------------------------------ planning

    def _piece(self, requests: Requests, reads: AllReads, rows: Sequence[int]) -> Piece:
        plan = self._plan(requests, reads, rows)
        prompts = tuple(self._plain[row] for row in rows)
        runs, size = all_runs(requests), self._bytes(plan, reads, rows)
        return Piece(requests, runs, tuple(rows), prompts, reads, plan, size)

    def _plan(self, requests: Requests, reads: AllReads, rows: Sequence[int]) -> Plan:
        """The plan for prompts of one layout, which depends on where corruptions begin."""
        prompts = [self._plain[row] for row in rows]
        firsts = tuple(map(min, zip(*map(self._firsts, prompts), strict=True)))
        key = (tuple(requests), prompts[0].layout, firsts)
        if key not in self._plans:
            form = program(all_runs(requests), reads, prompts)
            self._plans[key] = compile_program(form, self.switches)
        return self._plans[key]

    def _bytes(self, plan: Plan, reads: AllReads, rows: Sequence[int]) -> int:
        """Planned peak of executing `plan` on these prompts: tensors besides the model's."""
        itemsize, vocabulary = self.budget.itemsize, plan.graph.program.wiring.shape.vocab
        runs = len(plan.graph.finals)
        whole = any(read.tokens is None for r in reads.values() for read in r.logits)
        read = readout_bytes(len(rows), runs, vocabulary, itemsize, work=self._work) if whole else 0
        return itemsize * (plan.peak(len(rows)) + self._averages(plan, rows)) + read

    @cached_property
    def _work(self) -> int:
        metrics = {metric for asked in self.requests.values() for metric in asked}
        found = (leaf for metric in metrics for leaf in leaves(metric.expression))
        return working_bytes({leaf.kind for leaf in found if isinstance(leaf, Divergence)})

    def _averages(self, plan: Plan, rows: Sequence[int]) -> int:
        """Numbers in the tables of means and constants that these prompts use."""
        form = plan.graph.program
        used = [source.ablation for source in form.sources if source.ablation]
        means = [one for one in used if one.kind == "mean"]
        keys = {mean_key(mean, self.prompts[row]) for mean in means for row in rows}
        number = len(keys) + sum(one.kind == "constants" for one in used)
        tables = form.wiring.senders + len(form.wiring.counts)
        return number * tables * form.length * form.wiring.shape.d_model

    @cached_property
    def _plain(self) -> tuple[Prompt, ...]:
        """The prompts with the spans that some run or metric names."""
        labels = {p.label for place in self._places() for p in place.positions}
        return tuple(
            replace(p, spans={label: s for label, s in p.spans.items() if label in labels})
            for p in self.prompts
        )

    def _places(self) -> Iterator[Place]:
        for run in all_runs(self.requests):
            yield from run.places
        for metric in {m for metrics in self.requests.values() for m in metrics}:
            for leaf in leaves(metric.expression):
                yield from _places_of(leaf)

    @cached_property
    def _corruptions(self) -> tuple[str, ...]:
        used: dict[str, None] = {}
        for run in all_runs(self.requests):
            if run.ablation is not None and run.ablation.kind == "resample":
                used[str(run.ablation.corruption)] = None
        return tuple(used)

    def _firsts(self, prompt: Prompt) -> tuple[int, ...]:
        return tuple(first_difference(prompt, corruption) for corruption in self._corruptions)


def _places_of(leaf: MetricExpression) -> Iterator[Place]:
    if isinstance(leaf, AttentionScore):
        yield from (leaf.query, leaf.key)
    elif isinstance(leaf, (Loss, Divergence, CopyScore)):
        if leaf.place is not None:
            yield leaf.place
    else:
        position = getattr(leaf, "position", None)
        if isinstance(position, Position):
            yield Place((position,))
