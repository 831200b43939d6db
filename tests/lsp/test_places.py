"""Definitions, the outline, imported files, formatting."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsprotocol import types as t

from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.text.format import format_text
from circuitlang.lsp.edits import line_edits
from circuitlang.lsp.text import Text
from tests.lsp.editor import FINE, IMPORTING, ROOT, at, cut, hovered


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("input -> ear", "ly", "group early ="),
        ("faithfulness(sma", "ll)", "circuit small {"),
        (">= lim", "it", "let limit ="),
        ("e in edges(small): lo", "ses", "measure loses("),
        ("drop(C, ", "K) / effect", "measure loses("),
        ("by di", "ff under", "metric diff "),
        ("under pa", "tch", "ablation patch ="),
        ("resample(oth", "er)", "  corrupt other {"),
        ("a1.h0 @ A", "2", "  prompt first "),
        ("corrupt other { A", "1 =", "  prompt first "),
        ("logit(ans", "wer) -", "  tokens answer ="),
        ('answer = " {', 'X}"', "  slot X ="),
        ("loses(small, ", "e)", "claim each:"),
    ],
)
def test_definitions(editor, likes, before, after, line):
    found = editor.ask("definition", likes, at(FINE, before, after))
    assert found.uri == likes
    assert FINE.split("\n")[found.range.start.line].startswith(line)


def test_the_prelude_is_where_its_measures_are_defined(editor, likes):
    found = editor.ask("definition", likes, at(FINE, ": faith", "fulness"))
    path = Path(found.uri.removeprefix("file://"))
    assert path.read_text().split("\n")[found.range.start.line].startswith("measure faithfulness")


def test_the_prelude_can_be_looked_at(editor):
    """It is no spec, so it lacks nothing that a spec has to have."""
    path = ROOT / "grammar" / "prelude.circ"
    text = path.read_text()
    editor.open(path.as_uri(), text)
    assert editor.codes(path.as_uri()) == []
    shown = hovered(editor, path.as_uri(), text, "measure necessity(C)          = dr", "op")
    assert "drop(C: edges, K: edges) -> number" in shown
    editor.close(path.as_uri())


def test_a_code_leads_to_its_page(editor, uri):
    text = FINE + "# error: CL101\n"
    editor.open(uri, text)
    found = editor.ask("definition", uri, at(text, "error: CL1", "01"))
    assert found.uri == (ROOT / "docs" / "errors" / "CL101.md").as_uri()


def test_words_of_the_language_are_defined_nowhere(editor, likes):
    for before, after in (("default b", "y"), ("in edg", "es(small)"), ("early @ E", "ND")):
        assert editor.ask("definition", likes, at(FINE, before, after)) is None


@pytest.fixture
def importing(editor, tmp_path):
    (tmp_path / "likes.circ").write_text(FINE)
    uri = (tmp_path / "more.circ").as_uri()
    editor.open(uri, IMPORTING)
    return uri


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("(base.sma", "ll)", "circuit small {"),
        ("base.lo", "ses(", "measure loses("),
        ("on base.li", "kes", "task likes {"),
        ('import "lik', "es", "# who likes what"),
    ],
)
def test_definitions_in_imported_files(editor, importing, tmp_path, before, after, line):
    assert editor.codes(importing) == []
    found = editor.ask("definition", importing, at(IMPORTING, before, after))
    assert found.uri == (tmp_path / "likes.circ").as_uri()
    assert FINE.split("\n")[found.range.start.line].startswith(line)
    assert editor.ask("definition", importing, at(IMPORTING, "claim again: faithfulness(ba", "se"))


def test_hover_and_completion_of_imports(editor, importing):
    shown = hovered(editor, importing, IMPORTING, "(base.sma", "ll)")
    assert "edges of 262" in shown
    assert "From `likes.circ`" in shown
    shown = hovered(editor, importing, IMPORTING, "base.lo", "ses(")
    assert "base.loses(C: edges, K: edges) -> number" in shown
    text = IMPORTING + "claim x: drop(base."
    editor.change(importing, 2, text)
    found = editor.ask("completion", importing, at(text, "drop(base."))
    assert {"small", "early", "likes", "loses"} <= {i.label for i in found.items}


def test_the_outline(editor, likes):
    found = {s.name: s for s in editor.symbols(likes)}
    assert list(found) == [
        '"toy"', "likes", "diff", "chance", "patch", "still", "early", "limit", "small", "loses",
        "faithful", "each",
    ]  # fmt: skip
    inside = [(c.detail, c.name) for c in found["likes"].children]
    assert inside[:4] == [("slot", "A"), ("slot", "X"), ("prompt", "first"), ("label", "A1")]
    assert ("corrupt", "food") in inside
    assert cut(FINE, found["early"].selection_range) == "early"
    assert cut(FINE, found["early"].range) == "group early = [a0.h[0,1], a1.h0]"


def test_the_outline_of_a_broken_text(editor, uri):
    editor.open(
        uri, 'task t {\n  slot A = [\n  prompt "{A:x} \ngroup = \ncircuit c { a ->\nlet z = (('
    )
    names = [s.name for s in editor.symbols(uri)]
    assert names == ["t", "c", "z"]


def edited(text: str, edits: list[t.TextEdit]) -> str:
    """The text once an editor has made all the edits, whose places are those of the old text."""
    whole = Text(text, "", Path(), "utf-16")
    found = whole.text
    for edit in reversed(edits):
        start, end = whole.offset(edit.range.start), whole.offset(edit.range.end)
        found = found[:start] + edit.new_text + found[end:]
    return found


def test_formatting_leaves_lines_alone_that_are_well_written(editor, uri):
    text = 'spec   likes   "1.0.0"\r\n# 🫖 kept\r\nmodel "toy"{bos yes}\r\n'
    wanted = 'spec likes "1.0.0"\n# 🫖 kept\nmodel "toy" { bos yes }\n'
    editor.open(uri, text)
    edits = editor.format(uri)
    assert [e.range for e in edits] == [
        t.Range(t.Position(0, 0), t.Position(1, 0)),
        t.Range(t.Position(2, 0), t.Position(3, 0)),
    ]
    assert edited(text, edits) == wanted
    editor.change(uri, 2, wanted)
    assert not editor.format(uri)


@pytest.mark.parametrize("path", sorted((ROOT / "specs").rglob("[!.]*.circ")), ids=lambda p: p.stem)
def test_edits_come_to_what_the_formatter_writes(path):
    """Of a spec whose layout is spoilt, at the end of the text too."""
    spoilt = path.read_text().replace(" = ", "=").replace("\n\n", "\n\n\n\n").rstrip("\n")
    text = Text(spoilt, path.name, path.parent, "utf-16")
    wanted = format_text(text.source, Diagnostics())
    assert wanted not in (None, spoilt)
    assert edited(spoilt, line_edits(text, wanted)) == wanted


def test_what_does_not_parse_is_not_formatted(editor, uri):
    editor.open(uri, "spec   likes (\n")
    assert not editor.format(uri)


def test_a_file_in_quotes_is_where_it_lies(editor, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "names.txt").write_text("ann\nbob\n")
    text = FINE.replace('["ann", "bob"]', 'file("sub/names.txt")')
    uri = (tmp_path / "here.circ").as_uri()
    editor.open(uri, text)
    found = editor.ask("definition", uri, at(text, 'file("sub/na', "mes"))
    assert found.uri == (tmp_path / "sub" / "names.txt").as_uri()
    assert "a file of 8 bytes" in hovered(editor, uri, text, 'file("sub/na', "mes")
    (tmp_path / "sub" / "names.txt").unlink()
    assert editor.ask("definition", uri, at(text, 'file("sub/na', "mes")) is None
    assert "no such file" in hovered(editor, uri, text, 'file("sub/na', "mes")


def test_folding(editor, likes):
    folded = {(f.start_line, f.end_line) for f in editor.fold(likes)}
    lines = FINE.split("\n")
    task = lines.index("task likes {")
    assert (task, lines.index("}", task)) in folded
    assert all(end > start for start, end in folded)


def test_comments_are_folded(editor, uri):
    editor.open(uri, '# one\n# two\n# three\nspec s "1"\n# alone\n')
    (found,) = editor.fold(uri)
    assert (found.start_line, found.end_line, found.kind) == (0, 2, t.FoldingRangeKind.Comment)


def test_colours(editor, uri):
    """In UTF-16, line by line, of a text in three quotes too; what is coloured is one thing."""
    text = FINE + 'task other {\n  prompt """🫖 {A}\n  is {{B}}"""\n}\n'
    editor.open(uri, text)
    data = editor.colours(uri).data
    legend = editor.capabilities.semantic_tokens_provider.legend.token_types
    line = column = 0
    found = []
    for i in range(0, len(data), 5):
        line, column = line + data[i], data[i + 1] + (0 if data[i] else column)
        piece = t.Range(t.Position(line, column), t.Position(line, column + data[i + 2]))
        found.append((cut(text, piece), legend[data[i + 3]]))
    assert found[:3] == [("# who likes what", "comment"), ("spec", "keyword"), ("likes", "class")]
    for expected in [
        ("a0.h[0,1]", "enumMember"),
        ("bos", "property"),
        ("END", "decorator"),
        ("drop", "function"),
        ("0.5", "number"),
        ("🫖 ", "string"),
        ("{A}", "parameter"),
        ("{{", "regexp"),
    ]:
        assert expected in found
    coloured = "".join(piece for piece, _ in found)
    plain = "".join(c for c in text if not c.isspace() and c not in "(){}[],:.=")
    assert "".join(c for c in coloured if not c.isspace() and c not in "(){}[],:.=") == plain
