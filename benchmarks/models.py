"""The benchmark's models: GPT-2 small with random weights, and SmolLM2."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from circuitlang.language.known_models import KNOWN, SMOLLM2, SMOLLM2_SHAPE
from circuitlang.language.spec import ModelReference
from circuitlang.runtime.models import LoadedModel, load
from circuitlang.runtime.quiet import quiet


@cache
def random_gpt2() -> LoadedModel:
    """GPT-2 small as Hugging Face initialises it, through a folder like any local model."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    with TemporaryDirectory() as folder:
        with quiet():
            GPT2LMHeadModel(GPT2Config()).save_pretrained(folder)
        reference = ModelReference("gpt2", folder, None, False, "float32", KNOWN["gpt2"])
        return load(reference, Path(), "cpu", _silent)


@cache
def smollm2() -> LoadedModel:
    reference = ModelReference(SMOLLM2, SMOLLM2, None, False, "float32", SMOLLM2_SHAPE)
    return load(reference, Path(), "cpu", _silent)


def _silent(stage: str) -> None:
    pass
