"""The pytest plugin as a user meets it: runs of pytest on folders with specs.

In docs/pytest.md `<!-- pytest: OPTIONS -->` before a block says that it is what pytest prints on the
page's files marked `<!-- example: NAME -->`, `...` standing for any lines. Runs that decide claims are made in this process, where torch is loaded already; they decide on
few prompts of the toy model.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import xml.etree.ElementTree as ElementTree
from importlib import import_module
from pathlib import Path

import pytest

import circuitlang
from circuitlang import pipeline
from tests.test_cli import SPEC
from tests.test_docs import Block, blocks, is_excerpt

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent
TOY = ROOT / "specs" / "toy"
PLUGIN = ("-p", "circuitlang.pytest_plugin", "-p", "no:cacheprovider")
NO_CLAIMS = SPEC.lstrip()
SMALL = (
    NO_CLAIMS
    + """assume able: F(M) >= 1
claim good: F(M) - F(none) >= 1
claim wide
  "of two lines": F(M) >= 100
claim near: F(M) >= 6.2
claim rival expect fails "it is not": F(M) >= 100
claim no_rival expect fails "it is not": F(M) >= 1
"""
)
BAD = 'spec bad "1"\nmodel "toy" { bos yes }\nclaim c: F(Q) > 1\n'


def specs(pytester: pytest.Pytester, **texts: str) -> None:
    for name, text in texts.items():
        (pytester.path / f"{name}.circ").write_text(text)


@pytest.fixture(autouse=True)
def _this_plugin_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin is named, so that it is this one whatever is installed."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("PYTEST_ADDOPTS", "CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture(scope="module")
def _torch() -> None:
    """All that a check loads: pytester forgets what is first imported in a run, and torch cannot be imported twice."""
    circuitlang.check(TOY / "who_likes_what.circ", samples=12, stored=False)


@pytest.fixture
def run(pytester: pytest.Pytester, _torch: None):
    specs(pytester, small=SMALL)
    return lambda *options: pytester.runpytest_inprocess(*PLUGIN, "--circ", *options)


def lines_of(result: pytest.RunResult) -> str:
    return "\n".join(result.outlines)


@pytest.mark.usefixtures("_torch")
def test_a_model_is_loaded_once(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    from circuitlang.runtime import models

    loaded: list[str] = []
    real = models.load

    def counted(reference, *rest):
        loaded.append(reference.reference)
        return real(reference, *rest)

    monkeypatch.setattr(models, "load", counted)
    specs(pytester, small=SMALL, other=SMALL)
    (pytester.path / "sub").mkdir()
    (pytester.path / "other.circ").rename(pytester.path / "sub" / "other.circ")
    result = pytester.runpytest_inprocess(*PLUGIN, "--circ")
    assert result.parseoutcomes()["passed"] % 2 == 0
    assert loaded == ["toy"]


# ---------------------------------------------------------------- without --circ


def test_a_file_is_linted(pytester: pytest.Pytester) -> None:
    specs(pytester, small=SMALL, bad=BAD)
    result = pytester.runpytest_inprocess(*PLUGIN, "-v")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["bad.circ::lint FAILED*", "small.circ::lint PASSED*"])
    result.stdout.fnmatch_lines(["FAILED bad.circ::lint - *error?CL101?: Nothing is called `Q`."])


def test_a_failed_lint_says_what_circ_lint_says(pytester: pytest.Pytester) -> None:
    specs(pytester, bad=BAD + "group g = a9.h9\ngroup unused = a0.h1\n")
    command = [sys.executable, "-m", "circuitlang.cli", "lint", "bad.circ"]
    said = subprocess.run(command, capture_output=True, text=True, cwd=pytester.path).stderr
    assert "CL101" in said
    assert "CL201" in said
    shown = lines_of(pytester.runpytest_inprocess(*PLUGIN))
    assert said.strip() in shown
    assert "pytest_plugin" not in shown.split("FAILURES")[1]


def test_warnings_are_pytest_warnings_and_notes_are_not(pytester: pytest.Pytester) -> None:
    specs(pytester, small=SMALL + "group unused = a0.h1\n")
    result = pytester.runpytest_inprocess(*PLUGIN)
    result.assert_outcomes(passed=1, warnings=1)
    number = SMALL.count("\n") + 1
    result.stdout.fnmatch_lines(
        [f"*small.circ:{number}: SpecWarning: *`unused` is not used*CL114?"]
    )
    result = pytester.runpytest_inprocess(*PLUGIN, "-W", "error")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["warning?CL114?: *", f"  --> small.circ:{number}:7"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_note_is_not_shown(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(pytester.path / "none"))
    specs(pytester, far=SMALL.replace('"toy"', '"someone/some-model"'))
    assert [d.code for d in pipeline.lint(pytester.path / "far.circ").found] == ["CL209"]
    result = pytester.runpytest_inprocess(*PLUGIN)
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*CL209*")


def test_what_is_no_spec_is_answered(pytester: pytest.Pytester) -> None:
    specs(pytester, empty="")
    (pytester.path / "bytes.circ").write_bytes(b"spec \xff")
    (pytester.path / "gone.circ").symlink_to("nowhere")
    (pytester.path / "folder.circ").mkdir()
    result = pytester.runpytest_inprocess(*PLUGIN)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["error?CL007?: *", "error?CL005?: *"])
    result = pytester.runpytest_inprocess(*PLUGIN, "--circ")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["error?CL007?: *", "error?CL005?: *"])


# ---------------------------------------------------------------- with --circ


def test_verdicts_are_outcomes(run, pytester: pytest.Pytester) -> None:
    result = run("-v")
    result.assert_outcomes(passed=3, failed=3)
    verdicts = {"able": "PASSED", "good": "PASSED", "wide": "FAILED", "near": "FAILED"}
    verdicts |= {"rival": "PASSED", "no_rival": "FAILED"}
    result.stdout.fnmatch_lines([f"small.circ::{c} {v}*" for c, v in verdicts.items()])


def test_a_failure_says_what_circ_check_says(run, pytester: pytest.Pytester) -> None:
    result = run()
    assert "Traceback" not in lines_of(result)
    assert "pytest_plugin.py" not in lines_of(result).split("FAILURES")[1]
    start = SMALL[: SMALL.index("claim wide")].count("\n") + 1
    result.stdout.fnmatch_lines(
        [
            "*_ claim wide _*",
            "wide: fails; value *, interval [[]*, threshold >= 100, n 12, by *",
            "  the whole interval lies outside the claimed region",
            f"  --> small.circ:{start}:1",
            f"   {start} | claim wide",
            f'   {start + 1} |   "of two lines": F(M) >= 100',
            "*_ claim near _*",
            "near: undecided; *, threshold >= 6.2, *",
            "*straddles*; about * prompts would decide it",
            "*_ claim no_rival _*",
            "no_rival: holds, not fails; *",
            "FAILED small.circ::wide - *wide: fails; value *",
        ]
    )
    document = circuitlang.check("small.circ", stored=False)
    (claim,) = (c for c in document.claims if c.name == "wide")
    numbers = f"value {claim.value:.1f}, interval [{claim.low:.1f}, {claim.high:.1f}]"
    assert f"wide: fails; {numbers}, threshold >= 100, n 12, by {claim.method}" in result.outlines


@pytest.mark.parametrize(
    ("mode", "outcomes"),
    [("fail", {"failed": 1}), ("skip", {"skipped": 1}), ("xfail", {"xfailed": 1})],
)
def test_what_undecided_does(run, pytester: pytest.Pytester, mode: str, outcomes: dict) -> None:
    run("-k", "near", "--circ-undecided", mode).assert_outcomes(deselected=5, **outcomes)
    pytester.makeini(f"[pytest]\ncirc_undecided = {mode}\n")
    result = run("-k", "near or wide", "-rsx")
    result.assert_outcomes(
        deselected=4, **{**outcomes, "failed": 1 + (mode == "fail")}
    )  # `wide` fails
    if mode == "skip":
        line = SMALL[: SMALL.index("claim near")].count("\n") + 1
        result.stdout.fnmatch_lines([f"SKIPPED [[]1[]] small.circ:{line}: near: undecided; *"])


def test_options_of_the_file_are_read_and_refused(run, pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ncirc_samples = 11\ncirc_seed = 3\ncirc_store = kept\n")
    result = run("-k", "wide")
    result.stdout.fnmatch_lines(["wide: fails; *, n 11, *", "  small 1: on 11 prompts per task *"])
    assert (pytester.path / "kept" / "runs.sqlite").exists()
    result = run("-k", "wide", "--circ-samples", "12", "--circ-store", "given")
    result.stdout.fnmatch_lines(["wide: fails; *, n 12, *"])
    assert (pytester.path / "given" / "runs.sqlite").exists()
    pytester.makeini("[pytest]\ncirc_samples = few\n")
    result = run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: circ_samples: a whole number from 1 *, not 'few'"])
    assert run("--circ-undecided", "perhaps").ret == pytest.ExitCode.USAGE_ERROR


def test_a_quick_check_says_so(run, pytester: pytest.Pytester) -> None:
    shutil.copy(TOY / "who_likes_what.circ", pytester.path / "who.circ")
    with (pytester.path / "who.circ").open("a") as file:
        file.write("claim wide: F(M) >= 100\n")
    result = run("who.circ::wide", "--circ-quick")
    result.stdout.fnmatch_lines(
        ["wide: fails; *, n 32, *", "  who_likes_what *: quick check on 32 *"]
    )


def test_a_spec_that_is_not_what_was_locked_is_an_error(run, pytester: pytest.Pytester) -> None:
    result = run("--circ-locked")
    result.assert_outcomes(errors=6)
    result.stdout.fnmatch_lines(["*error?CL711?: There is no lock `small.circ.lock`*"])
    circuitlang.lock(pytester.path / "small.circ")
    run("--circ-locked", "-k", "good").assert_outcomes(passed=1, deselected=5)
    specs(pytester, small=SMALL.replace("good: F(M) - F(none) >= 1", "good: F(M) - F(none) >= 2"))
    run("-k", "good").assert_outcomes(passed=1, deselected=5)
    pytester.makeini("[pytest]\ncirc_locked = true")
    result = run("-k", "good")
    result.assert_outcomes(errors=1, deselected=5)
    result.stdout.fnmatch_lines(["*error?CL716?: * is out of date: claim good changed.*"])


def test_only_what_is_selected_is_run_and_once(
    run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    check = pipeline.check

    def counted(path, options, progress):
        asked.append((str(path), options.claims))
        return check(path, options, progress)

    monkeypatch.setattr(pipeline, "check", counted)
    specs(pytester, other=SMALL)
    run("small.circ::good").assert_outcomes(passed=1)
    run("small.circ::able").assert_outcomes(passed=1)
    run("-k", "good or rival", "-m", "circ").assert_outcomes(passed=4, failed=2, deselected=6)
    run("-m", "not circ").assert_outcomes(deselected=12)
    assert asked == [
        ("small.circ", ("good",)),
        ("small.circ", ("able",)),
        ("other.circ", ("good", "rival", "no_rival")),
        ("small.circ", ("good", "rival", "no_rival")),
    ]


def test_items_are_found_in_the_text(run, pytester: pytest.Pytester) -> None:
    with (pytester.path / "small.circ").open("a") as file:
        file.write('report mean_difference "of the model": F(M)\n')
    result = run("--collect-only", "-q", "--strict-markers")
    names = ["able", "good", "wide", "near", "rival", "no_rival"]
    assert result.outlines[:7] == [*(f"small.circ::{name}" for name in names), ""]
    items, _ = pytester.inline_genitems(*PLUGIN, "--circ")
    (item,) = (i for i in items if i.name == "wide")
    path, line, title = item.reportinfo()
    assert (path.name, title) == ("small.circ", "claim wide")
    assert SMALL.splitlines()[line] == "claim wide"


def test_numbers_are_in_the_junit_report(run, pytester: pytest.Pytester) -> None:
    run("--junitxml", "report.xml", "-k", "good or wide or near", "--circ-undecided", "skip")
    cases = {c.get("name"): c for c in ElementTree.parse("report.xml").iter("testcase")}
    assert set(cases) == {"good", "wide", "near"}
    document = circuitlang.check("small.circ", claims=("good", "wide", "near"), stored=False)
    for claim in document.claims:
        if claim.kind == "assume":
            continue
        properties = {p.get("name"): p.get("value") for p in cases[claim.name].iter("property")}
        assert properties["verdict"] == claim.verdict
        assert properties["threshold"] == claim.threshold
        assert int(properties["n"]) == 12
        numbers = [float(properties[name]) for name in ("value", "low", "high")]
        assert numbers == [claim.value, claim.low, claim.high]
    (failure,) = cases["wide"].iter("failure")
    assert "wide: fails; " in failure.get("message")
    assert "claim wide" in failure.text
    assert "Traceback" not in failure.text
    assert [*cases["near"].iter("skipped")]
    assert not [*cases["good"].iter("failure")]


def test_an_invalid_claim_fails_with_its_reason(run, pytester: pytest.Pytester) -> None:
    specs(pytester, small=SMALL.replace("able: F(M) >= 1", "able: F(M) >= 50"))
    result = run("-k", "able or good")
    result.assert_outcomes(failed=2, deselected=4)
    result.stdout.fnmatch_lines(["*_ assume able _*", "able: fails; *", "good: invalid; *"])
    result.stdout.fnmatch_lines(["  assume able is fails *"])


def test_survived_passes_where_it_is_expected(run, pytester: pytest.Pytester) -> None:
    """As for `circ check`: what no search refuted is not what holds."""
    claim = "forall e in random(edges(M), 3): F(M - e) >= -100"
    specs(pytester, small=NO_CLAIMS + f"claim a: {claim}\nclaim b expect survived: {claim}\n")
    result = run("-v")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["small.circ::b PASSED*", "a: survived; *"])
    assert pipeline.check(Path("small.circ"), pipeline.Options(), pipeline.Silent()).exit_code == 1


def test_what_is_not_run_is_skipped(run, monkeypatch: pytest.MonkeyPatch) -> None:
    from circuitlang.report import outcome

    decided = outcome.document

    def not_run(*given, **words):
        document = decided(*given, **words)
        unsure = {"verdict": "not run", "ok": False, "reason": "its search was not run"}
        return document.model_copy(
            update={"claims": tuple(c.model_copy(update=unsure) for c in document.claims)}
        )

    monkeypatch.setattr(outcome, "document", not_run)
    result = run("-rs", "-k", "good")
    result.assert_outcomes(skipped=1, deselected=5)
    result.stdout.fnmatch_lines(
        ["SKIPPED [[]1[]] small.circ:*: good: not run; *its search was not*"]
    )


def test_lint_errors_are_collection_errors(run, pytester: pytest.Pytester) -> None:
    specs(pytester, bad=BAD)
    result = run("bad.circ")
    result.assert_outcomes(errors=1)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*ERROR collecting bad.circ*", "error?CL101?: *`Q`."])
    result.stdout.no_fnmatch_line("*Traceback*")
    assert "pytest_plugin.py" not in lines_of(result)


def test_a_model_that_cannot_be_used_is_an_error(run, pytester: pytest.Pytester) -> None:
    result = run("--circ-device", "cuda:99", "-k", "good or wide")
    result.assert_outcomes(errors=2, deselected=4)
    result.stdout.fnmatch_lines(["*ERROR at setup of claim good*", "error?CL206?: *`toy` cannot*"])
    assert "pytest_plugin.py" not in lines_of(result).split("ERRORS")[1]


def test_a_file_that_is_gone_meanwhile_is_an_error(run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_a="from pathlib import Path\ndef test(): Path('small.circ').unlink()")
    result = run("test_a.py", "small.circ", "-k", "test_a or good")
    result.assert_outcomes(passed=1, errors=1, deselected=5)
    result.stdout.fnmatch_lines(["error?CL110?: There is no file `small.circ`."])


def test_warnings_of_libraries_are_not_errors(run, pytester: pytest.Pytester) -> None:
    run("-W", "error", "-k", "good").assert_outcomes(passed=1, deselected=5)


def test_a_file_without_claims_has_no_items(run, pytester: pytest.Pytester) -> None:
    specs(pytester, small=NO_CLAIMS)
    assert run().ret == pytest.ExitCode.NO_TESTS_COLLECTED


# ---------------------------------------------------------------- the page

PAGE = ROOT / "docs" / "pytest.md"
SHOWN = [block for block in blocks(PAGE) if "pytest" in block.marks]


@pytest.mark.usefixtures("_torch")
@pytest.mark.parametrize("block", SHOWN, ids=lambda b: b.marks["pytest"])
def test_the_page_shows_what_is_printed(block: Block, pytester: pytest.Pytester) -> None:
    for other in blocks(PAGE):
        if "example" in other.marks:
            path = pytester.path / other.marks["example"]
            path.parent.mkdir(exist_ok=True)
            path.write_text(other.text)
    result = pytester.runpytest_inprocess(*PLUGIN, *shlex.split(block.marks["pytest"]))
    wanted = [line.rstrip() for line in block.text.splitlines()]
    assert len(wanted) > 2
    assert is_excerpt(wanted, [line.rstrip() for line in result.outlines]), lines_of(result)


def test_the_page_names_every_option(pytester: pytest.Pytester) -> None:
    said = lines_of(pytester.runpytest_inprocess(*PLUGIN, "--help"))
    options = set(re.findall(r"--circ(?:-[a-z]+)?", said))
    assert {"--circ", "--circ-quick"} < options
    text = PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"--circ(?:-[a-z]+)?", text)) == options


# ---------------------------------------------------------------- beside other tests


def test_collecting_needs_no_torch(pytester: pytest.Pytester) -> None:
    specs(pytester, small=SMALL)
    pytester.makeconftest(
        "import sys\n"
        "HEAVY = {'torch', 'transformers', 'transformer_lens', 'scipy', 'numpy'}\n"
        "LATER = {'lark', 'rich', 'pydantic', 'circuitlang.front'}\n"
        "def pytest_sessionstart():\n"
        "    print('first', sorted((HEAVY | LATER) & set(sys.modules)))\n"
        "def pytest_unconfigure():\n"
        "    print('then', sorted(HEAVY & set(sys.modules)))\n"
    )
    result = pytester.runpytest_subprocess(*PLUGIN, "-s")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["first []*", "then []*"])
    result = pytester.runpytest_subprocess(*PLUGIN, "-s", "--circ", "--collect-only")
    result.stdout.fnmatch_lines(["first []*", "*ClaimItem good*", "then []*"])


COUNTED = """
from circuitlang import pipeline
check = pipeline.check
def counted(path, *rest):
    with open("checked", "a") as file:
        print(path, file=file)
    return {}
