"""Positions that some drawn prompt does not have: found before anything is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache

from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.graph.edges import Layout, Position, UnresolvedPosition
from circuitlang.language.prompt import Prompt, PromptSet
from circuitlang.language.source import Span
from circuitlang.language.spec import (
    AttentionScore,
    CopyScore,
    Divergence,
    Loss,
    Measurement,
    MetricExpression,
    MetricOperation,
    TokenScore,
    TopToken,
)


class Need(Enum):
    """What a position has to have beyond lying in the prompt."""

    NOTHING = ""
    ONE = "one token"
    BEFORE = "a token before each of its tokens"


def positions(measurement: Measurement) -> Iterator[tuple[Position, Need]]:
    """The positions a measurement names, and what each needs."""
    for place in measurement.run.places:
        yield from ((p, Need.NOTHING) for p in place.positions)
    yield from _of_metric(measurement.metric.expression)


@cache
def _of_metric(e: MetricExpression) -> tuple[tuple[Position, Need], ...]:
    match e:
        case TokenScore() | TopToken():
            return ((e.position, Need.ONE),)
        case Divergence(reference, place):
            inside = [p for at in reference.places for p in at.positions]
            predicted = place.positions if place else ()
            return (
                *((p, Need.BEFORE) for p in predicted),
                *((p, Need.NOTHING) for p in inside),
            )
        case Loss(place):
            return tuple((p, Need.BEFORE) for p in place.positions)
        case CopyScore(place=place):
            return tuple((p, Need.NOTHING) for p in place.positions)
        case AttentionScore(_, query, key):
            return tuple((p, Need.NOTHING) for p in query.positions + key.positions)
        case MetricOperation(_, operands):
            return tuple(found for o in operands for found in _of_metric(o))
        case _:
            return ()


@dataclass
class PlaceChecks:
    """Tries each position once per task. `spans` says where a position is written."""

    spans: Mapping[Position, Span]
    diagnostics: Diagnostics
    _tried: set[tuple[str, Position, Need]] = field(default_factory=set)

    def check(self, measurement: Measurement, drawn: PromptSet, span: Span) -> None:
        """`span` is where the measurement is asked for."""
        for position, need in positions(measurement):
            key = (drawn.task, position, need)
            if key not in self._tried:
                self._tried.add(key)
                self._try(position, need, drawn, self.spans.get(position, span))

    def _try(self, position: Position, need: Need, drawn: PromptSet, span: Span) -> None:
        reasons: dict[Layout, tuple[str, str] | None] = {}
        wrong: list[tuple[Prompt, tuple[str, str]]] = []
        for prompt in drawn.prompts:
            layout = prompt.layout
            if layout not in reasons:
                reasons[layout] = _reason(position, need, layout)
            if found := reasons[layout]:
                wrong.append((prompt, found))
        if wrong:
            prompt, (reason, help) = wrong[0]
            self.diagnostics.error(
                "CL504",
                f"`{position}` is no position of prompt {prompt.index} of task `{drawn.task}`, "
                f'"{prompt.text}": {reason}. This concerns {len(wrong):,} of '
                f"{len(drawn.prompts):,} prompts.",
                span,
                help,
            )


def _reason(position: Position, need: Need, layout: Layout) -> tuple[str, str] | None:
    """What is wrong with a position, and what to write instead."""
    pick = f"write `first({position.label})` or `last({position.label})`"
    try:
        tokens = position.tokens(layout)
    except UnresolvedPosition as problem:
        picked = "tokens" in problem.reason and "leaves" not in problem.reason
        return problem.reason, pick if picked else "shift it by less, or name another label"
    if need is Need.ONE and len(tokens) != 1:
        return f"it has {len(tokens)} tokens, and one is needed", pick
    if need is Need.BEFORE and 0 in tokens:
        return (
            "it holds the first token, which nothing predicts",
            "start the span later, or begin prompts with BOS (`bos yes`)",
        )
    return None
