"""`circ attribute`: an estimate of every edge's effect, in a few passes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from circuitlang.commands.effects import number_of_rows
from circuitlang.commands.options import EXECUTING, SAMPLING, AsJson, OneFile, with_options
from circuitlang.commands.printing import (
    finished,
    print_diagnostics_of,
    print_json,
    progress,
    stdout,
)
from circuitlang.commands.targets import is_writable, refuse, write_target

if TYPE_CHECKING:
    from circuitlang.discovery.experiment import Context
    from circuitlang.discovery.scores import Scores
    from circuitlang.front import Options


class Method(StrEnum):
    eap = "eap"
    eap_ig = "eap-ig"


@with_options(*SAMPLING, *EXECUTING)
def attribute(
    file: OneFile,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="SCORES", help="all scores, as .json or .pt"),
    ] = None,
    method: Annotated[
        Method, typer.Option(help="gradients at the model, or averaged on the way to it")
    ] = Method.eap_ig,
    steps: Annotated[
        int | None, typer.Option(min=1, max=1000, help="runs that eap-ig averages over [5]")
    ] = None,
    positions: Annotated[
        str | None, typer.Option(metavar="A,B,END", help="scores at these labels apart, too")
    ] = None,
    compare: Annotated[
        int, typer.Option(min=0, help="edges whose exact effect is measured, to compare")
    ] = 64,
    top: Annotated[
        int, typer.Option(parser=number_of_rows, metavar="N|all", help="rows of the table")
    ] = 20,
    heat: Annotated[bool, typer.Option("--heat", help="a heat map of nodes by layer")] = False,
    page: Annotated[
        Path | None, typer.Option("--html", metavar="PAGE", help="write table and map as a page")
    ] = None,
    as_json: AsJson = False,
    *,
    context: Context,
    options: Options,
) -> None:
    """Estimate what every edge does, by gradients (EAP, EAP-IG).

    A score is above 0 where ablating the edge would lower the metric. Scores rank edges and are no
    evidence. Exit code 0, or 2 where nothing could be run.
    """
    from circuitlang.discovery.attribution import STEPS, Question, attribution

    if steps is not None and method is Method.eap:
        raise typer.BadParameter("`--steps` is for eap-ig, and the method is eap")
    if output is not None and not _can_be_written(output, file):
        raise typer.Exit(2)
    labels = tuple(name.strip() for name in (positions or "").split(",") if name.strip())
    question = Question(method.value, steps or STEPS, labels, compare, top)
    with progress(as_json) as bars:
        front, scores, found = attribution(file, question, options, context, bars)
    print_diagnostics_of(finished(front.found))
    if found is None or scores is None:
        raise typer.Exit(2)
    from circuitlang.report import attribution as told

    if as_json:
        print_json([found])
    elif page is None:
        told.print_attribution(found, stdout(), heat=heat)
    written = output is None or _write(scores, output, found.lower_is_better)
    if page is not None:
        elsewhere = "name another file with --html"
        written = write_target(page, told.page(found), file, "CL741", elsewhere) and written
    raise typer.Exit(0 if written else 2)


def _can_be_written(target: Path, spec: Path) -> bool:
    """Whether scores may go there, as far as can be told beforehand; else an error."""
    from circuitlang.exchange import OF_SUFFIX

    elsewhere = "name another file with -o, .json or .pt"
    if target.suffix not in OF_SUFFIX:
        return refuse(target, "scores are written as .json or .pt", "CL105", elsewhere)
    return not spec.exists() or is_writable(target, spec, "CL110", elsewhere)


def _write(scores: Scores, target: Path, lower_is_better: bool) -> bool:
    """Writes all scores and says so; an error and False where that cannot be."""
    import sys

    from circuitlang.discovery.score_files import write_scores
    from circuitlang.language.diagnostics import Diagnostic
    from circuitlang.language.graph.circuit_formats import BadCircuit

    try:
        write_scores(scores, target, lower_is_better=lower_is_better)
    except BadCircuit as problem:
        print_diagnostics_of([Diagnostic(problem.code, problem.message, None, problem.help)])
        return False
    print(f"wrote {target}", file=sys.stderr)
    return True
