"""Expressions that denote nodes, edges and places."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from circuitlang.language.definitions import Definitions
from circuitlang.language.diagnostics import Diagnostics, Reject
from circuitlang.language.formulas.drawn import Drawable, Searched
from circuitlang.language.formulas.environment import Environment
from circuitlang.language.formulas.inline import count, substitute_names
from circuitlang.language.formulas.values import (
    AblationValue,
    Data,
    Edges,
    Items,
    MetricValue,
    Nodes,
    kind,
)
from circuitlang.language.graph import sets
from circuitlang.language.graph.architecture import Architecture, architecture
from circuitlang.language.graph.edges import NOTHING, EdgeSet, Place, Position
from circuitlang.language.spec import Constant
from circuitlang.language.text import syntax
from circuitlang.language.text.slips.values import head_for
from circuitlang.language.text.syntax import Expression
from circuitlang.language.text.unparse import unparse

MOST_COMBINATIONS = 20_000


class SetExpressions(ABC):
    """The part of the evaluator that works on sets; `value` evaluates any expression."""

    definitions: Definitions
    diagnostics: Diagnostics
    _words: list[str]

    @abstractmethod
    def value(self, e: Expression, env: Environment) -> Any: ...

    def graph(self, env: Environment) -> Architecture:
        return architecture(env.model.shape)

    @contextmanager
    def after(self, word: str) -> Iterator[None]:
        """What a name that nobody defined should have been is told by the word before it."""
        self._words.append(word)
        try:
            yield
        finally:
            self._words.pop()

    def fail(self, code: str, message: str, at: Expression, help: str | None = None) -> Reject:
        return self.diagnostics.reject(code, message, at.span, help)

    def printed(self, e: Expression, env: Environment) -> str:
        return unparse(substitute_names(e, env.labels))

    def nodes(self, e: Expression, env: Environment) -> Nodes:
        return self.as_nodes(self.value(e, env), e)

    def as_nodes(self, value: Any, e: Expression) -> Nodes:
        if isinstance(value, Nodes):
            return value
        if isinstance(value, Items) and not value.members:
            raise self.fail("CL106", "This list names no node.", e, "write `[a9.h6, a9.h9]`")
        if isinstance(value, Items):
            result = Nodes(())
            for member in value.members:
                result = sets.union(result, self.as_nodes(member, e))
            return result
        raise self.fail(
            "CL106", f"A set of nodes is needed here, not {kind(value)}.", e, _nodes_help(value, e)
        )

    def edges(self, e: Expression, env: Environment) -> EdgeSet:
        return self.as_edges(self.value(e, env), e, env)

    def as_edges(self, value: Any, e: Expression, env: Environment) -> EdgeSet:
        """Where edges are wanted, nodes mean the edges that leave them, a list its union."""
        if isinstance(value, Edges):
            return value.set
        if isinstance(value, Nodes):
            if any(m.ports for m in value.members):
                raise self.fail(
                    "CL106",
                    "A port is not a set of edges.",
                    e,
                    f"write `any -> {unparse(e)}` for the edges that enter it",
                )
            return sets.leaving(value, self.graph(env))
        if isinstance(value, Items):
            result = NOTHING
            for member in value.members:
                result = result | self.as_edges(member, e, env)
            return result
        raise self.fail(
            "CL106", f"A set of edges is needed here, not {kind(value)}.", e, _edges_help(value, e)
        )

    def ported(self, nodes: Nodes, port: str, e: Expression) -> Nodes:
        if port not in ("q", "k", "v", "qk", "qv", "kv", "qkv"):
            raise self.fail(
                "CL208", f"`.{port}` is not a port.", e, "ports are .q .k .v .qk .qv .kv .qkv"
            )
        wrong = next((m for m in nodes.members if m.node.kind != "head"), None)
        if wrong is not None:
            raise self.fail(
                "CL208",
                f"`{wrong.node}` has no `{port}` port; only heads have.",
                e,
                f"write `{unparse(e).removesuffix('.' + port)}`, or name heads only",
            )
        return Nodes(tuple(replace(m, ports=port) for m in nodes.members), nodes.wide)

    def at(self, e: syntax.At, env: Environment) -> Any:
        value = self.value(e.base, env)
        with self.after("@"):
            place = self.place(e.place, env)
        if isinstance(value, Items) and all(isinstance(m, (Nodes, Items)) for m in value.members):
            value = self.as_nodes(value, e)
        if isinstance(value, Edges):
            return self.bounded(value.set.at(place), e)
        if isinstance(value, Nodes):
            placed = [
                replace(m, place=Place((position,)))
                for m in value.members
                for position in place.positions
            ]
            if any(m.place is not None for m in value.members):
                raise self.fail(
                    "CL106", "These nodes already have a position.", e, "leave one `@` out"
                )
            return Nodes(tuple(placed), value.wide)
        raise self.fail(
            "CL106",
            f"`@` needs nodes or edges before it, not {kind(value)}.",
            e,
            "write `nodes @ label` or `(a -> b) @ label`",
        )

    def place(self, e: Expression, env: Environment) -> Place:
        parts = e.items if isinstance(e, syntax.ListExpression) and e.generator is None else (e,)
        positions: list[Position] = []
        for part in parts:
            value = self.position_name(part, env)
            if value is None:
                value = self.value(part, env)
            if isinstance(value, Items) and all(isinstance(m, Place) for m in value.members):
                value = Place(tuple(p for m in value.members for p in m.positions))
            if not isinstance(value, Place):
                raise self.fail(
                    "CL106",
                    f"A position is needed here, not {kind(value)}.",
                    part,
                    "name a slot or label of the prompt, or END",
                )
            for position in value.positions:
                self.definitions.position_spans.setdefault(position, part.span)
            positions += value.positions
        if not positions:
            raise self.fail("CL106", "This list of positions is empty.", e, "write `@ END`")
        return Place(tuple(dict.fromkeys(positions)))

    def position_name(self, e: Expression, env: Environment) -> Place | None:
        """After `@` a label wins over a definition of the same name."""
        if isinstance(e, syntax.Name) and len(e.parts) == 1 and e.text not in env.bindings:
            problem = self.definitions.ambiguous_label(e.text)
            if problem:
                raise self.fail("CL508", problem, e, f"label its occurrences: `{{{e.text}:first}}`")
            if self.definitions.label(e.text):
                return Place((Position(e.text),))
        return None

    def set_operation(self, e: syntax.Binary, left: Any, right: Any, env: Environment) -> Any:
        if isinstance(left, Nodes) and isinstance(right, (Nodes, Items)):
            try:
                other = right if isinstance(right, Nodes) else self._flat_nodes(right)
            except TypeError:
                other = None
            if other is not None and not sets.entangled(e.operator, left, other):
                by = {"+": sets.union, "-": sets.difference, "&": sets.intersection}
                return by[e.operator](left, other)
        if isinstance(left, Items) and e.operator in "+-" and isinstance(right, Items):
            if e.operator == "+" and (left.drawn or right.drawn):
                raise self.fail(
                    "CL106",
                    "A list with members that were drawn is a random sample of nothing.",
                    e,
                    "quantify over each in a claim of its own",
                )
            if e.operator == "+":
                return Items(left.members + right.members, left.labels + right.labels)
            kept = [
                (m, lab)
                for m, lab in zip(left.members, left.labels, strict=True)
                if m not in right.members
            ]
            return Items(tuple(m for m, _ in kept), tuple(lab for _, lab in kept), left.drawn)
        if isinstance(left, Items) and isinstance(right, Nodes):
            return self.set_operation(e, self.as_nodes(left, e.left), right, env)
        a, b = self.as_edges(left, e.left, env), self.as_edges(right, e.right, env)
        idle = e.operator == "-" and a != NOTHING and b != NOTHING and not a.reach & b.reach
        if idle and not self.diagnostics.has_at("CL309", e.span):
            self.diagnostics.warn(
                "CL309",
                f"Taking `{self.printed(e.right, env)}` out of `{self.printed(e.left, env)}` "
                "changes nothing: they share no edge.",
                e.span,
                "check the names, or leave it out",
            )
        by_edges: dict[str, Callable[[EdgeSet, EdgeSet], EdgeSet]] = {
            "+": EdgeSet.__or__,
            "-": EdgeSet.__sub__,
            "&": EdgeSet.__and__,
        }
        return self.bounded(by_edges[e.operator](a, b), e)

    def bounded(self, edges: EdgeSet, e: Expression) -> Edges:
        if edges.combinations > MOST_COMBINATIONS:
            raise self.fail(
                "CL302",
                f"More than {MOST_COMBINATIONS:,} combinations of positions tell these edges apart.",
                e,
                "say `@` of the parts, and of each once",
            )
        return Edges(edges)

    def _flat_nodes(self, items: Items) -> Nodes:
        result = Nodes(())
        for member in items.members:
            if isinstance(member, Items):
                member = self._flat_nodes(member)
            if not isinstance(member, Nodes):
                raise TypeError
            result = sets.union(result, member)
        return result

    def shifted(self, place: Place, by: Constant, e: syntax.Binary) -> Place:
        if not by.value.is_integer():
            raise self.fail(
                "CL106", "A position is shifted by whole tokens.", e.right, "write `@ [S1 + 1]`"
            )
        step = int(by.value) if e.operator == "+" else -int(by.value)
        return Place(tuple(replace(p, shift=p.shift + step) for p in place.positions))

    def arrow(self, e: syntax.Binary, env: Environment) -> Edges:
        return Edges(self.product(e.left, e.right, e, env))

    def product(self, source: Expression, target: Expression, e: Any, env: Environment) -> EdgeSet:
        senders, receivers = self.nodes(source, env), self.nodes(target, env)
        ported = next((m for m in senders.members if m.ports), None)
        if ported is not None:
            raise self.fail(
                "CL106",
                f"`{ported}` sends no edge: ports read, nodes send.",
                source,
                f"write `{ported.node}` on the left of `->`",
            )
        result = sets.product(senders, receivers, self.graph(env))
        if result.impossible:
            self.report_impossible(result, senders, receivers, source, target, env)
        return result.edges

    def report_impossible(
        self,
        result: sets.Product,
        senders: Nodes,
        receivers: Nodes,
        source: Expression,
        target: Expression,
        env: Environment,
    ) -> None:
        assert result.example is not None
        sender, receiver = result.example
        span = source.span.source.span(source.span.start, max(source.span.end, target.span.end))
        code, why = _why_impossible(sender, receiver, self.graph(env))
        if result.possible == 0:
            raise self.diagnostics.reject(
                code,
                f"`{sender}->{receiver}` cannot be an edge: {why}.",
                span,
                "an edge goes from an earlier node to a later one",
            )
        if not (senders.wide or receivers.wide):
            if len(senders.members) == len(receivers.members) == 1:
                self.diagnostics.error(
                    code,
                    f"`{sender}->{receiver}` cannot be an edge: {why}.",
                    span,
                    "name the ports that can be reached",
                )
                return
            self.diagnostics.note(
                "CL210",
                f"{count(result.impossible, 'pair')} of this product cannot be edges and "
                f"{'is' if result.impossible == 1 else 'are'} left out, such as "
                f"`{sender}->{receiver}`: {why}.",
                span,
                "if that is meant, nothing is to be done",
            )


def _nodes_help(value: Any, e: Expression) -> str | None:
    text = unparse(e)
    if isinstance(value, Edges):
        return f"write `nodes({text})` for the nodes of a circuit"
    if isinstance(value, str):
        return f"nodes stand without quotes: `{value or 'a9.h6'}`"
    if isinstance(value, Constant) and (node := head_for(text)):
        return f"write `{node}`"
    return "heads are written `a9.h6`, MLPs `m3`"


def _edges_help(value: Any, e: Expression) -> str | None:
    text = unparse(e)
    if isinstance(value, Data):
        return f"write `F(M on {text})` for the model's score on it"
    if isinstance(value, str):
        return f"names stand without quotes: `{value or 'C'}`"
    if isinstance(value, MetricValue):
        return f"write `by {text}`"
    if isinstance(value, AblationValue):
        return f"write `under {text}`"
    if isinstance(value, (Drawable, Searched)):
        return f"quantify over it: `forall K in {text}: ...`"
    return "a circuit, an arrow such as `a9.h9 -> logits`, or nodes"


def _why_impossible(sender: Any, receiver: Any, graph: Architecture) -> tuple[str, str]:
    target = receiver.node
    if sender.kind == "logits":
        return "CL202", "logits sends nothing"
    if target.kind == "input":
        return "CL202", "input reads nothing"
    if sender.kind == "head" and target.kind == "mlp" and sender.layer == target.layer:
        return "CL203", "attention and MLP of this model's layers run in parallel"
    if sender == target:
        return "CL202", "a node does not feed itself"
    if sender.layer == target.layer and sender.kind == target.kind == "head":
        return "CL203", "heads of one layer run in parallel"
    return "CL202", f"`{sender}` runs after `{target}` has read"
