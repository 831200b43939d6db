"""Every code has a page, and what a page shows is what the tool says of its examples today."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from circuitlang.explain import FAMILIES, as_code, contents, explain, page, pages_folder
from circuitlang.language.diagnostics import TITLES
from scripts.error_pages import (
    FENCE,
    PAGES,
    SAID,
    lay_out,
    rewritten,
    said,
    section,
    table_of_contents,
)

HEAD = re.compile(r"# (CL\d{3}): (.*)\n\n(\w+(?: or \w+)*), since (\d+\.\d+\.\d+)\.\n\n")
FINDING = re.compile(r"^(error|warning|note)\[(CL\d{3})\]", re.MULTILINE)
PLACE = re.compile(r"--> wrong\.circ:(\d+):")
# Nothing a user writes is behind it, so there is nothing to mend.
WITHOUT_MENDING = {"CL901"}


def text(code: str) -> str:
    found = page(code)
    assert found is not None, f"write docs/errors/{code}.md"
    return found


# ---------------------------------------------------------------- pages


def test_pages_and_codes_are_the_same() -> None:
    assert sorted(path.stem for path in PAGES.glob("CL*.md")) == sorted(TITLES)


def test_the_table_of_contents_is_current() -> None:
    """On failure run scripts/error_pages.py."""
    readme = (PAGES / "README.md").read_text(encoding="utf-8")
    assert table_of_contents(readme) == readme
    assert re.findall(r"^\| \[(CL\d+)\]\(\1\.md\)", readme, re.MULTILINE) == list(TITLES)


@pytest.mark.parametrize("code", TITLES)
def test_a_page_says_why_and_is_short(code: str) -> None:
    head = HEAD.match(text(code))
    assert head is not None
    assert head[1] == code
    assert head[2] == TITLES[code]
    why = text(code)[head.end() :].partition("## ")[0]
    assert 30 <= len(why.split()) <= 150
    assert len(text(code).splitlines()) <= 60


@pytest.mark.parametrize("code", TITLES)
def test_what_the_tool_says_is_current(code: str) -> None:
    """On failure run scripts/error_pages.py."""
    assert SAID.search(section(text(code), "Wrong")) is not None
    assert rewritten(code, text(code)) == text(code)


@pytest.mark.parametrize("code", TITLES)
def test_the_broken_example_has_this_mistake_only(code: str) -> None:
    wrong = section(text(code), "Wrong")
    found = FINDING.findall("".join(match[0] for match in SAID.finditer(wrong)))
    assert {other for _, other in found} == {code}
    severities = HEAD.match(text(code))
    assert severities is not None
    assert {severity for severity, _ in found} <= set(severities[3].lower().split(" or "))
    lines = [len(t.splitlines()) for _, kind, t in FENCE.findall(wrong) if kind == "circ"]
    places = [int(line) for line in PLACE.findall(wrong)]
    assert all(place <= lines[0] for place in places if lines), "not on a line that is shown"


@pytest.mark.parametrize("code", [code for code in TITLES if code not in WITHOUT_MENDING])
def test_nothing_is_found_in_the_mended_example(code: str, tmp_path: Path) -> None:
    folder = tmp_path.resolve()
    assert section(text(code), "Right").strip()
    lay_out(folder, code, text(code), "Right")
    pedantic = "--pedantic " if "--pedantic" in section(text(code), "Wrong") else ""
    assert said(f"circ lint {pedantic}right.circ", folder) == ""


def test_a_page_that_is_about_something_else_is_not_written() -> None:
    with pytest.raises(ValueError, match="CL101: the example gives instead"):
        rewritten("CL101", text("CL102"))


def test_a_defect_is_said_in_words() -> None:
    assert "error[CL901]: a defect of circuitlang: ZeroDivisionError" in text("CL901")
    assert "Traceback" not in text("CL901")


# ---------------------------------------------------------------- circ explain


@pytest.mark.parametrize("asked", ["CL308", "cl308", "308", " Cl308 ", "CL-308"])
def test_a_code_may_be_written_in_several_ways(asked: str) -> None:
    assert as_code(asked) == "CL308"
    assert explain(asked).text == text("CL308")


def test_words_find_the_codes_whose_titles_have_them() -> None:
    found = explain("Templates")
    assert found.found
    assert re.findall(r"^\| (CL\d+)", found.text, re.MULTILINE) == ["CL311"]
    both = explain("model edge")
    assert all(both.text.count(f"| {code} |") == 0 for code in ("CL201", "CL204"))


def test_words_that_no_title_has_are_looked_for_in_the_pages() -> None:
    assert "inference" not in TITLES["CL304"]
    found = explain("latin-1")
    assert found.found
    assert re.findall(r"^\| (CL\d+)", found.text, re.MULTILINE) == ["CL007"]


def test_an_unknown_word_is_answered_with_the_nearest() -> None:
    answer = explain("tempaltes")
    assert not answer.found
    assert "did you mean `templates`?" in answer.text


@pytest.mark.parametrize("asked", ["CL380", "3081", "cl300"])
def test_an_unknown_code_is_answered_with_its_family(asked: str) -> None:
    answer = explain(asked)
    assert not answer.found
    assert re.search("did you mean `CL3\\d\\d`?", answer.text)
    listed = re.findall(r"^\| (CL\d+)", answer.text, re.MULTILINE)
    assert listed == [code for code in TITLES if code.startswith("CL3")]


@pytest.mark.parametrize("asked", ["xyzzy", "../../README", "CL", "", "/etc/passwd", "٣٠٨", "|"])
def test_anything_may_be_asked(asked: str) -> None:
    assert explain(asked).text.endswith("\n")


def test_only_pages_are_read() -> None:
    assert page("README") is None
    assert page("../language") is None


def test_without_a_question_all_codes_are_listed() -> None:
    assert explain().text == contents()
    assert re.findall(r"^\| (CL\d+)", contents(), re.MULTILINE) == list(TITLES)
    assert {code[:3] for code in TITLES} <= set(FAMILIES)


def test_the_pages_are_found_where_they_are_written() -> None:
    assert pages_folder() == PAGES


def test_explaining_needs_nothing_heavy() -> None:
    code = (
        "import sys; from circuitlang.explain import explain; explain('308');"
        "print(sorted({'torch', 'numpy', 'transformers', 'rich'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "[]", run.stderr
