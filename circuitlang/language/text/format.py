"""The canonical layout of a spec: `format_text` gives it, with every comment in its place.

Statements stand one to a line, what is in a block indented by two, in lines of at most 100
characters where they can be broken. Of the author's layout these are kept: blank lines between
statements (one of several), comments, the spelling of strings and numbers, and a `corrupt` block
or a block of one entry on one line, when it was and fits.

- Expressions have the parentheses that they need, those round an arrow in a sum or product, and
  those round `&` and what it joins.
- What does not fit is broken from the outside in: after the colon of a claim, then of a
  quantifier; before operators; in brackets, where names and literals fill the lines and anything
  else has a line each, tuples of one length in columns. Claims with a sentence or an expectation
  are always broken after the colon. Strings are never broken.
- Adjacent definitions of one kind (no blank line between them) are aligned at `=`, edges at `->`,
  claims and reports after the colon, if each fits on one line and what stands before differs by
  at most 8 characters (16 before an arrow). Metrics and ablations count as one kind.
- Comments behind adjacent lines are aligned; the others stand two blanks behind.
"""

from __future__ import annotations

import difflib
import heapq
import itertools
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

from lark import Token

from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.source import Source
from circuitlang.language.text import syntax
from circuitlang.language.text.layout import INDENT, Leaf, Line, Note, flat_width, lines
from circuitlang.language.text.lex import comments, lex
from circuitlang.language.text.outline import Entry, outline
from circuitlang.language.text.parse import parse

WIDTH = 100
MOST_PADDING, MOST_BEFORE_ARROWS = 8, 16
# Empty settings and empty reasons are not in the tree.
_DROPPED = ("{", "}", '""', '""""""')
# A comment before one of these is put behind it.
_CLINGING = (",", ":", "=", "{", ".")

_T = TypeVar("_T")


def format_text(source: Source, diagnostics: Diagnostics) -> str | None:
    """The text in canonical layout; None when it has errors, which are then in `diagnostics`."""
    found = Diagnostics()
    file = parse(source, found)
    for diagnostic in found.found:
        diagnostics.add(diagnostic)
    if found.has_errors:
        return None
    entries = outline(file)
    end = _place_source(source, entries)
    return _written(entries, end)


def format_tree(file: syntax.File) -> str:
    """A tree as text, in canonical layout."""
    return _written(outline(file), Leaf(""))


def difference(old: str, new: str, name: str) -> str:
    """What formatting changes in the file `name`, as a unified diff; empty when nothing."""
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    return "".join(difflib.unified_diff(before, after, name, f"{name} (formatted)"))


# ---------------------------------------------------------------- what only the source has


def _place_source(source: Source, entries: list[Entry]) -> Leaf:
    """Gives the leaves their spelling, lines and comments; returns the leaf at the file's end."""
    tokens = lex(source, Diagnostics()).tokens
    grouping = _grouping(tokens)
    end = Leaf("")
    placed = _Placed([leaf for entry in entries for leaf in entry.leaves()], end)
    position = 0
    between = heapq.merge(tokens, comments(source, tokens), key=lambda t: t.start_pos or 0)
    for token in between:
        newlines = source.text.count("\n", position, token.start_pos or 0)
        if token.type == "COMMENT":
            placed.comment(token, newlines)
        elif token.start_pos not in grouping:
            placed.token(token, newlines)
        position = token.end_pos or 0
    for entry in entries:
        _lift_notes(entry)
    return end


def _grouping(tokens: list[Token]) -> set[int | None]:
    """The places of parentheses that only group: no call's, no pattern's, no tuple's."""
    found: set[int | None] = set()
    opened: list[tuple[Token, bool]] = []
    previous = ""
    for token in tokens:
        if token in ("(", "[", "{"):
            opened.append((token, token == "(" and previous not in ("NAME", "MOST")))
        elif token == ",":
            opened[-1] = (opened[-1][0], False)
        elif token in (")", "]", "}"):
            opening, groups = opened.pop()
            if groups:
                found |= {opening.start_pos, token.start_pos}
        previous = token.type
    return found


def _lift_notes(entry: Entry) -> None:
    first = entry.first
    entry.notes, first.notes, entry.blank = first.notes, [], first.blank
    for inner in entry.body:
        _lift_notes(inner)


class _Placed:
    """Walks along the tokens and comments of the source and the leaves that they belong to."""

    def __init__(self, leaves: list[Leaf], end: Leaf) -> None:
        self.leaves = [*leaves, end]
        self.written = [i for i, leaf in enumerate(self.leaves) if not leaf.added]
        self.next = 0

    def token(self, token: Token, newlines: int) -> None:
        leaf = self.leaves[self.written[self.next]]
        if token != leaf.text and token.type != leaf.kind:
            if token not in _DROPPED:
                raise AssertionError(f"{token!r} is written as {leaf.text!r}")
            return
        if leaf.kind in ("STRING", "NUMBER"):
            leaf.text = str(token)
        leaf.line, leaf.blank = token.line or 0, newlines > 1
        self.next += 1

    def comment(self, token: Token, newlines: int) -> None:
        """Behind the leaf before it if it stands on that line, else before the next leaf."""
        index = self.next
        if index and self._leaf(index - 1).leads:
            index -= 1
        while self._leaf(index).text in _CLINGING:
            index += 1
        following = self._before_parentheses(index)
        if newlines == 0 and index and not following.notes:
            previous = self._after_parentheses(index - 1)
            if previous.after is None:
                previous.after = str(token)
                return
        following.notes.append(Note(str(token), newlines > 1))

    def _leaf(self, index: int) -> Leaf:
        return self.leaves[self.written[index]]

    def _before_parentheses(self, index: int) -> Leaf:
        """The leaf, or the first of the parentheses that were added before it."""
        at = self.written[index]
        while at and self.leaves[at - 1].added and self.leaves[at - 1].text == "(":
            at -= 1
        return self.leaves[at]

    def _after_parentheses(self, index: int) -> Leaf:
        at = self.written[index]
        while self.leaves[at + 1].added and self.leaves[at + 1].text == ")":
            at += 1
        return self.leaves[at]


