"""Expressions over F -> values: sets, numbers, conditions.

Only inlined expressions come here. Names mean, in this order: a bound variable, a word of
the language, a definition of the spec, a position label of a task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from circuitlang.language import functions, sets, syntax
from circuitlang.language.architecture import Architecture, architecture
from circuitlang.language.definitions import Definitions
from circuitlang.language.diagnostics import Diagnostics, Reject, suggestion
from circuitlang.language.edges import END, NOTHING, EdgeSet, Place, Position, uniform
from circuitlang.language.functions import LARGEST_EXPANSION
from circuitlang.language.inline import count, substitute_names
from circuitlang.language.runs import RunBuilder
from circuitlang.language.slips import head_for
from circuitlang.language.spec import (
    Aggregate,
    Both,
    Comparison,
    Constant,
    ModelReference,
    Quantified,
    Within,
)
from circuitlang.language.syntax import Expression
from circuitlang.language.unparse import unparse
from circuitlang.language.values import (
    AblationValue,
    Data,
    Edges,
    ExampleDomain,
    Formulas,
    Interval,
    Items,
    MetricValue,
    Nodes,
    Numbers,
    Row,
    kind,
)

BUILTIN_WORDS = ("F", *functions.BUILTIN_NAMES, "examples")


@dataclass(frozen=True)
class Environment:
    """Bound variables with their printed form, and the model whose graph is meant."""

    model: ModelReference
    bindings: Mapping[str, Any]
    labels: Mapping[str, str]

    def bind(self, names: tuple[str, ...], value: Any, label: str) -> Environment:
        values = value.members if len(names) > 1 else (value,)
        texts = [label] if len(names) == 1 else [describe(v) for v in values]
        return replace(
            self,
            bindings={**self.bindings, **dict(zip(names, values, strict=True))},
            labels={**self.labels, **dict(zip(names, texts, strict=True))},
        )


class Evaluator:
    """Evaluates against one spec's definitions; findings go to its diagnostics."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self.diagnostics: Diagnostics = definitions.diagnostics
        self.runs = RunBuilder(self)
        self.expanded = 0
        self._sizes: list[int] = []
        self._cache: dict[tuple[str, ModelReference], Any] = {}
        self._open: list[str] = []

    def graph(self, env: Environment) -> Architecture:
        return architecture(env.model.shape)

    def fail(self, code: str, message: str, at: Expression, help: str | None = None) -> Reject:
        return self.diagnostics.reject(code, message, at.span, help)

    # ------------------------------------------------------------ dispatch

    def value(self, e: Expression, env: Environment) -> Any:
        match e:
            case syntax.NumberLiteral(number):
                return Constant(number)
            case syntax.StringLiteral(text):
                return text
            case syntax.NodeLiteral(text):
                try:
                    return sets.node_literal(text, self.graph(env))
                except sets.BadNode as problem:
                    raise self.fail(problem.code, problem.message, e, problem.help) from None
            case syntax.Name():
                return self.name(e, env)
            case syntax.ListExpression():
                return self.list_value(e, env)
            case syntax.TupleExpression(items):
                return Row(tuple(self.value(item, env) for item in items))
            case syntax.Ported(base, port):
                return self.ported(self.nodes(base, env), port, e)
            case syntax.At():
                return self.at(e, env)
            case syntax.Negation(operand):
                return functions.operation("neg", (self.number(operand, env),))
            case syntax.Binary():
                return self.binary(e, env)
            case syntax.Quantifier():
                return self.quantifier(e, env)
            case syntax.Call():
                return self.call(e, env)

    # ------------------------------------------------------------ names

    def name(self, e: syntax.Name, env: Environment) -> Any:
        first, *rest = e.parts
        value = self.simple_name(first, e, env)
        for part in rest:
            if set(part) <= set("qkv") and isinstance(value, (Nodes, Items)):
                value = self.ported(self.as_nodes(value, e), part, e)
            else:
                raise self.fail(
                    "CL101",
                    f"`{first}` is {kind(value)} and has no part `{part}`.",
                    e,
                    "a port (.q .k .v .qk .qv .kv .qkv) can follow heads, and nothing else",
                )
        return value

    def simple_name(self, name: str, e: syntax.Name, env: Environment) -> Any:
        if name in env.bindings:
            return env.bindings[name]
        match name:
            case "M":
                return Edges(uniform(self.graph(env).everything))
            case "none":
                return Edges(NOTHING)
            case "END":
                return Place((Position(END),))
            case "zero":
                return AblationValue("zero", None, None, "zero")
            case "resample":
                return AblationValue("resample", None, None, "resample")
            case "mean" | "clean" | "argmax" | "F":
                raise self.fail("CL106", f"`{name}` cannot stand alone.", e, _alone(name))
            case "examples":
                return ExampleDomain(Data(self.only("task", e, "on").name))
        nodes = sets.builtin_nodes(name, self.graph(env))
        if nodes is not None:
            return nodes
        if name in self.definitions:
            return self.definition(name, e, env)
        labelled = self.definitions.label(name)
        if labelled:
            return Place((Position(name),))
        if name in self.definitions.unread_names:
            raise Reject
        if functions.is_function(name):
            raise self.fail("CL106", f"`{name}` is a function.", e, f"call it: `{name}(...)`")
        known = (*self.definitions.names, *BUILTIN_WORDS, *env.bindings)
        raise self.fail(
            "CL101",
            f"Nothing is called `{name}`.",
            e,
            self.definitions.name_help(e.text)
            or suggestion(name, known)
            or "define it with `let`, `group` or `circuit`, or correct the name",
        )

    def definition(self, name: str, e: Expression, env: Environment) -> Any:
        """The value of a file-level name, worked out once per model."""
        key = (name, env.model)
        if key in self._cache:
            if isinstance(self._cache[key], Reject):
                raise Reject
            return self._cache[key]
        if name in self._open:
            chain = " -> ".join((*self._open, name))
            raise self.fail("CL109", f"`{name}` needs itself: {chain}.", e, "break the circle")
        self._open.append(name)
        try:
            fresh = Environment(env.model, {}, {})
            self._cache[key] = self.definitions.evaluate(name, self, fresh)
        except Reject as reject:
            self._cache[key] = reject
            raise
        finally:
            self._open.pop()
        return self._cache[key]

    def only(self, what: str, e: Expression, word: str) -> Any:
        """The single declared model, task, metric or ablation; an error when there are several."""
        candidates = self.definitions.of_kind(what)
        if len(candidates) == 1:
            return candidates[0]
        if self.definitions.is_broken(what):
            raise Reject
        if not candidates:
            raise self.diagnostics.reject(
                "CL103", f"The spec declares no {what}, and this needs one.", e.span, _example(what)
            )
        names = ", ".join(f"`{c.name}`" for c in candidates)
        raise self.fail(
            "CL104",
            f"The spec declares several {what}s ({names}) and none is the default.",
            e,
            f"add `default {word} {candidates[0].name}`, or say `{word} ...` at the call",
        )

    # ------------------------------------------------------------ sets

    def nodes(self, e: Expression, env: Environment) -> Nodes:
        return self.as_nodes(self.value(e, env), e)

    def as_nodes(self, value: Any, e: Expression) -> Nodes:
        if isinstance(value, Nodes):
            return value
        if isinstance(value, Items) and not value.members:
            raise self.fail("CL106", "This list names no node.", e, "write `[a9.h6, a9.h9]`")
        if isinstance(value, Items):
            result = Nodes(())
            for member in value.members:
                result = sets.union(result, self.as_nodes(member, e))
            return result
        raise self.fail(
            "CL106", f"A set of nodes is needed here, not {kind(value)}.", e, _nodes_help(value, e)
        )

    def edges(self, e: Expression, env: Environment) -> EdgeSet:
        return self.as_edges(self.value(e, env), e, env)

    def as_edges(self, value: Any, e: Expression, env: Environment) -> EdgeSet:
        """Where edges are wanted, nodes mean the edges that leave them, a list its union."""
        if isinstance(value, Edges):
            return value.set
        if isinstance(value, Nodes):
            if any(m.ports for m in value.members):
                raise self.fail(
                    "CL106",
                    "A port is not a set of edges.",
                    e,
                    f"write `any -> {unparse(e)}` for the edges that enter it",
                )
            return sets.leaving(value, self.graph(env))
        if isinstance(value, Items):
            result = NOTHING
            for member in value.members:
                result = result | self.as_edges(member, e, env)
            return result
        raise self.fail(
            "CL106", f"A set of edges is needed here, not {kind(value)}.", e, _edges_help(value, e)
        )

    def ported(self, nodes: Nodes, port: str, e: Expression) -> Nodes:
        if port not in ("q", "k", "v", "qk", "qv", "kv", "qkv"):
            raise self.fail(
                "CL208", f"`.{port}` is not a port.", e, "ports are .q .k .v .qk .qv .kv .qkv"
            )
        wrong = next((m for m in nodes.members if m.node.kind != "head"), None)
        if wrong is not None:
            raise self.fail(
                "CL208",
                f"`{wrong.node}` has no `{port}` port; only heads have.",
                e,
                f"write `{unparse(e).removesuffix('.' + port)}`, or name heads only",
            )
        return Nodes(tuple(replace(m, ports=port) for m in nodes.members), nodes.wide)

    def at(self, e: syntax.At, env: Environment) -> Any:
        value, place = self.value(e.base, env), self.place(e.place, env)
        if isinstance(value, Items) and all(isinstance(m, (Nodes, Items)) for m in value.members):
            value = self.as_nodes(value, e)
        if isinstance(value, Edges):
            return Edges(value.set.at(place))
        if isinstance(value, Nodes):
            placed = [
                replace(m, place=Place((position,)))
                for m in value.members
                for position in place.positions
            ]
            if any(m.place is not None for m in value.members):
                raise self.fail(
                    "CL106", "These nodes already have a position.", e, "leave one `@` out"
                )
            return Nodes(tuple(placed), value.wide)
        raise self.fail(
            "CL106",
            f"`@` needs nodes or edges before it, not {kind(value)}.",
            e,
            "write `nodes @ label` or `(a -> b) @ label`",
        )

    def place(self, e: Expression, env: Environment) -> Place:
        parts = e.items if isinstance(e, syntax.ListExpression) and e.generator is None else (e,)
        positions: list[Position] = []
        for part in parts:
            value = self.position_name(part, env)
            if value is None:
                value = self.value(part, env)
            if isinstance(value, Items) and all(isinstance(m, Place) for m in value.members):
                value = Place(tuple(p for m in value.members for p in m.positions))
            if not isinstance(value, Place):
                raise self.fail(
                    "CL106",
                    f"A position is needed here, not {kind(value)}.",
                    part,
                    "name a slot or label of the prompt, or END",
                )
            for position in value.positions:
                self.definitions.position_spans.setdefault(position, part.span)
            positions += value.positions
        if not positions:
            raise self.fail("CL106", "This list of positions is empty.", e, "write `@ END`")
        return Place(tuple(dict.fromkeys(positions)))

    def position_name(self, e: Expression, env: Environment) -> Place | None:
        """After `@` a label wins over a definition of the same name."""
        if isinstance(e, syntax.Name) and len(e.parts) == 1 and e.text not in env.bindings:
            problem = self.definitions.ambiguous_label(e.text)
            if problem:
                raise self.fail("CL508", problem, e, f"label its occurrences: `{{{e.text}:first}}`")
            if self.definitions.label(e.text):
                return Place((Position(e.text),))
        return None

    # ------------------------------------------------------------ lists and bindings

    def list_value(self, e: syntax.ListExpression, env: Environment) -> Items:
        if e.generator is None:
            values = tuple(self.value(item, env) for item in e.items)
            return Items(values, tuple(unparse(item) for item in e.items))
        members, labels = [], []
        bound = [name for binding in e.generator.bindings for name in binding.names]
        for inner in self.generated(e.generator, env, e):
            name = ", ".join(inner.labels[variable] for variable in bound)
            for item in e.items:
                members.append(self.value(item, inner))
                labels.append(name if len(e.items) == 1 else f"{name}: {unparse(item)}")
        return Items(tuple(members), tuple(labels))

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
            outcome = functions.constant_comparison(value)
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

    def domain(self, e: Expression, env: Environment) -> list[tuple[Any, str]]:
        """The members of a domain with their printed names."""
        return functions.listed(self, e, self.value(e, env), env)

    def printed(self, e: Expression, env: Environment) -> str:
        return unparse(substitute_names(e, env.labels))

    # ------------------------------------------------------------ numbers and conditions

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

    def binary(self, e: syntax.Binary, env: Environment) -> Any:
        match e.operator:
            case "and":
                parts: tuple[Any, ...] = ()
                for side in (e.left, e.right):
                    part = self.formula(side, env)
                    parts += part.parts if isinstance(part, Both) else (part,)
                return Both(parts)
            case "..":
                return Interval(self.number(e.left, env), self.number(e.right, env))
            case "in":
                return self.within(e, env)
            case "->":
                return self.arrow(e, env)
            case "+" | "-" | "&":
                return self.sum(e, env)
            case "*" | "/":
                left, right = self.number(e.left, env), self.number(e.right, env)
                if e.operator == "/" and right == Constant(0.0):
                    raise self.fail(
                        "CL106", "This divides by zero.", e.right, "divide by `effect` or `F(M)`"
                    )
                return functions.operation(e.operator, (left, right))
            case _:
                return Comparison(e.operator, self.number(e.left, env), self.number(e.right, env))

    def within(self, e: syntax.Binary, env: Environment) -> Within:
        number, region = self.number(e.left, env), self.value(e.right, env)
        if isinstance(region, Items) and len(region.members) == 2:
            low, high = (unparse(item) for item in getattr(e.right, "items", (e.right, e.right)))
            raise self.fail(
                "CL305", "A list is not an interval.", e.right, f"write `in {low}..{high}`"
            )
        if not isinstance(region, Interval):
            raise self.fail(
                "CL106",
                f"`in` needs an interval, not {kind(region)}.",
                e.right,
                "write `in 0.8..1.2`",
            )
        low_, high_ = region.low, region.high
        if isinstance(low_, Constant) and isinstance(high_, Constant) and low_.value > high_.value:
            raise self.fail(
                "CL106",
                "This interval is empty.",
                e.right,
                f"write `in {high_.value:g}..{low_.value:g}`",
            )
        return Within(number, low_, high_)

    def sum(self, e: syntax.Binary, env: Environment) -> Any:
        left, right = self.value(e.left, env), self.value(e.right, env)
        if isinstance(left, Numbers) and isinstance(right, Numbers) and e.operator != "&":
            return functions.operation(e.operator, (left, right))
        if isinstance(left, Place) and isinstance(right, Constant) and e.operator != "&":
            return self.shifted(left, right, e)
        set_like = (Nodes, Edges, Items)
        if isinstance(left, set_like) and isinstance(right, set_like):
            return self.set_operation(e, left, right, env)
        raise self.fail(
            "CL106",
            f"`{e.operator}` cannot combine {kind(left)} with {kind(right)}.",
            e,
            _sum_help(left, right),
        )

    def set_operation(self, e: syntax.Binary, left: Any, right: Any, env: Environment) -> Any:
        if isinstance(left, Nodes) and isinstance(right, (Nodes, Items)):
            try:
                other = right if isinstance(right, Nodes) else self._flat_nodes(right)
            except TypeError:
                other = None
            if other is not None and not sets.entangled(e.operator, left, other):
                by = {"+": sets.union, "-": sets.difference, "&": sets.intersection}
                return by[e.operator](left, other)
        if isinstance(left, Items) and e.operator in "+-" and isinstance(right, Items):
            if e.operator == "+":
                return Items(left.members + right.members, left.labels + right.labels)
            kept = [
                (m, lab)
                for m, lab in zip(left.members, left.labels, strict=True)
                if m not in right.members
            ]
            return Items(tuple(m for m, _ in kept), tuple(lab for _, lab in kept))
        if isinstance(left, Items) and isinstance(right, Nodes):
            return self.set_operation(e, self.as_nodes(left, e.left), right, env)
        a, b = self.as_edges(left, e.left, env), self.as_edges(right, e.right, env)
        if e.operator == "-" and a != NOTHING and b != NOTHING and not a.reach & b.reach:
            self.diagnostics.warn(
                "CL309",
                f"Taking `{self.printed(e.right, env)}` out of `{self.printed(e.left, env)}` "
                "changes nothing: they share no edge.",
                e.span,
                "check the names, or leave it out",
            )
        by_edges: dict[str, Callable[[EdgeSet, EdgeSet], EdgeSet]] = {
            "+": EdgeSet.__or__,
            "-": EdgeSet.__sub__,
            "&": EdgeSet.__and__,
        }
        return Edges(by_edges[e.operator](a, b))

    def _flat_nodes(self, items: Items) -> Nodes:
        result = Nodes(())
        for member in items.members:
            if isinstance(member, Items):
                member = self._flat_nodes(member)
            if not isinstance(member, Nodes):
                raise TypeError
            result = sets.union(result, member)
        return result

    def shifted(self, place: Place, by: Constant, e: syntax.Binary) -> Place:
        if by.value != int(by.value):
            raise self.fail(
                "CL106", "A position is shifted by whole tokens.", e.right, "write `@ [S1 + 1]`"
            )
        step = int(by.value) if e.operator == "+" else -int(by.value)
        return Place(tuple(replace(p, shift=p.shift + step) for p in place.positions))

    def arrow(self, e: syntax.Binary, env: Environment) -> Edges:
        return Edges(self.product(e.left, e.right, e, env))

    def product(self, source: Expression, target: Expression, e: Any, env: Environment) -> EdgeSet:
        senders, receivers = self.nodes(source, env), self.nodes(target, env)
        ported = next((m for m in senders.members if m.ports), None)
        if ported is not None:
            raise self.fail(
                "CL106",
                f"`{ported}` sends no edge: ports read, nodes send.",
                source,
                f"write `{ported.node}` on the left of `->`",
            )
        result = sets.product(senders, receivers, self.graph(env))
        if result.impossible:
            self.report_impossible(result, senders, receivers, source, target, env)
        return result.edges

    def report_impossible(
        self,
        result: sets.Product,
        senders: Nodes,
        receivers: Nodes,
        source: Expression,
        target: Expression,
        env: Environment,
    ) -> None:
        assert result.example is not None
        sender, receiver = result.example
        span = source.span.source.span(source.span.start, max(source.span.end, target.span.end))
        code, why = _why_impossible(sender, receiver, self.graph(env))
        if result.possible == 0:
            raise self.diagnostics.reject(
                code,
                f"`{sender}->{receiver}` cannot be an edge: {why}.",
                span,
                "an edge goes from an earlier node to a later one",
            )
        if not (senders.wide or receivers.wide):
            if len(senders.members) == len(receivers.members) == 1:
                self.diagnostics.error(
                    code,
                    f"`{sender}->{receiver}` cannot be an edge: {why}.",
                    span,
                    "name the ports that can be reached",
                )
                return
            self.diagnostics.note(
                "CL210",
                f"{count(result.impossible, 'pair')} of this product cannot be edges and "
                f"{'is' if result.impossible == 1 else 'are'} left out, such as "
                f"`{sender}->{receiver}`: {why}.",
                span,
                "if that is meant, nothing is to be done",
            )

    # ------------------------------------------------------------ quantifiers and calls

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
        members = functions.listed(self, e.domain, domain, env)
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

    def call(self, e: syntax.Call, env: Environment) -> Any:
        if e.name.text == "F":
            return self.runs.score(e, env)
        return functions.call(self, e, env)

    def aggregate(self, e: syntax.Call, env: Environment) -> Any:
        """mean, share, median, quantile over a generator: prompts, or a plain list."""
        assert e.generator is not None
        *leading, body = e.arguments
        level = self.level(e, leading, env)
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
            inner = env.bind(first.names, replace(domain.data, each="aggregate"), first.names[0])
            value = self.value(body, inner)
            wanted = (Comparison,) if e.name.text == "share" else Numbers
            if not isinstance(value, wanted):
                what = "a condition" if e.name.text == "share" else "a number"
                example = ">= 0" if e.name.text == "share" else ""
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
        return functions.operation(e.name.text, values)

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


