"""Definitions of other files: under their own names, with their own meaning, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitlang import pipeline
from circuitlang.front import Front, resolve_file
from circuitlang.language.graph.architecture import architecture

SHARED = """
spec shared "1.0.0"
model small = "toy" { bos yes }
let people = ["ann", "bob", "cid", "dan"]
task likes {
  slot A = people
  slot X = ["tea", "jam", "rice", "milk"]
  slot Y = ["tea", "jam", "rice", "milk"]
  where X != Y
  prompt "{A:A1} likes {X}. eve likes {Y}. {A:A2} likes"
  tokens answer = " {X}"
  tokens foil   = " {Y}"
  corrupt strangers { A1 = ["ida", "jon"]  A2 = ["kim", "lee"] }
  sample 16
}
metric   diff  = logit(answer) - logit(foil)
ablation patch = resample(strangers)
group    movers = a1.h0
let      A2 = a2.h1
circuit likes {
  input -> m0
  m0 -> movers.v
  movers @ A2 -> logits
}
measure both(C, movers) = F(C) - F(C - movers) + size(A2)
claim never: F(M) > 1000000
report unused: F(M)
"""
DEFAULT = "default on shared.likes by shared.diff under shared.patch with shared.small\n"
HEAD = 'spec top "1"\nimport "shared.circ" as shared\n' + DEFAULT


def front(tmp_path: Path, text: str, **files: str) -> Front:
    for name, content in {"shared": SHARED, **files}.items():
        (tmp_path / f"{name}.circ").write_text(content)
    path = tmp_path / "top.circ"
    path.write_text(text)
    return resolve_file(path)


def codes(found: Front) -> list[tuple[str, str]]:
    assert all(d.span is not None for d in found.found)
    return [(d.code, Path(d.span.source.name).name) for d in found.found if d.span]


def resolved(found: Front):  # type: ignore[no-untyped-def]
    assert codes(found) == []
    assert found.resolved is not None
    return found.resolved


def test_an_imported_circuit_is_the_one_written_there(tmp_path: Path) -> None:
    own = SHARED.replace("never: F(M) > 1000000", "f: faithfulness(likes) >= 0.5")
    (tmp_path / "alone").mkdir()
    alone = front(tmp_path / "alone", own + "default on likes by diff under patch with small")
    far = front(tmp_path, HEAD + "claim f: faithfulness(shared.likes) >= 0.5")
    (mine,) = resolved(alone).spec.claims
    (theirs,) = resolved(far).spec.claims
    assert mine.formula.left.operands[0].operands[0].measurement.run.live == (
        theirs.formula.left.operands[0].operands[0].measurement.run.live
    )
    assert theirs.formula.left.operands[0].operands[0].measurement.run.task == "shared.likes"


def test_imported_claims_reports_and_defaults_stay_behind(tmp_path: Path) -> None:
    found = resolved(front(tmp_path, HEAD + "claim f: F(shared.likes) >= 0"))
    assert [c.name for c in found.spec.claims] == ["f"]
    assert found.spec.reports == ()
    with_defaults = SHARED + "default under zero"
    text = HEAD.replace("under shared.patch ", "") + "claim f: F(shared.likes) >= 0"
    other = front(tmp_path, text, shared=with_defaults)
    (claim,) = resolved(other).spec.claims
    assert claim.formula.left.measurement.run.ablation.kind == "resample"


def test_names_of_the_imported_file_keep_their_meaning(tmp_path: Path) -> None:
    """A measure's parameter shadows a group of its file, and after `@` a label is no definition."""
    text = HEAD + (
        "group movers = a0.h3\n"
        "claim own: F(movers) >= 0\n"
        "claim f: shared.both(shared.likes, m0) >= 0\n"
    )
    found = resolved(front(tmp_path, text))
    own, measure = found.spec.claims
    runs = [operand.measurement.run for operand in measure.formula.left.operands[0].operands]
    assert str(runs[1].written) == "shared.likes - m0"
    assert {str(p) for p in runs[0].live.places} == {"A2"}
    live = own.formula.left.measurement.run.live.reach
    graph = architecture(found.spec.models["shared.small"].shape)
    assert {str(e.sender) for e in graph.edges(live)} == {"a0.h3"}


@pytest.mark.parametrize(
    "formula",
    [
        "F(shared.likes under resample(shared.likes.strangers)) >= 0",
        "forall c in corruptions(shared.likes): F(M under resample(c)) >= 0",
        "forall t in templates(shared.likes): F(M on t) >= 0",
        "forall x in examples(shared.likes): F(shared.likes on x) >= 0",
        "forall g in groups(shared.likes): drop(shared.likes, g) >= 0",
        "forall h in shared.movers: drop(M, any -> h.q) >= 0",
        "F(M - (input -> shared.movers.v)) >= 0",
        "forall v in parts(shared.likes, X): F(M on v) >= 0",
    ],
)
def test_everything_of_an_import_can_be_used(tmp_path: Path, formula: str) -> None:
    found = resolved(front(tmp_path, HEAD + f"claim f: {formula}"))
    assert len(found.spec.claims) == 1


def test_groups_of_an_imported_circuit_are_those_of_its_file(tmp_path: Path) -> None:
    text = HEAD + "group mine = a1.h0\nclaim f: forall g in groups(shared.likes): drop(M, g) >= 0"
    (claim,) = resolved(front(tmp_path, text)).spec.claims
    assert [label for label, _ in claim.formula.members] == ["shared.movers @ A2"]


