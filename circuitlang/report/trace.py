"""How one claim came to its verdict: what is tested, the runs behind it, their numbers, the reason."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from circuitlang.judgement.contrast import FormClass, classify, comparisons
from circuitlang.judgement.preconditions import describe
from circuitlang.report.document import CheckDocument, ClaimForm, RunForm
from circuitlang.report.terminal import claim_text, decimals_for, interval, number

MOST_TESTS, MOST_MEMBERS = 3, 30
_SIGNS = {">=": ">= 0", ">": "> 0", "<=": ">= 0", "<": "> 0"}


def print_trace(document: CheckDocument, name: str, formula: Any, console: Console) -> None:
    """Everything behind one claim of the document; `formula` is what was decided."""
    claim = next(c for c in document.claims if c.name == name)
    console.print(Text(claim_text(claim)), soft_wrap=True)
    _paragraph("tested", _tests(formula, claim.target), console)
    console.print(_runs(document.runs))
    if len(claim.members) > 1:
        console.print(_members(claim))
    said = [f"{name} {number(value)}" for name, value in claim.companions.items()]
    _paragraph("beside the mean", said, console)
    assumed = [f"assume {a.name}: {a.verdict}" for a in document.claims if a is not claim]
    checked = [
        f"{p.code}, {p.title}: {'passed' if p.passed else 'failed'} ({p.detail})"
        for p in document.preconditions
    ]
    _paragraph("preconditions", [*assumed, *checked], console)
    noise = [f"{name}: {number(value)}" for name, value in document.noise.items()]
    _paragraph("numeric noise", noise, console)


def _paragraph(title: str, lines: list[str], console: Console) -> None:
    if lines:
        console.print(Group(Text(title, style="bold"), *(Text(f"  {line}") for line in lines)))


def _tests(formula: Any, target: str) -> list[str]:
    """The contrasts whose signs decide, as far as there are any."""
    found = list(islice(_contrasts(formula, target), MOST_TESTS + 1))
    return [*found[:MOST_TESTS], "..."] if len(found) > MOST_TESTS else found


def _contrasts(formula: Any, target: str) -> Iterator[str]:
    for comparison in comparisons(formula):
        form = classify(comparison, target)
        if not isinstance(form, FormClass):
            continue
        if form.kind == "constant":
            yield f"{form.kind}: arithmetic"
        elif not form.tests:
            yield f"{form.kind}: the number itself, resampled"
        for test in form.tests:
            times = f", times the sign of {describe(form.over)}" if form.over else ""
            yield f"{form.kind}: {describe(test)} {_SIGNS.get(form.operator, '')}{times}"


def _runs(runs: tuple[RunForm, ...]) -> Table:
    """Per run and metric: how its numbers spread over the prompts."""
    table = Table(title="runs", title_justify="left", pad_edge=False)
    for heading in ("F of", "on", "under", "by", "n", "mean", "sd", "min", "median", "max"):
        right = heading in ("n", "mean", "sd", "min", "median", "max")
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for run in runs:
        values = np.array(run.values or ())
        spread = (values.min(), np.median(values), values.max()) if len(values) else ()
        numbers = (run.mean, run.sd, *map(float, spread))
        under = run.under.name if run.under else ""
        cells = (run.set, run.on, under, run.by, str(run.n), *map(number, numbers))
        table.add_row(*map(Text, cells))
    return table


def _members(claim: ClaimForm) -> Table:
    table = Table(title="members", title_justify="left", pad_edge=False)
    for heading in ("member", "verdict", "value", "interval", "n"):
        table.add_column(heading, overflow="fold")
    for member in claim.members[:MOST_MEMBERS]:
        decimals = decimals_for(member.value, member.low, member.high)
        ends = interval(member.low, member.high, decimals)
        cells = (member.name, member.verdict, number(member.value, decimals), ends, str(member.n))
        table.add_row(*map(Text, cells))
    if len(claim.members) > MOST_MEMBERS:
        table.add_row(Text(f"{len(claim.members) - MOST_MEMBERS:,} more"))
    return table
