"""The numbers half: stored runs looked up, the others executed on every prompt.

Takes a front with prompts and gives every number that its claims need, with its noise and the
invariants of the checks that measured it. Where all is stored, no model is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from circuitlang.batch import Batch, Checked
from circuitlang.compiler.collect import (
    Needed,
    all_runs,
    collect,
    expand_examples,
    has_search,
    measurements,
)
from circuitlang.compiler.draws import per_draw
from circuitlang.front import Front, Options, Progress, inputs_of, pairs_used
from circuitlang.language.prompt import Prompt, PromptSet
from circuitlang.language.spec import Metric, Run
from circuitlang.measured import Asked, Comparison, Measured, UsedModel, sample_of
from circuitlang.runner import ModelProblems, Runner

if TYPE_CHECKING:
    from circuitlang.falsify import Hunt
    from circuitlang.store import Invariant


def measured_front(front: Front, options: Options, progress: Progress) -> Measured | None:
    """The numbers behind everything asked for; None when something stopped it (see diagnostics)."""
    if front.resolved is None or front.diagnostics.has_errors:
        return None
    counts = {task: len(drawn.prompts) for (task, _), drawn in front.prompts.items()}
    written = front.asked
    front.asked = tuple((expand_examples(form, counts), span) for form, span in written)
    with ModelProblems(front), closing(Runner(front, options, progress)) as runner:
        held_out, tried = _found_members(runner)
        needed = needed_runs(front, (form for form, _ in front.asked))
        measured = measure_all(runner, needed, against_reference=options.against_reference)
        hunts = _hunts(runner, written, measured)
        return replace(
            measured,
            held_out=held_out,
            hunts=hunts,
            keys=frozenset(runner.keys),
            executed=measured.executed + tried,
        )
    return None


def needed_runs(front: Front, forms: Iterable[Any]) -> Needed:
    assert front.resolved is not None
    return collect(forms, {name: tuple(t.tokens) for name, t in front.resolved.tasks.items()})


def measure_all(
    runner: Runner,
    needed: Needed,
    prompts: Mapping[tuple[str, str], PromptSet] | None = None,
    *,
    against_reference: bool = False,
) -> Measured:
    """Takes what is stored, and executes the other runs on every prompt.

    `prompts` stand in for the front's. With `against_reference` a sample is executed again.
    """
    front = runner.front
    assert front.resolved is not None
    prompts = front.prompts if prompts is None else prompts
    models = {m.name: m for m in pairs_used(front).values()}
    batches = runner.batches(needed, prompts)
    left = [(batch, missing) for batch in batches if (missing := batch.missing)]
    executed = {run for _, missing in left for run in all_runs(missing)}
    again: dict[Batch, list[Run]] = {}
    if against_reference:
        from circuitlang.reference_sample import compared, sampled_runs

        again = sampled_runs(batches, runner.options.seed or 0)
    runner.load(batch.model.name for batch in (*(batch for batch, _ in left), *again))
    for batch in batches:
        runner.execute(batch)
    comparison = compared(runner, again) if again else None
    return Measured(
        front.resolved,
        needed,
        prompts,
        *_together(batches, comparison),
        tuple(
            UsedModel(m, runner.found(name), runner.options.device) for name, m in models.items()
        ),
        sum(len(all_runs(per_draw(missing))) for _, missing in left),
        len(set(needed.requests) - executed),
        comparison,
    )


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


def _found_members(runner: Runner) -> tuple[dict[str, list[int]], int]:
    """Puts the members that searches find into what is asked for.

    Gives the rows of each searched task to decide them on, and how many runs were executed.
    """
    front = runner.front
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

    def measure(formulas: Iterable[Any]) -> Any:
        nonlocal executed
        measured = measure_all(runner, needed_runs(front, formulas), first)
        executed += measured.executed
        return sample_of(measured, runner.options.seed)

    found = with_members(forms, measure, runner.progress.stage)
    front.asked = tuple((form, span) for form, (_, span) in zip(found, front.asked, strict=True))
    return {task: rest for task, (_, rest) in parts.items()}, executed


def _hunts(
    runner: Runner, written: Sequence[tuple[Any, Any]], measured: Measured
) -> dict[Any, Hunt]:
    """What was found of each formula about every prompt of a task, by the expanded formula.

    `written` are the formulas before they were expanded.
    """
    from circuitlang.falsify import hunt, is_hunted, worst_first
    from circuitlang.judgement.decide import node_of
    from circuitlang.judgement.estimator import Estimator

    front, seed = runner.front, runner.options.seed
    hunted = [(w, e) for (w, _), (e, _) in zip(written, front.asked, strict=True) if is_hunted(w)]
    if not hunted:
        return {}
    estimator = Estimator(sample_of(measured, seed))
    found: dict[Any, Hunt] = {}
    for form, expanded in dict(hunted).items():
        run = next(measurements(form)).run
        drawn = front.prompts[run.task, run.model.name]
        members = [(name, node_of(f, estimator, "prompts")) for name, f in expanded.members]
        runner.progress.stage(f"{run.task}: searching for a prompt that refutes `{form.domain}`")

        def measure(form: Any, prompts: Sequence[Prompt], drawn: PromptSet = drawn) -> Any:
            some = replace(drawn, prompts=tuple(prompts), population=None, enumerated=False)
            return _measured_inputs(runner, form, some, measured)

        inputs = inputs_of(front, run.task, run.model)
        worst = worst_first(members)
        found[expanded] = hunt(form, inputs, measure, drawn, worst, seed=seed or 0)
    return found


def _measured_inputs(runner: Runner, form: Any, drawn: PromptSet, measured: Measured) -> Any:
    """The numbers of one formula on other prompts than the sample's, with the sample's noise."""
    requests: dict[Run, dict[Metric, None]] = {}
    for m in measurements(form):
        requests.setdefault(m.run, {})[m.metric] = None
    batch = runner.batch(drawn, {run: tuple(metrics) for run, metrics in requests.items()})
    runner.execute(batch, Checked(measured.noise))
    prompts = {(drawn.task, batch.model.name): drawn}
    return sample_of(replace(measured, prompts=prompts, values=batch.values), runner.options.seed)
