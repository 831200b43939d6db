"""A hundred broken specs: each says, on the offending line, what has to be found there.

`# error: CL201` (or `warning:`, `note:`; several with commas) stands at the end of a line; what
belongs to no line is expected on the first. Nothing else may be found, and the messages as a
reader sees them are in the snapshot.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from circuitlang import pipeline
from circuitlang.language import diagnostics
from circuitlang.language.models.find import ModelNotFound
from circuitlang.report.diagnostics import render

BAD = Path(__file__).parent / "bad"
FILES = sorted(path.name for path in BAD.glob("[!.]*.circ"))
# Files that cannot hold a comment.
EXPECTED = {
    "CL005_empty.circ": [("error", "CL005", 1)],
    "CL007_binary.circ": [("error", "CL007", 1)],
}
# Codes that no text of a spec provokes on the bundled model: why, and the tests that do it.
ELSEWHERE = {
    "CL006": ("a file of half a megabyte", "language/test_fuzz.py"),
    "CL206": ("a model that cannot be fetched", "test_cli.py"),
    "CL213": ("a circuit with positions for another tool", "test_exchange.py"),
    "CL518": ("a tokenizer that merges across slots", "language/test_sampling.py"),
    "CL601": ("something in the way of the store", "test_store.py"),
    "CL602": ("a model without adapter", "test_plan.py"),
    "CL701": ("a folder without git", "diff/test_revisions.py"),
    "CL702": ("a revision that is not there", "diff/test_revisions.py"),
    "CL703": ("a file that a revision does not have", "diff/test_revisions.py"),
    "CL704": ("a damaged repository", "diff/test_revisions.py"),
    "CL705": ("a lock that says nonsense", "diff/test_diff.py"),
    "CL711": ("a check that needs a lock, without one", "test_locks.py"),
    "CL712": ("a lock that is cut off", "test_lockfile.py"),
    "CL713": ("a lock with conflict markers", "test_lockfile.py"),
    "CL714": ("a lock of a later version", "test_lockfile.py"),
    "CL715": ("a lock that was edited", "test_lockfile.py"),
    "CL716": ("a spec that was changed since it was locked", "test_locks.py"),
    "CL717": ("a preregistration after a check", "test_locks.py"),
    "CL718": ("a full disk", "test_locks.py"),
    "CL719": ("a lock of a quick check", "test_locks.py"),
    "CL720": ("a lock of another torch", "test_locks.py"),
    "CL721": ("a table from a lock without results", "test_locks.py"),
    "CL731": ("a full disk", "store/test_full_disk.py"),
    "CL732": ("a folder without a store", "store/test_cache.py"),
    "CL733": ("a store of another version", "store/test_cache.py"),
    "CL734": ("a damaged store", "store/test_cache.py"),
    "CL735": ("a spec that was never checked", "store/test_cache.py"),
    "CL741": ("a folder in the way of a report", "test_report.py"),
    "CL742": ("a figure of a spec without edges", "test_report.py"),
    "CL745": ("a paper output in a folder that is not there", "test_papers.py"),
    "CL746": ("an export that names nothing", "test_papers.py"),
    "CL747": ("an option of something else", "test_papers.py"),
    "CL748": ("a comment that ends its listing", "test_papers.py"),
    "CL749": ("a citation of a lock that is out of date", "test_papers.py"),
    "CL771": ("a file without scores", "test_curve.py"),
    "CL772": ("a metric the wrong way round", "test_curve.py"),
    "CL773": ("a grid of nonsense", "test_curve.py"),
    "CL774": ("a file with few scores", "test_curve.py"),
    "CL775": ("a figure in place of the scores", "test_curve.py"),
    "CL761": ("a lens of a task without an answer", "test_lens.py"),
    "CL762": ("a lens at a position that is not there", "test_lens.py"),
    "CL751": ("effects of `none`", "test_effects.py"),
    "CL752": ("effects of a number", "test_effects.py"),
    "CL753": ("a metric that is the wrong way round", "test_effects.py"),
    "CL754": ("edges of a chain alone", "test_effects.py"),
    "CL755": ("heads outside a circuit", "test_effects.py"),
    "CL756": ("options that exclude each other", "test_effects.py"),
    "CL781": ("a threshold that keeps nothing", "test_discover.py"),
    "CL783": ("a faithfulness out of reach", "test_discover.py"),
    "CL784": ("a metric that compares a thing with itself", "test_discover.py"),
    "CL785": ("a metric with the wrong sign", "test_discover.py"),
    "CL786": ("a circuit without its negative head", "test_discover.py"),
    "CL791": ("attribution of a rank", "test_attribute.py"),
    "CL792": ("a gradient that is zero", "test_attribute.py"),
    "CL793": ("a found spec in a folder that is not there", "test_discover.py"),
    "CL794": ("a search on an imported task", "test_discover.py"),
    "CL795": ("edges that are not decided on", "test_discover.py"),
    "CL901": ("a defect of the tool itself", "test_explain.py"),
}
# Found after the language's own stages; the sentence itself says what to do.
WITHOUT_HELP = ("CL303", "CL513")
COMMENT = re.compile(r"\b(error|warning|note): (CL\d{3})")


@pytest.fixture(autouse=True)
def in_the_folder(monkeypatch):
    monkeypatch.chdir(BAD)


def expected(name: str) -> list[tuple[str, str, int]]:
    if name in EXPECTED:
        return EXPECTED[name]
    lines = Path(name).read_bytes().decode("utf-8", "replace").split("\n")
    return [
        (severity, code, number)
        for number, line in enumerate(lines, 1)
        for severity, code in COMMENT.findall(line)
    ]


def place(found: diagnostics.Diagnostic) -> int:
    return found.span.line if found.span else 1


@pytest.mark.parametrize("name", FILES)
def test_each_mistake_is_found_where_it_is(name, snapshot):
    found = pipeline.lint(Path(name), pipeline.Options(pedantic=name.startswith("CL4"))).found
    assert sorted((d.severity, d.code, place(d)) for d in found) == sorted(expected(name))
    assert [d.message for d in found if d.help is None and d.code not in WITHOUT_HELP] == []
    assert "\n".join(render(d).plain for d in found) == snapshot


def test_every_code_has_an_example():
    shown = {code for name in FILES for _, code, _ in expected(name)}
    assert set(diagnostics.TITLES) - shown == set(ELSEWHERE)


@pytest.mark.parametrize("code", ELSEWHERE)
def test_codes_without_an_example_are_tested_elsewhere(code):
    _, file = ELSEWHERE[code]
    assert code in (BAD.parents[1] / file).read_text(encoding="utf-8")


def test_a_missing_file_names_its_neighbour(tmp_path, snapshot):
    (tmp_path / "greater_than.circ").write_text('spec x "1"')
    (found,) = pipeline.lint(tmp_path / "greater_thn.circ").found
    assert (found.code, found.help) == ("CL110", "did you mean `greater_than.circ`?")


def test_a_model_that_cannot_be_fetched(tmp_path, monkeypatch):
    from circuitlang.front import Options, Silent, fetched_front

    def unreachable(reference, revision, base, progress):
        raise ModelNotFound(reference, "the hub cannot be reached", help="go online", code="CL206")

    monkeypatch.setattr("circuitlang.runtime.fetch.fetch", unreachable)
    spec = tmp_path / "far.circ"
    spec.write_text('spec far "1"\nmodel "someone/far-away"\n')
    found = fetched_front(spec, Options(), Silent()).found
    errors = [(d.code, d.help, d.span.column) for d in found if d.severity == "error"]
    assert errors == [("CL206", "go online", 7)]


def test_a_folder_is_no_spec(tmp_path):
    (found,) = pipeline.lint(tmp_path).found
    assert (found.code, found.help) == ("CL110", "give a .circ file")
