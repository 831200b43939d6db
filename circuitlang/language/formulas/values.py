"""What an expression of the formula language can denote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from circuitlang.language.graph.architecture import Node
from circuitlang.language.graph.edges import EdgeSet, Place
from circuitlang.language.spec import (
    Aggregate,
    Both,
    Comparison,
    Constant,
    Constants,
    Each,
    Independence,
    Mean,
    MemberShare,
    ModelReference,
    Operation,
    Quantified,
    Rows,
    Within,
)
from circuitlang.language.text import syntax


@dataclass(frozen=True)
class Located:
    """A node, maybe with some of its ports, maybe at a place."""

    node: Node
    ports: str = ""
    place: Place | None = None

    def __str__(self) -> str:
        text = f"{self.node}.{self.ports}" if self.ports else str(self.node)
        return f"{text} @ {self.place}" if self.place else text


@dataclass(frozen=True)
class Nodes:
    """`wide` marks products that drop impossible edges silently: `any`, `mlps`, ranges."""

    members: tuple[Located, ...]
    wide: bool = False


@dataclass(frozen=True)
class Edges:
    """`lines` are the sets that a circuit's written lines denote, for `arrows`."""

    set: EdgeSet
    lines: tuple[tuple[str, EdgeSet], ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Items:
    """A list; `labels` name its members in messages and tables.

    `drawn` says what the members are a random sample of, and is empty for a list that is complete;
    `unwritten` that nobody wrote them, drawn or not.
    """

    members: tuple[Any, ...]
    labels: tuple[str, ...] = ()
    drawn: str = field(default="", compare=False)
    unwritten: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Row:
    """A tuple."""

    members: tuple[Any, ...]


@dataclass(frozen=True)
class Interval:
    """`low..high` of plain numbers, a range or an interval."""

    low: Any
    high: Any


@dataclass(frozen=True)
class AblationValue:
    """`corruption` None with kind resample means the task's only one.

    `task` is the task that the corruption was named with, None where it was not. `draws` belong
    to kind donors and `constants` to kind constants.
    """

    kind: str
    corruption: str | None
    per: tuple[str, ...] | None
    written: str
    task: str | None = None
    draws: int = 0
    constants: Constants | None = None


@dataclass(frozen=True)
class MetricValue:
    name: str
    body: syntax.Expression
    bindings: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Data:
    """A task's prompts, or some of them.

    `each` marks one prompt at a time: "aggregate" inside `mean(... for x in examples)`,
    otherwise the variable of a quantifier, to be expanded once the prompts are drawn.
    """

    task: str
    rows: Rows = Rows()
    each: str | None = None


@dataclass(frozen=True)
class ExampleDomain:
    """The sampled prompts of `data`, one by one, `limit` at most.

    With `whole` all prompts of `data` are meant; the sampled ones are looked at, and so many more
    as `budget` says are searched for one that refutes the claim.
    """

    data: Data
    whole: bool = False
    limit: int | None = None
    budget: int = 0


Formulas = (Comparison, Within, Both, Quantified, Independence)
Numbers = (Constant, Mean, Each, Operation, Aggregate)

Value = (
    Nodes
    | Edges
    | Items
    | Row
    | Interval
    | AblationValue
    | MetricValue
    | Data
    | ExampleDomain
    | ModelReference
    | Place
    | str
    | Constant
    | Mean
    | Each
    | Operation
    | Aggregate
    | MemberShare
    | Comparison
    | Within
    | Both
    | Quantified
    | Independence
)


def kind(value: Any) -> str:
    """The type's name as messages say it."""
    if isinstance(value, Numbers):
        return "a number"
    if isinstance(value, Formulas):
        return "a condition"
    if isinstance(value, Items):
        inner = {kind(m) for m in value.members}
        return f"a list of {plural(next(iter(inner)))}" if len(inner) == 1 else "a list"
    names = {
        Nodes: "a set of nodes",
        Edges: "a set of edges",
        Row: "a tuple",
        Interval: "a range",
        AblationValue: "an ablation",
        MetricValue: "a metric",
        Data: "data",
        ExampleDomain: "the prompts",
        ModelReference: "a model",
        Place: "a position",
        MemberShare: "a share of members",
        str: "text",
    }
    return names.get(type(value)) or str(getattr(value, "noun", type(value).__name__))


def weight(value: Any, limit: int, *, sets: bool = True) -> int:
    """How many parts a value has, counted up to `limit`: shared parts as often as they are used.

    Without `sets` the score of a set is one part.
    """
    seen, stack = 0, [value]
    while stack and seen < limit:
        part = stack.pop()
        seen += 1
        if isinstance(part, tuple):
            stack.extend(part)
        elif isinstance(part, (Items, Row)):
            stack.extend(part.members)
        elif isinstance(part, Edges):
            stack.append(part.set)
        elif isinstance(part, EdgeSet):
            stack.extend(side for side in (part.left, part.right) if side is not None)
        elif isinstance(part, (Mean, Each)):
            if sets:
                stack.append(part.measurement.run.live)
        elif isinstance(part, (*Numbers, *Formulas)):
            stack.extend(getattr(part, name) for name in part.__dataclass_fields__)
    return seen


def plural(kind_name: str) -> str:
    noun = kind_name.removeprefix("a ").removeprefix("an ")
    head, _, rest = noun.partition(" of ")
    return f"{head}s of {rest}" if rest else f"{head}s"
