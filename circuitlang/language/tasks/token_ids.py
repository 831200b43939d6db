"""Token ids as values: what `token_ids` gives to slots, rewrites and token sets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True, slots=True)
class TokenIds:
    """Tokens that stand in a prompt as they are, without a text that is put into tokens."""

    ids: tuple[int, ...]

    def __str__(self) -> str:
        return " ".join(map(str, self.ids))


@dataclass(frozen=True)
class Sequences:
    """All sequences of `length` different ids out of `choices`, numbered from 0 to `size` - 1."""

    choices: tuple[int, ...]
    length: int

    @cached_property
    def size(self) -> int:
        return math.perm(len(self.choices), self.length)

    def at(self, number: int) -> TokenIds:
        """The first steps of a Fisher-Yates shuffle, whose swaps are the digits of `number`."""
        moved: dict[int, int] = {}
        ids = []
        for i in range(self.length):
            number, digit = divmod(number, len(self.choices) - i)
            j = i + digit
            ids.append(self.choices[moved.get(j, j)])
            moved[j] = moved.get(i, i)
        return TokenIds(tuple(ids))
