"""The documentation is true: its blocks lint, its tables and commands are those of the tool.

A block marked `circ` with a `model` line is a file of its own. Any other continues
specs/toy/who_likes_what.circ, or the block of its page that is marked `<!-- common: NAME -->`: those
statements come before it, without claims and reports and without what the block defines or defaults itself. HTML comments before a block say more:
`<!-- file: NAME -->` a file of the page, `<!-- makes: NAME -->` Python that writes one,
`<!-- error: CODE -->` and `<!-- warning: CODE -->` what the block gives. `<!-- prints: ARGUMENTS -->`
before a block without a language says that it is what `circ ARGUMENTS` prints, `...` standing for any
lines, on the page's files marked `<!-- example: NAME -->`; `<!-- shows: FILE -->` that it is what stands in
a file, and `<!-- after: COMMANDS -->` which commands come before, separated by semicolons: `circ` and `cp`. Blocks under `<!-- adds: NAME -->` grow a file
of their own, which test_tutorial.py has.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from circuitlang import pipeline
from circuitlang.cli import app
from circuitlang.language.diagnostics import TITLES, Diagnostics
from circuitlang.language.resolve import prelude
from circuitlang.language.source import Source
from circuitlang.language.text import syntax
from circuitlang.language.text.grammar import LATER, RESERVED
from circuitlang.language.text.parse import parse
from circuitlang.report.document import CheckDocument

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
LANGUAGE = ROOT / "docs" / "language.md"
PIPELINE = ROOT / "docs" / "pipeline.md"
CLAIMS = ROOT / "docs" / "claims.md"
CONTINUED = ROOT / "specs" / "toy" / "who_likes_what.circ"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARKS = re.compile(r"((?:<!-- .*? -->\s*)+)\Z")
MARK = re.compile(r"<!-- (\w+): (.*?) -->")


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    text: str
    marks: dict[str, str] = field(default_factory=dict)


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        before = MARKS.search(text[: match.start()])
        marks = dict(MARK.findall(before[1])) if before else {}
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, match[1], match[2], marks))
    return found


# An excerpt need not claim anything, nor use every group of the file that it continues.
EXCERPT = {"CL103", "CL114"}
CIRC = [
    block
    for page in PAGES
    for block in blocks(page)
    if block.language == "circ" and "adds" not in block.marks
]


def statements(text: str) -> list[syntax.Statement]:
    return list(parse(Source("block", text, ROOT), Diagnostics()).statements)


def name_of(statement: syntax.Statement) -> str | None:
    return getattr(statement, "name", None)


def continued(page: Path) -> str:
    common = [block.text for block in blocks(page) if "common" in block.marks]
    return common[0] if common else CONTINUED.read_text(encoding="utf-8")


def whole(block: Block) -> str:
    """The block as a file: with the statements that it continues, unless it has a model."""
    text = block.text
    own = statements(text)
    if any(isinstance(s, (syntax.Model, syntax.Import)) for s in own):
        return text
    mine = {name_of(s) for s in own} - {None}
    words = {c.word for s in own if isinstance(s, syntax.Default) for c in s.clauses}
    headed = any(isinstance(s, syntax.SpecHeader) for s in own)
    kept = []
    for s in statements(continued(block.page)):
        match s:
            case syntax.Claim() | syntax.Report():
                continue
            case syntax.Default(clauses):
                rest = [c.span.text for c in clauses if c.word not in words]
                kept += ["default " + " ".join(rest)] if rest else []
            case syntax.SpecHeader() if headed:
                continue
            case _ if name_of(s) not in mine:
                kept.append(s.span.text)
    return "\n".join([*kept, text])


def found_in(block: Block, folder: Path) -> list[tuple[str, str, str]]:
    for other in blocks(block.page):
        if "file" in other.marks:
            (folder / other.marks["file"]).write_text(other.text, encoding="utf-8")
        if "makes" in other.marks and other.marks["makes"] in block.text:
            exec(compile(other.text, f"{other.page.name}:{other.line}", "exec"), {})
            assert (folder / other.marks["makes"]).exists()
    spec = folder / "block.circ"
    spec.write_text(whole(block), encoding="utf-8")
    return [(d.severity, d.code, d.message) for d in pipeline.lint(spec).found]


@pytest.mark.parametrize("block", CIRC, ids=lambda b: f"{b.page.name}:{b.line}")
def test_block(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no-models"))
    monkeypatch.setenv("CIRCUITLANG_CACHE", str(tmp_path / "no-models"))
    monkeypatch.chdir(tmp_path)
    found = found_in(block, tmp_path)
    errors = [(code, message) for severity, code, message in found if severity == "error"]
    if "error" in block.marks:
        assert [code for code, _ in errors] == [block.marks["error"]], errors
        return
    assert not errors
    marked = {block.marks["warning"]} if "warning" in block.marks else set()
    warnings = {(c, m) for severity, c, m in found if severity == "warning"}
    assert {code for code, _ in warnings} - EXCERPT == marked, warnings


# Blocks on the toy model; one that shows a warning shows what is not meant.
CLAIMED = [
    b
    for b in CIRC
    if b.page == LANGUAGE and not b.marks.keys() & {"error", "warning"}
    if '"gpt2' not in b.text
]


@pytest.mark.parametrize("block", CLAIMED, ids=lambda b: f"line {b.line}")
def test_claims_come_out(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every claim of an example holds, or gives the verdict that it says it expects."""
    monkeypatch.chdir(tmp_path)
    found_in(block, tmp_path)
    outcome = pipeline.check(Path("block.circ"), pipeline.Options(samples=64), pipeline.Silent())
    assert outcome.exit_code == 0, [(r.name, r.verdict) for r in outcome.results if not r.ok]


