"""What slot, token and `where` expressions evaluate to, and when two values are equal."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Union

from circuitlang.language.tasks.token_ids import Sequences, TokenIds

_DECIMAL = re.compile(r"\d+(\.\d+)?")
_ORDERINGS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TEXT_ORDERINGS: Mapping[str, Callable[[str, str], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Number:
    """A number and how it prints: 2 of `02..98` prints as "02"."""

    value: float
    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def is_whole(self) -> bool:
        return math.isfinite(self.value) and self.value == int(self.value)


Value = Union[str, Number, bool, TokenIds, Sequences, "tuple[Value, ...]", "list[Value]"]


def number(value: float, like: Iterable[Number] = ()) -> Number:
    """A computed number; it keeps the leading zeros' width of the numbers it came from."""
    if not math.isfinite(value) or value != int(value) or abs(value) >= 1e15:
        return Number(value, f"{value:g}")
    width = max((len(n.text) for n in like if n.text[:1] == "0" and n.text.isdigit()), default=1)
    return Number(value, padded(int(value), width))


def padded(value: int, width: int) -> str:
    return ("-" if value < 0 else "") + str(abs(value)).zfill(width)


def kind(value: Value) -> str:
    """What a message calls the value's type."""
    match value:
        case bool():
            return "a condition"
        case str():
            return "text"
        case Number():
            return "a number"
        case TokenIds():
            return "token ids"
        case Sequences():
            return "a draw of token ids"
        case tuple():
            return "a tuple"
        case _:
            return "a list"


def printed(value: Value) -> str | None:
    """The text that stands in a prompt; None for what is neither text nor a number."""
    if isinstance(value, Number):
        return value.text
    return value if isinstance(value, str) else None


def shown(value: Value) -> str:
    """A slot's value as messages, reports and `per` have it."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def identity(value: Value) -> Hashable:
    """The same for values that stand in prompts alike; of nested lists only the first level."""
    if isinstance(value, tuple):
        return tuple(map(_leaves, value))
    return _leaves(value)


def _leaves(value: Value) -> Hashable:
    return tuple(map(_leaf, value)) if isinstance(value, list) else _leaf(value)


def _leaf(value: Value) -> Hashable:
    return value if isinstance(value, TokenIds) else printed(value)


def compare(relation: str, left: Value, right: Value) -> bool | None:
    """None when the two cannot be compared.

    Numbers compare as numbers, also with text that is written as one; other text compares
    character by character, and can only equal a number, not be above or below it.
    """
    if relation in ("==", "!="):
        equal = _equal(left, right)
        return equal if equal is None or relation == "==" else not equal
    numbers = _as_numbers(left, right)
    if numbers is not None:
        return _ORDERINGS[relation](*numbers)
    if isinstance(left, str) and isinstance(right, str):
        return _TEXT_ORDERINGS[relation](left, right)
    return None


def _equal(left: Value, right: Value) -> bool | None:
    if isinstance(left, TokenIds) and isinstance(right, TokenIds):
        return left == right
    if isinstance(left, tuple) and isinstance(right, tuple):
        parts = [_equal(a, b) for a, b in zip(left, right, strict=False)]
        return None if None in parts else len(left) == len(right) and all(parts)
    numbers = _as_numbers(left, right)
    if numbers is not None:
        return numbers[0] == numbers[1]
    texts = printed(left), printed(right)
    return None if None in texts else texts[0] == texts[1]


def _as_numbers(left: Value, right: Value) -> tuple[float, float] | None:
    if not (isinstance(left, Number) or isinstance(right, Number)):
        return None
    values = []
    for side in (left, right):
        if isinstance(side, Number):
            values.append(side.value)
        elif isinstance(side, str) and _DECIMAL.fullmatch(side):
            values.append(float(side))
        else:
            return None
    return values[0], values[1]


def keys(value: Value) -> tuple[Hashable, ...]:
    """Two members of lists are the same when they share a key."""
    if isinstance(value, Number):
        return value.text, value.value
    return (identity(value),)


def without_repeats(values: Iterable[Value]) -> list[Value]:
    seen: set[Hashable] = set()
    kept: list[Value] = []
    for value in values:
        if seen.isdisjoint(keys(value)):
            kept.append(value)
        seen.update(keys(value))
    return kept
