"""Draws a task's prompts and their corruptions and puts them into tokens.

Takes a `TaskSpec` and a tokenizer and gives a `PromptSet`. Every random choice depends on the
seed, the task and what is drawn, never on how much else is drawn: a smaller sample is the
beginning of a larger one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from circuitlang.language.diagnostics import Diagnostics, Reject
from circuitlang.language.prompt import Prompt, PromptSet
from circuitlang.language.source import Span
from circuitlang.language.tasks.assembly import Assembly
from circuitlang.language.tasks.halves import of_half
from circuitlang.language.tasks.population import Assignment, Population, random_stream
from circuitlang.language.tasks.task_spec import TaskSpec
from circuitlang.language.tasks.template import Template
from circuitlang.language.tasks.text import Evaluator, Steps
from circuitlang.language.tasks.tokenizer import PromptTokenizer

REFERENCES = 256
MOST_TEXTS = 1_000_000


def draw(
    task: TaskSpec,
    tokenizer: PromptTokenizer,
    *,
    bos: int | None,
    context: int | None,
    vocabulary: int | None = None,
    diagnostics: Diagnostics,
    samples: int | None = None,
    seed: int | None = None,
    references: int = REFERENCES,
    steps: Steps | None = None,
) -> PromptSet | None:
    """The task's prompts for one model; None when a prompt cannot be used.

    `context` is the most tokens the model reads, `vocabulary` the number of tokens it knows; what
    is None is not checked. Raises `NeedsTokenizer` when the task needs more than the ids that a
    `PromptTokenizer` without a file knows. `samples` and `seed` replace the task's own. The references depend on
    the task's seed alone. `steps` counts the work of several draws.
    """
    found = Diagnostics(read=diagnostics.read)
    evaluator = Evaluator(task.scope, found, tokenizer.count, vocabulary, steps)
    drawing = _Drawing(task, tokenizer, bos, context, evaluator, found)
    try:
        prompts = drawing.prompt_set(
            task.sample if samples is None else samples,
            task.seed if seed is None else seed,
            references,
        )
    except Reject:
        prompts = None
    for diagnostic in found.found:
        diagnostics.add(diagnostic)
    return None if found.has_errors else prompts


@dataclass(frozen=True)
class _Drawing:
    task: TaskSpec
    tokenizer: PromptTokenizer
    bos: int | None
    context: int | None
    evaluator: Evaluator
    diagnostics: Diagnostics

    def prompt_set(self, samples: int, seed: int, references: int) -> PromptSet:
        population = Population.of(self.task, self.evaluator)
        self._check_context()
        self._check_texts(max(samples, references))
        counted = population.counted
        size = None if counted is None else len(counted) * len(self.task.templates)
        sample, prompts = self._stream("sample", seed, samples, population)
        self._check_number(len(prompts), samples, size)
        sample.problems.report(self.diagnostics, len(prompts), "prompts")
        sample.warn_of_idle_corruptions(self.diagnostics)
        reference, donors = self._stream("references", self.task.seed, references, population)
        if reference.problems.has_errors and not sample.problems.has_errors:
            reference.problems.report(
                self.diagnostics, len(donors), "reference prompts for mean ablations"
            )
        return PromptSet(
            self.task.name,
            tuple(template.name for template in self.task.templates),
            prompts,
            donors,
            size,
            len(prompts) == size and not sample.corruptor.random_ones,
            self.task.split,
        )

    def _check_context(self) -> None:
        """Token ids alone may already be too many, and drawing long sequences takes time."""
        for template in self.task.templates:
            least = sum(self.task.token_length(p.slot) or 0 for p in template.placeholders)
            least += self.bos is not None
            if self.context is not None and least > self.context:
                raise self.diagnostics.reject(
                    "CL511",
                    f"The token ids of a prompt are {least:,} tokens; "
                    f"the model reads {self.context:,}.",
                    template.span,
                    "give `token_ids` a smaller `length`",
                )

    def _check_texts(self, number: int) -> None:
        corruptions = len(self.task.corruptions)
        texts = number * (1 + corruptions)
        if texts > MOST_TEXTS:
            raise self.diagnostics.reject(
                "CL302",
                f"A sample of {number:,} prompts with {corruptions:,} corruptions each makes up to "
                f"{texts:,} texts; the limit is {MOST_TEXTS:,}.",
                self.task.span,
                "give a smaller `sample`, or corruptions to a task of their own",
            )

    def _stream(
        self, name: str, seed: int, count: int, population: Population
    ) -> tuple[Assembly, tuple[Prompt, ...]]:
        assembly = Assembly(
            self.task, self.tokenizer, self.bos, self.context, self.evaluator, name, seed
        )
        chosen = self._choose(population, count, seed, name)
        prompts = (assembly.prompt(i, template, slots) for i, (template, slots) in chosen)
        return assembly, tuple(prompts)

    def _choose(
        self, population: Population, count: int, seed: int, stream: str
    ) -> Iterator[tuple[int, tuple[Template, Assignment]]]:
        """Templates take turns, so each has its share in every beginning of the sample."""
        templates = self.task.templates
        draws = [
            population.draws(random_stream(seed, self.task.name, stream, template.name))
            for template in templates
        ]
        for index in range(count):
            turn = index % len(templates)
            slots = next(draws[turn], None)
            if slots is None:
                return
            yield index, (templates[turn], slots)

    def _check_number(self, drawn: int, wanted: int, size: int | None) -> None:
        conditions = self.task.conditions
        span: Span = conditions[0].span if conditions else self.task.span
        half = self.task.split
        if half is not None and size == 0 and (others := self._prompts_of_both_halves()):
            raise self.diagnostics.reject(
                "CL507",
                f"`{self.task.name}` allows {others:,} {'prompt' if others == 1 else 'prompts'}, "
                f"and its half `{half}` has none of them.",
                self.task.span,
                "give its slots more values, or leave out `split`",
            )
        also = "" if half is None or size is not None else f" in the half `{half}`"
        help = "loosen the `where`, or give values that go together as one slot of tuples"
        if not drawn:
            which = "None" if size is not None else "None of those tried"
            raise self.diagnostics.reject(
                "CL507",
                f"{which} of the slot values of `{self.task.name}`{also} satisfies `where`.",
                span,
                help,
            )
        if size is None and drawn < wanted:
            self.diagnostics.warn(
                "CL507",
                f"Only {drawn:,} of {wanted:,} prompts of `{self.task.name}` were found{also} that "
                "satisfy `where`.",
                span,
                help,
            )

    def _prompts_of_both_halves(self) -> int:
        everything = Population.of(of_half(self.task, None), self.evaluator)
        return len(everything.counted or ()) * len(self.task.templates)
