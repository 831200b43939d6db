"""The numbers half: stored runs looked up, the others executed on every prompt.

Takes a front with prompts and gives every number that its claims need, with its noise and the
invariants of the checks that measured it. Where all is stored, no model is loaded.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain, zip_longest
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from circuitlang.compiler.collect import (
    Needed,
    Requests,
    all_runs,
    collect,
    expand_examples,
    has_search,
    measurements,
)
from circuitlang.compiler.draws import per_draw
from circuitlang.front import Front, Options, Progress, inputs_of, model_span, pairs_used
from circuitlang.language.diagnostics import Reject
from circuitlang.language.models.find import Found
from circuitlang.language.prompt import Prompt, PromptSet
from circuitlang.language.resolve import Resolved
from circuitlang.language.spec import Metric, ModelReference, Run, TokenScore

if TYPE_CHECKING:
    from circuitlang.falsify import Hunt
    from circuitlang.runtime.models import LoadedModel
    from circuitlang.store import Invariant, Record, Store


Asked = tuple[Run, Metric]


SAMPLED_RUNS = 8
SAMPLED_PROMPTS = 8


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


class Batch:
    """What is asked of one model on one task's prompts, and what is known of it already.

    `content` is the model's, None where it is not known: then nothing of it is stored.
    """

    def __init__(
        self,
        model: ModelReference,
        content: str | None,
        drawn: PromptSet,
        requests: Requests,
        device: str,
    ) -> None:
        from circuitlang.content import Contents

        self.model, self.content = model, content
        self.drawn, self.requests = drawn, requests
        contents = Contents(content or "", model, device, drawn)
        self.keys = {(r, m): contents.key(r, m) for r, ms in requests.items() for m in ms}
        self.records: dict[bytes, Record] = {}

    def look_up(self, store: Store) -> None:
        self.records |= store.read(self.keys.values())

    @property
    def missing(self) -> Requests:
        """The requests without what is known."""
        left = {
            run: tuple(metric for metric in metrics if self.keys[run, metric] not in self.records)
            for run, metrics in self.requests.items()
        }
        return {run: metrics for run, metrics in left.items() if metrics}

    def execute(
        self, model: LoadedModel, missing: Requests, options: Options, progress: Progress
    ) -> dict[bytes, Record]:
        """Checks the invariants on one chunk, then executes the runs on every prompt."""
        from circuitlang.runtime.invariants import check_invariants
        from circuitlang.runtime.measure import measure
        from circuitlang.store import Invariant, Record

        progress.stage(f"checking invariants on {self.drawn.task}")
        report = check_invariants(model, self.drawn, missing)
        invariants = tuple(Invariant(i.name, i.deviation, i.passed) for i in report.invariants)
        number, prompts = len(all_runs(per_draw(missing))), len(self.drawn.prompts)
        progress.stage(f"{self.drawn.task}: {number} runs on {prompts} prompts")
        values = measure(
            model,
            self.drawn,
            missing,
            chunk=options.chunk,
            memory=options.memory,
            progress=progress.pairs,
        )
        found = {
            self.keys[run, metric]: Record(vector, report.noise[metric], invariants)
            for (run, metric), vector in values.items()
        }
        self.records |= found
        return found

    def compare(
        self, model: LoadedModel, runs: Iterable[Run], rows: list[int], progress: Progress
    ) -> Iterable[Difference]:
        """Executes runs on the prompts `rows` with the reference executor."""
        import numpy as np

        from circuitlang.runtime.measure import measure

        asked = {run: self.requests[run] for run in runs}
        part = replace(self.drawn, prompts=tuple(self.drawn.prompts[row] for row in rows))
        progress.stage(f"{self.drawn.task}: {len(asked)} runs with the reference executor")
        found = measure(model, part, asked, reference=True, progress=progress.pairs)
        for metric in dict.fromkeys(metric for _, metric in found):
            apart = [
                largest_difference(vector, self.records[self.keys[run, metric]].values[rows])
                for (run, of), vector in found.items()
                if of == metric
            ]
            known = [self.records[key].values for (_, of), key in self.keys.items() if of == metric]
            scale = float(np.abs(np.concatenate(known)).max())
            yield Difference(metric, self.drawn.task, self.model.name, max(apart), scale)


def largest_difference(one: Any, other: Any) -> float:
    """Between two vectors; infinite values that are equal do not differ."""
    import numpy as np

    with np.errstate(invalid="ignore"):
        return float(np.where(one == other, 0.0, np.abs(one - other)).max())


def needed_runs(front: Front, forms: Iterable[Any]) -> Needed:
    assert front.resolved is not None
    return collect(forms, {name: tuple(t.tokens) for name, t in front.resolved.tasks.items()})


def open_store(front: Front, options: Options, *, create: bool = True) -> Store:
    """The store of the options; what is wrong with it becomes a note."""
    from circuitlang.store import FOLDER, Store

    assert front.resolved is not None
    folder = Path(options.store or front.resolved.source.folder / FOLDER)

    def complain(reason: str, help: str) -> None:
        message = f"The store of runs `{folder}`: {reason}."
        front.diagnostics.note("CL601", message, None, help)

    return Store(folder if options.stored else None, complain, create=create)


def content_of(found: Found, store: Store) -> str | None:
    """What the model's stored runs are keyed by; None where nothing can be stored of it."""
    from circuitlang.content import model_content

    return model_content(found, store.file_digest) if store.usable else None


