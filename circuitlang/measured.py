"""The numbers half: runs executed on every prompt, and what must be true of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from circuitlang.compiler.collect import Needed, collect, expand_examples
from circuitlang.front import Front, Options, Progress, model_span, pairs_used
from circuitlang.language.prompt import PromptSet
from circuitlang.language.resolve import Resolved
from circuitlang.language.spec import Metric, Run, TokenScore

if TYPE_CHECKING:
    from circuitlang.runtime.models import LoadedModel


@dataclass(frozen=True)
class Measured:
    """All numbers of a check, before any verdict."""

    resolved: Resolved
    needed: Needed
    prompts: Mapping[tuple[str, str], PromptSet]
    values: Mapping[tuple[Run, Metric], Any]
    noise: Mapping[Metric, float]
    invariants: tuple[Any, ...]
    loaded: Mapping[str, LoadedModel]


def needed_runs(front: Front, forms: Iterable[Any]) -> Needed:
    assert front.resolved is not None
    return collect(forms, {name: tuple(t.tokens) for name, t in front.resolved.tasks.items()})


def load_models(front: Front, options: Options, progress: Progress) -> dict[str, LoadedModel]:
    """Every model in use, by name; raises `ModelUnavailable`."""
    from circuitlang.runtime.models import load as load_model

    assert front.resolved is not None
    used = {m.name: m for m in pairs_used(front).values()}
    folder = front.resolved.source.folder
    return {
        name: load_model(model, folder, options.device, progress.stage)
        for name, model in used.items()
    }


def measure_all(
    front: Front,
    needed: Needed,
    loaded: Mapping[str, LoadedModel],
    options: Options,
    progress: Progress,
) -> Measured:
    """Executes every run on every prompt and checks the invariants on one chunk per model and task."""
    from circuitlang.runtime.invariants import check_invariants
    from circuitlang.runtime.measure import measure

    assert front.resolved is not None
    values: dict[tuple[Run, Metric], Any] = {}
    noise: dict[Metric, float] = {}
    invariants: list[Any] = []
    for (task, name), drawn in front.prompts.items():
        requests = {
            run: metrics
            for run, metrics in needed.requests.items()
            if run.task == task and run.model.name == name
        }
        if not requests:
            continue
        progress.stage(f"checking invariants on {task}")
        report = check_invariants(loaded[name], drawn, requests)
        invariants += report.invariants
        for metric, deviation in report.noise.items():
            noise[metric] = max(noise.get(metric, 0.0), deviation)
        progress.stage(f"{task}: {len(requests)} runs on {len(drawn.prompts)} prompts")
        values |= measure(
            loaded[name], drawn, requests, chunk=options.chunk, progress=progress.runs
        )
    return Measured(front.resolved, needed, front.prompts, values, noise, tuple(invariants), loaded)


def measured_front(front: Front, options: Options, progress: Progress) -> Measured | None:
    """The numbers behind everything asked for; None when something stopped it (see diagnostics)."""
    from circuitlang.runtime.unavailable import ModelUnavailable, NotMeasurable

    if front.resolved is None or front.diagnostics.has_errors:
        return None
    counts = {task: len(drawn.prompts) for (task, _), drawn in front.prompts.items()}
    front.asked = tuple((expand_examples(form, counts), span) for form, span in front.asked)
    needed = needed_runs(front, (form for form, _ in front.asked))
    try:
        loaded = load_models(front, options, progress)
        return measure_all(front, needed, loaded, options, progress)
    except ModelUnavailable as problem:
        front.diagnostics.error(
            "CL206",
            f"The model `{problem.reference}` cannot be used: {problem.reason}.",
            model_span(front.resolved, problem.reference),
            problem.help or None,
        )
    except NotMeasurable as problem:
        front.diagnostics.error("CL206", f"{problem.reason}.", None, problem.help or None)
    return None


def sample_of(measured: Measured, seed: int | None) -> Any:
    """The numbers in the form that the judgement reads."""
    import numpy as np

    from circuitlang.judgement.sample import Sample

    by_task: dict[str, PromptSet] = {}
    for (task, _), drawn in measured.prompts.items():
        by_task.setdefault(task, drawn)
    return Sample(
        templates={t: np.array([p.template for p in d.prompts]) for t, d in by_task.items()},
        values=measured.values,
        noise=measured.noise,
        enumerated={t: d.enumerated for t, d in by_task.items()},
        slots={t: tuple(p.slots for p in d.prompts) for t, d in by_task.items()},
        seed=seed or 0,
    )


def preconditions(measured: Measured) -> tuple[Any, ...]:
    """P1 for every task and metric in use, P3 over all invariants."""
    from circuitlang.judgement.preconditions import able, invariants

    if not measured.values:
        return ()
    found = [invariants((i.name, i.deviation, i.passed) for i in measured.invariants)]
    by_task: dict[str, list[Any]] = {}
    for setting in measured.needed.settings:
        metric = measured.needed.accuracy.get(setting.whole.task)
        if not _is_task_metric(setting.metric):
            continue
        shown = able(
            setting.whole.task,
            correct=measured.values[setting.whole, metric] if metric else None,
            full=measured.values[setting.whole, setting.metric],
            floor=measured.values[setting.floor, setting.metric] if setting.floor else None,
            lower_is_better=setting.metric.lower_is_better,
        )
        by_task.setdefault(setting.whole.task, []).append(shown)
    for shown_of_task in by_task.values():
        passed = [p for p in shown_of_task if p.passed]
        found.append((passed or shown_of_task)[0])
    return tuple(found)


def _is_task_metric(metric: Metric) -> bool:
    """Whether the metric scores the task's answer: attention and the like say nothing about ability."""
    stack = [metric.expression]
    while stack:
        part = stack.pop()
        if isinstance(part, TokenScore):
            return True
        stack += getattr(part, "operands", ())
    return False
