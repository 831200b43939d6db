"""A document's text: its tokens, and its places as an editor counts them.

An editor counts lines from 0 and columns in code units (UTF-16, unless both sides agreed on
something else); the language counts characters from the start of the text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from lark import Token
from lsprotocol.types import Position, PositionEncodingKind, Range

from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.source import Source
from circuitlang.language.text.lex import lex


def units(text: str, encoding: str) -> int:
    """The length of a text in the code units of an encoding."""
    if text.isascii():
        return len(text)
    if encoding == PositionEncodingKind.Utf8:
        return len(text.encode("utf-8", "surrogatepass"))
    if encoding == PositionEncodingKind.Utf32:
        return len(text)
    return len(text) + sum(c > "\uffff" for c in text)


def normal(text: str) -> str:
    """As a file is read: lines end in a newline alone, and a byte order mark is no word."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return " " + text[1:] if text.startswith("\ufeff") else text


class Text:
    """One version of a document. `name` and `folder` are those of its file, if it has one.

    `unsaved` are the texts of other open documents, by the file that each is in.
    """

    def __init__(
        self,
        text: str,
        name: str,
        folder: Path,
        encoding: str,
        unsaved: Mapping[Path, str] | None = None,
    ) -> None:
        self.source = Source(
            name, normal(text), folder, unsaved=unsaved if unsaved is not None else {}
        )
        self.encoding = encoding

    @property
    def text(self) -> str:
        return self.source.text

    @cached_property
    def tokens(self) -> list[Token]:
        return lex(self.source, Diagnostics()).tokens

    @cached_property
    def _starts(self) -> list[int]:
        return [t.start_pos or 0 for t in self.tokens]

    # ------------------------------------------------------------ places

    def offset(self, position: Position) -> int:
        """The character at a position; one past the end of its line or text is cut."""
        starts = self.source.line_starts
        if position.line >= len(starts):
            return len(self.text)
        start = starts[max(0, position.line)]
        end = starts[position.line + 1] - 1 if position.line + 1 < len(starts) else len(self.text)
        line, counted = self.text[start:end], 0
        for index, character in enumerate(line):
            if counted >= position.character:
                return start + index
            counted += units(character, self.encoding)
        return end

    def position(self, offset: int) -> Position:
        starts = self.source.line_starts
        line = bisect_right(starts, offset) - 1
        return Position(line, units(self.text[starts[line] : offset], self.encoding))

    def range(self, start: int, end: int) -> Range:
        return Range(self.position(start), self.position(end))

    # ------------------------------------------------------------ tokens

    def index_before(self, offset: int) -> int:
        """Index of the last token that starts before `offset`; -1 when there is none."""
        return bisect_right(self._starts, offset - 1) - 1

    def index_at(self, offset: int) -> int | None:
        """Index of the token under the cursor; between two, of the one that is a word."""
        found = bisect_right(self._starts, offset) - 1
        touching = [
            i
            for i in (found, found - 1)
            if i >= 0 and self._starts[i] <= offset <= end_of(self.tokens[i])
        ]
        words = [i for i in touching if self.tokens[i].type in ("NAME", "NODE", "STRING")]
        inside = [i for i in touching if offset < end_of(self.tokens[i])]
        return next(iter([*words, *inside, *touching]), None)


def start_of(token: Token) -> int:
    return token.start_pos or 0


def end_of(token: Token) -> int:
    return token.end_pos or 0
