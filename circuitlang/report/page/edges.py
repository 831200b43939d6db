"""Which edges and nodes a claim is about, as far as its runs tell them apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import reduce
from operator import and_, or_
from typing import Any

from circuitlang.compiler.collect import measurements
from circuitlang.language.graph.architecture import Architecture, Node, architecture
from circuitlang.language.spec import (
    AttentionScore,
    CopyScore,
    Measurement,
    MetricExpression,
    MetricOperation,
    ModelReference,
    Run,
    TokenScore,
)


def edges_told_apart(form: Any, model: ModelReference) -> int:
    """The edges in which the runs of a formula differ, as a mask of the model's.

    A run that is nearly all of the model counts as what it leaves out; `M` and `none`, which every
    `effect` has, count as nothing.
    """
    graph = architecture(model.shape)
    runs = dict.fromkeys(m.run for m in measurements(form) if m.run.model == model)
    sides = [side for run in runs if (side := _smaller_side(run, graph))]
    together = reduce(or_, sides, 0)
    return together & ~reduce(and_, sides, together) or together


def edges_around(form: Any, model: ModelReference) -> int:
    """The edges that some run of a formula has live or that its runs tell apart, without `M`'s."""
    graph = architecture(model.shape)
    runs = (m.run for m in measurements(form) if m.run.model == model)
    live = (run.live.reach for run in runs if run.live.lasting != graph.everything)
    return reduce(or_, live, edges_told_apart(form, model))


def _smaller_side(run: Run, graph: Architecture) -> int:
    """What a run leaves out or keeps, whichever is less, and what it reads from another run."""
    read = reduce(or_, (reading.edges.reach for reading in run.readings), 0)
    if 2 * run.live.lasting.bit_count() > graph.size:
        return graph.everything & ~run.live.lasting | read
    return run.live.reach & ~run.floor.reach | read


def nodes_read(form: Any, model: ModelReference) -> frozenset[Node]:
    """The nodes whose attention or own output the formula's metrics read."""
    found: Iterable[Measurement] = (m for m in measurements(form) if m.run.model == model)
    return frozenset(node for m in found for node in _read(m.metric.expression))


def _read(expression: MetricExpression) -> Iterator[Node]:
    match expression:
        case AttentionScore(head=head) | CopyScore(head=head):
            yield head
        case TokenScore(lens=lens) if lens is not None:
            yield lens.node
        case MetricOperation(operands=operands):
            for operand in operands:
                yield from _read(operand)
