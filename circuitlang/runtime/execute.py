"""The fast executor: carries out a plan on one chunk of prompts.

Tensors are [member, position, prompt, ...] in batches and [position, prompt, ...] one by one,
so that one value's numbers at consecutive positions lie together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from circuitlang.compiler.allocate import Plan, members_together
from circuitlang.compiler.graph import Value
from circuitlang.compiler.rebase import BIASES
from circuitlang.compiler.schedule import ABSENT, Step
from circuitlang.language.graph.architecture import bits
from circuitlang.runtime.adapters import Adapter
from circuitlang.runtime.tensors import uploaded


class Means(Protocol):
    """Averages over reference prompts, for a chunk: each [position, prompt, d_model]."""

    def constant(self, sender: int) -> Tensor: ...

    def stream(self, count: int) -> Tensor: ...

    def attn(self, layer: int) -> Tensor: ...


@dataclass(frozen=True)
class Chunk:
    """What a plan is carried out on: [prompt, position] token ids of each source that is a run,
    and the averages of each that is a mean, by source number."""

    tokens: Mapping[int, Tensor]
    means: Mapping[int, Means]

    @property
    def prompts(self) -> int:
        return len(self.tokens[0])


Rows = Sequence[Sequence[int]]
Row = TypeVar("Row")


@dataclass(frozen=True)
class _Home:
    """Where a head's q, k, v or z lies: a batch [member, position, prompt, head, d_head]."""

    batch: Tensor
    member: int
    head: int


def execute(
    plan: Plan, adapter: Adapter, chunk: Chunk, layouts: Layouts, step: Callable[[], None]
) -> dict[int, Tensor]:
    """The values that the plan's runs deliver: residuals [position, prompt, d_model] and patterns
    [query, prompt, key], by value number. `step` is called after every step."""
    execution = _Execution(plan, adapter, chunk, layouts)
    for one, freed in zip(plan.steps, plan.frees, strict=True):
        execution.step(one)
        for number in freed:
            execution.free(number)
        step()
    return execution.values


