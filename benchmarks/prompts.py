"""Random prompts of 16 tokens, of which a corruption changes the one at position 8."""

from __future__ import annotations

import random

from circuitlang.language.graph.edges import END, Position
from circuitlang.language.prompt import Prompt, PromptSet
from circuitlang.language.spec import Metric, MetricOperation, TokenScore

TASK, TEMPLATE, CORRUPTION = "giving", "only", "corrupted"
PROMPTS, LENGTH, CORRUPTED_POSITION = 8, 16, 8

LOGIT_DIFFERENCE = Metric(
    "logit_diff",
    MetricOperation(
        "-", tuple(TokenScore("logit", name, Position(END)) for name in ("answer", "foil"))
    ),
    False,
)


def random_prompts(vocabulary: int, rng: random.Random, number: int = PROMPTS) -> PromptSet:
    """As many prompts as reference prompts, in the vocabulary's ids."""
    drawn = [_prompt(index, vocabulary, rng) for index in range(2 * number)]
    prompts, references = tuple(drawn[:number]), tuple(drawn[number:])
    return PromptSet(TASK, (TEMPLATE,), prompts, references, None, False)


def _prompt(index: int, vocabulary: int, rng: random.Random) -> Prompt:
    tokens = [rng.randrange(vocabulary) for _ in range(LENGTH)]
    answer, foil = rng.sample(range(vocabulary), 2)
    corrupted = list(tokens)
    while corrupted == tokens:
        corrupted[CORRUPTED_POSITION] = rng.randrange(vocabulary)
    return Prompt(
        index,
        TEMPLATE,
        {},
        f"prompt {index}",
        tuple(tokens),
        {},
        {"answer": (answer,), "foil": (foil,)},
        {CORRUPTION: "corrupted"},
        {CORRUPTION: tuple(corrupted)},
    )
