"""Reads a model's shape from its Hugging Face config.json, one small reader per layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from circuitlang.language.graph.architecture import Shape

MOST_LAYERS, MOST_NODES = 1_000, 20_000


def shape_from_config(config: Mapping[str, Any]) -> Shape:
    """Reads a Hugging Face config; ValueError says what is missing or not supported."""
    family = str(config.get("model_type", ""))
    reader = READERS.get(family)
    if reader is None:
        what = f"models of type {family!r}" if family else "configs without a model_type"
        why = REFUSED.get(family, f"supported are {', '.join(READERS)}")
        raise ValueError(f"{what} are not supported yet; {why}")
    try:
        shape = reader(config, family)
    except KeyError as error:
        raise ValueError(f"config.json has no {error}") from error
    except (TypeError, ArithmeticError) as error:
        raise ValueError(f"config.json holds a value of the wrong type: {error}") from error
    refuse_impossible(shape)
    return shape


def refuse_impossible(shape: Shape) -> None:
    """Raises `ValueError` for sizes that no config.json can mean."""
    if min(shape.layers, shape.heads, shape.kv_heads, shape.d_head, shape.vocab) < 1:
        raise ValueError("config.json gives a size below 1")
    if shape.layers * (shape.heads + 1) > MOST_NODES or shape.layers > MOST_LAYERS:
        raise ValueError(
            f"config.json gives {shape.layers:,} layers of {shape.heads:,} heads, more than any "
            "model has"
        )
    if shape.heads % shape.kv_heads:
        raise ValueError(f"{shape.heads} heads cannot share {shape.kv_heads} key-value heads")


REFUSED = {
    "gemma3": "they read images too; a text-only Gemma 3 has the type 'gemma3_text'",
}


def _read_gpt2(config: Mapping[str, Any], family: str) -> Shape:
    heads, d_model = int(config["n_head"]), int(config["n_embd"])
    return Shape(
        int(config["n_layer"]),
        heads,
        heads,
        d_model,
        d_model // heads,
        int(config.get("n_inner") or 4 * d_model),
        int(config.get("vocab_size", 50257)),
        context=int(config.get("n_positions", 1024)),
        family=family,
    )


def _read_gpt_neox(config: Mapping[str, Any], family: str) -> Shape:
    heads, d_model = int(config["num_attention_heads"]), int(config["hidden_size"])
    return Shape(
        int(config["num_hidden_layers"]),
        heads,
        heads,
        d_model,
        d_model // heads,
        int(config["intermediate_size"]),
        int(config["vocab_size"]),
        parallel=bool(config.get("use_parallel_residual", True)),
        context=int(config.get("max_position_embeddings", 2048)),
        family=family,
    )


def _read_llama(config: Mapping[str, Any], family: str) -> Shape:
    heads, d_model = int(config["num_attention_heads"]), int(config["hidden_size"])
    context = config.get("max_position_embeddings")
    return Shape(
        int(config["num_hidden_layers"]),
        heads,
        int(config.get("num_key_value_heads") or heads),
        d_model,
        int(config.get("head_dim") or d_model // heads),
        int(config["intermediate_size"]),
        int(config["vocab_size"]),
        context=None if context is None else int(context),
        family=family,
    )


def _read_qwen3(config: Mapping[str, Any], family: str) -> Shape:
    return _read_llama({**config, "head_dim": config["head_dim"]}, family)


def _read_gemma(config: Mapping[str, Any], family: str) -> Shape:
    if config.get("use_bidirectional_attention"):
        raise ValueError("its attention also looks ahead (use_bidirectional_attention)")
    required = {name: config[name] for name in ("head_dim", "num_key_value_heads")}
    return replace(_read_llama({**config, **required}, family), post_norm=True)


READERS: dict[str, Callable[[Mapping[str, Any], str], Shape]] = {
    "gpt2": _read_gpt2,
    "gpt_neox": _read_gpt_neox,
    "llama": _read_llama,
    "mistral": _read_llama,
    "qwen2": _read_llama,
    "qwen3": _read_qwen3,
    "gemma2": _read_gemma,
    "gemma3_text": _read_gemma,
}
