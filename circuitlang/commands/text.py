"""`circ lint`, `fmt`, `show`, `explain`, `new` and `lsp`: what works on the text of a spec."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from circuitlang.commands.options import AsJson, Files, OneFile, Samples, Seed
from circuitlang.commands.printing import (
    count,
    finished,
    print_diagnostics_of,
    progress,
    stderr,
    stdout,
)

if TYPE_CHECKING:
    from circuitlang.front import Front, Options


def lint(
    files: Files,
    as_json: AsJson = False,
    pedantic: Annotated[
        bool, typer.Option("--pedantic", help="warn of what a careful reviewer would ask, too")
    ] = False,
) -> None:
    """Find every mistake that can be found without running a model."""
    from circuitlang import pipeline

    fronts = [pipeline.lint(file, pipeline.Options(pedantic=pedantic)) for file in files]
    found = [d for front in fronts for d in front.found]
    if as_json:
        from circuitlang.report.diagnostics import diagnostic_form

        print(json.dumps([diagnostic_form(d).model_dump() for d in found], indent=2))
    else:
        print_diagnostics_of(found)
        errors = sum(d.severity == "error" for d in found)
        warnings = sum(d.severity == "warning" for d in found)
        print(
            f"{count(len(files), 'file')}: {count(errors, 'error')}, {count(warnings, 'warning')}"
        )
    raise typer.Exit(2 if any(f.diagnostics.has_errors for f in fronts) else 0)


def show(
    file: OneFile,
    stage: Annotated[str, typer.Option(help="tree, spec, prompts, runs, values or plan")] = "spec",
    claim: Annotated[
        str | None, typer.Option(help="print this claim down to F alone, and how it was decided")
    ] = None,
    samples: Samples = None,
    seed: Seed = None,
) -> None:
    """Print one of the forms a spec takes, or a claim written out and how it was decided."""
    from circuitlang import pipeline

    options = pipeline.Options(samples=samples, seed=seed)
    if claim is not None:
        front, text = pipeline.show_claim(file, claim)
    elif stage in pipeline.STAGES:
        with progress(False) as bars:
            front, text = pipeline.show(file, stage, options, bars)
    else:
        from circuitlang.language.diagnostics import suggestion

        meant = suggestion(stage, pipeline.STAGES) or f"stages are {', '.join(pipeline.STAGES)}"
        stderr().print(f"There is no stage `{stage}`; {meant}.", markup=False)
        raise typer.Exit(2)
    print_diagnostics_of(finished(front.found))
    if text:
        print(text)
    if text and claim is not None:
        _print_decided(front, file, claim, options)
    raise typer.Exit(2 if front.diagnostics.has_errors or not text else 0)


def _print_decided(front: Front, file: Path, claim: str, options: Options) -> None:
    """What stored runs say of a claim; reports have nothing to decide."""
    from circuitlang import pipeline
    from circuitlang.report.outcome import document
    from circuitlang.report.trace import print_trace

    assert front.resolved is not None
    if claim not in (c.name for c in front.resolved.spec.claims):
        return
    found = pipeline.stored_outcome(file, claim, options)
    print()
    if found is None:
        print(f"Its runs are not stored; `circ check {file} --claim {claim}` decides it.")
        return
    print_trace(document(found[0], options, per_example=True), claim, found[1], stdout())


def fmt(
    files: Annotated[
        list[Path], typer.Argument(help=".circ files, or - for standard input", metavar="FILE")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="change nothing; exit code 1 if something would change")
    ] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="change nothing; print what would change")
    ] = False,
) -> None:
    """Bring specs into the one canonical layout; comments stay.

    Exit code 0: done, or nothing to do; 1: --check or --diff found something to change;
    2: a file cannot be read or has syntax errors, and was left as it is.
    """
    from circuitlang.language.diagnostics import Diagnostics
    from circuitlang.language.resolve import load
    from circuitlang.language.source import Source
    from circuitlang.language.text.format import difference, format_text

    changed, failed = [], False
    for file in files:
        diagnostics = Diagnostics()
        piped = str(file) == "-"
        source = Source("<stdin>", sys.stdin.read(), Path()) if piped else load(file, diagnostics)
        formatted = format_text(source, diagnostics) if source else None
        if source is None or formatted is None:
            print_diagnostics_of(d for d in diagnostics.sorted if d.severity == "error")
            failed = True
            continue
        if piped and not (check or diff):
            sys.stdout.write(formatted)
        if formatted == source.text:
            continue
        changed.append(source.name)
        if diff:
            print(difference(source.text, formatted, source.name), end="")
        elif not check and not piped:
            _write(file, formatted)
    verb = "would change" if check or diff else "changed"
    if changed and not diff and "<stdin>" not in changed:
        print("\n".join(f"{verb}: {name}" for name in changed))
    raise typer.Exit(2 if failed else int(bool(changed) and (check or diff)))


def _write(file: Path, text: str) -> None:
    """Replaces a file whole: a full disk or a Ctrl-C leaves the old one."""
    from circuitlang.language.diagnostics import Diagnostic
    from circuitlang.language.files import replace_file
    from circuitlang.report.diagnostics import print_diagnostics

    try:
        replace_file(file, text)
    except OSError as problem:
        reason = problem.strerror or str(problem)
        found = Diagnostic("CL110", f"`{file}` cannot be written: {reason}.", None)
        print_diagnostics([found], stderr())
        raise typer.Exit(2) from None


def explain(
    asked: Annotated[
        list[str] | None, typer.Argument(help="a code such as CL311, or words", metavar="CODE")
    ] = None,
) -> None:
    """Tell what a diagnostic means, with an example and its mend."""
    from rich.markdown import Markdown

    from circuitlang.explain import explain as explanation

    found = explanation(" ".join(asked or ()))
    stdout().print(Markdown(found.text))
    raise typer.Exit(0 if found.found else 2)


def new(
    file: Annotated[Path, typer.Argument(help="the .circ file to write", metavar="[FILE]")] = Path(
        "my_circuit"
    ),
) -> None:
    """Write a commented spec that passes, to start from."""
    from circuitlang.new import write_new

    try:
        path = write_new(file)
    except OSError as problem:
        taken = isinstance(problem, FileExistsError)
        reason = "there is one already" if taken else problem.strerror or str(problem)
        stderr().print(f"`{problem.filename or file}` was not written: {reason}.", markup=False)
        raise typer.Exit(2) from None
    print(f"wrote {path}; `circ check {path}` decides its claims")


def lsp(
    tcp: Annotated[int | None, typer.Option(help="listen on this port, not on stdio")] = None,
) -> None:
    """Serve editors: errors, hover, completion, formatting."""
    try:
        from circuitlang.lsp import start
    except ModuleNotFoundError as missing:
        if missing.name not in ("pygls", "lsprotocol"):
            raise
        stderr().print(
            "The language server needs pygls: pip install 'circuitlang[lsp]'", markup=False
        )
        raise typer.Exit(2) from None
    start(tcp)
