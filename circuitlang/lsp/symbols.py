"""What a document defines, and where, read off its tokens alone.

Works on half-written text, where the parser has to leave statements out. Gives `Symbol`s: the
definitions of the file, and inside tasks the slots, labels, prompts, token sets and corruptions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from lark import Token

from circuitlang.language.tasks.interpolation import Hole as Braces
from circuitlang.language.tasks.interpolation import pieces
from circuitlang.language.text.grammar import STATEMENTS, TASK_ITEMS
from circuitlang.lsp.text import Text, end_of, start_of

_HOLE = re.compile(r"\s*(\w+)\s*(?::\s*(\w+)\s*)?")
_BINDING = ("for", "forall", "exists")


@dataclass(frozen=True)
class Place:
    """Characters `start` (inclusive) to `end` (exclusive) of the document."""

    start: int
    end: int

    def __contains__(self, offset: int) -> bool:
        return self.start <= offset <= self.end


@dataclass(frozen=True)
class Symbol:
    """One definition: `kind` is the word that makes it, or "label"; `whole` is its statement."""

    kind: str
    name: str
    place: Place
    whole: Place
    children: tuple[Symbol, ...] = ()


@dataclass(frozen=True)
class Statement:
    """The tokens from one statement word to the next; `symbol` is what they define, if a name."""

    tokens: Sequence[Token]
    symbol: Symbol | None

    @property
    def kind(self) -> str:
        return str(self.tokens[0])

    @property
    def whole(self) -> Place:
        return Place(start_of(self.tokens[0]), end_of(self.tokens[-1]))

    @property
    def bound(self) -> Iterator[Token]:
        """Parameters, and the variables of quantifiers and comprehensions."""
        for i, token in enumerate(self.tokens):
            if token.value in _BINDING:
                yield from _pattern(self.tokens, i + 1)
            elif token.value == "most" or (i == 0 and token.value == "measure"):
                skipped = _closing(self.tokens, i + 1) if token.value == "most" else i + 1
                yield from _pattern(self.tokens, skipped + 1)


@dataclass
class Outline:
    """The statements of a document in their order."""

    statements: list[Statement] = field(default_factory=list)

    @property
    def symbols(self) -> list[Symbol]:
        return [s.symbol for s in self.statements if s.symbol is not None]

    @property
    def tasks(self) -> list[Symbol]:
        return [s for s in self.symbols if s.kind == "task"]

    def of_kind(self, *kinds: str) -> list[Symbol]:
        """Definitions of the file by these words; those inside tasks by theirs."""
        inside = [child for task in self.tasks for child in task.children]
        return [s for s in (*self.symbols, *inside) if s.kind in kinds]

    def at(self, offset: int) -> Statement | None:
        """The statement that is being written or read at `offset`."""
        found = [s for s in self.statements if s.whole.start <= offset]
        return found[-1] if found else None

    def defined_at(self, offset: int) -> Symbol | None:
        """The definition whose own name stands at `offset`."""
        return next((s for s in self._all() if offset in s.place), None)

    def _all(self) -> Iterator[Symbol]:
        for symbol in self.symbols:
            yield from symbol.children
            yield symbol


def outline(text: Text) -> Outline:
    statements: list[Statement] = []
    start = 0
    for i in range(1, len(text.tokens) + 1):
        if i == len(text.tokens) or text.tokens[i].value in STATEMENTS:
            if tokens := text.tokens[start:i]:
                statements.append(Statement(tokens, _symbol(tokens)))
            start = i
    return Outline(statements)


def _symbol(tokens: Sequence[Token]) -> Symbol | None:
    kind = str(tokens[0])
    if kind not in STATEMENTS or kind in ("spec", "default", "counterexample"):
        return None
    at = 1
    if kind == "import":
        at = next((i + 1 for i, t in enumerate(tokens) if t.value == "as"), len(tokens))
    named = ("NAME", "STRING") if kind == "model" else ("NAME",)
    if at >= len(tokens) or tokens[at].type not in named:
        return None
    whole = Place(start_of(tokens[0]), end_of(tokens[-1]))
    children = tuple(_task_items(tokens)) if kind == "task" else ()
    return Symbol(kind, str(tokens[at]), _place(tokens[at]), whole, children)


def _task_items(tokens: Sequence[Token]) -> Iterator[Symbol]:
    starts = [i for i, t in enumerate(tokens) if t.value in TASK_ITEMS]
    inside = 0
    for start, stop in pairwise([*starts, len(tokens)]):
        if start < inside:
            continue
        item = tokens[start:stop]
        if item[0].value == "corrupt":
            inside = _closing(tokens, start + 2)
            item = tokens[start : inside + 1]
        yield from _task_item(item)


def _task_item(item: Sequence[Token]) -> Iterator[Symbol]:
    kind, whole = str(item[0]), Place(start_of(item[0]), end_of(item[-1]))
    if kind == "slot":
        for token in _pattern(item, 1):
            yield Symbol(kind, str(token), _place(token), whole)
    elif kind != "where" and len(item) > 1 and item[1].type == "NAME":
        yield Symbol(kind, str(item[1]), _place(item[1]), whole)
    if kind == "prompt":
        for token in item:
            if token.type == "STRING":
                yield from _labels(token)


def _labels(token: Token) -> Iterator[Symbol]:
    for hole in holes(token):
        if hole.label != hole.slot:
            whole = Place(hole.slot_place.start, hole.label_place.end)
            yield Symbol("label", hole.label, hole.label_place, whole)


@dataclass(frozen=True)
class Hole:
    """`{slot:label}` in a text; without a label `label` is the slot, and its place too."""

    slot: str
    label: str
    slot_place: Place
    label_place: Place


def holes(token: Token) -> Iterator[Hole]:
    """The placeholders of a string token, where they stand in the document."""
    for braces in pieces(str(token)):
        if not isinstance(braces, Braces) or (found := _HOLE.fullmatch(braces.content)) is None:
            continue
        start = start_of(token) + braces.start + 1
        slot, label = (Place(start + found.start(i), start + found.end(i)) for i in (1, 2))
        if found[2] is None:
            yield Hole(found[1], found[1], slot, slot)
        else:
            yield Hole(found[1], found[2], slot, label)


def _place(token: Token) -> Place:
    return Place(start_of(token), end_of(token))


def _pattern(tokens: Sequence[Token], at: int) -> Iterator[Token]:
    """The name at `at`, or those of a list in parentheses."""
    if at < len(tokens) and tokens[at].type == "LPAR":
        at += 1
        while at < len(tokens) and tokens[at].type in ("NAME", "COMMA"):
            if tokens[at].type == "NAME":
                yield tokens[at]
            at += 1
    elif at < len(tokens) and tokens[at].type == "NAME":
        yield tokens[at]


def _closing(tokens: Sequence[Token], opening: int) -> int:
    """Index of the bracket that closes the one at `opening`, or of the last token."""
    depth = 0
    for i in range(opening, len(tokens)):
        depth += tokens[i].type in ("LPAR", "LBRACE", "LSQB")
        depth -= tokens[i].type in ("RPAR", "RBRACE", "RSQB")
        if depth <= 0:
            return i
    return len(tokens) - 1
