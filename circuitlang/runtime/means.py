"""Averages of every node over reference prompts, and constants, for the fast executor.

A mean is keyed by the reference prompts' template, slots and token layout (`mean_key`). It is
taken in float64 over batches of fixed size, so it depends on neither the sample nor its chunks.
Constants from a file are averages that are the same for every prompt and position.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from circuitlang.compiler.wiring import Wiring
from circuitlang.language.prompt import Prompt, tokens_under
from circuitlang.language.spec import Ablation, Constants
from circuitlang.runtime.ablation import REFERENCE_BATCH, key_and_references
from circuitlang.runtime.adapters import Adapter
from circuitlang.runtime.adapters.forward import layers
from circuitlang.runtime.constants import vectors
from circuitlang.runtime.tensors import uploaded


class Averages:
    """Averages per ablation and key, each computed once."""

    def __init__(
        self,
        adapter: Adapter,
        wiring: Wiring,
        references: Sequence[Prompt],
        device: torch.device,
    ) -> None:
        self.adapter, self.wiring, self.references = adapter, wiring, references
        self.device = device
        self._found: dict[object, Average] = {}

    def of(self, ablation: Ablation, prompts: Sequence[Prompt]) -> ChunkAverages:
        """For the prompts of a chunk; raises `NotMeasurable` where a key has no references."""
        if ablation.constants is not None:
            table = self._constants(ablation.constants, len(prompts[0].tokens))
            return ChunkAverages([table], uploaded([0] * len(prompts), self.device))
        found: dict[object, int] = {}
        averages: list[Average] = []
        which: list[int] = []
        for prompt in prompts:
            key, group = key_and_references(ablation, prompt, self.references)
            if (ablation, key) not in self._found:
                self._found[ablation, key] = self._average(ablation, group)
            if key not in found:
                found[key] = len(averages)
                averages.append(self._found[ablation, key])
            which.append(found[key])
        return ChunkAverages(averages, uploaded(which, self.device))

    def _constants(self, constants: Constants, length: int) -> Average:
        """Nodes without a vector have zeros, and are never ablated."""
        if (constants, length) not in self._found:
            found = vectors(constants, self.device)
            zeros = torch.zeros(self.adapter.d_model, dtype=torch.float64, device=self.device)
            senders = map(str, self.wiring.architecture.senders)
            rows = torch.stack([found.get(name, zeros) for name in senders])
            table = rows[:, None].expand(-1, length, -1)
            self._found[constants, length] = Average(self.adapter, self.wiring, table)
        return self._found[constants, length]

    def _average(self, ablation: Ablation, group: Sequence[Prompt]) -> Average:
        length = len(group[0].tokens)
        size = (self.wiring.senders, length, self.adapter.d_model)
        total = torch.zeros(size, dtype=torch.float64, device=self.device)
        for start in range(0, len(group), REFERENCE_BATCH):
            batch = group[start : start + REFERENCE_BATCH]
            rows = [tokens_under(ablation, prompt) for prompt in batch]
            self._add_outputs(total, uploaded(rows, self.device))
        return Average(self.adapter, self.wiring, total / len(group))

    def _add_outputs(self, total: Tensor, tokens: Tensor) -> None:
        """Adds every sender's output, summed over the prompts, in a run with every edge live."""
        total[0] += self.adapter.embed(tokens).double().sum(1)
        for number, layer in enumerate(layers(self.adapter, tokens)):
            first, mlp = self.wiring.first(number), self.wiring.mlp(number)
            total[first:mlp] += layer.heads.double().sum(1).transpose(0, 1)
            total[mlp] += layer.mlp.double().sum(1)


class Average:
    """One key's averages; `senders` is [sender, position, d_model] in float64."""

    def __init__(self, adapter: Adapter, wiring: Wiring, senders: Tensor) -> None:
        self.adapter, self.wiring, self.dtype = adapter, wiring, adapter.unembedding.dtype
        self.totals = senders
        self.senders = senders.to(self.dtype)

    def attn(self, layer: int) -> Tensor:
        """The sum of a layer's heads and its output bias: [position, d_model]."""
        return self._attn(layer).to(self.dtype)

    def _attn(self, layer: int) -> Tensor:
        first = self.wiring.first(layer)
        total = self.totals[first : first + self.adapter.heads].sum(0)
        bias = self.adapter.output_bias(layer)
        return total if bias is None else total + bias

    @cached_property
    def streams(self) -> dict[int, Tensor]:
        """The sum of all summands below each count: [position, d_model]."""
        total = self.totals[0]
        found = {1: total}
        for layer in range(self.adapter.layers):
            if self.adapter.post_norm:
                total = total + self.adapter.mix(layer, self.attn(layer)).double()
            else:
                total = total + self._attn(layer)
            found[self.wiring.mlp(layer)] = total
            total = total + self.totals[self.wiring.mlp(layer)]
            found[self.wiring.first(layer + 1)] = total
        return {count: total.to(self.dtype) for count, total in found.items()}


class ChunkAverages:
    """The averages of a chunk's prompts: prompt i has those number `which[i]`."""

    def __init__(self, averages: Sequence[Average], which: Tensor) -> None:
        self.averages, self.which = averages, which

    def constant(self, sender: int) -> Tensor:
        """[position, prompt, d_model]."""
        return self._each([average.senders[sender] for average in self.averages])

    def stream(self, count: int) -> Tensor:
        return self._each([average.streams[count] for average in self.averages])

    def attn(self, layer: int) -> Tensor:
        return self._each([average.attn(layer) for average in self.averages])

    def _each(self, tables: Sequence[Tensor]) -> Tensor:
        if len(tables) == 1:
            return tables[0][:, None].expand(-1, len(self.which), -1)
        return torch.stack(list(tables)).index_select(0, self.which).transpose(0, 1)
