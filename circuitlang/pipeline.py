"""The whole driver on one page.

    text --parse--> tree --resolve--> spec --draw--> prompts --collect--> runs
         --measure--> numbers --judge--> verdicts --document--> report

Each stage takes the previous form and gives the next; user mistakes travel beside it as
diagnostics. `front` goes as far as the prompts without weights; `measured` runs the models.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from circuitlang.compiler.collect import expand_examples
from circuitlang.compiler.cost import Cost, cost
from circuitlang.compiler.show import runs_text
from circuitlang.front import (
    Front,
    Options,
    Progress,
    Silent,
    chosen_claims,
    fetched_front,
    lint,
    resolve_file,
)
from circuitlang.language.diagnostics import Diagnostics, suggestion
from circuitlang.language.parse import parse
from circuitlang.language.resolve import load
from circuitlang.language.spec import Claim, ReportItem
from circuitlang.language.values import Formulas
from circuitlang.measured import Measured, measured_front, needed_runs, preconditions, sample_of

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
    """What a check came to; `measured` is None when nothing could be run."""

    path: Path
    front: Front
    seconds: float
    measured: Measured | None = None
    results: tuple[Any, ...] = ()
    preconditions: tuple[Any, ...] = ()
    estimates: tuple[tuple[Any, tuple[Any, ...]], ...] = ()

    @property
    def exit_code(self) -> int:
        """0 when every claim holds or meets its expectation, 2 when nothing could be run, else 1."""
        if self.measured is None:
            return 2
        return 0 if all(r.ok for r in self.results if r.kind == "claim") else 1


def check(path: Path, options: Options, progress: Progress) -> Outcome:
    """Decides every claim of a file."""
    started = time.monotonic()
    front = fetched_front(path, options, progress)
    measured = measured_front(front, options, progress)
    if measured is None:
        return Outcome(path, front, time.monotonic() - started)
    from circuitlang.judgement.decide import estimate_report, judge
    from circuitlang.judgement.estimator import Estimator

    progress.stage("deciding")
    chosen = chosen_claims(measured.resolved, options.claims, front.diagnostics)
    forms = [form for form, _ in front.asked]
    claims = [replace(c, formula=f) for c, f in zip(chosen, forms, strict=False)]
    reports = () if options.claims else measured.resolved.spec.reports
    sample = sample_of(measured, options.seed)
    found = preconditions(measured)
    results = judge(claims, sample, found)
    estimator = Estimator(sample)
    estimates = tuple((r, estimate_report(r, estimator)) for r in reports)
    return Outcome(path, front, time.monotonic() - started, measured, results, found, estimates)


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
        results = judge([claim], sample, found)
    else:
        item = ReportItem(
            "value", None, tuple(zip(front.labels, forms, strict=True)), None, expression, span
        )
        estimates = ((item, estimate_report(item, Estimator(sample))),)
    return Outcome(path, front, time.monotonic() - started, measured, results, found, estimates)


STAGES = ("tree", "spec", "prompts", "runs")


def show(path: Path, stage: str, options: Options, progress: Progress) -> tuple[Front, str]:
    """One form of the spec as text; empty where errors stopped it."""
    from circuitlang.language.show import spec_text, tree_text

    if stage == "tree":
        front = Front(Diagnostics())
        source = load(path, front.diagnostics)
        text = tree_text(parse(source, front.diagnostics)) if source else ""
        return front, text
    if stage == "spec":
        front = resolve_file(path)
        resolved = front.resolved
        return front, spec_text(resolved.spec, resolved.tasks) if resolved else ""
    front = fetched_front(path, options, progress)
    if front.resolved is None or front.diagnostics.has_errors:
        return front, ""
    return front, _prompts_text(front) if stage == "prompts" else _runs_text(front)


def _prompts_text(front: Front) -> str:
    from circuitlang.language.tasks.show_prompts import show_prompts
    from circuitlang.language.tasks.tokenizer import PromptTokenizer

    assert front.resolved is not None
    blocks = []
    for (_, name), drawn in front.prompts.items():
        path = front.resolved.found[name].tokenizer
        assert path is not None
        blocks.append(show_prompts(drawn, PromptTokenizer.open(path)))
    return "\n\n".join(blocks)


def _runs_text(front: Front) -> str:
    counts = {task: len(drawn.prompts) for (task, _), drawn in front.prompts.items()}
    needed = needed_runs(front, (expand_examples(form, counts) for form, _ in front.asked))
    return runs_text(needed)


def show_claim(path: Path, name: str) -> tuple[Front, str]:
    """One claim or report written out down to F alone."""
    from circuitlang.language import syntax
    from circuitlang.language.show import claim_text

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


def plan(path: Path, options: Options) -> tuple[Front, Cost | None]:
    """What a check would run, from shapes and tokenizers alone."""
    front = lint(path, options)
    resolved = front.resolved
    if resolved is None or front.diagnostics.has_errors:
        return front, None
    counts = {task: len(drawn.prompts) for (task, _), drawn in front.prompts.items()}
    samples = {
        name: options.samples or counts.get(name, task.sample)
        for name, task in resolved.tasks.items()
    }
    needed = needed_runs(front, (expand_examples(f, samples) for f, _ in front.asked))
    return front, cost(
        resolved.spec.name, len(resolved.spec.claims), needed, front.prompts, samples
    )
