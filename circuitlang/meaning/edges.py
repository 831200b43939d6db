"""Edge sets as JSON: small, readable, and the same however the set was written.

A set with positions is a tree of unions and differences; here it is a list of conditions on a
token ("it is S1", "it is END and S2") with the edges that are live where the condition holds.
Edges stand as `senders: receivers`, both with index lists as in the language, `a9.h[6,9]`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import pairwise

from circuitlang.language.graph.architecture import (
    PORTS,
    Architecture,
    Edge,
    Node,
    Receiver,
    Shape,
    architecture,
    bits,
)
from circuitlang.language.graph.edges import EdgeSet
from circuitlang.meaning.canonical import Json

EVERYWHERE = ""
MOST_NODES = 20_000
Condition = bool | tuple["str", "Condition", "Condition"]
"""A decision diagram over positions in the order of their names: (position, if not, if so)."""


def by_condition(edges: EdgeSet) -> dict[str, int]:
    """Which edges are live under which condition on the token, in words; no edge stands twice."""
    found: dict[str, int] = {}
    for block in _blocks(edges):
        condition = _condition(edges, block, {})
        if condition is not False:
            text = EVERYWHERE if condition is True else _in_words(condition)
            found[text] = found.get(text, 0) | block
    return dict(sorted(found.items()))


def _blocks(edges: EdgeSet) -> Iterable[int]:
    """The edges, divided so that no mask of the tree tells two of one block apart."""
    blocks = [edges.reach] if edges.reach else []
    for mask in dict.fromkeys(_masks(edges)):
        parts = ((block & mask, block & ~mask) for block in blocks)
        blocks = [part for both in parts for part in both if part]
    return blocks


def _masks(edges: EdgeSet) -> Iterator[int]:
    stack = [edges]
    while stack:
        part = stack.pop()
        if part.is_uniform:
            yield part.mask
        stack += [p for p in (part.right, part.left) if p is not None]


def _condition(edges: EdgeSet, block: int, known: dict[int, Condition]) -> Condition:
    """When the edges of a block belong to the set."""
    if id(edges) in known:
        return known[id(edges)]
    if edges.is_uniform:
        found: Condition = bool(edges.mask & block)
    else:
        assert edges.left is not None
        left = _condition(edges.left, block, known)
        if edges.operation == "at":
            assert edges.place is not None
            right: Condition = False
            for position in edges.place.positions:
                right = _joined("or", right, (str(position), False, True))
            found = _joined("and", left, right)
        else:
            assert edges.right is not None
            found = _joined(edges.operation, left, _condition(edges.right, block, known))
    known[id(edges)] = found
    return found


@lru_cache(maxsize=65536)
def _joined(operation: str, one: Condition, other: Condition) -> Condition:
    if isinstance(one, bool) and isinstance(other, bool):
        match operation:
            case "or":
                return one or other
            case "and":
                return one and other
            case _:
                return one and not other
    first = min(c[0] for c in (one, other) if not isinstance(c, bool))
    (one_not, one_so), (other_not, other_so) = _halves(one, first), _halves(other, first)
    without = _joined(operation, one_not, other_not)
    within = _joined(operation, one_so, other_so)
    return without if without == within else (first, without, within)


def _halves(condition: Condition, position: str) -> tuple[Condition, Condition]:
    if isinstance(condition, bool) or condition[0] != position:
        return condition, condition
    return condition[1], condition[2]


def _in_words(condition: Condition) -> str:
    """`A1, B` is either, `END & S2` both at once; anything else is written as its cases."""
    either = []
    rest = condition
    while not isinstance(rest, bool) and rest[2] is True:
        either.append(rest[0])
        rest = rest[1]
    if rest is False:
        return ", ".join(either)
    return ", ".join(" & ".join(case) for case in _cases(condition))


def _cases(condition: Condition) -> Iterator[tuple[str, ...]]:
    if condition is True:
        yield ()
    elif condition is not False:
        position, without, within = condition
        yield from ((position, *case) for case in _cases(within))
        yield from ((f"not {position}", *case) for case in _cases(without))


# ---------------------------------------------------------------- as JSON


def edges_content(edges: EdgeSet, shape: Shape) -> Json:
    """{condition: {"edges": {senders: receivers}}}; an edge set of more than half of the model is
    "all_except" what is missing of it."""
    graph = architecture(shape)
    found = {}
    for condition, mask in by_condition(edges).items():
        flipped = condition == EVERYWHERE and mask.bit_count() * 2 > graph.size
        named = graph.everything & ~mask if flipped else mask
        found[condition] = {"all_except" if flipped else "edges": _grouped(named, graph)}
    return found


def _grouped(mask: int, graph: Architecture) -> dict[str, str]:
    by_senders: dict[int, list[Receiver]] = defaultdict(list)
    for index, receiver in enumerate(graph.receivers):
        if row := graph.row(mask, index):
            by_senders[row].append(receiver)
    return {
        nodes_text((graph.senders[i], "") for i in bits(row)): nodes_text(
            (receiver.node, receiver.port) for receiver in receivers
        )
        for row, receivers in by_senders.items()
    }


def edges_of(content: Json, shape: Shape) -> dict[str, frozenset[str]]:
    """The edges by name under each condition, of what `edges_content` gave; ValueError for other text."""
    graph = architecture(shape)
    found = {}
    for condition, held in content.items():
        ((kind, groups),) = held.items()
        mask = 0
        for senders, receivers in groups.items():
            targets = [Receiver(n, p) for n, ports in _nodes(receivers) for p in ports or ("",)]
            pairs = (Edge(sender, r) for sender, _ in _nodes(senders) for r in targets)
            mask |= graph.mask(pairs)
        mask = graph.everything & ~mask if kind == "all_except" else mask
        found[condition] = frozenset(map(str, graph.edges(mask)))
    return found


def nodes_text(nodes: Iterable[tuple[Node, str]]) -> str:
    """`input a0.h[0..2].kv m[0,3] logits`: nodes with the ports meant, in the model's order."""
    ports: dict[Node, str] = {}
    for node, port in nodes:
        ports[node] = ports.get(node, "") + port
    heads: dict[tuple[int, str], list[int]] = defaultdict(list)
    words, mlps = [], []
    for node, port in ports.items():
        chosen = "".join(p for p in PORTS if p in port)
        match node.kind:
            case "head":
                heads[node.layer, chosen].append(node.head)
            case "mlp":
                mlps.append(node.layer)
            case word:
                words.append(word)
    texts = [word for word in words if word == "input"]
    texts += [
        f"a{layer}.h{_index(numbers)}" + (f".{chosen}" if chosen else "")
        for (layer, chosen), numbers in sorted(heads.items())
    ]
    texts += [f"m{_index(mlps)}"] if mlps else []
    return " ".join((*texts, *(word for word in words if word != "input")))


