"""What senders outside the edge set carry: values per ablation, for one chunk of prompts.

Resampled values are the outputs of a run on the corrupted tokens of the same prompts, a donor's
those of a run on other prompts. Constants are the same everywhere. Means are
taken over the task's reference prompts, once, in batches that do not depend on the sample,
and looked up by (template, slot values, token layout).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from circuitlang.language.prompt import Prompt, mean_key, tokens_under
from circuitlang.language.spec import Ablation, Constants
from circuitlang.runtime.constants import vectors
from circuitlang.runtime.models import LoadedModel
from circuitlang.runtime.reference import run_live
from circuitlang.runtime.tensors import uploaded
from circuitlang.runtime.unavailable import NotMeasurable

Values = Sequence[Tensor | None]
Key = tuple[object, ...]

REFERENCE_BATCH = 16


class Ablations:
    """Ablated values for chunks of one task's prompts; keeps the means it has computed."""

    def __init__(self, model: LoadedModel, references: Sequence[Prompt]) -> None:
        self.model = model
        self.references = references
        self._means: dict[Ablation, dict[Key, Tensor]] = {}

    def values(self, ablation: Ablation, chunk: Sequence[Prompt]) -> Values:
        """Each sender's ablated value [prompt * position, d_model]; None stands for zero."""
        if ablation.kind == "zero":
            return [None] * len(self.model.architecture.senders)
        if ablation.constants is not None:
            return self._constants(ablation.constants, chunk)
        if ablation.is_run:
            tokens = token_tensor(chunk, ablation, self.model)
            return run_live(self.model, tokens).outputs
        if ablation.kind == "mean":
            means = [self._mean(ablation, prompt) for prompt in chunk]
            senders = range(len(self.model.architecture.senders))
            return [torch.cat([mean[sender] for mean in means]) for sender in senders]
        raise NotMeasurable(f'ablation "{ablation}" has the unknown kind "{ablation.kind}"')

    def _constants(self, constants: Constants, chunk: Sequence[Prompt]) -> Values:
        """The file's vectors; nodes without one are never ablated."""
        found = vectors(constants, self.model.device)
        places = sum(len(prompt.tokens) for prompt in chunk)
        return [
            found[name].to(self.model.dtype).expand(places, -1) if name in found else None
            for name in map(str, self.model.architecture.senders)
        ]

    def _mean(self, ablation: Ablation, prompt: Prompt) -> Tensor:
        """The mean outputs for the prompt's key: [sender, position, d_model]."""
        means = self._means.setdefault(ablation, {})
        key, group = key_and_references(ablation, prompt, self.references)
        if key not in means:
            means[key] = self._average(ablation, group)
        return means[key]

    def _average(self, ablation: Ablation, group: Sequence[Prompt]) -> Tensor:
        total: Tensor | None = None
        for start in range(0, len(group), REFERENCE_BATCH):
            batch = group[start : start + REFERENCE_BATCH]
            tokens = token_tensor(batch, ablation, self.model)
            outputs = run_live(self.model, tokens).outputs
            sums = torch.stack([out.view(*tokens.shape, -1).double().sum(0) for out in outputs])
            total = sums if total is None else total + sums
        assert total is not None
        return (total / len(group)).to(self.model.dtype)


FEWER_KEYS = "name fewer slots after `per`, or sample prompts of fewer lengths"


def key_and_references(
    ablation: Ablation, prompt: Prompt, references: Sequence[Prompt]
) -> tuple[Key, list[Prompt]]:
    """The key of the prompt's mean, and the prompts it is taken over; `NotMeasurable` if none."""
    key = mean_key(ablation, prompt)
    group = [one for one in references if mean_key(ablation, one) == key]
    if not group:
        raise NotMeasurable(_no_references(ablation, prompt), FEWER_KEYS)
    return key, group


def _no_references(ablation: Ablation, prompt: Prompt) -> str:
    slots = [f"{name} = {prompt.slots[name]}" for name in ablation.per if name != "template"]
    key = ", ".join([f"template {prompt.template}", *slots, f"{len(prompt.tokens)} tokens"])
    return f'the mean "{ablation}" has no reference prompts like "{prompt.text}" ({key})'


def token_tensor(
    prompts: Sequence[Prompt], ablation: Ablation | None, model: LoadedModel
) -> Tensor:
    """Token ids [prompt, position] that ablated senders work on, for prompts of one length."""
    return uploaded([tokens_under(ablation, prompt) for prompt in prompts], model.device)
