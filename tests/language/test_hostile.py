"""Specs that mean harm: what leaves their folder, never ends or grows without bound is a coded error."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from circuitlang import pipeline

SPEC = """spec h "1"
model "toy" {{ bos yes }}
task t {{
  slot A = {slot}
  prompt "{{A:A1}} likes tea. eve likes rice. {{A:A2}} likes"
  tokens answer = " tea"
  tokens foil   = " rice"
  corrupt c {{ A1 = "ida" }}
}}
metric d = logit(answer) - logit(foil)
claim able: F(M) >= 1
"""
PEOPLE = '["ann", "bob"]'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pipe that nobody writes to, a device that never ends, and ways out of the folder."""
    inside = tmp_path / "spec"
    inside.mkdir()
    (tmp_path / "secret.txt").write_text("secret\n")
    os.mkfifo(inside / "pipe.txt")
    os.mkfifo(inside / "pipe.csv")
    (inside / "zero.txt").symlink_to("/dev/zero")
    (inside / "linked.txt").symlink_to(tmp_path / "secret.txt")
    (inside / "out").symlink_to(tmp_path)
    (inside / "folder.txt").mkdir()
    return inside


def errors(folder: Path, text: str) -> list[str]:
    path = folder / "s.circ"
    path.write_text(text, encoding="utf-8")
    found = pipeline.lint(path).found
    assert all("secret" not in d.message or "secret.txt" in d.message for d in found)
    return [d.code for d in found if d.severity == "error"]


@pytest.mark.parametrize(
    ("slot", "code"),
    [
        ('file("pipe.txt")', "CL110"),
        ('file("zero.txt")', "CL111"),
        ('file("linked.txt")', "CL111"),
        ('file("out/secret.txt")', "CL111"),
        ('file("../secret.txt")', "CL111"),
        ('file("/etc/passwd")', "CL111"),
        ('file("~/secret.txt")', "CL110"),
        ('file("folder.txt")', "CL110"),
        ('file("a\\nb")', "CL110"),
        ('rows("pipe.csv", "a")', "CL110"),
        ("token_ids(0..31, length = 999999)", "CL302"),
        ("0..999999999", "CL302"),
        ("[a for a in 0..9999 for b in 0..9999]", "CL302"),
    ],
)
def test_what_a_slot_may_not_read_or_make(folder: Path, slot: str, code: str) -> None:
    assert code in errors(folder, SPEC.format(slot=slot))


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('import "pipe.txt" as p', "CL110"),
        ('import "zero.txt" as p', "CL111"),
        ('import "out/secret.txt" as p', "CL111"),
        ('import "s.circ" as p', "CL109"),
        ('circuit x = edges_from("pipe.txt")', "CL110"),
        ('circuit x = edges_from("zero.txt")', "CL111"),
        ('circuit x = edges_from("out/secret.txt")', "CL111"),
        ('ablation z = constants("pipe.txt")', "CL110"),
        ("let x = a[0..999999999].h[*]", "CL201"),
        (
            "claim y: forall a in heads: forall b in heads: forall c in heads: forall e in heads: "
            "F(a + b + c + e) > 0",
            "CL302",
        ),
        ("claim y: F(" + "M - (" * 400 + "m0" + ")" * 400 + ") > 0", "CL008"),
    ],
)
def test_what_a_line_may_not_read_or_make(folder: Path, line: str, code: str) -> None:
    assert code in errors(folder, SPEC.format(slot=PEOPLE) + line + "\n")


def test_an_index_may_be_long(folder: Path) -> None:
    assert errors(folder, SPEC.format(slot=PEOPLE) + f"let x = m[{'0,' * 200_000}0]\n") == []


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        (
            "let x0 = a0.h0\n"
            + "".join(f"let x{i} = [x{i - 1}, x{i - 1}]\n" for i in range(1, 60)),
            ["CL302"],
        ),
        # A set that is joined with itself is no larger.
        (
            "circuit x0 = M\n"
            + "".join(f"circuit x{i} = x{i - 1} + x{i - 1}\n" for i in range(1, 60)),
            [],
        ),
        (
            "measure f0(C) = F(C)\n"
            + "".join(f"measure f{i}(C) = f{i - 1}(C) + f{i - 1}(C)\n" for i in range(1, 60))
            + "claim big: f59(M) > 0\n",
            ["CL302"],
        ),
    ],
    ids=["lists", "circuits", "measures"],
)
def test_what_doubles_with_every_line_ends_early(folder: Path, line: str, codes: list[str]) -> None:
    tracemalloc.start()
    try:
        found = errors(folder, SPEC.format(slot=PEOPLE) + line)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == codes
    assert peak < 400_000_000


def test_a_chain_and_a_fan_of_imports_end(folder: Path) -> None:
    for i in range(400):
        (folder / f"c{i}.circ").write_text(f'import "c{i + 1}.circ" as n\nlet x = 1\n')
    assert errors(folder, SPEC.format(slot=PEOPLE) + 'import "c0.circ" as c\n') == ["CL302"]
    fan = "".join(f'import "f{i}.circ" as f{i}\n' for i in range(200))
    for i in range(200):
        (folder / f"f{i}.circ").write_text(f"let x = {i}\n")
    assert set(errors(folder, SPEC.format(slot=PEOPLE) + fan)) == {"CL302"}
