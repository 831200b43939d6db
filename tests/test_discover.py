"""`circ discover`: what it writes reads, lints, is laid out, and is decided on the other half."""

from __future__ import annotations

import json
import math
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuitlang import pipeline
from circuitlang.discovery import discover as discovering
from circuitlang.discovery.discover import Question, discover
from circuitlang.discovery.experiment import Context
from circuitlang.discovery.hypothesis import ROOM, Measured, _floor, _plain
from circuitlang.front import Options, Silent
from circuitlang.language.tasks import sampling
from circuitlang.language.tasks.halves import half_of
from circuitlang.report.discovery import DiscoveryDocument
from tests.test_cli import invoke
from tests.tiny_models import save_model
from truth.subjects import SUBJECTS

EDGES = Path(__file__).resolve().parent.parent / "specs" / "toy" / "edges.circ"
TRUTH = Path(__file__).resolve().parent.parent / "truth"
FEW = Options(stored=False, samples=16)


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return spec(tmp_path, EDGES.read_text(encoding="utf-8"))


def spec(folder: Path, text: str) -> Path:
    path = folder / "edges.circ"
    path.write_text(text, encoding="utf-8")
    return path


def small(*lines: str, before: str = "", model: str = 'model "toy" { bos yes }') -> str:
    """The toy's task in its shortest form; `lines` come after the metric and the ablation."""
    text = EDGES.read_text(encoding="utf-8")
    task = text[text.index("let people") : text.index("default by")]
    return "\n".join([f'spec small "1.0.0"\n{before}\n{model}', task, *lines, ""])


def run(path: Path, *arguments: object) -> tuple[int, str, str]:
    return invoke("discover", path, "--samples", 16, "--no-store", "--force", *arguments)


def written(path: Path, *arguments: object) -> str:
    """The new spec's text, after it was found to be sound."""
    target = path.with_name(f"{path.stem}_found.circ")
    code, out, err = run(path, *arguments)
    assert (code, err if "CL786" not in err else "") == (0, ""), err
    assert f"wrote {target}" in out
    lint, _, said = invoke("lint", target)
    assert (lint, "warning" in said, "error" in said) == (0, False, False), said
    assert invoke("fmt", "--check", target)[0] == 0
    return target.read_text(encoding="utf-8")


def default_of(text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("default"))


def decided(target: Path, **options: object) -> dict[str, str]:
    given = Options(stored=False, samples=64)
    outcome = pipeline.check(target, replace(given, **options), Silent())  # type: ignore[arg-type]
    assert outcome.results
    return {result.name: result.verdict for result in outcome.results}


# ---------------------------------------------------------------- methods


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--order", "size"),
        ("--order", "greedy"),
        ("--method", "acdc"),
        ("--method", "acdc", "--change", "absolute"),
        ("--method", "acdc", "--change", "signed"),
        ("--by", "kl(M)"),
    ],
    ids=" ".join,
)
def test_claims_of_a_planted_circuit_hold_on_the_other_half(toy, arguments):
    text = written(toy, *arguments)
    assert re.search(r"claim (faithful|overshoots):", text)
    assert set(decided(toy.with_name("edges_found.circ")).values()) == {"holds"}


@pytest.mark.parametrize("name", ["gates", "tracr_previous", "tracr_induction"])
def test_claims_about_other_models_hold(name, tmp_path):
    subject = next(s for s in SUBJECTS if s.name == name)
    text = subject.spec.read_text(encoding="utf-8").replace("../models", "models")
    (tmp_path / "models").symlink_to(TRUTH / "models")
    written(spec(tmp_path, text))
    assert set(decided(tmp_path / "edges_found.circ").values()) == {"holds"}


def test_a_walk_misses_what_is_redundant_and_does_not_claim_to_be_faithful(toy):
    """Ablating either of the pair costs nothing, so the walk takes neither."""
    text = written(toy, "--method", "path")
    assert "a0.h0" not in text
    assert "claim faithful" not in text
    assert set(decided(toy.with_name("edges_found.circ")).values()) == {"holds"}


def test_a_metric_that_is_better_lower_has_the_same_signs(toy):
    text = written(toy, "--by", "kl(M)")
    assert "_against" not in text
    assert re.search(r"drop\(found, mlps_at_X\) / effect >= \d+%", text)


