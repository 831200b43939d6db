"""The whole driver on one page.

    text --parse--> tree --resolve--> spec --draw--> prompts --collect--> runs
         --measure--> numbers --judge--> verdicts --document--> report

Each stage takes the previous form and gives the next; user mistakes travel beside it as
diagnostics. Only `measured` and below import torch, and only when they are reached.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from circuitlang.compiler.collect import Needed, collect, expand_examples, measurements
from circuitlang.compiler.cost import Cost, cost
from circuitlang.compiler.show import runs_text
from circuitlang.language.parse import parse
from circuitlang.language.diagnostics import Diagnostic, Diagnostics, suggestion
from circuitlang.language.models import Found, find
from circuitlang.language.prompt import PromptSet, mean_key
from circuitlang.language.resolve import Locate, Resolved, load, resolve, resolve_expression
from circuitlang.language.source import Span
from circuitlang.language.spec import (
    Claim,
    Metric,
    ModelReference,
    ReportItem,
    Run,
    Spec,
    TokenScore,
)
from circuitlang.language.values import Formulas

if TYPE_CHECKING:
    from circuitlang.runtime.models import LoadedModel

QUICK_SAMPLE = 32
LEAST_REFERENCES = 5


class Progress(Protocol):
    """What a front end shows while a check runs."""

    def stage(self, text: str) -> None: ...

    def runs(self, done: int, total: int) -> None: ...


class Silent:
    def stage(self, text: str) -> None:
        pass

    def runs(self, done: int, total: int) -> None:
        pass


@dataclass(frozen=True)
class Options:
    """What the command line may change; None leaves the spec's own value."""

    device: str = "cpu"
    samples: int | None = None
    seed: int | None = None
    claims: tuple[str, ...] = ()
    chunk: int | None = None
    quick: bool = False

    @property
    def sample_size(self) -> int | None:
        return QUICK_SAMPLE if self.quick and self.samples is None else self.samples


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


@dataclass
class Front:
    """A spec as far as it goes without weights.

    `asked` are the formulas and numbers to work out, with the places they come from;
    `prompts` are keyed by (task, model name), where a tokenizer is at hand.
    """

    diagnostics: Diagnostics
    resolved: Resolved | None = None
    asked: tuple[tuple[Any, Span], ...] = ()
    labels: tuple[str, ...] = ()
    prompts: dict[tuple[str, str], PromptSet] = field(default_factory=dict)

    @property
    def found(self) -> tuple[Diagnostic, ...]:
        return self.diagnostics.sorted


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


def resolve_file(path: Path, locate: Locate = find) -> Front:
    """Text to resolved spec. Needs the models' shapes only."""
    diagnostics = Diagnostics()
    source = load(path, diagnostics)
    front = Front(diagnostics)
    if source is not None:
        front.resolved = resolve(source, diagnostics, locate)
        if front.resolved is not None:
            _check_decidable(front.resolved, diagnostics)
            front.asked = everything_asked(front.resolved.spec)
    return front


def everything_asked(spec: Spec) -> tuple[tuple[Any, Span], ...]:
    claims = ((c.formula, c.span) for c in spec.claims)
    return (*claims, *((n, r.span) for r in spec.reports for _, n in r.numbers))


def lint(path: Path, options: Options | None = None) -> Front:
    """Everything that can be found without weights; says what it did not check."""
    front = resolve_file(path)
    if front.resolved is not None:
        draw_prompts(front, options or Options())
    return front


def _check_decidable(resolved: Resolved, diagnostics: Diagnostics) -> None:
    from circuitlang.judgement.contrast import unsupported

    for claim in resolved.spec.claims:
        for problem in unsupported(claim.formula, claim.target or "prompts"):
            diagnostics.error(
                "CL303",
                f"Claim `{claim.name}` cannot be decided: {problem.reason}.",
                claim.span,
                problem.help,
            )
        tasks = {m.run.task for m in measurements(claim.formula)}
        several = [t for t in tasks if len(resolved.tasks[t].templates) > 1]
        if several and claim.target is None and claim.kind == "claim":
            diagnostics.error(
                "CL308",
                f"Claim `{claim.name}` does not say what it generalises over, and task "
                f"`{several[0]}` has several templates.",
                claim.span,
                "add `default over prompts` (these templates) or `over templates` (wordings in general)",
            )


