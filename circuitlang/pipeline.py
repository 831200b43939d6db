"""The whole driver on one page.

    text --parse--> tree --resolve--> spec --draw--> prompts --collect--> runs
         --measure--> numbers --judge--> verdicts --document--> report

Each stage takes the previous form and gives the next; user mistakes travel beside it as
diagnostics. `front` goes as far as the prompts without weights; `measured` runs the models.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitlang.compiler.collect import Needed, expand_examples
from circuitlang.compiler.show import chunk_text, runs_text, values_text
from circuitlang.front import (
    Front,
    Options,
    Progress,
    Silent,
    chosen_claims,
    donors_used,
    fetched_front,
    lint,
    model_span,
    pairs_used,
    resolve_file,
)
from circuitlang.language.diagnostics import Diagnostics, suggestion
from circuitlang.language.formulas.values import Formulas
from circuitlang.language.prompt import PromptSet
from circuitlang.language.resolve import load
from circuitlang.language.spec import Claim, ReportItem
from circuitlang.language.text.parse import parse
from circuitlang.measurement.batch import requests_of
from circuitlang.measurement.measured import Measured, held_out, preconditions, sample_of, together
from circuitlang.measurement.measuring import measured_front, needed_runs
from circuitlang.measurement.runner import Runner

if TYPE_CHECKING:
    from circuitlang.compiler.cost import Cost, Work
    from circuitlang.compiler.pieces import Piece
    from circuitlang.lockfile import Lock

__all__ = [
    "STAGES",
    "Front",
    "Options",
    "Outcome",
    "Progress",
    "Silent",
    "check",
    "evaluate",
    "fetched_front",
    "lint",
    "plan",
    "resolve_file",
    "show",
    "show_claim",
]


@dataclass(frozen=True)
class Outcome:
    """What a check came to; `measured` is None when nothing could be run.

    `lock` is the one that the options demanded, or that was made of it.
    """

    path: Path
    front: Front
    seconds: float
    measured: Measured | None = None
    results: tuple[Any, ...] = ()
    preconditions: tuple[Any, ...] = ()
    estimates: tuple[tuple[Any, tuple[Any, ...]], ...] = ()
    lock: Lock | None = None

    @property
    def exit_code(self) -> int:
        """0 when every claim holds or meets its expectation, 2 when nothing could be run, else 1."""
        if self.measured is None:
            return 2
        return 0 if all(r.ok for r in self.results if r.kind == "claim") else 1


def check(path: Path, options: Options, progress: Progress) -> Outcome:
    """Decides every claim of a file."""
    started = time.monotonic()
    lock = None
    if options.locked:
        from circuitlang.locks.demand import locked_front

        front, lock = locked_front(path, options, progress)
    else:
        front = fetched_front(path, options, progress)
    if front.resolved is None or front.diagnostics.has_errors:
        return Outcome(path, front, time.monotonic() - started)
    chosen = chosen_claims(front.resolved, options.claims, front.diagnostics)
    reports = () if options.claims else front.resolved.spec.reports
    decide = _in_looks if front.resolved.spec.looks else _at_once
    decided = decide(front, chosen, reports, options, progress)
    seconds = time.monotonic() - started
    if decided is None:
        return Outcome(path, front, seconds)
    outcome = Outcome(path, front, seconds, *decided, lock=lock)
    if options.decides_spec:
        _keep(outcome, options)
    return outcome


def _keep(outcome: Outcome, options: Options) -> None:
    """Stores what a check came to, for `circ list`."""
    from circuitlang.locks.facts import facts_of
    from circuitlang.measurement.runner import open_store
    from circuitlang.report.outcome import document
    from circuitlang.store.results import keep_result

    assert outcome.measured is not None
    with closing(open_store(outcome.front, options, create=False)) as store:
        if store.usable:
            meaning = facts_of(outcome.front).meaning.digest
            found = document(outcome, options, per_example=False)
            keep_result(store, outcome.path, found, meaning, outcome.measured.keys)


# The numbers, the verdicts, the preconditions, the reports' estimates.
_Decided = tuple[Measured, tuple[Any, ...], tuple[Any, ...], tuple[tuple[Any, Any], ...]]


def _at_once(
    front: Front,
    chosen: Sequence[Claim],
    reports: Sequence[ReportItem],
    options: Options,
    progress: Progress,
    broken: Any = None,
) -> _Decided | None:
    """Every claim on all prompts; `broken` is an `assume` that does not hold."""
    front.asked = (
        *((claim.formula, claim.span) for claim in chosen),
        *((number, item.span) for item in reports for _, number in item.numbers),
    )
    measured = measured_front(front, options, progress)
    if measured is None:
        return None
    from circuitlang.judgement.decide import estimate_report, judge
    from circuitlang.judgement.estimator import Estimator
    from circuitlang.measurement.falsify import refuted

    progress.stage("deciding")
    forms = [form for form, _ in front.asked]
    claims = [replace(c, formula=f) for c, f in zip(chosen, forms, strict=False)]
    sample = sample_of(measured, options.seed)
    found = preconditions(measured)
    decided = judge(claims, sample, found, held_out=held_out(measured, sample), broken=broken)
    estimator = Estimator(sample)
    estimates = tuple((r, estimate_report(r, estimator)) for r in reports)
    return measured, refuted(claims, decided, measured.hunts), found, estimates


def _in_looks(
    front: Front,
    chosen: Sequence[Claim],
    reports: Sequence[ReportItem],
    options: Options,
    progress: Progress,
) -> _Decided | None:
    """Each claim on as many prompts as it takes; what has no looks, and reports, on all."""
    from circuitlang.judgement.verdict import HOLDS
    from circuitlang.looks import look, stops_early

    counts = {task: len(drawn.prompts) for (task, _), drawn in front.prompts.items()}
    early = [claim for claim in chosen if stops_early(claim.formula, counts)]
    rest = [claim for claim in chosen if claim not in early]
    looked = look(front, early, options, progress) if early else None
    if early and looked is None:
        return None
    results = dict(looked.results) if looked else {}
    assumed = (r for r in results.values() if r.kind == "assume")
    broken = next((r for r in assumed if r.verdict != HOLDS), None)
    late = None
    if rest or reports or looked is None:
        late = _at_once(front, rest, reports, options, progress, broken)
        if late is None:
            return None
        results |= {result.name: result for result in late[1]}
    measured = late[0] if late else None
    if looked is not None:
        measured = together(looked.measured, measured) if measured else looked.measured
    assert measured is not None
    ordered = tuple(results[claim.name] for claim in chosen)
    return measured, ordered, preconditions(measured), late[3] if late else ()


def evaluate(path: Path, expression: str, options: Options, progress: Progress) -> Outcome:
    """Any expression of the language: numbers with intervals, or a decided condition."""
    started = time.monotonic()
    front = fetched_front(path, options, progress, expression)
    measured = measured_front(front, options, progress)
    if measured is None:
        return Outcome(path, front, time.monotonic() - started)
    from circuitlang.judgement.decide import estimate_report, judge
    from circuitlang.judgement.estimator import Estimator

    sample = sample_of(measured, options.seed)
    found = preconditions(measured)
    results: tuple[Any, ...] = ()
    estimates: tuple[Any, ...] = ()
    forms, span = [f for f, _ in front.asked], front.asked[0][1]
    if isinstance(forms[0], Formulas):
        claim = Claim("expression", "claim", None, forms[0], None, None, expression, span)
        results = judge([claim], sample, found, held_out=held_out(measured, sample))
    else:
        item = ReportItem(
            "value", None, tuple(zip(front.labels, forms, strict=True)), None, expression, span
        )
        estimates = ((item, estimate_report(item, Estimator(sample))),)
    return Outcome(path, front, time.monotonic() - started, measured, results, found, estimates)


STAGES = ("tree", "spec", "prompts", "runs", "values", "plan")


def show(path: Path, stage: str, options: Options, progress: Progress) -> tuple[Front, str]:
    """One form of the spec as text; empty where errors stopped it."""
    from circuitlang.language.show import spec_text, tree_text

    if stage == "tree":
        front = Front(Diagnostics())
        source = load(path, front.diagnostics)
        text = tree_text(parse(source, front.diagnostics)) if source else ""
        return front, text
    if stage == "spec":
        front = resolve_file(path, seed=options.seed, split=options.split)
        resolved = front.resolved
        return front, spec_text(resolved) if resolved else ""
    front = fetched_front(path, options, progress)
    if front.resolved is None or front.diagnostics.has_errors:
        return front, ""
    if stage == "prompts":
        return front, _prompts_text(front)
    needed = _needed(front)
    if stage == "runs":
        return front, runs_text(needed)
    printed = values_text if stage == "values" else chunk_text
    return front, "\n\n".join(map(printed, _first_pieces(front, needed)))


def _prompts_text(front: Front) -> str:
    from circuitlang.language.tasks.show_prompts import show_prompts
    from circuitlang.language.tasks.tokenizer import PromptTokenizer

    assert front.resolved is not None
    blocks = []
    for (_, name), drawn in front.prompts.items():
        path = front.resolved.found[name].tokenizer
        width = shutil.get_terminal_size((100, 24)).columns
        blocks.append(show_prompts(drawn, PromptTokenizer.open(path), width=width))
    return "\n\n".join(blocks)


def _needed(front: Front) -> Needed:
    counts = {task: len(drawn.prompts) for (task, _), drawn in front.prompts.items()}
    return needed_runs(front, (expand_examples(form, counts) for form, _ in front.asked))


def _first_pieces(front: Front, needed: Needed) -> Iterator[Piece]:
    """The first chunk of each task and model, planned."""
    from circuitlang.compiler.cost import host_budget, planner

    models = {model.name: model for model in pairs_used(front).values()}
    for (task, name), drawn in front.prompts.items():
        requests = requests_of(needed, task, name)
        if requests:
            yield next(planner(models[name], requests, drawn.prompts, host_budget(), None).pieces())


def show_claim(path: Path, name: str) -> tuple[Front, str]:
    """One claim or report written out down to F alone."""
    from circuitlang.language.show import claim_text
    from circuitlang.language.text import syntax

    front = resolve_file(path)
    if front.resolved is None or front.diagnostics.has_errors:
        return front, ""
    stated = {
        s.name: s
        for s in front.resolved.file.statements
        if isinstance(s, (syntax.Claim, syntax.Report))
    }
    if name not in stated:
        front.diagnostics.error(
            "CL101",
            f"The spec has no claim `{name}`.",
            None,
            suggestion(name, stated) or f"its claims are {', '.join(stated)}",
        )
        return front, ""
    return front, claim_text(stated[name], front.resolved.definitions)


def stored_outcome(path: Path, name: str, options: Options) -> tuple[Outcome, Any] | None:
    """What a check has found of one claim, with its formula; None where runs of it are not stored."""
    options = replace(options, claims=(name,))
    front = lint(path, options)
    if front.resolved is None or front.diagnostics.has_errors or front.resolved.spec.looks:
        return None
    if any(work.left for work in outstanding_work(front, options)):
        return None
    outcome = check(path, options, Silent())
    chosen = next(c for c in outcome.front.resolved.spec.claims if c.name == name)  # type: ignore[union-attr]
    return outcome, chosen.formula


def plan(path: Path, options: Options) -> tuple[Front, Cost | None]:
    """What a check would execute, from shapes, tokenizers and stored runs alone."""
    from circuitlang.compiler.cost import Cost, host_budget, task_cost
    from circuitlang.compiler.pieces import BudgetTooSmall

    front = lint(path, options)
    if front.resolved is None or front.diagnostics.has_errors:
        return front, None
    chosen = chosen_claims(front.resolved, options.claims, front.diagnostics)
    claims = sum(claim.kind == "claim" for claim in chosen)
    budget = options.memory or host_budget()
    tasks = []
    for work in outstanding_work(front, options):
        try:
            tasks.append(task_cost(work, budget, options.chunk))
        except BudgetTooSmall as problem:
            reference = work.model.reference
            front.diagnostics.error(
                "CL206",
                f"The model `{reference}` cannot be used: one run on one prompt needs "
                f"{problem.needed / 2**20:,.0f} MiB besides the weights.",
                model_span(front.resolved, reference),
                "allow more with --memory",
            )
            return front, None
    spec = front.resolved.spec
    looks = _looks(front) if spec.looks else ()
    cost = Cost(spec.name, claims, options.device, options.memory, budget, tuple(tasks), looks)
    return front, cost


def _looks(front: Front) -> tuple[int, ...]:
    from circuitlang.looks import schedule

    assert front.resolved is not None
    drawn = [len(drawn.prompts) for drawn in front.prompts.values()]
    return schedule(max(drawn or [task.sample for task in front.resolved.tasks.values()]))


def outstanding_work(front: Front, options: Options) -> list[Work]:
    """What is asked of each model on each task; without its tokenizer, on assumed prompts."""
    from circuitlang.compiler.cost import Work, assumed_prompts

    assert front.resolved is not None
    assumed: dict[tuple[str, str], PromptSet] = {}
    for (name, model), reference in pairs_used(front).items():
        if (name, model) not in front.prompts:
            task = front.resolved.tasks[name]
            number = options.sample_size or task.sample
            donors, _ = donors_used(front).get((name, model), (0, None))
            assumed[name, model] = assumed_prompts(task, reference, number, donors)
    counts = {task: len(d.prompts) for (task, _), d in (front.prompts | assumed).items()}
    needed = needed_runs(front, (expand_examples(form, counts) for form, _ in front.asked))
    with closing(Runner(front, options, Silent(), create=False)) as runner:
        batches = runner.batches(needed, front.prompts)
    found = [Work(b.model, b.drawn, b.requests, b.missing) for b in batches]
    models = {model.name: model for model in pairs_used(front).values()}
    for (name, model), drawn in assumed.items():
        if requests := requests_of(needed, name, model):
            found.append(Work(models[model], drawn, requests, requests, assumed=True))
    return found
