"""The prompts of a task as tables: a column for each token, the corrupted below the clean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from circuitlang.language.prompt import Prompt, PromptSet
from circuitlang.language.tasks.show_prompts import (
    Mark,
    first_of_each_template,
    prompt_rows,
)
from circuitlang.language.tasks.tokenizer import PromptTokenizer

MOST_PROMPTS, MOST_TOKENS, WIDEST = 6, 160, 60


@dataclass(frozen=True)
class Cell:
    """A text over `span` columns. `kind` is "" for one without anything in it."""

    text: str
    span: int
    kind: str


@dataclass(frozen=True)
class PromptRow:
    name: str
    kind: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class PromptTable:
    index: int
    template: str
    slots: tuple[tuple[str, str], ...]
    rows: tuple[PromptRow, ...]
    answers: tuple[tuple[str, tuple[str, ...]], ...]
    cut: bool


@dataclass(frozen=True)
class TaskPrompts:
    name: str
    model: str
    count: int
    population: int | None
    enumerated: bool
    split: str | None
    shown: tuple[PromptTable, ...]


def task_prompts(drawn: PromptSet, model: str, tokenizer: PromptTokenizer) -> TaskPrompts:
    chosen = first_of_each_template(drawn, MOST_PROMPTS)[:MOST_PROMPTS]
    return TaskPrompts(
        drawn.task,
        model,
        len(drawn.prompts),
        drawn.population,
        drawn.enumerated,
        drawn.split,
        tuple(_table(prompt, tokenizer) for prompt in chosen),
    )


def _table(prompt: Prompt, tokenizer: PromptTokenizer) -> PromptTable:
    length = min(len(prompt.tokens), MOST_TOKENS)
    rows = [
        PromptRow(row.name, kind, _cells(row.marks, length, kind))
        for row in prompt_rows(prompt, tokenizer, WIDEST)
        for kind in [_kind(row.name, prompt)]
    ]
    answers: list[tuple[str, tuple[str, ...]]] = []
    describe: Callable[[Sequence[int]], list[str]] = tokenizer.describe
    for name, ids in prompt.answers.items():
        answers.append((name, tuple(describe(ids[:8])) + (("…",) if len(ids) > 8 else ())))
    return PromptTable(
        prompt.index,
        prompt.template,
        tuple(prompt.slots.items()),
        tuple(rows),
        tuple(answers),
        len(prompt.tokens) > MOST_TOKENS,
    )


def _kind(name: str, prompt: Prompt) -> str:
    if name in ("position", "clean"):
        return name
    return "corrupted" if name in prompt.corrupted else "label"


def _cells(marks: Sequence[Mark], length: int, kind: str) -> tuple[Cell, ...]:
    """The marks with the gaps between them, `length` columns in all."""
    cells, at = [], 0
    for mark in marks:
        start, stop = min(mark.start, length), min(mark.stop, length)
        if start > at:
            cells.append(Cell("", start - at, ""))
        if stop > start:
            cells.append(Cell(mark.text, stop - start, "changed" if mark.changed else kind))
        at = max(at, stop)
    if at < length:
        cells.append(Cell("", length - at, ""))
    return tuple(cells)
