"""A found circuit: the JSON that `circ discover --json` prints, and the same for a person."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from rich.console import Console
from rich.table import Table
from rich.text import Text

from circuitlang.language.formulas.inline import count
from circuitlang.report.document import DiagnosticForm, Form
from circuitlang.report.terminal import number

SCHEMA_VERSION = "1"
SHOWN = 12


class ProbeForm(Form):
    """A size that was measured."""

    taken: int = Field(description="edges taken by score")
    edges: int = Field(description="what is left of them without dangling ones")
    faithfulness: float = Field(description="(F(C) - F(none)) / (F(M) - F(none))")


class RoleForm(Form):
    """A group that is proposed."""

    name: str
    nodes: tuple[str, ...]
    at: str | None = Field(description="label where what they write is worth most")
    looks_at: str | None = Field(description="label that has most of their attention")
    supports: bool | None = Field(
        description="whether what they write helps the metric, as scores and drops have it; "
        "None of the rest, which has both"
    )


class DiscoveryDocument(Form):
    """What one `circ discover` of one file found, on the search half of its prompts."""

    schema_name: Literal["circ-discovery"] = Field(
        default="circ-discovery", serialization_alias="schema", validation_alias="schema"
    )
    schema_version: str = SCHEMA_VERSION
    tool: dict[str, str]
    file: str
    spec: str
    version: str | None
    target: str = Field(description="the spec that was written")
    told: tuple[str, ...] = Field(description="how the circuit was found, as the new spec says it")
    prompts: int
    edges: tuple[str, ...]
    graph_edges: int = Field(description="edges of the model")
    faithfulness: float = Field(description="of the circuit, on the searched prompts")
    probes: tuple[ProbeForm, ...] = Field(description="sizes that were measured, ascending")
    roles: tuple[RoleForm, ...]
    claims: dict[str, str] = Field(description="name -> formula")
    seconds: float
    diagnostics: tuple[DiagnosticForm, ...] = ()


def print_discovery(document: DiscoveryDocument, console: Console) -> None:
    title = f"{document.spec}: {len(document.edges):,} of {document.graph_edges:,} edges"
    table = Table(title=Text(title, style="italic"), title_justify="left", pad_edge=False)
    for heading in ("group", "nodes", "acts at", "looks at", "estimated sign"):
        table.add_column(heading, overflow="fold")
    for role in document.roles:
        nodes = ", ".join(role.nodes[:SHOWN]) + (", ..." if len(role.nodes) > SHOWN else "")
        sign = {True: "for", False: "against", None: ""}[role.supports]
        table.add_row(*map(Text, (role.name, nodes, role.at or "", role.looks_at or "", sign)))
    console.print(table)
    console.print(
        Text(
            f"faithfulness {number(document.faithfulness, 3)} on the {count(document.prompts, 'prompt')} "
            f"it was found on; {count(len(document.claims), 'claim')} for the others to decide: "
            f"circ check {document.target}"
        ),
        soft_wrap=True,
    )
