"""Circuits from files: EAP-IG / MIB JSON.

{"cfg": {"n_layers": 12, "n_heads": 12, "parallel_attn_mlp": false, ...},
 "nodes": {...}, "edges": {"input->a0.h0<q>": {"score": 0.1, "in_graph": true}, ...}}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from circuitlang.language import syntax
from circuitlang.language.architecture import Architecture, parse_edge
from circuitlang.language.diagnostics import Diagnostics, suggestion
from circuitlang.language.edges import uniform
from circuitlang.language.files import read_inside
from circuitlang.language.values import Edges


def read_circuit(
    name: syntax.StringLiteral, architecture: Architecture, folder: Path, diagnostics: Diagnostics
) -> Edges:
    """The edges with `in_graph` true; unknown and impossible ones are errors, never skipped."""
    text = read_inside(name.value, folder, name.span, diagnostics)
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as problem:
        place = f" (line {problem.lineno})" if isinstance(problem, json.JSONDecodeError) else ""
        raise diagnostics.reject(
            "CL112",
            f"`{name.value}` is not JSON{place}.",
            name.span,
            "edges_from reads EAP-IG's graph JSON",
        ) from None
    edges = content.get("edges") if isinstance(content, dict) else None
    if not isinstance(edges, dict):
        raise diagnostics.reject(
            "CL112",
            f"`{name.value}` has no `edges` object.",
            name.span,
            "edges_from reads EAP-IG's graph JSON",
        )
    _check_config(content.get("cfg"), name, architecture, diagnostics)
    return _collect(edges, name, architecture, diagnostics)


def _check_config(
    config: Any, name: syntax.StringLiteral, architecture: Architecture, diagnostics: Diagnostics
) -> None:
    if not isinstance(config, dict):
        return
    shape = architecture.shape
    expected = {
        "n_layers": shape.layers,
        "n_heads": shape.heads,
        "d_model": shape.d_model,
        "parallel_attn_mlp": shape.parallel,
    }
    for key, value in expected.items():
        if key in config and config[key] != value:
            raise diagnostics.reject(
                "CL207",
                f"`{name.value}` is for a model with {key} = {config[key]}, but this one has {value}.",
                name.span,
                "use the circuit with the model it was found on",
            )


def _collect(
    edges: dict[str, Any],
    name: syntax.StringLiteral,
    architecture: Architecture,
    diagnostics: Diagnostics,
) -> Edges:
    mask, wrong = 0, []
    for text, properties in edges.items():
        included = properties.get("in_graph") if isinstance(properties, dict) else None
        if not isinstance(included, bool):
            raise diagnostics.reject(
                "CL112",
                f"Edge `{text}` of `{name.value}` has no `in_graph` true or false.",
                name.span,
                'write `{"in_graph": true}` for every edge of the circuit',
            )
        edge = parse_edge(text)
        number = architecture.edge_number(edge) if edge is not None else None
        if number is None:
            wrong.append(text)
        elif included:
            mask |= 1 << number
    if wrong:
        shown = ", ".join(f"`{t}`" for t in wrong[:3]) + (", ..." if len(wrong) > 3 else "")
        raise diagnostics.reject(
            "CL207",
            f"{len(wrong)} of the {len(edges)} edges in `{name.value}` do not exist "
            f"in this model: {shown}.",
            name.span,
            _edge_help(wrong[0], architecture),
        )
    if not mask:
        diagnostics.warn(
            "CL207",
            f"`{name.value}` has no edge in its circuit.",
            name.span,
            "set `in_graph` true for the edges of the circuit",
        )
    return Edges(uniform(mask))


def _edge_help(text: str, architecture: Architecture) -> str:
    edge = parse_edge(text)
    if edge is None:
        return "edges are written like `a0.h1->a5.h5<q>`, `m0->m3` or `a9.h9->logits`"
    for node in (edge.sender, edge.receiver.node):
        if node not in architecture:
            close = suggestion(str(node), map(str, architecture.nodes))
            return f"the model has no `{node}`" + (f"; {close}" if close else "")
    return "its sender runs after its receiver has read"
