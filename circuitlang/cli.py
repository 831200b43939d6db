"""`circ`: the command line."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

INTERRUPTED = 130


def memory_size(text: str) -> int:
    """Bytes in a size such as 4GiB; raises `typer.BadParameter`."""
    from pydantic import ByteSize, TypeAdapter, ValidationError

    try:
        found = int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        found = 0
    if found < 1:
        raise typer.BadParameter(f"`{text}` is no size; write one like 4GiB, 500MB or 2000000000")
    return found


app = typer.Typer(
    name="circ",
    help="Decide the claims that a .circ file makes about a transformer circuit.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Files = Annotated[list[Path], typer.Argument(help=".circ files", metavar="FILE")]
OneFile = Annotated[Path, typer.Argument(help="a .circ file", metavar="FILE")]
AsJson = Annotated[bool, typer.Option("--json", help="print the result document as JSON")]
PerExample = Annotated[bool, typer.Option("--per-example", help="include one number per prompt")]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:N")]
Samples = Annotated[
    int | None, typer.Option(min=1, max=100_000, help="prompts per task, instead of the spec's")
]
Seed = Annotated[int | None, typer.Option(min=0, help="seed of the sample, instead of the spec's")]
Chunk = Annotated[int | None, typer.Option(min=1, help="prompts that run together")]
Memory = Annotated[
    int | None,
    typer.Option(
        parser=memory_size,
        metavar="SIZE",
        help="what tensors may take besides the models, such as 4GiB or 500MB",
    ),
]
Quick = Annotated[bool, typer.Option(help="32 prompts per task; the table's title says so")]
StoreFolder = Annotated[
    Path | None,
    typer.Option("--store", metavar="DIR", help="where runs are stored, instead of .circ by FILE"),
]
NoStore = Annotated[bool, typer.Option("--no-store", help="neither read nor store runs")]
Fresh = Annotated[bool, typer.Option("--fresh", help="execute every run, stored or not")]
ClaimNames = Annotated[
    list[str] | None, typer.Option("--claim", help="only this claim (may be repeated)")
]


@app.command()
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
        with _progress(as_json) as progress:
            outcome = pipeline.check(file, options, progress)
        _print_diagnostics(outcome.front.found)
        documents.append(document(outcome, options, per_example))
        if not as_json and outcome.measured is not None:
            print_document(documents[-1], _stdout(), per_example)
    if as_json:
        _print_json(documents)
    codes = [d.exit_code for d in documents]
    raise typer.Exit(max(codes))


@app.command("eval")
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
    with _progress(as_json) as progress:
        outcome = pipeline.evaluate(file, expression, options, progress)
    _print_diagnostics(outcome.front.found)
    written = document(outcome, options, per_example)
    if as_json:
        _print_json([written])
    elif outcome.measured is not None:
        print_evaluation(written, _stdout(), per_example)
    raise typer.Exit(2 if outcome.measured is None else outcome.exit_code)


@app.command()
def lint(files: Files, as_json: AsJson = False) -> None:
    """Find every mistake that can be found without running a model."""
    from circuitlang import pipeline

    fronts = [pipeline.lint(file) for file in files]
    found = [d for front in fronts for d in front.found]
    if as_json:
        from circuitlang.report.diagnostics import diagnostic_form

        print(json.dumps([diagnostic_form(d).model_dump() for d in found], indent=2))
    else:
        _print_diagnostics(found)
        errors = sum(d.severity == "error" for d in found)
        warnings = sum(d.severity == "warning" for d in found)
        print(
            f"{_count(len(files), 'file')}: {_count(errors, 'error')}, {_count(warnings, 'warning')}"
        )
    raise typer.Exit(2 if any(f.diagnostics.has_errors for f in fronts) else 0)


@app.command()
def show(
    file: OneFile,
    stage: Annotated[str, typer.Option(help="tree, spec, prompts, runs, values or plan")] = "spec",
    claim: Annotated[str | None, typer.Option(help="print this claim down to F alone")] = None,
    samples: Samples = None,
    seed: Seed = None,
) -> None:
    """Print a form that the spec takes on its way, or one claim written out."""
    from circuitlang import pipeline

    if claim is not None:
        front, text = pipeline.show_claim(file, claim)
    elif stage in pipeline.STAGES:
        options = pipeline.Options(samples=samples, seed=seed)
        with _progress(False) as progress:
            front, text = pipeline.show(file, stage, options, progress)
    else:
        from circuitlang.language.diagnostics import suggestion

        meant = suggestion(stage, pipeline.STAGES) or f"stages are {', '.join(pipeline.STAGES)}"
        _stderr().print(f"There is no stage `{stage}`; {meant}.", markup=False)
        raise typer.Exit(2)
    _print_diagnostics(front.found)
    if text:
        print(text)
    raise typer.Exit(2 if front.diagnostics.has_errors or not text else 0)


@app.command()
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
    """Say what a check with these options would execute, without loading weights."""
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
    _print_diagnostics(front.found)
    if cost is None:
        raise typer.Exit(2)
    from circuitlang.report.plan import plan_document, print_plan

    document = plan_document(file, cost, front.found)
    if as_json:
        _print_json([document])
    else:
        print_plan(document, _stdout())


@app.command()
def schema(
    of_plan: Annotated[bool, typer.Option("--plan", help="of what `plan --json` prints")] = False,
) -> None:
    """Print the JSON Schema of the document that `check --json` prints."""
    from circuitlang.report.document import CheckDocument
    from circuitlang.report.plan import PlanDocument

    document = PlanDocument if of_plan else CheckDocument
    print(json.dumps(document.model_json_schema(mode="serialization"), indent=2))


@app.callback(invoke_without_command=True)
def version(
    show_version: Annotated[bool, typer.Option("--version", help="print the version")] = False,
) -> None:
    if show_version:
        from importlib.metadata import version as installed

        print(f"circuitlang {installed('circuitlang')}")
        raise typer.Exit(0)


# ---------------------------------------------------------------- printing


def _stdout() -> Any:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 140, highlight=False)


def _stderr() -> Any:
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def _print_diagnostics(found: Any) -> None:
    if found:
        from circuitlang.report.diagnostics import print_diagnostics

        print_diagnostics(found, _stderr())


def _print_json(documents: list[Any]) -> None:
    """One document for one file, a list for several."""
    texts = [d.model_dump_json(by_alias=True, indent=1) for d in documents]
    print(texts[0] if len(texts) == 1 else "[" + ",\n".join(texts) + "]")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _progress(quiet: bool) -> Any:
    from circuitlang.report.progress import Bars

    return Bars(_stderr(), enabled=not quiet and sys.stderr.isatty())


def main() -> None:
    """The entry point: nothing a user can do ends in a traceback."""
    try:
        code = app(standalone_mode=False) or 0
        sys.stdout.flush()
        if code == INTERRUPTED:
            print("interrupted", file=sys.stderr)
        sys.exit(code)
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as problem:
        if hasattr(problem, "show"):  # wrong usage, as typer words it
            problem.show()
            sys.exit(2)
        if os.environ.get("CIRC_TRACEBACK"):
            raise
        print(
            f"error[CL901]: a defect of circuitlang: {type(problem).__name__}: {problem}\n"
            "  help: set CIRC_TRACEBACK=1 to see where, and please report it",
            file=sys.stderr,
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
