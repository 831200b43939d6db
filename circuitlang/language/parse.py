"""Text -> syntax tree, with every syntax error of the file.

The lexer's tokens are cut into statements at the words that start one (they are reserved,
so they start nothing else), and each statement is parsed alone. After an error the parser
resumes at the next line of the block or the next statement.
"""

from __future__ import annotations

from collections.abc import Iterator

from lark import Token
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from circuitlang.language import syntax
from circuitlang.language.build import Builder
from circuitlang.language.diagnostics import Diagnostics, did_you_mean
from circuitlang.language.grammar import (
    CIRCUIT_ITEMS,
    RESERVED,
    STATEMENTS,
    TASK_ITEMS,
    parser,
    words_of_terminals,
)
from circuitlang.language.source import Source

LARGEST_FILE = 1_000_000
DEEPEST = 150
_OPENING = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
_CLOSING = {closing: opening for opening, closing in _OPENING.items()}
_NAMING = frozenset([*STATEMENTS, *TASK_ITEMS, "as", "for", "forall", "exists"]) - {"default"}
_CONTINUES = frozenset(["PLUS", "MINUS", "STAR", "SLASH", "EQUAL", "COLON", "COMMA", "AND"])


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
    builder = Builder(source)
    statements: list[syntax.Statement] = []
    for segment in _segments(_lex(source, diagnostics)):
        statements += _parse_segment(segment, source, builder, diagnostics)
    if not statements and not diagnostics.has_errors:
        diagnostics.error(
            "CL005",
            f"{source.name} has no statement in it.",
            source.span(0, 0),
            'start with `spec my_circuit "0.1.0"` and `model "toy"`',
        )
    return syntax.File(tuple(statements))


def parse_expression(source: Source, diagnostics: Diagnostics) -> syntax.Expression | None:
    """A single expression or formula, as `circ eval` takes it."""
    prefix = "claim it: "
    wrapped = Source(source.name, prefix + source.text, source.folder)
    file = parse(wrapped, diagnostics)
    claims = [s for s in file.statements if isinstance(s, syntax.Claim)]
    return claims[0].formula if len(claims) == 1 and len(file.statements) == 1 else None


def _lex(source: Source, diagnostics: Diagnostics) -> list[Token]:
    text = source.text
    while True:
        try:
            return list(parser().lex(text))
        except UnexpectedCharacters as problem:
            at = problem.pos_in_stream
            if text[at] == '"':
                end = text.find("\n", at)
                end = len(text) if end < 0 or text[at : at + 3] == '"""' else end
                diagnostics.error(
                    "CL003",
                    "This string is not closed.",
                    source.span(at, end),
                    'close it with `"` on the same line, or use `"""` for several lines',
                )
            else:
                end = at + 1
                while end < len(text) and text[end] == text[at]:
                    end += 1
                diagnostics.error(
                    "CL002",
                    f"`{text[at]}` is not a character of the language.",
                    source.span(at, end),
                    _character_help(text[at]),
                )
            text = text[:at] + " " * (end - at) + text[end:]


def _character_help(character: str) -> str:
    if character == "'":
        return 'strings are written with double quotes: "..."'
    if character == ";":
        return "statements need no separator; delete it"
    if character == "|":
        return "a union of sets is written with `+`"
    return "delete it"


def _segments(tokens: list[Token]) -> Iterator[list[Token]]:
    current: list[Token] = []
    for token in tokens:
        if token.value in STATEMENTS and token.type != "STRING" and current:
            yield current
            current = []
        current.append(token)
    if current:
        yield current


def _parse_segment(
    tokens: list[Token], source: Source, builder: Builder, diagnostics: Diagnostics
) -> list[syntax.Statement]:
    """Parses one statement, dropping the part around each error and trying again."""
    found: list[syntax.Statement] = []
    reported = 0
    while tokens:
        problem = _attempt(tokens, builder, source, diagnostics, found)
        if problem is None:
            return found
        index, expected = problem
        if reported < 20:
            _report(tokens, index, expected, source, diagnostics)
        reported += 1
        kept = _without_error(tokens, index)
        if kept is None:
            start = _line_start(tokens, index)
            return found + (
                _parse_quietly(tokens[:start], source, builder) if 0 < start else []
            )
        tokens = kept
    return found


def _attempt(
    tokens: list[Token],
    builder: Builder,
    source: Source,
    diagnostics: Diagnostics,
    found: list[syntax.Statement],
) -> tuple[int, set[str]] | None:
    """Extends `found`, or gives the index of the offending token and what could stand there."""
    interactive = parser().parse_interactive()
    for index, token in enumerate(tokens):
        try:
            interactive.feed_token(token)
        except UnexpectedToken:
            return index, interactive.accepts()
    try:
        tree = interactive.feed_eof(tokens[-1])
    except UnexpectedToken:
        return len(tokens), interactive.accepts()
    depth = _depth(tree)
    if depth > DEEPEST:
        diagnostics.error(
            "CL008",
            f"This statement is nested {depth} levels deep; the limit is {DEEPEST}.",
            source.span(tokens[0].start_pos or 0, tokens[0].end_pos or 0),
            "name its parts with `let`, or write a long sum as a list",
        )
        return None
    found += [builder.build(child) for child in tree.children]
    return None


def _depth(tree: object) -> int:
    deepest, stack = 0, [(tree, 1)]
    while stack:
        node, depth = stack.pop()
        deepest = max(deepest, depth)
        stack += [(child, depth + 1) for child in getattr(node, "children", ())]
    return deepest


