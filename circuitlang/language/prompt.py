"""Prompts as the runs see them: token ids, aligned corruptions, token spans, answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from circuitlang.language.graph.edges import Layout
from circuitlang.language.spec import Ablation


@dataclass(frozen=True)
class Prompt:
    """One sampled prompt. `corrupted` and `answers` are keyed by the names the task gives.

    Every corrupted prompt has as many tokens as the clean one. `answers` holds token ids, and
    `donors` prompts of the same layout, one for each draw of the ablation that takes most.
    """

    index: int
    template: str
    slots: Mapping[str, str]
    text: str
    tokens: tuple[int, ...]
    spans: Mapping[str, tuple[int, int]]
    answers: Mapping[str, tuple[int, ...]]
    corrupted_text: Mapping[str, str]
    corrupted: Mapping[str, tuple[int, ...]]
    donors: tuple[Prompt, ...] = ()

    @property
    def layout(self) -> Layout:
        return Layout(
            len(self.tokens), tuple((label, *span) for label, span in sorted(self.spans.items()))
        )


@dataclass(frozen=True)
class PromptSet:
    """A task's prompts for one tokenizer.

    `references` are drawn once, independent of the sample's size, for mean ablations.
    `population` is the number of distinct prompts the slots allow (None when it was not
    counted); `enumerated` says that `prompts` are all of them and nothing else is drawn at random.
    With `split`, all are of that half of the task's prompts, and `population` counts it alone.
    """

    task: str
    templates: tuple[str, ...]
    prompts: tuple[Prompt, ...]
    references: tuple[Prompt, ...]
    population: int | None
    enumerated: bool
    split: str | None = None


def tokens_under(ablation: Ablation | None, prompt: Prompt) -> tuple[int, ...]:
    """The tokens that ablated senders work on; the prompt's own for None and for a mean of clean
    prompts."""
    if ablation is None:
        return prompt.tokens
    one = prompt.donors[ablation.draw] if ablation.kind == "donor" else prompt
    return one.tokens if ablation.corruption is None else one.corrupted[ablation.corruption]


def mean_key(ablation: Ablation, prompt: Prompt) -> tuple[object, ...]:
    """Prompts with this key share a mean: same template, same `per` slots, same token layout."""
    slots = tuple(prompt.slots[key] for key in ablation.per if key != "template")
    return (prompt.template, slots, prompt.layout)
