"""The table's rows: from a name and a seed to a model, prompts and the runs to execute."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks import models
from benchmarks.circuits import (
    PUBLISHED_EDGES,
    PUBLISHED_HEADS,
    PUBLISHED_MLPS,
    connected_circuit,
    draw_nodes,
    usual_nodes,
)
from benchmarks.prompts import CORRUPTION, LOGIT_DIFFERENCE, PROMPTS, TASK, random_prompts
from circuitlang.compiler.collect import Requests, measurements
from circuitlang.compiler.collect import Setting as Extremes
from circuitlang.front import Front, Options, Silent, fetched_front, resolve_file
from circuitlang.language.formulas.values import Nodes
from circuitlang.language.graph.architecture import Architecture, Node, bits
from circuitlang.language.graph.edges import uniform
from circuitlang.language.graph.sets import nodes_of
from circuitlang.language.prompt import Prompt, PromptSet
from circuitlang.language.spec import Ablation, Measurement, Run
from circuitlang.measurement.measuring import needed_runs
from circuitlang.runtime.models import LoadedModel

IOI_MIX = Path(__file__).with_name("ioi.circ")
SMOLLM2_IOI = Path(__file__).parent.parent / "specs" / "smollm2" / "ioi.circ"
SUBSETS, IOI_SUBSETS = 20, 124
PATCH = Ablation("patch", "resample", CORRUPTION)


@dataclass(frozen=True)
class Workload:
    """Runs of one model on prompts of one length."""

    model: LoadedModel
    prompts: PromptSet
    requests: Requests


@dataclass(frozen=True)
class Setting:
    """Where rows are measured, and on how many prompts."""

    device: str = "cpu"
    prompts: int = PROMPTS


@dataclass(frozen=True)
class Row:
    """`large` rows are measured on one seed, and those that are not `usual` only where they are
    asked for. Targets: at most so many plain forwards, at least so many times less than the dense
    twin."""

    name: str
    build: Callable[[int, Setting], Workload]
    large: bool = True
    usual: bool = True
    forwards: float | None = None
    dense: float | None = None


def minimality(edges: int, seed: int, setting: Setting) -> Workload:
    """C and C - e for every edge e of a random circuit."""
    model, rng = models.random_gpt2(setting.device), random.Random(seed)
    graph = model.architecture
    sizes = (
        (PUBLISHED_HEADS, PUBLISHED_MLPS) if edges == PUBLISHED_EDGES else usual_nodes(graph, edges)
    )
    circuit = connected_circuit(graph, draw_nodes(graph, *sizes, rng), edges, rng)
    return _patched(model, each_edge_left_out(circuit), setting.prompts, rng)


def completeness(seed: int, setting: Setting) -> Workload:
    """C - K and M - K for random sets K of the nodes of a random circuit."""
    model, rng = models.random_gpt2(setting.device), random.Random(seed)
    graph = model.architecture
    nodes = draw_nodes(graph, PUBLISHED_HEADS, PUBLISHED_MLPS, rng)
    circuit = connected_circuit(graph, nodes, PUBLISHED_EDGES, rng)
    masks = subsets_left_out(circuit, SUBSETS, graph, rng)
    return _patched(model, masks, setting.prompts, rng)


def ioi_mix(seed: int, setting: Setting) -> Workload:
    """All runs of `ioi.circ`, and C - K and M - K for random sets K of its nodes."""
    model, rng = models.random_gpt2(setting.device), random.Random(seed)
    front = _sound(resolve_file(IOI_MIX, lambda reference, revision, base: model.found))
    assert front.resolved is not None
    needed = needed_runs(front, (form for form, _ in front.asked))
    like = _measured(front, "faithful")
    circuit = front.resolved.spec.circuits["ioi"].mask
    masks = subsets_left_out(circuit, IOI_SUBSETS, model.architecture, rng)
    return Workload(
        model,
        random_prompts(model.shape.vocab, rng, setting.prompts),
        {**_requests(like, masks), **needed.requests},
    )


def smollm2_ioi(seed: int, setting: Setting) -> Workload:
    """Every edge of the circuit of `specs/smollm2/ioi.circ`, on prompts of its task."""
    options = Options(samples=8 * setting.prompts, seed=seed, claims=("faithful",))
    front = _sound(fetched_front(SMOLLM2_IOI, options, Silent()))
    assert front.resolved is not None
    measured = _measured(front, "faithful")
    drawn = front.prompts[measured.run.task, measured.run.model.name]
    masks = each_edge_left_out(front.resolved.spec.circuits["ioi"].mask)
    return Workload(
        models.smollm2(setting.device),
        replace(drawn, prompts=_of_one_length(drawn.prompts, setting.prompts)),
        _requests(measured, masks),
    )


def smollm2_shape(seed: int, setting: Setting) -> Workload:
    """Every edge of the same circuit in a model of random weights, on random prompts."""
    model, rng = models.random_smollm2(setting.device), random.Random(seed)
    front = _sound(resolve_file(SMOLLM2_IOI, lambda reference, revision, base: model.found))
    assert front.resolved is not None
    circuit = front.resolved.spec.circuits["ioi"].mask
    return _patched(model, each_edge_left_out(circuit), setting.prompts, rng)


def patched_front(spec: Path, model: LoadedModel) -> tuple[Front, Extremes]:
    """A spec for a model that is loaded, with M and none under resampling, by its metric."""
    front = _sound(resolve_file(spec, lambda reference, revision, base: model.found))
    run = replace(_measured(front, "faithful").run, ablation=PATCH, task=TASK)
    run = replace(run, model=replace(model.reference, name=run.model.name))
    whole = replace(run, ablation=None, live=uniform(model.architecture.everything))
    return front, Extremes(whole, replace(run, live=uniform(0)), LOGIT_DIFFERENCE)


def rows() -> dict[str, Row]:
    """All rows by name, in the table's order."""
    growth = [
        Row(f"{edges}-edges", partial(minimality, edges)) for edges in (10, 30, 100, 300, 1000)
    ]
    found = [
        Row("minimality", partial(minimality, PUBLISHED_EDGES), False, forwards=5, dense=60),
        Row("completeness", completeness, False, forwards=15, dense=8),
        Row("ioi-mix", ioi_mix),
        *growth,
        Row("smollm2", smollm2_ioi, forwards=165),
        Row("smollm2-shape", smollm2_shape, usual=False),
    ]
    return {row.name: row for row in found}


