"""Expressions back to text, with the parentheses that their precedence needs.

Where few know by heart what binds tighter there are more: `C - (a -> b)`, `A + (B & (C @ END))`.
`Writer` gives the pieces that the formatter breaks into lines; `unparse` sets them on one line.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from circuitlang.language.text import syntax
from circuitlang.language.text.layout import (
    INDENT,
    Break,
    Close,
    Leaf,
    Open,
    Pad,
    Piece,
    flat,
    flat_width,
)
from circuitlang.language.text.syntax import Expression

_LEVELS = {
    "and": 1,
    **dict.fromkeys(["<", "<=", ">", ">=", "==", "!=", "in"], 2),
    "..": 3,
    "+": 4,
    "-": 4,
    "*": 5,
    "/": 5,
    "&": 5,
    "->": 7,
}
_CHAINS = (1, 4, 5)
_NEGATED, _POSTFIX, _ATOM = 6, 8, 9
_WIDEST_TABLE = 80


def unparse(expression: Expression, level: int = 0) -> str:
    """`level` is the binding strength that the surroundings ask for."""
    writer = Writer()
    writer.expression(expression, level)
    return flat(writer.pieces)


def quoted(value: str) -> str:
    """The value as a string literal on one line."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def clause(c: syntax.Clause) -> str:
    writer = Writer()
    writer.clause(c)
    return flat(writer.pieces)


