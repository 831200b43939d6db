"""Expressions over F -> values: sets, numbers, conditions.

Only inlined expressions come here. Names mean, in this order: a bound variable, a word of
the language, a definition of the spec, a position label of a task.
"""

from __future__ import annotations

from typing import Any

from circuitlang.language.definitions import Definitions
from circuitlang.language.diagnostics import Diagnostics, Reject, suggestion
from circuitlang.language.formulas import functions
from circuitlang.language.formulas.domains import listed
from circuitlang.language.formulas.drawn import Drawable
from circuitlang.language.formulas.environment import Environment
from circuitlang.language.formulas.independence import PValue, claimed
from circuitlang.language.formulas.iteration import Iteration
from circuitlang.language.formulas.numbers import operation
from circuitlang.language.formulas.runs import RunBuilder
from circuitlang.language.formulas.values import (
    AblationValue,
    Data,
    Edges,
    ExampleDomain,
    Interval,
    Items,
    Nodes,
    Numbers,
    Row,
    kind,
)
from circuitlang.language.formulas.wrappers import default_search
from circuitlang.language.graph import sets
from circuitlang.language.graph.edges import END, NOTHING, Place, Position, uniform
from circuitlang.language.spec import (
    Both,
    Comparison,
    Constant,
    ModelReference,
    Rows,
    Within,
)
from circuitlang.language.text import syntax
from circuitlang.language.text.syntax import Expression
from circuitlang.language.text.unparse import unparse

BUILTIN_WORDS = ("F", *functions.BUILTIN_NAMES, "examples")


