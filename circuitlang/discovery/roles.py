"""Groups of a circuit's heads and MLPs by what they do: where, looking at what, for or against.

Takes a circuit, an experiment and scores by place. A head acts at the label where what it writes is
worth most, and looks from there at the label that has most of its attention. What comes out is a
proposal of names to test, read off the prompts that the circuit was found on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from circuitlang.discovery.experiment import Experiment
from circuitlang.language.graph.architecture import Architecture, Node, bits
from circuitlang.language.graph.edges import END, Place, Position
from circuitlang.language.spec import AttentionScore, Metric

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LOOKS = 0.3
MOST_ROLES = 12
THIRDS = ("early", "middle", "late")


@dataclass(frozen=True)
class Role:
    """Nodes that do alike. `at` is the label where they act and `looks_at` the one that their heads
    attend to from there, None where that is at no label or spread; `attention` is what each head
    pays it on nine prompts of ten. `supports` says whether what they write helps the metric. A role
    that is `rest` has nodes of many roles, each worth little, for and against."""

    nodes: tuple[Node, ...]
    at: str | None
    looks_at: str | None
    supports: bool | None
    attention: Mapping[Node, float]
    rest: bool = False

    @property
    def name(self) -> str:
        """Without what tells apart roles of one name."""
        kind = "heads" if self.nodes[0].kind == "head" else "mlps"
        where = f"_at_{self.at}" if self.at else ""
        target = f"_to_{self.looks_at}" if self.looks_at else ""
        if self.rest:
            return f"other_{kind}"
        against = "" if self.supports else "_against"
        return f"{kind}{where}{target}{against}"


def labels_of(experiment: Experiment) -> tuple[str, ...]:
    """The task's positions that every prompt has, and END where no label is always there."""
    assert experiment.front.resolved is not None
    labels = experiment.front.resolved.tasks[experiment.drawn.task].labels
    prompts = experiment.prompts.prompts
    end = [p.spans for p in prompts]
    last = any(
        all(spans[label][1] == len(p.tokens) for spans, p in zip(end, prompts, strict=True))
        for label in labels
    )
    return labels if last else (*labels, END)


