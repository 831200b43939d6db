"""`circ export --latex`, `--bibtex`, `--markdown` and `--csv`: what a paper takes of a check."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from circuitlang.language.spec import Spec
from circuitlang.language.text.unparse import quoted
from circuitlang.report.document import CheckDocument
from circuitlang.report.paper.bibtex import bibtex
from circuitlang.report.paper.escape import code, declarations, escape
from circuitlang.report.paper.latex import latex
from circuitlang.report.paper.markdown import _cell, markdown
from circuitlang.report.paper.sheet import COLUMNS, sheet
from tests.test_cli import invoke
from tests.test_docs import blocks

ROOT = Path(__file__).resolve().parent.parent
FIRST = (ROOT / "specs" / "toy" / "first.circ").read_text(encoding="utf-8")
ASCII = "".join(map(chr, range(33, 127)))
FAR = "é ñ Ł → ≥ ∞ αβΩ中文 😀 ﬁ “q” — … Ġ д ℝ ~~ ~"
NASTY = (
    rf"{ASCII} \end{{Verbatim}} \end{{minted}} \input{{/etc/passwd}} --- << >> ,, '' ?` !` {FAR}"
)
HEAD = f"""
title {quoted(NASTY)}
authors "Ada {quoted(ASCII.replace(";", ""))[1:-1]}; Émile Zöla; Łukasz Ślązak; Smith and Sons"
doi "10.5281/zenodo.1234567"
paper {quoted(NASTY)}
paper "arXiv:2211.00593"
paper "Wang et al. 2022, https://arxiv.org/abs/2211.00593"
# {NASTY}
"""
HOSTILE = re.sub(
    r"^claim (\w+): *", lambda m: f"claim {m[1]} {quoted(NASTY)}: ", FIRST, flags=re.MULTILINE
).replace('\nmodel "toy"', f'{HEAD}model "toy"', 1)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the spec, its lock and every output."""
    folder = tmp_path_factory.mktemp("hostile")
    spec = folder / "hostile.circ"
    spec.write_text(HOSTILE, encoding="utf-8")
    code, _, err = invoke("lock", str(spec))
    assert code == 0, err
    outputs = [("latex", "x.tex"), ("bibtex", "x.bib"), ("markdown", "x.md"), ("csv", "x.csv")]
    named = [part for option, name in outputs for part in (f"--{option}", str(folder / name))]
    code, _, err = invoke("export", str(spec), *named)
    assert code == 0, err
    return folder


def document_of(folder: Path) -> CheckDocument:
    code, out, _ = invoke("check", "--frozen", "--json", str(folder / "hostile.circ"))
    assert code == 0
    return CheckDocument.model_validate_json(out)


def text_of(folder: Path, name: str) -> str:
    return (folder / name).read_bytes().decode("utf-8")


# ---------------------------------------------------------------- settings


def test_settings_reach_the_document_and_the_lock(hostile: Path) -> None:
    document = document_of(hostile)
    assert document.heading == NASTY
    assert document.authors[1:] == ("Émile Zöla", "Łukasz Ślązak", "Smith and Sons")
    assert document.doi == "10.5281/zenodo.1234567"
    lock = text_of(hostile, "hostile.circ.lock")
    assert 'doi = "10.5281/zenodo.1234567"' in lock


def test_settings_mean_nothing(tmp_path: Path) -> None:
    """A title is no reason to decide anything anew, nor a difference."""
    (tmp_path / "a.circ").write_text(FIRST)
    assert invoke("lock", str(tmp_path / "a.circ"))[0] == 0
    shutil.copy(tmp_path / "a.circ", tmp_path / "b.circ")
    changed = FIRST.replace(
        'model "toy"', 'title "T"\nauthors "A; B"\ndoi "10.1234/x"\nmodel "toy"'
    )
    (tmp_path / "a.circ").write_text(changed)
    assert invoke("check", "--locked", str(tmp_path / "a.circ"))[0] == 0
    assert invoke("diff", str(tmp_path / "a.circ"), str(tmp_path / "b.circ"))[0] == 0


