"""Executes requests by plan, chunk by chunk, with the fast executor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from circuitlang.compiler.allocate import Plan
from circuitlang.compiler.arithmetic import step_flops
from circuitlang.compiler.collect import Requests
from circuitlang.compiler.graph import Final as Delivered
from circuitlang.compiler.passes import ALL, Switches, compile_program
from circuitlang.compiler.pieces import Budget, BudgetTooSmall, Piece, Planner
from circuitlang.compiler.program import Program, program
from circuitlang.compiler.reads import Attention, Read, Reads, Spot
from circuitlang.compiler.wiring import wiring
from circuitlang.language.graph.architecture import Node
from circuitlang.language.graph.edges import Layout
from circuitlang.language.prompt import Prompt, PromptSet
from circuitlang.language.spec import Lens, Metric, Run
from circuitlang.runtime.ablation import token_tensor
from circuitlang.runtime.adapters import Adapter
from circuitlang.runtime.execute import Chunk, Layouts, execute
from circuitlang.runtime.means import Averages
from circuitlang.runtime.memory import is_out_of_memory
from circuitlang.runtime.metrics import Vector, Watched
from circuitlang.runtime.models import LoadedModel
from circuitlang.runtime.precision import precision
from circuitlang.runtime.readout import Final, Readout, unembedding
from circuitlang.runtime.reference import Outcome
from circuitlang.runtime.results import Results
from circuitlang.runtime.tensors import uploaded

Step = Callable[[float, float], None]


class PlannedExecution:
    """One model on one task's prompts, run by plan.

    `budget` is bytes besides the model, `largest` the most prompts in a chunk. When an
    allocation fails the piece is halved and goes on.
    """

    def __init__(
        self,
        model: LoadedModel,
        prompts: PromptSet,
        requests: Requests,
        budget: int,
        largest: int,
        switches: Switches = ALL,
    ) -> None:
        assert model.adapter is not None
        self.model, self.adapter, self.prompts = model, model.adapter, prompts
        itemsize = torch.finfo(model.dtype).bits // 8
        self.planner = Planner(
            requests,
            prompts.prompts,
            Budget(budget, itemsize),
            largest=largest,
            switches=switches,
        )
        self.layouts = Layouts(model.device, model.dtype)
        graph = wiring(model.shape)
        self.averages = Averages(self.adapter, graph, prompts.references, model.device)

    def results(
        self, step: Step, known: Results
    ) -> Iterator[tuple[Piece, dict[tuple[Run, Metric], Vector]]]:
        """Each piece with its numbers, without what is known; `step` gets a piece's (run, prompt)
        pairs and how much of it has been done."""
        waiting = list(self.planner.pieces())
        while waiting:
            piece = waiting.pop(0)
            left = list(known.left(piece.requests, piece.rows))
            if left != [(piece.requests, piece.rows)]:
                waiting[:0] = [self.planner.part(piece, *part) for part in left]
                continue
            try:
                asked, vectors = self.execute(piece, step)
                yield piece, dict(zip(asked, vectors.cpu().numpy(), strict=True))
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                waiting[:0] = self._smaller(piece, error)

    def _smaller(self, piece: Piece, error: Exception) -> list[Piece]:
        try:
            return list(self.planner.halves(piece))
        except BudgetTooSmall:
            raise error from None

    @torch.no_grad()
    def execute(self, piece: Piece, step: Step) -> tuple[list[tuple[Run, Metric]], Tensor]:
        """What the piece's metrics are, [asked, prompt] in float64 on the model's device."""
        work = step_flops(piece.plan)
        done, total, pairs = 0, sum(work) or 1, len(piece.runs) * len(piece.rows)
        costs = iter(work)

        def after() -> None:
            nonlocal done
            done += next(costs)
            step(pairs, done / total)

        with precision(self.model.dtype):
            values = execute(piece.plan, self.adapter, self._chunk(piece), self.layouts, after)
            return self._read(piece, values)

    def _chunk(self, piece: Piece) -> Chunk:
        own = [self.prompts.prompts[row] for row in piece.rows]
        return chunk_of(piece.program, own, self.model, self.averages)

    def _read(
        self, piece: Piece, values: dict[int, Tensor]
    ) -> tuple[list[tuple[Run, Metric]], Tensor]:
        readout = Readout(
            self.adapter.logits,
            self.adapter.direct,
            piece.prompts,
            self.model.shape.vocab,
            self.model.device,
        )
        read = dict.fromkeys(one.spot for run in piece.runs for one in piece.reads[run].logits)
        finals = {spot: self._final(piece, values, spot) for spot in read}
        return readout.values(piece.requests, piece.reads, finals, self._patterns(piece, values))

    def _final(self, piece: Piece, values: dict[int, Tensor], spot: Spot) -> Final:
        """Each run's row among the distinct vectors at a spot: [row, prompt, d_model]."""
        rows: dict[tuple[int, ...], int] = {}
        row_of: dict[Run, int] = {}
        for run, final in zip(piece.runs, piece.plan.graph.finals, strict=True):
            numbers = _behind(final, spot, piece.program)
            if numbers is not None:
                row_of[run] = rows.setdefault(numbers, len(rows))

        def vector(number: int) -> Tensor:
            have = piece.plan.positions[number]
            return self.layouts.at(values[number], 0, have, 1 << spot.position)[0]

        vectors = [shown(self.adapter, spot.lens, *map(vector, numbers)) for numbers in rows]
        return row_of, torch.stack(vectors)

    def _patterns(self, piece: Piece, values: dict[int, Tensor]) -> dict[tuple[Run, Node], Tensor]:
        """Attention probabilities [query, prompt, key] at the positions that are read."""
        found = {}
        for run, final in zip(piece.runs, piece.plan.graph.finals, strict=True):
            for read in piece.reads[run].attention:
                whole = _pattern(final.patterns, read.head, values, piece.plan, self.layouts)
                keys = self.layouts.index(read.keys)
                found[run, read.head] = whole.index_select(2, keys)
        return found


