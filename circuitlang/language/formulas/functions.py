"""The functions of the formula language, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from circuitlang.language.diagnostics import Reject, suggestion
from circuitlang.language.formulas import domains, wrappers
from circuitlang.language.formulas.constants import read_constants
from circuitlang.language.formulas.domains import only_argument
from circuitlang.language.formulas.independence import independence
from circuitlang.language.formulas.numbers import operation
from circuitlang.language.formulas.path_effects import path_effect
from circuitlang.language.formulas.values import (
    AblationValue,
    Data,
    Items,
    MetricValue,
    Nodes,
    Numbers,
    kind,
)
from circuitlang.language.graph import sets
from circuitlang.language.graph.circuit_file import edges_from
from circuitlang.language.graph.edges import Place
from circuitlang.language.spec import Constant
from circuitlang.language.text import other_words, syntax
from circuitlang.language.text.grammar import INSTEAD_OF_PROMPTS, LATER, METRIC_FUNCTIONS
from circuitlang.language.text.syntax import Expression
from circuitlang.language.text.unparse import unparse

if TYPE_CHECKING:
    from circuitlang.language.formulas.environment import Environment
    from circuitlang.language.formulas.evaluate import Evaluator

BUILTIN_NAMES = ("M", "none", "any", "input", "logits", "heads", "mlps", "END")
LARGEST_DRAWS = 100
STATISTICS = ("mean", "median", "quantile", "share", "min", "max")


def is_function(name: str) -> bool:
    return name in _HANDLERS or name in METRIC_FUNCTIONS or name in LATER


# ---------------------------------------------------------------- numbers, files, ablations


def _size(ev: Evaluator, e: syntax.Call, env: Environment) -> Constant:
    value = ev.value(only_argument(ev, e), env)
    if isinstance(value, Nodes):
        return Constant(float(len(value.members)))
    return Constant(float(sets.size(ev.as_edges(value, e.arguments[0], env))))


def _unary(ev: Evaluator, e: syntax.Call, env: Environment) -> Any:
    return operation(e.name.text, (ev.number(only_argument(ev, e), env),))


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
    if argument.text == "clean" or ev.definitions.is_corruption(argument.text):
        return True
    of_task = ev.definitions.task_part(argument.parts)
    return of_task is not None and of_task[1] in of_task[0].corruptions


def _mean_ablation(ev: Evaluator, e: syntax.Call, env: Environment) -> AblationValue:
    corruption = _corruption_name(ev, e, only_argument(ev, e), env)
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
                INSTEAD_OF_PROMPTS,
            )
    corruption = _corruption_name(ev, e, only_argument(ev, e), env)
    return AblationValue("resample", corruption, None, unparse(e))


def _donors(ev: Evaluator, e: syntax.Call, env: Environment) -> AblationValue:
    if len(e.arguments) != 2 or e.named or e.generator is not None:
        raise ev.fail(
            "CL105",
            "`donors` takes a corruption and how many donors each prompt has.",
            e,
            "write `donors(corruption, 5)`, or `donors(clean, 5)` for clean prompts",
        )
    corruption = _corruption_name(ev, e, e.arguments[0], env)
    draws = ev.value(e.arguments[1], env)
    if not isinstance(draws, Constant) or not draws.value.is_integer() or draws.value < 1:
        raise ev.fail(
            "CL106",
            "The number of donors is not a whole number of at least 1.",
            e.arguments[1],
            "write `donors(corruption, 5)`",
        )
    if draws.value > LARGEST_DRAWS:
        raise ev.fail(
            "CL302",
            f"Each run would be executed {draws.value:,.0f} times, and at most {LARGEST_DRAWS} "
            "donors are drawn for a prompt.",
            e.arguments[1],
            "draw fewer; more prompts say more than more donors of each",
        )
    return AblationValue("donors", corruption, None, ev.printed(e, env), draws=int(draws.value))


def _constants(ev: Evaluator, e: syntax.Call, env: Environment) -> AblationValue:
    argument = only_argument(ev, e)
    if not isinstance(argument, syntax.StringLiteral):
        raise ev.fail(
            "CL106",
            "`constants` takes a file name in quotes.",
            argument,
            'write `constants("means.safetensors")`',
        )
    constants = read_constants(argument, ev.graph(env), ev.diagnostics)
    return AblationValue("constants", None, None, unparse(e), constants=constants)


def _corruption_name(ev: Evaluator, e: syntax.Call, argument: Expression, env: Environment) -> str:
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
    of_task = ev.definitions.task_part(argument.parts)
    return of_task[1] if of_task else argument.text


def _pick(ev: Evaluator, e: syntax.Call, env: Environment) -> Place:
    argument = only_argument(ev, e)
    value = ev.position_name(argument, env) or ev.value(argument, env)
    if not isinstance(value, Place):
        raise ev.fail(
            "CL106",
            f"`{e.name.text}` takes a position, not {kind(value)}.",
            e,
            f"write `{e.name.text}(label)`",
        )
    return Place(tuple(replace(p, pick=e.name.text) for p in value.positions))


_HANDLERS: dict[str, Callable[[Any, syntax.Call, Any], Any]] = {
    "edges": domains.edges_of,
    "nodes": domains.nodes_of,
    "groups": domains.groups_of,
    "arrows": domains.arrows_of,
    "templates": domains.templates_of,
    "corruptions": domains.corruptions_of,
    "examples": domains.examples_of,
    "parts": domains.parts_of,
    "subsets": wrappers.subsets_of,
    "circuits": wrappers.circuits_of,
    "paths": wrappers.paths_of,
    "inputs": wrappers.inputs_of,
    "random": wrappers.random_of,
    "search": wrappers.search_of,
    "greedy": wrappers.greedy_of,
    "size": _size,
    **dict.fromkeys(("abs", "square", "sqrt", "log", "exp"), _unary),
    **dict.fromkeys(STATISTICS, _statistic),
    "resample": _resample,
    "donors": _donors,
    "constants": _constants,
    "edges_from": edges_from,
    "path_effect": path_effect,
    "independence": independence,
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
        raise ev.fail("CL307", f"`{name}` is not run by this version.", e, LATER[name])
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
    if ev.definitions.is_unread(e.name.parts):
        raise Reject
    if name in ev.definitions or name in env.bindings:
        is_metric = name in {m.name for m in ev.definitions.of_kind("metric")}
        help = f"write `F(S by {name})` for the metric of a run" if is_metric else None
        raise ev.fail("CL106", f"`{name}` is not a function and cannot be called.", e.name, help)
    raise ev.fail(
        "CL101",
        f"No function or measure is called `{name}`.",
        e.name,
        suggestion(name, known)
        or other_words.FUNCTIONS.get(name)
        or "the built-in measures are faithfulness, necessity, drop, ...",
    )
