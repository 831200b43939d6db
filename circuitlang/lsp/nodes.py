"""Nodes and sets in words: what a head reads and writes, how large a circuit is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from circuitlang.language.formulas.values import Edges, Items, Located, Nodes
from circuitlang.language.graph.architecture import PORTS, Architecture, Node
from circuitlang.language.graph.edges import EdgeSet
from circuitlang.language.graph.sets import (
    BadNode,
    builtin_nodes,
    located,
    node_literal,
    nodes_of,
    size,
)
from circuitlang.language.spec import ModelReference, Spec
from circuitlang.lsp.markdown import MOST_SHOWN, counted, listed


def node_text(
    written: str, place: str, model: ModelReference, spec: Spec, graph: Architecture
) -> str:
    """What a node literal means in a model; its mistake, when it has one."""
    try:
        nodes = node_literal(written, graph)
    except BadNode as problem:
        return "\n\n".join(filter(None, (problem.message, problem.help)))
    if len(nodes.members) > 1:
        text = f"**{written}**: {counted(len(nodes.members), 'node')} of `{model.reference}`\n\n"
        return text + listed(map(str, nodes.members), 2 * MOST_SHOWN)
    return "\n\n".join(_one_node(nodes.members[0], place, model, spec, graph))


def _one_node(
    member: Located, place: str, model: ModelReference, spec: Spec, graph: Architecture
) -> Iterator[str]:
    node, shape = member.node, model.shape
    if node.kind == "head":
        yield (
            f"**{node}**: head {node.head} of {shape.heads} in layer {node.layer} of "
            f"{shape.layers}, `{model.reference}`"
        )
    else:
        yield f"**{node}**: the MLP of layer {node.layer} of {shape.layers}, `{model.reference}`"
    yield _reads(member, graph)
    if node.kind == "head" and shape.kv_heads < shape.heads:
        yield _shared_heads(node, model)
    yield f"Its output is read through {counted(graph.leaving(node).bit_count(), 'edge')}."
    if place:
        yield _placed(member, place)
    if groups := [name for name, members in spec.groups.items() if _among(node, members)]:
        yield f"In {listed(groups)}."
    mask = graph.leaving(node)
    sent = {
        name: sum((there & mask).bit_count() for there in located(edges).values())
        for name, edges in spec.circuits.items()
    }
    if parts := [f"{count:,} of `{name}`" for name, count in sent.items() if count]:
        yield f"Edges that it sends: {', '.join(parts)}."


def _among(node: Node, members: tuple[str, ...]) -> bool:
    """Whether a node is listed, with ports and positions or without."""
    return any(m.split(" ")[0].rstrip(PORTS).rstrip(".") == str(node) for m in members)


def _reads(member: Located, graph: Architecture) -> str:
    ports = member.ports or PORTS
    receiver = graph.receivers_of(member.node, ports)[0]
    count = graph.counts[graph.receiver_index[receiver]]
    senders = graph.senders[:count]
    heads = sum(s.kind == "head" for s in senders)
    mlps = sum(s.kind == "mlp" for s in senders)
    parts = [counted(n, noun) for n, noun in ((heads, "head"), (mlps, "MLP")) if n]
    before = " and ".join(filter(None, (", ".join(["`input`", *parts[:-1]]), *parts[-1:])))
    which = f" through {', '.join(ports)}" if member.node.kind == "head" else ""
    return f"Reads{which} what {before} wrote before it."


def _shared_heads(node: Node, model: ModelReference) -> str:
    """Grouped-query attention: which heads have the same keys and values."""
    shape = model.shape
    group = shape.heads // shape.kv_heads
    first = node.head // group * group
    others = [f"a{node.layer}.h{h}" for h in range(first, first + group) if h != node.head]
    return (
        f"Its keys and values are those of key-value head {node.head // group} of "
        f"{shape.kv_heads}, shared with {listed(others)}; its queries are its own."
    )


def _placed(member: Located, place: str) -> str:
    if member.ports:
        return f"`@ {place}`: what it reads there, at that place alone."
    if member.node.kind == "head":
        return f"`@ {place}`: its output there, so its query there, and its keys and values everywhere."
    return f"`@ {place}`: what it writes there."


def value_text(value: Any, spec: Spec, graph: Architecture) -> str | None:
    """How large a set or list is and what is in it; None for what is no set."""
    if isinstance(value, Edges):
        return edges_text(value.set, graph)
    if isinstance(value, Nodes):
        return f"{counted(len(value.members), 'node')}: {listed(map(str, value.members))}"
    if isinstance(value, Items):
        return f"A list of {counted(len(value.members), 'member')}: {listed(value.labels)}"
    return None


def edges_text(edges: EdgeSet, graph: Architecture) -> str:
    count = size(edges)
    heads = nodes_of(edges, Nodes(()), graph).members
    lines = [f"{counted(count, 'edge')} of {graph.size:,}, {counted(len(heads), 'node')}."]
    for places, mask in located(edges).items():
        where = "".join(f" @ {p}" for p in places)
        named = [str(e) for _, e in zip(range(MOST_SHOWN), graph.edges(mask), strict=False)]
        rest = mask.bit_count() - len(named)
        more = f" and {rest:,} more" if rest else ""
        lines.append(f"- {', '.join(f'`{n}`' for n in named)}{more}{where}")
    return "\n".join(lines)


def builtin_text(name: str, graph: Architecture) -> str | None:
    """How many nodes a built-in set has in a model; None for other words."""
    if name == "M":
        return f"{graph.size:,} edges."
    nodes = builtin_nodes(name, graph)
    if nodes is None or len(nodes.members) == 1:
        return None
    return f"{counted(len(nodes.members), 'node')}."
