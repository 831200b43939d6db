"""Every adapter against the Hugging Face model it was built from."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

from circuitlang.runtime.adapters import Unadapted, adapter_for, prove
from circuitlang.runtime.precision import precision

SIZES = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 56,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
GPT2_SIZES = {"vocab_size": 61, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64}
NEOX_SIZES = {name: size for name, size in SIZES.items() if name != "num_key_value_heads"}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 1e4,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
GEMMA3_ROPE = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
}
YARN_ROPE = {
    "rope_type": "yarn",
    "rope_theta": 1e4,
    "factor": 4.0,
    "original_max_position_embeddings": 16,
}

CONFIGS: dict[str, Any] = {
    "gpt2": lambda: GPT2Config(**GPT2_SIZES),
    "gpt2-scaled-by-layer": lambda: GPT2Config(**GPT2_SIZES, scale_attn_by_inverse_layer_idx=True),
    "gpt2-unscaled-relu": lambda: GPT2Config(
        **GPT2_SIZES, scale_attn_weights=False, activation_function="relu", n_inner=40
    ),
    "gpt_neox": lambda: GPTNeoXConfig(**NEOX_SIZES, rotary_pct=0.25),
    "gpt_neox-sequential": lambda: GPTNeoXConfig(
        **NEOX_SIZES, rotary_pct=0.5, use_parallel_residual=False
    ),
    "gpt_neox-unbiased": lambda: GPTNeoXConfig(**NEOX_SIZES, rotary_pct=1.0, attention_bias=False),
    "llama": lambda: LlamaConfig(**SIZES),
    "llama-biased-llama3": lambda: LlamaConfig(
        **SIZES, attention_bias=True, mlp_bias=True, head_dim=12, rope_parameters=LLAMA3_ROPE
    ),
    "llama-yarn-tied": lambda: LlamaConfig(
        **SIZES, rope_parameters=YARN_ROPE, tie_word_embeddings=True
    ),
    "mistral": lambda: MistralConfig(**SIZES, sliding_window=5, head_dim=12),
    "mistral-full": lambda: MistralConfig(**SIZES, sliding_window=None),
    "qwen2": lambda: Qwen2Config(**SIZES),
    "qwen2-windowed": lambda: Qwen2Config(
        **SIZES, use_sliding_window=True, sliding_window=5, max_window_layers=1
    ),
    "qwen3": lambda: Qwen3Config(**SIZES, head_dim=12),
    "qwen3-windowed": lambda: Qwen3Config(
        **SIZES,
        head_dim=12,
        attention_bias=True,
        use_sliding_window=True,
        sliding_window=5,
        max_window_layers=1,
    ),
    "gemma2": lambda: Gemma2Config(
        **SIZES,
        head_dim=12,
        query_pre_attn_scalar=20,
        sliding_window=5,
        attn_logit_softcapping=2.0,
        final_logit_softcapping=3.0,
    ),
    "gemma2-uncapped": lambda: Gemma2Config(
        **SIZES, head_dim=12, attn_logit_softcapping=None, final_logit_softcapping=None
    ),
    "gemma3_text": lambda: Gemma3TextConfig(
        **SIZES,
        head_dim=12,
        query_pre_attn_scalar=20,
        sliding_window=20,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        rope_parameters=GEMMA3_ROPE,
        final_logit_softcapping=3.0,
    ),
}
DTYPES = {torch.float32: 1e-5, torch.float64: 1e-9}


@torch.no_grad()
def randomized(config: Any, dtype: torch.dtype) -> Any:
    """A model in which every norm, bias, window and soft-cap makes a difference."""
    torch.manual_seed(1)
    plain = AutoModelForCausalLM.from_config(config, attn_implementation="eager").to(dtype).eval()
    for name, parameter in plain.named_parameters():
        if parameter.ndim == 1:
            parameter += 0.5 * torch.randn_like(parameter)
        elif "wte" in name or "wpe" in name or "embed" in name:
            parameter.normal_(0, 0.5)
        else:
            parameter.normal_(0, 0.3)
    return plain.requires_grad_(False)


@cache
def model(name: str, dtype: torch.dtype) -> Any:
    return randomized(CONFIGS[name](), dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", CONFIGS)
def test_a_forward_made_of_the_adapter_gives_the_models_logits(
    name: str, dtype: torch.dtype
) -> None:
    plain = model(name, dtype)
    assert prove(adapter_for(plain), plain, dtype) < DTYPES[dtype]


def test_a_forward_in_float64_agrees_to_rounding() -> None:
    errors = {
        name: prove(adapter_for(plain), plain, torch.float64)
        for name in CONFIGS
        if (plain := model(name, torch.float64))
    }
    assert max(errors.values()) < 1e-12, errors


@pytest.mark.parametrize("name", CONFIGS)
def test_every_weight_counts(name: str) -> None:
    """Another value of any one parameter shows, so the proof leaves none of them out."""
    plain = model(name, torch.float64)
    adapter = adapter_for(plain)
    for parameter_name, parameter in plain.named_parameters():
        other = copy.deepcopy(plain)
        changed = other.get_parameter(parameter_name)
        changed += 0.3 * torch.randn_like(parameter)
        assert prove(adapter, other, torch.float64) > 1e-6, parameter_name


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("gpt2-scaled-by-layer", {"scale": 0.4}),
        ("llama-biased-llama3", {"output_bias": None}),
        ("mistral", {"window": 4}),
        ("qwen2-windowed", {"window": None}),
        ("gemma2", {"mix": None}),
        ("gemma2", {"window": 6}),
        ("gemma3_text", {"window": None}),
        ("gemma3_text", {"layer_type": "full_attention"}),
    ],
    ids=str,
)
def test_a_layer_read_wrongly_shows(name: str, change: dict[str, Any]) -> None:
    plain = model(name, torch.float64)
    adapter = adapter_for(plain)
    changed = replace(adapter.blocks[2], **change)
    wrong = replace(adapter, blocks=(*adapter.blocks[:2], changed))
    assert prove(wrong, plain, torch.float64) > 1e-4


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("gpt_neox", {"parallel": False}),
        ("gpt_neox-sequential", {"parallel": True}),
        ("gpt_neox", {"rotary": None}),
        ("gemma2", {"softcap": None}),
        ("gemma2", {"logit_softcap": None}),
        ("gemma3_text", {"logit_softcap": None}),
    ],
    ids=str,
)
def test_a_model_read_wrongly_shows(name: str, change: dict[str, Any]) -> None:
    plain = model(name, torch.float64)
    wrong = replace(adapter_for(plain), **change)
    assert prove(wrong, plain, torch.float64) > 1e-4


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("heads", [(2,), (1, 2), (0, 3), (3, 1, 0)], ids=str)
def test_some_heads_are_those_of_all_heads(name: str, heads: tuple[int, ...]) -> None:
    adapter = adapter_for(model(name, torch.float64))
    kv_heads = tuple(dict.fromkeys(head * adapter.kv_heads // adapter.heads for head in heads))
    all_heads, all_kv_heads = tuple(range(adapter.heads)), tuple(range(adapter.kv_heads))
    positions = (2, 3, 7)
    x = torch.randn(3, 2, adapter.d_model, dtype=torch.float64)
    for layer in range(adapter.layers):
        rotation = adapter.rotation(layer, positions)
        for some, every in [
            (
                adapter.query(layer, heads, x, rotation),
                adapter.query(layer, all_heads, x, rotation)[..., list(heads), :],
            ),
            (
                adapter.key(layer, kv_heads, x, rotation),
                adapter.key(layer, all_kv_heads, x, rotation)[..., list(kv_heads), :],
            ),
            (
                adapter.value(layer, kv_heads, x),
                adapter.value(layer, all_kv_heads, x)[..., list(kv_heads), :],
            ),
        ]:
            assert some.shape == (3, 2, some.shape[-2], adapter.d_head)
            torch.testing.assert_close(some, every, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_of_some_tokens_are_those_of_all(name: str) -> None:
    adapter = adapter_for(model(name, torch.float64))
    x = 3 * torch.randn(2, 3, adapter.d_model, dtype=torch.float64)
    tokens = torch.tensor([7, 0, 60, 7])
    every = adapter.logits(x)
    assert every.shape == (2, 3, 61)
    torch.testing.assert_close(
        adapter.logits(x, tokens), every[..., tokens], rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_read_is_left_as_it_was(name: str) -> None:
    adapter = adapter_for(model(name, torch.float32))
    x = torch.randn(4, 2, adapter.d_model)
    before = x.clone()
    rotation = adapter.rotation(1, range(4))
    adapter.attention_norm(1, x)
    adapter.query(1, (0, 1), x, rotation)
    adapter.key(1, (0,), x, rotation)
    adapter.value(1, (0,), x)
    adapter.mix(1, x)
    adapter.mlp(1, x)
    adapter.logits(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", CONFIGS)
def test_weights_are_the_models_own(name: str) -> None:
    plain = model(name, torch.float32)
    adapter = adapter_for(plain)
    owned = {parameter.untyped_storage().data_ptr() for parameter in plain.parameters()}
    weights = [adapter.unembedding]
    for block in adapter.blocks:
        weights += [block.output, *(p.weight for p in (block.query, block.key, block.value))]
    assert {weight.untyped_storage().data_ptr() for weight in weights} <= owned


def test_shapes_are_the_configs() -> None:
    adapter = adapter_for(model("mistral", torch.float32))
    sizes = (adapter.layers, adapter.heads, adapter.kv_heads, adapter.d_head, adapter.d_model)
    assert sizes == (3, 4, 2, 12, 32)
    assert adapter.output_weight(0).shape == (4, 12, 32)
    assert not adapter.parallel
    assert not adapter.post_norm
    assert adapter_for(model("gpt_neox", torch.float32)).parallel
    assert adapter_for(model("gemma2", torch.float32)).post_norm


def test_windows_are_per_layer() -> None:
    def windows(name: str) -> list[int | None]:
        adapter = adapter_for(model(name, torch.float32))
        return [adapter.window(layer) for layer in range(adapter.layers)]

    assert windows("mistral") == [5, 5, 5]
    assert windows("qwen2") == [None, None, None]
    assert windows("qwen3-windowed") == [None, 5, 5]
    assert windows("gemma2") == [5, None, 5]
    assert windows("gemma3_text") == [20, None, 20]


def test_rotations_of_positions_are_rows_of_one_table_and_are_kept() -> None:
    adapter = adapter_for(model("gemma3_text", torch.float64))
    table, some = adapter.rotation(1, range(12)), adapter.rotation(1, (3, 11, 4))
    assert table is not None
    assert some is not None
    assert some.cos.dtype == torch.float64
    assert torch.equal(some.cos, table.cos[[3, 11, 4]])
    assert torch.equal(some.sin, table.sin[[3, 11, 4]])
    assert adapter.rotation(1, [3, 11, 4]) is some
    assert adapter.rotation(2, (3, 11, 4)) is adapter.rotation(0, (3, 11, 4)) is not some


def test_rotations_in_float64_are_not_rounded_to_float32() -> None:
    rotation = adapter_for(model("llama", torch.float64)).rotation(0, range(12))
    assert rotation is not None
    norm = rotation.cos**2 + rotation.sin**2
    torch.testing.assert_close(norm, torch.ones_like(norm), rtol=0, atol=1e-15)


def test_gelu_in_one_pass_is_the_models_gelu() -> None:
    adapter = adapter_for(plain := model("gpt2", torch.float64))
    layer = plain.transformer.h[1]
    x = 4 * torch.randn(5, 2, 32, dtype=torch.float64)
    expected = layer.mlp(layer.ln_2(x))
    with precision(torch.float64):
        torch.testing.assert_close(adapter.mlp(1, x), expected, rtol=1e-13, atol=1e-13)


DYNAMIC_ROPE = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
REFUSED: dict[str, tuple[Any, str]] = {
    "bloom": (lambda: BloomConfig(vocab_size=61, hidden_size=32, n_layer=1, n_head=4), "'bloom'"),
    "gpt2-upcast": (
        lambda: GPT2Config(**GPT2_SIZES, reorder_and_upcast_attn=True),
        "reorder_and_upcast_attn",
    ),
    "gpt2-cross": (
        lambda: GPT2Config(**GPT2_SIZES, add_cross_attention=True),
        "add_cross_attention",
    ),
    "gemma2-bidirectional": (
        lambda: Gemma2Config(**SIZES, use_bidirectional_attention=True),
        "bidirectional",
    ),
    "gemma3-bidirectional": (
        lambda: Gemma3TextConfig(**SIZES, use_bidirectional_attention=True),
        "bidirectional",
    ),
    "llama-bidirectional": (lambda: LlamaConfig(**SIZES, is_causal=False), "not causal"),
    "llama-dynamic": (lambda: LlamaConfig(**SIZES, rope_parameters=DYNAMIC_ROPE), "'dynamic'"),
    "gemma3-dynamic": (
        lambda: Gemma3TextConfig(
            **SIZES,
            layer_types=["sliding_attention", "sliding_attention", "full_attention"],
            rope_parameters={**GEMMA3_ROPE, "full_attention": DYNAMIC_ROPE},
        ),
        "'dynamic'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_models_without_an_exact_adapter_are_refused(name: str) -> None:
    config, reason = REFUSED[name]
    plain = AutoModelForCausalLM.from_config(config())
    with pytest.raises(Unadapted, match=reason):
        adapter_for(plain)
