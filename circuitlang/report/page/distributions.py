"""How the numbers behind a claim spread over the prompts, as histograms on one axis.

Where the claimed number is the mean of something per prompt, that is shown. Where it is not, as
with a ratio of means, the runs that it is made of are shown instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitlang.compiler.collect import measurements
from circuitlang.judgement.evaluate import evaluate, per_prompt
from circuitlang.judgement.sample import Sample
from circuitlang.language.spec import (
    Aggregate,
    Both,
    Constant,
    Each,
    Mean,
    Measurement,
    Metric,
    Number,
    Operation,
    Quantified,
    Run,
    Within,
)
from circuitlang.report.page.axis import Axis, axis
from circuitlang.report.terminal import number as written_number

Values = NDArray[np.float64]
WIDTH, HEIGHT = 560.0, 46.0
MOST_STRIPS, BINS = 6, 48
_LEFT, _RIGHT, _FLOOR, _CEILING = 8.0, WIDTH - 8.0, HEIGHT - 12.0, 4.0


@dataclass(frozen=True)
class Bar:
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Strip:
    """One histogram, pixels. `interval` is the claim's, where the mean is the claimed number."""

    label: str
    bars: tuple[Bar, ...]
    mean: float
    interval: tuple[float, float] | None
    floor: float
    description: str


@dataclass(frozen=True)
class Distribution:
    """Strips on one axis; `ticks` are (x, written number)."""

    strips: tuple[Strip, ...]
    ticks: tuple[tuple[float, str], ...]


def shown_formula(formula: Any, worst: str | None) -> Any:
    """The comparison that a claim's row shows: of a quantifier that of its worst member."""
    while isinstance(formula, (Quantified, Both)):
        parts = (
            dict(formula.members)
            if isinstance(formula, Quantified)
            else {str(i): part for i, part in enumerate(formula.parts)}
        )
        if not parts:
            return None
        formula = parts.get(worst or "", next(iter(parts.values())))
    return formula


def distribution(
    formula: Any, sample: Sample, ends: tuple[float | None, float | None]
) -> Distribution | None:
    """Of a comparison; `ends` are those of the claim's interval. None where nothing is per prompt."""
    main = formula.number if isinstance(formula, Within) else getattr(formula, "left", None)
    if main is None:
        return None
    if any(m.rows.kind == "example" for m in measurements(main)):
        ends = (None, None)
    vector = _per_prompt(main, sample)
    if vector is not None:
        return _distribution({"the claimed number, prompt by prompt": vector}, ends)
    runs: dict[tuple[Run, Metric], Values] = {}
    for m in measurements(main):
        if m.rows.kind == "all" and (m.run, m.metric) in sample.values:
            runs[m.run, m.metric] = sample.values[m.run, m.metric]
    metrics = {metric for _, metric in runs}
    if len(metrics) != 1:
        return None
    vectors: dict[str, Values] = {}
    for (run, metric), values in runs.items():
        on = f" on {run.task}" if len({r.task for r, _ in runs}) > 1 else ""
        under = f" under {run.ablation}" if len({str(r.ablation) for r, _ in runs}) > 2 else ""
        vectors[f"F({run.written}{on}{under}) by {metric.name}"] = values
    return _distribution(dict(list(vectors.items())[:MOST_STRIPS]), (None, None))


def _per_prompt(main: Number, sample: Sample) -> Values | None:
    """One value a prompt whose mean is the number; None where there is no such thing."""
    if isinstance(main, Aggregate):
        if main.kind not in ("mean", "share"):
            return None
        return np.asarray(per_prompt(main, sample.vector))
    if not _is_linear(main) or len({(m.run.task, m.rows) for m in measurements(main)}) != 1:
        return None

    def values(m: Measurement) -> Values:
        return sample.all_values(m) if m.rows.kind == "example" else sample.vector(m)

    return np.asarray(evaluate(_by_prompt(main), values))


def _is_linear(number: Number) -> bool:
    match number:
        case Mean():
            return True
        case Operation("+" | "-" | "neg", operands):
            return all(_is_linear(operand) for operand in operands)
        case Operation("*", (Constant(), other)) | Operation("*" | "/", (other, Constant())):
            return _is_linear(other)
    return False


def _by_prompt(number: Any) -> Any:
    match number:
        case Mean(measurement):
            return Each(measurement)
        case Operation(symbol, operands):
            return Operation(symbol, tuple(map(_by_prompt, operands)))
    return number


def _distribution(
    vectors: Mapping[str, Values], ends: tuple[float | None, float | None]
) -> Distribution | None:
    known = {label: v[np.isfinite(v)] for label, v in vectors.items()}
    known = {label: v for label, v in known.items() if len(v)}
    if not known:
        return None
    extremes = [float(e) for v in known.values() for e in (v.min(), v.max())]
    where = axis((*extremes, *ends), _LEFT, _RIGHT, air=0.04)
    strips = tuple(_strip(label, v, where, ends) for label, v in known.items())
    return Distribution(strips, tuple((where(t), f"{t:g}") for t in where.ticks))


def _strip(
    label: str, values: Values, where: Axis, ends: tuple[float | None, float | None]
) -> Strip:
    counts, borders = np.histogram(values, bins=BINS, range=(where.low, where.high))
    tallest = max(int(counts.max()), 1)
    bars = []
    for n, low, high in zip(counts, borders, borders[1:], strict=False):
        if n:
            tall = max(1.5, (_FLOOR - _CEILING) * float(n) / tallest)
            left, right = where(float(low)), where(float(high))
            bars.append(Bar(left + 0.5, _FLOOR - tall, right - left - 1, tall))
    mean, spread = float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0
    low, high = ends
    known = low is not None and high is not None and math.isfinite(low + high)
    said = (
        f"{label}: {len(values)} prompts, mean {written_number(mean)}, sd {written_number(spread)}, "
        f"from {written_number(float(values.min()))} to {written_number(float(values.max()))}"
    )
    return Strip(
        label,
        tuple(bars),
        where(mean),
        (where(low), where(high)) if known and low is not None and high is not None else None,
        _FLOOR,
        said,
    )
