"""A loaded model's weights, laid out for computing any node's value alone.

An `Adapter` is built by its family's file from a Hugging Face causal language model and gives
each step of the forward as a function: norms, queries, keys, values, head outputs, MLPs, logits.
Its weights are views of the model's. Activations are [..., positions, prompts, width], and
nothing waits for the device. `mlp` and `logits` can be differentiated; all else is called under
`torch.no_grad`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from circuitlang.runtime.precision import precision
from circuitlang.runtime.tensors import uploaded

Map = Callable[[Tensor], Tensor]

# Their frequencies do not depend on how long the prompt is.
ROPE_TYPES = {"default", "linear", "llama3", "yarn"}
KEPT_ROTATIONS = 256


class Unadapted(Exception):
    """No adapter computes this model exactly; `reason` says what stands in the way."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class RMSNorm:
    """x * weight / sqrt(mean(x^2) + eps) over the last dimension."""

    weight: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, self.weight.shape, self.weight, self.eps)


@dataclass(frozen=True)
class Projection:
    """Residual stream to heads: `weight` [heads, d_head, d_model], `bias` [heads, d_head]."""

    weight: Tensor
    bias: Tensor | None
    norm: Map | None = None

    def __call__(self, heads: tuple[int, ...], x: Tensor) -> Tensor:
        """[..., d_model] to [..., len(heads), d_head]; a new tensor."""
        weight = _selected(self.weight, heads).flatten(0, 1)
        bias = None if self.bias is None else _selected(self.bias, heads).flatten()
        shape = (*x.shape[:-1], len(heads), self.weight.shape[1])
        result = functional.linear(x, weight, bias).view(shape)
        return result if self.norm is None else self.norm(result)


def _selected(weight: Tensor, heads: tuple[int, ...]) -> Tensor:
    """The rows of the heads: a slice where they are neighbours in order, else a copy."""
    first, end = heads[0], heads[-1] + 1
    if heads == tuple(range(first, end)):
        return weight[first:end]
    return torch.stack([weight[head] for head in heads])


@dataclass(frozen=True)
class Rotation:
    """Rotary tables, each [positions, rotated width / 2], in the model's dtype."""

    cos: Tensor
    sin: Tensor

    def rotate_(self, x: Tensor) -> Tensor:
        """Rotates `x` [..., positions, prompts, heads, d_head] in place; entries past the width stay.

        Entry i of the first half is paired with entry i of the second (RoFormer, eq. 34,
        in the order of GPT-NeoX).
        """
        half = self.cos.shape[1]
        cos, sin = self.cos[:, None, None], self.sin[:, None, None]
        first, second = x[..., :half], x[..., half : 2 * half]
        crossed = first * sin
        first.mul_(cos).addcmul_(second, sin, value=-1)
        second.mul_(cos).add_(crossed)
        return x


class Rotary:
    """The rotations a model's own rotary module gives, kept for the positions asked for last."""

    def __init__(self, module: Any, like: Tensor) -> None:
        types = module.rope_type
        for rope_type in types.values() if isinstance(types, dict) else [types]:
            if rope_type not in ROPE_TYPES:
                raise Unadapted(f"its rotary embedding is of type {rope_type!r}")
        self._rotation = lru_cache(KEPT_ROTATIONS)(partial(_rotation, module, like))

    def __call__(self, layer_type: str | None, positions: Sequence[int]) -> Rotation:
        return self._rotation(layer_type, tuple(positions))


def _rotation(
    module: Any, like: Tensor, layer_type: str | None, positions: tuple[int, ...]
) -> Rotation:
    with precision(like.dtype):
        index = uploaded([positions], like.device)
        cos, sin = module(like, index, layer_type=layer_type)
    half = cos.shape[-1] // 2
    return Rotation(cos[0, :, :half].contiguous(), sin[0, :, :half].contiguous())


@dataclass(frozen=True, eq=False)
class Block:
    """One layer. `output` is [heads, d_head, d_model]; `mlp` has its norms within.

    `mix` is the norm of the summed head outputs, where there is one; `layer_type` the name
    under which the rotary module knows the layer, where it tells layers apart.
    """

    attention_norm: Map
    query: Projection
    key: Projection
    value: Projection
    output: Tensor
    output_bias: Tensor | None
    scale: float
    mlp: Map
    mix: Map | None = None
    window: int | None = None
    layer_type: str | None = None


