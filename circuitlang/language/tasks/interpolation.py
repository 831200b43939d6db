"""`{name}` in strings: where the holes are. `{{` and `}}` stand for single braces."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from circuitlang.language.source import Span
from circuitlang.language.text import syntax

_BRACES = re.compile(r"\{\{|\}\}|\{[^{}]*\}|\{")
NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class Hole:
    """What stands between braces, at characters `start` to `end` of the string."""

    content: str
    start: int
    end: int
    is_closed: bool = True


@lru_cache(maxsize=4096)
def pieces(text: str) -> tuple[str | Hole, ...]:
    """The string's literal text and holes in order."""
    found: list[str | Hole] = []
    literal, at = "", 0
    for brace in _BRACES.finditer(text):
        literal += text[at : brace.start()]
        at = brace.end()
        if brace[0] in ("{{", "}}"):
            literal += brace[0][0]
            continue
        if literal:
            found.append(literal)
            literal = ""
        found.append(Hole(brace[0][1:].rstrip("}"), *brace.span(), brace[0].endswith("}")))
    literal += text[at:]
    return (*found, literal) if literal else tuple(found)


def place(literal: syntax.StringLiteral, hole: Hole) -> Span:
    """The hole's span; the whole string's when escapes make the offsets differ."""
    written = literal.span.text
    quotes = 3 if written.startswith('"""') else 1
    if written[quotes:-quotes] != literal.value:
        return literal.span
    start = literal.span.start + quotes
    return literal.span.source.span(start + hole.start, start + hole.end)


def name_in(literal: syntax.StringLiteral, hole: Hole) -> syntax.Name:
    """The name a hole mentions. A hole that holds no name gives one that nothing defines."""
    content = hole.content.strip()
    parts = tuple(content.split("."))
    is_name = hole.is_closed and all(NAME.fullmatch(part) for part in parts)
    return syntax.Name(parts if is_name else (content,), place(literal, hole))