def _behind(final: Delivered, spot: Spot, form: Program) -> tuple[int, ...] | None:
    """The values that make what is read at a spot; None where the run is not read there."""
    number = final.at(spot, form.wiring)
    if number is None:
        return None
    if spot.lens is None or spot.lens.norm != "frozen":
        return (number,)
    whole = final.at(Spot(spot.position), form.wiring)
    assert whole is not None
    return number, whole


def shown(adapter: Adapter, lens: Lens | None, part: Tensor, whole: Tensor | None = None) -> Tensor:
    """What is to be unembedded, with the norm or without: both [..., d_model]."""
    if lens is None or lens.norm in ("own", "none"):
        return part
    if lens.norm == "copied":
        assert lens.node.layer is not None
        return adapter.copied(lens.node.head, lens.node.layer, part)
    assert whole is not None
    return adapter.scaled(part, whole)


def chunk_of(
    form: Program, prompts: Sequence[Prompt], model: LoadedModel, averages: Averages
) -> Chunk:
    """The tokens and averages that a program's sources have for these prompts."""
    tokens, means = {}, {}
    for number, source in enumerate(form.sources):
        if source.is_run:
            tokens[number] = token_tensor(prompts, source.ablation, model)
        elif not source.is_zero:
            assert source.ablation is not None
            means[number] = averages.of(source.ablation, prompts)
    return Chunk(tokens, means)


@torch.no_grad()
def outcomes(
    model: LoadedModel,
    prompts: Sequence[Prompt],
    runs: Sequence[Run],
    positions: Sequence[int],
    watched: Watched,
    averages: Averages,
    switches: Switches = ALL,
) -> list[Outcome]:
    """Each run as the reference executor would give it, on prompts of one length."""
    layouts: dict[Layout, list[int]] = {}
    for row, prompt in enumerate(prompts):
        layouts.setdefault(prompt.layout, []).append(row)
    order = uploaded([row for rows in layouts.values() for row in rows], model.device).argsort()
    parts = [
        _outcomes(
            model, [prompts[row] for row in rows], runs, positions, watched, averages, switches
        )
        for rows in layouts.values()
    ]
    return [
        Outcome(
            tuple(positions),
            torch.cat([part.logits for part in same])[order],
            {h: torch.cat([part.patterns[h] for part in same])[order] for h in watched.heads},
            {x: torch.cat([part.lenses[x] for part in same])[order] for x in watched.lenses},
        )
        for same in zip(*parts, strict=True)
    ]


def _outcomes(
    model: LoadedModel,
    prompts: Sequence[Prompt],
    runs: Sequence[Run],
    positions: Sequence[int],
    watched: Watched,
    averages: Averages,
    switches: Switches,
) -> list[Outcome]:
    assert model.adapter is not None
    if not runs:
        return []
    everywhere = tuple(range(len(prompts[0].tokens)))
    attention = tuple(Attention(head, everywhere, everywhere) for head in watched.heads)
    spots = [Spot(p, lens) for lens in (None, *watched.lenses) for p in positions]
    reads = Reads(tuple(Read(spot, None) for spot in spots), attention)
    distinct = tuple(dict.fromkeys(one for run in runs for one in run.with_readings))
    plan = compile_program(program(distinct, dict.fromkeys(distinct, reads), prompts), switches)
    layouts = Layouts(model.device, model.dtype)
    found = {}
    with precision(model.dtype):
        chunk = chunk_of(plan.graph.program, prompts, model, averages)
        values = execute(plan, model.adapter, chunk, layouts, lambda: None)
        for run, final in zip(distinct, plan.graph.finals, strict=True):
            logits: dict[Lens | None, Tensor] = {}
            for lens in (None, *watched.lenses):
                vectors = []
                for position in positions:
                    behind = _behind(final, Spot(position, lens), plan.graph.program)
                    parts = [
                        layouts.at(values[n], 0, plan.positions[n], 1 << position)[0]
                        for n in behind or ()
                    ]
                    vectors.append(shown(model.adapter, lens, *parts))
                unembed = unembedding(model.adapter.logits, model.adapter.direct, lens)
                logits[lens] = unembed(torch.stack(vectors, 1), None)
            patterns = {
                head: _pattern(final.patterns, head, values, plan, layouts).transpose(0, 1)
                for head in watched.heads
            }
            lenses = {lens: logits[lens] for lens in watched.lenses}
            found[run] = Outcome(tuple(positions), logits[None], patterns, lenses)
    return [found[run] for run in runs]


def _pattern(
    patterns: Sequence[tuple[int, int, int, int]],
    head: Node,
    values: Mapping[int, Tensor],
    plan: Plan,
    layouts: Layouts,
) -> Tensor:
    """A head's attention from all queries that are read: [query, prompt, key]."""
    length = plan.graph.program.length
    parts = [
        layouts.at(values[n], 0, plan.positions[n], queries)
        for layer, which, queries, n in patterns
        if (layer, which) == (head.layer, head.head)
    ]
    return torch.cat([torch.nn.functional.pad(p, (0, length - p.shape[2])) for p in parts])