def load_models(
    front: Front, names: Iterable[str], options: Options, progress: Progress
) -> dict[str, LoadedModel]:
    """The named models; raises `ModelUnavailable`. Says which of them run the slow way."""
    from circuitlang.runtime.models import load as load_model

    assert front.resolved is not None
    used = front.resolved.spec.models
    folder = front.resolved.source.folder
    loaded = {
        name: load_model(used[name], folder, options.device, progress.stage)
        for name in dict.fromkeys(names)
    }
    for model in loaded.values():
        if model.adapter is None:
            reference = model.reference.reference
            front.diagnostics.note(
                "CL602",
                f"`{reference}` runs one run at a time, with the reference executor: "
                f"{model.adapter_note}.",
                model_span(front.resolved, reference),
                "the numbers are the same, and take longer",
            )
    return loaded


def asked_of_models(
    front: Front, needed: Needed, options: Options, store: Store
) -> tuple[Batch, ...]:
    """What is asked of each model on each task that has prompts, and what is stored of it."""
    assert front.resolved is not None
    models = {m.name: m for m in pairs_used(front).values()}
    contents = {name: content_of(front.resolved.found[name], store) for name in models}
    batches = []
    for (task, name), drawn in front.prompts.items():
        requests = requests_of(needed, task, name)
        if requests:
            batches.append(Batch(models[name], contents[name], drawn, requests, options.device))
    if not options.fresh:
        for batch in batches:
            batch.look_up(store)
    return tuple(batches)


def requests_of(needed: Needed, task: str, model: str) -> Requests:
    return {
        run: metrics
        for run, metrics in needed.requests.items()
        if (run.task, run.model.name) == (task, model)
    }


def measure_all(
    front: Front,
    needed: Needed,
    options: Options,
    progress: Progress,
    store: Store,
    loaded: dict[str, LoadedModel],
) -> Measured:
    """Takes what is stored, and executes the other runs on every prompt.

    Models are looked up in `loaded`, and put there.
    """
    assert front.resolved is not None
    models = {m.name: m for m in pairs_used(front).values()}
    facts = {name: front.resolved.found[name] for name in models}
    batches = asked_of_models(front, needed, options, store)
    left = [(batch, missing) for batch in batches if (missing := batch.missing)]
    executed = {run for _, missing in left for run in all_runs(missing)}
    again = sampled_runs(batches, options.seed or 0) if options.against_reference else {}
    names = [batch.model.name for batch in (*(batch for batch, _ in left), *again)]
    missing_models = [name for name in names if name not in loaded]
    if missing_models:
        loaded |= load_models(front, missing_models, options, progress)
    facts |= {name: model.found for name, model in loaded.items()}
    for batch, missing in left:
        name = batch.model.name
        records = batch.execute(loaded[name], missing, options, progress)
        if batch.content is not None and content_of(facts[name], store) == batch.content:
            store.write(records)
    comparison = _compared(again, loaded, options.seed or 0, progress) if again else None
    return Measured(
        front.resolved,
        needed,
        front.prompts,
        *_together(batches, comparison),
        tuple(UsedModel(models[name], facts[name], options.device) for name in models),
        sum(len(all_runs(per_draw(missing))) for _, missing in left),
        len(set(needed.requests) - executed),
        comparison,
    )


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


