"""The edges that a circuit file lists -> their numbers in a model's graph.

Takes a `Listing` and an architecture. An edge that the model does not have, and a file for
another model, are a `BadCircuit`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from circuitlang.language.diagnostics import suggestion
from circuitlang.language.graph.architecture import (
    INPUT,
    LOGITS,
    Architecture,
    Node,
    Receiver,
    Shape,
)
from circuitlang.language.graph.circuit_formats import (
    AUTOCIRCUIT,
    EAP_IG,
    EDGE_PRUNING,
    BadCircuit,
    Entry,
    Listing,
    shortened,
    without_in_graph,
)

LARGEST_GRAPH = 20_000_000


# ---------------------------------------------------------------- which model


def shape_of(config: Mapping[str, Any], file: str) -> Shape:
    """The sizes that edges depend on, from a file's `cfg`; raises `BadCircuit`."""
    layers, heads = config.get("n_layers"), config.get("n_heads")
    if type(layers) is not int or type(heads) is not int or min(layers, heads) < 1:
        raise BadCircuit(
            "CL209",
            f"`{file}` does not say how many layers and heads its model has.",
            "name the model: `--model gpt2`",
        )
    if (1 + layers * (heads + 1)) * (1 + layers * (3 * heads + 1)) > LARGEST_GRAPH:
        raise BadCircuit(
            "CL302",
            f"`{file}` is for a model of {layers:,} layers of {heads:,} heads, which has too many "
            "edges to list.",
            "correct `n_layers` and `n_heads` of its `cfg`",
        )
    width = config.get("d_model")
    return Shape(
        layers,
        heads,
        heads,
        width if type(width) is int else 0,
        0,
        0,
        0,
        parallel=config.get("parallel_attn_mlp") is True,
        mlps=config.get("attn_only") is not True,
    )


def check_config(listing: Listing, shape: Shape) -> None:
    """Raises `BadCircuit` where the file says that it is for a model of another shape."""
    expected = {
        "n_layers": shape.layers,
        "n_heads": shape.heads,
        "d_model": shape.d_model,
        "parallel_attn_mlp": shape.parallel,
        "attn_only": not shape.mlps,
    }
    for key, value in expected.items():
        said = listing.config.get(key, value)
        if said != value:
            raise BadCircuit(
                "CL207",
                f"`{listing.file}` is for a model with {key} = {_shown(said)}, "
                f"but this one has {value}.",
                "use the circuit with the model it was found on",
            )


def _shown(value: Any) -> str:
    return shortened(str(value)) if isinstance(value, str | int | float) else "no number"


# ---------------------------------------------------------------- names -> edge numbers


@dataclass(frozen=True)
class Naming:
    """How a format names senders and receivers: by name, their indices in the architecture.

    A receiver without port stands for all three. A sender without index is one that this
    language has no edges of. `examples` are edge names to show.
    """

    senders: Mapping[str, int | None]
    receivers: Mapping[str, tuple[int, ...]]
    examples: str


@lru_cache(maxsize=16)
def naming(format: str, architecture: Architecture) -> Naming:
    sender, receiver, examples = _NAMERS[format]
    senders: dict[str, int | None] = {
        sender(node): i for i, node in enumerate(architecture.senders)
    }
    receivers: dict[str, tuple[int, ...]] = {
        receiver(r): (i,) for i, r in enumerate(architecture.receivers)
    }
    if format == EDGE_PRUNING:
        senders["pos_embeds"] = None
    if format == AUTOCIRCUIT:
        for node in architecture.senders:
            if node.kind == "head":
                ports = architecture.receivers_of(node)
                receivers[sender(node)] = tuple(architecture.receiver_index[r] for r in ports)
    return Naming(senders, receivers, examples)


def autocircuit_sender(node: Node) -> str:
    match node.kind:
        case "head":
            return f"A{node.layer}.{node.head}"
        case "mlp":
            return f"MLP {node.layer}"
    return "Resid Start"


def autocircuit_receiver(receiver: Receiver) -> str:
    if receiver.node == LOGITS:
        return "Resid End"
    name = autocircuit_sender(receiver.node)
    return f"{name}.{receiver.port.upper()}" if receiver.port else name


def _edge_pruning_sender(node: Node) -> str:
    return "tok_embeds" if node == INPUT else str(node)


def _edge_pruning_receiver(receiver: Receiver) -> str:
    if receiver.node == LOGITS:
        return "resid_post"
    return f"{receiver.node}.{receiver.port}" if receiver.port else str(receiver.node)


_NAMERS: dict[str, tuple[Callable[[Node], str], Callable[[Receiver], str], str]] = {
    EAP_IG: (str, str, "`a0.h1->a5.h5<q>`, `m0->m3` or `a9.h9->logits`"),
    AUTOCIRCUIT: (
        autocircuit_sender,
        autocircuit_receiver,
        "`A0.1->A5.5.Q`, `MLP 0->MLP 3` or `A9.9->Resid End`",
    ),
    EDGE_PRUNING: (
        _edge_pruning_sender,
        _edge_pruning_receiver,
        '["a0.h1", "a5.h5.q"], ["m0", "m3"] or ["a9.h9", "resid_post"]',
    ),
}


