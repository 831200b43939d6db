"""The table: one line per row and seed, each number beside its target."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from rich.table import Table
from rich.text import Text

from benchmarks.rows import Row
from benchmarks.timing import DENSE_RUNS, Reading

WIDTH = 150
Target = tuple[str, float]


@dataclass(frozen=True)
class Line:
    row: Row
    seed: int
    reading: Reading

    @property
    def title(self) -> str:
        return self.row.name if self.row.large else f"{self.row.name}, seed {self.seed}"


@dataclass(frozen=True)
class Column:
    """`name` is its key in JSON; `target` gives a bound ("<=" or ">=") where the row has one."""

    name: str
    title: str
    number: Callable[[Reading], float | None]
    form: str
    target: Callable[[Row], Target | None] = lambda row: None


def _at_most(bound: float | None) -> Target | None:
    return None if bound is None else ("<=", bound)


def _at_least(bound: float | None) -> Target | None:
    return None if bound is None else (">=", bound)


COLUMNS = (
    Column("runs", "runs", lambda r: r.runs, ",.0f"),
    Column("values", "values", lambda r: r.values, ",.0f"),
    Column("gflop", "GFLOP", lambda r: r.flops and r.flops / 1e9, ",.0f"),
    Column("compile_seconds", "compile s", lambda r: r.compile_seconds, ".2f"),
    Column("execute_seconds", "execute s", lambda r: r.execute_seconds, ".2f"),
    Column(
        "compile_share",
        "compile /\nexecute",
        lambda r: r.compile_share,
        ".2f",
        lambda row: _at_most(0.1),
    ),
    Column(
        "forwards",
        "plain\nforwards",
        lambda r: r.forwards,
        ".1f",
        lambda row: _at_most(row.forwards),
    ),
    Column(
        "dense_forwards",
        "dense run,\nforwards",
        lambda r: r.dense_forwards,
        ".1f",
        lambda row: _at_most(4),
    ),
    Column(
        "speedup",
        "times less\nthan dense",
        lambda r: r.speedup,
        ".1f",
        lambda row: _at_least(row.dense),
    ),
    Column("rate_share", "share of\nrate", lambda r: r.rate_share, ".0%"),
    Column(
        "over_ideal",
        "time / at\nthat rate",
        lambda r: r.over_ideal,
        ".2f",
        lambda row: _at_most(1.25),
    ),
    Column("error", "error", lambda r: r.error, ".0e"),
)

CAPTION = (
    "Medians of ratios within one round. A plain forward is Hugging Face's, of the same prompts, "
    f"unembedded at the answer; a dense run recomputes every node, and its time is {DENSE_RUNS} runs' "
    "scaled to all. Times compared are compiling and executing together; the share of the plain "
    "forward's FLOP rate is of executing alone, and FLOPs are those of the distinct values. "
    "Error: largest difference of a metric from the dense run's over the largest logit."
)


def machine(device: str) -> str:
    """What the numbers are of, in words."""
    host = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else "the CPU"
    return f"{name} ({host})"


def table(lines: Sequence[Line], device: str = "cpu") -> Table:
    found = Table(caption=f"{CAPTION} On {machine(device)}.", caption_justify="left")
    found.add_column("row", no_wrap=True)
    for column in COLUMNS:
        found.add_column(column.title, justify="right")
    for line in lines:
        found.add_row(line.title, *(_cell(column, line) for column in COLUMNS))
    return found


def markdown_head() -> str:
    titles = ["row", *(column.title.replace("\n", " ") for column in COLUMNS)]
    return f"| {' | '.join(titles)} |\n{'|---' * len(titles)}|"


def markdown_row(line: Line) -> str:
    """The line as one of a Markdown table, without targets."""
    numbers = [(column, column.number(line.reading)) for column in COLUMNS]
    cells = ["-" if number is None else format(number, column.form) for column, number in numbers]
    return f"| {' | '.join([line.title, *cells])} |"


def record(line: Line) -> dict[str, object]:
    """The line's numbers and targets, for JSON."""
    numbers = {column.name: column.number(line.reading) for column in COLUMNS}
    targets = {c.name: "".join(map(str, t)) for c in COLUMNS if (t := c.target(line.row))}
    return {"row": line.row.name, "seed": line.seed, **numbers, "targets": targets}


def _cell(column: Column, line: Line) -> Text:
    number, target = column.number(line.reading), column.target(line.row)
    if number is None:
        return Text("-")
    shown = Text(format(number, column.form))
    if target is not None:
        relation, bound = target
        met = number <= bound if relation == "<=" else number >= bound
        shown.stylize("green" if met else "bold red")
        shown.append(f" {relation} {bound:g}", "dim")
    return shown
