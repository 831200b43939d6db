"""What differs in meaning between two specs, two locks, or two revisions of one.

    text --sides--> meanings and known verdicts --compare--> a `DiffDocument`

`circuitlang.report.diff` shows it. Neither torch nor numpy is imported.
"""

from __future__ import annotations

from circuitlang.diff.compare import Side, compare
from circuitlang.diff.sides import sides
from circuitlang.language.diagnostics import Diagnostics
from circuitlang.report.diff.document import DiffDocument

__all__ = ["Side", "compare", "diff", "sides"]


def diff(before: str, after: str | None, diagnostics: Diagnostics) -> DiffDocument | None:
    """None where a side cannot be read; `diagnostics` say why."""
    found = sides(before, after, diagnostics)
    if found is None:
        return None
    try:
        return compare(*found)
    except (ValueError, KeyError, TypeError, AttributeError):
        if not any(text.endswith(".lock") for text in (before, after or before)):
            raise
        diagnostics.error(
            "CL705",
            "What the spec means stands in a lock in a form that this version does not read.",
            None,
            "compare the specs themselves, or `circ lock` the spec anew",
        )
        return None
