"""A sample of runs and prompts executed again, with the reference executor."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, zip_longest

import numpy as np
import numpy.typing as npt

from circuitlang.batch import Batch
from circuitlang.language.spec import Run
from circuitlang.measured import Comparison, Difference
from circuitlang.runner import Runner

SAMPLED_RUNS = 8
SAMPLED_PROMPTS = 8


def sampled_runs(batches: Iterable[Batch], seed: int) -> dict[Batch, list[Run]]:
    """At most `SAMPLED_RUNS` runs: by turns one of each task, model and ablation."""
    draw = random.Random(seed)
    groups: dict[object, list[tuple[Batch, Run]]] = {}
    for batch in batches:
        for run in batch.requests:
            groups.setdefault((batch, run.ablation), []).append((batch, run))
    for group in groups.values():
        draw.shuffle(group)
    turns = chain.from_iterable(zip_longest(*groups.values()))
    chosen: dict[Batch, list[Run]] = {}
    for batch, run in [one for one in turns if one is not None][:SAMPLED_RUNS]:
        chosen.setdefault(batch, []).append(run)
    return chosen


def compared(runner: Runner, sample: Mapping[Batch, list[Run]]) -> Comparison:
    """The sampled runs, on at most `SAMPLED_PROMPTS` prompts of each task."""
    differences: list[Difference] = []
    prompts, seed = 0, runner.options.seed or 0
    for batch, runs in sample.items():
        number = len(batch.drawn.prompts)
        rows = sorted(random.Random(seed).sample(range(number), min(number, SAMPLED_PROMPTS)))
        differences += _differences(runner, batch, runs, rows)
        prompts = max(prompts, len(rows))
    return Comparison(sum(map(len, sample.values())), prompts, tuple(differences))


def _differences(
    runner: Runner, batch: Batch, runs: Iterable[Run], rows: list[int]
) -> Iterator[Difference]:
    """Executes runs on the prompts `rows` of a batch whose numbers are known."""
    from circuitlang.runtime.measure import measure

    asked = {run: batch.requests[run] for run in runs}
    part = replace(batch.drawn, prompts=tuple(batch.drawn.prompts[row] for row in rows))
    runner.progress.stage(f"{part.task}: {len(asked)} runs with the reference executor")
    model, progress = runner.loaded[batch.model.name], runner.progress.pairs
    found = measure(model, part, asked, reference=True, progress=progress)
    values = batch.values
    for metric in dict.fromkeys(metric for _, metric in found):
        apart = [
            largest_difference(vector, values[run, of][rows])
            for (run, of), vector in found.items()
            if of == metric
        ]
        known = [vector for (_, of), vector in values.items() if of == metric]
        scale = float(np.abs(np.concatenate(known)).max())
        yield Difference(metric, part.task, batch.model.name, max(apart), scale)


def largest_difference(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Between two vectors; infinite values that are equal do not differ."""
    with np.errstate(invalid="ignore"):
        return float(np.where(one == other, 0.0, np.abs(one - other)).max())
