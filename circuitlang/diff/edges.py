"""Edges of a circuit that came and went, counted between groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from circuitlang.language.graph.architecture import Shape, parse_edge
from circuitlang.meaning import Meaning
from circuitlang.meaning.edges import EVERYWHERE, edges_of, shape_of
from circuitlang.report.diff.document import BetweenForm, EdgesForm


def edges_between(key: str, old: Meaning, was: str, new: Meaning) -> EdgesForm | None:
    """None where the two circuits are of models with other graphs."""
    before, after = old.entries[was].content, new.entries[key].content
    shapes = _shape(old, before["model"]), _shape(new, after["model"])
    if shapes[0] is None or shapes[1] is None or shapes[0] != shapes[1]:
        return None
    gone, come = _named(before["at"], shapes[0]), _named(after["at"], shapes[1])
    added, removed = _ordered(come - gone), _ordered(gone - come)
    groups = {**_groups(old), **_groups(new)}
    senders = [frozenset(_sender(e) for e in edges) for edges in (gone, come)]
    return EdgesForm(
        added=added,
        removed=removed,
        between=_between(added, removed, groups),
        nodes_added=tuple(sorted(senders[1] - senders[0], key=_place)),
        nodes_removed=tuple(sorted(senders[0] - senders[1], key=_place)),
    )


def _shape(meaning: Meaning, reference: str) -> Shape | None:
    for key, entry in meaning.entries.items():
        if key.startswith("model ") and entry.content["reference"] == reference:
            return shape_of(entry.content)
    return None


def _named(at: Mapping[str, Any], shape: Shape) -> frozenset[str]:
    return frozenset(
        edge if condition == EVERYWHERE else f"{edge} @ {condition}"
        for condition, edges in edges_of(at, shape).items()
        for edge in edges
    )


def _groups(meaning: Meaning) -> dict[str, str]:
    """The group of each node, the first by name where it is in several."""
    found: dict[str, str] = {}
    for key, entry in meaning.entries.items():
        kind, _, name = key.partition(" ")
        for member in entry.content if kind == "group" else ():
            found.setdefault(_node(member), name)
    return found


def _node(member: str) -> str:
    head = member.split(" ")[0].split(".")
    return ".".join(head[: 2 if len(head) > 1 and head[1].startswith("h") else 1])


def _sender(edge: str) -> str:
    return edge.partition("->")[0]


def _receiver(edge: str) -> str:
    return edge.partition("->")[2].split(" ")[0].partition("<")[0]


def _between(
    added: Iterable[str], removed: Iterable[str], groups: Mapping[str, str]
) -> tuple[BetweenForm, ...]:
    counts: list[Counter[tuple[str, str]]] = []
    for edges in (added, removed):
        ends = ((_sender(e), _receiver(e)) for e in edges)
        counts.append(Counter((groups.get(s, s), groups.get(r, r)) for s, r in ends))
    pairs = sorted({*counts[0], *counts[1]}, key=lambda p: (-counts[0][p] - counts[1][p], p))
    return tuple(
        BetweenForm(sender=s, receiver=r, added=counts[0][s, r], removed=counts[1][s, r])
        for s, r in pairs
    )


def _ordered(edges: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(edges, key=lambda e: (_place(_sender(e)), _place(_receiver(e)), e)))


def _place(node: str) -> tuple[int, int, int]:
    """In the order of computation."""
    edge = parse_edge(f"{node}->logits")
    if edge is None or node == "logits":
        return (1_000_000, 0, 0)
    return (edge.sender.layer, int(edge.sender.kind == "mlp"), edge.sender.head)
