"""Which prompts stand in for a prompt where an ablation takes values from random others.

Takes a task's prompts and gives each its donors: other prompts of the sample with the same
token layout. Donor number k of a prompt depends on the seed, the task, the prompt's number and
k, on nothing else than that and the sample; so all edges, runs and claims share it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from circuitlang.language.graph.edges import Layout
from circuitlang.language.prompt import Prompt, PromptSet
from circuitlang.language.tasks.population import random_stream


def with_donors(drawn: PromptSet, draws: int, seed: int) -> tuple[PromptSet, tuple[Prompt, ...]]:
    """The prompts with `draws` donors each, and those that no other prompt is laid out like.

    Prompts with the same tokens count as one, so no prompt is its own donor. Numbers under donors
    drawn at random are a sample's, also where the prompts are all there are.
    """
    pools: dict[Layout, dict[tuple[int, ...], Prompt]] = {}
    for prompt in drawn.prompts:
        pools.setdefault(prompt.layout, {}).setdefault(prompt.tokens, prompt)
    members = {layout: list(pool.values()) for layout, pool in pools.items()}
    places = {layout: {t: i for i, t in enumerate(pool)} for layout, pool in pools.items()}

    def donors(prompt: Prompt) -> Iterator[Prompt]:
        pool, own = members[prompt.layout], places[prompt.layout][prompt.tokens]
        for draw in range(draws if len(pool) > 1 else 0):
            stream = random_stream(seed, drawn.task, "donors", prompt.index, draw)
            found = stream.randrange(len(pool) - 1)
            yield pool[found + (found >= own)]

    prompts = tuple(replace(prompt, donors=tuple(donors(prompt))) for prompt in drawn.prompts)
    alone = tuple(prompt for prompt in prompts if len(prompt.donors) < draws)
    return replace(drawn, prompts=prompts, enumerated=False), alone
