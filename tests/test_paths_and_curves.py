"""`path_effect`, `cpr` and `cmd` from the words of a spec to numbers, on the toy model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from circuitlang import pipeline
from circuitlang.language.formulas import curves
from circuitlang.language.spec import Run

SPEC = """
spec paths "1.0.0"
model "toy" { bos yes }
task likes {
  slot A = ["ann", "bob", "cid", "dan"]
  slot B = ["ann", "bob", "cid", "dan"]
  slot X = ["tea", "jam", "rice", "milk"]
  slot Y = ["tea", "jam", "rice", "milk"]
  where distinct(A, B) and distinct(X, Y)
  prompt "{A:A1} likes {X}. {B} likes {Y}. {A:A2} likes"
  tokens answer = " {X}"
  tokens foil   = " {Y}"
  corrupt strangers { A1 = "ida"  B = "kim"  A2 = "jon"  X = "soup"  Y = "ham" }
  sample 24
}
metric logit_diff = logit(answer) - logit(foil)
ablation patch   = resample(strangers)
ablation average = mean(strangers per template)
default by logit_diff under patch over prompts
circuit known {
  input       -> [a0.h[0,1], a0.h2].v
  input       -> m0
  a0.h[0,1]   -> a1.h0.k
  a0.h2       -> a1.h0.q
  m0          -> a1.h0.v
  a1.h0       -> a2.h2.q
  m0          -> a2.h2.kv
  [a1.h0, a2.h2] -> logits
}
"""


def numbers(tmp_path: Path, **expressions: str) -> dict[str, np.ndarray]:
    """Each expression's value, worked out by one check."""
    spec = tmp_path / "paths.circ"
    reports = "".join(f"report {name}: {text}\n" for name, text in expressions.items())
    spec.write_text(SPEC + reports, encoding="utf-8")
    outcome = pipeline.check(spec, pipeline.Options(stored=False), pipeline.Silent())
    assert outcome.measured is not None, [d.message for d in outcome.front.found]
    return {item.name: estimates[0].value for item, estimates in outcome.estimates}


def test_a_path_without_nodes_between_is_an_edge(tmp_path):
    pairs = [
        ("a0.h2", "a1.h0.q", ""),
        ("a0.h[0,1]", "a1.h0", ""),
        ("a1.h0", "logits", " under average"),
        ("m0", "a2.h2.kv @ X", ""),
        ("input", "m0", " under zero"),
        ("a0.h2 @ END", "a1.h0.q @ END", ""),
    ]
    asked = {}
    for i, (start, end, words) in enumerate(pairs):
        asked[f"path{i}"] = f"path_effect({start}, {end}, through = none{words})"
        asked[f"edge{i}"] = f"drop(M, {start} -> {end}{words})"
    found = numbers(tmp_path, **asked)
    for i in range(len(pairs)):
        assert found[f"path{i}"] == pytest.approx(found[f"edge{i}"], abs=1e-4)
    assert max(abs(found[f"edge{i}"]) for i in range(len(pairs))) > 3


def test_through_everything_is_the_whole_effect(tmp_path):
    nodes = ["a0.h2", "m0", "a0.h[0,1]"]
    asked = {f"path{i}": f"path_effect({n}, logits, through = any)" for i, n in enumerate(nodes)}
    asked |= {f"drop{i}": f"drop(M, {n})" for i, n in enumerate(nodes)}
    found = numbers(tmp_path, **asked)
    for i in range(len(nodes)):
        assert found[f"path{i}"] == pytest.approx(found[f"drop{i}"], abs=1e-4)
        assert abs(found[f"drop{i}"]) > 1


def test_heads_between_are_frozen_and_mlps_are_not(tmp_path):
    """The asker reaches the answer through a head, so nothing of it goes through MLPs alone."""
    found = numbers(
        tmp_path,
        whole="drop(M, a0.h2)",
        by_mlps="path_effect(a0.h2, logits)",
        by_the_head="path_effect(a0.h2, logits, through = [a1.h0, a2.h2])",
        either="mean(path_effect(h, a1.h0.k) for h in a0.h[0,1])",
    )
    assert found["by_mlps"] == pytest.approx(0, abs=0.05 * found["whole"])
    assert found["by_the_head"] == pytest.approx(found["whole"], rel=0.05)
    assert found["either"] == pytest.approx(0, abs=0.05 * found["whole"])


def test_metric_and_prompts_are_those_of_the_words(tmp_path):
    found = numbers(
        tmp_path,
        prob="path_effect(a0.h2, a1.h0.q by prob(answer))",
        same="F(M by prob(answer)) - F(M - (a0.h2 -> a1.h0.q) by prob(answer))",
        each="mean(path_effect(a0.h2, a1.h0.q on x) for x in examples)",
        mean="path_effect(a0.h2, a1.h0.q)",
    )
    assert found["prob"] == pytest.approx(found["same"], abs=1e-4)
    assert found["each"] == pytest.approx(found["mean"], abs=1e-4)


