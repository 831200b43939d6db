"""Pieces of text -> lines no wider than a limit.

Text that can be laid out is a flat list of pieces: words (`Leaf`), places where a line may end
(`Break`), and `Open` ... `Close` around what belongs together. A group that fits stays on its line;
otherwise each of its own breaks ends a line, or in a `fill` group as few of them as are needed.
What follows a broken line is indented from the line on which its group opens.

Sizes are found in two passes over the pieces, lines in a third (after Oppen, "Prettyprinting",
TOPLAS 2(4), 1980): time is linear and nothing recurs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

INDENT = 2
_NEVER = 1_000_000_000


@dataclass(frozen=True)
class Note:
    """A comment on a line of its own; `blank`: an empty line stands before it."""

    text: str
    blank: bool


@dataclass(eq=False)
class Leaf:
    """A token. `gap` blanks stand before it unless it begins a line.

    `kind` names the terminal where the spelling is the source's; `added` is a parenthesis that the
    source may lack; an operator `leads` the line after a break. The rest is what the source has at
    this token: `notes` before it, `after` behind it on its line, and its line's number.
    """

    text: str
    gap: int = 0
    kind: str = ""
    added: bool = False
    leads: bool = False
    notes: list[Note] = field(default_factory=list)
    after: str | None = None
    blank: bool = False
    line: int = 0

    @property
    def width(self) -> int:
        return _NEVER if "\n" in self.text else self.gap + len(self.text)


@dataclass(frozen=True)
class Break:
    """`flat` blanks, or the end of a line after which text is indented by `indent`."""

    flat: int = 1
    indent: int = INDENT
    hard: bool = False


@dataclass(eq=False)
class Pad:
    """Blanks that only a broken group has: they align the columns of its lines."""

    width: int = 0


@dataclass(frozen=True)
class Open:
    fill: bool = False


@dataclass(frozen=True)
class Close:
    pass


Piece = Leaf | Break | Pad | Open | Close


@dataclass
class Line:
    """`text` has its indentation; `comment` is what stands behind it."""

    text: str
    comment: str | None = None


def flat(pieces: Sequence[Piece]) -> str:
    """The pieces on one line."""
    text = []
    for piece in pieces:
        if isinstance(piece, Leaf):
            text.append(" " * piece.gap + piece.text)
        elif isinstance(piece, Break):
            text.append(" " * piece.flat)
    return "".join(text)


def flat_width(pieces: Sequence[Piece]) -> int:
    """The width of the pieces on one line; more than any line where they need several."""
    width, leaf = 0, None
    for piece in pieces:
        if isinstance(piece, Leaf):
            width += piece.width + (_NEVER if _parted(leaf, piece) else 0)
            leaf = piece
        elif isinstance(piece, Break):
            width += _NEVER if piece.hard else piece.flat
    return width


def lines(pieces: Sequence[Piece], indent: int, limit: int) -> list[Line]:
    """The pieces from column `indent` on, in lines of at most `limit` characters where possible."""
    return _Lines(pieces, indent, limit).lines


def _parted(left: Leaf | None, right: Leaf) -> bool:
    """Whether a comment stands between two leaves."""
    return bool(left is not None and (left.after is not None or right.notes))


class _Sizes:
    """`of[i]`: the width that piece i needs to stay on its line, for groups and breaks."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.of = [0] * len(pieces)
        self.tails = _tails(pieces)
        self._at = 0
        self._begun: list[tuple[int, int]] = []
        self._last_break: list[tuple[int, int] | None] = []
        self._measure(pieces)

    def _measure(self, pieces: Sequence[Piece]) -> None:
        leaf: Leaf | None = None
        fresh = 0  # groups at the end of `_begun` that have no leaf yet
        for index, piece in enumerate(pieces):
            match piece:
                case Leaf():
                    if _parted(leaf, piece):
                        self._at += _NEVER
                        for depth in range(len(self._begun) - fresh, len(self._begun)):
                            self._begun[depth] = (self._begun[depth][0], self._at)
                    fresh = 0
                    self._at += piece.width
                    leaf = piece
                case Break():
                    self._end_chunk(0)
                    if self._last_break:
                        self._last_break[-1] = (index, self._at)
                    self._at += _NEVER if piece.hard else piece.flat
                case Open():
                    self._begun.append((index, self._at))
                    self._last_break.append(None)
                    fresh += 1
                case Close():
                    self._end_chunk(self.tails[index])
                    self._last_break.pop()
                    begin, start = self._begun.pop()
                    self.of[begin] = self._at - start + self.tails[index]
                    fresh = max(0, fresh - 1)

    def _end_chunk(self, tail: int) -> None:
        last = self._last_break[-1] if self._last_break else None
        if last is not None:
            index, start = last
            self.of[index] = self._at - start + tail


def _tails(pieces: Sequence[Piece]) -> list[int]:
    """For each piece the width of what follows it up to the next place where a line may end."""
    tails = [0] * len(pieces)
    tail = 0
    for index in range(len(pieces) - 1, -1, -1):
        tails[index] = tail
        piece = pieces[index]
        if isinstance(piece, Break):
            tail = 0
        elif isinstance(piece, Leaf):
            rest = 0 if piece.after is not None else tail
            tail = 0 if piece.notes else rest + piece.gap + len(piece.text.partition("\n")[0])
    return tails


@dataclass(frozen=True)
class _Group:
    indent: int
    broken: bool
    fill: bool


class _Lines:
    """Sets pieces in lines, from the first to the last."""

    def __init__(self, pieces: Sequence[Piece], indent: int, limit: int) -> None:
        self.lines: list[Line] = []
        self._limit = limit
        self._begin(indent)
        self._groups = [_Group(indent, True, False)]
        for piece, size in zip(pieces, _Sizes(pieces).of, strict=True):
            match piece:
                case Leaf():
                    self._leaf(piece)
                case Break():
                    self._break(piece, size)
                case Pad(width):
                    self._add(" " * width if self._groups[-1].broken else "")
                case Open(fill):
                    broken = self._groups[-1].broken and self._column + size > limit
                    self._groups.append(_Group(self._indent, broken, fill))
                case Close():
                    self._groups.pop()
        self._end_line()

    def _begin(self, indent: int) -> None:
        self._indent = self._column = indent
        self._text: list[str] = []
        self._comment: str | None = None

    def _end_line(self) -> None:
        if self._text:
            self.lines.append(Line(" " * self._indent + "".join(self._text), self._comment))

    def _add(self, text: str) -> None:
        self._text.append(text)
        newline = text.rfind("\n")
        self._column = self._column + len(text) if newline < 0 else len(text) - newline - 1

    def _break(self, piece: Break, size: int) -> None:
        group = self._groups[-1]
        full = not group.fill or self._column + size > self._limit
        if piece.hard or (group.broken and full):
            self._end_line()
            self._begin(group.indent + piece.indent)
        else:
            self._add(" " * piece.flat)

    def _leaf(self, leaf: Leaf) -> None:
        if self._text and (self._comment is not None or leaf.notes):
            self._end_line()
            self._begin(self._groups[-1].indent + INDENT)
        inside = INDENT if leaf.text in (")", "]", "}") else 0
        for note in leaf.notes:
            self.lines.append(Line(" " * (self._indent + inside) + note.text))
        self._add(" " * leaf.gap + leaf.text if self._text else leaf.text)
        self._comment = leaf.after