def test_imports_of_imports_work_and_are_not_handed_on(tmp_path: Path) -> None:
    middle = 'spec middle "1"\nimport "shared.circ" as base\ncircuit c = base.likes - base.movers\n'
    head = HEAD + 'import "middle.circ" as middle\n'
    found = resolved(front(tmp_path, head + "claim f: F(middle.c) >= 0", middle=middle))
    assert found.spec.claims[0].formula.left.measurement.run.live.reach
    refused = front(tmp_path, head + "claim f: F(middle.base.likes) >= 0", middle=middle)
    assert codes(refused) == [("CL101", "top.circ")]
    assert "not handed on" in refused.found[0].message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD + "claim f: F(shared.like) >= 0", [("CL101", "top.circ")]),
        (HEAD + "claim f: F(shared) >= 0", [("CL106", "top.circ")]),
        (HEAD + 'import "nope.circ" as nope\nclaim f: F(nope.x) >= 0', [("CL110", "top.circ")]),
        (HEAD + 'import "../x.circ" as x\nclaim f: F(M) >= 0', [("CL111", "top.circ")]),
        (HEAD + 'import "top.circ" as me\nclaim f: F(M) >= 0', [("CL109", "top.circ")]),
        (HEAD + 'import "shared.circ" as shared\nclaim f: F(M) >= 0', [("CL102", "top.circ")]),
        (
            HEAD.replace("with shared.small", "") + "claim f: F(M) >= 0",
            [("CL103", "top.circ")],
        ),
    ],
)
def test_mistakes_with_imports(tmp_path: Path, text: str, expected: list[tuple[str, str]]) -> None:
    found = front(tmp_path, text)
    assert codes(found) == expected
    assert all(d.help for d in found.found)


def test_a_mistake_in_an_imported_file_is_shown_there(tmp_path: Path) -> None:
    broken = SHARED.replace("a1.h0", "a1.h9")
    found = front(tmp_path, HEAD + "claim f: F(shared.likes) >= 0", shared=broken)
    assert codes(found) == [("CL201", "shared.circ")]


def test_what_is_not_used_of_an_import_is_not_looked_at(tmp_path: Path) -> None:
    text = 'spec top "1"\nimport "shared.circ" as shared\nmodel "toy" { bos yes }\n'
    broken = SHARED.replace('model small = "toy"', 'model small = "./nowhere"')
    text += "task other {\n" + SHARED.split("task likes {")[1].split("}\nmetric")[0] + "}\n"
    text = text.replace("slot A = people", 'slot A = ["ann", "bob"]')
    text += "default by shared.diff under zero\nclaim f: F(M - shared.movers) >= 0"
    assert codes(front(tmp_path, text, shared=broken)) == []


def test_a_check_through_imports_decides_as_the_file_itself(tmp_path: Path) -> None:
    claim = "claim f: forall g in groups({0}likes): abs(drop({0}likes, {0}movers)) >= 0.001\n"
    claim += "claim g: F({0}likes) <= F(M)\n"
    own = SHARED.replace("claim never: F(M) > 1000000", claim.format(""))
    alone = tmp_path / "alone"
    alone.mkdir()
    front(alone, own + "default on likes by diff under patch with small")
    front(tmp_path, HEAD + claim.format("shared."))
    options = pipeline.Options(stored=False)
    mine = pipeline.check(alone / "top.circ", options, pipeline.Silent())
    theirs = pipeline.check(tmp_path / "top.circ", options, pipeline.Silent())
    assert [r.verdict for r in mine.results] == [r.verdict for r in theirs.results]
    values = [[r.decision.value for r in results] for results in (mine.results, theirs.results)]
    assert values[0] == pytest.approx(values[1], abs=1e-6)
    assert len(values[0]) == 2


OWN_TASK = """
task mine {
  slot A = shared.people
  slot X = shared.foods
  where A in shared.people
  prompt "{A:A1} likes {X}. eve likes rice. {A:A2} likes"
  tokens answer = " {X}"
  tokens foil   = [" {w}" for w in shared.foods if w != X]
  corrupt other { A = shared.people }
}
claim able: F(M on mine under resample) >= -100
"""


def test_a_task_takes_its_lists_from_another_file(tmp_path: Path) -> None:
    """A file that the other names lies beside the other, not beside this one."""
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "foods.txt").write_text("tea\njam\n")
    (tmp_path / "foods.txt").write_text("soup\n")
    (tmp_path / "words" / "shared.circ").write_text(
        SHARED
        + 'let foods = [w for w in read if w != "jam"] + ["milk"]\nlet read = file("foods.txt")\n'
    )
    path = tmp_path / "top.circ"
    path.write_text(HEAD.replace('"shared.circ"', '"words/shared.circ"') + OWN_TASK)
    found = resolved(resolve_file(path))
    slots = {slot.names[0]: [row[0] for row in slot.rows] for slot in found.tasks["mine"].slots}
    assert slots == {"A": ["ann", "bob", "cid", "dan"], "X": ["tea", "milk"]}


def test_a_list_that_the_other_file_lacks(tmp_path: Path) -> None:
    found = front(tmp_path, HEAD + OWN_TASK.replace("shared.people", "shared.peopel"))
    assert {code for code, _ in codes(found)} == {"CL101"}
