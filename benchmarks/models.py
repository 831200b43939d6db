"""The benchmark's models: GPT-2 small with random weights, and SmolLM2 with its own or random ones."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from circuitlang.language.graph.architecture import Shape
from circuitlang.language.models.known import KNOWN, SMOLLM2, SMOLLM2_SHAPE
from circuitlang.language.spec import ModelReference
from circuitlang.runtime.models import LoadedModel, load
from circuitlang.runtime.quiet import quiet


@cache
def random_gpt2(device: str) -> LoadedModel:
    """GPT-2 small as Hugging Face initialises it."""
    from transformers import GPT2Config

    return _random("gpt2", GPT2Config(), KNOWN["gpt2"], device)


@cache
def random_smollm2(device: str) -> LoadedModel:
    """SmolLM2's shape as Hugging Face initialises it, for machines without its weights."""
    from transformers import LlamaConfig

    shape = SMOLLM2_SHAPE
    config = LlamaConfig(
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        hidden_size=shape.d_model,
        head_dim=shape.d_head,
        intermediate_size=shape.d_mlp,
        vocab_size=shape.vocab,
        max_position_embeddings=shape.context or 2048,
        tie_word_embeddings=True,
    )
    return _random("smollm2", config, shape, device)


@cache
def smollm2(device: str) -> LoadedModel:
    reference = ModelReference(SMOLLM2, SMOLLM2, None, False, "float32", SMOLLM2_SHAPE)
    return load(reference, Path(), device, _silent)


def _random(name: str, config: Any, shape: Shape, device: str) -> LoadedModel:
    """A model of random weights, through a folder like any local model."""
    from transformers import AutoModelForCausalLM

    auto: Any = AutoModelForCausalLM
    torch.manual_seed(0)
    with TemporaryDirectory() as folder:
        with quiet():
            auto.from_config(config).save_pretrained(folder)
        reference = ModelReference(name, folder, None, False, "float32", shape)
        return load(reference, Path(), device, _silent)


def _silent(stage: str) -> None:
    pass
