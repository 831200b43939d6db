"""The check document as a table for a person."""

from __future__ import annotations

import math

from rich.console import Console
from rich.table import Table
from rich.text import Text

from circuitlang.report.document import CheckDocument, ClaimForm

_STYLE = {
    "holds": "bold green",
    "fails": "bold red",
    "undecided": "bold yellow",
    "survived": "bold cyan",
    "invalid": "bold magenta",
    "not run": "dim",
}


def number(value: float | None, digits: int = 3) -> str:
    """Three significant digits, more before the point when needed."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return "∞" if value > 0 else "-∞" if value < 0 else "nan"
    if value != 0 and (abs(value) >= 1e5 or abs(value) < 1e-3):
        return f"{value:.{digits - 1}e}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else digits - 1
    return f"{value:.{min(decimals, 4)}f}"


def interval(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return ""
    return f"[{number(low) or '-∞'}, {number(high) or '∞'}]"


def print_document(document: CheckDocument, console: Console) -> None:
    """Verdict table, reasons, preconditions that failed, and the last line that says it all."""
    if document.claims:
        console.print(_claims(document))
    for claim in document.claims:
        _explain(claim, console)
    if document.reports:
        console.print(_reports(document))
    for found in document.preconditions:
        if not found.passed:
            console.print(f"[bold magenta]{found.code}[/] {found.title}: {found.detail}")
    _facts(document, console)
    console.print(summary(document))


def _claims(document: CheckDocument) -> Table:
    table = Table(title=document.title, title_justify="left", expand=False, pad_edge=False)
    for heading in ("claim", "verdict", "value", "interval", "threshold", "n", "by"):
        table.add_column(heading, justify="right" if heading in ("value", "n") else "left")
    for claim in document.claims:
        verdict = Text(claim.verdict, style=_STYLE[claim.verdict])
        if claim.expected:
            verdict.append(
                " as expected" if claim.ok else f", not {claim.expected}",
                style="green" if claim.ok else "red",
            )
        name = claim.name if claim.kind == "claim" else f"assume {claim.name}"
        table.add_row(
            name,
            verdict,
            number(claim.value),
            interval(claim.low, claim.high),
            claim.threshold,
            str(claim.n or ""),
            _method(claim),
        )
    return table


def _method(claim: ClaimForm) -> str:
    text = claim.method
    if claim.worst is not None and claim.members:
        text = f"{text}, {len(claim.members)} members" if text else f"{len(claim.members)} members"
    return text


def _explain(claim: ClaimForm, console: Console) -> None:
    lines = []
    if claim.worst is not None and claim.verdict != "invalid":
        lines.append(f"the number shown is of {claim.worst}")
    if claim.failed:
        shown = ", ".join(claim.failed[:6]) + (", ..." if len(claim.failed) > 6 else "")
        lines.append(f"{len(claim.failed)} of {len(claim.members)} fail: {shown}")
    if claim.verdict != "holds" and claim.reason:
        lines.append(claim.reason)
    if claim.n_to_decide:
        lines.append(f"about {claim.n_to_decide:,} {claim.unit} would decide it")
    if claim.expected and claim.ok and claim.expected_reason:
        lines.append(f"expected: {claim.expected_reason}")
    if lines:
        console.print(
            Text(f"  {claim.name}: ", style="bold").append("; ".join(lines), style="not bold")
        )


def _reports(document: CheckDocument) -> Table:
    table = Table(title="reported", title_justify="left", pad_edge=False)
    for heading in ("name", "of", "value", "interval", "n", "by"):
        table.add_column(heading)
    for r in document.reports:
        table.add_row(r.name, r.label, number(r.value), interval(r.low, r.high), str(r.n), r.method)
    return table


def _facts(document: CheckDocument, console: Console) -> None:
    for model in document.models:
        console.print(
            f"[dim]{model.title}: {model.edges:,} edges, {model.dtype} on {model.device}, "
            f"BOS {'yes' if model.bos else 'no'}; {model.note}[/]"
        )
    worst = max((i.deviation for i in document.invariants), default=None)
    runs = len({(r.set, r.on, r.under, r.with_, r.free) for r in document.runs})
    if worst is not None:
        noise = ", ".join(f"{name} {value:.1e}" for name, value in document.noise.items())
        console.print(
            f"[dim]{runs} runs in {document.seconds:.1f} s; {len(document.invariants)} invariants, "
            f"largest deviation {worst:.1e}; numeric noise: {noise}[/]"
        )


def summary(document: CheckDocument) -> Text:
    claims = [c for c in document.claims if c.kind == "claim"]
    good = sum(c.ok for c in claims)
    if document.exit_code == 2:
        return Text("nothing was decided", style="bold red")
    if good == len(claims) and document.exit_code == 0:
        return Text(
            f"all {len(claims)} claims hold or meet what the spec expects", style="bold green"
        )
    return Text(
        f"{good} of {len(claims)} claims hold or meet what the spec expects", style="bold red"
    )
