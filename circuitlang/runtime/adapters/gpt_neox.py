"""GPT-NeoX (Pythia): a part of each head rotated, queries, keys and values interleaved by head."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from circuitlang.runtime.adapters.adapter import (
    Adapter,
    Block,
    Map,
    Projection,
    Rotary,
    activation,
    output_heads,
)


def gpt_neox(plain: Any) -> Adapter:
    """Adapts a `GPTNeoXForCausalLM`, its layers parallel or sequential."""
    model = plain.gpt_neox
    return Adapter(
        blocks=tuple(_block(layer) for layer in model.layers),
        embedding=model.embed_in,
        final_norm=model.final_layer_norm,
        unembedding=plain.get_output_embeddings().weight,
        rotary=Rotary(model.rotary_emb, model.embed_in.weight),
        parallel=plain.config.use_parallel_residual,
    )


def _block(layer: Any) -> Block:
    attention = layer.attention
    fused, d_head = attention.query_key_value, attention.head_size
    weights = fused.weight.unflatten(0, (-1, 3, d_head)).unbind(1)
    biases = (
        (None,) * 3 if fused.bias is None else fused.bias.unflatten(0, (-1, 3, d_head)).unbind(1)
    )
    query, key, value = map(Projection, weights, biases)
    return Block(
        attention_norm=layer.input_layernorm,
        query=query,
        key=key,
        value=value,
        output=output_heads(attention.dense.weight, d_head),
        output_bias=attention.dense.bias,
        scale=attention.scaling,
        mlp=_mlp(layer),
    )


def _mlp(layer: Any) -> Map:
    act = activation(layer.mlp.act)

    def mlp(x: Tensor) -> Tensor:
        hidden = act(layer.mlp.dense_h_to_4h(layer.post_attention_layernorm(x)))
        result: Tensor = layer.mlp.dense_4h_to_h(hidden)
        return result

    return mlp