def test_what_works_against_is_claimed_to(toy):
    text = written(toy, "--order", "size")
    group = "heads_at_END_to_X_against"
    assert re.search(rf"group {group}\s+= a2.h2", text)
    assert re.search(rf"drop\(found, {group}\) <= -30% \* effect", text)


def test_signs_are_those_of_what_is_lost(toy):
    """Under `zero` attribution has the sign of two heads wrong without which the circuit dies."""
    text = written(toy, "--under", "zero")
    assert re.search(r"group heads_at_X_to_A1\s+= a0.h\[0,1\]", text)
    assert re.search(r"drop\(found, heads_at_X_to_A1\) >= \d+% \* effect", text)


# ---------------------------------------------------------------- halves


def test_no_prompt_of_the_decide_half_is_drawn(toy, monkeypatch):
    plain, halves = sampling.draw, []

    def watched(task, *arguments, **named):
        halves.append(task.split)
        assert task.split == "search"
        drawn = plain(task, *arguments, **named)
        assert {half_of(p.slots) for p in drawn.prompts} == {"search"}
        return drawn

    monkeypatch.setattr(sampling, "draw", watched)
    text = written_by_discover(toy)
    assert len(halves) >= 2
    monkeypatch.undo()
    assert "split decide" in text
    front = pipeline.lint(toy.with_name("new.circ"))
    (drawn,) = front.prompts.values()
    assert {half_of(p.slots) for p in drawn.prompts} == {"decide"}


def written_by_discover(path: Path, question: Question | None = None, **context: str) -> str:
    target = path.with_name("new.circ")
    _, found = discover(path, target, question or Question(), FEW, Context(**context), Silent())
    assert found is not None
    target.write_text(found.text, encoding="utf-8")
    return found.text


def test_the_same_seed_writes_the_same(toy):
    assert written_by_discover(toy) == written_by_discover(toy)


def test_a_found_spec_can_be_searched_again(toy):
    """Its circuit and groups are replaced, and it still draws from the half it drew from."""
    first = written(toy)
    toy.write_text(first, encoding="utf-8")
    again = written(toy)
    assert again[again.index("model ") :] == first[first.index("model ") :]


def test_a_second_search_executes_no_run(toy, monkeypatch):
    """All of them are in the store; attribution's passes alone are not kept there."""
    from circuitlang.measurement.runner import Runner

    def search() -> tuple[str, int]:
        missing: list[int] = []
        plain = Runner.execute

        def watched(self, batch, *arguments):
            missing.append(len(batch.executed_keys))
            plain(self, batch, *arguments)

        with monkeypatch.context() as patched:
            patched.setattr(Runner, "execute", watched)
            target, options = toy.with_name("new.circ"), Options(samples=16)
            _, found = discover(toy, target, Question(), options, Context(), Silent())
        assert found is not None
        return found.text, sum(missing)

    (first, executed), (second, again) = search(), search()
    assert first == second
    assert (executed > 0, again) == (True, 0)


# ---------------------------------------------------------------- definitions


def test_comments_of_what_is_kept_are_kept_and_the_rest_is_not(tmp_path):
    text = small(
        "# Of two.\nmetric second = logit(foil)\n",
        "group unused = a0.h1  # Beside what goes.",
        "# Far away.\n",
        "# Over it.\nlet free_ones = m1  # Beside it.",
        "group also_unused = a0.h2",
        "default by logit_diff under patch over prompts free free_ones",
        "claim able: F(M) >= 3  # A claim.",
    ).replace("  sample 64\n", "  sample 64\n  split search  # as it was\n")
    found = written(spec(tmp_path, text))
    assert "# Over it.\nlet free_ones = m1  # Beside it." in found
    assert "split decide  # as it was" in found
    assert "split search" not in found.partition("spec ")[2]
    for gone in ("unused", "Beside what goes", "Far away", "Of two", "able", "A claim"):
        assert gone not in found


def test_unneeded_tasks_and_circuits_are_left_out(tmp_path):
    text = small(
        'task other { prompt "ann likes"  tokens answer = " tea" }',
        "circuit old { input -> m0  m0 -> logits }",
        "measure twice(C) = 2 * F(C)",
        "default on likes by logit_diff under patch over prompts",
        "claim able: F(M) >= 3",
    )
    found = written(spec(tmp_path, text))
    for gone in ("task other", "circuit old", "twice"):
        assert gone not in found