def describe(value: Any) -> str:
    """A short printed form of a value bound to a name."""
    if isinstance(value, Nodes):
        return ", ".join(map(str, value.members))
    if isinstance(value, Edges):
        return "none" if value.set == NOTHING else f"{count(sets.size(value.set), 'edge')}"
    if isinstance(value, Items):
        return "[" + ", ".join(value.labels or map(describe, value.members)) + "]"
    if isinstance(value, Constant):
        return f"{value.value:g}"
    if isinstance(value, ModelReference):
        return value.name
    if isinstance(value, AblationValue):
        return value.written
    return str(getattr(value, "name", value))


def _nodes_help(value: Any, e: Expression) -> str | None:
    text = unparse(e)
    if isinstance(value, Edges):
        return f"write `nodes({text})` for the nodes of a circuit"
    if isinstance(value, str):
        return f"nodes stand without quotes: `{value or 'a9.h6'}`"
    if isinstance(value, Constant) and (node := head_for(text)):
        return f"write `{node}`"
    return "heads are written `a9.h6`, MLPs `m3`"


def _edges_help(value: Any, e: Expression) -> str | None:
    text = unparse(e)
    if isinstance(value, Data):
        return f"write `F(M on {text})` for the model's score on it"
    if isinstance(value, str):
        return f"names stand without quotes: `{value or 'C'}`"
    if isinstance(value, MetricValue):
        return f"write `by {text}`"
    if isinstance(value, AblationValue):
        return f"write `under {text}`"
    return "a circuit, an arrow such as `a9.h9 -> logits`, or nodes"


