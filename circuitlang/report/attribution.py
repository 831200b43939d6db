"""Attributed scores of edges: the JSON that `circ attribute --json` prints, and the same for a person."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from rich.console import Console
from rich.table import Table
from rich.text import Text

from circuitlang.language.formulas.inline import count
from circuitlang.report.document import DiagnosticForm, Form
from circuitlang.report.heat import HeatMap, by_layer, print_map
from circuitlang.report.page.finding import FindingTable, finding_page
from circuitlang.report.terminal import number

SCHEMA_VERSION = "1"

SIGN = (
    "A score estimates F(M) - F(M - e): above 0 where ablating the edge lowers the metric. It is of "
    "first order, ranks edges and is no evidence: measure what it suggests (`circ effects`), and decide "
    "claims on other prompts."
)


class ScoreForm(Form):
    edge: str
    score: float
    effect: float | None = Field(description="the exact F(M) - F(M - e), where it was measured")
    by_position: tuple[float, ...] = Field(
        default=(), description="its parts, one for each of the document's `positions`"
    )


class AgreementForm(Form):
    """Scores against the exact effects of some edges."""

    edges: int = Field(description="how many were measured")
    highest: int = Field(description="of them, those with the largest scores; the others at random")
    correlation: float | None = Field(description="Spearman's rank correlation over all of them")
    of_highest: float | None = Field(description="the same over the highest alone")
    of_random: float | None = Field(description="the same over the others alone")
    signs: float | None = Field(
        description="share of equal signs, where the effect is beyond numeric noise"
    )


class AttributionDocument(Form):
    """What one `circ attribute` of one file found."""

    schema_name: Literal["circ-attribution"] = Field(
        default="circ-attribution", serialization_alias="schema", validation_alias="schema"
    )
    schema_version: str = SCHEMA_VERSION
    tool: dict[str, str]
    file: str
    spec: str
    version: str | None
    told: dict[str, str] = Field(description="how the scores were made: method, steps, metric, ...")
    lower_is_better: bool
    prompts: int
    edges: int = Field(description="how many have a score")
    total: float = Field(description="F(M) - F(none)")
    positions: tuple[str, ...] = Field(
        description="labels, and `elsewhere`, that have scores apart"
    )
    scores: tuple[ScoreForm, ...] = Field(description="the largest, by absolute value")
    nodes: dict[str, float] = Field(description="sender -> sum over the edges that leave it")
    receivers: dict[str, float] = Field(description="receiver -> sum over the edges that enter it")
    places: tuple[float, ...] = Field(description="sum of absolute scores at each of `positions`")
    agreement: AgreementForm
    seconds: float
    diagnostics: tuple[DiagnosticForm, ...] = ()

    @property
    def title(self) -> str:
        name = f"{self.spec} {self.version or ''}".strip()
        steps = int(self.told["steps"])
        how = self.told["method"] if steps == 1 else f"{self.told['method']}, {steps} steps"
        return f"{name}: {self.edges:,} edges by attribution ({how})"

    @property
    def caption(self) -> str:
        said = [
            f"On {count(self.prompts, 'prompt')} of {self.told['task']} under "
            f"{self.told['ablation']} by {self.told['metric']} with {self.told['model']}{self._free}. {SIGN}"
        ]
        if self.lower_is_better:
            said.append(f"A lower {self.told['metric']} is better: support is below 0.")
        return " ".join(said)

    @property
    def _free(self) -> str:
        return f", free {self.told['free']}" if "free" in self.told else ""

    @property
    def compared(self) -> str:
        """The agreement with exact effects, in words."""
        found = self.agreement
        if not found.edges:
            return "not compared with exact effects"
        parts = [
            f"{name} {value:.2f}"
            for name, value in (
                ("all", found.correlation),
                (f"the {found.highest} largest", found.of_highest),
                (f"{found.edges - found.highest} at random", found.of_random),
            )
            if value is not None
        ]
        if not parts:
            return f"{found.edges} edges were measured exactly, too few to be compared"
        signs = "" if found.signs is None else f"; {100 * found.signs:.0f}% have the effect's sign"
        return (
            f"rank correlation with the exact effects of {found.edges} edges: "
            f"{', '.join(parts)}{signs}"
        )


def print_attribution(
    document: AttributionDocument, console: Console, *, heat: bool = False
) -> None:
    table = Table(title=Text(document.title, style="italic"), title_justify="left", pad_edge=False)
    headings = _headings(document)
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "edge" else "right", overflow="fold")
    for row in _rows(document):
        table.add_row(*map(Text, row))
    console.print(table)
    if heat:
        for one in maps(document):
            console.print()
            print_map(one, console)
        console.print()
    console.print(Text(document.caption, style="dim"), soft_wrap=True)
    console.print(Text(f"F(M) - F(none) = {number(document.total, 4)}"))
    console.print(Text(document.compared), soft_wrap=True)


def page(document: AttributionDocument) -> str:
    """The same as an HTML page."""
    headings = _headings(document)
    table = FindingTable(
        "Edges",
        f"the {len(document.scores):,} largest scores of {document.edges:,}",
        headings,
        _rows(document),
        headings[1:],
    )
    facts = (*document.told.items(), ("F(M) - F(none)", number(document.total, 4)))
    return finding_page(
        document.title,
        f"{document.caption} {document.compared}.",
        maps(document),
        [table],
        facts=facts,
        found=document.diagnostics,
        command="circ attribute",
    )


def _headings(document: AttributionDocument) -> tuple[str, ...]:
    measured = ("exact effect",) if any(s.effect is not None for s in document.scores) else ()
    return ("edge", "score", *measured, *document.positions)


def _rows(document: AttributionDocument) -> list[tuple[str, ...]]:
    measured = "exact effect" in _headings(document)
    rows = []
    for one in document.scores:
        effect = "" if one.effect is None else number(one.effect, 4)
        own = (effect,) if measured else ()
        parts = (number(part, 4) for part in one.by_position)
        rows.append((one.edge, number(one.score, 4), *own, *parts))
    return rows


def maps(document: AttributionDocument) -> list[HeatMap]:
    """What leaves each head and MLP, by layer."""
    title = "scores of the edges that leave each node, added up"
    return [by_layer(title, document.nodes, document.told["metric"])]
