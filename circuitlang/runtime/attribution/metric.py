"""A metric as a differentiable function of a run's last residual and of attention patterns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import torch
from torch import Tensor

from circuitlang.compiler.reads import compared_at, leaves
from circuitlang.language.graph.architecture import Architecture, Node
from circuitlang.language.graph.edges import uniform
from circuitlang.language.prompt import Prompt
from circuitlang.language.spec import (
    AttentionScore,
    CopyScore,
    Divergence,
    Loss,
    Metric,
    MetricConstant,
    MetricExpression,
    MetricOperation,
    TokenScore,
    TopToken,
)
from circuitlang.runtime.adapters import Adapter
from circuitlang.runtime.metrics import DISTANCES, SCORES, answer_tokens, one_token, predicted
from circuitlang.runtime.readout import BINARY, UNARY
from circuitlang.runtime.tensors import uploaded
from circuitlang.runtime.unavailable import NotMeasurable

ARITHMETIC = {*UNARY, "+", "-", "*", "/", "min", "max"}


def check_differentiable(metric: Metric, graph: Architecture) -> None:
    """Raises `NotMeasurable` for a metric that has no gradient, or none that is worked out."""
    reason = _without_gradient(metric.expression, graph)
    if reason is not None:
        raise NotMeasurable(
            f"the metric `{metric}` has no gradient: {reason}",
            'take a metric of logits or probabilities, such as `--by "logit(answer) - logit(foil)"`',
        )


def _without_gradient(expression: MetricExpression, graph: Architecture) -> str | None:
    match expression:
        case MetricOperation(operator, operands):
            if operator not in ARITHMETIC:
                return f"`{operator}` is 0 or 1"
            found = (_without_gradient(part, graph) for part in operands)
            return next((reason for reason in found if reason), None)
        case TokenScore(kind="rank"):
            return "a rank changes in steps"
        case TopToken():
            return "an indicator is 0 or 1"
        case CopyScore():
            return "a copy score does not depend on the run's edges"
        case TokenScore(lens=lens) if lens is not None:
            return f"what {lens.node} itself writes is read"
        case Divergence(reference):
            if reference.live != uniform(graph.everything) or reference.readings:
                return f"it compares with `{reference.written}`, and only `M` can be compared with"
    return None


def heads_read(expression: MetricExpression) -> frozenset[Node]:
    """The heads whose attention a metric reads."""
    return frozenset(x.head for x in leaves(expression) if isinstance(x, AttentionScore))


def compares(expression: MetricExpression) -> bool:
    """Whether a metric compares with the whole model's predictions."""
    return any(isinstance(leaf, Divergence) for leaf in leaves(expression))


class Score:
    """A metric on prompts of one length; `whole` is M's last residual [position, prompt, d_model],
    needed where the metric compares with M."""

    def __init__(
        self,
        expression: MetricExpression,
        adapter: Adapter,
        prompts: Sequence[Prompt],
        whole: Tensor | None = None,
    ) -> None:
        self.expression, self.adapter, self.prompts = expression, adapter, prompts
        self.whole, self.device = whole, adapter.unembedding.device

    def values(self, last: Tensor, patterns: Mapping[Node, Tensor]) -> Tensor:
        """One number per prompt in float64, from the last residual [position, prompt, d_model] and
        the attention [prompt, query, key] of the heads that are read."""
        self.last, self.patterns = last, patterns
        self._kept: dict[tuple[int, ...], Tensor] = {}
        return self._value(self.expression)

    def _value(self, expression: MetricExpression) -> Tensor:
        match expression:
            case MetricConstant(number):
                size = (len(self.prompts),)
                return torch.full(size, number, dtype=torch.float64, device=self.device)
            case MetricOperation(operator, (operand,)):
                return UNARY[operator](self._value(operand))
            case MetricOperation(operator, operands):
                return reduce(BINARY[operator], [self._value(part) for part in operands])
            case TokenScore():
                return self._token_score(expression)
            case Divergence():
                return self._divergence(expression)
            case Loss():
                return self._loss(expression)
            case AttentionScore():
                return self._attention(expression)
        raise TypeError(f"{type(expression).__name__} has no gradient")

    def _token_score(self, score: TokenScore) -> Tensor:
        at = [one_token(score.position, p) for p in self.prompts]
        logits = self._logits(at)
        rows = logits if score.kind == "logit" else logits.log_softmax(-1)
        numbers = []
        for row, prompt in zip(rows, self.prompts, strict=True):
            tokens = answer_tokens(score.tokens, prompt, may_be_empty=score.kind == "prob")
            picked = uploaded(tokens, self.device)
            numbers.append(SCORES[score.kind](row, picked, score.pool))
        return torch.stack(numbers)

    def _divergence(self, score: Divergence) -> Tensor:
        assert self.whole is not None
        numbers = []
        for index, prompt in enumerate(self.prompts):
            at = compared_at(score, prompt.layout)
            here, there = (
                self.adapter.logits(stream[at, index]).double().log_softmax(-1)
                for stream in (self.last, self.whole)
            )
            numbers.append(DISTANCES[score.kind](there, here).mean())
        return torch.stack(numbers)

    def _loss(self, score: Loss) -> Tensor:
        numbers = []
        for index, prompt in enumerate(self.prompts):
            tokens = predicted(score.place, prompt)
            logits = self.adapter.logits(self.last[[t - 1 for t in tokens], index]).double()
            true = uploaded([prompt.tokens[t] for t in tokens], self.device)
            numbers.append(-logits.log_softmax(-1).gather(1, true[:, None]).mean())
        return torch.stack(numbers)

    def _attention(self, score: AttentionScore) -> Tensor:
        pattern = self.patterns[score.head].double()
        numbers = []
        for index, prompt in enumerate(self.prompts):
            queries = sorted(score.query.tokens(prompt.layout))
            keys = sorted(score.key.tokens(prompt.layout))
            numbers.append(pattern[index, queries][:, keys].sum(1).mean())
        return torch.stack(numbers)

    def _logits(self, at: Sequence[int]) -> Tensor:
        """[prompt, vocabulary] in float64, each prompt's at its own position."""
        key = tuple(at)
        if key not in self._kept:
            rows = self.last[uploaded(key, self.device), torch.arange(len(key), device=self.device)]
            self._kept[key] = self.adapter.logits(rows).double()
        return self._kept[key]
