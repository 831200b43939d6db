"""What a place means."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitlang.language.formulas import functions, wrappers
from circuitlang.language.formulas.functions import is_function
from circuitlang.language.graph import circuit_file
from circuitlang.language.text.grammar import LATER, RESERVED
from circuitlang.lsp import words
from circuitlang.lsp.analysis import Analysis
from circuitlang.lsp.completion import complete
from circuitlang.lsp.hover import hover
from circuitlang.lsp.text import Text
from tests.lsp.editor import FINE, at, cut, hovered


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("input -> ear", "ly", ["3 nodes", "a0.h0", "a1.h0"]),
        ("circuit sm", "all", ["edges of 262", "input->a0.h0<q>", "@ END"]),
        ("measure lo", "ses", ["loses(C: edges, K: edges) -> number", "what is lost without K"]),
        ("e in edges(small): lo", "ses", ["drop(C, K) / effect", "(F(C) - F(C - K))"]),
        ("loses(C, K) = drop(", "C", ["C: edges", "parameter of measure `loses`"]),
        ("claim faith", "ful", ["F(small on likes under patch by diff", ">= limit"]),
        ("claim ea", "ch", ["forall e in edges(small)", "F(small - e on likes"]),
        ("metric di", "ff ", ["logit(answer) - logit(foil)", "Higher is better"]),
        ("ablation pa", "tch", ["resample(other)", "on the corruption `other`"]),
        ("ablation st", "ill", ["mean over the prompts of `other`, per template"]),
        ("default by di", "ff", ["logit(answer) - logit(foil)"]),
        ("under pa", "tch", ["resample(other)"]),
        ("task li", "kes", ["2 templates", "`A1`", "`other`, `food`", "clean  "]),
        ("slot ", "A =", ["2 values: `ann`, `bob`"]),
        ('first  = "{A', ":A1}", ["2 values"]),
        ('first  = "{A:A', "1}", ["position of task `likes`", "slot `A`", "2 prompts"]),
        ("a1.h0 @ A", "2", ["position of task `likes`"]),
        ("tokens fo", "il", ['tokens foil   = " rice"']),
        ("resample(ot", "her)", ["corrupt other"]),
        ("a1.", "h0 @ A2", ["head 0 of 4 in layer 1 of 3", "`@ A2`: its output there", "`early`"]),
        ("a0.h", "[0,1]", ["2 nodes", "`a0.h0`, `a0.h1`"]),
        ('model "to', 'y"', ["toy (shipped)", "3 layers of 4 heads and an MLP"]),
        ("default b", "y diff", ["the metric that F averages"]),
        ("claim each: for", "all", ["for every member"]),
        ("forall ", "e in", ["one member of `edges(small)`"]),
        ("early @ E", "ND", ["the last token of the prompt"]),
        ("faithful: faith", "fulness", ["faithfulness(C: edges) -> number", "Built in"]),
        ("b", "os yes", ["BOS token"]),
        ("let li", "mit", ["let limit = 0.5"]),
        ("input -", "> early", ["all edges from the nodes on the left"]),
        ("early ", "@ END", ["one place of the prompt"]),
        ("still = me", "an(", ["mean(x for p in D)", "its mean over reference prompts"]),
        ("a1.h0 @ A2 -> a2.", "h1.k", ["Edges that it sends: 1 of `small`"]),
    ],
)
def test_hover(editor, likes, before, after, expected):
    text = hovered(editor, likes, FINE, before, after)
    for part in expected:
        assert part in text, text


@pytest.mark.parametrize(
    ("line", "before", "after", "expected"),
    [
        ("group g = a9.h4", "a9.h", "4", "this model has layers 0..2"),
        ("circuit c { m0 -> a1.h1.k }", "m0 -> a1.h1.", "k", "through k"),
        ("circuit c { [m0] -> early.k }", "[m0] -> early.", "k", "what the head is found by"),
        ("# CL308 is said here", "# CL3", "08", "the target of inference"),
        ("# first and last\ngroup g = m0", "group ", "g =", "first and last"),
        ("group g = m0  # beside it", "group ", "g =", "beside it"),
        ("# why\nclaim z: F(M) > 0", "claim ", "z:", "why"),
        ('model b = "toy"\npaper "arXiv"', "pap", 'er "arX', "where the claims come from"),
        (
            "claim z: most(95%) K in random(subsets(heads), 124): F(M - K) > 0",
            "claim ",
            "z:",
            "most(95%) K in random(subsets(heads), 124):",
        ),
        (
            "claim z: forall K in greedy(subsets(heads), runs = 3): F(M - K) > 0",
            "heads), ru",
            "ns",
            "how many chains",
        ),
    ],
)
def test_hover_on_a_line_of_its_own(editor, uri, line, before, after, expected):
    text = f"{FINE}{line}\n"
    editor.open(uri, text)
    assert expected in hovered(editor, uri, text, before, after)


def test_hover_marks_what_it_is_about(editor, likes):
    found = editor.ask("hover", likes, at(FINE, "claim faithful: faith", "fulness"))
    assert cut(FINE, found.range) == "faithfulness"


def test_shared_key_value_heads():
    text = 'spec s "1"\nmodel "smollm2-135m"\ngroup g = a19.h4\n'
    analysis = Analysis(Text(text, "s.circ", Path(), "utf-16"))
    analysis.check()
    shown, _ = hover(analysis, text.index("h4"))
    assert "key-value head 1 of 3, shared with `a19.h3`, `a19.h5`" in shown


def test_a_setting_behind_a_model_is_no_model(editor, uri):
    text = 'spec s "1"\nmodel "toy" { dtype "float64" }\npaper "arXiv:1"\n'
    editor.open(uri, text)
    assert hovered(editor, uri, text, '"arX', "iv") == ""
    assert hovered(editor, uri, text, '"flo', "at") == ""
    assert "3 layers" in hovered(editor, uri, text, '"to', "y")


def test_what_is_not_run_says_so(monkeypatch):
    monkeypatch.setitem(LATER, "size", "count them")
    text = FINE + "claim z: size(small) > 0\n"
    analysis = Analysis(Text(text, "s.circ", Path(), "utf-16"))
    shown, _ = hover(analysis, text.index("size(small)"))
    assert "does not run it: count them." in shown
    found = complete(Text(text + "let q = ", "s.circ", Path(), "utf-16"), len(text) + 8, analysis)
    assert {"size", "edges_from"} & {s.text for s in found.suggestions} == {"edges_from"}


def test_a_half_is_no_strategy():
    text = FINE.replace("task likes {\n", "task likes {\n  split search\n")
    analysis = Analysis(Text(text, "s.circ", Path(), "utf-16"))
    assert "the half of the prompts" in hover(analysis, text.index("split search"))[0]
    shown, _ = hover(analysis, text.index("search"))
    assert shown == f"**search**: {words.HALVES['search']}"


def test_a_long_line_is_cut():
    text = f"let names = [{', '.join(['a0.h0'] * 5000)}]"
    shown, _ = hover(Analysis(Text(text, "s.circ", Path(), "utf-16")), text.index("names"))
    assert len(shown) < 1000


def test_named_arguments_are_those_of_the_language():
    assert set(words.NAMED_ARGUMENTS["greedy"]) == set(wrappers.GREEDY)
    assert set(words.NAMED_ARGUMENTS["edges_from"]) == set(circuit_file.OPTIONS)
    for name, value in (*wrappers.GREEDY.items(), ("budget", wrappers.BUDGET)):
        assert f"({value} when" in words.ARGUMENTS[name]
    for sampler in wrappers.SAMPLERS:
        assert f'"{sampler}"' in words.ARGUMENTS["sampler"]


def test_every_word_and_function_has_a_meaning():
    assert set(words.KEYWORDS) == RESERVED
    known = {*functions._HANDLERS, *functions.METRIC_FUNCTIONS, *LATER}
    assert known - set(words.CALLS) == set()
    assert all(map(is_function, set(words.CALLS) - set(words.TEXT_CALLS) - {"F"}))
    assert {*functions.BUILTIN_NAMES, "examples"} == set(words.BUILTINS)
