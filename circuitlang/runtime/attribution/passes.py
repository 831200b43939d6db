"""One forward and one backward through an adapter: what each receiver's read is worth.

Residuals are [position, prompt, d_model]. A layer is differentiated in two pieces, its attention
from queries, keys and values on and its MLP; norms and projections are taken by hand, so that the
gradient is had for every head's q, k and v apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from circuitlang.language.graph.architecture import Node
from circuitlang.runtime.adapters import Adapter, Rotation
from circuitlang.runtime.adapters.adapter import Projection
from circuitlang.runtime.attribution.metric import Score
from circuitlang.runtime.attribution.norms import Normed, normed

PORTS = 3


@dataclass(frozen=True)
class Output:
    """What a layer's nodes put out: heads' mixed values [position, prompt, head, d_head] before
    their output weights, and the MLP's [position, prompt, d_model]."""

    mixed: Tensor
    mlp: Tensor


@dataclass
class Layer:
    """A layer in a forward, as its backward needs it.

    `reads` are each head's query, key and value before their norm and rotation, all
    [position, prompt, head, d_head]; `sum` is the normed sum of heads where the block norms it.
    """

    norm: Normed
    reads: tuple[Tensor, Tensor, Tensor]
    mixed: Tensor
    pattern: Tensor
    sum: Normed | None
    mlp_read: Tensor
    mlp: Tensor

    @property
    def output(self) -> Output:
        return Output(self.mixed.detach(), self.mlp.detach())


@dataclass(frozen=True)
class Worth:
    """The metric's gradient with respect to what receivers of one layer read.

    `heads` has, of each port, `small` [port, head, place, d_head] and what makes the gradient of
    it: `small @ folded - weights * y`, a place being position * prompts + prompt.
    """

    layer: int
    small: Tensor
    folded: Tensor
    weights: Tensor
    y: Tensor
    mlp: Tensor

    def of_all(self, times: int) -> Tensor:
        """The sum over all ports and heads, [place, d_model]; `times` query heads share a key."""
        folded = self.folded.view(PORTS, -1, *self.folded.shape[1:])
        query, key, value = self.small
        parts = [query, *(_grouped(one, times) for one in (key, value))]
        weights = [folded[0], folded[1, ::times], folded[2, ::times]]
        small = torch.cat([part.transpose(0, 1).flatten(1) for part in parts], 1)
        total = small @ torch.cat([weight.flatten(0, 1) for weight in weights])
        return total.addcmul_(self.weights.sum((0, 1))[:, None], self.y, value=-1)

    def add_heads_to(self, total: Tensor) -> None:
        """Adds to [port * head, place, d_model]."""
        ports, heads, places, width = self.small.shape
        small = self.small.reshape(ports * heads, places, width)
        total.baddbmm_(small, self.folded)
        total.addcmul_(self.weights.reshape(ports * heads, places, 1), self.y, value=-1)


@dataclass(frozen=True)
class Folded:
    """A layer's projections, ungrouped: `weight` [port * head, d_head, d_model] with the norm's gain,
    centred where the norm centres, and `constant` [port, head, d_head], what is read of no input."""

    weight: Tensor
    constant: Tensor | None


class Projections:
    """Folded projections of every layer; kept where `keep` says that there is room."""

    def __init__(self, adapter: Adapter, *, keep: bool = False) -> None:
        self.adapter, self.keep = adapter, keep
        self._kept: dict[int, Folded] = {}

    @property
    def size(self) -> int:
        """Numbers in those of all layers."""
        adapter = self.adapter
        return adapter.layers * PORTS * adapter.heads * adapter.d_head * adapter.d_model

    def of(self, number: int) -> Folded:
        found = self._kept.get(number) or self._folded(number)
        if self.keep:
            self._kept[number] = found
        return found

    def _folded(self, number: int) -> Folded:
        block, times = self.adapter.blocks[number], self.adapter.heads // self.adapter.kv_heads
        norm = normed(block.attention_norm, self.adapter.unembedding[:1])
        ports = [(block.query, 1), (block.key, times), (block.value, times)]
        weights = torch.stack([_repeated(port.weight, n) for port, n in ports])
        constant = None
        if norm.bias is not None:
            constant = weights @ norm.bias
        if block.query.bias is not None:
            biases = [_repeated(port.bias, n) for port, n in ports if port.bias is not None]
            own = torch.stack(biases)
            constant = own if constant is None else constant + own
        weights *= norm.gain
        if norm.centred:
            weights -= weights.mean(-1, keepdim=True)
        return Folded(weights.flatten(0, 1), constant)


