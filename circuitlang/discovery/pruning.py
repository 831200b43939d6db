"""A circuit without its dead edges: mask in, mask out, and F stays what it is."""

from __future__ import annotations

from circuitlang.compiler.reads import leaves
from circuitlang.compiler.wiring import wiring
from circuitlang.discovery.experiment import Experiment
from circuitlang.language.graph.architecture import Node
from circuitlang.language.graph.sets import reached_from_input, reaching_logits
from circuitlang.language.spec import AttentionScore, CopyScore, Metric, TokenScore

# What a sender carries that is not reached from input is the ablation's own run.
RUNS = ("resample", "donor", "donors")


def pruned(experiment: Experiment, mask: int) -> int:
    """The edges of `mask` that something can flow over.

    An edge is dead when no path within the circuit leads from it to the logits or to a node that the
    metric looks at. Where the ablation's values are those of a run, it is dead too when no path
    leads from input to it: its sender then carries what the ablation would. Of means, zeros and
    constants this is not so, since what a node makes of them is nobody's mean. Free nodes' edges
    count as part of every circuit.
    """
    graph, free = experiment.graph, experiment.floor.floor.reach
    kept = reaching_logits(mask | free, graph, watched(experiment, experiment.metric))
    ablation = experiment.floor.ablation
    if ablation is not None and ablation.kind in RUNS:
        kept = reached_from_input(kept, graph)
    return kept & mask


def watched(experiment: Experiment, metric: Metric) -> frozenset[Node]:
    """The nodes that a metric looks at besides the logits."""
    found: set[Node] = set()
    for leaf in leaves(metric.expression):
        match leaf:
            case AttentionScore():
                found.add(leaf.head)
            case TokenScore(lens=lens) if lens is not None:
                found.add(lens.node)
            case CopyScore():
                graph = experiment.graph
                found.update(graph.senders[: wiring(graph.shape).first(1)])
    return frozenset(found)
