"""The functions of the formula language, and what can be iterated."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from circuitlang.language import sets, syntax
from circuitlang.language.circuit_file import read_circuit
from circuitlang.language.diagnostics import Reject, suggestion
from circuitlang.language.edges import Place
from circuitlang.language.grammar import METRIC_FUNCTIONS
from circuitlang.language.spec import Aggregate, Comparison, Constant, Each, Operation, Rows
from circuitlang.language.syntax import Expression
from circuitlang.language.unparse import unparse
from circuitlang.language.values import (
    AblationValue,
    Data,
    Edges,
    ExampleDomain,
    Interval,
    Items,
    MetricValue,
    Nodes,
    Numbers,
    kind,
)

if TYPE_CHECKING:
    from circuitlang.language.environment import Environment
    from circuitlang.language.evaluate import Evaluator

LARGEST_EXPANSION = 20_000
LATER = {
    **dict.fromkeys(("random", "greedy", "search"), "wrapper"),
    **dict.fromkeys(("subsets", "inputs", "circuits", "paths", "pairs"), "domain"),
    **dict.fromkeys(
        ("js", "dla", "lens_rank", "copies", "path_effect", "independence", "donors", "curve"),
        "function",
    ),
}
BUILTIN_NAMES = ("M", "none", "any", "input", "logits", "heads", "mlps", "END")
STATISTICS = ("mean", "median", "quantile", "share", "min", "max")
_UNARY: dict[str, Callable[[float], float]] = {
    "neg": lambda x: -x,
    "abs": abs,
    "square": lambda x: x * x,
    "sqrt": math.sqrt,
    "log": math.log,
    "exp": math.exp,
}
_BINARY: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}
_RELATION: dict[str, Callable[[float, float], bool]] = {
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


def operation(operator: str, operands: tuple[Any, ...]) -> Any:
    """The number, folded when every operand is a constant."""
    if all(isinstance(o, Constant) for o in operands):
        values = [o.value for o in operands]
        try:
            folded = _fold(operator, values)
        except (ValueError, OverflowError, ZeroDivisionError):
            folded = None
        if folded is not None:
            return Constant(folded)
    return Operation(operator, operands)


def _fold(operator: str, values: list[float]) -> float | None:
    if operator in _UNARY:
        return float(_UNARY[operator](values[0]))
    if operator in _BINARY:
        return float(_BINARY[operator](*values))
    by_list: dict[str, Callable[[list[float]], float]] = {
        "min": min,
        "max": max,
        "mean": lambda v: sum(v) / len(v),
        "median": lambda v: (
            sorted(v)[len(v) // 2]
            if len(v) % 2
            else sum(sorted(v)[len(v) // 2 - 1 : len(v) // 2 + 1]) / 2
        ),
    }
    return float(by_list[operator](values)) if operator in by_list else None


def constant_comparison(c: Comparison) -> bool | None:
    """The truth of a comparison of two constants; None when it needs a run."""
    if isinstance(c.left, Constant) and isinstance(c.right, Constant):
        return _RELATION[c.operator](c.left.value, c.right.value)
    return None


def is_function(name: str) -> bool:
    return name in _HANDLERS or name in METRIC_FUNCTIONS or name in LATER


# ---------------------------------------------------------------- domains


def listed(ev: Evaluator, e: Expression, value: Any, env: Environment) -> list[tuple[Any, str]]:
    """Members of a listed domain with their printed names."""
    if isinstance(value, Items):
        labels = value.labels or tuple(map(str, range(len(value.members))))
        return list(zip(value.members, labels, strict=True))
    if isinstance(value, Nodes):
        return [(Nodes((m,)), str(m)) for m in value.members]
    if isinstance(value, Interval):
        return _numbers(ev, e, value)
    text = unparse(e)
    if isinstance(value, Edges):
        raise ev.fail(
            "CL304",
            f"`{text}` is a circuit: iterate its edges or its nodes?",
            e,
            f"write `edges({text})`, `nodes({text})`, `groups({text})` or `arrows({text})`",
        )
    if isinstance(value, Data):
        raise ev.fail(
            "CL106", f"`{text}` is data.", e, f"write `examples({text})` or `templates({text})`"
        )
    if isinstance(value, Place):
        raise ev.fail(
            "CL307",
            "Iterating the tokens of a span is not run by this version.",
            e,
            "list positions: `[first(S1), last(S1)]`",
        )
    raise ev.fail(
        "CL106",
        f"{kind(value).capitalize()} cannot be iterated.",
        e,
        "iterate a list, a group, `edges(C)`, `nodes(C)`, `groups(C)`, `examples` or a range",
    )


def _numbers(ev: Evaluator, e: Expression, value: Interval) -> list[tuple[Any, str]]:
    low, high = value.low, value.high
    whole = (
        isinstance(low, Constant)
        and isinstance(high, Constant)
        and low.value == int(low.value)
        and high.value == int(high.value)
    )
    if not whole:
        raise ev.fail(
            "CL106", "Only a range of whole numbers can be iterated.", e, "write `for i in 0..9`"
        )
    length = int(high.value) - int(low.value) + 1
    _bounded(ev, e, length)
    return [(Constant(float(i)), str(i)) for i in range(int(low.value), int(high.value) + 1)]


def _bounded(ev: Evaluator, e: Expression, number: int) -> None:
    if number > LARGEST_EXPANSION:
        raise ev.fail(
            "CL302",
            f"This expands into {number:,} members; the limit is {LARGEST_EXPANSION:,}.",
            e,
            "take a smaller circuit or quantify over groups",
        )


def _edges(ev: Evaluator, e: syntax.Call, env: Environment) -> Items:
    found = ev.edges(_one(ev, e), env)
    _bounded(ev, e, sets.size(found))
    pairs = list(sets.members(found, ev.graph(env)))
    return Items(tuple(Edges(s) for _, s in pairs), tuple(label for label, _ in pairs))


def _nodes(ev: Evaluator, e: syntax.Call, env: Environment) -> Nodes:
    argument = _one(ev, e)
    value = ev.value(argument, env)
    if isinstance(value, Nodes):
        return value
    return sets.nodes_of(ev.as_edges(value, argument, env), ev.runs.free(e, env), ev.graph(env))


def _groups(ev: Evaluator, e: syntax.Call, env: Environment) -> Items:
    present = sets.nodes_of(ev.edges(_one(ev, e), env), ev.runs.free(e, env), ev.graph(env))
    members, labels = [], []
    for name in ev.definitions.groups:
        group = ev.as_nodes(ev.definition(name, e, env), e)
        meet = sets.intersection(group, present)
        if meet.members:
            members.append(meet)
            places = {m.place for m in meet.members}
            place = places.pop() if len(places) == 1 else None
            labels.append(f"{name} @ {place}" if place else name)
    return Items(tuple(members), tuple(labels))


def _arrows(ev: Evaluator, e: syntax.Call, env: Environment) -> Items:
    argument = _one(ev, e)
    value = ev.value(argument, env)
    if not isinstance(value, Edges) or not value.lines:
        raise ev.fail(
            "CL106", "`arrows` needs a circuit written as lines.", e, "name a `circuit ... { }`"
        )
    return Items(tuple(Edges(s) for _, s in value.lines), tuple(text for text, _ in value.lines))


def _templates(ev: Evaluator, e: syntax.Call, env: Environment) -> Items:
    task = _task(ev, e, env)
    names = tuple(p.name for p in task.templates)
    return Items(tuple(Data(task.name, Rows("template", n)) for n in names), names)


def _corruptions(ev: Evaluator, e: syntax.Call, env: Environment) -> Items:
    names = tuple(_task(ev, e, env).corruptions)
    return Items(tuple(AblationValue("corruption", n, None, n) for n in names), names)


def _examples(ev: Evaluator, e: syntax.Call, env: Environment) -> ExampleDomain:
    value = ev.data_value(_one(ev, e), env)
    if isinstance(value, ExampleDomain):
        return value
    if not isinstance(value, Data) or value.each:
        raise ev.fail(
            "CL106", f"`examples` needs a task, not {kind(value)}.", e, "write `examples(task)`"
        )
    return ExampleDomain(value)


def _parts(ev: Evaluator, e: syntax.Call, env: Environment) -> Items:
    if len(e.arguments) != 2 or not isinstance(e.arguments[1], syntax.Name):
        raise ev.fail("CL105", "`parts` takes a task and a slot.", e, "write `parts(task, slot)`")
    first = replace(e, arguments=e.arguments[:1])
    task, slot = _task(ev, first, env), e.arguments[1].text
    for candidate in task.slots:
        if slot in candidate.names:
            if candidate.needs_tokenizer:
                raise ev.fail(
                    "CL307",
                    f"The values of `{slot}` depend on the tokenizer.",
                    e,
                    "give the slot a list of its own, without `token_count`",
                )
            column = candidate.names.index(slot)
            values = tuple(dict.fromkeys(str(row[column]) for row in candidate.rows))
            _bounded(ev, e, len(values))
            return Items(tuple(Data(task.name, Rows("part", v, slot)) for v in values), values)
    known = [name for s in task.slots for name in s.names]
    raise ev.fail(
        "CL101",
        f"Task `{task.name}` has no slot `{slot}`.",
        e.arguments[1],
        suggestion(slot, known) or f"its slots are {', '.join(known)}",
    )


def _task(ev: Evaluator, e: syntax.Call, env: Environment) -> Any:
    value = ev.data_value(_one(ev, e), env)
    if not isinstance(value, Data) or value.rows.kind != "all":
        raise ev.fail(
            "CL106",
            f"`{e.name.text}` needs a task, not {kind(value)}.",
            e,
            f"write `{e.name.text}(task)`",
        )
    return ev.definitions.task(value.task, e)


# ---------------------------------------------------------------- numbers, files, ablations


def _size(ev: Evaluator, e: syntax.Call, env: Environment) -> Constant:
    value = ev.value(_one(ev, e), env)
    if isinstance(value, Nodes):
        return Constant(float(len(value.members)))
    return Constant(float(sets.size(ev.as_edges(value, e.arguments[0], env))))


def _unary(ev: Evaluator, e: syntax.Call, env: Environment) -> Any:
    return operation(e.name.text, (ev.number(_one(ev, e), env),))


def _statistic(ev: Evaluator, e: syntax.Call, env: Environment) -> Any:
    if e.generator is not None:
        return ev.aggregate(e, env)
    if e.name.text == "mean" and _looks_like_ablation(ev, e, env):
        return _mean_ablation(ev, e, env)
    if e.name.text in ("share", "quantile"):
        raise ev.fail(
            "CL105",
            f"`{e.name.text}` runs over prompts.",
            e,
            f"write `{e.name.text}(... for x in examples)`",
        )
    if not e.arguments:
        raise ev.fail(
            "CL105",
            f"`{e.name.text}` needs something to work on.",
            e,
            f"write `{e.name.text}(a, b)` or `{e.name.text}(... for x in examples)`",
        )
    values: list[Any] = []
    for argument in e.arguments:
        value = ev.value(argument, env)
        parts = value.members if isinstance(value, Items) else (value,)
        wrong = next((p for p in parts if not isinstance(p, Numbers)), None)
        if wrong is not None:
            raise ev.fail(
                "CL106",
                f"A number is needed here, not {kind(wrong)}.",
                argument,
                "write `F(...)` for the score of a set",
            )
        values += parts
    return operation(e.name.text, tuple(values))


def _looks_like_ablation(ev: Evaluator, e: syntax.Call, env: Environment) -> bool:
    if any(c.word == "per" for c in e.clauses):
        return True
    argument = e.arguments[0] if len(e.arguments) == 1 else None
    if not isinstance(argument, syntax.Name):
        return False
    bound = env.bindings.get(argument.text)
    if isinstance(bound, AblationValue):
        return True
    return argument.text == "clean" or ev.definitions.is_corruption(argument.text)


def _mean_ablation(ev: Evaluator, e: syntax.Call, env: Environment) -> AblationValue:
    corruption = _corruption_name(ev, e, env)
    per: tuple[str, ...] | None = None
    for clause in e.clauses:
        if clause.word == "per":
            per = per_keys(ev, clause.value)
    return AblationValue("mean", corruption, per, ev.printed(e, env))


def per_keys(ev: Evaluator, e: Expression) -> tuple[str, ...]:
    parts = e.items if isinstance(e, syntax.ListExpression) else (e,)
    for part in parts:
        if not isinstance(part, syntax.Name):
            raise ev.fail(
                "CL106", "`per` takes `template` or slot names.", part, "write `per template`"
            )
    return tuple(p.text for p in parts if isinstance(p, syntax.Name))


def _resample(ev: Evaluator, e: syntax.Call, env: Environment) -> AblationValue:
    if e.arguments and isinstance(e.arguments[0], syntax.Name):
        bound = env.bindings.get(e.arguments[0].text)
        if isinstance(bound, AblationValue) and bound.corruption:
            return AblationValue(
                "resample", bound.corruption, None, f"resample({bound.corruption})"
            )
        if isinstance(bound, Data):
            raise ev.fail(
                "CL307",
                "A prompt as donor is not run by this version.",
                e,
                "name a corruption of the task",
            )
    return AblationValue("resample", _corruption_name(ev, e, env), None, unparse(e))


def _corruption_name(ev: Evaluator, e: syntax.Call, env: Environment) -> str:
    argument = _one(ev, e)
    bound = env.bindings.get(argument.text) if isinstance(argument, syntax.Name) else None
    if isinstance(bound, AblationValue) and bound.corruption:
        return bound.corruption
    if not isinstance(argument, syntax.Name):
        raise ev.fail(
            "CL106",
            f"`{e.name.text}` takes the name of a corruption.",
            argument,
            f"write `{e.name.text}(corruption)`, a name that the task gives after `corrupt`",
        )
    return argument.text


def _edges_from(ev: Evaluator, e: syntax.Call, env: Environment) -> Edges:
    argument = _one(ev, e)
    if not isinstance(argument, syntax.StringLiteral):
        raise ev.fail(
            "CL106",
            "`edges_from` takes a file name in quotes.",
            argument,
            f'write `edges_from("{unparse(argument)}.json")`',
        )
    return read_circuit(argument, ev.graph(env), ev.definitions.folder, ev.diagnostics)


def _pick(ev: Evaluator, e: syntax.Call, env: Environment) -> Place:
    argument = _one(ev, e)
    value = ev.position_name(argument, env) or ev.value(argument, env)
    if not isinstance(value, Place):
        raise ev.fail(
            "CL106",
            f"`{e.name.text}` takes a position, not {kind(value)}.",
            e,
            f"write `{e.name.text}(label)`",
        )
    return Place(tuple(replace(p, pick=e.name.text) for p in value.positions))


def _one(ev: Evaluator, e: syntax.Call) -> Expression:
    if len(e.arguments) != 1 or e.named or e.generator is not None:
        raise ev.fail(
            "CL105", f"`{e.name.text}` takes one argument.", e, f"write `{e.name.text}(...)` of one"
        )
    return e.arguments[0]


_HANDLERS: dict[str, Callable[[Any, syntax.Call, Any], Any]] = {
    "edges": _edges,
    "nodes": _nodes,
    "groups": _groups,
    "arrows": _arrows,
    "templates": _templates,
    "corruptions": _corruptions,
    "examples": _examples,
    "parts": _parts,
    "size": _size,
    **dict.fromkeys(("abs", "square", "sqrt", "log", "exp"), _unary),
    **dict.fromkeys(STATISTICS, _statistic),
    "resample": _resample,
    "edges_from": _edges_from,
    "first": _pick,
    "last": _pick,
}


def call(ev: Evaluator, e: syntax.Call, env: Environment) -> Any:
    name = e.name.text
    if name in _HANDLERS:
        return _HANDLERS[name](ev, e, env)
    if name in METRIC_FUNCTIONS:
        return MetricValue(unparse(e), e, env.bindings)
    if name in LATER:
        raise ev.fail(
            "CL307",
            f"The {LATER[name]} `{name}` is not run by this version.",
            e,
            "list the members, or quantify over edges, nodes or groups",
        )
    if name in ("file", "rows", "token_ids", "token_count", "distinct"):
        raise ev.fail(
            "CL106",
            f"`{name}` belongs into a task or a `let` that a task uses.",
            e,
            'a circuit in a file is read with `edges_from("graph.json")`',
        )
    known = (*_HANDLERS, *METRIC_FUNCTIONS, *ev.definitions.measures, "F")
    if name in (*BUILTIN_NAMES, "zero", "clean"):
        raise ev.fail(
            "CL106", f"`{name}` is not a function.", e.name, f"write `{name}` without parentheses"
        )
    if name in ev.definitions.unread_names:
        raise Reject
    if name in ev.definitions or name in env.bindings:
        is_metric = name in {m.name for m in ev.definitions.of_kind("metric")}
        help = f"write `F(S by {name})` for the metric of a run" if is_metric else None
        raise ev.fail("CL106", f"`{name}` is not a function and cannot be called.", e.name, help)
    raise ev.fail(
        "CL101",
        f"No function or measure is called `{name}`.",
        e.name,
        suggestion(name, known) or "the built-in measures are faithfulness, necessity, drop, ...",
    )


def contains_each(number: Any) -> bool:
    """Whether a per-prompt value occurs outside an aggregate."""
    if isinstance(number, Each):
        return True
    if isinstance(number, Aggregate):
        return False
    if isinstance(number, Comparison):
        return contains_each(number.left) or contains_each(number.right)
    return any(map(contains_each, getattr(number, "operands", ())))
