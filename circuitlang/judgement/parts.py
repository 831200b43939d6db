"""The parts of a number. Needs no numpy: what can be decided is known before any value is."""

from __future__ import annotations

from collections.abc import Iterator

from circuitlang.language.spec import (
    Aggregate,
    Comparison,
    Each,
    Mean,
    Measurement,
    Number,
    Operation,
)


def parts_of(number: Number) -> tuple[Number, ...]:
    """The numbers directly inside a number."""
    match number:
        case Operation(_, operands):
            return operands
        case Aggregate(_, Comparison(_, left, right)):
            return (left, right)
        case Aggregate(_, body) if not isinstance(body, Comparison):
            return (body,)
    return ()


def walk(number: Number) -> Iterator[Number]:
    """The number and every number inside it, outermost first."""
    yield number
    for part in parts_of(number):
        yield from walk(part)


def measurements(number: Number) -> tuple[Measurement, ...]:
    """Every measurement a number needs, once each, in order of appearance."""
    found = [part.measurement for part in walk(number) if isinstance(part, Mean | Each)]
    return tuple(dict.fromkeys(found))


def quantile_level(number: Aggregate) -> float:
    return 0.5 if number.kind == "median" or number.level is None else number.level
