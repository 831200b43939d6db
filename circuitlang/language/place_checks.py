"""Positions that some drawn prompt does not have: found before anything is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.edges import Layout, Position, UnresolvedPosition
from circuitlang.language.prompt import Prompt, PromptSet
from circuitlang.language.source import Span
from circuitlang.language.spec import (
    AttentionScore,
    Divergence,
    Loss,
    Measurement,
    MetricExpression,
    MetricOperation,
    TokenScore,
    TopToken,
)


def positions(measurement: Measurement) -> Iterator[tuple[Position, bool]]:
    """The positions a measurement names, and whether each has to be one token."""
    for place in measurement.run.live.places:
        yield from ((p, False) for p in place.positions)
    yield from _of_metric(measurement.metric.expression)


@cache
def _of_metric(e: MetricExpression) -> tuple[tuple[Position, bool], ...]:
    match e:
        case TokenScore() | TopToken():
            return ((e.position, True),)
        case Divergence(reference, position):
            inside = [p for place in reference.live.places for p in place.positions]
            return ((position, True), *((p, False) for p in inside))
        case Loss(place):
            return tuple((p, False) for p in place.positions)
        case AttentionScore(_, query, key):
            return tuple((p, False) for p in query.positions + key.positions)
        case MetricOperation(_, operands):
            return tuple(found for o in operands for found in _of_metric(o))
        case _:
            return ()


@dataclass
class PlaceChecks:
    """Tries each position once per task. `spans` says where a position is written."""

    spans: Mapping[Position, Span]
    diagnostics: Diagnostics
    _tried: set[tuple[str, Position, bool]] = field(default_factory=set)

    def check(self, measurement: Measurement, drawn: PromptSet, span: Span) -> None:
        """`span` is where the measurement is asked for."""
        for position, single in positions(measurement):
            key = (drawn.task, position, single)
            if key not in self._tried:
                self._tried.add(key)
                self._try(position, single, drawn, self.spans.get(position, span))

    def _try(self, position: Position, single: bool, drawn: PromptSet, span: Span) -> None:
        reasons: dict[Layout, str | None] = {}
        wrong: list[tuple[Prompt, str]] = []
        for prompt in drawn.prompts:
            layout = prompt.layout
            if layout not in reasons:
                reasons[layout] = _reason(position, single, layout)
            if reason := reasons[layout]:
                wrong.append((prompt, reason))
        if wrong:
            prompt, reason = wrong[0]
            self.diagnostics.error(
                "CL504",
                f"`{position}` is no position of prompt {prompt.index} of task `{drawn.task}`, "
                f'"{prompt.text}": {reason}. This concerns {len(wrong):,} of '
                f"{len(drawn.prompts):,} prompts.",
                span,
                f"write `first({position.label})` or `last({position.label})`"
                if "tokens" in reason and "leaves" not in reason
                else "shift it by less, or name another label",
            )


def _reason(position: Position, single: bool, layout: Layout) -> str | None:
    try:
        tokens = position.tokens(layout)
    except UnresolvedPosition as problem:
        return problem.reason
    return (
        f"it has {len(tokens)} tokens, and one is needed" if single and len(tokens) != 1 else None
    )