def _number_help(value: Any, e: Expression) -> str | None:
    text = unparse(e)
    if isinstance(value, (Edges, Nodes)):
        return f"write `F({text})` for its score or `size({text})` for its size"
    if isinstance(value, MetricValue):
        return f"a metric is measured on a run: `F(M by {text})`"
    if isinstance(value, str):
        return "numbers stand without quotes"
    return None


def _alone(name: str) -> str:
    return {
        "mean": "write `mean(corruption per template)`, or `mean(... for x in ...)`",
        "clean": "it stands inside `mean(clean per template)`",
        "argmax": "write `argmax in answer` inside a metric",
        "F": "write `F(S)` with a set of edges",
    }[name]


def _example(what: str) -> str:
    return {
        "model": 'add `model "toy"`',
        "task": "add `task name { ... }`",
        "metric": "add `metric logit_diff = logit(answer) - logit(foil)`",
        "ablation": "add `ablation patch = resample`",
    }[what]


def _sum_help(left: Any, right: Any) -> str | None:
    number = left if isinstance(left, Numbers) else right
    other = right if number is left else left
    if isinstance(number, Numbers) and isinstance(other, (Nodes, Edges, Items)):
        return "F(S) is the score of a set; put the set arithmetic inside its parentheses"
    return None


def _why_impossible(sender: Any, receiver: Any, graph: Architecture) -> tuple[str, str]:
    target = receiver.node
    if sender.kind == "logits":
        return "CL202", "logits sends nothing"
    if target.kind == "input":
        return "CL202", "input reads nothing"
    if sender.kind == "head" and target.kind == "mlp" and sender.layer == target.layer:
        return "CL203", "attention and MLP of this model's layers run in parallel"
    if sender == target:
        return "CL202", "a node does not feed itself"
    if sender.layer == target.layer and sender.kind == target.kind == "head":
        return "CL203", "heads of one layer run in parallel"
    return "CL202", f"`{sender}` runs after `{target}` has read"
