"""Tasks: what is drawn, what it is put into, what is asked and how it is corrupted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from circuitlang.language.source import Span
from circuitlang.language.syntax import Expression
from circuitlang.language.tasks.mentions import Scope
from circuitlang.language.tasks.template import Template
from circuitlang.language.tasks.text_values import Value

Row = tuple[Value, ...]


@dataclass(frozen=True)
class Slot:
    """One name, or several whose values go together.

    `rows` stays empty where `needs_tokenizer`: the domain counts tokens.
    """

    names: tuple[str, ...]
    domain: Expression
    rows: tuple[Row, ...] = field(repr=False)
    needs_tokenizer: bool
    span: Span = field(compare=False, repr=False)


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
    """A task with its names checked and its slot values read; nothing is drawn yet."""

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

    @property
    def slot_names(self) -> tuple[str, ...]:
        return tuple(name for slot in self.slots for name in slot.names)

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

    @property
    def ambiguous_labels(self) -> Mapping[str, tuple[str, ...]]:
        """Slots that some template repeats, so they are no position; with labels to use instead."""
        found: dict[str, tuple[str, ...]] = {}
        for template in self.templates:
            for slot, labels in template.repeated.items():
                found[slot] = tuple(dict.fromkeys((*found.get(slot, ()), *labels)))
        return found
