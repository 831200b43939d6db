"""Draw a circuit at random: as many edges as a given one, every edge on a path to the logits.

    python scripts/random_circuit.py smollm2-135m specs/smollm2/ioi.json specs/smollm2/random_ioi.json

It keeps the given circuit's numbers of heads and of MLPs as well. The nodes are drawn first.
Then every node gets one edge from an earlier node and one to a later node, so that each is
reached from the input and reaches the logits; the rest of the edges are drawn among all edges
between these nodes. A rival drawn so has the given circuit's size and none of its knowledge.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path

from circuitlang.language.graph.architecture import (
    INPUT,
    LOGITS,
    Architecture,
    Edge,
    Node,
    architecture,
    parse_edge,
)
from circuitlang.language.models.known import KNOWN, SMOLLM2, SMOLLM2_SHAPE

SHAPES = {**KNOWN, SMOLLM2: SMOLLM2_SHAPE}


def of_kind(nodes: Sequence[Node] | set[Node], kind: str) -> list[Node]:
    return [node for node in nodes if node.kind == kind]


def draw_nodes(graph: Architecture, used: set[Node], rng: random.Random) -> list[Node]:
    """As many heads and MLPs as `used` has, in the order in which they run, from input to logits."""
    drawn = {INPUT, LOGITS}
    for kind in ("head", "mlp"):
        drawn |= set(rng.sample(of_kind(graph.nodes, kind), len(of_kind(used, kind))))
    return [node for node in graph.nodes if node in drawn]


def edges_between(graph: Architecture, nodes: Sequence[Node]) -> list[Edge]:
    candidates = [
        Edge(sender, receiver)
        for sender in nodes
        for node in nodes
        for receiver in graph.receivers_of(node)
    ]
    return [edge for edge in candidates if graph.edge_number(edge) is not None]


def draw(graph: Architecture, given: Sequence[Edge], seed: int) -> list[Edge]:
    """A random circuit of the same size; every edge in it lies on a path from input to logits."""
    rng = random.Random(seed)
    used = {node for edge in given for node in (edge.sender, edge.receiver.node)}
    nodes = draw_nodes(graph, used, rng)
    candidates = edges_between(graph, nodes)
    chosen: dict[Edge, None] = {}
    for node in nodes:
        if node != INPUT:
            chosen[rng.choice([e for e in candidates if e.receiver.node == node])] = None
        if node != LOGITS:
            chosen[rng.choice([e for e in candidates if e.sender == node])] = None
    rest = [edge for edge in candidates if edge not in chosen]
    return [*chosen, *rng.sample(rest, len(given) - len(chosen))]


def document(graph: Architecture, edges: Sequence[Edge], seed: int, like: str) -> dict[str, object]:
    used = {node for edge in edges for node in (edge.sender, edge.receiver.node)}
    shape = graph.shape
    ordered = sorted(edges, key=lambda edge: graph.edge_number(edge) or 0)
    return {
        "cfg": {
            "n_layers": shape.layers,
            "n_heads": shape.heads,
            "parallel_attn_mlp": shape.parallel,
            "d_model": shape.d_model,
            "about": f"drawn at random by scripts/random_circuit.py, seed {seed}, as large as {like}",
        },
        "nodes": {str(node): {"in_graph": node in used} for node in graph.nodes},
        "edges": {str(edge): {"in_graph": True} for edge in ordered},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=sorted(SHAPES), metavar="model")
    parser.add_argument("like", type=Path, help="the circuit whose size is kept")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    graph = architecture(SHAPES[options.model])
    listed = json.loads(options.like.read_text())["edges"]
    given = [edge for text, e in listed.items() if e["in_graph"] and (edge := parse_edge(text))]
    edges = draw(graph, given, options.seed)
    content = document(graph, edges, options.seed, options.like.name)
    options.out.write_text(json.dumps(content, indent=0) + "\n")


if __name__ == "__main__":
    main()