def test_imports_are_kept(tmp_path):
    (tmp_path / "shared.circ").write_text(
        'spec shared "1.0.0"\nmodel "toy" { bos yes }\nmetric best = logit(answer) - logit(foil)\n',
        encoding="utf-8",
    )
    text = small("default by shared.best under patch", before='import "shared.circ" as shared')
    found = written(spec(tmp_path, text))
    assert 'import "shared.circ" as shared' in found
    assert "by shared.best" in default_of(found)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--by", "logit(answer)"), "by logit(answer) under patch over prompts"),
        (("--under", "zero"), "by logit_diff under zero over prompts"),
        (("--free", "m0"), "under patch free m0 over prompts"),
        (("--on", "likes.first"), "on likes.first by logit_diff"),
        (("--free", "coder"), "free coder"),
    ],
)
def test_the_context_of_the_search_is_the_default(toy, arguments, words):
    found = written(toy, *arguments)
    assert words in default_of(found)
    assert ("group coder" in found) == ("coder" in arguments)


def test_another_model(tmp_path):
    models = 'model one = "toy" { bos yes }\nmodel two = "toy" { bos yes }'
    text = small("default with one by logit_diff under patch over prompts", model=models)
    found = written(spec(tmp_path, text), "--with", "two")
    assert "with two" in default_of(found)


def test_names_that_are_taken(tmp_path):
    text = small(
        "metric found = logit(answer) - logit(foil)",
        "ablation heads_at_END_to_X = resample(unknown)",
        "default by found under heads_at_END_to_X over prompts",
    )
    written(spec(tmp_path, text))
    text = (tmp_path / "edges_found.circ").read_text(encoding="utf-8")
    assert "circuit found_2" in text
    assert "group middle_heads_at_END_to_X" in text
    _, out, _ = run(tmp_path / "edges.circ", "--json")
    groups = set(re.findall(r"^group (\w+)", text, re.MULTILINE))
    assert {role["name"] for role in json.loads(out)["roles"]} == groups


def test_a_label_in_lower_case(tmp_path):
    text = small("default by logit_diff under patch over prompts").replace(
        '{B} likes {Y}. {A:A2} likes"', '{B} likes {Y}. {A:lower} likes"'
    )
    text = re.sub(r"{A:A2}", "{A:lower}", text).replace("A2", "lower")
    found = written(spec(tmp_path, text))
    assert "heads_at_END_to_lower" in found


# ---------------------------------------------------------------- files


def test_what_is_read_is_never_written(toy):
    text = toy.read_text(encoding="utf-8")
    code, _, err = run(toy, "-o", toy)
    assert (code, "error[CL793]" in err, "it is the spec itself" in err) == (2, True, True)
    assert toy.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("target", "reason"),
    [("nowhere/new.circ", "there is no folder"), ("names.txt", "the spec needs it")],
)
def test_a_target_is_looked_at_before_anything_runs(tmp_path, monkeypatch, target, reason):
    (tmp_path / "names.txt").write_text("ann\nbob\ncid\ndan\neve\n", encoding="utf-8")
    text = re.sub(r"let people .*", 'let people = file("names.txt")', small("default under patch"))
    path = spec(tmp_path, text)
    monkeypatch.setattr(discovering, "experiment", None)
    code, _, err = run(path, "-o", tmp_path / target)
    assert (code, "error[CL793]" in err) == (2, True), err
    assert reason in err
    assert "ann" in (tmp_path / "names.txt").read_text(encoding="utf-8")


def test_another_folder_does_not_have_the_files(tmp_path, monkeypatch):
    (tmp_path / "names.txt").write_text("ann\nbob\ncid\ndan\neve\n", encoding="utf-8")
    text = re.sub(r"let people .*", 'let people = file("names.txt")', small("default under patch"))
    path = spec(tmp_path, text)
    written(path)
    (tmp_path / "inner").mkdir()
    monkeypatch.setattr(discovering, "attributed_at", None)
    code, _, err = run(path, "-o", tmp_path / "inner" / "new.circ")
    assert (code, "error[CL793]" in err) == (2, True), err
    assert "names.txt" in err
    assert not (tmp_path / "inner" / "new.circ").exists()


