"""The pre-commit hooks and the workflow of docs/examples do what they say, on a repository of their own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.test_cli import invoke
from tests.test_docs import ROOT, blocks

HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
WORKFLOW = ROOT / "docs" / "examples" / "claims.yml"
FIRST = (ROOT / "specs" / "toy" / "first.circ").read_text(encoding="utf-8")
WEAKER = FIRST.replace("necessity(asking) >= 0.95", "necessity(asking) >= 0.5")
SETTINGS = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")


def git(folder: Path, *arguments: str) -> str:
    run = subprocess.run(
        ["git", *SETTINGS, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return run.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One with a spec and its lock committed, and `circ` on the path of its `bin`."""
    folder = tmp_path / "paper"
    (folder / "specs").mkdir(parents=True)
    spec = folder / "specs" / "first.circ"
    spec.write_text(FIRST, encoding="utf-8")
    assert invoke("lock", str(spec))[0] == 0
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "v1")
    program = tmp_path / "bin" / "circ"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m circuitlang.cli "$@"\n')
    program.chmod(0o755)
    return folder


# ---------------------------------------------------------------- pre-commit


def hook(name: str) -> list[str]:
    (found,) = [h for h in HOOKS if h["id"] == name]
    program, *arguments = found["entry"].split()
    assert program == "circ"
    return arguments


def test_hooks_are_whole() -> None:
    assert [h["id"] for h in HOOKS] == ["circ-lint", "circ-fmt", "circ-lock"]
    for h in HOOKS:
        assert set(h) == {"id", "name", "description", "entry", "language", "files"}
        assert re.search(h["files"], "specs/first.circ")
        assert not re.search(h["files"], "specs/first.circ.lock")


@pytest.mark.parametrize("name", [h["id"] for h in HOOKS])
def test_a_hook_passes_what_is_sound(name: str, repository: Path) -> None:
    spec = repository / "specs" / "first.circ"
    assert invoke(*hook(name), str(spec))[0] == 0
    assert spec.read_text(encoding="utf-8") == FIRST


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("circ-lint", FIRST.replace("a1.h0.q", "a1.h9.q"), "error[CL201]"),
        ("circ-lock", WEAKER, "error[CL716]"),
    ],
)
def test_a_hook_stops_what_is_not(name: str, text: str, said: str, repository: Path) -> None:
    spec = repository / "specs" / "first.circ"
    spec.write_text(text, encoding="utf-8")
    code, _, err = invoke(*hook(name), str(spec))
    assert code == 2
    assert said in err


def test_fmt_mends(repository: Path) -> None:
    """pre-commit fails where a hook changes a file."""
    spec = repository / "specs" / "first.circ"
    spec.write_text(FIRST.replace("claim faithful:  ", "claim faithful:"), encoding="utf-8")
    invoke(*hook("circ-fmt"), str(spec))
    assert spec.read_text(encoding="utf-8") == FIRST


def test_the_page_uses_every_hook() -> None:
    (block,) = [b for b in blocks(ROOT / "docs" / "papers.md") if "hooks" in b.marks]
    (repo,) = yaml.safe_load(block.text)["repos"]
    assert [h["id"] for h in repo["hooks"]] == [h["id"] for h in HOOKS]


# ---------------------------------------------------------------- workflow


def workflow() -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    return found


def steps(job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = workflow()["jobs"][job]["steps"]
    return found


def run_steps(repository: Path, base: str) -> dict[str, subprocess.CompletedProcess[str]]:
    """Every command of the job but the installation, in the shell that GitHub uses."""
    environment = {
        **os.environ,
        "PATH": f"{repository.parent / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "GITHUB_STEP_SUMMARY": str(repository.parent / "summary.md"),
        "BASE": base,
        "HF_HUB_OFFLINE": "1",
    }
    return {
        step["name"]: subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=repository,
            env=environment,
            capture_output=True,
            text=True,
        )
        for step in steps("claims")
        if "run" in step and step["name"] != "Install"
    }


def test_a_pull_request_with_its_lock_passes(repository: Path) -> None:
    base = git(repository, "rev-parse", "HEAD")
    spec = repository / "specs" / "first.circ"
    spec.write_text(WEAKER, encoding="utf-8")
    (repository / "specs" / "new.circ").write_text(FIRST, encoding="utf-8")
    for name in ("first", "new"):
        assert invoke("lock", str(spec.with_name(f"{name}.circ")))[0] == 0
    found = run_steps(repository, base)
    assert {name: run.returncode for name, run in found.items()} == {
        "Lint": 0, "Layout": 0, "Locks": 0, "What changed in meaning": 0,
    }  # fmt: skip
    comment = (repository / "diff.md").read_text(encoding="utf-8")
    assert "**weakened** `claim necessary`" in comment
    assert (repository.parent / "summary.md").read_text(encoding="utf-8") == comment


def test_a_pull_request_without_its_lock_fails(repository: Path) -> None:
    base = git(repository, "rev-parse", "HEAD")
    (repository / "specs" / "first.circ").write_text(WEAKER, encoding="utf-8")
    found = run_steps(repository, base)
    assert found["Locks"].returncode == 2
    assert "error[CL716]" in found["Locks"].stderr
    assert "weakened" in (repository / "diff.md").read_text(encoding="utf-8")


def test_nobody_elses_code_has_a_token_that_writes() -> None:
    """PyYAML reads `on` as true."""
    found = workflow()
    assert "pull_request_target" not in WORKFLOW.read_text(encoding="utf-8")
    assert set(found[True]) == {"push", "pull_request"}
    assert found["permissions"] == {"contents": "read"}
    assert "permissions" not in found["jobs"]["claims"]
    assert steps("claims")[0]["with"]["persist-credentials"] is False
    comment = found["jobs"]["comment"]
    assert comment["permissions"] == {"pull-requests": "write"}
    assert "head.repo.full_name == github.repository" in comment["if"]
    assert not any("checkout" in step.get("uses", "") for step in steps("comment"))


def test_no_command_has_text_of_others_in_it() -> None:
    """What an event says reaches a shell through the environment only."""
    for job in workflow()["jobs"].values():
        for step in job["steps"]:
            assert "${{" not in step.get("run", "")
