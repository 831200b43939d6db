"""`circ list`: the specs in folders, with what was last found of each."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.test_cli import SPEC, invoke
from tests.test_store import CLAIMS, check, database, write

WRONG = 'claim wrong expect fails "it has more": F(M) - F(none) <= 0\n'


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalogue")
    check(write(folder, SPEC + CLAIMS + WRONG))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def listed(*paths: object, code: int = 0) -> dict[str, dict[str, Any]]:
    found, out, err = invoke("list", *paths, "--json")
    assert found == code, err
    return {Path(one["file"]).name: one for one in json.loads(out)["specs"]}


def test_the_last_verdicts_are_the_stores(folder: Path) -> None:
    one = listed(folder)["spec.circ"]
    assert (one["spec"], one["version"], one["models"]) == ("small", "1", ["toy"])
    assert (one["claims"], one["errors"], one["source"]) == (3, 0, "store")
    verdicts = one["verdicts"]
    assert sum(verdicts["counts"].values()) == 3
    assert verdicts["counts"]["fails"] == 1
    assert verdicts["expected"] == 1
    assert one["stale"] is False
    _, out, _ = invoke("list", folder)
    assert "less than a minute ago" in out
    assert "stale" not in out


def test_what_means_something_else_is_stale(folder: Path) -> None:
    path = folder / "spec.circ"
    path.write_text(path.read_text().replace("  claim", "claim") + "# a comment\n")
    assert listed(path)["spec.circ"]["stale"] is False
    path.write_text(path.read_text().replace(">= 1", ">= 2"))
    assert listed(path)["spec.circ"]["stale"] is True
    assert ", stale" in invoke("list", path)[1]


@pytest.mark.parametrize("options", [("--quick",), ("--claim", "whole"), ("--seed", 3)], ids=str)
def test_a_check_of_something_else_is_not_kept(folder: Path, options: tuple[object, ...]) -> None:
    before = listed(folder)
    check(folder / "spec.circ", *options)
    assert listed(folder) == before


def test_a_folder_that_is_moved_takes_its_verdicts_along(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "deep"
    shutil.copytree(folder, moved, ignore=lambda *_: ["elsewhere"])
    assert listed(moved)["spec.circ"]["source"] == "store"


def test_a_lock_comes_first(folder: Path) -> None:
    path = folder / "spec.circ"
    assert invoke("lock", path)[0] in (0, 1)
    one = listed(path)["spec.circ"]
    assert (one["source"], one["stale"], one["verdicts"]["counts"]["fails"]) == ("lock", False, 1)
    path.write_text(path.read_text().replace(">= 1", ">= 2"))
    one = listed(path)["spec.circ"]
    assert (one["source"], one["stale"]) == ("lock", True)
    assert one["changes"] == ["claim whole changed"]
    lock = folder / "spec.circ.lock"
    lock.write_text(lock.read_text() + "\nnonsense")
    assert "CL71" in listed(path)["spec.circ"]["problem"]


def test_a_preregistered_spec_has_no_verdicts(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert invoke("lock", "--preregister", path)[0] == 0
    one = listed(path)["spec.circ"]
    assert (one["preregistered"], one["verdicts"]) == (True, None)
    assert "preregistered" in invoke("list", path)[1]


def test_broken_specs_stop_nothing(folder: Path) -> None:
    (folder / "a.circ").write_text('spec a "1')
    (folder / "b.circ").write_bytes(b"\xff\xfe")
    (folder / "c.circ").write_text(SPEC + "claim c: F(nothing) > 0\nclaim d: F(nobody) > 0\n")
    (folder / "d.circ").symlink_to(folder / "nowhere")
    (folder / "sub").mkdir()
    (folder / "sub" / "e.circ").mkdir()
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "f.circ").write_text(SPEC)
    (folder / "g.txt").write_text(SPEC)
    found = listed(folder)
    assert list(found) == ["a.circ", "b.circ", "c.circ", "d.circ", "spec.circ"]
    assert [one["errors"] for one in found.values()] == [1, 1, 2, 1, 0]
    assert "2 errors" in invoke("list", folder)[1]


def test_a_spec_that_breaks_its_reader_is_one_with_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path) -> None:
        raise RecursionError

    monkeypatch.setattr("circuitlang.catalogue.resolve_file", broken)
    assert listed(folder)["spec.circ"]["errors"] == 1


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("PRAGMA user_version = 99", "format 99"),
        ("PRAGMA application_id = 1", "something else"),
        ("UPDATE results SET result = zeroblob(9)", "damaged"),
    ],
)
def test_a_store_that_is_not_believed(folder: Path, statement: str, said: str) -> None:
    database(folder / "spec.circ").execute(statement)
    one = listed(folder)["spec.circ"]
    assert (one["source"], one["verdicts"]) == (None, None)
    assert said in one["problem"]


def test_a_path_that_does_not_exist(folder: Path) -> None:
    found = listed(folder, folder / "nowhere", code=2)
    assert list(found) == ["spec.circ"]
    assert "CL110" in invoke("list", folder / "nowhere")[2]


def test_a_folder_without_specs(tmp_path: Path) -> None:
    assert listed(tmp_path) == {}
    assert invoke("list", tmp_path)[1] == "no .circ files\n"


def test_listing_imports_no_numerics_and_makes_no_store(folder: Path) -> None:
    (folder / "new").mkdir()
    write(folder / "new")
    code = (
        "import sys\n"
        "from circuitlang.cli import app\n"
        "try:\n"
        f"    app(['list', {str(folder)!r}], standalone_mode=False)\n"
        "finally:\n"
        "    print(sorted({'torch', 'numpy', 'scipy', 'transformers'} & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout.splitlines()[-1] == "[]", run.stderr
    assert "never checked" in run.stdout
    assert not (folder / "new" / ".circ").exists()
