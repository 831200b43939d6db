"""The value of a number, given the values of its measurements: plain arithmetic over arrays.

Arrays keep one last axis for the prompts: length n under `Each`, length 1 once averaged. The
axes before it are free, so one call evaluates a formula on thousands of resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from circuitlang.judgement.parts import quantile_level
from circuitlang.language.spec import (
    Aggregate,
    Comparison,
    Constant,
    Each,
    Mean,
    Measurement,
    MemberShare,
    Number,
    Operation,
)

Array = NDArray[np.float64]
Lookup = Callable[[Measurement], Array]

RELATIONS: dict[str, np.ufunc] = {
    ">=": np.greater_equal, "<=": np.less_equal, ">": np.greater,
    "<": np.less, "==": np.equal, "!=": np.not_equal,
}  # fmt: skip
UNARY: dict[str, np.ufunc] = {
    "neg": np.negative, "abs": np.abs, "square": np.square,
    "sqrt": np.sqrt, "log": np.log, "exp": np.exp,
}  # fmt: skip
FOLDS: dict[str, np.ufunc] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide,
    "min": np.minimum, "max": np.maximum,
}  # fmt: skip


def evaluate(number: Number, each: Lookup) -> Array:
    """`each` gives a measurement's values, prompts last; the result keeps a last axis of length 1."""
    match number:
        case Constant(value):
            return np.array([value], dtype=np.float64)
        case Mean(measurement):
            return np.asarray(np.mean(each(measurement), axis=-1, keepdims=True))
        case Each(measurement):
            return each(measurement)
        case Aggregate():
            return _aggregate(number, each)
        case Operation(symbol, operands):
            parts = [evaluate(operand, each) for operand in operands]
            with np.errstate(all="ignore"):
                return _operate(symbol, parts)
        case MemberShare():
            raise ValueError("a share of members is decided member by member")


def _operate(symbol: str, parts: list[Array]) -> Array:
    if symbol in UNARY and len(parts) == 1:
        return np.asarray(UNARY[symbol](parts[0]))
    if symbol == "-" and len(parts) == 1:
        return -parts[0]
    if symbol in FOLDS:
        return np.asarray(reduce(FOLDS[symbol], parts))
    stacked = np.stack(np.broadcast_arrays(*parts))
    if symbol == "mean":
        return np.asarray(np.mean(stacked, axis=0))
    if symbol == "median":
        return np.asarray(np.median(stacked, axis=0))
    raise ValueError(f"unknown operation {symbol}")


def _aggregate(number: Aggregate, each: Lookup) -> Array:
    values = per_prompt(number, each)
    if number.kind in ("mean", "share"):
        return np.asarray(np.mean(values, axis=-1, keepdims=True))
    return np.asarray(np.quantile(values, quantile_level(number), axis=-1, keepdims=True))


def per_prompt(number: Aggregate, each: Lookup) -> Array:
    """The numbers an aggregate is taken over; 1 and 0 for the condition of a share.

    A prompt whose condition compares something that is not a number has no answer: nan, not 0.
    """
    if isinstance(number.body, Comparison):
        left, right = evaluate(number.body.left, each), evaluate(number.body.right, each)
        answer = RELATIONS[number.body.operator](left, right).astype(np.float64)
        return np.where(np.isnan(left) | np.isnan(right), np.nan, answer)
    return evaluate(number.body, each)


def scalar(array: Array) -> float:
    return float(array[..., 0])
