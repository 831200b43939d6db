"""GPT-2: learned positions, one fused projection, all weights stored input first."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from circuitlang.runtime.adapters.adapter import (
    Adapter,
    Block,
    Map,
    Projection,
    Unadapted,
    activation,
)


def gpt2(plain: Any) -> Adapter:
    """Adapts a `GPT2LMHeadModel`."""
    for option in ("reorder_and_upcast_attn", "add_cross_attention"):
        if getattr(plain.config, option):
            raise Unadapted(f"its config sets {option}")
    model = plain.transformer

    def embedding(tokens: Tensor) -> Tensor:
        embedded: Tensor = model.wte(tokens)
        embedded += model.wpe.weight[: len(tokens), None]
        return embedded

    return Adapter(
        blocks=tuple(_block(layer) for layer in model.h),
        embedding=embedding,
        final_norm=model.ln_f,
        unembedding=plain.get_output_embeddings().weight,
    )


def _block(layer: Any) -> Block:
    attention = layer.attn
    heads = (3, attention.num_heads, attention.head_dim)
    weights = attention.c_attn.weight.T.unflatten(0, heads)
    biases = attention.c_attn.bias.unflatten(0, heads)
    query, key, value = map(Projection, weights, biases)
    return Block(
        attention_norm=layer.ln_1,
        query=query,
        key=key,
        value=value,
        output=attention.c_proj.weight.unflatten(0, heads[1:]),
        output_bias=attention.c_proj.bias,
        scale=attention.scaling,
        mlp=_mlp(layer),
    )


def _mlp(layer: Any) -> Map:
    act = activation(layer.mlp.act)

    def mlp(x: Tensor) -> Tensor:
        result: Tensor = layer.mlp.c_proj(act(layer.mlp.c_fc(layer.ln_2(x))))
        return result

    return mlp
