"""The grammar: LALR(1) without conflicts, and the three invariants that keep it so."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.source import Source
from circuitlang.language.text.grammar import (
    RESERVED,
    STATEMENTS,
    build_parser,
    grammar_folder,
    parser,
    tables_of,
)
from circuitlang.language.text.parse import parse

GOOD = sorted((Path(__file__).parent / "good").glob("[!.]*.circ"))
GRAMMAR = (grammar_folder() / "circ.lark").read_text(encoding="utf-8")
OPERATORS = ("+", "-", "*", "/", "&", "->", "@", "..", "and", "in", ">=", "==", ".", "(", ")", "]")


def tree(text: str, **options):
    diagnostics = Diagnostics()
    file = parse(Source("t.circ", text, Path()), diagnostics)
    assert [d.message for d in diagnostics.found] == []
    return file


def placeless(file):
    """The statements without the place of `expect`, which a tree compares too."""
    return [
        replace(s, expect=s.expect[:2]) if getattr(s, "expect", None) else s
        for s in file.statements
    ]


def tokens(text: str) -> list[str]:
    return [str(token) for token in parser().lex(text)]


def test_strict_lalr():
    built = build_parser(strict=True)
    assert {t.name for t in built.terminals} == {t.name for t in parser().terminals}


def test_the_tables_are_those_of_the_grammar():
    """Else run scripts/make_tables.py."""
    written = json.loads((grammar_folder() / "circ.tables.json").read_text(encoding="utf-8"))
    fresh = json.loads(json.dumps(tables_of(build_parser())))
    assert written["made_from"].split()[-1] == fresh["made_from"].split()[-1]
    if written["made_from"] == fresh["made_from"]:
        assert parser().source_path == "<deserialized>"


def test_tables_and_grammar_parse_alike():
    text = GOOD[0].read_text(encoding="utf-8")
    assert parser().parse(text) == build_parser().parse(text)


def test_reserved_words_are_the_grammars_words():
    words = {t.pattern.value for t in parser().terminals if t.pattern.value.isalpha()}
    assert words == RESERVED | {"expect"}


def test_no_statement_starts_with_an_operator():
    """Invariant 1: nothing that continues an expression can begin a statement or a block's line."""
    for block in ("", "task t {", "circuit c {", "task t { corrupt c {"):
        interactive = parser().parse_interactive()
        for token in parser().lex(block):
            interactive.feed_token(token)
        starters = {
            parser().get_terminal(n).pattern.value for n in interactive.accepts() - {"$END"}
        }
        assert starters.isdisjoint(OPERATORS), block
        assert ("[" in starters) == block.startswith("circuit")


@pytest.mark.parametrize("before", ["a", "a.b", "a9.h9", "f(x)", "[a]", "(a)", '"x"', "1"])
def test_nothing_is_indexed(before):
    """Invariant 2: `[` never follows an expression."""
    interactive = parser().parse_interactive()
    for token in parser().lex(f"let x = {before}"):
        interactive.feed_token(token)
    assert "LSQB" not in interactive.accepts()


def test_no_context_word_outside_parentheses():
    """Invariant 3: `on under by with free over per` follow no bare expression."""
    interactive = parser().parse_interactive()
    for token in parser().lex("claim x: F(a) >= 1"):
        interactive.feed_token(token)
    assert interactive.accepts().isdisjoint({"ON", "UNDER", "BY", "WITH", "FREE", "OVER", "PER"})


@pytest.mark.parametrize("path", GOOD, ids=lambda p: p.stem)
@pytest.mark.parametrize("gap", [" ", "\n", " # a comment\n"])
def test_line_breaks_mean_nothing(path, gap):
    text = path.read_text(encoding="utf-8")
    assert placeless(tree(gap.join(tokens(text)))) == placeless(tree(text))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("C - a9.h9 @ END + b", "(C - (a9.h9 @ END)) + b"),
        ("C - a9.h9 -> logits", "C - (a9.h9 -> logits)"),
        ("a + b * c", "a + (b * c)"),
        ("a + b & c", "a + (b & c)"),
        ("-a * b", "(-a) * b"),
        ("a - b - c", "(a - b) - c"),
        ("a + b >= c - d and e < f", "((a + b) >= (c - d)) and (e < f)"),
        ("a in b + c .. d", "a in ((b + c) .. d)"),
        ("[a, b].kv @ S1", "([a, b].kv) @ S1"),
    ],
)
def test_precedence(one, other):
    assert tree(f"let x = {one}").statements == tree(f"let x = {other}").statements


@pytest.mark.parametrize(
    "node",
    ["a9.h6", "a9.h[6,9]", "a[0..3].h[*]", "m[*]", "m3", "a9.h6.q", "a9.h[6].kv", "a3.h0.qkv"],
)
def test_a_node_is_one_token(node):
    (token,) = parser().lex(node)
    assert token.type == "NODE"


@pytest.mark.parametrize("text", ["0.8..1.2", "0..3", "5%", "1e-3", "00..99"])
def test_numbers_and_ranges(text):
    assert tokens(text) == re.split(r"(\.\.)", text)


def test_every_statement_word_starts_a_statement():
    interactive = parser().parse_interactive()
    assert {w.upper() for w in STATEMENTS} <= interactive.accepts()
    assert "item" in GRAMMAR