def _parse_quietly(
    tokens: list[Token], source: Source, builder: Builder
) -> list[syntax.Statement]:
    found: list[syntax.Statement] = []
    silent = Diagnostics()
    _attempt(tokens, builder, source, silent, found)
    return found


def _unclosed(tokens: list[Token]) -> list[int]:
    """Indices of the brackets that are open after the last token, outermost first."""
    opening: list[int] = []
    for i, token in enumerate(tokens):
        if token.type in _OPENING:
            opening.append(i)
        elif token.type in _CLOSING and opening:
            opening.pop()
    return opening


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
    items = TASK_ITEMS + CIRCUIT_ITEMS
    opening = _unclosed(tokens[:index])
    bracket = next((i for i in opening if tokens[i].type != "LBRACE"), None)
    start = _line_start(tokens, index if bracket is None else bracket)
    if start <= braces[0]:
        start = braces[0] + 1
    end = index + (1 if index == start else 0)
    depth = sum((t.type in _OPENING) - (t.type in _CLOSING) for t in tokens[start:end])
    while end < len(tokens):
        token = tokens[end]
        if depth <= 0 and (
            token.type == "RBRACE"
            or token.value in items
            or (token.line != tokens[end - 1].line and tokens[end - 1].type not in _CONTINUES)
        ):
            break
        depth += (token.type in _OPENING) - (token.type in _CLOSING)
        end += 1
    if end <= start:
        return None
    return tokens[:start] + tokens[end:]


def _report(
    tokens: list[Token],
    index: int,
    expected: set[str],
    source: Source,
    diagnostics: Diagnostics,
) -> None:
    lexical = {d.span.line for d in diagnostics.found if d.code in ("CL002", "CL003") and d.span}
    nearby = {tokens[i].line for i in (index - 1, index) if 0 <= i < len(tokens)}
    if lexical & nearby:
        return
    if index >= len(tokens):
        _report_end(tokens, expected, source, diagnostics)
        return
    token = tokens[index]
    span = source.span(token.start_pos or 0, token.end_pos or 0)
    previous = tokens[index - 1] if index else None
    open_brackets = [i for i in _unclosed(tokens[:index]) if tokens[i].type != "LBRACE"]
    if open_brackets and (token.value in TASK_ITEMS + CIRCUIT_ITEMS or token.type == "RBRACE"):
        _report_unclosed(tokens[open_brackets[-1]], source, diagnostics)
        return
    if token.type == "MINUS" and index + 1 < len(tokens) and tokens[index + 1].value == ">":
        diagnostics.error("CL001", "`- >` is not an arrow.", span, "write `->`")
        return
    if token.value == "expect" and token.type == "EXPECT":
        diagnostics.error(
            "CL001",
            "`expect` stands in the claim's head, before the colon.",
            span,
            'write `claim name expect fails "reason": ...`',
        )
        return
    naming = previous is not None and previous.value in _NAMING and previous.type != "STRING"
    if naming and "NAME" in expected and token.value in RESERVED and token.type != "STRING":
        diagnostics.error(
            "CL108",
            f"`{token}` is a word of the language and cannot be a name here.",
            span,
            f"choose another name, such as `{token}_`",
        )
        return
    if naming and "NAME" in expected and token.type == "NODE":
        diagnostics.error(
            "CL108", f"`{token}` is a node and cannot be a name here.", span, "choose another name"
        )
        return
    word = previous if previous is not None and previous.type == "NAME" else None
    first = previous is not None and (index < 2 or tokens[index - 2].line != previous.line)
    close = did_you_mean(str(word), STATEMENTS + TASK_ITEMS + CIRCUIT_ITEMS) if word and first else None
    if word is not None and close:
        diagnostics.error(
            "CL001",
            f"`{word}` starts no statement.",
            source.span(word.start_pos or 0, word.end_pos or 0),
            f"did you mean `{close}`?",
        )
        return
    diagnostics.error(
        "CL001",
        f"`{_shorten(str(token))}` cannot stand here.",
        span,
        _expectation(expected, token),
    )


def _report_end(
    tokens: list[Token], expected: set[str], source: Source, diagnostics: Diagnostics
) -> None:
    unclosed = _unclosed(tokens)
    last = tokens[-1]
    if unclosed:
        _report_unclosed(tokens[unclosed[-1]], source, diagnostics)
        return
    diagnostics.error(
        "CL001",
        f"The statement ends too early, after `{_shorten(str(last))}`.",
        source.span(last.start_pos or 0, last.end_pos or 0),
        _expectation(expected, None),
    )


def _report_unclosed(opening: Token, source: Source, diagnostics: Diagnostics) -> None:
    diagnostics.error(
        "CL004",
        f"This `{opening}` is not closed before the next statement.",
        source.span(opening.start_pos or 0, opening.end_pos or 0),
        f"add {words_of_terminals()[_OPENING[opening.type]]}",
    )


def _shorten(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."


def _expectation(expected: set[str], token: Token | None) -> str:
    words = words_of_terminals()
    shown = sorted({words[name] for name in expected if name in words})
    if token is not None and token.type == "NAME":
        close = did_you_mean(str(token), [w.strip("`") for w in shown if w.startswith("`")])
        if close:
            return f"did you mean `{close}`?"
    statements = {f"`{word}`" for word in STATEMENTS}
    if len(statements & set(shown)) == len(statements):
        shown = [w for w in shown if w not in statements] + ["a new statement"]
    text = ", ".join(shown[:12]) + (", ..." if len(shown) > 12 else "")
    return f"what can follow: {text}"
