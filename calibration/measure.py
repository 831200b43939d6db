"""Measures the populations of calibration/data: `python -m calibration.measure`.

One number per prompt for some runs of three specs, on as many prompts as are asked for. They are
taken as whole populations, from which the calibration draws.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import circuitlang

DATA = Path(__file__).parent / "data"
SPECS = Path(__file__).parent.parent / "specs"
MEASURED = {
    "toy": ("toy/edges.circ", "likes", {
        "M": "M", "none": "none", "C": "lean", "without": "lean - a2.h2", "zero": "full under zero",
    }),
    "ioi": ("smollm2/ioi.circ", "giving", {
        "M": "M", "none": "none", "C": "ioi", "without": "ioi - movers",
        "zero": "ioi under zero", "M_kl": "M by from_model", "none_kl": "none by from_model",
        "C_kl": "ioi by from_model", "random": "random_ioi", "heads": "heads_alone",
    }),
    "greater_than": ("smollm2/greater_than.circ", "years", {
        "M": "M", "none": "none", "C": "greater_than", "without": "greater_than - readers",
        "random": "random_edges",
    }),
}  # fmt: skip


def measure(
    prompts: Annotated[int, typer.Option(min=100, help="how many prompts each run has")] = 600,
    only: Annotated[list[str] | None, typer.Option(help=f"of {', '.join(MEASURED)}")] = None,
) -> None:
    """Write calibration/data/*.npz."""
    DATA.mkdir(exist_ok=True)
    for name in only or MEASURED:
        path, task, runs = MEASURED[name]
        with circuitlang.session(SPECS / path, samples=prompts, seed=1, stored=False) as session:
            values = {
                run: session.F(edges).numpy().astype(np.float32) for run, edges in runs.items()
            }
            (drawn,) = [p for (t, _), p in session.front.prompts.items() if t == task]
        templates = np.array([prompt.template for prompt in drawn.prompts])
        np.savez_compressed(DATA / f"{name}.npz", allow_pickle=False, templates=templates, **values)
        print(f"{name}: {len(templates)} prompts, {len(values)} runs", flush=True)


if __name__ == "__main__":
    typer.run(measure)
