"""Text -> tokens. What no token can start is reported, mended where the meaning is plain, and passed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from lark import Token
from lark.exceptions import UnexpectedCharacters

from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.source import Source
from circuitlang.language.text.grammar import STATEMENTS, TASK_ITEMS, parser

MOST_ERRORS = 50
_QUOTES = {"'": "'", "“": "”", "”": "”", "„": "“", "‘": "’", "’": "’", "«": "»"}
_MEANT = {
    "|": ("PLUS", "+"),
    "\\": ("MINUS", "-"),
    "∖": ("MINUS", "-"),
    "→": ("ARROW", "->"),
    "⟶": ("ARROW", "->"),
    "≥": ("RELATION", ">="),
    "≤": ("RELATION", "<="),
    "≠": ("RELATION", "!="),
    "∧": ("AND", "and"),
    "∪": ("PLUS", "+"),
    "∩": ("AMPERSAND", "&"),
    "∈": ("IN", "in"),
    "∀": ("FORALL", "forall"),
    "∃": ("EXISTS", "exists"),
    "×": ("STAR", "*"),
    "−": ("MINUS", "-"),
    "–": ("MINUS", "-"),
    "…": ("DOTS", ".."),
}
_HELP = {
    "|": "a union of sets is written with `+`",
    ";": "statements need no separator; delete it",
    "%": "write the percent sign right after the number, as in `80%`",
    "!": "there is no negation; turn the comparison round, or write `!=`",
    "$": 'names stand alone, and in braces inside a string: "{name}"',
    "\\": "the difference of sets is written with `-`",
    "~": "the complement of a set is `M - S`",
    "¬": "the complement of a set is `M - S`; for the contrary turn the comparison round",
    "^": "what is in one of two sets alone is `(A + B) - (A & B)`; a square is `square(x)`",
}
# After a block of text that is never closed, reading goes on at the next line that starts like this.
_RESUME = re.compile(rf"^[ \t]*(?:{'|'.join(STATEMENTS + TASK_ITEMS)})\b", re.MULTILINE)
_COMMENT = re.compile(r"#[^\n]*")
_CLOSERS = re.compile(r"[\])},\s]*$")


@dataclass
class Lexed:
    """`doubtful` are the places of tokens whose extent is a guess: strings that are not closed."""

    tokens: list[Token] = field(default_factory=list)
    doubtful: set[int] = field(default_factory=set)


def lex(source: Source, diagnostics: Diagnostics) -> Lexed:
    found = Lexed()
    thread: Any = parser().parse_interactive(source.text).lexer_thread
    for _ in range(MOST_ERRORS):
        try:
            for token in thread.lex(None):
                found.tokens.append(token)
            return found
        except UnexpectedCharacters as problem:
            at = problem.pos_in_stream or 0
            end = _pass(source, at, found, diagnostics)
            thread.state.line_ctr.feed(source.text[at:end])
    diagnostics.error(
        "CL002",
        f"The file has more than {MOST_ERRORS} characters that the language does not use; "
        "the rest was not read.",
        source.span(thread.state.line_ctr.char_pos, thread.state.line_ctr.char_pos + 1),
        "is this a .circ file?",
    )
    return found


def comments(source: Source, tokens: list[Token]) -> list[Token]:
    """The comments between the tokens of a text without errors, as tokens of their own."""
    found = []
    start = 0
    for end, after in [(t.start_pos or 0, t.end_pos or 0) for t in tokens] + [
        (len(source.text), 0)
    ]:
        for match in _COMMENT.finditer(source.text, start, end):
            text = match[0].rstrip()
            found.append(_token(source, "COMMENT", text, match.start(), match.start() + len(text)))
        start = after
    return found


def _pass(source: Source, at: int, found: Lexed, diagnostics: Diagnostics) -> int:
    """Reports what stands at `at`, adds the token that was meant, returns where to go on."""
    character = source.text[at]
    if character == '"':
        return _unclosed_string(source, at, found, diagnostics)
    closing = _QUOTES.get(character)
    line_end = _line_end(source.text, at)
    close = source.text.find(closing, at + 1, line_end) if closing else -1
    if close > 0:
        return _other_quotes(source, at, close + 1, found, diagnostics)
    end = at + 1
    while end < len(source.text) and source.text[end] == character:
        end += 1
    kind, meant = _MEANT.get(character, ("", ""))
    help = f"write `{meant}`" if meant else "delete it"
    if closing:
        help = 'texts stand in double quotes: "..."'
    if character == "\\" and not source.text[end:line_end].strip():
        kind, help = "", "a statement goes on over lines by itself; delete it"
    shown = character if character.isprintable() else f"U+{ord(character):04X}"
    diagnostics.error(
        "CL002",
        f"`{shown}` is not a character of the language.",
        source.span(at, end),
        _HELP.get(character, help),
    )
    if kind:
        found.tokens.append(_token(source, kind, meant, at, end))
    return end


def _other_quotes(source: Source, at: int, end: int, found: Lexed, diagnostics: Diagnostics) -> int:
    inside = source.text[at + 1 : end - 1].replace('"', '\\"')
    diagnostics.error(
        "CL002",
        "Texts stand in straight double quotes.",
        source.span(at, end),
        f'write "{inside}"',
    )
    found.tokens.append(_token(source, "STRING", f'"{inside}"', at, end))
    return end


def _unclosed_string(source: Source, at: int, found: Lexed, diagnostics: Diagnostics) -> int:
    text = source.text
    if text.startswith('"""', at):
        resume = _RESUME.search(text, _line_end(text, at))
        end = resume.start() if resume else len(text)
        message, help = "This text in triple quotes is not closed.", 'close it with `"""`'
    else:
        end = _line_end(text, at)
        inside = text[at:end]
        closers = _CLOSERS.search(inside)
        if closers and any(inside.count(o) < inside.count(c) for o, c in ("[]", "()", "{}")):
            end = at + max(1, closers.start())
        message = "This string is not closed."
        help = 'close it with `"` on the same line, or use `"""` for several lines'
    diagnostics.error("CL003", message, source.span(at, min(end, _line_end(text, at))), help)
    found.doubtful.add(at)
    found.tokens.append(_token(source, "STRING", '""', at, end))
    return end


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _token(source: Source, kind: str, value: str, start: int, end: int) -> Token:
    line, column = source.line_and_column(start)
    end_line, end_column = source.line_and_column(end)
    return Token(kind, value, start, line, column, end_line, end_column, end)
