"""The runs of a check as text."""

from __future__ import annotations

from circuitlang.compiler.collect import Needed, all_runs
from circuitlang.language.architecture import architecture
from circuitlang.language.sets import size
from circuitlang.language.spec import Run


def run_text(run: Run) -> str:
    """`F(S on task under ablation with model free ...)` and the size of its live set."""
    under = f" under {run.ablation}" if run.ablation else ""
    free = f" free {', '.join(run.free)}" if run.free else ""
    total = architecture(run.model.shape).size
    everywhere = run.live.is_uniform
    live = f"{size(run.live):,} of {total:,} edges live" if everywhere else "live by position"
    return f"F({run.written} on {run.task}{under} with {run.model.name}{free}): {live}"


def runs_text(needed: Needed) -> str:
    """Every distinct run with the metrics read from it."""
    runs = all_runs(needed.requests)
    lines = [f"{len(runs)} distinct runs"]
    for number, run in enumerate(runs, 1):
        metrics = ", ".join(m.name for m in needed.requests.get(run, ())) or "compared with"
        lines.append(f"{number:4}  {run_text(run)}; {metrics}")
    return "\n".join(lines)
