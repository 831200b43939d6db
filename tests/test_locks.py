"""Locks as a user meets them: made, demanded, printed, sealed before the results."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import circuitlang
from circuitlang.front import lint
from circuitlang.language.diagnostics import Diagnostic
from circuitlang.lockfile import Lock, lock_path, lock_text, read_lock, write_lock
from circuitlang.locks.stale import staleness
from circuitlang.meaning import Meaning, meaning
from circuitlang.pipeline import Options
from tests.test_cli import SPEC, invoke

ROOT = Path(__file__).parent.parent
TOY = sorted((ROOT / "specs" / "toy").glob("[!.]*.circ"))
DAY = "1764288000"

CLAIMS = """
let words = ["naan", "soda"]
circuit wide = M - m1
assume able:    F(M) >= 1
claim faithful "the rest is idle": faithfulness(wide) in 0.5..1.5
claim strong:   F(M) >= 5.5
claim rival expect fails "not so much": F(M) >= 100
report sizes:   [F(M), F(wide)]
"""


def write(folder: Path, text: str = SPEC + CLAIMS) -> Path:
    path = folder / "small.circ"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("locked")
    spec = write(folder)
    code, out, err = invoke("lock", spec)
    assert code == 1, err
    assert out.splitlines()[-1] == f"wrote {spec}.lock"
    return folder


@pytest.fixture
def locked(made: Path, tmp_path: Path) -> Path:
    """A spec with its lock and the stored runs."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "small.circ"


def edit(spec: Path, old: str, new: str) -> None:
    text = spec.read_text()
    assert re.search(old, text)
    spec.write_text(re.sub(old, new, text))


def refused(code: str, *arguments: object) -> str:
    """What a command says that refuses with one coded error, and a help line."""
    exit_code, out, err = invoke(*arguments)
    assert exit_code == 2
    assert re.findall(r"^error\[(CL\d+)\]", err, re.MULTILINE) == [code], err
    assert "help: " in err
    assert out == ""
    return err


# ---------------------------------------------------------------- circ lock


def test_a_lock_says_what_was_checked_and_what_came_of_it(locked: Path) -> None:
    lock = read_lock(lock_path(locked))
    document = circuitlang.check(locked)
    assert lock.results
    assert {n: (c.verdict, c.value, c.low, c.high, c.n) for n, c in lock.claims.items()} == {
        c.name: (c.verdict, c.value, c.low, c.high, c.n) for c in document.claims
    }
    assert [c.ok for c in lock.claims.values()] == [True, True, False, True]
    assert lock.claims["rival"].expected == "fails"
    assert [n.value for n in lock.reports["sizes"].values()] == [r.value for r in document.reports]
    assert all(c.noise is not None and 0 < c.noise < 1e-4 for c in lock.claims.values())
    task, model = lock.tasks["t toy"], lock.models["toy"]
    assert (task.prompts, task.seed, task.references) == (12, 0, 0)
    assert set(model.files) == {"config.json", "model.safetensors", "tokenizer.json"}
    assert (model.shape["layers"], model.dtype, model.device) == (3, "float32", "cpu")
    assert lock.plan is not None
    assert lock.plan.runs == 3
    assert {"circuitlang", "torch", "python"} <= set(lock.tool)
    front = lint(locked)
    assert Meaning.model_validate(lock.meaning.document) == meaning(front)
    assert staleness(front, lock) == []


def test_a_lock_is_the_same_each_time_but_for_the_date(locked: Path, monkeypatch: Any) -> None:
    path = lock_path(locked)
    before = path.read_text()
    code, out, _ = invoke("lock", locked)
    assert (code, out.splitlines()[-1]) == (1, f"unchanged: {path}")
    assert path.read_text() == before
    path.unlink()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", DAY)
    invoke("lock", locked, "--fresh")
    again = path.read_text()
    pairs = zip(before.splitlines(), again.splitlines(), strict=True)
    assert [b.split(" = ")[0] for a, b in pairs if a != b] == ["date", "digest"]
    assert "date = 2025-11-28T00:00:00Z\n" in again


