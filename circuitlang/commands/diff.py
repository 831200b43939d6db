"""`circ diff`: what changed in meaning."""

from __future__ import annotations

from typing import Annotated

import typer

from circuitlang.commands.printing import print_diagnostics_of, print_json, stdout


def diff(
    before: Annotated[
        str, typer.Argument(help="a .circ file, a .lock, or REVISION:FILE of git", metavar="A")
    ],
    after: Annotated[
        str | None,
        typer.Argument(
            help="what to compare it with; without, A as it is now with A in HEAD",
            metavar="B",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="print the diff document as JSON")
    ] = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="print it as a comment for a pull request")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="list every edge and value, not the first ten")
    ] = False,
    exit_zero: Annotated[
        bool, typer.Option("--exit-zero", help="exit with 0 where there are differences, too")
    ] = False,
) -> None:
    """Say what changed in meaning between two specs, locks or revisions.

    Exit code 0: they mean the same; 1: they differ; 2: they could not be compared.
    """
    from circuitlang.diff import diff as compared
    from circuitlang.language.diagnostics import Diagnostics

    diagnostics = Diagnostics()
    document = compared(before, after, diagnostics)
    print_diagnostics_of(diagnostics.sorted)
    if document is None:
        raise typer.Exit(2)
    if as_json:
        print_json([document])
    elif as_markdown:
        from circuitlang.report.diff.markdown import markdown

        print(markdown(document, everything), end="")
    else:
        from circuitlang.report.diff.terminal import print_diff

        print_diff(document, stdout(), everything)
    raise typer.Exit(0 if document.is_empty or exit_zero else 1)
