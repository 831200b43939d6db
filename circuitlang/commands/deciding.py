"""`circ check`, `eval`, `plan` and `schema`: what is run, and what comes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from circuitlang.commands.options import (
    DECIDING,
    EXECUTING,
    SAMPLING,
    AsJson,
    Files,
    OneFile,
    PerExample,
    refuse_with_lock,
    with_options,
)
from circuitlang.commands.printing import (
    finished,
    print_diagnostics_of,
    print_json,
    progress,
    stdout,
)

if TYPE_CHECKING:
    from circuitlang.front import Options
    from circuitlang.report.document import CheckDocument


@with_options(*DECIDING, "against_reference")
def check(
    files: Files,
    as_json: AsJson = False,
    per_example: PerExample = False,
    *,
    options: Options,
    locked: Annotated[
        bool,
        typer.Option("--locked", help="refuse a spec that is not what FILE.lock says of it"),
    ] = False,
    frozen: Annotated[
        bool,
        typer.Option(
            "--frozen", help="print what FILE.lock says, if FILE is unchanged; run nothing"
        ),
    ] = False,
) -> None:
    """Run the models and decide every claim.

    Exit code 0: every claim holds or meets its expectation; 1: some claim does not;
    2: a file or model could not be used, or --locked or --frozen refused; 130: interrupted.
    """
    from circuitlang import pipeline
    from circuitlang.report.outcome import document
    from circuitlang.report.terminal import print_document

    options = replace(options, locked=locked)
    if locked or frozen:
        refuse_with_lock("--frozen" if frozen else "--locked", options, frozen and per_example)
    documents = []
    for file in files:
        if frozen:
            documents.append(_frozen(file, options))
        else:
            with progress(as_json) as bars:
                outcome = pipeline.check(file, options, bars)
            print_diagnostics_of(outcome.front.found)
            documents.append(document(outcome, options, per_example))
        if not as_json and documents[-1].claims:
            print_document(documents[-1], stdout(), per_example)
    if as_json:
        print_json(documents)
    codes = [d.exit_code for d in documents]
    raise typer.Exit(max(codes))


def _frozen(file: Path, options: Options) -> CheckDocument:
    """What the lock says; an empty document where it does not hold."""
    from circuitlang.locks.demand import frozen
    from circuitlang.pipeline import Outcome
    from circuitlang.report.outcome import document

    front, found = frozen(file, options)
    print_diagnostics_of(finished(front.found))
    return found or document(Outcome(file, front, 0.0), options, per_example=False)


@with_options(*SAMPLING, *EXECUTING)
def evaluate(
    file: OneFile,
    expression: Annotated[str, typer.Argument(help='such as "drop(ioi, a9.h9)"')],
    as_json: AsJson = False,
    per_example: PerExample = False,
    *,
    options: Options,
) -> None:
    """Work out any expression of the language in the context of a spec."""
    from circuitlang import pipeline
    from circuitlang.report.outcome import document
    from circuitlang.report.terminal import print_evaluation

    with progress(as_json) as bars:
        outcome = pipeline.evaluate(file, expression, options, bars)
    print_diagnostics_of(finished(outcome.front.found))
    written = document(outcome, options, per_example)
    if as_json:
        print_json([written])
    elif outcome.measured is not None:
        print_evaluation(written, stdout(), per_example)
    raise typer.Exit(2 if outcome.measured is None else outcome.exit_code)


@with_options(*DECIDING)
def plan(
    file: OneFile,
    as_json: AsJson = False,
    *,
    options: Options,
) -> None:
    """Say what a check would execute; loads no weights."""
    from circuitlang import pipeline

    front, cost = pipeline.plan(file, options)
    print_diagnostics_of(front.found)
    if cost is None:
        raise typer.Exit(2)
    from circuitlang.report.plan import plan_document, print_plan

    document = plan_document(file, cost, front.found)
    if as_json:
        print_json([document])
    else:
        print_plan(document, stdout())


def schema(
    command: Annotated[
        Literal[
            "check",
            "plan",
            "diff",
            "verify",
            "effects",
            "attribute",
            "discover",
            "curve",
            "lens",
        ],
        typer.Argument(help="the command that prints it"),
    ] = "check",
) -> None:
    """Print the JSON Schema of what a command prints with --json."""
    from circuitlang.report.attribution import AttributionDocument
    from circuitlang.report.curve import CurveDocument
    from circuitlang.report.diff.document import DiffDocument
    from circuitlang.report.discovery import DiscoveryDocument
    from circuitlang.report.document import CheckDocument, Form
    from circuitlang.report.effects import EffectsDocument
    from circuitlang.report.lens import LensDocument
    from circuitlang.report.plan import PlanDocument
    from circuitlang.report.verification import VerificationDocument

    printed: dict[str, type[Form]] = {
        "check": CheckDocument,
        "plan": PlanDocument,
        "diff": DiffDocument,
        "verify": VerificationDocument,
        "effects": EffectsDocument,
        "attribute": AttributionDocument,
        "discover": DiscoveryDocument,
        "curve": CurveDocument,
        "lens": LensDocument,
    }
    print(json.dumps(printed[command].model_json_schema(mode="serialization"), indent=2))
