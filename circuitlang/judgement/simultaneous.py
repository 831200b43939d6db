"""One level for many members, so that all their intervals hold together.

The members of a quantifier share their prompts, so their errors go together, and Bonferroni's
alpha / m asks too much of each. The largest of m studentised errors that are jointly normal with
the correlation of the prompts is drawn with Gaussian multipliers (Chernozhukov, Chetverikov and
Kato 2013); its 1 - alpha quantile, turned back into the level of one test, is the level at which
each member's own interval is taken.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy import stats

from circuitlang.judgement.atoms import DataSet
from circuitlang.judgement.intervals import Vector
from circuitlang.judgement.leaf import Leaf

DRAWS = 20_000
BLOCK = 1_000
LARGEST = 1_000_000
TAIL = 10


class Member(Protocol):
    @property
    def leaves(self) -> tuple[Leaf, ...] | None:
        """The comparisons it is made of, None where something else in it is random too."""

    @property
    def exact(self) -> bool: ...


class Family:
    """The members whose intervals have to hold together."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.estimated = [member for member in members if not member.exact]

    def level(self, alpha: float) -> float:
        """The level of each member at which some interval misses with probability alpha at most."""
        count = len(self.estimated)
        if count <= 1:
            return alpha
        if self._maxima is None or alpha * DRAWS < TAIL:
            return alpha / count
        rank = int(stats.binom.ppf(0.99, DRAWS, 1 - alpha))
        largest = float(self._maxima[min(rank, DRAWS - 1)])
        return min(alpha, max(alpha / count, float(stats.norm.sf(largest))))

    @property
    def method(self) -> str:
        if not self.estimated:
            return "exact"
        if len(self.estimated) == 1:
            return "one interval"
        return "Bonferroni" if self._maxima is None else "max-t"

    @cached_property
    def _maxima(self) -> Vector | None:
        """Draws of the largest error among all tests, ascending; None where they are not alike."""
        columns = self._columns()
        if columns is None:
            return None
        group, vectors = columns
        matrix = np.stack(vectors, axis=1)
        matrix /= np.linalg.norm(matrix, axis=0)
        seed = zlib.crc32("\0".join(("max-t", *map(str, group))).encode())
        rng = np.random.default_rng([self._seed, seed])
        drawn = [
            (rng.standard_normal((BLOCK, len(matrix))) @ matrix).max(axis=1)
            for _ in range(DRAWS // BLOCK)
        ]
        return np.sort(np.concatenate(drawn))

    @property
    def _seed(self) -> int:
        leaves = self.estimated[0].leaves
        return leaves[0].estimator.sample.seed if leaves else 0

    def _columns(self) -> tuple[DataSet, list[Vector]] | None:
        group: DataSet | None = None
        vectors: list[Vector] = []
        for member in self.estimated:
            for leaf in (None,) if member.leaves is None else member.leaves:
                if leaf is not None and leaf.exact:
                    continue
                found = None if leaf is None else leaf.deviations
                if found is None or (group is not None and found[0] != group):
                    return None
                group = found[0]
                vectors += found[1]
        if group is None or not vectors or len(vectors) * len(vectors[0]) > LARGEST:
            return None
        return group, vectors
