"""What a check would execute, worked out by planning it: arithmetic, memory, what passes save.

Takes what is asked of each model on each task and gives counts, from shapes and token ids alone.
FLOPs are those of matrix products (`arithmetic`). A node evaluation is one node at one position
of one prompt, whatever the number of runs that use it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from circuitlang.compiler.allocate import allocate
from circuitlang.compiler.arithmetic import NODES, flops, forward_flops, value_flops
from circuitlang.compiler.collect import Requests, all_runs
from circuitlang.compiler.draws import per_draw
from circuitlang.compiler.drop import Demand
from circuitlang.compiler.graph import Graph
from circuitlang.compiler.passes import PASSES, compile_program
from circuitlang.compiler.pieces import LARGEST_CHUNK, Budget, Piece, Planner
from circuitlang.compiler.program import CLEAN, Program
from circuitlang.compiler.reads import Distance, Score, Spot, common_layout, scores, tokens_read
from circuitlang.language.graph.architecture import Shape, architecture
from circuitlang.language.graph.edges import UnresolvedPosition
from circuitlang.language.prompt import Prompt, PromptSet, mean_key
from circuitlang.language.spec import ModelReference, Run
from circuitlang.language.tasks.sampling import REFERENCES
from circuitlang.language.tasks.task_spec import TaskSpec

RATE = 3e10
"""FLOP/s that the estimated time assumes: a guess for two CPU cores."""

ASSUMED_TOKENS = 20
HOST_LEAST, HOST_MOST = 256 << 20, 4 << 30


def host_budget() -> int:
    """Bytes for tensors besides the models: half of the free memory, between 256 MiB and 4 GiB."""
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return HOST_MOST
    return min(HOST_MOST, max(HOST_LEAST, free // 2))


@dataclass(frozen=True)
class Work:
    """What is asked of one model on one task's prompts.

    `left` are the requests that no store answers. `assumed` prompts stand for ones that cannot
    be put into tokens here.
    """

    model: ModelReference
    drawn: PromptSet
    requests: Requests
    left: Requests
    assumed: bool = False


@dataclass(frozen=True)
class PassCost:
    """What a pass leaves of what it saves, for one prompt of a chunk."""

    name: str
    does: str
    unit: str
    before: int
    after: int


@dataclass(frozen=True)
class ChunkCost:
    """Runs and prompts that are executed together: FLOPs and node evaluations of all its prompts,
    `bytes` live at most besides the model."""

    prompts: int
    tokens: int
    runs: int
    values: int
    nodes: int
    flops: int
    bytes: int


@dataclass(frozen=True)
class TaskCost:
    """One model on one task.

    Each draw of random donors is a run. `nodes_alone` and `flops_alone` are what it would take to
    share nothing: a plain forward of the clean prompt, of each corruption and donor and of each run
    with an ablation. `plain_flops` is one plain
    forward of each prompt; `reference_flops`, part of the others, are the forwards that means are
    taken over. `unplanned` says why there are no chunks.
    """

    task: str
    model: str
    runs: int
    stored: int
    prompts: int
    layouts: int
    tokens: int
    assumed: bool
    chunks: tuple[ChunkCost, ...]
    passes: tuple[PassCost, ...]
    nodes_alone: int
    flops_alone: int
    plain_flops: int
    reference_forwards: int
    reference_flops: int
    unplanned: str | None = None

    @property
    def nodes(self) -> int:
        return sum(chunk.nodes for chunk in self.chunks)

    @property
    def flops(self) -> int:
        return sum(chunk.flops for chunk in self.chunks) + self.reference_flops

    @property
    def bytes(self) -> int:
        return max((chunk.bytes for chunk in self.chunks), default=0)

    @property
    def forwards(self) -> float:
        """Plain forwards of all prompts that take as much arithmetic."""
        return self.flops / self.plain_flops


@dataclass(frozen=True)
class Cost:
    """`budget` is the bytes that plans may take besides the models: `memory`, if that was given.

    `looks` are the numbers of prompts at which claims are decided; what is decided at the first
    costs less than this.
    """

    spec: str
    claims: int
    device: str
    memory: int | None
    budget: int
    tasks: tuple[TaskCost, ...]
    looks: tuple[int, ...] = ()

    @property
    def runs(self) -> int:
        return sum(task.runs for task in self.tasks)

    @property
    def stored(self) -> int:
        return sum(task.stored for task in self.tasks)

    @property
    def flops(self) -> int:
        return sum(task.flops for task in self.tasks)

    @property
    def seconds(self) -> float:
        return self.flops / RATE


def planner(
    model: ModelReference,
    requests: Requests,
    prompts: Sequence[Prompt],
    budget: int,
    chunk: int | None,
) -> Planner:
    """Cuts what `measure` executes as it does with this memory and largest chunk."""
    itemsize = 8 if model.dtype == "float64" else 4
    largest = min(chunk or LARGEST_CHUNK, LARGEST_CHUNK)
    return Planner(per_draw(requests), prompts, Budget(budget, itemsize), largest=largest)


def task_cost(work: Work, budget: int, chunk: int | None) -> TaskCost:
    """Raises `BudgetTooSmall`."""
    prompts, left = work.drawn.prompts, all_runs(per_draw(work.left))
    every = all_runs(per_draw(work.requests))
    shape = work.model.shape
    plain = sum(forward_flops(shape, len(prompt.tokens)) for prompt in prompts)
    found = TaskCost(
        task=work.drawn.task,
        model=work.model.name.strip('"'),
        runs=len(every),
        stored=len(set(every) - set(left)),
        prompts=len(prompts),
        layouts=0,
        tokens=sum(len(prompt.tokens) for prompt in prompts),
        assumed=work.assumed,
        chunks=(),
        passes=(),
        nodes_alone=0,
        flops_alone=0,
        plain_flops=plain,
        reference_forwards=0,
        reference_flops=0,
    )
    if not left:
        return found
    try:
        pieces = list(planner(work.model, work.left, prompts, budget, chunk).pieces())
    except UnresolvedPosition as problem:
        return replace(found, unplanned=f"only the tokenizer tells where `{problem.position}` is")
    others = {run.ablation for run in left if run.ablation and run.ablation.is_run}
    forwards = 1 + len(others) + sum(run.ablation is not None for run in left)
    references = _references(left, work.drawn)
    averaging = sum(_body_flops(shape, len(one.tokens)) for one in references)
    amounts: dict[int, tuple[int, int, int]] = {}
    for piece in pieces:
        if id(piece.plan) not in amounts:
            amounts[id(piece.plan)] = _amounts(piece.plan.schedule.demand)
    return replace(
        found,
        layouts=len({common_layout(piece.prompts) for piece in pieces}),
        chunks=tuple(_chunk_cost(piece, *amounts[id(piece.plan)]) for piece in pieces),
        passes=_passes(pieces[0], 8 if work.model.dtype == "float64" else 4),
        nodes_alone=forwards * found.tokens * len(architecture(shape).senders),
        flops_alone=forwards * sum(_body_flops(shape, len(prompt.tokens)) for prompt in prompts)
        + averaging,
        reference_forwards=len(references),
        reference_flops=averaging,
    )


def _amounts(form: Demand) -> tuple[int, int, int]:
    """Values, node evaluations and FLOPs for one prompt, without the unembedding."""
    nodes = sum(asked.bit_count() for _, value, asked in form.kept if value.kind in NODES)
    return sum(map(bool, form.positions)), nodes, flops(form)


def _chunk_cost(piece: Piece, values: int, nodes: int, flops: int) -> ChunkCost:
    number = len(piece.rows)
    return ChunkCost(
        prompts=number,
        tokens=piece.program.length,
        runs=len(piece.runs),
        values=values,
        nodes=number * nodes,
        flops=number * (flops + _readout_flops(piece)),
        bytes=piece.bytes,
    )


def _readout_flops(piece: Piece) -> int:
    """FLOPs of the unembedding for one prompt: of each distinct vector, the tokens asked for."""
    layout, wired = common_layout(piece.prompts), piece.program.wiring
    finals = dict(zip(piece.runs, piece.plan.graph.finals, strict=True))
    asked: dict[tuple[Spot, int | None], dict[Score, None]] = {}
    for metric in {metric for metrics in piece.requests.values() for metric in metrics}:
        for spot, score in scores(metric.expression, layout):
            for run in (run for run, metrics in piece.requests.items() if metric in metrics):
                asked.setdefault((spot, finals[run].at(spot, wired)), {})[score] = None
    tokens = 0
    for found in asked.values():
        some = tokens_read(found, piece.prompts)
        tokens += wired.shape.vocab if some is None else len(some)
    compared = {
        (at, s.reference) for (at, _), f in asked.items() for s in f if isinstance(s, Distance)
    }
    return 2 * wired.shape.d_model * (tokens + len(compared) * wired.shape.vocab)


def _references(runs: Iterable[Run], drawn: PromptSet) -> list[Prompt]:
    """The reference prompts that the runs' means are over, once for each mean that needs them."""
    means = dict.fromkeys(r.ablation for r in runs if r.ablation and r.ablation.kind == "mean")
    found = []
    for mean in means:
        keys = {mean_key(mean, prompt) for prompt in drawn.prompts}
        found += [one for one in drawn.references if mean_key(mean, one) in keys]
    return found


