"""What each piece of a text is, for editors that colour by the server's word alone.

Takes a text; gives the numbers of `textDocument/semanticTokens`, from the rules that the Pygments
lexer and the TextMate grammar are made of.
"""

from __future__ import annotations

from lsprotocol import types

from circuitlang.highlight import KINDS, CircLexer
from circuitlang.lsp.text import Text, units

TYPES = sorted({kind.semantic for kind in KINDS if kind.semantic is not None})
LEGEND = types.SemanticTokensLegend(TYPES, [])
_NUMBERS = {kind.token: TYPES.index(kind.semantic) for kind in KINDS if kind.semantic is not None}


def semantic_tokens(text: Text) -> list[int]:
    """Five numbers a token: lines and columns after the last one, length, type, no modifiers."""
    found: list[int] = []
    last = types.Position(0, 0)
    for start, kind, value in CircLexer().get_tokens_unprocessed(text.text):
        if kind not in _NUMBERS:
            continue
        at = start
        for line in value.split("\n"):
            if line:
                place = text.position(at)
                lines = place.line - last.line
                columns = place.character - (0 if lines else last.character)
                length = units(line, text.encoding)
                found += (lines, columns, length, _NUMBERS[kind], 0)
                last = place
            at += len(line) + 1
    return found
