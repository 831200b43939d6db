"""A check that is killed goes on behind its last finished chunk, and comes to the same."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from circuitlang import unfinished
from circuitlang.runtime.results import Results
from circuitlang.store import FILE
from tests.test_cli import SPEC, invoke
from tests.test_store import CLAIMS, check, counts, database, notes, write

CHUNK = ("--chunk", 2)
OWN = ("seconds", "executed_runs", "stored_runs")
MORE = """
claim each:   forall h in [a0.h0, a0.h1, a1.h0]: drop(M, h) >= -9
report means: F(wide under mean(strangers))
"""
KILLED = """
import os, signal, sys
from circuitlang import unfinished
from circuitlang.cli import app
unfinished.SHARE = 0
add, chunks = unfinished.Unfinished.add, 0
def killed(self, rows, found):
    global chunks
    add(self, rows, found)
    chunks += 1
    if chunks == {chunks}:
        os.kill(os.getpid(), signal.SIGKILL)
unfinished.Unfinished.add = killed
app(["check", {path!r}, "--chunk", "2"])
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    return write(tmp_path)


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(numbers, prompts) of each chunk that is executed from now on."""
    chunks: list[tuple[int, int]] = []
    add = Results.add

    def counted(self: Results, rows: Any, found: Any) -> None:
        chunks.append((len(found), len(rows)))
        add(self, rows, found)

    monkeypatch.setattr(Results, "add", counted)
    return chunks


def alone(path: Path, *arguments: object) -> dict[str, Any]:
    """What a check finds that nobody kills."""
    return without_own(check(path, "--no-store", *CHUNK, *arguments))


def without_own(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in OWN}


def kill(path: Path, chunks: int) -> None:
    code = KILLED.format(path=str(path), chunks=chunks)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120)
    assert run.returncode == -9, run.stderr


def interrupt(path: Path, chunks: int, *arguments: object) -> None:
    """Ctrl-C in the middle of the chunk after so many."""
    seen = 0
    add = Results.add

    def interrupted(self: Results, rows: Any, found: Any) -> None:
        nonlocal seen
        if seen == chunks:
            raise KeyboardInterrupt
        seen += 1
        add(self, rows, found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Results, "add", interrupted)
        code, _, _ = invoke("check", path, *(arguments or CHUNK))
    assert code == 130


def rows(path: Path, table: str) -> int:
    found: int = database(path).execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return found


# ---------------------------------------------------------------- killed


def test_a_kill_loses_no_finished_chunk(spec: Path, executed: list[tuple[int, int]]) -> None:
    kill(spec, 4)
    numbers = rows(spec, "parts") // 4
    assert (rows(spec, "runs"), rows(spec, "parts") % 4) == (0, 0)
    resumed = check(spec, *CHUNK)
    assert executed == [(numbers, 2)] * 2
    assert without_own(resumed) == alone(spec)
    assert (rows(spec, "runs"), rows(spec, "parts")) == (numbers, 0)


@pytest.mark.timeout(240)
def test_checks_killed_at_random_moments(tmp_path: Path) -> None:
    """`python -m tests.store.kills SPEC 50` is the long form."""
    path = write(tmp_path, (SPEC + CLAIMS + MORE).replace("sample 12", "sample 36"))
    command = [sys.executable, "-m", "tests.store.kills", str(path), "10", "1"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=230)
    assert re.search(
        r"^1[01] kills, [1-9]\d? times with chunks to go on from", run.stdout, re.MULTILINE
    ), run.stderr


def test_one_of_two_checks_is_killed(tmp_path: Path) -> None:
    """The other writes the same runs, and those of another spec, all the while."""
    path = write(tmp_path)
    other = tmp_path / "other.circ"
    other.write_text((SPEC + CLAIMS + MORE).replace("M - m1", "M - m0"))
    command = [sys.executable, "-m", "circuitlang.cli", "check", "--json", *map(str, CHUNK)]
    both = subprocess.Popen(
        [*command, str(other), str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for chunks in (1, 3):
        kill(path, chunks)
    out, err = both.communicate(timeout=120)
    assert both.returncode in (0, 1), err
    assert [notes(document) for document in json.loads(out)] == [[], []]
    document, before = check(path, *CHUNK), alone(path)
    assert document["executed_runs"] == 0
    for one, undisturbed in zip(document["runs"], before["runs"], strict=True):
        assert one["values"] == pytest.approx(undisturbed["values"], abs=1e-4)
    assert [c["verdict"] for c in document["claims"]] == [c["verdict"] for c in before["claims"]]
    assert database(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


# ---------------------------------------------------------------- interrupted


def test_an_interrupted_check_keeps_what_is_done(
    spec: Path, executed: list[tuple[int, int]]
) -> None:
    interrupt(spec, 3)
    numbers = rows(spec, "parts") // 3
    executed.clear()
    assert without_own(check(spec, *CHUNK)) == alone(spec)
    assert executed[:3] == [(numbers, 2)] * 3


def test_what_was_last_done_waits_for_its_share_of_the_time(
    spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted check writes what waits; nothing else is written after the first chunk here."""
    written: list[int] = []
    write_parts = unfinished.Store.write_parts

    def counted(self: Any, parts: Any, origin: Any) -> None:
        written.append(len(parts))
        write_parts(self, parts, origin)

    monkeypatch.setattr(unfinished.Store, "write_parts", counted)
    monkeypatch.setattr(unfinished, "SHARE", 1e9)
    interrupt(spec, 4)
    assert written == [written[0], 3 * written[0]]


