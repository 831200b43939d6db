"""Gemma 2 and the text models of Gemma 3: what a layer writes is normed, some layers have a window.

Gemma 2 bounds attention scores. Gemma 3 norms queries and keys, and layers with a window have
rotary frequencies of their own.
"""

from __future__ import annotations

from typing import Any

from circuitlang.runtime.adapters.adapter import (
    Adapter,
    Block,
    Map,
    RMSNorm,
    Rotary,
    Unadapted,
    output_heads,
)
from circuitlang.runtime.adapters.llama import gated_mlp, projection


def gemma2(plain: Any) -> Adapter:
    """Adapts a `Gemma2ForCausalLM`."""
    return _decoder(plain, plain.config.attn_logit_softcapping, typed=False)


def gemma3(plain: Any) -> Adapter:
    """Adapts a `Gemma3ForCausalLM`, which leaves `attn_logit_softcapping` of its config unread."""
    return _decoder(plain, None, typed=True)


def _decoder(plain: Any, softcap: float | None, typed: bool) -> Adapter:
    if plain.config.use_bidirectional_attention:
        raise Unadapted("its attention is bidirectional")
    model = plain.model
    return Adapter(
        blocks=tuple(_block(layer, typed) for layer in model.layers),
        embedding=model.embed_tokens,
        final_norm=_norm(model.norm),
        unembedding=plain.get_output_embeddings().weight,
        rotary=Rotary(model.rotary_emb, model.embed_tokens.weight),
        softcap=softcap,
        logit_softcap=plain.config.final_logit_softcapping,
    )


def _block(layer: Any, typed: bool) -> Block:
    attention = layer.self_attn
    before, after = _norm(layer.pre_feedforward_layernorm), _norm(layer.post_feedforward_layernorm)
    mlp = gated_mlp(layer.mlp)
    return Block(
        attention_norm=_norm(layer.input_layernorm),
        query=projection(attention, "q", _norm),
        key=projection(attention, "k", _norm),
        value=projection(attention, "v", _norm),
        output=output_heads(attention.o_proj.weight, attention.head_dim),
        output_bias=attention.o_proj.bias,
        scale=attention.scaling,
        mlp=lambda x: after(mlp(before(x))),
        mix=_norm(layer.post_attention_layernorm),
        window=attention.sliding_window,
        layer_type=attention.layer_type if typed else None,
    )


def _norm(module: Any) -> Map:
    return RMSNorm(1.0 + module.weight, module.eps)
