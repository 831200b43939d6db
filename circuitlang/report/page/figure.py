"""A circuit as a figure: nodes with their groups, edges with their ports and places.

Takes an edge set, its model's shape and the groups, gives a `Figure` with coordinates. A set of more
than `MOST_EDGES` is drawn as a summary: a node for each group and each layer's other heads, an
edge for all between two of these.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import or_

from circuitlang.language.formulas.inline import count
from circuitlang.language.graph.architecture import (
    INPUT,
    LOGITS,
    Architecture,
    Node,
    Receiver,
    Shape,
    architecture,
    bits,
    parse_node,
)
from circuitlang.language.graph.edges import EdgeSet
from circuitlang.language.graph.sets import located
from circuitlang.report.page.layout import HEIGHT, Cell, Curve, Placed, curve, place
from circuitlang.report.page.palette import ENDS, PLAIN, PORTS, Look, group_look

MOST_EDGES = 2_500
_MARGIN, _LEFT = 22.0, 86.0
_NODE = re.compile(r"a\d+\.h\d+|m\d+|input|logits")


@dataclass(frozen=True)
class Group:
    name: str
    members: tuple[str, ...]
    look: Look


@dataclass(frozen=True)
class DrawnNode:
    """`group` is empty where it belongs to none; `nodes` are the model's nodes that it stands for."""

    name: str
    place: Placed
    look: Look
    group: str
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class DrawnEdge:
    """`parts` are the model's edges that it stands for, by receiver: its number, its senders as bits.

    Without `places` it is at every position.
    """

    name: str
    sender: str
    receiver: str
    port: str
    curve: Curve
    parts: tuple[tuple[int, int], ...]
    places: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return sum(senders.bit_count() for _, senders in self.parts)


@dataclass(frozen=True)
class Row:
    label: str
    y: float


@dataclass(frozen=True)
class Figure:
    """Coordinates are in pixels; `box` is left, top, width and height of all that is drawn."""

    name: str
    shape: Shape
    size: int
    nodes: tuple[DrawnNode, ...]
    edges: tuple[DrawnEdge, ...]
    rows: tuple[Row, ...]
    groups: tuple[Group, ...]
    box: tuple[float, float, float, float]
    note: str = ""

    @property
    def ports(self) -> tuple[str, ...]:
        used = {edge.port for edge in self.edges}
        return tuple(port for port in PORTS if port in used)

    @property
    def places(self) -> tuple[str, ...]:
        return tuple(sorted({p for edge in self.edges for p in edge.places}))

    @property
    def description(self) -> str:
        """What the figure shows, for readers who do not see it."""
        shown = f"{count(self.size, 'edge')} between {count(len(self.nodes), 'node')}"
        within = [f"{g.name} ({', '.join(g.members)})" for g in self.groups]
        groups = f"; groups: {', '.join(within)}" if within else ""
        return f"Circuit {self.name}: {shown}, the input below and the logits on top{groups}"

    def edges_in(self, mask: int) -> tuple[int, ...]:
        """The drawn edges that stand for one of `mask`, by index."""
        rows = _senders(architecture(self.shape), mask)
        return tuple(
            i
            for i, edge in enumerate(self.edges)
            if any(rows.get(receiver, 0) & senders for receiver, senders in edge.parts)
        )

    def nodes_in(self, nodes: frozenset[Node]) -> tuple[str, ...]:
        return tuple(n.name for n in self.nodes if not nodes.isdisjoint(n.nodes))


def figure(
    name: str,
    edges: EdgeSet,
    shape: Shape,
    groups: Mapping[str, tuple[str, ...]],
    alone: Iterable[Node] = (),
    most: int = MOST_EDGES,
) -> Figure:
    """The figure of a set of edges; nodes `alone` are drawn though they have no edge in it."""
    graph, mask = architecture(shape), edges.reach
    group_of = _groups_of(groups)
    if mask.bit_count() <= most:
        drawing = _Drawing(graph, group_of, list(groups))
        drawing.add(mask)
        for node in alone:
            drawing.node(node)
        return drawing.figure(name, mask, groups, _places(edges))
    summary = _Summary(graph, group_of, list(groups))
    summary.add(mask)
    note = (
        f"This set has {mask.bit_count():,} edges. They are drawn together: each node stands for a "
        "group in one layer or for the layer's other heads, each edge for all between two of these."
    )
    if len(summary.parts) > most:
        summary.parts.clear()
        note = (
            f"This set has {mask.bit_count():,} edges, too many to draw: only the groups and the "
            "layers' other heads are shown, without edges."
        )
    return summary.figure(name, mask, groups, {}, note)


