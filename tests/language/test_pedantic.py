"""`circ lint --pedantic`: each warning where it applies, and not beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitlang import pipeline

SPEC = """
spec reviewed "1"
model "toy" {{ bos yes }}
task likes {{
  slot A = ["ann", "bob", "cid", "dan"]
  slot X = ["tea", "jam", "rice", "milk"]
  slot (Y, Z) = [("tea", "jam"), ("jam", "rice"), ("rice", "milk"), ("milk", "tea")]
  where X != Y
  prompt "{{A:A1}} likes {{X}}. eve likes {{Y}}. {{A:A2}} likes"
  tokens answer = " {{X}}"
  tokens foil   = " {{Y}}"
  corrupt swap {{ {corruption} }}
  sample 16
}}
metric   diff  = logit(answer) - logit(foil)
ablation patch = resample(swap)
circuit small {{ input -> m0  m0 -> logits  input -> logits }}
{claims}
"""
GOOD = "X = Y  Y = X"


def codes(tmp_path: Path, claims: str, corruption: str = GOOD, pedantic: bool = True) -> list[str]:
    path = tmp_path / "t.circ"
    path.write_text(SPEC.format(claims=claims, corruption=corruption))
    front = pipeline.lint(path, pipeline.Options(pedantic=pedantic))
    assert not front.diagnostics.has_errors, [d.message for d in front.found]
    assert all(d.help for d in front.found)
    return [d.code for d in front.found]


FAITHFUL = "claim f: faithfulness(small) >= 0.8"


def test_a_sound_spec_gets_no_remark(tmp_path: Path) -> None:
    assert codes(tmp_path, FAITHFUL) == []


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ("circuit all = M\nclaim f: faithfulness(all) >= 0.8", ["CL401"]),
        ("circuit all = M - (m0 -> logits)\nclaim f: faithfulness(all) >= 0.8", ["CL401"]),
        ("circuit end = M @ END\nclaim f: faithfulness(end) >= 0.8", []),
        ("claim f: faithfulness(small under zero) >= 0.8", ["CL403"]),
        ('claim f "zeros as published": faithfulness(small under zero) >= 0.8', []),
        (FAITHFUL + "\nclaim g: faithfulness(small) >= 0.5", ["CL404"]),
        (FAITHFUL + "\nclaim g: faithfulness(small) > 0.8", ["CL404"]),
        (FAITHFUL + "\nclaim g: faithfulness(small) >= 0.8", ["CL404"]),
        (FAITHFUL + "\nclaim g: faithfulness(small) in 0.9..1.2", ["CL404"]),
        (FAITHFUL + "\nclaim g: faithfulness(small) <= 1.2", []),
        (FAITHFUL + "\nclaim g: faithfulness(small - m0) >= 0.5", []),
        (FAITHFUL + "\nclaim g over templates: faithfulness(small) >= 0.5", []),
        ("claim f: agreement(small, 1) >= 95%", ["CL405"]),
        ("claim f: agreement(small, 1) >= 80%", []),
        ("claim f: agreement(small, 1) <= 5%", ["CL405"]),
    ],
)
def test_a_remark_where_it_applies(tmp_path: Path, claims: str, expected: list[str]) -> None:
    assert codes(tmp_path, claims) == expected
    quiet = codes(tmp_path, claims, pedantic=False)
    assert [c for c in quiet if c.startswith("CL4")] == []


@pytest.mark.parametrize(
    ("corruption", "expected"),
    [
        ('A1 = ["ida"]  A2 = ["kim"]', ["CL402"]),
        ("X = Y", []),
        ("Z = X", []),
        ("Y = Z", []),
    ],
)
def test_a_corruption_that_keeps_the_answer(
    tmp_path: Path, corruption: str, expected: list[str]
) -> None:
    """Slots drawn together count together: a rewritten `Z` may well change `Y`'s meaning."""
    found = codes(tmp_path, FAITHFUL, corruption)
    assert [c for c in found if c == "CL402"] == expected


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        (FAITHFUL + "\nclaim g: faithfulness(small) < 0.8", ["CL314"]),
        (FAITHFUL + "\nclaim g: faithfulness(small) <= 0.8", []),
        (FAITHFUL + '\nclaim g expect fails "so": faithfulness(small) < 0.5', []),
        (FAITHFUL + "\nclaim g: faithfulness(small) in 0.1..0.5", ["CL314"]),
        (FAITHFUL + "\nclaim g: faithfulness(small under zero) <= 0.5", []),
    ],
)
def test_contradictions_are_always_said(tmp_path: Path, claims: str, expected: list[str]) -> None:
    assert codes(tmp_path, claims, pedantic=False) == expected


def test_a_contradiction_shows_both_claims(tmp_path: Path) -> None:
    path = tmp_path / "t.circ"
    claims = FAITHFUL + "\nclaim g: faithfulness(small) < 0.8"
    path.write_text(SPEC.format(claims=claims, corruption=GOOD))
    (found,) = pipeline.lint(path).found
    assert found.span is not None
    assert found.span.text.startswith("claim g")
    ((other, _),) = found.related
    assert other.text.startswith("claim f")
