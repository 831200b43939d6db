"""Stored runs: what is measured once is not executed again, and nothing else is believed."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import circuitlang
from circuitlang.content import Contents
from circuitlang.language.graph.architecture import Shape
from circuitlang.language.graph.edges import END, Place, Position, uniform
from circuitlang.language.models.find import BUNDLED
from circuitlang.language.spec import Ablation, Divergence, Metric, ModelReference, Run, TokenScore
from circuitlang.store import FILE, FORMAT, Invariant, Origin, Record, Store
from circuitlang.store import database as stores
from tests.test_cli import SPEC, invoke
from tests.tiny_models import prompt_set

CLAIMS = """
circuit wide = M - m1
claim whole:    F(M) - F(none) >= 1
claim faithful: faithfulness(wide) in 0.5..1.5
"""
RUNS = 3


def write(folder: Path, text: str = SPEC + CLAIMS) -> Path:
    path = folder / "spec.circ"
    path.write_text(text)
    return path


def check(path: Path, *arguments: object) -> dict[str, Any]:
    code, out, err = invoke("check", path, "--json", "--per-example", *arguments)
    assert code in (0, 1), err
    document: dict[str, Any] = json.loads(out)
    return document


def counts(document: dict[str, Any]) -> tuple[int, int]:
    return document["executed_runs"], document["stored_runs"]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    assert counts(check(write(folder))) == (RUNS, 0)
    return folder


@pytest.fixture
def checked(stored: Path, tmp_path: Path) -> Path:
    """A spec whose runs are stored beside it."""
    shutil.copytree(stored, tmp_path, dirs_exist_ok=True)
    return tmp_path / "spec.circ"


# ---------------------------------------------------------------- what is found again


def test_a_second_check_executes_nothing_and_finds_the_same(tmp_path: Path) -> None:
    path = write(tmp_path)
    first, second = check(path), check(path)
    assert counts(second) == (0, RUNS)
    for document in (first, second):
        for own in ("seconds", "executed_runs", "stored_runs"):
            del document[own]
    assert json.dumps(first) == json.dumps(second)
    assert first["invariants"]
    assert max(first["noise"].values()) > 0


def test_a_stored_check_loads_no_model(checked: Path) -> None:
    code = (
        "import sys\n"
        "from circuitlang.cli import app\n"
        "try:\n"
        f"    app(['check', {str(checked)!r}], standalone_mode=False)\n"
        "finally:\n"
        "    print(sorted({'torch', 'transformers', 'transformer_lens'} & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout.splitlines()[-1] == "[]", run.stderr
    assert f"{RUNS} runs from the store, 0 executed" in run.stdout


RENAMED = {
    "the model": ('model "toy"', 'model other = "toy"'),
    "a circuit": (r"\bwide\b", "kept"),
    "a claim": ("claim whole", "claim entire"),
    "the spec": ('spec small "1"', 'spec large "2"'),
    "a slot": (r"\bX\b", "DRINK"),
    "a label": (r"\bA1\b", "FIRST"),
    "the metric": (r"\bdifference\b", "gap"),
    "the ablation": (r"\bpatch\b", "swap"),
    "the corruption": (r"\bstrangers\b", "others"),
}
SAME_RUNS = {
    "a threshold": (">= 1", ">= 2"),
    "an expectation": ("claim whole:", 'claim whole expect fails "no":'),
    "the order": (r"(claim whole.*\n)(claim faithful.*\n)", r"\2\1"),
    "a claim more": (r"\Z", "claim drops: drop(M, m1) >= -9\nreport r: F(none)"),
    "a claim less": ("claim whole.*\n", ""),
    "another way to write it": ("M - m1", "M - (m1 + m1)"),
}


@pytest.mark.parametrize(
    "change", [*RENAMED.values(), *SAME_RUNS.values()], ids=[*RENAMED, *SAME_RUNS]
)
def test_changes_that_execute_nothing(checked: Path, change: tuple[str, str]) -> None:
    text = re.sub(*change, checked.read_text())
    assert text != checked.read_text()
    assert counts(check(write(checked.parent, text))) == (0, RUNS)


def test_numbers_come_back_where_they_belong(checked: Path) -> None:
    """Names that changed hands would show here."""
    before = {(r["set"], r["by"]): r["values"] for r in check(checked)["runs"]}
    text = (
        checked.read_text()
        .replace("M - m1", "M - m0")
        .replace("claim whole", "claim w: F(M - m1) > 9\nclaim whole")
    )
    after = check(write(checked.parent, text), "--no-store")
    again = check(write(checked.parent, text))
    assert counts(again) == (2, RUNS - 1)  # M again: the new run's KL is taken from it
    for fresh, mixed in zip(after["runs"], again["runs"], strict=True):
        assert fresh["set"] == mixed["set"]
        assert fresh["values"] == pytest.approx(mixed["values"], abs=1e-4)
    values = {(r["set"], r["by"]): r["values"] for r in again["runs"]}
    assert values["M - m1", "difference"] == before["wide", "difference"]
    assert values["wide", "difference"] != before["wide", "difference"]


def test_runs_of_the_same_content_have_the_same_numbers(tmp_path: Path) -> None:
    both = [
        f"report {n}: F({s})\n" for n, s in (("a", "M - m1 @ [A1, X]"), ("b", "M - m1 @ [X, A1]"))
    ]
    path = write(tmp_path, SPEC + "".join(both))
    for _ in range(2):
        one, other = [r["values"] for r in check(path)["runs"] if r["set"].startswith("M - ")]
        assert one == other
    assert counts(check(path))[0] == 0


def test_eval_reads_what_check_stored(checked: Path) -> None:
    _, out, _ = invoke("eval", checked, "F(wide) - F(M - m1 free m0)", "--json")
    assert counts(json.loads(out)) == (1, RUNS)
    _, out, _ = invoke("eval", checked, "[faithfulness(wide), F(M - m1 free m0)]", "--json")
    assert counts(json.loads(out)) == (0, RUNS + 1)


def test_a_session_reads_what_check_stored(checked: Path) -> None:
    document = check(checked)
    stored = next(run for run in document["runs"] if run["set"] == "wide")
    with circuitlang.session(checked) as session:
        assert session.F("wide").tolist() == stored["values"]
        assert not session.runner.loaded
        session.F("wide - m0")
        assert session.runner.loaded
    with circuitlang.session(checked, fresh=True) as session:
        assert session.F("wide").numpy() == pytest.approx(stored["values"], abs=1e-4)
        assert session.runner.loaded


def test_a_session_makes_no_store(tmp_path: Path) -> None:
    path = write(tmp_path)
    with circuitlang.session(path) as session:
        session.F("M")
    assert not (tmp_path / ".circ").exists()


# ---------------------------------------------------------------- what is executed again

CHANGED = {
    "the seed": ("sample 12", "sample 12 seed 5"),
    "the sample": ("sample 12", "sample 13"),
    "the template": (r"(.A:A1. likes .X.\.) (.B. likes .Y.\.)", r"\2 \1"),
    "the order of slots": (r'"tea", "jam"', '"jam", "tea"'),
    "a corruption": ('"soup"', '"salt"'),
    "the precision": (r"\{ bos yes \}", '{ bos yes  dtype "float64" }'),
    "BOS": ("bos yes", "bos no"),
    "the answer": (r"answer( = .*\n.*)foil", r"foil\1answer"),
    "the metric": (r"- logit\(foil\)", "- 2 * logit(foil)"),
    "the kind of ablation": (r"resample\(strangers\)", "mean(strangers)"),
    "a set at a place": ("M - m1", "M - m1 @ X"),
    "free nodes": (r"faithfulness\(wide\)", "faithfulness(wide free m1)"),
}


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_changes_that_execute(checked: Path, change: tuple[str, str]) -> None:
    text = re.sub(*change, checked.read_text())
    assert text != checked.read_text()
    changed = write(checked.parent, text)
    document, alone = check(changed), check(changed, "--no-store")
    assert document["executed_runs"] > 0
    values = [r["values"] for r in alone["runs"]]
    assert [r["values"] for r in document["runs"]] == [pytest.approx(v, abs=1e-4) for v in values]


@pytest.mark.parametrize("arguments", [("--samples", 5), ("--seed", 7)], ids=str)
def test_options_that_execute(checked: Path, arguments: tuple[object, ...]) -> None:
    assert counts(check(checked, *arguments)) == (RUNS, 0)
    assert counts(check(checked)) == (0, RUNS)


def test_other_weights_under_the_same_name_are_executed(tmp_path: Path) -> None:
    shutil.copytree(BUNDLED / "toy", tmp_path / "model")
    path = write(tmp_path, (SPEC + CLAIMS).replace('"toy"', '"./model"'))
    first = check(path)
    assert counts(check(path)) == (0, RUNS)
    weights = load_file(tmp_path / "model" / "model.safetensors")
    name = next(n for n in weights if n.endswith("mlp.c_proj.weight"))
    save_file(
        {**weights, name: weights[name] * 2},
        tmp_path / "model" / "model.safetensors",
        {"format": "pt"},
    )
    second = check(path)
    assert counts(second) == (RUNS, 0)
    assert second["runs"][0]["values"] != first["runs"][0]["values"]


def test_a_changed_edge_file_is_executed(tmp_path: Path) -> None:
    def found(head: str) -> None:
        edges = {f"{head}->logits": {"in_graph": True}, "input->logits": {"in_graph": True}}
        (tmp_path / "found.json").write_text(json.dumps({"cfg": {}, "nodes": {}, "edges": edges}))

    path = write(tmp_path, (SPEC + CLAIMS).replace("M - m1", 'edges_from("found.json")'))
    found("a1.h0")
    check(path)
    assert counts(check(path)) == (0, RUNS)
    found("a1.h1")
    assert counts(check(path)) == (2, RUNS - 2)  # M again: the new run's KL is taken from it


def test_fresh_executes_and_stores_anew(checked: Path) -> None:
    assert counts(check(checked, "--fresh")) == (RUNS, 0)
    assert counts(check(checked)) == (0, RUNS)


# ---------------------------------------------------------------- where it lies


def test_git_ignores_a_store_that_was_made(checked: Path) -> None:
    folder = checked.parent / ".circ"
    assert sorted(p.name for p in folder.iterdir()) == [".gitignore", FILE]
    assert (folder / ".gitignore").read_text() == "*\n"


def test_store_names_another_folder(tmp_path: Path) -> None:
    path, here = write(tmp_path), tmp_path / "a" / "b"
    assert counts(check(path, "--store", here)) == (RUNS, 0)
    assert counts(check(path, "--store", here)) == (0, RUNS)
    assert (here / FILE).exists()
    assert not (tmp_path / ".circ").exists()


def test_a_folder_that_exists_is_not_hidden_from_git(tmp_path: Path) -> None:
    check(write(tmp_path), "--store", tmp_path)
    assert not (tmp_path / ".gitignore").exists()


def test_no_store_leaves_nothing_and_reads_nothing(checked: Path) -> None:
    assert counts(check(checked, "--no-store")) == (RUNS, 0)
    shutil.rmtree(checked.parent / ".circ")
    check(checked, "--no-store")
    assert not (checked.parent / ".circ").exists()


def test_lint_plan_and_show_make_no_store(tmp_path: Path) -> None:
    path = write(tmp_path)
    for command in ("lint", "plan", "show"):
        assert invoke(command, path)[0] == 0
    assert not (tmp_path / ".circ").exists()


# ---------------------------------------------------------------- what can be wrong with it


def database(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path.parent / ".circ" / FILE, isolation_level=None)


def notes(document: dict[str, Any]) -> list[str]:
    assert all(d["severity"] == "note" for d in document["diagnostics"])
    return [d["message"] for d in document["diagnostics"] if d["code"] in ("CL601", "CL731")]


def garbage(path: Path) -> None:
    (path.parent / ".circ" / FILE).write_bytes(b"not a database " * 600)


def cut(path: Path) -> None:
    file = path.parent / ".circ" / FILE
    file.write_bytes(file.read_bytes()[:5000])


def newer(path: Path) -> None:
    database(path).execute(f"PRAGMA user_version = {FORMAT + 1}")


def foreign(path: Path) -> None:
    database(path).execute("PRAGMA application_id = 1")


def no_tables(path: Path) -> None:
    database(path).execute("DROP TABLE runs")


def folder_in_the_way(path: Path) -> None:
    (path.parent / ".circ" / FILE).unlink()
    (path.parent / ".circ" / FILE).mkdir()


def file_in_the_way(path: Path) -> None:
    shutil.rmtree(path.parent / ".circ")
    (path.parent / ".circ").write_text("mine")


@pytest.mark.parametrize(
    "spoil", [garbage, cut, newer, foreign, no_tables, folder_in_the_way, file_in_the_way]
)
def test_a_store_that_cannot_be_used_is_noted_and_left_alone(
    checked: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(checked)
    there = checked.parent / ".circ"
    files = [there] if there.is_file() else [p for p in there.iterdir() if p.is_file()]
    before = {p: p.read_bytes() for p in files}
    document = check(checked)
    assert counts(document) == (RUNS, 0)
    assert len(notes(document)) == 1
    assert {p: p.read_bytes() for p in files} == before


SPOILT = [
    "UPDATE runs SET numbers = zeroblob(length(numbers))",
    "UPDATE runs SET numbers = 'text'",
    "UPDATE runs SET checked = NULL",
    "UPDATE checks SET invariants = '[]'",
    "DELETE FROM checks",
]


@pytest.mark.parametrize("statement", SPOILT)
def test_a_damaged_record_is_not_believed(checked: Path, statement: str) -> None:
    before = check(checked)
    database(checked).execute(statement)
    document = check(checked)
    assert counts(document) == (RUNS, 0)
    assert len(notes(document)) == 1
    assert document["runs"] == before["runs"]
    again = check(checked)
    assert (counts(again), notes(again)) == ((0, RUNS), [])


def test_a_locked_store_is_noted(checked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "PATIENCE", 0.05)
    database(checked).execute("DELETE FROM runs")
    other = database(checked)
    other.execute("BEGIN IMMEDIATE")
    document = check(checked)
    assert counts(document) == (RUNS, 0)
    assert ["locked" in note for note in notes(document)] == [True]
    other.execute("ROLLBACK")
    assert counts(check(checked)) == (RUNS, 0)
    assert counts(check(checked)) == (0, RUNS)


def test_checks_at_once_share_a_store(tmp_path: Path) -> None:
    path = write(tmp_path)
    command = [sys.executable, "-m", "circuitlang.cli", "check", str(path), "--json"]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in both:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, notes(json.loads(out))) == (0, []), err
    assert counts(check(path)) == (0, RUNS)
    assert database(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


# ---------------------------------------------------------------- records and keys


NOWHERE = Origin("task", "toy", "float32", "cpu")


def unheard(code: str, reason: str, help: str) -> None:
    raise AssertionError(reason)


def test_a_record_comes_back_bit_by_bit(tmp_path: Path) -> None:
    values = np.array([0.1, -0.0, np.nan, np.inf, 5e-324])
    record = Record(
        values, 1e-7 / 3, (Invariant("F(M)", 0.1 + 0.2, True), Invariant("x", 1.0, False))
    )
    first = Store(tmp_path / "s", unheard)
    first.write({b"a": record}, NOWHERE)
    first.close()
    second = Store(tmp_path / "s", unheard)
    found = second.read([b"a", b"b"])
    assert list(found) == [b"a"]
    assert found[b"a"].values.tobytes() == values.tobytes()
    assert (found[b"a"].noise, found[b"a"].invariants) == (record.noise, record.invariants)


def test_a_file_is_read_again_when_it_changed(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    here = Store(tmp_path / "s", unheard)
    first = here.file_digest(file)
    with sqlite3.connect(tmp_path / "s" / FILE) as other:
        other.execute("UPDATE files SET sha256 = 'remembered'")
    assert here.file_digest(file) == "remembered"
    file.write_bytes(b"two")
    assert here.file_digest(file) not in (first, "remembered")


TINY = ModelReference("tiny", "./tiny", None, False, "float32", Shape(2, 4, 2, 32, 8, 48, 40, 24))
DRAWN = prompt_set([8, 8, 10, 10], references=8)
ANSWER = TokenScore("logit", "answer", Position(END))
PATCH = Ablation("patch", "resample", "other")
RUN = Run(TINY, "task", PATCH, uniform(0b1011))
SCORE = Metric("score", ANSWER, False)


def key(run: Run = RUN, metric: Metric = SCORE, **changed: Any) -> bytes:
    given = {"model": "m", "reference": TINY, "device": "cpu", "drawn": DRAWN} | changed
    return Contents(**given).key(run, metric)


def at(label: str) -> Place:
    return Place((Position(label),))


def test_keys_of_the_same_content_are_equal() -> None:
    moved = prompt_set([8, 8, 10, 10], references=8)
    renamed = [replace(p, index=9, template="u", text="", slots={}) for p in moved.prompts]
    assert key(drawn=replace(moved, task="u", prompts=tuple(renamed), references=())) == key()
    assert key(device="cuda:0") == key(device="cuda:1")
    # Where prompts have label A at their last token, the two are one position.
    ends = tuple(
        replace(p, spans={**p.spans, "A": (len(p.tokens) - 1, len(p.tokens))})
        for p in DRAWN.prompts
    )
    drawn = replace(DRAWN, prompts=ends)
    live = [replace(RUN, live=uniform(3).at(at(label))) for label in ("A", END)]
    assert key(live[0], drawn=drawn) == key(live[1], drawn=drawn)
    assert key(live[0]) != key(live[1])


def test_keys_of_other_content_differ() -> None:
    mean = replace(RUN, ablation=Ablation("mean", "mean", "other"))
    whole = Run(TINY, "task", None, uniform(0b1111))
    other = replace(RUN, live=uniform(0b1010))

    def by(expression: Any) -> Metric:
        return Metric("score", expression, False)

    prompts = list(DRAWN.prompts)
    prompts[0] = replace(prompts[0], answers={**prompts[0].answers, "answer": (39,)})
    fewer = replace(DRAWN, references=DRAWN.references[:-1])
    keys = [
        key(),
        key(model="n"),
        key(device="cuda"),
        key(reference=replace(TINY, dtype="float64")),
        key(drawn=replace(DRAWN, prompts=tuple(prompts))),
        key(drawn=replace(DRAWN, prompts=DRAWN.prompts[::-1])),
        key(other),
        key(whole),
        key(replace(RUN, ablation=Ablation("zero", "zero"))),
        key(replace(RUN, live=RUN.live.at(at("A")))),
        key(replace(RUN, live=RUN.live.at(at("B")))),
        key(mean),
        key(mean, drawn=fewer),
        key(replace(RUN, ablation=Ablation("mean", "mean"))),
        key(replace(RUN, ablation=Ablation("mean", "mean", "other", ("parity",)))),
        key(metric=by(replace(ANSWER, kind="prob"))),
        key(metric=by(replace(ANSWER, tokens="foil"))),
        key(metric=by(replace(ANSWER, pool="max"))),
        key(metric=by(replace(ANSWER, position=Position("A")))),
        key(metric=by(Divergence(whole))),
        key(metric=by(Divergence(whole, None, "js"))),
        key(metric=by(Divergence(whole, at("A")))),
        key(metric=by(Divergence(other))),
    ]
    assert len(set(keys)) == len(keys)
