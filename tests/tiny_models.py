"""Tiny random checkpoints on disk, and prompts for them: fixtures that need no network."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from circuitlang.language.models.find import find
from circuitlang.language.prompt import Prompt, PromptSet
from circuitlang.language.spec import ModelReference

VOCABULARY = 40
CONTEXT = 24
WINDOW = 4
PRE_NORM = (
    "gpt2", "neox", "neox_sequential", "llama", "mistral", "qwen2", "qwen2_window", "qwen3",
)  # fmt: skip
POST_NORM = ("gemma2", "gemma3")
FAMILIES = PRE_NORM + POST_NORM


def config_of(family: str) -> Any:
    """Two layers of four heads. `WINDOW` is shorter than the prompts of the tests, Gemma 2's
    caps are lower than its scores, and Gemma 3 has one local and one global layer."""
    import transformers as hf

    common = {"vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": 1}
    if family == "gpt2":
        return hf.GPT2Config(n_layer=2, n_head=4, n_embd=32, n_positions=CONTEXT, **common)
    sizes = {
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "hidden_size": 32,
        "intermediate_size": 48,
        "max_position_embeddings": CONTEXT,
    }
    if family.startswith("neox"):
        parallel = family == "neox"
        return hf.GPTNeoXConfig(use_parallel_residual=parallel, **sizes, **common)
    grouped = {"num_key_value_heads": 2, **sizes, **common}
    wide = {"head_dim": 12, **grouped}
    gemma = {"query_pre_attn_scalar": 10, "sliding_window": WINDOW, **wide}
    match family:
        case "llama":
            return hf.LlamaConfig(**grouped)
        case "mistral":
            return hf.MistralConfig(sliding_window=WINDOW, **grouped)
        case "qwen2":
            return hf.Qwen2Config(**grouped)
        case "qwen2_window":
            window = {"sliding_window": WINDOW, "max_window_layers": 1}
            return hf.Qwen2Config(use_sliding_window=True, **window, **grouped)
        case "qwen3":
            return hf.Qwen3Config(**wide)
        case "gemma2":
            caps = {"attn_logit_softcapping": 1.5, "final_logit_softcapping": 15.0}
            return hf.Gemma2Config(**caps, **gemma)
        case "gemma3":
            return hf.Gemma3TextConfig(layer_types=["sliding_attention", "full_attention"], **gemma)
    raise ValueError(family)


def save_model(family: str, folder: Path, seed: int = 0) -> Path:
    """A random model whose biases and norms are random too, with a WordLevel tokenizer."""
    import torch
    import transformers as hf
    from tokenizers import Tokenizer, models, pre_tokenizers

    torch.manual_seed(seed)
    model = hf.AutoModelForCausalLM.from_config(config_of(family))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale = 0.4 if parameter.ndim > 1 else 0.3
            centre = 1.0 if "norm" in name or ("ln_" in name and name.endswith("weight")) else 0.0
            if family in POST_NORM:
                centre = 0.0
            parameter.copy_(centre + scale * torch.randn_like(parameter))
    model.save_pretrained(folder)
    words = {"<unk>": 0, "<bos>": 1} | {f"w{i}": i for i in range(2, VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    wrapped = hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", unk_token="<unk>"
    )
    wrapped.save_pretrained(folder)
    return folder


def reference_to(folder: Path, dtype: str = "float32", name: str = "tiny") -> ModelReference:
    shape = find(str(folder), None, folder).shape
    assert shape is not None
    return ModelReference(name, str(folder), None, False, dtype, shape)


def prompt(index: int, length: int, rng: random.Random, template: str = "t") -> Prompt:
    """A prompt of random words with a one-token span `A` and a span `B` of two tokens."""
    words = range(2, VOCABULARY)
    clean, other = (tuple(rng.choice(words) for _ in range(length)) for _ in range(2))
    start = rng.randrange(1, length - 3)
    corrupted = clean[:start] + other[start:]
    answer, *foils = rng.sample(words, 3)
    return Prompt(
        index,
        template,
        {"parity": str(index % 2)},
        f"prompt {index}",
        clean,
        {"A": (start, start + 1), "B": (start + 1, start + 3)},
        {"answer": (answer,), "foil": tuple(foils)},
        {"other": "corrupted"},
        {"other": corrupted},
    )


def prompt_set(lengths: list[int], references: int = 0, seed: int = 0) -> PromptSet:
    """One prompt per length; every reference has the length and spans of some prompt."""
    rng = random.Random(seed)
    prompts = tuple(prompt(i, length, rng) for i, length in enumerate(lengths))
    models = [prompts[i % len(prompts)] for i in range(references)]
    drawn = (prompt(i, len(one.tokens), rng) for i, one in enumerate(models))
    similar = tuple(
        replace(new, spans=one.spans, slots=one.slots)
        for new, one in zip(drawn, models, strict=True)
    )
    return PromptSet("task", ("t",), prompts, similar, None, False)