def test_a_batch_in_one_chunk_writes_no_parts(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Any, parts: Any, origin: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(unfinished.Store, "write_parts", refused)
    assert counts(check(spec))[0] > 0


def test_another_chunk_finds_what_is_there(spec: Path, executed: list[tuple[int, int]]) -> None:
    interrupt(spec, 3)
    executed.clear()
    resumed = check(spec, "--chunk", 5)
    assert sum(prompts for _, prompts in executed) == 6
    before = alone(spec)
    assert [claim["verdict"] for claim in resumed["claims"]] == [
        claim["verdict"] for claim in before["claims"]
    ]
    for one, other in zip(resumed["runs"], before["runs"], strict=True):
        noise = before["noise"][one["by"]]
        assert one["values"] == pytest.approx(other["values"], abs=10 * noise)


def test_a_claim_more_executes_its_own_runs_on_all_prompts(
    spec: Path, executed: list[tuple[int, int]]
) -> None:
    interrupt(spec, 3)
    executed.clear()
    changed = write(spec.parent, SPEC + CLAIMS + "claim more: F(M - m0) >= -9\n")
    document = check(changed, *CHUNK)
    assert sorted(executed, key=str) == [(1, 2)] * 3 + [(executed[-1][0], 2)] * 3
    for one, other in zip(document["runs"], alone(changed)["runs"], strict=True):
        assert one["values"] == pytest.approx(other["values"], abs=1e-4)


def test_random_donors_go_on_too(tmp_path: Path, executed: list[tuple[int, int]]) -> None:
    text = (
        SPEC.replace("sample 12", "sample 40") + "report r: F(M - m1 under donors(strangers, 3))\n"
    )
    path = write(tmp_path, text)
    interrupt(path, 5)
    executed.clear()
    resumed = check(path, *CHUNK)
    assert 0 < sum(prompts for _, prompts in executed) <= 30
    assert without_own(resumed) == alone(path)
    assert rows(path, "parts") == 0


def test_fresh_takes_no_parts(spec: Path, executed: list[tuple[int, int]]) -> None:
    interrupt(spec, 3)
    executed.clear()
    check(spec, "--fresh", *CHUNK)
    assert len(executed) == 6


def all_there(path: Path) -> None:
    """All chunks as parts, and no whole run: killed just before the last writing."""

    def nothing(self: Any, *arguments: Any) -> None:
        pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unfinished.Store, "write", nothing)
        patch.setattr(unfinished, "SHARE", 0)
        patch.setattr(unfinished.Unfinished, "left", property(lambda s: 1, lambda s, v: None),
                      raising=False)  # fmt: skip
        check(path, *CHUNK)


def test_parts_that_make_up_a_run_are_joined(spec: Path, executed: list[tuple[int, int]]) -> None:
    all_there(spec)
    executed.clear()
    document = check(spec, *CHUNK)
    assert (executed, document["executed_runs"]) == ([], 0)
    assert without_own(document) == alone(spec)
    assert rows(spec, "parts") == 0 < rows(spec, "runs")


SPOILT = [
    "UPDATE parts SET numbers = zeroblob(length(numbers))",
    "UPDATE parts SET rows = zeroblob(length(rows))",
    "UPDATE parts SET rows = 'text'",
    "UPDATE parts SET checked = NULL",
    "UPDATE checks SET invariants = '[]'",
]


@pytest.mark.parametrize("statement", SPOILT)
def test_a_damaged_part_is_not_believed(spec: Path, statement: str) -> None:
    interrupt(spec, 3)
    database(spec).execute(statement.replace("UPDATE", "UPDATE OR REPLACE"))
    document = check(spec, *CHUNK)
    assert len(notes(document)) == 1
    assert document["runs"] == alone(spec)["runs"]


def test_a_half_written_store_is_laid_out_again(spec: Path) -> None:
    """What a kill leaves between making the file and laying it out."""
    (spec.parent / ".circ").mkdir()
    (spec.parent / ".circ" / FILE).touch()
    assert notes(check(spec)) == []
    assert counts(check(spec))[0] == 0
