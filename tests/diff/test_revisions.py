"""Sides that are revisions of a git repository: found, read whole, and left alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from circuitlang.diff import diff
from circuitlang.diff.revisions import RevisionProblem, laid_out
from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.models.find import BUNDLED
from circuitlang.report.diff.document import DiffDocument
from tests.diff.versions import BEFORE, PLANTED, edited, locked, spec
from tests.test_cli import invoke

WEAKER = PLANTED["weakened"]


def git(folder: Path, *arguments: str) -> str:
    names = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    author = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    done = subprocess.run(
        ["git", "-C", str(folder), *author, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **names},
    )
    return done.stdout.strip()


def commit(folder: Path, message: str = "one") -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with `specs/edges.circ` committed, in whose root the test runs."""
    folder = tmp_path / "repository"
    (folder / "specs").mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    spec(folder / "specs", "edges.circ", BEFORE)
    commit(folder)
    monkeypatch.chdir(folder)
    return folder


def of(before: str, after: str | None = None) -> DiffDocument:
    diagnostics = Diagnostics()
    found = diff(before, after, diagnostics)
    assert found is not None, diagnostics.found
    return found


def keys(document: DiffDocument) -> list[str]:
    return [change.key for change in document.changes]


def weaken(folder: Path) -> None:
    spec(folder / "specs", "edges.circ", edited(BEFORE, WEAKER))


def test_a_file_alone_is_compared_with_head(repository: Path) -> None:
    assert of("specs/edges.circ").is_empty
    weaken(repository)
    document = of("specs/edges.circ")
    assert keys(document) == ["claim lean_is_faithful"]
    assert (document.before.label, document.after.label) == (
        "HEAD:specs/edges.circ",
        "specs/edges.circ",
    )


