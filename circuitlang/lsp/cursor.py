"""A place in a text that is being written: what stands before it, and so what can stand there."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property

from lark import Token

from circuitlang.language.text.grammar import CONTEXT_WORDS, STATEMENTS
from circuitlang.lsp.analysis import Analysis
from circuitlang.lsp.symbols import Outline, Statement, Symbol, outline
from circuitlang.lsp.text import Text, end_of, start_of

_WORD = re.compile(r"\w*\Z")
# What can end a value: after it an operator, a context word or the next statement can follow.
ENDS = frozenset(["NAME", "NODE", "NUMBER", "STRING", "RPAR", "RSQB", "RBRACE", "YES", "NO"])


class Cursor:
    """A place in a text: the tokens before it, without the word that is being written."""

    def __init__(self, text: Text, offset: int, analysis: Analysis) -> None:
        self.text, self.offset, self.analysis = text, offset, analysis
        self.before = text.text[:offset]
        self.start = offset - len(_WORD.search(self.before)[0])  # type: ignore[index]
        self.tokens = [t for t in text.tokens if end_of(t) <= self.start]

    @cached_property
    def outline(self) -> Outline:
        return outline(self.text)

    @property
    def statement(self) -> Statement | None:
        return self.outline.at(self.start)

    def back(self, steps: int = 1) -> Token | None:
        return self.tokens[-steps] if len(self.tokens) >= steps else None

    def kind_back(self, steps: int = 1) -> str:
        token = self.back(steps)
        return token.type if token is not None else ""

    @property
    def starts_line(self) -> bool:
        return not self.before[self.before.rfind("\n") + 1 : self.start].strip()

    @cached_property
    def in_comment(self) -> bool:
        line = self.before[self.before.rfind("\n") + 1 :]
        return "#" in re.sub(r'"(\\.|[^"\\])*("|$)', "", line) and self.string is None

    @cached_property
    def string(self) -> int | None:
        """Where the text in quotes begins that the place is in."""
        for token in reversed(self.text.tokens):
            if start_of(token) < self.offset:
                inside = token.type == "STRING" and self.offset <= end_of(token) - _closed(
                    self.text.text[start_of(token) : end_of(token)]
                )
                return start_of(token) if inside else None
        return None

    @cached_property
    def _open(self) -> list[int]:
        """Where in `tokens` the brackets stand that are open at the place, outermost first."""
        found: list[int] = []
        for i, token in enumerate(self.tokens):
            if token.value in STATEMENTS:
                found.clear()
            elif token.type in ("LPAR", "LSQB", "LBRACE"):
                found.append(i)
            elif token.type in ("RPAR", "RSQB", "RBRACE") and found:
                found.pop()
        return found

    @property
    def open(self) -> list[Token]:
        """The brackets that are open at the place, outermost first, in its own statement."""
        return [self.tokens[i] for i in self._open]

    @cached_property
    def argument(self) -> tuple[str, int]:
        """The function whose argument stands at the place, in a list or not, and which one it is."""
        for i in reversed(self._open):
            if self.tokens[i].type == "LPAR":
                break
            if self.tokens[i].type == "LBRACE":
                return "", 0
        else:
            return "", 0
        commas = depth = 0
        for token in self.tokens[i + 1 :]:
            depth += token.type in ("LPAR", "LSQB")
            depth -= token.type in ("RPAR", "RSQB")
            commas += token.type == "COMMA" and depth == 0
            if depth == 0 and (token.value in CONTEXT_WORDS or token.value == "for"):
                return "", 0
        return self.name_before(i), commas

    @property
    def call(self) -> str:
        """The function whose parentheses are the innermost open bracket."""
        innermost = self._open[-1] if self._open else 0
        is_call = bool(self._open) and self.tokens[innermost].type == "LPAR"
        return self.name_before(innermost) if is_call else ""

    @cached_property
    def clause(self) -> str:
        """The context word whose value stands at the place, in brackets or not."""
        previous = str(self.back() or "")
        if previous in CONTEXT_WORDS or self.kind_back() in ENDS:
            return previous if previous in CONTEXT_WORDS else ""
        for i in reversed(self._open):
            before = self.tokens[i - 1] if i else None
            if before is not None and before.value in CONTEXT_WORDS:
                return str(before)
            if before is None or before.type in ("NAME", "LBRACE"):
                return ""
        return ""

    def name_before(self, index: int) -> str:
        """The dotted name that ends right before a token."""
        parts: list[str] = []
        while index > 0 and self.tokens[index - 1].type == "NAME":
            parts.insert(0, str(self.tokens[index - 1]))
            if index < 2 or self.tokens[index - 2].type != "DOT":
                break
            index -= 2
        return ".".join(parts)

    @property
    def task(self) -> Symbol | None:
        statement = self.statement
        symbol = statement.symbol if statement else None
        return symbol if symbol is not None and symbol.kind == "task" and self.open else None


def _closed(string: str) -> int:
    """How many characters close a string."""
    opening = 3 if string.startswith('"""') else 1
    return opening if len(string) >= 2 * opening and string.endswith(string[:opening]) else 0


