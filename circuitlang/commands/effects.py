"""`circ effects`: what each member of a set does, measured one by one and ranked."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    from circuitlang.discovery.experiment import Context
    from circuitlang.front import Options

ELSEWHERE = "name another file with --html"


class Kind(StrEnum):
    edges = "edges"
    nodes = "nodes"
    ports = "ports"
    groups = "groups"


class Sort(StrEnum):
    size = "size"
    effect = "effect"
    name = "name"
    layer = "layer"


def number_of_rows(said: str | int) -> int:
    """How many rows, 0 for all; raises `typer.BadParameter`."""
    text = str(said)
    if text == "all":
        return 0
    if not text.isdecimal():
        raise typer.BadParameter(f"`{text}` is no number of rows; write one like 20, or all")
    return int(text[:9])


@with_options(*SAMPLING, *EXECUTING)
def effects(
    file: OneFile,
    members: Annotated[
        str | None,
        typer.Argument(
            metavar="SET",
            help='what is ranked, such as heads, "edges(C)" or "[a0.h0, m0]" [every edge]',
            show_default=False,
        ),
    ] = None,
    of: Annotated[
        Kind | None, typer.Option("--of", help="what members SET is to have, instead of its own")
    ] = None,
    denoise: Annotated[
        bool, typer.Option("--denoise", help="what each brings back alone, all paths through it")
    ] = False,
    inside: Annotated[
        str | None, typer.Option("--in", metavar="C", help="F(C) - F(C - e), inside a circuit")
    ] = None,
    budget: Annotated[
        int, typer.Option(min=1, help="runs at most; attribution chooses among more members")
    ] = 1000,
    everything: Annotated[
        bool, typer.Option("--all", help="measure every member, however many there are")
    ] = False,
    positions: Annotated[
        bool, typer.Option("--positions", help="each member at each label of the task, and at END")
    ] = False,
    sort: Annotated[Sort, typer.Option(help="size is the absolute effect")] = Sort.size,
    top: Annotated[
        int, typer.Option(parser=number_of_rows, metavar="N|all", help="rows of the table")
    ] = 20,
    heat: Annotated[
        bool, typer.Option("--heat", help="heat maps: nodes by layer, or members by position")
    ] = False,
    page: Annotated[
        Path | None,
        typer.Option("--html", metavar="PAGE", help="write the table and heat maps as a page"),
    ] = None,
    as_json: AsJson = False,
    *,
    context: Context,
    options: Options,
) -> None:
    """Rank what each edge, node, port or group does, by exact measurement.

    By default F(M) - F(M - e), what the model loses without each. A rank suggests and is no
    evidence: claim what it suggests. Exit code 0, or 2 where nothing could be run.
    """
    from circuitlang.discovery.effects import Question
    from circuitlang.discovery.effects import effects as ranked

    if page is not None and not is_writable(page, file, "CL741", ELSEWHERE):
        raise typer.Exit(2)
    question = Question(
        members, of, denoise, inside, None if everything else budget, positions, sort, heat
    )
    with progress(as_json) as bars:
        front, found = ranked(file, question, options, context, bars)
    print_diagnostics_of(finished(front.found))
    if found is None:
        raise typer.Exit(2)
    from circuitlang.report import effects as told

    if as_json:
        print_json([found])
    elif page is None:
        told.print_effects(found, stdout(), top, heat=heat)
    if page is not None:
        written = write_target(page, told.page(found, top), file, "CL741", ELSEWHERE)
        raise typer.Exit(0 if written else 2)
