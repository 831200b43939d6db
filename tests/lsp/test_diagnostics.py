"""Findings as they are published: where, for which version, and when they go."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from lsprotocol import types as t

from circuitlang.language.diagnostics import Diagnostic
from circuitlang.lsp import server
from circuitlang.lsp.analysis import Analysis
from circuitlang.lsp.answers import published
from circuitlang.lsp.completion import complete
from circuitlang.lsp.hover import hover
from circuitlang.lsp.text import Text
from tests.lsp.editor import FINE, SPEC, at, cut, hovered


def test_mistakes_come_with_place_code_help_and_page(editor, uri):
    editor.open(uri, SPEC)
    (found,) = editor.diagnostics(uri)
    assert (found.code, found.severity, found.source) == (
        "CL106",
        t.DiagnosticSeverity.Error,
        "circ",
    )
    assert cut(SPEC, found.range) == "a2.h3.q"
    assert "help: " in found.message
    assert found.code_description.href.endswith("docs/errors/CL106.md")


def test_they_follow_the_text_and_go_when_it_is_closed(editor, uri):
    editor.open(uri, SPEC)
    assert editor.codes(uri) == ["CL106"]
    editor.change(uri, 2, FINE)
    assert editor.codes(uri, 2) == []
    editor.change(uri, 3, FINE.replace("loses(small, e)", "loses(smal, e)"))
    assert editor.codes(uri, 3) == ["CL101"]
    editor.close(uri)
    assert editor.diagnostics(uri, None) == []


def test_columns_are_utf_16(editor, uri):
    text = FINE.replace(' likes"\n  prompt second', ' likes 🫖🫖 {Z}"\n  prompt second')
    editor.open(uri, text)
    (found,) = [d for d in editor.diagnostics(uri) if d.code == "CL506"]
    line = text.split("\n")[found.range.start.line]
    assert found.range.start.character == line.index("{Z}") + 2
    assert cut(text, found.range) == "{Z}"


@pytest.mark.parametrize(("encoding", "width"), [("utf-8", 11), ("utf-16", 5), ("utf-32", 4)])
def test_other_encodings(encoding, width):
    text = Text("é🫖ß€\r\nx€y", "", Path(), encoding)
    for offset in range(len(text.text) + 1):
        assert text.offset(text.position(offset)) == offset
    assert text.position(4) == t.Position(0, width)
    assert text.offset(t.Position(0, 999)) == 4
    assert text.offset(t.Position(99, 0)) == len(text.text)


def test_windows_line_ends_and_a_byte_order_mark(editor, uri):
    text = "\ufeff" + SPEC.replace("\n", "\r\n")
    editor.open(uri, text)
    (found,) = editor.diagnostics(uri)
    assert found.code == "CL106"
    assert (found.range.start.line, found.range.start.character) == (25, 2)


def test_form_feeds_and_odd_line_ends_do_not_move_anything(editor, uri):
    text = SPEC.replace("# who likes what", "# who\x0c likes \u2028what\x85")
    editor.open(uri, text)
    (found,) = editor.diagnostics(uri)
    assert found.range.start.line == 25


def test_both_places_of_a_contradiction_are_given():
    text = Text(SPEC, "likes.circ", Path(), "utf-16")
    analysis = Analysis(text)
    first, second = (text.source.span(at_, at_ + 4) for at_ in (3, 20))
    found = Diagnostic("CL313", "two", second, "mend it", related=((first, "the first"),))
    analysis.front.diagnostics.add(found)
    (shown,) = published(analysis, "file:///likes.circ")
    (related,) = shown.related_information
    assert related.message == "the first"
    assert related.location == t.Location("file:///likes.circ", text.range(3, 7))
    assert shown.range == text.range(20, 24)


def test_what_is_wrong_in_an_imported_file_is_shown_at_the_import(editor, tmp_path):
    (tmp_path / "other.circ").write_text('spec other "1"\ngroup g = [a0.h0, ]]\n')
    text = 'spec s "1"\nmodel "toy"\nimport "other.circ" as other\n'
    uri = (tmp_path / "main.circ").as_uri()
    editor.open(uri, text)
    found = [d for d in editor.diagnostics(uri) if d.code.startswith("CL00")]
    assert found
    for d in found:
        assert cut(text, d.range) == 'import "other.circ" as other'
        assert d.related_information[0].location.uri == (tmp_path / "other.circ").as_uri()
        assert d.related_information[0].location.range.start.line == 1


def test_files_are_looked_up_beside_the_document(editor, tmp_path):
    (tmp_path / "names.txt").write_text("ann\nbob\n")
    text = FINE.replace('slot A = ["ann", "bob"]', 'slot A = file("names.txt")')
    editor.open((tmp_path / "here.circ").as_uri(), text)
    assert editor.codes((tmp_path / "here.circ").as_uri()) == []
    elsewhere = (tmp_path / "sub" / "there.circ").as_uri()
    editor.open(elsewhere, text)
    assert "CL110" in editor.codes(elsewhere)


@pytest.mark.parametrize(
    "uri", ["untitled:Untitled-1", "git:/x/likes.circ?HEAD", "vscode-x:/a%20b"]
)
def test_documents_that_are_in_no_file(editor, uri):
    editor.open(uri, SPEC)
    assert editor.codes(uri) == ["CL106"]
    assert "faithfulness(C: edges)" in hovered(editor, uri, SPEC, ": faith")
    editor.close(uri)


def test_a_document_that_nobody_opened(editor, tmp_path):
    uri = (tmp_path / "unknown.circ").as_uri()
    for kind in ("hover", "definition", "completion"):
        assert editor.ask(kind, uri, t.Position(0, 0)) is None
    assert editor.symbols(uri) is None
    assert editor.format(uri) is None


def test_of_rapid_edits_only_the_last_counts(editor, uri):
    editor.open(uri, FINE)
    for version in range(2, 102):
        editor.change(uri, version, FINE + "# " * version + "\ncla" + "im"[: version % 3])
    editor.change(uri, 102, SPEC)
    assert editor.codes(uri, 102) == ["CL106"]
    assert len(editor.published[uri]) < 20


def test_requests_during_rapid_edits_are_answered(editor, uri):
    editor.open(uri, FINE)
    for version in range(2, 12):
        text = FINE + f"claim c{version}: dro"
        editor.change(uri, version, text)
        found = editor.ask("completion", uri, at(text, f"c{version}: dro"))
        assert "drop" in [i.label for i in found.items]


def test_a_defect_is_logged_and_shown_and_the_server_goes_on(monkeypatch, caplog):
    def broken(self):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(Analysis, "check", broken)
    text = Text(SPEC, "likes.circ", Path(), "utf-16")
    document = server.Document("file:///likes.circ", 1, text)
    with caplog.at_level(logging.ERROR):
        analysis = server._analysed(document, text)
    assert "ZeroDivisionError" in caplog.text
    (shown,) = published(analysis, document.uri)
    assert shown.code == "CL901"
    assert hover(analysis, SPEC.index("faithfulness")) is not None
    assert complete(text, len(SPEC), analysis).suggestions