# ---------------------------------------------------------------- kinds of place


def in_place(cursor: Cursor, previous: str) -> bool:
    """After `@`, or in a list or call that stands there."""
    tokens = cursor.tokens
    for i in range(len(tokens) - 1, -1, -1):
        if tokens[i].type == "AT":
            inside = tokens[i + 1 :]
            opened = sum(t.type in ("LSQB", "LPAR") for t in inside)
            closed = sum(t.type in ("RSQB", "RPAR") for t in inside)
            return not inside or opened > closed
        if tokens[i].type not in (
            "NAME",
            "COMMA",
            "LSQB",
            "LPAR",
            "RPAR",
            "PLUS",
            "MINUS",
            "NUMBER",
        ):
            return False
    return False


def names_something(cursor: Cursor, previous: str) -> bool:
    if previous in ("slot", "tokens", "corrupt", "prompt") and cursor.task is not None:
        return True
    named = (*STATEMENTS, "as", "forall", "exists", "for")
    return previous in named and previous not in ("default", "import", "model", "counterexample")


def in_head(cursor: Cursor, previous: str) -> bool:
    """In a claim's head, before its colon, or after `default`, where a value has ended."""
    statement = cursor.statement
    if statement is None or cursor.open:
        return False
    written = [t for t in statement.tokens if end_of(t) <= cursor.start]
    if statement.kind == "default":
        ended = bool(written) and written[-1].type in ENDS and not cursor.starts_line
        return len(written) == 1 or ended
    if statement.kind not in ("claim", "assume", "report"):
        return False
    return len(written) > 1 and all(t.type != "COLON" for t in written)


def after(*kinds: str) -> Callable[[Cursor, str], bool]:
    return lambda cursor, previous: previous in kinds


def of_clause(*kinds: str) -> Callable[[Cursor, str], bool]:
    return lambda cursor, previous: cursor.clause in kinds


def of_statement(*kinds: str) -> Callable[[Cursor, str], bool]:
    return lambda cursor, previous: cursor.statement is not None and cursor.statement.kind in kinds


def tested_token(cursor: Cursor, previous: str) -> bool:
    """After `argmax in`."""
    return previous == "in" and str(cursor.back(2)) == "argmax"


def domain(cursor: Cursor, previous: str) -> bool:
    """After the `in` of a quantifier or a `for`."""
    if previous != "in":
        return False
    for token in reversed(cursor.tokens[:-1]):
        if token.value in ("forall", "exists", "for", "most"):
            return True
        if token.type not in ("NAME", "COMMA", "LPAR", "RPAR", "NUMBER"):
            return False
    return False


def block(kind: str) -> Callable[[Cursor, str], bool]:
    def applies(cursor: Cursor, previous: str) -> bool:
        statement = cursor.statement
        braces = any(b.type == "LBRACE" for b in cursor.open)
        return braces and statement is not None and statement.kind == kind

    return applies


def new_circuit_line(cursor: Cursor, previous: str) -> bool:
    fresh = cursor.starts_line or cursor.kind_back() == "LBRACE"
    bare = bool(cursor.open) and cursor.open[-1].type == "LBRACE"
    return fresh and bare and block("circuit")(cursor, previous)


def new_statement(cursor: Cursor, previous: str) -> bool:
    ended = not cursor.tokens or cursor.kind_back() in ENDS
    return cursor.starts_line and ended and not cursor.open


def value_ended(cursor: Cursor, previous: str) -> bool:
    return cursor.kind_back() in ENDS


def setting(*names: str) -> Callable[[Cursor, str], bool]:
    """After the name of a setting, where its value is wanted."""
    return lambda cursor, previous: (
        previous in names and cursor.kind_back(2) in ("", "LBRACE", *ENDS) and not cursor.call
    )


def always(cursor: Cursor, previous: str) -> bool:
    return True
