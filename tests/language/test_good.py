"""Specs of every construct the language has: they lint without an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitlang import pipeline

GOOD = sorted((Path(__file__).parent / "good").glob("[!.]*.circ"))


@pytest.mark.parametrize("path", GOOD, ids=lambda p: p.stem)
def test_lints_without_error(path):
    front = pipeline.lint(path)
    assert [(d.code, d.message) for d in front.found if d.severity == "error"] == []
    claims = [s for s in front.resolved.file.statements if type(s).__name__ in ("Claim", "Report")]
    spec = front.resolved.spec
    assert len(claims) == len(spec.claims) + len(spec.reports)
