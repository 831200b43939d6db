"""Transformers without LayerNorm, written as GPT-2 folders that compute the same.

GPT-2 divides by the norm of what a block reads. Here that norm is almost constant. A vector x of the
plain model is stored as (x, -x, c, -c): its mean is zero, and with c = 1000 its norm changes by less
than one part in ten thousand with x. The gain multiplies by the norm that c alone would have. The
constant comes from the position embedding, so it belongs to `input`, clean or corrupted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CONSTANT = 1000.0
EPSILON = 1e-5
BOS, UNKNOWN = "<bos>", "<unk>"


@dataclass(frozen=True)
class PlainHead:
    """q, k and v are [width, d_head] each, o is [d_head, width]; scores are q @ k, not scaled."""

    q: Array
    k: Array
    v: Array
    o: Array


@dataclass(frozen=True)
class PlainMLP:
    """relu(x @ inward + bias) @ outward + after; inward is [width, units]."""

    inward: Array
    bias: Array
    outward: Array
    after: Array


@dataclass(frozen=True)
class PlainTransformer:
    """A causal transformer without norms; embeddings are [token, width] and [position, width].

    Every layer has as many heads, which read before its MLP does. `unembed` is [width, token].
    """

    vocabulary: Sequence[str]
    embed: Array
    positions: Array
    heads: Sequence[Sequence[PlainHead]]
    mlps: Sequence[PlainMLP]
    unembed: Array

    @property
    def width(self) -> int:
        return int(self.embed.shape[1])

    def wiring(self) -> list[str]:
        """Every edge over which anything can flow, by EAP-IG's names.

        The edge is there when what the sender may write and what the receiver reads share a
        direction. That is a bound from above: what is read may still change nothing.
        """
        writes: dict[str, Array] = {"input": np.vstack([self.embed, self.positions])}
        edges: list[str] = []

        def read(receiver: str, weight: Array) -> None:
            edges.extend(
                f"{sender}->{receiver}"
                for sender, rows in writes.items()
                if (np.abs(rows) @ np.abs(weight)).any()
            )

        for layer, (heads, mlp) in enumerate(zip(self.heads, self.mlps, strict=True)):
            for port in "qkv":
                for number, head in enumerate(heads):
                    if head.o.any():
                        read(f"a{layer}.h{number}<{port}>", getattr(head, port))
            writes |= {f"a{layer}.h{number}": head.o for number, head in enumerate(heads)}
            if mlp.outward.any():
                read(f"m{layer}", mlp.inward)
            writes[f"m{layer}"] = mlp.outward
        read("logits", self.unembed)
        return edges


def gpt2(model: PlainTransformer) -> dict[str, NDArray[np.float32]]:
    """The weights under their Hugging Face names, float32, in GPT-2's [input, output] order."""
    count, plain = len(model.heads[0]), model.width
    largest = max(head.q.shape[1] for heads in model.heads for head in heads)
    d_head = max(largest, -(-(2 * plain + 2) // count))
    d_model, d_mlp = count * d_head, max(mlp.inward.shape[1] for mlp in model.mlps)
    gain = np.sqrt(2 * CONSTANT**2 / d_model + EPSILON)

    def written(rows: Array, constant: float = 0.0) -> Array:
        stored = np.zeros((len(rows), d_model))
        stored[:, :plain], stored[:, plain : 2 * plain] = rows, -rows
        stored[:, 2 * plain : 2 * plain + 2] = constant, -constant
        return stored

    def reading(weight: Array, columns: int) -> Array:
        stored = np.zeros((d_model, columns))
        stored[:plain, : weight.shape[1]] = weight
        return stored

    found: dict[str, Array] = {
        "wte.weight": written(model.embed),
        "wpe.weight": written(model.positions, CONSTANT),
        "ln_f.weight": np.full(d_model, gain),
        "ln_f.bias": np.zeros(d_model),
    }
    for layer, (heads, mlp) in enumerate(zip(model.heads, model.mlps, strict=True)):
        prefix = f"h.{layer}"
        scaled = [head.q * np.sqrt(d_head) for head in heads]
        inward = [
            *(reading(q, d_head) for q in scaled),
            *(reading(head.k, d_head) for head in heads),
            *(reading(head.v, d_head) for head in heads),
        ]
        outward = [np.zeros((d_head, d_model)) for _ in heads]
        for stored, head in zip(outward, heads, strict=True):
            stored[: len(head.o)] = written(head.o)
        units = mlp.inward.shape[1]
        spare = np.zeros((d_mlp - units, d_model))
        found |= {
            f"{prefix}.attn.c_attn.weight": np.hstack(inward),
            f"{prefix}.attn.c_attn.bias": np.zeros(3 * d_model),
            f"{prefix}.attn.c_proj.weight": np.vstack(outward),
            f"{prefix}.attn.c_proj.bias": np.zeros(d_model),
            f"{prefix}.mlp.c_fc.weight": reading(mlp.inward, d_mlp),
            f"{prefix}.mlp.c_fc.bias": np.pad(mlp.bias, (0, d_mlp - units)),
            f"{prefix}.mlp.c_proj.weight": np.vstack([written(mlp.outward), spare]),
            f"{prefix}.mlp.c_proj.bias": written(mlp.after[None])[0],
        }
        for norm in ("ln_1", "ln_2"):
            found[f"{prefix}.{norm}.weight"] = np.full(d_model, gain)
            found[f"{prefix}.{norm}.bias"] = np.zeros(d_model)
    weights = {f"transformer.{name}": weight for name, weight in found.items()}
    weights["lm_head.weight"] = reading(model.unembed, len(model.vocabulary)).T
    return {name: np.ascontiguousarray(w, dtype=np.float32) for name, w in weights.items()}


def write(model: PlainTransformer, folder: Path) -> None:
    """A folder that Hugging Face and `model "./folder"` load; words stand between spaces."""
    from safetensors.numpy import save_file
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    folder.mkdir(parents=True, exist_ok=True)
    weights = gpt2(model)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    number = {word: index for index, word in enumerate(model.vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(number, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken(word, special=True) for word in (UNKNOWN, BOS)])
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "config.json", _config(model, weights))


def _config(model: PlainTransformer, weights: dict[str, NDArray[np.float32]]) -> dict[str, Any]:
    bos = list(model.vocabulary).index(BOS)
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": len(model.vocabulary),
        "n_positions": len(model.positions),
        "n_embd": weights["transformer.wte.weight"].shape[1],
        "n_layer": len(model.heads),
        "n_head": len(model.heads[0]),
        "n_inner": weights["transformer.h.0.mlp.c_fc.weight"].shape[1],
        "activation_function": "relu",
        "layer_norm_epsilon": EPSILON,
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "scale_attn_weights": True,
        "tie_word_embeddings": False,
        "bos_token_id": bos,
        "eos_token_id": bos,
        "dtype": "float32",
    }


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
