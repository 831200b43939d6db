"""Samples and formulas made by hand: runs are names, values are arrays."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from circuitlang.judgement.decide import decide
from circuitlang.judgement.estimator import Estimator
from circuitlang.judgement.sample import Sample
from circuitlang.judgement.verdict import Decision
from circuitlang.language.graph.architecture import Shape
from circuitlang.language.graph.edges import Position, uniform
from circuitlang.language.source import Source, Span
from circuitlang.language.spec import (
    Ablation,
    Aggregate,
    Claim,
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
    TokenScore,
    Within,
)

SHAPE = Shape(layers=1, heads=1, kv_heads=1, d_model=2, d_head=2, d_mlp=2, vocab=9)
MODEL = ModelReference("toy", "toy", None, False, "float32", SHAPE)
PATCH = Ablation("patch", "resample", "other")
METRIC = Metric("logit_diff", MetricConstant(1.0), lower_is_better=False)
ALWAYS = MetricOperation(">", (MetricConstant(2.0), MetricConstant(1.0)))
RANK = Metric("rank", TokenScore("rank", "answer", Position("END")), lower_is_better=True)
OTHER_METRIC = Metric("accuracy", ALWAYS, lower_is_better=False)


def run(name: str, task: str = "ioi") -> Run:
    """A run per name; "M" is the full model, which no ablation touches."""
    live = uniform(zlib.crc32(name.encode()))
    return Run(MODEL, task, None if name == "M" else PATCH, live, written=name)


def F(name: str, on: Rows = Rows(), task: str = "ioi", metric: Metric = METRIC) -> Mean:  # noqa: B008, N802
    return Mean(Measurement(run(name, task), metric, on))


def each(name: str, task: str = "ioi", metric: Metric = METRIC) -> Each:
    return Each(Measurement(run(name, task), metric))


def lift(value: Number | float) -> Number:
    return Constant(float(value)) if isinstance(value, int | float) else value


def op(symbol: str, *operands: Number | float) -> Operation:
    return Operation(symbol, tuple(lift(o) for o in operands))


def sub(left: Number | float, right: Number | float) -> Operation:
    return op("-", left, right)


def div(left: Number | float, right: Number | float) -> Operation:
    return op("/", left, right)


def compare(left: Number | float, symbol: str, right: Number | float) -> Comparison:
    return Comparison(symbol, lift(left), lift(right))


def within(number: Number, low: Number | float, high: Number | float) -> Within:
    return Within(number, lift(low), lift(high))


def share(left: Number | float, symbol: str, right: Number | float) -> Aggregate:
    return Aggregate("share", compare(left, symbol, right))


def forall(
    *members: Formula, kind: str = "forall", domain: str = "edges(C)", extent: str = "all"
) -> Quantified:
    named = tuple((f"e{i}", member) for i, member in enumerate(members))
    return Quantified(kind, "e", domain, named, extent=extent)


def most(level: float, *members: Formula, extent: str = "drawn") -> Quantified:
    return replace(forall(*members, kind="most", extent=extent), level=level)


def exists(*members: Formula) -> Quantified:
    return forall(*members, kind="exists")


EFFECT = sub(F("M"), F("none"))
FAITHFULNESS = div(sub(F("C"), F("none")), EFFECT)


@dataclass
class Fake:
    """Collects vectors under run names and makes a `Sample` of them."""

    seed: int = 0
    noise: float = 0.0
    values: dict = field(default_factory=dict)
    templates: dict = field(default_factory=dict)
    enumerated: dict = field(default_factory=dict)
    slots: dict = field(default_factory=dict)

    def put(self, task: str = "ioi", metric: Metric = METRIC, **vectors: np.ndarray) -> Fake:
        for name, vector in vectors.items():
            vector = np.asarray(vector, dtype=np.float64)
            self.values[run(name, task), metric] = vector
            self.templates.setdefault(task, np.array(["t0"] * len(vector)))
        return self

    @property
    def sample(self) -> Sample:
        noise = {metric: self.noise for _, metric in self.values}
        return Sample(self.templates, self.values, noise, self.enumerated, self.slots, self.seed)

    @property
    def estimator(self) -> Estimator:
        return Estimator(self.sample)

    def decide(self, formula: Formula, target: str = "prompts", alpha: float = 0.05) -> Decision:
        return decide(formula, self.estimator, target, alpha)


def claim(
    name: str, formula: Formula, *, kind: str = "claim", expect: tuple[str, str] | None = None
) -> Claim:
    span = Span(Source("spec.circ", "", Path()), 0, 0)
    return Claim(name, kind, None, formula, None, expect, name, span)
