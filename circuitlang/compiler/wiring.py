"""Where a shape's nodes stand among senders, receivers and summands.

A sum over the residual stream before some receiver is named by its `count`: the number of
senders below. Its summands are these senders; in post-norm models the heads of a layer
make one summand together, because their mixture passes a norm before it is added.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

from circuitlang.language.graph.architecture import Architecture, Shape, architecture


@dataclass(frozen=True)
class Wiring:
    """Index arithmetic of one shape: layer l has heads `first(l)` up to `first(l) + heads`, then its MLP."""

    shape: Shape

    @cached_property
    def architecture(self) -> Architecture:
        return architecture(self.shape)

    @property
    def senders(self) -> int:
        return len(self.architecture.senders)

    @cached_property
    def width(self) -> int:
        """Senders of one layer."""
        return self.shape.heads + self.shape.mlps

    def first(self, layer: int) -> int:
        """The sender index of the layer's head 0, and the count of its attention's sums."""
        return 1 + layer * self.width

    def mlp(self, layer: int) -> int:
        return self.first(layer) + self.shape.heads

    def mlp_count(self, layer: int) -> int:
        return self.first(layer) + (0 if self.shape.parallel else self.shape.heads)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Every count at which something reads, ascending."""
        found = {self.first(layer) for layer in range(self.shape.layers)} | {self.senders}
        if self.shape.mlps:
            found |= {self.mlp_count(layer) for layer in range(self.shape.layers)}
        return tuple(sorted(found))

    def layer_of(self, sender: int) -> int:
        return (sender - 1) // self.width

    def is_mlp(self, sender: int) -> bool:
        return bool(sender) and (sender - 1) % self.width == self.shape.heads

    def receiver(self, layer: int) -> int:
        """The receiver index of the layer's first q; k, v and the MLP follow."""
        return layer * (3 * self.shape.heads + self.shape.mlps)

    def port(self, layer: int, port: int, head: int) -> int:
        """The receiver index of a head's port 0, 1 or 2: q, k, v."""
        return self.receiver(layer) + port * self.shape.heads + head

    def mlp_receiver(self, layer: int) -> int:
        return self.receiver(layer) + 3 * self.shape.heads

    def head_bits(self, layer: int) -> int:
        return ((1 << self.shape.heads) - 1) << self.first(layer)


@lru_cache(maxsize=64)
def wiring(shape: Shape) -> Wiring:
    return Wiring(shape)
