"""Prompt templates: `{slot}` and `{slot:label}` in text, and the labels each of them offers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from circuitlang.language.diagnostics import Diagnostics, suggestion
from circuitlang.language.graph.edges import END
from circuitlang.language.source import Span
from circuitlang.language.tasks.interpolation import NAME, Hole, pieces, place
from circuitlang.language.tasks.text_values import Value
from circuitlang.language.tasks.token_ids import TokenIds
from circuitlang.language.text import syntax
from circuitlang.language.text.grammar import RESERVED

_NODE = re.compile(r"[am]\d+")


@dataclass(frozen=True)
class Placeholder:
    """One occurrence of a slot."""

    slot: str
    label: str | None
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True)
class Rendered:
    """A piece of a prompt's text and, per placeholder, the characters its value takes."""

    text: str
    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Template:
    name: str
    segments: tuple[str | Placeholder, ...]
    span: Span = field(compare=False, repr=False)

    @cached_property
    def placeholders(self) -> tuple[Placeholder, ...]:
        return tuple(s for s in self.segments if isinstance(s, Placeholder))

    @cached_property
    def repeated(self) -> Mapping[str, tuple[str, ...]]:
        """Slots that occur more than once, with the labels of their occurrences."""
        counts = Counter(p.slot for p in self.placeholders)
        return {
            slot: tuple(p.label for p in self.placeholders if p.slot == slot and p.label)
            for slot, count in counts.items()
            if count > 1
        }

    @cached_property
    def labels(self) -> Mapping[str, int]:
        """Label -> index of its placeholder. A slot that occurs once is a label too."""
        found: dict[str, int] = {}
        for index, placeholder in enumerate(self.placeholders):
            if placeholder.label is not None:
                found[placeholder.label] = index
            if placeholder.slot not in self.repeated:
                found[placeholder.slot] = index
        return found

    def render(self, values: Sequence[Value]) -> tuple[Rendered | TokenIds, ...]:
        """The prompt in pieces: token ids stand alone, all text between two of them together.

        `values` holds one value per placeholder: text, a number or token ids.
        """
        found: list[Rendered | TokenIds] = []
        ranges: list[tuple[int, int]] = []
        text, remaining = "", iter(values)
        for segment in self.segments:
            value = segment if isinstance(segment, str) else next(remaining)
            if isinstance(value, TokenIds):
                found += [Rendered(text, tuple(ranges))] if text or ranges else []
                found.append(value)
                text, ranges = "", []
                continue
            start = len(text)
            text += str(value)
            if isinstance(segment, Placeholder):
                ranges.append((start, len(text)))
        return (*found, Rendered(text, tuple(ranges))) if text or ranges else tuple(found)


def parse_template(
    name: str,
    literal: syntax.StringLiteral,
    slots: Collection[str],
    diagnostics: Diagnostics,
) -> Template:
    """Leaves out the placeholders that are reported."""
    segments: list[str | Placeholder] = []
    seen: set[str] = set()
    for piece in pieces(literal.value):
        if isinstance(piece, str):
            segments.append(piece)
            continue
        placeholder = _placeholder(piece, place(literal, piece), slots, diagnostics)
        if placeholder is None:
            continue
        if placeholder.label in seen:
            diagnostics.error(
                "CL102",
                f"The label `{placeholder.label}` stands twice in this prompt.",
                placeholder.span,
                "give each occurrence a label of its own",
            )
        seen.update({placeholder.label} if placeholder.label else ())
        segments.append(placeholder)
    template = Template(name, tuple(segments), literal.span)
    for placeholder in template.placeholders:
        _check_label(placeholder, template, slots, diagnostics)
    return template


def _placeholder(
    hole: Hole, span: Span, slots: Collection[str], diagnostics: Diagnostics
) -> Placeholder | None:
    slot, colon, label = (part.strip() for part in hole.content.partition(":"))
    if not hole.is_closed or not NAME.fullmatch(slot) or (colon and not NAME.fullmatch(label)):
        diagnostics.error(
            "CL506",
            "This brace opens neither `{slot}` nor `{slot:label}`.",
            span,
            "a single brace is written `{{`",
        )
        return None
    if slot not in slots:
        known = ", ".join(slots) or "none"
        help = suggestion(slot, slots) or f"the task's slots are {known}"
        diagnostics.error("CL506", f"There is no slot `{slot}`.", span, help)
        return None
    return Placeholder(slot, label if colon else None, span)


def _check_label(
    placeholder: Placeholder, template: Template, slots: Collection[str], diagnostics: Diagnostics
) -> None:
    label, slot = placeholder.label, placeholder.slot
    if label == END:
        diagnostics.error(
            "CL108",
            "`END` is the last token and cannot be a label.",
            placeholder.span,
            "choose another label",
        )
    elif label is not None and (label in RESERVED or _NODE.fullmatch(label)):
        what = "a word of the language" if label in RESERVED else "a node"
        diagnostics.error(
            "CL108",
            f"`{label}` is {what} and cannot be a label.",
            placeholder.span,
            f"choose another label, such as `{slot}1`",
        )
    elif label in slots and (label != slot or slot in template.repeated):
        diagnostics.error(
            "CL102",
            f"`{label}` is a slot and a label of {'one' if label == slot else 'another'} "
            "occurrence, so as a position it could mean either.",
            placeholder.span,
            f"choose another label, such as `{label}1`",
        )
