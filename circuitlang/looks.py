"""Group-sequential looks: a claim is decided as soon as its prompts suffice (`looks yes`).

Look k of K is at the first 64, 128, 256, ... prompts of each task, the last one at all of them. A
claim that is decided at a look is decided for good, and its runs are executed on no more prompts.
Look k is made at alpha / 2^k, the last at what is left, alpha / 2^(K - 1). Together that is
alpha, so however the looks depend on each other, a wrong `holds` is no likelier than with a single
one (Bonferroni; the price is a wider interval at the last look).

What is searched, or asked of each prompt, is decided once, at the end and at alpha.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from circuitlang.compiler.collect import expand_examples, has_search
from circuitlang.front import Front, Options, Progress
from circuitlang.judgement.decide import LEVEL, judge
from circuitlang.judgement.verdict import FAILS, HOLDS, ClaimResult
from circuitlang.language.prompt import PromptSet
from circuitlang.language.spec import Claim
from circuitlang.measured import Asked, Measured, larger_noise, preconditions, sample_of
from circuitlang.measuring import measure_all, needed_runs
from circuitlang.runner import ModelProblems, Runner
from circuitlang.search import rows_of

FIRST = 64


def schedule(most: int) -> tuple[int, ...]:
    """How many prompts each look is at, of `most` prompts."""
    found = []
    n = FIRST
    while n < most:
        found.append(n)
        n *= 2
    return (*found, most)


def levels(looks: int, alpha: float = LEVEL) -> tuple[float, ...]:
    """The alpha of each look; together `alpha`."""
    early = [alpha / 2**k for k in range(1, looks)]
    return (*early, alpha - sum(early))


def stops_early(form: Any, counts: Mapping[str, int]) -> bool:
    """Whether a formula is decided in looks: it has no search and asks nothing of each prompt."""
    return not has_search(form) and expand_examples(form, counts) == form


@dataclass(frozen=True)
class Looked:
    """The numbers, of each run as far as it was executed, and the verdicts by claim."""

    measured: Measured
    results: Mapping[str, ClaimResult]


def look(
    front: Front, claims: Sequence[Claim], options: Options, progress: Progress
) -> Looked | None:
    """Decides claims that stop early; None when something stopped it (see diagnostics)."""
    most = max(len(drawn.prompts) for drawn in front.prompts.values())
    sizes = schedule(most)
    with ModelProblems(front), closing(Runner(front, options, progress)) as runner:
        state = _State(runner, list(claims))
        before = 0
        for number, (n, alpha) in enumerate(zip(sizes, levels(len(sizes)), strict=True), 1):
            said = f", look {number} of {len(sizes)}" if len(sizes) > 1 else ""
            if state.open:
                state.look(before, n, alpha, said, last=number == len(sizes))
            before = n
        assert state.measured is not None
        return Looked(state.whole(), state.results)
    return None


class _State:
    """The claims that are still open, and the numbers so far."""

    def __init__(self, runner: Runner, claims: list[Claim]) -> None:
        self.runner, self.front = runner, runner.front
        self.claims, self.open = claims, list(claims)
        self.results: dict[str, ClaimResult] = {}
        self.values: dict[Asked, list[Any]] = {}
        self.measured: Measured | None = None

    def look(self, start: int, stop: int, alpha: float, said: str, *, last: bool) -> None:
        """Executes the open claims' runs on the next prompts, and decides what can be decided."""
        forms = [claim.formula for claim in self.open]
        needed = needed_runs(self.front, forms)
        asked = [(run, metric) for run, metrics in needed.requests.items() for metric in metrics]
        options, part = self.runner.options, _between(self.front.prompts, start, stop)
        found = measure_all(self.runner, needed, part, against_reference=options.against_reference)
        for key, vector in found.values.items():
            self.values.setdefault(key, []).append(vector)
        self.measured = self._joined(found)
        seen = replace(
            self.measured,
            needed=needed,
            prompts=_between(self.front.prompts, 0, stop),
            values={k: np.concatenate(self.values[k]) for k in asked},
        )
        self.runner.progress.stage(f"deciding on {stop} prompts")
        sample = sample_of(seen, options.seed)
        for result in judge(self.open, sample, preconditions(seen), alpha):
            method = f"{result.decision.method}{said}"
            decision = replace(result.decision, method=method if result.decision.n else "")
            self.results[result.name] = replace(result, decision=decision)
        self._close(last)

    def _close(self, last: bool) -> None:
        """Where an assumption fails, no claim is looked at again; nor is what is decided."""
        assumes = [self.results[c.name] for c in self.claims if c.kind == "assume"]
        if last or any(r.verdict == FAILS for r in assumes):
            self.open = []
        self.open = [c for c in self.open if self.results[c.name].verdict not in (HOLDS, FAILS)]

    def _joined(self, found: Measured) -> Measured:
        """The looks' measurements as one; of each run the numbers so far."""
        before = self.measured
        if before is None:
            return found
        return replace(
            found,
            noise=larger_noise(before, found),
            invariants=(*before.invariants, *found.invariants),
            executed=before.executed,
            stored=before.stored,
            models=before.models,
        )

    def whole(self) -> Measured:
        assert self.measured is not None
        return replace(
            self.measured,
            needed=needed_runs(self.front, [claim.formula for claim in self.claims]),
            prompts=self.front.prompts,
            keys=frozenset(self.runner.keys),
            values={key: np.concatenate(parts) for key, parts in self.values.items()},
        )


def _between(
    prompts: Mapping[tuple[str, str], PromptSet], start: int, stop: int
) -> dict[tuple[str, str], PromptSet]:
    """The prompts from `start` on, before `stop`; all there are only where none is left out."""
    found = {}
    for key, drawn in prompts.items():
        rows = list(range(start, min(stop, len(drawn.prompts))))
        whole = len(rows) == len(drawn.prompts)
        found[key] = replace(rows_of(drawn, rows), enumerated=drawn.enumerated and whole)
    return {key: drawn for key, drawn in found.items() if drawn.prompts}
