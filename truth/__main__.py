"""States claims of which the truth is known, decides them and counts: `python -m truth`."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
import typer
from rich.console import Console

from truth.exact import Exact
from truth.statements import FAR, KINDS, MISTAKES, NEAR, Pool, Quantity, Statement, Writer
from truth.subjects import SUBJECTS, Subject
from truth.tally import LEAST_POWER, Trial, confusion, errors, power, rows, violations
from truth.trials import Population, check_file

SIZES = (40, 80, 160, 320)
FILE_CLAIMS = 24
MOST_SHOWN = 20
# Rounding differs between the two ways, and may decide a claim whose interval ends on its threshold.
MOST_APART = 0.01


@dataclass(frozen=True)
class Suite:
    """Statements to decide, and what is known of the models that they are about."""

    statements: list[Statement]
    populations: dict[str, Population]

    @staticmethod
    def of(subjects: Sequence[Subject], per_row: int, seed: int, show: Console) -> Suite:
        quantities: list[Quantity] = []
        for subject in subjects:
            with show.status(f"{subject.name}: exact values by the reference executor"):
                quantities += Pool(Exact(subject), random.Random(seed)).quantities()
        statements = stated(quantities, per_row, seed)
        populations = {}
        for subject in subjects:
            with show.status(f"{subject.name}: measuring every prompt"):
                about = [s for s in statements if s.quantity.subject == subject.name]
                populations[subject.name] = Population(subject, about)
        return Suite(statements, populations)

    def exhaustive(self) -> list[Trial]:
        """Every statement decided from all prompts there are."""
        return [Trial(s, self._population(s).verdict(s.name, None)) for s in self.statements]

    def sampled(self) -> list[Trial]:
        """Every statement decided from a sample of its own."""
        found = []
        for s in self.statements:
            population = self._population(s)
            rows = population.rows(s.samples, s.seed)
            found.append(Trial(s, population.verdict(s.name, rows, s.seed)))
        return found

    def files(
        self, subjects: Sequence[Subject], number: int, seed: int, show: Console
    ) -> tuple[list[Trial], list[tuple[Trial, str]]]:
        """Specs as text through the whole of `circ check`; and where `sampled`'s way differs, and how."""
        found, apart = [], []
        for index in range(number):
            subject, samples = subjects[index % len(subjects)], SIZES[index % len(SIZES)]
            about = [s for s in self.statements if s.quantity.subject == subject.name]
            draw = random.Random(seed + index)
            chosen = draw.sample(about, min(len(about), FILE_CLAIMS))
            with show.status(f"{subject.name}: a spec of {len(chosen)} claims"):
                verdicts, prompts = check_file(subject, chosen, samples, seed + index)
            population = self.populations[subject.name]
            where = population.rows_of(prompts)
            for s in chosen:
                found.append(Trial(s, verdicts[s.name]))
                again = population.verdict(s.name, where, seed + index)
                if again != verdicts[s.name]:
                    apart.append((found[-1], again))
        return found, apart

    def _population(self, statement: Statement) -> Population:
        return self.populations[statement.quantity.subject]


def stated(quantities: Sequence[Quantity], per_row: int, seed: int) -> list[Statement]:
    """`per_row` false statements for each mistake and each kind, half of them near the value, and as
    many true ones for each kind, half of them two half-widths from the value."""
    writer, half = Writer(quantities, SIZES, seed), per_row // 2
    found = []
    for distances in (NEAR, FAR):
        for mistake in MISTAKES:
            found += writer.statements(half, False, distances, mistake=mistake)
        for kind in KINDS:
            found += writer.statements(half, False, distances, kind=kind)
    for kind in KINDS:
        found += writer.statements(half, True, (None,), kind=kind)
        found += writer.statements(half, True, NEAR + FAR, kind=kind)
    return found


def count(
    per_row: Annotated[int, typer.Option(min=10, help="claims of each mistake and kind")] = 120,
    files: Annotated[int, typer.Option(help="specs decided from their text")] = 28,
    seed: Annotated[int, typer.Option(help="of all that is drawn")] = 0,
    only: Annotated[list[str] | None, typer.Option(help="the models to ask about")] = None,
) -> None:
    """Decide claims whose truth is known, and count wrong verdicts. Exit code 1 if too many."""
    torch.set_num_threads(1)  # the models are tiny: threads cost more than they give
    out, show = Console(width=110), Console(stderr=True)
    subjects = [s for s in SUBJECTS if not only or s.name in only]
    suite = Suite.of(subjects, per_row, seed, show)
    problems: list[str] = []

    with show.status("deciding from all prompts"):
        exact = suite.exhaustive()
    out.print(confusion(exact, "From every prompt there is: no error is allowed"))
    closest = [t for t in exact if t.verdict == "undecided" and t.statement.distance == min(NEAR)]
    out.print(
        f"{len(closest)} undecided have their threshold within {min(NEAR):.1%} of the value, where rounding "
        "may reach"
    )
    problems += [
        f"{t.verdict} from every prompt: {t.statement.text}"
        for t in exact
        if t not in closest and t.verdict != t.statement.verdict
    ]

    with show.status("deciding from samples"):
        sampled = suite.sampled()
    out.print(confusion(sampled, "From samples, each claim from its own"))
    false, true = rows(sampled, true=False), rows(sampled, true=True)
    out.print(errors(false, "False claims"))
    out.print(errors(true, "True claims"))
    problems += violations([*false, *true])
    shown = power(sampled)
    share = shown.verdicts["holds"] / shown.claims
    out.print(
        f"power: {share:.1%} of {shown.claims} true claims hold whose threshold is two half-widths "
        f"of the interval away (at least {LEAST_POWER:.0%} have to)"
    )
    if share < LEAST_POWER:
        problems.append(f"the power is {share:.1%}")

    texts, apart = suite.files(subjects, files, seed, show)
    out.print(
        confusion(texts, f"From {files} spec files, end to end; claims of a file share prompts")
    )
    out.print(f"cut from a measurement of all prompts, {len(apart)} of {len(texts)} differ")
    opposite = [(t, again) for t, again in apart if {t.verdict, again} == {"holds", "fails"}]
    if opposite or len(apart) > MOST_APART * len(texts):
        problems += [
            f"{t.verdict} from text, {again} when cut: {t.statement.text}" for t, again in apart
        ]

    for problem in problems[:MOST_SHOWN]:
        out.print(f"PROBLEM {problem}", markup=False)
    out.print("every bound is kept" if not problems else f"{len(problems)} problems")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    typer.run(count)
