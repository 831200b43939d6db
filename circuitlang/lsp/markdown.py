"""Pieces of the Markdown that an editor shows: code, lists, counts, the comment above something."""

from __future__ import annotations

from collections.abc import Iterable

from circuitlang.language.source import Span

MOST_SHOWN = 12
MOST_LINES = 12
LONGEST_LINE = 300


def code(text: str) -> str:
    lines = [
        line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} ..."
        for line in text.rstrip().split("\n")
    ]
    if len(lines) > MOST_LINES:
        lines = [*lines[:MOST_LINES], "# ..."]
    return "```circ\n" + "\n".join(lines) + "\n```"


def listed(names: Iterable[str], most: int = MOST_SHOWN) -> str:
    """`a`, `b`, ... with the number of those left out."""
    found = list(names)
    rest = f" and {len(found) - most:,} more" if len(found) > most else ""
    return ", ".join(f"`{name}`" for name in found[:most]) + rest


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def comment_above(span: Span) -> str:
    """The lines of comment that end right above a statement."""
    lines = span.source.text[: span.start].split("\n")[:-1]
    found: list[str] = []
    while lines and lines[-1].lstrip().startswith("#"):
        found.insert(0, lines.pop().strip().lstrip("#").strip())
    return " ".join(found)


def comment_beside(span: Span) -> str:
    """The comment on the line where a statement ends."""
    rest = span.source.text[span.end :].partition("\n")[0].strip()
    return rest.lstrip("#").strip() if rest.startswith("#") else ""
