"""`cpr("scores.json")` and `cmd("scores.json")`: faithfulness over all sizes of a ranked circuit.

The circuit performance ratio and the circuit-model distance of the Mechanistic Interpretability
Benchmark (Mueller et al. 2025): with f(k) the recovered share of the effect when the share k of all
edges is kept, the area under f and that under |1 - f|, by the trapezoid rule on their ten sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from circuitlang.language.formulas.numbers import operation
from circuitlang.language.spec import Constant
from circuitlang.language.text import syntax

if TYPE_CHECKING:
    from circuitlang.language.formulas.environment import Environment
    from circuitlang.language.formulas.evaluate import Evaluator

SIZES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def performance(ev: Evaluator, e: syntax.Call, env: Environment) -> Any:
    return _area(ev, e, env, lambda f: f)


def distance(ev: Evaluator, e: syntax.Call, env: Environment) -> Any:
    return _area(ev, e, env, distance_from_whole)


def distance_from_whole(f: Any) -> Any:
    """|1 - f|."""
    return operation("abs", (operation("-", (Constant(1.0), f)),))


def weights() -> list[float]:
    """The trapezoid rule as one weight per size."""
    widths = [after - before for before, after in pairwise(SIZES)]
    return [(left + right) / 2 for left, right in zip([0.0, *widths], [*widths, 0.0], strict=True)]


def area(heights: Sequence[Any]) -> Any:
    """The area under one number at each of the sizes."""
    total = None
    for weight, height in zip(weights(), heights, strict=True):
        part = operation("*", (Constant(weight), height))
        total = part if total is None else operation("+", (total, part))
    return total


def _area(ev: Evaluator, e: syntax.Call, env: Environment, height: Any) -> Any:
    name = e.name.text
    if len(e.arguments) != 1 or e.generator is not None or any(n != "scores" for n, _ in e.named):
        raise ev.fail(
            "CL105",
            f"`{name}` takes one file of scores.",
            e,
            f'write `{name}("scores.json")`, with `scores = "absolute"` to rank by size',
        )

    def score(circuit: syntax.Expression) -> Any:
        ev.count_score(e)
        named = replace(e.name, parts=("F",))
        return ev.runs.score(replace(e, name=named, arguments=(circuit,), named=()), env)

    def kept(share: float) -> syntax.Expression:
        size = ev.graph(env).size
        number = round(share * size)
        if number in (0, size):
            return whole if number else none
        top = ("top", syntax.NumberLiteral(float(number), str(number), e.span))
        return replace(
            e, name=replace(e.name, parts=("edges_from",)), named=(top, *e.named), clauses=()
        )

    none, whole = (syntax.Name((word,), e.span) for word in ("none", "M"))
    floor, full = score(none), score(whole)
    effect = operation("-", (full, floor))
    parts = (operation("-", (score(kept(share)), floor)) for share in SIZES)
    return area([height(operation("/", (part, effect))) for part in parts])
