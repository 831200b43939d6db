"""What the decisions see: one number per prompt for every run and metric, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from circuitlang.language.spec import Measurement, Metric, Rows, Run

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """The measured numbers of a check.

    Args:
        templates: task -> template name of each prompt.
        values: (run, metric) -> one float64 per prompt of the run's task. Rows are cut here.
        noise: metric -> numeric noise in that metric's units (the invariants' largest deviation).
            Every metric in `values` needs an entry: a missing noise would be a free pass.
        enumerated: tasks whose prompts are the whole population, with nothing drawn at random.
        slots: task -> slot values of each prompt, needed for `Rows` of kind "part" only.
        guaranteed: whether intervals must be right at any number of prompts (`guarantee`).
        seed: where the resampling starts; the same sample and seed give the same verdicts.
    """

    templates: Mapping[str, NDArray[np.str_]]
    values: Mapping[tuple[Run, Metric], Vector]
    noise: Mapping[Metric, float]
    enumerated: Mapping[str, bool] = field(default_factory=dict)
    slots: Mapping[str, tuple[Mapping[str, str], ...]] = field(default_factory=dict)
    seed: int = 0
    guaranteed: bool = False

    def __post_init__(self) -> None:
        for (run, metric), vector in self.values.items():
            if len(vector) != len(self.templates[run.task]):
                raise ValueError(f"{metric} on {run.task}: {len(vector)} values, not one a prompt")
            if metric not in self.noise:
                raise ValueError(f"no numeric noise is given for the metric {metric}")

    def rows(self, task: str, rows: Rows) -> NDArray[np.bool_]:
        """Which prompts of `task` are meant, as a mask."""
        templates = self.templates[task]
        if rows.kind == "all":
            return np.ones(len(templates), dtype=bool)
        if rows.kind == "template":
            return np.asarray(templates == rows.key, dtype=bool)
        if rows.kind == "part":
            slots = self.slots[task]
            return np.array([str(s[rows.slot]) == str(rows.key) for s in slots], dtype=bool)
        if rows.kind == "example":
            return np.asarray(np.arange(len(templates)) == int(rows.key))
        raise ValueError(f"unknown kind of rows: {rows.kind}")

    def all_values(self, measurement: Measurement) -> Vector:
        """One number per prompt of the task, whatever the measurement's rows."""
        return self.values[measurement.run, measurement.metric]

    def vector(self, measurement: Measurement) -> Vector:
        """One number per prompt the measurement averages over."""
        values = self.all_values(measurement)
        if measurement.rows.kind == "all":
            return values
        return values[self.rows(measurement.run.task, measurement.rows)]

    def labels(self, task: str, rows: Rows) -> NDArray[np.str_]:
        """The template of each prompt in `rows`."""
        return self.templates[task][self.rows(task, rows)]
