"""Types of measures: what each parameter has to be, inferred from how the body uses it.

Takes measures by name and, where they are known, the types of the names that a spec defines.
Gives signatures such as `drop(C: edges, K: edges) -> number`, and a CL313 for every parameter
that is used as two kinds of value.

First-order unification with one coercion: where edges are wanted, nodes do. A use as nodes
therefore narrows a parameter that was taken for edges, and never contradicts it. A measure that
puts no demand on a parameter is polymorphic in it: each call has its own copy of its type.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from circuitlang.language.diagnostics import Diagnostic, Diagnostics
from circuitlang.language.formulas.functions import STATISTICS
from circuitlang.language.formulas.value_types import (
    FUNCTIONS,
    NAMES,
    Many,
    Type,
    Variable,
    fits,
    is_set,
    phrase,
    resolved,
    root,
    shown,
)
from circuitlang.language.imports import names_in
from circuitlang.language.text import syntax
from circuitlang.language.text.grammar import METRIC_FUNCTIONS
from circuitlang.language.text.syntax import Expression

_CLAUSES = {"on": "data", "under": "ablation", "by": "metric", "with": "model", "free": "nodes"}
_TOKEN_SCORES = frozenset(["logit", "logprob", "prob", "rank"])


@dataclass(frozen=True)
class Signature:
    """A measure's type; `parameters` pairs names with types."""

    name: str
    parameters: tuple[tuple[str, Type], ...]
    result: Type

    def __str__(self) -> str:
        inside = ", ".join(f"{name}: {shown(found)}" for name, found in self.parameters)
        return f"{self.name}({inside}) -> {shown(self.result)}".replace("()", "")

    def copy(self) -> Signature:
        """The same with variables of its own, for one call."""
        fresh: dict[Variable, Variable] = {}

        def walk(found: Type) -> Type:
            found = resolved(found)
            if isinstance(found, Many):
                return Many(walk(found.member))
            return fresh.setdefault(found, Variable()) if isinstance(found, Variable) else found

        parameters = tuple((name, walk(found)) for name, found in self.parameters)
        return Signature(self.name, parameters, walk(self.result))


def signatures(
    measures: Mapping[str, syntax.Measure],
    names: Mapping[str, Type] | None = None,
    diagnostics: Diagnostics | None = None,
) -> dict[str, Signature]:
    """The type of every measure; `names` are the types of other names that bodies may mention."""
    found: dict[str, Signature] = {}
    for name in _in_order(measures):
        body = _Body(measures[name], found, names or {}, diagnostics or Diagnostics())
        found[name] = body.signature()
    return found


def signature(
    name: str, measures: Mapping[str, syntax.Measure], names: Mapping[str, Type] | None = None
) -> str:
    """One measure's type as text."""
    return str(signatures(measures, names)[name])


def check_measure_types(
    measures: Mapping[str, syntax.Measure],
    diagnostics: Diagnostics,
    names: Mapping[str, Type] | None = None,
) -> frozenset[str]:
    """Reports parameters used as two kinds of value; gives the names of the measures concerned."""
    found = Diagnostics()
    signatures(measures, names, found)
    for diagnostic in found.found:
        diagnostics.add(diagnostic)
    spans = [d.span for d in found.found if d.span is not None]
    return frozenset(
        name
        for name, m in measures.items()
        if any(s.source is m.span.source and m.span.start <= s.start < m.span.end for s in spans)
    )


def types_of_names(file: syntax.File) -> dict[str, Type]:
    """The types of what a file defines by other words than `measure` and `let`."""
    words: dict[type, Type] = {
        syntax.Circuit: "edges",
        syntax.Task: "data",
        syntax.Model: "model",
    }
    kinds: dict[str, Type] = {"group": "nodes", "metric": "metric", "ablation": "ablation"}
    found: dict[str, Type] = {}
    for s in file.statements:
        if isinstance(s, syntax.Define):
            if s.kind in kinds:
                found[s.name] = kinds[s.kind]
        elif isinstance(s, (syntax.Circuit, syntax.Task, syntax.Model)) and s.name is not None:
            found.setdefault(s.name, words[type(s)])
    return found


