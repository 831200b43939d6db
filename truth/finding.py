"""What the ways of finding a circuit find where it is known: `python -m truth.finding`.

Every way is let loose on the models of `truth/subjects.py`, and what it finds is compared with the
planted edges, positions ignored. Of each planted edge that is missed, runs say why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from circuitlang.discovery.acdc import acdc, divergence
from circuitlang.discovery.attribution import attributed
from circuitlang.discovery.experiment import Context, Experiment, experiment
from circuitlang.discovery.path import walk
from circuitlang.discovery.scores import Scores
from circuitlang.discovery.selection import select
from circuitlang.front import Options, Silent
from circuitlang.language.graph.architecture import Edge, Node, bits, parse_edge
from circuitlang.language.graph.edges import uniform
from circuitlang.language.spec import Metric
from truth.subjects import SUBJECTS, Subject

WANTED = 0.95
VISIBLE = 0.02
SHARES = (0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 0.2)
NATS = (0.0001, 0.001, 0.003, 0.01, 0.03, 0.1)
USUAL_NATS = 0.01
NOTHING_PLANTED = frozenset({"trained"})


@dataclass(frozen=True)
class Found:
    """What a way finds with its usual threshold, and with the one that suits the planted edges best."""

    usual: int
    best: int


class Known:
    """A subject's experiment, its planted edges and the numbers that explain a miss.

    `effect` and all other numbers are shares of F(M) - F(none).
    """

    def __init__(self, one: Experiment, subject: Subject) -> None:
        self.experiment, self.subject, self.graph = one, subject, one.graph
        edges = (parse_edge(written.partition("@")[0]) for written in subject.planted)
        self.planted = one.graph.mask(edge for edge in edges if edge is not None)
        self._known: dict[tuple[int, Metric], float] = {}
        whole, floor = self.means([one.graph.everything, 0])
        self.effect = whole - floor

    def means(self, masks: Sequence[int], metric: Metric | None = None) -> list[float]:
        """F of each set of edges; none is measured twice."""
        one, metric = self.experiment, metric or self.experiment.metric
        runs = {m: one.run(uniform(m)) for m in masks if (m, metric) not in self._known}
        if runs:
            means = one.means(dict.fromkeys(runs.values()), metric)
            self._known |= {(mask, metric): means[run] for mask, run in runs.items()}
        return [self._known[mask, metric] for mask in masks]

    def drops(
        self, live: int, edges: Sequence[int], metric: Metric | None = None
    ) -> dict[int, float]:
        """How much of the effect `live` loses with each edge; of another metric, how much it grows."""
        before, *after = self.means([live, *(live & ~(1 << e) for e in edges)], metric)
        if metric is not None:
            return {edge: f - before for edge, f in zip(edges, after, strict=True)}
        return {edge: (before - f) / self.effect for edge, f in zip(edges, after, strict=True)}

    @cached_property
    def exact(self) -> Scores:
        """`F(M) - F(M - e)` of every edge."""
        drops = self.drops(self.graph.everything, range(self.graph.size))
        values = np.array([drops[number] for number in range(self.graph.size)])
        return Scores(self.graph, values * self.effect)

    def accuracy(self, mask: int) -> tuple[float, float, float]:
        """Precision, recall and their harmonic mean."""
        right = (mask & self.planted).bit_count()
        precision = right / mask.bit_count() if mask else 0.0
        recall = right / self.planted.bit_count()
        return precision, recall, 2 * precision * recall / (precision + recall) if right else 0.0

    def best(self, masks: Iterator[int]) -> int:
        return max(masks, key=lambda mask: self.accuracy(mask)[2])


def ranked(known: Known, scores: Scores) -> Found:
    """The circuit of a wanted faithfulness, and the best of all starts of the ranking by size."""
    selection = select(known.experiment, scores, WANTED, "greedy")
    assert selection is not None
    order, mask, starts = scores.order(by_size=True), 0, [0]
    for number in order:
        mask |= 1 << number
        starts.append(mask)
    return Found(selection.mask, known.best(iter(starts)))


def by_exact(known: Known) -> Found:
    return ranked(known, known.exact)


def by_attribution(method: str) -> Callable[[Known], Found]:
    return lambda known: ranked(known, attributed(known.experiment, method))


def by_acdc(by: str) -> Callable[[Known], Found]:
    def found(known: Known) -> Found:
        scale = 1.0 if by == "kl" else abs(known.effect)
        usual, grid = (USUAL_NATS, NATS) if by == "kl" else (VISIBLE, SHARES)
        masks = {t: acdc(known.experiment, t * scale, by).mask for t in grid}
        return Found(masks[usual], known.best(iter(masks.values())))

    return found


def by_walk(known: Known) -> Found:
    masks = {}
    for share in SHARES:
        found = walk(known.experiment, share)
        assert found is not None
        masks[share] = found.mask
    return Found(masks[VISIBLE], known.best(iter(masks.values())))


WAYS: Mapping[str, Callable[[Known], Found]] = {
    "eap": by_attribution("eap"),
    "eap-ig": by_attribution("eap-ig"),
    "exact effects": by_exact,
    "acdc, kl": by_acdc("kl"),
    "acdc, absolute": by_acdc("absolute"),
    "acdc, signed": by_acdc("signed"),
    "walk": by_walk,
}


# ---------------------------------------------------------------- why an edge is missed

KINDS = {
    "or": "another arm does the same, and is still there when this one is ablated",
    "backup": "held back by the other edge, and idle until that is gone",
    "cancels": "what it carries arrives on two paths that cancel, the other edge on one of them",
    "negative": "without it the metric is better, so it is taken out",
    "saturated": "the probabilities hardly change, so the KL divergence does not",
    "order": "alone it matters, and no longer when it is its turn and others are gone",
    "underrated": "alone it matters, and the ranking or the circuit's size leaves it out",
    "unreached": "alone it matters, and the walk does not come to the node that it enters",
    "outside": "edges that are not planted make up for it",
    "several": "more than one edge makes up for it",
    "idle": "all such edges together change nothing: the corruption changes nothing that gets over them",
}


@dataclass(frozen=True)
class Miss:
    """A planted edge that is missed: what it is worth alone, and once `partner` is gone."""

    edge: Edge
    kind: str
    alone: float
    partner: Edge | None = None
    then: float = 0.0


def missed(known: Known, edge: int, way: str) -> Miss:
    """Why a way misses a planted edge, as far as runs tell.

    An edge is visible when M loses or gains at least `VISIBLE` of the effect with it. One that is
    not, but is once some other planted edge is gone, is made up for. If planted paths lead from it to
    such another, what it carries cancels or is noticed and repaired on the way. If such another is
    visible itself or leads to it, the edge is held back as a backup; else the two are arms of an OR.
    What no single edge makes up for is `several` or `idle`, which `settled` tells apart.
    """
    graph = known.graph
    alone, name = known.drops(graph.everything, [edge])[edge], graph.edge(edge)
    if abs(alone) >= VISIBLE:
        return Miss(name, _though_visible(known, edge, alone, way), alone)
    others = [other for other in bits(known.planted) if other != edge]
    left = [graph.everything & ~(1 << other) for other in others]
    known.means([*left, *(mask & ~(1 << edge) for mask in left)])
    then = {o: known.drops(mask, [edge])[edge] for o, mask in zip(others, left, strict=True)}
    makers = [o for o in others if abs(then[o]) >= VISIBLE]
    if makers:
        visible = known.drops(graph.everything, makers)
        behind = [o for o in makers if leads(known, name, graph.edge(o))]
        before = [
            o for o in makers if leads(known, graph.edge(o), name) or abs(visible[o]) >= VISIBLE
        ]
        kind = "cancels" if behind else "backup" if before else "or"
        partner = max(behind or before or makers, key=lambda o: abs(then[o]))
        return Miss(name, kind, alone, graph.edge(partner), then[partner])
    inside = known.drops(known.planted, [edge])[edge]
    return Miss(name, "outside" if abs(inside) >= VISIBLE else "idle", alone)


def settled(known: Known, misses: Mapping[Miss, list[str]]) -> dict[Miss, list[str]]:
    """The misses, idle only where the planted circuit loses nothing without all that seem idle."""
    graph = known.graph
    idle = graph.mask(miss.edge for miss in misses if miss.kind == "idle")
    before, after = known.means([known.planted, known.planted & ~idle])
    if abs(before - after) < VISIBLE * abs(known.effect):
        return dict(misses)
    return {
        replace(miss, kind="several") if miss.kind == "idle" else miss: by
        for miss, by in misses.items()
    }


def _though_visible(known: Known, edge: int, alone: float, way: str) -> str:
    if way == "walk":
        return "unreached"
    if not way.startswith("acdc"):
        return "underrated"
    if way == "acdc, signed" and alone < 0:
        return "negative"
    if way == "acdc, kl":
        grown = known.drops(known.graph.everything, [edge], divergence(known.experiment))[edge]
        if grown < USUAL_NATS:
            return "saturated"
    return "order"


def leads(known: Known, edge: Edge, other: Edge) -> bool:
    """Whether a planted path leads from one edge to the other."""
    index = known.graph.sender_index
    reached: set[Node] = {edge.receiver.node}
    for one in sorted(known.graph.edges(known.planted), key=lambda e: index[e.sender]):
        if one.sender in reached:
            reached.add(one.receiver.node)
    return other.sender in reached


# ---------------------------------------------------------------- tables


@dataclass(frozen=True)
class Row:
    """One way on one model: its usual circuit and the best, each as (precision, recall, F1)."""

    model: str
    way: str
    edges: int
    usual: tuple[float, float, float]
    best: tuple[float, float, float]


def recovered(
    subject: Subject, samples: int, ways: Sequence[str]
) -> tuple[list[Row], dict[Miss, list[str]]]:
    """Every way's accuracy on a model, and the edges that are missed, with who misses them."""
    rows: list[Row] = []
    misses: dict[Miss, list[str]] = {}
    name = subject.name
    options = Options(samples=samples, stored=False)
    with experiment(subject.spec, options, Context(), Silent()) as (front, one):
        if one is None:
            raise ValueError("\n".join(d.message for d in front.found))
        known = Known(one, subject)
        for way in ways:
            found = WAYS[way](known)
            usual, best = known.accuracy(found.usual), known.accuracy(found.best)
            rows.append(Row(name, way, found.usual.bit_count(), usual, best))
            for edge in bits(known.planted & ~found.usual):
                misses.setdefault(missed(known, edge, way), []).append(way)
        return rows, settled(known, misses)


