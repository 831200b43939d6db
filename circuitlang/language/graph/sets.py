"""Node and edge sets of one architecture: literals, products, members, dead edges."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from circuitlang.language.formulas.values import Located, Nodes
from circuitlang.language.graph.architecture import (
    INPUT,
    LOGITS,
    PORTS,
    Architecture,
    Node,
    Receiver,
    bits,
)
from circuitlang.language.graph.edges import NOTHING, EdgeSet, Place, uniform

_LITERAL = re.compile(
    r"(?:a(?P<layer>\d+|\[.*?\])(?:\.h(?P<head>\d+|\[.*?\]))?|m(?P<mlp>\d+|\[.*?\]))"
    r"(?:\.(?P<ports>[qkv]+))?"
)


class BadNode(Exception):
    """A node literal that this architecture does not have; carries code, message and help."""

    def __init__(self, code: str, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.help = code, message, help


def node_literal(text: str, architecture: Architecture) -> Nodes:
    """`a9.h[6,9].kv` -> nodes; raises `BadNode`."""
    match = _LITERAL.fullmatch(text)
    if match is None:
        raise BadNode("CL009", f"`{text}` is not a node.", "heads are a9.h6, MLPs are m3")
    shape, ports = architecture.shape, match["ports"] or ""
    if match["mlp"] is not None:
        if not shape.mlps:
            raise BadNode(
                "CL201", "This model has attention layers only, no MLPs.", "name heads only"
            )
        if ports:
            raise BadNode(
                "CL208",
                f"An MLP has no `{ports}` port.",
                f"write `{text.rsplit('.', 1)[0]}`; only heads read through q, k and v",
            )
        layers = _index(match["mlp"], shape.layers, "layer", text)
        nodes = [Node("mlp", layer) for layer in layers]
    else:
        layers = _index(match["layer"], shape.layers, "layer", text)
        if match["head"] is None:
            raise BadNode(
                "CL009",
                f"`{text}` names a layer, not a head.",
                f"write `a{match['layer']}.h[*]` for all of its heads",
            )
        heads = _index(match["head"], shape.heads, "head", text)
        nodes = [Node("head", layer, head) for layer in layers for head in heads]
    return Nodes(tuple(Located(node, ports) for node in nodes), wide="[" in text)


def _index(text: str, size: int, what: str, literal: str) -> list[int]:
    body = text.strip("[]").strip()
    if body == "*":
        return list(range(size))
    found: list[int] = []
    for item in body.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:\.\.\s*(\d+)\s*)?", item)
        if match is None:
            raise BadNode(
                "CL009",
                f"`[{body}]` in `{literal}` is not a list of numbers and ranges.",
                f"write `[{body.replace('-', '..').replace(':', '..')}]`"
                if re.fullmatch(r"[\d\s]*\d[-:]\d[\d\s,:-]*", body)
                else "write for example [6,9], [0..3] or [*]",
            )
        low, high = _bounded(match[1]), _bounded(match[2] or match[1])
        if high < low:
            raise BadNode(
                "CL009", f"The range {low}..{high} in `{literal}` is empty.", f"write {high}..{low}"
            )
        if high >= size:
            raise BadNode(
                "CL201",
                f"`{_short(literal)}` asks for {what} {_short(match[2] or match[1])}, "
                f"but this model has {what}s 0..{size - 1}.",
                f"the last {what} is {size - 1}",
            )
        found += range(low, high + 1)
    return list(dict.fromkeys(found))


def _bounded(digits: str) -> int:
    """The index; one too long for any model is cut, so that no text makes a huge number."""
    return int(digits.lstrip("0")[:9] or 0)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."


def builtin_nodes(name: str, architecture: Architecture) -> Nodes | None:
    senders = architecture.senders
    chosen: Iterable[Node]
    match name:
        case "input":
            return Nodes((Located(INPUT),))
        case "logits":
            return Nodes((Located(LOGITS),))
        case "heads":
            chosen = (n for n in senders if n.kind == "head")
        case "mlps":
            chosen = (n for n in senders if n.kind == "mlp")
        case "any":
            chosen = architecture.nodes
        case _:
            return None
    return Nodes(tuple(map(Located, chosen)), wide=True)


# ---------------------------------------------------------------- edges of nodes


def leaving(nodes: Nodes, architecture: Architecture) -> EdgeSet:
    """The edges that leave the nodes, each at its node's place."""
    everywhere, placed = 0, NOTHING
    for member in nodes.members:
        mask = architecture.leaving(member.node)
        if member.place is None:
            everywhere |= mask
        else:
            placed = placed | uniform(mask).at(member.place)
    return uniform(everywhere) | placed