pipeline.check = counted
"""


def xdist(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    options = ("-p", "xdist.plugin", "-n", "2", "--circ", "--strict-markers", *options)
    return pytester.runpytest_subprocess(*PLUGIN, *options)


def test_two_workers_come_to_the_same(pytester: pytest.Pytester) -> None:
    specs(pytester, small=SMALL)
    pytester.makeconftest(COUNTED.format("check(path, *rest)"))
    result = xdist(pytester, "--junitxml", "report.xml")
    result.assert_outcomes(passed=3, failed=3)
    result.stdout.fnmatch_lines(
        ["wide: fails; value *", "FAILED small.circ::wide - *wide: fails; *"]
    )
    assert "pytest_plugin.py" not in lines_of(result)
    checked = (pytester.path / "checked").read_text().splitlines()
    assert checked == ["small.circ", "small.circ"]
    cases = list(ElementTree.parse(pytester.path / "report.xml").iter("testcase"))
    assert len(cases) == 6
    assert all(c.find("properties/property[@name='value']") is not None for c in cases)


def test_a_file_goes_to_one_worker(pytester: pytest.Pytester) -> None:
    names = ("a", "b", "c", "d")
    specs(pytester, **dict.fromkeys(names, SMALL))
    pytester.makeconftest("import pytest\n" + COUNTED.format('pytest.skip("counted")'))
    xdist(pytester, "--dist", "loadfile").assert_outcomes(skipped=24)
    checked = (pytester.path / "checked").read_text().splitlines()
    assert sorted(checked) == [f"{name}.circ" for name in names]


def test_items_of_a_file_are_one_group_of_xdist(pytester: pytest.Pytester) -> None:
    specs(pytester, small=SMALL, other=SMALL)
    items, _ = pytester.inline_genitems(*PLUGIN, "--circ", "-p", "xdist.plugin", "-n", "0")
    groups = {(i.path.name, m.args) for i in items for m in i.iter_markers("xdist_group")}
    assert groups == {("small.circ", ("small.circ",)), ("other.circ", ("other.circ",))}
    items, _ = pytester.inline_genitems(*PLUGIN, "--circ", "--strict-markers")
    assert len(items) == 12
    assert not [m for i in items for m in i.iter_markers("xdist_group")]


def test_ctrl_c_stops_it(pytester: pytest.Pytester) -> None:
    shutil.copy(TOY / "edges.circ", pytester.path)
    pytester.makeconftest(
        "from circuitlang import pipeline\n"
        "check = pipeline.check\n"
        "def started(*given):\n"
        "    open('started', 'w').close()\n"
        "    return check(*given)\n"
        "pipeline.check = started\n"
    )
    command = [sys.executable, "-m", "pytest", *PLUGIN, "--circ"]
    with subprocess.Popen(
        command, cwd=pytester.path, stdout=subprocess.PIPE, text=True, env={**os.environ}
    ) as process:
        waited = time.monotonic()
        while not (pytester.path / "started").exists():
            assert time.monotonic() - waited < 60
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in said
    assert "Traceback" not in said


def test_the_plugin_is_registered() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (module,) = project["entry-points"]["pytest11"].values()
    assert hasattr(import_module(module), "pytest_collect_file")


def test_our_own_specs_are_no_tests() -> None:
    """Broken specs under tests/ are read by tests, with the plugin installed too."""
    folder = ROOT / "tests" / "language" / "bad"
    assert any(folder.rglob("*.circ"))
    command = [sys.executable, "-m", "pytest", *PLUGIN, "-o", "addopts=", "-o", "timeout=", folder]
    found = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert found.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, found.stdout