class Layouts:
    """Index tensors and attention masks on a device, each built once."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        self._indices: dict[tuple[int, ...], Tensor] = {}
        self._masks: dict[tuple[int, int, int | None], Tensor] = {}
        self._places: dict[tuple[int, int], tuple[int, ...]] = {}

    def index(self, numbers: Sequence[int]) -> Tensor:
        key = tuple(numbers)
        if key not in self._indices:
            self._indices[key] = uploaded(key, self.device)
        return self._indices[key]

    def hidden(self, queries: int, keys: int, window: int | None) -> Tensor:
        """[query, key], true where the query may not see the key; positions are bit masks."""
        found = self._masks.get((queries, keys, window))
        if found is None:
            query = uploaded(list(bits(queries)), self.device)[:, None]
            key = uploaded(list(bits(keys)), self.device)[None, :]
            found = key > query
            if window is not None:
                found = found | (key <= query - window)
            self._masks[queries, keys, window] = found
        return found

    def at(self, tensor: Tensor, dim: int, have: int, asked: int) -> Tensor:
        """The part of `tensor` at positions `asked` of those it has along `dim`."""
        if have == asked:
            return tensor
        places = self._places.get((have, asked))
        if places is None:
            places = self._places[have, asked] = _places(have, asked)
        start, length = places[0], len(places)
        if places[-1] - start + 1 == length:
            return tensor.narrow(dim, start, length)
        return tensor.index_select(dim, self.index(places))


def _places(have: int, asked: int) -> tuple[int, ...]:
    """Where each position of `asked` stands among those of `have`."""
    return tuple((have & ((1 << position) - 1)).bit_count() for position in bits(asked))


class _Execution:
    def __init__(self, plan: Plan, adapter: Adapter, chunk: Chunk, layouts: Layouts) -> None:
        self.plan, self.adapter, self.chunk, self.layouts = plan, adapter, chunk, layouts
        self.graph = plan.graph
        self.positions = plan.positions
        self.values: dict[int, Tensor] = {}
        self.homes: dict[int, _Home] = {}

    def step(self, step: Step) -> None:
        getattr(self, f"_{step.kind}")(step)

    def free(self, number: int) -> None:
        del self.values[number]
        self.homes.pop(number, None)

    def _value(self, number: int, asked: int) -> Tensor:
        return self.layouts.at(self.values[number], 0, self.positions[number], asked)

    # ------------------------------------------------------------ sources

    def _embed(self, step: Step) -> None:
        (number,) = step.produced
        tokens = self.chunk.tokens[self.graph.values[number].source]
        whole = (1 << self.graph.program.length) - 1
        embedded = self.adapter.embed(tokens)
        self.values[number] = self.layouts.at(embedded, 0, whole, step.positions).clone()

    def _constant(self, step: Step) -> None:
        (number,) = step.produced
        value = self.graph.values[number]
        self._look_up(number, self.chunk.means[value.source].constant(value.which))

    def _look_up(self, number: int, table: Tensor) -> None:
        whole = (1 << self.graph.program.length) - 1
        self.values[number] = self.layouts.at(table, 0, whole, self.positions[number])

    def _stream(self, step: Step) -> None:
        (number,) = step.produced
        value = self.graph.values[number]
        if value.operands:
            self.values[number] = self._sum(number, step.positions)
        elif value.source in self.chunk.means:
            self._look_up(number, self.chunk.means[value.source].stream(value.layer))
        else:
            wiring = self.graph.program.wiring
            layers = range(wiring.shape.layers)
            mixed = value.source != BIASES
            below = [
                layer for layer in layers if wiring.first(layer) + wiring.shape.heads <= value.layer
            ]
            self.values[number] = self._biases(below, step.positions, mixed)

    def _attn(self, step: Step) -> None:
        (number,) = step.produced
        value = self.graph.values[number]
        if value.operands:
            heads = self._batch([value.operands], step.positions)[0].flatten(2)
            found = heads @ self.adapter.output_weight(step.layer).flatten(0, 1)
            bias = self.adapter.output_bias(step.layer)
            self.values[number] = found if bias is None else found.add_(bias)
        elif value.source in self.chunk.means:
            self._look_up(number, self.chunk.means[value.source].attn(step.layer))
        else:
            self.values[number] = self._biases([step.layer], step.positions, False)

    def _biases(self, layers: Sequence[int], positions: int, mixed: bool) -> Tensor:
        """The output biases of `layers`; in post-norm models normed one by one if `mixed`, else
        not there at all unless asked for one layer."""
        size = (positions.bit_count(), self.chunk.prompts, self.adapter.d_model)
        total = torch.zeros(size, dtype=self.layouts.dtype, device=self.layouts.device)
        for layer in layers:
            bias = self.adapter.output_bias(layer)
            if bias is not None:
                total += self.adapter.mix(layer, bias) if mixed else bias
        return total

    # ------------------------------------------------------------ sums

    def _sum(self, number: int, asked: int) -> Tensor:
        first, *others = self.graph.values[number].operands
        if not others:
            return self._value(first, asked).clone()
        total = torch.add(self._value(first, asked), self._value(others[0], asked))
        for other in others[1:]:
            total += self._value(other, asked)
        return total

    def _inputs(self, numbers: Sequence[int], asked: int) -> Tensor:
        """What is read, [member, position, prompt, d_model]: inputs added up, streams as they are."""
        result = self._empty(len(numbers), asked, self.adapter.d_model)
        for row, number in zip(result, numbers, strict=True):
            value = self.graph.values[number]
            if value.kind != "input":
                row.copy_(self._value(number, asked))
                continue
            first, second, *others = value.operands
            torch.add(self._value(first, asked), self._value(second, asked), out=row)
            for other in others:
                row += self._value(other, asked)
        return result

    def _excess(self, step: Step) -> None:
        for number in step.produced:
            self.values[number] = self._sum(number, step.positions)

    def _input(self, step: Step) -> None:
        numbers = list(step.produced)
        self._keep(numbers, self._inputs(numbers, step.positions))

    def _mix(self, step: Step) -> None:
        for number in step.produced:
            self.values[number] = self.adapter.mix(step.layer, self._sum(number, step.positions))

    def _delta(self, step: Step) -> None:
        for number in step.produced:
            first, second = self.graph.values[number].operands
            other = self._value(second, step.positions)
            if number in self.plan.in_place:
                self.values[number] = self.values[first].sub_(other)
            else:
                self.values[number] = self._value(first, step.positions) - other

    def _minus(self, step: Step) -> None:
        for number in step.produced:
            (operand,) = self.graph.values[number].operands
            self.values[number] = -self._value(operand, step.positions)

    def _keep(self, numbers: Sequence[int], batch: Tensor) -> None:
        for number, row in zip(numbers, batch, strict=True):
            self.values[number] = row

    # ------------------------------------------------------------ nodes

    def _blocks(
        self, numbers: Sequence[Row], positions: int
    ) -> Iterator[tuple[int, Sequence[Row]]]:
        """Parts of a batch that are computed together, with the row where each begins."""
        each = members_together(positions.bit_count(), self.chunk.prompts)
        for start in range(0, len(numbers), each):
            yield start, numbers[start : start + each]

    def _empty(self, members: int, positions: int, *sizes: int) -> Tensor:
        size = (members, positions.bit_count(), self.chunk.prompts, *sizes)
        return torch.empty(size, dtype=self.layouts.dtype, device=self.layouts.device)

    def _project(self, step: Step) -> None:
        d_head, members = self.adapter.d_head, len(step.inputs)
        batches = [self._empty(members, p.positions, len(p.heads), d_head) for p in step.ports]
        for start, block in self._blocks(step.inputs, step.positions):
            normed = self.adapter.attention_norm(step.layer, self._inputs(block, step.positions))
            for port, batch in zip(step.ports, batches, strict=True):
                x = self.layouts.at(normed, 1, step.positions, port.positions)
                batch[start : start + len(block)] = self._port(port, x)
        for port, batch in zip(step.ports, batches, strict=True):
            for member, row in enumerate(port.values):
                for head, number in enumerate(row):
                    if number != ABSENT:
                        self.values[number] = batch[member, :, :, head]
                        self.homes[number] = _Home(batch, member, head)

    def _port(self, port: Step, x: Tensor) -> Tensor:
        if port.kind == "v":
            return self.adapter.value(port.layer, port.heads, x)
        rotation = self.adapter.rotation(port.layer, tuple(bits(port.positions)))
        project = self.adapter.query if port.kind == "q" else self.adapter.key
        return project(port.layer, port.heads, x, rotation)

    def _z(self, step: Step) -> None:
        mixed = self._empty(len(step.values), step.positions, len(step.heads), self.adapter.d_head)
        for start, rows in self._blocks(step.values, step.positions):
            probabilities, seen = self._probabilities(step, rows)
            count = self._first(rows).segment + 1
            values = self._seen(step, rows, 1 + count, seen)
            found = probabilities @ values.permute(0, 2, 3, 1, 4)
            mixed[start : start + len(rows)] = found.permute(0, 3, 1, 2, 4)
        for member, row in enumerate(step.values):
            for head, number in enumerate(row):
                if number != ABSENT:
                    self.values[number] = mixed[member, :, :, head]
                    self.homes[number] = _Home(mixed, member, head)

    def _first(self, rows: Rows) -> Value:
        """Some value of a batch."""
        return self.graph.values[next(n for n in rows[0] if n != ABSENT)]

    def _pattern(self, step: Step) -> None:
        probabilities, _ = self._probabilities(step, step.values)
        for member, row in enumerate(step.values):
            for head, number in enumerate(row):
                if number != ABSENT:
                    self.values[number] = probabilities[member, :, head].transpose(0, 1)

    def _probabilities(self, step: Step, rows: Rows) -> tuple[Tensor, int]:
        """Attention [member, prompt, head, query, key] and the key positions, as bits."""
        seen = (1 << step.positions.bit_length()) - 1
        reads = [[self._operand(n, 0) for n in row] for row in rows]
        queries = self._batch(reads, step.positions)
        keys = self._seen(step, rows, 1, seen)
        scores = queries.permute(0, 2, 3, 1, 4) @ keys.permute(0, 2, 3, 4, 1)
        scores *= self.adapter.scale(step.layer)
        if self.adapter.softcap is not None:
            scores.div_(self.adapter.softcap).tanh_().mul_(self.adapter.softcap)
        hidden = self.layouts.hidden(step.positions, seen, self.adapter.window(step.layer))
        return scores.masked_fill_(hidden, float("-inf")).softmax(-1), seen

    def _seen(self, step: Step, members: Rows, first: int, seen: int) -> Tensor:
        """Keys or values (operands from `first` on) of every earlier position, for each head:
        [member, position, prompt, head, d_head]."""
        shape = self.graph.program.wiring.shape
        times = shape.heads // shape.kv_heads
        columns: dict[int, list[int]] = {}
        for column, head in enumerate(step.heads):
            columns.setdefault(head // times, []).append(column)
        groups = sorted(columns)
        parts = []
        for i in range(self._first(members).segment + 1):
            rows = [
                [
                    self._operand(max(row[column] for column in columns[group]), first + i)
                    for group in groups
                ]
                for row in members
            ]
            asked = seen & self.graph.program.segments[i].bits
            alike = all(row == rows[0] for row in rows)
            part = self._batch(rows[:1] if alike else rows, asked)
            parts.append(part.expand(len(rows), *part.shape[1:]))
        found = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
        if times == 1:
            return found
        which = [groups.index(head // times) for head in step.heads]
        return found.index_select(3, self.layouts.index(which))

    def _operand(self, number: int, which: int) -> int:
        return ABSENT if number == ABSENT else self.graph.values[number].operands[which]

    def _batch(self, rows: Rows, asked: int) -> Tensor:
        """Projections as one batch [row, position, prompt, head, d_head], without a copy where
        they already lie so; what is ABSENT may be anything finite."""
        present = [
            (i, j, n) for i, row in enumerate(rows) for j, n in enumerate(row) if n != ABSENT
        ]
        i, j, n = present[0]
        have, home = self.positions[n], self.homes[n]
        start = home.member - i
        if home.batch.shape[3] == len(rows[0]) and all(
            one.batch is home.batch and one.member == start + i and one.head == j
            for i, j, n in present
            for one in (self.homes[n],)
        ):
            return self.layouts.at(home.batch.narrow(0, start, len(rows)), 1, have, asked)
        found = self._empty(len(rows), asked, len(rows[0]), self.adapter.d_head)
        if len(present) < len(rows) * len(rows[0]):
            found.zero_()
        for i, j, n in present:
            found[i, :, :, j] = self._value(n, asked)
        return found

    def _bundle(self, step: Step) -> None:
        numbers = list(step.produced)
        mixed = self._empty(len(numbers), step.positions, len(step.heads), self.adapter.d_head)
        for row, number in zip(mixed, numbers, strict=True):
            value = self.graph.values[number]
            own, base = value.operands[: value.which], value.operands[value.which :]
            if value.which < len(step.heads):
                row.zero_()
            for i, n in enumerate(own):
                column = row[:, :, step.heads.index(self.graph.values[n].which)]
                if base:
                    other = self._value(base[i], step.positions)
                    torch.sub(self._value(n, step.positions), other, out=column)
                else:
                    column.copy_(self._value(n, step.positions))
        weight = self.adapter.output_weight(step.layer)
        if len(step.heads) < len(weight):
            weight = weight.index_select(0, self.layouts.index(step.heads))
        self._keep(numbers, mixed.flatten(3) @ weight.flatten(0, 1))

    def _out(self, step: Step) -> None:
        (head,) = step.heads
        numbers = list(step.produced)
        mixed = [self.graph.values[n].operands[0] for n in numbers]
        z = torch.stack([self._value(n, step.positions) for n in mixed])
        self._keep(numbers, z @ self.adapter.output_weight(step.layer)[head])

    def _mlp(self, step: Step) -> None:
        numbers = list(step.produced)
        batch = self._empty(len(numbers), step.positions, self.adapter.d_model)
        for start, block in self._blocks(numbers, step.positions):
            reads = [self.graph.values[n].operands[0] for n in block]
            inputs = self._inputs(reads, step.positions)
            batch[start : start + len(block)] = self.adapter.mlp(step.layer, inputs)
        self._keep(numbers, batch)
