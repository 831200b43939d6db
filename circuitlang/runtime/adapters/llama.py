"""Llama and its kin (Mistral, Qwen2, Qwen3): RMS norms, rotary positions, gated MLPs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from circuitlang.runtime.adapters.adapter import (
    Adapter,
    Block,
    Map,
    Projection,
    RMSNorm,
    Rotary,
    activation,
    output_heads,
)


def llama(plain: Any) -> Adapter:
    """Adapts a `LlamaForCausalLM`."""
    return _decoder(plain, lambda attention: None)


def mistral(plain: Any) -> Adapter:
    """Adapts a `MistralForCausalLM`, whose layers all have the config's window."""
    return _decoder(plain, lambda attention: attention.config.sliding_window)


def qwen(plain: Any) -> Adapter:
    """Adapts a `Qwen2ForCausalLM` or `Qwen3ForCausalLM`, some of whose layers may have a window."""
    return _decoder(plain, lambda attention: attention.sliding_window)


def _decoder(plain: Any, window: Callable[[Any], int | None]) -> Adapter:
    model = plain.model
    return Adapter(
        blocks=tuple(_block(layer, window(layer.self_attn)) for layer in model.layers),
        embedding=model.embed_tokens,
        final_norm=_norm(model.norm),
        unembedding=plain.get_output_embeddings().weight,
        rotary=Rotary(model.rotary_emb, model.embed_tokens.weight),
    )


def _block(layer: Any, window: int | None) -> Block:
    attention = layer.self_attn
    mlp_norm, mlp = _norm(layer.post_attention_layernorm), gated_mlp(layer.mlp)
    return Block(
        attention_norm=_norm(layer.input_layernorm),
        query=projection(attention, "q", _norm),
        key=projection(attention, "k", _norm),
        value=projection(attention, "v", _norm),
        output=output_heads(attention.o_proj.weight, attention.head_dim),
        output_bias=attention.o_proj.bias,
        scale=attention.scaling,
        mlp=lambda x: mlp(mlp_norm(x)),
        window=window,
    )


def _norm(module: Any) -> Map:
    return RMSNorm(module.weight, module.variance_epsilon)


def projection(attention: Any, name: str, norm: Callable[[Any], Map]) -> Projection:
    """The projection `name` (q, k or v) with the norm per head that some families have."""
    linear = getattr(attention, f"{name}_proj")
    heads = (-1, attention.head_dim)
    head_norm = getattr(attention, f"{name}_norm", None)
    return Projection(
        linear.weight.unflatten(0, heads),
        None if linear.bias is None else linear.bias.unflatten(0, heads),
        None if head_norm is None else norm(head_norm),
    )


def gated_mlp(module: Any) -> Map:
    """down(act(gate(x)) * up(x)), from the residual stream normed."""
    act = activation(module.act_fn)

    def mlp(x: Tensor) -> Tensor:
        hidden = act(module.gate_proj(x))
        hidden *= module.up_proj(x)
        result: Tensor = module.down_proj(hidden)
        return result

    return mlp