# ---------------------------------------------------------------- lines


def _written(entries: list[Entry], end: Leaf) -> str:
    found: list[Line] = []
    _write(entries, 0, found)
    for note in end.notes:
        _separate(found, note.blank)
        found.append(Line(note.text))
    _align_comments(found)
    return "\n".join(_whole(line) for line in found) + "\n"


def _whole(line: Line) -> str:
    return line.text if line.comment is None else f"{line.text}  {line.comment}"


def _write(entries: list[Entry], indent: int, found: list[Line]) -> None:
    _align_entries(entries, indent)
    for entry in entries:
        for note in entry.notes:
            _separate(found, note.blank)
            found.append(Line(" " * indent + note.text))
        _separate(found, entry.blank)
        if entry.closing is None or _stays_on_one_line(entry, indent):
            found += lines(entry.on_one_line(), indent, WIDTH)
            continue
        found += lines(entry.pieces, indent, WIDTH)
        _write(entry.body, indent + INDENT, found)
        for note in entry.closing.notes:
            _separate(found, note.blank)
            found.append(Line(" " * (indent + INDENT) + note.text))
        found.append(Line(" " * indent + "}", entry.closing.after))


def _separate(found: list[Line], blank: bool) -> None:
    """An empty line, but not at the start of the file or of a block."""
    if blank and found and (_is_comment(found[-1]) or not found[-1].text.endswith("{")):
        found.append(Line(""))


def _is_comment(line: Line) -> bool:
    return line.text.lstrip().startswith("#")


def _stays_on_one_line(entry: Entry, indent: int) -> bool:
    pieces = entry.on_one_line()
    brace = [piece for piece in entry.pieces if isinstance(piece, Leaf)][-1]
    closing = entry.closing
    return (
        closing is not None
        and closing.line == brace.line
        and (entry.first.text == "corrupt" or len(entry.body) <= 1)
        and not any(inner.notes for inner in entry.body)
        and indent + flat_width(pieces) <= WIDTH
    )


# ---------------------------------------------------------------- columns


class _Extent(NamedTuple):
    """Lines that may be aligned: their kind, and the widths of what they consist of.

    The first word (with the indentation), the shortest and the longest text between it and what is
    aligned, and the longest behind. Lines `apart` from those before them begin a run, and so do
    those that would need more than `padding` blanks.
    """

    kind: str
    padding: int
    apart: bool
    word: int
    shortest: int
    longest: int
    rest: int

    def joined(self, other: _Extent) -> _Extent | None:
        """Both together, None when they are not to be aligned."""
        both = _Extent(
            self.kind,
            self.padding,
            self.apart,
            max(self.word, other.word),
            min(self.shortest, other.shortest),
            max(self.longest, other.longest),
            max(self.rest, other.rest),
        )
        alike = self.kind and self.kind == other.kind and not other.apart
        fits = both.word + both.longest + both.rest <= WIDTH
        return both if alike and fits and both.longest - both.shortest <= self.padding else None


def _runs(items: list[tuple[_Extent, _T]]) -> Iterator[list[_T]]:
    run: list[_T] = []
    so_far: _Extent | None = None
    for extent, item in items:
        so_far = so_far.joined(extent) if so_far is not None else None
        if so_far is None and run:
            yield run
            run = []
        so_far = so_far or extent
        run.append(item)
    if run:
        yield run


def _align_entries(entries: list[Entry], indent: int) -> None:
    extents = [(_extent(entry, indent), entry) for entry in entries]
    for run in _runs(extents):
        word, column = max(map(_word, run)), max(map(_stem, run))
        for entry in run:
            if entry.mark is not None:
                entry.mark.gap += column - _stem(entry)
            if entry.name is not None:
                entry.name.gap += word - _word(entry)


def _extent(entry: Entry, indent: int) -> _Extent:
    word, stem, width = _word(entry), _stem(entry), flat_width(entry.pieces)
    kind = entry.run if indent + width <= WIDTH else ""
    apart = entry.blank or any(note.blank for note in entry.notes)
    padding = MOST_BEFORE_ARROWS if kind == "edge" else MOST_PADDING
    return _Extent(kind, padding, apart, indent + word, stem, stem, width - word - stem)


def _word(entry: Entry) -> int:
    """The width of the word before the name, where it is aligned."""
    return len(entry.first.text) if entry.name is not None else 0


def _stem(entry: Entry) -> int:
    """The width of what stands before the mark, without that word."""
    if entry.mark is None:
        return 0
    before = itertools.takewhile(lambda piece: piece is not entry.mark, entry.pieces)
    return flat_width(list(before)) - _word(entry)


def _align_comments(found: list[Line]) -> None:
    for run in _runs([(_comment_extent(line), line) for line in found]):
        column = max(map(_end, run))
        for line in run:
            if line.comment is not None:
                line.text += " " * (column - _end(line))


def _comment_extent(line: Line) -> _Extent:
    """Lines of code of one indentation stand together, with comments or without."""
    indentation = len(line.text) - len(line.text.lstrip())
    kind = str(indentation) if line.text and not _is_comment(line) else ""
    rest = 2 + len(line.comment) if line.comment is not None else 0
    return _Extent(kind, WIDTH, False, 0, _end(line), _end(line), rest)


def _end(line: Line) -> int:
    """Where the comment could begin; 0 where there is none."""
    return len(line.text.rpartition("\n")[2]) if line.comment is not None else 0
