"""The front half: a spec from text to prompts, without weights.

What is missing of a model (its shape, its tokenizer) is said, or fetched when `fetched_front`
is asked to. Nothing here imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from circuitlang.compiler.collect import measurements, runs_of
from circuitlang.language.diagnostics import Diagnostic, Diagnostics, suggestion
from circuitlang.language.formulas.bounds import contradictions
from circuitlang.language.formulas.inline import count
from circuitlang.language.models.find import Found, find
from circuitlang.language.models.statement import Locate
from circuitlang.language.pedantic import Known, pedantic
from circuitlang.language.prompt import PromptSet, mean_key
from circuitlang.language.resolve import Resolved, load, resolve, resolve_expression
from circuitlang.language.source import Source, Span
from circuitlang.language.spec import Claim, Comparison, ModelReference, Quantified, Spec
from circuitlang.language.tasks.halves import of_half
from circuitlang.language.tasks.prompt_problems import quoted
from circuitlang.language.text import syntax

if TYPE_CHECKING:
    from circuitlang.language.tasks.inputs import Inputs

QUICK_SAMPLE = 32
LEAST_REFERENCES = 5


class Progress(Protocol):
    """What a front end shows while a check runs."""

    def stage(self, text: str) -> None: ...

    def pairs(self, done: int, total: int) -> None:
        """How many of the stage's (run, prompt) pairs are executed."""


class Silent:
    def stage(self, text: str) -> None:
        pass

    def pairs(self, done: int, total: int) -> None:
        pass


@dataclass(frozen=True)
class Options:
    """What the command line may change; None leaves the spec's own value.

    `store` is the folder of stored runs, by default `.circ` beside the spec; `stored` False does
    without one, and `fresh` executes every run whether or not it is stored. `memory` is how many
    bytes tensors may take besides the models; `against_reference` executes a sample of runs again,
    with the reference executor. `locked` demands a lock that says what the spec says. `pedantic` is
    lint's: warn of what a careful reviewer would ask. `dtype` is one for every model. `split` is
    the half of every task's prompts to draw from. `models` keeps those that are loaded for the next
    check that is given the same.
    """

    device: str = "cpu"
    samples: int | None = None
    seed: int | None = None
    claims: tuple[str, ...] = ()
    chunk: int | None = None
    quick: bool = False
    store: Path | str | None = None
    stored: bool = True
    fresh: bool = False
    memory: int | None = None
    against_reference: bool = False
    pedantic: bool = False
    locked: bool = False
    dtype: str | None = None
    split: str | None = None
    models: dict[Any, Any] | None = field(default=None, compare=False, repr=False)

    @property
    def decides_spec(self) -> bool:
        """Whether what is decided is the whole spec, as it is written."""
        own = {self.samples, self.seed, self.dtype, self.split} == {None}
        return own and not self.claims and not self.quick

    @property
    def sample_size(self) -> int | None:
        return QUICK_SAMPLE if self.quick and self.samples is None else self.samples


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


def resolve_file(
    path: Path,
    locate: Locate = find,
    seed: int | None = None,
    dtype: str | None = None,
    split: str | None = None,
) -> Front:
    """Text to resolved spec. Needs the models' shapes only."""
    diagnostics = Diagnostics()
    source = load(path, diagnostics)
    if source is None:
        return Front(diagnostics)
    return resolve_source(source, diagnostics, locate, seed, dtype, split)


def resolve_source(
    source: Source,
    diagnostics: Diagnostics,
    locate: Locate = find,
    seed: int | None = None,
    dtype: str | None = None,
    split: str | None = None,
) -> Front:
    """As `resolve_file`, of a text that need not be in a file."""
    front = Front(diagnostics, resolve(source, diagnostics, locate, seed, dtype))
    _draw_from(front, split)
    if front.resolved is not None:
        _check_decidable(front.resolved, diagnostics)
        claims = front.resolved.spec.claims
        contradictions([c for c in claims if c.kind == "claim"], diagnostics)
        front.asked = everything_asked(front.resolved.spec)
    return front


