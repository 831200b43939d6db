"""One row for each claim and each reported number as CSV, with every digit."""

from __future__ import annotations

import csv
import io
from typing import Any

from circuitlang.report.diagnostics import shown
from circuitlang.report.document import CheckDocument, ClaimForm, ReportForm

COLUMNS = (
    "spec", "version", "kind", "name", "of", "sentence", "written", "verdict", "ok", "expected",
    "value", "low", "high", "level", "threshold", "region_low", "region_high", "n", "unit",
    "method", "noise", "n_to_decide", "reason",
)  # fmt: skip
# What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def sheet(document: CheckDocument) -> str:
    """Numbers as Python writes them, `inf` included; what is not known is empty."""
    text = io.StringIO()
    rows = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    rows.writeheader()
    forms: list[ClaimForm | ReportForm] = [*document.claims, *document.reports]
    for form in forms:
        rows.writerow({name: _cell(value) for name, value in _row(document, form).items()})
    return text.getvalue()


def _row(document: CheckDocument, form: ClaimForm | ReportForm) -> dict[str, Any]:
    known = form.model_dump(include=set(COLUMNS))
    of = {"kind": "report", "of": form.label} if isinstance(form, ReportForm) else {}
    return {"spec": document.spec, "version": document.version, **known, **of}


def _cell(value: Any) -> str:
    """A text that would be a formula has a quote before it, as spreadsheets write it themselves."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case str():
            plain = shown(value)
            return f"'{plain}" if plain.lstrip(" ").startswith(_FORMULA) else plain
    return repr(value)