def test_show_prints_them(hostile: Path) -> None:
    _, out, _ = invoke("show", str(hostile / "hostile.circ"), "--stage", "spec")
    assert "doi 10.5281/zenodo.1234567\n" in out
    assert "; Émile Zöla; Łukasz Ślązak; Smith and Sons\n" in out


def test_the_report_begins_with_them(hostile: Path) -> None:
    assert invoke("report", str(hostile / "hostile.circ"), "-o", str(hostile / "x.html"))[0] == 0
    page = text_of(hostile, "x.html")
    assert "Émile Zöla" in page
    assert "https://doi.org/10.5281/zenodo.1234567" in page


# ---------------------------------------------------------------- LaTeX


def test_latex_has_every_claim_once(hostile: Path) -> None:
    text = text_of(hostile, "x.tex")
    rows = re.findall(r"^\\texttt\{((?:[^{}]|\{\})+)\}: .* \\\\$", text, re.MULTILINE)
    claims = [claim.name for claim in document_of(hostile).claims if claim.kind == "claim"]
    assert [row.replace(r"\_\allowbreak{}", "_") for row in rows] == ["assume able", *claims]
    assert text.count(r"\begin{tikzpicture}") == text.count(r"\end{tikzpicture}") == 1
    assert text.count(r"\begin{Verbatim}") == text.count(r"\end{Verbatim}") == 1
    assert r"fails as expected \\" in text
    assert r"$\in [0.95, 1.05]$" in text


def test_nothing_of_a_spec_is_a_command(hostile: Path) -> None:
    text = text_of(hostile, "x.tex")
    assert r"\input" not in text
    assert r"\end{minted}" not in text
    assert "etc/passwd" in text


UNESCAPED = re.compile(r"\\(?:[$&%#_]|text\w+\{\}|char34\{\}|allowbreak\{\}|ensuremath)")


@given(some.text())
@settings(derandomize=True, deadline=None, database=None)
def test_escaped_text_has_no_character_that_latex_reads(text: str) -> None:
    for found in (escape(text), code(text).removeprefix(r"\texttt{").removesuffix("}")):
        rest = re.sub(r"([-,'])\\/", "", UNESCAPED.sub("", found))
        assert not set(rest) & set(r"\{}$&%#_^~<>|\"`")
        assert "--" not in found
        assert "\n" not in found
        assert not any(unicodedata.category(c) == "Cc" for c in found)


def test_declarations_are_of_what_is_not_known() -> None:
    assert declarations("plain é ñ") == ""
    text = declarations("α → 中 λ Σ Α")
    for c, expected in {
        "α": r"\ensuremath{\alpha}", "→": r"\ensuremath{\rightarrow}", "Α": r"\ensuremath{A}",
        "λ": r"\ensuremath{\lambda}", "Σ": r"\ensuremath{\Sigma}", "中": r"{\footnotesize[U+4E2D]}",
    }.items():  # fmt: skip
        assert rf"\detokenize{{{c}}}\endcsname{{{expected}}}\fi" in text


