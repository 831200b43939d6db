"""Highlighting agrees with the language, and the TextMate grammar with the Pygments lexer."""

from __future__ import annotations

import importlib.util
import json
import re
from functools import cache
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pygments import highlight
from pygments.formatters import HtmlFormatter, LatexFormatter
from pygments.lexers import get_lexer_by_name, get_lexer_for_filename
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
)
from rich.console import Console
from rich.syntax import Syntax

from circuitlang import highlight as highlighting
from circuitlang.highlight import CircLexer
from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.source import Source
from circuitlang.language.text.grammar import grammar_folder
from circuitlang.language.text.lex import lex

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("specs", "grammar", "tests/language/good", "tests/language/bad", "circuitlang/bundled")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("[!.]*.circ"))
SAMPLE = '''# every kind of thing
spec a_sample "1.0.0"
paper "arXiv:2211.00593"
import "other.circ" as wang
model "toy" { bos yes }
task t {
  slot A = ["ann", "b\\"o\\\\b"]
  prompt first = "{A:A1} likes {{tea}}. {A:A2} likes"
  prompt """def {A}:
    "quoted" {{"""
  tokens answer = " {A}"
  corrupt other { A = wang.people }
  where A != "x"
  sample 1e2
  split decide
}
group g = a9.h[6,9].kv + m[0..3] + a1 + [a0.h0].q
circuit c {
  input -> g.v @ A1
  g @ [A1, first(A2), END] -> logits
  live a0.h1
}
claim q "said" over prompts
  expect fails "why": forall e in edges(c): abs(drop(c, e)) >= 5% * effect and F(M) in 0.8..1.2
report r: [drop(c, h under zero) for h in heads if size(h) > 1]
'''


def pairs(text: str) -> list[tuple[Any, str]]:
    return [(kind, value) for _, kind, value in CircLexer().get_tokens_unprocessed(text)]


def readable() -> list[tuple[Path, str]]:
    found = []
    for path in FILES:
        try:
            found.append((path, path.read_bytes().decode("utf-8")))
        except UnicodeDecodeError:
            assert path.parent.name == "bad"
    assert len(found) > 300
    return found


# ---------------------------------------------------------------- the lexer and the language


def test_every_keyword_of_the_grammar_is_highlighted() -> None:
    grammar = (grammar_folder() / "circ.lark").read_text(encoding="utf-8")
    rules = re.sub(r"//[^\n]*", "", grammar)
    words = set(re.findall(r'"([a-z]+)"', rules))
    assert len(words) >= 38
    for word in words:
        ((kind, _),) = pairs(word)
        assert kind in Keyword or kind is Operator.Word, word


def test_every_file_keeps_its_text() -> None:
    for path, text in readable():
        assert "".join(value for _, value in pairs(text)) == text, path


def test_errors_are_where_the_language_has_them() -> None:
    wrong = 0
    for path, text in readable():
        diagnostics = Diagnostics()
        lex(Source(path.name, text, path.parent), diagnostics)
        codes = {d.code for d in diagnostics.found}
        has_error = any(kind is Error for kind, _ in pairs(text))
        wrong += has_error
        if not codes:
            assert not has_error, path
        if "CL002" in codes:
            assert has_error, path
    assert wrong > 5


def test_tokens_are_those_of_the_language() -> None:
    """What a token of the grammar is, is said of all its characters, and of nothing else."""
    families = {"NAME": Name, "NODE": Name.Constant, "NUMBER": Number, "STRING": String}
    for path, text in readable():
        diagnostics = Diagnostics()
        tokens = lex(Source(path.name, text, path.parent), diagnostics).tokens
        if diagnostics.found:
            continue
        kinds = of_each_character(pairs(text))
        for token in tokens:
            start, end = token.start_pos or 0, token.end_pos or 0
            found = kinds[start:end]
            if token.type in families:
                wanted = [families[token.type]]
            elif token.value.isalpha():
                wanted = [Keyword, Operator.Word]
            else:
                wanted = [Operator, Punctuation]
            assert all(any(k in w for w in wanted) for k in found), (path, token, set(found))
            kinds[start:end] = [None] * (end - start)
        assert {k for k in kinds if k} <= {Whitespace, Comment.Single}, path


def of_each_character(tokens: list[tuple[Any, str]]) -> list[Any]:
    return [kind for kind, value in tokens for _ in value]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a9.h[6,9].kv", Name.Constant),
        ("m[0..3]", Name.Constant),
        ("a_sample", Name.Class),
        ("wang", Name.Class),
        ("paper", Name.Property),
        ("yes", Keyword.Constant),
        ("{A:A1}", String.Interpol),
        ("{{", String.Escape),
        ('\\"', String.Escape),
        ("A1", Name.Label),
        ("END", Name.Label),
        ("first", Name.Function),
        ("q", Name.Attribute),
        ("v", Name.Attribute),
        ("fails", Name.Builtin),
        ("M", Name.Builtin),
        ("e", Name.Variable),
        ("5%", Number),
        ("1e2", Number),
        ("..", Operator),
        ("and", Operator.Word),
        ("forall", Keyword),
        ("claim", Keyword.Declaration),
        ("# every kind of thing", Comment.Single),
    ],
)
def test_the_sample(text: str, kind: Any) -> None:
    assert (kind, text) in pairs(SAMPLE)


