"""`circ cache`: what is stored, whether it is sound, and dropping what nobody needs."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from circuitlang.store import FILE, FORMAT
from tests.store.test_killed import CHUNK, interrupt, rows
from tests.test_cli import SPEC, invoke
from tests.test_store import CLAIMS, RUNS, check, counts, database, write

DAY = 86_400


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two specs, the second with a run that the first lacks, and an interrupted third."""
    folder = tmp_path_factory.mktemp("stored")
    check(write(folder))
    other = folder / "other.circ"
    other.write_text((SPEC + CLAIMS).replace("M - m1", "M - m0"))
    check(other)
    third = folder / "third.circ"
    third.write_text((SPEC + CLAIMS).replace("M - m1", "M - a0.h0"))
    interrupt(third, 3)
    return folder


@pytest.fixture
def spec(stored: Path, tmp_path: Path) -> Path:
    shutil.copytree(stored, tmp_path, dirs_exist_ok=True)
    return tmp_path / "spec.circ"


def cache(*arguments: object, code: int = 0) -> Any:
    found, out, err = invoke("cache", *arguments, "--json")
    assert found == code, err
    return json.loads(out)


def problem(*arguments: object, code: int = 2) -> str:
    found, _, err = invoke("cache", *arguments)
    assert found == code
    return err.split("\n  help")[0].replace("\n", " ")


# ---------------------------------------------------------------- list


def test_list_says_what_is_there(spec: Path) -> None:
    form = cache("list", spec)
    (group,) = form["runs"]
    assert (group["model"], group["task"], group["prompts"]) == ("toy", "t", 12)
    assert (group["runs"], group["parts"]) == (rows(spec, "runs"), rows(spec, "parts"))
    assert group["parts"] > 0
    assert [result["spec"] for result in form["results"]] == ["../other.circ", "../spec.circ"]
    assert form["bytes"] == (spec.parent / ".circ" / FILE).stat().st_size
    _, out, _ = invoke("cache", "list", spec)
    assert "less than a minute ago" in out
    assert "other.circ" in out


@pytest.mark.parametrize("where", ["spec.circ", ".", ".circ"])
def test_the_store_is_found_from_a_spec_its_folder_or_itself(spec: Path, where: str) -> None:
    assert cache("list", spec.parent / where)["runs"]


