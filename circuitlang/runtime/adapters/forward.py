"""A whole forward composed from an adapter: every edge live, every node's output at hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitlang.runtime.adapters.adapter import Adapter


@dataclass(frozen=True)
class Layer:
    """What one layer's nodes put out, and the residual stream after it.

    `heads` is [L, prompts, heads, d_model], before any post-norm; `mlp` and `residual` are
    [L, prompts, d_model].
    """

    heads: Tensor
    mlp: Tensor
    residual: Tensor


def layers(adapter: Adapter, tokens: Tensor) -> Iterator[Layer]:
    """Layer by layer, for tokens [prompts, L]."""
    residual = adapter.embed(tokens)
    for layer in range(adapter.layers):
        heads = _heads(adapter, layer, residual)
        summed, bias = heads.sum(2), adapter.output_bias(layer)
        attention = adapter.mix(layer, summed if bias is None else summed + bias)
        mlp = adapter.mlp(layer, residual if adapter.parallel else residual + attention)
        residual = residual + attention + mlp
        yield Layer(heads, mlp, residual)


def _heads(adapter: Adapter, layer: int, residual: Tensor) -> Tensor:
    """Every head's output, [L, prompts, heads, d_model]."""
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
    return torch.einsum("qphd,hdm->qphm", mixed, adapter.output_weight(layer))
