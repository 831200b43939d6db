"""docs/diff.md shows what the tool prints; test_docs.py has the block without a lock."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.test_cli import invoke
from tests.test_docs import ROOT, blocks

PAGE = ROOT / "docs" / "diff.md"


def printed_after_failure(folder: Path) -> str:
    """The first lines that are printed of the page's examples, once the first one is locked."""
    for block in blocks(PAGE):
        if "example" in block.marks:
            (folder / block.marks["example"]).write_text(block.text, encoding="utf-8")
    assert invoke("lock", "v1.circ")[0] == 1
    code, out, _ = invoke("diff", "v1.circ", "v2.circ")
    assert code == 1
    first = out.splitlines()[:6]
    return "".join(f"{line.rstrip()}\n" for line in [*first, "..."])


def test_the_loudest_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (shown,) = (block for block in blocks(PAGE) if "failed" in block.marks)
    assert printed_after_failure(tmp_path) == shown.text
    assert f"WEAKENED AFTER IT FAILED  claim {shown.marks['failed']}\n" in shown.text
