"""Everything that a report shows, before any of it is markup."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from circuitlang.language.graph.architecture import Node
from circuitlang.language.graph.edges import uniform
from circuitlang.language.models.find import Found
from circuitlang.language.prompt import PromptSet
from circuitlang.language.resolve import Resolved
from circuitlang.language.spec import Claim, Metric, ModelReference, Run
from circuitlang.language.tasks.tokenizer import PromptTokenizer
from circuitlang.report.document import CheckDocument, ClaimForm, MemberForm, ReportForm
from circuitlang.report.page.distributions import Distribution, Numbers, Values, distribution
from circuitlang.report.page.edges import edges_told_apart, nodes_read
from circuitlang.report.page.figure import MOST_EDGES, Figure, figure
from circuitlang.report.page.head import Head, head
from circuitlang.report.page.intervals import IntervalPicture, common_axis, interval_picture
from circuitlang.report.page.notes import Note, notes_of
from circuitlang.report.page.prompts import TaskPrompts, task_prompts
from circuitlang.report.terminal import (
    decimals_for,
    explanation,
    facts,
    interval,
    method_of,
    number,
    report_decimals,
    verdict_text,
)

MOST_MEMBERS = 40


@dataclass(frozen=True)
class NumberRow:
    """A member of a claim, or a reported number."""

    name: str
    verdict: str
    value: str
    interval: str
    n: str
    picture: IntervalPicture | None
    of: str = ""
    method: str = ""


@dataclass(frozen=True)
class ClaimView:
    form: ClaimForm
    line: int
    verdict: str
    value: str
    interval: str
    method: str
    explanation: str
    picture: IntervalPicture | None
    members: tuple[NumberRow, ...]
    more_members: int
    distribution: Distribution | None


@dataclass(frozen=True)
class Contents:
    """`about` has, for each claim and figure, the drawn edges and nodes that the claim is about."""

    head: Head
    document: CheckDocument
    claims: tuple[ClaimView, ...]
    reports: tuple[NumberRow, ...]
    figures: tuple[Figure, ...]
    about: Mapping[str, Mapping[str, tuple[tuple[int, ...], tuple[str, ...]]]]
    notes: Mapping[str, list[Note]]
    tasks: tuple[TaskPrompts, ...]
    provenance: tuple[tuple[str, str], ...]
    facts: tuple[str, ...]
    source: str


def contents(
    document: CheckDocument,
    resolved: Resolved,
    values: Mapping[tuple[Run, Metric], Values],
    prompts: Mapping[tuple[str, str], PromptSet],
    found: Mapping[str, Found],
    written: datetime,
) -> Contents:
    """`found` are the models as they lie on this machine, by name; `written` is now, in UTC."""
    spec = resolved.spec
    model = next(iter(spec.models.values()))
    claims = {claim.name: claim for claim in spec.claims}
    forms = tuple(form for form in document.claims if form.name in claims)
    figures = tuple(figures_of(resolved))
    drawn = {task: one for (task, _), one in prompts.items()}
    numbers = Numbers(values, drawn, spec.looks)
    items = {item.name: item for item in spec.reports}
    return Contents(
        head(document),
        document,
        tuple(_claim(form, claims[form.name], numbers) for form in forms),
        tuple(map(_report, document.reports)),
        figures,
        {form.name: _about(claims[form.name], model, figures) for form in forms},
        notes_of(document, claims, items, model, spec.groups),
        tuple(
            task_prompts(drawn, name.strip('"'), PromptTokenizer.open(found[name].tokenizer))
            for (_, name), drawn in prompts.items()
        ),
        tuple(_provenance(document, resolved, written)),
        tuple(facts(document)),
        resolved.source.text,
    )


def figures_of(resolved: Resolved) -> Iterator[Figure]:
    """One for each circuit; without any, one of the edges and nodes that the claims are about."""
    spec = resolved.spec
    shape = next(iter(spec.models.values())).shape
    for name, edges in spec.circuits.items():
        if edges.reach:
            yield figure(name, edges, shape, spec.groups)
    if spec.circuits:
        return
    model = next(iter(spec.models.values()))
    mask, nodes = 0, set[Node]()
    for claim in spec.claims:
        told = edges_told_apart(claim.formula, model)
        mask |= told if told.bit_count() <= MOST_EDGES else 0
        nodes |= nodes_read(claim.formula, model)
    if mask or nodes:
        yield figure("what the claims are about", uniform(mask), shape, spec.groups, nodes)


def _about(
    claim: Claim, model: ModelReference, figures: tuple[Figure, ...]
) -> dict[str, tuple[tuple[int, ...], tuple[str, ...]]]:
    mask, nodes = edges_told_apart(claim.formula, model), nodes_read(claim.formula, model)
    return {f.name: (f.edges_in(mask), f.nodes_in(nodes)) for f in figures}


def _claim(form: ClaimForm, claim: Claim, numbers: Numbers) -> ClaimView:
    decimals = decimals_for(form.value, form.low, form.high)
    shown = form.members[:MOST_MEMBERS] if len(form.members) > 1 else ()
    where = common_axis(form, shown) if shown else None
    return ClaimView(
        form,
        claim.span.line,
        verdict_text(form).plain,
        number(form.value, decimals),
        interval(form.low, form.high, decimals),
        method_of(form),
        explanation(form),
        interval_picture(form),
        tuple(_member(m, interval_picture(m, form, where)) for m in shown),
        form.member_count - len(shown) if shown else 0,
        distribution(claim.formula, numbers, form) if form.value is not None else None,
    )


def _member(form: MemberForm, picture: IntervalPicture | None) -> NumberRow:
    decimals = decimals_for(form.value, form.low, form.high)
    ends = interval(form.low, form.high, decimals)
    n = str(form.n or "")
    return NumberRow(form.name, form.verdict, number(form.value, decimals), ends, n, picture)


def _report(form: ReportForm) -> NumberRow:
    decimals = report_decimals(form)
    return NumberRow(
        form.name,
        "",
        number(form.value, decimals),
        interval(form.low, form.high, decimals),
        str(form.n or ""),
        interval_picture(form),
        form.label,
        form.method,
    )


def _provenance(
    document: CheckDocument, resolved: Resolved, written: datetime
) -> Iterator[tuple[str, str]]:
    yield "spec", f"{document.spec} {document.version or ''}".strip()
    yield "file", document.file
    yield "SHA-256 of its text", hashlib.sha256(resolved.source.text.encode()).hexdigest()
    for file in dict.fromkeys((f.name, f.digest) for f in resolved.spec.circuit_files):
        yield f"SHA-256 of {file[0]}", file[1]
    unders = (run.under for run in document.runs if run.under is not None)
    for name, digest in dict.fromkeys((u.file, u.sha256) for u in unders if u.sha256):
        yield f"SHA-256 of {name}", digest or ""
    yield from (("paper", paper) for paper in document.papers)
    for model in document.models:
        yield "model", model.title
        for name in ("commit", "revision", "dtype", "device"):
            if value := getattr(model, name):
                yield f"its {name}", value
    for name, task in resolved.tasks.items():
        yield f"seed of {name}", str(task.seed if document.seed is None else document.seed)
        if task.split is not None:
            yield f"half of {name}", task.split
    yield "runs", f"{document.executed_runs} executed, {document.stored_runs} from the store"
    yield from (("version of " + name, version) for name, version in document.tool.items())
    yield "report written", written.strftime("%Y-%m-%d %H:%M UTC")
