"""The dense masked forward that the benchmark compares with: one forward for each run.

It is how EAP-IG evaluates a circuit. All senders' outputs are kept, and every receiver reads
the residual stream of this run plus, for each edge outside the circuit, the difference
between the sender's ablated and its recomputed output: one product of the layer's rows of
(1 - mask) with the matrix of all differences. Every node is recomputed in every run.
Nothing is shared with the executors but the order of senders and receivers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from circuitlang.language.prompt import Prompt, PromptSet, mean_key
from circuitlang.language.spec import Ablation
from circuitlang.runtime.models import LoadedModel

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Layer:
    """One layer. The weights of q, k and v stand in the order of the layer's receivers.

    `projection` is [3 * heads, d_model, d_head] with `bias` [3 * heads, 1, d_head]; `output`
    is [heads, d_head, d_model] with `output_bias` [d_model] or 0.
    """

    norm: Function
    projection: Tensor
    bias: Tensor
    output: Tensor
    output_bias: Tensor | float
    mlp: Function


@dataclass(frozen=True)
class Parts:
    """A model taken apart; `embed` maps [prompt, position] ids, `rotate` [..., position, d_head]."""

    embed: Function
    layers: Sequence[Layer]
    rotate: Function
    logits: Function


class DenseTwin:
    """Dense runs of one model. Places are prompts times positions, flattened."""

    def __init__(self, model: LoadedModel) -> None:
        self.graph, self.device = model.architecture, model.device
        self.parts = PARTS[model.shape.family](model.plain)
        counts = self.graph.counts
        self._receivers = np.repeat(np.arange(len(counts)), counts)
        self._senders = np.concatenate([np.arange(count) for count in counts])

    @torch.no_grad()
    def logits(self, tokens: Tensor, mask: int, ablated: Tensor) -> Tensor:
        """Logits [prompt, vocab] after the last token of the run whose recomputed edges are `mask`.

        `tokens` is [prompt, position], `ablated` [sender, place, d_model].
        """
        absent = self._absent(mask)
        residual, difference = self._forward(tokens, absent, ablated)
        last = slice(tokens.shape[1] - 1, None, tokens.shape[1])
        read = residual[last] + torch.einsum("s,spd->pd", absent[-1], difference[:, last])
        return self.parts.logits(read)

    @torch.no_grad()
    def outputs(self, tokens: Tensor) -> Tensor:
        """All senders' outputs in an ordinary run: [sender, place, d_model]."""
        shape = (len(self.graph.senders), tokens.numel(), self.graph.shape.d_model)
        nothing = torch.zeros(shape, device=self.device)
        return -self._forward(tokens, self._absent(self.graph.everything), nothing)[1]

    def ablated(self, ablation: Ablation, prompts: PromptSet) -> Tensor:
        """What senders outside the circuit carry under an ablation: [sender, place, d_model]."""
        if ablation.kind == "zero":
            return torch.zeros_like(self._outputs_on(prompts.prompts, None))
        if ablation.kind == "resample":
            return self._outputs_on(prompts.prompts, ablation.corruption)
        return torch.cat([self._mean(ablation, prompts, prompt) for prompt in prompts.prompts], 1)

    def _mean(self, ablation: Ablation, prompts: PromptSet, prompt: Prompt) -> Tensor:
        key = mean_key(ablation, prompt)
        group = [one for one in prompts.references if mean_key(ablation, one) == key]
        outputs = self._outputs_on(group, ablation.corruption)
        return outputs.view(len(outputs), len(group), -1, outputs.shape[-1]).mean(1)

    def _outputs_on(self, prompts: Sequence[Prompt], corruption: str | None) -> Tensor:
        return self.outputs(token_ids(prompts, corruption).to(self.device))

    def _absent(self, mask: int) -> Tensor:
        """1 for every edge outside the mask: [receiver, sender]."""
        size = (self.graph.size + 7) // 8
        packed = np.frombuffer(mask.to_bytes(size, "little"), np.uint8)
        present = np.unpackbits(packed, count=self.graph.size, bitorder="little")
        absent = np.zeros((len(self.graph.receivers), len(self.graph.senders)), np.float32)
        absent[self._receivers, self._senders] = 1 - present
        return torch.from_numpy(absent).to(self.device)

    def _forward(self, tokens: Tensor, absent: Tensor, ablated: Tensor) -> tuple[Tensor, Tensor]:
        """The residual stream [place, d_model] after all layers, and every sender's ablated minus
        recomputed output [sender, place, d_model]."""
        heads = self.graph.shape.heads
        difference = torch.empty_like(ablated)
        residual = self.parts.embed(tokens).flatten(0, 1)
        torch.sub(ablated[0], residual, out=difference[0])
        sender, receiver = 1, 0

        def read(number: int) -> Tensor:
            """What the next `number` receivers read: [receiver, place, d_model]."""
            rows = absent[receiver : receiver + number, :sender]
            mixed = torch.addmm(residual.view(1, -1), rows, difference[:sender].flatten(1))
            return mixed.view(number, *residual.shape)

        for layer in self.parts.layers:
            results = self._attention(layer, read(3 * heads), tokens.shape)
            torch.sub(
                ablated[sender : sender + heads], results, out=difference[sender : sender + heads]
            )
            residual = residual + results.sum(0) + layer.output_bias
            sender, receiver = sender + heads, receiver + 3 * heads
            result = layer.mlp(read(1)[0])
            torch.sub(ablated[sender], result, out=difference[sender])
            residual = residual + result
            sender, receiver = sender + 1, receiver + 1
        return residual, difference

    def _attention(self, layer: Layer, inputs: Tensor, shape: torch.Size) -> Tensor:
        """Each head's output from what its ports read: [head, place, d_model]."""
        projected = torch.baddbmm(layer.bias, layer.norm(inputs), layer.projection)
        query, key, value = projected.view(3, len(layer.output), *shape, -1)
        mixed = scaled_dot_product_attention(
            self.parts.rotate(query), self.parts.rotate(key), value, is_causal=True
        )
        return mixed.flatten(1, 2) @ layer.output


