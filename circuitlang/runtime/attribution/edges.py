"""Scores of all edges: what receivers' reads are worth times what senders would carry instead.

The score of the edge from u to r is the mean over prompts of the sum over positions of
(h_u - a_u) . dF/dr, h_u being what u carries in M, a_u under the ablation, and dF/dr the gradient
with respect to what r reads: at M (EAP; Syed et al. 2023), or averaged over runs whose `input` lies
k/m of the way from the ablated to the clean one, k from 0 to m - 1 (EAP-IG; Hanna et al. 2024). A
positive score says that F(M) is higher than F(M - edge), to first order.

Gradients are summed over the runs before they meet the senders, layer by layer, so that the
differences of all senders never exist together. Where even one prompt's gradients do not fit the
memory, receivers are taken in blocks of layers, at the price of a new forward and backward for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from circuitlang.compiler.wiring import wiring
from circuitlang.language.graph.architecture import Architecture
from circuitlang.language.graph.edges import NOTHING, Position
from circuitlang.language.prompt import Prompt, PromptSet
from circuitlang.language.spec import Ablation, Metric, Run
from circuitlang.runtime.ablation import token_tensor
from circuitlang.runtime.adapters import Adapter
from circuitlang.runtime.attribution.metric import (
    Score,
    check_differentiable,
    compares,
    heads_read,
)
from circuitlang.runtime.attribution.passes import PORTS, Output, Pass, Projections, Worth
from circuitlang.runtime.means import Averages, ChunkAverages
from circuitlang.runtime.measure import Progress, check_donors, check_prompts, explained_memory
from circuitlang.runtime.memory import is_out_of_memory, usual_budget
from circuitlang.runtime.models import LoadedModel
from circuitlang.runtime.precision import precision
from circuitlang.runtime.readout import check_measurable
from circuitlang.runtime.tensors import uploaded
from circuitlang.runtime.unavailable import ModelUnavailable

# Tensors of d_model per place and layer that a forward keeps for its backward, at most.
KEPT_PER_LAYER = 40
# Rows of the matrices in which senders meet receivers: enough for products to run at their rate.
SENDERS = 64


@dataclass(frozen=True)
class Attribution:
    """`scores` is [edge], or [place, edge] where places were asked for, the last row being
    everywhere else; means over prompts, float64. `values` are the metric of M per prompt."""

    scores: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]


@torch.no_grad()
def attribute(
    model: LoadedModel,
    prompts: PromptSet,
    metric: Metric,
    ablation: Ablation,
    *,
    steps: int | None = None,
    places: Sequence[Position] = (),
    memory: int | None = None,
    chunk: int | None = None,
    progress: Progress | None = None,
) -> Attribution:
    """Every edge's score: EAP without `steps`, EAP-IG with so many.

    `places` asks for scores at these positions apart; `memory` is what tensors may take besides the
    model, in bytes, `chunk` the most prompts that run together. Raises `NotMeasurable` for a metric
    without gradient and for prompts that the model or the metric cannot take, and
    `ModelUnavailable` for a model without an adapter or when memory runs out.
    """
    if model.adapter is None:
        raise ModelUnavailable(
            model.reference.reference,
            f"attribution goes through the fast executor: {model.adapter_note}",
            "`circ effects` measures edges one by one",
        )
    check_prompts(model, prompts.prompts)
    check_differentiable(metric, model.architecture)
    requests = _requests(model, prompts, metric, ablation)
    check_measurable(requests, prompts.prompts)
    check_donors(requests, prompts.prompts)
    work = _Attributing(model, model.adapter, prompts, metric, ablation, steps, places)
    with explained_memory(model), precision(model.dtype):
        return work.all(
            memory or usual_budget(model), chunk, progress or (lambda done, total: None)
        )


def _requests(
    model: LoadedModel, prompts: PromptSet, metric: Metric, ablation: Ablation
) -> dict[Run, tuple[Metric, ...]]:
    drawn = ablation.at_draw(max(ablation.draws - 1, 0))
    return {Run(model.reference, prompts.task, drawn, NOTHING): (metric,)}


class _Attributing:
    def __init__(
        self,
        model: LoadedModel,
        adapter: Adapter,
        prompts: PromptSet,
        metric: Metric,
        ablation: Ablation,
        steps: int | None,
        places: Sequence[Position],
    ) -> None:
        self.model, self.adapter, self.prompts = model, adapter, prompts
        self.metric, self.ablation = metric, ablation
        self.shares = [1.0] if steps is None else [k / steps for k in range(steps)]
        self.places = places
        self.itemsize = torch.finfo(model.dtype).bits // 8
        self.graph: Architecture = model.architecture
        self.heads = heads_read(metric.expression)
        self.averages = Averages(adapter, wiring(model.shape), prompts.references, model.device)
        self.draws = [ablation.at_draw(d) for d in range(max(ablation.draws, 1))]
        self.offsets = uploaded(self.graph.offsets, model.device)
        self.counts = uploaded(self.graph.counts, model.device)
        rows = len(places) + 1 if places else 1
        self.scores = torch.zeros(rows, self.graph.size, dtype=torch.float64, device=model.device)
        self.values = np.zeros(len(prompts.prompts))

    # ------------------------------------------------------------ chunks

    def all(self, budget: int, most: int | None, progress: Progress) -> Attribution:
        number = len(self.prompts.prompts)
        size = Projections(self.adapter).size * self.itemsize
        keep = size <= budget // 8
        self.projections = Projections(self.adapter, keep=keep)
        budget -= size if keep else 0
        passes = number * len(self.shares) * len(self.draws)
        waiting, done = list(self._chunks(budget, most)), 0
        while waiting:
            rows = waiting.pop(0)
            before = self.scores.clone()
            try:
                self._chunk(rows, budget)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or len(rows) == 1:
                    raise
                self.scores.copy_(before)
                half = len(rows) // 2
                waiting[:0] = [rows[:half], rows[half:]]
                continue
            done += len(rows) * len(self.shares) * len(self.draws)
            progress(done, passes)
        means = (self.scores / (number * len(self.draws))).cpu().numpy()
        return Attribution(means if self.places else means[0], self.values)

    def _chunks(self, budget: int, most: int | None) -> Iterator[list[int]]:
        """Rows of prompts of one length, so many as fit the budget."""
        lengths: dict[int, list[int]] = {}
        for row, prompt in enumerate(self.prompts.prompts):
            lengths.setdefault(len(prompt.tokens), []).append(row)
        for length, rows in lengths.items():
            each = length * self._bytes(len(self.graph.receivers), length)
            some = max(1, min(budget // each, most or len(rows), len(rows)))
            for start in range(0, len(rows), some):
                yield rows[start : start + some]

    def _bytes(self, receivers: int, length: int) -> int:
        """What a token takes: gradients of receivers, what is kept for a backward, outputs."""
        adapter = self.adapter
        kept = adapter.layers * (KEPT_PER_LAYER * adapter.d_model + 4 * adapter.heads * length)
        positions = len(self.graph.receivers) * (adapter.heads + 1) if self.places else 0
        return self.itemsize * ((receivers + SENDERS) * adapter.d_model + kept + 2 * positions)

    def _blocks(self, prompts: int, length: int, budget: int) -> list[tuple[int, int]]:
        """Ranges of layers whose receivers' gradients fit the budget beside all else."""
        adapter = self.adapter
        tokens = prompts * length
        left = budget - tokens * self._bytes(0, length)
        one = self.itemsize * tokens * adapter.d_model * (PORTS * adapter.heads + 1)
        together = max(1, min(adapter.layers, left // one))
        starts = range(0, adapter.layers, together)
        return [(start, min(start + together, adapter.layers)) for start in starts]

    def _chunk(self, rows: Sequence[int], budget: int) -> None:
        chunk = [self.prompts.prompts[row] for row in rows]
        tokens = token_tensor(chunk, None, self.model)
        for draw in self.draws:
            for block in self._blocks(len(rows), tokens.shape[1], budget):
                work = _Chunk(self, chunk, tokens, draw, block)
                work.add()
        self.values[list(rows)] = work.values.cpu().numpy()


class _Chunk:
    """Prompts of one length under one draw of the ablation, for receivers of some layers."""

    def __init__(
        self,
        whole: _Attributing,
        prompts: Sequence[Prompt],
        tokens: Tensor,
        ablation: Ablation,
        layers: tuple[int, int],
    ) -> None:
        self.whole, self.adapter, self.prompts = whole, whole.adapter, prompts
        self.graph, self.ablation, self.tokens = whole.graph, ablation, tokens
        self.first, self.end = layers
        width = PORTS * self.adapter.heads + 1
        self.start = self.first * width
        last = self.end == self.adapter.layers
        self.stop = len(self.graph.receivers) if last else self.end * width
        self.clean = self.adapter.embed(tokens)
        self.means: ChunkAverages | None = None
        if ablation.kind == "mean" or ablation.constants is not None:
            self.means = whole.averages.of(ablation, prompts)
        self.placed = self._placed() if whole.places else None

    def _placed(self) -> Tensor:
        """1 where a place of a prompt belongs to a row of the scores: [row, place]."""
        places = self.whole.places
        shape = (len(places) + 1, *reversed(self.tokens.shape))
        table = torch.zeros(shape, dtype=self.clean.dtype)
        table[-1] = 1
        for column, prompt in enumerate(self.prompts):
            for row, position in enumerate(places):
                for token in position.tokens(prompt.layout):
                    table[row, token, column] = 1
                    table[-1, token, column] = 0
        return table.flatten(1).to(self.clean.device)

    def add(self) -> None:
        """Adds the prompts' scores to those of the whole."""
        shares, expression = self.whole.shares, self.whole.metric.expression
        clean = None if shares == [1.0] else self._pass(self.clean, differentiable=False)
        other, ablated = self._ablated()
        reference = clean
        if reference is None and compares(expression):
            reference = self._pass(self.clean, differentiable=False)
        last = None if reference is None else reference.last
        score = Score(expression, self.adapter, self.prompts, last)
        gradients = self._empty()
        for share in shares:
            stream = other + share * (self.clean - other) if share < 1 else self.clean
            done = self._pass(stream, differentiable=True)
            clean = clean or done
            if share == 0 and self.ablation.is_run:
                ablated = done.outputs
            self._collect(done, score, gradients)
            if self.adapter.post_norm:
                self._contract(gradients, clean.outputs, ablated, other, done)
                gradients.zero_()
        assert clean is not None
        if not self.adapter.post_norm:
            self._contract(gradients, clean.outputs, ablated, other, None)
        self.values = self._value(score, clean)

    def _pass(self, stream: Tensor, *, differentiable: bool) -> Pass:
        return Pass(
            self.adapter,
            stream,
            differentiable=differentiable,
            projections=self.whole.projections,
        )

    def _value(self, score: Score, clean: Pass) -> Tensor:
        patterns = {}
        if self.whole.heads:
            again = self._pass(self.clean, differentiable=True)
            patterns = {n: again.layers[n.layer].pattern[:, n.head] for n in self.whole.heads}
        return score.values(clean.last, patterns)

    def _empty(self) -> Tensor:
        """Gradients [receiver, place, d_model], of the receivers from `start` to `stop`."""
        places = self.tokens.numel()
        size = (self.stop - self.start, places, self.adapter.d_model)
        return torch.zeros(size, dtype=self.clean.dtype, device=self.clean.device)

    def _collect(self, done: Pass, score: Score, gradients: Tensor) -> None:
        """Adds what one run's receivers are worth; stops before layers that are not asked for."""
        width, heads = PORTS * self.adapter.heads + 1, PORTS * self.adapter.heads
        for worth in done.backward(score, self.whole.heads):
            if not isinstance(worth, Worth):
                if self.stop == len(self.graph.receivers):
                    gradients[-1] += worth.flatten(0, 1)
            elif worth.layer < self.end:
                at = (worth.layer - self.first) * width
                worth.add_heads_to(gradients[at : at + heads])
                gradients[at + heads] += worth.mlp
                if worth.layer == self.first:
                    break

    # ------------------------------------------------------------ senders

    def _ablated(self) -> tuple[Tensor, list[Output] | None]:
        """What `input` carries under the ablation, and what a run on its tokens puts out; that is None
        where the first of the runs is this one, or where there is none."""
        if self.ablation.is_run:
            tokens = token_tensor(self.prompts, self.ablation, self.whole.model)
            stream = self.adapter.embed(tokens)
            if self.whole.shares[0] == 0:
                return stream, None
            return stream, self._pass(stream, differentiable=False).outputs
        if self.means is None:
            return torch.zeros_like(self.clean), None
        return self._constant(0, self.clean), None

    def _constant(self, sender: int, clean: Tensor) -> Tensor:
        """A sender's ablated value where that is no run's; nodes a file lacks are never ablated."""
        if self.means is None:
            return torch.zeros_like(clean)
        constants = self.ablation.constants
        if constants is not None and str(self.graph.senders[sender]) not in constants.nodes:
            return clean
        return self.means.constant(sender).to(clean.dtype)

    def _contract(
        self,
        gradients: Tensor,
        clean: Sequence[Output],
        ablated: Sequence[Output] | None,
        other: Tensor,
        run: Pass | None,
    ) -> None:
        """Adds the scores of all edges into the receivers; `run` is where post-norms are taken.

        Senders of several layers go together, as far as a matrix of `SENDERS` rows holds them.
        """
        width = self.adapter.heads + 1
        together = max(1, SENDERS // width)
        self._meet(0, (self.clean - other).flatten(0, 1)[None], gradients)
        for start in range(0, self.end, together):
            layers = range(start, min(start + together, self.end))
            changes = [self._changes(n, clean, ablated, run) for n in layers]
            self._meet(1 + start * width, torch.cat(changes), gradients)

    def _changes(
        self,
        layer: int,
        clean: Sequence[Output],
        ablated: Sequence[Output] | None,
        run: Pass | None,
    ) -> Tensor:
        """What a layer's heads and MLP carry in M less what they do ablated: [sender, place, d_model]."""
        heads, output = self.adapter.heads, self.adapter.output_weight(layer)
        sender = 1 + layer * (heads + 1)
        ours = clean[layer]
        if ablated is not None:
            mixed = ours.mixed - ablated[layer].mixed
            change = torch.einsum("pbhd,hdm->hpbm", mixed, output)
            of_mlp = ours.mlp - ablated[layer].mlp
        else:
            change = torch.einsum("pbhd,hdm->hpbm", ours.mixed, output)
            for head, own in enumerate(change):
                own -= self._constant(sender + head, own)
            of_mlp = ours.mlp - self._constant(sender + heads, ours.mlp)
        if run is not None:
            mix = run.sums[layer]
            assert mix is not None
            change = mix.pushed(change)
        return torch.cat([change, of_mlp[None]]).flatten(1, 2)

    def _meet(self, sender: int, changes: Tensor, gradients: Tensor) -> None:
        """Adds the scores of senders from `sender` on, whose changes are [sender, place, d_model]."""
        first = next(i for i, count in enumerate(self.graph.counts) if count > sender)
        first = max(first, self.start)
        if first >= self.stop:
            return
        read = gradients[first - self.start :]
        if self.placed is None:
            found = (changes.flatten(1) @ read.flatten(1).T)[None]
        else:
            each = changes.transpose(0, 1) @ read.permute(1, 2, 0)
            found = (self.placed @ each.flatten(1)).view(-1, len(changes), len(read))
        senders = torch.arange(sender, sender + len(changes), device=changes.device)[:, None]
        exists = senders < self.whole.counts[first : self.stop]
        edges = (self.whole.offsets[first : self.stop] + senders)[exists]
        self.whole.scores[:, edges] += found[:, exists].double() / len(self.whole.shares)
