"""Proves an adapter: a whole forward composed from it, against the model's own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from circuitlang.runtime.adapters.adapter import Adapter
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
        difference = forward(adapter, tokens) - expected
    return float(difference.abs().max() / expected.abs().max())


def forward(adapter: Adapter, tokens: Tensor) -> Tensor:
    """Logits [L, prompts, vocab] for tokens [prompts, L]."""
    residual = adapter.embed(tokens)
    for layer in range(adapter.layers):
        attention = _attention(adapter, layer, residual)
        read = residual if adapter.parallel else residual + attention
        residual = residual + attention + adapter.mlp(layer, read)
    return adapter.logits(residual)


def _attention(adapter: Adapter, layer: int, residual: Tensor) -> Tensor:
    positions = range(len(residual))
    kv_heads = tuple(range(adapter.kv_heads))
    normed = adapter.attention_norm(layer, residual)
    rotation = adapter.rotation(layer, positions)
    query = adapter.query(layer, tuple(range(adapter.heads)), normed, rotation)
    key = adapter.key(layer, kv_heads, normed, rotation)
    value = adapter.value(layer, kv_heads, normed)
    grouped = torch.unflatten(query, 2, (adapter.kv_heads, -1))
    scores = torch.einsum("qpkgd,spkd->pkgqs", grouped, key) * adapter.scale(layer)
    if adapter.softcap is not None:
        scores = adapter.softcap * torch.tanh(scores / adapter.softcap)
    index = torch.arange(len(residual), device=residual.device)
    distance = index[:, None] - index
    window = adapter.window(layer)
    seen = distance >= 0 if window is None else (distance >= 0) & (distance < window)
    pattern = scores.masked_fill(~seen, float("-inf")).softmax(-1)
    mixed = torch.einsum("pkgqs,spkd->qpkgd", pattern, value).flatten(2, 3)
    summed = torch.einsum("qphd,hdm->qpm", mixed, adapter.output_weight(layer))
    bias = adapter.output_bias(layer)
    return adapter.mix(layer, summed if bias is None else summed + bias)