def compiled(folder: Path, text: str, *, bib: bool = False) -> str:
    """The text of the PDF, where there is a LaTeX with the packages; else the test is skipped."""
    if shutil.which("pdflatex") is None or shutil.which("pdftotext") is None:
        pytest.skip("no pdflatex")
    for package in ("fvextra", "tikz", "tabularx", "booktabs"):
        if not subprocess.run(["kpsewhich", f"{package}.sty"], capture_output=True).stdout:
            pytest.skip(f"no {package}")
    (folder / "paper.tex").write_text(text, encoding="utf-8")
    latex = ["pdflatex", "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "paper"]
    for command in [latex, ["bibtex", "paper"], latex, latex] if bib else [latex]:
        run = subprocess.run(command, cwd=folder, capture_output=True, timeout=300)
        said = run.stdout.decode("utf-8", "replace")
        assert run.returncode == 0, said[-3000:]
        assert "Undefined control sequence" not in said
        assert "warning--" not in said.lower()
    subprocess.run(["pdftotext", "-layout", "paper.pdf"], cwd=folder, check=True)
    return (folder / "paper.txt").read_text(encoding="utf-8")


def test_a_standalone_document_compiles(hostile: Path, tmp_path: Path) -> None:
    target = tmp_path / "alone.tex"
    run = ["export", str(hostile / "hostile.circ"), "--latex", str(target), "--standalone"]
    assert invoke(*run, "--frozen")[0] == 0
    text = compiled(tmp_path, target.read_text(encoding="utf-8"))
    for expected in ("Émile", "[U+4E2D]", "one_head_is_enough", "a1.h0", "[0.95, 1.05]", r"\input"):
        assert expected in text.replace("\n", " "), expected


def test_a_paper_inputs_and_cites(hostile: Path, tmp_path: Path) -> None:
    """The parts as they are, in two columns, with a bibliography by BibTeX's own style."""
    for name in ("x.tex", "x.bib"):
        shutil.copy(hostile / name, tmp_path)
    needed = re.findall(r"^%   (.*)$", text_of(hostile, "x.tex"), re.MULTILINE)
    assert needed
    keys = re.findall(r"@misc\{(.*),", text_of(hostile, "x.bib"))
    lines = [
        r"\documentclass[twocolumn]{article}",
        *needed,
        r"\begin{document}",
        *(rf"\cite{{{key}}}" for key in keys),
        r"\input{x}",
        r"\bibliographystyle{abbrv}\bibliography{x}",
        r"\end{document}",
    ]
    text = compiled(tmp_path, "\n".join(lines), bib=True)
    assert re.search(r"É\. +Zöla", text)
    assert re.search(r"Smith +and +Sons", text)


def test_long_tables_and_all_edges(tmp_path: Path) -> None:
    spec = tmp_path / "many.circ"
    many = "".join(f"claim many{i}: size(M) >= {i}\n" for i in range(60))
    spec.write_text(FIRST + "circuit whole = M\n" + many, encoding="utf-8")
    target = tmp_path / "many.tex"
    run = ("export", str(spec), "whole", "--latex", str(target), "--standalone")
    assert invoke(*run)[0] == 0
    text = target.read_text(encoding="utf-8")
    assert text.count(r"\begin{table*}") == 2
    assert text.count("(continued)") == 1
    assert text.count(r"\path[draw=circ") > 250
    assert "many59" in compiled(tmp_path, text)


def test_minted_has_the_spec_as_it_is(tmp_path: Path) -> None:
    spec = tmp_path / "first.circ"
    spec.write_text(FIRST, encoding="utf-8")
    code, out, _ = invoke("export", str(spec), "--latex", "-", "--minted")
    assert code == 0
    listing = re.search(r"\\begin\{minted\}\[.*\]\{circ\}\n(.*)\\end\{minted\}\n", out, re.DOTALL)
    assert listing is not None
    assert listing[1] == FIRST
    assert r"\usepackage{minted}" in out


def test_a_listing_that_would_end_itself(hostile: Path) -> None:
    code, out, err = invoke(
        "export", str(hostile / "hostile.circ"), "--latex", "-", "--minted", "--frozen"
    )
    assert (code, out) == (2, "")
    assert "error[CL748]" in err


# ---------------------------------------------------------------- BibTeX


def test_bibtex_of_the_spec_and_its_papers(hostile: Path) -> None:
    text = text_of(hostile, "x.bib")
    keys = re.findall(r"^@misc\{([A-Za-z0-9.-]+),$", text, re.MULTILINE)
    assert keys[0] == "circ-first"
    assert keys[2:] == ["arXiv-2211.00593", "arXiv-2211.00593-2"]
    assert r"{\'{E}}mile Z{\"{o}}la and {\L}ukasz {\'{S}}l{\k{a}}zak and {Smith and Sons}" in text
    assert "doi = {10.5281/zenodo.1234567}" in text
    lock = text_of(hostile, "hostile.circ.lock")
    seal = re.search(r"^digest = \"(sha256:\w+)\"\n\Z", lock, re.MULTILINE)
    assert seal is not None
    assert f"seal {seal[1]}" in text
    entries = [entry for entry in text.split("\n\n") if entry.strip()]
    assert len(entries) == 4
    for entry in entries:
        assert entry.count("{") == entry.count("}")


@given(some.text(), some.lists(some.text(), max_size=3))
@settings(derandomize=True, deadline=None, database=None)
def test_bibtex_has_balanced_braces_and_keys_of_their_own(title: str, papers: list[str]) -> None:
    spec = Spec("s", "1", tuple(papers), {}, (), (), (), {}, {}, title=title, authors=(title,))
    text = bibtex(spec, None, 2026)
    keys = re.findall(r"^@misc\{([A-Za-z0-9.-]+),$", text, re.MULTILINE)
    assert len({key.lower() for key in keys}) == len(papers) + 1
    depth = 0
    for c in text:
        depth += {"{": 1, "}": -1}.get(c, 0)
        assert depth >= 0
    assert depth == 0


def test_bibtex_alone_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("circuitlang.pipeline.check", None)
    spec = tmp_path / "first.circ"
    spec.write_text(FIRST, encoding="utf-8")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")
    code, out, _ = invoke("export", str(spec), "--bibtex", "-")
    assert code == 0
    assert "year = {2026}" in out
    assert "locked" not in out


def test_a_lock_that_is_out_of_date_is_not_cited(tmp_path: Path) -> None:
    spec = tmp_path / "first.circ"
    spec.write_text(FIRST, encoding="utf-8")
    assert invoke("lock", str(spec))[0] == 0
    spec.write_text(FIRST.replace("0.95..1.05", "0.9..1.1", 1), encoding="utf-8")
    code, out, err = invoke("export", str(spec), "--bibtex", "-")
    assert code == 0
    assert "seal" not in out
    assert "warning[CL749]" in err


# ---------------------------------------------------------------- Markdown


def cells(line: str) -> list[str]:
    """The cells of a row of a table as GitHub splits it: at bars that no backslash stands before."""
    parts, current = [], ""
    for piece in re.findall(r"\\[!-/:-@\[-`{-~]|[^|]|\|", line):
        if piece == "|":
            parts.append(current)
            current = ""
        else:
            current += piece
    return [part.strip() for part in [*parts, current]][1:-1]


def test_markdown_has_a_row_for_each_claim(hostile: Path) -> None:
    text = text_of(hostile, "x.md")
    rows = [cells(line) for line in text.splitlines() if line.startswith("|")]
    assert rows[0] == ["claim", "", "verdict", "value", "interval", "threshold", "n"]
    assert {len(row) for row in rows} == {7}
    named = [row[0] for row in rows[2:]]
    assert named == [
        "`assume able`", "`faithful`", "`necessary`", "`minimal`", "`one_head_is_enough`",
    ]  # fmt: skip
    assert "all 4 claims hold or meet what the spec expects" in text


@given(some.text(alphabet=some.sampled_from("ab|\\`<@* \n")))
@settings(derandomize=True, deadline=None, database=None)
def test_a_cell_is_one_cell_and_all_of_it_code(text: str) -> None:
    row = f"| {_cell(text)} | x |"
    assert len(cells(row)) == 2
    ticks = re.match(r"`+", _cell(text))
    assert ticks is not None
    assert _cell(text).endswith(ticks[0])
    inside = _cell(text)[len(ticks[0]) : -len(ticks[0])]
    assert ticks[0] not in re.findall("`+", inside)


# ---------------------------------------------------------------- CSV


def test_csv_has_every_digit(hostile: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(text_of(hostile, "x.csv"))))
    document = document_of(hostile)
    assert [row["name"] for row in rows] == [claim.name for claim in document.claims]
    for row, claim in zip(rows, document.claims, strict=True):
        assert row["value"] == repr(claim.value)
        assert float(row["low"]) == claim.low
        assert row["ok"] == "yes"
    assert tuple(rows[0]) == COLUMNS


