"""Quantifiers, comprehensions and statistics: expressions that run over members."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from typing import Any

from circuitlang.language import syntax
from circuitlang.language.domains import LARGEST_EXPANSION
from circuitlang.language.environment import Environment, describe
from circuitlang.language.inline import count
from circuitlang.language.numbers import constant_comparison, operation
from circuitlang.language.set_expressions import SetExpressions
from circuitlang.language.spec import Aggregate, Comparison, Constant, Quantified
from circuitlang.language.syntax import Expression
from circuitlang.language.unparse import unparse
from circuitlang.language.values import (
    Edges,
    ExampleDomain,
    Formulas,
    MetricValue,
    Nodes,
    Numbers,
    Row,
    kind,
)


class Iteration(SetExpressions):
    """The part of the evaluator that binds names to one member after another."""

    expanded: int
    _sizes: list[int]

    @abstractmethod
    def domain(self, e: Expression, env: Environment) -> list[tuple[Any, str]]: ...

    @abstractmethod
    def listed(self, e: Expression, value: Any, env: Environment) -> list[tuple[Any, str]]: ...

    def generated(
        self, generator: syntax.Generator, env: Environment, e: Expression
    ) -> list[Environment]:
        environments = [env]
        for binding in generator.bindings:
            grown = []
            for inner in environments:
                members = self.domain(binding.domain, inner)
                with self.expanding(len(environments) * len(members)):
                    for value, label in members:
                        self.check_arity(binding.names, value, binding.domain)
                        grown.append(inner.bind(binding.names, value, label))
                        self.spend(e)
            environments = grown
        if generator.condition is not None:
            environments = [x for x in environments if self.constant(generator.condition, x)]
        return environments

    def constant(self, e: Expression, env: Environment) -> bool:
        value = self.value(e, env)
        if isinstance(value, Comparison):
            outcome = constant_comparison(value)
            if outcome is not None:
                return outcome
        raise self.fail(
            "CL106",
            "A condition after `if` cannot depend on a run.",
            e,
            "compare plain numbers, such as `size(K) > 1`",
        )

    def check_arity(self, names: tuple[str, ...], value: Any, e: Expression) -> None:
        width = len(value.members) if isinstance(value, Row) else 1
        if len(names) != width:
            raise self.fail(
                "CL105",
                f"Each member is {count(width, 'value')}, but {count(len(names), 'name')} "
                f"{'waits' if len(names) == 1 else 'wait'} for it.",
                e,
                "bind one name per value: `x in ...`, or `(x, y) in ...` for pairs",
            )

    @contextmanager
    def expanding(self, members: int) -> Iterator[None]:
        """Notes the sizes of the domains that are open, so that a message can tell the product."""
        self._sizes.append(members)
        try:
            yield
        finally:
            self._sizes.pop()

    def spend(self, e: Expression) -> None:
        self.expanded += 1
        if self.expanded > LARGEST_EXPANSION:
            whole = prod(self._sizes)
            number = f"about {whole:,}" if whole > LARGEST_EXPANSION else "too many"
            raise self.fail(
                "CL302",
                f"This expands into {number} formulas; the limit is {LARGEST_EXPANSION:,}.",
                e,
                "quantify over groups or a smaller circuit",
            )

    def quantifier(self, e: syntax.Quantifier, env: Environment) -> Quantified:
        if e.kind == "most":
            raise self.fail(
                "CL307",
                "`most(p)` is not decided by this version.",
                e,
                "quantify with forall over listed members",
            )
        domain = self.value(e.domain, env)
        name = self.printed(e.domain, env)
        if isinstance(domain, ExampleDomain):
            if len(e.names) != 1:
                raise self.fail(
                    "CL105",
                    "A prompt is one value; bind one name.",
                    e.domain,
                    "write `forall x in examples: ...`",
                )
            variable = e.names[0]
            data = replace(domain.data, each=variable)
            body = self.formula(e.body, env.bind(e.names, data, variable))
            return Quantified(e.kind, variable, name, ((f"${variable}", body),))
        found = []
        members = self.listed(e.domain, domain, env)
        with self.expanding(len(members)):
            for value, label in members:
                self.check_arity(e.names, value, e.domain)
                self.spend(e)
                shown = (
                    ", ".join(describe(m) for m in value.members)
                    if isinstance(value, Row)
                    else label
                )
                found.append((shown, self.formula(e.body, env.bind(e.names, value, label))))
        if not found:
            raise self.fail(
                "CL301",
                f"`{name}` has no members, so the claim says nothing.",
                e.domain,
                "check that the circuit and the groups meet",
            )
        return Quantified(e.kind, ", ".join(e.names), name, tuple(found))

    def aggregate(self, e: syntax.Call, env: Environment) -> Any:
        """mean, share, median, quantile over a generator: prompts, or a plain list."""
        assert e.generator is not None
        *leading, body = e.arguments
        level = self.level(e, leading, env)
        kind_of = e.name.text
        first = e.generator.bindings[0]
        domain = self.value(first.domain, env)
        if isinstance(domain, ExampleDomain):
            if len(e.generator.bindings) > 1 or e.generator.condition is not None:
                raise self.fail(
                    "CL307",
                    "Prompts cannot be filtered or paired here.",
                    e,
                    "give the task a `where`, or use `on` a template or part",
                )
            if kind_of in ("min", "max"):
                raise self.fail(
                    "CL303",
                    f"The {kind_of} over all prompts cannot be told from a sample.",
                    e,
                    "write `quantile(95%, ... for x in examples)` or `forall x in examples: ...`",
                )
            inner = env.bind(first.names, replace(domain.data, each="aggregate"), first.names[0])
            value = self.value(body, inner)
            wanted = (Comparison,) if kind_of == "share" else Numbers
            if not isinstance(value, wanted):
                what = "one comparison" if kind_of == "share" else "a number"
                example = ">= 0" if kind_of == "share" else ""
                raise self.fail(
                    "CL106",
                    f"`{e.name.text}` needs {what}, not {kind(value)}.",
                    body,
                    f"write `{e.name.text}(F(S on x) {example} for x in examples)`",
                )
            return Aggregate(e.name.text, value, level)
        environments = self.generated(e.generator, env, e)
        if not environments:
            raise self.fail(
                "CL301", "This runs over nothing.", first.domain, "give it at least one member"
            )
        if e.name.text == "share":
            raise self.fail(
                "CL106", "`share` counts prompts.", e, "write `share(... for x in examples)`"
            )
        values = tuple(self.number(body, inner) for inner in environments)
        return operation(e.name.text, values)

    def level(self, e: syntax.Call, leading: list[Expression], env: Environment) -> float | None:
        if e.name.text != "quantile":
            if leading:
                raise self.fail(
                    "CL105",
                    f"`{e.name.text}` takes one expression.",
                    e,
                    f"write `{e.name.text}(... for x in examples)`",
                )
            return None
        value = self.value(leading[0], env) if len(leading) == 1 else None
        if not isinstance(value, Constant) or not 0 <= value.value <= 1:
            raise self.fail(
                "CL105",
                "`quantile` needs a level between 0 and 100% first.",
                e,
                "write `quantile(90%, ... for x in examples)`",
            )
        return value.value

    def number(self, e: Expression, env: Environment) -> Any:
        value = self.value(e, env)
        if isinstance(value, Numbers):
            return value
        raise self.fail(
            "CL106", f"A number is needed here, not {kind(value)}.", e, _number_help(value, e)
        )

    def formula(self, e: Expression, env: Environment) -> Any:
        value = self.value(e, env)
        if isinstance(value, Formulas):
            return value
        raise self.fail(
            "CL106",
            f"A claim needs a condition, not {kind(value)}.",
            e,
            "compare it with a threshold: `... >= 0.8` or `... in 0.8..1.2`",
        )


def _number_help(value: Any, e: Expression) -> str | None:
    text = unparse(e)
    if isinstance(value, (Edges, Nodes)):
        return f"write `F({text})` for its score or `size({text})` for its size"
    if isinstance(value, MetricValue):
        return f"a metric is measured on a run: `F(M by {text})`"
    if isinstance(value, str):
        return "numbers stand without quotes"
    return None