def test_kinds_of_claims_come_out(tmp_path: Path) -> None:
    """The blocks of claims.md are one spec, and each verdict is the one that its claim states."""
    sound = [b for b in CIRC if b.page == CLAIMS and "error" not in b.marks]
    spec = tmp_path / "kinds.circ"
    spec.write_text("\n".join(b.text for b in sound), encoding="utf-8")
    outcome = pipeline.check(spec, pipeline.Options(stored=False), pipeline.Silent())
    assert [(r.name, r.verdict, r.decision.reason) for r in outcome.results if not r.ok] == []
    assert outcome.exit_code == 0


def test_kinds_of_claims_name_what_is_not_run() -> None:
    text = CLAIMS.read_text(encoding="utf-8")
    _, _, said = text.partition("\n## 7. What cannot be said\n")
    assert [name for name in LATER if f"| `{name}` (CL307) |" not in said] == []


def test_kinds_of_claims_use_every_built_in_measure() -> None:
    shown = "\n".join(b.text for b in CIRC if b.page == CLAIMS)
    assert [name for name in prelude() if not re.search(rf"\b{name}\b", shown)] == []


PRINTED = [b for page in PAGES for b in blocks(page) if {"prints", "shows"} & b.marks.keys()]


@pytest.mark.parametrize("block", PRINTED, ids=lambda b: f"{b.page.name}:{b.line}")
def test_printed(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On failure the whole of what is printed is in the message."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")
    for other in blocks(block.page):
        if "example" in other.marks:
            Path(other.marks["example"]).write_text(other.text, encoding="utf-8")
    for command in filter(None, block.marks.get("after", "").split(";")):
        match shlex.split(command):
            case ["circ", *arguments]:
                assert CliRunner().invoke(app, arguments).exit_code in (0, 1), command
            case ["cp", source, target]:
                shutil.copy(source, target)
    if "shows" in block.marks:
        printed = Path(block.marks["shows"]).read_text(encoding="utf-8")
    else:
        result = CliRunner().invoke(app, shlex.split(block.marks["prints"]))
        printed = result.stdout or result.stderr
    lines = [line.rstrip() for line in printed.splitlines()]
    wanted = [line.rstrip() for line in block.text.splitlines()]
    assert len(wanted) > 2 or "..." not in wanted
    assert is_excerpt(wanted, lines), "\n".join(lines)


def is_excerpt(wanted: list[str], lines: list[str]) -> bool:
    """Whether `lines` are `wanted` with `...` replaced by any number of lines."""
    pattern = "".join(
        "(?:.*\n)*" if line.strip() == "..." else re.escape(line) + "\n" for line in wanted
    )
    return re.fullmatch(pattern, "".join(line + "\n" for line in lines)) is not None


def test_excerpts_leave_out_what_they_say() -> None:
    lines = ["a", "b", "c"]
    assert is_excerpt(["a", "  ...", "c"], lines)
    assert is_excerpt(["a", "b", "...", "c"], lines)
    assert not is_excerpt(["a", "c"], lines)
    assert not is_excerpt(["...", "b"], lines)
    assert not is_excerpt(["c", "...", "a"], lines)


