"""Metrics: from the logits and attention patterns of a run to one number per prompt.

All arithmetic is in float64; log-probabilities are a float64 log-softmax of the model's
logits. Probabilities, ranks, attention and indicators have no unit; logits, log-probabilities,
KL and loss are in nats.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import log

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from circuitlang.language.graph.architecture import Node
from circuitlang.language.graph.edges import Place, Position
from circuitlang.language.prompt import Prompt
from circuitlang.language.spec import (
    AttentionScore,
    CopyScore,
    Divergence,
    Lens,
    Loss,
    MetricConstant,
    MetricExpression,
    MetricOperation,
    Run,
    TokenScore,
    TopToken,
)
from circuitlang.runtime.reference import Outcome
from circuitlang.runtime.unavailable import NotMeasurable

Vector = npt.NDArray[np.float64]

OPERATORS: dict[str, Callable[..., Vector]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": lambda above, below: np.divide(above, below + 0.0),  # zero has no sign here
    "neg": np.negative,
    "abs": np.abs,
    "square": np.square,
    "sqrt": np.sqrt,
    "log": np.log,
    "exp": np.exp,
    "min": lambda *values: reduce(np.minimum, values),
    "max": lambda *values: reduce(np.maximum, values),
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def leaves(expression: MetricExpression) -> Iterator[MetricExpression]:
    """The scores an expression is made of."""
    if isinstance(expression, MetricOperation):
        for operand in expression.operands:
            yield from leaves(operand)
    else:
        yield expression


@dataclass(frozen=True)
class Watched:
    """What metrics read of a run besides its logits: heads' attention, and what lenses show."""

    heads: frozenset[Node] = frozenset()
    lenses: frozenset[Lens] = frozenset()


def watched(expressions: Iterable[MetricExpression]) -> Watched:
    parts = [leaf for expression in expressions for leaf in leaves(expression)]
    return Watched(
        frozenset(leaf.head for leaf in parts if isinstance(leaf, AttentionScore)),
        frozenset(
            leaf.lens for leaf in parts if isinstance(leaf, TokenScore | CopyScore) and leaf.lens
        ),
    )


def positions_read(expression: MetricExpression, prompts: Sequence[Prompt]) -> set[int]:
    """The token positions whose logits the expression reads in some of the prompts."""
    found: set[int] = set()
    for leaf in leaves(expression):
        for prompt in prompts:
            match leaf:
                case TokenScore() | TopToken():
                    found.add(one_token(leaf.position, prompt))
                case CopyScore(place=place):
                    found.update(place.tokens(prompt.layout))
                case Divergence(place=None):
                    found.add(len(prompt.tokens) - 1)
                case Divergence(place=Place() as place) | Loss(place):
                    found.update(token - 1 for token in predicted(place, prompt))
    return found


