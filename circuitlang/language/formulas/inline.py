"""Measures and context words written out: an expression over F alone.

A measure call becomes its body with the arguments in place of the parameters. Context words
at a call are inherited by every F inside, innermost first, so after inlining each F carries
all of its own. `circ show --claim` prints exactly this form, and only it is evaluated.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from circuitlang.language.diagnostics import Diagnostics, Reject
from circuitlang.language.source import Span
from circuitlang.language.text import syntax
from circuitlang.language.text.grammar import METRIC_FUNCTIONS
from circuitlang.language.text.syntax import Clause, Expression

LARGEST_FORMULA = 20_000
MOST_PARTS = 1_000_000


@dataclass
class Budget:
    """How many parts the formulas and values of one spec may have together; told once."""

    left: int = MOST_PARTS

    def spend(self, parts: int, span: Span, diagnostics: Diagnostics) -> None:
        if self.left < 0:
            raise Reject
        self.left -= parts
        if self.left < 0:
            raise diagnostics.reject(
                "CL302",
                f"Written out, this spec has more than {MOST_PARTS:,} parts.",
                span,
                "define less in terms of itself, or divide the claims into several files",
            )


@dataclass(frozen=True)
class Inliner:
    """Holds what a name can mean as a measure; `expand` does the work.

    A name of `tasks` that is also a measure's means the task unless it is called.
    """

    measures: Mapping[str, syntax.Measure]
    diagnostics: Diagnostics
    tasks: Collection[str] = ()
    budget: Budget = field(default_factory=Budget)

    def expand(self, expression: Expression, clauses: tuple[Clause, ...]) -> Expression:
        """`expression` over F alone, with `clauses` as the outermost context."""
        return _Expansion(self).walk(expression, clauses, frozenset(), ())


class _Expansion:
    def __init__(self, inliner: Inliner) -> None:
        self.measures = inliner.measures
        self.tasks = inliner.tasks
        self.diagnostics = inliner.diagnostics
        self.budget = inliner.budget
        self.size = 0

    def walk(
        self,
        e: Expression,
        context: tuple[Clause, ...],
        bound: frozenset[str],
        stack: tuple[str, ...],
    ) -> Expression:
        self.size += 1
        self.budget.spend(1, e.span, self.diagnostics)
        if self.size > LARGEST_FORMULA:
            raise self.diagnostics.reject(
                "CL302",
                f"Written out, this formula has more than {LARGEST_FORMULA:,} parts.",
                e.span,
                "split it into several claims",
            )

        def again(part: Expression) -> Expression:
            return self.walk(part, context, bound, stack)

        match e:
            case syntax.Name(parts) if parts[0] not in bound:
                if e.text == "examples":
                    return _examples(e, context)
                measure = self.measures.get(e.text)
                if measure is None or (measure.parameters and e.text in self.tasks):
                    return e
                return self._call(measure, (), e.span, context, bound, stack)
            case syntax.Call():
                return self._any_call(e, context, bound, stack)
            case syntax.ListExpression(items, generator):
                inner, new = self._generator(generator, context, bound, stack)
                walked = tuple(self.walk(i, context, inner, stack) for i in items)
                return replace(e, items=walked, generator=new)
            case syntax.TupleExpression(items):
                return replace(e, items=tuple(map(again, items)))
            case syntax.Binary(_, left, right):
                return replace(e, left=again(left), right=again(right))
            case syntax.Negation(operand):
                return replace(e, operand=again(operand))
            case syntax.At(base, _) | syntax.Ported(base, _):
                return replace(e, base=again(base))
            case syntax.Quantifier():
                body = self.walk(e.body, context, bound | set(e.names), stack)
                return replace(e, domain=again(e.domain), body=body)
            case _:
                return e

    def _any_call(
        self,
        e: syntax.Call,
        context: tuple[Clause, ...],
        bound: frozenset[str],
        stack: tuple[str, ...],
    ) -> Expression:
        self._check_clauses(e)
        own = tuple(replace(c, value=self.walk(c.value, (), bound, stack)) for c in e.clauses)
        merged = merge(own, context)
        inner, generator = self._generator(e.generator, merged, bound, stack)
        arguments = tuple(self.walk(a, merged, inner, stack) for a in e.arguments)
        name = e.name.text
        measure = None if name in bound else self.measures.get(name)
        if measure is not None:
            if e.generator is not None or e.named:
                raise self.diagnostics.reject(
                    "CL105",
                    f"Measure `{name}` takes plain arguments.",
                    e.span,
                    f"write {signature(measure)}",
                )
            return self._call(measure, arguments, e.span, merged, bound, stack)
        kept = merged if name in MEASURED else _kept(e, own, merged)
        named = tuple((n, self.walk(v, merged, bound, stack)) for n, v in e.named)
        return replace(e, arguments=arguments, generator=generator, clauses=kept, named=named)

    def _check_clauses(self, e: syntax.Call) -> None:
        for clause in e.clauses:
            if clause.word == "over":
                raise self.diagnostics.reject(
                    "CL115",
                    "`over` says what a whole claim generalises to.",
                    clause.span,
                    "say it in the claim's head, or after `default`",
                )
            if clause.word == "per" and e.name.text != "mean":
                raise self.diagnostics.reject(
                    "CL115",
                    "`per` belongs into `mean(... per ...)`.",
                    clause.span,
                    "write for example `under mean(clean per template)`",
                )
        check_twice(e.clauses, self.diagnostics)

    def _generator(
        self,
        generator: syntax.Generator | None,
        context: tuple[Clause, ...],
        bound: frozenset[str],
        stack: tuple[str, ...],
    ) -> tuple[frozenset[str], syntax.Generator | None]:
        if generator is None:
            return bound, None
        bindings = []
        for binding in generator.bindings:
            bindings.append(
                replace(binding, domain=self.walk(binding.domain, context, bound, stack))
            )
            bound = bound | set(binding.names)
        condition = generator.condition
        if condition is not None:
            condition = self.walk(condition, context, bound, stack)
        return bound, syntax.Generator(tuple(bindings), condition)

    def _call(
        self,
        measure: syntax.Measure,
        arguments: tuple[Expression, ...],
        span: Span,
        context: tuple[Clause, ...],
        bound: frozenset[str],
        stack: tuple[str, ...],
    ) -> Expression:
        if measure.name in stack:
            raise self.diagnostics.reject(
                "CL109",
                f"Measure `{measure.name}` needs itself: {' -> '.join((*stack, measure.name))}.",
                span,
                "measures cannot be recursive",
            )
        if len(arguments) != len(measure.parameters):
            raise self.diagnostics.reject(
                "CL105",
                f"Measure `{measure.name}` takes {count(len(measure.parameters), 'argument')}, "
                f"not {len(arguments)}.",
                span,
                f"write {signature(measure)}",
            )
        taken = frozenset().union(*(free_names(a) for a in arguments)) if arguments else frozenset()
        values = dict(zip(measure.parameters, arguments, strict=True))
        body = _Substitution(values, taken, span).walk(measure.body)
        return self.walk(body, context, bound | taken, (*stack, measure.name))


MEASURED = ("F", "path_effect", "independence")
"""What gives a number in the context of its words, and takes those of the context around it."""


def _examples(e: syntax.Name, context: tuple[Clause, ...]) -> Expression:
    """`examples` means those of the data in force, which only F would otherwise see."""
    data = tuple(c.value for c in context if c.word == "on")
    return syntax.Call(e, data, (), None, (), e.span) if data else e


def merge(inner: tuple[Clause, ...], outer: tuple[Clause, ...]) -> tuple[Clause, ...]:
    """The clauses of both; where both have a word, the inner one."""
    words = {c.word for c in inner}
    merged = inner + tuple(c for c in outer if c.word not in words)
    order = ("on", "under", "by", "with", "free", "per", "over")
    return tuple(sorted(merged, key=lambda c: order.index(c.word)))


def check_twice(clauses: tuple[Clause, ...], diagnostics: Diagnostics) -> None:
    """A context word that is said twice in one place; raises `Reject`."""
    words = [c.word for c in clauses]
    for i, clause in enumerate(clauses):
        if clause.word in words[:i]:
            raise diagnostics.reject(
                "CL102", f"`{clause.word}` is said twice here.", clause.span, "delete one"
            )


def signature(measure: syntax.Measure) -> str:
    if not measure.parameters:
        return f"`{measure.name}`"
    return f"`{measure.name}({', '.join(measure.parameters)})`"


def count(number: int, noun: str) -> str:
    return f"{'no' if number == 0 else number} {noun}{'' if number == 1 else 's'}"


def _kept(
    call: syntax.Call, own: tuple[Clause, ...], merged: tuple[Clause, ...]
) -> tuple[Clause, ...]:
    """The words a call keeps that is no F: `mean(abc per template)`, and what is free for `nodes`."""
    if call.name.text in ("nodes", "groups"):
        return tuple(c for c in merged if c.word == "free")
    kept = call.name.text in METRIC_FUNCTIONS or any(c.word == "per" for c in call.clauses)
    return own if kept else ()


def free_names(e: Expression) -> frozenset[str]:
    """First parts of all names in an expression (bound ones included: an upper bound)."""
    found: set[str] = set()
    stack: list[object] = [e]
    while stack:
        part = stack.pop()
        if isinstance(part, syntax.Name):
            found.add(part.parts[0])
        elif isinstance(part, tuple):
            stack.extend(part)
        elif hasattr(part, "__dataclass_fields__") and not isinstance(part, Span):
            stack.extend(getattr(part, f) for f in part.__dataclass_fields__ if f != "span")
    return frozenset(found)


@dataclass(frozen=True)
class _Substitution:
    """Puts arguments for parameters, gives every part the span of the call, renames what would capture."""

    values: Mapping[str, Expression]
    taken: frozenset[str]
    span: Span

    def walk(self, e: Expression) -> Expression:
        match e:
            case syntax.Name(parts) if parts[0] in self.values:
                return self._name(e)
            case syntax.ListExpression(items, generator):
                inner, new = self._generator(generator)
                return replace(
                    e, items=tuple(map(inner.walk, items)), generator=new, span=self.span
                )
            case syntax.Call():
                inner, new = self._generator(e.generator)
                return replace(
                    e,
                    name=replace(e.name, span=self.span),
                    arguments=tuple(map(inner.walk, e.arguments)),
                    named=tuple((n, self.walk(v)) for n, v in e.named),
                    generator=new,
                    clauses=tuple(Clause(c.word, self.walk(c.value), self.span) for c in e.clauses),
                    span=self.span,
                )
            case syntax.TupleExpression(items):
                return replace(e, items=tuple(map(self.walk, items)), span=self.span)
            case syntax.Binary(_, left, right):
                return replace(e, left=self.walk(left), right=self.walk(right), span=self.span)
            case syntax.Negation(operand):
                return replace(e, operand=self.walk(operand), span=self.span)
            case syntax.At(base, place):
                return replace(e, base=self.walk(base), place=self.walk(place), span=self.span)
            case syntax.Ported(base, _):
                return replace(e, base=self.walk(base), span=self.span)
            case syntax.Quantifier():
                inner, names = self._bind(e.names)
                return replace(
                    e,
                    names=names,
                    domain=self.walk(e.domain),
                    body=inner.walk(e.body),
                    span=self.span,
                )
            case _:
                return replace(e, span=self.span)

    def _name(self, e: syntax.Name) -> Expression:
        value = self.values[e.parts[0]]
        if len(e.parts) == 1:
            return value
        if isinstance(value, syntax.Name):
            return replace(value, parts=value.parts + e.parts[1:], span=self.span)
        return syntax.Ported(value, e.parts[-1], self.span)

    def _bind(self, names: tuple[str, ...]) -> tuple[_Substitution, tuple[str, ...]]:
        values, fresh = dict(self.values), []
        for name in names:
            new = name
            while new in self.taken:
                new += "_"
            values.pop(name, None)
            if new != name:
                values[name] = syntax.Name((new,), self.span)
            fresh.append(new)
        return _Substitution(values, self.taken, self.span), tuple(fresh)

    def _generator(
        self, generator: syntax.Generator | None
    ) -> tuple[_Substitution, syntax.Generator | None]:
        if generator is None:
            return self, None
        inner, bindings = self, []
        for binding in generator.bindings:
            domain = inner.walk(binding.domain)
            inner, names = inner._bind(binding.names)
            bindings.append(syntax.Binding(names, domain, self.span))
        condition = generator.condition
        if condition is not None:
            condition = inner.walk(condition)
        return inner, syntax.Generator(tuple(bindings), condition)


def substitute_names(e: Expression, labels: Mapping[str, str]) -> Expression:
    """`e` with each bound variable replaced by its printed form; for display only."""
    if not labels:
        return e
    values: dict[str, Expression] = {
        name: syntax.Name((label,), e.span) for name, label in labels.items()
    }
    return _Substitution(values, frozenset(), e.span).walk(e)
