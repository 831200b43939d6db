"""Proves an adapter: a whole forward composed from it, against the model's own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from circuitlang.runtime.adapters.adapter import Adapter
from circuitlang.runtime.adapters.forward import layers
from circuitlang.runtime.precision import precision

PROMPTS = 3
LENGTH = 16
LONGEST = 128


@torch.no_grad()
def prove(adapter: Adapter, plain: Any, dtype: torch.dtype) -> float:
    """The largest difference of logits over the largest logit, on random tokens; may be NaN.

    The prompts are longer than every window of at most `LONGEST` positions.
    """
    device = adapter.unembedding.device
    windows = [w for w in map(adapter.window, range(adapter.layers)) if w and w < LONGEST]
    length = min(max([LENGTH, *(2 * w for w in windows)]), plain.config.max_position_embeddings)
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randint(len(adapter.unembedding), (PROMPTS, length), generator=draw).to(device)
    with precision(dtype):
        expected: Tensor = plain(input_ids=tokens, use_cache=False).logits.transpose(0, 1)
        for layer in layers(adapter, tokens):
            residual = layer.residual
        difference = adapter.logits(residual) - expected
    return float(difference.abs().max() / expected.abs().max())
