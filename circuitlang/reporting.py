"""A check as a page, and a spec's circuit as a figure: what `circ report` writes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from circuitlang import pipeline
from circuitlang.discovery.experiment import Context
from circuitlang.discovery.lens import lens
from circuitlang.front import Front, Options, Progress, resolve_file
from circuitlang.language.diagnostics import Diagnostic, suggestion
from circuitlang.report.lens import TOP, findings
from circuitlang.report.outcome import document
from circuitlang.report.page.contents import Contents, contents, figures_of
from circuitlang.report.page.figure import Figure
from circuitlang.report.page.render import html, svg


@dataclass(frozen=True)
class Written:
    """A text to write, with what was found on the way; None where there is none to write."""

    text: str | None
    found: tuple[Diagnostic, ...]
    exit_code: int


def contents_of(
    path: Path, options: Options, progress: Progress
) -> tuple[pipeline.Outcome, Contents | None]:
    """Checks a spec; what a page of it shows, None where nothing could be run."""
    outcome = pipeline.check(path, options, progress)
    resolved, measured = outcome.front.resolved, outcome.measured
    if resolved is None or measured is None:
        return outcome, None
    shown = contents(
        document(outcome, options, per_example=False),
        resolved,
        measured.values,
        measured.prompts,
        resolved.found,
        datetime.now(UTC),
    )
    return outcome, shown


def page(path: Path, options: Options, progress: Progress, *, with_lens: bool = False) -> Written:
    """Checks a spec; the page of what came of it, with the check's exit code.

    `with_lens` adds the lens in the spec's default context; there is no page where it has none.
    """
    if with_lens and options.models is None:
        options = replace(options, models={})
    outcome, shown = contents_of(path, options, progress)
    if shown is None or not with_lens:
        text = html(shown) if shown is not None else None
        return Written(text, outcome.front.found, outcome.exit_code)
    front, seen = lens(path, options, Context(), progress)
    if seen is None:
        return Written(None, front.found, 2)
    return Written(html(shown, findings(seen, TOP)), outcome.front.found, outcome.exit_code)


def drawing(path: Path, circuit: str | None) -> Written:
    """The figure of one circuit, by default the first; nothing is run for it."""
    front = resolve_file(path)
    if front.resolved is None or front.diagnostics.has_errors:
        return Written(None, front.found, 2)
    drawn = chosen_figure(front, circuit)
    if drawn is None and not front.diagnostics.has_errors:
        front.diagnostics.error(
            "CL742",
            "The spec has no circuit with an edge, and no claim that tells edges apart, so there is "
            "nothing to draw.",
            None,
            "declare what is claimed of: `circuit name { input -> a0.h0 ... }`",
        )
    if drawn is None:
        return Written(None, front.found, 2)
    return Written(svg(drawn), front.found, 0)


def chosen_figure(front: Front, circuit: str | None) -> Figure | None:
    """The figure of a circuit, an error where there is none; by default the first that there is."""
    assert front.resolved is not None
    figures = {figure.name: figure for figure in figures_of(front.resolved)}
    if circuit is not None and circuit not in figures:
        known = list(figures)
        front.diagnostics.error(
            "CL101",
            f"The spec has no circuit `{circuit}`.",
            None,
            suggestion(circuit, known) or f"its circuits are {', '.join(known)}"
            if front.resolved.spec.circuits
            else "declare one: `circuit name { input -> a0.h0 }`",
        )
        return None
    return figures[circuit] if circuit is not None else next(iter(figures.values()), None)