@given(some.text(min_size=1))
@settings(derandomize=True, deadline=None, database=None)
def test_no_cell_of_text_is_a_formula(sentence: str) -> None:
    document = _document(sentence=sentence, threshold="== 3")
    (row,) = csv.DictReader(io.StringIO(sheet(document)))
    assert not row["sentence"].lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert row["threshold"] == "'== 3"
    assert row["value"] == "-0.25"


def _document(**changed: object) -> CheckDocument:
    claim = {
        "name": "c", "kind": "claim", "sentence": None, "written": "F(M) == 3", "target": "prompts",
        "verdict": "fails", "ok": False, "expected": None, "expected_reason": None, "value": -0.25,
        "low": None, "high": None, "level": None, "threshold": "> 0", "region_low": 0.0,
        "region_high": None, "n": 16, "unit": "prompts", "method": "t", "n_to_decide": None,
        "reason": "=1+1", "worst": None, "failed": [], "members": [], "companions": {},
    }  # fmt: skip
    return CheckDocument.model_validate(
        {
            "tool": {}, "file": "x", "spec": "s", "version": "1", "papers": [], "title": "s 1",
            "exit_code": 1, "seconds": 0.0, "seed": None, "diagnostics": [],
            "claims": [claim | changed],
        }
    )  # fmt: skip


