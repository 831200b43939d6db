"""What the server knows, in the forms of the protocol."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from lsprotocol import types
from pygls.uris import from_fs_path

from circuitlang.explain import pages_folder
from circuitlang.language.diagnostics import Diagnostic
from circuitlang.language.source import Span
from circuitlang.lsp.analysis import Analysis
from circuitlang.lsp.completion import Completions
from circuitlang.lsp.symbols import Symbol
from circuitlang.lsp.text import Text

_SEVERITIES = {
    "error": types.DiagnosticSeverity.Error,
    "warning": types.DiagnosticSeverity.Warning,
    "note": types.DiagnosticSeverity.Information,
}
_SYMBOLS = {
    "task": types.SymbolKind.Module,
    "circuit": types.SymbolKind.Class,
    "group": types.SymbolKind.Array,
    "let": types.SymbolKind.Constant,
    "metric": types.SymbolKind.Function,
    "measure": types.SymbolKind.Function,
    "ablation": types.SymbolKind.Event,
    "model": types.SymbolKind.Object,
    "import": types.SymbolKind.Package,
    "claim": types.SymbolKind.Boolean,
    "assume": types.SymbolKind.Boolean,
    "report": types.SymbolKind.Number,
    "slot": types.SymbolKind.Field,
    "tokens": types.SymbolKind.Enum,
    "corrupt": types.SymbolKind.Event,
    "prompt": types.SymbolKind.String,
    "label": types.SymbolKind.Key,
}


def published(analysis: Analysis, uri: str) -> list[types.Diagnostic]:
    return [_diagnostic(d, analysis, uri) for d in analysis.diagnostics]


def _diagnostic(d: Diagnostic, analysis: Analysis, uri: str) -> types.Diagnostic:
    own = d.span is not None and d.span.source is analysis.text.source
    related = list(d.related)
    if d.span is not None and not own:
        related.insert(0, (d.span, d.message))
    range_ = _range(d.span, analysis) if d.span and own else _import_of(d.span, analysis)
    return types.Diagnostic(
        range_,
        d.message if d.help is None else f"{d.message}\nhelp: {d.help}",
        severity=_SEVERITIES[d.severity],
        code=d.code,
        code_description=_page(d.code),
        source="circ",
        tags=[types.DiagnosticTag.Unnecessary] if d.code == "CL114" else None,
        related_information=[
            types.DiagnosticRelatedInformation(location(span, analysis, uri), text)
            for span, text in related
        ]
        or None,
    )


def _range(span: Span, analysis: Analysis) -> types.Range:
    return analysis.text.range(span.start, span.end)


def _import_of(span: Span | None, analysis: Analysis) -> types.Range:
    """Where what belongs to an imported file, or to no place at all, is shown."""
    for symbol in analysis.outline.of_kind("import"):
        module = analysis.modules.get(symbol.name)
        if span is not None and module is not None and module.source is span.source:
            return analysis.text.range(symbol.whole.start, symbol.whole.end)
    return analysis.text.range(0, 0)


def location(span: Span, analysis: Analysis, uri: str) -> types.Location:
    """A place in the document or in a file that it imports."""
    if span.source is analysis.text.source:
        return types.Location(uri, _range(span, analysis))
    text = Text(span.source.text, span.source.name, span.source.folder, analysis.text.encoding)
    file = span.source.folder / Path(span.source.name).name
    return types.Location(
        from_fs_path(str(file.resolve())) or uri, text.range(span.start, span.end)
    )


def _page(code: str) -> types.CodeDescription | None:
    page = pages_folder() / f"{code}.md"
    return types.CodeDescription(page.resolve().as_uri()) if page.is_file() else None


def completion_list(found: Completions, text: Text, offset: int) -> types.CompletionList:
    """`found` as edits of what is written of the word so far, in their given order."""
    place = text.range(found.start, offset)
    items = [
        types.CompletionItem(
            s.text,
            kind=s.kind,
            detail=s.detail or None,
            documentation=types.MarkupContent(types.MarkupKind.Markdown, s.about)
            if s.about
            else None,
            sort_text=f"{number:04}",
            text_edit=types.TextEdit(place, s.text),
        )
        for number, s in enumerate(found.suggestions)
    ]
    return types.CompletionList(is_incomplete=False, items=items)


def document_symbols(analysis: Analysis) -> list[types.DocumentSymbol]:
    return [_document_symbol(s, analysis.text) for s in analysis.outline.symbols]


def _document_symbol(symbol: Symbol, text: Text) -> types.DocumentSymbol:
    return types.DocumentSymbol(
        symbol.name,
        _SYMBOLS[symbol.kind],
        text.range(symbol.whole.start, symbol.whole.end),
        text.range(symbol.place.start, symbol.place.end),
        detail=symbol.kind,
        children=[_document_symbol(c, text) for c in symbol.children] or None,
    )


def folding_ranges(analysis: Analysis) -> list[types.FoldingRange]:
    """Statements, and what stands in tasks, as far as they take several lines; runs of comment."""
    text = analysis.text
    wholes = [s.whole for s in analysis.outline.statements]
    wholes += [c.whole for s in analysis.outline.symbols for c in s.children if c.kind == "corrupt"]
    places = [text.range(w.start, w.end) for w in wholes]
    found = [types.FoldingRange(p.start.line, p.end.line) for p in places]
    found += [
        types.FoldingRange(first, last, kind=types.FoldingRangeKind.Comment)
        for first, last in _comments(text.text.split("\n"))
    ]
    return [f for f in found if f.end_line > f.start_line]


def _comments(lines: list[str]) -> Iterator[tuple[int, int]]:
    """The first and last line of each run of lines that are comment alone."""
    numbered = groupby(enumerate(lines), lambda line: line[1].lstrip().startswith("#"))
    for is_comment, run in numbered:
        numbers = [number for number, _ in run]
        if is_comment:
            yield numbers[0], numbers[-1]
