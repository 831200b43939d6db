"""Times one row: plain forwards, dense runs and the measured executor, in turn, several times.

The machine may be shared, so a ratio is only taken between times of one round, and the
row's number is the median over rounds.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from statistics import median

import numpy as np
from torch import Tensor

from benchmarks.dense import DenseTwin, token_ids
from benchmarks.fast import Measured, fast, now
from benchmarks.rows import Workload
from circuitlang.compiler.arithmetic import forward_flops
from circuitlang.language.graph.architecture import Shape
from circuitlang.language.spec import Ablation, Metric, Run
from circuitlang.runtime.metrics import Evaluation, Vector
from circuitlang.runtime.reference import Outcome

DENSE_RUNS = 20
PLAIN_FORWARDS = 3


@dataclass(frozen=True)
class Round:
    """Seconds of one plain forward and of one dense run, and what the executor took."""

    plain: float
    dense: float
    fast: Measured


@dataclass(frozen=True)
class Reading:
    """One row's rounds. `plain_flops` is the arithmetic of a plain forward, `error` the largest
    difference of a metric from the dense twin's, relative to the largest logit."""

    runs: int
    plain_flops: float
    rounds: tuple[Round, ...]
    error: float

    @property
    def dense_forwards(self) -> float:
        """Plain forwards that one dense run takes."""
        return median(one.dense / one.plain for one in self.rounds)

    @property
    def values(self) -> float:
        return self._median(lambda one, taken: taken.values)

    @property
    def flops(self) -> float:
        return self._median(lambda one, taken: taken.flops)

    @property
    def compile_seconds(self) -> float:
        return self._median(lambda one, taken: taken.compile_seconds)

    @property
    def execute_seconds(self) -> float:
        return self._median(lambda one, taken: taken.execute_seconds)

    @property
    def compile_share(self) -> float:
        """Time to compile, relative to the time to execute."""
        return self._median(lambda one, taken: taken.compile_seconds / taken.execute_seconds)

    @property
    def forwards(self) -> float:
        """Plain forwards that all runs take."""
        return self._median(lambda one, taken: taken.seconds / one.plain)

    @property
    def speedup(self) -> float:
        """How many times longer the dense twin takes."""
        return self._median(lambda one, taken: self.runs * one.dense / taken.seconds)

    @property
    def over_ideal(self) -> float:
        """Time, relative to what the arithmetic would take at the plain forward's rate."""
        return self._median(
            lambda one, taken: taken.seconds / one.plain * self.plain_flops / taken.flops
        )

    @property
    def rate_share(self) -> float:
        """Arithmetic per second of execution, relative to the plain forward's."""
        return self._median(
            lambda one, taken: taken.flops / taken.execute_seconds * one.plain / self.plain_flops
        )

    def _median(self, number: Callable[[Round, Measured], float]) -> float:
        return median(number(one, one.fast) for one in self.rounds)


def read(workload: Workload, repeats: int) -> Reading:
    """Times a workload in `repeats` rounds, which share `DENSE_RUNS` dense runs."""
    model, prompts, requests = workload.model, workload.prompts, workload.requests
    tokens = token_ids(prompts.prompts, None).to(model.device)
    answer = tokens.new_tensor([tokens.shape[1] - 1])
    dense = _dense_runs(workload, tokens)
    model.unhooked(tokens, answer)
    next(dense)
    share = -(-min(DENSE_RUNS, len(requests)) // repeats)
    rounds, errors = [], []
    for _ in range(repeats):
        started = now(model.device)
        for _ in range(PLAIN_FORWARDS):
            model.unhooked(tokens, answer)
        plain = (now(model.device) - started) / PLAIN_FORWARDS
        runs = list(islice(dense, share))
        measured = fast(workload.model, workload.prompts, workload.requests)
        errors += [run.error(measured) for run in runs]
        rounds.append(Round(plain, sum(run.seconds for run in runs) / share, measured))
    flops = plain_flops(model.shape, *tokens.shape)
    return Reading(len(requests), flops, tuple(rounds), max(errors))


@dataclass(frozen=True)
class _DenseRun:
    """One timed dense run with its first metric, one number per prompt."""

    key: tuple[Run, Metric]
    seconds: float
    vector: Vector
    largest_logit: float

    def error(self, measured: Measured) -> float:
        """Relative to the largest logit; absolute where all logits are 0."""
        difference = np.abs(measured.results[self.key] - self.vector).max()
        return float(difference) / (self.largest_logit or 1.0)


def _dense_runs(workload: Workload, tokens: Tensor) -> Iterator[_DenseRun]:
    """The same `DENSE_RUNS` of the workload's runs over and over."""
    twin, prompts, device = DenseTwin(workload.model), workload.prompts, workload.model.device
    zero = Ablation("zero", "zero")
    ablations = {run.ablation or zero for run in workload.requests}
    ablated = {ablation: twin.ablated(ablation, prompts) for ablation in ablations}
    everything = list(workload.requests)
    chosen = random.Random(0).sample(everything, min(DENSE_RUNS, len(everything)))
    for run in cycle(chosen):
        started = now(device)
        logits = twin.logits(tokens, run.live.mask, ablated[run.ablation or zero])
        seconds = now(device) - started
        metric = workload.requests[run][0]
        outcome = Outcome((tokens.shape[1] - 1,), logits[:, None])
        vector = Evaluation(outcome, prompts.prompts, {}).value(metric.expression)
        yield _DenseRun((run, metric), seconds, vector, logits.abs().max().item())


def plain_flops(shape: Shape, prompts: int, tokens: int) -> float:
    """Multiplications and additions in the matrix products of one forward of `prompts` prompts,
    the unembedding at one position included; attention's causality is not made use of."""
    return float(prompts * forward_flops(shape, tokens))
