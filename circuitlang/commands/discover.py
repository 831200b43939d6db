"""`circ discover`: a first circuit for a task, written as a spec to be tested."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from circuitlang.commands.options import EXECUTING, SAMPLING, AsJson, OneFile, with_options
from circuitlang.commands.printing import (
    finished,
    print_diagnostics_of,
    print_json,
    progress,
    stdout,
)
from circuitlang.commands.targets import STDOUT, is_read, is_writable, refuse, write_target

if TYPE_CHECKING:
    from circuitlang.discovery.experiment import Context
    from circuitlang.front import Options

ELSEWHERE = "name another file with -o"


class Method(StrEnum):
    attribution = "attribution"
    acdc = "acdc"
    path = "path"


class Order(StrEnum):
    score = "score"
    size = "size"
    greedy = "greedy"


class By(StrEnum):
    kl = "kl"
    absolute = "absolute"
    signed = "signed"


# The methods that each option is for.
_OF = {
    "faithfulness": ("attribution",),
    "order": ("attribution",),
    "steps": ("attribution", "acdc"),
    "threshold": ("acdc", "path"),
    "change": ("acdc",),
    "among": ("acdc",),
}


@with_options(*SAMPLING, *EXECUTING)
def discover(
    file: OneFile,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="SPEC", help="the spec to write [FILE_found.circ]"),
    ] = None,
    method: Annotated[Method, typer.Option(help="how edges are chosen")] = Method.attribution,
    faithfulness: Annotated[
        float | None,
        typer.Option(min=0.0, max=2.0, help="for attribution: what is to be reached [0.8]"),
    ] = None,
    order: Annotated[
        Order | None,
        typer.Option(help="for attribution: by score, size, or grown from the logits [score]"),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, max=1000, help="for attribution and acdc: of EAP-IG [5]")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="for acdc: nats, or the metric's unit [0.01]; for path: share of the effect [0.02]",
            show_default=False,
        ),
    ] = None,
    change: Annotated[
        By | None,
        typer.Option(help="for acdc: what an edge may change by less than the threshold [kl]"),
    ] = None,
    among: Annotated[
        int | None,
        typer.Option(
            min=1, help="for acdc: edges to decide on, those with the largest scores [2000]"
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="replace SPEC and the file of its edges")
    ] = False,
    as_json: AsJson = False,
    *,
    context: Context,
    options: Options,
) -> None:
    """Search for a circuit and write it as a spec whose claims are still to be decided.

    Only the search half of the task's prompts is looked at; the new spec's claims are about the
    other half, and `circ check` decides them. Where its edges are too many to list, they go into a
    .json beside it. Exit code 0, or 2 where nothing was written.
    """
    from circuitlang.discovery.discover import Question
    from circuitlang.discovery.discover import discover as search

    if threshold == 0:
        raise typer.BadParameter("`--threshold 0` keeps every edge; give one above it")
    given: dict[str, Any] = {
        "faithfulness": faithfulness,
        "order": order,
        "steps": steps,
        "threshold": threshold,
        "change": change,
        "among": among,
    }
    given = {name: value for name, value in given.items() if value is not None}
    for name in given:
        if method.value not in _OF[name]:
            methods = " and ".join(_OF[name])
            raise typer.BadParameter(
                f"`--{name}` is for {methods}, and the method is {method.value}"
            )
    target = output or Path(file.parent, f"{file.stem}_found.circ")
    if target == STDOUT and as_json:
        refuse(target, "stdout has the JSON", "CL793", ELSEWHERE)
        raise typer.Exit(2)
    if file.exists() and not (
        is_writable(target, file, "CL793", ELSEWHERE) and (force or _is_free(target))
    ):
        raise typer.Exit(2)
    named = {"order": "how", "change": "by"}
    question = Question(
        method.value,
        **{named.get(name, name): getattr(v, "value", v) for name, v in given.items()},
    )
    with progress(as_json) as bars:
        front, found = search(file, target, question, options, context, bars)
    print_diagnostics_of(finished(front.found))
    if found is None:
        raise typer.Exit(2)
    with redirect_stdout(sys.stderr if as_json else sys.stdout):
        if found.circuit is not None and not _write_edges(found.circuit, target, file):
            raise typer.Exit(2)
        if not write_target(target, found.text, file, "CL793", ELSEWHERE):
            raise typer.Exit(2)
    if as_json:
        print_json([found.document])
    elif target != STDOUT:
        from circuitlang.report.discovery import print_discovery

        print_discovery(found.document, stdout())


def _is_free(target: Path) -> bool:
    """Whether neither the new spec nor its edges would replace something; else an error."""
    for path in (target, target.with_suffix(".json")):
        if target != STDOUT and path.exists():
            what = (
                ""
                if path == target
                else f", and the edges of `{target.name}` may have to stand there"
            )
            return refuse(
                path, f"it exists{what}", "CL793", f"`--force` replaces it, or {ELSEWHERE}"
            )
    return True


def _write_edges(content: dict[str, object], target: Path, spec: Path) -> bool:
    """Beside the new spec, over nothing but the edges of the spec that this one replaces."""
    import json

    edges = target.with_suffix(".json")
    if edges.exists() and not (target.exists() and is_read(edges, target)):
        reason = f"it exists, and no `{target.name}` reads its edges from it"
        return refuse(edges, reason, "CL793", ELSEWHERE)
    return write_target(edges, json.dumps(content) + "\n", spec, "CL793", ELSEWHERE)