class Writer:
    """Collects the pieces of expressions, names and words, in the order of the text."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self._gap = 0

    # ------------------------------------------------------------ pieces

    def leaf(self, text: str, kind: str = "", added: bool = False, leads: bool = False) -> Leaf:
        leaf = Leaf(text, self._gap, kind, added, leads)
        self._gap = 0
        self.pieces.append(leaf)
        return leaf

    def word(self, text: str, kind: str = "") -> Leaf:
        """A leaf after a blank."""
        self._gap = 1
        return self.leaf(text, kind)

    def string(self, value: str) -> Leaf:
        return self.leaf(quoted(value), "STRING")

    def blank(self) -> None:
        """The next leaf stands after a blank."""
        self._gap = 1

    def open(self, fill: bool = False) -> None:
        self.pieces.append(Open(fill))

    def close(self) -> None:
        self.pieces.append(Close())

    def line(self, flat: int = 1, indent: int = INDENT, hard: bool = False) -> None:
        self.pieces.append(Break(flat, indent, hard))

    # ------------------------------------------------------------ expressions

    def expression(self, e: Expression, level: int = 0) -> None:
        """`level` is the binding strength that the surroundings ask for."""
        parentheses = _strength(e) < level
        if parentheses:
            self.leaf("(", added=True)
        self._bare(e)
        if parentheses:
            self.leaf(")", added=True)

    def _bare(self, e: Expression) -> None:
        match e:
            case syntax.Binary():
                self._binary(e)
            case syntax.Negation(operand):
                self.leaf("-")
                self.expression(operand, _NEGATED)
            case syntax.At(base, place):
                self.expression(base, _ATOM)
                self.word("@")
                self.blank()
                self.expression(place, _ATOM)
            case syntax.Ported(base, port):
                self.expression(base, _ATOM)
                self.leaf(".")
                self.leaf(port)
            case syntax.Quantifier():
                self._quantifier(e)
            case syntax.TupleExpression(items):
                self._bracketed("(", items, ")")
            case syntax.ListExpression(items, generator):
                self._bracketed("[", items, "]", generator=generator)
            case syntax.Call():
                self.name(e.name)
                arguments = heapq.merge(e.arguments, e.named, key=_place)
                self._bracketed("(", tuple(arguments), ")", e.generator, e.clauses)
            case _:
                self._atom(e)

    def _atom(self, e: Expression) -> None:
        match e:
            case syntax.Name():
                self.name(e)
            case syntax.NodeLiteral(text):
                self.leaf(text, "NODE")
            case syntax.NumberLiteral(_, text):
                self.leaf(text, "NUMBER")
            case syntax.StringLiteral(value):
                self.string(value)
            case _:
                raise TypeError(type(e).__name__)

    def name(self, name: syntax.Name) -> None:
        for index, part in enumerate(name.parts):
            if index:
                self.leaf(".")
            self.leaf(part)

    def pattern(self, names: tuple[str, ...]) -> None:
        if len(names) == 1:
            self.leaf(names[0])
            return
        for index, name in enumerate(names):
            self.leaf("," if index else "(")
            self._gap = 1 if index else 0
            self.leaf(name)
        self.leaf(")")

    def clause(self, c: syntax.Clause) -> None:
        self.leaf(c.word)
        self.blank()
        self.expression(c.value, _POSTFIX)

    def _binary(self, e: syntax.Binary) -> None:
        """A chain of operators of one strength is one group: all of it breaks, or nothing."""
        own = _LEVELS[e.operator]
        chain = own in _CHAINS
        links, left = [e], e.left
        while chain and isinstance(left, syntax.Binary) and _LEVELS[left.operator] == own:
            links.append(left)
            left = left.left
        self.open()
        self.expression(left, _operand(left, links[-1].operator, own + (not chain)))
        for link in reversed(links):
            gap = link.operator != ".."
            if gap:
                self.line()
            self.leaf(link.operator, leads=True)
            self._gap = int(gap)
            self.expression(link.right, _operand(link.right, link.operator, own + 1))
        self.close()

    def _quantifier(self, e: syntax.Quantifier) -> None:
        self.open()
        self.leaf(e.kind)
        if e.share is not None:
            self.leaf("(")
            self.expression(e.share)
            self.leaf(")")
        self.blank()
        self.pattern(e.names)
        self._in(e.domain)
        self.leaf(":")
        self.line()
        self.expression(e.body)
        self.close()

    def _in(self, domain: Expression) -> None:
        self.word("in")
        self.blank()
        self.expression(domain)

    # ------------------------------------------------------------ brackets

    def _bracketed(
        self,
        opening: str,
        items: tuple[_Argument, ...],
        closing: str,
        generator: syntax.Generator | None = None,
        clauses: tuple[syntax.Clause, ...] = (),
    ) -> None:
        """Names and literals fill lines; anything else has a line each when one is too short."""
        self.open()
        self.leaf(opening)
        if items or clauses:
            self.line(0)
        if generator is None and not clauses and all(isinstance(i, _ATOMS) for i in items):
            self.open(fill=True)
            self._items(items, indent=0)
            self.close()
        elif rows := _rows(items):
            self._table(rows)
        else:
            self._items(items)
        self._generator(generator)
        for index, c in enumerate(clauses):
            if items or index:
                self.line()
            self.clause(c)
        if items or clauses:
            self.line(0, indent=0)
        self.leaf(closing)
        self.close()

    def _items(self, items: tuple[_Argument, ...], indent: int = INDENT) -> None:
        for index, item in enumerate(items):
            if index:
                self.leaf(",")
                self.line(indent=indent)
            if isinstance(item, tuple):
                self.leaf(item[0])
                self.word("=")
                self.blank()
            self.expression(item[1] if isinstance(item, tuple) else item)

    def _generator(self, generator: syntax.Generator | None) -> None:
        if generator is None:
            return
        for binding in generator.bindings:
            self.line()
            self.leaf("for")
            self.blank()
            self.pattern(binding.names)
            self._in(binding.domain)
        if generator.condition is not None:
            self.line()
            self.leaf("if")
            self.blank()
            self.expression(generator.condition)

    def _table(self, rows: Sequence[syntax.TupleExpression]) -> None:
        """Tuples of one length: in a broken list they stand one a line, in columns."""
        pads = []
        for index, row in enumerate(rows):
            if index:
                self.leaf(",")
                self.line()
            pads.append(self._row(row))
        widths = [max(pad.width for pad in column) for column in zip(*pads, strict=True)]
        fits = sum(widths) <= _WIDEST_TABLE
        for row_pads in pads:
            for pad, widest in zip(row_pads, widths, strict=True):
                pad.width = widest - pad.width if fits else 0

    def _row(self, row: syntax.TupleExpression) -> list[Pad]:
        """Its pads, each as wide as the cell before it."""
        pads: list[Pad] = []
        self.leaf("(")
        for cell in row.items[:-1]:
            start = len(self.pieces)
            self.expression(cell)
            pads.append(Pad(flat_width(self.pieces[start:])))
            self.leaf(",")
            self.pieces.append(pads[-1])
            self.blank()
        self.expression(row.items[-1])
        self.leaf(")")
        return pads


_Argument = Expression | tuple[str, Expression]
_ATOMS = (syntax.Name, syntax.NodeLiteral, syntax.NumberLiteral, syntax.StringLiteral)


def _strength(e: Expression) -> int:
    match e:
        case syntax.Binary(operator):
            return _LEVELS[operator]
        case syntax.Negation():
            return _NEGATED
        case syntax.At():
            return _POSTFIX
        case _:
            return _ATOM


def _operand(e: Expression, operator: str, level: int) -> int:
    """The level of an operand: arrows in sums and products, and `&` in sums, have parentheses."""
    own = e.operator if isinstance(e, syntax.Binary) else None
    if operator == "&" and own != "&":
        return _ATOM
    unfamiliar = own == "->" or (own == "&" and operator in "+-*/")
    return _ATOM if unfamiliar and operator in "+-*/" else level


def _place(argument: _Argument) -> int:
    """Where an argument begins: named ones stay among the others as they were written."""
    value = argument[1] if isinstance(argument, tuple) else argument
    return value.span.start


def _rows(items: Sequence[_Argument]) -> list[syntax.TupleExpression]:
    """Several tuples of one length, else nothing."""
    rows = [i for i in items if isinstance(i, syntax.TupleExpression)]
    alike = len(rows) == len(items) > 1 and len({len(row.items) for row in rows}) == 1
    return rows if alike else []