def token_ids(prompts: Sequence[Prompt], corruption: str | None) -> Tensor:
    return torch.tensor([p.corrupted[corruption] if corruption else p.tokens for p in prompts])


# ---------------------------------------------------------------- models taken apart


def _gpt2(plain: Any) -> Parts:
    body, heads = plain.transformer, plain.config.n_head

    def embed(tokens: Tensor) -> Tensor:
        embedded: Tensor = body.wte(tokens) + body.wpe.weight[: tokens.shape[1]]
        return embedded

    def layer(block: Any) -> Layer:
        fused, output = block.attn.c_attn, block.attn.c_proj
        return Layer(
            block.ln_1,
            fused.weight.unflatten(1, (3 * heads, -1)).movedim(1, 0).contiguous(),
            fused.bias.view(3 * heads, 1, -1),
            output.weight.unflatten(0, (heads, -1)),
            output.bias,
            lambda x: block.mlp(block.ln_2(x)),
        )

    return Parts(
        embed, [layer(b) for b in body.h], lambda x: x, lambda x: plain.lm_head(body.ln_f(x))
    )


def _llama(plain: Any) -> Parts:
    body, config = plain.model, plain.config
    heads = config.num_attention_heads

    def projection(linear: Any) -> Tensor:
        """[heads, d_model, d_head], those of a key-value group repeated for its query heads."""
        weight: Tensor = linear.weight.view(-1, config.head_dim, config.hidden_size)
        return weight.repeat_interleave(heads // len(weight), dim=0).transpose(1, 2)

    def layer(block: Any) -> Layer:
        attention, output = block.self_attn, block.self_attn.o_proj.weight
        ports = (attention.q_proj, attention.k_proj, attention.v_proj)
        return Layer(
            block.input_layernorm,
            torch.cat([projection(port) for port in ports]).contiguous(),
            output.new_zeros(3 * heads, 1, config.head_dim),
            output.T.contiguous().view(heads, config.head_dim, -1),
            0.0,
            lambda x: block.mlp(block.post_attention_layernorm(x)),
        )

    def rotate(x: Tensor) -> Tensor:
        cos, sin = body.rotary_emb(x, torch.arange(x.shape[-2], device=x.device)[None])
        low, high = x.chunk(2, -1)
        turned: Tensor = x * cos[0] + torch.cat([-high, low], -1) * sin[0]
        return turned

    return Parts(
        body.embed_tokens,
        [layer(b) for b in body.layers],
        rotate,
        lambda x: plain.lm_head(body.norm(x)),
    )


PARTS: dict[str, Callable[[Any], Parts]] = {"gpt2": _gpt2, "llama": _llama}