@dataclass(frozen=True, eq=False)
class Adapter:
    """A causal language model as functions of its layers.

    `embedding` takes tokens [positions, prompts] to the residual stream. `softcap` bounds
    attention scores, `logit_softcap` logits, both as cap * tanh(value / cap).
    `parallel` says that a layer's MLP reads what its attention reads.
    """

    blocks: tuple[Block, ...]
    embedding: Map
    final_norm: Map
    unembedding: Tensor
    rotary: Rotary | None = None
    parallel: bool = False
    softcap: float | None = None
    logit_softcap: float | None = None

    @property
    def layers(self) -> int:
        return len(self.blocks)

    @property
    def heads(self) -> int:
        return self.blocks[0].query.weight.shape[0]

    @property
    def kv_heads(self) -> int:
        return self.blocks[0].key.weight.shape[0]

    @property
    def d_head(self) -> int:
        return self.blocks[0].query.weight.shape[1]

    @property
    def d_model(self) -> int:
        return self.blocks[0].query.weight.shape[2]

    @property
    def post_norm(self) -> bool:
        return self.blocks[0].mix is not None

    def embed(self, tokens: Tensor) -> Tensor:
        """What the `input` node writes, [L, prompts, d_model], for tokens [prompts, L] from 0."""
        return self.embedding(tokens.T)

    def attention_norm(self, layer: int, x: Tensor) -> Tensor:
        """What the layer's queries, keys and values are computed from: [..., d_model]."""
        return self.blocks[layer].attention_norm(x)

    def rotation(self, layer: int, positions: Sequence[int]) -> Rotation | None:
        """The rotation of queries and keys at `positions`; None where positions are embedded."""
        if self.rotary is None:
            return None
        return self.rotary(self.blocks[layer].layer_type, positions)

    def query(
        self, layer: int, heads: tuple[int, ...], x: Tensor, rotation: Rotation | None
    ) -> Tensor:
        """Queries [..., D, prompts, len(heads), d_head] from the normed `x` [..., D, prompts, d_model].

        `heads` names at least one; D is the number of positions `rotation` was made for.
        """
        result = self.blocks[layer].query(heads, x)
        return result if rotation is None else rotation.rotate_(result)

    def key(
        self, layer: int, kv_heads: tuple[int, ...], x: Tensor, rotation: Rotation | None
    ) -> Tensor:
        """Keys, like `query`, of key-value heads: head h attends with h // (heads / kv_heads)."""
        result = self.blocks[layer].key(kv_heads, x)
        return result if rotation is None else rotation.rotate_(result)

    def value(self, layer: int, kv_heads: tuple[int, ...], x: Tensor) -> Tensor:
        """Values [..., len(kv_heads), d_head] from the normed `x` [..., d_model], with bias."""
        return self.blocks[layer].value(kv_heads, x)

    def scale(self, layer: int) -> float:
        """What a query's product with a key is multiplied by, before any soft-cap."""
        return self.blocks[layer].scale

    def window(self, layer: int) -> int | None:
        """How many keys a query sees: position i those at i - window + 1 to i; None is all."""
        return self.blocks[layer].window

    def output_weight(self, layer: int) -> Tensor:
        """What takes each head's mixed values to its output: [heads, d_head, d_model]."""
        return self.blocks[layer].output

    def output_bias(self, layer: int) -> Tensor | None:
        """The bias of the layer's attention that no head owns: [d_model]."""
        return self.blocks[layer].output_bias

    def mix(self, layer: int, x: Tensor) -> Tensor:
        """What attention adds, from its summed head outputs and bias: both [..., d_model]."""
        mix = self.blocks[layer].mix
        return x if mix is None else mix(x)

    def mlp(self, layer: int, x: Tensor) -> Tensor:
        """What the layer's MLP adds, from the residual stream it reads: both [..., d_model]."""
        return self.blocks[layer].mlp(x)

    def scaled(self, part: Tensor, whole: Tensor) -> Tensor:
        """What `part` of the last residual `whole` is in the final norm of it: [..., d_model].

        Linear in `part`; what the norm makes of `whole` is this of `whole`, plus the norm's bias.
        """
        norm = self.final_norm
        if isinstance(norm, RMSNorm):
            scale = torch.rsqrt(whole.square().mean(-1, keepdim=True) + norm.eps)
            return part * scale * norm.weight
        if not isinstance(norm, torch.nn.LayerNorm):
            raise TypeError(f"{type(norm).__name__} is no known norm")
        scale = torch.rsqrt(whole.var(-1, unbiased=False, keepdim=True) + norm.eps)
        return (part - part.mean(-1, keepdim=True)) * scale * norm.weight

    def copied(self, head: int, layer: int, stream: Tensor) -> Tensor:
        """What a head writes for a token that it attends to alone, from the stream after block 0
        in the norm of block 1: both [..., d_model]."""
        group = head // (self.heads // self.kv_heads)
        value = self.value(layer, (group,), self.attention_norm(1, stream))[..., 0, :]
        return value @ self.output_weight(layer)[head]

    def direct(self, x: Tensor, tokens: Tensor | None = None) -> Tensor:
        """`x` times the unembedding, like `logits` without norm and soft-cap."""
        rows = self.unembedding if tokens is None else self.unembedding.index_select(0, tokens)
        return functional.linear(x, rows)

    def logits(self, x: Tensor, tokens: Tensor | None = None) -> Tensor:
        """Logits [..., vocab] from the last residual stream; [..., len(tokens)] of some ids."""
        logits = self.direct(self.final_norm(x), tokens)
        cap = self.logit_softcap
        if cap is None:
            return logits
        if logits.requires_grad:
            return torch.tanh(logits / cap) * cap
        return logits.div_(cap).tanh_().mul_(cap)


def activation(module: Any) -> Map:
    """The same function as `module`, which may write over its argument, in one pass if it can."""
    from transformers import activations

    if isinstance(module, activations.NewGELUActivation):
        return partial(functional.gelu, approximate="tanh")
    if isinstance(module, torch.nn.SiLU | activations.SiLUActivation):
        return partial(functional.silu, inplace=True)
    function: Map = module
    return function


def output_heads(weight: Tensor, d_head: int) -> Tensor:
    """A linear layer's weight [d_model, heads * d_head] seen as [heads, d_head, d_model]."""
    return weight.view(len(weight), -1, d_head).permute(1, 2, 0)
