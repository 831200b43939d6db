"""The executor that is measured: all runs of a workload through one plan."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from circuitlang.compiler.arithmetic import NODES, flops
from circuitlang.compiler.collect import Requests
from circuitlang.language.prompt import PromptSet
from circuitlang.language.spec import Metric, Run
from circuitlang.runtime.metrics import Vector
from circuitlang.runtime.models import LoadedModel
from circuitlang.runtime.planned import PlannedExecution
from circuitlang.runtime.results import Results

MEMORY = 6 << 30


@dataclass(frozen=True)
class Measured:
    """What executing the requests took, and what it gave.

    `values` counts the distinct node values that were computed and `flops` the arithmetic of
    all values; `results` has one number per prompt.
    """

    compile_seconds: float
    execute_seconds: float
    values: int
    flops: float
    results: Mapping[tuple[Run, Metric], Vector]

    @property
    def seconds(self) -> float:
        return self.compile_seconds + self.execute_seconds


def now(device: torch.device) -> float:
    """Seconds, once the device has done all that it was asked to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def fast(model: LoadedModel, prompts: PromptSet, requests: Requests) -> Measured:
    """Compiles and executes all requests."""
    started = now(model.device)
    execution = PlannedExecution(model, prompts, requests, MEMORY, len(prompts.prompts))
    pieces = list(execution.planner.pieces())
    compiled = now(model.device)
    results = Results(requests, len(prompts.prompts))
    for piece, found in execution.results(lambda pairs, share: None, results):
        results.add(piece.rows, found)
    done = now(model.device)
    demands = [piece.plan.schedule.demand for piece in pieces]
    return Measured(
        compiled - started,
        done - compiled,
        sum(v.kind in NODES for demand in demands for _, v, _ in demand.kept),
        sum(flops(p.plan.schedule.demand) * len(p.rows) for p in pieces),
        results.values,
    )
