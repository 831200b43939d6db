"""The reference executor: one run at a time, slow, through TransformerLens hooks.

Takes a loaded model, a chunk of prompts of one length, an edge set and the values of ablated
senders, and gives logits. While the hooked forward goes, every node's output is
recorded, and everything a node reads is overwritten by the sum the semantics ask for:

    attention output biases of earlier layers (no head owns them)
    + for every earlier sender, its recomputed value if the edge is in the set, else its ablated one

Where blocks normalise what they write (`Shape.post_norm`), every earlier layer adds instead

    its attention norm of (output bias + for every head its recomputed or ablated value)
    + its MLP's recomputed or ablated value

so heads are recorded before that norm and MLPs after theirs.

Sums are in float64, because residual entries may reach thousands. To save work a sum
starts from a similar one that is already known: all senders recomputed, all ablated, or what a
receiver of the layer before was given. The latest normed mixtures of heads are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from circuitlang.language.graph.architecture import Node
from circuitlang.language.graph.edges import EdgeSet, Layout
from circuitlang.language.spec import Lens
from circuitlang.runtime.models import LoadedModel
from circuitlang.runtime.precision import precision

Hook = tuple[str, Callable[..., Any]]
BLOCK = 32
MIXTURE_BYTES = 1 << 30


@dataclass(frozen=True)
class Outcome:
    """What one run gave for one chunk.

    `logits` is [batch, len(positions), vocab]; `patterns` [batch, query, key] per wanted
    head; `lenses`, per wanted lens, the logits [batch, len(positions), vocab] it shows; `outputs` every sender's output, [batch * position, d_model], in the
    architecture's order; `brought`, per wanted receiver, the sum of what its edges bring, alike.
    """

    positions: tuple[int, ...]
    logits: Tensor
    patterns: dict[Node, Tensor] = field(default_factory=dict)
    lenses: dict[Lens, Tensor] = field(default_factory=dict)
    outputs: tuple[Tensor, ...] = ()
    brought: dict[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Given:
    """What some receivers read in place of their sums: [batch * position, d_model] each.

    `places` are those at which each receiver reads it.
    """

    values: Mapping[int, Tensor]
    places: Mapping[int, Sequence[int]]


def run_live(model: LoadedModel, tokens: Tensor, positions: Sequence[int] = ()) -> Outcome:
    """The run with every edge recomputed, through the hooks; `tokens` is [batch, position]."""
    everything = [Region(model.architecture.everything, None)]
    return _execution(model)(model, tokens, everything, None).outcome(positions, ())


def run(
    model: LoadedModel,
    tokens: Tensor,
    regions: Sequence[Region],
    ablated: Sequence[Tensor | None] | None,
    positions: Sequence[int],
    heads: Iterable[Node] = (),
    lenses: Iterable[Lens] = (),
    given: Sequence[Given] = (),
    kept: Container[int] = (),
) -> Outcome:
    """The run M[S;a] on one chunk, with the attention of `heads` and what `lenses` show.

    `ablated` holds each sender's ablated value like `Outcome.outputs`, None for zero; it may
    be None altogether only when `regions` hold every edge everywhere. Of two that are `given` for
    one receiver and place the latter counts; `kept` are the receivers whose sums are wanted.
    """
    execution = _execution(model)(model, tokens, regions, ablated, given, kept)
    return execution.outcome(positions, heads, lenses)


def _execution(model: LoadedModel) -> type[_Execution]:
    return _PostNormExecution if model.shape.post_norm else _Execution


@dataclass(frozen=True)
class Region:
    """Token places of a chunk at which the edge set is `mask`; `index` None means all of them."""

    mask: int
    index: tuple[int, ...] | None


def regions_of(live: EdgeSet, layouts: Sequence[Layout]) -> list[Region]:
    """Splits a chunk's places, flattened to prompt * length + position, by their edge set."""
    if live.is_uniform:
        return [Region(live.mask, None)]
    places: dict[int, list[int]] = {}
    length = layouts[0].length
    rows = {layout: live.rows(layout) for layout in dict.fromkeys(layouts)}
    for prompt, layout in enumerate(layouts):
        for position, mask in enumerate(rows[layout]):
            places.setdefault(mask, []).append(prompt * length + position)
    if len(places) == 1:
        return [Region(next(iter(places)), None)]
    return [Region(mask, tuple(index)) for mask, index in places.items()]


