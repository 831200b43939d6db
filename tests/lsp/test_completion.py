"""What can be written next, in text that does not parse; and any text at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitlang.lsp.analysis import Analysis
from circuitlang.lsp.answers import published
from circuitlang.lsp.completion import complete
from circuitlang.lsp.definition import definition
from circuitlang.lsp.hover import hover
from circuitlang.lsp.text import Text
from tests.lsp.editor import FINE, IMPORTING, ROOT, SPEC, at, cut


@pytest.mark.parametrize(
    ("line", "wanted", "unwanted"),
    [
        ("cl", {"claim", "circuit", "measure", "default"}, {"small", "drop"}),
        ("claim c: dr", {"drop", "small", "early", "limit", "loses", "forall"}, {"slot", "bos"}),
        ("claim c: drop(small, a1.h", {"0", "1", "2", "3"}, {"4", "drop"}),
        ("group g = a1.h[0,", {"0", "3"}, {"4"}),
        ("group g = a7.h", set(), {"0"}),
        ("group g = m", {"m0", "m1", "m2", "mlps"}, {"m3"}),
        ("claim c: drop(small, early.", {"q", "k", "v", "kv", "qkv"}, {"drop", "small"}),
        ("claim c: F(M - a1.h1 @ ", {"END", "A1", "A2", "X", "first"}, {"small", "A"}),
        ("circuit c { early @ [A1, ", {"END", "A2"}, {"small"}),
        ("claim c: F(small under ", {"patch", "still", "zero", "resample"}, {"diff", "small"}),
        ("claim c: F(small by ", {"diff", "chance", "prob", "kl"}, {"patch", "small"}),
        ("claim c: F(small on ", {"likes", "likes.first"}, {"patch"}),
        ("claim c: F(small under resample(", {"other", "food"}, {"patch", "clean"}),
        ("claim c: F(small under mean(", {"other", "clean"}, set()),
        ("claim c: F(small under mean(other per ", {"template", "A", "X"}, {"small"}),
        ("claim c over ", {"prompts", "templates"}, {"small"}),
        ("claim c ", {"over", "under", "expect"}, {"small"}),
        ("claim c expect ", {"fails", "undecided", "survived"}, {"small"}),
        ("claim c: F(small ", {"on", "under", "by", "with", "free"}, {"claim"}),
        ("default ", {"on", "by", "over", "free"}, {"small"}),
        ("default on likes free ", {"mlps", "input", "early"}, {"small"}),
        ("metric m = lo", {"logit", "logprob", "loss"}, set()),
        ("metric m = logit(", {"answer", "foil"}, {"small"}),
        ("claim c: forall h in early: attends(", {"h", "early"}, set()),
        ("measure m(left, right) = ", {"left", "right", "F"}, set()),
        ("circuit c {\n  ", {"live", "input", "early", "any"}, {"claim", "slot"}),
        ("circuit c {\n  input -> ", {"early", "logits"}, {"slot"}),
        ("task other {\n  ", {"slot", "prompt", "tokens", "corrupt", "sample"}, {"claim"}),
        ("task other {\n  split ", {"search", "decide"}, {"sample", "small"}),
        ('task other {\n  slot B = ["x"]\n  prompt "{', {"B"}, {"A", "small"}),
        ("task other {\n  slot B = fi", {"file", "rows", "limit"}, {"small"}),
        ('model other = "g', {"gpt2", "smollm2-135m", "toy"}, {"small"}),
        ('model other = "toy" { ', {"bos", "revision", "dtype"}, {"small"}),
        ("claim ", set(), {"small", "claim"}),
        ("# claim c: dr", set(), {"drop"}),
        ('claim c "dr', set(), {"drop"}),
        ("claim c: F(small) >= 0 and ", {"F", "drop"}, {"claim"}),
        ("claim c: F(a[0..1].h", {"0", "3"}, {"q", "4"}),
        ("claim c: F(", {"small", "early", "M", "input"}, {"faithfulness", "likes", "diff", "END"}),
        ("claim c: F(small - ", {"small", "early"}, {"drop"}),
        ("claim c: F([early, ", {"early", "any"}, {"drop"}),
        ("claim c: attends(a1.h0, ", {"END", "A1", "first"}, {"small", "drop"}),
        ("claim c: attends(a1.h0, END, ", {"END", "A1", "first"}, {"small", "drop"}),
        ("claim c: loses(", {"small", "early"}, {"drop", "likes"}),
        ("claim c: F(small on likes.", {"first", "second"}, {"other", "q"}),
        ("claim c: F(small under resample(likes.", {"other", "food"}, {"first", "q"}),
        ("claim c: F(small under donors(", {"other", "clean"}, {"small"}),
        ("claim c: F(small by (", {"diff", "prob"}, {"small", "drop"}),
        ("claim c: F(small by (prob(answer) + ", {"diff", "prob"}, {"small", "drop"}),
        ("claim c: F(small free [early, ", {"mlps", "early"}, {"small", "drop"}),
        ("ablation a = ", {"resample", "mean", "donors", "constants", "zero"}, {"small"}),
        ("ablation a = mean(other per [template, ", {"A", "X"}, {"small"}),
        ("metric m = ", {"logit", "kl", "diff", "abs"}, {"small", "drop", "m"}),
        ("metric m = attention(", {"early", "heads"}, {"diff", "END"}),
        ("metric m = attention(a1.h0, ", {"END", "X"}, {"early"}),
        ("metric m = indicator(", {"argmax", "logit"}, {"small"}),
        ("metric m = indicator(argmax in ", {"answer", "foil"}, {"logit"}),
        ("claim c: forall e in ", {"edges", "groups", "early", "examples"}, {"faithfulness"}),
        ("claim c: mean(F(M on x) for x in ", {"examples", "templates"}, {"faithfulness"}),
        ("claim c: size(small) in ", {"drop"}, {"claim"}),
        ("claim c: parts(likes, ", {"A", "X"}, {"small"}),
        ("claim c: forall K in greedy(subsets(heads), ", {"runs =", "steps =", "width ="}, set()),
        ('let C = edges_from("g.json", ', {"top =", "threshold =", "scores ="}, set()),
        ('let C = edges_from("g.json", top = 2, scores = "', {"signed", "absolute"}, set()),
        ('let C = circuits(9, sampler = "', {"paths", "edges"}, set()),
        ('dtype "', {"float32", "float64"}, set()),
        ('model other = "toy" { dtype "', {"float32", "float64"}, {"toy"}),
        ('model other = "toy" { bos ', {"yes", "no"}, {"bos"}),
        ("circuit c {\n  live ", {"early", "any"}, {"drop", "live"}),
        ("group g = [", {"early", "heads"}, {"drop", "g"}),
        ("report r: ", {"drop", "F"}, {"forall"}),
        ("claim c: F(small) >= 1\ncounterexample ", {"c"}, {"small", "drop"}),
        ("looks ", {"yes", "no"}, {"small"}),
        ('guarantee "', {"finite-sample"}, {"small"}),
        ("default under patch ", {"by", "over"}, {"expect"}),
        ("claim c: F(small ", {"on", "free"}, {"over", "per"}),
        ("claim c: size(small) ", {"and", "in"}, {"for", "on"}),
        ("task other {\n  sample ", set(), {"slot", "limit"}),
        ('task other {\n  slot B = ["x"] ', {"slot", "tokens"}, {"B"}),
        ('task other {\n  slot B = ["x"]\n  corrupt c { B = "y" ', {"B", "where"}, {"slot"}),
    ],
)
def test_completion_of_a_line_that_is_being_written(editor, uri, line, wanted, unwanted):
    text = FINE + line
    editor.open(uri, text)
    found = editor.ask("completion", uri, Text(text, "", Path(), "utf-16").position(len(text)))
    labels = {item.label for item in found.items}
    assert wanted - labels == set()
    assert unwanted & labels == set()
    editor.close(uri)


def test_completion_in_the_middle_of_the_text(editor, uri):
    text = FINE.replace("early @ END -> logits", "early @ ")
    editor.open(uri, text)
    found = editor.ask("completion", uri, at(text, "early @ "))
    assert {"END", "A1"} <= {item.label for item in found.items}


def test_what_is_chosen_replaces_the_word_begun(editor, uri):
    text = FINE + "claim 🫖: drop(small, a1.h"
    editor.open(uri, text)
    found = editor.ask("completion", uri, at(text, "drop(small, a1.h"))
    (item,) = [i for i in found.items if i.label == "3"]
    assert cut(text, item.text_edit.range) == ""
    text = FINE + "claim c: faithf"
    editor.change(uri, 2, text)
    found = editor.ask("completion", uri, at(text, "claim c: faithf"))
    (item,) = [i for i in found.items if i.label == "faithfulness"]
    assert cut(text, item.text_edit.range) == "faithf"
    assert item.detail == "faithfulness(C: edges) -> number"
    assert "brings back" in item.documentation.value


def test_files_are_completed(editor, tmp_path):
    for folder in ("sub", ".git"):
        (tmp_path / folder).mkdir()
    names = ("other.circ", "names.txt", "graph.json", "sub/more.txt", "all.safetensors", "t.csv")
    for name in names:
        (tmp_path / name).write_text("")
    uri = (tmp_path / "main.circ").as_uri()
    for line, expected in (
        ('import "', {"other.circ", "sub/"}),
        ('task t {\n  slot A = file("', {"names.txt", "sub/"}),
        ('task t {\n  slot A = file("sub/', {"sub/more.txt"}),
        ('task t {\n  slot A = file("../', set()),
        ('task t {\n  slot (A, B) = rows("', {"t.csv", "graph.json", "sub/"}),
        ('let C = edges_from("g', {"graph.json", "sub/"}),
        ('ablation c = constants("', {"all.safetensors", "sub/"}),
        ('model near = "./', {"./sub/"}),
    ):
        editor.open(uri, FINE + line)
        text = Text(FINE + line, "", Path(), "utf-16")
        found = editor.ask("completion", uri, text.position(len(text.text)))
        assert {item.label for item in found.items} == expected
        editor.close(uri)


@pytest.mark.parametrize("seed", range(4))
def test_no_half_written_text_breaks_anything(seed, tmp_path):
    """Text cut off at every place (a quarter of them each), with the rest gone or left out."""
    text = IMPORTING + SPEC
    (tmp_path / "likes.circ").write_text(FINE)
    known = Analysis(Text(FINE, "likes.circ", tmp_path, "utf-16"))
    known.check()
    for offset in range(seed, len(text), 4):
        for half in (text[:offset], text[:offset] + text[offset + 7 :]):
            now = Text(half, "half.circ", tmp_path, "utf-16")
            complete(now, offset, known)
            analysis = Analysis(now)
            hover(analysis, max(0, offset - 1))
            definition(analysis, max(0, offset - 1), "file:///half.circ")


BAD = sorted((ROOT / "tests" / "language" / "bad").glob("*.circ"))


@pytest.mark.parametrize("part", range(8))
def test_every_broken_spec_can_be_looked_at(part):
    for path in BAD[part::16]:
        raw = path.read_bytes().decode("utf-8", "replace")
        text = Text(raw, path.name, path.parent, "utf-16")
        analysis = Analysis(text)
        analysis.check()
        published(analysis, path.as_uri())
        for token in text.tokens[:: max(1, len(text.tokens) // 20)]:
            hover(analysis, token.start_pos)
            definition(analysis, token.start_pos, path.as_uri())
            complete(text, token.end_pos, analysis)


def test_parts_of_an_imported_task(tmp_path):
    (tmp_path / "likes.circ").write_text(FINE)
    text = FINE + 'import "likes.circ" as base\n'
    known = Analysis(Text(text, "main.circ", tmp_path, "utf-16"))
    known.check()
    for line, expected in (
        ("claim c: F(small on base.", {"likes"}),
        ("claim c: F(small on base.likes.", {"first", "second"}),
        ("claim c: F(small under resample(base.", {"likes"}),
        ("claim c: F(small under resample(base.likes.", {"other", "food"}),
        ("claim c: F(small under base.", {"patch", "still"}),
        ("claim c: F(small by base.", {"diff", "chance"}),
        ("claim c: F(base.early.", {"q", "k", "v", "qk", "qv", "kv", "qkv"}),
    ):
        now = Text(text + line, "main.circ", tmp_path, "utf-16")
        found = complete(now, len(text + line), known)
        assert {s.text for s in found.suggestions} == expected, line


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("task { ", "}"),
        ("task = {\n  ", ""),
        ("", "default under patch"),
        ("defau", "lt under patch"),
    ],
)
def test_places_in_statements_that_are_hardly_begun(before, after):
    """A task without a name; a place in or right before the word that starts a statement."""
    text = FINE + before + after
    now = Text(text, "s.circ", Path(), "utf-16")
    known = Analysis(Text(FINE, "s.circ", Path(), "utf-16"))
    found = complete(now, len(FINE + before), known)
    assert now.text[found.start : len(FINE + before)] in ("", "defau")
