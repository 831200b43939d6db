"""What `circ plan` says a check would execute, and the options that change how it is executed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from circuitlang import pipeline
from circuitlang.batch import Batch
from circuitlang.compiler.arithmetic import forward_flops, step_flops
from circuitlang.compiler.collect import Requests
from circuitlang.compiler.cost import ASSUMED_TOKENS, Work, planner, task_cost
from circuitlang.compiler.show import run_text
from circuitlang.front import Options
from circuitlang.language.graph.architecture import Shape
from circuitlang.language.graph.edges import uniform
from circuitlang.language.prompt import PromptSet
from circuitlang.language.spec import Ablation, Metric, ModelReference, Run
from circuitlang.reference_sample import sampled_runs
from circuitlang.report.plan import PlanDocument, arithmetic, size
from tests.test_cli import SPEC, invoke

ROOT = Path(__file__).parent.parent
CLAIM = "circuit wide = M - m1\nclaim faithful: faithfulness(wide) in 0.5..1.5\n"
TOY_NODES, TOY_TOKENS = 1 + 3 * 5, 11
MIB = 2**20


def write(folder: Path, claims: str = CLAIM, text: str = SPEC, name: str = "spec.circ") -> Path:
    path = folder / name
    path.write_text(text + claims)
    return path


def planned(path: Path, *arguments: object) -> PlanDocument:
    code, out, err = invoke("plan", path, "--json", *arguments)
    assert code == 0, err
    return PlanDocument.model_validate_json(out)


def checked(path: Path, *arguments: object) -> dict[str, Any]:
    code, out, err = invoke("check", path, "--json", "--per-example", *arguments)
    assert code in (0, 1), err
    document: dict[str, Any] = json.loads(out)
    return document


def works(path: Path, options: Options | None = None) -> list[Work]:
    return pipeline.outstanding_work(pipeline.lint(path, options), options or Options(stored=False))


# ---------------------------------------------------------------- counts


def test_runs_prompts_and_arithmetic(tmp_path: Path) -> None:
    (task,) = planned(write(tmp_path)).tasks
    assert (task.runs, task.stored, task.prompts, task.tokens) == (3, 0, 12, 12 * TOY_TOKENS)
    (chunk,) = task.chunks
    assert (chunk.prompts, chunk.tokens, chunk.runs) == (12, TOY_TOKENS, 3)
    forwards = 4  # the clean prompt, the corrupted one, the circuit, none
    assert task.nodes_alone == forwards * TOY_NODES * TOY_TOKENS * 12
    shape = works(tmp_path / "spec.circ")[0].model.shape
    assert task.plain_flops == 12 * forward_flops(shape, TOY_TOKENS)
    body = forward_flops(shape, TOY_TOKENS) - forward_flops(shape, 0)
    assert task.flops_alone == forwards * 12 * body
    assert task.forwards == task.flops / task.plain_flops
    assert task.nodes < task.nodes_alone


def test_a_plain_forward_is_what_pytorch_counts() -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from circuitlang.language.spec import ModelReference
    from circuitlang.runtime.models import load

    (work,) = works(ROOT / "specs" / "toy" / "first.circ")
    assert isinstance(work.model, ModelReference)
    model = load(work.model, ROOT, "cpu", lambda text: None)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.unhooked(torch.zeros(1, 9, dtype=torch.long), torch.tensor([8]))
    assert forward_flops(model.shape, 9) == counter.get_total_flops()


def test_the_plan_is_what_is_executed(tmp_path: Path) -> None:
    from circuitlang.runtime.models import load
    from circuitlang.runtime.planned import PlannedExecution

    (work,) = works(write(tmp_path))
    model = load(work.model, tmp_path, "cpu", lambda text: None)
    found = task_cost(work, 130 * MIB, 5)
    executed = PlannedExecution(model, work.drawn, work.requests, 130 * MIB, 5)
    pieces = list(executed.planner.pieces())
    assert [(len(p.rows), len(p.runs), p.bytes) for p in pieces] == [
        (c.prompts, c.runs, c.bytes) for c in found.chunks
    ]
    for piece, chunk in zip(pieces, found.chunks, strict=True):
        readout = chunk.flops - chunk.prompts * sum(step_flops(piece.plan))
        assert 0 < readout < 0.2 * chunk.flops


def test_passes_go_on_from_one_another(tmp_path: Path) -> None:
    (task,) = planned(write(tmp_path)).tasks
    passes = {one.name: one for one in task.passes}
    assert list(passes) == ["prefix", "number", "rebase", "drop", "fuse", "allocate"]
    assert all(0 < one.after <= one.before for one in task.passes)
    assert passes["number"].before == passes["prefix"].after
    (chunk,) = task.chunks
    assert passes["fuse"].before == chunk.values
    assert passes["allocate"].after * chunk.prompts <= chunk.bytes


def test_the_shared_prefix_is_what_the_first_pass_saves(tmp_path: Path) -> None:
    late = SPEC.replace('A1 = "ida"  B = "jon"  A2 = "kim"  X = "soup"  Y = "ham"', 'A2 = "kim"')
    (task,) = planned(write(tmp_path, text=late)).tasks
    (prefix,) = (one for one in task.passes if one.name == "prefix")
    shape, first = works(tmp_path / "spec.circ")[0].model.shape, 9
    body = [forward_flops(shape, n) - forward_flops(shape, 0) for n in (first, TOY_TOKENS)]
    assert prefix.before == 4 * body[1]
    assert prefix.after == 4 * body[1] - 3 * body[0]


def test_means_are_taken_over_references(tmp_path: Path) -> None:
    mean = CLAIM + "ablation average = mean(strangers)\ndefault under average\n"
    (task,) = planned(write(tmp_path, mean)).tasks
    assert task.reference_forwards == 3 * 3 * 2 * 2  # all prompts there are
    shape = works(tmp_path / "spec.circ")[0].model.shape
    body = forward_flops(shape, TOY_TOKENS) - forward_flops(shape, 0)
    assert task.flops - sum(chunk.flops for chunk in task.chunks) == 36 * body


def test_comparing_with_a_run_costs_its_unembedding(tmp_path: Path) -> None:
    kl = "metric far = kl(M)\nclaim near: F(M - m1 by far) <= 100\n"
    plain, compared = (
        task_cost(works(write(tmp_path, claims))[0], 2**30, None)
        for claims in ("claim near: F(M - m1 by difference) <= 100\n", kl)
    )
    assert compared.flops > plain.flops


def test_chosen_claims_need_fewer_runs(tmp_path: Path) -> None:
    path = write(tmp_path, CLAIM + "claim other: F(M - m2) >= 1\n")
    assert (planned(path).claims, planned(path).runs) == (2, 4)
    assert (planned(path, "--claim", "other").runs) == 3
    assert planned(path, "--samples", "5").tasks[0].prompts == 5
    code, _, err = invoke("plan", path, "--claim", "nobody")
    assert code == 2
    assert "CL101" in err


# ---------------------------------------------------------------- without weights, without tokenizer


def test_planning_needs_no_torch() -> None:
    code = (
        "import sys\n"
        "from circuitlang.cli import app\n"
        "for command in (['plan'], ['show', '--stage', 'values'], ['show', '--stage', 'plan']):\n"
        f"    app([*command, {str(ROOT / 'specs' / 'toy' / 'first.circ')!r}], standalone_mode=False)\n"
        "print(sorted({'torch', 'transformers', 'transformer_lens', 'scipy'} & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout.splitlines()[-1] == "[]", run.stderr


@pytest.fixture
def no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HF_HUB_CACHE", "CIRCUITLANG_CACHE"):
        monkeypatch.setenv(variable, str(tmp_path / "no-models"))


@pytest.mark.usefixtures("no_models")
def test_prompts_are_assumed_without_their_tokenizer(tmp_path: Path) -> None:
    path = write(tmp_path, text=SPEC.replace('"toy" { bos yes }', '"gpt2"'))
    document = planned(path)
    (task,) = document.tasks
    assert task.assumed
    assert (task.prompts, task.tokens, task.layouts) == (12, 12 * ASSUMED_TOKENS, 1)
    assert task.chunks[0].tokens == ASSUMED_TOKENS
    assert [d.code for d in document.diagnostics] == ["CL509"]
    assert f"{ASSUMED_TOKENS} tokens a prompt" in invoke("plan", path)[1]


@pytest.mark.usefixtures("no_models")
def test_positions_need_the_tokenizer(tmp_path: Path) -> None:
    text = SPEC.replace('"toy" { bos yes }', '"gpt2"')
    path = write(tmp_path, "claim a: F(M - m1 @ A1) >= 1\n", text)
    (task,) = planned(path).tasks
    assert (task.runs, task.chunks, task.flops) == (3, (), 0)
    assert "A1" in (task.unplanned or "")
    assert "only the tokenizer tells where `A1` is" in invoke("plan", path)[1]


@pytest.mark.usefixtures("no_models")
def test_no_shape_no_plan(tmp_path: Path) -> None:
    path = write(tmp_path, text=SPEC.replace('"toy" { bos yes }', '"nobody/nothing"'))
    code, out, err = invoke("plan", path)
    assert (code, out) == (2, "")
    assert "CL209" in err


# ---------------------------------------------------------------- what is stored


def test_stored_runs_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert planned(path).stored == 0
    assert not (tmp_path / ".circ").exists()
    checked(path)
    before = planned(path)
    assert (before.runs, before.stored, before.flops, before.seconds) == (3, 3, 0, 0)
    assert "a check executes nothing" in invoke("plan", path)[1]
    assert planned(path, "--fresh").stored == planned(path, "--no-store").stored == 0
    assert planned(path, "--store", tmp_path / "elsewhere").stored == 0
    more = write(tmp_path, CLAIM + "claim other: F(M - m2) >= 1\n")
    document = planned(more)
    assert (document.runs, document.stored) == (4, 3)
    assert document.tasks[0].chunks[0].runs == 1
    assert checked(more)["executed_runs"] == 1


# ---------------------------------------------------------------- memory


def test_memory_cuts_the_prompts_and_keeps_the_numbers(tmp_path: Path) -> None:
    path = write(tmp_path)
    (free,), (tight,) = planned(path).tasks, planned(path, "--memory", "700KB").tasks
    assert len(free.chunks) == 1 < len(tight.chunks)
    assert sum(chunk.prompts for chunk in tight.chunks) == 12
    assert all(chunk.bytes <= 700_000 for chunk in tight.chunks)
    one, other = checked(path, "--fresh"), checked(path, "--fresh", "--memory", "700KB")
    for first, second in zip(one["runs"], other["runs"], strict=True):
        assert np.allclose(first["values"], second["values"], rtol=1e-5, atol=1e-5)


def test_runs_are_cut_where_one_prompt_does_not_fit(tmp_path: Path) -> None:
    text = SPEC.replace("foil", "other")  # so that nothing reads the whole vocabulary
    path = write(tmp_path, "claim each: forall h in heads: F(M - h) >= -100\n", text)
    (work,) = works(path)
    whole = task_cost(work, 2**30, 1)
    halved = task_cost(work, whole.bytes - 1, 1)
    assert {chunk.runs for chunk in whole.chunks} == {whole.runs} == {12 + 2}
    assert {chunk.runs for chunk in halved.chunks} == {7}
    assert sum(chunk.prompts for chunk in halved.chunks) == 2 * 12
    assert halved.bytes < whole.bytes
    assert halved.nodes_alone == whole.nodes_alone > halved.nodes > whole.nodes
    shown = invoke("plan", path, "--chunk", "1", "--memory", whole.bytes - 1)[1]
    assert "24 chunks of 1 prompt (" in shown
    assert "each with 7 of the 14 runs" in shown


def test_too_little_memory_is_said_in_words(tmp_path: Path) -> None:
    path = write(tmp_path)
    for command in (["plan", path], ["check", path], ["eval", path, "F(M)"]):
        code, _, err = invoke(*command, "--memory", "10kB")
        assert code == 2, command
        assert "CL206" in err
        assert "allow more with --memory" in err


@pytest.mark.parametrize(
    ("text", "size"), [("500MB", 500_000_000), ("1.5GiB", 3 * 2**29), ("2000000000", 2 * 10**9)]
)
def test_sizes(tmp_path: Path, text: str, size: int) -> None:
    document = planned(write(tmp_path), "--memory", text)
    assert document.memory == document.budget == size
    assert "(--memory)" in invoke("plan", tmp_path / "spec.circ", "--memory", text)[1]
    assert "cuda is not looked at" in invoke("plan", tmp_path / "spec.circ", "--device", "cuda")[1]


@pytest.mark.parametrize("text", ["much", "4 apples", "0", "-4GiB"])
def test_other_sizes_are_refused(tmp_path: Path, text: str) -> None:
    code, _, err = invoke("plan", write(tmp_path), f"--memory={text}")
    assert code == 2
    assert "4GiB, 500MB or 2000000000" in err


def test_amounts_have_three_digits() -> None:
    assert [size(n) for n in (0, 999, 1023, 2048, 3 * MIB, 2**40)] == [
        "0 bytes", "999 bytes", "0.999 KiB", "2 KiB", "3 MiB", "1.02e+03 GiB",
    ]  # fmt: skip
    assert [arithmetic(n) for n in (12, 4.4e12)] == ["12 FLOP", "4.4 TFLOP"]


# ---------------------------------------------------------------- forms


def test_show_prints_values_and_plan(tmp_path: Path) -> None:
    path = write(tmp_path)
    values, plan = (invoke("show", path, "--stage", stage)[1] for stage in ("values", "plan"))
    assert "3 runs on 12 prompts of 11 tokens" in values
    (work,) = works(path)
    for run in work.requests:
        assert f"{run_text(run)}: logits at 10 from %" in values
    (piece,) = planner(work.model, work.requests, work.drawn.prompts, 2**30, None).pieces()
    assert str(piece.plan.schedule.demand) in values
    assert str(piece.plan) in plan


# ---------------------------------------------------------------- against the reference


def test_a_sample_is_compared_with_the_reference(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert checked(path)["against_reference"] is None
    found = checked(path, "--against-reference")
    assert (found["executed_runs"], found["stored_runs"]) == (0, 3)
    compared = found["against_reference"]
    assert (compared["runs"], compared["prompts"]) == (3, 8)
    metrics = {one["by"] for one in compared["differences"]}
    assert metrics == {"difference", "accuracy", "KL from M"}
    for one in compared["differences"]:
        assert one["relative"] == one["largest"] / one["scale"]
        assert one["largest"] < (1e-9 if one["by"] == "KL from M" else 1e-5 * one["scale"])
        assert found["noise"][one["by"]] >= one["largest"]
    line = "3 runs on 8 prompts again with the reference executor"
    assert line in invoke("check", path, "--against-reference")[1]


def test_what_differs_from_the_reference_counts_as_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from circuitlang.runtime import measure as module

    right = module.measure

    def wrong(*arguments: Any, reference: bool = False, **options: Any) -> Any:
        found = right(*arguments, reference=reference, **options)
        apart = {(run, metric): 0.25 * (metric.name == "difference") for run, metric in found}
        return found if reference else {key: vector + apart[key] for key, vector in found.items()}

    monkeypatch.setattr(module, "measure", wrong)
    path = write(tmp_path, "claim a: F(M) >= 1\n")
    assert checked(path)["claims"][0]["verdict"] == "holds"
    found = checked(path, "--against-reference")
    compared = {one["by"]: one["largest"] for one in found["against_reference"]["differences"]}
    assert compared == {"difference": pytest.approx(0.25, abs=1e-4), "accuracy": 0}
    assert found["noise"]["difference"] == pytest.approx(0.25, abs=1e-4)
    below = write(tmp_path, f"claim a: F(M) >= {found['claims'][0]['value'] - 2}\n")
    assert checked(below)["claims"][0]["verdict"] == "holds"
    assert checked(below, "--against-reference")["claims"][0]["verdict"] == "undecided"


SHAPE = Shape(layers=1, heads=1, kv_heads=1, d_model=4, d_head=4, d_mlp=4, vocab=8)
MODEL = ModelReference('"m"', "m", None, False, "float32", SHAPE)


def batch(task: str, runs: Requests) -> Batch:
    return Batch(MODEL, None, PromptSet(task, (), (), (), None, True), runs, "cpu")


def test_the_sample_has_runs_of_every_ablation() -> None:
    metric: tuple[Metric, ...] = ()
    kinds = [Ablation(k, k) for k in ("zero", "mean")]
    many = {Run(MODEL, "many", kinds[0], uniform(mask)): metric for mask in range(20)}
    few = {Run(MODEL, "few", kinds[1], uniform(mask)): metric for mask in range(2)}
    whole = {Run(MODEL, "few", None, uniform(31)): metric}
    batches = [batch("many", many), batch("few", {**few, **whole})]
    chosen = sampled_runs(batches, 0)
    assert [len(chosen[one]) for one in batches] == [5, 3]
    assert set(chosen[batches[1]]) == {*few, *whole}
    assert sampled_runs(batches, 0) == chosen
    assert sampled_runs(batches, 1) != chosen


def test_a_model_without_adapter_runs_on_the_reference_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from circuitlang.runtime import models

    path = write(tmp_path)
    fast = checked(path, "--no-store")
    monkeypatch.setattr(models, "_adapter", lambda plain, dtype: (None, "it is of another kind"))
    slow = checked(path, "--no-store")
    (note,) = slow["diagnostics"]
    assert (note["code"], note["severity"]) == ("CL602", "note")
    assert "one run at a time" in note["message"]
    assert "it is of another kind" in note["message"]
    for first, second in zip(fast["runs"], slow["runs"], strict=True):
        assert np.allclose(first["values"], second["values"], rtol=1e-4, atol=1e-4)
