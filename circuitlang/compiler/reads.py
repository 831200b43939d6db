"""Requested metrics and prompts of one layout -> what each run has to deliver: where its logits
and attention patterns are read, and for which tokens.

All prompts of a chunk have the same length and token spans, so a position is one token index.
The metrics must have passed `runtime.readout.check_measurable`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from math import ceil
from typing import NamedTuple

from circuitlang.compiler.collect import all_runs
from circuitlang.language.graph.architecture import Node
from circuitlang.language.graph.edges import Layout
from circuitlang.language.prompt import Prompt
from circuitlang.language.spec import (
    AttentionScore,
    CopyScore,
    Divergence,
    Lens,
    Loss,
    Metric,
    MetricExpression,
    MetricOperation,
    Run,
    TokenScore,
    TopToken,
)

BLOCK_BYTES = 128 << 20
PLAIN_WORK = 9


class Spot(NamedTuple):
    """What logits are made of: the last residual at a position, or what a lens shows there."""

    position: int
    lens: Lens | None = None


@dataclass(frozen=True)
class Read:
    """Logits at one spot, of `tokens` (ascending) or, when None, the whole vocabulary."""

    spot: Spot
    tokens: tuple[int, ...] | None


@dataclass(frozen=True)
class Attention:
    """A head's attention probabilities from query to key positions, both ascending."""

    head: Node
    queries: tuple[int, ...]
    keys: tuple[int, ...]


@dataclass(frozen=True)
class Reads:
    """One `Read` per spot, by position; one `Attention` per head."""

    logits: tuple[Read, ...]
    attention: tuple[Attention, ...]

    @property
    def residuals(self) -> list[int]:
        """The positions at which the last residual is read, or its scale."""
        spots = [read.spot for read in self.logits]
        return sorted({p for p, lens in spots if lens is None or lens.norm == "frozen"})

    @property
    def early(self) -> list[int]:
        """The positions at which the stream after block 0 is read."""
        spots = [read.spot for read in self.logits]
        return sorted({p for p, lens in spots if lens is not None and lens.norm == "copied"})

    @property
    def outputs(self) -> dict[Node, list[int]]:
        """The positions at which nodes' own outputs are read."""
        found: dict[Node, set[int]] = {}
        for position, lens in (read.spot for read in self.logits):
            if lens is not None and lens.norm != "copied":
                found.setdefault(lens.node, set()).add(position)
        return {node: sorted(positions) for node, positions in found.items()}


@dataclass(frozen=True)
class NextToken:
    """The log-probability at `position` of the token that follows it in the prompt."""

    position: int


@dataclass(frozen=True)
class Distance:
    """How far the next token at `position` is from a reference run's: "kl" or "js"."""

    kind: str
    reference: Run
    position: int


@dataclass(frozen=True)
class Copied:
    """1 where the token at `position` is among the `among` likeliest that the spot shows."""

    position: int
    among: int


Score = TokenScore | TopToken | Distance | NextToken | Copied


def common_layout(prompts: Iterable[Prompt]) -> Layout:
    """The layout of a chunk; raises `ValueError` when its prompts differ in it."""
    (layout,) = {prompt.layout for prompt in prompts}
    return layout


def leaves(expression: MetricExpression) -> Iterator[MetricExpression]:
    """The parts of an expression that are not operations, from left to right."""
    if isinstance(expression, MetricOperation):
        for operand in expression.operands:
            yield from leaves(operand)
    else:
        yield expression


def scores(expression: MetricExpression, layout: Layout) -> Iterator[tuple[Spot, Score]]:
    """What an expression reads off logits, with the spot of each; a loss is its tokens."""
    for leaf in leaves(expression):
        match leaf:
            case TokenScore() | TopToken():
                (position,) = leaf.position.tokens(layout)
                yield Spot(position, leaf.lens if isinstance(leaf, TokenScore) else None), leaf
            case CopyScore():
                for position in sorted(leaf.place.tokens(layout)):
                    yield Spot(position, leaf.lens), Copied(position, leaf.among)
            case Divergence(reference, kind=kind):
                for position in compared_at(leaf, layout):
                    yield Spot(position), Distance(kind, reference, position)
            case Loss():
                for token in sorted(leaf.place.tokens(layout)):
                    yield Spot(token - 1), NextToken(token - 1)


