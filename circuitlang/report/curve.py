"""Faithfulness against size: the JSON that `circ curve --json` prints, and the same for a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field
from rich.console import Console
from rich.table import Table

from circuitlang.language.formulas.inline import count
from circuitlang.report.document import DiagnosticForm, Form
from circuitlang.report.terminal import number

SCHEMA_VERSION = "1"


class EstimateForm(Form):
    value: float
    low: float | None
    high: float | None
    reason: str | None = Field(description="why there is no interval")


class PointForm(EstimateForm):
    """The circuit of one size; the value is (F(C) - F(none)) / (F(M) - F(none))."""

    edges: int = Field(description="so many highest edges")
    pruned: int = Field(description="those of them on a path from the input to the logits")


class SpreadForm(Form):
    """Mean, least and largest over the random circuits."""

    mean: float
    least: float
    largest: float


class RandomPointForm(SpreadForm):
    edges: int


class CurveForm(Form):
    """One ranking. The areas are None where the sizes are not MIB's."""

    name: str
    told: dict[str, str] = Field(description="how the scores were made, as their file says")
    scored: int = Field(description="edges that have a score")
    points: tuple[PointForm, ...]
    cpr: EstimateForm | None = Field(description="MIB's area under faithfulness")
    cmd: EstimateForm | None = Field(description="MIB's area between faithfulness and 1")
    above_random: EstimateForm | None = Field(
        description="cpr less the mean of the random circuits'; the interval is over prompts"
    )


class RandomForm(Form):
    """Nested random circuits: each adds its edges in an order of its own."""

    circuits: int
    seed: int
    points: tuple[RandomPointForm, ...]
    cpr: SpreadForm | None
    cmd: SpreadForm | None


class CurveDocument(Form):
    """Faithfulness of the highest edges of each ranking, at every size of a grid."""

    schema_: Literal["circ-curve"] = Field(
        default="circ-curve", serialization_alias="schema", validation_alias="schema"
    )
    schema_version: str = SCHEMA_VERSION
    file: str
    spec: str
    on: str
    under: str
    by: str
    with_: str = Field(serialization_alias="with", validation_alias="with")
    free: tuple[str, ...]
    n: int = Field(description="prompts")
    lower_is_better: bool
    edges: int = Field(description="of the model")
    whole: float = Field(description="F(M)")
    floor: float = Field(description="F(none)")
    level: float = Field(description="two-sided confidence of low..high")
    ranked_by: Literal["score", "size"]
    pruned: bool = Field(description="edges on no path from the input to the logits were left out")
    curves: tuple[CurveForm, ...]
    random: RandomForm | None
    diagnostics: tuple[DiagnosticForm, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(sorted({point.edges for curve in self.curves for point in curve.points}))


def captions(document: CurveDocument) -> Iterator[str]:
    """What is shown, and what it does not say."""
    free = f" free {', '.join(document.free)}" if document.free else ""
    yield (
        f"share of the effect that the k highest edges keep: {document.by} on {document.on} "
        f"({count(document.n, 'prompt')}) under {document.under} with {document.with_}{free}; "
        f"F(M) = {_level(document.whole, document)}, F(none) = {_level(document.floor, document)}"
    )
    if document.lower_is_better:
        yield f"{document.by} is better lower: the highest edges are those that keep it low"
    if document.random is not None:
        many = count(document.random.circuits, "random ranking")
        for curve in document.curves:
            if curve.above_random is not None:
                above = shown(curve.above_random).removesuffix(" exact")
                yield f"{curve.name}: its CPR is {above} above the mean of {many}"
    yield (
        "a ranking suggests where a circuit is and is no evidence for one: on the prompts that it was "
        "found on, a curve looks better than it is"
    )


def _level(value: float, document: CurveDocument) -> str:
    """F of M or none; one that is nothing beside the other is 0."""
    largest = max(abs(document.whole), abs(document.floor))
    return number(0.0 if abs(value) < 1e-6 * largest else value)


def shown(estimate: EstimateForm) -> str:
    """A number with its interval."""
    low, high = estimate.low, estimate.high
    if low is None and high is None:
        return share(estimate.value)
    if low == high:
        return f"{share(estimate.value)} exact"
    left, right = "-∞" if low is None else share(low), "∞" if high is None else share(high)
    return f"{share(estimate.value)} [{left}, {right}]"


def share(value: float) -> str:
    """Three decimals, which is more than prompts can tell apart; no -0.000."""
    return number(value) if abs(value) >= 100 else f"{round(value, 3) + 0.0:.3f}"


def print_curve(document: CurveDocument, console: Console) -> None:
    """The table of sizes, that of areas, and the captions."""
    console.print(_sizes(document))
    if any(curve.cpr is not None for curve in document.curves):
        console.print(_areas(document))
    for line in captions(document):
        console.print(line, soft_wrap=True, markup=False)
    for reason in dict.fromkeys(_reasons(document)):
        console.print(f"no interval of {reason}", soft_wrap=True, markup=False)


def _reasons(document: CurveDocument) -> Iterator[str]:
    for curve in document.curves:
        points = [("faithfulness", point) for point in curve.points]
        areas = [("CPR", curve.cpr), ("CMD", curve.cmd)]
        for name, estimate in (*points, *areas):
            if estimate is not None and estimate.reason:
                yield f"{name}: {estimate.reason}"


def _sizes(document: CurveDocument) -> Table:
    table = Table(title="faithfulness by size", title_justify="left", pad_edge=False)
    table.add_column("edges", justify="right")
    table.add_column("of all", justify="right")
    for curve in document.curves:
        name = f"{curve.name}\n" if len(document.curves) > 1 else ""
        table.add_column(f"{name}pruned", justify="right")
        table.add_column(f"{name}faithfulness\n{_intervals(document)}", justify="right")
    if document.random is not None:
        table.add_column("random", justify="right")
    at = [{point.edges: point for point in curve.points} for curve in document.curves]
    by_chance = {p.edges: p for p in document.random.points} if document.random else {}
    for size in document.sizes:
        row = [f"{size:,}", percent(size / document.edges)]
        for points in at:
            point = points.get(size)
            row += [f"{point.pruned:,}", shown(point)] if point else ["", ""]
        if document.random is not None:
            row.append(_spread(by_chance[size]) if size in by_chance else "")
        table.add_row(*row)
    return table


def _areas(document: CurveDocument) -> Table:
    table = Table(title="areas over MIB's sizes", title_justify="left", pad_edge=False)
    table.add_column("")
    for heading in ("CPR", "CMD"):
        table.add_column(f"{heading}\n{_intervals(document)}", justify="right")
    for curve in document.curves:
        if curve.cpr is not None and curve.cmd is not None:
            table.add_row(curve.name, shown(curve.cpr), shown(curve.cmd))
    random = document.random
    if random is not None and random.cpr is not None and random.cmd is not None:
        table.add_row("random", _spread(random.cpr), _spread(random.cmd))
    return table


def _intervals(document: CurveDocument) -> str:
    return f"\\[{document.level:.0%} interval]"


def _spread(form: SpreadForm) -> str:
    return f"{share(form.mean)} {share(form.least)}..{share(form.largest)}"


def percent(share: float) -> str:
    return f"{100 * share:.3g}%"
