"""Drops values that nothing asks for, and finds at which positions the others are asked for.

Demand goes backwards: logits ask for the positions that are read, a head's q for the positions
asked of the head, its k and v for all positions up to the last of these.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from circuitlang.compiler.graph import Graph, Value, value_text


@dataclass(frozen=True)
class Demand:
    """A graph and the positions (bits) at which each value is asked for; 0 is a dropped value."""

    graph: Graph
    positions: tuple[int, ...]

    @property
    def kept(self) -> Iterator[tuple[int, Value, int]]:
        """(number, value, positions) of every value that is asked for, in order."""
        for number, asked in enumerate(self.positions):
            if asked:
                yield number, self.graph.values[number], asked

    def __str__(self) -> str:
        lines = [f"{sum(map(bool, self.positions))} values"]
        for n, value, asked in self.kept:
            lines.append(f"  %{n}[{positions_text(asked)}] = {value_text(self.graph, value)}")
        return "\n".join(lines)


def positions_text(bits: int) -> str:
    """`3,8-15` for a bit mask."""
    parts = []
    while bits:
        start = (bits & -bits).bit_length() - 1
        run = ~(bits >> start)
        length = (run & -run).bit_length() - 1
        parts.append(f"{start}-{start + length - 1}" if length > 1 else str(start))
        bits &= -1 << (start + length)
    return ",".join(parts)


def drop(form: Graph, *, dead: bool = True, positions: bool = True) -> Demand:
    """Without `dead` every value stays, without `positions` at all positions of its segment."""
    segments = [segment.bits for segment in form.program.segments]
    values = form.values
    asked = [0] * len(values)
    for final in form.finals:
        for number, positions_read in final.values:
            asked[number] |= positions_read
    for number in range(len(values) - 1, -1, -1):
        here, value = asked[number], values[number]
        if not dead or (here and not positions):
            here = asked[number] = segments[value.segment]
        if not here:
            continue
        if value.kind in ("z", "pattern"):
            asked[value.operands[0]] |= here
            seen = (1 << here.bit_length()) - 1
            for operand in value.operands[1:]:
                asked[operand] |= seen & segments[values[operand].segment]
        else:
            for operand in value.operands:
                asked[operand] |= here
    return Demand(form, tuple(asked))