@dataclass(frozen=True)
class _Base:
    """A known sum over the first `count` senders, live where `row` has a bit; [place, d_model]."""

    row: int
    count: int
    value: Tensor


class _Area:
    """One region during a run: which senders are live for each receiver, and known sums."""

    def __init__(self, region: Region, model: LoadedModel) -> None:
        architecture = model.architecture
        self.rows = [architecture.row(region.mask, r) for r in range(len(architecture.receivers))]
        self.index = (
            None if region.index is None else torch.tensor(region.index, device=model.device)
        )
        self.bases: list[_Base] = []
        self.mixtures: dict[tuple[int, int], Tensor] = {}

    def of(self, value: Tensor) -> Tensor:
        return value if self.index is None else value[self.index]


class _Execution:
    """The state of one hooked forward. Places are flattened: [batch * position, ...]."""

    def __init__(
        self,
        model: LoadedModel,
        tokens: Tensor,
        regions: Sequence[Region],
        ablated: Sequence[Tensor | None] | None,
        given: Sequence[Given] = (),
        kept: Container[int] = (),
    ) -> None:
        if ablated is None and any(r.mask != model.architecture.everything for r in regions):
            raise ValueError("a run that leaves edges out needs ablated values")
        self.model, self.tokens, self.ablated = model, tokens, ablated
        self.given, self.kept = given, kept
        self.brought: dict[int, Tensor] = {}
        self.is_early = False
        self.architecture = model.architecture
        self.areas = [_Area(region, model) for region in regions]
        self.whole = _Area(Region(self.architecture.everything, None), model)
        size = (tokens.numel(), model.shape.d_model)
        empty = torch.zeros(size, dtype=torch.float64, device=model.device)
        self.outputs: list[Tensor] = []
        self.live_sums: dict[int, Tensor] = {0: empty}
        self.ablated_sums: dict[int, Tensor] = {0: empty}
        self.patterns: dict[Node, Tensor] = {}
        self.attention_inputs = empty

    @torch.no_grad()
    def outcome(
        self, positions: Sequence[int], heads: Iterable[Node], lenses: Iterable[Lens] = ()
    ) -> Outcome:
        lenses = tuple(lenses)
        self.is_early = any(lens.norm == "copied" for lens in lenses)
        keep = torch.tensor(tuple(positions), dtype=torch.long, device=self.model.device)
        options = {"logits_to_keep": keep, "use_cache": False}
        with precision(self.model.dtype):
            logits = self.model.bridge.run_with_hooks(
                self.tokens, fwd_hooks=self._hooks(heads), **options
            )
        shown = {lens: self._lens(lens, keep) for lens in lenses}
        outputs = tuple(self.outputs)
        return Outcome(tuple(positions), logits, self.patterns, shown, outputs, self.brought)

    def _lens(self, lens: Lens, positions: Tensor) -> Tensor:
        """The logits that a lens shows: [batch, len(positions), vocab]."""

        def there(value: Tensor) -> Tensor:
            return value.reshape(*self.tokens.shape, -1)[:, positions]

        model = self.model
        if lens.norm == "copied":
            return model.lens(model.copied(lens.node, there(self.early)))
        output = there(self.outputs[self.architecture.sender_index[lens.node]])
        match lens.norm:
            case "own":
                return model.lens(output)
            case "frozen":
                return model.unembedded(model.scaled(output, there(self.last)))
            case _:
                return model.unembedded(output)

    # ------------------------------------------------------------ hooks

    def _hooks(self, heads: Iterable[Node]) -> list[Hook]:
        shape = self.model.shape
        hooks: list[Hook] = [("embed.hook_out", self._record_input)]
        if hasattr(self.model.bridge, "pos_embed"):
            hooks.append(("pos_embed.hook_out", self._add_positions))
        for layer in range(shape.layers):
            first = layer * (3 * shape.heads + shape.mlps)
            name = f"blocks.{layer}"
            hooks.append((f"{name}.attn.hook_q_input", self._read_attention(first, 0)))
            hooks.append((f"{name}.attn.hook_k_input", self._read_attention(first, 1)))
            hooks.append((f"{name}.attn.hook_v_input", self._read_attention(first, 2)))
            hooks.append((f"{name}.attn.hook_result", self._record_heads(layer)))
            if shape.mlps:
                hooks.append((f"{name}.hook_mlp_in", self._read_one(first + 3 * shape.heads)))
                written = "ln2_post" if shape.post_norm else "mlp"
                hooks.append((f"{name}.{written}.hook_out", self._record_mlp))
        hooks.append(("ln_final.hook_in", self._read_one(len(self.architecture.receivers) - 1)))
        return hooks + [self._watch(head) for head in heads]

    def _record_input(self, value: Tensor, hook: Any) -> None:
        self._record([value.flatten(0, 1)], None)

    def _add_positions(self, value: Tensor, hook: Any) -> None:
        embedded = self.outputs.pop().view(*self.tokens.shape, -1)
        for sums in (self.live_sums, self.ablated_sums):
            sums.pop(1)
        self._record([(embedded + value).flatten(0, 1)], None)

    def _record_heads(self, layer: int) -> Callable[..., None]:
        projection = self.model.bridge.blocks[layer].attn.o.original_component
        bias = getattr(projection, "bias", None)

        def record(value: Tensor, hook: Any) -> None:
            self._record(list(value.flatten(0, 1).unbind(1)), bias)

        return record

    def _record_mlp(self, value: Tensor, hook: Any) -> None:
        self._record([value.flatten(0, 1)], None)

    def _read_attention(self, first: int, port: int) -> Callable[..., Tensor]:
        heads = self.model.shape.heads

        def read(value: Tensor, hook: Any) -> Tensor:
            if port == 0:
                self.attention_inputs = self._received(first, 3 * heads)
            part = self.attention_inputs[:, port * heads : (port + 1) * heads]
            return part.reshape(*self.tokens.shape, heads, -1)

        return read

    def _read_one(self, receiver: int) -> Callable[..., Tensor]:
        def read(value: Tensor, hook: Any) -> Tensor:
            return self._received(receiver, 1).reshape(*self.tokens.shape, -1)

        return read

    def _watch(self, head: Node) -> Hook:
        def watch(value: Tensor, hook: Any) -> None:
            self.patterns[head] = value[:, head.head]

        return f"blocks.{head.layer}.attn.hook_pattern", watch

    # ------------------------------------------------------------ sums

    def _record(self, values: list[Tensor], bias: Tensor | None) -> None:
        """Appends senders' outputs, each [place, d_model], and extends the running sums."""
        count = len(self.outputs)
        replacements = (self.ablated or ())[count : count + len(values)]
        live = _added(self.live_sums[count], [*values, bias])
        ablated = _added(self.ablated_sums[count], [*replacements, bias])
        self.outputs += values
        bases = {base.count for area in self.areas for base in area.bases}
        for sums, latest in ((self.live_sums, live), (self.ablated_sums, ablated)):
            for old in sums.keys() - bases - {count}:
                del sums[old]
            sums[len(self.outputs)] = latest

    def _received(self, first: int, number: int) -> Tensor:
        """What receivers first..first+number-1 read: [place, number, d_model]."""
        result = self._inputs(first, number)
        if self.is_early and first == 3 * self.model.shape.heads + self.model.shape.mlps:
            count = self.architecture.counts[first]
            self.early = self._sums(self.whole, [(1 << count) - 1], count)[0].to(self.model.dtype)
        wanted = [r for r in range(first, first + number) if r in self.kept]
        self.brought |= {r: result[:, r - first] for r in wanted}
        for given in self.given:
            replaced = [r for r in given.values if first <= r < first + number]
            if replaced:
                result = result.clone()
            for r in replaced:
                here = list(given.places[r])
                result[here, r - first] = given.values[r][here]
        if first == len(self.architecture.receivers) - 1:
            self.last = result[:, 0]
        return result

    def _inputs(self, first: int, number: int) -> Tensor:
        """The sums of what edges bring to receivers first..first+number-1, in the model's dtype: [place, number, d_model]."""
        count = self.architecture.counts[first]
        result = None
        for area in self.areas:
            rows = area.rows[first : first + number]
            distinct = list(dict.fromkeys(rows))
            values = self._sums(area, distinct, count).to(self.model.dtype)
            if len(distinct) == 1:
                spread = values[0][:, None].expand(-1, number, -1)
            else:
                which = [distinct.index(row) for row in rows]
                spread = values[torch.tensor(which, device=values.device)].movedim(0, 1)
            if area.index is None:
                return spread
            if result is None:
                shape = (self.tokens.numel(), number, spread.shape[-1])
                result = torch.empty(shape, dtype=self.model.dtype, device=self.model.device)
            result[area.index] = spread
        assert result is not None
        return result

    def _sums(self, area: _Area, rows: list[int], count: int) -> Tensor:
        """For each row the sum over the first `count` senders: [row, place, d_model] float64."""
        starts = [self._start(area, row, count) for row in rows]
        result = torch.stack([value for _, value in starts])
        flips = [row ^ start for row, (start, _) in zip(rows, starts, strict=True)]
        senders = [s for s in range(count) if any(flip >> s & 1 for flip in flips)]
        for block in (senders[i : i + BLOCK] for i in range(0, len(senders), BLOCK)):
            signs = [
                [_sign(row, flip, s) for s in block] for row, flip in zip(rows, flips, strict=True)
            ]
            coefficients = torch.tensor(signs, dtype=torch.float64, device=result.device)
            changes = torch.stack([self._change(area, s) for s in block])
            result += (coefficients @ changes.flatten(1)).view_as(result)
        area.bases = [b for b in area.bases if b.count == count]
        area.bases += [_Base(row, count, value) for row, value in zip(rows, result, strict=True)]
        return result

    def _start(self, area: _Area, row: int, count: int) -> tuple[int, Tensor]:
        """The known sum that needs the fewest changes to become `row`'s, as (its row, its value)."""
        everything = (1 << count) - 1
        known: list[tuple[int, _Base | None, dict[int, Tensor]]] = [
            (everything, None, self.live_sums),
            (0, None, self.ablated_sums),
        ]
        for one in area.bases:
            later = everything >> one.count << one.count
            known.append((one.row | later, one, self.live_sums))
            known.append((one.row, one, self.ablated_sums))
        start, base, sums = min(known, key=lambda option: (row ^ option[0]).bit_count())
        if base is None:
            return start, area.of(sums[count])
        return start, base.value + area.of(sums[count] - sums[base.count])

    def _change(self, area: _Area, sender: int) -> Tensor:
        """The sender's recomputed minus its ablated value: [place, d_model] float64."""
        assert self.ablated is not None
        live = area.of(self.outputs[sender]).double()
        replacement = self.ablated[sender]
        return live if replacement is None else live - area.of(replacement)


