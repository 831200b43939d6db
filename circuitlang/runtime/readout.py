"""Metrics of many runs at once: final residuals and attention patterns in, numbers out.

For the fast executor. The prompts of a chunk share one layout, and a run's residual before the
final norm is a row, which several runs may share. Rows go through the unembedding in blocks of
bounded size; every score that some run asks of a row is taken from the block before the next
one is made, so the logits of all runs never exist together. Log-probabilities and everything
made of them are float64; nothing here waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from math import log

import torch
from torch import Tensor

from circuitlang.compiler.collect import Requests
from circuitlang.compiler.reads import (
    BLOCK_BYTES,
    Attention,
    Copied,
    Distance,
    NextToken,
    Reads,
    Score,
    Spot,
    block_shape,
    common_layout,
    leaves,
    scores,
    tokens_read,
    working_bytes,
)
from circuitlang.language.graph.architecture import Node
from circuitlang.language.graph.edges import Place, Position
from circuitlang.language.prompt import Prompt
from circuitlang.language.spec import (
    AttentionScore,
    CopyScore,
    Divergence,
    Lens,
    Loss,
    Metric,
    MetricConstant,
    MetricExpression,
    MetricOperation,
    Run,
    TokenScore,
    TopToken,
)
from circuitlang.runtime.tensors import uploaded
from circuitlang.runtime.unavailable import NotMeasurable

Final = tuple[Mapping[Run, int], Tensor]
Read = tuple[Spot, Score]
Unembed = Callable[[Tensor, Tensor | None], Tensor]

UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "neg": torch.neg,
    "abs": torch.abs,
    "square": torch.square,
    "sqrt": torch.sqrt,
    "log": torch.log,
    "exp": torch.exp,
}
BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "+": torch.add,
    "-": torch.sub,
    "*": torch.mul,
    "/": lambda above, below: torch.div(above, below + 0.0),  # zero has no sign here
    "min": torch.minimum,
    "max": torch.maximum,
    "<": torch.lt,
    "<=": torch.le,
    ">": torch.gt,
    ">=": torch.ge,
    "==": torch.eq,
    "!=": torch.ne,
}


class Readout:
    """Evaluates metrics on the prompts of one chunk.

    `unembed` takes residuals [..., d_model] before the final norm and token ids [T], or None
    for all `vocabulary` of them, and gives logits [..., T]; `direct` does so without norm. Raises `ValueError` when the prompts
    are not of one layout. The metrics must have passed `check_measurable`.
    """

    def __init__(
        self,
        unembed: Unembed,
        direct: Unembed,
        prompts: Sequence[Prompt],
        vocabulary: int,
        device: torch.device | str,
        *,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        self.unembed, self.direct = unembed, direct
        self.prompts = prompts
        self.layout = common_layout(prompts)
        self.vocabulary = vocabulary
        self.device = device
        self.block_bytes = block_bytes
        self._tokens: dict[tuple[Score, tuple[int, ...] | None], tuple[Tensor, Tensor]] = {}

    @torch.no_grad()
    def values(
        self,
        requests: Requests,
        reads: Mapping[Run, Reads],
        finals: Mapping[Spot, Final],
        patterns: Mapping[tuple[Run, Node], Tensor],
    ) -> tuple[list[tuple[Run, Metric]], Tensor]:
        """The (run, metric) pairs and their values, [pairs, prompts] float64 on the device.

        `finals` holds, per spot, the row of each run that is read there and the vectors
        [rows, prompts, d_model]; `patterns` the attention probabilities [queries, prompts, keys]
        at the positions that `reads` lists. Does not synchronise with the device.
        """
        runs_of: dict[Metric, list[Run]] = {}
        for run, metrics in requests.items():
            for metric in dict.fromkeys(metrics):
                runs_of.setdefault(metric, []).append(run)
        expressions = _Expressions(self, reads, finals, patterns, self._scores(runs_of, finals))
        pairs = [(run, metric) for metric, runs in runs_of.items() for run in runs]
        size = (len(pairs), len(self.prompts))
        result = torch.empty(size, dtype=torch.float64, device=self.device)
        start = 0
        for metric, runs in runs_of.items():
            result[start : start + len(runs)] = expressions.value(metric.expression, runs)
            start += len(runs)
        return pairs, result

    # ------------------------------------------------------------ scores of rows

    def _scores(
        self, runs_of: Mapping[Metric, Iterable[Run]], finals: Mapping[Spot, Final]
    ) -> dict[Read, Tensor]:
        """Each score of the rows that some run asks it of, [rows, prompts]; other rows are unset."""
        wanted: dict[Spot, dict[int, dict[Score, None]]] = {}
        for metric, runs in runs_of.items():
            for spot, score in scores(metric.expression, self.layout):
                row_of, _ = finals[spot]
                rows = wanted.setdefault(spot, {})
                for run in runs:
                    rows.setdefault(row_of[run], {})[score] = None
        tables: dict[Read, Tensor] = {}
        for spot, rows in wanted.items():
            groups: dict[tuple[Score, ...], list[int]] = {}
            for row, found in rows.items():
                groups.setdefault(tuple(found), []).append(row)
            for group, members in groups.items():
                self._read(spot, group, members, finals[spot], tables)
        return tables

    def _read(
        self,
        spot: Spot,
        group: Sequence[Score],
        rows: list[int],
        final: Final,
        tables: dict[Read, Tensor],
    ) -> None:
        """Enters the group's scores of `rows` into the tables, block by block."""
        row_of, residuals = final
        unembed = unembedding(self.unembed, self.direct, spot.lens)
        for score in group:
            if (spot, score) not in tables:
                size = residuals.shape[:2]
                tables[spot, score] = residuals.new_empty(size, dtype=torch.float64)
        tokens = tokens_read(group, self.prompts)
        width = self.vocabulary if tokens is None else len(tokens)
        references = {s: row_of[s.reference] for s in group if isinstance(s, Distance)}
        some, together = block_shape(
            len(self.prompts),
            len(rows),
            width,
            residuals.element_size(),
            len(references),
            self.block_bytes,
            working_bytes({score.kind for score in references}),
        )
        index = uploaded(rows, self.device)
        ids = None if tokens is None else uploaded(tokens, self.device)
        for start in range(0, len(self.prompts), some):
            part = slice(start, start + some)
            compared = {
                score: self._distribution(residuals[row, part]) for score, row in references.items()
            }
            for start_row in range(0, len(rows), together):
                block = index[start_row : start_row + together]
                logits = unembed(residuals[block, part], ids)
                for score, numbers in self._block(group, logits, tokens, part, compared).items():
                    tables[spot, score][block, part] = numbers
            del compared  # or it would be held while the next part's is made

    def _distribution(self, residuals: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities and probabilities [prompts, vocabulary] of a run compared with."""
        logits = self.unembed(residuals, None)
        logarithms = _double(logits).sub_(_normaliser(logits))
        return logarithms, logarithms.exp()

    def _block(
        self,
        group: Sequence[Score],
        logits: Tensor,
        tokens: tuple[int, ...] | None,
        part: slice,
        compared: Mapping[Distance, tuple[Tensor, Tensor]],
    ) -> dict[Score, Tensor]:
        """Scores [rows, prompts] of one block's logits [rows, prompts, tokens]."""
        normaliser = _normaliser(logits) if any(map(_is_normalised, group)) else None
        found: dict[Score, Tensor] = {}
        for score in group:
            if isinstance(score, Distance):
                assert normaliser is not None
                found[score] = DISTANCES[score.kind](logits, normaliser, *compared[score])
                continue
            index, real = (tensor[part] for tensor in self._answers(score, tokens))
            if isinstance(score, Copied):
                found[score] = _copied(score, logits, index)
            elif isinstance(score, TopToken):
                hits = (logits.argmax(-1, keepdim=True) == index) & real
                found[score] = hits.any(-1).double()
            else:
                found[score] = _token_score(score, logits, normaliser, index, real)
        return found

    def _answers(
        self, score: TokenScore | TopToken | NextToken | Copied, tokens: tuple[int, ...] | None
    ) -> tuple[Tensor, Tensor]:
        """Where a prompt's tokens stand among `tokens`, and which entries are no padding."""
        key = (score, tokens)
        if key not in self._tokens:
            if isinstance(score, NextToken):
                sets = [[prompt.tokens[score.position + 1]] for prompt in self.prompts]
            elif isinstance(score, Copied):
                sets = [[prompt.tokens[score.position]] for prompt in self.prompts]
            else:
                sets = [sorted(set(p.answers.get(score.tokens, ()))) for p in self.prompts]
            if tokens is not None:
                place = {token: i for i, token in enumerate(tokens)}
                sets = [[place[token] for token in found] for found in sets]
            longest = max(1, *map(len, sets))
            index = uploaded([found + [0] * (longest - len(found)) for found in sets], self.device)
            sizes = uploaded([[len(found)] for found in sets], self.device)
            self._tokens[key] = index, torch.arange(longest, device=self.device) < sizes
        return self._tokens[key]


class _Expressions:
    """Values of metric expressions, once the scores they are made of have been read."""

    def __init__(
        self,
        readout: Readout,
        reads: Mapping[Run, Reads],
        finals: Mapping[Spot, Final],
        patterns: Mapping[tuple[Run, Node], Tensor],
        tables: Mapping[Read, Tensor],
    ) -> None:
        self.readout = readout
        self.reads = reads
        self.finals = finals
        self.patterns = patterns
        self.tables = tables

    def value(self, expression: MetricExpression, runs: Sequence[Run]) -> Tensor:
        """The expression of each run, [runs, prompts]; of a constant [1, 1]."""
        match expression:
            case MetricConstant(number):
                return torch.full((1, 1), number, dtype=torch.float64, device=self.readout.device)
            case MetricOperation(operator, (operand,)):
                return UNARY[operator](self.value(operand, runs))
            case MetricOperation(operator, operands):
                values = [self.value(operand, runs) for operand in operands]
                return reduce(BINARY[operator], values).double()
            case AttentionScore():
                return self._attention(expression, runs)
        numbers = []
        for spot, score in scores(expression, self.readout.layout):
            row_of, _ = self.finals[spot]
            rows = uploaded([row_of[run] for run in runs], self.readout.device)
            numbers.append(self.tables[spot, score][rows])
        if isinstance(expression, Loss):
            return -torch.stack(numbers).mean(0)
        return torch.stack(numbers).mean(0)

    def _attention(self, score: AttentionScore, runs: Sequence[Run]) -> Tensor:
        layout, device = self.readout.layout, self.readout.device
        queries, keys = sorted(score.query.tokens(layout)), sorted(score.key.tokens(layout))
        chosen: dict[Attention, tuple[Tensor, Tensor]] = {}
        summed: dict[tuple[int, Attention], Tensor] = {}
        numbers = []
        for run in runs:
            (read,) = (found for found in self.reads[run].attention if found.head == score.head)
            if read not in chosen:
                chosen[read] = (
                    uploaded([read.queries.index(query) for query in queries], device),
                    uploaded([read.keys.index(key) for key in keys], device),
                )
            pattern = self.patterns[run, score.head]
            if (id(pattern), read) not in summed:
                first, second = chosen[read]
                part = pattern[first][:, :, second].double()
                summed[id(pattern), read] = part.sum(-1).mean(0)
            numbers.append(summed[id(pattern), read])
        return torch.stack(numbers)


def _double(logits: Tensor) -> Tensor:
    """A float64 copy, to be changed in place."""
    return logits.to(torch.float64, copy=True)


def _normaliser(logits: Tensor) -> Tensor:
    """The float64 log-sum-exp over the last axis, which stays as one of size 1."""
    top = logits.amax(-1, keepdim=True).double()
    return _double(logits).sub_(top).exp_().sum(-1, keepdim=True).log_().add_(top)


def _is_normalised(score: Score) -> bool:
    """Whether a score is made of log-probabilities, not of logits."""
    match score:
        case TokenScore(kind=kind):
            return kind in ("logprob", "prob")
        case _:
            return not isinstance(score, TopToken | Copied)


def _divergence(
    logits: Tensor, normaliser: Tensor, logarithms: Tensor, probabilities: Tensor
) -> Tensor:
    """KL(reference || each row), [rows, prompts], in nats."""
    excess = _double(logits).sub_(normaliser).sub_(logarithms)
    return -excess.mul_(probabilities).sum(-1)


def _jensen_shannon(
    logits: Tensor, normaliser: Tensor, logarithms: Tensor, probabilities: Tensor
) -> Tensor:
    """Half of KL(reference || mean) + KL(row || mean) for each row, [rows, prompts], in nats.

    With own log-probabilities a, the reference's b and d = a - b, the mean's are b + s where
    s = log(1 + exp(d)) - log 2, so nothing is lost where one of the two is very small.
    """
    excess = _double(logits).sub_(normaliser).sub_(logarithms)
    own = (excess + logarithms).exp_()
    middle = torch.logaddexp(excess, excess.new_zeros(())).sub_(log(2))
    terms = excess.sub_(middle).mul_(own).sub_(middle.mul_(probabilities))
    return terms.sum(-1).div_(2).clamp_(min=0)


DISTANCES = {"kl": _divergence, "js": _jensen_shannon}


def _copied(score: Copied, logits: Tensor, index: Tensor) -> Tensor:
    """[rows, prompts]: whether the token at `index` [prompts, 1] is among the largest logits."""
    own = logits.gather(-1, index.expand(len(logits), -1, -1))
    return ((logits > own).sum(-1) < score.among).double()


def unembedding(unembed: Unembed, direct: Unembed, lens: Lens | None) -> Unembed:
    """What makes logits of what a lens shows."""
    return direct if lens is not None and lens.norm in ("frozen", "none") else unembed


def _token_score(
    score: TokenScore | NextToken,
    logits: Tensor,
    normaliser: Tensor | None,
    index: Tensor,
    real: Tensor,
) -> Tensor:
    """One number per row and prompt from the logits at `index` where `real`, [prompts, tokens]."""
    picked = logits.gather(-1, index.expand(len(logits), -1, -1))
    lowest = float("-inf")
    if normaliser is not None and _is_normalised(score):
        logarithms = torch.where(real, picked - normaliser, lowest)
        if isinstance(score, TokenScore) and score.kind == "prob":
            return logarithms.exp().sum(-1)
        return logarithms.logsumexp(-1)
    assert isinstance(score, TokenScore)
    best = torch.where(real, picked, lowest).amax(-1, keepdim=True)
    if score.kind == "rank":
        return (logits > best).sum(-1).double()
    if score.pool == "max":
        return best[..., 0].double()
    total = torch.where(real, picked.double(), 0.0).sum(-1)
    return total / real.sum(-1) if score.pool == "mean" else total


# ---------------------------------------------------------------- what has no value


def check_measurable(requests: Requests, prompts: Iterable[Prompt]) -> None:
    """Raises `NotMeasurable` for a requested metric that some prompt gives no value.

    Raises `UnresolvedPosition` for a position that a prompt does not have. The prompts may have
    different layouts.
    """
    distinct = dict.fromkeys(metric for metrics in requests.values() for metric in metrics)
    parts = dict.fromkeys(leaf for metric in distinct for leaf in leaves(metric.expression))
    for prompt in prompts:
        for leaf in parts:
            _check(leaf, prompt)


def _check(leaf: MetricExpression, prompt: Prompt) -> None:
    match leaf:
        case TokenScore():
            _check_one_token(leaf.position, prompt)
            _check_tokens(leaf, prompt)
        case TopToken():
            _check_one_token(leaf.position, prompt)
        case Loss(place) | Divergence(place=Place() as place):
            tokens = place.tokens(prompt.layout)
            if not tokens or 0 in tokens:
                raise NotMeasurable(
                    f'{place} is to be predicted, and holds the first token of "{prompt.text}", '
                    "which nothing predicts",
                    "start the span later, or begin prompts with BOS (`bos yes`)",
                )
        case CopyScore():
            leaf.place.tokens(prompt.layout)
        case AttentionScore():
            leaf.query.tokens(prompt.layout)
            leaf.key.tokens(prompt.layout)


def _check_one_token(position: Position, prompt: Prompt) -> None:
    covered = len(position.tokens(prompt.layout))
    if covered != 1:
        raise NotMeasurable(
            f'{position} covers {covered} tokens in "{prompt.text}"',
            f"say first({position.label}) or last({position.label})",
        )


def _check_tokens(score: TokenScore, prompt: Prompt) -> None:
    if score.kind not in ("logit", "logprob", "prob", "rank"):
        raise NotMeasurable(f'there is no token score "{score.kind}"')
    tokens = set(prompt.answers.get(score.tokens, ()))
    if not tokens and score.kind != "prob":
        raise NotMeasurable(f'"{prompt.text}" has no token in the set {score.tokens}')
    if score.kind == "logit" and len(tokens) > 1 and score.pool not in ("mean", "max"):
        raise NotMeasurable(
            f'logit({score.tokens}) has {len(tokens)} tokens in "{prompt.text}"',
            f"write mean(logit({score.tokens})) or max(logit({score.tokens}))",
        )
