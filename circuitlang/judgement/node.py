"""What every formula is to the one around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from circuitlang.judgement.leaf import Leaf
from circuitlang.judgement.power import Needed
from circuitlang.judgement.verdict import Decision


class Node(Protocol):
    """A formula on one sample.

    `leaves` are the comparisons it is made of, None where something else in it is random too;
    `exact` says that nothing in it is estimated; `searched` that it speaks of more members than
    were looked at; `toward` is positive when the estimates satisfy it.
    """

    @property
    def invalid(self) -> str | None: ...
    @property
    def searched(self) -> bool: ...
    @property
    def exact(self) -> bool: ...
    @property
    def leaves(self) -> tuple[Leaf, ...] | None: ...
    @property
    def toward(self) -> float: ...
    def holds(self, alpha: float) -> bool: ...
    def fails(self, alpha: float) -> bool: ...
    def strength(self, alpha: float) -> float: ...
    def needed(self, alpha_holds: float, alpha_fails: float) -> Needed: ...
    def decision(self, alpha_holds: float, alpha_fails: float) -> Decision: ...


def joined_leaves(nodes: Sequence[Node]) -> tuple[Leaf, ...] | None:
    """The leaves of all nodes, None where one of them has none to give."""
    found: list[Leaf] = []
    for node in nodes:
        if node.leaves is None:
            return None
        found += node.leaves
    return tuple(found)
