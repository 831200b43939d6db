"""What `circ lens` found: the JSON that it prints, and the same for a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field
from rich.console import Console
from rich.table import Table
from rich.text import Text

from circuitlang.language.formulas.inline import count
from circuitlang.language.graph.architecture import parse_node
from circuitlang.report.document import DiagnosticForm, Form
from circuitlang.report.heat import HeatMap, fixed, print_map, shared_decimals
from circuitlang.report.page.finding import Findings, FindingTable, finding_page

SCHEMA_VERSION = "1"
TOP = 10

Kind = Literal["logit", "logprob", "prob", "rank"]

_UNITS = {"logit": "logits", "logprob": "nats", "prob": "probability", "rank": "rank, 0 is first"}


class LensNumberForm(Form):
    """A mean over the prompts."""

    value: float
    low: float | None = Field(description="None where it is not bounded or not known")
    high: float | None
    reason: str | None = Field(description="why there is no interval")


class LensRowForm(Form):
    name: str = Field(description="embedding, or the layer behind which the stream is read")
    set: str = Field(description="the set of edges whose run this is, under zero ablation")


class LensColumnForm(Form):
    heading: str = Field(description="the label there, or the token that most prompts have there")
    place: str = Field(description="as the language writes it after @")


class LensMapForm(Form):
    """One number for each row and column."""

    of: str = Field(description="answer - foil, answer or foil")
    by: str = Field(description="the metric, with PLACE for a column's place")
    cells: tuple[tuple[LensNumberForm, ...], ...] = Field(description="[row][column]")


class PartForm(LensNumberForm):
    node: str
    by: str = Field(description="the metric that this is of M")
    within_noise: bool = Field(description="not above ten times its numeric noise")


class DirectForm(Form):
    """What each node adds to the logits at END under the scale of the last norm there.

    The parts and `rest` add up to `total`.
    """

    of: str
    parts: tuple[PartForm, ...]
    rest: LensNumberForm
    rest_is: str = Field(description="what no part has")
    total: LensNumberForm = Field(description="of the model itself")


class LensDocument(Form):
    """The residual stream through the unembedding, by layer and position, and its parts at END."""

    schema_: Literal["circ-lens"] = Field(
        default="circ-lens", serialization_alias="schema", validation_alias="schema"
    )
    schema_version: str = SCHEMA_VERSION
    tool: dict[str, str]
    file: str
    spec: str
    version: str | None
    on: str
    with_: str = Field(serialization_alias="with", validation_alias="with")
    context: str = Field(description="context words that a formula needs beside its metric")
    n: int = Field(description="prompts")
    level: float = Field(description="two-sided confidence of low..high")
    kind: Kind
    columns_are: Literal["tokens", "labels"]
    rows: tuple[LensRowForm, ...]
    columns: tuple[LensColumnForm, ...]
    maps: tuple[LensMapForm, ...]
    direct: DirectForm
    diagnostics: tuple[DiagnosticForm, ...]

    def formula(self, of: int, row: int, column: int) -> str:
        """The number of one cell in the language, which `circ eval` takes and a claim compares."""
        by = self.maps[of].by.replace("PLACE", self.columns[column].place)
        return f"F({self.rows[row].set} by {by} {self.context})"

    def part_formula(self, part: int) -> str:
        return f"F(M by {self.direct.parts[part].by} {self.context})"


def captions(document: LensDocument) -> Iterator[str]:
    """What is shown, and what it does not say."""
    yield (
        f"what the final norm and the unembedding make of the residual stream behind each layer: "
        f"{document.on} ({count(document.n, 'prompt')}) with {document.with_}"
    )
    yield (
        "a lens shows what could be read there, not whether a later layer reads it, and its early rows "
        "pass a norm made for the last; it suggests where to look and is no evidence"
    )


def heat_maps(document: LensDocument) -> Iterator[HeatMap]:
    """The lens, a map for each thing scored, and the parts by head."""
    for found in document.maps:
        yield HeatMap(
            f"logit lens: {found.of}",
            tuple(row.name for row in document.rows),
            tuple(column.heading for column in document.columns),
            tuple(tuple(cell.value for cell in row) for row in found.cells),
            unit=_UNITS[document.kind],
            diverging=found.of == "answer - foil",
            corner="layer",
            # With tied embeddings a token's own logit there is many times any other number.
            scale_rows=tuple(row.name for row in document.rows[1:]),
        )
    yield _parts_map(document.direct)


def _parts_map(direct: DirectForm) -> HeatMap:
    """Layers by heads and MLP; `input` has no layer and is in the table alone."""
    values = {parse_node(part.node): part.value for part in direct.parts}
    layered = [node for node in values if node is not None and node.layer >= 0]
    heads = sorted({node.head for node in layered if node.kind == "head"})
    columns = [(f"h{head}", "head", head) for head in heads]
    columns += [("mlp", "mlp", -1)] if any(node.kind == "mlp" for node in layered) else []
    rows = sorted({node.layer for node in layered})
    found = {(node.layer, node.kind, node.head): values[node] for node in layered}
    return HeatMap(
        f"direct logit attribution at END: {direct.of}",
        tuple(map(str, rows)),
        tuple(name for name, _, _ in columns),
        tuple(tuple(found.get((row, kind, head)) for _, kind, head in columns) for row in rows),
        unit=_UNITS["logit"],
        corner="layer",
    )


def parts_table(document: LensDocument, top: int) -> FindingTable:
    """The `top` largest parts by size, 0 for all, what is left, and the total."""
    direct = document.direct
    ranked = sorted(direct.parts, key=lambda part: -abs(part.value))
    decimals = shared_decimals([part.value for part in (*ranked, direct.total)])
    shown = ranked[: top or None]
    notes = ["within numeric noise" if part.within_noise else "" for part in shown]
    rows: list[tuple[str, ...]] = [_row(part.node, part, decimals) for part in shown]
    others = ranked[len(shown) :]
    if others:
        total = sum(part.value for part in others)
        rows.append((count(len(others), "smaller part"), fixed(total, decimals), ""))
    rows += [_row("rest", direct.rest, decimals), _row("model", direct.total, decimals)]
    caption = (
        f"what each node adds to {direct.of} at END under the scale of the last norm; rest is "
        f"{direct.rest_is}; all of it adds up to the model's. It does not show what a node does "
        "through others"
    )
    headings: tuple[str, ...] = ("node", "logits", f"{document.level:.0%} interval")
    if direct.total.reason is not None:
        caption += f". No interval: {direct.total.reason}"
    if any(notes):
        headings = (*headings, "note")
        notes += [""] * (len(rows) - len(notes))
        rows = [(*row, note) for row, note in zip(rows, notes, strict=True)]
    return FindingTable("Largest parts", caption, headings, rows, numbers=("logits",))


def _row(name: str, found: LensNumberForm, decimals: int | None) -> tuple[str, str, str]:
    if found.reason is not None:
        return name, fixed(found.value, decimals), ""
    low = "-∞" if found.low is None else fixed(found.low, decimals)
    high = "∞" if found.high is None else fixed(found.high, decimals)
    ends = "exact" if found.low == found.high is not None else f"[{low}, {high}]"
    return name, fixed(found.value, decimals), ends


def print_lens(document: LensDocument, console: Console, top: int) -> None:
    """Heat maps, the largest parts, and how one of the numbers is asked for."""
    said = list(captions(document))
    console.print(Text(said[0]))
    for heat in heat_maps(document):
        console.print()
        print_map(heat, console)
    found = parts_table(document, top)
    console.print()
    table = Table(title=Text(found.title), title_justify="left", pad_edge=False)
    for heading in found.headings:
        table.add_column(heading, justify="right" if heading in found.numbers else "left")
    for row in found.rows:
        table.add_row(*map(Text, row))
    console.print(table)
    console.print(Text(found.caption, style="dim"))
    console.print(Text(said[1], style="dim"))
    middle = max(0, len(document.rows) - 2)
    formula = document.formula(0, middle, len(document.columns) - 1)
    console.print(Text("one of these numbers, to claim it: ", style="dim"), soft_wrap=True, end="")
    console.print(Text(formula), soft_wrap=True)


def findings(document: LensDocument, top: int) -> Findings:
    """The document as a part of a page."""
    return Findings(
        f"Logit lens of {document.on}",
        " ".join(f"{said[0].upper()}{said[1:]}." for said in captions(document)),
        tuple(heat_maps(document)),
        (parts_table(document, top),),
    )


def lens_page(document: LensDocument, top: int) -> str:
    """The document as a page of its own."""
    name, shown = f"{document.spec} {document.version or ''}".strip(), findings(document, top)
    return finding_page(
        shown.title,
        shown.caption,
        shown.maps,
        shown.tables,
        facts=(
            ("spec", name),
            ("file", document.file),
            ("task", document.on),
            ("prompts", str(document.n)),
            ("model", document.with_),
            *((f"version of {tool}", version) for tool, version in document.tool.items()),
        ),
        found=document.diagnostics,
        command="circ lens",
    )