def test_paths_are_from_the_root_or_from_here(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weaken(repository)
    assert keys(of("HEAD:specs/edges.circ", "specs/edges.circ")) == ["claim lean_is_faithful"]
    monkeypatch.chdir(repository / "specs")
    for path in ("HEAD:specs/edges.circ", "HEAD:./edges.circ", "HEAD:edges.circ"):
        assert keys(of(path, "edges.circ")) == ["claim lean_is_faithful"]
    assert keys(of("edges.circ")) == ["claim lean_is_faithful"]


def test_commits_branches_tags_and_ancestors(repository: Path) -> None:
    first = git(repository, "rev-parse", "HEAD")
    git(repository, "tag", "v1")
    weaken(repository)
    commit(repository, "weaker")
    for revision in (first, first[:9], "v1", "HEAD~1", "main^"):
        found = of(f"{revision}:specs/edges.circ", "HEAD:specs/edges.circ")
        assert keys(found) == ["claim lean_is_faithful"]


def test_a_failure_that_was_committed_is_remembered(repository: Path) -> None:
    locked(repository / "specs" / "edges.circ", lean_is_faithful="fails")
    commit(repository, "lock")
    weaken(repository)
    (repository / "specs" / "edges.circ.lock").unlink()
    (change,) = of("specs/edges.circ").changes
    assert change.after_failure
    locked(repository / "specs" / "edges.circ")
    (change,) = of("HEAD:specs/edges.circ.lock", "specs/edges.circ.lock").changes
    assert change.after_failure
    assert change.verdict_after is not None
    assert change.verdict_after.verdict == "holds"


def test_imports_and_data_are_those_of_the_revision(repository: Path) -> None:
    folder = repository / "specs"
    (folder / "shared").mkdir()
    spec(folder / "shared", "groups.circ", 'model "toy"\ngroup previous = a0.h[0,1]\n')
    (folder / "people.txt").write_text("ann\nbob\ncid\n")
    names = '["ann", "bob", "cid", "dan", "eve", "fay", "gus", "hal"]'
    text = edited(
        BEFORE,
        (f"let people    = {names}", 'let people    = file("people.txt")'),
        ("metric   logit", 'import "shared/groups.circ" as shared\nmetric   logit'),
        ("report drops:", "claim names: F(full - shared.previous) >= 0\nreport drops:"),
    )
    spec(folder, "edges.circ", text)
    commit(repository, "files")
    assert of("specs/edges.circ").is_empty
    (folder / "people.txt").write_text("ann\nbob\ndan\n")
    spec(folder / "shared", "groups.circ", 'model "toy"\ngroup previous = a0.h[0,2]\n')
    document = of("specs/edges.circ")
    assert keys(document) == ["task likes", "group shared.previous"]
    assert document.changes[0].details[0].added == ('"dan"',)
    (folder / "people.txt").unlink()
    _, _, err = invoke("diff", "HEAD:specs/edges.circ", "specs/edges.circ")
    assert "error[CL110]" in err


def test_a_model_that_is_not_committed_is_found_in_the_checkout(repository: Path) -> None:
    folder = repository / "specs"
    shutil.copytree(BUNDLED / "toy", folder / "model")
    spec(folder, "edges.circ", BEFORE.replace('"toy"', '"./model"'))
    git(repository, "add", "specs/edges.circ")
    git(repository, "commit", "-q", "-m", "a model of one's own")
    assert of("specs/edges.circ").is_empty
    commit(repository, "with the model")
    shutil.rmtree(folder / "model")
    spec(folder, "edges.circ", BEFORE)
    assert "model toy" in " ".join(keys(of("specs/edges.circ")))


def test_nothing_is_touched_and_nothing_left(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weaken(repository)
    state = git(repository, "status", "--porcelain=v2", "--branch")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    of("specs/edges.circ")
    assert git(repository, "status", "--porcelain=v2", "--branch") == state
    assert list(temporary.iterdir()) == []


def test_a_side_with_errors_says_in_which_revision(repository: Path) -> None:
    spec(repository / "specs", "edges.circ", BEFORE + "claim x: faithfulness(leen) >= 0.8\n")
    commit(repository, "a slip")
    spec(repository / "specs", "edges.circ", BEFORE)
    code, out, err = invoke("diff", "specs/edges.circ")
    assert (code, out) == (2, "")
    assert "error[CL101]" in err
    assert "HEAD:specs/edges.circ:" in err


@pytest.mark.parametrize(
    ("before", "code"),
    [
        ("HEAD~9:specs/edges.circ", "CL702"),
        ("--output=x:specs/edges.circ", "CL702"),
        (":specs/edges.circ", "CL702"),
        ("HEAD^{tree}:specs/edges.circ", "CL702"),
        ("HEAD:specs/edge.circ", "CL703"),
        ("HEAD:../edges.circ", "CL703"),
        ("HEAD:", "CL703"),
        ("HEAD:specs", "CL703"),
        ("HEAD:/etc/passwd", "CL703"),
    ],
)
def test_what_git_does_not_have(repository: Path, before: str, code: str) -> None:
    exit_code, out, err = invoke("diff", "--", before, "specs/edges.circ")
    assert (exit_code, out) == (2, "")
    assert f"error[{code}]" in err
    assert not (repository / "x").exists()


def test_without_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    spec(tmp_path, "edges.circ", BEFORE)
    assert "error[CL701]" in invoke("diff", "edges.circ")[2]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "error[CL701]" in invoke("diff", "HEAD:edges.circ", "edges.circ")[2]


def test_a_link_is_not_followed(repository: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("ann\n")
    (repository / "specs" / "people.txt").symlink_to(secret)
    spec(
        repository / "specs", "edges.circ", BEFORE.replace('["ann"', 'file("people.txt") + ["ann"')
    )
    commit(repository, "a link")
    with laid_out("HEAD", "specs/edges.circ", repository) as laid:
        written = sorted(p.name for p in laid.root.rglob("*") if p.is_file())
    assert written == ["edges.circ"]


def test_a_damaged_repository(repository: Path) -> None:
    blob = git(repository, "rev-parse", "HEAD:specs/edges.circ")
    file = repository / ".git" / "objects" / blob[:2] / blob[2:]
    file.chmod(0o600)
    file.write_bytes(b"")
    with pytest.raises(RevisionProblem) as caught, laid_out("HEAD", "specs/edges.circ", repository):
        pass
    assert caught.value.code in ("CL703", "CL704")


def test_more_than_a_spec_reads_is_not_written(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("circuitlang.diff.revisions.MOST_BYTES", 100)
    assert "error[CL704]" in invoke("diff", "specs/edges.circ")[2]