def test_the_date_is_refused_when_it_is_none(locked: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    code, _, err = invoke("lock", locked)
    assert code == 2
    assert "CL719" in err


def test_a_spec_that_cannot_be_checked_is_not_locked(tmp_path: Path) -> None:
    spec = write(tmp_path, SPEC + "claim a: F(Q) >= 1")
    refused("CL101", "lock", spec)
    assert not lock_path(spec).exists()


def test_quick_checks_are_not_locked(locked: Path) -> None:
    for option in (["--quick"], ["--samples", "5"], ["--seed", "1"]):
        assert option[0] in refused("CL719", "lock", locked, *option)
        assert option[0] in refused("CL719", "check", "--locked", locked, *option)
        assert option[0] in refused("CL719", "check", "--frozen", locked, *option)


def test_a_lock_that_cannot_be_written_is_said(locked: Path, monkeypatch: Any) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = lock_path(locked).read_bytes()
    edit(locked, "claim strong: ", "claim stronger: ")
    monkeypatch.setattr("circuitlang.lockfile.write.replace_file", full)
    code, _, err = invoke("lock", locked)
    assert code == 2
    assert "error[CL718]" in err
    assert lock_path(locked).read_bytes() == before


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda text: text[:300], "CL712"),
        (lambda text: f"<<<<<<< ours\n{text}=======\n{text}>>>>>>> theirs\n", "CL713"),
        (lambda text: text.replace("version = 1", "version = 7", 1), "CL714"),
        (lambda text: text.replace("ok = false", "ok = true", 1), "CL715"),
    ],
)
def test_a_lock_that_cannot_be_believed_stops_everything(
    locked: Path, damage: Callable[[str], str], code: str
) -> None:
    path = lock_path(locked)
    path.write_text(damage(path.read_text()))
    before = path.read_bytes()
    for command in (["check", "--locked"], ["check", "--frozen"], ["verify"], ["lock"]):
        refused(code, *command, locked)
    refused(code, "lock", "--preregister", locked)
    assert path.read_bytes() == before


def test_a_lock_is_asked_for(tmp_path: Path) -> None:
    spec = write(tmp_path)
    for command in (["check", "--locked"], ["check", "--frozen"], ["verify"]):
        refused("CL711", *command, spec)


# ---------------------------------------------------------------- circ check --locked


def test_an_unchanged_spec_is_checked(locked: Path) -> None:
    code, out, err = invoke("check", "--locked", locked)
    assert (code, err) == (1, "")
    assert "0 executed" in out
    code, out, _ = invoke("check", "--locked", "--json", "--claim", "faithful", locked)
    assert code == 0
    assert [c["name"] for c in json.loads(out)["claims"]] == ["able", "faithful"]


COSMETIC = {
    "a comment": (r"\Z", "# nothing\n"),
    "layout": (r"circuit wide = M - m1", "circuit wide   =   M-m1"),
    "the order": (r"(claim faithful.*\n)(claim strong.*\n)", r"\2\1"),
    "a sentence": ("the rest is idle", "nothing else matters"),
    "an abbreviation": (r"let words = .*\n", ""),
}


@pytest.mark.parametrize("what", COSMETIC)
def test_what_means_the_same_is_not_stale(locked: Path, what: str) -> None:
    edit(locked, *COSMETIC[what])
    code, _, err = invoke("check", "--frozen", locked)
    assert (code, re.findall("error.*", err)) == (1, [])
    assert staleness(lint(locked), read_lock(lock_path(locked))) == []


STALE = {
    "a threshold": ("faithful(.*)0.5", r"faithful\g<1>0.6", "claim faithful changed."),
    "a circuit": ("M - m1", "M - m0", "circuit wide changed (and 2 parts: what uses them)"),
    "a slot": ('"bob"', '"gus"', "task t changed (and"),
    "a seed": ("sample 12", "sample 12 seed 3", "task t changed (and"),
    "a metric": (r"logit\(answer\)", "2 * logit(answer)", "metric difference changed"),
    "an ablation": (r"resample\(strangers\)", "zero", "ablation patch changed"),
    "a model": ("bos yes", 'bos yes dtype "float64"', "model toy changed (and"),
    "a claim more": (r"\Z", "claim more: F(M) >= 1", "claim more is new."),
    "a claim less": ("claim strong.*\n", "", "claim strong is gone."),
    "a report": (r"F\(wide\)\]", "F(none)]", "report sizes changed."),
    "the version": ('small "1"', 'small "2"', "spec: small 1 is small 2."),
    "an expectation": ("expect fails", "expect undecided", "claim rival changed."),
}


