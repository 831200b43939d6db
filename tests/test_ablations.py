"""Random donors and constants through the whole tool: lint, plan, show, check, store."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.test_cli import SPEC, invoke

CLAIMS = """
circuit wide = M - m1
metric apart = js(M)
ablation others = donors(strangers, 3)
ablation fixed = constants("fixed.safetensors")
default by difference under others
claim faithful: faithfulness(wide) in 0.5..1.5
report close: F(wide by apart)
report fixed: F(wide under fixed)
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    vectors(tmp_path, 0)
    path = tmp_path / "spec.circ"
    path.write_text(SPEC + CLAIMS)
    return path


def vectors(folder: Path, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    names = ["input", *(f"a{i}.h{j}" for i in range(3) for j in range(4)), "m0", "m1", "m2"]
    save_file({n: torch.randn(96, generator=draw) for n in names}, folder / "fixed.safetensors")


def document(*arguments: object) -> dict[str, Any]:
    code, out, err = invoke("check", *arguments, "--json", "--per-example")
    assert code in (0, 1), err
    found: dict[str, Any] = json.loads(out)
    return found


def values(found: dict[str, Any]) -> dict[tuple[str, str, str], list[float]]:
    return {
        (r["set"], (r["under"] or {"name": ""})["name"], r["by"]): r["values"]
        for r in found["runs"]
    }


def test_plan_and_check_count_every_draw(spec: Path) -> None:
    """M; wide and none under three donors each; wide and none under constants."""
    code, out, err = invoke("plan", spec, "--json")
    assert code == 0, err
    plan = json.loads(out)
    assert plan["runs"] == 1 + 2 * 3 + 2
    assert {chunk["runs"] for chunk in plan["tasks"][0]["chunks"]} == {9}
    assert document(spec)["executed_runs"] == 9


def test_runs_are_shown_with_their_ablation(spec: Path) -> None:
    code, out, err = invoke("show", spec, "--stage", "runs")
    assert code == 0, err
    assert "5 distinct runs, 9 with every draw of donors" in out
    assert "F(wide on t under others" in out
    assert "F(wide on t under fixed" in out
    code, out, err = invoke("show", spec, "--stage", "values")
    assert code == 0, err
    assert "others, draw 3 from 0" in out


def test_the_document_says_what_was_ablated(spec: Path) -> None:
    found = document(spec)
    under = {r["under"]["name"]: r["under"] for r in found["runs"] if r["under"]}
    assert under["others"] | {"name": ""} == {
        "name": "", "kind": "donors", "corruption": "strangers", "per": [], "draws": 3,
        "file": None, "sha256": None,
    }  # fmt: skip
    assert under["fixed"]["kind"] == "constants"
    assert under["fixed"]["file"] == "fixed.safetensors"
    assert len(under["fixed"]["sha256"]) == 64
    for prompt in found["tasks"][0]["prompts"]:
        assert len(prompt["donors"]) == 3
        assert prompt["index"] not in prompt["donors"]


def test_the_reference_executor_agrees(spec: Path) -> None:
    found = document(spec, "--against-reference")
    for difference in found["against_reference"]["differences"]:
        assert difference["largest"] < 1e-4 * max(difference["scale"], 1)


def test_stored_runs_are_used_until_donors_or_constants_change(spec: Path) -> None:
    first = document(spec)
    again = document(spec)
    assert (again["executed_runs"], again["stored_runs"]) == (0, 5)
    assert values(again) == values(first)
    vectors(spec.parent, 1)
    changed = document(spec)
    assert changed["executed_runs"] == 2
    # The whole population is drawn under each seed, in another order and with other donors.
    other = document(spec, "--seed", 5)
    donors = [[p["donors"] for p in d["tasks"][0]["prompts"]] for d in (first, other)]
    assert donors[0] != donors[1]
    assert other["executed_runs"] == 9
    spec.write_text(spec.read_text().replace("donors(strangers, 3)", "donors(strangers, 2)"))
    fewer = document(spec)
    assert fewer["executed_runs"] == 2 * 2 + 1  # and M, which `apart` compares with


def test_numbers_under_random_donors_are_a_samples(spec: Path) -> None:
    """All twelve prompts are drawn, and what stands in for them is random all the same."""
    found = document(spec)
    assert not found["tasks"][0]["enumerated"]
    (claim,) = found["claims"]
    assert claim["low"] < claim["value"] < claim["high"]


@pytest.mark.parametrize("command", ["lint", "plan"])
def test_a_file_is_looked_at_without_torch(spec: Path, command: str) -> None:
    code = (
        "import sys; from circuitlang import cli; from typer.testing import CliRunner; "
        f"r = CliRunner().invoke(cli.app, ['{command}', '{spec}']); "
        "print(r.exit_code, 'torch' in sys.modules, r.output)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.stdout.startswith("0 False"), run.stdout + run.stderr