def test_the_current_folder_has_the_store(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(spec.parent)
    assert cache("list")["store"] == f".circ/{FILE}"


def test_words_of_an_origin_are_printed_as_they_are(spec: Path) -> None:
    database(spec).execute("UPDATE origins SET about = ?", (json.dumps(["[b]", "[/x]", "", ""]),))
    code, out, _ = invoke("cache", "list", spec)
    assert code == 0
    assert "[/x]" in out


@pytest.mark.parametrize("about", ["not json", "[]", "[1, 2, 3, 4]", "{}"])
def test_an_origin_that_cannot_be_read_is_unknown(spec: Path, about: str) -> None:
    database(spec).execute("UPDATE origins SET about = ?", (about,))
    (group,) = cache("list", spec)["runs"]
    assert (group["model"], group["task"]) == (None, None)


# ---------------------------------------------------------------- what is wrong


def test_no_store(tmp_path: Path) -> None:
    for command in (["list"], ["verify"], ["prune", "--all"]):
        assert problem(*command, tmp_path).startswith("error[CL732]: There is no store in")
    assert not (tmp_path / ".circ").exists()


def other_format(path: Path) -> None:
    database(path).execute(f"PRAGMA user_version = {FORMAT + 1}")


def of_something_else(path: Path) -> None:
    database(path).execute("PRAGMA application_id = 1")


def garbage(path: Path) -> None:
    (path.parent / ".circ" / FILE).write_bytes(b"not a database " * 600)


@pytest.mark.parametrize("spoil", [other_format, of_something_else, garbage])
@pytest.mark.parametrize("command", [["list"], ["verify"], ["prune", "--all"]])
def test_a_store_that_cannot_be_used(
    spec: Path, spoil: Callable[[Path], None], command: list[str]
) -> None:
    spoil(spec)
    before = (spec.parent / ".circ" / FILE).read_bytes()
    assert problem(*command, spec).startswith("error[CL733]: The store")
    assert (spec.parent / ".circ" / FILE).read_bytes() == before


def test_verify_finds_all_sound(spec: Path) -> None:
    form = cache("verify", spec)
    assert (form["damaged"], form["pages"]) == (0, [])
    assert form["records"] > rows(spec, "runs") + rows(spec, "parts")


SPOILT = {
    "a number": ("UPDATE runs SET numbers = zeroblob(length(numbers)) WHERE rowid = 1", 1),
    "a part": ("UPDATE parts SET numbers = zeroblob(length(numbers)) WHERE rowid = 1", 1),
    "rows": ("UPDATE OR REPLACE parts SET rows = zeroblob(8) WHERE rowid = 1", 1),
    "a word": ("UPDATE origins SET about = '[]' WHERE rowid = (SELECT min(rowid) FROM origins)", 1),
    "a result": ("UPDATE results SET result = zeroblob(20) WHERE rowid = 1", 1),
    "a date": ("UPDATE results SET kept = 1 WHERE rowid = 1", 1),
    "keys": ("UPDATE results SET keys = zeroblob(32) WHERE rowid = 1", 1),
}


@pytest.mark.parametrize(("statement", "damaged"), SPOILT.values(), ids=SPOILT)
def test_verify_finds_what_is_damaged(spec: Path, statement: str, damaged: int) -> None:
    database(spec).execute(statement)
    assert cache("verify", spec, code=1)["damaged"] == damaged
    assert problem("verify", spec, code=1).startswith("error[CL734]: 1 of ")


def test_verify_looks_at_every_page(spec: Path) -> None:
    """Any byte of any page may be another: it is found, or nothing that is read has changed."""
    file = spec.parent / ".circ" / FILE
    sound = file.read_bytes()
    for at in range(200, len(sound), 4_001):
        file.write_bytes(sound[:at] + bytes([sound[at] ^ 0xFF]) + sound[at + 1 :])
        code, _, err = invoke("cache", "verify", spec)
        assert code == 0 or "CL734" in err or "CL733" in err, (at, err)
        document = check(spec)
        assert document["executed_runs"] + document["stored_runs"] == RUNS
        file.write_bytes(sound)


# ---------------------------------------------------------------- prune


def test_prune_wants_to_know_what(spec: Path) -> None:
    assert "say what to drop" in problem("prune", spec)
    assert "say what to drop" in problem("prune", spec, "--all", "--older-than", "1d")
    assert "`soon` is no age" in problem("prune", spec, "--older-than", "soon")


def test_a_path_that_is_not_there_is_no_store_elsewhere(
    spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(spec.parent)
    before = rows(spec, "runs")
    assert "There is no `nosuch`" in problem("prune", "nosuch", "--all")
    assert "There is no `nosuch`" in problem("list", "nosuch")
    assert rows(spec, "runs") == before > 0


def test_prune_all(spec: Path) -> None:
    before = cache("list", spec)
    form = cache("prune", spec, "--all")
    assert form["runs"] == before["runs"][0]["runs"]
    assert form["bytes_after"] < form["bytes_before"] == before["bytes"]
    for table in ("runs", "parts", "checks", "origins", "results", "files"):
        assert rows(spec, table) == 0
    assert counts(check(spec)) == (RUNS, 0)


def test_prune_keeps_what_specs_use(spec: Path) -> None:
    form = cache("prune", spec, "--keep", spec)
    assert (form["results"], form["parts"]) == (1, 6)  # two metrics in three chunks
    assert form["runs"] == 2
    assert counts(check(spec)) == (0, RUNS)
    assert counts(check(spec.parent / "other.circ")) == (2, RUNS - 2)  # M too, for the KL from it
    assert cache("verify", spec)["damaged"] == 0


def test_prune_refuses_to_guess(spec: Path) -> None:
    before = rows(spec, "runs")
    for name in ("third.circ", "nowhere.circ"):
        found = problem("prune", spec, "--keep", spec.parent / name)
        assert found.startswith("error[CL735]: The store has no check of")
    assert rows(spec, "runs") == before


def test_prune_what_is_old(spec: Path) -> None:
    database(spec).execute("UPDATE runs SET kept = ? WHERE rowid = 1", (time.time() - 31 * DAY,))
    assert cache("prune", spec, "--older-than", "32d")["runs"] == 0
    assert cache("prune", spec, "--older-than", "4w", "--dry-run")["runs"] == 1
    assert cache("prune", spec, "--older-than", "30d")["runs"] == 1
    assert sum(counts(check(spec))) == RUNS


def test_a_dry_run_drops_nothing(spec: Path) -> None:
    file = spec.parent / ".circ" / FILE
    before = file.read_bytes()
    form = cache("prune", spec, "--all", "--dry-run")
    assert (form["runs"], form["bytes_after"]) == (rows(spec, "runs"), None)
    assert file.read_bytes() == before


def test_parts_of_whole_runs_are_dropped(spec: Path) -> None:
    check(spec.parent / "third.circ", "--fresh", "--no-store", *CHUNK)
    store = database(spec)
    store.execute("UPDATE OR REPLACE parts SET key = (SELECT key FROM runs)")
    assert cache("prune", spec, "--older-than", "1d")["parts"] > 0
    assert rows(spec, "parts") == 0


def test_a_check_that_finds_the_same_writes_nothing(spec: Path) -> None:
    before = (spec.parent / ".circ" / FILE).read_bytes()
    assert counts(check(spec)) == (0, RUNS)
    assert (spec.parent / ".circ" / FILE).read_bytes() == before
