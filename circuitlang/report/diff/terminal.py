"""A diff for a person at a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from circuitlang.report.diagnostics import shown
from circuitlang.report.diff.document import DiffDocument
from circuitlang.report.diff.told import Line, flip_text, side_text, summary, told

_STYLE = {
    "added": "bold green",
    "removed": "bold red",
    "weakened": "bold red",
    "strengthened": "bold green",
    "changed": "bold yellow",
    "renamed": "bold cyan",
    "reworded": "bold cyan",
}
_SIGNS = {"+": "green", "-": "red", " ": ""}


def print_diff(document: DiffDocument, console: Console, everything: bool = False) -> None:
    """Changes, the most serious first, then verdicts that are others, then how many there were."""
    if not document.is_empty:
        sides = f"{side_text(document.before)} → {side_text(document.after)}"
        console.print(Text(shown(sides), style="dim"), soft_wrap=True)
    for change in document.changes:
        one = told(change, everything)
        kind = one.kind.upper() if one.loud else one.kind
        style = "bold white on red" if one.loud else _STYLE[change.kind]
        _print(console, Text.assemble((kind, style), "  ", (one.about, "bold")), one.lines)
    for flip in document.flips:
        head = Text.assemble(
            ("verdict", "bold magenta"), "  ", (f"claim {shown(flip.claim)}", "bold")
        )
        _print(console, head, (flip_text(flip),))
    console.print(Text(summary(document)), soft_wrap=True)


def _print(console: Console, head: Text, lines: tuple[Line, ...]) -> None:
    console.print(head, soft_wrap=True)
    for sign, text in lines:
        console.print(Text(f"  {sign} {text}", style=_SIGNS[sign]), soft_wrap=True)