# ---------------------------------------------------------------- what passes save


def _body_flops(shape: Shape, length: int, first: int = 0) -> int:
    """FLOPs of a plain forward at positions from `first` on, without the unembedding."""
    return forward_flops(shape, length) - forward_flops(shape, first)


def _alone(form: Program, *, suffix: bool) -> int:
    """FLOPs when nothing is shared: the clean prompt, each corruption and each run with an ablation
    is a plain forward, with `suffix` from where it differs from the clean prompt."""
    sources = [i for i, source in enumerate(form.sources) if source.is_run]
    runs = [request.source for request in form.requests if request.source != CLEAN]
    firsts = [form.sources[number].first if suffix else 0 for number in (*sources, *runs)]
    return sum(_body_flops(form.wiring.shape, form.length, first) for first in firsts)


def _graph_flops(form: Graph) -> int:
    """FLOPs of all values at every position of their segments."""
    shape, segments = form.program.wiring.shape, form.program.segments
    return sum(value_flops(value, segments[value.segment].bits, shape) for value in form.values)


def _summands(form: Graph) -> int:
    """How many vectors are added to make up what nodes read, streams apart."""
    total = 0
    for value in form.values:
        match value.kind:
            case "sum":
                number = value.layer
            case "mixture":
                number = form.program.wiring.shape.heads
            case "input" | "excess" | "delta":
                number = len(value.operands)
            case "mix" if len(value.operands) > 1:
                number = len(value.operands)
            case _:
                continue
        total += number * form.program.segments[value.segment].bits.bit_count()
    return total


