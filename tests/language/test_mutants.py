"""Edited specs, and inputs that a coverage-guided run found: each is answered, none with a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import fuzz


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the specs name, beside the one that is examined."""
    path = tmp_path_factory.mktemp("fuzz")
    fuzz.surroundings(path)
    return path


@pytest.mark.parametrize("seed", range(8))
def test_edited_specs_are_answered(seed: int, folder: Path) -> None:
    found = [fuzz.examine(content, folder) for content in fuzz.mutants(40, seed)]
    refused = sum(any(d.severity == "error" for d in said) for said in found)
    assert 8 <= refused < 40, "edits that change nothing, or nothing but noise, test little"


def test_what_fuzzing_found_is_answered(folder: Path) -> None:
    corpus = sorted(fuzz.CORPUS.glob("*.circ"))
    assert corpus
    assert sum(path.stat().st_size for path in corpus) <= fuzz.MOST_BYTES
    for path in corpus:
        fuzz.examine(path.read_bytes(), folder)
