"""Decides statements: with samples cut from one measurement of all prompts, and from spec files.

A sample of n prompts is judged as `circ check` judges it; only that its numbers come from a
measurement of the whole population, made once by the same pipeline. `check_file` takes no such way:
a spec text goes in, verdicts come out.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from circuitlang import pipeline
from circuitlang.front import Options, Silent, fetched_front
from circuitlang.judgement.decide import judge
from circuitlang.measured import Measured, preconditions, sample_of
from circuitlang.measuring import measured_front, needed_runs
from circuitlang.search import rows_of
from truth.exact import MOST_PROMPTS
from truth.statements import Statement
from truth.subjects import MODELS, Subject


def spec_text(subject: Subject, statements: Sequence[Statement]) -> str:
    """The subject's definitions and, in place of its own claims, the statements."""
    written = subject.spec.read_text(encoding="utf-8")
    definitions = re.split(r"^claim ", written, maxsplit=1, flags=re.MULTILINE)[0]
    definitions = definitions.replace('"../models/', f'"{MODELS.as_posix()}/')
    return definitions + "\n".join(s.text for s in statements) + "\n"


def check_file(
    subject: Subject, statements: Sequence[Statement], samples: int, seed: int
) -> tuple[dict[str, str], list[Any]]:
    """Verdicts by name, as `circ check --samples --seed` gives them, and the prompts they rest on."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{subject.name}.circ"
        path.write_text(spec_text(subject, statements), encoding="utf-8")
        options = Options(samples=samples, seed=seed, stored=False)
        outcome = pipeline.check(path, options, Silent())
    _raise_errors(outcome.front)
    [drawn] = outcome.front.prompts.values()
    return {r.name: r.verdict for r in outcome.results}, list(drawn.prompts)


def _raise_errors(front: Any) -> None:
    if front.diagnostics.has_errors:
        raise ValueError("\n".join(f"{d.code} {d.message} {d.span}" for d in front.found))


@dataclass(frozen=True)
class _Asked:
    """One claim with its formula as it is judged."""

    claim: Any
    formula: Any


class Population:
    """All prompts of a subject, measured for all statements about it by the pipeline."""

    def __init__(self, subject: Subject, statements: Sequence[Statement]) -> None:
        self.subject = subject
        options = Options(samples=MOST_PROMPTS, stored=False)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{subject.name}.circ"
            path.write_text(spec_text(subject, statements), encoding="utf-8")
            self.front = fetched_front(path, options, Silent())
            _raise_errors(self.front)
            measured = measured_front(self.front, options, Silent())
        _raise_errors(self.front)
        assert measured is not None
        self.measured: Measured = measured
        claims = measured.resolved.spec.claims
        self.asked = {
            claim.name: _Asked(claim, formula)
            for claim, (formula, _) in zip(claims, self.front.asked, strict=True)
        }
        [(self.key, self.drawn)] = measured.prompts.items()
        self.templates = np.array([prompt.template for prompt in self.drawn.prompts])
        self._row = {_identity(prompt): row for row, prompt in enumerate(self.drawn.prompts)}

    def rows(self, samples: int, seed: int) -> list[int]:
        """A sample of prompts, evenly from the templates, without replacement."""
        random = np.random.default_rng(seed)
        names = self.drawn.templates
        found: list[int] = []
        for turn, name in enumerate(names):
            share = len(range(turn, samples, len(names)))
            found += random.choice(
                np.flatnonzero(self.templates == name), share, replace=False
            ).tolist()
        return found

    def rows_of(self, prompts: Sequence[Any]) -> list[int]:
        return [self._row[_identity(prompt)] for prompt in prompts]

    def verdict(self, name: str, rows: Sequence[int] | None, seed: int = 0) -> str:
        """The verdict from the prompts `rows`; from all there are when None."""
        asked = self.asked[name]
        needed = needed_runs(self.front, [asked.formula])
        wanted = {(run, metric) for run, metrics in needed.requests.items() for metric in metrics}
        values = {key: v for key, v in self.measured.values.items() if key in wanted}
        part = replace(self.measured, needed=needed, values=values)
        if rows is not None:
            chosen = replace(rows_of(self.drawn, list(rows)), enumerated=False)
            values = {key: vector[list(rows)] for key, vector in values.items()}
            part = replace(part, prompts={self.key: chosen}, values=values)
        claim = replace(asked.claim, formula=asked.formula)
        [result] = judge([claim], sample_of(part, seed), preconditions(part))
        return str(result.verdict)


def _identity(prompt: Any) -> tuple[Any, ...]:
    return prompt.template, tuple(sorted(prompt.slots.items()))
