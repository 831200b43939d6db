"""The prompts that a task allows, one by one: which are simpler, what one says, what it looks like.

A task's sample is drawn at random; a search for a prompt that refutes a claim picks its prompts.
An `Input` names one by numbers, the author's order of templates and slot values, so that the
first of everything is the simplest. Its random corruptions depend on the task's seed and the
input alone: the same input is the same prompt in every check.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from circuitlang.language.diagnostics import Diagnostics, Reject
from circuitlang.language.prompt import Prompt
from circuitlang.language.tasks.assembly import Assembly
from circuitlang.language.tasks.population import Assignment, Population
from circuitlang.language.tasks.task_spec import TaskSpec
from circuitlang.language.tasks.template import Template
from circuitlang.language.tasks.text import Evaluator
from circuitlang.language.tasks.text_values import shown
from circuitlang.language.tasks.tokenizer import PromptTokenizer

MOST_ALTERNATIVES = 20_000
MOST_TRIED = 256


@dataclass(frozen=True)
class Input:
    """A template's number, and for each slot the number of its value."""

    template: int
    values: tuple[int, ...]


@dataclass(frozen=True)
class Inputs:
    """All inputs of a task for one model. `bos`, `context` and `vocabulary` are the model's."""

    task: TaskSpec
    tokenizer: PromptTokenizer
    bos: int | None = None
    context: int | None = None
    vocabulary: int | None = None

    @cached_property
    def _diagnostics(self) -> Diagnostics:
        return Diagnostics()

    @cached_property
    def _evaluator(self) -> Evaluator:
        count, diagnostics = self.tokenizer.count, self._diagnostics
        return Evaluator(self.task.scope, diagnostics, count, self.vocabulary)

    @cached_property
    def _population(self) -> Population:
        return Population.uncounted(self.task, self._evaluator)

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many templates there are, then how many values each slot has."""
        slots = (slot.size for slot in self._population.slots)
        return (len(self.task.templates), *slots)

    def slots(self, one: Input) -> Assignment:
        """The values of an input's slots."""
        rows = zip(self._population.slots, one.values, strict=True)
        return {
            name: value
            for slot, number in rows
            for name, value in zip(slot.names, slot.row(number), strict=True)
        }

    def allows(self, one: Input) -> bool:
        """Whether its values satisfy the task's `where`, and are of its half."""
        return self._population.allows(self.slots(one))

    def simpler(self, one: Input) -> Iterator[Input]:
        """Allowed inputs that differ in one number, which is smaller; the simplest first."""
        for number in range(one.template):
            yield replace(one, template=number)
        for at, value in enumerate(one.values):
            for number in _smaller(value):
                other = replace(one, values=(*one.values[:at], number, *one.values[at + 1 :]))
                if self.allows(other):
                    yield other

    def prompt(self, one: Input, index: int = 0) -> Prompt | None:
        """The prompt with its corruptions; None where it cannot be used (CL501 and the like)."""
        assembly = Assembly(
            self.task, self.tokenizer, self.bos, self.context, self._evaluator, "inputs",
            self.task.seed,
        )  # fmt: skip
        try:
            made = assembly.prompt(
                self._number(one), self.task.templates[one.template], self.slots(one)
            )
        except Reject:
            return None
        return None if assembly.problems.has_errors else replace(made, index=index)

    def _number(self, one: Input) -> int:
        code = 0
        for size, number in zip(self.sizes, (one.template, *one.values), strict=True):
            code = code * size + number
        return code

    def read(self, text: str) -> Input | None:
        """The input whose prompt has this text; None where there is none, or slots hold token ids."""
        return next((one for one in self._readings(text) if self.allows(one)), None)

    def _readings(self, text: str) -> Iterator[Input]:
        slots = self._population.slots
        if any(slot.holds_token_ids or slot.size > MOST_ALTERNATIVES for slot in slots):
            return
        for number, pattern in enumerate(self._patterns):
            match = pattern.fullmatch(text)
            if match is None:
                continue
            told = match.groupdict()
            values = []
            for slot in slots:
                rows = (
                    i
                    for i in range(slot.size)
                    if all(
                        told.get(name) in (None, shown(value))
                        for name, value in zip(slot.names, slot.row(i), strict=True)
                    )
                )
                values.append(next(rows, None))
            if None not in values:
                yield Input(number, tuple(v for v in values if v is not None))

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[str], ...]:
        """What texts of each template look like; each slot's first place has a group of its name."""
        texts = {
            name: {shown(slot.row(i)[k]) for i in range(slot.size)}
            for slot in self._population.slots
            for k, name in enumerate(slot.names)
        }
        choices = {
            name: "|".join(map(re.escape, sorted(own, key=lambda t: (-len(t), t))))
            for name, own in texts.items()
        }
        return tuple(self._pattern(template, choices) for template in self.task.templates)

    @staticmethod
    def _pattern(template: Template, choices: Mapping[str, str]) -> re.Pattern[str]:
        parts, seen = [], set[str]()
        for segment in template.segments:
            if isinstance(segment, str):
                parts.append(re.escape(segment))
            elif segment.slot in seen:
                parts.append(f"(?P={segment.slot})")
            else:
                seen.add(segment.slot)
                parts.append(f"(?P<{segment.slot}>{choices[segment.slot]})")
        return re.compile("".join(parts))


def _smaller(value: int) -> Iterable[int]:
    """Smaller numbers: all, or of a large one its halves, its quarters and so on, from 0 on."""
    if value <= MOST_TRIED:
        return range(value)
    return dict.fromkeys(value >> k for k in range(value.bit_length(), 0, -1))


def prompts(inputs: Inputs, chosen: Sequence[Input]) -> dict[Input, Prompt]:
    """The prompts of the inputs that can be used, numbered from 0 on."""
    found: dict[Input, Prompt] = {}
    for one in chosen:
        made = inputs.prompt(one, len(found))
        if made is not None and one not in found:
            found[one] = made
    return found
