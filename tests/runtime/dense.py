"""An independent evaluator of M[S;a]: plain loops over receivers and senders, in float64.

Shares nothing with the executor but the names of nodes and edges: it computes every model
from the published weights, without TransformerLens, hooks or grouped-query expansion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import gelu, silu

from circuitlang.language.architecture import Architecture


class Weights:
    """A model's parts as plain functions of float64 tensors."""

    def __init__(self, plain: Any) -> None:
        self.plain, self.config = plain, plain.config
        self.w = {name: value.double() for name, value in plain.state_dict().items()}
        self.heads = self.config.num_attention_heads
        self.d_head = (
            getattr(self.config, "head_dim", None) or self.config.hidden_size // self.heads
        )
        self.family = self.config.model_type

    def linear(self, x: Tensor, name: str) -> Tensor:
        weight = self.w[f"{name}.weight"]
        y = x @ (weight if self.family == "gpt2" and name != "lm_head" else weight.T)
        return y + self.w[f"{name}.bias"] if f"{name}.bias" in self.w else y

    def norm(self, x: Tensor, name: str) -> Tensor:
        weight = self.w[f"{name}.weight"]
        if self.family in ("gpt2", "gpt_neox"):
            eps = (
                self.config.layer_norm_epsilon
                if self.family == "gpt2"
                else self.config.layer_norm_eps
            )
            centred = x - x.mean(-1, keepdim=True)
            return (
                centred / (centred.pow(2).mean(-1, keepdim=True) + eps).sqrt() * weight
                + self.w[f"{name}.bias"]
            )
        return x / (x.pow(2).mean(-1, keepdim=True) + self.config.rms_norm_eps).sqrt() * weight

    def names(self, layer: int) -> tuple[str, str, str]:
        """Prefix of the layer, and its two norms."""
        return {
            "gpt2": (f"transformer.h.{layer}", "ln_1", "ln_2"),
            "gpt_neox": (f"gpt_neox.layers.{layer}", "input_layernorm", "post_attention_layernorm"),
        }.get(self.family, (f"model.layers.{layer}", "input_layernorm", "post_attention_layernorm"))

    def embed(self, tokens: Tensor) -> Tensor:
        if self.family == "gpt2":
            return (
                self.w["transformer.wte.weight"][tokens]
                + self.w["transformer.wpe.weight"][: tokens.shape[1]]
            )
        name = "gpt_neox.embed_in" if self.family == "gpt_neox" else "model.embed_tokens"
        return self.w[f"{name}.weight"][tokens]

    def project(self, x: Tensor, layer: int, head: int, port: int) -> Tensor:
        """q, k or v (port 0, 1, 2) of one head from the residual it reads."""
        prefix, norm, _ = self.names(layer)
        x = self.norm(x, f"{prefix}.{norm}")
        if self.family == "gpt2":
            y = self.linear(x, f"{prefix}.attn.c_attn")
            start = port * self.heads * self.d_head + head * self.d_head
        elif self.family == "gpt_neox":
            y = self.linear(x, f"{prefix}.attention.query_key_value")
            start = (3 * head + port) * self.d_head
        else:
            y = self.linear(x, f"{prefix}.self_attn.{'qkv'[port]}_proj")
            shared = self.heads // self.config.num_key_value_heads if port else 1
            start = head // shared * self.d_head
        return y[..., start : start + self.d_head]

    def rotate(self, x: Tensor) -> Tensor:
        if self.family == "gpt2":
            return x
        body = self.plain.gpt_neox if self.family == "gpt_neox" else self.plain.model
        positions = torch.arange(x.shape[1])[None]
        cos, sin = (part.double() for part in body.rotary_emb(x.float(), positions))
        size = cos.shape[-1]
        turned, kept = x[..., :size], x[..., size:]
        swapped = torch.cat([-turned[..., size // 2 :], turned[..., : size // 2]], -1)
        return torch.cat([turned * cos + swapped * sin, kept], -1)

    def head(self, layer: int, head: int, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """One head's output and its attention pattern."""
        q, k, v = (self.project(x, layer, head, port) for port, x in enumerate(inputs))
        scores = self.rotate(q) @ self.rotate(k).transpose(1, 2) / self.d_head**0.5
        future = torch.ones(scores.shape[-2:]).triu(1).bool()
        pattern = scores.masked_fill(future, float("-inf")).softmax(-1)
        rows = slice(head * self.d_head, (head + 1) * self.d_head)
        name = self.output_name(layer)
        weight = self.w[f"{name}.weight"] if self.family == "gpt2" else self.w[f"{name}.weight"].T
        return pattern @ v @ weight[rows], pattern

    def output_name(self, layer: int) -> str:
        inside = {"gpt2": "attn.c_proj", "gpt_neox": "attention.dense"}.get(
            self.family, "self_attn.o_proj"
        )
        return f"{self.names(layer)[0]}.{inside}"

    def bias(self, layer: int) -> Tensor | float:
        return self.w.get(f"{self.output_name(layer)}.bias", 0.0)

    def mlp(self, layer: int, x: Tensor) -> Tensor:
        prefix, _, norm = self.names(layer)
        x = self.norm(x, f"{prefix}.{norm}")
        if self.family == "gpt2":
            return self.linear(
                gelu(self.linear(x, f"{prefix}.mlp.c_fc"), approximate="tanh"),
                f"{prefix}.mlp.c_proj",
            )
        if self.family == "gpt_neox":
            inner = gelu(self.linear(x, f"{prefix}.mlp.dense_h_to_4h"))
            return self.linear(inner, f"{prefix}.mlp.dense_4h_to_h")
        gate, up = (self.linear(x, f"{prefix}.mlp.{part}_proj") for part in ("gate", "up"))
        return self.linear(silu(gate) * up, f"{prefix}.mlp.down_proj")

    def logits(self, x: Tensor) -> Tensor:
        norm = {"gpt2": "transformer.ln_f", "gpt_neox": "gpt_neox.final_layer_norm"}.get(
            self.family, "model.norm"
        )
        name = "embed_out" if "embed_out.weight" in self.w else "lm_head"
        return self.norm(x, norm) @ self.w[f"{name}.weight"].T


def evaluate(
    architecture: Architecture,
    weights: Weights,
    tokens: Tensor,
    rows: Sequence[Sequence[int]],
    ablated: Sequence[Tensor] | None,
) -> tuple[Tensor, list[Tensor], dict[str, Tensor]]:
    """Logits, sender outputs [batch, position, d_model] and patterns; `rows` is a mask per token."""
    outputs: list[Tensor] = []
    patterns: dict[str, Tensor] = {}
    shape = architecture.shape

    def read(receiver: int, biases: int) -> Tensor:
        total = torch.zeros(*tokens.shape, shape.d_model, dtype=torch.float64)
        for layer in range(biases):
            total = total + weights.bias(layer)
        for sender in range(architecture.counts[receiver]):
            bit = architecture.offsets[receiver] + sender
            live = torch.tensor([[mask >> bit & 1 for mask in line] for line in rows]).bool()[
                ..., None
            ]
            other = torch.zeros_like(total) if ablated is None else ablated[sender]
            total = total + torch.where(live, outputs[sender], other)
        return total

    outputs.append(weights.embed(tokens))
    receiver = 0
    for layer in range(shape.layers):
        ports = [
            [read(receiver + port * shape.heads + h, layer) for port in range(3)]
            for h in range(shape.heads)
        ]
        results = [weights.head(layer, h, inputs) for h, inputs in enumerate(ports)]
        receiver += 3 * shape.heads
        if shape.parallel:
            mlp = weights.mlp(layer, read(receiver, layer))
        outputs += [result for result, _ in results]
        patterns |= {f"a{layer}.h{h}": pattern for h, (_, pattern) in enumerate(results)}
        if not shape.parallel:
            mlp = weights.mlp(layer, read(receiver, layer + 1))
        outputs.append(mlp)
        receiver += 1
    return weights.logits(read(receiver, shape.layers)), outputs, patterns
