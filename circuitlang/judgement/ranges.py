"""The least and the largest that a number can be on any prompt, by what it measures."""

from __future__ import annotations

import math
from collections.abc import Sequence

from circuitlang.judgement.forms import Affine, Atom
from circuitlang.language.spec import (
    Aggregate,
    AttentionScore,
    Comparison,
    Constant,
    CopyScore,
    Divergence,
    Each,
    Loss,
    Mean,
    MetricConstant,
    MetricExpression,
    MetricOperation,
    Number,
    Operation,
    TokenScore,
    TopToken,
)
from circuitlang.language.text.syntax import RELATIONS

Range = tuple[float, float]
EVERYTHING = (-math.inf, math.inf)
SHARE = (0.0, 1.0)


def range_of(affine: Affine) -> Range:
    """Of a contrast; infinite where some number in it has no bound."""
    parts = [_scaled(_of_atom(atom), c) for atom, c in affine.terms.items()]
    low, high = (sum(part[end] for part in parts) for end in (0, 1))
    return affine.constant + low, affine.constant + high


def is_bounded(affine: Affine) -> bool:
    return all(map(math.isfinite, range_of(affine)))


def _of_atom(atom: Atom) -> Range:
    if isinstance(atom, Mean):
        return of_metric(atom.measurement.metric.expression)
    if atom.kind == "share" or isinstance(atom.body, Comparison):
        return SHARE
    return _of_number(atom.body)


def _of_number(number: Number) -> Range:
    """Of one prompt's number."""
    match number:
        case Constant(value):
            return value, value
        case Each(measurement) | Mean(measurement):
            return of_metric(measurement.metric.expression)
        case Operation(operator, operands):
            return _combined(operator, [_of_number(operand) for operand in operands])
        case Aggregate(kind="share"):
            return SHARE
    return EVERYTHING


def of_metric(e: MetricExpression) -> Range:
    """Of a metric on one prompt."""
    match e:
        case MetricConstant(value):
            return value, value
        case TopToken() | AttentionScore() | CopyScore() | TokenScore(kind="prob"):
            return SHARE
        case TokenScore(kind="logprob"):
            return -math.inf, 0.0
        case Divergence(kind="js"):
            return 0.0, math.log(2)
        case TokenScore(kind="rank") | Divergence() | Loss():
            return 0.0, math.inf
        case MetricOperation(operator, operands):
            return _combined(operator, [of_metric(operand) for operand in operands])
    return EVERYTHING


def _combined(operator: str, parts: Sequence[Range]) -> Range:
    if operator in RELATIONS:
        return SHARE
    first = parts[0]
    if operator == "neg" or (operator == "-" and len(parts) == 1):
        return _scaled(first, -1.0)
    if operator == "abs":
        ends = sorted(map(abs, first))
        return (0.0 if first[0] <= 0 <= first[1] else ends[0]), ends[1]
    if operator == "square":
        low, high = _combined("abs", [first])
        return low * low, high * high
    if operator in ("min", "max"):
        pick = min if operator == "min" else max
        return pick(p[0] for p in parts), pick(p[1] for p in parts)
    if operator in ("+", "-", "*"):
        for other in parts[1:]:
            first = _pair(operator, first, other)
        return first
    return EVERYTHING


def _pair(operator: str, one: Range, other: Range) -> Range:
    if operator == "-":
        other = _scaled(other, -1.0)
    if operator != "*":
        return one[0] + other[0], one[1] + other[1]
    products = [0.0 if 0.0 in (a, b) else a * b for a in one for b in other]
    return min(products), max(products)


def _scaled(part: Range, factor: float) -> Range:
    ends = [0.0 if factor == 0 else end * factor for end in part]
    return min(ends), max(ends)
