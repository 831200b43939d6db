"""`circ check`, `eval`, `plan` and `schema`: what is run, and what comes of it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from circuitlang.commands.options import (
    AsJson,
    Chunk,
    ClaimNames,
    Device,
    Files,
    Fresh,
    Memory,
    NoStore,
    OneFile,
    PerExample,
    Quick,
    Samples,
    Seed,
    StoreFolder,
)
from circuitlang.commands.printing import (
    finished,
    print_diagnostics_of,
    print_json,
    progress,
    stdout,
)


def check(
    files: Files,
    as_json: AsJson = False,
    per_example: PerExample = False,
    device: Device = "cpu",
    samples: Samples = None,
    seed: Seed = None,
    claim: ClaimNames = None,
    quick: Quick = False,
    chunk: Chunk = None,
    memory: Memory = None,
    store: StoreFolder = None,
    no_store: NoStore = False,
    fresh: Fresh = False,
    against_reference: Annotated[
        bool,
        typer.Option(
            "--against-reference",
            help="execute a sample of runs again with the reference executor, and compare",
        ),
    ] = False,
) -> None:
    """Run the models and decide every claim.

    Exit code 0: every claim holds or meets its expectation; 1: some claim does not;
    2: a file or model could not be used; 130: interrupted.
    """
    from circuitlang import pipeline
    from circuitlang.report.outcome import document
    from circuitlang.report.terminal import print_document

    options = pipeline.Options(
        device=device,
        samples=samples,
        seed=seed,
        claims=tuple(claim or ()),
        chunk=chunk,
        quick=quick,
        store=store,
        stored=not no_store,
        fresh=fresh,
        memory=memory,
        against_reference=against_reference,
    )
    documents = []
    for file in files:
        with progress(as_json) as bars:
            outcome = pipeline.check(file, options, bars)
        print_diagnostics_of(outcome.front.found)
        documents.append(document(outcome, options, per_example))
        if not as_json and outcome.measured is not None:
            print_document(documents[-1], stdout(), per_example)
    if as_json:
        print_json(documents)
    codes = [d.exit_code for d in documents]
    raise typer.Exit(max(codes))


def evaluate(
    file: OneFile,
    expression: Annotated[str, typer.Argument(help='such as "drop(ioi, a9.h9)"')],
    as_json: AsJson = False,
    per_example: PerExample = False,
    device: Device = "cpu",
    samples: Samples = None,
    seed: Seed = None,
    quick: Quick = False,
    chunk: Chunk = None,
    memory: Memory = None,
    store: StoreFolder = None,
    no_store: NoStore = False,
    fresh: Fresh = False,
) -> None:
    """Work out any expression of the language in the context of a spec."""
    from circuitlang import pipeline
    from circuitlang.report.outcome import document
    from circuitlang.report.terminal import print_evaluation

    options = pipeline.Options(
        device=device,
        samples=samples,
        seed=seed,
        chunk=chunk,
        quick=quick,
        store=store,
        stored=not no_store,
        fresh=fresh,
        memory=memory,
    )
    with progress(as_json) as bars:
        outcome = pipeline.evaluate(file, expression, options, bars)
    print_diagnostics_of(finished(outcome.front.found))
    written = document(outcome, options, per_example)
    if as_json:
        print_json([written])
    elif outcome.measured is not None:
        print_evaluation(written, stdout(), per_example)
    raise typer.Exit(2 if outcome.measured is None else outcome.exit_code)


def plan(
    file: OneFile,
    as_json: AsJson = False,
    device: Device = "cpu",
    samples: Samples = None,
    seed: Seed = None,
    claim: ClaimNames = None,
    quick: Quick = False,
    chunk: Chunk = None,
    memory: Memory = None,
    store: StoreFolder = None,
    no_store: NoStore = False,
    fresh: Fresh = False,
) -> None:
    """Say what a check would execute; loads no weights."""
    from circuitlang import pipeline

    options = pipeline.Options(
        device=device,
        samples=samples,
        seed=seed,
        claims=tuple(claim or ()),
        chunk=chunk,
        quick=quick,
        store=store,
        stored=not no_store,
        fresh=fresh,
        memory=memory,
    )
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
    of_plan: Annotated[bool, typer.Option("--plan", help="of what `plan --json` prints")] = False,
    of_diff: Annotated[bool, typer.Option("--diff", help="of what `diff --json` prints")] = False,
) -> None:
    """Print the JSON Schema of `check --json`."""
    from circuitlang.report.diff.document import DiffDocument
    from circuitlang.report.document import CheckDocument
    from circuitlang.report.plan import PlanDocument

    document = DiffDocument if of_diff else PlanDocument if of_plan else CheckDocument
    print(json.dumps(document.model_json_schema(mode="serialization"), indent=2))
