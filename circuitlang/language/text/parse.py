"""Text -> syntax tree, with every syntax error of the file.

The tokens are cut into statements at the words that start one (they are reserved, so they
start nothing else), and each statement is parsed alone. At an error a common slip is mended in
place (slips.py); otherwise the line or the statement that holds it is left out.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import replace
from typing import Any

from lark import Token, Tree
from lark.exceptions import UnexpectedToken

from circuitlang.language.diagnostics import Diagnostics, did_you_mean
from circuitlang.language.source import Source, Span
from circuitlang.language.text import syntax
from circuitlang.language.text.build import Builder
from circuitlang.language.text.grammar import (
    CIRCUIT_ITEMS,
    STATEMENTS,
    TASK_ITEMS,
    WORD_SETTINGS,
    parser,
    words_of_terminals,
)
from circuitlang.language.text.lex import lex
from circuitlang.language.text.other_words import instead_of_statement
from circuitlang.language.text.slips import find_slip
from circuitlang.language.text.slips.operators import JOINING
from circuitlang.language.text.slips.rewriting import with_whole_names, without_comments
from circuitlang.language.text.slips.spot import CLOSING, OPENING, Slip, Spot, unclosed
from circuitlang.language.text.slips.words import is_name_by_place

LARGEST_FILE = 500_000
LONGEST_STATEMENT = 50_000
DEEPEST = 150
MOST_ERRORS = 50
MOST_SLIPS = 20
_ITEMS = frozenset(TASK_ITEMS + CIRCUIT_ITEMS)
_CONTINUES = frozenset(
    ["PLUS", "MINUS", "STAR", "SLASH", "EQUAL", "COLON", "COMMA", "AND", "ARROW"]
)
_OPERATORS = frozenset(
    ["`&`", "`*`", "`+`", "`->`", "`-`", "`..`", "`/`", "`@`", "`and`", "`in`", "`.`"]
) | {"a comparison"}
_VALUES = frozenset(["`(`", "`-`", "`[`"]) | {"a name", "a node", "a number", "a string"}


def parse(source: Source, diagnostics: Diagnostics) -> syntax.File:
    """The statements that could be read; what could not is in `diagnostics`."""
    if len(source.text) > LARGEST_FILE:
        diagnostics.error(
            "CL006",
            f"{source.name} has {len(source.text):,} characters; a spec has at most {LARGEST_FILE:,}.",
            None,
            'move data into a file and read it with rows("...") or file("...")',
        )
        return syntax.File(())
    file = _Parse(source, diagnostics).file()
    if not file.statements and not diagnostics.has_errors:
        diagnostics.error(
            "CL005",
            f"{source.name} has no statement in it.",
            source.span(0, 0),
            'start with `spec my_circuit "0.1.0"` and `model "toy"`',
        )
    return file


def parse_expression(source: Source, diagnostics: Diagnostics) -> syntax.Expression | None:
    """A single expression or formula, as `circ eval` takes it."""
    if not source.text.strip():
        diagnostics.error("CL001", "The expression is empty.", None, "write for example `F(M)`")
        return None
    prefix = "claim it: "
    wrapped = Source(source.name, prefix + source.text, source.folder, len(prefix))
    file = parse(wrapped, diagnostics)
    claims = [s for s in file.statements if isinstance(s, syntax.Claim)]
    return claims[0].formula if len(claims) == 1 and len(file.statements) == 1 else None


class _Parse:
    """Parses one text; findings go to `diagnostics`."""

    def __init__(self, source: Source, diagnostics: Diagnostics) -> None:
        self.source, self.diagnostics = source, diagnostics
        self.builder = Builder(source)
        self.errors = 0
        self.reserved: set[str] = set()
        self.statements: list[syntax.Statement] = []
        self.unread: list[syntax.Unread] = []

    def file(self) -> syntax.File:
        lexed = lex(self.source, self.diagnostics)
        tokens = without_comments(lexed.tokens, self._comment)
        self.lexical = {d.span.line for d in self.diagnostics.found if d.span is not None}
        for segment in _segments(with_whole_names(tokens, self._tell)):
            if self.errors >= MOST_ERRORS:
                self._give_up(segment[0])
                break
            whole = not any(t.start_pos in lexed.doubtful for t in segment)
            self._segment(segment, whole)
        return syntax.File(tuple(self.statements), tuple(self.unread))

    def span(self, start: Token, end: Token | None = None) -> Span:
        return self.source.span(start.start_pos or 0, (end or start).end_pos or 0)

    def _give_up(self, token: Token) -> None:
        self.unread.append(syntax.Unread("", None))
        self.diagnostics.error(
            "CL001",
            f"After {MOST_ERRORS} errors the rest of the file was not read.",
            self.span(token),
            "mend the errors above first",
        )

    def _segment(self, tokens: list[Token], whole: bool) -> None:
        """Parses one statement, mending slips and leaving out the part around other errors."""
        if len(tokens) > LONGEST_STATEMENT:
            self.diagnostics.error(
                "CL006",
                f"This statement has {len(tokens):,} words and signs; the limit is "
                f"{LONGEST_STATEMENT:,}.",
                self.span(tokens[0]),
                'move data into a file and read it with rows("...") or file("...")',
            )
            self.unread.append(_unread(tokens))
            return
        slips = 0
        while tokens:
            problem = _unexpected(tokens)
            if isinstance(problem, Tree):
                stray = _stray_word(problem, tokens)
                if stray is None or slips >= MOST_SLIPS:
                    self._build(problem, tokens, whole)
                    return
                problem = stray, {"YES", "NO", "NUMBER", "STRING"}
            index, expected = problem
            slip = self._report(Spot(tokens, index, frozenset(expected)))
            self.errors += 1
            slips += 1
            if slip is not None and slip.mended is not None and slips < MOST_SLIPS:
                tokens, whole = slip.mended, whole and self._is_sure(slip, tokens)
                continue
            kept = _without_error(tokens, index) if slips < MOST_SLIPS else None
            if kept is None:
                self._salvage(tokens, index, whole)
                return
            tokens, whole = kept, False

    def _build(self, tree: Tree[Token], tokens: list[Token], whole: bool) -> None:
        depth = _depth(tree)
        if depth > DEEPEST:
            self.diagnostics.error(
                "CL008",
                f"This statement is nested {depth} levels deep; the limit is {DEEPEST}.",
                self.span(tokens[0]),
                "name its parts with `let`, or write a long sum as a list",
            )
            self.unread.append(_unread(tokens))
            return
        for child in tree.children:
            statement = self.builder.build(child)
            if whole:
                self.statements.append(statement)
            elif isinstance(statement, syntax.Task | syntax.Circuit):
                self.statements.append(replace(statement, complete=False))
            else:
                self.unread.append(syntax.Unread(str(tokens[0]), getattr(statement, "name", None)))

    def _salvage(self, tokens: list[Token], index: int, whole: bool) -> None:
        """What stands before the line of an error, when that line is a statement of its own."""
        start = _line_start(tokens, index)
        before = tokens[:start]
        apart = before and (tokens[start].column or 0) <= (tokens[0].column or 0)
        tree = _unexpected(before) if apart else None
        if isinstance(tree, Tree):
            self._build(tree, before, whole)
            tokens = tokens[start:]
        self.unread.append(_unread(tokens))

    # ------------------------------------------------------------ messages

    def _report(self, spot: Spot) -> Slip | None:
        """Says what is wrong at the spot, unless the lexer has said so; the slip, when it is one."""
        slip = find_slip(spot)
        nearby = spot.tokens[max(0, spot.index - 1) : spot.index + 1]
        if self.lexical & {t.line for t in nearby}:
            return slip
        if slip is not None:
            self._tell(slip)
        elif spot.at_end:
            last = spot.tokens[-1]
            message = f"The statement ends too early, after `{_short(last)}`."
            self.diagnostics.error("CL001", message, self.span(last), _expectation(spot, None))
        else:
            self._unexpected_token(spot)
        return slip

    def _is_sure(self, slip: Slip, tokens: list[Token]) -> bool:
        """A reserved word where a name is used is one, as far as the rest of the file is concerned."""
        used_as_name = slip.code == "CL108" and slip.start.type != "NODE"
        return slip.certain or (used_as_name and tokens[0].type != "TASK")

    def _tell(self, slip: Slip) -> None:
        """A reserved word that is used as a name is told once, whatever else uses it."""
        if slip.code == "CL108":
            if str(slip.start) in self.reserved:
                return
            self.reserved.add(str(slip.start))
            self.unread.append(syntax.Unread("label", str(slip.start)))
        self.diagnostics.error(slip.code, slip.message, self.span(slip.start, slip.end), slip.help)

    def _comment(self, slip: Slip) -> None:
        """What the lexer found inside a comment of another language is not said."""
        span = self.span(slip.start, slip.end)
        end = self.source.text.find("\n", span.end)
        end = len(self.source.text) if end < 0 else end
        self.diagnostics.found = [
            d
            for d in self.diagnostics.found
            if d.span is None or not span.start <= d.span.start < end
        ]
        if self.errors < MOST_ERRORS:
            self.errors += 1
            self._tell(slip)

    def _unexpected_token(self, spot: Spot) -> None:
        word = spot.ahead(-1)
        token = spot.token
        if (
            word is not None
            and word.type == "NAME"
            and spot.starts_line(-1)
            and "YES" in spot.expected
        ):
            inside = spot.innermost() == "LBRACE"
            where = "a line of this block" if inside else "a statement"
            known = TASK_ITEMS if inside else STATEMENTS
            help = instead_of_statement(str(word), inside)
            if token.type == "COLON" and not inside and not help:
                help = f"write `claim {_short(word)}: ...`"
            self.diagnostics.error(
                "CL001",
                f"`{_short(word)}` does not start {where}.",
                self.span(word),
                help or f"one of {', '.join(known)} does",
            )
            return
        self.diagnostics.error(
            "CL001",
            f"`{_short(token)}` cannot stand here.",
            self.span(token),
            _expectation(spot, token),
        )


def _segments(tokens: list[Token]) -> Iterator[list[Token]]:
    current: list[Token] = []
    opened, line = 0, 0
    for i, token in enumerate(tokens):
        if token.line != line:
            opened, line = 0, token.line or 0
        if token.value in STATEMENTS and current and not is_name_by_place(tokens, i, opened > 0):
            yield current
            current = []
        opened += (token.type in ("LPAR", "LSQB")) - (token.type in ("RPAR", "RSQB"))
        current.append(token)
    if current:
        yield current


def _unexpected(tokens: list[Token]) -> Tree[Token] | tuple[int, set[str]]:
    """The tree, or the index of the first token that does not fit and what could stand there."""
    interactive: Any = parser().parse_interactive()
    for index, token in enumerate(tokens):
        before = tokens[index - 1] if index else None
        if token.type == "NAME" and _takes_no_word(before, interactive.choices()):
            return index, interactive.accepts() - {"NAME"}
        try:
            interactive.feed_token(token)
        except UnexpectedToken:
            return index, _acceptable(interactive, before)
    try:
        tree: Tree[Token] = interactive.feed_eof(tokens[-1])
    except UnexpectedToken:
        return len(tokens), _acceptable(interactive, tokens[-1])
    return tree


def _takes_no_word(before: Token | None, next_types: Container[str]) -> bool:
    """Whether a setting's value is due after `before`, and a word is none."""
    return "YES" in next_types and before is not None and str(before) not in WORD_SETTINGS


