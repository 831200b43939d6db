"""The runs of a check as text, and what the compiler makes of them."""

from __future__ import annotations

from circuitlang.compiler.collect import Needed, all_runs
from circuitlang.compiler.draws import per_draw
from circuitlang.compiler.pieces import Piece
from circuitlang.language.graph.architecture import architecture
from circuitlang.language.graph.sets import size
from circuitlang.language.spec import Run


def run_text(run: Run) -> str:
    """`F(S on task under ablation with model free ...)` and the size of its live set."""
    under = f" under {run.ablation}" if run.ablation else ""
    free = f" free {', '.join(run.free)}" if run.free else ""
    total = architecture(run.model.shape).size
    everywhere = run.live.is_uniform
    live = f"{size(run.live):,} of {total:,} edges live" if everywhere else "live by position"
    reads = "".join(f", reads from F({one.run.written})" for one in run.readings)
    return f"F({run.written} on {run.task}{under} with {run.model.name}{free}): {live}{reads}"


def runs_text(needed: Needed) -> str:
    """Every distinct run with the metrics read from it."""
    runs = all_runs(needed.requests)
    executed = len(all_runs(per_draw(needed.requests)))
    draws = f", {executed} with every draw of donors" if executed > len(runs) else ""
    lines = [f"{len(runs)} distinct runs{draws}"]
    for number, run in enumerate(runs, 1):
        metrics = ", ".join(m.name for m in needed.requests.get(run, ()))
        metrics = metrics or "other runs read from it or are compared with it"
        lines.append(f"{number:4}  {run_text(run)}; {metrics}")
    return "\n".join(lines)


def values_text(piece: Piece) -> str:
    """The program of a chunk, its value graph, and which value each run reads."""
    form = piece.plan.schedule.demand
    lines = [_heading(piece), str(piece.program), str(form)]
    for run, final in zip(piece.runs, piece.plan.graph.finals, strict=True):
        lines.append(f"{run_text(run)}: {final.text(piece.program.wiring)}")
    return "\n".join(lines)


def chunk_text(piece: Piece) -> str:
    """The plan of a chunk, step by step."""
    return f"{_heading(piece)}\n{piece.plan}"


def _heading(piece: Piece) -> str:
    run = piece.runs[0]
    return (
        f"{run.task} with {run.model.name}, the first chunk: {len(piece.runs)} runs on "
        f"{len(piece.rows)} prompts of {piece.program.length} tokens"
    )
