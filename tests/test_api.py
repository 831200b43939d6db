"""The Python interface."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import circuitlang

ROOT = Path(__file__).parent.parent
TOY = ROOT / "specs" / "toy" / "who_likes_what.circ"


def test_loading_a_spec_needs_no_torch():
    code = f"import sys, circuitlang; circuitlang.load({str(TOY)!r}); print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "False", run.stderr


def test_errors_come_as_one_exception_with_everything_found(tmp_path: Path):
    path = tmp_path / "bad.circ"
    path.write_text(
        'spec s "1"\nmodel "toy"\ngroup g = a9.h0\ngroup h = a0.h9\nclaim a: size(g) > 1\n'
    )
    with pytest.raises(circuitlang.SpecError) as caught:
        circuitlang.load(path)
    assert [d.code for d in caught.value.diagnostics] == ["CL201", "CL201"]
    assert "a9.h0" in str(caught.value)


def test_check_gives_the_document():
    document = circuitlang.check(TOY, samples=16, claims=("faithful",), stored=False)
    (assumed, claim) = document.claims
    assert (assumed.kind, claim.verdict) == ("assume", "holds")
    assert all(run.values is not None for run in document.runs)


def test_a_session_answers_with_one_number_a_prompt():
    spec = circuitlang.load(TOY)
    with circuitlang.session(spec, samples=6) as session:
        whole, without = session.F("M"), session.F("M - a1.h0")
        floor = session.F("none", under="zero")
        attention = session.F("M", by="attention(a1.h0, END, X)")
        with pytest.raises(circuitlang.SpecError, match="CL101"):
            session.F("M - nobody")
    assert whole.shape == (6,)
    assert (whole - without).min() > 1
    assert floor.abs().max() < 1
    assert attention.min() > 0.9
