"""Circuits for other tools: EAP-IG's and MIB's JSON, AutoCircuit's list of edge names.

Takes an edge set and a model's shape and gives what is to be written. Both formats have an edge
at every position or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from circuitlang.language.formulas.inline import count
from circuitlang.language.graph.architecture import LOGITS, Shape, architecture, bits
from circuitlang.language.graph.circuit_edges import autocircuit_receiver, autocircuit_sender
from circuitlang.language.graph.circuit_formats import WHOLE, BadCircuit
from circuitlang.language.graph.edges import EdgeSet


def eap_ig(
    edges: EdgeSet,
    shape: Shape,
    scores: Mapping[int, float] | None = None,
    *,
    inputs: str = WHOLE,
    config: Mapping[str, Any] | None = None,
    node_scores: Mapping[str, float] | None = None,
    flatten: bool = False,
) -> dict[str, Any]:
    """EAP-IG's graph as JSON, every edge of the model listed with a score.

    `scores` are by edge number, 0 where there is none; without them an edge of the circuit has 1
    and any other 0, so that the best edges by score are the circuit. `inputs` says what `input`
    stands for and is recorded in `cfg`, as are MLPs that the model lacks; other keys of `config`
    are kept. A node is in the graph when an edge of the circuit leaves or enters it. Raises
    `BadCircuit` for a circuit with positions, unless `flatten` puts its edges at all of them, and KeyError for the score of a node that the model lacks.
    """
    mask, graph = uniform_mask(edges, flatten), architecture(shape)
    sizes = {
        "n_layers": shape.layers,
        "n_heads": shape.heads,
        "parallel_attn_mlp": shape.parallel,
        "d_model": shape.d_model,
    }
    given = {key: value for key, value in (config or {}).items() if key not in ("input", *sizes)}
    recorded = {"input": WHOLE} if inputs == WHOLE else {}
    if not shape.mlps:
        given["attn_only"] = True
    inside = frozenset(bits(mask))
    listed = {
        str(edge): {
            "score": float(number in inside) if scores is None else scores.get(number, 0.0),
            "in_graph": number in inside,
        }
        for number, edge in enumerate(graph.edges(graph.everything))
    }
    ends = ({edge.sender, edge.receiver.node} for edge in graph.edges(mask))
    used = frozenset({LOGITS}).union(*ends)
    nodes: dict[str, dict[str, Any]] = {str(n): {"in_graph": n in used} for n in graph.nodes}
    for name, score in (node_scores or {}).items():
        nodes[name]["score"] = score
    return {"cfg": {**sizes, **given, **recorded}, "nodes": nodes, "edges": listed}


def autocircuit_names(edges: EdgeSet, shape: Shape, *, flatten: bool = False) -> list[str]:
    """The circuit's edges as AutoCircuit names them. Raises `BadCircuit` as `eap_ig` does."""
    graph = architecture(shape)
    return [
        f"{autocircuit_sender(edge.sender)}->{autocircuit_receiver(edge.receiver)}"
        for edge in graph.edges(uniform_mask(edges, flatten))
    ]


def uniform_mask(edges: EdgeSet, flatten: bool) -> int:
    """The edges of a set that is the same at every position, or, flattened, of any set."""
    partial = edges.reach & ~edges.lasting
    if partial and not flatten:
        raise BadCircuit(
            "CL213",
            f"{count(partial.bit_count(), 'edge')} of the circuit stand at certain positions "
            "only, and the format has no positions.",
            "`--flatten` puts them at every position, which is a larger circuit",
        )
    return edges.reach
