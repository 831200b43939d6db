"""Runs the benchmark: `python -m benchmarks`, or one row of it with `--row`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from benchmarks.prompts import PROMPTS
from benchmarks.rows import Setting, rows
from benchmarks.table import WIDTH, Line, machine, markdown_head, markdown_row, record, table
from benchmarks.timing import read

ROWS = rows()
USUAL = [name for name, row in ROWS.items() if row.usual]


def benchmark(
    row: Annotated[list[str] | None, typer.Option(help=f"one of {', '.join(ROWS)}")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="rounds, of which medians are taken")] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="circuits drawn for the small rows")] = 3,
    prompts: Annotated[int, typer.Option(min=1, help="how many each row is measured on")] = PROMPTS,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    markdown: Annotated[bool, typer.Option("--markdown", help="print rows as they come")] = False,
    to: Annotated[Path | None, typer.Option("--json", help="write the numbers there too")] = None,
) -> None:
    """Time what deciding claims costs, in plain forwards and against dense masked forwards."""
    for name in row or ():
        if name not in ROWS:
            raise typer.BadParameter(f"there is no row {name!r}; rows are {', '.join(ROWS)}")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise typer.BadParameter("this machine has no CUDA device")
    lines: list[Line] = []
    progress, setting = Console(stderr=True), Setting(device, prompts)
    if markdown:
        print(f"On {machine(device)}, {prompts} prompts:\n\n{markdown_head()}", flush=True)
    for chosen in (ROWS[name] for name in row or USUAL):
        for seed in range(1 if chosen.large else seeds):
            with progress.status(f"{chosen.name}, seed {seed}"):
                lines.append(Line(chosen, seed, read(chosen.build(seed, setting), repeats)))
            if markdown:
                print(markdown_row(lines[-1]), flush=True)
    if not markdown:
        Console(width=max(WIDTH, progress.width)).print(table(lines, device))
    if to is not None:
        to.write_text(json.dumps([record(line) for line in lines], indent=2) + "\n")


if __name__ == "__main__":
    typer.run(benchmark)
