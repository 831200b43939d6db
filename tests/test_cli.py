"""The command line as a user meets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from circuitlang.cli import app
from circuitlang.report.document import CheckDocument

ROOT = Path(__file__).parent.parent
LONG = ROOT / "specs" / "toy" / "edges.circ"
TOY = ROOT / "specs" / "toy" / "first.circ"

SPEC = """
spec small "1"
model "toy" { bos yes }
task t {
  slot A = ["ann", "bob", "cid"]
  slot B = ["dan", "eve", "fay"]
  slot X = ["tea", "jam"]
  slot Y = ["rice", "milk"]
  prompt "{A:A1} likes {X}. {B} likes {Y}. {A:A2} likes"
  tokens answer = " {X}"
  tokens foil = " {Y}"
  corrupt strangers { A1 = "ida"  B = "jon"  A2 = "kim"  X = "soup"  Y = "ham" }
  sample 12
}
metric difference = logit(answer) - logit(foil)
ablation patch = resample(strangers)
"""


def circ(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "circuitlang.cli", *map(str, arguments)],
        capture_output=True, text=True, cwd=ROOT, timeout=300, env={**os.environ, **variables},
    )  # fmt: skip


def invoke(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    return result.exit_code, result.stdout, result.stderr


def spec(folder: Path, claims: str, name: str = "small.circ") -> Path:
    path = folder / name
    path.write_text(SPEC + claims)
    return path


def test_lint_needs_no_torch():
    code = (
        "import sys\n"
        "from circuitlang.cli import app\n"
        "try:\n"
        f"    app(['lint', {str(TOY)!r}], standalone_mode=False)\n"
        "finally:\n"
        "    print(sorted({'torch', 'transformers', 'transformer_lens', 'scipy', 'numpy', 'rich'} & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout.splitlines() == ["1 file: 0 errors, 0 warnings", "[]"], run.stderr


def test_exit_codes_say_what_happened(tmp_path: Path):
    good = spec(tmp_path, "claim a: F(M) - F(none) >= 1")
    wrong = spec(tmp_path, "claim a: F(M) - F(none) >= 100", "wrong.circ")
    expected = spec(tmp_path, 'claim a expect fails "too much": F(M) >= 100', "expected.circ")
    broken = spec(tmp_path, "claim a: F(Q) >= 1", "broken.circ")
    assert invoke("check", good)[0] == 0
    assert invoke("check", wrong)[0] == 1
    assert invoke("check", expected)[0] == 0
    assert invoke("check", broken)[0] == 2
    assert invoke("check", good, broken)[0] == 2
    assert invoke("check", tmp_path / "nowhere.circ")[0] == 2


def test_an_assume_that_does_not_hold_makes_claims_invalid(tmp_path: Path):
    path = spec(tmp_path, "assume able: F(M) >= 100\nclaim a: F(M) >= 1")
    code, out, _ = invoke("check", path, "--json")
    document = CheckDocument.model_validate_json(out)
    assert code == 1
    assert [c.verdict for c in document.claims] == ["fails", "invalid"]
    assert "assume able" in (document.claims[1].reason or "")


def test_json_is_the_document_and_nothing_else_is_on_stdout(tmp_path: Path):
    path = spec(tmp_path, "claim a: F(M) - F(none) >= 1\nreport r: F(M)")
    run = circ("check", path, "--json", "--per-example")
    document = CheckDocument.model_validate_json(run.stdout)
    assert document.schema_version == "1"
    assert document.exit_code == run.returncode == 0
    assert {(r.set, r.by) for r in document.runs} == {
        ("M", "difference"), ("none", "difference"), ("M", "accuracy"),
    }  # fmt: skip
    assert all(len(r.values or ()) == r.n == 12 for r in document.runs)
    assert all(i.passed for i in document.invariants)


def test_several_files_give_a_list(tmp_path: Path):
    one, two = (spec(tmp_path, "claim a: F(M) >= 1", f"{n}.circ") for n in "ab")
    _, out, _ = invoke("check", one, two, "--json", "--samples", "12")
    assert [d["file"] for d in json.loads(out)] == [str(one), str(two)]


def test_errors_are_part_of_the_document(tmp_path: Path):
    path = spec(tmp_path, "claim a: F(a9.h0) >= 1")
    code, out, err = invoke("check", path, "--json")
    document = CheckDocument.model_validate_json(out)
    assert code == document.exit_code == 2
    (found,) = document.diagnostics
    assert (found.code, found.severity) == ("CL201", "error")
    assert path.read_text().splitlines()[(found.line or 0) - 1].startswith("claim a")
    assert "CL201" in err


def test_quick_checks_say_so(tmp_path: Path):
    path = spec(tmp_path, "claim a: F(M) >= 1")
    _, out, _ = invoke("check", path, "--quick", "--json")
    assert "quick" in json.loads(out)["title"]
    _, out, _ = invoke("check", path, "--samples", "5", "--json")
    assert json.loads(out)["tasks"][0]["n"] == 5


def test_one_claim_alone_keeps_the_assumptions(tmp_path: Path):
    path = spec(tmp_path, "assume able: F(M) >= 1\nclaim a: F(M) >= 1\nclaim b: F(M) >= 2")
    _, out, _ = invoke("check", path, "--claim", "b", "--json")
    assert [c["name"] for c in json.loads(out)["claims"]] == ["able", "b"]
    code, _, err = invoke("check", path, "--claim", "c")
    assert code == 2
    assert "no claim `c`" in err


def test_eval_prints_numbers_and_conditions(tmp_path: Path):
    path = spec(tmp_path, "claim a: F(M) >= 1")
    code, out, _ = invoke("eval", path, "faithfulness(M - m1)", "--json")
    (number,) = json.loads(out)["reports"]
    assert code == 0
    assert number["value"] == pytest.approx(1, abs=0.01)
    code, out, _ = invoke("eval", path, "F(M) >= 100", "--json")
    assert json.loads(out)["claims"][0]["verdict"] == "fails"
    code, out, _ = invoke("eval", path, "[F(M), F(none)]", "--per-example")
    assert code == 0
    assert "per prompt" in out
    code, _, err = invoke("eval", path, "F(M) +")
    assert code == 2
    assert "CL001" in err


def test_show_prints_every_form(tmp_path: Path):
    path = spec(tmp_path, "claim a: faithfulness(M - m1) >= 0.5")
    assert "NumberLiteral" in invoke("show", path, "--stage", "tree")[1]
    assert "262 edges" in invoke("show", path, "--stage", "spec")[1]
    assert "strangers" in invoke("show", path, "--stage", "prompts", "--samples", "2")[1]
    assert "3 distinct runs" in invoke("show", path, "--stage", "runs")[1]
    code, out, _ = invoke("show", path, "--claim", "a")
    assert code == 0
    assert "faithfulness" not in out.split("written out")[1]
    where = 'on t under patch by difference with "toy"'
    assert f"(F(M - m1 {where}) - F(none {where}))" in out
    code, _, err = invoke("show", path, "--stage", "promts")
    assert code == 2
    assert "did you mean `prompts`" in err


def test_plan_counts_without_weights(tmp_path: Path):
    path = spec(tmp_path, "claim a: faithfulness(M - m1) >= 0.5")
    code, out, _ = invoke("plan", path)
    assert code == 0
    assert "1 claim needs 3 distinct runs" in out
    assert json.loads(invoke("plan", path, "--json")[1])["tasks"][0]["prompts"] == 12


def test_the_schema_is_printed():
    schema = json.loads(invoke("schema")[1])
    assert schema["title"] == "CheckDocument"
    assert "live_at" in schema["$defs"]["RunForm"]["properties"]
    assert json.loads(invoke("schema", "plan")[1])["title"] == "PlanDocument"


def test_wrong_usage_is_answered_in_words():
    run = circ("chek")
    assert (run.returncode, run.stdout) == (2, "")
    assert "Did you mean 'check'" in run.stderr
    assert "Traceback" not in run.stderr


def test_no_cuda_is_said_in_words(tmp_path: Path):
    path = spec(tmp_path, "claim a: F(M) >= 1")
    run = circ("check", path, "--device", "cuda:7", CUDA_VISIBLE_DEVICES="")
    assert run.returncode == 2
    assert "CL206" in run.stderr
    assert "--device cpu" in run.stderr


def test_an_unreachable_hub_is_said_in_words(tmp_path: Path):
    path = tmp_path / "hub.circ"
    path.write_text(SPEC.replace('"toy" { bos yes }', '"nobody/nothing"') + "claim a: F(M) >= 1")
    run = circ("check", path, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "hub"))
    assert run.returncode == 2
    assert "CL206" in run.stderr
    lint = circ("lint", path, HF_HOME=str(tmp_path / "hub"))
    assert lint.returncode == 0
    assert "CL209" in lint.stderr


def heed_ctrl_c() -> None:
    """Jobs in the background, where tests may run, pass on that they ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize("seconds", [1.5, 4.0])