def test_a_failure_is_seen_everywhere() -> None:
    document = _document()
    assert r"\textbf{fails}" in latex(document, None, "")
    assert "| **fails** |" in markdown(document)
    assert "0 of 1 claim hold" in markdown(document)


# ---------------------------------------------------------------- the command


def test_frozen_runs_nothing(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("circuitlang.pipeline.check", None)
    code, out, _ = invoke("export", str(hostile / "hostile.circ"), "--markdown", "-", "--frozen")
    assert code == 0
    assert "as locked on" in out


def test_a_failing_check_is_written_and_told(tmp_path: Path) -> None:
    spec = tmp_path / "first.circ"
    spec.write_text(FIRST + "claim wrong: faithfulness(asking) >= 2\n", encoding="utf-8")
    code, out, _ = invoke("export", str(spec), "--csv", "-")
    assert code == 1
    assert "wrong" in out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "CL746"),
        (("asking",), "CL746"),
        (("asking", "x.json", "--standalone"), "CL747"),
        (("asking", "x.json", "--csv", "x.csv"), "CL747"),
        (("--csv", "x.csv", "--minted"), "CL747"),
        (("asking", "--csv", "x.csv"), "CL747"),
        (("--latex", "x.tex", "--to", "pt"), "CL747"),
        (("--latex", "x.tex", "--frozen", "--quick"), "CL719"),
        (("--latex", "x.tex", "--frozen"), "CL711"),
        (("askin", "--latex", "x.tex"), "CL101"),
        (("--latex", "no/x.tex"), "CL745"),
        (("--latex", "first.circ"), "CL745"),
        (("--bibtex", "."), "CL745"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("first.circ").write_text(FIRST, encoding="utf-8")
    code, _, err = invoke("export", "first.circ", *arguments)
    assert code == 2
    assert f"error[{expected}]" in err
    assert Path("first.circ").read_text(encoding="utf-8") == FIRST
    assert not Path("x.tex").exists()


# ---------------------------------------------------------------- docs/papers.md


def test_the_page_shows_a_real_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")
    monkeypatch.chdir(ROOT)
    (shown,) = [b for b in blocks(ROOT / "docs" / "papers.md") if "real" in b.marks]
    code, out, _ = invoke(*shown.marks["real"].split())
    assert (code, out) == (0, shown.text)


def test_the_page_names_the_packages(hostile: Path) -> None:
    (shown,) = [b for b in blocks(ROOT / "docs" / "papers.md") if b.language == "latex"]
    needed = re.findall(r"^%   (.*)$", text_of(hostile, "x.tex"), re.MULTILINE)
    assert shown.text.startswith("\n".join([*needed, "...\n"]))


def test_what_a_spec_needs_is_not_written_over(tmp_path: Path) -> None:
    for name in ("first.circ", "first.circ.lock"):
        shutil.copy(ROOT / "specs" / "toy" / name, tmp_path)
    spec, lock = tmp_path / "first.circ", tmp_path / "first.circ.lock"
    before = lock.read_bytes()
    for arguments in (("export", spec, "--frozen", "--csv", lock), ("report", spec, "--svg", lock)):
        found, _, err = invoke(*arguments)
        assert found == 2
        assert "the spec needs it" in err
    assert lock.read_bytes() == before


def test_two_outputs_have_two_files(tmp_path: Path) -> None:
    one = tmp_path / "one"
    spec = ROOT / "specs" / "toy" / "first.circ"
    found, _, err = invoke("export", spec, "--frozen", "--csv", one, "--markdown", one)
    assert found == 2
    assert "Two outputs have the same file" in err
    assert not one.exists()
