"""The names an expression mentions, found without evaluating it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from circuitlang.language.diagnostics import Diagnostics, Reject, suggestion
from circuitlang.language.tasks.interpolation import NAME, Hole, name_in, pieces
from circuitlang.language.text import syntax
from circuitlang.language.text.syntax import Expression

FUNCTIONS = ("distinct", "token_count", "token_ids", "file", "rows")

Lookup = Callable[[str], "Expression | None"]


@dataclass(frozen=True)
class Scope:
    """Where an expression stands: among the spec's `let` definitions.

    `names` are only for suggestions.
    """

    lookup: Lookup
    names: tuple[str, ...] = ()


def mentions(
    e: Expression, bound: frozenset[str] = frozenset()
) -> Iterator[syntax.Name | syntax.Call]:
    """The calls in an expression and the names it takes from outside, also those in strings."""
    match e:
        case syntax.Name():
            if e.text not in bound:
                yield e
        case syntax.StringLiteral(value):
            for piece in pieces(value):
                if isinstance(piece, Hole) and (name := name_in(e, piece)).text not in bound:
                    yield name
        case syntax.ListExpression(items, generator):
            yield from _generated(items, generator, bound)
        case syntax.Call():
            yield e
            named = (value for _, value in e.named)
            yield from _generated((*e.arguments, *named), e.generator, bound)
        case syntax.TupleExpression(items):
            for item in items:
                yield from mentions(item, bound)
        case syntax.Binary(_, left, right):
            yield from mentions(left, bound)
            yield from mentions(right, bound)
        case syntax.Negation(operand):
            yield from mentions(operand, bound)


def _generated(
    items: Iterable[Expression], generator: syntax.Generator | None, bound: frozenset[str]
) -> Iterator[syntax.Name | syntax.Call]:
    for loop in generator.bindings if generator else ():
        yield from mentions(loop.domain, bound)
        bound = bound | set(loop.names)
    for item in items:
        yield from mentions(item, bound)
    if generator and generator.condition is not None:
        yield from mentions(generator.condition, bound)


def free_names(e: Expression) -> frozenset[str]:
    return frozenset(m.text for m in mentions(e) if isinstance(m, syntax.Name))


def check_names(
    e: Expression, known: Collection[str], scope: Scope, diagnostics: Diagnostics
) -> bool:
    """Reports every unknown name and function; True when there is none."""
    sound = True
    for mention in mentions(e):
        if isinstance(mention, syntax.Call):
            if mention.name.text not in FUNCTIONS:
                unknown_function(mention, diagnostics)
                sound = False
        elif mention.text not in known and scope.lookup(mention.text) is None:
            unknown_name(mention, [*known, *scope.names], diagnostics)
            sound = False
    return sound


def unknown_name(name: syntax.Name, known: Iterable[str], diagnostics: Diagnostics) -> Reject:
    if not all(NAME.fullmatch(part) for part in name.parts):
        return diagnostics.reject(
            "CL101",
            f"`{{{name.text}}}` is not a name in braces.",
            name.span,
            'a single brace is written `{{`; computed texts are lists: ["{y}" for y in [year + 1]]',
        )
    return diagnostics.reject(
        "CL101",
        f"There is no `{name.text}` here.",
        name.span,
        suggestion(name.text, known) or "name a slot of the task or a `let` of the spec",
    )


def unknown_function(call: syntax.Call, diagnostics: Diagnostics) -> Reject:
    name = call.name.text
    return diagnostics.reject(
        "CL101",
        f"There is no function `{name}` in a task.",
        call.name.span,
        suggestion(name, FUNCTIONS) or f"there are {', '.join(FUNCTIONS)}",
    )