def test_ctrl_c_leaves_cleanly(seconds: float):
    """While libraries are imported, and while runs are executed."""
    with subprocess.Popen(
        [sys.executable, "-m", "circuitlang.cli", "check", str(LONG), "--samples", "6000", "--no-store"],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, preexec_fn=heed_ctrl_c,
    ) as process:  # fmt: skip
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert out == ""


def test_the_first_ctrl_c_ends_the_next_step_and_the_second_this_one(
    request: pytest.FixtureRequest,
):
    from rich.console import Console

    from circuitlang.report.progress import Bars

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    bars = Bars(Console(stderr=True), enabled=False)
    bars.__enter__()
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        bars.stage("loading")
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        bars.__exit__(None, None, None)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_spec_is_shown_with_the_types_of_its_measures(tmp_path):
    own = "measure cost(C, K) = drop(C, K) / effect\nmeasure looks(h) = attends(h, END, X)\n"
    code, out, _ = invoke("show", spec(tmp_path, own), "--stage", "spec")
    assert code == 0
    assert "measure cost(C: edges, K: edges) -> number\n" in out
    assert "measure looks(h: nodes) -> number\n" in out
    assert "task t: 1 template," in out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("command", ["explain", "schema"])
def test_a_full_disk_behind_stdout_is_said(command: str) -> None:
    arguments = [command, "CL311"] if command == "explain" else [command]
    with open("/dev/full", "w") as full:
        run = subprocess.run(
            [sys.executable, "-m", "circuitlang.cli", *arguments],
            stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, timeout=60,
        )  # fmt: skip
    assert run.returncode == 2
    assert run.stderr == "error: the output cannot be written: no space is left\n"


def test_a_reader_that_goes_away_is_no_mistake() -> None:
    """Where typer notices first, inside of a command that prints more than a pipe holds."""
    command = [sys.executable, "-m", "circuitlang.cli", "schema", "check"]
    printing = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert printing.stdout is not None
    assert printing.stderr is not None
    printing.stdout.close()
    said = printing.stderr.read()
    printing.stderr.close()
    assert (printing.wait(60), said) == (0, b"")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("effects", TOY, "--of", "nodez"), "'nodez' is not one of 'edges', 'nodes'"),
        (("schema", "lense"), "'lense' is not one of 'check'"),
        (("lens", TOY, "--as", "xyz"), "'xyz' is not one of 'logit'"),
    ],
)
def test_a_choice_that_is_none_is_said_plainly(arguments: tuple[object, ...], said: str) -> None:
    err = circ(*arguments).stderr
    assert f": {said}" in err
    assert "Value error" not in err
    likely = {"nodez": "nodes", "lense": "lens"}.get(str(arguments[-1]))
    assert ("Did you mean" in err) == (likely is not None)
    assert likely is None or f"Did you mean '{likely}'?" in err