def roles(
    experiment: Experiment,
    circuit: int,
    labels: Sequence[str],
    by_place: npt.NDArray[np.float64] | None,
) -> tuple[Role, ...]:
    """The circuit's nodes by role, in the order of the model.

    `by_place` has scores [label, edge], and one row more for everywhere else; without it nodes are
    told apart by layer alone.
    """
    nodes = _nodes(experiment.graph, circuit)
    sign = -1 if experiment.metric.lower_is_better else 1
    worth = _worth(experiment.graph, circuit, by_place) if by_place is not None else {}
    acting = {node: _label(worth.get(node), labels) for node in nodes}
    heads = [node for node in nodes if node.kind == "head" and acting[node] is not None]
    looks = _attention(experiment, {h: acting[h] or END for h in heads}, labels)
    found: dict[tuple[object, ...], list[Node]] = {}
    attention: dict[Node, float] = {}
    keys: dict[Node, tuple[str | None, str | None, bool]] = {}
    for node in nodes:
        target = None
        if looks.get(node):
            best = max(looks[node], key=lambda label: float(looks[node][label].mean()))
            if looks[node][best].mean() >= LOOKS:
                target = best
                attention[node] = float(sorted(looks[node][best])[len(looks[node][best]) // 10])
        total = float(worth[node].sum()) if node in worth else 1.0
        keys[node] = acting[node], target, sign * total >= 0
        found.setdefault((node.kind, *keys[node]), []).append(node)
    made = []
    for members in found.values():
        for part in _by_third(members, experiment.graph.shape.layers):
            at, target, supports = keys[part[0]]
            seen = {n: attention[n] for n in part if n in attention}
            made.append(Role(tuple(part), at, target, supports, seen))
    kept = _few(made, {node: abs(float(column.sum())) for node, column in worth.items()})
    return tuple(sorted(kept, key=lambda role: (role.nodes[0].layer, role.nodes[0].head)))


def _few(found: Sequence[Role], worth: Mapping[Node, float]) -> list[Role]:
    """The `MOST_ROLES` roles that are worth most, and the nodes of all others by kind."""
    if len(found) <= MOST_ROLES + 1:
        return list(found)
    by_worth = sorted(found, key=lambda role: -sum(worth.get(n, 0.0) for n in role.nodes))
    kept, rest = by_worth[:MOST_ROLES], by_worth[MOST_ROLES:]
    for kind in ("head", "mlp"):
        nodes = sorted(
            (n for role in rest for n in role.nodes if n.kind == kind),
            key=lambda node: (node.layer, node.head),
        )
        if nodes:
            kept.append(Role(tuple(nodes), None, None, None, {}, rest=True))
    return kept


def _nodes(graph: Architecture, circuit: int) -> list[Node]:
    """The nodes that write into the circuit, input apart, in the order of the model."""
    senders = {graph.edge(number).sender for number in bits(circuit)}
    return [node for node in graph.senders if node in senders and node.layer >= 0]


def _worth(
    graph: Architecture, circuit: int, by_place: npt.NDArray[np.float64]
) -> dict[Node, npt.NDArray[np.float64]]:
    """What each node's edges in the circuit are worth at each place."""
    found: dict[Node, npt.NDArray[np.float64]] = {}
    for number in bits(circuit):
        sender = graph.edge(number).sender
        column = by_place[:, number]
        found[sender] = found[sender] + column if sender in found else column.copy()
    return found


def _label(worth: npt.NDArray[np.float64] | None, labels: Sequence[str]) -> str | None:
    """The label where a node is worth most; None where that is elsewhere."""
    if worth is None:
        return None
    best = int(abs(worth).argmax())
    return labels[best] if best < len(labels) else None


def _attention(
    experiment: Experiment, heads: Mapping[Node, str], labels: Sequence[str]
) -> dict[Node, dict[str, npt.NDArray[np.float64]]]:
    """Each head's attention in M from where it acts to every label, prompt by prompt."""
    if not heads:
        return {}
    asked = {
        (head, label): Metric(f"attention({head}, {at}, {label})", _score(head, at, label), False)
        for head, at in heads.items()
        for label in labels
    }
    values = experiment.values([experiment.whole], tuple(asked.values()))
    found: dict[Node, dict[str, npt.NDArray[np.float64]]] = {head: {} for head in heads}
    for (head, label), metric in asked.items():
        found[head][label] = values[experiment.whole, metric]
    return found


def _score(head: Node, at: str, label: str) -> AttentionScore:
    return AttentionScore(head, Place((Position(at),)), Place((Position(label),)))


def _by_third(nodes: Sequence[Node], layers: int) -> Iterable[list[Node]]:
    """Apart where they stand in different thirds of the model."""
    parts: dict[int, list[Node]] = {}
    for node in nodes:
        parts.setdefault(third(node, layers), []).append(node)
    return parts.values()


def third(node: Node, layers: int) -> int:
    """0, 1 or 2: the third of the model that a node stands in."""
    return 3 * node.layer // layers


def names(found: Sequence[Role], layers: int, taken: Iterable[str] = ()) -> tuple[str, ...]:
    """A name for each role: its own, with the third where several have it, counted if need be."""
    shared = [role.name for role in found]
    taken = frozenset(taken)
    used, made = set(taken), []
    for role in found:
        name = role.name
        if shared.count(name) > 1 or name in taken:
            name = f"{THIRDS[third(role.nodes[0], layers)]}_{name}"
        number, base = 2, name
        while name in used:
            name, number = f"{base}_{number}", number + 1
        used.add(name)
        made.append(name)
    return tuple(made)