def test_unclosed_strings_are_errors_to_the_end_of_their_line() -> None:
    assert (Error, '"1.0.0') in pairs('spec a "1.0.0\nmodel "toy"')
    assert (String, "toy") in pairs('spec a "1.0.0\nmodel "toy"')


def test_long_lines_take_little_time() -> None:
    """Each of these would take minutes in quadratic time."""
    for text in ('"\\' * 20_000, "{" * 20_000, '"""' + "{" * 20_000, "@ [" * 20_000, "A " * 20_000):
        assert "".join(value for _, value in pairs(text)) == text


# ---------------------------------------------------------------- in other tools


def test_pygments_finds_the_lexer() -> None:
    assert isinstance(get_lexer_by_name("circ"), CircLexer)
    assert isinstance(get_lexer_for_filename("ioi.circ"), CircLexer)


def test_formatters_take_it() -> None:
    html = highlight(SAMPLE, CircLexer(), HtmlFormatter())
    assert '<span class="kd">claim</span>' in html
    latex = highlight(SAMPLE, CircLexer(), LatexFormatter())
    assert r"\PY{k+kd}{claim}" in latex
    console = Console(file=StringIO(), force_terminal=True, width=100)
    console.print(Syntax(SAMPLE, "circ"))
    assert "\x1b[" in console.file.getvalue()  # type: ignore[attr-defined]


# ---------------------------------------------------------------- TextMate

TEXTMATE = json.loads((grammar_folder() / "circ.tmLanguage.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    path = ROOT / "scripts" / "make_textmate.py"
    spec = importlib.util.spec_from_file_location("make_textmate", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_textmate_grammar_is_the_written_one(maker: ModuleType) -> None:
    """Else run scripts/make_textmate.py."""
    written = (grammar_folder() / "circ.tmLanguage.json").read_text(encoding="utf-8")
    assert written == maker.text()


def test_the_textmate_grammar_says_what_the_lexer_says() -> None:
    kinds = {
        kind.scope: kind.token
        for kind in vars(highlighting).values()
        if isinstance(kind, highlighting.Kind) and kind.scope
    }
    assert len({kind.token for kind in highlighting.KINDS}) == len(highlighting.KINDS)
    texts = [SAMPLE, *(text for _, text in readable())]
    for text in texts:
        scopes = of_each_character(textmate(text))
        tokens = of_each_character(pairs(text))
        for at, (scope, token) in enumerate(zip(scopes, tokens, strict=True)):
            if not text[at].isspace():
                assert kinds.get(scope, Error) is token, text[max(0, at - 20) : at + 20]


def textmate(text: str) -> list[tuple[str | None, str]]:
    """The innermost scope of each piece, as an editor finds it: line by line, leftmost match first."""
    found: list[tuple[str | None, str]] = []
    stack: list[dict[str, Any]] = [TEXTMATE]
    for line in text.splitlines(keepends=True):
        at = 0
        while True:
            region = stack[-1]
            best = first_match(region, line, at)
            if best is None:
                found.append((region.get("name"), line[at:]))
                break
            match, pattern, captures = best
            found.append((region.get("name"), line[at : match.start()]))
            found += captured(match, pattern, captures)
            if pattern is region:
                stack.pop()
            elif "begin" in pattern:
                stack.append(pattern)
            at = match.end()
    return found


def first_match(
    region: dict[str, Any], line: str, at: int
) -> tuple[re.Match[str], Any, Any] | None:
    tried = [(region["end"], region, region["endCaptures"])] if "end" in region else []
    for pattern in patterns_of(region):
        if "begin" in pattern:
            tried.append((pattern["begin"], pattern, pattern["beginCaptures"]))
        else:
            tried.append((pattern["match"], pattern, pattern.get("captures", {})))
    matches = [(compiled(p).search(line, at), owner, captures) for p, owner, captures in tried]
    some = [(m, owner, captures) for m, owner, captures in matches if m is not None]
    return min(some, key=lambda one: one[0].start(), default=None)


def patterns_of(region: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for pattern in region["patterns"]:
        match pattern.get("include"):
            case None:
                found.append(pattern)
            case "$self":
                found += patterns_of(TEXTMATE)
            case name:
                found.append(TEXTMATE["repository"][name.removeprefix("#")])
    return found


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def captured(
    match: re.Match[str], pattern: dict[str, Any], captures: dict[str, Any]
) -> list[tuple[str | None, str]]:
    if not captures:
        return [(pattern["name"], match[0])]
    if "0" in captures:
        return [(captures["0"]["name"], match[0])]
    assert "".join(match.groups()) == match[0]
    return [
        (captures.get(str(number), {}).get("name"), group)
        for number, group in enumerate(match.groups(), 1)
    ]
