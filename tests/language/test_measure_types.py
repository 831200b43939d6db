"""Inferred types of measures: the prelude's, one use at a time, and contradictions."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.formulas.measure_types import (
    check_measure_types,
    signature,
    signatures,
    types_of_names,
)
from circuitlang.language.resolve import prelude
from circuitlang.language.source import Source
from circuitlang.language.text.parse import parse

PRELUDE = [
    "effect -> number",
    "faithfulness(C: edges) -> number",
    "recovered(C: edges) -> number",
    "incompleteness(C: edges, K: edges) -> number",
    "drop(C: edges, K: edges) -> number",
    "necessity(C: edges) -> number",
    "direct(S: edges, h: nodes) -> number",
    "attends(h: nodes, from: position, to: position) -> number",
    "overlap(A: edges, B: edges) -> number",
    "error(A: edges, B: edges) -> number",
    "agreement(C: edges, d: number) -> number",
    "kl_from_model(C: edges) -> number",
    "win_rate(C: edges) -> number",
    "interaction(S: edges, A: edges, B: edges) -> number",
    "backup(h: nodes, K: edges) -> number",
]


def read(text: str):
    diagnostics = Diagnostics()
    file = parse(Source("measures.circ", text, Path()), diagnostics)
    assert diagnostics.found == []
    measures = {**prelude(), **{s.name: s for s in file.statements if hasattr(s, "parameters")}}
    return measures, types_of_names(file)


def inferred(text: str) -> str:
    """The type of the last measure of a text."""
    measures, names = read(text)
    return signature(list(measures)[-1], measures, names)


def found(text: str) -> list[tuple[str, str, str]]:
    """(the second use, the first use, message) of every contradiction."""
    measures, names = read(text)
    diagnostics = Diagnostics()
    check_measure_types(measures, diagnostics, names)
    assert {d.code for d in diagnostics.found} <= {"CL313"}
    assert all(d.help and len(d.related) == 1 for d in diagnostics.found)
    shown = []
    for d in diagnostics.found:
        (first, _), second = d.related[0], d.span
        assert first != second
        shown.append((line_of(second), line_of(first), d.message))
    return shown


def line_of(span) -> str:
    """The place with what stands around it, so that a test can tell one use from another."""
    text = span.source.text
    return text[max(0, span.start - 6) : span.end + 1].replace("\n", " ")


def test_the_prelude():
    assert [str(s) for s in signatures(prelude()).values()] == PRELUDE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("measure f(C, k) = F(C) + k", "f(C: edges, k: number) -> number"),
        ("measure f(C, k) = k * F(C)", "f(C: edges, k: number) -> number"),
        ("measure f(h) = F(h -> logits)", "f(h: nodes) -> number"),
        ("measure f(h) = F(any -> h.q)", "f(h: nodes) -> number"),
        ("measure f(C) = F(C @ END)", "f(C: edges) -> number"),
        ("measure f(C, p) = F(C @ [p, END])", "f(C: edges, p: position) -> number"),
        ("measure f(h, p) = attends(h, p, p - 1)", "f(h: nodes, p: position) -> number"),
        ("measure f(C, a) = F(C under a)", "f(C: edges, a: ablation) -> number"),
        ("measure f(c) = F(M under mean(c per template))", "f(c: corruption) -> number"),
        ("measure f(C, t) = F(C on t)", "f(C: edges, t: data) -> number"),
        ("measure f(C, m) = F(C by m)", "f(C: edges, m: metric) -> number"),
        ("measure f(C, m) = F(C with m)", "f(C: edges, m: model) -> number"),
        ("measure f(t) = F(M by prob(t))", "f(t: tokens) -> number"),
        ("measure f(A, B) = size(A & B)", "f(A: edges, B: edges) -> number"),
        ("measure f(x, unused) = F(x)", "f(x: edges, unused: any value) -> number"),
        ("measure f(x) = x", "f(x: any value) -> any value"),
        ("measure f(a, b) = a + b", "f(a: any value, b: any value) -> any value"),
        ("measure f(a, b) = a + b > 1", "f(a: number, b: number) -> condition"),
        ("measure f(C) = F(C) > F(none)", "f(C: edges) -> condition"),
        ("measure f(C) = M - C", "f(C: edges) -> edges"),
        ("measure f(g, h) = (g - h) -> logits", "f(g: nodes, h: nodes) -> edges"),
        ("measure f(p) = attends(a0.h1, p + 1, END)", "f(p: position) -> number"),
        ("measure score = logit(answer) - logit(foil)", "score -> metric"),
        ("group late = [m1]\nmeasure f(C) = late + C", "f(C: edges) -> edges"),
        ("measure f(hs) = mean(attends(h, END, END) for h in hs)", "f(hs: nodes) -> number"),
        (
            "measure f(es, C) = max(drop(C, e) for e in es)",
            "f(es: list of edges, C: edges) -> number",
        ),
        (
            "measure f(C) = share(F(C on x) > F(M on x) for x in examples)",
            "f(C: edges) -> number",
        ),
        (
            "measure f(h, p) = mean(attends(h, q, q - 1) for q in p)",
            "f(h: nodes, p: position) -> number",
        ),
        (
            "measure f(C, e) = share(error(C, C - e) > error(C, p - n)"
            " for p in some for n in random(edges(p - C), 1))",
            "f(C: edges, e: edges) -> number",
        ),
    ],
)
def test_a_parameter_is_what_it_is_used_as(text, expected):
    assert inferred(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "measure f(h) = F(M - h) * attends(h, END, END)",
        "measure f(h) = attends(h, END, END) * F(M - h)",
        "measure f(g, h) = F(g) * attends(g - h, END, END) * F(h)",
    ],
)
def test_where_edges_are_wanted_nodes_do(text):
    assert found(text) == []
    assert "h: nodes" in inferred(text)


def test_a_measure_that_asks_nothing_of_a_parameter_takes_each_call_by_itself():
    text = "measure same(x) = x\nmeasure f(C, p) = F(same(C)) - attends(a0.h1, same(p), END)"
    assert found(text) == []
    assert inferred(text) == "f(C: edges, p: position) -> number"


def test_types_come_from_measures_that_are_written_later():
    text = "measure f(C, x) = g(C, x)\nmeasure g(A, y) = F(A) * y"
    measures, names = read(text)
    assert signature("f", measures, names) == "f(C: edges, x: number) -> number"


@pytest.mark.parametrize(
    ("text", "second", "first", "kinds"),
    [
        ("measure f(k) = F(k) + k", "+ k", "= F(k)", ("number", "edges")),
        ("measure f(p) = attends(a0.h0, END, p) - F(p)", "F(p)", ", p)", ("edges", "position")),
        ("measure f(h) = drop(M, h) * h", ") * h", "(M, h)", ("number", "edges")),
        ("measure f(a) = F(M on a under a)", "under a", " on a", ("ablation", "data")),
        ("measure f(k) = mean(k * F(k) for x in examples)", "F(k)", "mean(k", ("edges", "number")),
    ],
)
def test_two_uses_at_two_types(text, second, first, kinds):
    ((at, before, message),) = found(text)
    assert second in at
    assert first in before
    assert kinds[0] in message.partition(" here ")[0]
    assert kinds[1] in message.partition(" here ")[2]


def test_the_second_use_may_be_in_another_measure():
    text = "measure g(p) = attends(a0.h1, p, END)\nmeasure f(C) = F(C) + g(C)"
    ((second, first, message),) = found(text)
    assert "g(C)" in second
    assert "= F(C)" in first
    assert message.startswith("`C` is a position here and a set of edges before it, in line 2")


def test_the_measures_concerned_are_named():
    measures, names = read("measure good(C) = F(C)\nmeasure bad(C) = F(C) + C")
    assert check_measure_types(measures, Diagnostics(), names) == {"bad"}


def test_a_measure_that_needs_itself_has_some_type():
    measures, names = read("measure f(C) = g(C)\nmeasure g(C) = f(C) + F(C)")
    assert signature("g", measures, names).startswith("g(C: edges)")


def test_a_chain_of_a_thousand_measures_written_backwards():
    lines = [f"measure f{i}(C) = f{i + 1}(C)" for i in range(1000)]
    measures, _ = read("\n".join([*lines, "measure f1000(C) = F(C)"]))
    assert signature("f0", measures) == "f0(C: edges) -> number"


def test_the_broken_example_is_found():
    path = Path(__file__).parent / "bad" / "CL313_parameter_at_two_types.circ"
    file = parse(Source(path.name, path.read_text(), path.parent), Diagnostics())
    diagnostics = Diagnostics()
    measures = {**prelude(), **{s.name: s for s in file.statements if hasattr(s, "parameters")}}
    check_measure_types(measures, diagnostics)
    lines = path.read_text().split("\n")
    assert [lines[d.span.line - 1][-14:] for d in diagnostics.found] == ["# error: CL313"] * 2


ROOT = Path(__file__).parents[2]
SPECS = sorted([*ROOT.glob("specs/**/[!.]*.circ"), *ROOT.glob("tests/language/good/[!.]*.circ")])


@pytest.mark.parametrize("path", SPECS, ids=[path.name for path in SPECS])
def test_good_specs_have_no_contradiction(path):
    file = parse(Source(path.name, path.read_text(), path.parent), Diagnostics())
    measures = {**prelude(), **{s.name: s for s in file.statements if hasattr(s, "parameters")}}
    diagnostics = Diagnostics()
    assert check_measure_types(measures, diagnostics, types_of_names(file)) == frozenset()
    assert diagnostics.found == []
