"""Shapes of well-known hub models, so that a spec can be checked before anything is downloaded."""

from __future__ import annotations

from circuitlang.language.graph.architecture import Shape

SMOLLM2 = "smollm2-135m"
SMOLLM2_TITLE = "SmolLM2-135M-Instruct (Q4_1)"
SMOLLM2_SHAPE = Shape(30, 9, 3, 576, 64, 1536, 49152, context=8192, family="llama")

GEMMA2_2B_SHAPE = Shape(
    26, 8, 4, 2304, 256, 9216, 256000, post_norm=True, context=8192, family="gemma2"
)
GEMMA3_270M_SHAPE = Shape(
    18, 4, 1, 640, 256, 2048, 262144, post_norm=True, context=32768, family="gemma3_text"
)
GEMMA3_1B_SHAPE = Shape(
    26, 4, 1, 1152, 256, 6912, 262144, post_norm=True, context=32768, family="gemma3_text"
)


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
    "Qwen/Qwen3-0.6B": Shape(28, 16, 8, 1024, 128, 3072, 151936, context=40960, family="qwen3"),
    "Qwen/Qwen3-1.7B": Shape(28, 16, 8, 2048, 128, 6144, 151936, context=40960, family="qwen3"),
    "mistralai/Mistral-7B-v0.1": Shape(
        32, 32, 8, 4096, 128, 14336, 32000, context=32768, family="mistral"
    ),
    "google/gemma-2-2b": GEMMA2_2B_SHAPE,
    "google/gemma-2-2b-it": GEMMA2_2B_SHAPE,
    "google/gemma-3-270m": GEMMA3_270M_SHAPE,
    "google/gemma-3-270m-it": GEMMA3_270M_SHAPE,
    "google/gemma-3-1b-pt": GEMMA3_1B_SHAPE,
    "google/gemma-3-1b-it": GEMMA3_1B_SHAPE,
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
