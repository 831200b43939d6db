"""Contrasts over several sets of prompts, and over templates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from circuitlang.judgement import intervals
from circuitlang.judgement.atoms import (
    DataSet,
    data_set,
    data_sets,
    is_indicator,
    restricted,
)
from circuitlang.judgement.forms import Affine
from circuitlang.judgement.intervals import LEAST, Estimate, Interval, Vector
from circuitlang.judgement.ranges import range_of
from circuitlang.language.spec import Rows

if TYPE_CHECKING:
    from circuitlang.judgement.estimator import Estimator


def several(estimator: Estimator, affine: Affine, groups: list[DataSet]) -> Estimate:
    """A sum of means over different prompts: Welch, or linearised where prompts are shared."""
    if _overlap(estimator, groups):
        if estimator.sample.guaranteed:
            n = min(estimator.count(group) for group in groups)
            reason = "a sum over shared prompts has no finite-sample interval"
            return intervals.unknown(estimator.affine_value(affine), n, reason)
        return _linearised(estimator, affine, groups)
    parts = [estimator.one_set(restricted(affine, group), group) for group in groups]
    rest = estimator.affine_value(affine) - sum(part.value for part in parts)
    bits = all(map(is_indicator, affine.terms)) or estimator.sample.guaranteed
    whole = _independent(parts, bits, "Welch t")
    estimated = {g: restricted(affine, g) for g in groups if not estimator.is_enumerated([g])}
    plain = all(estimator.is_plain(own, group) for group, own in estimated.items())
    if not bits and not plain and 0 < whole.se < math.inf:
        whole = intervals.studentised(
            whole, lambda: [estimator.drawn(own, group) for group, own in estimated.items()]
        )
    return whole.mapped(1.0, rest)


def _independent(parts: list[Estimate], bits: bool, method: str) -> Estimate:
    """The sum of independent estimates. Metrics of 0 and 1 add their exact bounds (Bonferroni)."""
    welch = intervals.welch(
        [(p.value, p.se**2, p.n) for p in parts], method=method, unit=parts[0].unit
    )
    if not bits:
        return welch

    def at(alpha: float) -> Interval:
        ends = [part.bounds(alpha / len(parts)) for part in parts]
        low, high = sum(low for low, _ in ends), sum(high for _, high in ends)
        return Interval(low, high, f"exact bounds of {len(parts)} sets, added (Bonferroni)")

    return Estimate(welch.value, welch.n, welch.se, welch.sd, at, welch.unit)


def _overlap(estimator: Estimator, groups: list[DataSet]) -> bool:
    for i, (task, rows) in enumerate(groups):
        for other_task, other in groups[:i]:
            shared = task == other_task and estimator.sample.rows(
                task, rows
            ) & estimator.sample.rows(task, other)
            if np.any(shared):
                return True
    return False


def _linearised(estimator: Estimator, affine: Affine, groups: list[DataSet]) -> Estimate:
    """Means over overlapping prompts: the variance of each prompt's total pull on the sum."""
    variance, n = 0.0, min(estimator.count(group) for group in groups)
    for task in {task for task, _ in groups}:
        pull = np.zeros(len(estimator.sample.templates[task]))
        for group in (g for g in groups if g[0] == task):
            vector = estimator.contrast(restricted(affine, group), group)
            for stratum in estimator.strata(group):
                vector[stratum] -= vector[stratum].mean()
            pull[estimator.sample.rows(*group)] += vector / len(vector)
        fixed = estimator.is_enumerated([(task, Rows())])
        variance += 0.0 if fixed else float(np.sum(pull**2)) * n / (n - 1)
    value, se = estimator.affine_value(affine), math.sqrt(variance)
    return intervals.student(
        value, se, n - 1, n=n, sd=se * math.sqrt(n), method="linearised t",
        unit="prompts of each set",
    )  # fmt: skip


def over_templates(estimator: Estimator, affine: Affine, groups: list[DataSet]) -> Estimate:
    """Templates as a sample of phrasings: t over template means, G - 1 df."""
    tasks = list(dict.fromkeys(task for task, _ in groups))
    rest = affine.constant + _example_terms(estimator, affine)
    parts, value, count = [], rest, 0
    for task in tasks:
        mine = [group for group in groups if group[0] == task]
        clustered = [_template_means(estimator, affine, group) for group in mine]
        names = set(clustered[0])
        if any(set(means) != names for means in clustered):
            reason = "not every template is in every part"
            return intervals.unknown(
                estimator.affine_value(affine), len(names), reason, "templates"
            )
        vector = np.array([sum(means[n] for means in clustered) for n in sorted(names)])
        value, count = value + float(vector.mean()), min(count or len(vector), len(vector))
        if len(vector) >= LEAST:
            kept = {a: c for a, c in affine.terms.items() if data_set(a)[0] == task}
            parts.append(_clustered(estimator, Affine(kept), vector))
    if len(parts) < len(tasks):
        reason = f"{count} templates are too few to speak of templates in general: 5 at least"
        return intervals.unknown(value, count, reason, "templates")
    bits = all(map(is_indicator, affine.terms))
    whole = (
        parts[0] if len(parts) == 1 else _independent(parts, bits, "Welch t over template means")
    )
    return whole.mapped(1.0, rest)


def _clustered(estimator: Estimator, affine: Affine, vector: Vector) -> Estimate:
    n, sd = len(vector), float(np.std(vector, ddof=1))
    still = any(np.ptp(estimator.vector(atom)) == 0 for atom in affine.terms)
    if np.ptp(vector) == 0 and still and not all(map(is_indicator, affine.terms)):
        reason = f"the same value in all {n} templates: its spread is unknown"
        return intervals.unknown(float(vector[0]), n, reason, "templates")
    student = intervals.student(
        float(np.mean(vector)), sd / math.sqrt(n), n - 1, n=n, sd=sd,
        method="t over template means", unit="templates",
    )  # fmt: skip
    if not all(map(is_indicator, affine.terms)):
        if student.se == 0:
            return student
        seeds = estimator.seeds(data_sets(affine)[0])
        return intervals.studentised(student, lambda: [intervals.resampled_means([vector], seeds)])
    bound = intervals.bounded(vector, *range_of(affine), unit="templates")

    def at(alpha: float) -> Interval:
        return intervals.widest(student, bound, alpha)

    return Estimate(student.value, n, bound.se, bound.sd, at, "templates")


def _example_terms(estimator: Estimator, affine: Affine) -> float:
    terms = affine.terms.items()
    return sum(c * estimator.value(a) for a, c in terms if data_set(a)[1].kind == "example")


def _template_means(estimator: Estimator, affine: Affine, group: DataSet) -> Mapping[str, float]:
    vector, labels = (
        estimator.contrast(restricted(affine, group), group),
        estimator.sample.labels(*group),
    )
    return {str(name): float(vector[labels == name].mean()) for name in np.unique(labels)}
