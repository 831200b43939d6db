"""Writes every sum as a stream plus few differences.

A sum over all summands of the residual stream is long, and in models with massive
activations inexact. Relative to a source, only summands that differ from it count; where one
sum has all the differences of an earlier one, the earlier one's total is shared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from circuitlang.compiler.graph import Final, Graph, Value
from circuitlang.compiler.program import CLEAN

WORTH_SHARING = 6
BIASES = -1
NOTHING = -1


def rebase(form: Graph, *, deltas: bool = True) -> Graph:
    """The graph with inputs and mixes in place of sums and mixtures.

    Without `deltas` every summand is added, to output biases alone.
    """
    return _Rebase(form.copy(), deltas).graph()


@dataclass(frozen=True)
class _Written:
    """A sum relative to `base`: values that differ, by number, and -1 - slot for each summand
    that has the run's own source. `parent` is a sum whose terms are among these."""

    base: int
    terms: frozenset[int]
    parent: int | None


class _Rebase:
    """`form` gains the sources' values that differences need; `new` is what comes of it."""

    def __init__(self, form: Graph, deltas: bool) -> None:
        self.form, self.deltas = form, deltas
        self.wiring = form.program.wiring
        self.new = Graph(form.program)
        self.renamed: dict[int, int] = {}
        self.slots: dict[int, int] = {}
        self.written: dict[int, _Written] = {}
        self.differences: dict[tuple[int, int], int] = {}
        self.excesses: dict[int, int] = {}
        self.uses: Counter[tuple[int, int]] = Counter()

    def graph(self) -> Graph:
        latest: dict[tuple[int, ...], int] = {}
        numbers = range(len(self.form.values))
        for number in numbers:
            value = self.form.values[number]
            if value.kind == "sum":
                self._choose(number, value, latest)
        shared = {w.parent for w in self.written.values()}
        self.uses = Counter(
            (term, w.base) for n, w in self.written.items() for term in self._own_terms(n)
        )
        for number in numbers:
            if number in shared:
                self._excess(number, self.form.values[number])
            if number not in self.renamed:
                self._emit(number)
        self.new.finals = tuple(
            Final(
                tuple([(position, self.renamed[n]) for position, n in final.residuals]),
                tuple([(a, b, c, self.renamed[n]) for a, b, c, n in final.patterns]),
                tuple([(a, b, self.renamed[n]) for a, b, n in final.outputs]),
                tuple([(position, self.renamed[n]) for position, n in final.early]),
            )
            for final in self.form.finals
        )
        return self.new

    # ------------------------------------------------------------ choosing

    def _choose(self, number: int, value: Value, latest: dict[tuple[int, ...], int]) -> None:
        base, terms = value.source, value.operands
        if not self.deltas:
            base, terms = BIASES, (*terms, *self._unchanged(value))
        elif base != CLEAN and 2 * len(terms) > self._summands(value.layer):
            changed = [n for n in terms if n not in self.form.clean]
            other = (*changed, *self._unchanged(value))
            if len(other) < len(terms):
                base, terms = CLEAN, other
        found = frozenset(terms)
        key = (value.segment, base, value.source, value.tag)
        parent = latest.get(key)
        if parent is not None:
            before = self.written[parent].terms
            worth = len(before) >= max(WORTH_SHARING, len(found) // 2)
            parent = parent if worth and before <= found else None
        self.written[number] = _Written(base, found, parent)
        latest[key] = number

    def _summands(self, count: int) -> int:
        shape, width = self.wiring.shape, self.wiring.width
        return 1 + (count - 1) // width * (1 + shape.mlps) if shape.post_norm else count

    def _unchanged(self, value: Value) -> Iterator[int]:
        """-1 - slot for every summand that keeps the value of the sum's source."""
        changed = {self._slot(n) for n in value.operands}
        heads, post_norm = self.wiring.shape.heads, self.wiring.shape.post_norm
        for slot in range(value.layer):
            inside = post_norm and slot > 0 and 0 < (slot - 1) % self.wiring.width < heads
            if slot not in changed and not inside:
                yield -1 - slot

    def _slot(self, number: int) -> int:
        """The summand that a value is; of mixed heads, that of the layer's first."""
        found = self.slots.get(number)
        if found is None:
            value = self.form.values[number]
            match value.kind:
                case "embed":
                    found = 0
                case "out":
                    found = self.wiring.first(value.layer) + value.which
                case "mlp":
                    found = self.wiring.mlp(value.layer)
                case "mix" | "mixture":
                    found = self.wiring.first(value.layer)
                case _:
                    found = value.which
            self.slots[number] = found
        return found

    # ------------------------------------------------------------ writing

    def _emit(self, number: int) -> int:
        """Writes a value after everything it depends on, once; gives its new number."""
        found = self.renamed.get(number, NOTHING)
        if found == NOTHING:
            found = self.renamed[number] = self._append(self._rewritten(number))
        return found

    def _append(self, value: Value) -> int:
        self.new.values.append(value)
        return len(self.new.values) - 1

    def _rewritten(self, number: int) -> Value:
        value = self.form.values[number]
        kind, layer, which, segment, source, operands, tag = value
        if kind == "sum":
            base = self.written[number].base
            stream = self._emit(self._stream(value, base))
            shared = self.excesses.get(number)
            terms = self._terms(number, value) if shared is None else (shared,)
            return Value("input", layer, -1, segment, base, (stream, *terms), tag)
        if kind == "mixture":
            return self._mix(value)
        known, emit = self.renamed, self._emit
        emitted = tuple([known[n] if n in known else emit(n) for n in operands])
        return Value(kind, layer, which, segment, source, emitted, tag)

    def _excess(self, number: int, value: Value) -> None:
        base, terms = self.written[number].base, self._terms(number, value)
        excess = Value("excess", -1, -1, value.segment, base, terms, value.tag)
        self.excesses[number] = self._append(excess)

    def _terms(self, number: int, value: Value) -> tuple[int, ...]:
        written = self.written[number]
        found = [] if written.parent is None else [self.excesses[written.parent]]
        layers: dict[int, list[tuple[int, int]]] = {}
        for term in sorted(self._own_terms(number)):
            slot = self._slot(term) if term >= 0 else -1 - term
            own = term if term >= 0 else self._leaf(slot, value, value.source)
            pair = own, self._leaf(slot, value, written.base)
            if self._can_be_bundled(term, pair, written.base):
                layers.setdefault(self.form.values[own].layer, []).append(pair)
            else:
                found.append(self._difference(*pair))
        for layer, pairs in layers.items():
            found.append(
                self._bundle(layer, value, pairs) if len(pairs) > 1 else self._difference(*pairs[0])
            )
        return tuple([term for term in found if term != NOTHING])

    def _own_terms(self, number: int) -> frozenset[int]:
        """A sum's terms without those of its parent."""
        written = self.written[number]
        if written.parent is None:
            return written.terms
        return written.terms - self.written[written.parent].terms

    def _can_be_bundled(self, term: int, pair: tuple[int, int], base: int) -> bool:
        """Heads that only this sum adds need no output of their own."""
        if self.uses[term, base] > 1 or self.wiring.shape.post_norm:
            return False
        kinds = [self.form.values[n].kind for n in pair if n != NOTHING]
        return pair[0] != NOTHING and kinds == ["out"] * len(kinds)

    def _bundle(self, layer: int, like: Value, pairs: Sequence[tuple[int, int]]) -> int:
        values = self.form.values
        own = [values[one].operands[0] for one, _ in pairs]
        base = [values[other].operands[0] for _, other in pairs if other != NOTHING]
        operands = tuple([self._emit(n) for n in (*own, *base)])
        return self._append(Value("bundle", layer, len(pairs), like.segment, -1, operands))

    def _stream(self, value: Value, base: int) -> int:
        if base == BIASES:
            bare = Value("stream", value.layer, -1, value.segment, BIASES, (), value.tag)
            return self.form.intern(bare)
        return self.form.stream(value.layer, base, value.segment, value.tag)

    def _mix(self, value: Value) -> Value:
        """The norm of a base's heads plus differences."""
        first, heads = self.wiring.first(value.layer), range(self.wiring.shape.heads)
        live = {self.form.values[n].which: n for n in value.operands}
        if self.deltas:
            base = value.source
            attn = self.form.attn(value.layer, base, value.segment, value.tag)
        else:
            base = BIASES
            bare = Value("attn", value.layer, -1, value.segment, BIASES, (), value.tag)
            attn = self.form.intern(bare)
        found = []
        for head in live if self.deltas else heads:
            own = self._sender(first + head, value, value.source)
            other = self._sender(first + head, value, base)
            found.append(self._difference(live.get(head, own), other))
        operands = (self._emit(attn), *(term for term in found if term != NOTHING))
        return Value("mix", value.layer, -1, value.segment, base, operands, value.tag)

    def _leaf(self, slot: int, like: Value, source: int) -> int:
        """What `source` has for a summand; NOTHING where it has none."""
        mixed = self.wiring.shape.post_norm and slot and not self.wiring.is_mlp(slot)
        if mixed and source != BIASES:
            layer = self.wiring.layer_of(slot)
            return self.form.heads(layer, source, like.segment, like.tag)
        return self._sender(slot, like, source)

    def _sender(self, sender: int, like: Value, source: int) -> int:
        if source == BIASES or self.form.program.sources[source].is_zero:
            return NOTHING
        return self.form.leaf(sender, source, like.segment, like.tag)

    def _difference(self, one: int, other: int) -> int:
        """The new number of `one` minus `other`, either of which may be NOTHING."""
        found = self.differences.get((one, other))
        if found is None:
            found = self.differences[one, other] = self._subtracted(one, other)
        return found

    def _subtracted(self, one: int, other: int) -> int:
        if other == NOTHING:
            return NOTHING if one == NOTHING else self._emit(one)
        segment, subtracted = self.form.values[other].segment, self._emit(other)
        if one == NOTHING:
            return self._append(Value("minus", -1, -1, segment, -1, (subtracted,)))
        return self._append(Value("delta", -1, -1, segment, -1, (self._emit(one), subtracted)))
