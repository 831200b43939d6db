"""What a check would execute: the JSON that `circ plan --json` prints, and the same for a person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydantic import ConfigDict, Field
from rich.console import Console
from rich.table import Table

from circuitlang.compiler.cost import RATE, Cost
from circuitlang.language.diagnostics import Diagnostic
from circuitlang.report.diagnostics import diagnostic_form
from circuitlang.report.document import DiagnosticForm, Form

SCHEMA_VERSION = "1"


class CountedForm(Form):
    model_config = ConfigDict(from_attributes=True)


class PassForm(CountedForm):
    """What one pass saves, for one prompt of the first chunk."""

    name: str
    does: str
    unit: str = Field(description="FLOP, summands, steps or bytes")
    before: int
    after: int


class ChunkForm(CountedForm):
    """Runs and prompts that are executed together."""

    prompts: int
    tokens: int = Field(description="of each prompt")
    runs: int
    values: int = Field(description="distinct values that are computed")
    nodes: int = Field(description="computed nodes: one at one position of one prompt each")
    flops: int
    bytes: int = Field(description="live at most, besides the model")


class TaskPlanForm(CountedForm):
    """One model on one task; what is stored is left out of everything but `runs` and `prompts`."""

    task: str
    model: str
    runs: int = Field(description="distinct runs, those that metrics compare with included")
    stored: int = Field(description="runs that are not executed: all their numbers are stored")
    prompts: int
    tokens: int = Field(description="of all prompts")
    layouts: int = Field(description="token layouts among the prompts")
    assumed: bool = Field(description="the tokenizer is missing, and prompts are made up")
    unplanned: str | None = Field(description="why there are no chunks")
    chunks: tuple[ChunkForm, ...]
    passes: tuple[PassForm, ...]
    nodes: int
    nodes_alone: int = Field(description="nodes, were every run executed by itself")
    flops: int
    flops_alone: int = Field(description="FLOPs, were every run executed by itself")
    plain_flops: int = Field(description="of one plain forward of each prompt")
    forwards: float = Field(description="flops / plain_flops")
    reference_forwards: int = Field(description="forwards of one prompt that means are taken over")
    bytes: int = Field(description="live at most, besides the model")


class PlanDocument(CountedForm):
    """What a check of one file would execute."""

    schema_version: str = SCHEMA_VERSION
    file: str
    spec: str
    claims: int
    device: str
    memory: int | None = Field(description="bytes that were allowed, None without --memory")
    budget: int = Field(description="bytes that the plan may take besides the models")
    runs: int
    stored: int
    flops: int
    rate: float = Field(description="FLOP/s that `seconds` assumes, a rough guess")
    seconds: float
    looks: tuple[int, ...] = Field(
        default=(), description="prompts at which claims are decided; the rest is for all of them"
    )
    tasks: tuple[TaskPlanForm, ...]
    diagnostics: tuple[DiagnosticForm, ...]


def plan_document(path: Path, cost: Cost, found: Iterable[Diagnostic]) -> PlanDocument:
    return PlanDocument(
        file=str(path),
        spec=cost.spec,
        claims=cost.claims,
        device=cost.device,
        memory=cost.memory,
        budget=cost.budget,
        runs=cost.runs,
        stored=cost.stored,
        flops=cost.flops,
        rate=RATE,
        seconds=cost.seconds,
        looks=cost.looks,
        tasks=tuple(map(TaskPlanForm.model_validate, cost.tasks)),
        diagnostics=tuple(map(diagnostic_form, found)),
    )


def print_plan(document: PlanDocument, console: Console) -> None:
    console.print(_headline(document), soft_wrap=True)
    if len(document.looks) > 1:
        *early, last = (f"{n:,}" for n in document.looks)
        console.print(
            f"looks at {', '.join(early)} and {last} prompts; what is decided at one needs no more, "
            "so this is the most",
            soft_wrap=True,
        )
    for task in document.tasks:
        console.print()
        for line in _task(task, document):
            console.print(line, soft_wrap=True)
        if task.passes:
            console.print(_passes(task))
    if document.flops:
        console.print(f"\n{_total(document)}", soft_wrap=True)


def _headline(document: PlanDocument) -> str:
    needs = "1 claim needs" if document.claims == 1 else f"{document.claims} claims need"
    left = document.runs - document.stored
    stored = {0: "none is", document.runs: "all are"}.get(document.stored, f"{document.stored} are")
    executes = f"{'the other' if document.stored else 'all'} {left}" if left else "nothing"
    return (
        f"{document.spec}: {needs} {document.runs} distinct runs; {stored} stored, "
        f"so a check executes {executes}"
    )


def _task(task: TaskPlanForm, document: PlanDocument) -> Iterator[str]:
    tokens = sorted({chunk.tokens for chunk in task.chunks})
    each = f" of {_range(tokens)} tokens" if tokens and not task.assumed else ""
    yield f"{task.task} with {task.model}: {task.runs} runs on {task.prompts} prompts{each}"
    if task.assumed:
        each_assumed = task.tokens // task.prompts
        yield f"  assumed      {each_assumed} tokens a prompt: its tokenizer is not on this machine"
    if task.unplanned:
        yield f"  not planned  {task.unplanned}"
    if task.stored:
        yield f"  stored       {task.stored} runs"
    if not task.chunks:
        return
    yield f"  cut into     {_chunks(task)}"
    yield (
        f"  computes     {task.nodes // task.prompts:,} node outputs a prompt instead of "
        f"{task.nodes_alone // task.prompts:,}, each at one position"
    )
    yield (
        f"  arithmetic   {arithmetic(task.flops)}: {task.forwards:.1f} plain forwards of the same "
        f"prompts instead of {task.flops_alone / task.plain_flops:.1f}"
    )
    yield f"  memory       {size(task.bytes)} at most, of {_allowed(document)}"
    if task.reference_forwards:
        yield f"  means        {task.reference_forwards} forwards of reference prompts, included above"


def _allowed(document: PlanDocument) -> str:
    if document.memory:
        why = "--memory"
    elif document.device == "cpu":
        why = "half of what is free, 4 GiB at most; see --memory"
    else:
        why = f"as on the CPU; {document.device} is not looked at, see --memory"
    return f"{size(document.budget)} ({why})"


def _chunks(task: TaskPlanForm) -> str:
    number = len(task.chunks)
    prompts = _range(sorted({chunk.prompts for chunk in task.chunks}))
    layouts = "1 token layout" if task.layouts == 1 else f"{task.layouts} token layouts"
    values = max(chunk.values for chunk in task.chunks)
    text = (
        f"{number} chunk{'' if number == 1 else 's'} of {prompts} prompt{'' if prompts == '1' else 's'} "
        f"({layouts}), "
        f"up to {values:,} distinct values"
    )
    runs = sorted({chunk.runs for chunk in task.chunks})
    left = task.runs - task.stored
    return text if runs == [left] else f"{text}, each with {_range(runs)} of the {left} runs"


def _range(numbers: list[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _passes(task: TaskPlanForm) -> Table:
    table = Table(
        title="what passes save for one prompt of the first chunk",
        title_justify="left",
        pad_edge=False,
    )
    for heading in ("pass", "", "from", "to"):
        table.add_column(heading, justify="right" if heading in ("from", "to") else "left")
    for one in task.passes:
        before, after = (_amount(number, one.unit) for number in (one.before, one.after))
        table.add_row(one.name, one.does, before, after)
    return table


def _amount(number: int, unit: str) -> str:
    match unit:
        case "FLOP":
            return arithmetic(number)
        case "bytes":
            return size(number)
        case _:
            return f"{number:,} {unit}"


def size(number: float) -> str:
    """Bytes with three digits in KiB, MiB or GiB."""
    return _scaled(number, 1024, ("bytes", "KiB", "MiB", "GiB"))


def arithmetic(number: float) -> str:
    """FLOPs with three digits."""
    return _scaled(number, 1000, ("FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP"))


def _scaled(number: float, step: int, units: Sequence[str]) -> str:
    power = 0
    while number >= 1000 and power < len(units) - 1:
        number, power = number / step, power + 1
    return f"{number:.3g} {units[power]}"


def _total(document: PlanDocument) -> str:
    return (
        f"in all {arithmetic(document.flops)}: about {_duration(document.seconds)} at "
        f"{document.rate:.0e} FLOP/s, a rough guess for two CPU cores; loading the models and "
        "checking the invariants come on top"
    )


def _duration(seconds: float) -> str:
    if seconds < 1:
        return "a second"
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
