"""Numbers that are no contrast (products, extremes, differences of medians): the bootstrap."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from circuitlang.judgement import intervals
from circuitlang.judgement.atoms import DataSet
from circuitlang.judgement.evaluate import Lookup, evaluate
from circuitlang.judgement.intervals import LEAST_TO_BOOTSTRAP, Estimate, Vector
from circuitlang.judgement.parts import measurements
from circuitlang.language.spec import Measurement, Number

if TYPE_CHECKING:
    from circuitlang.judgement.estimator import Estimator


def resampled(estimator: Estimator, number: Number) -> Estimate:
    """Any number, by the BCa bootstrap over prompts, each data set on its own."""
    needed = measurements(number)
    groups = list(dict.fromkeys((m.run.task, m.rows) for m in needed))
    value, n = estimator.value(number), min(estimator.count(group) for group in groups)
    if not math.isfinite(value):
        return intervals.unknown(value, n, "it is not a finite number on this sample")
    sampled = [g for g in groups if g[1].kind != "example" and not estimator.is_enumerated([g])]
    if not sampled:
        return intervals.exact(value, n, 0.0, "every prompt")
    n = min(estimator.count(group) for group in sampled)
    if n < LEAST_TO_BOOTSTRAP:
        return intervals.unknown(value, n, f"{n} prompts are too few to bootstrap this number")
    samples, owner = [], []
    for group in sampled:
        for rows in estimator.strata(group):
            samples.append(rows.astype(np.float64))
            owner.append(group)

    def statistic(*drawn: Vector, axis: int = -1) -> Vector:
        return np.asarray(evaluate(number, _drawn_lookup(estimator, drawn, owner)))[..., 0]

    drawn = intervals.resample(samples, statistic, estimator.seeds(sampled[0]))
    se = float(np.std(drawn, ddof=1))
    if not np.isfinite(drawn).all() or se == 0:
        return intervals.unknown(value, n, "resampling gives no interval: too many equal prompts")
    normal = intervals.student(
        value, se, n - 1, n=n, sd=se * math.sqrt(n), method="t with bootstrap error"
    )
    at = intervals.bca(samples, statistic, drawn, normal)
    return Estimate(value, n, se, se * math.sqrt(n), at)


def _drawn_lookup(estimator: Estimator, drawn: tuple[Vector, ...], owner: list[DataSet]) -> Lookup:
    shape = np.broadcast_shapes(*(d.shape[:-1] for d in drawn))

    def lookup(measurement: Measurement) -> Vector:
        group = (measurement.run.task, measurement.rows)
        vector = estimator.sample.vector(measurement)
        mine = [d for d, o in zip(drawn, owner, strict=True) if o == group]
        if not mine:
            return vector
        rows = np.concatenate([np.broadcast_to(d, (*shape, d.shape[-1])) for d in mine], axis=-1)
        return np.asarray(vector[rows.astype(np.intp)])

    return lookup
