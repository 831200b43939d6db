"""Denoising: which edges let a part bring back what it brings, and nothing else.

In F(e) alone an edge has nothing to pass on, since what its sender reads is ablated, and nobody who
would read on. What is meant by denoising, the part's own value in a run where all else is ablated
(Meng et al. 2022; Heimersheim and Nanda 2024), is F of all paths from input to logits through it.
"""

from __future__ import annotations

from dataclasses import dataclass

from circuitlang.language.graph.architecture import Architecture, Node, bits


@dataclass(frozen=True)
class Way:
    """All paths through a set of edges: into `before`, over the set, and out of `after`.

    `before` are the set's senders and all that they can read, `after` its receivers and all that can
    read them; `into` are all edges into the former, `out` all edges out of the latter. With `is_one`
    these are no other paths than those through the set.
    """

    before: tuple[Node, ...]
    after: tuple[Node, ...]
    into: int
    out: int
    is_one: bool

    def written(self, member: str, graph: Architecture) -> str:
        """The set of edges as the language writes it."""
        parts = [f"(any -> {_listed(self.before, graph)})"] if self.before else []
        parts.append(f"({member})")
        parts += [f"({_listed(self.after, graph)} -> any)"] if self.after else []
        return " + ".join(parts)


def way(mask: int, graph: Architecture) -> Way:
    """The paths through a set of edges, given as a mask."""
    senders: dict[Node, None] = {}
    receivers: dict[Node, None] = {}
    for number in bits(mask):
        edge = graph.edge(number)
        senders[edge.sender] = None
        receivers[edge.receiver.node] = None
    last = max((_reads(node, graph) for node in senders), default=0)
    first = min((_comes(node, graph) for node in receivers), default=len(graph.senders))
    before = [n for i, n in enumerate(graph.senders) if i < last or n in senders]
    after = [n for n in graph.senders if n in receivers or _reads(n, graph) > first]
    into = out = 0
    for node in before:
        for receiver in graph.receivers_of(node):
            into |= graph.entering(receiver)
    for node in after:
        out |= graph.leaving(node)
    both = set(before) & set(after)
    is_one = not into & out and not any(graph.leaving(node) & ~mask for node in both)
    return Way(tuple(n for n in before if n.kind != "input"), tuple(after), into, out, is_one)


def _reads(node: Node, graph: Architecture) -> int:
    """How many of the first senders a node can read."""
    receivers = graph.receivers_of(node)
    return graph.counts[graph.receiver_index[receivers[0]]] if receivers else 0


def _comes(node: Node, graph: Architecture) -> int:
    """The place of a node among the senders; behind them all where it sends nothing."""
    return graph.sender_index.get(node, len(graph.senders))


def _listed(nodes: tuple[Node, ...], graph: Architecture) -> str:
    """Whole layers as ranges, other heads by name."""
    heads, layers = graph.shape.heads, range(graph.shape.layers)
    present = set(nodes)
    full = [n for n in layers if all(Node("head", n, h) in present for h in range(heads))]
    parts = [f"a{_range(full)}.h[*]"] if full else []
    if mlps := [node.layer for node in nodes if node.kind == "mlp"]:
        parts.append(f"m{_range(mlps)}")
    parts += [str(node) for node in nodes if node.kind == "head" and node.layer not in full]
    return parts[0] if len(parts) == 1 else f"[{', '.join(parts)}]"


def _range(layers: list[int]) -> str:
    return str(layers[0]) if len(layers) == 1 else f"[{layers[0]}..{layers[-1]}]"
