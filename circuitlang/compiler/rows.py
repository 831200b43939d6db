"""One edge set as rows: for each receiver, the senders whose edge into it is live."""

from __future__ import annotations

from functools import cached_property

from circuitlang.compiler.wiring import Wiring
from circuitlang.language.graph.architecture import bits


class Rows:
    """Cuts rows out of a mask when they are asked for, and keeps them."""

    def __init__(self, wiring: Wiring, mask: int) -> None:
        self.wiring, self.mask = wiring, mask
        self.architecture = wiring.architecture
        self._rows: dict[int, int] = {}

    def row(self, receiver: int) -> int:
        """Bit s is set when sender s has a live edge into `receiver`."""
        found = self._rows.get(receiver)
        if found is None:
            offset, count = self.architecture.offsets[receiver], self.architecture.counts[receiver]
            part = self._bytes[offset >> 3 : ((offset + count) >> 3) + 1]
            found = (int.from_bytes(part, "little") >> (offset & 7)) & ((1 << count) - 1)
            self._rows[receiver] = found
        return found

    def take_over(self, other: Rows, edges: int) -> list[int]:
        """Copies the rows of a set that differs in `edges`; gives the receivers where it does."""
        self._rows = dict(other._rows)
        changed = sorted({self.architecture.receiver_of(edge) for edge in bits(edges)})
        for receiver in changed:
            self._rows.pop(receiver, None)
        return changed

    @cached_property
    def _bytes(self) -> bytes:
        return self.mask.to_bytes((self.architecture.size + 7) // 8 + 1, "little")
