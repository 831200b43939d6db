"""`circ convert` and `circ export`: circuits for other tools, results for papers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from circuitlang.commands.options import DECIDING, OneFile, refuse_with_lock, with_options
from circuitlang.commands.printing import finished, print_diagnostics_of, progress
from circuitlang.commands.targets import STDOUT, write_target

if TYPE_CHECKING:
    from circuitlang.exchange import Exchanged
    from circuitlang.front import Options

Target = Annotated[Path, typer.Argument(help="the file to write", metavar="TARGET")]
To = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="FORMAT",
        help="eap-ig (also MIB's), autocircuit or pt; else by TARGET's suffix, .json being eap-ig",
    ),
]


def _output(help: str) -> Any:
    return typer.Option(metavar="OUTPUT", help=help)


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


@with_options(*DECIDING)
def export(
    file: OneFile,
    circuit: Annotated[
        str | None,
        typer.Argument(help="a circuit that FILE defines; with --latex, the one that is drawn"),
    ] = None,
    target: Annotated[
        Path | None, typer.Argument(help="write the circuit for another tool", metavar="TARGET")
    ] = None,
    to: To = None,
    model: Annotated[
        str | None,
        typer.Option(help="for TARGET: one of FILE's models, instead of its default"),
    ] = None,
    flatten: Annotated[
        bool,
        typer.Option("--flatten", help="for TARGET: put edges at certain positions at all of them"),
    ] = False,
    latex: Annotated[
        Path | None, _output("claims as a table, a circuit and the spec, as LaTeX")
    ] = None,
    bibtex: Annotated[
        Path | None, _output("the spec and the papers that it names, as BibTeX")
    ] = None,
    markdown: Annotated[Path | None, _output("claims as a table, as Markdown")] = None,
    csv: Annotated[Path | None, _output("claims and reported numbers with every digit")] = None,
    standalone: Annotated[
        bool, typer.Option("--standalone", help="for --latex: a whole document")
    ] = False,
    minted: Annotated[
        bool, typer.Option("--minted", help="for --latex: let minted colour the spec")
    ] = False,
    frozen: Annotated[
        bool, typer.Option("--frozen", help="take the results from FILE.lock; run nothing")
    ] = False,
    *,
    options: Options,
) -> None:
    """Write a circuit for another tool, or claims for a paper.

    With CIRCUIT and TARGET the circuit is written for another tool, and nothing is run. With
    --latex, --markdown or --csv the spec is checked, stored runs being used, and what came of it is
    written; the exit code is then that of `check`. `-` as OUTPUT is stdout.
    """
    outputs = {"latex": latex, "bibtex": bibtex, "markdown": markdown, "csv": csv}
    targets = {name: path for name, path in outputs.items() if path is not None}
    of_latex = {"--standalone": standalone, "--minted": minted, "CIRCUIT without TARGET": circuit}
    of_target = {"--to": to, "--model": model, "--flatten": flatten}
    if not targets and circuit is not None and target is not None:
        _refuse({"--frozen": frozen, "--standalone": standalone, "--minted": minted}, "a TARGET")
        from circuitlang import exchange

        _tell(exchange.export(file, circuit, target, to, model, flatten))
        return
    if not targets:
        _stop("CL746", "It is not said what to export.")
    _refuse({"TARGET": target, **of_target}, "--latex, --bibtex, --markdown or --csv")
    written_to = [path.resolve() for path in targets.values() if path != STDOUT]
    if len(set(written_to)) < len(written_to):
        _stop("CL746", "Two outputs have the same file.")
    if latex is None:
        _refuse(of_latex, f"--{next(iter(targets))}")
    if frozen:
        refuse_with_lock("--frozen", options)
    from circuitlang.papers import Wanted, papers

    wanted = Wanted(tuple(targets), frozen, circuit, minted, standalone)
    with progress(False) as bars:
        written = papers(file, wanted, options, bars)
    print_diagnostics_of(finished(written.found))
    elsewhere = "name another file, or `-` for stdout"
    done = [
        write_target(targets[name], text, file, "CL745", elsewhere)
        for name, text in written.texts.items()
    ]
    raise typer.Exit(written.exit_code if all(done) else 2)


def _refuse(given: Mapping[str, Any], beside: str) -> None:
    for name, value in given.items():
        if value:
            _stop("CL747", f"`{name}` does not go with {beside}.")


def _stop(code: str, message: str) -> NoReturn:
    from circuitlang.language.diagnostics import Diagnostic

    help = (
        "`circ export FILE CIRCUIT TARGET` writes a circuit for another tool, "
        "`circ export FILE --latex claims.tex` results for a paper"
    )
    print_diagnostics_of([Diagnostic(code, message, None, help)])
    raise typer.Exit(2)


def _tell(exchanged: Exchanged) -> None:
    print_diagnostics_of(exchanged.found)
    if exchanged.failed:
        raise typer.Exit(2)
    print(exchanged.written)
