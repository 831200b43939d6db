"""Where parsing stopped, what a slip is, and how tokens are read and exchanged around it."""

from __future__ import annotations

from dataclasses import dataclass

from lark import Token

from circuitlang.language.text.grammar import CIRCUIT_ITEMS, STATEMENTS, TASK_ITEMS

OPENING = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
CLOSING = {closing: opening for opening, closing in OPENING.items()}
CLOSERS = {"RPAR": ")", "RSQB": "]", "RBRACE": "}"}
ITEMS = frozenset(TASK_ITEMS + CIRCUIT_ITEMS)
# Words that a name follows.
NAMING = frozenset([*STATEMENTS, *TASK_ITEMS, "as", "for", "forall", "exists"]) - {
    "default",
    "where",
}
ENDS_VALUE = frozenset(["NAME", "NODE", "NUMBER", "STRING", "RPAR", "RSQB"])
STARTS_VALUE = frozenset(["NAME", "NODE", "NUMBER", "STRING", "LPAR", "LSQB"])
LONGEST_SHOWN = 60
NEVER_EQUAL = "a measured number is never exactly equal; say an interval, `... in 0.9..1.1`"


@dataclass(frozen=True)
class Slip:
    """`mended` is None when what was meant cannot be told, `certain` is False when it is a guess."""

    message: str
    start: Token
    end: Token
    help: str
    mended: list[Token] | None = None
    code: str = "CL001"
    certain: bool = True


@dataclass(frozen=True)
class Spot:
    """Where parsing stopped: before `tokens[index]`, when one of the terminals `expected` was due."""

    tokens: list[Token]
    index: int
    expected: frozenset[str]

    @property
    def at_end(self) -> bool:
        return self.index >= len(self.tokens)

    @property
    def token(self) -> Token:
        """The unexpected token; after the last one an empty token that stands for the end."""
        return like(self.tokens[-1], "$END", "") if self.at_end else self.tokens[self.index]

    def ahead(self, steps: int = 1) -> Token | None:
        """The token `steps` after the unexpected one, before it when negative."""
        at = self.index + steps
        return self.tokens[at] if 0 <= at < len(self.tokens) else None

    def kind(self, steps: int) -> str:
        """The type of the token `steps` away, or nothing."""
        token = self.ahead(steps)
        return token.type if token is not None else ""

    def touches(self, steps: int) -> bool:
        """Whether the tokens at `steps - 1` and `steps` stand without a gap."""
        left, right = self.ahead(steps - 1), self.ahead(steps)
        return left is not None and right is not None and left.end_pos == right.start_pos

    def starts_line(self, steps: int = 0) -> bool:
        token, previous = self.ahead(steps), self.ahead(steps - 1)
        return token is not None and (previous is None or previous.line != token.line)

    def replaced(self, first: int, last: int, *new: Token) -> list[Token]:
        """All tokens, with those from `first` to `last` (counted from the spot) exchanged."""
        start, stop = self.index + first, self.index + last + 1
        return [*self.tokens[:start], *new, *self.tokens[stop:]]

    def open_brackets(self) -> list[int]:
        return unclosed(self.tokens[: self.index])

    def innermost(self) -> str:
        """The type of the innermost open bracket, or nothing."""
        opened = self.open_brackets()
        return self.tokens[opened[-1]].type if opened else ""

    def left(self) -> list[Token]:
        """The value that ends before the spot: `a`, `a.q`, `f(x)`, `[a, b]`."""
        return value_before(self.tokens, self.index)

    def right(self, steps: int = 0) -> list[Token]:
        """The value that begins `steps` after the spot."""
        return value_from(self.tokens, self.index + steps)


def compares_runs(spot: Spot) -> bool:
    """Whether a comparison at the spot is a claim's, of measured numbers."""
    return spot.tokens[0].type in ("CLAIM", "ASSUME") and not spot.innermost()


def unclosed(tokens: list[Token]) -> list[int]:
    """Indices of the brackets that are open after the last token, outermost first."""
    opening: list[int] = []
    for i, token in enumerate(tokens):
        if token.type in OPENING:
            opening.append(i)
        elif token.type in CLOSING and opening:
            opening.pop()
    return opening


def value_before(tokens: list[Token], end: int) -> list[Token]:
    start, depth = end, 0
    while start > 0:
        start -= 1
        kind = tokens[start].type
        depth += (kind in CLOSING) - (kind in OPENING)
        before = tokens[start - 1] if start else None
        touching = before is not None and before.end_pos == tokens[start].start_pos
        goes_on = before is not None and (
            kind == "DOT"
            or before.type == "DOT"
            or (kind == "LPAR" and before.type in ("NAME", "MOST"))
        )
        if depth < 0:
            return tokens[start + 1 : end]
        if depth == 0 and not (touching and goes_on):
            break
    return tokens[start:end]


def value_from(tokens: list[Token], start: int) -> list[Token]:
    end, depth = start, 0
    while end < len(tokens):
        kind = tokens[end].type
        depth += (kind in OPENING) - (kind in CLOSING)
        if depth < 0:
            break
        end += 1
        after = tokens[end] if end < len(tokens) else None
        touching = after is not None and after.start_pos == tokens[end - 1].end_pos
        goes_on = after is not None and (
            kind == "DOT" or after.type == "DOT" or (after.type == "LPAR" and kind == "NAME")
        )
        if depth == 0 and not (touching and goes_on):
            break
    return tokens[start:end]


def written(tokens: list[Token]) -> str:
    """The tokens as they stand in the text, each gap one blank; long ones are cut."""
    text = ""
    for i, token in enumerate(tokens):
        gap = i > 0 and tokens[i - 1].end_pos != token.start_pos
        text += f"{' ' if gap else ''}{token}"
        if len(text) > LONGEST_SHOWN:
            return "..."
    return text


def like(token: Token, kind: str, value: str, last: Token | None = None) -> Token:
    """A token at the place of `token` (to `last`)."""
    end = last or token
    return Token(
        kind, value, token.start_pos, token.line, token.column, end.end_line, end.end_column,
        end.end_pos,
    )  # fmt: skip
