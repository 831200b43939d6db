"""`circ convert` and `circ export`: circuits between specs and the files of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from circuitlang.commands.options import OneFile
from circuitlang.commands.printing import print_diagnostics_of

if TYPE_CHECKING:
    from circuitlang.exchange import Exchanged

Target = Annotated[Path, typer.Argument(help="the file to write", metavar="TARGET")]
To = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="FORMAT",
        help="eap-ig (also MIB's), autocircuit or pt; else by TARGET's suffix, .json being eap-ig",
    ),
]


def convert(
    source: Annotated[
        Path, typer.Argument(help="a circuit: EAP-IG's .json or .pt, AutoCircuit's, Edge-Pruning's")
    ],
    target: Target,
    to: To = None,
    model: Annotated[
        str | None,
        typer.Option(help="the model it is of, such as gpt2, where SOURCE does not say"),
    ] = None,
) -> None:
    """Write a circuit file in another format."""
    from circuitlang import exchange

    _tell(exchange.convert(source, target, to, model))


def export(
    file: OneFile,
    circuit: Annotated[str, typer.Argument(help="a circuit that FILE defines")],
    target: Target,
    to: To = None,
    model: Annotated[
        str | None, typer.Option(help="one of FILE's models, instead of its default")
    ] = None,
    flatten: Annotated[
        bool, typer.Option("--flatten", help="put edges at certain positions at all of them")
    ] = False,
) -> None:
    """Write a circuit of a spec for another tool."""
    from circuitlang import exchange

    _tell(exchange.export(file, circuit, target, to, model, flatten))


def _tell(exchanged: Exchanged) -> None:
    print_diagnostics_of(exchanged.found)
    if exchanged.failed:
        raise typer.Exit(2)
    print(exchanged.written)