def _draw_from(front: Front, split: str | None) -> None:
    """Has every task draw from this half of its prompts, where one is given."""
    if front.resolved is not None and split is not None:
        tasks = {name: of_half(task, split) for name, task in front.resolved.tasks.items()}
        front.resolved = replace(front.resolved, tasks=tasks)


def everything_asked(spec: Spec) -> tuple[tuple[Any, Span], ...]:
    claims = ((c.formula, c.span) for c in spec.claims)
    return (*claims, *((n, r.span) for r in spec.reports for _, n in r.numbers))


def lint(path: Path, options: Options | None = None) -> Front:
    """Everything that can be found without weights; says what it did not check."""
    options = options or Options()
    return lint_further(resolve_file(path, seed=options.seed, split=options.split), options)


def lint_further(front: Front, options: Options) -> Front:
    """What `lint` finds in a resolved spec: in its prompts, and what a careful reviewer asks."""
    if front.resolved is not None:
        ask_for_claims(front, options)
        draw_prompts(front, options)
        if options.pedantic and not front.diagnostics.has_errors:
            whole = frozenset(task for (task, _), d in front.prompts.items() if d.enumerated)
            pedantic(front.resolved, front.diagnostics, whole, _locked_results(front.resolved))
    return front


def _locked_results(resolved: Resolved) -> dict[str, Known]:
    """What the lock beside the spec says of its claims; nothing where there is none to be read."""
    from circuitlang.lockfile import LockProblem, lock_path, read_lock

    try:
        lock = read_lock(lock_path(resolved.source.folder / Path(resolved.source.name).name))
    except LockProblem:
        return {}
    return {
        name: Known(lock.day, c.value, tuple(e for e in (c.low, c.high) if e is not None))
        for name, c in lock.claims.items()
    }


def _check_decidable(resolved: Resolved, diagnostics: Diagnostics) -> None:
    from circuitlang.judgement.contrast import depends, unguaranteed, unsupported

    for claim in resolved.spec.claims:
        target = claim.target or "prompts"
        problems = unsupported(claim.formula, target)
        if resolved.spec.guaranteed:
            problems = (*problems, *unguaranteed(claim.formula, target))
        for problem in problems:
            diagnostics.error(
                "CL303",
                f"Claim `{claim.name}` cannot be decided: {problem.reason}.",
                claim.span,
                problem.help,
            )
        formula = claim.formula
        same = isinstance(formula, Comparison) and formula.left == formula.right
        if same and any(measurements(formula)):
            diagnostics.warn(
                "CL312",
                f"Claim `{claim.name}` compares a number with itself.",
                claim.span,
                "compare it with another, or with a threshold",
            )
        elif claim.kind == "claim" and not depends(claim.formula):
            diagnostics.warn(
                "CL312",
                f"Claim `{claim.name}` does not depend on the model: its runs cancel out.",
                claim.span,
                "compare a score with a threshold, as in `faithfulness(C) >= 0.8`",
            )
    _check_targets(resolved, diagnostics)


def _check_targets(resolved: Resolved, diagnostics: Diagnostics) -> None:
    """One finding for all claims that lack a target: one line mends them."""
    lacking = []
    for claim in resolved.spec.claims:
        tasks = dict.fromkeys(m.run.task for m in measurements(claim.formula))
        several = [t for t in tasks if len(resolved.tasks[t].templates) > 1]
        if several and claim.target is None and claim.kind == "claim":
            lacking.append((claim, several[0]))
    if not lacking:
        return
    claim, task = lacking[0]
    others = f", nor {_do(len(lacking) - 1)}" if len(lacking) > 1 else ""
    diagnostics.error(
        "CL308",
        f"Claim `{claim.name}` does not say what it generalises over{others}, and task "
        f"`{task}` has several templates.",
        claim.span,
        "add `default over prompts` (these templates) or `over templates` (wordings in general)",
    )


def _do(others: int) -> str:
    return f"{'does' if others == 1 else 'do'} {count(others, 'other claim')}"


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


