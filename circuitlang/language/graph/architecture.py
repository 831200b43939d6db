"""The computational graph that a model's shape implies: nodes, ports, edges.

Takes a `Shape` (a few integers from a model's config) and gives an `Architecture`:
senders, receivers and a number for every edge between them. An edge set is an integer
whose bit e is set when edge e belongs to it, so set algebra on 123,211 edges is one
machine operation per 64 of them.

Senders and receivers stand in EAP-IG's order. A receiver's possible senders are then
always a prefix of the senders, and edge number = the receiver's offset + the sender's index.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

PORTS = "qkv"


@dataclass(frozen=True)
class Shape:
    """What a resolver must know of a model: no weights, only sizes and block layout."""

    layers: int
    heads: int
    kv_heads: int
    d_model: int
    d_head: int
    d_mlp: int
    vocab: int
    parallel: bool = False
    mlps: bool = True
    post_norm: bool = False
    context: int | None = None
    family: str = ""

    @property
    def parameters(self) -> int:
        """Approximate count of matrix weights (no norms, no biases), embedding once."""
        attention = self.d_model * self.d_head * (2 * self.heads + 2 * self.kv_heads)
        mlp = self.d_model * self.d_mlp * (3 if self.family in GATED else 2) if self.mlps else 0
        return self.layers * (attention + mlp) + self.vocab * self.d_model


GATED = frozenset({"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3"})


@dataclass(frozen=True)
class Node:
    """`input`, `logits`, head `aL.hH` or MLP `mL`."""

    kind: str
    layer: int = -1
    head: int = -1

    def __str__(self) -> str:
        if self.kind == "head":
            return f"a{self.layer}.h{self.head}"
        return f"m{self.layer}" if self.kind == "mlp" else self.kind


INPUT = Node("input")
LOGITS = Node("logits")


@dataclass(frozen=True)
class Receiver:
    """A place where a node reads the residual stream; heads have one for each of q, k, v."""

    node: Node
    port: str = ""

    def __str__(self) -> str:
        return f"{self.node}<{self.port}>" if self.port else str(self.node)


@dataclass(frozen=True)
class Edge:
    """The residual edge from a sender's output to one receiver."""

    sender: Node
    receiver: Receiver

    def __str__(self) -> str:
        return f"{self.sender}->{self.receiver}"


