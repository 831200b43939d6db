"""Demanded values -> steps: what is computed together, and in which order.

A step computes values of one kind and layer at the same positions, as one batch over values
and prompts. Inputs are not stored: whoever reads one adds it up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_

from circuitlang.compiler.drop import Demand, positions_text
from circuitlang.compiler.graph import Value

PORTS = ("q", "k", "v")
ABSENT = -1
DENSE = 3 / 4


@dataclass(frozen=True)
class Step:
    """Computes `values`: one row per member of the batch, one column per head in `heads`.

    ABSENT is a head that nobody asked for and that is computed because the others are.
    A projection reads `inputs`, one per row, and its `ports` are the batches of q, k and v
    that share the normed input. `positions` is a bit mask.
    """

    kind: str
    layer: int
    positions: int
    values: tuple[tuple[int, ...], ...] = ()
    heads: tuple[int, ...] = ()
    inputs: tuple[int, ...] = ()
    ports: tuple[Step, ...] = ()

    @property
    def produced(self) -> Iterator[int]:
        for part in (self, *self.ports):
            for row in part.values:
                yield from _present(row)


def _present(row: Iterable[int]) -> Iterator[int]:
    return (number for number in row if number != ABSENT)


@dataclass(frozen=True)
class Schedule:
    """Steps over demanded values; `ranks` say when each value can be computed."""

    demand: Demand
    steps: tuple[Step, ...]
    ranks: tuple[tuple[int, int], ...]

    def operands(self, step: Step) -> Iterator[int]:
        """The stored values a step reads: those that make up an input, in place of the input."""
        values = self.demand.graph.values
        for number in step.inputs or step.produced:
            value = values[number]
            for operand in (number,) if step.inputs and value.kind != "input" else value.operands:
                if values[operand].kind == "input":
                    yield from values[operand].operands
                else:
                    yield operand

    def __str__(self) -> str:
        return "\n".join([f"{len(self.steps)} steps", *map(step_text, self.steps)])


def step_text(step: Step) -> str:
    layer = f" {step.layer}" if step.layer >= 0 else ""
    parts = [f"  {step.kind}{layer} [{positions_text(step.positions)}]"]
    for part in step.ports or (step,):
        heads = f" heads {','.join(map(str, part.heads))}" if part.heads else ""
        shape = f"{len(part.values)}" + (f"x{len(part.heads)}" if part.heads else "")
        name = f"{part.kind}: " if step.ports else ""
        parts.append(f"{name}{shape} values{heads}")
    if step.ports:
        parts.insert(1, f"{len(step.inputs)} inputs")
    return ", ".join(parts)


def fuse(form: Demand, *, together: bool = True) -> Schedule:
    """Batches, in no particular order; without `together` one value each."""
    found = ranks(form)
    return Schedule(form, tuple(_Fuse(form, found, together).steps()), found)


class _Fuse:
    def __init__(self, form: Demand, ranks: Sequence[tuple[int, int]], together: bool) -> None:
        self.values, self.asked = form.graph.values, form.positions
        self.form, self.ranks, self.together = form, ranks, together

    def steps(self) -> Iterator[Step]:
        by_kind: dict[str, list[int]] = {}
        for number, value, _ in self.form.kept:
            by_kind.setdefault(value.kind, []).append(number)
        yield from self._projections([n for port in PORTS for n in by_kind.get(port, [])])
        for kind in ("z", "pattern"):
            yield from self._attended(kind, by_kind.get(kind, []))
        for kind in ("embed", "constant", "stream", "attn"):
            for number in by_kind.get(kind, []):
                yield self._step(kind, [number])
        yield from self._bundles(by_kind.get("bundle", []))
        for kind in ("out", "mlp", "mix", "delta", "minus", "excess"):
            yield from self._batches(kind, by_kind.get(kind, []))
        finals = self.form.graph.finals
        read = {n for final in finals for _, n in (*final.residuals, *final.early)}
        inputs = [n for n in sorted(read) if self.values[n].kind == "input"]
        yield from self._batches("input", inputs)

    def _grouped(self, members: Iterable[int], key: Callable[[int], object]) -> list[list[int]]:
        if not self.together:
            return [[number] for number in members]
        groups: dict[object, list[int]] = {}
        for number in members:
            groups.setdefault(key(number), []).append(number)
        return list(groups.values())

    def _batches(self, kind: str, members: list[int]) -> Iterator[Step]:
        values, asked = self.values, self.asked

        def key(n: int) -> object:
            return self.ranks[n], values[n].layer, values[n].which, asked[n]

        for group in self._grouped(members, key):
            yield self._step(kind, group)

    def _step(self, kind: str, members: list[int]) -> Step:
        value = self.values[members[0]]
        heads = (value.which,) if kind == "out" else ()
        rows = tuple((n,) for n in members)
        return Step(kind, value.layer, self.asked[members[0]], rows, heads)

    def _together(self, heads: Iterable[int], total: int) -> tuple[int, ...]:
        """The heads computed in one batch: the asked ones, or all where few are left out."""
        asked = tuple(sorted(heads))
        dense = self.together and len(asked) >= DENSE * total
        return tuple(range(total)) if dense else asked

    def _projections(self, members: list[int]) -> Iterator[Step]:
        """Inputs that feed the same ports at the same positions share a norm and weights."""
        inputs: dict[object, dict[tuple[str, int], dict[int, int]]] = {}
        for number in members:
            value = self.values[number]
            read = (value.operands[0], value.tag)
            ports = inputs.setdefault(read if self.together else (number,), {})
            ports.setdefault((value.kind, self.asked[number]), {})[value.which] = number
        groups: dict[object, list[dict[tuple[str, int], dict[int, int]]]] = {}
        for key, ports in inputs.items():
            value = self.values[next(iter(next(iter(ports.values())).values()))]
            role = tuple(
                (port, self._port_heads(*port, found)) for port, found in sorted(ports.items())
            )
            alone = () if self.together else key
            groups.setdefault((value.layer, value.segment, role, alone), []).append(ports)
        for group in groups.values():
            yield self._projection(group)

    def _port_heads(self, port: str, asked: int, found: Iterable[int]) -> tuple[int, ...]:
        shape = self.form.graph.program.wiring.shape
        return self._together(found, shape.heads if port == "q" else shape.kv_heads)

    def _projection(self, group: list[dict[tuple[str, int], dict[int, int]]]) -> Step:
        parts = []
        for port, asked in sorted(group[0], key=lambda one: (PORTS.index(one[0]), one[1])):
            heads = self._port_heads(port, asked, group[0][port, asked])
            rows = tuple(tuple(ports[port, asked].get(h, ABSENT) for h in heads) for ports in group)
            value = self.values[next(iter(group[0][port, asked].values()))]
            parts.append(Step(port, value.layer, asked, rows, heads))
        inputs = tuple(self.values[next(_present(row))].operands[0] for row in parts[0].values)
        positions = reduce(or_, (part.positions for part in parts))
        return Step("project", parts[0].layer, positions, (), (), inputs, tuple(parts))

    def _attended(self, kind: str, members: list[int]) -> Iterator[Step]:
        """Heads that read the same inputs are one row; rows with the same heads one batch."""
        units: dict[object, dict[int, int]] = {}
        for number in members:
            value = self.values[number]
            reads = tuple([self.values[n].operands[0] for n in value.operands])
            key = (value.layer, value.segment, self.asked[number], reads, value.tag)
            units.setdefault(key if self.together else number, {})[value.which] = number
        batches: dict[object, list[tuple[int, ...]]] = {}
        total = self.form.graph.program.wiring.shape.heads
        for unit in units.values():
            heads = self._together(unit, total)
            row = tuple([unit.get(head, ABSENT) for head in heads])
            number = next(iter(unit.values()))
            value = self.values[number]
            batch = (value.layer, value.segment, self.asked[number], heads)
            batches.setdefault(batch if self.together else row, []).append(row)
        for rows in batches.values():
            number = next(_present(rows[0]))
            found = {self.values[n].which for n in _present(rows[0])}
            heads = self._together(found, total)
            yield Step(kind, self.values[number].layer, self.asked[number], tuple(rows), heads)

    def _bundles(self, members: list[int]) -> Iterator[Step]:
        """Sums of heads of one layer, in batches over the same heads."""
        total = self.form.graph.program.wiring.shape.heads
        groups: dict[object, tuple[tuple[int, ...], list[int]]] = {}
        for number in members:
            value = self.values[number]
            heads = self._together({self.values[n].which for n in value.operands}, total)
            key = (value.layer, self.asked[number], heads) if self.together else number
            groups.setdefault(key, (heads, []))[1].append(number)
        for heads, group in groups.values():
            layer, asked = self.values[group[0]].layer, self.asked[group[0]]
            yield Step("bundle", layer, asked, tuple((n,) for n in group), heads)


# ---------------------------------------------------------------- order

PER_LAYER = 20
WITHIN = {
    "q": 0,
    "k": 0,
    "v": 0,
    "z": 2,
    "pattern": 2,
    "out": 4,
    "attn": 4,
    "bundle": 4,
    "mix": 7,
    "mlp": 12,
}
START = -PER_LAYER


def ranks(form: Demand) -> tuple[tuple[int, int], ...]:
    """When each value can be computed: a stage of the layers, and depth within it."""
    found: list[tuple[int, int]] = []
    values = form.graph.values
    for value in values:
        kind, operands = value.kind, value.operands
        if not operands:
            found.append((START, 0))
        elif kind in WITHIN:
            found.append((PER_LAYER * value.layer + WITHIN[kind], 0))
        elif kind in ("delta", "stream"):
            found.append((max([found[n][0] for n in operands]) + 1, 0))
        else:
            found.append(_after(operands, values, found))
    return tuple(found)


def _after(
    operands: Sequence[int], values: Sequence[Value], found: Sequence[tuple[int, int]]
) -> tuple[int, int]:
    """After all operands; of excesses of one stage, those that others extend come first."""
    shared = [found[n] for n in operands if values[n].kind == "excess"]
    others = [found[n][0] + 1 for n in operands if values[n].kind != "excess"]
    stage = max([stage for stage, _ in shared] + others)
    return stage, max([depth + 1 for s, depth in shared if s == stage], default=0)


def order(form: Schedule, *, by_layer: bool = True) -> Schedule:
    """Steps after what they read; without `by_layer` in any such order."""
    if not by_layer:
        return replace(form, steps=tuple(_any_order(form)))
    when = [max([form.ranks[n] for n in step.produced]) for step in form.steps]
    numbers = sorted(range(len(when)), key=when.__getitem__)
    return replace(form, steps=tuple([form.steps[i] for i in numbers]))


def _any_order(form: Schedule) -> Iterator[Step]:
    """Always the last step that is ready."""
    maker = {n: i for i, step in enumerate(form.steps) for n in step.produced}
    waits = [{maker[n] for n in form.operands(step)} for step in form.steps]
    waiting = set(range(len(form.steps)))
    while waiting:
        ready = max(i for i in waiting if not waits[i] & waiting)
        waiting.remove(ready)
        yield form.steps[ready]
