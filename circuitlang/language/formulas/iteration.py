"""Quantifiers, comprehensions and statistics: expressions that run over members."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import ceil, log, prod
from typing import Any

from circuitlang.language.diagnostics import Reject, shallow
from circuitlang.language.formulas.domains import LARGEST_EXPANSION
from circuitlang.language.formulas.drawn import Drawable, Searched
from circuitlang.language.formulas.environment import Environment, describe
from circuitlang.language.formulas.independence import PValue
from circuitlang.language.formulas.inline import count
from circuitlang.language.formulas.numbers import constant_comparison, operation
from circuitlang.language.formulas.set_expressions import SetExpressions
from circuitlang.language.formulas.values import (
    Edges,
    ExampleDomain,
    Formulas,
    Items,
    MetricValue,
    Nodes,
    Numbers,
    Row,
    kind,
)
from circuitlang.language.spec import (
    Aggregate,
    Comparison,
    Constant,
    MemberShare,
    Quantified,
    Search,
)
from circuitlang.language.text import syntax
from circuitlang.language.text.syntax import Expression
from circuitlang.language.text.unparse import unparse

ALPHA = 0.05
LARGEST_SEARCH = 100_000
MOST_SCORES = 100_000


class Iteration(SetExpressions):
    """The part of the evaluator that binds names to one member after another."""

    expanded: int
    scored: int
    _sizes: list[int]

    @abstractmethod
    def listed(self, e: Expression, value: Any, env: Environment) -> list[tuple[Any, str]]: ...

    @abstractmethod
    def default_search(self, e: Expression, domain: Drawable, env: Environment) -> Any: ...

    def generated(
        self, generator: syntax.Generator, env: Environment, e: Expression
    ) -> list[Environment]:
        environments = [env]
        for binding in generator.bindings:
            grown = []
            for inner in environments:
                with self.unwarned(unwritten=bool(inner.drawn)):
                    domain = self.value(binding.domain, inner)
                members = self.listed(binding.domain, domain, inner)
                drawn = inner.drawn or (domain.drawn if isinstance(domain, Items) else "")
                with self.expanding(len(environments) * len(members)):
                    for number, (value, label) in enumerate(members):
                        self.check_arity(binding.names, value, binding.domain)
                        bound = inner.bind(binding.names, value, label)
                        grown.append(replace(bound, drawn=drawn, chosen=(*inner.chosen, number)))
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
            raise self._too_many(prod(self._sizes), e)

    def _foresee(self, spent: int, done: int, members: int, e: Expression) -> None:
        """Refuses early what, going on as it began, would end far over the limit."""
        if spent > LARGEST_EXPANSION // 10 and (foreseen := spent * members // done) > (
            2 * LARGEST_EXPANSION
        ):
            raise self._too_many(foreseen, e)

    def _too_many(self, formulas: int, e: Expression) -> Reject:
        number = f"about {formulas:,}" if formulas > LARGEST_EXPANSION else "too many"
        return self.fail(
            "CL302",
            f"This expands into {number} formulas; the limit is {LARGEST_EXPANSION:,}.",
            e,
            "quantify over groups or a smaller circuit",
        )

    def count_score(self, e: Expression) -> None:
        """Each F that is written out, of all claims together."""
        self.scored += 1
        if self.scored > MOST_SCORES:
            raise self.fail(
                "CL302",
                f"Written out, the spec has more than {MOST_SCORES:,} scores F(S).",
                e,
                "quantify over groups or smaller circuits, or divide the claims into several files",
            )

    @contextmanager
    def unwarned(self, *, unwritten: bool) -> Iterator[None]:
        """Warnings about members that nobody wrote would only tell what chance picked."""
        before = len(self.diagnostics.found)
        yield
        if unwritten:
            found = self.diagnostics.found
            found[before:] = [d for d in found[before:] if d.severity == "error"]

    def quantifier(self, e: syntax.Quantifier, env: Environment) -> Quantified:
        level = None if e.share is None else self._most_level(e.share, env)
        domain = self.value(e.domain, env)
        if isinstance(domain, Drawable) and level is None:
            domain = self.default_search(e.domain, domain, env)
        if isinstance(domain, ExampleDomain):
            return self._over_prompts(e, domain, level, env)
        if isinstance(domain, (Searched, Drawable)):
            return self._over_search(e, domain, level, env)
        return self._over_members(e, domain, level, env)

    def _most_level(self, e: Expression, env: Environment) -> float:
        value = self.value(e, env)
        if isinstance(value, Constant) and 0 < value.value < 1:
            return value.value
        raise self.fail(
            "CL105",
            "`most` needs a share between 0 and 100%.",
            e,
            "write `most(95%) K in ...`, or `forall K in ...` for all of them",
        )

    def _over_prompts(
        self, e: syntax.Quantifier, domain: ExampleDomain, level: float | None, env: Environment
    ) -> Quantified:
        if len(e.names) != 1:
            raise self.fail(
                "CL105",
                "A prompt is one value; bind one name.",
                e.domain,
                "write `forall x in examples: ...`",
            )
        if env.searching:
            raise self.fail(
                "CL307",
                "Each prompt inside a search is not run by this version.",
                e.domain,
                "claim a mean, a quantile or a share over `examples`",
            )
        variable, name = e.names[0], self.printed(e.domain, env)
        data = replace(domain.data, each=variable)
        body = self.formula(e.body, replace(env, each=True).bind(e.names, data, variable))
        extent = "prompts" if domain.whole else "all"
        members = ((f"${variable}", body),)
        searched = e.kind == "forall" and domain.whole
        return Quantified(
            e.kind,
            variable,
            name,
            members,
            level,
            extent,
            domain.limit,
            budget=domain.budget if searched else 0,
        )

    def _over_members(
        self, e: syntax.Quantifier, domain: Any, level: float | None, env: Environment
    ) -> Quantified:
        name = self.printed(e.domain, env)
        members = self.listed(e.domain, domain, env)
        drawn = domain.drawn if isinstance(domain, Items) else ""
        unwritten = isinstance(domain, Items) and domain.unwritten
        found: list[tuple[str, Any]] = []
        start = self.expanded
        with self.expanding(len(members)), self.unwarned(unwritten=unwritten):
            for value, label in members:
                self.spend(e)
                found.append(self._member(e, value, label, env))
                self._foresee(self.expanded - start, len(found), len(members), e)
        if not found:
            raise self.fail(
                "CL301",
                f"`{name}` has no members, so the claim says nothing.",
                e.domain,
                "check that the circuit and the groups meet",
            )
        if level is not None and drawn:
            self._warn_few(e, level, len(found))
        written = name if drawn in ("", name) else f"{name} = {drawn}"
        extent = "drawn" if drawn else "all"
        return Quantified(e.kind, ", ".join(e.names), written, tuple(found), level, extent)

    def _member(
        self, e: syntax.Quantifier, value: Any, label: str, env: Environment
    ) -> tuple[str, Any]:
        self.check_arity(e.names, value, e.domain)
        row = isinstance(value, Row)
        shown = ", ".join(describe(m) for m in value.members) if row else label
        return shown, self.formula(e.body, env.bind(e.names, value, label))

    def _warn_few(self, e: syntax.Quantifier, level: float, count: int) -> None:
        if level**count > ALPHA:
            least = ceil(log(ALPHA) / log(level))
            self.diagnostics.warn(
                "CL317",
                f"{count} members cannot show a share of {100 * level:g}%, even if all of them hold.",
                e.domain.span,
                f"draw at least {least}, better {2 * least}: members that stay undecided count "
                "against the claim",
            )

    def _over_search(
        self,
        e: syntax.Quantifier,
        domain: Searched | Drawable,
        level: float | None,
        env: Environment,
    ) -> Quantified:
        """No members yet, but the formula of one: it shows the mistakes, and which runs are needed."""
        if level is not None:
            raise self.fail(
                "CL316",
                "`most` needs members that stand for all, and a search picks the worst.",
                e.domain,
                f"draw them: `{e.kind}(...) {e.names[0]} in random("
                f"{(domain.domain if isinstance(domain, Searched) else domain).written}, 124)`",
            )
        assert isinstance(domain, Searched)
        if env.searching or env.each:
            raise self.fail(
                "CL307",
                "A search inside another search, or for each prompt, is not run by this version.",
                e.domain,
                "draw the members with `random(D, n)`, or list them",
            )
        looked_at = prod(self._sizes) * domain.budget
        if looked_at > LARGEST_SEARCH:
            raise self.fail(
                "CL302",
                f"These searches look at up to {looked_at:,} members; the limit is "
                f"{LARGEST_SEARCH:,}.",
                e.domain,
                "search less, or for fewer",
            )
        seed = self.definitions.seed
        inside = replace(env, searching=True)

        def instantiate(value: Any, label: str) -> Any:
            self.expanded = self.scored = 0
            with shallow(self.diagnostics, e.span), self.unwarned(unwritten=True):
                return self._member(e, value, label, inside)[1]

        spent, scored = self.expanded, self.scored
        ((value, label),) = domain.domain.members(1, seed)
        first = instantiate(value, label)
        search = Search(domain.strategy, domain.parameters, domain.domain, seed, first, instantiate)
        self.expanded += spent
        self.scored += scored
        return Quantified(
            e.kind, ", ".join(e.names), domain.written, (), extent="found", search=search
        )

    def aggregate(self, e: syntax.Call, env: Environment) -> Any:
        """mean, share, median, quantile over a generator: prompts, or a plain list."""
        assert e.generator is not None
        *leading, body = e.arguments
        level = self.level(e, leading, env)
        kind_of = e.name.text
        first = e.generator.bindings[0]
        domain = self.value(first.domain, env)
        if isinstance(domain, ExampleDomain):
            filtered = e.generator.condition is not None or domain.limit is not None
            if len(e.generator.bindings) > 1 or filtered:
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
        if kind_of == "share":
            return self._share(e, body, environments, env)
        drawn = next((x.drawn for x in environments if x.drawn), "")
        if drawn:
            raise self.fail(
                "CL307",
                f"The {kind_of} over what `{drawn}` gives cannot be told from its members alone.",
                first.domain,
                "claim a share of them: `share(... >= t for K in D) >= 95%`, or `most(95%) K in D: ...`",
            )
        values = tuple(self.number(body, inner) for inner in environments)
        return operation(e.name.text, values)

    def _share(
        self, e: syntax.Call, body: Expression, environments: list[Environment], env: Environment
    ) -> MemberShare:
        """The share of members for which a condition holds."""
        assert e.generator is not None
        drawn = any(x.drawn for x in environments)
        depth = len(env.chosen)
        if drawn and len(environments) > len({x.chosen[depth] for x in environments}):
            raise self.fail(
                "CL307",
                "Members that are drawn several to one are not independent of each other.",
                e,
                "draw one for each: `for p in D for n in random(E, 1)`",
            )
        with self.unwarned(unwritten=drawn):
            members = tuple(
                (", ".join(self._bound(e.generator, x)), self.formula(body, x))
                for x in environments
            )
        return MemberShare(self.printed(e.generator.bindings[0].domain, env), members, drawn)

    def _bound(self, generator: syntax.Generator, env: Environment) -> list[str]:
        return [env.labels[name] for binding in generator.bindings for name in binding.names]

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
        return self.as_number(self.value(e, env), e)

    def as_number(self, value: Any, e: Expression) -> Any:
        if isinstance(value, Numbers):
            return value
        raise self.fail(
            "CL106", f"A number is needed here, not {kind(value)}.", e, _number_help(value, e)
        )

    def compared(self, e: Expression, env: Environment) -> Any:
        """One side of a comparison."""
        value = self.value(e, env)
        kept = isinstance(value, MemberShare | PValue)
        return value if kept else self.as_number(value, e)

    def formula(self, e: Expression, env: Environment) -> Any:
        return self.as_formula(self.value(e, env), e)

    def as_formula(self, value: Any, e: Expression) -> Any:
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
    if isinstance(value, MemberShare):
        return "compare the share itself with a number: `share(... for m in D) >= 90%`"
    if isinstance(value, PValue):
        return "claim it as it stands: `independence(A, B) >= 5%`"
    if isinstance(value, str):
        return "numbers stand without quotes"
    return None
