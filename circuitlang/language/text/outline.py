"""The syntax tree -> entries: each statement's pieces, its block, and what is aligned in it.

What is not in the tree (comments, blank lines, the spelling of strings and numbers) is not in
the entries either; the formatter fills it in from the source.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from circuitlang.language.text import syntax
from circuitlang.language.text.layout import Break, Close, Leaf, Note, Open, Piece
from circuitlang.language.text.syntax import Clause, Expression
from circuitlang.language.text.unparse import Writer


@dataclass
class Entry:
    """A statement, or a line of a block. A block's pieces end with its `{`, `closing` is its `}`.

    Adjacent entries of one `run` are aligned at `mark`, and at `name` where their first words
    differ. `blank` and `notes` are the empty line and the comments before the entry.
    """

    pieces: list[Piece]
    run: str = ""
    mark: Leaf | None = None
    name: Leaf | None = None
    body: list[Entry] = field(default_factory=list)
    closing: Leaf | None = None
    blank: bool = False
    notes: list[Note] = field(default_factory=list)

    @property
    def first(self) -> Leaf:
        return next(self.leaves())

    def leaves(self) -> Iterator[Leaf]:
        yield from (piece for piece in self.pieces if isinstance(piece, Leaf))
        for entry in self.body:
            yield from entry.leaves()
        if self.closing is not None:
            yield self.closing

    def on_one_line(self) -> list[Piece]:
        """Also a block, its entries two blanks apart."""
        if self.closing is None:
            return self.pieces
        pieces = [Open(), *self.pieces]
        for index, entry in enumerate(self.body):
            pieces += [Break(2 if index else 1), *entry.on_one_line()]
        return [*pieces, Break(1 if self.body else 0), self.closing, Close()]


def outline(file: syntax.File) -> list[Entry]:
    return [_entry(statement) for statement in file.statements]


_Part = syntax.Statement | syntax.TaskItem | syntax.Rewrite | syntax.EdgeLine | syntax.LiveLine


def _entry(s: _Part) -> Entry:
    match s:
        case syntax.Model():
            return _model(s)
        case syntax.Task(name, items):
            return _block("task", name, items)
        case syntax.Corrupt(name, rewrites):
            return _block("corrupt", name, rewrites)
        case syntax.Circuit(name, edges, None):
            return _block("circuit", name, edges)
        case syntax.Claim():
            return _claim(s, s.kind, s.expect, s.formula)
        case syntax.Report():
            return _claim(s, "report", None, s.value)
        case syntax.EdgeLine(source, target):
            return _edge(source, target)
        case syntax.SpecHeader() | syntax.Import() | syntax.Default() | syntax.Setting():
            return _plain(s)
        case syntax.Where() | syntax.LiveLine() | syntax.Counterexample():
            return _plain(s)
        case _:
            return _definition(s)


def _plain(
    s: syntax.SpecHeader
    | syntax.Import
    | syntax.Default
    | syntax.Setting
    | syntax.Where
    | syntax.LiveLine
    | syntax.Counterexample,
) -> Entry:
    w = Writer()
    match s:
        case syntax.SpecHeader(name, version):
            w.leaf("spec")
            w.word(name)
            w.blank()
            w.string(version)
        case syntax.Import(path, name):
            w.leaf("import")
            w.blank()
            w.string(path)
            w.word("as")
            w.word(name)
        case syntax.Counterexample(claim, member):
            w.leaf("counterexample")
            w.word(claim)
            w.blank()
            w.string(member)
        case syntax.Default(clauses):
            w.leaf("default")
            _clauses(w, clauses)
        case syntax.Setting():
            _setting(w, s)
        case syntax.Where(value) | syntax.LiveLine(value):
            w.leaf("where" if isinstance(s, syntax.Where) else "live")
            w.blank()
            w.expression(value)
    return Entry(w.pieces)


def _definition(
    s: syntax.Define
    | syntax.Measure
    | syntax.Circuit
    | syntax.Slot
    | syntax.Tokens
    | syntax.PromptTemplate
    | syntax.Rewrite,
) -> Entry:
    w = Writer()
    match s:
        case syntax.Define(kind, name, value):
            return _assigned(w, kind, (name,), value)
        case syntax.Measure(name, parameters, body):
            return _assigned(w, "measure", (name,), body, parameters)
        case syntax.Circuit(name, _, value) if value is not None:
            return _assigned(w, "circuit", (name,), value)
        case syntax.Slot(names, value):
            return _assigned(w, "slot", names, value)
        case syntax.Tokens(name, value):
            return _assigned(w, "tokens", (name,), value)
        case syntax.Rewrite(name, value):
            return _assigned(w, "", (name,), value)
        case syntax.PromptTemplate(name, text) if name is not None:
            return _assigned(w, "prompt", (name,), text)
        case syntax.PromptTemplate(_, text):
            w.leaf("prompt")
            w.blank()
            w.expression(text)
            return Entry(w.pieces)
        case _:
            raise TypeError(type(s).__name__)


_MEASURING = ("metric", "ablation")


def _assigned(
    w: Writer,
    word: str,
    names: tuple[str, ...],
    value: Expression,
    parameters: tuple[str, ...] = (),
) -> Entry:
    if word:
        w.leaf(word)
        w.blank()
    start = len(w.pieces)
    w.pattern(names)
    name = _first(w.pieces[start:])
    if parameters:
        _parameters(w, parameters)
    mark = w.word("=")
    w.blank()
    w.expression(value)
    if word in _MEASURING:
        return Entry(w.pieces, "metric", mark, name)
    return Entry(w.pieces, word or "rewrite", mark)


def _parameters(w: Writer, names: tuple[str, ...]) -> None:
    for index, name in enumerate(names):
        w.leaf("," if index else "(")
        if index:
            w.blank()
        w.leaf(name)
    w.leaf(")")


def _edge(source: Expression, target: Expression) -> Entry:
    w = Writer()
    w.open()
    w.expression(source, 8)
    w.line()
    mark = w.leaf("->")
    w.blank()
    w.expression(target, 8)
    w.close()
    return Entry(w.pieces, "edge", mark)


def _model(s: syntax.Model) -> Entry:
    w = Writer()
    w.leaf("model")
    mark = None
    if s.name is not None:
        w.word(s.name)
        mark = w.word("=")
    w.blank()
    w.string(s.reference)
    if s.settings:
        w.open()
        w.word("{")
        for index, setting in enumerate(s.settings):
            w.line(2 if index else 1)
            _setting(w, setting)
        w.line(indent=0)
        w.leaf("}")
        w.close()
    return Entry(w.pieces, "model" if mark else "", mark)


def _setting(w: Writer, s: syntax.Setting) -> None:
    w.leaf(s.name)
    w.blank()
    match s.value:
        case bool(yes):
            w.leaf("yes" if yes else "no")
        case str(text):
            w.string(text)
        case syntax.Name():
            w.leaf(s.value.text, "NAME")
        case number:
            w.leaf(str(int(number)) if number.is_integer() else repr(number), "NUMBER")


def _block(word: str, name: str, items: Sequence[_Part]) -> Entry:
    w = Writer()
    w.leaf(word)
    w.word(name)
    w.word("{")
    return Entry(w.pieces, body=[_entry(item) for item in items], closing=Leaf("}"))


def _clauses(w: Writer, clauses: tuple[Clause, ...]) -> None:
    if not clauses:
        return
    w.open(fill=True)
    for clause in clauses:
        w.line()
        w.clause(clause)
    w.close()


def _claim(
    s: syntax.Claim | syntax.Report,
    kind: str,
    expect: tuple[str, str, object] | None,
    value: Expression,
) -> Entry:
    """What is claimed has lines of its own after a sentence or an expectation."""
    w = Writer()
    w.open()
    w.leaf(kind)
    w.word(s.name)
    if s.sentence is not None:
        w.blank()
        w.string(s.sentence)
    _clauses(w, s.clauses)
    if expect is not None:
        w.line(hard=True)
        w.leaf("expect")
        w.word(expect[0])
        if expect[1]:
            w.blank()
            w.string(expect[1])
    w.leaf(":")
    w.line(hard=s.sentence is not None or expect is not None)
    start = len(w.pieces)
    w.expression(value)
    w.close()
    run = "report" if kind == "report" else "claim"
    return Entry(w.pieces, run, _first(w.pieces[start:]))


def _first(pieces: list[Piece]) -> Leaf:
    return next(piece for piece in pieces if isinstance(piece, Leaf))
