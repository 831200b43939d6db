"""EAP-IG's `Graph.to_pt`: the same graph as its JSON, as tensors.

`edges_scores` and `edges_in_graph` are [sender, receiver]: senders in EAP-IG's order, receivers
layer by layer q, k, v of each head and the MLP, then logits. Cells of pairs that are no edge
mean nothing. Only tensors and plain values are loaded, so that a file runs no code.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from circuitlang.language.graph.architecture import Architecture, Edge, architecture
from circuitlang.language.graph.circuit_edges import shape_of
from circuitlang.language.graph.circuit_formats import BadCircuit

PLAIN = (str, int, float, type(None))
NEEDED = ("cfg", "src_nodes", "dst_nodes", "edges_scores", "edges_in_graph", "nodes_in_graph")


def read_pt(path: Path) -> dict[str, Any]:
    """The file's graph as EAP-IG's JSON has it, with the plain values of its `cfg`.

    Raises `BadCircuit` and OSError.
    """
    saved = _load(path)
    config = {key: value for key, value in saved["cfg"].items() if isinstance(value, PLAIN)}
    graph = _graph(config, str(path))
    cells = (len(graph.senders), len(graph.receivers))
    order: dict[str, Iterable[object]] = {
        "src_nodes": graph.senders,
        "dst_nodes": graph.receivers,
    }
    for name, expected in order.items():
        if saved[name] != list(map(str, expected)):
            raise _bad(path, f"`{name}` are not the nodes of its `cfg` in EAP-IG's order")
    scores = _tensor(saved, "edges_scores", cells, path).double().tolist()
    inside = _tensor(saved, "edges_in_graph", cells, path).bool().tolist()
    nodes = _nodes(saved, graph, path)
    edges = {}
    for edge, sender, receiver in _cells(graph):
        if config.get("attn_only") is True and _has_mlp(edge):
            if inside[sender][receiver]:
                raise _bad(path, f"`{edge}` is in the graph of a model without MLPs")
            continue
        edges[str(edge)] = {
            "score": scores[sender][receiver],
            "in_graph": inside[sender][receiver],
        }
    return {"cfg": config, "nodes": nodes, "edges": edges}


def write_pt(graph: Mapping[str, Any], path: Path) -> None:
    """Writes EAP-IG's JSON, as `report.circuits.eap_ig` gives it; raises OSError."""
    config = graph["cfg"]
    order = _graph(config, str(path))
    cells = (len(order.senders), len(order.receivers))
    scores, inside = torch.zeros(cells, dtype=torch.float64), torch.zeros(cells, dtype=torch.bool)
    for edge, sender, receiver in _cells(order):
        listed = graph["edges"].get(str(edge))
        if listed is not None:
            scores[sender, receiver] = listed["score"]
            inside[sender, receiver] = listed["in_graph"]
    nodes = [graph["nodes"].get(str(node), {}) for node in order.senders]
    content = {
        "cfg": dict(config),
        "src_nodes": list(map(str, order.senders)),
        "dst_nodes": list(map(str, order.receivers)),
        "edges_scores": scores,
        "edges_in_graph": inside,
        "nodes_in_graph": torch.tensor([node.get("in_graph", False) for node in nodes]),
    }
    if any("score" in node for node in nodes):
        given = [node.get("score", float("nan")) for node in nodes]
        content["nodes_scores"] = torch.tensor(given, dtype=torch.float64)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        torch.save(content, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _load(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        try:
            saved = torch.load(file, map_location="cpu", weights_only=True)
        except Exception:  # a damaged or hostile pickle can fail in any way
            raise _bad(path, "it is damaged, or needs code to be run to be loaded") from None
    if not isinstance(saved, dict):
        raise _bad(path, "it holds no dict")
    missing = [name for name in NEEDED if name not in saved]
    if missing or not isinstance(saved["cfg"], dict):
        raise _bad(path, f"it has no `{missing[0] if missing else 'cfg'}`")
    if "neurons_in_graph" in saved and not _all_kept(saved["neurons_in_graph"]):
        raise _bad(path, "it keeps single neurons, and edges here carry all that a node puts out")
    return saved


def _all_kept(neurons: object) -> bool:
    return isinstance(neurons, Tensor) and _is_plain(neurons) and bool(neurons.all())


def _graph(config: Mapping[str, Any], file: str) -> Architecture:
    """The nodes that the tensors have a place for: MLPs of any model."""
    return architecture(replace(shape_of(config, file), mlps=True))


def _tensor(saved: Mapping[str, Any], name: str, size: tuple[int, ...], path: Path) -> Tensor:
    found = saved[name]
    if not isinstance(found, Tensor) or not _is_plain(found) or tuple(found.shape) != size:
        raise _bad(path, f"`{name}` is no tensor of {list(size)}")
    return found


def _is_plain(tensor: Tensor) -> bool:
    return (
        tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    )


def _nodes(saved: Mapping[str, Any], graph: Architecture, path: Path) -> dict[str, dict[str, Any]]:
    size = (len(graph.senders),)
    inside = _tensor(saved, "nodes_in_graph", size, path).bool().tolist()
    nodes = {
        str(node): {"in_graph": kept} for node, kept in zip(graph.senders, inside, strict=True)
    }
    nodes["logits"] = {"in_graph": True}
    if "nodes_scores" in saved:
        scores = _tensor(saved, "nodes_scores", size, path).double().tolist()
        for node, score in zip(graph.senders, scores, strict=True):
            nodes[str(node)]["score"] = score
    if saved["cfg"].get("attn_only") is True:
        return {name: node for name, node in nodes.items() if not name.startswith("m")}
    return nodes


def _cells(graph: Architecture) -> Iterator[tuple[Edge, int, int]]:
    for column, receiver in enumerate(graph.receivers):
        for row in range(graph.counts[column]):
            yield Edge(graph.senders[row], receiver), row, column


def _has_mlp(edge: Edge) -> bool:
    return "mlp" in (edge.sender.kind, edge.receiver.node.kind)


def _bad(path: Path, reason: str) -> BadCircuit:
    return BadCircuit(
        "CL112",
        f"`{path}` is no circuit of EAP-IG: {reason}.",
        "give a file that EAP-IG's `Graph.to_pt` or `circ convert` wrote",
    )
