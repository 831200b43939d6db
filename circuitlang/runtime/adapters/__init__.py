"""Adapters: from a Hugging Face causal language model to functions of its layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from circuitlang.runtime.adapters.adapter import Adapter, Rotation, Unadapted
from circuitlang.runtime.adapters.gemma import gemma2, gemma3
from circuitlang.runtime.adapters.gpt2 import gpt2
from circuitlang.runtime.adapters.gpt_neox import gpt_neox
from circuitlang.runtime.adapters.llama import llama, mistral, qwen
from circuitlang.runtime.adapters.proof import prove

__all__ = ["Adapter", "Rotation", "Unadapted", "adapter_for", "prove"]

FAMILIES: dict[str, Callable[[Any], Adapter]] = {
    "gpt2": gpt2,
    "gpt_neox": gpt_neox,
    "llama": llama,
    "mistral": mistral,
    "qwen2": qwen,
    "qwen3": qwen,
    "gemma2": gemma2,
    "gemma3_text": gemma3,
}


def adapter_for(plain: Any) -> Adapter:
    """The adapter of a causal language model in float32 or float64, on any device.

    Raises `Unadapted` for a model type, or an option of one, that none computes exactly.
    """
    family = FAMILIES.get(plain.config.model_type)
    if family is None:
        raise Unadapted(f"models of type {plain.config.model_type!r} have no adapter")
    if not getattr(plain.config, "is_causal", True):
        raise Unadapted("its attention is not causal")
    return family(plain)
