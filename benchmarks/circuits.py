"""Random connected circuits: every edge lies on a path from input to logits.

Takes an architecture, nodes and a number of edges, and gives an edge mask. The nodes are
strung in one by one, each with an edge from a node that is already there and an edge to
one; the rest are drawn among all edges between them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from circuitlang.language.graph.architecture import INPUT, LOGITS, Architecture, Edge, Node, bits

PUBLISHED_EDGES, PUBLISHED_HEADS, PUBLISHED_MLPS = 120, 26, 6


def connected_circuit(
    graph: Architecture, nodes: Iterable[Node], edges: int, rng: random.Random
) -> int:
    """The mask of exactly `edges` edges between input, all of `nodes` and logits.

    Raises ValueError when `edges` is less than two per node or more than there are.
    """
    order = {node: place for place, node in enumerate(graph.nodes)}
    inside = sorted(nodes, key=order.__getitem__)
    possible = edges_between(graph, [INPUT, *inside, LOGITS])
    if not max(2 * len(inside), 1) <= edges <= possible.bit_count():
        raise ValueError(f"no connected circuit of {edges} edges has these {len(inside)} nodes")
    present, mask = [INPUT, LOGITS], 0
    for node in rng.sample(inside, len(inside)):
        into = edges_between(graph, present, [node])
        out = edges_between(graph, [node], present)
        mask |= 1 << rng.choice(list(bits(into))) | 1 << rng.choice(list(bits(out)))
        present.append(node)
    for number in rng.sample(list(bits(possible & ~mask)), edges - mask.bit_count()):
        mask |= 1 << number
    return mask


def edges_between(
    graph: Architecture, senders: Sequence[Node], receivers: Sequence[Node] | None = None
) -> int:
    """All edges from `senders` into any port of `receivers`, by default the senders themselves."""
    return graph.mask(
        edge
        for sender in senders
        for node in (senders if receivers is None else receivers)
        for receiver in graph.receivers_of(node)
        if graph.edge_number(edge := Edge(sender, receiver)) is not None
    )


def draw_nodes(graph: Architecture, heads: int, mlps: int, rng: random.Random) -> list[Node]:
    kinds = {kind: [n for n in graph.senders if n.kind == kind] for kind in ("head", "mlp")}
    return rng.sample(kinds["head"], heads) + rng.sample(kinds["mlp"], mlps)


def usual_nodes(graph: Architecture, edges: int) -> tuple[int, int]:
    """How many heads and MLPs a circuit of so many edges has here.

    Published circuits of 120 edges have 26 heads and 6 MLPs, and those of 700 about 100 nodes:
    nodes grow as edges to the power 2/3, as long as there are three edges for each.
    """
    published = PUBLISHED_HEADS + PUBLISHED_MLPS
    nodes = min(edges // 3, round(published * (edges / PUBLISHED_EDGES) ** (2 / 3)))
    mlps = min(graph.shape.layers, round(nodes * PUBLISHED_MLPS / published))
    return min(nodes - mlps, graph.shape.layers * graph.shape.heads), mlps
