"""Recovery: one slip is one message, and what is not touched by it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.source import Source
from circuitlang.language.text import syntax
from circuitlang.language.text.parse import parse, parse_expression
from circuitlang.language.text.slips.values import head_for


def read(text: str) -> tuple[syntax.File, list[tuple[str, int, int]]]:
    diagnostics = Diagnostics()
    file = parse(Source("t.circ", text, Path()), diagnostics)
    places = [(d.code, d.span.line, d.span.column) for d in diagnostics.sorted if d.span]
    return file, places


def names(file: syntax.File) -> list[str]:
    return [getattr(s, "name", "") for s in file.statements]


def test_every_error_of_a_file_is_found():
    file, places = read(
        "let a = 1\nlet b = = 2\nlet c = 3\ntask t {\n  slot x = [1,,2]\n  slot y = 1..2\n  prompt 5\n}\nlet d = )\n"
    )
    assert places == [("CL001", 2, 9), ("CL001", 5, 15), ("CL001", 7, 10), ("CL001", 9, 9)]
    assert names(file) == ["a", "c", "t"]
    assert [u.name for u in file.unread] == ["b", "d"]


def test_a_block_with_an_error_keeps_its_other_lines():
    file, _ = read("circuit c {\n  input -> m0\n  m0 - m1\n  m1 -> logits\n}")
    (circuit,) = file.statements
    assert (len(circuit.lines), circuit.complete) == (2, False)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("claim x F(C) >= 1", "claim x: F(C) >= 1"),
        ("clam x: F(C) >= 1", "claim x: F(C) >= 1"),
        ('model = "toy"', 'model "toy"'),
        ("model toy { bos yes }", 'model "toy" { bos yes }'),
        ("task t { sample = 5 }", "task t { sample 5 }"),
        ("task t { slot a = {1, 2} }", "task t { slot a = [1, 2] }"),
        ("task t { slot a = [1, 2,] }", "task t { slot a = [1, 2] }"),
        ("task t { slot a = ['x'] }", 'task t { slot a = ["x"] }'),
        ("circuit c { m0 => m1 }", "circuit c { m0 -> m1 }"),
        ("circuit c { m0 --> m1 }", "circuit c { m0 -> m1 }"),
        ("circuit c { m0 → m1 }", "circuit c { m0 -> m1 }"),
        ("circuit c { m0 -> a1.h0<q> }", "circuit c { m0 -> a1.h0.q }"),
        ("circuit c { m0 -> m1,\n m1 -> m2 }", "circuit c { m0 -> m1\n m1 -> m2 }"),
        ("circuit c = { m0 -> m1 }", "circuit c { m0 -> m1 }"),
        ("circuit c { m0 -> m1", "circuit c { m0 -> m1 }"),
        ("circuit c { m0 -> m1 }}", "circuit c { m0 -> m1 }"),
        ("let a = b | c", "let a = b + c"),
        ("let a = .5", "let a = 0.5"),
        ("claim x: F(C) ≥ 1", "claim x: F(C) >= 1"),
        ("claim x: F(C) > 1 && F(D) > 1", "claim x: F(C) > 1 and F(D) > 1"),
        ("claim x: for e in D: F(e) > 1", "claim x: forall e in D: F(e) > 1"),
        ("// words\nlet a = 1", "let a = 1"),
    ],
)
def test_common_slips_are_mended_after_one_message(wrong, right):
    mended, places = read(wrong)
    assert len(places) == 1
    assert mended.statements == read(right)[0].statements


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("a9h6", "a9.h6"),
        ("L9H6", "a9.h6"),
        ("9.6", "a9.h6"),
        ("a9_6", "a9.h6"),
        ("layer9_head6", "a9.h6"),
        ("mlp3", "m3"),
        ("MLP_3", "m3"),
        ("96", None),
        ("movers", None),
        ("a96", None),
    ],
)
def test_what_a_node_was_meant_to_be(text, node):
    assert head_for(text) == node


def test_a_string_that_is_not_closed_ends_with_its_line():
    file, places = read('let a = "x\nlet b = 1\n')
    assert places == [("CL003", 1, 9)]
    assert names(file) == ["b"]


def test_a_long_text_that_is_not_closed_ends_at_the_next_statement():
    file, places = read('task t {\n prompt """def\n  x\n}\nlet b = 1\n')
    assert places[0] == ("CL003", 2, 9)
    assert names(file)[-1] == "b"


def test_columns_count_characters_after_tabs_and_wide_letters():
    _, places = read('let é = 1\nlet\ta = "äöü" )\n')
    assert places[-1] == ("CL001", 2, 15)


def test_expressions_alone():
    diagnostics = Diagnostics()
    e = parse_expression(Source("e", "drop(C, a9.h9) >= 1", Path()), diagnostics)
    assert isinstance(e, syntax.Binary)
    assert parse_expression(Source("e", "let a = 1", Path()), diagnostics) is None
