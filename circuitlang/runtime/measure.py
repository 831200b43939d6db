"""Executes runs and evaluates their metrics: requests in, one vector per (run, metric) out.

All runs go through one plan and the fast executor where the model has an adapter, and one
after the other through the reference executor where it has none or the caller says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from circuitlang.compiler.collect import Requests, all_runs, reference_runs
from circuitlang.compiler.draws import over_draws, per_draw
from circuitlang.compiler.passes import ALL, Switches
from circuitlang.compiler.pieces import LARGEST_CHUNK, BudgetTooSmall
from circuitlang.language.prompt import Prompt, PromptSet
from circuitlang.language.spec import Metric, Run
from circuitlang.runtime.memory import is_out_of_memory, usual_budget
from circuitlang.runtime.metrics import Vector
from circuitlang.runtime.models import LoadedModel
from circuitlang.runtime.one_by_one import execute_one_by_one
from circuitlang.runtime.planned import PlannedExecution
from circuitlang.runtime.readout import check_measurable
from circuitlang.runtime.results import Keep, Known, Results
from circuitlang.runtime.unavailable import ModelUnavailable, NotMeasurable

Measurements = dict[tuple[Run, Metric], Vector]
Progress = Callable[[int, int], None]


def measure(
    model: LoadedModel,
    prompts: PromptSet,
    requests: Requests,
    *,
    chunk: int | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
    reference: bool = False,
    switches: Switches = ALL,
    known: Known = (),
    keep: Keep | None = None,
) -> Measurements:
    """Every requested metric of every run, as float64 vectors in the order of `prompts.prompts`.

    `chunk` is the largest number of prompts that run together, `memory` the bytes that tensors
    may take besides the model; `progress` gets the executed and the total number of
    (run, prompt) pairs. `reference` asks for the reference executor. `known` are numbers of an
    earlier measurement, which are not worked out again, and `keep` gets each chunk's as soon as it
    is done; both are of the runs that are executed, one for each draw of random donors. Raises `NotMeasurable` for
    prompts that the model or a metric cannot take, and `ModelUnavailable` when memory runs out.
    """
    check_prompts(model, prompts.prompts)
    check_comparisons(requests)
    check_measurable(requests, prompts.prompts)
    executed = per_draw(requests)
    check_donors(executed, prompts.prompts)
    results = Results(executed, len(prompts.prompts), known, keep)
    show = progress or (lambda done, total: None)
    with explained_memory(model):
        if reference or model.adapter is None:
            execute_one_by_one(model, prompts, results, chunk, show)
        else:
            budget = memory or usual_budget(model)
            most = min(chunk or LARGEST_CHUNK, LARGEST_CHUNK)
            execution = PlannedExecution(model, prompts, executed, budget, most, switches)
            _execute_plans(execution, len(all_runs(executed)), results, show)
    return over_draws(requests, results.values, lambda drawn: np.mean(drawn, axis=0))


def _execute_plans(
    execution: PlannedExecution, runs: int, results: Results, progress: Progress
) -> None:
    prompts = len(execution.prompts.prompts)
    total, done = runs * prompts, float(results.pairs)

    def step(weight: float, share: float) -> None:
        progress(min(total, int(done + weight * share)), total)

    for piece, found in execution.results(step, results):
        results.add(piece.rows, found)
        done += len(piece.runs) * len(piece.rows)
    progress(total, total)


def check_comparisons(requests: Requests) -> None:
    """Raises `NotMeasurable` where a metric compares runs of two models or tasks."""
    for run, metrics in requests.items():
        for metric in metrics:
            for other in reference_runs(metric.expression):
                if (other.model.reference, other.task) != (run.model.reference, run.task):
                    raise NotMeasurable("kl and js compare two runs of one model on one task")


def check_donors(requests: Requests, prompts: Sequence[Prompt]) -> None:
    """Raises `NotMeasurable` where a prompt lacks a donor that a run takes."""
    used = [run.ablation for run in all_runs(requests) if run.ablation is not None]
    needed = max((one.draw + 1 for one in used if one.kind == "donor"), default=0)
    for prompt in prompts:
        if len(prompt.donors) < needed:
            raise NotMeasurable(
                f'"{prompt.text}" has {len(prompt.donors)} donors of the {needed} that are drawn',
                "random donors are for the prompts of a task's sample",
            )


def check_prompts(model: LoadedModel, prompts: Sequence[Prompt]) -> None:
    """Raises `NotMeasurable` for a prompt that does not fit the model."""
    context, vocabulary = model.shape.context, model.shape.vocab
    for prompt in prompts:
        if not prompt.tokens:
            raise NotMeasurable(f'prompt {prompt.index} "{prompt.text}" has no tokens')
        if context is not None and len(prompt.tokens) > context:
            raise NotMeasurable(
                f'"{prompt.text[:60]}" has {len(prompt.tokens)} tokens, '
                f"and the model reads at most {context}",
                "shorten the prompts",
            )
        for name, tokens in [("clean", prompt.tokens), *prompt.corrupted.items()]:
            if len(tokens) != len(prompt.tokens):
                raise NotMeasurable(f'"{prompt.text}": {name} has another number of tokens')
            if not 0 <= min(tokens) <= max(tokens) < vocabulary:
                raise NotMeasurable(
                    f'"{prompt.text}" has token ids outside the model\'s vocabulary of {vocabulary}',
                    "use the model's own tokenizer",
                )


@contextmanager
def explained_memory(model: LoadedModel) -> Iterator[None]:
    """Turns running out of memory into `ModelUnavailable`."""
    try:
        yield
    except BudgetTooSmall as error:
        raise ModelUnavailable(
            model.reference.reference,
            f"one run on one prompt needs {error.needed / 2**20:,.0f} MiB besides the weights",
            "allow more with --memory",
        ) from error
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise ModelUnavailable(
            model.reference.reference,
            "there is not enough memory to run it",
            "give a smaller --memory or --chunk, so that fewer prompts run together",
        ) from error
