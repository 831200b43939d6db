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
from circuitlang.language.prompt import PromptSet
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
from circuitlang.report.document import ClaimForm
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


def shown_formula(formula: Any, form: ClaimForm) -> Any:
    """The comparison that a claim's row shows; None where that cannot be told."""
    name = _shown_member(form)
    while isinstance(formula, (Quantified, Both)):
        if isinstance(formula, Both):
            parts = {f"part {i}": part for i, part in enumerate(formula.parts, 1)}
        else:
            parts = dict(formula.members)
        if len(parts) == 1 and next(iter(parts)).startswith("$"):
            formula = next(iter(parts.values()))
            continue
        label = next((p for p in parts if name == p or name.startswith(f"{p}: ")), None)
        if label is None:
            return None
        formula, name = parts[label], name[len(label) :].removeprefix(": ")
    return formula


def _shown_member(form: ClaimForm) -> str:
    """The member whose numbers are the claim's: its worst, or one within that."""
    shown = (form.value, form.low, form.high)
    within = (
        m.name
        for m in form.members
        if m.name == form.worst or m.name.startswith(f"{form.worst}: ")
        if (m.value, m.low, m.high) == shown
    )
    return next(within, "")


@dataclass(frozen=True)
class Numbers:
    """One number per prompt for each run and metric, and the prompts that they are of.

    With `looks` a claim may have been decided on the first prompts only, as its `n` says, whether
    or not more were measured later.
    """

    values: Mapping[tuple[Run, Metric], Values]
    prompts: Mapping[str, PromptSet]
    looks: bool = False

    def sample(self, formula: Any, n: int) -> Sample | None:
        """What a formula decided on `n` prompts is made of; None where that cannot be told."""
        keys = {(m.run, m.metric) for m in measurements(formula)}
        if not keys or not keys <= self.values.keys():
            return None
        known = {key: self.values[key] for key in keys}
        length = {run.task: len(v) for (run, _), v in known.items()}
        if self.looks:
            if any(m.rows.kind != "all" for m in measurements(formula)):
                return None
            length = dict.fromkeys(length, n)
        if any(len(v) < length[run.task] for (run, _), v in known.items()):
            return None
        first = {task: self.prompts[task].prompts[:n] for task, n in length.items()}
        return Sample(
            templates={t: np.array([p.template for p in ps]) for t, ps in first.items()},
            values={key: v[: length[key[0].task]] for key, v in known.items()},
            noise={metric: 0.0 for _, metric in keys},
            slots={t: tuple(p.slots for p in ps) for t, ps in first.items()},
        )


def distribution(formula: Any, numbers: Numbers, form: ClaimForm) -> Distribution | None:
    """What a claim's row rests on, by prompt; None where nothing is."""
    shown = shown_formula(formula, form)
    main = shown.number if isinstance(shown, Within) else getattr(shown, "left", None)
    sample = numbers.sample(main, form.n) if main is not None else None
    if main is None or sample is None:
        return None
    vector = _per_prompt(main, sample)
    if vector is not None:
        of_one = any(m.rows.kind == "example" for m in measurements(main))
        ends = (None, None) if of_one else (form.low, form.high)
        return _distribution({"the claimed number, prompt by prompt": vector}, ends)
    runs = {(m.run, m.metric): sample.vector(m) for m in measurements(main) if m.rows.kind == "all"}
    if len({metric for _, metric in runs}) != 1:
        return None
    tasks, ablations = ({f(run) for run, _ in runs} for f in (_task, _ablation))
    vectors: dict[str, Values] = {}
    for (run, metric), values in list(runs.items())[:MOST_STRIPS]:
        on = f" on {run.task}" if len(tasks) > 1 else ""
        under = f" under {run.ablation}" if len(ablations - {"None"}) > 1 else ""
        vectors[f"F({run.written}{on}{under}) by {metric.name}"] = values
    return _distribution(vectors, (None, None))


def _task(run: Run) -> str:
    return run.task


def _ablation(run: Run) -> str:
    return str(run.ablation)


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
    known = low is not None and high is not None and low < high and math.isfinite(low + high)
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
