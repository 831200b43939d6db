"""The check document as a table for a person."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from circuitlang.language.formulas.inline import count
from circuitlang.language.text.unparse import quoted
from circuitlang.report.document import (
    AgainstReferenceForm,
    CheckDocument,
    ClaimForm,
    PreregisteredForm,
    ReportForm,
)

_STYLE = {
    "holds": "bold green",
    "fails": "bold red",
    "undecided": "bold yellow",
    "survived": "bold cyan",
    "invalid": "bold magenta",
    "not run": "dim",
}


def number(value: float | None, decimals: int | None = None) -> str:
    """Three significant digits, or as many decimals as `decimals` asks for."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return "∞" if value > 0 else "-∞" if value < 0 else "nan"
    if abs(value) < 1e-12:
        return "0"
    if abs(value) >= 1e5 or abs(value) < 1e-4:
        return f"{value:.1e}"
    if decimals is None:
        decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(decimals, 6)}f}"


def decimals_for(value: float | None, low: float | None, high: float | None) -> int | None:
    """So many that the interval's ends differ in their last two digits; None: no interval."""
    if low is None or high is None or not math.isfinite(low + high) or high <= low:
        return None
    width = max(high - low, 1e-4 * max(abs(low), abs(high)))
    return max(0, 1 - math.floor(math.log10(width)))


def interval(low: float | None, high: float | None, decimals: int | None = None) -> str:
    if low is None and high is None:
        return ""
    if low == high:
        return "exact"
    left, right = number(low, decimals) or "-∞", number(high, decimals) or "∞"
    return f"[{left}, {right}]"


def print_document(document: CheckDocument, console: Console, per_example: bool = False) -> None:
    """Verdict table, reasons, preconditions that failed, and the last line that says it all."""
    if document.claims:
        console.print(_claims(document))
    for claim in document.claims:
        _explain(claim, console)
    if document.reports:
        console.print(_reports(document))
    if per_example:
        console.print(_per_example(document))
    for found in document.preconditions:
        if not found.passed:
            console.print(f"[bold magenta]{found.code}[/] {found.title}: {escape(found.detail)}")
    for line in facts(document):
        console.print(Text(line, style="dim"))
    console.print(summary(document))


def _claims(document: CheckDocument) -> Table:
    table = Table(
        title=Text(document.title, style="italic"),
        title_justify="left",
        expand=False,
        pad_edge=False,
    )
    for heading in ("claim", "verdict", "value", "interval", "threshold", "n", "by"):
        right = heading in ("value", "n")
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for claim in document.claims:
        decimals = decimals_for(claim.value, claim.low, claim.high)
        table.add_row(
            claim.name if claim.kind == "claim" else f"assume {claim.name}",
            verdict_text(claim),
            number(claim.value, decimals),
            Text(interval(claim.low, claim.high, decimals)),
            Text(claim.threshold),
            str(claim.n or ""),
            method_of(claim),
        )
    return table


def method_of(claim: ClaimForm) -> str:
    """`exact` numbers need no method; of a quantifier over prompts, how many it looked at."""
    if claim.n == 1 and claim.member_count > 1:
        return f"each of {claim.member_count} prompts"
    return (
        "no spread"
        if claim.low is not None and claim.low == claim.high and "bootstrap" in claim.method
        else claim.method
    )


def verdict_text(claim: ClaimForm) -> Text:
    text = Text(claim.verdict, style=_STYLE[claim.verdict])
    if claim.expected:
        style = "green" if claim.ok else "red"
        text.append(" as expected" if claim.ok else f", not {claim.expected}", style=style)
    return text


def _explain(claim: ClaimForm, console: Console) -> None:
    said = explanation(claim)
    if said:
        line = Text(f"  {claim.name}: ", style="bold")
        console.print(line.append(said, style="not bold"), soft_wrap=True)


def explanation(claim: ClaimForm) -> str:
    """Of a claim that needs it: which member, why not `holds`, what would decide it; else nothing."""
    if claim.verdict == "invalid":
        return claim.reason or ""
    said = []
    if claim.worst is not None:
        said.append(_which(claim))
    if claim.failed:
        shown = ", ".join(claim.failed[:6]) + (", ..." if len(claim.failed) > 6 else "")
        said.append(f"{len(claim.failed)} of {claim.member_count} fail: {shown}")
    elif claim.reason and (claim.verdict == "survived" or not claim.ok):
        said.append(claim.reason)
    if claim.n_to_decide:
        said.append(f"about {claim.n_to_decide:,} {claim.unit} would decide it")
    if claim.fragile:
        said.append("it holds by a hair: see what another --seed says")
    if claim.counterexample is not None:
        said.append(f"keep it with `{counterexample_line(claim)}`")
    if claim.expected and claim.ok and claim.expected_reason:
        said.append(f"expected: {claim.expected_reason}")
    return "; ".join(said)


def counterexample_line(claim: ClaimForm) -> str:
    """What a spec says so that the member is looked at first from now on."""
    return f"counterexample {claim.name} {quoted(claim.counterexample or '')}"


