"""From a sample and a contrast to an `Estimate`: which prompts, which unit, which interval.

| the contrast is over                       | interval                                          |
|--------------------------------------------|---------------------------------------------------|
| single prompts, an enumerated population   | none: exact                                       |
| fewer than 5 prompts, or 5 templates       | none: undecided                                   |
| templates                                  | the same two, over template means                 |
| metrics that are 0 or 1                    | exact binomial, Gaffke's bound for their contrasts |
| one set of prompts, n >= 200, not skewed   | t, stratified by template                         |
| one set of prompts, otherwise              | the wider of t and the studentised bootstrap      |
| several sets of prompts                    | Welch's t, or the wider of it and the bootstrap   |
"""

from __future__ import annotations

import math
import zlib

import numpy as np

from circuitlang.judgement import clusters, intervals, resampled
from circuitlang.judgement.atoms import (
    DataSet,
    data_set,
    data_sets,
    is_indicator,
    restricted,
)
from circuitlang.judgement.evaluate import Lookup, evaluate, per_prompt, scalar
from circuitlang.judgement.forms import Affine, Atom
from circuitlang.judgement.intervals import (
    LEAST,
    Estimate,
    Vector,
    exact,
    unknown,
)
from circuitlang.judgement.parts import measurements, quantile_level
from circuitlang.judgement.ranges import range_of
from circuitlang.judgement.sample import Sample
from circuitlang.language.formulas.inline import count
from circuitlang.language.spec import Aggregate, Mean, Measurement, Number

NOISE_FACTOR = 10

NO_BOUNDS = "a mean of numbers without bounds has no finite-sample interval"


