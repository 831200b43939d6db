"""Ranked exact effects: the JSON that `circ effects --json` prints, and the same for a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field
from rich.console import Console
from rich.table import Table
from rich.text import Text

from circuitlang.language.formulas.inline import count
from circuitlang.report.document import DiagnosticForm, Form
from circuitlang.report.heat import HeatMap, by_layer, print_map
from circuitlang.report.page.finding import FindingTable, finding_page
from circuitlang.report.terminal import decimals_for, interval, number

SCHEMA_VERSION = "1"
LONGEST_SHOWN = 400

CAUTION = "A rank suggests and is no evidence: claim what it suggests, and decide the claim on other prompts."
ONE_BY_ONE = "Each 95% interval is for one member; of many some miss."

_HEADINGS = ("member", "effect", "95% interval", "share of the effect", "note")
_NUMBERS = ("effect", "share of the effect")


class NumberForm(Form):
    value: float
    low: float | None = Field(description="lower end of the 95% interval; None: there is none")
    high: float | None = Field(description="upper end of the 95% interval; None: there is none")
    noise: float = Field(description="numeric noise of the value")
    n: int = Field(description="prompts")
    method: str = Field(description="how the interval was made")
    reason: str | None = Field(description="why there is no interval")


class EffectForm(NumberForm):
    """One member, at one position where positions were asked for."""

    member: str = Field(description="as the language writes it")
    at: str | None = Field(description="the position it is ablated or kept at; None: at all")
    order: int = Field(description="the member's place in the order in which the model computes")
    share: float | None = Field(
        description="value / (F(M) - F(none)); None where that is not clear of zero"
    )
    within_noise: bool = Field(description="not above ten times its numeric noise")

    @property
    def name(self) -> str:
        return self.member if self.at is None else f"{self.member} @ {self.at}"


class EffectsDocument(Form):
    """Everything one `circ effects` of one file found."""

    schema_name: Literal["circ-effects"] = Field(
        default="circ-effects", serialization_alias="schema", validation_alias="schema"
    )
    schema_version: str = SCHEMA_VERSION
    tool: dict[str, str]
    file: str
    spec: str
    version: str | None
    task: str = Field(description="or what of it the command line named, such as a template")
    ablation: str
    metric: str
    lower_is_better: bool
    model: str
    free: tuple[str, ...] = Field(description="nodes that are never ablated, as they were written")
    prompts: int
    seed: int | None = Field(description="where the command line gave one")
    kind: Literal["noising", "denoising", "inside"] = Field(
        description="noising: F(M) - F(M - e); denoising: F(all paths through e) - F(none); inside: F(C) - F(C - e)"
    )
    of: Literal["edges", "nodes", "ports", "groups"]
    set: str = Field(description="what was ranked, as it was written")
    inside: str | None = Field(description="C of `inside`, as it was written")
    expression: str = Field(
        description="gives the numbers in the language, in the order of the set; where that was "
        "screened, those of all its members, except of denoising"
    )
    positions: tuple[str, ...] = Field(description="at each of which every member was measured")
    members: int = Field(description="of the set")
    screened: bool = Field(
        description="whether attribution chose which members were measured, the largest first"
    )
    budget: int | None = Field(description="runs at most; None: no limit")
    total: NumberForm = Field(description="F(M) - F(none)")
    caption: str
    effects: tuple[EffectForm, ...] = Field(description="in the order that was asked for")
    seconds: float
    diagnostics: tuple[DiagnosticForm, ...] = ()

    @property
    def measured(self) -> int:
        """How many members."""
        return len(self.effects) // max(1, len(self.positions))

    @property
    def title(self) -> str:
        name = f"{self.spec} {self.version or ''}".strip()
        some = f"{self.measured:,} of " if self.measured < self.members else ""
        noun = self.of.removesuffix("s") if self.members == 1 else self.of
        how = f"effects inside {self.inside}" if self.kind == "inside" else f"{self.kind} effects"
        where = f", each at {count(len(self.positions), 'position')}" if self.positions else ""
        return f"{name}: {how} of {some}{self.members:,} {noun}{where}"

    @property
    def context(self) -> str:
        free = f" free {', '.join(self.free)}" if self.free else ""
        return (
            f"on {count(self.prompts, 'prompt')} of {self.task} under {self.ablation} "
            f"by {self.metric} with {self.model}{free}"
        )


_MEANS = {
    "noising": "F(M) - F(M - e), what the model loses without the member",
    "denoising": "F(all paths through e) - F(none), what the member alone brings back",
    "inside": "F(C) - F(C - e), what {} loses without the member",
}


def caption(document: EffectsDocument) -> str:
    """What the numbers are, and what they are not."""
    said = [f"{_MEANS[document.kind].format(document.inside)}, {document.context}."]
    if document.lower_is_better:
        said.append(f"A lower {document.metric} is better: what supports the task is below 0.")
    if document.screened:
        others = document.members - document.measured
        said.append(f"Screened by attribution: the others ({others:,}) were not measured.")
    if any(one.low != one.high for one in document.effects):
        said.append(ONE_BY_ONE)
    return " ".join((*said, CAUTION))


def print_effects(
    document: EffectsDocument, console: Console, top: int | None = None, *, heat: bool = False
) -> None:
    """The `top` first effects as a table, or all; then what they are compared with."""
    console.print(_table(document, top))
    if heat:
        for one in maps(document):
            console.print()
            print_map(one, console)
        console.print()
    console.print(Text(document.caption, style="dim"), soft_wrap=True)
    console.print(Text(_total(document)), soft_wrap=True)
    hidden = len(document.effects) - len(_shown(document, top))
    if hidden:
        console.print(Text(f"{hidden:,} more with --top all", style="dim"), soft_wrap=True)
    if len(document.expression) <= LONGEST_SHOWN:
        said = f"{_in_the_language(document)}: {document.expression}"
        console.print(Text(said, style="dim"), soft_wrap=True)


def page(document: EffectsDocument, top: int | None = None) -> str:
    """The same as an HTML page."""
    rows = [_cells(document, one) for one in _shown(document, top)]
    first = f"the first {len(rows):,} of {len(document.effects):,}"
    title = first if len(rows) < len(document.effects) else f"all {len(rows):,}"
    return finding_page(
        document.title,
        document.caption,
        maps(document),
        [FindingTable("Effects", title, _HEADINGS, rows, _NUMBERS)],
        facts=tuple(_facts(document)),
        found=document.diagnostics,
        command="circ effects",
    )


def _facts(document: EffectsDocument) -> Iterator[tuple[str, str]]:
    yield "spec", f"{document.spec} {document.version or ''}".strip()
    yield "task", document.task
    yield "prompts", str(document.prompts)
    yield "ablation", document.ablation
    yield "metric", document.metric
    yield "model", document.model
    yield "F(M) - F(none)", _total(document).removeprefix("F(M) - F(none) = ")
    if len(document.expression) <= LONGEST_SHOWN:
        yield _in_the_language(document), document.expression


def _in_the_language(document: EffectsDocument) -> str:
    """What the expression gives; that of a screened set has the members that were not measured, too."""
    is_of_all = document.screened and document.kind != "denoising"
    return "in the language, all of them" if is_of_all else "in the language"


def _shown(document: EffectsDocument, top: int | None) -> tuple[EffectForm, ...]:
    return document.effects[: top or None]


def _table(document: EffectsDocument, top: int | None) -> Table:
    table = Table(title=Text(document.title, style="italic"), title_justify="left", pad_edge=False)
    rows = [_cells(document, one) for one in _shown(document, top)]
    columns = len(_HEADINGS) if any(row[-1] for row in rows) else len(_HEADINGS) - 1
    for heading in _HEADINGS[:columns]:
        justify: Literal["right", "left"] = "right" if heading in _NUMBERS else "left"
        table.add_column(heading, justify=justify, overflow="fold")
    for one, row in zip(_shown(document, top), rows, strict=True):
        style = "dim" if one.within_noise else None
        table.add_row(*map(Text, row[:columns]), style=style)
    return table


def _cells(document: EffectsDocument, one: EffectForm) -> tuple[str, ...]:
    decimals = decimals_for(one.value, one.low, one.high)
    share = "" if one.share is None else f"{100 * one.share:.1f}%"
    said = "within numeric noise" if one.within_noise else one.reason or ""
    return (
        one.name,
        number(one.value, decimals),
        interval(one.low, one.high, decimals),
        share,
        said,
    )


def _total(document: EffectsDocument) -> str:
    total = document.total
    decimals = decimals_for(total.value, total.low, total.high)
    why = f"({total.reason})" if total.reason else ""
    ends = interval(total.low, total.high, decimals) or why
    return f"F(M) - F(none) = {number(total.value, decimals)} {ends}".rstrip()


def has_maps(of: str, positions: bool) -> bool:
    """Whether there are heat maps of such members."""
    return positions or of == "nodes"


def maps(document: EffectsDocument) -> list[HeatMap]:
    """Members by positions where there are positions, else nodes by layer and head."""
    if document.positions:
        return [_by_position(document)]
    return [_by_layer(document)] if document.of == "nodes" else []


def _by_position(document: EffectsDocument) -> HeatMap:
    rows = tuple(dict.fromkeys(e.member for e in sorted(document.effects, key=_order)))
    values = {(e.member, e.at): e.value for e in document.effects}
    return HeatMap(
        f"effects of {document.of} by position",
        rows,
        document.positions,
        tuple(tuple(values.get((row, at)) for at in document.positions) for row in rows),
        document.metric,
        corner="member",
    )


def _by_layer(document: EffectsDocument) -> HeatMap:
    values = {e.member: e.value for e in document.effects}
    return by_layer("effects of nodes by layer", values, document.metric)


def _order(one: EffectForm) -> int:
    return one.order
