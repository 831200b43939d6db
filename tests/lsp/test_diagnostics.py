"""Findings as they are published: where, for which version, and when they go."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from lsprotocol import types as t

from circuitlang.language.diagnostics import Diagnostic
from circuitlang.lsp.analysis import Analysis
from circuitlang.lsp.answers import published
from circuitlang.lsp.completion import complete
from circuitlang.lsp.documents import Document, analysed
from circuitlang.lsp.edits import quick_fixes
from circuitlang.lsp.hover import hover
from circuitlang.lsp.text import Text
from tests.lsp.editor import FINE, IMPORTING, ROOT, SPEC, at, cut, hovered


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


def test_what_is_overtaken_is_not_shown(editor, uri):
    """A slow analysis is under way when the text changes, and ends before that of the new text."""
    editor.open(uri, (ROOT / "specs" / "gpt2" / "ioi.circ").read_text())
    editor.change(uri, 2, SPEC)
    assert editor.codes(uri, 2) == ["CL106"]
    assert [params.version for params in editor.published[uri]] == [2]


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
    document = Document("file:///likes.circ", 1, text)
    with caplog.at_level(logging.ERROR):
        analysis = analysed(document, text)
    assert "ZeroDivisionError" in caplog.text
    (shown,) = published(analysis, document.uri)
    assert shown.code == "CL901"
    assert hover(analysis, SPEC.index("faithfulness")) is not None
    assert complete(text, len(SPEC), analysis).suggestions


# ---------------------------------------------------------------- files around a document


def test_an_import_is_read_as_it_stands_in_the_editor(editor, tmp_path):
    """Also where the folder's name is written otherwise in the URI."""
    folder = tmp_path / "a folder é"
    folder.mkdir()
    (folder / "likes.circ").write_text(FINE)
    uri, imported = ((folder / f"{name}.circ").as_uri() for name in ("more", "likes"))
    assert "%20" in uri
    editor.open(uri.replace("%C3%A9", "é"), IMPORTING)
    uri = uri.replace("%C3%A9", "é")
    assert editor.codes(uri) == []
    renamed = FINE.replace("circuit small", "circuit large").replace("(small", "(large")
    editor.open(imported, FINE)
    editor.change(imported, 2, renamed)
    editor.latest(uri, ["CL101", "CL101"])
    assert editor.ask("definition", uri, at(IMPORTING, "(base.sma", "ll)")) is None
    editor.close(imported)
    editor.latest(uri, [])
    assert editor.ask("definition", uri, at(IMPORTING, "(base.sma", "ll)")).uri == imported
    editor.close(uri)


def test_an_import_that_is_not_saved_yet(editor, tmp_path):
    uri, imported = ((tmp_path / f"{name}.circ").as_uri() for name in ("more", "likes"))
    editor.open(uri, IMPORTING)
    assert editor.codes(uri) == ["CL110"]
    editor.open(imported, FINE)
    editor.latest(uri, [])
    editor.close(imported)
    editor.close(uri)


def test_files_that_change_on_the_disk(editor, tmp_path):
    text = FINE.replace('slot A = ["ann", "bob"]', 'slot A = file("names.txt")')
    uri, names = (tmp_path / "here.circ").as_uri(), tmp_path / "names.txt"
    editor.open(uri, text)
    assert editor.codes(uri) == ["CL110"]
    names.write_text("ann\nbob\n")
    told = t.DidChangeWatchedFilesParams([t.FileEvent(names.as_uri(), t.FileChangeType.Created)])
    editor.tell(editor.client.workspace_did_change_watched_files, told)
    editor.latest(uri, [])
    names.unlink()
    saved = t.DidSaveTextDocumentParams(t.TextDocumentIdentifier(uri))
    editor.tell(editor.client.text_document_did_save, saved)
    editor.latest(uri, ["CL110"])
    editor.close(uri)


def test_only_what_is_around_a_changed_file_is_looked_at_again(editor, tmp_path):
    uri = (tmp_path / "sub" / "here.circ").as_uri()
    editor.open(uri, FINE)
    assert editor.codes(uri) == []
    told = [tmp_path / "names.txt", tmp_path / "sub" / "here.circ"]
    events = [t.FileEvent(p.as_uri(), t.FileChangeType.Changed) for p in told]
    editor.tell(
        editor.client.workspace_did_change_watched_files, t.DidChangeWatchedFilesParams(events)
    )
    editor.change(uri, 2, FINE + "\n")
    assert editor.codes(uri, 2) == []
    assert len(editor.published[uri]) == 2
    editor.close(uri)


def test_a_spec_written_letter_by_letter(editor, uri):
    """Every state of the text is sent; none of them is a defect, and the last one counts."""
    editor.open(uri, "")
    for version in range(2, len(FINE) + 2):
        editor.change(uri, version, FINE[: version - 1])
        if version % 40 == 0:
            editor.ask("completion", uri, t.Position(99, 0))
    assert editor.codes(uri, len(FINE) + 1) == []
    seen = {d.code for params in editor.published[uri] for d in params.diagnostics}
    assert "CL901" not in seen


# ---------------------------------------------------------------- what is meant


def test_a_word_that_is_meant_can_be_chosen(editor, uri):
    text = FINE.replace("loses(small, e)", "loses(smal, e)").replace("# who", "# 🫖 who")
    editor.open(uri, text)
    here = at(text, "loses(sm", "al, e)")
    (fix,) = editor.fixes(uri, t.Range(here, here))
    (edit,) = fix.edit.changes[uri]
    assert (cut(text, edit.range), edit.new_text) == ("smal", "small")
    assert fix.diagnostics[0].code == "CL101"
    assert not editor.fixes(uri, t.Range(t.Position(0, 0), t.Position(1, 0)))


def test_what_is_meant_mends_what_was_found():
    """In the broken specs of the tests whose names or settings are misspelt."""
    tried = 0
    folder = ROOT / "tests" / "language" / "bad"
    for path in sorted(p for code in ("101", "107", "115") for p in folder.glob(f"CL{code}_*")):
        raw = path.read_text(encoding="utf-8")
        analysis = Analysis(Text(raw, path.name, path.parent, "utf-16"))
        analysis.check()
        for fix in quick_fixes(analysis, analysis.text.range(0, len(raw)), "x"):
            (edit,) = fix.edit.changes["x"]
            start, end = (analysis.text.offset(p) for p in (edit.range.start, edit.range.end))
            mended = raw[:start] + edit.new_text + raw[end:]
            again = Analysis(Text(mended, path.name, path.parent, "utf-16"))
            again.check()
            messages = [d.message for d in again.diagnostics]
            assert fix.diagnostics[0].message.partition("\nhelp")[0] not in messages, path
            tried += 1
    assert tried >= 15
