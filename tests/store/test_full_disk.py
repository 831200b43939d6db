"""A disk that is full: a check says so once (CL731), decides all claims, and harms nothing."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from circuitlang.store import FILE
from circuitlang.store import database as stores
from tests.test_store import CLAIMS, RUNS, SPEC, check, counts, database, notes, write

EDGES = "claim each: forall e in edges(M): drop(M, e) >= -99\n"
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
from circuitlang.cli import app
app(["check", {path!r}, "--json", "--per-example", "--chunk", "2"])
"""


def limited(path: Path, limit: int) -> dict[str, Any]:
    """A check whose process may write no file larger than `limit` bytes."""
    code = LIMITED.format(path=str(path), limit=limit)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.returncode in (0, 1), run.stderr
    document: dict[str, Any] = json.loads(run.stdout)
    return document


def codes(document: dict[str, Any]) -> list[str]:
    return [d["code"] for d in document["diagnostics"]]


def test_what_was_stored_before_is_unharmed(tmp_path: Path) -> None:
    path = write(tmp_path)
    check(path, "--chunk", 2)
    there = tmp_path / ".circ" / FILE
    more = write(tmp_path, SPEC + CLAIMS + EDGES)
    document = limited(more, there.stat().st_size)
    assert codes(document) == ["CL731"]
    assert document["executed_runs"] > 0
    assert document["claims"] == check(more, "--no-store", "--chunk", 2)["claims"]
    assert database(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert counts(check(write(tmp_path))) == (0, RUNS)


@pytest.mark.parametrize("limit", [100, 5_000, 30_000])
def test_a_store_that_cannot_grow_holds_nothing_half(tmp_path: Path, limit: int) -> None:
    path = write(tmp_path, SPEC + CLAIMS + EDGES)
    document = limited(path, limit)
    assert len(notes(document)) == 1
    again = check(path, "--chunk", 2)
    assert again["claims"] == document["claims"]
    assert [run["values"] for run in again["runs"]] == [run["values"] for run in document["runs"]]


def test_a_database_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path)
    check(path)
    connect = sqlite3.connect

    def full(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.execute("PRAGMA max_page_count = 1")  # SQLite takes the pages that are there
        return connection

    monkeypatch.setattr(stores.sqlite3, "connect", full)
    document = check(write(tmp_path, SPEC + CLAIMS + EDGES))
    assert ["the disk is full" in note for note in notes(document)] == [True]
    assert codes(document) == ["CL731"]
    monkeypatch.undo()
    assert counts(check(write(tmp_path))) == (0, RUNS)


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="needs root")
def test_a_file_system_that_is_full(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("nothing may be mounted here")
    try:
        path = write(tmp_path, SPEC + CLAIMS + EDGES)
        document = check(path, "--store", disk, "--chunk", 2)
        assert codes(document) == ["CL731"]
        assert document["claims"] == check(path, "--no-store", "--chunk", 2)["claims"]
        with closing(sqlite3.connect(disk / FILE)) as store:
            assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
