"""The value graph: every distinct thing that some run of a program needs, once.

A value is a tuple, and equal tuples are one value: interning is the numbering. Operands are
numbers of earlier values, so ascending numbers are a topological order.

    embed     the `input` node's output on the tokens of a source that is a run
    constant  sender `which`'s value under a mean
    stream    all summands below a count, of one source; that of a mean or of zero is looked up
    attn      the sum of a layer's heads and its output bias; of a mean or of zero looked up
    q k v     head `which`'s projection (k and v: KV head) of an input or stream
    z         head `which`'s attended values, d_head wide: q, each segment's k so far, each v
    pattern   head `which`'s attention probabilities: q, each segment's k so far
    out       a head's output: z times its output weights
    mlp       an MLP's output
    mixture   post-norm models: the normed sum of a layer's heads, `source`'s but for the operands
    sum       a residual input: `source`'s value for every summand but the operands

Choosing bases replaces the last two by these:

    delta     first operand minus second
    minus     the negative of its operand
    bundle    `which` heads of one layer that are added together: each one's z, less each one's base
              z where the operands go on, times their output weights
    excess    the sum of its operands: what a residual input has beyond a stream
    input     the sum of its operands, the first of them a stream
    mix       the norm of the sum of its operands, the first of them an attn

A stream or attn of no source holds output biases alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from circuitlang.compiler.program import Program
from circuitlang.compiler.reads import Spot
from circuitlang.compiler.wiring import Wiring


class Value(NamedTuple):
    """`layer` of a stream, sum or input is a count of senders.

    `tag` sets apart values that would be equal: the run's number plus one where nothing is
    shared, and -1 on a node that is computed although its inputs are all one run's.
    """

    kind: str
    layer: int
    which: int
    segment: int
    source: int
    operands: tuple[int, ...] = ()
    tag: int = 0


@dataclass(frozen=True)
class Final:
    """What one run delivers: (position, value) of its last residual where logits are read,
    (layer, head, query positions as bits, value) of its attention patterns, (sender,
    positions as bits, value) of nodes' own outputs, and (position, value) of its stream after
    block 0."""

    residuals: tuple[tuple[int, int], ...]
    patterns: tuple[tuple[int, int, int, int], ...]
    outputs: tuple[tuple[int, int, int], ...] = ()
    early: tuple[tuple[int, int], ...] = ()

    @property
    def values(self) -> Iterator[tuple[int, int]]:
        """Every value that is delivered, with its positions as bits."""
        yield from ((n, 1 << position) for position, n in (*self.residuals, *self.early))
        yield from ((n, queries) for *_, queries, n in self.patterns)
        yield from ((n, positions) for _, positions, n in self.outputs)

    def at(self, spot: Spot, wiring: Wiring) -> int | None:
        """The value that is delivered for a spot; None where the run is not read there."""
        position, lens = spot
        if lens is None or lens.norm == "copied":
            of = self.residuals if lens is None else self.early
            return next((n for at, n in of if at == position), None)
        sender = wiring.architecture.sender_index[lens.node]
        here = (n for s, at, n in self.outputs if s == sender and at >> position & 1)
        return next(here, None)

    def text(self, wiring: Wiring) -> str:
        """What is read from which value, on one line."""
        senders = wiring.architecture.senders
        reads = [f"logits at {position} from %{n}" for position, n in self.residuals]
        reads += [f"a{layer}.h{head} from %{n}" for layer, head, _, n in self.patterns]
        reads += [f"what {senders[s]} writes from %{n}" for s, _, n in self.outputs]
        reads += [f"the early stream at {position} from %{n}" for position, n in self.early]
        return ", ".join(reads)


@dataclass
class Graph:
    """All values of a program; `finals` has one entry per request, `clean` are nodes' values in
    the clean run that some other run shares."""

    program: Program
    values: list[Value] = field(default_factory=list)
    finals: tuple[Final, ...] = ()
    clean: set[int] = field(default_factory=set)
    _number: dict[Value, int] = field(default_factory=dict)
    _streams: dict[tuple[int, int, int, int], int] = field(default_factory=dict)
    _leaves: dict[tuple[int, int, int, int], int] = field(default_factory=dict)

    def intern(self, value: Value) -> int:
        found = self._number.get(value)
        if found is None:
            found = self._number[value] = len(self.values)
            self.values.append(value)
        return found

    def copy(self) -> Graph:
        return Graph(
            self.program,
            list(self.values),
            self.finals,
            set(self.clean),
            dict(self._number),
            dict(self._streams),
            dict(self._leaves),
        )

    def __str__(self) -> str:
        lines = [f"{len(self.values)} values"]
        lines += [f"  %{n} = {value_text(self, v)}" for n, v in enumerate(self.values)]
        for number, final in enumerate(self.finals):
            lines.append(f"  run {number}: {final.text(self.program.wiring)}")
        return "\n".join(lines)

    # ------------------------------------------------------------ what sources are made of

    def stream(self, count: int, source: int, segment: int, tag: int = 0) -> int:
        """All summands of `source` below `count` senders, in a segment."""
        source = self.program.canonical(source, segment)
        found = self._streams.get((count, source, segment, tag))
        if found is not None:
            return found
        if not self.program.sources[source].is_run:
            return self._remember(Value("stream", count, -1, segment, source, (), tag))
        for below in self.program.wiring.counts:
            if below > count:
                break
            for earlier in range(segment + 1):
                here = self.program.canonical(source, earlier)
                if (below, here, earlier, tag) not in self._streams:
                    operands = self._stream_operands(below, here, earlier, tag)
                    self._remember(Value("stream", below, -1, earlier, here, operands, tag))
        return self._streams[count, source, segment, tag]

    def _remember(self, stream: Value) -> int:
        number = self.intern(stream)
        self._streams[stream.layer, stream.source, stream.segment, stream.tag] = number
        return number

    def _stream_operands(self, count: int, source: int, segment: int, tag: int) -> tuple[int, ...]:
        wiring = self.program.wiring
        if count == 1:
            return (self.leaf(0, source, segment, tag),)
        layer = wiring.layer_of(count - 1)
        first, middle = wiring.first(layer), wiring.mlp(layer)
        if count == middle:
            return self.stream(first, source, segment, tag), self.heads(layer, source, segment, tag)
        after = self.leaf(middle, source, segment, tag)
        if wiring.shape.parallel:
            mixture = self.heads(layer, source, segment, tag)
            return self.stream(first, source, segment, tag), mixture, after
        return self.stream(middle, source, segment, tag), after

    def attn(self, layer: int, source: int, segment: int, tag: int = 0) -> int:
        """The sum of a source's heads in one layer, output bias included."""
        source = self.program.canonical(source, segment)
        operands: tuple[int, ...] = ()
        if self.program.sources[source].is_run:
            heads = range(self.program.wiring.shape.heads)
            operands = tuple(self._leaf_z(layer, h, source, segment, tag) for h in heads)
        return self.intern(Value("attn", layer, -1, segment, source, operands, tag))

    def heads(self, layer: int, source: int, segment: int, tag: int = 0) -> int:
        """What a source's heads of one layer add to the stream."""
        attn = self.attn(layer, source, segment, tag)
        if not self.program.wiring.shape.post_norm:
            return attn
        source = self.program.canonical(source, segment)
        return self.intern(Value("mix", layer, -1, segment, source, (attn,), tag))

    def leaf(self, sender: int, source: int, segment: int, tag: int = 0) -> int:
        """A sender's value in a source; of zero there is none (ValueError)."""
        key = (sender, source, segment, tag)
        found = self._leaves.get(key)
        if found is None:
            source = self.program.canonical(source, segment)
            found = self._leaves[key] = self.intern(self._leaf(sender, source, segment, tag))
        return found

    def _leaf(self, sender: int, source: int, segment: int, tag: int) -> Value:
        found = self.program.sources[source]
        if found.is_zero:
            raise ValueError("nothing is stored for zero")
        if not found.is_run:
            return Value("constant", -1, sender, segment, source, (), tag)
        if sender == 0:
            return Value("embed", -1, -1, segment, source, (), tag)
        wiring = self.program.wiring
        layer = wiring.layer_of(sender)
        if wiring.is_mlp(sender):
            stream = self.stream(wiring.mlp_count(layer), source, segment, tag)
            return Value("mlp", layer, -1, segment, -1, (stream,), tag)
        head = sender - wiring.first(layer)
        z = self._leaf_z(layer, head, source, segment, tag)
        return Value("out", layer, head, segment, -1, (z,), tag)

    def _leaf_z(self, layer: int, head: int, source: int, segment: int, tag: int) -> int:
        first = self.program.wiring.first(layer)
        streams = [self.stream(first, source, i, tag) for i in range(segment + 1)]
        return self.attended(layer, head, segment, streams[-1], streams, streams, tag)

    def attended(
        self,
        layer: int,
        head: int,
        segment: int,
        query: int,
        keys: list[int],
        values: list[int],
        tag: int = 0,
        node_tag: int = 0,
        kind: str = "z",
    ) -> int:
        """A head's z (or pattern) from what its ports read: inputs or streams per segment."""
        shape = self.program.wiring.shape
        group = head // (shape.heads // shape.kv_heads)
        parts = [self.intern(Value("q", layer, head, segment, -1, (query,), tag))]
        parts += [
            self.intern(Value("k", layer, group, i, -1, (read,), tag))
            for i, read in enumerate(keys)
        ]
        if kind == "z":
            parts += [
                self.intern(Value("v", layer, group, i, -1, (read,), tag))
                for i, read in enumerate(values)
            ]
        return self.intern(Value(kind, layer, head, segment, -1, tuple(parts), node_tag or tag))


def value_text(graph: Graph, value: Value) -> str:
    """One line of the printed form, without the value's number."""
    where = f"@{value.segment}"
    source = f" {graph.program.sources[value.source]}" if value.source >= 0 else ""
    match value.kind:
        case "stream" | "sum" | "input" | "excess":
            name = f"{value.kind}<{value.layer}" if value.layer >= 0 else value.kind
        case "q" | "z" | "pattern" | "out":
            name = f"{value.kind} a{value.layer}.h{value.which}"
        case "k" | "v":
            name = f"{value.kind} a{value.layer}.kv{value.which}"
        case "constant":
            name = f"constant {graph.program.wiring.architecture.senders[value.which]}"
        case "mlp":
            name = f"mlp m{value.layer}"
        case "embed" | "delta" | "minus":
            name = value.kind
        case _:
            name = f"{value.kind} a{value.layer}"
    operands = "".join(f" %{n}" for n in value.operands)
    tag = f" #{value.tag}" if value.tag else ""
    return f"{name}{where}{source}{operands}{tag}"