@pytest.mark.parametrize("what", STALE)
def test_what_is_stale_is_said(locked: Path, what: str) -> None:
    old, new, said = STALE[what]
    edit(locked, old, new)
    assert f"is out of date: {said}" in refused("CL716", "check", "--locked", locked)
    assert f"is out of date: {said}" in refused("CL716", "check", "--frozen", locked)
    assert f"is out of date: {said}" in refused("CL716", "verify", locked)


def test_the_place_in_the_spec_is_shown(locked: Path) -> None:
    edit(locked, "0.5", "0.6")
    edit(locked, ">= 5.5", ">= 5.4")
    err = refused("CL716", "check", "--locked", locked)
    lines = [line.partition(" | ")[2] for line in err.splitlines() if re.match(r"   \d+ \|", line)]
    assert [line.split(":")[0].split()[1] for line in lines] == ["faithful", "strong"]


def test_files_are_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("ann\nbob\ncid\n")
    (tmp_path / "shared.circ").write_text('spec shared "1"\nmodel "toy"\ngroup late = m2\n')
    text = SPEC.replace('["ann", "bob", "cid"]', 'file("names.txt")')
    spec = write(tmp_path, f'import "shared.circ" as shared{text}claim a: F(M - shared.late) >= 1')
    assert invoke("lock", "--preregister", spec)[0] == 0
    assert list(read_lock(lock_path(spec)).files) == ["names.txt", "shared.circ"]
    (tmp_path / "names.txt").write_text("ann\nbob\ncid\n\n")
    assert "file names.txt changed." in refused("CL716", "check", "--locked", spec)
    (tmp_path / "names.txt").write_text("bob\nann\ncid\n")
    err = refused("CL716", "check", "--locked", spec)
    assert "file names.txt changed, task t: prompts changed" in err


def test_a_model_with_other_weights_is_stale(tmp_path: Path) -> None:
    from circuitlang.language.models.find import BUNDLED

    shutil.copytree(BUNDLED / "toy", tmp_path / "model")
    spec = write(tmp_path, SPEC.replace('"toy"', '"./model"') + "claim a: F(M) >= 1")
    assert invoke("lock", "--preregister", spec)[0] == 0
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    err = refused("CL716", "check", "--locked", spec)
    assert "model ./model: model.safetensors changed." in err


def test_other_versions_are_a_note(locked: Path) -> None:
    path = lock_path(locked)
    lock = read_lock(path)
    write_lock(path, lock.model_copy(update={"tool": {**lock.tool, "torch": "1.0"}}))
    code, _, err = invoke("check", "--locked", locked)
    assert code == 1
    assert re.search(r"^note\[CL720\]: It was locked with torch 1\.0 \(here ", err, re.MULTILINE)


def test_another_plan_alone_is_said(locked: Path) -> None:
    path = lock_path(locked)
    lock = read_lock(path)
    assert lock.plan is not None
    plan = lock.plan.model_copy(update={"runs": 4})
    write_lock(path, lock.model_copy(update={"plan": plan}))
    assert "plan: other runs are needed" in refused("CL716", "check", "--locked", locked)


def test_from_python(locked: Path) -> None:
    assert circuitlang.check(locked, locked=True).exit_code == 1
    edit(locked, "0.5", "0.6")
    with pytest.raises(circuitlang.SpecError, match="CL716"):
        circuitlang.check(locked, locked=True)
    lock = circuitlang.lock(locked)
    assert lock == read_lock(lock_path(locked))
    assert circuitlang.check(locked, locked=True).exit_code == 1
    lock_path(locked).write_text("")
    with pytest.raises(circuitlang.SpecError, match="CL712"):
        circuitlang.lock(locked)


# ---------------------------------------------------------------- circ check --frozen


def table(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("│")]


def test_a_frozen_table_is_that_of_the_check(locked: Path) -> None:
    _, checked, _ = invoke("check", locked)
    code, out, err = invoke("check", "--frozen", locked)
    assert (code, err) == (1, "")
    assert table(out) == table(checked)
    day = read_lock(lock_path(locked)).day
    assert out.startswith(f"small 1: as locked on {day}, nothing was run")
    document = json.loads(invoke("check", "--frozen", "--json", locked)[1])
    assert (document["locked"][:10], document["executed_runs"], document["exit_code"]) == (
        day,
        0,
        1,
    )