def _index(numbers: list[int]) -> str:
    numbers = sorted(set(numbers))
    if len(numbers) == 1:
        return str(numbers[0])
    starts = [numbers[0], *(b for a, b in pairwise(numbers) if b != a + 1)]
    ends = [*(a for a, b in pairwise(numbers) if b != a + 1), numbers[-1]]
    runs = zip(starts, ends, strict=True)
    parts = (str(a) if a == b else f"{a},{b}" if b == a + 1 else f"{a}..{b}" for a, b in runs)
    return f"[{','.join(parts)}]"


_NODES = re.compile(
    r"(?P<word>input|logits)|m(?P<mlp>\d+|\[[\d,.]+\])"
    r"|a(?P<layer>\d+)\.h(?P<head>\d+|\[[\d,.]+\])(?:\.(?P<ports>[qkv]+))?"
)


def _nodes(text: str) -> Iterator[tuple[Node, str]]:
    for word in text.split():
        match = _NODES.fullmatch(word)
        if match is None:
            raise ValueError(f"{word!r} names no nodes")
        if match["word"]:
            yield Node(match["word"]), ""
        elif match["mlp"]:
            yield from ((Node("mlp", layer), "") for layer in _numbers(match["mlp"]))
        else:
            layer, ports = int(match["layer"]), match["ports"] or ""
            yield from ((Node("head", layer, head), ports) for head in _numbers(match["head"]))


def _numbers(text: str) -> Iterator[int]:
    for part in text.strip("[]").split(","):
        low, _, high = part.partition("..")
        if int(high or low) > MOST_NODES:
            raise ValueError(f"{part} is no layer or head")
        yield from range(int(low), int(high or low) + 1)


def shape_of(content: Mapping[str, Json]) -> Shape:
    """The shape that a model's entry states; ValueError or TypeError where it states none."""
    shape = Shape(**content["shape"])
    if not (0 < shape.layers <= MOST_NODES and 0 < shape.heads <= MOST_NODES // shape.layers):
        raise ValueError("no model has so many nodes")
    return shape
