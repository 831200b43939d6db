"""Sets of edges, with and without positions.

An `EdgeSet` is a small tree over integer masks: a mask that holds at every position, a
mask kept at some places, and unions, differences and intersections of these. Places are
symbolic (`S1 + 1`, `END`); `rows` turns the whole tree into one mask per token position
of a prompt, so that labels which coincide in that prompt are handled by plain set algebra.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

END = "END"
MOST_BITS = 64


class UnresolvedPosition(Exception):
    """A label that a prompt does not have, or a shift that leaves the prompt."""

    def __init__(self, position: Position, reason: str) -> None:
        super().__init__(f"{position}: {reason}")
        self.position = position
        self.reason = reason


@dataclass(frozen=True)
class Layout:
    """Where things are in one prompt: its length in tokens and each label's token span."""

    length: int
    spans: tuple[tuple[str, int, int], ...]

    @property
    def by_label(self) -> Mapping[str, tuple[int, int]]:
        return {label: (start, stop) for label, start, stop in self.spans}


@dataclass(frozen=True)
class Position:
    """A label's span, its first or last token, shifted by `shift`; `END` is the last token."""

    label: str
    pick: str = "span"
    shift: int = 0

    def __str__(self) -> str:
        text = self.label if self.pick == "span" else f"{self.pick}({self.label})"
        return f"{text} {'+' if self.shift > 0 else '-'} {abs(self.shift)}" if self.shift else text

    def tokens(self, layout: Layout) -> tuple[int, ...]:
        """The token positions meant in a prompt; raises `UnresolvedPosition`."""
        if self.label == END:
            start, stop = layout.length - 1, layout.length
        else:
            span = layout.by_label.get(self.label)
            if span is None:
                raise UnresolvedPosition(self, "this prompt has no such label")
            start, stop = span
        if self.pick == "first":
            stop = start + 1
        elif self.pick == "last":
            start = stop - 1
        elif self.shift and stop - start > 1:
            raise UnresolvedPosition(self, f"a span of {stop - start} tokens cannot be shifted")
        if start + self.shift < 0 or stop + self.shift > layout.length:
            raise UnresolvedPosition(self, f"it leaves the prompt of {layout.length} tokens")
        return tuple(range(start + self.shift, stop + self.shift))


@dataclass(frozen=True)
class Place:
    """One or more positions, as written after `@`."""

    positions: tuple[Position, ...]

    def __str__(self) -> str:
        if len(self.positions) == 1 and not self.positions[0].shift:
            return str(self.positions[0])
        return "[" + ", ".join(map(str, self.positions)) + "]"

    def tokens(self, layout: Layout) -> frozenset[int]:
        return frozenset(t for position in self.positions for t in position.tokens(layout))


@dataclass(frozen=True)
class EdgeSet:
    """Immutable. Build with `uniform`, `kept_at` and the operators `|`, `-`, `&`."""

    operation: str
    mask: int = 0
    place: Place | None = None
    left: EdgeSet | None = None
    right: EdgeSet | None = None

    def __repr__(self) -> str:
        if self.is_uniform:
            return f"<{self.mask.bit_count()} edges>"
        inside = ", ".join(repr(p) for p in (self.left, self.right, self.place) if p is not None)
        return f"{self.operation}({inside})"

    @property
    def is_uniform(self) -> bool:
        return self.operation == "uniform"

    def __or__(self, other: EdgeSet) -> EdgeSet:
        if self.is_uniform and other.is_uniform:
            return uniform(self.mask | other.mask)
        if self in (NOTHING, other):
            return other
        return self if other == NOTHING else EdgeSet("or", left=self, right=other)

    def __sub__(self, other: EdgeSet) -> EdgeSet:
        if self.is_uniform and other.is_uniform:
            return uniform(self.mask & ~other.mask)
        if self in (other, NOTHING):
            return NOTHING
        return self if other == NOTHING else EdgeSet("sub", left=self, right=other)

    def __and__(self, other: EdgeSet) -> EdgeSet:
        if self.is_uniform and other.is_uniform:
            return uniform(self.mask & other.mask)
        if NOTHING in (self, other):
            return NOTHING
        return self if self == other else EdgeSet("and", left=self, right=other)

    def at(self, place: Place) -> EdgeSet:
        """The same edges, only at `place`."""
        if self == NOTHING:
            return self
        return EdgeSet("at", left=self, place=place)

    @cached_property
    def reach(self) -> int:
        """All edges that belong to the set at some position, as a mask (an upper bound)."""
        match self.operation:
            case "uniform":
                return self.mask
            case "at" | "sub":
                assert self.left is not None
                return self.left.reach
            case "or":
                assert self.left is not None
                assert self.right is not None
                return self.left.reach | self.right.reach
            case _:
                assert self.left is not None
                assert self.right is not None
                return self.left.reach & self.right.reach

    @cached_property
    def lasting(self) -> int:
        """Edges that belong to the set at every position, as a mask (a lower bound)."""
        match self.operation:
            case "uniform":
                return self.mask
            case "at":
                return 0
        assert self.left is not None
        assert self.right is not None
        match self.operation:
            case "sub":
                return self.left.lasting & ~self.right.reach
            case "or":
                return self.left.lasting | self.right.lasting
            case _:
                return self.left.lasting & self.right.lasting

    @cached_property
    def combinations(self) -> int:
        """How many combinations of positions can tell the set's edges apart, at most."""
        if self.is_uniform:
            return 1
        left = self.left.combinations if self.left is not None else 1
        right = self.right.combinations if self.right is not None else 0
        found = left + right
        if self.place is not None:
            found = left * len(self.place.positions)
        elif self.operation == "and":
            found = left * right
        return min(found, 1 << min(len(self.positions), MOST_BITS))

    @cached_property
    def positions(self) -> frozenset[Position]:
        return frozenset(p for place in self.places for p in place.positions)

    @cached_property
    def places(self) -> frozenset[Place]:
        found = frozenset() if self.place is None else frozenset({self.place})
        for part in (self.left, self.right):
            if part is not None:
                found |= part.places
        return found

    def rows(self, layout: Layout) -> tuple[int, ...]:
        """One mask per token position of a prompt; raises `UnresolvedPosition`."""
        if self.operation == "uniform":
            return (self.mask,) * layout.length
        assert self.left is not None
        left = self.left.rows(layout)
        if self.operation == "at":
            assert self.place is not None
            kept = self.place.tokens(layout)
            return tuple(row if i in kept else 0 for i, row in enumerate(left))
        assert self.right is not None
        right = self.right.rows(layout)
        match self.operation:
            case "or":
                return tuple(a | b for a, b in zip(left, right, strict=True))
            case "sub":
                return tuple(a & ~b for a, b in zip(left, right, strict=True))
            case _:
                return tuple(a & b for a, b in zip(left, right, strict=True))


def uniform(mask: int) -> EdgeSet:
    """A set that is the same at every position."""
    return EdgeSet("uniform", mask)


NOTHING = uniform(0)
