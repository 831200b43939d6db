"""Changes of a document's text: what formatting changes, and what a "did you mean" offers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import SequenceMatcher

from lsprotocol import types

from circuitlang.language.diagnostics import Diagnostic
from circuitlang.language.source import Span
from circuitlang.lsp.analysis import Analysis
from circuitlang.lsp.answers import published
from circuitlang.lsp.text import Text

_MEANT = re.compile(r"did you mean `([^`]+)`\?")
_QUOTED = re.compile(r"`([^`]+)`")


def line_edits(text: Text, new: str) -> list[types.TextEdit]:
    """The lines in which `new` differs, so that a cursor in any other line stays where it is."""
    before, after = _lines(text.text), _lines(new)
    starts = (*text.source.line_starts, len(text.text))
    return [
        types.TextEdit(text.range(starts[i1], starts[i2]), "".join(after[j1:j2]))
        for tag, i1, i2, j1, j2 in SequenceMatcher(None, before, after).get_opcodes()
        if tag != "equal"
    ]


def _lines(text: str) -> list[str]:
    """With their line ends; what stands after the last one is a line too."""
    *lines, last = text.split("\n")
    return [*(f"{line}\n" for line in lines), last]


def quick_fixes(analysis: Analysis, asked: types.Range, uri: str) -> Iterator[types.CodeAction]:
    """The word that is meant, for every finding about a place in `asked` that suggests one."""
    text = analysis.text
    start, end = text.offset(asked.start), text.offset(asked.end)
    for found, shown in zip(analysis.diagnostics, published(analysis, uri), strict=True):
        fix = respelling(found)
        if fix is None or fix[0].source is not text.source:
            continue
        place, meant = fix
        if place.start <= end and start <= place.end:
            edit = types.TextEdit(text.range(place.start, place.end), meant)
            yield types.CodeAction(
                f"Write `{meant}`",
                kind=types.CodeActionKind.QuickFix,
                diagnostics=[shown],
                is_preferred=True,
                edit=types.WorkspaceEdit({uri: [edit]}),
            )


def respelling(found: Diagnostic) -> tuple[Span, str] | None:
    """The misspelled word and the one that is meant, where a finding says so."""
    meant = _MEANT.search(found.help or "")
    if meant is None or found.span is None:
        return None
    for word in _QUOTED.findall(found.message):
        place = found.span.part(word)
        if place.text == word:
            return place, meant[1]
    return None
