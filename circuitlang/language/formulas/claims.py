"""Claims, reports and loose expressions: syntax -> formulas and numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from circuitlang.language import spec as forms
from circuitlang.language.diagnostics import Reject, shallow, suggestion
from circuitlang.language.formulas.environment import Environment
from circuitlang.language.formulas.evaluate import Evaluator
from circuitlang.language.formulas.inline import Inliner, check_twice, free_names, merge
from circuitlang.language.formulas.values import (
    Edges,
    Formulas,
    Items,
    Nodes,
    Numbers,
    kind,
    weight,
)
from circuitlang.language.graph import sets
from circuitlang.language.source import Source
from circuitlang.language.text import syntax
from circuitlang.language.text.parse import parse_expression
from circuitlang.language.text.unparse import unparse

Reported = (*Numbers, forms.MemberShare)
TARGETS = ("prompts", "templates")
EXPECTATIONS = ("fails", "undecided", "survived")


class ClaimResolver:
    """Claims, reports and loose expressions against one evaluator."""

    def __init__(
        self,
        evaluator: Evaluator,
        env: Environment,
        counterexamples: Iterable[syntax.Counterexample] = (),
    ) -> None:
        self.evaluator, self.env = evaluator, env
        self.counterexamples = tuple(counterexamples)
        self.definitions = evaluator.definitions
        self.diagnostics = evaluator.diagnostics

    def claim(self, s: syntax.Claim) -> forms.Claim | None:
        try:
            with shallow(self.diagnostics, s.span):
                target = self._target(s.clauses)
                formula = self._replaying(s, self.formula(s.formula, s.clauses))
        except Reject:
            return None
        if s.expect is not None and s.kind == "assume":
            self.diagnostics.error(
                "CL310",
                "An `assume` has nothing to expect: it must hold.",
                s.expect[2],
                "make it a claim, or delete the expectation",
            )
            return None
        if s.expect is not None and s.expect[0] not in EXPECTATIONS:
            self.diagnostics.error(
                "CL310",
                f"`{s.expect[0]}` is not a verdict to expect.",
                s.expect[2],
                suggestion(s.expect[0], EXPECTATIONS) or "expect fails, undecided or survived",
            )
            return None
        self._warn_idle(s, formula)
        return forms.Claim(
            s.name,
            s.kind,
            s.sentence,
            formula,
            target,
            (s.expect[0], s.expect[1]) if s.expect else None,
            unparse(s.formula),
            s.span,
        )

    def _own(self, s: syntax.Claim) -> list[syntax.Counterexample]:
        return [c for c in self.counterexamples if c.claim == s.name]

    def _replaying(self, s: syntax.Claim, formula: Any) -> Any:
        """The formula with its counterexamples among the members of its search."""
        own = self._own(s)
        if own and not (isinstance(formula, forms.Quantified) and formula.kind == "forall"):
            raise self.diagnostics.reject(
                "CL318",
                f"`{s.name}` claims nothing of every member of a domain, so no member refutes it.",
                own[0].span,
                "delete it, or claim `forall x in inputs(task): ...` or `forall K in subsets(...): ...`",
            )
        if own and formula.extent == "prompts":
            return replace(formula, counterexamples=tuple(c.member for c in own))
        if own and formula.search is not None:
            members = tuple((self._member(c), c.member) for c in own)
            return replace(formula, search=replace(formula.search, replayed=members))
        return formula

    def _member(self, c: syntax.Counterexample) -> Any:
        """The set that the text of a counterexample denotes, whose mistakes are shown in place."""
        if not c.member.strip():
            raise self.diagnostics.reject(
                "CL318", "This names no set.", c.span, 'write for example `"a9.h6 + a9.h9"`'
            )
        source = c.span.source
        quotes = re.search(r'"+', c.span.text)
        start = c.span.start + (quotes.end() if quotes else 0)
        before = re.sub(r"[^\n]", " ", source.text[:start])
        text = Source(source.name, before + c.member, source.folder)
        e = parse_expression(text, self.diagnostics)
        if e is None:
            raise Reject
        value = self.evaluator.value(self.inlined(e, ()), self.env)
        if isinstance(value, (Nodes, Edges)):
            return value
        raise self.evaluator.fail(
            "CL318", f"This is {kind(value)}, not a set.", e, 'write for example `"a9.h6 + a9.h9"`'
        )

    def formula(self, e: syntax.Expression, clauses: tuple[syntax.Clause, ...]) -> Any:
        """The condition a claim states; raises `Reject`."""
        inlined = self.inlined(e, clauses)
        self.evaluator.expanded = 0
        formula = self.evaluator.formula(inlined, self.environment(clauses))
        parts = weight(formula, self.definitions.budget.left + 1, sets=False)
        self.definitions.budget.spend(parts, e.span, self.diagnostics)
        self._warn_percent(e, formula)
        return formula

    def inlined(
        self, e: syntax.Expression, clauses: tuple[syntax.Clause, ...]
    ) -> syntax.Expression:
        for c in clauses:
            if c.word == "per":
                raise self.diagnostics.reject(
                    "CL115",
                    "`per` belongs into `mean(... per ...)`.",
                    c.span,
                    "write for example `under mean(clean per template)`",
                )
        check_twice(clauses, self.diagnostics)
        context = tuple(c for c in merge(clauses, self.definitions.defaults) if c.word != "over")
        return self.inliner.expand(e, context)

    @property
    def inliner(self) -> Inliner:
        return self.definitions.inliner

    def report(self, s: syntax.Report) -> forms.ReportItem | None:
        try:
            with shallow(self.diagnostics, s.span):
                target = self._target(s.clauses)
                numbers = self.numbers(s.value, s.clauses)
        except Reject:
            return None
        return forms.ReportItem(s.name, s.sentence, numbers, target, unparse(s.value), s.span)

    def numbers(
        self, e: syntax.Expression, clauses: tuple[syntax.Clause, ...] = ()
    ) -> tuple[tuple[str, Any], ...]:
        """A number, or a list of numbers with their labels; raises `Reject`."""
        env = self.environment(clauses)
        self.evaluator.expanded = 0
        value = self.evaluator.value(self.inlined(e, clauses), env)
        if isinstance(value, Items) and all(isinstance(m, Reported) for m in value.members):
            return tuple(zip(value.labels, value.members, strict=True))
        if isinstance(value, (Nodes, Edges)):
            return (("size", forms.Constant(float(self._size(value)))),)
        if not isinstance(value, Reported):
            raise self.evaluator.fail(
                "CL106",
                f"This is {kind(value)}, not a number.",
                e,
                "a condition belongs into a claim: `claim name: ...`"
                if isinstance(value, Formulas)
                else "report a number, such as `F(C)`, or a list of numbers",
            )
        return (("", value),)

    def _size(self, value: Any) -> int:
        return len(value.members) if isinstance(value, Nodes) else sets.size(value.set)

    def any_value(self, e: syntax.Expression) -> Any:
        """A condition or numbers, as `circ eval` takes them; raises `Reject`."""
        value = self.evaluator.value(self.inlined(e, ()), self.environment(()))
        return value if isinstance(value, Formulas) else self.numbers(e)

    def environment(self, clauses: tuple[syntax.Clause, ...]) -> Environment:
        """What holds where context words are said: the graph is that of their model."""
        for c in merge(clauses, self.definitions.defaults):
            if c.word == "with":
                model = self.evaluator.runs.model(c.value, c.value, self.env)
                return Environment(model, {}, {})
        return self.env

    def _target(self, clauses: tuple[syntax.Clause, ...]) -> str | None:
        for c in merge(clauses, self.definitions.defaults):
            if c.word == "over":
                name = c.value.text if isinstance(c.value, syntax.Name) else unparse(c.value)
                if name not in TARGETS:
                    raise self.diagnostics.reject(
                        "CL115",
                        f"`over` takes prompts or templates, not `{name}`.",
                        c.span,
                        suggestion(name, TARGETS) or "write `over prompts` or `over templates`",
                    )
                return name
        return None

    def _warn_idle(self, s: syntax.Claim, formula: Any) -> None:
        """A comparison of numbers written out."""
        if isinstance(formula, forms.Comparison) and not free_names(s.formula):
            self.diagnostics.warn(
                "CL312",
                "This does not depend on the model: it is the same in every spec.",
                s.formula.span,
                "compare a score with a threshold, as in `faithfulness(C) >= 0.8`",
            )

    def _warn_percent(self, e: syntax.Expression, formula: Any) -> None:
        match e, formula:
            case syntax.Quantifier(body=body), forms.Quantified():
                first = formula.search.first if formula.search else None
                for _, member in formula.members[:1] or ((None, first),):
                    self._warn_percent(body, member)
            case syntax.Binary("and", left, right), forms.Both(parts):
                self._warn_percent(right, parts[-1])
                self._warn_percent(left, forms.Both(parts[:-1]) if len(parts) > 2 else parts[0])
            case syntax.Binary(_, left, syntax.NumberLiteral(value, text)), forms.Comparison():
                if not text.endswith("%"):
                    return
                counted = isinstance(left, syntax.Call) and left.name.text == "size"
                if counted or _has_unit(formula.left):
                    self.diagnostics.warn(
                        "CL306",
                        f"`{text}` is {value:g} in the metric's own units, not a share."
                        if not counted
                        else f"`{text}` is {value:g}, and `size` counts.",
                        e.right.span,
                        f"write `{text} * size(M)` for a share of the model"
                        if counted
                        else f"write `{text} * effect` for a share of the effect",
                    )


def _has_unit(number: Any) -> bool:
    """Whether a number is in the units of a metric that no bounds make a share."""
    match number:
        case forms.Mean() | forms.Each():
            return _is_unbounded(number.measurement.metric.expression)
        case forms.Aggregate(kind="mean" | "median" | "quantile", body=body):
            return _has_unit(body)
        case forms.Operation("*" | "/" as operator, (left, right)):
            other = _has_unit(right)
            return _has_unit(left) != other and (operator == "*" or not other)
        case forms.Operation("+" | "-" | "abs" | "neg" | "min" | "max" | "mean" | "median"):
            return any(map(_has_unit, number.operands))
    return False


def _is_unbounded(expression: forms.MetricExpression) -> bool:
    stack = [expression]
    while stack:
        part = stack.pop()
        if isinstance(part, forms.MetricOperation) and part.operator in ("<", "<=", ">", ">="):
            continue
        if isinstance(part, forms.TokenScore) and part.kind in ("logit", "logprob", "rank"):
            return True
        if isinstance(part, forms.Divergence) and part.kind == "js":
            continue
        if isinstance(part, (forms.Divergence, forms.Loss)):
            return True
        stack += getattr(part, "operands", ())
    return False