def located(listing: Listing, architecture: Architecture) -> tuple[tuple[int, Entry], ...]:
    """Every edge of the model that the file lists, by number; raises `BadCircuit`.

    An edge that this model does not have, and one listed twice, are errors whether or not
    the circuit has them.
    """
    check_config(listing, architecture.shape)
    names = naming(listing.format, architecture)
    found: list[tuple[int, Entry]] = []
    seen = bytearray(architecture.size)
    wrong = []
    for entry in listing.entries:
        numbers = _numbers(entry.name, names, architecture)
        if numbers is None:
            wrong.append(entry.name)
            continue
        for number in numbers:
            if seen[number]:
                raise BadCircuit(
                    "CL112",
                    f"`{listing.file}` lists edge `{shortened(entry.name)}` twice.",
                    "keep the one that is meant",
                )
            seen[number] = 1
            found.append((number, entry))
    if wrong:
        shown = ", ".join(f"`{shortened(name)}`" for name in wrong[:3])
        raise BadCircuit(
            "CL207",
            f"{len(wrong)} of the {len(listing.entries)} edges in `{listing.file}` do not exist "
            f"in this model: {shown}{', ...' if len(wrong) > 3 else ''}.",
            _why(wrong[0], names, architecture),
        )
    return tuple(found)


def _numbers(name: str, names: Naming, architecture: Architecture) -> list[int] | None:
    """The edges that a name stands for; None where the model lacks one."""
    before, _, after = name.partition("->")
    receivers = names.receivers.get(after)
    if receivers is None or before not in names.senders:
        return None
    sender = names.senders[before]
    if any((sender or 0) >= architecture.counts[r] for r in receivers):
        return None
    return [] if sender is None else [architecture.offsets[r] + sender for r in receivers]


def _why(name: str, names: Naming, architecture: Architecture) -> str:
    before, arrow, after = name.partition("->")
    if not arrow or "->" in after:
        return f"edges are written like {names.examples}"
    if before not in names.senders:
        if before in names.receivers:
            return f"`{before}` sends nothing"
        return _no_node(before, names.senders, architecture.shape)
    if after not in names.receivers:
        if f"{after}<q>" in names.receivers or f"{after}.q" in names.receivers:
            return f"`{after}` is a head and reads by its ports: {names.examples}"
        if after in names.senders:
            return f"`{after}` reads nothing"
        return _no_node(after, names.receivers, architecture.shape)
    sender = architecture.senders[names.senders[before] or 0]
    receiver = architecture.receivers[names.receivers[after][0]].node
    if architecture.shape.parallel and sender.layer == receiver.layer and sender != receiver:
        return "in this model the attention and the MLP of a layer run side by side"
    return "its sender runs after its receiver has read"


def _no_node(name: str, known: Iterable[str], shape: Shape) -> str:
    numbers = re.findall("[0-9]+", shortened(name))
    alike = [other for other in known if re.findall("[0-9]+", other) == numbers]
    mlps = "" if shape.mlps else " and no MLPs"
    return f"the model has no `{shortened(name)}`; " + (
        suggestion(shortened(name), alike)
        or f"it has {shape.layers} layers of {shape.heads} heads{mlps}"
    )


# ---------------------------------------------------------------- which of the edges


@dataclass(frozen=True)
class Selection:
    """Which listed edges make the circuit: those the file says, or the best by score.

    `top` counts edges, `threshold` is the least score, and `absolute` ignores signs.
    """

    top: int | None = None
    threshold: float | None = None
    absolute: bool = False

    @property
    def by_score(self) -> bool:
        return self.top is not None or self.threshold is not None


def selected(
    listing: Listing, edges: tuple[tuple[int, Entry], ...], selection: Selection
) -> list[int]:
    """The numbers of the circuit's edges; raises `BadCircuit`. Ties go to the lower number."""
    if not selection.by_score:
        for _, entry in edges:
            if entry.included is None:
                raise without_in_graph(entry.name, listing.file)
        return [number for number, entry in edges if entry.included]
    ranked = sorted((-_scored(entry, listing, selection), number) for number, entry in edges)
    if selection.top is not None:
        if selection.top > len(ranked):
            raise BadCircuit(
                "CL105",
                f"`{listing.file}` scores {len(ranked):,} edges, and the top {selection.top:,} "
                "are asked for.",
                "ask for fewer",
            )
        return [number for _, number in ranked[: selection.top]]
    assert selection.threshold is not None
    return [number for score, number in ranked if -score >= selection.threshold]


def _scored(entry: Entry, listing: Listing, selection: Selection) -> float:
    if entry.score is None or entry.score != entry.score:
        raise BadCircuit(
            "CL112",
            f"Edge `{shortened(entry.name)}` of `{listing.file}` has no score.",
            "leave `top` and `threshold` out to take the edges the file says are in the circuit",
        )
    return abs(entry.score) if selection.absolute else entry.score


def mask_of(numbers: Iterable[int], size: int) -> int:
    """The set of these edge numbers, each below `size`."""
    row = bytearray((size + 7) // 8)
    for number in numbers:
        row[number >> 3] |= 1 << (number & 7)
    return int.from_bytes(row, "little")
