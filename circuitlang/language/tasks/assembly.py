"""One drawn assignment and template -> a `Prompt`: text, tokens, corruptions and answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.prompt import Prompt
from circuitlang.language.tasks.answers import AnswerTokens
from circuitlang.language.tasks.corruption import Corruptor, clean_bindings, is_rewritten, placed
from circuitlang.language.tasks.population import Assignment, random_stream
from circuitlang.language.tasks.prompt_problems import Problems, quoted
from circuitlang.language.tasks.task_spec import Corruption, TaskSpec
from circuitlang.language.tasks.task_values import check_placed
from circuitlang.language.tasks.template import Template
from circuitlang.language.tasks.text import Evaluator
from circuitlang.language.tasks.text_values import Value, shown
from circuitlang.language.tasks.tokenization import TokenChecks, Tokenized, label_spans, tokenize
from circuitlang.language.tasks.tokenizer import PromptTokenizer

# Characters; a sample is bounded by its number of prompts unless they are longer than this.
USUAL_LENGTH = 1_000


@dataclass
class Assembly:
    """Assembles the prompts of one stream ("sample" or "references"); checks each on the way."""

    task: TaskSpec
    tokenizer: PromptTokenizer
    bos: int | None
    context: int | None
    evaluator: Evaluator
    stream: str
    seed: int
    problems: Problems = field(default_factory=Problems)
    effective: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.corruptor = Corruptor(self.evaluator)
        self.answers = AnswerTokens(self.task, self.tokenizer, self.evaluator, self.problems)
        self.checks = TokenChecks(self.tokenizer, self.problems, self.bos, self.context)

    def prompt(self, index: int, template: Template, slots: Assignment) -> Prompt:
        """Raises `Reject`; what makes the prompt unusable otherwise goes into `problems`."""
        check_placed(template, slots, self.evaluator)
        clean = self._tokenize(template, placed(template, slots))
        self.checks.clean(index, template, clean)
        corrupted = {
            corruption.name: self._corrupted(index, corruption, template, slots, clean)
            for corruption in self.task.corruptions.values()
        }
        bindings = clean_bindings(template, slots)
        answers = self.answers.of(index, bindings)
        self.answers.check_follows(index, template.name, clean.ending, bindings)
        return Prompt(
            index,
            template.name,
            {name: shown(value) for name, value in slots.items()},
            clean.text,
            clean.ids,
            label_spans(template, clean),
            answers,
            {name: tokens.text for name, tokens in corrupted.items()},
            {name: tokens.ids for name, tokens in corrupted.items()},
        )

    def _tokenize(self, template: Template, values: tuple[Value, ...]) -> Tokenized:
        tokens = tokenize(template, values, self.tokenizer, self.bos)
        self.evaluator.spend(max(0, len(tokens.text) - USUAL_LENGTH), template.span)
        return tokens

    def _corrupted(
        self,
        index: int,
        corruption: Corruption,
        template: Template,
        slots: Assignment,
        clean: Tokenized,
    ) -> Tokenized:
        random = random_stream(self.seed, self.task.name, self.stream, corruption.name, index)
        values = self.corruptor.draw(corruption, template, slots, random)
        if values is None:
            self._report_unsatisfied(index, corruption, clean)
            return clean
        tokens = self._tokenize(template, values)
        self.checks.pair(index, corruption, clean, tokens, is_rewritten(template, corruption))
        if tokens.ids != clean.ids:
            self.effective.add(corruption.name)
        return tokens

    def _report_unsatisfied(self, index: int, corruption: Corruption, clean: Tokenized) -> None:
        self.effective.add(corruption.name)
        is_random = corruption.name in self.corruptor.random_ones
        self.problems.add(
            index,
            "CL507",
            corruption.name,
            corruption.conditions[0].span,
            lambda: (
                f"`{corruption.name}` found no values that satisfy its `where` for prompt "
                f"{index}, {quoted(clean.text)}.",
                "give it more values to draw from"
                if is_random
                else "it draws nothing at random; leave such prompts out with the task's `where`",
            ),
        )

    def warn_of_idle_corruptions(self, diagnostics: Diagnostics) -> None:
        for corruption in self.task.corruptions.values():
            if corruption.name not in self.effective:
                diagnostics.warn(
                    "CL512",
                    f"`{corruption.name}` leaves every prompt as it is.",
                    corruption.span,
                    "rewrite a slot that the prompt shows, to another value",
                )
