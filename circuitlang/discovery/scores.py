"""One number per edge: what attribution, exact effects or another tool's file say of a graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from circuitlang.language.graph.architecture import Architecture, Node, bits

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class Scores:
    """`values` is [edge] float64 in the order of `graph`, NaN where an edge was not scored.

    A positive score says that the metric loses this much, on average over prompts, when the edge
    is ablated in the model: `F(M) - F(M - e)` or an estimate of it. `told` says how the scores were made.
    """

    graph: Architecture
    values: npt.NDArray[np.float64]
    told: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.values.shape != (self.graph.size,):
            raise ValueError(f"{self.values.shape} scores for {self.graph.size} edges")

    def order(
        self, mask: int | None = None, *, by_size: bool = False, lowest_first: bool = False
    ) -> list[int]:
        """The numbers of the edges of `mask` that have a score, the highest first; equal ones in the
        graph's order. With `by_size` the largest absolute score is first, with `lowest_first` the
        lowest."""
        import numpy as np

        chosen = np.zeros(self.graph.size, dtype=bool)
        if mask is None:
            chosen[:] = True
        else:
            chosen[list(bits(mask))] = True
        numbers = np.flatnonzero(chosen & ~np.isnan(self.values))
        keys = np.abs(self.values) if by_size else -self.values if lowest_first else self.values
        found: list[int] = numbers[np.argsort(-keys[numbers], kind="stable")].tolist()
        return found

    def of_senders(self) -> dict[Node, float]:
        """The sum over each sender's edges."""
        import numpy as np

        totals: dict[Node, float] = dict.fromkeys(self.graph.senders, 0.0)
        for offset, count in zip(self.graph.offsets, self.graph.counts, strict=True):
            row = np.nan_to_num(self.values[offset : offset + count])
            for sender, score in zip(self.graph.senders, row.tolist(), strict=False):
                totals[sender] += score
        return totals
