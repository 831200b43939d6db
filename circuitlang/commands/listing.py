"""`circ list`: the specs in folders, with what was last found of each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from circuitlang.commands.options import AsJson, StoreFolder
from circuitlang.commands.printing import print_diagnostics_of, print_json, stdout


def list_specs(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help=".circ files and folders; else the current one", metavar="PATH"),
    ] = None,
    as_json: AsJson = False,
    store: StoreFolder = None,
) -> None:
    """Print a table of specs: models, claims, last verdicts, and whether these are stale.

    Verdicts are the lock's where a spec has one, else those of the last check in the store.
    Exit code 0; 2 where a path does not exist.
    """
    from circuitlang.catalogue import catalogue, missing
    from circuitlang.report.catalogue import print_catalogue

    asked = paths or [Path()]
    form, problems = catalogue(asked, store), missing(asked)
    print_diagnostics_of(problems)
    if as_json:
        print_json([form])
    else:
        print_catalogue(form, stdout())
    raise typer.Exit(2 if problems else 0)
