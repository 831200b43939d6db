"""The members of a set expression that stands in no file: what is ranked, one after another.

Takes the text, what its members are to be and context words, and gives each member's label and
edges, and the expression of the language that lists the same members.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, overload

from circuitlang.language.formulas.claims import ClaimResolver
from circuitlang.language.formulas.environment import Environment
from circuitlang.language.formulas.evaluate import Evaluator
from circuitlang.language.formulas.values import Edges, Items, Nodes, kind
from circuitlang.language.graph import sets
from circuitlang.language.graph.architecture import Architecture, bits, parse_edge
from circuitlang.language.graph.edges import EdgeSet, uniform
from circuitlang.language.resolve import Resolved, of_loose_text
from circuitlang.language.source import Source, Span
from circuitlang.language.text import syntax
from circuitlang.language.text.parse import parse_expression
from circuitlang.language.text.unparse import unparse

KINDS = ("edges", "nodes", "ports", "groups")


@dataclass(frozen=True)
class Member:
    """`value` is the set as it was listed; None for a single edge of a set of edges."""

    label: str
    edges: EdgeSet
    value: Nodes | Edges | Items | None = None

    def written(self, graph: Architecture) -> str:
        """The set as an expression, without the arrow into a port."""
        if isinstance(self.value, Nodes):
            parts = [str(member) for member in self.value.members]
        else:
            parts = [_arrow(label) for label, _ in sets.members(self.edges, graph)]
        return parts[0] if len(parts) == 1 else f"[{', '.join(parts)}]"


class EdgeByEdge(Sequence[Member]):
    """The edges of a set that is the same at every position, each made when it is looked at.

    An edge of a large model is an integer of 100,000 bits, and there are as many edges.
    """

    def __init__(self, mask: int, graph: Architecture) -> None:
        self.graph, self.numbers = graph, tuple(bits(mask))

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> Member: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Member, ...]: ...

    def __getitem__(self, index: int | slice) -> Member | tuple[Member, ...]:
        if isinstance(index, slice):
            return tuple(map(self._made, self.numbers[index]))
        return self._made(self.numbers[index])

    def _made(self, number: int) -> Member:
        return Member(str(self.graph.edge(number)), uniform(1 << number))


@dataclass(frozen=True)
class Members:
    """`kind` is one of `KINDS`; `domain` lists the members, as a quantifier takes them.

    `term` is what stands for the edges of the member that `{}` names: a port is no set of edges.
    """

    kind: str
    domain: str
    term: str
    members: Sequence[Member]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True)
class _Place:
    """Where an expression is read: the context words at it, and the task whose positions it has."""

    words: str
    task: str

    def evaluated(
        self, resolver: ClaimResolver, e: syntax.Expression
    ) -> tuple[Any, syntax.Expression, Environment]:
        said = Source("expression", f"F(none{self.words})", e.span.source.folder)
        given = parse_expression(said, resolver.diagnostics)
        clauses = given.clauses if isinstance(given, syntax.Call) else ()
        inlined, env = resolver.inlined(e, clauses), resolver.environment(clauses)
        return resolver.evaluator.value(inlined, env), inlined, env

    def check(self, edges: EdgeSet, evaluator: Evaluator, e: syntax.Expression) -> None:
        evaluator.runs.check_places(edges, evaluator.definitions.task(self.task, e), e)


def members_of(
    text: str, of: str | None, resolved: Resolved, words: str, task: str
) -> Members | None:
    """The members of a set; None when it has errors, which are in the spec's diagnostics.

    `words` are context words that hold in it, and `task` has the positions that it may name. `of` is one of `KINDS`, by default what the set itself has: a set of edges has edges, a set of
    nodes has nodes, and any other list has its own members. An empty set has no members.
    """
    place = _Place(words, task)
    found = of_loose_text(text, resolved, partial(_set, place))
    if found is None:
        return None
    (value, written), _ = found
    if isinstance(value, Edges) and of in (None, "edges"):
        listed = of_loose_text(written, resolved, partial(_edges, place))
        domain = f"edges({written})"
    else:
        domain = _domain(value, of, written)
        listed = of_loose_text(domain, resolved, partial(_listed, place))
    if listed is None:
        return None
    (own, term, members), span = listed
    return Members("groups" if of == "groups" else own, domain, term, members, span)


def _set(place: _Place, resolver: ClaimResolver, e: syntax.Expression) -> tuple[Any, str]:
    value, inlined, _ = place.evaluated(resolver, e)
    sound = (Edges, Nodes, Items)
    if not isinstance(value, sound) or (
        isinstance(value, Items) and not all(isinstance(m, sound) for m in value.members)
    ):
        raise resolver.evaluator.fail(
            "CL752",
            f"`{unparse(e)}` is {kind(value)}, and what is taken out or left is a set.",
            inlined,
            "name sets, such as `heads`, `edges(C)`, `groups(C)` or `[a0.h0, m0]`",
        )
    return value, unparse(e)


def _domain(value: Nodes | Edges | Items, of: str | None, written: str) -> str:
    own = "edges"
    if not isinstance(value, Edges):
        own = _kind(list(value.members) if isinstance(value, Items) else [value])
    if of in (None, own) or (of == "groups" and isinstance(value, Items)):
        return written
    if of == "ports":
        return f"[h.q, h.k, h.v for h in nodes({written}) & heads]"
    return f"{of}({written})"


def _kind(values: list[Any]) -> str:
    """What the members of a list of sets are."""
    if values and all(isinstance(v, Edges) for v in values):
        return "edges" if all(sets.size(v.set) == 1 for v in values) else "groups"
    if not all(isinstance(v, Nodes) for v in values):
        return "groups"
    located = [m for v in values for m in v.members]
    if located and all(m.ports for m in located):
        return "ports"
    return "nodes" if len(values) in (1, len(located)) else "groups"


def _arrow(label: str) -> str:
    """`a0.h1->a5.h5<q> @ A1` as the language writes it."""
    name, *places = label.split(" @ ")
    edge = parse_edge(name)
    assert edge is not None
    node, port = edge.receiver.node, edge.receiver.port
    text = f"{edge.sender} -> {node}{'.' if port else ''}{port}"
    for place in places:
        text = f"({text}) @ {place}"
    return text


_Listed = tuple[str, str, Sequence[Member]]


def _edges(place: _Place, resolver: ClaimResolver, e: syntax.Expression) -> _Listed:
    """As `edges(...)` has them, without its limit on their number."""
    value, inlined, env = place.evaluated(resolver, e)
    place.check(value.set, resolver.evaluator, inlined)
    graph = resolver.evaluator.graph(env)
    if value.set.is_uniform:
        return "edges", "{}", EdgeByEdge(value.set.mask, graph)
    found = sets.members(value.set, graph)
    return "edges", "{}", tuple(Member(label, edges) for label, edges in found)


def _listed(place: _Place, resolver: ClaimResolver, e: syntax.Expression) -> _Listed:
    value, inlined, env = place.evaluated(resolver, e)
    evaluator = resolver.evaluator
    graph = evaluator.graph(env)
    pairs = evaluator.listed(inlined, value, env)
    own = _kind([member for member, _ in pairs])
    everything = sets.builtin_nodes("any", graph)
    assert everything is not None
    members = []
    for member, label in pairs:
        if own == "ports":
            label = ", ".join(map(str, member.members))
            edges = sets.product(everything, member, graph).edges
        else:
            edges = evaluator.as_edges(member, inlined, env)
        place.check(edges, evaluator, inlined)
        members.append(Member(label, edges, member))
    return own, "any -> {}" if own == "ports" else "{}", tuple(members)
