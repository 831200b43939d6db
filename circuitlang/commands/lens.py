"""`circ lens`: what the residual stream says at each layer and position, and who wrote it."""

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
from circuitlang.commands.targets import is_writable, write_target

if TYPE_CHECKING:
    from circuitlang.front import Options

ELSEWHERE = "name another file with --html"


class Score(StrEnum):
    """How a token set is scored; the same names as in the language."""

    LOGIT = "logit"
    LOGPROB = "logprob"
    PROB = "prob"
    RANK = "rank"


@with_options(*SAMPLING, *EXECUTING)
def lens(
    file: OneFile,
    on: str | None = None,
    with_: str | None = None,
    kind: Annotated[Score, typer.Option("--as", help="how tokens are scored")] = Score.LOGIT,
    positions: Annotated[
        str | None,
        typer.Option(metavar="A,B,END", help="these positions, instead of all tokens or labels"),
    ] = None,
    top: Annotated[
        int, typer.Option(parser=number_of_rows, metavar="N|all", help="parts of the table")
    ] = 10,
    as_json: AsJson = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="PAGE", help="write maps and table as a page")
    ] = None,
    *,
    options: Options,
) -> None:
    """Show what the model would answer from each layer and position, and what each node adds.

    The task needs `tokens answer`. A first look, and no evidence. Exit code 0, or 2 where something could not be used.
    """
    from circuitlang.discovery import lens as found
    from circuitlang.discovery.experiment import Context
    from circuitlang.report.lens import lens_page, print_lens

    if html is not None and not is_writable(html, file, "CL741", ELSEWHERE):
        raise typer.Exit(2)
    chosen = tuple(filter(None, (p.strip() for p in (positions or "").split(","))))
    with progress(as_json) as bars:
        front, document = found.lens(
            file, options, Context(on=on, with_=with_), bars, kind=kind.value, positions=chosen
        )
    print_diagnostics_of(finished(front.found))
    if document is None:
        raise typer.Exit(2)
    if as_json:
        print_json([document])
    elif html is None:
        print_lens(document, stdout(), top)
    if html is not None:
        page = lens_page(document, top)
        if not write_target(html, page, file, "CL741", ELSEWHERE):
            raise typer.Exit(2)