def test_there_are_blocks() -> None:
    assert len(CIRC) >= 25


# ---------------------------------------------------------------- README


SPECS = [block for page in PAGES for block in blocks(page) if "spec" in block.marks]


@pytest.mark.parametrize("block", SPECS, ids=lambda b: b.page.name)
def test_shown_specs_are_the_files(block: Block) -> None:
    assert block.language == "circ"
    assert block.text == (ROOT / block.marks["spec"]).read_text(encoding="utf-8")


def test_the_readme_shows_the_first_spec() -> None:
    shown = [b.marks["spec"] for b in SPECS if b.page in (README, PIPELINE)]
    assert shown == ["specs/toy/first.circ"] * 2


def options() -> dict[str, set[str]]:
    """The options of each command, those of its own commands included."""

    def of(command: Any) -> set[str]:
        own = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
        return own.union(*(of(part) for part in getattr(command, "commands", {}).values()))

    group = typer.main.get_command(app)
    assert hasattr(group, "commands")
    return {name: of(command) for name, command in group.commands.items()}


def uses(line: str, commands: dict[str, set[str]]) -> Iterator[tuple[str, list[str]]]:
    """The `circ` commands that a line names in code, each with its options."""
    current = None
    spans = re.findall(r"`([^`]+)`", line) or ([line] if line.startswith("circ ") else [])
    for span in spans:
        words = span.split()
        if words[0] == "circ" and len(words) > 1:
            current = words[1]
        elif words[0] in commands:
            current = words[0]
        elif not span.startswith("--"):
            continue
        if current is not None:
            yield current, re.findall(r"(?<!\S)--[a-z][a-z-]*", span)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_exist(page: Path) -> None:
    commands = options()
    for line in page.read_text(encoding="utf-8").splitlines():
        for command, named in uses(line, commands):
            assert command in commands or command.startswith("--"), line
            assert set(named) <= commands.get(command, set(named)), line


def test_readme_names_every_command() -> None:
    text = README.read_text(encoding="utf-8")
    assert [name for name in options() if f"circ {name}" not in text] == []


# ---------------------------------------------------------------- tables of the reference


def section(title: str) -> str:
    text = LANGUAGE.read_text(encoding="utf-8")
    match = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert match is not None, title
    return match[1]


def test_warnings_and_notes_are_those_of_the_tool() -> None:
    """What only warns is listed, as the pages of the codes have it; for errors these are the list."""
    text = section("Errors, warnings and notes")
    listed = re.findall(r"^\| (CL\d+(?:, CL\d+)*) \|", text, re.MULTILINE)
    wanted = []
    for code in TITLES:
        page = (ROOT / "docs" / "errors" / f"{code}.md").read_text(encoding="utf-8")
        severity = re.search(r"^(\w+(?: or \w+)*), since", page, re.MULTILINE)
        assert severity is not None, code
        wanted += [code] if severity[1] != "Error" else []
    assert sorted(", ".join(listed).split(", ")) == wanted


def test_reserved_words_are_those_of_the_grammar() -> None:
    (words,) = re.findall(r"`([^`]+)`", section("Reserved words"))
    assert words.split() == sorted(RESERVED)


def test_built_in_measures_are_those_of_the_prelude() -> None:
    prelude = (ROOT / "grammar" / "prelude.circ").read_text(encoding="utf-8")
    wanted = [
        " ".join(line.removeprefix("measure").split())
        for line in prelude.splitlines()
        if line.startswith("measure ")
    ]
    shown = re.findall(r"^\| `(\w+(?:\([^`=]*\))? = [^`]+)` \|", section("Formulas"), re.MULTILINE)
    assert shown == wanted


def test_fields_are_those_of_the_document() -> None:
    rows = re.findall(r"^\| (`.*?`) \|", section("The JSON document"), re.MULTILINE)
    shown = re.findall(r"`(\w+)`", " ".join(rows))
    assert sorted(shown) == sorted(CheckDocument.model_fields)


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        text = re.sub(FENCE, "", page.read_text(encoding="utf-8"))
        titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}
        for target in re.findall(r"\]\(([^)]+)\)", text):
            path, _, anchor = target.partition("#")
            if path and "://" not in path:
                assert (page.parent / path).exists(), (page.name, target)
            if anchor and not path:
                assert anchor in anchors, (page.name, target)