@dataclass(frozen=True)
class Product:
    """`edges` of a product of nodes, and how many pairs cannot be edges."""

    edges: EdgeSet
    possible: int
    impossible: int
    example: tuple[Node, Receiver] | None


def product(senders: Nodes, receivers: Nodes, architecture: Architecture) -> Product:
    """All edges from `senders` into the ports of `receivers`.

    `sender @ p` keeps the edge at p. `head @ p` as a receiver reads q at p, k and v anywhere;
    `head.port @ p`, an MLP or logits reads at p.
    """
    by_place: dict[Place | None, int] = {}
    logits_sent = False
    for member in senders.members:
        index = architecture.sender_index.get(member.node)
        if index is None:
            logits_sent = True
            continue
        by_place[member.place] = by_place.get(member.place, 0) | (1 << index)
    result, possible, impossible = NOTHING, 0, 0
    example: tuple[Node, Receiver] | None = None
    masks: dict[tuple[Place | None, Place | None], int] = {}
    for target in receivers.members:
        for receiver in architecture.receivers_of(target.node, target.ports or PORTS):
            place = None if not target.ports and receiver.port in ("k", "v") else target.place
            index = architecture.receiver_index[receiver]
            prefix = (1 << architecture.counts[index]) - 1
            for sent_at, sent in by_place.items():
                row = sent & prefix
                masks[sent_at, place] = masks.get((sent_at, place), 0) | (
                    row << architecture.offsets[index]
                )
                possible += row.bit_count()
                lost = (sent & ~prefix).bit_count()
                impossible += lost
                if lost and example is None:
                    sender = next(bits(sent & ~prefix))
                    example = (architecture.senders[sender], receiver)
    for (sent_at, read_at), mask in masks.items():
        part = uniform(mask)
        for place in {sent_at, read_at} - {None}:
            assert place is not None
            part = part.at(place)
        result = result | part
    if example is None and (logits_sent or any(m.node == INPUT for m in receivers.members)):
        example = _no_sender_or_receiver(senders, receivers)
        impossible += example is not None
    return Product(result, possible, impossible, example)


def _no_sender_or_receiver(senders: Nodes, receivers: Nodes) -> tuple[Node, Receiver] | None:
    """A pair with logits as sender or input as receiver; None when one side is empty."""
    pairs = ((s.node, r.node) for s in senders.members for r in receivers.members)
    wrong = (p for p in pairs if p[0] == LOGITS or p[1] == INPUT)
    return next(((sender, Receiver(node)) for sender, node in wrong), None)


# ---------------------------------------------------------------- members


def located(edges: EdgeSet) -> dict[tuple[Place, ...], int]:
    """place(s) -> mask: how the set was written, places not yet resolved."""
    if edges.is_uniform:
        return {(): edges.mask} if edges.mask else {}
    assert edges.left is not None
    left = located(edges.left)
    if edges.operation == "at":
        assert edges.place is not None
        found: dict[tuple[Place, ...], int] = {}
        for key, mask in left.items():
            for position in edges.place.positions:
                new = _combined(key, (Place((position,)),))
                found[new] = found.get(new, 0) | mask
        return found
    assert edges.right is not None
    right = located(edges.right)
    if edges.operation == "or":
        return {k: left.get(k, 0) | right.get(k, 0) for k in dict.fromkeys((*left, *right))}
    if edges.operation == "sub":
        gone = {k: m & ~right.get(k, 0) & ~right.get((), 0) for k, m in left.items()}
        return {k: m for k, m in gone.items() if m}
    both: dict[tuple[Place, ...], int] = {}
    for k1, m1 in left.items():
        for k2, m2 in right.items():
            if m1 & m2:
                key = _combined(k1, k2)
                both[key] = both.get(key, 0) | (m1 & m2)
    return both


def _combined(one: tuple[Place, ...], other: tuple[Place, ...]) -> tuple[Place, ...]:
    return tuple(sorted({*one, *other}, key=str))


def size(edges: EdgeSet) -> int:
    return sum(mask.bit_count() for mask in located(edges).values())