def test_many_edges_go_into_a_file(tmp_path):
    save_model("gpt2", tmp_path / "model", seed=1)
    path = tmp_path / "edges.circ"
    path.write_text(TINY, encoding="utf-8")
    text = written(path, "--order", "size", "--faithfulness", "0.99")
    assert 'circuit found = edges_from("edges_found.json")' in text
    _, out, err = run(path, "--order", "size", "--faithfulness", "0.99", "--json")
    found = DiscoveryDocument.model_validate_json(out)
    assert "wrote" in err
    assert len(found.edges) > 80
    listed = json.loads((tmp_path / "edges_found.json").read_text(encoding="utf-8"))
    assert len(listed["edges"]) == len(found.edges)
    front = pipeline.lint(tmp_path / "edges_found.circ")
    assert front.resolved is not None
    assert front.resolved.spec.circuits["found"].mask.bit_count() == len(found.edges)
    decided(tmp_path / "edges_found.circ")
    # Printed, the edges are listed.
    code, out, _ = run(path, "--order", "size", "--faithfulness", "0.99", "-o", "-")
    assert code == 0
    assert out.startswith("# Found by")
    assert out.rstrip().endswith("in groups(found)]")
    assert "edges_from" not in out


def test_edges_of_something_else_stay(tmp_path):
    save_model("gpt2", tmp_path / "model", seed=1)
    path = tmp_path / "edges.circ"
    path.write_text(TINY, encoding="utf-8")
    scores = tmp_path / "edges_found.json"
    scores.write_text("{}", encoding="utf-8")
    code, _, err = run(path, "--order", "size", "--faithfulness", "0.99")
    assert (code, "error[CL793]" in err, "reads its edges from it" in err) == (2, True, True)
    assert scores.read_text(encoding="utf-8") == "{}"
    assert not (tmp_path / "edges_found.circ").exists()


TINY = """
spec tiny "1.0.0"
model "./model"
task recall {
  slot A = ["w10", "w11", "w12", "w13"]
  slot B = ["w20", "w21", "w22", "w23"]
  slot C = ["w30", "w31"]
  prompt "{A} w5 {B} {C} w6 {A:A2}"
  tokens answer = " {B}"
  tokens foil = " w2"
  corrupt other { A = "w9"  B = "w8"  C = "w34" }
  sample 12
}
metric difference = logit(foil) - logit(answer)
ablation patch = resample(other)
default by difference under patch over prompts
claim able: abs(F(M) - F(none)) >= 0
"""


# ---------------------------------------------------------------- the document, and mistakes


def test_the_document_is_valid_and_names_what_was_written(toy):
    code, out, err = run(toy, "--json")
    assert code == 0
    found = DiscoveryDocument.model_validate_json(out)
    assert "wrote" in err
    text = Path(found.target).read_text(encoding="utf-8")
    for name, formula in found.claims.items():
        assert f"claim {name}:" in text
        assert "".join(formula.split()) in "".join(text.split())
    for role in found.roles:
        assert re.search(rf"group {role.name}\s+=", text)
    schema = json.loads(invoke("schema", "discover")[1])
    assert set(json.loads(out)) <= set(schema["properties"])


def test_stdout_is_one_thing(toy):
    code, out, err = run(toy, "--json", "-o", "-")
    assert (code, out, "stdout has the JSON" in err) == (2, "", True)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--by", "(logit(answer) - logit(answer))"), "CL784", "cannot be told from zero"),
        (("--by", "(logit(foil) - logit(answer))"), "CL785", "does worse than its ablation"),
        (("--by", "rank(answer)"), "CL784", "cannot be told from zero"),
        (("--by", "indicator(argmax in answer)"), "CL791", "an indicator is 0 or 1"),
        (("--method", "acdc", "--threshold", "100"), "CL781", "keeps none"),
        (("--method", "path", "--threshold", "9"), "CL781", "keeps none"),
    ],
)
def test_mistakes_have_codes(toy, arguments, code, words):
    exit_code, out, err = run(toy, *arguments)
    assert (exit_code, f"error[{code}]" in err) == (2, True), err
    assert words in err
    assert out == ""
    assert not toy.with_name("edges_found.circ").exists()


