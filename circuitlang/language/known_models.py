"""Shapes of well-known hub models, so that a spec can be checked before anything is downloaded."""

from __future__ import annotations

from circuitlang.language.architecture import Shape

SMOLLM2 = "smollm2-135m"
SMOLLM2_TITLE = "SmolLM2-135M-Instruct (Q4_1)"
SMOLLM2_SHAPE = Shape(30, 9, 3, 576, 64, 1536, 49152, context=8192, family="llama")


def _gpt2(layers: int, heads: int, d_model: int) -> Shape:
    return Shape(
        layers,
        heads,
        heads,
        d_model,
        d_model // heads,
        4 * d_model,
        50257,
        context=1024,
        family="gpt2",
    )


def _pythia(layers: int, heads: int, d_model: int) -> Shape:
    return Shape(
        layers,
        heads,
        heads,
        d_model,
        d_model // heads,
        4 * d_model,
        50304,
        parallel=True,
        context=2048,
        family="gpt_neox",
    )


def _attention_only(layers: int, heads: int, d_model: int, vocab: int, context: int) -> Shape:
    return Shape(
        layers,
        heads,
        heads,
        d_model,
        d_model // heads,
        0,
        vocab,
        mlps=False,
        context=context,
        family="attention_only",
    )


KNOWN: dict[str, Shape] = {
    "gpt2": _gpt2(12, 12, 768),
    "gpt2-medium": _gpt2(24, 16, 1024),
    "gpt2-large": _gpt2(36, 20, 1280),
    "gpt2-xl": _gpt2(48, 25, 1600),
    "distilgpt2": _gpt2(6, 12, 768),
    "EleutherAI/pythia-14m": _pythia(6, 4, 128),
    "EleutherAI/pythia-31m": _pythia(6, 8, 256),
    "EleutherAI/pythia-70m": _pythia(6, 8, 512),
    "EleutherAI/pythia-160m": _pythia(12, 12, 768),
    "EleutherAI/pythia-410m": _pythia(24, 16, 1024),
    "EleutherAI/pythia-1b": _pythia(16, 8, 2048),
    "EleutherAI/pythia-1.4b": _pythia(24, 16, 2048),
    "EleutherAI/pythia-2.8b": _pythia(32, 32, 2560),
    "HuggingFaceTB/SmolLM2-135M": SMOLLM2_SHAPE,
    "HuggingFaceTB/SmolLM2-135M-Instruct": SMOLLM2_SHAPE,
    "HuggingFaceTB/SmolLM2-360M": Shape(
        32, 15, 5, 960, 64, 2560, 49152, context=8192, family="llama"
    ),
    "Qwen/Qwen2.5-0.5B": Shape(24, 14, 2, 896, 64, 4864, 151936, context=32768, family="qwen2"),
    "meta-llama/Llama-3.2-1B": Shape(
        16, 32, 8, 2048, 64, 8192, 128256, context=131072, family="llama"
    ),
    "attn-only-4l": _attention_only(4, 8, 512, 48262, 1024),
    "redwood_attn_2l": _attention_only(2, 8, 256, 50259, 2048),
}

# The hub moved these repositories; the cache may hold either name.
MOVED = {
    name: f"openai-community/{name}" for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")
} | {"distilgpt2": "distilbert/distilgpt2"}
