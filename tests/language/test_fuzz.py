"""Whatever is in a file, `lint` answers with diagnostics, and soon."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from circuitlang import pipeline
from circuitlang.language.text.grammar import RESERVED, parser
from circuitlang.language.text.parse import LARGEST_FILE
from circuitlang.report.diagnostics import render
from tests.language.resolving import BASE

quick = settings(
    max_examples=80,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SMALL = BASE + "circuit c { input -> early.v  early -> late  late -> logits }\n"
CLAIM = (
    "claim x: forall g in groups(c): drop(c, g under zero) >= 5% * effect and F(c) in 0.8..1.2\n"
)
WORDS = sorted(RESERVED) + [
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "=",
    ":",
    ",",
    ".",
    "..",
    "+",
    "-",
    "*",
    "/",
    "&",
    "->",
    "@",
    ">=",
    "<",
    "==",
    "a0.h1",
    "a9.h9",
    "m1",
    "m[*]",
    "heads",
    "any",
    "M",
    "none",
    "F",
    "END",
    "A1",
    "X",
    "1",
    "0.5",
    "5%",
    "c",
    "early",
    "drop",
    "effect",
    '"x',
    '{A}"',
    '"{"',
    '"""',
    "'",
    "#",
    "\n",
]


def lint(tmp_path: Path, content: bytes):
    path = tmp_path / "f.circ"
    path.write_bytes(content)
    found = pipeline.lint(path).found
    for diagnostic in found:
        assert render(diagnostic).plain
        assert diagnostic.code != "CL901"
    return found


@quick
@given(st.binary(max_size=300))
def test_bytes(tmp_path, content):
    lint(tmp_path, content)


@quick
@given(st.text(max_size=200))
def test_text(tmp_path, content):
    assert lint(tmp_path, content.encode("utf-8", "surrogatepass"))


@quick
@given(st.lists(st.sampled_from(WORDS), max_size=60))
def test_soups_of_tokens(tmp_path, words):
    lint(tmp_path, " ".join(words).encode())


@quick
@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_soups_after_a_sound_spec(tmp_path, words):
    lint(tmp_path, (SMALL + "claim x: " + " ".join(words)).encode())


TOKENS = [str(t) for t in parser().lex(SMALL + CLAIM)]
EDITS = st.tuples(
    st.integers(0, len(TOKENS) - 1),
    st.sampled_from(["cut", "twice", "swap"]),
    st.sampled_from(WORDS),
)


@quick
@given(st.lists(EDITS, min_size=1, max_size=3))
def test_mutated_specs(tmp_path, edits):
    tokens = list(TOKENS)
    for at, kind, word in edits:
        tokens[at] = {"cut": "", "twice": f"{tokens[at]} {tokens[at]}", "swap": word}[kind]
    lint(tmp_path, " ".join(tokens).encode())


CATASTROPHES = {
    "brackets": "let x = " + "(" * 10_000,
    "closed brackets": "let x = " + "(" * 10_000 + "1" + ")" * 10_000,
    "lists": "let x = " + "[" * 10_000 + "]" * 10_000,
    "braces": "{" * 10_000,
    "a long sum": "let x = " + "a+" * 200_000 + "a",
    "minus signs": "let x = " + "-" * 100_000 + "1",
    "quotes": '"' * 100_000,
    "single quotes": "' " * 100_000,
    "apostrophes": "'a" * 50_000,
    "triple quotes": 'task t { prompt """' + '"" """ ' * 20_000,
    "statement words": "claim " * 50_000,
    "commas": "let x = [" + "," * 100_000,
    "a long name": "let " + "x" * 400_000 + " = 1",
    "a long number": "let x = a0.h" + "9" * 300_000,
    "digits": "let x = " + "9" * 300_000,
    "a long line of errors": "let x = 1 2 " * 20_000,
    "odd characters": "§$%&?" * 60_000,
    "backslashes": "\\" * 300_000,
    "newlines": "\n" * 400_000,
    "a comment": "#" * 400_000,
    "one block of errors": "task t {\n" + "slot = 1\n" * 20_000 + "}",
    "one circuit of errors": "circuit c {\n" + "m0 m1\n" * 20_000 + "}",
    "arrows": "circuit c { " + "m0 -> " * 50_000 + "}",
    "indices": "let x = m[" + "0," * 100_000 + "0]",
    "quantifiers": "claim x: " + "forall a in b: " * 10_000 + "a",
    "dots": "let x = a" + ".a" * 100_000,
}


@pytest.mark.parametrize("name", CATASTROPHES)
def test_catastrophes_end_soon(tmp_path, name):
    started = time.process_time()
    lint(tmp_path, (SMALL + CATASTROPHES[name]).encode())
    assert time.process_time() - started < 10


def test_a_file_too_large_is_not_read(tmp_path):
    (found,) = lint(tmp_path, b"#" * (LARGEST_FILE + 1))
    assert found.code == "CL006"