class Architecture:
    """All nodes and edges of a shape. Build it with `architecture(shape)`, which caches."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        layers, heads = range(shape.layers), range(shape.heads)
        senders, receivers, counts = [INPUT], [], []
        for layer in layers:
            before = len(senders)
            attention = [Node("head", layer, head) for head in heads]
            receivers += [Receiver(node, port) for port in PORTS for node in attention]
            counts += [before] * (3 * shape.heads)
            senders += attention
            if shape.mlps:
                mlp = Node("mlp", layer)
                receivers.append(Receiver(mlp))
                counts.append(before if shape.parallel else len(senders))
                senders.append(mlp)
        receivers.append(Receiver(LOGITS))
        counts.append(len(senders))
        self.senders: tuple[Node, ...] = tuple(senders)
        self.receivers: tuple[Receiver, ...] = tuple(receivers)
        self.counts: tuple[int, ...] = tuple(counts)
        self.sender_index = {node: i for i, node in enumerate(senders)}
        self.receiver_index = {receiver: i for i, receiver in enumerate(receivers)}
        offsets, total = [], 0
        for count in counts:
            offsets.append(total)
            total += count
        self.offsets: tuple[int, ...] = tuple(offsets)
        self.size = total

    @cached_property
    def everything(self) -> int:
        return (1 << self.size) - 1

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        return (*self.senders, LOGITS)

    @cached_property
    def _node_set(self) -> frozenset[Node]:
        return frozenset(self.nodes)

    def __contains__(self, node: Node) -> bool:
        return node in self._node_set

    def receivers_of(self, node: Node, ports: str = PORTS) -> list[Receiver]:
        if node.kind == "head":
            return [Receiver(node, port) for port in ports]
        return [Receiver(node)] if Receiver(node) in self.receiver_index else []

    def edge_number(self, edge: Edge) -> int | None:
        """The edge's number, or None when the sender cannot reach that receiver directly."""
        sender = self.sender_index.get(edge.sender)
        receiver = self.receiver_index.get(edge.receiver)
        if sender is None or receiver is None or sender >= self.counts[receiver]:
            return None
        return self.offsets[receiver] + sender

    @lru_cache(maxsize=4096)  # noqa: B019 - architectures are cached for the process anyway
    def leaving(self, node: Node) -> int:
        """All edges that leave `node`."""
        sender = self.sender_index.get(node)
        if sender is None:
            return 0
        mask = 0
        for offset, count in zip(self.offsets, self.counts, strict=True):
            if sender < count:
                mask |= 1 << (offset + sender)
        return mask

    def entering(self, receiver: Receiver) -> int:
        """All edges that enter `receiver`."""
        index = self.receiver_index[receiver]
        return ((1 << self.counts[index]) - 1) << self.offsets[index]

    def row(self, mask: int, receiver: int) -> int:
        """The senders whose edge into receiver number `receiver` is in `mask`: bit s for sender s."""
        return (mask >> self.offsets[receiver]) & ((1 << self.counts[receiver]) - 1)

    def entered(self, mask: int) -> tuple[int, ...]:
        """The numbers of the receivers that `mask` has edges into."""
        return tuple(i for i in range(len(self.receivers)) if self.row(mask, i))

    def edge(self, number: int) -> Edge:
        receiver = self.receiver_of(number)
        return Edge(self.senders[number - self.offsets[receiver]], self.receivers[receiver])

    def edges(self, mask: int) -> Iterator[Edge]:
        return (self.edge(number) for number in bits(mask))

    def receiver_of(self, number: int) -> int:
        from bisect import bisect_right

        return bisect_right(self.offsets, number) - 1

    def mask(self, edges: Iterable[Edge]) -> int:
        """The set of `edges`; KeyError for one that does not exist."""
        result = 0
        for edge in edges:
            number = self.edge_number(edge)
            if number is None:
                raise KeyError(str(edge))
            result |= 1 << number
        return result


@lru_cache(maxsize=64)
def architecture(shape: Shape) -> Architecture:
    return Architecture(shape)


def bits(mask: int) -> Iterator[int]:
    """The numbers of the set bits, ascending."""
    if 8 * mask.bit_count() < mask.bit_length():
        while mask:
            low = mask & -mask
            yield low.bit_length() - 1
            mask ^= low
        return
    data = mask.to_bytes((mask.bit_length() + 7) // 8, "little")
    for index, byte in enumerate(data):
        while byte:
            low = byte & -byte
            yield 8 * index + low.bit_length() - 1
            byte ^= low


_NODE = re.compile(r"a(\d+)\.h(\d+)|m(\d+)|input|logits")
_EDGE = re.compile(r"(?P<sender>[^<>\s-]+)->(?P<node>[^<>\s-]+?)(?:<(?P<port>[qkv])>)?")


def parse_node(text: str) -> Node | None:
    match = _NODE.fullmatch(text)
    if match is None:
        return None
    if match[1] is not None:
        return Node("head", int(match[1]), int(match[2]))
    return Node("mlp", int(match[3])) if match[3] is not None else Node(text)


def parse_edge(text: str) -> Edge | None:
    """Reads EAP-IG's `a0.h1->a5.h5<q>`; None when the text is not an edge name at all."""
    match = _EDGE.fullmatch(text)
    if match is None:
        return None
    sender, node, port = parse_node(match["sender"]), parse_node(match["node"]), match["port"] or ""
    if sender is None or node is None or (node.kind == "head") != bool(port):
        return None
    return Edge(sender, Receiver(node, port))
