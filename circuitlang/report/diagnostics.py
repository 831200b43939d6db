"""Diagnostics as text and as part of documents."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from circuitlang.language.diagnostics import Diagnostic
from circuitlang.language.source import Span
from circuitlang.report.document import DiagnosticForm, RelatedForm

_STYLE = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}
_WIDEST_LINE = 160
# What would steer the terminal or turn text round: controls but tabs and line ends, directions.
_STEERING = dict.fromkeys(
    [*range(9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)],
    "\ufffd",
)


def print_diagnostics(found: Iterable[Diagnostic], console: Console) -> None:
    for diagnostic in found:
        console.print(render(diagnostic), soft_wrap=True)


def render(diagnostic: Diagnostic) -> Text:
    """Severity and code, the sentence, the marked source line, the edit that mends it."""
    text = Text()
    style = _STYLE[diagnostic.severity]
    text.append(f"{diagnostic.severity}[{diagnostic.code}]", style=style)
    text.append(f": {shown(diagnostic.message)}\n")
    if diagnostic.span is not None:
        _append_snippet(text, diagnostic.span, style)
    for span, message in diagnostic.related:
        text.append(f"  {shown(message)}\n")
        _append_snippet(text, span, "cyan")
    if diagnostic.help:
        text.append("  help: ", style="green")
        text.append(f"{shown(diagnostic.help)}\n")
    return text


def shown(text: str) -> str:
    """A text as it can be printed, of as many characters."""
    return text.translate(_STEERING)


def _append_snippet(text: Text, span: Span, style: str) -> None:
    line, column = span.line, span.column
    text.append(f"  --> {span}\n", style="blue")
    source = span.source.line(line)
    if not source.strip():
        return
    start = max(0, column - 1 - _WIDEST_LINE // 2) if len(source) > _WIDEST_LINE else 0
    visible = source[start : start + _WIDEST_LINE]
    last_line, last_column = span.source.line_and_column(max(span.end - 1, span.start))
    end = last_column if last_line == line else len(source)
    width = max(1, min(end, start + _WIDEST_LINE) - (column - 1))
    gutter = str(line)
    text.append(f"   {gutter} | ", style="blue")
    text.append(f"{shown(visible)}\n")
    blank = "".join("\t" if c == "\t" else " " for c in source[start : column - 1])
    text.append(f"   {' ' * len(gutter)} | ", style="blue")
    text.append(f"{blank}{'^' * width}\n", style=style)


def diagnostic_form(diagnostic: Diagnostic) -> DiagnosticForm:
    span = diagnostic.span
    end = span.source.line_and_column(span.end) if span else (None, None)
    return DiagnosticForm(
        code=diagnostic.code,
        severity=diagnostic.severity,  # type: ignore[arg-type]
        title=diagnostic.title,
        message=diagnostic.message,
        help=diagnostic.help,
        file=span.source.name if span else None,
        line=span.line if span else None,
        column=span.column if span else None,
        end_line=end[0],
        end_column=end[1],
        related=tuple(
            RelatedForm(message=message, file=s.source.name, line=s.line, column=s.column)
            for s, message in diagnostic.related
        ),
    )
