"""Program -> value graph: nodes that read the same values are one value, in all runs.

A node whose ports all carry one run-valued source is that source's value and is not computed
again (folding). Means are not runs: a node fed by means alone is computed, once. Only nodes that
something asks for are looked at, and a run that differs from an earlier one in a few edges
takes over what these edges do not change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from circuitlang.compiler.graph import Final, Graph, Value
from circuitlang.compiler.program import CLEAN, Program, Request
from circuitlang.compiler.rows import Rows
from circuitlang.language.graph.architecture import bits

NEARBY = 64
ANCHORS = 4
SOURCE = -1


def number(form: Program, *, share: bool = True, fold: bool = True, lazy: bool = True) -> Graph:
    """Without `share` every run has values of its own, without `fold` a node is computed whatever
    it reads, without `lazy` also when nothing reads it."""
    graph = Graph(form)
    anchors: dict[int, list[_Run]] = {}
    runs: dict[int, _Run] = {}

    def numbered(i: int) -> _Run:
        if i not in runs:
            request = form.requests[i]
            others = [(receivers, numbered(other)) for receivers, other in request.readings]
            runs[i] = _Run(graph, request, 0 if share else i + 1, fold, others)
            near = anchors.setdefault(request.source, [])
            anchor = min(near, key=lambda run: run.distance(request), default=None)
            if share and anchor is not None and anchor.distance(request) <= NEARBY and not others:
                runs[i].take_over(anchor)
            elif not others:
                near[:0] = [runs[i]]
                del near[ANCHORS:]
        return runs[i]

    graph.finals = tuple(numbered(i).final(lazy) for i in range(len(form.requests)))
    return graph


class _Run:
    """One run while its nodes are numbered.

    `values[i]` holds what senders have in segment i: a value, or SOURCE for the run's source's
    own. `reads` holds the senders (bits) that each node depends on directly. `clean` are segments in
    which the source is the clean run, so that all there is folds into it. `others` are the runs
    that receivers read from, with these receivers as bits in each segment.
    """

    def __init__(
        self,
        graph: Graph,
        request: Request,
        tag: int,
        fold: bool,
        others: Sequence[tuple[tuple[int, ...], _Run]],
    ) -> None:
        self.graph, self.request, self.tag, self.fold = graph, request, tag, fold
        self.others = others[::-1]
        self.wiring = graph.program.wiring
        self.segments = range(len(graph.program.segments))
        self.sources = [graph.program.canonical(request.source, i) for i in self.segments]
        self.clean = [fold and not others and source == CLEAN for source in self.sources]
        self.values: list[dict[int, int]] = [{} for _ in self.segments]
        self.rows: list[Rows] = [Rows(self.wiring, mask) for mask in request.masks]
        self.reads: dict[int, int] = {}
        self.sums: dict[tuple[int, int, int], int] = {}
        self.streams: dict[tuple[int, int], list[int]] = {}

    def distance(self, request: Request) -> int:
        """The number of edges, counted per segment, in which another run differs."""
        pairs = zip(self.request.masks, request.masks, strict=True)
        return sum((one ^ other).bit_count() for one, other in pairs)

    def take_over(self, anchor: _Run) -> None:
        """Copies what does not depend on an edge in which the anchor differs."""
        changed = 0
        for i in self.segments:
            edges = self.request.masks[i] ^ anchor.request.masks[i]
            for receiver in self.rows[i].take_over(anchor.rows[i], edges):
                node = self.wiring.architecture.receivers[receiver].node
                changed |= 1 << self.wiring.architecture.sender_index.get(node, self.wiring.senders)
        for sender, read in sorted(anchor.reads.items()):
            if read & changed:
                changed |= 1 << sender
        for mine, other in zip(self.values, anchor.values, strict=True):
            mine.update({s: value for s, value in other.items() if not changed >> s & 1})
        self.streams = anchor.streams

    def final(self, lazy: bool) -> Final:
        """Numbers what is read, and with it every node that this depends on."""
        if not lazy:
            for sender in range(self.wiring.senders):
                for i in self.segments:
                    self._value(i, sender)
        patterns = tuple(p for watched in self.request.heads for p in self._patterns(*watched))
        residuals = tuple(
            (position, self._received(i, len(self.wiring.architecture.receivers) - 1))
            for position in bits(self.request.positions)
            for i in [self.graph.program.segment_of(position)]
        )
        outputs = tuple(o for read in self.request.outputs for o in self._outputs(*read))
        return Final(residuals, patterns, outputs, tuple(self._early()))

    def _early(self) -> Iterator[tuple[int, int]]:
        """The sum of what nodes up to block 0 write, where it is read."""
        count = self.wiring.first(1)
        for position in bits(self.request.early):
            segment = self.graph.program.segment_of(position)
            yield position, self._read(segment, (1 << count) - 1, count)

    def _outputs(self, sender: int, positions: int) -> Iterator[tuple[int, int, int]]:
        for i in self.segments:
            here = positions & self.graph.program.segments[i].bits
            if here:
                value = self._value(i, sender)
                if value == SOURCE:
                    value = self.graph.leaf(sender, self.sources[i], i, self.tag)
                yield sender, here, value

    def _patterns(self, layer: int, head: int, queries: int) -> Iterator[tuple[int, int, int, int]]:
        for i in self.segments:
            here = queries & self.graph.program.segments[i].bits
            if here:
                query = self._port(layer, 0, head, i)
                keys = [self._port(layer, 1, head, j) for j in range(i + 1)]
                number = self.graph.attended(
                    layer, head, i, query, keys, [], self.tag, kind="pattern"
                )
                yield layer, head, here, number

    # ------------------------------------------------------------ nodes

    def _value(self, segment: int, sender: int) -> int:
        found = self.values[segment].get(sender)
        if found is None:
            found = self.values[segment][sender] = self._computed(segment, sender)
        return found

    def _computed(self, segment: int, sender: int) -> int:
        if self.clean[segment]:
            return SOURCE
        if sender == 0:
            return self._own(sender, segment, CLEAN)
        layer = self.wiring.layer_of(sender)
        if self.wiring.is_mlp(sender):
            return self._mlp(layer, segment, sender)
        return self._head(layer, sender - self.wiring.first(layer), segment, sender)

    def _head(self, layer: int, head: int, segment: int, sender: int) -> int:
        query = self._port(layer, 0, head, segment)
        keys = [self._port(layer, 1, head, i) for i in range(segment + 1)]
        values = [self._port(layer, 2, head, i) for i in range(segment + 1)]
        source = self._one_source(self.wiring.first(layer), segment, query, keys, values)
        if source is not None and self.fold:
            return self._own(sender, segment, source)
        tag = self.tag or (-1 if source is not None else 0)
        z = self.graph.attended(layer, head, segment, query, keys, values, self.tag, tag)
        return self.graph.intern(Value("out", layer, head, segment, -1, (z,), tag))

    def _mlp(self, layer: int, segment: int, sender: int) -> int:
        count, receiver = self.wiring.mlp_count(layer), self.wiring.mlp_receiver(layer)
        self.reads[sender] = self.reads.get(sender, 0) | self.rows[segment].row(receiver)
        read = self._received(segment, receiver)
        source = self._one_source(count, segment, read, [], [])
        if source is not None and self.fold:
            return self._own(sender, segment, source)
        tag = self.tag or (-1 if source is not None else 0)
        return self.graph.intern(Value("mlp", layer, -1, segment, -1, (read,), tag))

    def _own(self, sender: int, segment: int, source: int) -> int:
        """A source's own value of a sender."""
        if source == self.sources[segment]:
            return SOURCE
        value = self.graph.leaf(sender, source, segment, self.tag)
        self.graph.clean.add(value)
        return value

    def _one_source(
        self, count: int, segment: int, query: int, keys: list[int], values: list[int]
    ) -> int | None:
        """The run-valued source whose streams are all that a node reads, if there is one."""
        for source in (self.sources[segment], CLEAN):
            if self.graph.program.sources[source].is_run:
                streams = self._streams(count, source)
                part = streams[: len(keys)]
                if query == streams[segment] and keys == part and values == part:
                    return source
        return None

    def _streams(self, count: int, source: int) -> list[int]:
        found = self.streams.get((count, source))
        if found is None:
            found = [self.graph.stream(count, source, i, self.tag) for i in self.segments]
            self.streams[count, source] = found
        return found

    # ------------------------------------------------------------ what they read

    def _port(self, layer: int, port: int, head: int, segment: int) -> int:
        first = self.wiring.first(layer)
        if self.clean[segment]:
            return self._streams(first, CLEAN)[segment]
        receiver = self.wiring.port(layer, port, head)
        row = self.rows[segment].row(receiver)
        self.reads[first + head] = self.reads.get(first + head, 0) | row
        return self._received(segment, receiver)

    def _received(self, segment: int, receiver: int) -> int:
        """What a receiver reads: its own sum, or that of another run."""
        for receivers, other in self.others:
            if receivers[segment] >> receiver & 1:
                return other.brought(segment, receiver)
        return self.brought(segment, receiver)

    def brought(self, segment: int, receiver: int) -> int:
        """The sum of what a receiver's edges bring."""
        row = self.rows[segment].row(receiver)
        return self._read(segment, row, self.wiring.architecture.counts[receiver])

    def _read(self, segment: int, row: int, count: int) -> int:
        """What a receiver with live senders `row` reads: a stream where it is one, else a sum."""
        if self.clean[segment]:
            return self._streams(count, CLEAN)[segment]
        found = self.sums.get((segment, row, count))
        if found is None:
            found = self.sums[segment, row, count] = self._sum(segment, row, count)
        return found

    def _sum(self, segment: int, row: int, count: int) -> int:
        source, known = self.sources[segment], self.values[segment]
        items = {}
        for sender in bits(row):
            value = known.get(sender)
            if value is None:
                value = self._value(segment, sender)
            if value != SOURCE:
                items[sender] = value
        if not items:
            return self._streams(count, source)[segment]
        if len(items) == count and self.graph.clean.issuperset(items.values()):
            return self._streams(count, CLEAN)[segment]
        if self.wiring.shape.post_norm:
            operands = tuple(self._mixed(segment, row, items))
        else:
            operands = tuple(items.values())
        return self.graph.intern(Value("sum", count, -1, segment, source, operands, self.tag))

    def _mixed(self, segment: int, row: int, items: dict[int, int]) -> Iterator[int]:
        """Post-norm: the summands that differ from the source's, heads mixed by layer."""
        source, layers = self.sources[segment], dict[int, list[int]]()
        for sender, value in items.items():
            if sender and not self.wiring.is_mlp(sender):
                layers.setdefault(self.wiring.layer_of(sender), []).append(value)
            else:
                yield value
        for layer, outs in layers.items():
            everyone = len(outs) == self.wiring.shape.heads
            if source != CLEAN and everyone and self.graph.clean.issuperset(outs):
                mix = self.graph.heads(layer, CLEAN, segment, self.tag)
                self.graph.clean.add(mix)
                yield mix
            else:
                yield self.graph.intern(
                    Value("mixture", layer, -1, segment, source, tuple(outs), self.tag)
                )