def test_a_frozen_table_needs_no_model_and_no_torch(locked: Path) -> None:
    """The model's folder is gone, and with it shape and tokenizer."""
    from circuitlang.language.models.find import BUNDLED

    folder = locked.parent
    model = folder / "model"
    shutil.copytree(BUNDLED / "toy", model)
    edit(locked, 'model "toy"', 'model "./model"')
    lock_path(locked).unlink()
    assert invoke("lock", locked)[0] == 1
    shutil.rmtree(model)
    shutil.rmtree(folder / ".circ")
    code = (
        "import sys\n"
        "from circuitlang.cli import app\n"
        "try:\n"
        f"    app(['check', '--frozen', {str(locked)!r}], standalone_mode=False)\n"
        "finally:\n"
        "    print(sorted({'torch', 'transformers', 'transformer_lens'} & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout.splitlines()[-1] == "[]", run.stderr
    assert len(table(run.stdout)) == 6
    edit(locked, "0.5", "0.6")
    refused("CL716", "check", "--frozen", locked)
    refused("CL205", "check", "--locked", locked)


def test_some_claims_of_a_frozen_table(locked: Path) -> None:
    code, out, _ = invoke("check", "--frozen", "--json", "--claim", "rival", locked)
    assert code == 0
    assert [c["name"] for c in json.loads(out)["claims"]] == ["able", "rival"]
    refused("CL101", "check", "--frozen", "--claim", "rivals", locked)
    refused("CL719", "check", "--frozen", "--per-example", locked)


# ---------------------------------------------------------------- circ lock --preregister


def test_what_is_sealed_stays_and_changes_are_listed(tmp_path: Path, monkeypatch: Any) -> None:
    spec = write(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", DAY)
    code, out, _ = invoke("lock", "--preregister", spec)
    assert (code, out.split(":")[0]) == (0, "preregistered on 2025-11-28")
    sealed = read_lock(lock_path(spec))
    assert (sealed.results, sealed.claims, sealed.reports) == (False, {}, {})
    assert not (tmp_path / ".circ").exists()
    refused("CL721", "check", "--frozen", spec)
    refused("CL721", "verify", spec)
    refused("CL717", "lock", "--preregister", spec)
    monkeypatch.delenv("SOURCE_DATE_EPOCH")

    assert "nothing changed since" in invoke("lock", spec)[1]
    edit(spec, ">= 5.5", ">= 4")
    edit(spec, "M - m1", "M - m2")
    code, out, _ = invoke("lock", spec)
    said = (
        "preregistered on 2025-11-28; 2 changes since: circuit wide changed, claim strong changed"
    )
    assert said in out.replace("\n", " ")
    assert said in invoke("check", "--locked", spec)[1].replace("\n", " ")
    assert said in invoke("check", "--frozen", spec)[1].replace("\n", " ")
    lock = read_lock(lock_path(spec))
    assert lock.preregistered is not None
    assert lock.preregistered.seal == sealed.seal
    assert lock.sealed is not None
    assert lock.sealed.meaning == sealed.meaning
    document = json.loads(invoke("check", "--locked", "--json", spec)[1])
    assert len(document["preregistered"]["changes"]) == 2
    edit(spec, ">= 4", ">= 5.5")
    edit(spec, "M - m2", "M - m1")
    assert "nothing changed since" in invoke("lock", spec)[1]
    refused("CL717", "lock", "--preregister", spec)


def test_what_is_measured_cannot_be_preregistered(locked: Path) -> None:
    lock_path(locked).unlink()
    err = refused("CL717", "lock", "--preregister", locked)
    assert "3 of the 3 runs" in err
    edit(locked, "sample 12", "sample 11")
    assert invoke("lock", "--preregister", locked)[0] == 0


def test_one_stored_run_is_enough(locked: Path) -> None:
    lock_path(locked).unlink()
    edit(locked, r"circuit wide = M - m1", "circuit wide = M - m2")
    assert "2 of the 3 runs" in refused("CL717", "lock", "--preregister", locked)


# ---------------------------------------------------------------- thresholds that were locked


def pedantic(spec: Path) -> list[Diagnostic]:
    return [d for d in lint(spec, Options(pedantic=True)).found if d.code == "CL406"]


def test_a_threshold_that_was_measured_is_asked_about(locked: Path) -> None:
    assert pedantic(locked) == []
    strong = read_lock(lock_path(locked)).claims["strong"]
    assert strong.value is not None
    assert strong.low is not None
    for number, said in ((strong.value, "the value"), (strong.low, "an end of the interval")):
        edit(locked, "strong: .*", f"strong: F(M) >= {number:.2f}")
        (found,) = pedantic(locked)
        assert f"is {said} that was locked on" in found.message
        assert found.span is not None
        assert found.span.text == f"{number:.2f}"
        edit(locked, "strong: .*", f"strong: F(M) >= {number - 0.02:.2f}")
        assert pedantic(locked) == []
    edit(locked, "strong: .*", f"strong: F(M) >= {strong.value:.0f}")
    assert pedantic(locked) == []
    edit(locked, "strong: .*", f"strong: F(M) >= {strong.value:.2f}")
    lock_path(locked).write_text("")
    assert pedantic(locked) == []


# ---------------------------------------------------------------- the committed locks


@pytest.mark.parametrize("spec", TOY, ids=lambda path: path.name)
def test_the_toy_specs_are_locked(spec: Path) -> None:
    """On failure run `circ lock specs/toy/*.circ`."""
    from circuitlang.front import Silent
    from circuitlang.locks.demand import locked_front

    front, lock = locked_front(spec, Options(stored=False), Silent())
    assert [d.message for d in front.found if d.severity == "error"] == []
    assert lock is not None
    assert lock.results
    assert all(claim.ok for claim in lock.claims.values())
    assert lock_text(lock) == lock_path(spec).read_text(encoding="utf-8")


def test_no_lock_says_where_it_was_made() -> None:
    home = (str(ROOT), str(Path.home()) + os.sep)
    for spec in TOY:
        text = lock_path(spec).read_text(encoding="utf-8")
        assert not any(path in text for path in home)
        assert isinstance(read_lock(lock_path(spec)), Lock)


# ---------------------------------------------------------------- every kind of claim


KINDS = """
claim drawn:  forall K in random(subsets(nodes(M)), 5): F(M - K) <= 100
claim found:  forall x in inputs(t): F(M on x) >= -100
claim share:  most(50%) e in edges(a1.h0 -> logits): drop(M, e) >= -100
claim many:   forall a in [patch, zero]: F(M - m1 under a) >= -100
claim size:   size(M) >= 1
report same:  [F(M), F(M)]
counterexample found "ann likes tea. dan likes rice. ann likes"
"""


@pytest.mark.parametrize("settings", ["", "looks yes\n"])
def test_every_kind_of_claim_is_locked_and_verified(tmp_path: Path, settings: str) -> None:
    text = SPEC.replace("sample 12", "sample 16") + KINDS
    spec = write(tmp_path, text.replace('spec small "1"\n', f'spec small "1"\n{settings}'))
    code, _, err = invoke("lock", spec)
    assert code in (0, 1), err
    lock = read_lock(lock_path(spec))
    assert set(lock.claims) == {"drawn", "found", "share", "many", "size"}
    assert list(lock.reports["same"]) == ["F(M)", "F(M) (2)"]
    assert lock.claims["found"].replayed == ("ann likes tea. dan likes rice. ann likes",)
    again = [] if settings else ["--fresh"]  # with looks, noise depends on what was stored
    assert invoke("lock", spec, *again)[1].splitlines()[-1] == f"unchanged: {spec}.lock"
    code, out, err = invoke("verify", spec, "--json")
    assert code == 0, err
    assert {one["status"] for one in json.loads(out)["compared"]} == {"same"}
    assert invoke("check", "--locked", spec)[0] in (0, 1)
    assert table(invoke("check", "--frozen", spec)[1]) == table(invoke("check", spec)[1])


def test_a_committed_lock_is_confirmed() -> None:
    code, out, err = invoke("verify", ROOT / "specs" / "toy" / "first.circ")
    assert code == 0, err
    assert out.splitlines()[-1] == "5 numbers confirmed within numeric noise"


def test_a_missing_spec_is_said_first(tmp_path: Path) -> None:
    for command in (["check", "--locked"], ["check", "--frozen"], ["verify"], ["lock"]):
        assert refused_without_help(*command, tmp_path / "nowhere.circ") == ["CL110"]
        assert refused_without_help(*command, tmp_path) == ["CL110"]


def refused_without_help(*arguments: object) -> list[str]:
    code, out, err = invoke(*arguments)
    assert (code, out) == (2, "")
    return re.findall(r"^error\[(CL\d+)\]", err, re.MULTILINE)