def test_nothing_comes_from_a_free_node(tmp_path):
    spec = tmp_path / "free.circ"
    spec.write_text(SPEC + "report r: path_effect(m0, logits free mlps)\n", encoding="utf-8")
    outcome = pipeline.check(spec, pipeline.Options(stored=False), pipeline.Silent())
    assert [d.code for d in outcome.front.found] == ["CL309"]
    assert outcome.estimates[0][1][0].value == pytest.approx(0, abs=1e-5)


def test_documents_say_who_reads_from_whom(tmp_path):
    from circuitlang.report.outcome import document

    spec = tmp_path / "paths.circ"
    line = "report r: path_effect(a0.h2 @ END, a1.h0.q @ END)\n"
    spec.write_text(SPEC + line, encoding="utf-8")
    options = pipeline.Options(stored=False)
    written = document(pipeline.check(spec, options, pipeline.Silent()), options, False)
    (run,) = [run for run in written.runs if run.readings]
    (reading,) = run.readings
    assert {form.receivers for form in reading.receivers} == {("a1.h0<q>",)}
    assert all(len(form.positions) == 1 for form in reading.receivers)
    assert reading.run.under.name == "patch"
    assert reading.run.readings[0].run.set == "M"


def test_stored_runs_tell_readings_apart(tmp_path):
    spec = tmp_path / "paths.circ"
    options = pipeline.Options(store=tmp_path / "store")
    values = []
    for line in ("path_effect(a0.h2, a1.h0.q)", "path_effect(a0.h2, a1.h0.k)") * 2:
        spec.write_text(f"{SPEC}report r: {line}\n", encoding="utf-8")
        outcome = pipeline.check(spec, options, pipeline.Silent())
        values.append((outcome.estimates[0][1][0].value, outcome.measured.executed))
    assert values[0][0] > 3 > abs(values[1][0])
    assert [value for value, _ in values[2:]] == [value for value, _ in values[:2]]
    assert [executed for _, executed in values[2:]] == [0, 0]


# ---------------------------------------------------------------- curves


def scores_file(tmp_path: Path) -> None:
    """Scores in EAP-IG's format: those of `known` first, the rest in an order of its own."""
    from circuitlang.pipeline import resolve_file

    spec = tmp_path / "plain.circ"
    spec.write_text(SPEC + "report r: F(M)\n", encoding="utf-8")
    found = resolve_file(spec).resolved.spec
    (model,) = found.models.values()
    from circuitlang.language.graph.architecture import architecture

    graph, known = architecture(model.shape), found.circuits["known"].mask
    edges = {
        str(edge): {"score": 2.0 - i / 1000 - (not known >> i & 1), "in_graph": True}
        for i, edge in enumerate(graph.edges(graph.everything))
    }
    config = {"n_layers": 3, "n_heads": 4, "parallel_attn_mlp": False, "d_model": 96}
    nodes = {name: {"in_graph": True} for name in {e.split("->")[0] for e in edges} | {"logits"}}
    (tmp_path / "scores.json").write_text(
        json.dumps({"cfg": config, "nodes": nodes, "edges": edges}), encoding="utf-8"
    )


def test_areas_are_the_trapezoid_rule(tmp_path):
    scores_file(tmp_path)
    sizes = [round(share * 262) for share in curves.SIZES]
    asked = {
        f"f{i}": f'faithfulness(edges_from("scores.json", top = {n}))'
        if n
        else "faithfulness(none)"
        for i, n in enumerate(sizes)
    }
    found = numbers(tmp_path, cpr='cpr("scores.json")', cmd='cmd("scores.json")', **asked)
    f = np.array([found[f"f{i}"] for i in range(len(sizes))])
    assert found["cpr"] == pytest.approx(np.trapezoid(f, curves.SIZES), abs=1e-6)
    assert found["cmd"] == pytest.approx(np.trapezoid(abs(1 - f), curves.SIZES), abs=1e-6)
    assert f.min() < 0.1 < 0.9 < f.max()


def test_weights_add_up_to_the_width():
    assert sum(curves.weights()) == pytest.approx(0.999)
    assert curves.weights()[0] == pytest.approx(0.0005)


def test_runs_with_readings_are_values():
    """Two runs that read alike are one, and a hash tells that."""
    from circuitlang.language.graph.edges import uniform
    from circuitlang.language.spec import Reading
    from tests.judgement.judgement_fakes import MODEL, PATCH, run

    def reading(mask: int) -> Run:
        return Run(MODEL, "t", PATCH, uniform(1), readings=(Reading(uniform(mask), run("C")),))

    assert len({reading(1), reading(1), reading(2)}) == 2
