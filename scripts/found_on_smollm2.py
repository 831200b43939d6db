"""Circuits of SmolLM2 searched for anew: `python scripts/found_on_smollm2.py [NAME...]`.

For each task of specs/smollm2 that has a circuit from attribution: `circ discover` on the search half
of its prompts, `circ check` of what it writes on the decide half, and how much of the
circuit that lies in specs/smollm2 is found again. The measure for that is how much of one draw's
circuit another draw's has.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from circuitlang import pipeline
from circuitlang.discovery.attribution import attributed
from circuitlang.discovery.discover import Question, discover
from circuitlang.discovery.experiment import Context, Experiment, experiment
from circuitlang.discovery.pruning import pruned
from circuitlang.front import Options, Silent
from circuitlang.language.graph.architecture import bits

SPECS = Path(__file__).resolve().parent.parent / "specs" / "smollm2"
NAMES = ("ioi", "greater_than", "sva")
PROMPTS, SEEDS = 64, (11, 12)


def main(names: tuple[str, ...]) -> None:
    models: dict[Any, Any] = {}
    options = Options(samples=PROMPTS, stored=False, models=models)
    print(
        "| task | edges found | claims | hold | fail | undecided | found again | by another draw |"
    )
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for name in names:
        path = SPECS / f"{name}.circ"
        found = written(path, options)
        again = [of_size(path, replace(options, seed=seed), name) for seed in SEEDS]
        known, size = again[0][1], again[0][1].bit_count()
        shares = [(mask & known).bit_count() / size for mask, _ in again]
        apart = (again[0][0] & again[1][0]).bit_count() / size
        print(
            f"| {name} | {found['edges']:,} | {found['claims']} | {found['holds']} | {found['fails']} "
            f"| {found['undecided']} | {min(shares):.0%} to {max(shares):.0%} of {size} | {apart:.0%} |",
            flush=True,
        )


def written(path: Path, options: Options) -> dict[str, int]:
    """How many claims of the discovered spec come to which verdict, on the other half."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "found.circ"
        _, found = discover(path, target, Question(), options, Context(), Silent())
        assert found is not None
        target.write_text(found.text, encoding="utf-8")
        if found.circuit is not None:
            import json

            target.with_suffix(".json").write_text(json.dumps(found.circuit), encoding="utf-8")
        outcome = pipeline.check(target, replace(options, samples=None), Silent())
    verdicts = [result.verdict for result in outcome.results]
    counted = {word: verdicts.count(word) for word in ("holds", "fails", "undecided")}
    return {"edges": len(found.document.edges), "claims": len(verdicts), **counted}


def of_size(path: Path, options: Options, name: str) -> tuple[int, int]:
    """The highest edges by EAP-IG, as many as the circuit in the folder has, and that circuit."""
    with experiment(path, options, Context(), Silent()) as (front, made):
        assert made is not None
        assert front.resolved is not None
        circuits = front.resolved.spec.circuits
        known = circuits[name if name in circuits else next(iter(circuits))].mask
        order = attributed(made).order(made.candidates)
        return highest(made, order, known.bit_count()), known


def highest(made: Experiment, order: list[int], size: int) -> int:
    """As few of the first edges as leave `size` without dangling ones."""
    taken = size
    while (mask := pruned(made, sum(1 << n for n in order[:taken]))).bit_count() < size:
        taken += max(1, (size - mask.bit_count()) // 2)
    for number in reversed(list(bits(mask))):
        if mask.bit_count() <= size:
            break
        if number in order[size:taken]:
            mask &= ~(1 << number)
    return mask


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or NAMES)
