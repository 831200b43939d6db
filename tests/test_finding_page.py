"""docs/finding.md is replayed, from the first command to the last, in one folder."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from circuitlang.cli import app
from tests.test_docs import blocks
from tests.test_tutorial import UNCHECKED, commands, follows, needs_smollm2

PAGE = Path(__file__).resolve().parent.parent / "docs" / "finding.md"
BLOCKS = tuple(blocks(PAGE))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")
    return tmp_path


@needs_smollm2
def test_every_command_prints_what_is_shown(folder: Path) -> None:
    for block in BLOCKS:
        if "adds" in block.marks:
            (folder / block.marks["adds"]).write_text(block.text, encoding="utf-8")
        if block.language != "console":
            continue
        for command, shown in commands(block):
            result = CliRunner().invoke(app, shlex.split(command)[1:])
            assert result.exit_code == 0, (command, result.output)
            printed = tuple(UNCHECKED.sub("", result.output).splitlines())
            assert follows(shown, printed), f"{PAGE.name}:{block.line} {command}\n{result.output}"
    [excerpt] = [block.text for block in BLOCKS if block.language == "text"]
    found = " ".join((folder / "found.circ").read_text(encoding="utf-8").split())
    assert " ".join(excerpt.split()) in found


def test_every_way_has_its_row() -> None:
    from circuitlang.discovery.discover import METHODS

    text = PAGE.read_text(encoding="utf-8")
    assert all(f"\n| `{method}`" in text for method in METHODS)
