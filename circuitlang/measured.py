"""What a check has measured, before any verdict, and the form in which the judgement reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from circuitlang.compiler.collect import Needed
from circuitlang.language.models.find import Found
from circuitlang.language.prompt import PromptSet
from circuitlang.language.resolve import Resolved
from circuitlang.language.spec import Metric, ModelReference, Run, TokenScore

if TYPE_CHECKING:
    from circuitlang.falsify import Hunt
    from circuitlang.store import Invariant

Asked = tuple[Run, Metric]


@dataclass(frozen=True)
class UsedModel:
    """A model whose numbers are used, and the device that they are of."""

    reference: ModelReference
    found: Found
    device: str


@dataclass(frozen=True)
class Difference:
    """How far a metric of a task and model is from what the reference executor gives, in its unit.

    `largest` is over the sampled runs and prompts; `scale` is the metric's largest value in the
    check.
    """

    metric: Metric
    task: str
    model: str
    largest: float
    scale: float


@dataclass(frozen=True)
class Comparison:
    """A sample of runs and prompts that the reference executor has executed too."""

    runs: int
    prompts: int
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Measured:
    """All numbers of a check, before any verdict.

    `executed` counts the runs that were executed for it, and `stored` the asked ones whose
    numbers all came from the store. The noise of a metric is at least its difference in the
    comparison, where there is one. `held_out` are the prompts of the tasks that were searched on
    which the found members are decided, and `hunts` what searches for prompts came to, by formula.
    `keys` are what all the numbers are stored under.
    """

    resolved: Resolved
    needed: Needed
    prompts: Mapping[tuple[str, str], PromptSet]
    values: Mapping[Asked, Any]
    noise: Mapping[Metric, float]
    invariants: tuple[Invariant, ...]
    models: tuple[UsedModel, ...]
    executed: int
    stored: int
    comparison: Comparison | None = None
    held_out: Mapping[str, list[int]] = field(default_factory=dict)
    hunts: Mapping[Any, Hunt] = field(default_factory=dict)
    keys: frozenset[bytes] = frozenset()


def larger_noise(one: Measured, other: Measured) -> dict[Metric, float]:
    """Each metric's noise in the measurement where it is larger."""
    metrics = (*one.noise, *other.noise)
    return {m: max(one.noise.get(m, 0.0), other.noise.get(m, 0.0)) for m in metrics}


def together(early: Measured, late: Measured) -> Measured:
    """Two measurements of one spec; of a run in both, the later numbers."""
    known = dict.fromkeys((*early.needed.settings, *late.needed.settings))
    needed = replace(
        late.needed,
        requests={**early.needed.requests, **late.needed.requests},
        settings=tuple(known),
    )
    return replace(
        late,
        needed=needed,
        values={**early.values, **late.values},
        noise=larger_noise(early, late),
        invariants=(*early.invariants, *late.invariants),
        models=tuple(dict.fromkeys((*early.models, *late.models))),
        keys=early.keys | late.keys,
        executed=early.executed + late.executed,
        stored=early.stored + late.stored,
    )


def held_out(measured: Measured, sample: Any) -> Any:
    """The prompts that no search has seen; None where nothing was searched."""
    from circuitlang.search import restricted

    return restricted(sample, measured.held_out) if measured.held_out else None


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
        guaranteed=measured.resolved.spec.guaranteed,
    )


def preconditions(measured: Measured) -> tuple[Any, ...]:
    """P1 for every task and metric in use, P3 over all invariants."""
    from circuitlang.judgement.preconditions import able, invariants

    if not measured.values:
        return ()
    found = [invariants((i.name, i.deviation, i.passed) for i in measured.invariants)]
    by_task: dict[str, list[Any]] = {}
    enumerated = {task: drawn.enumerated for (task, _), drawn in measured.prompts.items()}
    for setting in measured.needed.settings:
        metric = measured.needed.accuracy.get(setting.whole.task)
        if not _is_task_metric(setting.metric):
            continue
        full = measured.values[setting.whole, setting.metric]
        floor = measured.values[setting.floor, setting.metric] if setting.floor else None
        paired = len(full) if floor is None else min(len(full), len(floor))
        shown = able(
            setting.whole.task,
            correct=measured.values[setting.whole, metric] if metric else None,
            full=full[:paired],
            floor=None if floor is None else floor[:paired],
            lower_is_better=setting.metric.lower_is_better,
            enumerated=enumerated[setting.whole.task],
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
        if isinstance(part, TokenScore) and part.lens is None:
            return True
        stack += getattr(part, "operands", ())
    return False
