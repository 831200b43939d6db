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
    line = column = last_line = last_column = 0
    for _, kind, value in CircLexer().get_tokens_unprocessed(text.text):
        for number, piece in enumerate(value.split("\n")):
            if number:
                line, column = line + 1, 0
            length = units(piece, text.encoding)
            if length and kind in _NUMBERS:
                columns = column - (last_column if line == last_line else 0)
                found += (line - last_line, columns, length, _NUMBERS[kind], 0)
                last_line, last_column = line, column
            column += length
    return found