def _acceptable(interactive: Any, before: Token | None) -> set[str]:
    found: set[str] = interactive.accepts()
    return found - {"NAME"} if _takes_no_word(before, found) else found


def _stray_word(tree: Tree[Token], tokens: list[Token]) -> int | None:
    """Index of the value after a word that reads as a setting, the `to` of `0.8 to 1.2`."""
    stray = {
        name.start_pos
        for setting in tree.find_data("setting")
        if str(name := setting.children[0]) in JOINING and isinstance(name, Token)
    }
    if not stray:
        return None
    at = next(i for i, t in enumerate(tokens) if t.start_pos in stray)
    return at + 1 if at and tokens[at - 1].line == tokens[at].line else None


def _depth(tree: object) -> int:
    deepest, stack = 0, [(tree, 1)]
    while stack:
        node, depth = stack.pop()
        deepest = max(deepest, depth)
        stack += [(child, depth + 1) for child in getattr(node, "children", ())]
    return deepest


def _unread(tokens: list[Token]) -> syntax.Unread:
    """What a statement that cannot be read would have been."""
    first = tokens[0]
    name = next((str(t) for t in tokens[1:2] if t.type in ("NAME", "NODE")), None)
    if first.value in STATEMENTS:
        return syntax.Unread(str(first), name)
    return syntax.Unread(did_you_mean(str(first), STATEMENTS) or "", name)


