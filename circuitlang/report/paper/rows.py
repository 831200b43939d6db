"""What a table in a paper says of each claim and each reported number, before it is markup."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from circuitlang.report.document import CheckDocument
from circuitlang.report.terminal import (
    decimals_for,
    interval,
    number,
    preregistered,
    report_decimals,
    verdict_text,
)


@dataclass(frozen=True)
class Row:
    """`says` is the claim's sentence, empty where it has none, and `written` its formula.

    `ok` says that it holds, or meets what the spec expects; None for a reported number.
    """

    name: str
    says: str
    written: str
    value: str
    interval: str
    n: str
    threshold: str = ""
    verdict: str = ""
    ok: bool | None = None


def claim_rows(document: CheckDocument) -> Iterator[Row]:
    for claim in document.claims:
        decimals = decimals_for(claim.value, claim.low, claim.high)
        yield Row(
            claim.name if claim.kind == "claim" else f"assume {claim.name}",
            claim.sentence or "",
            claim.written,
            number(claim.value, decimals),
            "" if claim.value is None else interval(claim.low, claim.high, decimals),
            str(claim.n or ""),
            claim.threshold,
            verdict_text(claim).plain,
            claim.ok,
        )


def report_rows(document: CheckDocument) -> Iterator[Row]:
    for report in document.reports:
        decimals = report_decimals(report)
        yield Row(
            report.name,
            report.sentence or "",
            report.label,
            number(report.value, decimals),
            interval(report.low, report.high, decimals),
            str(report.n or ""),
        )


def named(document: CheckDocument) -> str:
    return f"{document.spec} {document.version or ''}".strip()


def provenance(document: CheckDocument) -> Iterator[str]:
    """On what the numbers were measured, with what, and whether the spec was sealed before."""
    name = named(document)
    if document.title != name:
        yield document.title.removeprefix(f"{name}: ").removesuffix(", nothing was run")
    for model in document.models:
        commit = f" at {model.commit[:12]}" if model.commit else ""
        yield f"{model.reference}{commit} in {model.dtype}"
    spread = (claim for claim in document.claims if claim.low != claim.high)
    if levels := {claim.level for claim in spread if claim.level is not None}:
        low, high = (f"{100 * level:.4g}%" for level in (min(levels), max(levels)))
        yield f"intervals at {low}" if low == high else f"intervals at {low} to {high}"
    yield f"circuitlang {document.tool.get('circuitlang', '')}".strip()
    if document.preregistered is not None:
        yield preregistered(document.preregistered)
