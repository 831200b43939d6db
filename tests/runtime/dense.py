"""An independent evaluator of M[S;a]: plain loops over receivers and senders, in float64.

Shares nothing with the executor but the names of nodes and edges: it computes every model
from the published weights, without TransformerLens, hooks or grouped-query expansion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import gelu, silu

from circuitlang.language.graph.architecture import Architecture


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
        self.post_norm = self.family in ("gemma2", "gemma3_text")

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
        scale = 1 + weight if self.post_norm else weight
        return x / (x.pow(2).mean(-1, keepdim=True) + self.config.rms_norm_eps).sqrt() * scale

    def names(self, layer: int) -> tuple[str, str, str]:
        """Prefix of the layer, and the norms of what its attention and its MLP read."""
        if self.family == "gpt2":
            return f"transformer.h.{layer}", "ln_1", "ln_2"
        if self.family == "gpt_neox":
            return f"gpt_neox.layers.{layer}", "input_layernorm", "post_attention_layernorm"
        second = "pre_feedforward_layernorm" if self.post_norm else "post_attention_layernorm"
        return f"model.layers.{layer}", "input_layernorm", second

    def embed(self, tokens: Tensor) -> Tensor:
        if self.family == "gpt2":
            return (
                self.w["transformer.wte.weight"][tokens]
                + self.w["transformer.wpe.weight"][: tokens.shape[1]]
            )
        name = "gpt_neox.embed_in" if self.family == "gpt_neox" else "model.embed_tokens"
        embedded = self.w[f"{name}.weight"][tokens]
        if self.post_norm:
            return embedded * self.plain.model.embed_tokens.embed_scale.double()
        return embedded

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
        y = y[..., start : start + self.d_head]
        if port < 2 and self.family in ("qwen3", "gemma3_text"):
            return self.norm(y, f"{prefix}.self_attn.{'qk'[port]}_norm")
        return y

    def is_local(self, layer: int) -> bool:
        """Whether the layer's attention sees only the latest `sliding_window` positions."""
        if self.family == "mistral":
            return self.config.sliding_window is not None
        types = getattr(self.config, "layer_types", None)
        return types is not None and types[layer] == "sliding_attention"

    def rotate(self, x: Tensor, layer: int) -> Tensor:
        """Rotary angles are position times the frequencies that the model holds."""
        if self.family == "gpt2":
            return x
        body = self.plain.gpt_neox if self.family == "gpt_neox" else self.plain.model
        name = "inv_freq"
        if self.family == "gemma3_text":
            name = f"{self.config.layer_types[layer]}_inv_freq"
        frequencies = getattr(body.rotary_emb, name).double()
        angles = torch.arange(x.shape[1]).double()[:, None] * frequencies
        half = len(frequencies)
        one, other, kept = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
        cos, sin = angles.cos(), angles.sin()
        return torch.cat([one * cos - other * sin, other * cos + one * sin, kept], -1)

    def head(self, layer: int, head: int, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """One head's output and its attention pattern."""
        q, k, v = (self.project(x, layer, head, port) for port, x in enumerate(inputs))
        scale = self.config.query_pre_attn_scalar if self.post_norm else self.d_head
        scores = self.rotate(q, layer) @ self.rotate(k, layer).transpose(1, 2) / scale**0.5
        if self.family == "gemma2" and (cap := self.config.attn_logit_softcapping) is not None:
            scores = cap * (scores / cap).tanh()
        distance = torch.arange(q.shape[1])[:, None] - torch.arange(q.shape[1])
        hidden = distance < 0
        if self.is_local(layer):
            hidden |= distance >= self.config.sliding_window
        pattern = scores.masked_fill(hidden, float("-inf")).softmax(-1)
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
        if self.post_norm:
            written = self.linear(gelu(gate, approximate="tanh") * up, f"{prefix}.mlp.down_proj")
            return self.norm(written, f"{prefix}.post_feedforward_layernorm")
        return self.linear(silu(gate) * up, f"{prefix}.mlp.down_proj")

    def attention(self, layer: int, heads: Sequence[Tensor]) -> Tensor:
        """What a layer's attention adds to the stream when its heads give these values."""
        total = torch.zeros_like(heads[0]) + self.bias(layer)
        for value in heads:
            total = total + value
        if self.post_norm:
            return self.norm(total, f"{self.names(layer)[0]}.post_attention_layernorm")
        return total

    def logits(self, x: Tensor) -> Tensor:
        norm = {"gpt2": "transformer.ln_f", "gpt_neox": "gpt_neox.final_layer_norm"}.get(
            self.family, "model.norm"
        )
        name = "embed_out" if "embed_out.weight" in self.w else "lm_head"
        logits = self.norm(x, norm) @ self.w[f"{name}.weight"].T
        cap = getattr(self.config, "final_logit_softcapping", None)
        return logits if cap is None else cap * (logits / cap).tanh()


def evaluate(
    architecture: Architecture,
    weights: Weights,
    tokens: Tensor,
    rows: Sequence[Sequence[int]],
    ablated: Sequence[Tensor] | None,
) -> tuple[Tensor, list[Tensor], dict[str, Tensor]]:
    """Logits, sender outputs [batch, position, d_model] and patterns; `rows` is a mask per token."""

    def carried(receiver: int, sender: int, output: Tensor) -> Tensor:
        bit = architecture.offsets[receiver] + sender
        live = torch.tensor([[mask >> bit & 1 for mask in line] for line in rows]).bool()
        other = torch.zeros_like(output) if ablated is None else ablated[sender]
        return torch.where(live[..., None], output, other)

    return flow(architecture, weights, weights.embed(tokens), carried)


def flow(
    architecture: Architecture,
    weights: Weights,
    embedded: Tensor,
    carry: Callable[[int, int, Tensor], Tensor],
) -> tuple[Tensor, list[Tensor], dict[str, Tensor]]:
    """As `evaluate`, from what `input` writes; `carry` makes what a sender's output is on its way to
    a receiver, both given by number."""
    outputs: list[Tensor] = []
    patterns: dict[str, Tensor] = {}
    shape = architecture.shape

    def carried(receiver: int, sender: int) -> Tensor:
        return carry(receiver, sender, outputs[sender])

    def read(receiver: int, layers: int) -> Tensor:
        """What a receiver after the attention of `layers` layers is given."""
        total, sender = carried(receiver, 0), 1
        for layer in range(layers):
            heads = [carried(receiver, sender + head) for head in range(shape.heads)]
            total = total + weights.attention(layer, heads)
            sender += shape.heads
            if sender < architecture.counts[receiver]:
                total = total + carried(receiver, sender)
                sender += 1
        assert sender == architecture.counts[receiver]
        return total

    outputs.append(embedded)
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
