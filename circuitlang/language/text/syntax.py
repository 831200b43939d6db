"""The syntax tree: what was written, with spans, before any name is looked up."""

from __future__ import annotations

from dataclasses import dataclass, field

from circuitlang.language.source import Span


def _span() -> Span:
    span: Span = field(compare=False, repr=False)
    return span


RELATIONS = frozenset([">=", "<=", ">", "<", "==", "!="])

# ---------------------------------------------------------------- expressions


@dataclass(frozen=True)
class Name:
    parts: tuple[str, ...]
    span: Span = _span()

    @property
    def text(self) -> str:
        return ".".join(self.parts)


@dataclass(frozen=True)
class NodeLiteral:
    """`a9.h[6,9]`, `m[*]`, `a3.h0.kv`: indices without blanks at their signs, parsed by the resolver."""

    text: str
    span: Span = _span()


@dataclass(frozen=True)
class NumberLiteral:
    """`value` already has `%` applied; `text` keeps the width of ranges like 02..98."""

    value: float
    text: str
    span: Span = _span()


@dataclass(frozen=True)
class StringLiteral:
    value: str
    span: Span = _span()


@dataclass(frozen=True)
class Binding:
    names: tuple[str, ...]
    domain: Expression
    span: Span = _span()


@dataclass(frozen=True)
class Generator:
    bindings: tuple[Binding, ...]
    condition: Expression | None


@dataclass(frozen=True)
class ListExpression:
    items: tuple[Expression, ...]
    generator: Generator | None
    span: Span = _span()


@dataclass(frozen=True)
class TupleExpression:
    items: tuple[Expression, ...]
    span: Span = _span()


@dataclass(frozen=True)
class Clause:
    """A context word and its value: `under zero`."""

    word: str
    value: Expression
    span: Span = _span()


@dataclass(frozen=True)
class Call:
    name: Name
    arguments: tuple[Expression, ...]
    named: tuple[tuple[str, Expression], ...]
    generator: Generator | None
    clauses: tuple[Clause, ...]
    span: Span = _span()


@dataclass(frozen=True)
class Ported:
    base: Expression
    port: str
    span: Span = _span()


@dataclass(frozen=True)
class At:
    base: Expression
    place: Expression
    span: Span = _span()


@dataclass(frozen=True)
class Binary:
    """`operator` is one of + - * / & -> .. and <= < > >= == != in."""

    operator: str
    left: Expression
    right: Expression
    span: Span = _span()


@dataclass(frozen=True)
class Negation:
    operand: Expression
    span: Span = _span()


@dataclass(frozen=True)
class Quantifier:
    """`kind` is forall, exists or most (which has a share)."""

    kind: str
    share: Expression | None
    names: tuple[str, ...]
    domain: Expression
    body: Expression
    span: Span = _span()


Expression = (
    Name
    | NodeLiteral
    | NumberLiteral
    | StringLiteral
    | ListExpression
    | TupleExpression
    | Call
    | Ported
    | At
    | Binary
    | Negation
    | Quantifier
)

# ---------------------------------------------------------------- statements


@dataclass(frozen=True)
class Setting:
    """`value` is a `Name` where it is a word, `split search`."""

    name: str
    value: str | float | bool | Name
    span: Span = _span()


@dataclass(frozen=True)
class SpecHeader:
    name: str
    version: str
    span: Span = _span()


@dataclass(frozen=True)
class Import:
    path: str
    name: str
    span: Span = _span()


@dataclass(frozen=True)
class Model:
    name: str | None
    reference: str
    settings: tuple[Setting, ...]
    span: Span = _span()


@dataclass(frozen=True)
class Slot:
    names: tuple[str, ...]
    value: Expression
    span: Span = _span()


@dataclass(frozen=True)
class Tokens:
    name: str
    value: Expression
    span: Span = _span()


@dataclass(frozen=True)
class PromptTemplate:
    name: str | None
    text: StringLiteral
    span: Span = _span()


@dataclass(frozen=True)
class Where:
    condition: Expression
    span: Span = _span()


@dataclass(frozen=True)
class Rewrite:
    name: str
    value: Expression
    span: Span = _span()


@dataclass(frozen=True)
class Corrupt:
    name: str
    items: tuple[Rewrite | Where, ...]
    span: Span = _span()


TaskItem = Slot | Tokens | PromptTemplate | Where | Corrupt | Setting


@dataclass(frozen=True)
class Task:
    """`complete` is False when some of its lines could not be read."""

    name: str
    items: tuple[TaskItem, ...]
    span: Span = _span()
    complete: bool = True


@dataclass(frozen=True)
class EdgeLine:
    source: Expression
    target: Expression
    span: Span = _span()


@dataclass(frozen=True)
class LiveLine:
    nodes: Expression
    span: Span = _span()


@dataclass(frozen=True)
class Circuit:
    """Either lines of a block or one value; `complete` is False when a line could not be read."""

    name: str
    lines: tuple[EdgeLine | LiveLine, ...]
    value: Expression | None
    span: Span = _span()
    complete: bool = True


@dataclass(frozen=True)
class Measure:
    name: str
    parameters: tuple[str, ...]
    body: Expression
    span: Span = _span()


@dataclass(frozen=True)
class Define:
    """`kind` is group, let, metric or ablation."""

    kind: str
    name: str
    value: Expression
    span: Span = _span()


@dataclass(frozen=True)
class Claim:
    """`kind` is claim or assume. `expect` is (verdict, reason, its span)."""

    kind: str
    name: str
    sentence: str | None
    clauses: tuple[Clause, ...]
    expect: tuple[str, str, Span] | None
    formula: Expression
    span: Span = _span()


@dataclass(frozen=True)
class Report:
    name: str
    sentence: str | None
    clauses: tuple[Clause, ...]
    value: Expression
    span: Span = _span()


@dataclass(frozen=True)
class Counterexample:
    """`member` is a prompt's text, or an expression for a set."""

    claim: str
    member: str
    span: Span = _span()


@dataclass(frozen=True)
class Default:
    clauses: tuple[Clause, ...]
    span: Span = _span()


Statement = (
    SpecHeader
    | Import
    | Model
    | Task
    | Circuit
    | Measure
    | Define
    | Claim
    | Report
    | Counterexample
    | Default
    | Setting
)


@dataclass(frozen=True)
class Unread:
    """A statement that could not be read: the word that starts it and the name it gives, if any."""

    kind: str
    name: str | None


@dataclass(frozen=True)
class File:
    """`unread` are the statements whose errors are reported already; nothing may complain of their absence."""

    statements: tuple[Statement, ...]
    unread: tuple[Unread, ...] = ()
