"""Prints the tables of docs/calibration.md: `python -m calibration`.

Exit code 1 when a rate is above alpha and not known to be.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Annotated

import typer
from rich.console import Console

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(threads, "1")  # one a worker; read when numpy is first imported there


def calibrate(
    replications: Annotated[int, typer.Option(min=40, help="trials of each row")] = 1_000,
    seed: Annotated[int, typer.Option(help="where the trials start")] = 0,
    rows: Annotated[str, typer.Option(help="only rows whose name has this in it")] = "",
    workers: Annotated[int, typer.Option(min=1, help="processes")] = os.cpu_count() or 1,
) -> None:
    """Count wrong verdicts where the truth lies on the threshold."""
    from calibration.known import why
    from calibration.table import markdown
    from calibration.trials import all_rows, run, too_often

    chosen = [row for label, row in all_rows().items() if rows in label]
    if not chosen:
        raise typer.BadParameter(f"no row has {rows!r} in its name")
    started = time.perf_counter()
    with Console(stderr=True).status("") as status:
        counts = run(
            chosen, replications, seed, workers,
            lambda made, all_: status.update(f"{made:,} of {all_:,} chunks of trials"),
        )  # fmt: skip
    for line in markdown(counts):
        print(line)
    print(f"\n{time.perf_counter() - started:.0f} seconds, {workers} processes", file=sys.stderr)
    news = [count for count in too_often(counts) if not why(count.row)]
    for count in news:
        print(f"above alpha: {count.row.label}: {count.verdict} {count.rate:.3f}", file=sys.stderr)
    raise SystemExit(1 if news else 0)


if __name__ == "__main__":
    typer.run(calibrate)
