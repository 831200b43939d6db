"""Counts verdicts against the truth, and says whether the counts allow what a verdict promises.

A wrong `holds` on a false claim, or a wrong `fails` on a true one, may happen with probability
alpha. A row of the table violates this when so many of its claims went wrong as would have
probability below `SIGNIFICANCE` over the number of rows, were the rate alpha (binomial, one-sided).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.table import Table
from scipy import stats

from truth.statements import ALPHA, KINDS, MISTAKES, NEAR, Statement

SIGNIFICANCE = 0.01
LEAST_POWER = 0.9
VERDICTS = ("holds", "fails", "undecided", "invalid")


@dataclass(frozen=True)
class Trial:
    statement: Statement
    verdict: str

    @property
    def wrong(self) -> bool:
        return self.verdict == ("fails" if self.statement.true else "holds")


@dataclass(frozen=True)
class Row:
    """Claims of one kind, all true or all false: how many, and how many of each verdict."""

    title: str
    true: bool
    verdicts: Counter[str]

    @property
    def claims(self) -> int:
        return self.verdicts.total()

    @property
    def wrong(self) -> int:
        return self.verdicts["fails" if self.true else "holds"]

    @property
    def bound(self) -> float:
        """Clopper and Pearson's upper bound of the error rate, 95% one-sided."""
        if self.wrong == self.claims:
            return 1.0
        return float(stats.beta.ppf(0.95, self.wrong + 1, self.claims - self.wrong))

    @property
    def chance(self) -> float:
        """The probability of so many errors or more, were the rate alpha."""
        return float(stats.binom.sf(self.wrong - 1, self.claims, ALPHA))


def rows(trials: Sequence[Trial], true: bool) -> list[Row]:
    """All claims, then by mistake, kind, distance and sample size."""

    def row(title: str, belongs: Callable[[Statement], bool]) -> Row:
        verdicts = [t.verdict for t in trials if t.statement.true == true and belongs(t.statement)]
        return Row(title, true, Counter(verdicts))

    found = [row("all", lambda s: True)]
    found += [row(m, lambda s, m=m: s.quantity.mistake == m) for m in MISTAKES]  # type: ignore[misc]
    found += [row(k, lambda s, k=k: s.quantity.kind == k) for k in KINDS]  # type: ignore[misc]
    found.append(row(f"within {max(NEAR):.0%} of the value", lambda s: s.near))
    found.append(row(f"within {min(NEAR):.1%} of the value", lambda s: s.distance == min(NEAR)))
    found.append(row("within half a half-width", lambda s: s.half_widths <= 0.5))
    found.append(row("two half-widths from it", lambda s: s.distance is None))
    sizes = sorted({t.statement.samples for t in trials})
    found += [row(f"{n} prompts", lambda s, n=n: s.samples == n) for n in sizes]  # type: ignore[misc]
    return [one for one in found if one.claims]


def violations(tested: Sequence[Row]) -> list[str]:
    limit = SIGNIFICANCE / max(len(tested), 1)
    return [
        f"{r.title}: {r.wrong} of {r.claims} {'true' if r.true else 'false'} claims went wrong, "
        f"which has probability {r.chance:.1e} at a rate of {ALPHA:.0%}"
        for r in tested
        if r.chance < limit
    ]


def power(trials: Sequence[Trial]) -> Row:
    """The true claims whose threshold is two half-widths away."""
    far = [t.verdict for t in trials if t.statement.true and t.statement.distance is None]
    return Row("power", True, Counter(far))


def confusion(trials: Sequence[Trial], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("the claim is")
    for verdict in (*VERDICTS, "claims"):
        table.add_column(verdict, justify="right")
    for true in (True, False):
        counts = Counter(t.verdict for t in trials if t.statement.true == true)
        cells = [str(counts[verdict]) for verdict in VERDICTS]
        table.add_row("true" if true else "false", *cells, str(counts.total()))
    return table


def errors(found: Sequence[Row], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("claims")
    wrong = "wrong fails" if found[0].true else "wrong holds"
    for heading in ("number", wrong, "rate", "at most (95%)", "decided rightly"):
        table.add_column(heading, justify="right")
    for row in found:
        right = row.verdicts["holds" if row.true else "fails"]
        table.add_row(
            row.title, str(row.claims), str(row.wrong), f"{row.wrong / row.claims:.1%}",
            f"{row.bound:.1%}", f"{right / row.claims:.0%}",
        )  # fmt: skip
    return table