def ask_for_claims(front: Front, options: Options) -> None:
    """Leaves only the chosen claims to work out, where the options choose some."""
    assert front.resolved is not None
    if options.claims:
        chosen = chosen_claims(front.resolved, options.claims, front.diagnostics)
        front.asked = tuple((c.formula, c.span) for c in chosen)


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


def model_span(resolved: Resolved, reference: str) -> Span | None:
    for s in resolved.file.statements:
        if isinstance(s, syntax.Model) and s.reference == reference:
            return s.span
    return None


def draw_prompts(front: Front, options: Options) -> None:
    """Fills `front.prompts` for every task and model in use, where the tokenizer is at hand."""
    from circuitlang.language.tasks.sampling import REFERENCES, draw
    from circuitlang.language.tasks.text import Steps
    from circuitlang.language.tasks.tokenizer import (
        NeedsTokenizer,
        PromptTokenizer,
        UnusableTokenizer,
    )

    _draw_from(front, options.split)
    assert front.resolved is not None
    resolved, diagnostics = front.resolved, front.diagnostics
    missing: dict[str, None] = {}
    steps = Steps()
    averaged = {
        (run.task, run.model.name)
        for form, _ in front.asked
        for run in runs_of(form)
        if run.ablation is not None and run.ablation.kind == "mean"
    }
    for (task, name), model in pairs_used(front).items():
        found, spec = resolved.found[name], resolved.tasks[task]
        fetchable = found.tokenizer is None and found.kind in ("hub", "smollm2")
        bos = found.bos_token if model.bos else None
        if model.bos and bos is None:
            if fetchable:
                missing[model.reference] = None
                continue
            diagnostics.error(
                "CL513", f"`{model.reference}` has no BOS token.", spec.span, "write `bos no`"
            )
            continue
        try:
            drawn = draw(
                spec,
                PromptTokenizer.open(found.tokenizer),
                bos=bos,
                context=model.shape.context,
                vocabulary=model.shape.vocab,
                samples=options.sample_size,
                seed=options.seed,
                references=REFERENCES if (task, name) in averaged else 0,
                steps=steps,
                diagnostics=diagnostics,
            )
        except NeedsTokenizer:
            if fetchable:
                missing[model.reference] = None
                continue
            diagnostics.error(
                "CL513",
                f"`{model.reference}` has no tokenizer.json.",
                model_span(resolved, model.reference),
                "save the model's fast tokenizer into its folder",
            )
            continue
        except UnusableTokenizer as problem:
            diagnostics.error(
                "CL513",
                f"The tokenizer of `{model.reference}` cannot be used: {problem.reason}.",
                model_span(resolved, model.reference),
                "save it again as a fast tokenizer (tokenizer.json)",
            )
            continue
        if drawn is not None:
            front.prompts[task, name] = drawn
            _check_scores(task, drawn, resolved, diagnostics)
    _check_means(front)
    _check_counterexamples(front, options)
    _draw_donors(front, options)
    _check_places(front)
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


def _check_counterexamples(front: Front, options: Options) -> None:
    """Every prompt that is said to refute a claim is one that its task allows.

    One of the spec's own half is passed over where `options` ask for the other.
    """
    assert front.resolved is not None
    statements = front.resolved.file.statements
    spans = {s.member: s.span for s in statements if isinstance(s, syntax.Counterexample)}
    for form, span in front.asked:
        if not isinstance(form, Quantified) or not form.counterexamples:
            continue
        run = next(measurements(form)).run
        if (run.task, run.model.name) not in front.prompts:
            continue
        inputs = inputs_of(front, run.task, run.model)
        for text in form.counterexamples:
            if inputs.read(text) is not None:
                continue
            half = inputs.task.split
            everything = replace(inputs, task=of_half(inputs.task, None))
            in_other = half is not None and everything.read(text) is not None
            if in_other and options.split is not None:
                continue
            front.diagnostics.error(
                "CL318",
                f"The prompt {quoted(text)} is not in the half `{half}` of task `{run.task}`."
                if in_other
                else f"No prompt of task `{run.task}` says {quoted(text)}.",
                spans.get(text, span),
                "delete the counterexample, or claim it of a task with the other half"
                if in_other
                else "give the text as the check printed it, or delete the counterexample",
            )


