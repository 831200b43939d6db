"""Formulas over named runs, and samples of their numbers."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from circuitlang.judgement.decide import LEVEL, node_of
from circuitlang.judgement.estimator import Estimator
from circuitlang.judgement.sample import Sample
from circuitlang.judgement.verdict import FAILS, HOLDS, INVALID, SURVIVED, UNDECIDED
from circuitlang.language.graph.architecture import Shape
from circuitlang.language.graph.edges import uniform
from circuitlang.language.spec import (
    Ablation,
    Aggregate,
    Comparison,
    Constant,
    Each,
    Formula,
    Mean,
    Measurement,
    Metric,
    MetricConstant,
    MetricOperation,
    ModelReference,
    Number,
    Operation,
    Quantified,
    Rows,
    Run,
    Within,
)

Vector = NDArray[np.float64]

MODEL = ModelReference(
    "toy", "toy", None, False, "float32",
    Shape(layers=1, heads=1, kv_heads=1, d_model=2, d_head=2, d_mlp=2, vocab=9),
)  # fmt: skip
SCORE = Metric("score", MetricConstant(1.0), lower_is_better=False)
BIT = Metric(
    "bit", MetricOperation(">", (MetricConstant(2.0), MetricConstant(1.0))), lower_is_better=False
)
EVERY = Rows()


def run(name: str, task: str = "task") -> Run:
    """A run with a name; "M" is the model, which no ablation touches."""
    ablation = None if name == "M" else Ablation("patch", "resample", "corrupted")
    return Run(MODEL, task, ablation, uniform(zlib.crc32(name.encode())), written=name)


def F(name: str, rows: Rows = EVERY, *, task: str = "task", metric: Metric = SCORE) -> Mean:  # noqa: N802 - the language's own name
    return Mean(Measurement(run(name, task), metric, rows))


def number(value: Number | float) -> Number:
    return Constant(float(value)) if isinstance(value, int | float) else value


def op(symbol: str, *operands: Number | float) -> Operation:
    return Operation(symbol, tuple(map(number, operands)))


def compare(left: Number | float, symbol: str, right: Number | float) -> Comparison:
    return Comparison(symbol, number(left), number(right))


def within(left: Number, low: float, high: float) -> Within:
    return Within(left, number(low), number(high))


def each(name: str) -> Each:
    return Each(Measurement(run(name), SCORE, EVERY))


def share(name: str, symbol: str, right: Number | float) -> Aggregate:
    return Aggregate("share", compare(each(name), symbol, right))


def quantified(kind: str, *members: Formula, extent: str = "all") -> Quantified:
    named = tuple((f"e{i}", member) for i, member in enumerate(members))
    return Quantified(kind, "e", "edges(C)", named, extent=extent)


def most(level: float, *members: Formula, extent: str) -> Quantified:
    return replace(quantified("most", *members, extent=extent), level=level)


EFFECT = op("-", F("M"), F("none"))
FAITHFULNESS = op("/", op("-", F("C"), F("none")), EFFECT)


def sample(
    values: Mapping[str, Vector],
    *,
    templates: NDArray[np.str_] | None = None,
    metric: Metric = SCORE,
    seed: int = 0,
) -> Sample:
    """A sample of one task, without numeric noise: run -> one number per prompt."""
    return joined({"task": (values, templates)}, metric=metric, seed=seed)


def joined(
    tasks: Mapping[str, tuple[Mapping[str, Vector], NDArray[np.str_] | None]],
    *,
    metric: Metric = SCORE,
    seed: int = 0,
) -> Sample:
    """A sample of several tasks: task -> (run -> one number per prompt, template of each)."""
    measured, labels = {}, {}
    for task, (values, templates) in tasks.items():
        for name, vector in values.items():
            measured[run(name, task), metric] = np.asarray(vector, dtype=np.float64)
            count = len(vector)
        labels[task] = np.array(["t"] * count) if templates is None else templates
    return Sample(labels, measured, {metric: 0.0}, seed=seed)


def verdict(
    formula: Formula, numbers: Sample, target: str = "prompts", alpha: float = LEVEL
) -> str:
    """What `decide` decides, without the numbers that a report adds."""
    node = node_of(formula, Estimator(numbers), target)
    if node.invalid:
        return INVALID
    if node.holds(alpha):
        return SURVIVED if node.searched else HOLDS
    return FAILS if node.fails(alpha) else UNDECIDED