class Estimator:
    """Estimates contrasts on one sample. Contrasts of one data set are resampled with the same prompts."""

    def __init__(self, sample: Sample) -> None:
        self.sample = sample

    # ---------------------------------------------------------------- values and noise

    def value(self, number: Number) -> float:
        return scalar(evaluate(number, self.sample.vector))

    def affine_value(self, affine: Affine) -> float:
        return affine.constant + sum(c * self.value(a) for a, c in affine.terms.items())

    def margin(self, number: Number) -> float:
        """Ten times the numeric noise of a number: what moving each metric by that much changes."""
        if isinstance(number, Mean):
            return NOISE_FACTOR * self.sample.noise[number.measurement.metric]
        here, total = self.value(number), 0.0
        for measurement in measurements(number):
            step = NOISE_FACTOR * self.sample.noise[measurement.metric]
            if step == 0:
                continue
            moved = [scalar(evaluate(number, self._shifted(measurement, s))) for s in (step, -step)]
            total += max(abs(m - here) for m in moved)
        return total

    def noise(self, number: Number) -> float:
        """The numeric noise of a number."""
        return self.margin(number) / NOISE_FACTOR

    def _shifted(self, moved: Measurement, step: float) -> Lookup:
        def lookup(measurement: Measurement) -> Vector:
            vector = self.sample.vector(measurement)
            return vector + step if measurement == moved else vector

        return lookup

    def affine_margin(self, affine: Affine) -> float:
        return sum(abs(c) * self.margin(a) for a, c in affine.terms.items())

    # ---------------------------------------------------------------- affine contrasts

    def affine(self, affine: Affine, target: str) -> Estimate:
        """The estimate of a contrast of means and shares; `target` is "prompts" or "templates"."""
        if affine.is_constant:
            return exact(affine.constant, 0, 0.0, "a constant")
        value, groups = self.affine_value(affine), data_sets(affine)
        n = min(self.count(group) for group in groups)
        if not math.isfinite(value):
            return unknown(value, n, "the metric is not a finite number on some prompts")
        sampled = [g for g in groups if g[1].kind != "example"]
        if not sampled or (target == "prompts" and self.is_enumerated(sampled)):
            return self._exact(affine, value, sampled)
        single = [rows.kind == "template" for _, rows in sampled]
        if self.sample.guaranteed and target == "templates":
            return unknown(value, n, "wordings in general have no finite-sample interval", target)
        if target == "templates" and not any(single):
            return clusters.over_templates(self, affine, sampled)
        if target == "templates" and not all(single):
            return unknown(value, n, "it mixes one template with several", "templates")
        n = min(self.count(group) for group in sampled)
        if n < LEAST:
            few = f"{count(n, 'prompt')} {'is' if n == 1 else 'are'} too few for an interval"
            return unknown(value, n, few)
        if len(sampled) == 1:
            return self.one_set(affine, sampled[0])
        return clusters.several(self, affine, sampled)

    def is_enumerated(self, groups: list[DataSet]) -> bool:
        return all(self.sample.enumerated.get(task, False) for task, _ in groups)

    def count(self, group: DataSet) -> int:
        return int(np.count_nonzero(self.sample.rows(*group)))

    def _exact(self, affine: Affine, value: float, sampled: list[DataSet]) -> Estimate:
        n = min((self.count(group) for group in sampled), default=1)
        spread = float(np.std(self.contrast(affine, sampled[0]))) if len(sampled) == 1 else 0.0
        return exact(value, n, spread, "every prompt" if sampled else "one prompt")

    def contrast(self, affine: Affine, group: DataSet) -> Vector:
        """The per-prompt contrast on one data set; numbers of single prompts are constants."""
        total = np.full(self.count(group), affine.constant)
        for atom, coefficient in affine.terms.items():
            inside = data_set(atom) == group
            total = total + coefficient * (self.vector(atom) if inside else self.value(atom))
        return total

    def vector(self, atom: Atom) -> Vector:
        if isinstance(atom, Mean):
            return self.sample.vector(atom.measurement)
        return per_prompt(atom, self.sample.vector)

    def one_set(self, affine: Affine, group: DataSet) -> Estimate:
        """A contrast paired within one data set."""
        if self.is_enumerated([group]):
            return self._exact(affine, self.affine_value(affine), [group])
        atoms = [a for a in affine.terms if data_set(a) == group]
        vectors = [self.vector(a) for a in atoms]
        bits = all(map(is_indicator, atoms))
        if self.sample.guaranteed and not (bits and len(affine.terms) == 1):
            return self._guaranteed(affine, group)
        if bits:
            return self._of_bits(affine, group)
        vector, strata = self.contrast(affine, group), self.strata(group)
        samples = [vector[rows] for rows in strata]
        se, df = intervals.stratified_error(samples)
        n, value, sd = len(vector), float(np.mean(vector)), float(np.std(vector, ddof=1))
        kind = "stratified t" if len(strata) > 1 else "t"
        student = intervals.student(value, se, df, n=n, sd=sd, method=kind)
        if np.ptp(vector) == 0 or se == 0:
            return self._without_spread(value, n, vectors)
        if self.is_plain(affine, group):
            return student
        return intervals.studentised(student, lambda: [self.drawn(affine, group)])

    def _guaranteed(self, affine: Affine, group: DataSet) -> Estimate:
        """An interval that is right at any number of prompts, of numbers that have bounds."""
        own = restricted(affine, group)
        vector, (low, high) = self.contrast(affine, group), range_of(own)
        if not math.isfinite(high - low):
            return unknown(float(vector.mean()), len(vector), NO_BOUNDS)
        return intervals.hoeffding(vector, high - low)

    def is_plain(self, affine: Affine, group: DataSet) -> bool:
        """Whether the t interval is enough for a contrast on one data set."""
        vector = self.contrast(affine, group)
        for rows in self.strata(group):
            vector[rows] -= vector[rows].mean()
        return intervals.is_plain(vector)

    def drawn(self, affine: Affine, group: DataSet) -> tuple[Vector, Vector]:
        """Means and squared standard errors of a contrast in resamples of one data set."""
        vector = self.contrast(affine, group)
        samples = [vector[rows] for rows in self.strata(group)]
        return intervals.resampled_means(samples, self.seeds(group))

    def _without_spread(self, value: float, n: int, vectors: list[Vector]) -> Estimate:
        """No spread at all. Runs that vary and agree prompt by prompt agree; a number that never
        varied in this sample (a rank, a saturated score) may do so on other prompts."""
        if any(np.ptp(v) == 0 for v in vectors):
            return unknown(value, n, f"the same value on all {n} prompts: its spread is unknown")
        found = intervals.Interval(value, value, "no spread between prompts")
        return Estimate(value, n, 0.0, 0.0, lambda alpha: found)

    def _of_bits(self, affine: Affine, group: DataSet) -> Estimate:
        """A contrast of metrics that are 0 or 1 on every prompt: no normal approximation."""
        if len(affine.terms) == 1:
            ((atom, coefficient),) = affine.terms.items()
            bits = self.vector(atom)
            share = intervals.proportion(int(bits.sum()), len(bits))
            return share.mapped(coefficient, affine.constant)
        vector, (low, high) = self.contrast(affine, group), range_of(affine)
        return intervals.bounded(vector, low, high)

    def strata(self, group: DataSet) -> list[np.ndarray[tuple[int], np.dtype[np.intp]]]:
        """Prompts by template; one stratum where shares are not fixed by design or a template has one."""
        task, rows = group
        labels = self.sample.labels(task, rows)
        found = [np.flatnonzero(labels == name) for name in np.unique(labels)]
        if rows.kind != "all" or min(map(len, found)) < 2:
            return [np.arange(len(labels))]
        return found

    def seeds(self, group: DataSet) -> tuple[int, ...]:
        task, rows = group
        text = "\0".join((task, rows.kind, rows.slot, str(rows.key)))
        return self.sample.seed, zlib.crc32(text.encode())

    # ---------------------------------------------------------------- everything else

    def quantile(self, affine: Affine) -> Estimate:
        """A single median or quantile, scaled and shifted."""
        ((atom, coefficient),) = affine.terms.items()
        assert isinstance(atom, Aggregate)
        vector, group = self.vector(atom), data_set(atom)
        if not np.isfinite(vector).all():
            return unknown(math.nan, len(vector), "it is not a finite number on some prompts")
        if self.is_enumerated([group]) or group[1].kind == "example":
            value = self.affine_value(affine)
            return exact(value, len(vector), float(np.std(vector)), "every prompt")
        return intervals.quantile(vector, quantile_level(atom)).mapped(coefficient, affine.constant)

    def resampled(self, number: Number) -> Estimate:
        """Any number, by the BCa bootstrap over prompts, each data set on its own."""
        if self.sample.guaranteed:
            return unknown(
                self.value(number), 0, "a resampled number has no finite-sample interval"
            )
        return resampled.resampled(self, number)