def _compared(
    sample: Mapping[Batch, list[Run]],
    loaded: Mapping[str, LoadedModel],
    seed: int,
    progress: Progress,
) -> Comparison:
    """The sampled runs against the reference executor, on at most `SAMPLED_PROMPTS` of each task."""
    differences: list[Difference] = []
    prompts = 0
    for batch, runs in sample.items():
        number = len(batch.drawn.prompts)
        rows = sorted(random.Random(seed).sample(range(number), min(number, SAMPLED_PROMPTS)))
        differences += batch.compare(loaded[batch.model.name], runs, rows, progress)
        prompts = max(prompts, len(rows))
    return Comparison(sum(map(len, sample.values())), prompts, tuple(differences))


def _together(
    batches: Iterable[Batch], comparison: Comparison | None
) -> tuple[dict[Asked, Any], dict[Metric, float], tuple[Invariant, ...]]:
    """The values, each metric's noise, and the invariants of every check that they come from."""
    values: dict[Asked, Any] = {}
    noise: dict[Metric, float] = {}
    invariants: list[Invariant] = []
    for batch in batches:
        checks: dict[tuple[Invariant, ...], None] = {}
        for (run, metric), key in batch.keys.items():
            record = batch.records[key]
            values[run, metric] = record.values
            noise[metric] = max(noise.get(metric, 0.0), record.noise)
            checks[record.invariants] = None
        invariants += [invariant for check in checks for invariant in check]
    for difference in comparison.differences if comparison else ():
        noise[difference.metric] = max(noise[difference.metric], difference.largest)
    return values, noise, tuple(invariants)


def measured_front(front: Front, options: Options, progress: Progress) -> Measured | None:
    """The numbers behind everything asked for; None when something stopped it (see diagnostics)."""
    if front.resolved is None or front.diagnostics.has_errors:
        return None
    counts = {task: len(drawn.prompts) for (task, _), drawn in front.prompts.items()}
    written = front.asked
    front.asked = tuple((expand_examples(form, counts), span) for form, span in written)
    loaded: dict[str, LoadedModel] = {}
    with ModelProblems(front), closing(open_store(front, options)) as store:
        held_out, tried = _found_members(front, options, progress, store, loaded)
        needed = needed_runs(front, (form for form, _ in front.asked))
        measured = measure_all(front, needed, options, progress, store, loaded)
        hunts = _hunts(front, written, measured, options, progress, store, loaded)
        return replace(measured, held_out=held_out, hunts=hunts, executed=measured.executed + tried)
    return None


class ModelProblems:
    """Makes a diagnostic of a model that cannot be used, and of one that runs out of memory."""

    def __init__(self, front: Front) -> None:
        self.front = front

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        from circuitlang.runtime.unavailable import ModelUnavailable, NotMeasurable

        diagnostics = self.front.diagnostics
        assert self.front.resolved is not None
        match problem:
            case Reject():
                return True
            case ModelUnavailable():
                diagnostics.error(
                    "CL206",
                    f"The model `{problem.reference}` cannot be used: {problem.reason}.",
                    model_span(self.front.resolved, problem.reference),
                    problem.help or None,
                )
                return True
            case NotMeasurable():
                diagnostics.error("CL206", f"{problem.reason}.", None, problem.help or None)
                return True
        return False


