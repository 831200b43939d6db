"""`circ show --claim`: every number of a verdict can be traced, without running anything again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.test_cli import invoke

SPEC = Path("specs/toy/first.circ")


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("traced") / "first.circ"
    shutil.copyfile(SPEC, path)
    assert invoke("check", path)[0] == 0
    return path


def test_what_was_not_measured_is_not_told(tmp_path: Path) -> None:
    path = tmp_path / "first.circ"
    shutil.copyfile(SPEC, path)
    code, text = invoke("show", path, "--claim", "faithful")[:2]
    assert code == 0
    assert "is, written out," in text
    assert "Its runs are not stored" in text


def test_a_ratio_shows_its_contrasts_and_its_runs(checked: Path) -> None:
    code, text = invoke("show", checked, "--claim", "faithful")[:2]
    assert code == 0
    assert "faithful: holds; value 1.000" in text
    assert "F(asking) - 0.05 * F(none) - 0.95 * F(M) >= 0" in text
    assert "times the sign of F(M) - F(none)" in text
    assert "accuracy 1.000" in text
    for run in ("M", "asking", "none"):
        assert f"│{run} " in text


def test_a_quantifier_shows_its_members(checked: Path) -> None:
    text = invoke("show", checked, "--claim", "minimal")[1]
    assert text.count("│ holds") == 5
    assert "F(asking - a1.h0->logits)" in text or "..." in text


def test_an_assumption_and_an_expected_failure(checked: Path) -> None:
    assert "able: holds" in invoke("show", checked, "--claim", "able")[1]
    text = invoke("show", checked, "--claim", "one_head_is_enough")[1]
    assert "fails" in text
    assert "overshoots by a third" in text
