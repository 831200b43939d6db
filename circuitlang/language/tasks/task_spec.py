"""Tasks: what is drawn, what it is put into, what is asked and how it is corrupted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from circuitlang.language.source import Span
from circuitlang.language.tasks.mentions import Scope
from circuitlang.language.tasks.template import Template
from circuitlang.language.tasks.text_values import Value
from circuitlang.language.tasks.token_ids import Sequences, TokenIds
from circuitlang.language.text.syntax import Expression

Row = tuple[Value, ...]


@dataclass(frozen=True)
class Slot:
    """One name, or several whose values go together.

    `rows` stays empty where `needs_tokenizer`, because the domain counts tokens, and where the
    values are `sequences` of token ids, which are too many to list.
    """

    names: tuple[str, ...]
    domain: Expression
    rows: tuple[Row, ...] = field(repr=False)
    needs_tokenizer: bool
    span: Span = field(compare=False, repr=False)
    sequences: Sequences | None = None

    @property
    def size(self) -> int:
        """How many values there are; 0 while they are not known."""
        return len(self.rows) if self.sequences is None else self.sequences.size

    def row(self, number: int) -> Row:
        """One of the `size` values, from 0 on."""
        return self.rows[number] if self.sequences is None else (self.sequences.at(number),)

    @property
    def holds_token_ids(self) -> bool:
        return self.sequences is not None or any(
            isinstance(part, TokenIds) for row in self.rows for part in row
        )

    def token_length(self, name: str) -> int | None:
        """How many tokens each value of `name` is, where they are ids and equally many."""
        if self.sequences is not None:
            return self.sequences.length
        parts = [row[self.names.index(name)] for row in self.rows]
        lengths = {len(part.ids) if isinstance(part, TokenIds) else None for part in parts}
        return lengths.pop() if len(lengths) == 1 else None


@dataclass(frozen=True)
class TokenSet:
    name: str
    value: Expression
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True)
class Rewrite:
    """`target` is a slot (all its occurrences) or a label (that occurrence alone)."""

    target: str
    value: Expression
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True)
class Corruption:
    name: str
    rewrites: tuple[Rewrite, ...]
    conditions: tuple[Expression, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True)
class TaskSpec:
    """A task with its names checked and its slot values read; nothing is drawn yet.

    `split` is the half of the prompts that it draws from (halves.py); None is all of them.
    """

    name: str
    slots: tuple[Slot, ...]
    conditions: tuple[Expression, ...]
    templates: tuple[Template, ...]
    tokens: Mapping[str, TokenSet]
    corruptions: Mapping[str, Corruption]
    sample: int
    seed: int
    scope: Scope = field(compare=False, repr=False)
    span: Span = field(compare=False, repr=False)
    split: str | None = None

    @property
    def slot_names(self) -> tuple[str, ...]:
        return tuple(name for slot in self.slots for name in slot.names)

    @property
    def parts(self) -> tuple[str, ...]:
        """What `task.part` can name: corruptions, and templates that have a name."""
        named = (t.name for t in self.templates if t.name.isidentifier())
        return (*self.corruptions, *named)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that every template has."""
        return tuple(
            label
            for label in self.some_labels
            if all(label in template.labels for template in self.templates)
        )

    @property
    def some_labels(self) -> tuple[str, ...]:
        """Labels that at least one template has."""
        return tuple(dict.fromkeys(label for t in self.templates for label in t.labels))

    def span_length(self, label: str) -> int | None:
        """How many tokens a label covers, as far as that is known without a tokenizer."""
        lengths = {
            self.token_length(template.placeholders[template.labels[label]].slot)
            for template in self.templates
            if label in template.labels
        }
        return lengths.pop() if len(lengths) == 1 else None

    def token_length(self, name: str) -> int | None:
        """How many tokens each value of a slot is, where they are ids and equally many."""
        return next((s.token_length(name) for s in self.slots if name in s.names), None)

    @property
    def ambiguous_labels(self) -> Mapping[str, tuple[str, ...]]:
        """Slots that some template repeats, so they are no position; with labels to use instead."""
        found: dict[str, tuple[str, ...]] = {}
        for template in self.templates:
            for slot, labels in template.repeated.items():
                found[slot] = tuple(dict.fromkeys((*found.get(slot, ()), *labels)))
        return found
