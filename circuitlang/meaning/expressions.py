"""Expressions in one form: abbreviations written out, order that says nothing put in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from circuitlang.language.source import Source, Span
from circuitlang.language.text import syntax
from circuitlang.language.text.syntax import Expression
from circuitlang.language.text.unparse import unparse

Lookup = Callable[[str], "Expression | None"]
_FLIPPED = {"<=": ">=", "<": ">", ">=": "<=", ">": "<", "==": "==", "!=": "!="}
_SYMMETRIC = frozenset({"+", "*", "&", "and", "==", "!="})
_UNORDERED_CALLS = frozenset({"distinct", "min", "max"})
DEEPEST = 64
_CONTEXT = syntax.Name(("context",), Source("", "", Path()).span(0, 0))
"""Stands for the words that are said at a call and hold for every F of a measure's body."""


def dissolved(
    e: Any,
    lookup: Lookup,
    measures: Callable[[str], syntax.Measure | None] = lambda _: None,
    depth: int = 0,
) -> Any:
    """`e` with every name that `lookup` knows replaced by its value, and every call of `measures`
    by its body. The same spec has to have been resolved: nothing is checked."""
    bound = _bound(e)

    def again(value: Any) -> Any:
        return dissolved(value, lookup, measures, depth + 1)

    def called(measure: syntax.Measure, arguments: tuple[Expression, ...], clauses: Any) -> Any:
        given = dict(zip(measure.parameters, arguments, strict=True))
        body = substituted(again(measure.body), given)
        return syntax.Call(_CONTEXT, (body,), (), None, clauses, body.span) if clauses else body

    def walk(part: Any) -> Any:
        match part:
            case syntax.Name() if part.text not in bound and depth < DEEPEST:
                if (value := lookup(part.text)) is not None:
                    return again(value)
                measure = measures(part.text)
                return called(measure, (), ()) if measure and not measure.parameters else part
            case syntax.Call() if depth < DEEPEST and (measure := measures(part.name.text)):
                arguments = tuple(map(walk, part.arguments))
                return called(measure, arguments, _mapped(part.clauses, walk))
            case syntax.Call():
                return _mapped(part, walk, skip="name")
        return _mapped(part, walk)

    return walk(e)


def substituted(e: Any, values: Mapping[str, Expression]) -> Any:
    """`e` with parameters replaced; a port of one stays a port."""

    def walk(part: Any) -> Any:
        match part:
            case syntax.Name(parts) if parts[0] in values:
                value = values[parts[0]]
                if len(parts) == 1:
                    return value
                if isinstance(value, syntax.Name):
                    return replace(value, parts=value.parts + parts[1:])
                return syntax.Ported(value, parts[-1], part.span)
            case syntax.Call():
                return _mapped(part, walk, skip="name")
        return _mapped(part, walk)

    return walk(e) if values else e


def without(e: Any, defaults: Mapping[str, str], said: frozenset[str] = frozenset()) -> Any:
    """`e` without context words that say what is the default anyway; `said` are words around it."""

    def again(part: Any) -> Any:
        return without(part, defaults, said)

    if not isinstance(e, syntax.Call):
        return _mapped(e, again)
    kept = tuple(c for c in e.clauses if c.word in said or not is_default(c, defaults))
    inner = said | {c.word for c in kept}
    found = _mapped(replace(e, clauses=kept), lambda p: without(p, defaults, inner), skip="name")
    return found.arguments[0] if e.name is _CONTEXT and not kept else found


def is_default(c: syntax.Clause, defaults: Mapping[str, str]) -> bool:
    return defaults.get(c.word) == unparse(tidy(c.value))


def tidy(e: Any) -> Any:
    """`e` with operands, list members and sides of relations in one order, numbers in one form."""
    e = _mapped(e, tidy)
    match e:
        case syntax.NumberLiteral(value, text) if text.endswith("%") or "e" in text.lower():
            return replace(e, text=f"{value:.12g}")
        case syntax.Binary(operator) if operator in _SYMMETRIC:
            first, *rest = sorted(terms(e, operator), key=unparse)
            for term in rest:
                first = syntax.Binary(operator, first, term, e.span)
            return first
        case syntax.Binary("<=" | "<" as operator, left, right):
            return replace(e, operator=_FLIPPED[operator], left=right, right=left)
        case syntax.ListExpression(items, None):
            return replace(e, items=tuple(sorted(items, key=unparse)))
        case syntax.Call(name, arguments, generator=None) if name.text in _UNORDERED_CALLS:
            return replace(e, arguments=tuple(sorted(arguments, key=unparse)))
    return e


def terms(e: Expression, operator: str) -> Iterator[Expression]:
    """What a chain of one operator joins."""
    if isinstance(e, syntax.Binary) and e.operator == operator:
        yield from terms(e.left, operator)
        yield from terms(e.right, operator)
    else:
        yield e


def _mapped(part: Any, walk: Callable[[Any], Any], skip: str = "") -> Any:
    """The same piece of the tree with `walk` of each of its parts."""
    if isinstance(part, tuple):
        return tuple(_mapped(p, walk) if isinstance(p, tuple) else walk(p) for p in part)
    if not is_dataclass(part) or isinstance(part, (Span, type)):
        return part
    parts = {f.name: getattr(part, f.name) for f in fields(part) if f.name not in ("span", skip)}
    return replace(
        part,
        **{name: walk(p) if is_dataclass(p) else _mapped(p, walk) for name, p in parts.items()},
    )


def _bound(e: Any) -> frozenset[str]:
    """Every name that the expression binds itself."""
    found: set[str] = set()
    stack = [e]
    while stack:
        part = stack.pop()
        if isinstance(part, (syntax.Binding, syntax.Quantifier)):
            found.update(part.names)
        if isinstance(part, tuple):
            stack += part
        elif is_dataclass(part) and not isinstance(part, (Span, type)):
            stack += (getattr(part, f.name) for f in fields(part) if f.name != "span")
    return frozenset(found)
