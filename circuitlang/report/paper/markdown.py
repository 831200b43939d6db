"""The table of a check for a README or a pull request: every text of the spec stands in code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from circuitlang.report.diff.markdown import code
from circuitlang.report.document import CheckDocument
from circuitlang.report.paper.rows import Row, claim_rows, named, provenance, report_rows
from circuitlang.report.terminal import summary

CLAIMS = ("claim", "", "verdict", "value", "interval", "threshold", "n")
REPORTS = ("reported", "", "value", "interval", "n")
RIGHT = ("value", "n")


def markdown(document: CheckDocument) -> str:
    return "\n\n".join(_parts(document)) + "\n"


def _parts(document: CheckDocument) -> Iterator[str]:
    yield f"**{code(document.heading or named(document))}**: {summary(document).plain}."
    if document.authors or document.doi or document.papers:
        doi = [f"doi:{document.doi}"] if document.doi else []
        yield ", ".join(map(code, [*document.authors, *doi, *document.papers]))
    if document.claims:
        yield _table(CLAIMS, map(_claim, claim_rows(document)))
    if document.reports:
        yield _table(REPORTS, map(_report, report_rows(document)))
    yield f"{code(named(document))}; {'; '.join(map(code, provenance(document)))}"


def _claim(row: Row) -> list[str]:
    verdict = row.verdict if row.ok else f"**{row.verdict}**"
    said = _cell(row.says or row.written)
    numbers = [row.value, row.interval, _cell(row.threshold) if row.threshold else "", row.n]
    return [_cell(row.name), said, verdict, *numbers]


def _report(row: Row) -> list[str]:
    says = " ".join(_cell(text) for text in (row.says, row.written) if text)
    return [_cell(row.name), says, row.value, row.interval, row.n]


def _table(heads: tuple[str, ...], rows: Iterable[list[str]]) -> str:
    rule = ["--:" if head in RIGHT else ":--" for head in heads]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows))


def _cell(text: str) -> str:
    """A code span that stays in its cell: a bar has one backslash before it and no other."""
    return re.sub(r"(\\?)\|", lambda m: f"{m[1]}{' ' if m[1] else ''}\\|", code(text))