def _in_order(measures: Mapping[str, syntax.Measure]) -> Iterable[str]:
    """Every measure after those that it uses; what needs itself comes in some order."""
    done: dict[str, None] = {}
    for start in measures:
        waiting = [start]
        seen: set[str] = set()
        while waiting:
            name = waiting[-1]
            uses = [n.text for n in names_in(measures[name].body) if n.text in measures]
            missing = [n for n in uses if n not in done and n not in seen]
            if name in seen or not missing:
                done.setdefault(waiting.pop())
            seen.add(name)
            waiting += [n for n in missing if n not in seen]
    return done


# ---------------------------------------------------------------- inference


@dataclass(frozen=True)
class _Sum:
    """`left + right`, which means what its sides are: numbers, sets, or a place and a shift."""

    left: tuple[Type, Expression]
    right: tuple[Type, Expression]
    result: Variable


@dataclass
class _Body:
    """Works out one measure; `known` holds the measures that it may call."""

    measure: syntax.Measure
    known: Mapping[str, Signature]
    names: Mapping[str, Type]
    diagnostics: Diagnostics
    sums: list[_Sum] = field(default_factory=list)
    loops: list[tuple[Variable, Variable, Expression]] = field(default_factory=list)

    def signature(self) -> Signature:
        parameters: dict[str, Type] = {n: Variable(n) for n in self.measure.parameters}
        result = self.infer(self.measure.body, parameters)
        for _ in range(len(self.sums) + len(self.loops)):
            before = self._progress()
            for each in self.sums:
                self._settle(each)
            for domain, member, e in self.loops:
                self._iterated(domain, member, e)
            if self._progress() == before:
                break
        return Signature(self.measure.name, tuple(parameters.items()), result)

    def _progress(self) -> list[Type]:
        sides = [t for s in self.sums for t in (s.left[0], s.right[0], s.result)]
        return [resolved(t) for t in sides] + [
            resolved(t) for d, m, _ in self.loops for t in (d, m)
        ]

    # ------------------------------------------------------------ constraints

    def require(self, found: Type, wanted: Type, e: Expression) -> None:
        """`e`, of type `found`, stands where `wanted` is needed."""
        variable = root(found)
        if variable is None:
            return
        target = root(wanted)
        wanted = resolved(wanted)
        if target is not None and target.type is None:
            if target is not variable:
                target.same = variable
            return
        if variable.type is None:
            variable.type, variable.first = wanted, e.span
        elif not fits(variable.type, wanted):
            if fits(wanted, variable.type) and not variable.rigid:
                variable.type, variable.first = wanted, e.span
            else:
                self._conflict(variable, wanted, e)

    def _conflict(self, variable: Variable, wanted: Type, e: Expression) -> None:
        if variable.name is None or variable.first is None or variable.type is None:
            return
        uses = sorted(
            ((variable.first, phrase(variable.type)), (e.span, phrase(wanted))),
            key=lambda use: use[0].start,
        )
        (first, earlier), (second, later) = uses
        self.diagnostics.add(
            Diagnostic(
                "CL313",
                f"`{variable.name}` is {later} here and {earlier} before it, in line {first.line}.",
                second,
                f"give measure `{self.measure.name}` one parameter for each",
                related=((first, f"here `{variable.name}` is {earlier}"),),
            )
        )

    def _settle(self, each: _Sum) -> None:
        (left, le), (right, re), result = each.left, each.right, each.result
        a, b, c = resolved(left), resolved(right), resolved(result)
        if "metric" in (a, b):
            self.require(result, "metric", le)
        elif "number" in (a, b) and (is_set(a) or is_set(b)):
            self.require(*((left, "number", le) if is_set(a) else (right, "number", re)))
        elif any(is_set(t) for t in (a, b, c)):
            wanted = "nodes" if c == "nodes" else "edges"
            self.require(left, wanted, le)
            self.require(right, wanted, re)
            nodes = all(fits(t, "nodes") and is_set(t) for t in (resolved(left), resolved(right)))
            self.require(result, "nodes" if nodes else "edges", le)
        elif "position" in (a, c):
            self.require(left, "position", le)
            self.require(right, "number", re)
            self.require(result, "position", le)
        elif a == "number" or c == "number":
            self.require(left, "number", le)
            self.require(right, "number", re)
            self.require(result, "number", le)

    def _iterated(self, domain: Variable, member: Variable, e: Expression) -> None:
        inside, found = resolved(domain), resolved(member)
        if isinstance(inside, Variable):
            if not isinstance(found, Variable):
                listed = found in ("nodes", "position")
                self.require(domain, found if listed else Many(found), e)
        elif isinstance(found, Variable):
            self._give(member, inside, e)

    def _give(self, member: Variable, domain: Type, e: Expression) -> None:
        """The members of a known domain: of nodes, a span, a list."""
        if isinstance(domain, Many):
            inner = resolved(domain.member)
            if isinstance(inner, Variable):
                root(member).same = inner  # type: ignore[union-attr]
                return
            member.type = inner
        elif domain in ("nodes", "position"):
            member.type = domain
        member.first, member.rigid = e.span, True

    # ------------------------------------------------------------ expressions

    def infer(self, e: Expression, bound: Mapping[str, Type]) -> Type:
        match e:
            case syntax.NumberLiteral():
                return "number"
            case syntax.StringLiteral():
                return "text"
            case syntax.NodeLiteral():
                return "nodes"
            case syntax.Name():
                return self._name(e, bound)
            case syntax.ListExpression(items, generator):
                return self._list(items, self._bind(generator, bound))
            case syntax.TupleExpression(items):
                for item in items:
                    self.infer(item, bound)
                return Variable()
            case syntax.Ported(base, _):
                self.require(self.infer(base, bound), "nodes", base)
                return "nodes"
            case syntax.At(base, place):
                self._place(place, bound)
                return self.infer(base, bound)
            case syntax.Negation(operand):
                return self._arithmetic((operand,), bound)
            case syntax.Binary():
                return self._binary(e, bound)
            case syntax.Call():
                return self._call(e, bound)
            case _:
                return "condition"

    def _name(self, e: syntax.Name, bound: Mapping[str, Type]) -> Type:
        first, rest = e.parts[0], e.parts[1:]
        ports = bool(rest) and set("".join(rest)) <= set("qkv")
        if first in bound:
            if ports:
                self.require(bound[first], "nodes", e)
                return "nodes"
            return Variable() if rest else bound[first]
        if e.text in self.known:
            return self.known[e.text].copy().result
        if e.text in self.names:
            return self.names[e.text]
        if ports and self.names.get(".".join(e.parts[:-1])) == "nodes":
            return "nodes"
        return NAMES.get(e.text, Variable())

    def _list(self, items: tuple[Expression, ...], bound: Mapping[str, Type]) -> Type:
        found = [self.infer(item, bound) for item in items]
        concrete = [t for t in map(resolved, found) if not isinstance(t, Variable)]
        if not concrete:
            return Many(found[0] if found else Variable())
        if any(is_set(t) for t in concrete):
            for t, item in zip(found, items, strict=True):
                self.require(t, "edges", item)
            return Many("nodes" if all(fits(t, "nodes") for t in concrete) else "edges")
        for t, item in zip(found, items, strict=True):
            self.require(t, concrete[0], item)
        return Many(concrete[0])

    def _place(self, place: Expression, bound: Mapping[str, Type]) -> None:
        parts = place.items if isinstance(place, syntax.ListExpression) else (place,)
        for part in parts:
            self.require(self.infer(part, bound), "position", part)

    def _arithmetic(self, operands: tuple[Expression, ...], bound: Mapping[str, Type]) -> Type:
        """Of numbers a number, of metrics a metric."""
        found = [self.infer(e, bound) for e in operands]
        if any(resolved(t) == "metric" for t in found):
            return "metric"
        for t, e in zip(found, operands, strict=True):
            self.require(t, "number", e)
        return "number"

    def _binary(self, e: syntax.Binary, bound: Mapping[str, Type]) -> Type:
        match e.operator:
            case "and":
                self.infer(e.left, bound)
                self.infer(e.right, bound)
                return "condition"
            case "in":
                self.infer(e.right, bound)
                self._arithmetic((e.left,), bound)
                return "condition"
            case "..":
                self._arithmetic((e.left, e.right), bound)
                return Many("number")
            case "->":
                for side in (e.left, e.right):
                    self.require(self.infer(side, bound), "nodes", side)
                return "edges"
            case "+" | "-" | "&":
                sides = (self.infer(e.left, bound), e.left), (self.infer(e.right, bound), e.right)
                result = Variable()
                if e.operator == "&":
                    for found, side in sides:
                        self.require(found, "edges", side)
                self.sums.append(_Sum(*sides, result))
                self._settle(self.sums[-1])
                return result
            case "*" | "/":
                return self._arithmetic((e.left, e.right), bound)
            case _:
                self._arithmetic((e.left, e.right), bound)
                return "condition"

    # ------------------------------------------------------------ calls

    def _bind(
        self, generator: syntax.Generator | None, bound: Mapping[str, Type]
    ) -> Mapping[str, Type]:
        if generator is None:
            return bound
        for binding in generator.bindings:
            domain = self.infer(binding.domain, bound)
            if len(binding.names) > 1:
                bound = {**bound, **{name: Variable(name) for name in binding.names}}
                continue
            member = Variable(binding.names[0])
            inside = resolved(domain)
            if isinstance(inside, Variable):
                self.loops.append((inside, member, binding.domain))
            else:
                self._give(member, inside, binding.domain)
            bound = {**bound, binding.names[0]: member}
        if generator.condition is not None:
            self.infer(generator.condition, bound)
        return bound

    def _call(self, e: syntax.Call, bound: Mapping[str, Type]) -> Type:
        for clause in e.clauses:
            if clause.word in _CLAUSES:
                found = self.infer(clause.value, bound)
                self.require(found, _CLAUSES[clause.word], clause.value)
        inner = self._bind(e.generator, bound)
        for _, value in e.named:
            self.infer(value, bound)
        name = e.name.text
        if name in STATISTICS or name in ("abs", "square"):
            return self._statistic(e, inner)
        found_types = [self.infer(a, inner) for a in e.arguments]
        if name in bound:
            return Variable()
        if name in self.known:
            callee = self.known[name].copy()
            parameters = tuple(t for _, t in callee.parameters)
            if len(parameters) == len(found_types):
                self._pass(found_types, parameters, e)
            return callee.result
        return self._function(name, found_types, e)

    def _function(self, name: str, found: list[Type], e: syntax.Call) -> Type:
        if name in _TOKEN_SCORES:
            self._pass(found, ("tokens",), e)
        elif name in FUNCTIONS:
            parameters, result = FUNCTIONS[name]
            self._pass(found, parameters, e)
            return result
        elif name in ("random", "greedy", "search") and found:
            return found[0]
        elif name == "subsets" and found:
            inside = resolved(found[0])
            return Many(inside.member if isinstance(inside, Many) else found[0])
        elif name == "parts" and found:
            self._pass(found, ("data",), e)
            return Many("data")
        elif name in ("resample", "donors", "constants"):
            return "ablation"
        return "metric" if name in METRIC_FUNCTIONS else Variable()

    def _pass(self, found: list[Type], parameters: tuple[Type, ...], e: syntax.Call) -> None:
        for argument, wanted, part in zip(found, parameters, e.arguments, strict=False):
            self.require(argument, wanted, part)

    def _statistic(self, e: syntax.Call, bound: Mapping[str, Type]) -> Type:
        """mean, max, abs, ...: of numbers, of metrics; `mean` of a corruption is an ablation."""
        found = [self.infer(a, bound) for a in e.arguments]
        kinds = [resolved(t) for t in found]
        if "metric" in kinds:
            return "metric"
        if e.name.text == "share":
            return "number"
        if e.name.text == "mean" and e.generator is None:
            if any(c.word == "per" for c in e.clauses) or kinds == ["corruption"]:
                self._pass(found, ("corruption",), e)
                return "ablation"
            if len(kinds) == 1 and isinstance(kinds[0], Variable):
                return Variable()
        single = e.generator is None and len(kinds) == 1 and e.name.text in STATISTICS
        for t, kind, part in zip(found, kinds, e.arguments, strict=True):
            if not (single and isinstance(kind, Variable)):
                self.require(t, "number", part)
        return "number"