def _check_places(front: Front) -> None:
    """Every position that is asked for exists in every prompt."""
    from circuitlang.language.formulas.place_checks import PlaceChecks

    assert front.resolved is not None
    checks = PlaceChecks(front.resolved.definitions.position_spans, front.diagnostics)
    for form, span in front.asked:
        for m in measurements(form):
            drawn = front.prompts.get((m.run.task, m.run.model.name))
            if drawn is not None:
                checks.check(m, drawn, span)


def inputs_of(front: Front, task: str, model: ModelReference) -> Inputs:
    """Every prompt that a task allows, for a model whose tokenizer is at hand."""
    from circuitlang.language.tasks.inputs import Inputs
    from circuitlang.language.tasks.tokenizer import PromptTokenizer

    assert front.resolved is not None
    found = front.resolved.found[model.name]
    return Inputs(
        front.resolved.tasks[task],
        PromptTokenizer.open(found.tokenizer),
        found.bos_token if model.bos else None,
        model.shape.context,
        model.shape.vocab,
    )


def donors_used(front: Front) -> dict[tuple[str, str], tuple[int, Span]]:
    """How many donors a prompt needs for each (task, model name) that takes any, and where."""
    found: dict[tuple[str, str], tuple[int, Span]] = {}
    for form, span in front.asked:
        for run in runs_of(form):
            draws = run.ablation.draws if run.ablation is not None else 0
            key = (run.task, run.model.name)
            if draws > found.get(key, (0, span))[0]:
                found[key] = draws, span
    return found


def _draw_donors(front: Front, options: Options) -> None:
    from circuitlang.language.tasks.donors import with_donors

    assert front.resolved is not None
    for key, (draws, span) in donors_used(front).items():
        if key not in front.prompts:
            continue
        task = front.resolved.tasks[key[0]]
        seed = task.seed if options.seed is None else options.seed
        front.prompts[key], alone = with_donors(front.prompts[key], draws, seed)
        if alone:
            front.diagnostics.error(
                "CL519",
                f"No other prompt of the sample has the token layout of {alone[0].text!r}, so it "
                f"has no donor ({len(alone)} of {len(front.prompts[key].prompts)} prompts are "
                "affected).",
                span,
                "sample more prompts, or make the prompts' layouts more alike",
            )


def _check_means(front: Front) -> None:
    """P8: every mean needs enough reference prompts for every prompt's key."""
    assert front.resolved is not None
    checked: set[Any] = set()
    for form, span in front.asked:
        for run in runs_of(form):
            ablation, key = run.ablation, (run.task, run.model.name)
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


def fetched_front(
    path: Path, options: Options, progress: Progress, expression: str | None = None
) -> Front:
    """Resolved spec and prompts, fetching what models lack; errors of the text come first.

    With `expression` only that is asked for, else the spec's (chosen) claims and reports.
    """
    front = resolve_file(path, find, options.seed, options.dtype, options.split)
    if front.diagnostics.has_errors:
        return front
    lacking = front.resolved is None or any(
        found.tokenizer is None for found in front.resolved.found.values()
    )
    if lacking:
        from circuitlang.runtime.fetch import fetch

        def locate(reference: str, revision: str | None, base: Path) -> Found:
            return fetch(reference, revision, base, progress.stage)

        front = resolve_file(path, locate, options.seed, options.dtype, options.split)
    if front.resolved is None or front.diagnostics.has_errors:
        return front
    if expression is not None:
        found = resolve_expression(expression, front.resolved)
        front.labels = tuple(label for label, _, _ in found)
        front.asked = tuple((form, span) for _, form, span in found)
    else:
        ask_for_claims(front, options)
    if not front.diagnostics.has_errors:
        draw_prompts(front, options)
    return front
