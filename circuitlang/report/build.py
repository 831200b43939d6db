"""Measured numbers and verdicts -> the check document."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from circuitlang.judgement.verdict import HOLDS, ClaimResult, Decision, NumberEstimate
from circuitlang.language.graph.architecture import Shape, architecture
from circuitlang.language.models.find import Found
from circuitlang.language.prompt import Prompt, PromptSet
from circuitlang.language.spec import Ablation, Metric, ModelReference, ReportItem, Run
from circuitlang.lockfile import Lock
from circuitlang.report.document import (
    AblationForm,
    AgainstReferenceForm,
    ClaimForm,
    CorruptedForm,
    DifferenceForm,
    InvariantForm,
    MemberForm,
    ModelForm,
    PreconditionForm,
    PreregisteredForm,
    PromptForm,
    ReadingForm,
    ReportForm,
    RunForm,
    TaskForm,
    WiringForm,
)
from circuitlang.report.edge_sets import edges_form, positioned_forms, receivers_forms

HAIR = 0.1


def graph_note(shape: Shape) -> str:
    notes = []
    if shape.kv_heads != shape.heads:
        notes.append(
            f"query heads are ungrouped: each of the {shape.heads} has its own k and v edges, "
            f"though {shape.kv_heads} KV heads are shared"
        )
    if shape.parallel:
        notes.append("attention and MLP of a layer run in parallel: no edge between them")
    notes.append("each head owns its b_V part, each MLP its output bias; only b_O is always live")
    return "; ".join(notes)


def model_form(model: ModelReference, found: Found, device: str) -> ModelForm:
    shape = model.shape
    return ModelForm(
        name=model.name.strip('"'),
        reference=model.reference,
        title=found.title,
        revision=model.revision,
        commit=found.commit,
        dtype=model.dtype,
        device=device,
        bos=model.bos,
        layers=shape.layers,
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        edges=architecture(shape).size,
        note=graph_note(shape),
    )


def prompt_form(prompt: Prompt) -> PromptForm:
    return PromptForm(
        index=prompt.index,
        template=prompt.template,
        slots=dict(prompt.slots),
        text=prompt.text,
        tokens=prompt.tokens,
        spans=dict(prompt.spans),
        token_sets={name: tuple(ids) for name, ids in prompt.answers.items()},
        corrupted={
            name: CorruptedForm(text=prompt.corrupted_text[name], tokens=prompt.corrupted[name])
            for name in prompt.corrupted
        },
        donors=tuple(donor.index for donor in prompt.donors),
    )


def task_form(drawn: PromptSet, model: str, with_references: bool) -> TaskForm:
    return TaskForm(
        name=drawn.task,
        model=model.strip('"'),
        templates=drawn.templates,
        n=len(drawn.prompts),
        population=drawn.population,
        enumerated=drawn.enumerated,
        prompts=tuple(map(prompt_form, drawn.prompts)),
        references=tuple(map(prompt_form, drawn.references)) if with_references else (),
    )


def ablation_form(ablation: Ablation | None) -> AblationForm | None:
    if ablation is None:
        return None
    return AblationForm(
        name=ablation.name,
        kind=ablation.kind,  # type: ignore[arg-type]
        corruption=ablation.corruption,
        per=ablation.per,
        draws=ablation.draws or None,
        file=ablation.constants.name if ablation.constants else None,
        sha256=ablation.constants.digest if ablation.constants else None,
    )


def run_forms(
    values: Mapping[tuple[Run, Metric], Any],
    prompts: Mapping[tuple[str, str], PromptSet],
    per_example: bool,
) -> tuple[RunForm, ...]:
    """One entry per distinct (run, metric); the edges of a run are written down once."""
    forms: list[RunForm] = []
    wirings: dict[Run, WiringForm] = {}
    for (run, metric), vector in values.items():
        if run not in wirings:
            wirings[run] = wiring_form(run, prompts[run.task, run.model.name].prompts)
        forms.append(
            RunForm(
                **dict(wirings[run]),
                on=run.task,
                by=metric.name,
                with_=run.model.name.strip('"'),
                free=run.free,
                n=len(vector),
                mean=float(np.mean(vector)),
                sd=float(np.std(vector, ddof=1)) if len(vector) > 1 else 0.0,
                values=tuple(map(float, vector)) if per_example else None,
            )
        )
    return tuple(forms)


def wiring_form(run: Run, prompts: tuple[Prompt, ...]) -> WiringForm:
    graph, uniform = architecture(run.model.shape), run.live.is_uniform
    return WiringForm(
        set=run.written,
        live=edges_form(run.live.mask, graph) if uniform else None,
        live_at=() if uniform else positioned_forms(run.live, prompts, graph),
        under=ablation_form(run.ablation),
        readings=tuple(
            ReadingForm(
                receivers=receivers_forms(one.edges, prompts, graph),
                run=wiring_form(one.run, prompts),
            )
            for one in run.readings
        ),
    )


def claim_form(result: ClaimResult) -> ClaimForm:
    d, expected = result.decision, result.expectation or (None, None)
    members = tuple(_members(d))
    return ClaimForm(
        name=result.name,
        kind=result.kind,  # type: ignore[arg-type]
        sentence=result.sentence,
        written=result.written,
        target=result.target,
        verdict=result.verdict,  # type: ignore[arg-type]
        ok=result.ok,
        expected=expected[0],
        expected_reason=expected[1],
        value=d.value,
        low=d.low,
        high=d.high,
        level=d.level,
        threshold=d.threshold,
        region_low=d.region_low,
        region_high=d.region_high,
        n=d.n,
        unit=d.unit,
        method=d.method,
        n_to_decide=d.n_to_decide,
        reason=d.reason or d.power_note,
        worst=d.worst,
        failed=d.failed,
        members=members,
        companions=dict(d.companions),
        looked_at=d.looked_at,
        fragile=_is_fragile(d),
        counterexample=d.counterexample,
        noise=d.noise,
        member_count=len(members),
    )


def _is_fragile(d: Decision) -> bool:
    """Whether `holds` hangs on a hair: another sample of this size could well not decide it."""
    if d.verdict != HOLDS or d.low is None or d.high is None or d.low == d.high:
        return False
    margins = [
        margin
        for margin in (
            d.low - d.region_low if d.region_low is not None else None,
            d.region_high - d.high if d.region_high is not None else None,
        )
        if margin is not None and math.isfinite(margin)
    ]
    return bool(margins) and min(margins) < HAIR * (d.high - d.low) / 2


def _members(d: Decision, prefix: str = "") -> Iterable[MemberForm]:
    for label, member in d.members:
        name = f"{prefix}{label}"
        if member.members:
            yield from _members(member, f"{name}: ")
            continue
        yield MemberForm(
            name=name,
            verdict=member.verdict,
            value=member.value,
            low=member.low,
            high=member.high,
            n=member.n,
            reason=member.reason,
        )


def report_forms(item: ReportItem, numbers: Iterable[NumberEstimate]) -> Iterable[ReportForm]:
    for number in numbers:
        yield ReportForm(
            name=item.name,
            sentence=item.sentence,
            label=number.label,
            value=number.value,
            low=number.low,
            high=number.high,
            n=number.n,
            method=number.method,
            level=number.level,
            noise=number.noise,
        )


def precondition_form(found: Any) -> PreconditionForm:
    return PreconditionForm(
        code=found.code, title=found.title, passed=found.passed, detail=found.detail
    )


def against_reference_form(found: Any) -> AgainstReferenceForm:
    differences = tuple(
        DifferenceForm(
            by=one.metric.name,
            on=one.task,
            with_=one.model.strip('"'),
            largest=one.largest,
            scale=one.scale,
            relative=one.largest / one.scale if one.scale else None,
        )
        for one in found.differences
    )
    return AgainstReferenceForm(runs=found.runs, prompts=found.prompts, differences=differences)


def invariant_form(found: Any) -> InvariantForm:
    return InvariantForm(name=found.name, deviation=found.deviation, passed=found.passed)


def preregistered_form(lock: Lock) -> PreregisteredForm | None:
    sealed = lock.preregistered
    if sealed is None:
        return None
    return PreregisteredForm(date=sealed.date.isoformat(), changes=sealed.changes)
