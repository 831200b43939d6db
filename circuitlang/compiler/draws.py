"""Runs under random donors -> one run for each draw, and their numbers back to one.

A number under `donors(c, n)` is the mean over n runs, each with one donor for every prompt. What
is executed are these runs; a metric compares runs of the same draw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from circuitlang.compiler.collect import Requests, reference_runs
from circuitlang.language.spec import (
    Divergence,
    Metric,
    MetricExpression,
    MetricOperation,
    Run,
)

Asked = tuple[Run, Metric]
Number = TypeVar("Number")


def draws_of(run: Run, metric: Metric) -> int:
    """How many runs the number is a mean over."""
    runs = (run, *reference_runs(metric.expression))
    every = (one for run in runs for one in run.with_readings)
    return max([1, *(one.ablation.draws for one in every if one.ablation is not None)])


def at_draw(run: Run, metric: Metric, draw: int) -> Asked:
    """What gives the number's part of one draw."""
    expression = _expression(metric.expression, draw)
    return _run(run, draw), replace(metric, expression=expression)


def per_draw(requests: Requests, most: int | None = None) -> dict[Run, tuple[Metric, ...]]:
    """What to execute for the requests, of no more than `most` draws."""
    found: dict[Run, dict[Metric, None]] = {}
    for run, metrics in requests.items():
        for metric in metrics:
            for draw in range(min(draws_of(run, metric), most or draws_of(run, metric))):
                executed, read = at_draw(run, metric, draw)
                found.setdefault(executed, {})[read] = None
    return {run: tuple(metrics) for run, metrics in found.items()}


def over_draws(
    requests: Requests,
    values: Mapping[Asked, Number],
    mean: Callable[[Sequence[Number]], Number],
) -> dict[Asked, Number]:
    """The numbers of the requests from those of `per_draw`'s."""
    return {
        (run, metric): mean(
            [values[at_draw(run, metric, draw)] for draw in range(draws_of(run, metric))]
        )
        for run, metrics in requests.items()
        for metric in metrics
    }


def _expression(expression: MetricExpression, draw: int) -> MetricExpression:
    match expression:
        case Divergence(reference):
            return replace(expression, reference=_run(reference, draw))
        case MetricOperation(_, operands):
            return replace(expression, operands=tuple(_expression(o, draw) for o in operands))
        case _:
            return expression


def _run(run: Run, draw: int) -> Run:
    if run.ablation is None and not run.readings:
        return run
    readings = tuple(replace(one, run=_run(one.run, draw)) for one in run.readings)
    ablation = None if run.ablation is None else run.ablation.at_draw(draw)
    return replace(run, ablation=ablation, readings=readings)