class Evaluator(Iteration):
    """Evaluates against one spec's definitions; findings go to its diagnostics."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self.diagnostics: Diagnostics = definitions.diagnostics
        self.runs = RunBuilder(self)
        self.expanded = self.scored = 0
        self._sizes: list[int] = []
        self._cache: dict[tuple[str, ModelReference], Any] = {}
        self._open: list[str] = []
        self._missed: set[str] = set()
        self._words: list[str] = []

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
                return operation("neg", (self.number(operand, env),))
            case syntax.Binary():
                return self.binary(e, env)
            case syntax.Quantifier():
                return self.quantifier(e, env)
            case syntax.Call():
                return self.call(e, env)

    def name(self, e: syntax.Name, env: Environment) -> Any:
        first, rest = e.parts[0], e.parts[1:]
        if first not in env.bindings:
            found = self.definitions.task_part(e.parts) if rest else None
            if found is not None:
                return task_part(*found, e)
            first = self.definitions.qualified(e.parts) or first
            rest = e.parts[first.count(".") + 1 :]
        value = self.simple_name(first, e, env)
        for part in rest:
            if set(part) <= set("qkv") and isinstance(value, (Nodes, Items)):
                value = self.ported(self.as_nodes(value, e), part, e)
            else:
                raise self.fail(
                    "CL101",
                    f"`{first}` is {kind(value)} and has no part `{part}`.",
                    e,
                    self._part_help(first, part)
                    or "a port (.q .k .v .qk .qv .kv .qkv) can follow heads, and nothing else",
                )
        return value

    def _part_help(self, first: str, part: str) -> str | None:
        task = self.definitions.tasks.get(first)
        if task is None:
            return None
        known = ", ".join(f"`{k}`" for k in task.parts)
        return suggestion(part, task.parts) or (f"the task has {known}" if known else None)

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
        if self.definitions.is_unread(e.parts):
            raise Reject
        if self.definitions.is_imported(e.parts):
            assert self.definitions.imports is not None
            raise self.definitions.imports.unknown(e.parts, e.span)
        if functions.is_function(name):
            raise self.fail("CL106", f"`{name}` is a function.", e, f"call it: `{name}(...)`")
        known = (*self.definitions.names, *BUILTIN_WORDS, *env.bindings)
        raise self.fail(
            "CL101",
            f"Nothing is called `{name}`.",
            e,
            self.definitions.name_help(e.text)
            or suggestion(name, known)
            or self._due_help(name)
            or "define it with `let`, `group` or `circuit`, or correct the name",
        )

    def _due_help(self, name: str) -> str | None:
        word = self._words[-1] if self._words else ""
        if word == "@":
            labels = sorted(
                {
                    label
                    for t in self.definitions.tasks.values()
                    if t is not None
                    for label in t.labels
                }
            )
            return f"the positions are {', '.join((*labels, END))}"
        if word not in _KINDS:
            return None
        kind = _KINDS[word]
        names = ", ".join(f"`{c.name}`" for c in self.definitions.of_kind(kind) if c.name)
        example = _example(kind).replace("name", name).replace("logit_diff", name)
        example = example.replace("patch", name)
        return f"after `{word}` stands {_AN[kind]}: {names}" if names else example

    def data_value(self, e: Expression, env: Environment) -> Any:
        """Where prompts are wanted a task's name means the task, whatever else is called so."""
        named = isinstance(e, syntax.Name) and e.text not in env.bindings
        if isinstance(e, syntax.Name) and named and e.text in self.definitions.tasks:
            self.definitions.task(e.text, e)
            return Data(e.text)
        return self.value(e, env)

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
        """The single declared model, task, metric or ablation; an error when there are several.

        It is said once: one line mends it everywhere.
        """
        candidates = self.definitions.of_kind(what)
        if len(candidates) == 1:
            return candidates[0]
        if self.definitions.is_broken(what) or what in self._missed:
            raise Reject
        self._missed.add(what)
        if not candidates:
            others = self.definitions.imported(what)
            raise self.diagnostics.reject(
                "CL103",
                f"The spec declares no {what}, and this needs one.",
                e.span,
                f"add `default {word} {others[0]}`" if others else _example(what),
            )
        names = ", ".join(f"`{c.name}`" for c in candidates)
        raise self.fail(
            "CL104",
            f"The spec declares several {what}s ({names}) and none is the default.",
            e,
            f"add `default {word} {candidates[0].name}`, or say `{word} ...` at the call",
        )

    def list_value(self, e: syntax.ListExpression, env: Environment) -> Items:
        if e.generator is None:
            values = tuple(self.value(item, env) for item in e.items)
            return Items(values, tuple(unparse(item) for item in e.items))
        members, labels = [], []
        bound = [name for binding in e.generator.bindings for name in binding.names]
        environments = self.generated(e.generator, env, e)
        for inner in environments:
            name = ", ".join(inner.labels[variable] for variable in bound)
            for item in e.items:
                members.append(self.value(item, inner))
                labels.append(name if len(e.items) == 1 else f"{name}: {unparse(item)}")
        drawn = next((inner.drawn for inner in environments if inner.drawn), "")
        return Items(tuple(members), tuple(labels), drawn)

    def listed(self, e: Expression, value: Any, env: Environment) -> list[tuple[Any, str]]:
        return listed(self, e, value, env)

    def default_search(self, e: Expression, domain: Drawable, env: Environment) -> Any:
        return default_search(self, e, domain, env)

    def binary(self, e: syntax.Binary, env: Environment) -> Any:
        match e.operator:
            case "and":
                parts: tuple[Any, ...] = ()
                for side in (e.left, e.right):
                    part = self._joined(side, e, env)
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
                return operation(e.operator, (left, right))
            case _:
                left, right = self.compared(e.left, env), self.compared(e.right, env)
                if isinstance(left, PValue) or isinstance(right, PValue):
                    return claimed(self, e, left, right)
                return Comparison(e.operator, left, right)

    def _joined(self, side: Expression, e: syntax.Binary, env: Environment) -> Any:
        """A side of `and`."""
        value = self.value(side, env)
        if isinstance(value, (Edges, Nodes, Items)):
            raise self.fail(
                "CL106",
                f"`and` joins conditions; this is {kind(value)}.",
                e,
                f"what is in both is `{unparse(e.left)} & {unparse(e.right)}`, "
                f"what is in either `{unparse(e.left)} + {unparse(e.right)}`",
            )
        return self.as_formula(value, side)

    def within(self, e: syntax.Binary, env: Environment) -> Within:
        number, region = self.compared(e.left, env), self.value(e.right, env)
        if isinstance(number, PValue):
            claimed(self, e, number, region)
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
                f"write `in {_ends(e.right) or '0.8..1.2'}`",
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
            return operation(e.operator, (left, right))
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

    def call(self, e: syntax.Call, env: Environment) -> Any:
        if e.name.text == "F":
            self.count_score(e)
            return self.runs.score(e, env)
        return functions.call(self, e, env)


_KINDS = {"on": "task", "under": "ablation", "by": "metric", "with": "model"}
_AN = {"task": "a task", "ablation": "an ablation", "metric": "a metric", "model": "a model"}


def task_part(task: Any, part: str, e: syntax.Name) -> AblationValue | Data:
    """`ioi.abc` is a corruption of task `ioi`, `ioi.abba` the prompts of one of its templates."""
    if part in task.corruptions:
        return AblationValue("corruption", part, None, e.text, task.name)
    return Data(task.name, Rows("template", part))


def _ends(e: Expression) -> str | None:
    """The interval that `(a, b)` or `a - b` was meant to be."""
    match e:
        case syntax.TupleExpression(items) if len(items) == 2:
            return f"{unparse(items[0])}..{unparse(items[1])}"
        case syntax.Binary("-", syntax.NumberLiteral() as low, syntax.NumberLiteral() as high):
            return f"{unparse(low)}..{unparse(high)}"
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