def members(edges: EdgeSet, architecture: Architecture) -> Iterator[tuple[str, EdgeSet]]:
    """Each edge as a set of its own, an edge with n listed positions n times."""
    for places, mask in located(edges).items():
        for number in bits(mask):
            one = uniform(1 << number)
            for place in places:
                one = one.at(place)
            label = str(architecture.edge(number)) + "".join(f" @ {p}" for p in places)
            yield label, (one if edges.is_uniform or not places else one & edges)


def nodes_of(edges: EdgeSet, free: Nodes, architecture: Architecture) -> Nodes:
    """The senders located as the set has them, without input, logits and free ones."""
    without = {m.node for m in free.members if m.place is None} | {INPUT, LOGITS}
    found: dict[Located, None] = {}
    for places, mask in located(edges).items():
        present = 0
        for index, count in enumerate(architecture.counts):
            if count:
                present |= architecture.row(mask, index)
        place = _joined(places)
        for sender in bits(present):
            node = architecture.senders[sender]
            if node not in without:
                found[Located(node, "", place)] = None
    everywhere = {m.node for m in found if m.place is None}
    return Nodes(tuple(m for m in found if m.place is None or m.node not in everywhere))


def _joined(places: tuple[Place, ...]) -> Place | None:
    return places[0] if places else None


def entangled(operator: str, left: Nodes, right: Nodes) -> bool:
    """Whether only a prompt can tell the result: one node at two places, which may coincide.

    What is taken out as it stands in `left`, place and all, is that member and no other.
    """
    if operator == "+":
        return False
    own = {(m.node, m.place) for m in left.members} if operator == "-" else set()
    places: dict[Node, set[Place | None]] = {}
    for member in right.members:
        places.setdefault(member.node, set()).add(member.place)
    for member in left.members:
        others = places.get(member.node, set())
        unlike = {p for p in others - {member.place, None} if (member.node, p) not in own}
        if unlike and None not in others and (operator == "-" or member.place is not None):
            return True
    return False


def union(left: Nodes, right: Nodes) -> Nodes:
    return Nodes(tuple(dict.fromkeys(left.members + right.members)), left.wide or right.wide)


def difference(left: Nodes, right: Nodes) -> Nodes:
    everywhere = {m.node for m in right.members if m.place is None}
    gone = set(right.members)
    kept = (m for m in left.members if m not in gone and m.node not in everywhere)
    return Nodes(tuple(kept), left.wide)


def intersection(left: Nodes, right: Nodes) -> Nodes:
    """Members of `left` that `right` has, at that place or everywhere, and the reverse."""
    found: dict[Located, None] = {}
    for one, other in ((left, right), (right, left)):
        everywhere = {m.node for m in other.members if m.place is None}
        same = set(other.members)
        for m in one.members:
            if m in same or m.node in everywhere:
                found[m] = None
    located_nodes = {m.node for m in found if m.place is not None}
    return Nodes(
        tuple(m for m in found if m.place is not None or m.node not in located_nodes),
        left.wide and right.wide,
    )


# ---------------------------------------------------------------- dead edges


def reaching_logits(mask: int, architecture: Architecture, also: Collection[Node] = ()) -> int:
    """The edges of `mask` from which logits, or nodes of `also`, can be reached within `mask`."""
    alive: set[Node] = {LOGITS, *also}
    kept = 0
    for index in reversed(range(len(architecture.receivers))):
        receiver = architecture.receivers[index]
        if receiver.node not in alive:
            continue
        row = architecture.row(mask, index)
        kept |= row << architecture.offsets[index]
        alive.update(architecture.senders[s] for s in bits(row))
    return kept


def reached_from_input(mask: int, architecture: Architecture) -> int:
    """The edges of `mask` whose sender is reached from input within `mask`."""
    alive = 1 << architecture.sender_index[INPUT]
    kept = 0
    by_node: dict[Node, list[int]] = {}
    for index, receiver in enumerate(architecture.receivers):
        by_node.setdefault(receiver.node, []).append(index)
    for node in architecture.nodes[1:]:
        reached = False
        for index in by_node[node]:
            row = architecture.row(mask, index) & alive
            kept |= row << architecture.offsets[index]
            reached = reached or bool(row)
        if reached and node in architecture.sender_index:
            alive |= 1 << architecture.sender_index[node]
    return kept
