"""`circ curve`: how faithful the highest edges of a ranking are, at every size."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from circuitlang.commands.options import EXECUTING, SAMPLING, AsJson, OneFile, with_options
from circuitlang.commands.printing import (
    finished,
    print_diagnostics_of,
    print_json,
    progress,
    stdout,
)
from circuitlang.commands.targets import STDOUT, is_writable, write_target

if TYPE_CHECKING:
    from circuitlang.discovery.experiment import Context
    from circuitlang.front import Options

ELSEWHERE = "name another file with --svg"


@with_options(*SAMPLING, *EXECUTING)
def curve(
    file: OneFile,
    scores: Annotated[
        list[Path] | None,
        typer.Option(
            "--scores",
            metavar="SCORES",
            help="EAP-IG's .json or .pt with a score for each edge, instead of attribution's "
            "(may be repeated)",
        ),
    ] = None,
    rank: Annotated[
        Literal["score", "size"],
        typer.Option(help="take the highest scores, or those farthest from 0"),
    ] = "score",
    prune: Annotated[
        bool,
        typer.Option("--prune", help="leave out edges on no path from the input to the logits"),
    ] = False,
    grid: Annotated[
        str | None,
        typer.Option(metavar="SIZES", help="mib, log or numbers of edges like 10,100; else both"),
    ] = None,
    random: Annotated[
        int, typer.Option(min=0, max=1000, help="random rankings to compare with")
    ] = 5,
    figure: Annotated[
        Path | None, typer.Option("--svg", metavar="FIGURE", help="write the curves as SVG")
    ] = None,
    as_json: AsJson = False,
    *,
    context: Context,
    options: Options,
) -> None:
    """Measure how much of the effect the highest edges keep, at every size.

    A ranking suggests where a circuit is; claims decide whether it is one. Exit code 0, or 2 where a
    file or model could not be used.
    """
    from circuitlang.discovery.curve import Asked
    from circuitlang.discovery.curve import curve as measured
    from circuitlang.report.curve import print_curve

    files = tuple(dict.fromkeys(scores or ()))
    if figure is not None:
        _refuse_target(figure, file, files, as_json)
    asked = Asked(files, rank == "size", prune, grid, random)
    with progress(as_json) as bars:
        found, document = measured(file, asked, options, context, bars)
    print_diagnostics_of(finished(found))
    if document is None:
        raise typer.Exit(2)
    if as_json:
        print_json([document])
    elif figure != STDOUT:
        print_curve(document, stdout())
    if figure is not None:
        from circuitlang.report.page.curve import curve_picture
        from circuitlang.report.page.render import curve_svg

        drawn = curve_svg(curve_picture(document))
        with redirect_stdout(sys.stderr if as_json else sys.stdout):
            is_written = write_target(figure, drawn, file, "CL775", ELSEWHERE)
        if not is_written:
            raise typer.Exit(2)


def _refuse_target(figure: Path, spec: Path, scores: tuple[Path, ...], as_json: bool) -> None:
    """Ends the command where the figure cannot be written, or would go where something else is."""
    from circuitlang.language.diagnostics import Diagnostic

    reason = None
    if figure == STDOUT and as_json:
        reason = "stdout has the JSON"
    elif figure.resolve() in {path.resolve() for path in scores}:
        reason = "the scores are read from it"
    if reason is not None:
        message = f"`{figure}` cannot be written: {reason}."
        print_diagnostics_of([Diagnostic("CL775", message, None, ELSEWHERE)])
    if reason is not None or not is_writable(figure, spec, "CL775", ELSEWHERE):
        raise typer.Exit(2)