class Pass:
    """A forward from what `input` writes. With `differentiable` the backward can follow."""

    def __init__(
        self,
        adapter: Adapter,
        stream: Tensor,
        *,
        differentiable: bool,
        projections: Projections,
    ) -> None:
        self.adapter, self.projections = adapter, projections
        self.layers: list[Layer] = []
        self.outputs: list[Output] = []
        self.sums: list[Normed | None] = []
        for number in range(adapter.layers):
            layer, stream = _forward(adapter, number, stream, differentiable)
            self.sums.append(layer.sum)
            if differentiable:
                self.layers.append(layer)
            self.outputs.append(layer.output)
        self.last = stream

    def backward(self, score: Score, heads: frozenset[Node]) -> Iterator[Worth | Tensor]:
        """The gradient with respect to the last residual, then each layer's, the last one first."""
        with torch.enable_grad():
            last = self.last.clone().requires_grad_()
            patterns = {
                node: self.layers[node.layer].pattern[:, node.head].detach().requires_grad_()
                for node in heads
            }
            value = score.values(last, patterns).sum()
        found = torch.autograd.grad(value, [last, *patterns.values()], allow_unused=True)
        gradient = torch.zeros_like(last) if found[0] is None else found[0]
        of_patterns = dict(zip(patterns, found[1:], strict=True))
        yield gradient
        for number in reversed(range(self.adapter.layers)):
            layer = self.layers.pop()
            weights = self.projections.of(number)
            worth, gradient = _backward(self.adapter, number, layer, gradient, of_patterns, weights)
            yield worth


def _forward(
    adapter: Adapter, number: int, x: Tensor, differentiable: bool
) -> tuple[Layer, Tensor]:
    block = adapter.blocks[number]
    norm = normed(block.attention_norm, x)
    reads = _projected(adapter, number, norm.value)
    with torch.set_grad_enabled(differentiable):
        if differentiable:
            reads = tuple(read.requires_grad_() for read in reads)  # type: ignore[assignment]
        mixed, pattern = _attended(adapter, number, *reads)
    summed = mixed.detach().flatten(2) @ block.output.flatten(0, 1)
    if block.output_bias is not None:
        summed = summed + block.output_bias
    sum_ = None if block.mix is None else normed(block.mix, summed)
    attention = summed if sum_ is None else sum_.value
    mlp_read = (x if adapter.parallel else x + attention).detach()
    with torch.set_grad_enabled(differentiable):
        if differentiable:
            mlp_read = mlp_read.clone().requires_grad_()
        mlp = adapter.mlp(number, mlp_read)
    after = x + attention + mlp.detach()
    return Layer(norm, reads, mixed, pattern, sum_, mlp_read, mlp), after