def _passes(piece: Piece, itemsize: int) -> tuple[PassCost, ...]:
    """What each pass that saves something does for the piece, which is compiled once more."""
    forms: dict[str, Any] = {}
    compile_program(piece.program, see=forms.__setitem__)
    graph, rebased, demand = forms["number"], forms["rebase"], forms["drop"]
    fused, plan = forms["fuse"], forms["allocate"]
    whole, suffix = (_alone(piece.program, suffix=some) for some in (False, True))
    kept = allocate(plan.schedule, free=False)
    saved = {
        "prefix": ("FLOP", whole, suffix),
        "number": ("FLOP", suffix, _graph_flops(graph)),
        "rebase": ("summands", _summands(graph), _summands(rebased)),
        "drop": ("FLOP", _graph_flops(rebased), flops(demand)),
        "fuse": ("steps", sum(map(bool, demand.positions)), len(fused.steps)),
        "allocate": ("bytes", itemsize * max(kept.live), itemsize * max(plan.live)),
    }
    return tuple(
        PassCost(each.name, each.does, *saved[each.name]) for each in PASSES if each.name in saved
    )


# ---------------------------------------------------------------- prompts that cannot be drawn


def assumed_prompts(
    task: TaskSpec, model: ModelReference, number: int, donors: int = 0
) -> PromptSet:
    """As many prompts of `ASSUMED_TOKENS` tokens, corrupted from the first one on, without labels,
    with as many donors each."""
    length = min(ASSUMED_TOKENS, model.shape.context or ASSUMED_TOKENS)
    corrupted = dict.fromkeys(task.corruptions, (1,) * length)
    answers = dict.fromkeys(task.tokens, (0,))
    slots = dict.fromkeys(task.slot_names, "")
    one = Prompt(0, "", slots, "", (0,) * length, {}, answers, {}, corrupted)
    prompts = tuple(replace(one, index=index, donors=(one,) * donors) for index in range(number))
    return PromptSet(task.name, ("",), prompts, (one,) * REFERENCES, None, False)