# ---------------------------------------------------------------- prompts


def pairs_used(front: Front) -> dict[tuple[str, str], ModelReference]:
    """(task, model name) pairs that something asked for needs; a task nobody asks for gets the first model."""
    assert front.resolved is not None
    found: dict[tuple[str, str], ModelReference] = {}
    for form, _ in front.asked:
        for m in measurements(form):
            found[m.run.task, m.run.model.name] = m.run.model
    if not found:
        model = next(iter(front.resolved.spec.models.values()))
        found = {(task, model.name): model for task in front.resolved.tasks}
    return found


def draw_prompts(front: Front, options: Options) -> None:
    """Fills `front.prompts` for every task and model in use, where the tokenizer is at hand."""
    from circuitlang.language.sampling import draw
    from circuitlang.language.tokenizer import PromptTokenizer, UnusableTokenizer

    assert front.resolved is not None
    resolved, diagnostics = front.resolved, front.diagnostics
    missing: dict[str, None] = {}
    for (task, name), model in pairs_used(front).items():
        found = resolved.found[name]
        if found.tokenizer is None:
            missing[model.reference] = None
            continue
        spec = resolved.tasks[task]
        bos = found.bos_token if model.bos else None
        if model.bos and bos is None:
            diagnostics.error(
                "CL513", f"`{model.reference}` has no BOS token.", spec.span, "write `bos no`"
            )
            continue
        try:
            tokenizer = PromptTokenizer.open(found.tokenizer)
        except UnusableTokenizer as problem:
            diagnostics.error(
                "CL513",
                f"The tokenizer of `{model.reference}` cannot be used: {problem.reason}.",
                spec.span,
            )
            continue
        drawn = draw(
            spec,
            tokenizer,
            bos=bos,
            context=model.shape.context,
            samples=options.sample_size,
            seed=options.seed,
            diagnostics=diagnostics,
        )
        if drawn is not None:
            front.prompts[task, name] = drawn
            _check_scores(task, drawn, resolved, diagnostics)
    _check_means(front)
    for reference in missing:
        diagnostics.note(
            "CL509",
            f"The tokenizer of `{reference}` is not on this machine, so token lengths, answers and "
            "positions were not checked.",
            None,
            "`circ check` fetches the model; after that `circ lint` checks everything",
        )


def _check_scores(
    task: str, drawn: PromptSet, resolved: Resolved, diagnostics: Diagnostics
) -> None:
    """A logit of several tokens has to say how they are pooled."""
    for (of_task, score), span in resolved.definitions.score_spans.items():
        if of_task != task or score.kind != "logit" or score.pool is not None:
            continue
        most = max(len(p.answers[score.tokens]) for p in drawn.prompts)
        if most > 1:
            diagnostics.error(
                "CL515",
                f"`{score.tokens}` has up to {most} tokens, and a logit is of one.",
                span,
                f"write `mean(logit({score.tokens}))` or `max(logit({score.tokens}))`",
            )