class _PostNormExecution(_Execution):
    """Sums where a layer's heads are mixed, then normed, then added."""

    def _record(self, values: list[Tensor], bias: Tensor | None) -> None:
        self.outputs += values

    def _sums(self, area: _Area, rows: list[int], count: int) -> Tensor:
        return torch.stack([self._sum(area, row, count) for row in rows])

    def _sum(self, area: _Area, row: int, count: int) -> Tensor:
        heads = self.model.shape.heads
        total = self._carried(area, row, 0).double()
        for first in range(1, count, heads + 1):
            total = total + self._mixture(area, row, first)
            mlp = first + heads
            if mlp < count:
                total += self._carried(area, row, mlp)
        return total

    def _mixture(self, area: _Area, row: int, first: int) -> Tensor:
        """What the attention whose heads start at sender `first` adds: [place, d_model]."""
        heads = self.model.shape.heads
        key = first, row >> first & ((1 << heads) - 1)
        mixture = area.mixtures.pop(key, None)
        if mixture is None:
            block = self.model.bridge.blocks[self.architecture.senders[first].layer]
            terms = [self._carried(area, row, first + head) for head in range(heads)]
            bias = getattr(block.attn.o.original_component, "bias", None)
            mixed = _added(torch.zeros_like(terms[0], dtype=torch.float64), [*terms, bias])
            mixture = block.ln1_post.original_component(mixed.to(self.model.dtype))
        area.mixtures[key] = mixture
        size = self.tokens.numel() * self.model.shape.d_model * mixture.element_size()
        if len(area.mixtures) > MIXTURE_BYTES // size:
            del area.mixtures[next(iter(area.mixtures))]
        return mixture

    def _carried(self, area: _Area, row: int, sender: int) -> Tensor:
        """The sender's recomputed value if `row` has it, else its ablated one: [place, d_model]."""
        live = self.outputs[sender]
        if row >> sender & 1:
            return area.of(live)
        assert self.ablated is not None
        replacement = self.ablated[sender]
        return area.of(torch.zeros_like(live) if replacement is None else replacement)


def _added(total: Tensor, terms: Iterable[Tensor | None]) -> Tensor:
    """The float64 sum of `total` and all terms that are there."""
    total = total.clone()
    for term in terms:
        if term is not None:
            total += term
    return total


def _sign(row: int, flip: int, sender: int) -> float:
    if not flip >> sender & 1:
        return 0.0
    return 1.0 if row >> sender & 1 else -1.0
