"""The check document as HTML for a notebook: tables without scripts, readable in light and dark.

Everything in a document is untrusted text (prompts, names, sentences): `_element` and `_cell` are the
only places where text becomes HTML, and both escape it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from circuitlang.report.document import CheckDocument, ClaimForm, ReportForm
from circuitlang.report.terminal import (
    decimals_for,
    explanation,
    interval,
    number,
    report_decimals,
    summary,
)

# White on a colour of its own reads the same on any page.
_BADGE = "color:#fff;border-radius:3px;padding:0 .4em;white-space:nowrap;background:"
_COLOURS = {
    "holds": "#1a7f37",
    "fails": "#b3261e",
    "undecided": "#8a5a00",
    "survived": "#0b6e8f",
    "invalid": "#7b2d9b",
    "not run": "#5f6368",
}
_TABLE = "border-collapse:collapse;color:inherit;background:none;margin:.5em 0"
_CAPTION = "caption-side:top;text-align:left;font-weight:bold;color:inherit;padding:.3em 0"
_EDGE = "padding:.2em .6em;border-bottom:1px solid rgba(128,128,128,.4);color:inherit;"
_RIGHT = "text-align:right;font-variant-numeric:tabular-nums"
_LEFT = "text-align:left"
_NUMBERS = ("value", "n")
_CLAIMS = ("claim", "verdict", "value", "interval", "threshold", "n")
_REPORTS = ("name", "of", "value", "interval", "n")


def page(document: CheckDocument) -> str:
    """Claims, reported numbers, preconditions that failed, and the line that says it all."""
    parts = []
    if document.claims:
        rows = [row for claim in document.claims for row in _claim(claim)]
        parts.append(_table(document.title, _CLAIMS, rows))
    if document.reports:
        parts.append(_table("reported", _REPORTS, map(_report, document.reports)))
    for found in document.preconditions:
        if not found.passed:
            parts.append(_element("div", f"{found.code} {found.title}: {found.detail}"))
    parts.append(_element("div", summary(document).plain, "font-weight:bold"))
    return f"<div>{''.join(parts)}</div>"


def _claim(claim: ClaimForm) -> list[str]:
    """The claim's row, and one below it where something has to be explained."""
    decimals = decimals_for(claim.value, claim.low, claim.high)
    name = claim.name if claim.kind == "claim" else f"assume {claim.name}"
    badge = _element("span", claim.verdict, _BADGE + _COLOURS[claim.verdict])
    against = "as expected" if claim.ok else f"not {claim.expected}"
    numbers = (
        number(claim.value, decimals),
        interval(claim.low, claim.high, decimals),
        claim.threshold,
        str(claim.n or ""),
    )
    cells = [
        _cell("claim", name, title=claim.sentence or claim.written),
        _cell("verdict", f" {against}" if claim.expected else "", before=badge),
        *map(_cell, _CLAIMS[2:], numbers),
    ]
    rows = [f"<tr>{''.join(cells)}</tr>"]
    said = explanation(claim)
    if said:
        inside = _element("small", said)
        rows.append(
            f'<tr><td colspan="{len(_CLAIMS)}" style="{_EDGE}{_LEFT};padding-left:2em">{inside}</td></tr>'
        )
    return rows


def _report(report: ReportForm) -> str:
    decimals = report_decimals(report)
    numbers = (
        number(report.value, decimals),
        interval(report.low, report.high, decimals),
        str(report.n or ""),
    )
    cells = map(_cell, _REPORTS, (report.name, report.label, *numbers))
    return f"<tr>{''.join(cells)}</tr>"


def _table(caption: str, headings: Sequence[str], rows: Iterable[str]) -> str:
    head = "".join(_element("th", heading, _style(heading)) for heading in headings)
    return (
        f'<table style="{_TABLE}">{_element("caption", caption, _CAPTION)}'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _style(heading: str) -> str:
    return _EDGE + (_RIGHT if heading in _NUMBERS else _LEFT)


def _cell(heading: str, text: str, title: str = "", before: str = "") -> str:
    """`before` is HTML that stands before the text."""
    hint = f' title="{escape(title)}"' if title else ""
    return f'<td style="{_style(heading)}"{hint}>{before}{escape(text)}</td>'


def _element(tag: str, text: str, style: str = "color:inherit") -> str:
    return f'<{tag} style="{style}">{escape(text)}</{tag}>'