def _check_means(front: Front) -> None:
    """P8: every mean needs enough reference prompts for every prompt's key."""
    assert front.resolved is not None
    checked: set[Any] = set()
    for form, span in front.asked:
        for m in measurements(form):
            ablation, key = m.run.ablation, (m.run.task, m.run.model.name)
            if ablation is None or ablation.kind != "mean" or (ablation, key) in checked:
                continue
            checked.add((ablation, key))
            drawn = front.prompts.get(key)
            if drawn is None:
                continue
            counts: dict[Any, int] = {}
            for reference in drawn.references:
                k = mean_key(ablation, reference)
                counts[k] = counts.get(k, 0) + 1
            poor = [
                p for p in drawn.prompts if counts.get(mean_key(ablation, p), 0) < LEAST_REFERENCES
            ]
            if poor:
                front.diagnostics.error(
                    "CL510",
                    f"The mean `{ablation}` has {counts.get(mean_key(ablation, poor[0]), 0)} reference "
                    f"prompts like {poor[0].text!r}; at least {LEAST_REFERENCES} are needed "
                    f"({len(poor)} of {len(drawn.prompts)} prompts are affected).",
                    span,
                    "name fewer slots after `per`, or make the prompts' layouts more alike",
                )


# ---------------------------------------------------------------- runs and verdicts


def chosen_claims(
    resolved: Resolved, names: tuple[str, ...], diagnostics: Diagnostics
) -> tuple[Claim, ...]:
    """The claims to decide: all, or the named ones and every `assume`."""
    claims = resolved.spec.claims
    if not names:
        return claims
    known = [c.name for c in claims]
    for name in names:
        if name not in known:
            diagnostics.error(
                "CL101",
                f"The spec has no claim `{name}`.",
                None,
                suggestion(name, known) or f"its claims are {', '.join(known)}",
            )
    return tuple(c for c in claims if c.kind == "assume" or c.name in names)


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


def model_span(resolved: Resolved, reference: str) -> Span | None:
    from circuitlang.language import syntax

    for s in resolved.file.statements:
        if isinstance(s, syntax.Model) and s.reference == reference:
            return s.span
    return None


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

    found = [invariants((i.name, i.deviation, i.passed) for i in measured.invariants)]
    for setting in measured.needed.settings:
        metric = measured.needed.accuracy.get(setting.whole.task)
        if not _is_task_metric(setting.metric):
            continue
        found.append(
            able(
                setting.whole.task,
                correct=measured.values[setting.whole, metric] if metric else None,
                full=measured.values[setting.whole, setting.metric],
                floor=measured.values[setting.floor, setting.metric] if setting.floor else None,
                lower_is_better=setting.metric.lower_is_better,
            )
        )
    return tuple(dict.fromkeys(found))


def _is_task_metric(metric: Metric) -> bool:
    """Whether the metric scores the task's answer: attention and the like say nothing about ability."""
    stack = [metric.expression]
    while stack:
        part = stack.pop()
        if isinstance(part, TokenScore):
            return True
        stack += getattr(part, "operands", ())
    return False


# ---------------------------------------------------------------- the whole of a check


def fetched_front(
    path: Path, options: Options, progress: Progress, expression: str | None = None
) -> Front:
    """Resolved spec and prompts, fetching what models lack; errors of the text come first.

    With `expression` only that is asked for, else the spec's (chosen) claims and reports.
    """
    front = resolve_file(path)
    if front.diagnostics.has_errors:
        return front
    lacking = front.resolved is None or any(
        found.tokenizer is None for found in front.resolved.found.values()
    )
    if lacking:
        from circuitlang.runtime.fetch import fetch

        def locate(reference: str, revision: str | None, base: Path) -> Found:
            return fetch(reference, revision, base, progress.stage)

        front = resolve_file(path, locate)
    if front.resolved is None or front.diagnostics.has_errors:
        return front
    if expression is not None:
        found = resolve_expression(expression, front.resolved)
        front.labels = tuple(label for label, _, _ in found)
        front.asked = tuple((form, span) for _, form, span in found)
    elif options.claims:
        chosen = chosen_claims(front.resolved, options.claims, front.diagnostics)
        front.asked = tuple((c.formula, c.span) for c in chosen)
    if not front.diagnostics.has_errors:
        draw_prompts(front, options)
    return front


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


# ---------------------------------------------------------------- printed forms

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
    from circuitlang.language.show_prompts import show_prompts
    from circuitlang.language.tokenizer import PromptTokenizer

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
            "CL101", f"The spec has no claim `{name}`.", None,
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
