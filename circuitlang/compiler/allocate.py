"""Ordered steps -> plan: when tensors are freed, how many bytes are live, how many prompts fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from circuitlang.compiler.graph import Graph, Value
from circuitlang.compiler.schedule import Schedule, Step, step_text
from circuitlang.language.graph.architecture import GATED, Shape

BLOCK_ROWS = 2048
"""How many (member, position, prompt) rows go through a norm and matrices together."""


@dataclass(frozen=True)
class Plan:
    """What the executor does, step by step.

    After step i the values in `frees[i]` are no longer needed; `live[i]` numbers (tensor
    elements) per prompt are live during it. `in_place` are differences that overwrite their
    first operand.
    """

    schedule: Schedule
    frees: tuple[tuple[int, ...], ...]
    live: tuple[int, ...]
    in_place: frozenset[int]

    @property
    def graph(self) -> Graph:
        return self.schedule.demand.graph

    @property
    def steps(self) -> tuple[Step, ...]:
        return self.schedule.steps

    @property
    def positions(self) -> tuple[int, ...]:
        return self.schedule.demand.positions

    def peak(self, prompts: int) -> int:
        """The most numbers that are live at once, what steps use for themselves included."""
        shape = self.graph.program.wiring.shape
        return max(
            (
                live * prompts + scratch(step, shape, prompts)
                for step, live in zip(self.steps, self.live, strict=True)
            ),
            default=0,
        )

    def __str__(self) -> str:
        lines = [f"{len(self.steps)} steps, {self.peak(1):,} numbers live at most on one prompt"]
        for step, live, freed in zip(self.steps, self.live, self.frees, strict=True):
            after = f", then {len(freed)} freed" if freed else ""
            lines.append(f"{step_text(step)}; {live:,} live{after}")
        return "\n".join(lines)


def members_together(positions: int, prompts: int) -> int:
    """How many members of a batch go through a step at a time; `positions` counts them."""
    return max(1, BLOCK_ROWS // (positions * prompts))


def scratch(step: Step, shape: Shape, prompts: int) -> int:
    """Numbers that a step needs besides what it leaves behind."""
    positions = step.positions.bit_count()
    members = min(len(step.inputs or step.values), members_together(positions, prompts))
    rows = members * positions * prompts
    match step.kind:
        case "project":
            widest = max(len(port.heads) for port in step.ports)
            return rows * (2 * shape.d_model + widest * shape.d_head)
        case "mlp":
            return rows * (2 * shape.d_model + (3 if shape.family in GATED else 2) * shape.d_mlp)
        case "z" | "pattern":
            heads, seen = len(step.heads), step.positions.bit_length()
            each = heads * ((2 * seen + positions) * shape.d_head + 2 * positions * seen)
            return members * prompts * each
        case "out":
            return len(step.values) * positions * prompts * shape.d_head
        case "bundle":
            return len(step.values) * positions * prompts * len(step.heads) * shape.d_head
        case "attn":
            return positions * prompts * shape.d_head * shape.heads
        case _:
            return 0


def width(graph: Graph, value: Value) -> int:
    """Numbers per position and prompt."""
    shape = graph.program.wiring.shape
    if value.kind in ("q", "k", "v", "z"):
        return shape.d_head
    return graph.program.length if value.kind == "pattern" else shape.d_model


def allocate(form: Schedule, *, free: bool = True) -> Plan:
    """Without `free` everything is kept until the end."""
    graph = form.demand.graph
    kept = {n for final in graph.finals for n, _ in final.values}
    operands = [tuple(dict.fromkeys(form.operands(step))) for step in form.steps]
    last = {n: i for i, read in enumerate(operands) for n in read}
    uses = Counter(n for _, value, _ in form.demand.kept for n in set(value.operands))
    frees: list[tuple[int, ...]] = []
    in_place = set()
    for i, step in enumerate(form.steps):
        frees.append(tuple(n for n in operands[i] if free and last[n] == i and n not in kept))
        if free and step.kind == "delta":
            in_place |= {n for (n,) in step.values if _dies_here(form, n, uses, kept)}
    live = _live(form, frees, in_place)
    return Plan(form, tuple(frees), live, frozenset(in_place))


def _dies_here(form: Schedule, delta: int, uses: Counter[int], kept: set[int]) -> bool:
    """Whether a difference may overwrite its first operand."""
    graph, positions = form.demand.graph, form.demand.positions
    first, second = graph.values[delta].operands
    computed = graph.values[first].kind in ("out", "mlp", "mix")
    same = positions[first] == positions[delta]
    return computed and same and first != second and uses[first] == 1 and first not in kept


ALONE = ("delta", "minus", "excess", "mix")
"""Kinds whose values are computed one by one, each into a tensor of its own."""


def _batches(step: Step) -> Iterator[list[int]]:
    """The values of a step that lie in one tensor."""
    if step.kind in ALONE:
        for n in step.produced:
            yield [n]
    else:
        yield list(step.produced)


def _live(form: Schedule, frees: Sequence[Sequence[int]], in_place: set[int]) -> tuple[int, ...]:
    """Numbers per prompt live during each step: a batch's storage lives as long as any of it."""
    graph, positions = form.demand.graph, form.demand.positions
    storage: dict[int, int] = {}
    sizes: list[int] = []
    tenants: Counter[int] = Counter()
    live, found = 0, []
    for step, freed in zip(form.steps, frees, strict=True):
        for part in step.ports or (step,):
            for batch in _batches(part):
                sizes.append(0)
                for n in batch:
                    if n in in_place:
                        storage[n] = storage[graph.values[n].operands[0]]
                    else:
                        storage[n] = len(sizes) - 1
                        sizes[-1] += width(graph, graph.values[n]) * positions[n].bit_count()
                    tenants[storage[n]] += 1
                live += sizes[-1]
        found.append(live)
        for n in freed:
            place = storage[n]
            tenants[place] -= 1
            if not tenants[place]:
                live -= sizes[place]
    return tuple(found)
