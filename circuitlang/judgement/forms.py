"""Normal forms: what a number is as a function of the means it is made of.

A `Form` is the largest, the smallest or the only one of some quotients A_j / B with affine A_j
and a common affine B. It covers differences, ratios, sums of fractions over one denominator,
`abs` (the larger of A and -A), `min` and `max`. Whatever does not fit has no form (None) and is
left to the bootstrap. This is what makes `A / B >= t` decidable as the contrast A - tB
(Fieller 1954), which keeps its coverage when B is small.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from circuitlang.language.formulas.numbers import operation
from circuitlang.language.spec import (
    Aggregate,
    Comparison,
    Constant,
    Each,
    Mean,
    MemberShare,
    Number,
    Operation,
)

Atom = Mean | Aggregate
PIECES = 16


class NoFormError(Exception):
    """The formula has no meaning as a claim (not merely no normal form)."""


@dataclass(frozen=True)
class Affine:
    """sum of coefficient * atom, plus a constant."""

    terms: Mapping[Atom, float] = field(default_factory=dict)
    constant: float = 0.0

    @property
    def is_constant(self) -> bool:
        return not self.terms

    def __add__(self, other: Affine) -> Affine:
        terms = dict(self.terms)
        for atom, coefficient in other.terms.items():
            terms[atom] = terms.get(atom, 0.0) + coefficient
        kept = {atom: c for atom, c in terms.items() if c != 0}
        return Affine(kept, self.constant + other.constant)

    def __sub__(self, other: Affine) -> Affine:
        return self + other.scaled(-1.0)

    def scaled(self, factor: float) -> Affine:
        if factor == 0:
            return Affine()
        return Affine({a: c * factor for a, c in self.terms.items()}, self.constant * factor)

    def multiple_of(self, other: Affine) -> float | None:
        """k where self = k * other, None when it is no multiple."""
        if self.is_constant or set(self.terms) != set(other.terms):
            return None
        atom = next(iter(other.terms))
        factor = self.terms[atom] / other.terms[atom]
        pairs = [(c, other.terms[a] * factor) for a, c in self.terms.items()]
        pairs.append((self.constant, other.constant * factor))
        close = all(math.isclose(x, y, rel_tol=1e-12, abs_tol=1e-12) for x, y in pairs)
        return factor if close else None


@dataclass(frozen=True)
class Guard:
    """Something the formula divides by: it must be clear of zero, or clear above zero."""

    affine: Affine
    positive: bool = False


@dataclass(frozen=True)
class Form:
    """`shape` ("one", "max", "min") of piece / `over`; `over` None divides by nothing.

    `opposed`: the pieces are A and -A (an absolute value), perhaps shifted and scaled.
    """

    pieces: tuple[Affine, ...]
    shape: str = "one"
    over: Affine | None = None
    guards: tuple[Guard, ...] = ()
    opposed: bool = False

    @property
    def is_constant(self) -> bool:
        return self.over is None and self.shape == "one" and self.pieces[0].is_constant

    @property
    def constant(self) -> float:
        return self.pieces[0].constant

    def scaled(self, factor: float) -> Form:
        shape = self.shape
        if factor < 0:
            shape = {"one": "one", "max": "min", "min": "max"}[shape]
        return replace(self, pieces=tuple(p.scaled(factor) for p in self.pieces), shape=shape)


def _plain_sum(forms: Sequence[Form]) -> Affine | None:
    """The sum of forms without `max`, `min` and denominator; in one pass, for there can be thousands."""
    if any(f.shape != "one" or f.over is not None or f.guards or f.opposed for f in forms):
        return None
    terms: dict[Atom, float] = {}
    for form in forms:
        for atom, coefficient in form.pieces[0].terms.items():
            terms[atom] = terms.get(atom, 0.0) + coefficient
    kept = {atom: c for atom, c in terms.items() if c != 0}
    return Affine(kept, sum(form.constant for form in forms))


def constant_form(value: float) -> Form:
    return Form((Affine({}, value),))


def form_of(number: Number) -> Form | None:
    """The normal form, None when there is none; raises `NoFormError` when the number means nothing."""
    match number:
        case Constant(value):
            return constant_form(value)
        case Mean():
            return Form((Affine({number: 1.0}),))
        case Each():
            raise NoFormError(
                "a number of one prompt stands outside mean, median, quantile or share"
            )
        case Aggregate():
            return _aggregate_form(number)
        case MemberShare():
            return None
        case Operation(symbol, operands):
            forms = [form_of(operand) for operand in operands]
            known = [f for f in forms if f is not None]
            if len(known) < len(forms):
                return None
            if all(f.is_constant for f in known):
                return _folded(symbol, known)
            return _combined(symbol, known)


def _folded(symbol: str, forms: list[Form]) -> Form:
    constants: tuple[Number, ...] = tuple(Constant(f.constant) for f in forms)
    folded = operation(symbol, constants)
    if not isinstance(folded, Constant) or not math.isfinite(folded.value):
        raise NoFormError("a constant in it is not a finite number (a division by 0, perhaps)")
    return constant_form(folded.value)


def _aggregate_form(number: Aggregate) -> Form:
    """An atom of its own; the mean of an affine expression is the affine expression of the means."""
    if number.kind == "mean" and not isinstance(number.body, Comparison):
        inner = form_of(_averaged(number.body))
        if inner is not None and inner.shape == "one" and inner.over is None:
            return inner
    return Form((Affine({number: 1.0}),))


def _averaged(number: Number) -> Number:
    match number:
        case Each(measurement):
            return Mean(measurement)
        case Operation(symbol, operands):
            return Operation(symbol, tuple(_averaged(o) for o in operands))
    return number


def _combined(symbol: str, forms: list[Form]) -> Form | None:
    first, rest = forms[0], forms[1:]
    if symbol == "neg" or (symbol == "-" and not rest):
        return first.scaled(-1.0)
    if symbol == "abs":
        return _absolute(first)
    if symbol in ("+", "mean") and (plain := _plain_sum(forms)) is not None:
        return Form((plain.scaled(1 / len(forms)) if symbol == "mean" else plain,))
    if symbol in ("+", "-", "mean"):
        total: Form | None = first
        for other in rest:
            total = total and _sum(total, other.scaled(-1.0) if symbol == "-" else other)
        return total and (total.scaled(1 / len(forms)) if symbol == "mean" else total)
    if symbol in ("*", "/"):
        result: Form | None = first
        for other in rest:
            result = result and (_product if symbol == "*" else _quotient)(result, other)
        return result
    if symbol in ("min", "max"):
        return _extreme(symbol, forms)
    return None


def _absolute(form: Form) -> Form | None:
    if form.shape != "one":
        return None
    piece = form.pieces[0]
    return replace(form, pieces=(piece, piece.scaled(-1.0)), shape="max", opposed=True)


def _aligned(left: Form, right: Form) -> tuple[Form, Form] | None:
    """The same two forms over one denominator, None when they have no common one."""
    if left.over is None and right.over is None:
        return left, right
    if left.over is not None and right.over is not None:
        factor = right.over.multiple_of(left.over)
        return (left, replace(right.scaled(1 / factor), over=left.over)) if factor else None
    if left.over is None:
        swapped = _aligned(right, left)
        return swapped and (swapped[1], swapped[0])
    if not right.is_constant:
        return None
    return left, Form((left.over.scaled(right.constant),), over=left.over)


def _sum(left: Form, right: Form) -> Form | None:
    pair = _aligned(left, right)
    if pair is None:
        return None
    left, right = pair
    shapes = {left.shape, right.shape} - {"one"}
    if len(shapes) > 1 or len(left.pieces) * len(right.pieces) > PIECES:
        return None
    return Form(
        tuple(a + b for a, b in product(left.pieces, right.pieces)),
        shapes.pop() if shapes else "one",
        left.over,
        left.guards + right.guards,
        opposed=left.opposed != right.opposed and 1 in (len(left.pieces), len(right.pieces)),
    )


def _product(left: Form, right: Form) -> Form | None:
    if left.is_constant:
        left, right = right, left
    if right.is_constant:
        return left.scaled(right.constant)
    if left.over is None:
        left, right = right, left
    if left.over is None or right.over is not None or {left.shape, right.shape} != {"one"}:
        return None
    factor = right.pieces[0].multiple_of(left.over)
    if factor is None:
        return None
    return replace(left.scaled(factor), over=None, guards=left.guards + right.guards)


def _quotient(left: Form, right: Form) -> Form | None:
    if right.is_constant:
        if right.constant == 0:
            raise NoFormError("it divides by 0")
        return left.scaled(1 / right.constant)
    if right.shape != "one":
        return None
    over = right.pieces[0]
    if right.over is not None:
        pair = _aligned(left, right)
        if pair is None or left.shape != "one":
            return None
        left, over = pair[0], pair[1].pieces[0]
    elif left.over is not None:
        return None
    guard = Guard(over, positive=left.shape != "one")
    return replace(left, over=over, guards=left.guards + right.guards + (guard,))


def _extreme(symbol: str, forms: list[Form]) -> Form | None:
    found = forms[0] if forms[0].shape in ("one", symbol) else None
    for other in forms[1:]:
        pair = found and other.shape in ("one", symbol) and _aligned(found, other)
        if not pair:
            return None
        pieces = pair[0].pieces + pair[1].pieces
        if len(pieces) > PIECES:
            return None
        found = Form(pieces, symbol, pair[0].over, pair[0].guards + pair[1].guards)
    return found and replace(found, shape=symbol if len(found.pieces) > 1 else "one")
