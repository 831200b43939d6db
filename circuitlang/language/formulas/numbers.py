"""Arithmetic on the numbers of a formula: what is constant is folded, the rest is a tree."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from circuitlang.language.spec import Comparison, Constant, Operation

_UNARY: dict[str, Callable[[float], float]] = {
    "neg": lambda x: -x,
    "abs": abs,
    "square": lambda x: x * x,
    "sqrt": math.sqrt,
    "log": math.log,
    "exp": math.exp,
}
_BINARY: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}
_RELATION: dict[str, Callable[[float, float], bool]] = {
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


def operation(operator: str, operands: tuple[Any, ...]) -> Any:
    """The number, folded when every operand is a constant."""
    if all(isinstance(o, Constant) for o in operands):
        values = [o.value for o in operands]
        try:
            folded = _fold(operator, values)
        except (ValueError, OverflowError, ZeroDivisionError):
            folded = None
        if folded is not None:
            return Constant(folded)
    return Operation(operator, operands)


def _fold(operator: str, values: list[float]) -> float | None:
    if operator in _UNARY:
        return float(_UNARY[operator](values[0]))
    if operator in _BINARY:
        return float(_BINARY[operator](*values))
    by_list: dict[str, Callable[[list[float]], float]] = {
        "min": min,
        "max": max,
        "mean": lambda v: sum(v) / len(v),
        "median": lambda v: (
            sorted(v)[len(v) // 2]
            if len(v) % 2
            else sum(sorted(v)[len(v) // 2 - 1 : len(v) // 2 + 1]) / 2
        ),
    }
    return float(by_list[operator](values)) if operator in by_list else None


def constant_comparison(c: Comparison) -> bool | None:
    """The truth of a comparison of two constants; None when it needs a run."""
    if isinstance(c.left, Constant) and isinstance(c.right, Constant):
        return _RELATION[c.operator](c.left.value, c.right.value)
    return None
