"""Verdicts and numbers of a check as a lock has them, and a lock as the table that it was."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitlang.compiler.collect import measurements
from circuitlang.front import Front
from circuitlang.language.graph.architecture import Shape
from circuitlang.language.models.find import Found
from circuitlang.language.spec import Claim, ModelReference, Spec
from circuitlang.language.text import syntax
from circuitlang.lockfile.form import Lock, LockedClaim, LockedModel, LockedNumber, LockedTask
from circuitlang.lockfile.read import LockProblem

if TYPE_CHECKING:
    from circuitlang.report.document import (
        CheckDocument,
        ClaimForm,
        ModelForm,
        ReportForm,
        TaskForm,
    )

SHARED = (
    "kind", "verdict", "ok", "value", "low", "high", "level", "threshold", "region_low",
    "region_high", "n", "unit", "method", "noise", "expected", "worst", "failed", "looked_at",
    "n_to_decide", "fragile", "reason", "counterexample",
)  # fmt: skip
NUMBER = ("value", "low", "high", "level", "n", "method", "noise")


def now() -> datetime:
    """The time in whole seconds, UTC: that of SOURCE_DATE_EPOCH where it is set."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        return datetime.fromtimestamp(int(time.time() if given is None else given), UTC)
    except (ValueError, OverflowError, OSError):
        raise LockProblem(
            "CL719",
            f"SOURCE_DATE_EPOCH is `{given}`, which is no time in seconds.",
            "unset it, or give it the seconds since 1970",
        ) from None


def locked_claims(outcome: Any) -> dict[str, LockedClaim]:
    """Every claim and `assume` of a check, as it was decided."""
    from circuitlang.report.build import claim_form

    resolved = outcome.front.resolved
    claims = {claim.name: claim for claim in resolved.spec.claims}
    found = {}
    for result in outcome.results:
        form, tasks = claim_form(result), _tasks([claims[result.name].formula])
        found[result.name] = LockedClaim(
            **{name: getattr(form, name) for name in SHARED},
            seed=resolved.tasks[tasks[0]].seed if tasks else 0,
            tasks=tasks,
            members=form.member_count,
            replayed=tuple(
                s.member
                for s in resolved.file.statements
                if isinstance(s, syntax.Counterexample) and s.claim == result.name
            ),
        )
    return found


def _tasks(forms: Iterable[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(m.run.task for form in forms for m in measurements(form)))


def locked_reports(outcome: Any) -> dict[str, dict[str, LockedNumber]]:
    """The numbers of each report, by label."""
    from circuitlang.report.build import report_forms

    found: dict[str, dict[str, LockedNumber]] = {}
    for item, numbers in outcome.estimates:
        of_report = found.setdefault(item.name, {})
        tasks = _tasks(number for _, number in item.numbers)
        for form in report_forms(item, numbers):
            label, again = form.label, 2
            while label in of_report:
                label, again = f"{form.label} ({again})", again + 1
            shared = {name: getattr(form, name) for name in NUMBER}
            of_report[label] = LockedNumber(**shared, tasks=tasks)
    return found


# ---------------------------------------------------------------- as it was


def locked_document(front: Front, lock: Lock, path: Path, names: tuple[str, ...]) -> CheckDocument:
    """The document of the check that was locked, without its prompts and runs.

    The front is that of the same spec; of `names`, where there are any, and `assume`s alone.
    """
    from circuitlang.report.build import preregistered_form
    from circuitlang.report.diagnostics import diagnostic_form
    from circuitlang.report.document import CheckDocument

    assert front.resolved is not None
    spec = front.resolved.spec
    claims = [c for c in spec.claims if not names or c.name in names or c.kind == "assume"]
    title = f"{spec.name} {spec.version or ''}".strip()
    failed = any(not lock.claims[c.name].ok for c in claims if c.kind == "claim")
    return CheckDocument(
        tool=lock.tool,
        file=str(path),
        spec=spec.name,
        version=spec.version,
        papers=spec.papers,
        heading=spec.title,
        authors=spec.authors,
        doi=spec.doi,
        title=f"{title}: as locked on {lock.day}, nothing was run",
        exit_code=int(failed),
        seconds=0.0,
        seed=None,
        locked=lock.date.isoformat(),
        preregistered=preregistered_form(lock),
        diagnostics=tuple(map(diagnostic_form, front.found)),
        models=tuple(_model(name, model) for name, model in lock.models.items()),
        tasks=tuple(map(_task, lock.tasks.values())),
        claims=tuple(_claim(c, lock.claims[c.name]) for c in claims),
        reports=() if names else tuple(_reports(spec, lock)),
    )


def _claim(claim: Claim, locked: LockedClaim) -> ClaimForm:
    from circuitlang.report.document import ClaimForm

    return ClaimForm(
        **{name: getattr(locked, name) for name in SHARED},
        name=claim.name,
        sentence=claim.sentence,
        written=claim.written,
        target=claim.target or "prompts",
        expected_reason=claim.expect[1] if claim.expect else None,
        members=(),
        member_count=locked.members,
        companions={},
    )


def _reports(spec: Spec, lock: Lock) -> Iterator[ReportForm]:
    from circuitlang.report.document import ReportForm

    for report in spec.reports:
        numbers = lock.reports.get(report.name, {}).values()
        for (label, _), number in zip(report.numbers, numbers, strict=False):
            shared = {field: getattr(number, field) for field in NUMBER}
            yield ReportForm(name=report.name, sentence=report.sentence, label=label, **shared)


def _task(task: LockedTask) -> TaskForm:
    from circuitlang.report.document import TaskForm

    return TaskForm(
        name=task.task,
        model=task.model,
        templates=(),
        n=task.prompts,
        population=task.population,
        enumerated=task.enumerated,
        prompts=(),
        references=(),
    )


def _model(name: str, model: LockedModel) -> ModelForm:
    from circuitlang.report.build import model_form

    shape = shape_of(model)
    reference = ModelReference(name, model.reference, model.revision, model.bos, model.dtype, shape)
    found = Found("locked", model.title, shape=shape, commit=model.commit)
    return model_form(reference, found, model.device or "")


def shape_of(model: LockedModel) -> Shape:
    return Shape(**model.shape)  # type: ignore[arg-type]