class Evaluation:
    """Evaluates metrics of one run on one chunk; `references` are the outcomes it compares with."""

    def __init__(
        self, outcome: Outcome, prompts: Sequence[Prompt], references: Mapping[Run, Outcome]
    ) -> None:
        self.outcome = outcome
        self.prompts = prompts
        self.references = references
        self._log_probabilities: dict[tuple[Position, Lens | None], Tensor] = {}

    def value(self, expression: MetricExpression) -> Vector:
        """One float64 number per prompt."""
        match expression:
            case MetricConstant():
                return np.full(len(self.prompts), expression.value)
            case MetricOperation():
                values = [self.value(operand) for operand in expression.operands]
                with np.errstate(divide="ignore", invalid="ignore"):
                    return OPERATORS[expression.operator](*values).astype(np.float64)
            case TokenScore():
                return self._token_score(expression)
            case Divergence():
                return self._divergence(expression)
            case Loss():
                return self._loss(expression)
            case AttentionScore():
                return self._attention(expression)
            case CopyScore():
                return self._copies(expression)
            case TopToken():
                return self._top_token(expression)

    def _token_score(self, score: TokenScore) -> Vector:
        logarithms = score.kind in ("prob", "logprob")
        read = self._log_probs if logarithms else self._logits
        rows = read(score.position, score.lens)
        scored = SCORES.get(score.kind)
        if scored is None:
            raise NotMeasurable(f'there is no token score "{score.kind}"')
        numbers = []
        for row, prompt in zip(rows, self.prompts, strict=True):
            tokens = answer_tokens(score.tokens, prompt, may_be_empty=score.kind == "prob")
            if score.kind == "logit" and len(tokens) > 1 and score.pool not in POOLS:
                raise NotMeasurable(
                    f'logit({score.tokens}) has {len(tokens)} tokens in "{prompt.text}"',
                    f"write mean(logit({score.tokens})) or max(logit({score.tokens}))",
                )
            numbers.append(scored(row, torch.tensor(tokens, dtype=torch.long), score.pool))
        return np.array([number.item() for number in numbers], dtype=np.float64)

    def _divergence(self, score: Divergence) -> Vector:
        other = self.references[score.reference]
        numbers = []
        for index, prompt in enumerate(self.prompts):
            if score.place is None:
                at = [len(prompt.tokens) - 1]
            else:
                at = [token - 1 for token in predicted(score.place, prompt)]
            rows = (log_probabilities(outcome, index, at) for outcome in (other, self.outcome))
            numbers.append(DISTANCES[score.kind](*rows).mean().item())
        return np.array(numbers)

    def _loss(self, score: Loss) -> Vector:
        numbers = []
        for index, prompt in enumerate(self.prompts):
            tokens = predicted(score.place, prompt)
            rows = log_probabilities(self.outcome, index, [token - 1 for token in tokens])
            true = torch.tensor([prompt.tokens[token] for token in tokens])
            numbers.append(-rows.gather(1, true[:, None]).mean().item())
        return np.array(numbers)

    def _attention(self, score: AttentionScore) -> Vector:
        pattern = self.outcome.patterns[score.head].double().cpu()
        numbers = []
        for index, prompt in enumerate(self.prompts):
            queries = sorted(score.query.tokens(prompt.layout))
            keys = sorted(score.key.tokens(prompt.layout))
            numbers.append(pattern[index, queries][:, keys].sum(1).mean().item())
        return np.array(numbers)

    def _copies(self, score: CopyScore) -> Vector:
        logits = self.outcome.lenses[score.lens].double().cpu()
        numbers = []
        for index, prompt in enumerate(self.prompts):
            copied = []
            for place in sorted(score.place.tokens(prompt.layout)):
                row = logits[index, self.outcome.positions.index(place)]
                better = int((row > row[prompt.tokens[place]]).sum())
                copied.append(better < score.among)
            numbers.append(sum(copied) / len(copied))
        return np.array(numbers, dtype=np.float64)

    def _top_token(self, score: TopToken) -> Vector:
        best = self._logits(score.position).argmax(-1).tolist()
        hits = [
            token in answer_tokens(score.tokens, prompt, may_be_empty=True)
            for token, prompt in zip(best, self.prompts, strict=True)
        ]
        return np.array(hits, dtype=np.float64)

    def _logits(self, position: Position, lens: Lens | None = None) -> Tensor:
        """The logits at `position` of each prompt, or what a lens shows: [prompt, vocab] float64."""
        at = [self.outcome.positions.index(one_token(position, p)) for p in self.prompts]
        logits = self.outcome.logits if lens is None else self.outcome.lenses[lens]
        return logits[range(len(at)), at].double().cpu()

    def _log_probs(self, position: Position, lens: Lens | None = None) -> Tensor:
        key = position, lens
        if key not in self._log_probabilities:
            self._log_probabilities[key] = self._logits(position, lens).log_softmax(-1)
        return self._log_probabilities[key]


def log_probabilities(outcome: Outcome, prompt: int, positions: Sequence[int]) -> Tensor:
    """Of the next token of one prompt at each of the positions: [position, vocab] float64."""
    at = [outcome.positions.index(position) for position in positions]
    return outcome.logits[prompt, at].double().cpu().log_softmax(-1)


def kl(reference: Tensor, this: Tensor) -> Tensor:
    """KL(reference || this) of log-probabilities over their last axis, in nats."""
    return (reference.exp() * (reference - this)).sum(-1)


def js(reference: Tensor, this: Tensor) -> Tensor:
    """The mean KL of two distributions from their mean (Jensen-Shannon), in nats."""
    middle = torch.logaddexp(reference, this) - log(2)
    return ((kl(reference, middle) + kl(this, middle)) / 2).clamp(min=0)


DISTANCES = {"kl": kl, "js": js}


POOLS: dict[str | None, Callable[[Tensor], Tensor]] = {
    "mean": lambda values: values.mean(),
    "max": lambda values: values.max(),
}

SCORES: dict[str, Callable[[Tensor, Tensor, str | None], Tensor]] = {
    "logit": lambda row, tokens, pool: POOLS.get(pool, torch.sum)(row[tokens]),
    "logprob": lambda row, tokens, pool: row[tokens].logsumexp(0),
    "prob": lambda row, tokens, pool: row[tokens].exp().sum(),
    "rank": lambda row, tokens, pool: (row > row[tokens].max()).sum(),
}


def answer_tokens(name: str, prompt: Prompt, *, may_be_empty: bool) -> list[int]:
    """The ids of a named token set, each once."""
    tokens = list(dict.fromkeys(prompt.answers.get(name, ())))
    if not tokens and not may_be_empty:
        raise NotMeasurable(f'"{prompt.text}" has no token in the set {name}')
    return tokens


def one_token(position: Position, prompt: Prompt) -> int:
    """The token at a position that must be a single one."""
    tokens = position.tokens(prompt.layout)
    if len(tokens) != 1:
        raise NotMeasurable(
            f'{position} covers {len(tokens)} tokens in "{prompt.text}"',
            f"say first({position.label}) or last({position.label})",
        )
    return tokens[0]


def predicted(place: Place, prompt: Prompt) -> list[int]:
    """The tokens of `place`, each of which must have one before it."""
    tokens = sorted(place.tokens(prompt.layout))
    if not tokens or tokens[0] == 0:
        raise NotMeasurable(
            f'{place} is to be predicted, and holds the first token of "{prompt.text}", '
            "which nothing predicts",
            "start the span later, or begin prompts with BOS (`bos yes`)",
        )
    return tokens
