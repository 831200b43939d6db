"""Highlighting: a Pygments lexer, and the table of rules that the TextMate grammar is made of.

Takes the words and terminals of grammar/circ.lark; gives `CircLexer` (installed as the Pygments
plugin `circ`), and the rules as data for scripts/make_textmate.py. `KINDS` are what an editor can
tell apart. No token spans two lines, since a
TextMate grammar sees one line at a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pygments.lexer import RegexLexer, bygroups
from pygments.token import (
    Comment,
    Error,
    Keyword,
    Name,
    Number,
    Operator,
    Punctuation,
    String,
    Whitespace,
    _TokenType,
)

from circuitlang.language.formulas.evaluate import BUILTIN_WORDS
from circuitlang.language.tasks.halves import HALVES
from circuitlang.language.text.grammar import (
    CIRCUIT_ITEMS,
    RESERVED,
    STATEMENTS,
    TASK_ITEMS,
    WORD_SETTINGS,
    parser,
)


@dataclass(frozen=True)
class Kind:
    """What a piece of text is: its Pygments token type, its TextMate scope, and its type in editors.

    The last is one of the Language Server Protocol's semantic token types.
    """

    token: _TokenType
    scope: str | None
    semantic: str | None = None


SPACE = Kind(Whitespace, None)
COMMENT = Kind(Comment.Single, "comment.line.number-sign.circ", "comment")
STATEMENT = Kind(Keyword.Declaration, "storage.type.circ", "keyword")
KEYWORD = Kind(Keyword, "keyword.control.circ", "keyword")
WORD = Kind(Operator.Word, "keyword.operator.word.circ", "keyword")
TRUTH = Kind(Keyword.Constant, "constant.language.boolean.circ", "keyword")
DEFINED = Kind(Name.Class, "entity.name.type.circ", "class")
SETTING = Kind(Name.Property, "support.type.property-name.circ", "property")
VARIABLE = Kind(Name.Variable, "variable.parameter.circ", "parameter")
NODE = Kind(Name.Constant, "support.constant.node.circ", "enumMember")
PORT = Kind(Name.Attribute, "entity.other.attribute-name.port.circ", "property")
PLACE = Kind(Name.Label, "entity.name.label.circ", "decorator")
FUNCTION = Kind(Name.Function, "entity.name.function.circ", "function")
BUILTIN = Kind(Name.Builtin, "constant.language.circ", "macro")
NAME = Kind(Name, "variable.other.circ", "variable")
NUMBER = Kind(Number, "constant.numeric.circ", "number")
OPERATOR = Kind(Operator, "keyword.operator.circ", "operator")
SEPARATOR = Kind(Punctuation, "punctuation.separator.circ")
STRING = Kind(String, "string.quoted.circ", "string")
SLOT = Kind(String.Interpol, "constant.other.placeholder.circ", "parameter")
ESCAPE = Kind(String.Escape, "constant.character.escape.circ", "regexp")
UNCLOSED = Kind(Error, "invalid.illegal.unclosed.circ")


KINDS = (
    COMMENT, STATEMENT, KEYWORD, WORD, TRUTH, DEFINED, SETTING, VARIABLE, NODE, PORT, PLACE,
    FUNCTION, BUILTIN, NAME, NUMBER, OPERATOR, STRING, SLOT, ESCAPE,
)  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """A pattern, and what each of its groups is; with one kind, what the whole match is."""

    pattern: str
    kinds: tuple[Kind, ...]


@dataclass(frozen=True)
class Region:
    """From `begin` to `end`, where `inside` holds before the rules of a file.

    With `rest`, `inside` holds alone, and what it leaves is of kind `rest`.
    """

    name: str
    begin: Rule
    end: Rule
    inside: tuple[Rule, ...]
    rest: Kind | None = None


def _words(words: Iterable[str]) -> str:
    return rf"(?:{'|'.join(sorted(words))})(?!\w)"


def _signs(signs: Iterable[str]) -> str:
    return "|".join(re.escape(sign) for sign in sorted(signs, key=lambda s: (-len(s), s)))


_PATTERNS = {terminal.name: terminal.pattern.to_regexp() for terminal in parser().terminals}
_SEPARATORS = set("(){}[],:.=")
_OPERATORS = {
    terminal.pattern.value
    for terminal in parser().terminals
    if terminal.pattern.type == "str" and not terminal.pattern.value.isalpha()
} - _SEPARATORS
_TRUTH = {"yes", "no"}
_OPERATOR_WORDS = {"and", "in"}
_DEFINING = {*STATEMENTS, *TASK_ITEMS, "as"} - {"where", "counterexample"}
_STATEMENT = {*_DEFINING, *CIRCUIT_ITEMS, "where"}

_NAME = _PATTERNS["NAME"]
_GAP = r"([ \t]+)"
_NEW_NAME = rf"(?!{_words(RESERVED)}|[am]\d+(?!\w))({_NAME})"
_CLOSED = r'(?=(?:\\.|[^"\\\n])*")'

_NODE = Rule(_PATTERNS["NODE"], (NODE,))
_PLACE = Rule(rf"(?!{_words(RESERVED)}){_NAME}(?!\w|[ \t]*\()", (PLACE,))
_BRACES = Rule(r"\{\{|\}\}", (ESCAPE,))
_HOLE = Rule(r'\{[^{}"\n]*\}', (SLOT,))

REGIONS = (
    Region(
        "text",
        Rule('"""', (STRING,)),
        Rule('"""', (STRING,)),
        (Rule(r'\\(?!""").', (ESCAPE,)), _BRACES, _HOLE),
        STRING,
    ),
    Region(
        "string",
        Rule(f'"{_CLOSED}', (STRING,)),
        Rule('"', (STRING,)),
        (Rule(r"\\.", (ESCAPE,)), _BRACES, _HOLE),
        STRING,
    ),
    Region(
        "places",
        Rule(r"(@)([ \t]*)(\[)", (OPERATOR, SPACE, SEPARATOR)),
        Rule(r"\]", (SEPARATOR,)),
        (_NODE, _PLACE),
    ),
)
RULES = (
    Rule(r"\s+", (SPACE,)),
    Rule(r"#[^\n]*", (COMMENT,)),
    Rule(r'"[^\n]*', (UNCLOSED,)),
    Rule(rf"({_words(_DEFINING)}){_GAP}{_NEW_NAME}", (STATEMENT, SPACE, DEFINED)),
    Rule(rf"({_words(['forall', 'exists', 'for'])}){_GAP}{_NEW_NAME}", (KEYWORD, SPACE, VARIABLE)),
    Rule(rf"({_words(['expect'])}){_GAP}{_NEW_NAME}", (KEYWORD, SPACE, BUILTIN)),
    Rule(_words(_STATEMENT), (STATEMENT,)),
    Rule(_words(_TRUTH), (TRUTH,)),
    Rule(_words(_OPERATOR_WORDS), (WORD,)),
    Rule(_words(RESERVED - _STATEMENT - _TRUTH - _OPERATOR_WORDS), (KEYWORD,)),
    _NODE,
    Rule(rf'({_NAME}){_GAP}(?="|\d|{_words(_TRUTH)})', (SETTING, SPACE)),
    Rule(
        rf"({_words(WORD_SETTINGS)}){_GAP}({_words(HALVES)})",
        (SETTING, SPACE, BUILTIN),
    ),
    Rule(rf"(@)([ \t]*){_NEW_NAME}", (OPERATOR, SPACE, PLACE)),
    Rule(r"(\.)((?=[qkv])q?k?v?)(?!\w)", (SEPARATOR, PORT)),
    Rule(_words(BUILTIN_WORDS), (BUILTIN,)),
    Rule(rf"{_NAME}(?=[ \t]*\()", (FUNCTION,)),
    Rule(_NAME, (NAME,)),
    Rule(_PATTERNS["NUMBER"], (NUMBER,)),
    Rule(f"{_PATTERNS['RELATION']}|{_signs(_OPERATORS)}", (OPERATOR,)),
    Rule(_signs(_SEPARATORS), (SEPARATOR,)),
)


def _state(rules: Iterable[Rule]) -> list[tuple[object, ...]]:
    return [(rule.pattern, _action(rule)) for rule in rules]


def _action(rule: Rule) -> object:
    tokens = [kind.token for kind in rule.kinds]
    return tokens[0] if len(tokens) == 1 else bygroups(*tokens)  # type: ignore[no-untyped-call]


def _states() -> dict[str, list[object]]:
    """The rules as a table of Pygments states."""
    opening = [(region.begin.pattern, _action(region.begin), region.name) for region in REGIONS]
    states: dict[str, list[object]] = {"root": [*opening, *_state(RULES)]}
    for region in REGIONS:
        closing = (region.end.pattern, _action(region.end), "#pop")
        rest = [(r'[^"{}\\]+|.', region.rest.token)] if region.rest else states["root"]
        states[region.name] = [closing, *_state(region.inside), *rest]
    return states


class CircLexer(RegexLexer):
    """Pygments lexer of `.circ` files; what the language does not use is an `Error` token."""

    name = "circ"
    aliases = ("circ",)
    filenames = ("*.circ",)
    mimetypes = ("text/x-circ",)
    tokens = _states()
