"""Rows whose rate is known to be above alpha, and why."""

from __future__ import annotations

from calibration.row import Row

KNOWN: dict[str, str] = {}


def why(row: Row) -> str | None:
    return next((reason for start, reason in KNOWN.items() if row.label.startswith(start)), None)
