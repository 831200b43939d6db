"""Vectors that stand for nodes' outputs, from a safetensors file.

Takes a file that a spec names and a model's graph, and gives which nodes it has: every tensor
is named like a node and holds d_model numbers. The numbers are read when runs are executed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from circuitlang.language.diagnostics import Diagnostics, suggestion
from circuitlang.language.files import read_bytes_inside
from circuitlang.language.graph.architecture import Architecture, Node
from circuitlang.language.graph.edges import EdgeSet
from circuitlang.language.spec import Constants
from circuitlang.language.text import syntax

LARGEST = 256_000_000
DTYPES = ("F64", "F32", "F16", "BF16")


def read_constants(
    name: syntax.StringLiteral, architecture: Architecture, diagnostics: Diagnostics
) -> Constants:
    """What the file beside the text has; anything that does not fit the model is an error."""
    from safetensors import SafetensorError, deserialize

    folder = name.span.source.folder
    path, content = read_bytes_inside(name.value, folder, name.span, diagnostics, LARGEST)
    try:
        tensors: Mapping[str, Any] = dict(deserialize(content))  # type: ignore[no-untyped-call]
    except SafetensorError as problem:
        raise diagnostics.reject(
            "CL112",
            f"`{name.value}` is not a safetensors file: {_reason(problem)}.",
            name.span,
            "save it with `safetensors.torch.save_file`",
        ) from None
    _check_names(tensors, name, architecture, diagnostics)
    _check_shapes(tensors, name, architecture, diagnostics)
    return Constants(name.value, path, hashlib.sha256(content).hexdigest(), frozenset(tensors))


def _reason(problem: Exception) -> str:
    return str(problem).removeprefix("Error while deserializing: ")


def _check_names(
    names: Iterable[str],
    file: syntax.StringLiteral,
    architecture: Architecture,
    diagnostics: Diagnostics,
) -> None:
    senders = list(map(str, architecture.senders))
    wrong = sorted(set(names) - set(senders))
    if wrong:
        also = f" (and {len(wrong) - 1} more that are none)" if len(wrong) > 1 else ""
        raise diagnostics.reject(
            "CL211",
            f"`{file.value}` has a tensor `{wrong[0]}`, which is no node that sends anything{also}.",
            file.span,
            suggestion(wrong[0], senders) or f"tensors are named {senders[0]}, {senders[1]}, ...",
        )


def _check_shapes(
    tensors: Mapping[str, Any],
    file: syntax.StringLiteral,
    architecture: Architecture,
    diagnostics: Diagnostics,
) -> None:
    width = architecture.shape.d_model
    for node, tensor in sorted(tensors.items()):
        shape, dtype = tuple(tensor["shape"]), tensor["dtype"]
        if shape != (width,) or dtype not in DTYPES:
            sizes = ", ".join(map(str, shape))
            raise diagnostics.reject(
                "CL211",
                f"`{node}` in `{file.value}` is {dtype} [{sizes}], and the model needs "
                f"{width} floating-point numbers.",
                file.span,
                f"give each node one vector [{width}]; it stands at every position",
            )


def missing(constants: Constants, live: EdgeSet, architecture: Architecture) -> tuple[Node, ...]:
    """The nodes without a vector that have an edge outside `live`, at some position."""
    dead = architecture.everything & ~live.lasting
    absent = (node for node in architecture.senders if str(node) not in constants.nodes)
    return tuple(node for node in absent if architecture.leaving(node) & dead)