def _projected(adapter: Adapter, number: int, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each head's query, key and value before norm and rotation; keys and values ungrouped."""
    block, heads = adapter.blocks[number], tuple(range(adapter.heads))
    groups, times = tuple(range(adapter.kv_heads)), adapter.heads // adapter.kv_heads
    query = _bare(block.query)(heads, x)
    key, value = (
        _bare(port)(groups, x).repeat_interleave(times, dim=2) for port in (block.key, block.value)
    )
    return query, key, value


def _bare(projection: Projection) -> Projection:
    return replace(projection, norm=None)


def _attended(
    adapter: Adapter, number: int, query: Tensor, key: Tensor, value: Tensor
) -> tuple[Tensor, Tensor]:
    """Mixed values [position, prompt, head, d_head] and attention [prompt, head, query, key]."""
    block = adapter.blocks[number]
    rotation = adapter.rotation(number, range(len(query)))
    query, key, value = (
        read if port.norm is None else port.norm(read)
        for port, read in ((block.query, query), (block.key, key), (block.value, value))
    )
    if rotation is not None:
        query, key = _rotated(rotation, query), _rotated(rotation, key)
    scores = query.permute(1, 2, 0, 3) @ key.permute(1, 2, 3, 0) * block.scale
    if adapter.softcap is not None:
        scores = torch.tanh(scores / adapter.softcap) * adapter.softcap
    places = torch.arange(len(query), device=query.device)
    hidden = places > places[:, None]
    if block.window is not None:
        hidden = hidden | (places <= places[:, None] - block.window)
    pattern = scores.masked_fill(hidden, float("-inf")).softmax(-1)
    return (pattern @ value.permute(1, 2, 0, 3)).permute(2, 0, 1, 3), pattern


def _rotated(rotation: Rotation, x: Tensor) -> Tensor:
    """As `Rotation.rotate_`, into a new tensor."""
    half = rotation.cos.shape[1]
    cos, sin = rotation.cos[:, None, None], rotation.sin[:, None, None]
    first, second, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    return torch.cat([first * cos - second * sin, second * cos + first * sin, rest], -1)


def _backward(
    adapter: Adapter,
    number: int,
    layer: Layer,
    gradient: Tensor,
    of_patterns: Mapping[Node, Tensor | None],
    weights: Folded,
) -> tuple[Worth, Tensor]:
    """What the layer's receivers are worth, and the gradient before it from the one behind it."""
    block = adapter.blocks[number]
    (of_mlp,) = torch.autograd.grad(layer.mlp, layer.mlp_read, gradient)
    behind = gradient + of_mlp
    of_sum = gradient if adapter.parallel else behind
    if layer.sum is not None:
        of_sum = layer.sum.pulled(of_sum)
    of_mixed = torch.einsum("pbm,hdm->pbhd", of_sum, block.output)
    outputs, cotangents = [layer.mixed], [of_mixed]
    read = {n.head: g for n, g in of_patterns.items() if n.layer == number and g is not None}
    if read:
        of_pattern = torch.zeros_like(layer.pattern)
        for head, part in read.items():
            of_pattern[:, head] = part
        outputs, cotangents = [*outputs, layer.pattern], [*cotangents, of_pattern]
    of_reads = torch.autograd.grad(outputs, layer.reads, cotangents)
    worth = _worth(number, layer, of_reads, of_mlp, weights)
    return worth, behind + worth.of_all(adapter.heads // adapter.kv_heads).view_as(behind)


def _worth(
    number: int,
    layer: Layer,
    of_reads: tuple[Tensor, ...],
    of_mlp: Tensor,
    weights: Folded,
) -> Worth:
    """The norm's Jacobian is folded into the projections: with W'' the gain times W, centred where
    the norm centres, the gradient is small @ W'' - y * mean(y * (small @ W'')), small being scaled
    by 1 / s; and W'' y is what was read without what does not depend on y."""
    norm = layer.norm
    shown = torch.stack([read.detach() for read in layer.reads])
    if weights.constant is not None:
        shown -= weights.constant[:, None, None]
    small = torch.stack(of_reads).mul_(norm.scale[..., None])
    inner = (small * shown).sum(-1) / norm.y.shape[-1]
    return Worth(
        number,
        small.flatten(1, 2).transpose(1, 2),
        weights.weight,
        inner.flatten(1, 2).transpose(1, 2),
        norm.y.flatten(0, 1),
        of_mlp.flatten(0, 1),
    )


def _grouped(small: Tensor, times: int) -> Tensor:
    """[head, place, d_head] added up over the query heads that share a key."""
    return small if times == 1 else small.reshape(-1, times, *small.shape[1:]).sum(1)


def _repeated(weight: Tensor, times: int) -> Tensor:
    return weight if times == 1 else weight.repeat_interleave(times, dim=0)