def each_edge_left_out(circuit: int) -> list[int]:
    return [circuit, *(circuit & ~(1 << edge) for edge in bits(circuit))]


def subsets_left_out(
    circuit: int, number: int, graph: Architecture, rng: random.Random
) -> list[int]:
    """C - K and M - K for `number` distinct random sets K of the circuit's nodes."""
    inside = [member.node for member in nodes_of(uniform(circuit), Nodes(()), graph).members]
    gone: dict[int, None] = {}
    while len(gone) < number:
        gone[_leaving([node for node in inside if rng.random() < 0.5], graph)] = None
    return [whole & ~subset for subset in gone for whole in (circuit, graph.everything)]


def _measured(front: Front, claim: str) -> Measurement:
    """The first measurement of a claim that is under an ablation."""
    assert front.resolved is not None
    (formula,) = (c.formula for c in front.resolved.spec.claims if c.name == claim)
    return next(m for m in measurements(formula) if m.run.ablation is not None)


def _sound(front: Front) -> Front:
    """The front of a spec without errors; raises ValueError with the first one."""
    for problem in front.found:
        if problem.severity == "error":
            raise ValueError(problem.message)
    return front


def _leaving(nodes: Iterable[Node], graph: Architecture) -> int:
    mask = 0
    for node in nodes:
        mask |= graph.leaving(node)
    return mask


def _patched(
    model: LoadedModel, masks: Iterable[int], prompts: int, rng: random.Random
) -> Workload:
    run = Run(model.reference, TASK, PATCH, uniform(0))
    return Workload(
        model,
        random_prompts(model.shape.vocab, rng, prompts),
        _requests(Measurement(run, LOGIT_DIFFERENCE), masks),
    )


def _requests(like: Measurement, masks: Iterable[int]) -> Requests:
    return {replace(like.run, live=uniform(mask)): (like.metric,) for mask in masks}


def _of_one_length(prompts: Iterable[Prompt], number: int) -> tuple[Prompt, ...]:
    """The first `number` prompts of the first length that so many have."""
    by_length: dict[int, list[Prompt]] = {}
    for prompt in prompts:
        by_length.setdefault(len(prompt.tokens), []).append(prompt)
    return next(tuple(same[:number]) for same in by_length.values() if len(same) >= number)