def _line_start(tokens: list[Token], index: int) -> int:
    """Index of the first token on the line of token `index`."""
    index = min(index, len(tokens) - 1)
    while index > 0 and tokens[index - 1].line == tokens[index].line:
        index -= 1
    return index


def _without_error(tokens: list[Token], index: int) -> list[Token] | None:
    """The statement with the faulty line or item of its block left out, None when it is no block."""
    braces = [i for i, t in enumerate(tokens) if t.type == "LBRACE"]
    if not braces or index <= braces[0] or index >= len(tokens):
        return None
    opening = unclosed(tokens[:index])
    bracket = next((i for i in opening if tokens[i].type != "LBRACE"), None)
    start = _line_start(tokens, index if bracket is None else bracket)
    if start <= braces[0]:
        start = braces[0] + 1
    end = _end_of_item(tokens, start, index + (1 if index == start else 0))
    return tokens[:start] + tokens[end:] if end > start else None


def _end_of_item(tokens: list[Token], start: int, end: int) -> int:
    """Where the item that begins at `start` and holds an error before `end` is over."""
    depth = sum((t.type in OPENING) - (t.type in CLOSING) for t in tokens[start:end])
    while end < len(tokens):
        token, previous = tokens[end], tokens[end - 1]
        new_line = token.line != previous.line and previous.type not in _CONTINUES
        if depth <= 0 and (token.type == "RBRACE" or token.value in _ITEMS or new_line):
            break
        depth += (token.type in OPENING) - (token.type in CLOSING)
        end += 1
    return end


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."


def _expectation(spot: Spot, token: Token | None) -> str:
    words = words_of_terminals()
    shown = {words[name] for name in spot.expected if name in words}
    if token is not None and token.type == "NAME":
        close = did_you_mean(str(token), [w.strip("`") for w in shown if w.startswith("`")])
        if close:
            return f"did you mean `{close}`?"
    statements = {f"`{word}`" for word in STATEMENTS}
    if statements <= shown:
        shown = shown - statements - {"a name"} | {"a new statement"}
    if shown >= _VALUES:
        shown = shown - _VALUES | {"a value"}
    if len(shown & _OPERATORS) > 4:
        shown = shown - _OPERATORS | {"an operator"}
    return f"what can follow: {', '.join(sorted(shown, key=lambda w: (w.startswith('`'), w)))}"