def test_a_faithfulness_that_is_out_of_reach_is_said(toy):
    code, _, err = run(toy, "--faithfulness", "1.9")
    assert (code, "warning[CL783]" in err) == (0, True)


def test_edges_that_acdc_does_not_decide_on_are_said(toy):
    code, _, err = run(toy, "--method", "acdc", "--among", "40")
    assert (code, "note[CL795]" in err) == (0, True)


def test_acdc_takes_a_metric_without_gradient(toy):
    written(toy, "--method", "acdc", "--by", "indicator(argmax in answer)")


def test_an_imported_task(tmp_path):
    (tmp_path / "tasks.circ").write_text(small("default under patch"), encoding="utf-8")
    text = (
        'spec s "1.0.0"\nimport "tasks.circ" as shared\nmodel "toy" { bos yes }\n'
        "default on shared.likes by shared.logit_diff under shared.patch over prompts\n"
    )
    code, _, err = run(spec(tmp_path, text))
    assert (code, "error[CL794]" in err) == (2, True), err


def test_a_threshold_of_zero_is_wrong_usage(toy):
    assert run(toy, "--method", "acdc", "--threshold", "0")[0] == 2


# ---------------------------------------------------------------- thresholds


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_thresholds_are_never_above_and_have_plain_digits(number):
    found = _floor(number)
    assert float(found) <= number
    text = _plain(found)
    assert re.fullmatch(r"-?\d+(\.\d+)?", text)
    assert float(text) == float(found)


@given(st.floats(0.01, 10))
def test_thresholds_are_not_far_below(number):
    assert number - float(_floor(number)) <= 0.05 + 1e-12


@given(st.floats(-3, 3), st.floats(0, 1))
def test_claims_leave_room_or_are_not_made(value, half):
    least = Measured(value, half).above()
    if least is None:
        assert value - max(ROOM * half, 0.02) < 0.01
    else:
        assert 0 < float(least) <= value - ROOM * half
        assert float(least) < value


def test_nothing_is_claimed_of_what_is_not_known():
    assert Measured(1.0, math.inf).above() is None


@pytest.mark.parametrize(
    ("arguments", "warns", "name"),
    [((), True, "overshoots"), (("--order", "size"), False, "faithful")],
)
def test_what_overshoots_is_said_to(toy, arguments, warns, name):
    _, _, err = run(toy, *arguments)
    assert ("warning[CL786]" in err) is warns
    text = toy.with_name("edges_found.circ").read_text(encoding="utf-8")
    assert f"claim {name}:" in " ".join(text.split())


def test_nothing_is_replaced_without_being_told_to(toy):
    kept = toy.with_name("kept.circ")
    for precious in (kept, kept.with_suffix(".json")):
        precious.write_text("mine", encoding="utf-8")
        code, _, err = invoke("discover", toy, "--samples", 16, "--no-store", "-o", kept)
        assert (code, "error[CL793]" in err, "`--force`" in err) == (2, True, True)
        assert precious.read_text(encoding="utf-8") == "mine"
        precious.unlink()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--threshold", "0.1"),
        ("--method", "path", "--order", "size"),
        ("--method", "acdc", "--faithfulness", "1"),
        ("--method", "path", "--among", "3"),
    ],
)
def test_an_option_of_another_method_is_refused(toy, arguments):
    code, _, err = run(toy, *arguments)
    assert code == 2
    assert f"`{arguments[-2]}` is for" in err


def test_the_header_is_the_command_that_searches_again(toy):
    text = written(toy, "--seed", 3, "--free", "m0", "--by", "logit(answer) - logit(foil)")
    header = " ".join(line.removeprefix("# ") for line in text.splitlines()[:3])
    said = re.search(r"`circ (discover .*?)` on", header)
    assert said is not None
    arguments = shlex.split(said[1])
    arguments[1] = str(toy)
    assert invoke(*arguments, "--no-store", "--force")[0] == 0
    assert toy.with_name("edges_found.circ").read_text(encoding="utf-8") == text
    assert "262 edges, 235 of which can be ablated" in text
