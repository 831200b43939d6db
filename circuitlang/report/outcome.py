"""A pipeline outcome as a check document."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from circuitlang.report import build
from circuitlang.report.diagnostics import diagnostic_form
from circuitlang.report.document import CheckDocument


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("circuitlang", "torch", "transformer-lens", "transformers", "numpy", "scipy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def title(outcome: Any, options: Any) -> str:
    spec = outcome.front.resolved.spec if outcome.front.resolved else None
    name = f"{spec.name} {spec.version or ''}".strip() if spec else str(outcome.path)
    if options.quick and options.samples is None:
        return (
            f"{name}: quick check on {options.sample_size} prompts per task, not the spec's sample"
        )
    if options.split is not None:
        return f"{name}: on the half {options.split} of each task's prompts, not as the spec says"
    if options.samples is not None:
        return f"{name}: on {options.samples} prompts per task instead of the spec's sample"
    return name


def document(outcome: Any, options: Any, per_example: bool) -> CheckDocument:
    """The document of a check or an evaluation, whether or not anything could be run."""
    resolved = outcome.front.resolved
    base: dict[str, Any] = {
        "tool": versions(),
        "file": str(outcome.path),
        "spec": resolved.spec.name if resolved else "",
        "version": resolved.spec.version if resolved else None,
        "papers": resolved.spec.papers if resolved else (),
        "title": title(outcome, options),
        "heading": resolved.spec.title if resolved else None,
        "authors": resolved.spec.authors if resolved else (),
        "doi": resolved.spec.doi if resolved else None,
        "exit_code": outcome.exit_code,
        "seconds": round(outcome.seconds, 3),
        "seed": options.seed,
        "preregistered": build.preregistered_form(outcome.lock) if outcome.lock else None,
        "diagnostics": tuple(map(diagnostic_form, outcome.front.found)),
    }
    measured = outcome.measured
    if measured is None:
        return CheckDocument(**base)
    means = any(
        run.ablation is not None and run.ablation.kind == "mean" for run, _ in measured.values
    )
    return CheckDocument(
        **base,
        models=tuple(build.model_form(m.reference, m.found, m.device) for m in measured.models),
        tasks=tuple(
            build.task_form(drawn, model, means) for (_, model), drawn in measured.prompts.items()
        ),
        preconditions=tuple(map(build.precondition_form, outcome.preconditions)),
        invariants=tuple(map(build.invariant_form, measured.invariants)),
        noise={metric.name: value for metric, value in measured.noise.items()},
        against_reference=(
            build.against_reference_form(measured.comparison) if measured.comparison else None
        ),
        runs=build.run_forms(measured.values, measured.prompts, per_example),
        executed_runs=measured.executed,
        stored_runs=measured.stored,
        claims=tuple(map(build.claim_form, outcome.results)),
        reports=tuple(
            form
            for item, numbers in outcome.estimates
            for form in build.report_forms(item, numbers)
        ),
    )