def _found_members(
    front: Front,
    options: Options,
    progress: Progress,
    store: Store,
    loaded: dict[str, LoadedModel],
) -> tuple[dict[str, list[int]], int]:
    """Puts the members that searches find into what is asked for.

    Gives the rows of each searched task to decide them on, and how many runs were executed.
    """
    if not any(has_search(form) for form, _ in front.asked):
        return {}, 0
    from circuitlang.search import halves, rows_of, tasks_searched, with_members

    forms = [form for form, _ in front.asked]
    searched = tasks_searched(forms)
    parts = {t: halves(drawn) for (t, _), drawn in front.prompts.items() if t in searched}
    first = {
        (t, m): rows_of(drawn, parts[t][0]) if t in parts else drawn
        for (t, m), drawn in front.prompts.items()
    }
    executed = 0
    once = replace(options, against_reference=False)

    def measure(formulas: Iterable[Any]) -> Any:
        nonlocal executed
        part = replace(front, prompts=first)
        measured = measure_all(part, needed_runs(front, formulas), once, progress, store, loaded)
        executed += measured.executed
        return sample_of(measured, options.seed)

    found = with_members(forms, measure, progress.stage)
    front.asked = tuple((form, span) for form, (_, span) in zip(found, front.asked, strict=True))
    return {task: rest for task, (_, rest) in parts.items()}, executed


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
        executed=early.executed + late.executed,
        stored=early.stored + late.stored,
    )


def _hunts(
    front: Front,
    written: Sequence[tuple[Any, Any]],
    measured: Measured,
    options: Options,
    progress: Progress,
    store: Store,
    loaded: dict[str, LoadedModel],
) -> dict[Any, Hunt]:
    """What was found of each formula about every prompt of a task, by the expanded formula.

    `written` are the formulas before they were expanded.
    """
    from circuitlang.falsify import hunt, is_hunted, worst_first
    from circuitlang.judgement.decide import node_of
    from circuitlang.judgement.estimator import Estimator

    assert front.resolved is not None
    hunted = [(w, e) for (w, _), (e, _) in zip(written, front.asked, strict=True) if is_hunted(w)]
    if not hunted:
        return {}
    estimator = Estimator(sample_of(measured, options.seed))
    found: dict[Any, Hunt] = {}
    for form, expanded in dict(hunted).items():
        run = next(measurements(form)).run
        drawn = front.prompts[run.task, run.model.name]
        members = [(name, node_of(f, estimator, "prompts")) for name, f in expanded.members]
        progress.stage(f"{run.task}: searching for a prompt that refutes `{form.domain}`")

        def measure(form: Any, prompts: Sequence[Prompt], drawn: PromptSet = drawn) -> Any:
            some = replace(drawn, prompts=tuple(prompts), population=None, enumerated=False)
            return _measured_inputs(front, form, some, measured, options, progress, store, loaded)

        found[expanded] = hunt(
            form,
            inputs_of(front, run.task, run.model),
            measure,
            drawn,
            worst_first(members),
            seed=options.seed or 0,
        )
    return found


def _measured_inputs(
    front: Front,
    form: Any,
    drawn: PromptSet,
    measured: Measured,
    options: Options,
    progress: Progress,
    store: Store,
    loaded: dict[str, LoadedModel],
) -> Any:
    """The numbers of one formula on other prompts than the sample's, with the sample's noise."""
    from circuitlang.runtime.measure import measure
    from circuitlang.store import Record

    assert front.resolved is not None
    requests: dict[Run, dict[Metric, None]] = {}
    for m in measurements(form):
        requests.setdefault(m.run, {})[m.metric] = None
    asked = {run: tuple(metrics) for run, metrics in requests.items()}
    model = next(iter(asked)).model
    content = content_of(front.resolved.found[model.name], store)
    batch = Batch(model, content, drawn, asked, options.device)
    if not options.fresh:
        batch.look_up(store)
    if missing := batch.missing:
        if model.name not in loaded:
            loaded |= load_models(front, [model.name], options, progress)
        values = measure(
            loaded[model.name], drawn, missing, chunk=options.chunk, memory=options.memory
        )
        records = {
            batch.keys[key]: Record(vector, measured.noise[key[1]], ())
            for key, vector in values.items()
        }
        batch.records |= records
        if content is not None:
            store.write(records)
    found = replace(
        measured,
        prompts={(drawn.task, model.name): drawn},
        values={key: batch.records[digest].values for key, digest in batch.keys.items()},
    )
    return sample_of(found, options.seed)


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
