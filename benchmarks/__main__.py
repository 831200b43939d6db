"""Runs the benchmark: `python -m benchmarks`, or one row of it with `--row`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.rows import rows
from benchmarks.table import WIDTH, Line, record, table
from benchmarks.timing import read

ROWS = rows()


def benchmark(
    row: Annotated[list[str] | None, typer.Option(help=f"one of {', '.join(ROWS)}")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="rounds, of which medians are taken")] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="circuits drawn for the small rows")] = 3,
    to: Annotated[Path | None, typer.Option("--json", help="write the numbers there too")] = None,
) -> None:
    """Time what deciding claims costs, in plain forwards and against dense masked forwards."""
    for name in row or ():
        if name not in ROWS:
            raise typer.BadParameter(f"there is no row {name!r}; rows are {', '.join(ROWS)}")
    lines: list[Line] = []
    progress = Console(stderr=True)
    for chosen in (ROWS[name] for name in row or ROWS):
        for seed in range(1 if chosen.large else seeds):
            with progress.status(f"{chosen.name}, seed {seed}"):
                lines.append(Line(chosen, seed, read(chosen.build(seed), repeats)))
    Console(width=max(WIDTH, progress.width)).print(table(lines))
    if to is not None:
        to.write_text(json.dumps([record(line) for line in lines], indent=2) + "\n")


if __name__ == "__main__":
    typer.run(benchmark)