def _senders(graph: Architecture, mask: int) -> dict[int, int]:
    """The senders of a set's edges as bits, by the receiver's number."""
    rows = ((i, graph.row(mask, i)) for i in range(len(graph.receivers)))
    return {i: row for i, row in rows if row}


def _groups_of(groups: Mapping[str, tuple[str, ...]]) -> dict[Node, str]:
    """The first group of each node."""
    found: dict[Node, str] = {}
    for name, members in groups.items():
        for member in members:
            match = _NODE.match(member)
            node = parse_node(match[0]) if match else None
            if node is not None:
                found.setdefault(node, name)
    return found


def _places(edges: EdgeSet) -> dict[int, tuple[str, ...]]:
    """The places of each edge that has any, by edge number; not of one that is everywhere too."""
    everywhere, found = edges.lasting, defaultdict(list)
    for places, mask in located(edges).items():
        for number in bits(mask & ~everywhere):
            if places:
                found[number].append(" and ".join(map(str, places)))
    return {number: tuple(texts) for number, texts in found.items()}


@dataclass
class _Drawing:
    """Every node and edge by itself."""

    graph: Architecture
    group_of: Mapping[Node, str]
    order: list[str]
    drawn: dict[str, list[Node]] = field(default_factory=lambda: defaultdict(list))
    parts: dict[tuple[str, str, str], list[tuple[int, int]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def name_of(self, node: Node) -> str:
        return str(node)

    def port_of(self, receiver: Receiver) -> str:
        return receiver.port or receiver.node.kind

    def column_of(self, node: Node) -> tuple[int, int, str]:
        return (int(node.kind == "mlp"), max(node.head, 0), "")

    def edge_name(self, key: tuple[str, str, str]) -> str:
        (receiver, senders), *_ = self.parts[key]
        return f"{self.graph.senders[next(bits(senders))]}->{self.graph.receivers[receiver]}"

    def node(self, node: Node) -> str:
        name = self.name_of(node)
        if node not in self.drawn[name]:
            self.drawn[name].append(node)
        return name

    def add(self, mask: int) -> None:
        """Draws the edges of a set, with the nodes at their ends."""
        rows = _senders(self.graph, mask)
        for sender in bits(reduce(or_, rows.values(), 0)):
            self.node(self.graph.senders[sender])
        alike: dict[str, int] = defaultdict(int)
        for index, node in enumerate(self.graph.senders):
            alike[self.name_of(node)] |= 1 << index
        for i, row in rows.items():
            receiver = self.graph.receivers[i]
            name, port = self.node(receiver.node), self.port_of(receiver)
            for sending in self._names(row):
                self.parts[sending, name, port].append((i, row & alike[sending]))

    def _names(self, row: int) -> Iterable[str]:
        return dict.fromkeys(self.name_of(self.graph.senders[s]) for s in bits(row))

    def figure(
        self,
        name: str,
        mask: int,
        groups: Mapping[str, tuple[str, ...]],
        places: Mapping[int, tuple[str, ...]],
        note: str = "",
    ) -> Figure:
        rows = self._rows()
        cells = [
            Cell(n, rows[members[0].layer, members[0].kind], self.column_of(members[0]))
            for n, members in self.drawn.items()
        ]
        placed = place(cells, (str(INPUT), str(LOGITS)))
        looks = {g: group_look(i) for i, g in enumerate(self.order)}
        nodes = tuple(
            DrawnNode(
                n, placed[n], self._look(members[0], looks), self._group(members[0]), tuple(members)
            )
            for n, members in sorted(self.drawn.items(), key=lambda item: _rank(item[1][0]))
        )
        middle = sum(p.x for p in placed.values()) / max(len(placed), 1)
        edges = []
        for key, parts in self.parts.items():
            receiver, senders = parts[0]
            number = self.graph.offsets[receiver] + next(bits(senders))
            way = curve(placed[key[0]], placed[key[1]], key[2], middle)
            at = places.get(number, ())
            edges.append(DrawnEdge(self.edge_name(key), *key, way, tuple(parts), at))
        used = [g for g in groups if any(n.group == g for n in nodes)]
        return Figure(
            name,
            self.graph.shape,
            mask.bit_count(),
            nodes,
            tuple(edges),
            _row_labels(nodes),
            tuple(Group(g, groups[g], looks[g]) for g in used),
            _box(nodes, edges),
            note,
        )

    def _rows(self) -> dict[tuple[int, str], float]:
        """Rows of (layer, kind): layers of which nothing is drawn take no room."""
        members = [node for nodes in self.drawn.values() for node in nodes]
        layers = sorted({n.layer for n in members if n.layer >= 0})
        above = 0.0 if self.graph.shape.parallel else 0.5
        rows: dict[tuple[int, str], float] = {(-1, "input"): 0.0}
        for i, layer in enumerate(layers):
            rows[layer, "head"] = 1.0 + i
            rows[layer, "mlp"] = 1.0 + i + above
        rows[-1, "logits"] = 1.0 + len(layers)
        return rows

    def _group(self, node: Node) -> str:
        return self.group_of.get(node, "")

    def _look(self, node: Node, looks: Mapping[str, Look]) -> Look:
        if node in self.group_of:
            return looks[self.group_of[node]]
        return ENDS if node in (INPUT, LOGITS) else PLAIN


class _Summary(_Drawing):
    """A node for each group in a layer, one for the layer's other heads, one for its MLP."""

    def name_of(self, node: Node) -> str:
        if node in self.group_of:
            at = {"head": f" {node.layer}", "mlp": f" m{node.layer}"}.get(node.kind, "")
            return f"{self.group_of[node]}{at}" if at else str(node)
        return f"a{node.layer} others" if node.kind == "head" else str(node)

    def port_of(self, receiver: Receiver) -> str:
        kind = receiver.node.kind
        return kind if kind != "head" else "heads"

    def column_of(self, node: Node) -> tuple[int, int, str]:
        group = self.group_of.get(node)
        if group is not None:
            return (0, self.order.index(group), "")
        return (int(node.kind == "mlp"), len(self.order), "")

    def edge_name(self, key: tuple[str, str, str]) -> str:
        size = sum(senders.bit_count() for _, senders in self.parts[key])
        return f"{key[0]} -> {key[1]}: {count(size, 'edge')}"


def _rank(node: Node) -> tuple[int, int, int]:
    """From the input up, which is the order in which a reader meets them."""
    layer = {"input": -1, "logits": 1_000_000}.get(node.kind, node.layer)
    return (layer, int(node.kind == "mlp"), node.head)


def _row_labels(nodes: Iterable[DrawnNode]) -> tuple[Row, ...]:
    found: dict[int, float] = {}
    for node in nodes:
        layer = node.nodes[0].layer
        if layer >= 0 and (node.nodes[0].kind == "head" or layer not in found):
            found[layer] = node.place.y
    return tuple(Row(f"layer {layer}", y) for layer, y in sorted(found.items()))


def _box(
    nodes: Iterable[DrawnNode], edges: Iterable[DrawnEdge]
) -> tuple[float, float, float, float]:
    xs = [x for n in nodes for x in (n.place.x - n.place.width / 2, n.place.x + n.place.width / 2)]
    ys = [y for n in nodes for y in (n.place.y - HEIGHT / 2, n.place.y + HEIGHT / 2)]
    xs += [x for e in edges for x in (e.curve.middle[0], e.curve.first[0])]
    left, right = min(xs, default=0.0) - _LEFT, max(xs, default=0.0) + _MARGIN
    top, bottom = min(ys, default=0.0) - _MARGIN, max(ys, default=0.0) + _MARGIN
    return left, top, right - left, bottom - top
