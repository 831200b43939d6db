"""Spec text and places in it."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A text and the name that messages give it. `folder` is where relative files are looked up.

    `hidden` characters at the start were put there by the tool and are not shown or counted.
    `unsaved` are the texts of files that stand differently in an editor, by resolved path.
    """

    name: str
    text: str
    folder: Path
    hidden: int = 0
    unsaved: Mapping[Path, str] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def line_starts(self) -> tuple[int, ...]:
        return (0, *(i + 1 for i, c in enumerate(self.text) if c == "\n"))

    def line_and_column(self, offset: int) -> tuple[int, int]:
        """Both counted from 1; columns count characters."""
        line = bisect_right(self.line_starts, offset) - 1
        hidden = self.hidden if line == 0 else 0
        return line + 1, max(1, offset - self.line_starts[line] + 1 - hidden)

    def line(self, number: int) -> str:
        starts = (*self.line_starts, len(self.text) + 1)
        text = self.text[starts[number - 1] : starts[number] - 1]
        return text[self.hidden :] if number == 1 else text

    def span(self, start: int, end: int) -> Span:
        return Span(self, start, end)


@dataclass(frozen=True)
class Span:
    """Characters `start` (inclusive) to `end` (exclusive) of a source."""

    source: Source
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    def part(self, text: str) -> Span:
        """The first place in the span where `text` stands as a whole word; else the whole span."""
        found = re.search(rf"(?<!\w){re.escape(text)}(?!\w)", self.text)
        if found is None:
            return self
        return Span(self.source, self.start + found.start(), self.start + found.end())

    @property
    def line(self) -> int:
        return self.source.line_and_column(self.start)[0]

    @property
    def column(self) -> int:
        return self.source.line_and_column(self.start)[1]

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Span) and (self.source.name, self.start, self.end) == (
            other.source.name,
            other.start,
            other.end,
        )

    def __hash__(self) -> int:
        return hash((self.source.name, self.start, self.end))