def _accuracies(rows: Sequence[Row], planted: Mapping[str, int]) -> Table:
    table = Table(title="What is found of the planted edges", title_justify="left")
    for name in ("model", "planted", "way", "found", "precision", "recall"):
        table.add_column(name, justify="left" if name in ("model", "way") else "right")
    table.add_column("best precision", justify="right")
    table.add_column("best recall", justify="right")
    before = None
    for row in rows:
        first = row.model != before
        if first and before is not None:
            table.add_section()
        before = row.model
        shown = [f"{x:.0%}" for x in (*row.usual[:2], *row.best[:2])]
        head = [row.model, str(planted[row.model])] if first else ["", ""]
        table.add_row(*head, row.way, str(row.edges), *shown)
    return table


def _reasons(misses: Mapping[tuple[str, Miss], Sequence[str]], ways: Sequence[str]) -> Table:
    table = Table(title="Planted edges that are missed", title_justify="left")
    for name in ("model", "edge", "alone", "once another is gone", "kind", "missed by"):
        table.add_column(name, justify="right" if name == "alone" else "left")
    before = None
    for (model, miss), by in misses.items():
        if before not in (None, model):
            table.add_section()
        then = f"{miss.then:.0%}: {miss.partner}" if miss.partner else ""
        who = "every way" if len(by) == len(ways) else "; ".join(by)
        shown = model if model != before else ""
        table.add_row(
            shown, str(miss.edge), f"{round(miss.alone, 3) + 0.0:.1%}", then, miss.kind, who
        )
        before = model
    return table


def report(
    samples: Annotated[int, typer.Option(min=8, help="prompts of each model")] = 128,
    only: Annotated[list[str] | None, typer.Option(help="the models to look at")] = None,
) -> None:
    """Find circuits where they are known, and say what is found, what is missed and why."""
    torch.set_num_threads(1)  # the models are tiny: threads cost more than they give
    out, show = Console(width=130), Console(stderr=True)
    rows: list[Row] = []
    misses: dict[tuple[str, Miss], list[str]] = {}
    for subject in [s for s in SUBJECTS if not only or s.name in only]:
        with show.status(f"{subject.name}: finding its circuit"):
            more, its = recovered(subject, samples, list(WAYS))
        rows += more
        if subject.name not in NOTHING_PLANTED:
            misses |= {(subject.name, miss): by for miss, by in its.items()}
    out.print(_accuracies(rows, {s.name: len(s.planted) for s in SUBJECTS}))
    out.print(_reasons(misses, list(WAYS)))
    counts = Counter(miss.kind for _, miss in misses)
    for kind, what in KINDS.items():
        if counts[kind]:
            out.print(f"{kind:<11}{what}", markup=False, highlight=False)


if __name__ == "__main__":
    typer.run(report)
