"""Ways to a `holds`, or to a crash, that must stay shut."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from circuitlang import pipeline
from circuitlang.language.models.find import BUNDLED
from tests.test_cli import SPEC, invoke, spec


def verdicts(folder: Path, text: str) -> dict[str, tuple[str, str]]:
    path = spec(folder, text)
    outcome = pipeline.check(path, pipeline.Options(), pipeline.Silent())
    assert outcome.measured is not None, outcome.front.found
    return {r.name: (r.verdict, r.decision.reason or "") for r in outcome.results}


def test_a_number_that_never_varied_in_the_sample_decides_nothing(tmp_path: Path):
    found = verdicts(
        tmp_path,
        """
        metric half   = 0.5 * indicator(logit(answer) > logit(foil))
        metric capped = min(logit(answer) - logit(foil), 0.25)
        metric place  = rank(answer)
        claim a by half:   F(M) >= 0.4999
        claim b by capped: F(M) >= 0.2499
        claim c by place:  F(M) <= 0.5
        claim d by half:   recovered(M - a0.h3) in 0.99..1.01
        claim e by difference: mean(min(F(M on x), 0.25) for x in examples) >= 0.2499
        """,
    )
    assert {name: verdict for name, (verdict, _) in found.items()} == dict.fromkeys(
        "abcde", "undecided"
    )
    assert "its spread is unknown" in found["a"][1]


def test_an_indicator_has_its_exact_bound(tmp_path: Path):
    text = "metric right = indicator(logit(answer) > logit(foil))\n"
    found = verdicts(
        tmp_path, text + "claim a by right: F(M) >= 75%\nclaim b by right: F(M) >= 95%"
    )
    assert [found[name][0] for name in "ab"] == ["holds", "undecided"]


def test_nothing_is_divided_by_an_effect_of_zero(tmp_path: Path):
    found = verdicts(
        tmp_path,
        """
        metric nothing = logit(answer) - logit(answer)
        claim a by nothing: faithfulness(M - a1.h0) in 0.9..1.1
        claim b by nothing: faithfulness(M - a1.h0) in 0..2
        """,
    )
    assert {verdict for verdict, _ in found.values()} == {"invalid"}


@pytest.mark.parametrize(
    "claim", ["F(none) - F(none) <= 0.1", "0 * F(M) >= -1", "F(M) - F(M) >= -0.1"]
)
def test_a_claim_whose_runs_cancel_out_is_pointed_at(tmp_path: Path, claim: str):
    found = pipeline.lint(spec(tmp_path, f"claim a: {claim}")).found
    assert [d.code for d in found] == ["CL312"]


def test_too_few_prompts_are_called_that(tmp_path: Path):
    path = spec(tmp_path, "claim a: F(M) >= 1")
    outcome = pipeline.check(path, pipeline.Options(samples=4), pipeline.Silent())
    (result,) = outcome.results
    assert result.verdict == "invalid"
    assert "about 11 prompts would show it" in (result.decision.reason or "")


def test_a_folder_without_a_tokenizer_is_said_before_any_run(tmp_path: Path):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(BUNDLED / "toy" / name, folder)
    path = tmp_path / "folder.circ"
    path.write_text(SPEC.replace('"toy" { bos yes }', '"./model"') + "claim a: F(M) >= 1")
    for command in ("lint", "check"):
        code, _, err = invoke(command, path)
        assert code == 2
        assert "CL513" in err


def test_json_stays_json_when_a_number_is_not_finite(tmp_path: Path):
    path = spec(tmp_path, "claim a: F(M) >= 1")
    _, out, _ = invoke("eval", path, "log(F(none) - F(M))", "--json")
    (number,) = json.loads(out, parse_constant=pytest.fail)["reports"]
    assert number["value"] is None


def test_expressions_are_quoted_as_they_were_written(tmp_path: Path):
    path = spec(tmp_path, "claim a: F(M) >= 1")
    _, _, err = invoke("eval", path, "F(M) + nobody")
    assert "expression:1:8" in err
    assert "claim it" not in err