def compared_at(score: Divergence, layout: Layout) -> list[int]:
    """The positions whose next tokens are compared, ascending."""
    if score.place is None:
        return [layout.length - 1]
    return [token - 1 for token in sorted(score.place.tokens(layout))]


def tokens_read(found: Iterable[Score], prompts: Sequence[Prompt]) -> tuple[int, ...] | None:
    """The tokens whose logits suffice for scores at one position; None is the whole vocabulary."""
    names: set[str] = set()
    for score in found:
        if not (isinstance(score, TokenScore) and score.kind == "logit"):
            return None
        names.add(score.tokens)
    return tuple(sorted({t for p in prompts for name in names for t in p.answers[name]}))


def reads_of(
    requests: Mapping[Run, Sequence[Metric]], prompts: Sequence[Prompt]
) -> dict[Run, Reads]:
    """The reads of every requested run, of every run that some metric compares with, and of
    those that they read from, which are none.

    Raises `ValueError` when the prompts are not of one layout.
    """
    layout = common_layout(prompts)
    distinct = dict.fromkeys(metric for metrics in requests.values() for metric in metrics)
    expanded = {metric: tuple(scores(metric.expression, layout)) for metric in distinct}
    wanted: dict[Run, dict[Spot, dict[Score, None]]] = {run: {} for run in all_runs(requests)}
    for run, metrics in requests.items():
        for spot, score in chain.from_iterable(expanded[metric] for metric in metrics):
            wanted[run].setdefault(spot, {})[score] = None
            if isinstance(score, Distance):
                wanted[score.reference].setdefault(spot, {})[score] = None
    suffice = cache(lambda found: tokens_read(found, prompts))
    return {
        run: Reads(
            tuple(
                Read(spot, suffice(tuple(at))) for spot, at in sorted(places.items(), key=_order)
            ),
            _attention(requests.get(run, ()), layout),
        )
        for run, places in wanted.items()
    }


def _order(item: tuple[Spot, object]) -> tuple[int, str, str]:
    position, lens = item[0]
    return (position, "", "") if lens is None else (position, str(lens.node), lens.norm)


def _attention(metrics: Iterable[Metric], layout: Layout) -> tuple[Attention, ...]:
    queries: dict[Node, set[int]] = {}
    keys: dict[Node, set[int]] = {}
    for metric in metrics:
        for leaf in leaves(metric.expression):
            if isinstance(leaf, AttentionScore):
                queries.setdefault(leaf.head, set()).update(leaf.query.tokens(layout))
                keys.setdefault(leaf.head, set()).update(leaf.key.tokens(layout))
    return tuple(
        Attention(head, tuple(sorted(queries[head])), tuple(sorted(keys[head]))) for head in queries
    )


def working_bytes(kinds: Iterable[str]) -> int:
    """Bytes beside each logit while scores are taken, distances of these kinds among them: a copy
    in float64 and a rank's comparison; "js" needs two copies more."""
    return 25 if "js" in kinds else PLAIN_WORK


def block_shape(
    prompts: int,
    rows: int,
    width: int,
    itemsize: int,
    references: int,
    block_bytes: int,
    work: int = PLAIN_WORK,
) -> tuple[int, int]:
    """How many prompts of how many rows are read out together: at least (1, 1).

    A row's logits over `width` tokens take `itemsize` bytes each and `work` more; each reference
    keeps log-probabilities and probabilities. All rows go together before prompts do, since they
    share the references.
    """
    each, kept = width * (itemsize + work), width * 16 * references
    some = _even(prompts, block_bytes // (kept + rows * each))
    return some, _even(rows, (block_bytes - some * kept) // (some * each))


def _even(total: int, most: int) -> int:
    """The size of the parts when `total` is cut into as few as possible of at most `most`."""
    return ceil(total / ceil(total / max(1, most)))


def readout_bytes(
    prompts: int,
    runs: int,
    vocabulary: int,
    itemsize: int,
    *,
    block_bytes: int = BLOCK_BYTES,
    work: int = PLAIN_WORK,
) -> int:
    """Peak bytes of reading metrics off the whole vocabulary, beside inputs and results.

    `itemsize` is that of the logits. Each metric compares with at most one other run, and token
    sets are small beside the vocabulary.
    """
    some, rows = block_shape(prompts, runs, vocabulary, itemsize, 1, block_bytes, work)
    return some * vocabulary * (16 + rows * (itemsize + work))