def claim_text(claim: ClaimForm) -> str:
    """What the table and the line below it say of one claim."""
    decimals = decimals_for(claim.value, claim.low, claim.high)
    ends = interval(claim.low, claim.high, decimals)
    cells = [
        ("value", number(claim.value, decimals)),
        ("interval", "" if claim.value is None else ends),
        ("threshold", claim.threshold),
        ("n", str(claim.n or "")),
        ("by", method_of(claim)),
    ]
    row = ", ".join(f"{heading} {cell}" for heading, cell in cells if cell)
    text = f"{claim.name}: {verdict_text(claim).plain}" + (f"; {row}" if row else "")
    said = explanation(claim)
    return f"{text}\n  {said}" if said else text


def _which(claim: ClaimForm) -> str:
    """Which member of a quantifier or conjunction the row shows."""
    which = "the worst" if claim.verdict != "holds" else "the nearest to the threshold"
    return f"shown is {claim.worst}, {which} of {claim.member_count}"


def _reports(document: CheckDocument) -> Table:
    table = Table(title="reported", title_justify="left", pad_edge=False)
    for heading in ("name", "of", "value", "interval", "n", "by"):
        table.add_column(heading)
    for r in document.reports:
        decimals = report_decimals(r)
        value, ends = number(r.value, decimals), interval(r.low, r.high, decimals)
        cells = (r.name, r.label, value, ends, str(r.n or ""), r.method)
        table.add_row(*map(Text, cells))
    return table


def report_decimals(report: ReportForm) -> int | None:
    """As `decimals_for`; a count has none."""
    if not report.n and report.value is not None and report.value == round(report.value):
        return 0
    return decimals_for(report.value, report.low, report.high)


def print_evaluation(document: CheckDocument, console: Console, per_example: bool) -> None:
    """What `circ eval` shows: numbers with intervals, or a decided condition."""
    if document.claims:
        console.print(_claims(document))
        _explain(document.claims[0], console)
    else:
        console.print(_reports(document))
    if per_example:
        console.print(_per_example(document))
    for found in document.preconditions:
        if not found.passed:
            console.print(f"[bold magenta]{found.code}[/] {found.title}: {escape(found.detail)}")


def _per_example(document: CheckDocument) -> Table:
    """One row a prompt, one column a distinct run and metric."""
    table = Table(title="per prompt", title_justify="left", pad_edge=False)
    table.add_column("prompt", justify="right")
    table.add_column("text")
    chosen = [r for r in document.runs if r.values is not None]
    for run in chosen:
        table.add_column(Text(f"F({run.set} by {run.by})"), justify="right")
    for task in document.tasks:
        for prompt in task.prompts:
            cells = [
                number(r.values[prompt.index]) if r.values and r.on == task.name else ""
                for r in chosen
            ]
            table.add_row(str(prompt.index), Text(prompt.text), *cells)
    return table


def facts(document: CheckDocument) -> Iterator[str]:
    """The models, the runs and what confirmed them, a line each."""
    for model in document.models:
        yield (
            f"{model.title}: {model.edges:,} edges, {model.dtype} on {model.device}, "
            f"BOS {'yes' if model.bos else 'no'}; {model.note}"
        )
    worst = max((i.deviation for i in document.invariants), default=None)
    if worst is not None:
        noise = max(document.noise.values(), default=0.0)
        yield (
            f"{_runs(document)} in {document.seconds:.1f} s; {len(document.invariants)} invariants "
            f"hold to {worst:.1e} of the largest logit; numeric noise of a metric at most {noise:.1e}"
        )
    if document.against_reference is not None:
        yield _against_reference(document.against_reference)
    if document.preregistered is not None:
        yield preregistered(document.preregistered)


def _against_reference(found: AgainstReferenceForm) -> str:
    """The metric that differs most, and by how much."""
    worst = max(found.differences, key=lambda one: one.relative or one.largest)
    share = "" if worst.relative is None else f" ({worst.relative:.1e} of its largest value)"
    return (
        f"{found.runs} runs on {found.prompts} prompts again with the reference executor: "
        f"the largest difference is {worst.largest:.1e} in {worst.by}{share}"
    )


def preregistered(found: PreregisteredForm) -> str:
    """When it was sealed and what has changed since, in one line."""
    changes = ", ".join(found.changes)
    since = f"; {count(len(found.changes), 'change')} since: {changes}" if changes else ""
    return f"preregistered on {found.date[:10]}{since or '; nothing changed since'}"


def _runs(document: CheckDocument) -> str:
    if not document.stored_runs:
        return f"{count(document.executed_runs, 'run')} executed"
    return f"{document.stored_runs} runs from the store, {document.executed_runs} executed,"


def summary(document: CheckDocument) -> Text:
    claims = [c for c in document.claims if c.kind == "claim"]
    good = sum(c.ok for c in claims)
    if document.exit_code == 2:
        return Text("nothing was decided", style="bold red")
    if good == len(claims) and document.exit_code == 0:
        number = f"all {len(claims)} claims hold" if len(claims) != 1 else "the claim holds"
        meet = "meet" if len(claims) != 1 else "meets"
        return Text(f"{number} or {meet} what the spec expects", style="bold green")
    return Text(
        f"{good} of {count(len(claims), 'claim')} hold or meet what the spec expects",
        style="bold red",
    )
