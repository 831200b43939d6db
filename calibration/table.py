"""The tables, as markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from calibration.known import why
from calibration.trials import Count, too_often


def markdown(counts: Sequence[Count]) -> Iterator[str]:
    flagged = {(c.row.label, c.verdict) for c in too_often(counts)}
    for table, rows in groupby(counts, key=lambda count: count.row.table):
        yield f"\n### {table.capitalize()}\n"
        yield "| | | replications | wrong `holds` | wrong `fails` | |"
        yield "|---|---|---|---|---|---|"
        for _, group in groupby(rows, key=lambda count: count.row.label):
            found = list(group)
            by_verdict = {count.verdict: count for count in found}
            row = found[0].row
            cells = [_cell(by_verdict.get(verdict)) for verdict in ("holds", "fails")]
            note = ""
            if any((count.row.label, count.verdict) in flagged for count in found):
                note = "above, known" if why(row) else "ABOVE"
            made = found[0].replications
            yield f"| {row.name} | {row.n} | {made:,} | {cells[0]} | {cells[1]} | {note} |"


def _cell(count: Count | None) -> str:
    if count is None:
        return ""
    low, high = count.interval
    return f"{count.rate:.3f} ({low:.3f}..{high:.3f})"
