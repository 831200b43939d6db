"""What a claim asserts, taken apart so that two can be compared: quantifiers, numbers, bounds."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict

from circuitlang.language.text import syntax
from circuitlang.language.text.syntax import Expression
from circuitlang.language.text.unparse import unparse
from circuitlang.meaning.expressions import substituted, terms, tidy

Kind = Literal["forall", "exists", "most"]


class Data(BaseModel):
    """Plain JSON data that does not change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Quantifier(Data):
    """`level` is the share that `most` asks for."""

    kind: Kind
    domain: str
    level: float | None = None


class Bound(Data):
    """The sum of `terms`, coefficient times text, with "" for a plain number."""

    terms: dict[str, float]
    strict: bool = False


class Assertion(Data):
    """`number` is at least `low` and at most `high`; without either it is a condition as it stands."""

    number: str
    low: Bound | None = None
    high: Bound | None = None


class Terms(Data):
    """`quantifiers`, outermost first, over a conjunction; `context` are the words of the head."""

    context: tuple[str, ...] = ()
    quantifiers: tuple[Quantifier, ...]
    asserts: tuple[Assertion, ...]


def terms_of(e: Expression, context: Iterable[str] = ()) -> Terms:
    """Of a tidy expression without abbreviations; bound variables are numbered, not named."""
    quantifiers: list[Quantifier] = []
    bound = 0
    while isinstance(e, syntax.Quantifier):
        share = None if e.share is None else _sum(e.share).get("")
        quantifiers.append(
            Quantifier(kind=e.kind, domain=unparse(e.domain), level=share)  # type: ignore[arg-type]
        )
        numbers = {name: syntax.Name((f"_{bound + i}",), e.span) for i, name in enumerate(e.names)}
        bound += len(numbers)
        e = tidy(substituted(e.body, numbers))
    found = [_assertion(part) for part in terms(e, "and")]
    return Terms(
        quantifiers=tuple(quantifiers),
        asserts=tuple(sorted(found, key=lambda a: a.number)),
        context=tuple(sorted(context)),
    )


def _assertion(e: Expression) -> Assertion:
    match e:
        case syntax.Binary("in", left, syntax.Binary("..", low, high)):
            return Assertion(number=unparse(left), low=_bound(low), high=_bound(high))
        case syntax.Binary("==", left, right):
            same = _bound(right)
            return Assertion(number=unparse(left), low=same, high=same)
        case syntax.Binary(">=" | ">" as operator, left, right):
            strict = operator == ">"
            if _is_bound(left, right):
                return Assertion(number=unparse(right), high=_bound(left, strict))
            return Assertion(number=unparse(left), low=_bound(right, strict))
    return Assertion(number=unparse(e))


def _bound(e: Expression, strict: bool = False) -> Bound:
    most = sys.float_info.max
    found = {term: min(max(value, -most), most) for term, value in _sum(e).items()}
    return Bound(terms=found, strict=strict)


def _is_bound(left: Expression, right: Expression) -> bool:
    """Whether the left side is what the right one is compared with: the plainer of the two."""
    return _size(left) < _size(right)


def _size(e: Expression) -> tuple[int, int]:
    found = _sum(e)
    return len([term for term in found if term]), sum(map(len, found))


def _sum(e: Expression, by: float = 1.0) -> dict[str, float]:
    """Coefficients of what is added up; what is no number times something is one term."""
    match e:
        case syntax.NumberLiteral(value):
            return {"": by * value}
        case syntax.Negation(operand):
            return _sum(operand, -by)
        case syntax.Binary("+" | "-" as operator, left, right):
            found = _sum(left, by)
            for term, value in _sum(right, by if operator == "+" else -by).items():
                found[term] = found.get(term, 0.0) + value
            return found
        case syntax.Binary("*" | "/" as operator, left, right):
            factor, rest = _plain(right), left
            if factor is None and operator == "*":
                factor, rest = _plain(left), right
            if factor is not None and (factor or operator == "*"):
                return _times(rest, by * factor if operator == "*" else by / factor)
    return {unparse(e, 5): by}


def _times(e: Expression, by: float) -> dict[str, float]:
    """A multiple of a sum stays a multiple: `20% * effect` is one number to compare."""
    value = _plain(e)
    return {"": by * value} if value is not None else {unparse(e, 5): by}


def _plain(e: Expression) -> float | None:
    found = _sum(e) if not isinstance(e, syntax.Name | syntax.Call) else {}
    return found[""] if set(found) == {""} else None
