"""`circ report`: a check as a page to hand on, and its circuit as a figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from circuitlang.commands.options import DECIDING, OneFile, with_options
from circuitlang.commands.printing import finished, print_diagnostics_of, progress
from circuitlang.commands.targets import write_target

if TYPE_CHECKING:
    from circuitlang.front import Options
    from circuitlang.reporting import Written


@with_options(*DECIDING)
def report(
    file: OneFile,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="PAGE", help="the page to write [FILE's name.html]"),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option("--svg", metavar="FIGURE", help="write a circuit as SVG; runs nothing"),
    ] = None,
    circuit: Annotated[
        str | None, typer.Option(help="the circuit that --svg draws, instead of the first")
    ] = None,
    with_lens: Annotated[
        bool, typer.Option("--lens", help="add what `circ lens` shows of the default task")
    ] = False,
    *,
    options: Options,
) -> None:
    """Check a spec and write what came of it as one HTML page, which needs no network.

    With --svg only the circuit is drawn, unless -o asks for the page too. Exit code as of `check`:
    a page is written of claims that fail, too, and none where nothing could be run.
    """
    from circuitlang import reporting

    code, draws = 0, figure is not None or circuit is not None
    if draws:
        target = figure or Path(f"{file.stem}.svg")
        code = _finish(reporting.drawing(file, circuit), target, file)
    if not draws or (output is not None and code == 0):
        target = output or Path(f"{file.stem}.html")
        with progress(False) as bars:
            written = reporting.page(file, options, bars, with_lens=with_lens)
        code = _finish(written, target, file)
    raise typer.Exit(code)


def _finish(written: Written, target: Path, spec: Path) -> int:
    """Says what was found and writes what there is; the exit code."""
    print_diagnostics_of(finished(written.found))
    if written.text is None:
        return written.exit_code
    elsewhere = "name another file with -o or --svg"
    return written.exit_code if write_target(target, written.text, spec, "CL741", elsewhere) else 2
