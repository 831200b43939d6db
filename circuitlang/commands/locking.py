"""`circ lock` and `circ verify`: what was checked, kept beside the spec, and held against a new check."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from circuitlang.commands.options import (
    EXECUTING,
    AgainstReference,
    AsJson,
    Chunk,
    Device,
    Files,
    Memory,
    OneFile,
    StoreFolder,
    refuse_with_lock,
    with_options,
)
from circuitlang.commands.printing import count, print_diagnostics_of, print_json, progress, stdout

if TYPE_CHECKING:
    from circuitlang.front import Options
    from circuitlang.lockfile import Lock
    from circuitlang.report.document import CheckDocument


@with_options(*EXECUTING, "against_reference")
def lock(
    files: Files,
    as_json: AsJson = False,
    preregister: Annotated[
        bool,
        typer.Option(
            "--preregister", help="seal the spec before any result exists; executes nothing"
        ),
    ] = False,
    *,
    options: Options,
    quick: Annotated[bool, typer.Option("--quick", hidden=True)] = False,
    samples: Annotated[int | None, typer.Option("--samples", hidden=True)] = None,
    seed: Annotated[int | None, typer.Option("--seed", hidden=True)] = None,
) -> None:
    """Decide every claim and write FILE.lock: what was checked and what came of it.

    The lock belongs into version control, beside FILE. Stored runs are used, as check does. A lock
    that would say the same is left as it is. Exit codes are those of check; after 2 nothing is written.
    """
    options = replace(options, samples=samples, seed=seed, quick=quick)
    refuse_with_lock("circ lock", options)
    if preregister:
        sealed = [_preregister(file, options) for file in files]
        made = [one for one in sealed if one is not None]
        if as_json and made:
            print_json(made)
        for file, one in zip(files, sealed, strict=True):
            if one is not None and not as_json:
                print(_sealed(file, one))
        raise typer.Exit(0 if len(made) == len(files) else 2)
    documents = [_lock(file, options, as_json) for file in files]
    if as_json:
        print_json(documents)
    raise typer.Exit(max(d.exit_code for d in documents))


def _lock(file: Path, options: Options, as_json: bool) -> CheckDocument:
    from circuitlang import locking
    from circuitlang.lockfile import lock_path
    from circuitlang.report.outcome import document
    from circuitlang.report.terminal import print_document

    with progress(as_json) as bars:
        outcome, written = locking.lock(file, options, bars)
    print_diagnostics_of(outcome.front.found)
    found = document(outcome, options, per_example=False)
    if not as_json and outcome.measured is not None:
        print_document(found, stdout())
    if outcome.lock is None:
        return found.model_copy(update={"exit_code": 2})
    if not as_json:
        print(f"{'wrote' if written else 'unchanged:'} {lock_path(file)}")
    return found


def _preregister(file: Path, options: Options) -> Lock | None:
    from circuitlang import locking

    with progress(False) as bars:
        front, made = locking.preregister(file, options, bars)
    print_diagnostics_of(front.found)
    return made


def _sealed(file: Path, lock: Lock) -> str:
    from circuitlang.lockfile import lock_path

    claims = sum(name.startswith("claim ") for name in lock.meaning.parts)
    runs = lock.plan.runs if lock.plan else 0
    return (
        f"preregistered on {lock.day}: {count(claims, 'claim')} on {count(runs, 'run')}, none of them "
        f"executed; wrote {lock_path(file)}"
    )


def verify(
    file: OneFile,
    as_json: AsJson = False,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="on prompts drawn anew with this seed, not on the locked ones"),
    ] = None,
    device: Device = "cpu",
    dtype: Annotated[
        str | None, typer.Option(metavar="DTYPE", help="float32 or float64, instead of the spec's")
    ] = None,
    chunk: Chunk = None,
    memory: Memory = None,
    stored: Annotated[
        bool, typer.Option("--stored", help="use runs that are stored, and store the others")
    ] = False,
    store: StoreFolder = None,
    against_reference: AgainstReference = False,
) -> None:
    """Run the models again and compare every number of FILE.lock.

    Each difference is held against the numeric noise of both sides and against the sampling error
    that the lock states. Exit code 0: no number and no verdict differs beyond these; 1: some does;
    2: there is no lock of this spec, or a file or model could not be used; 130: interrupted.
    """
    from circuitlang import locking
    from circuitlang.front import Options
    from circuitlang.language.models.statement import DTYPES
    from circuitlang.report.verification import print_verification

    if dtype is not None and dtype not in DTYPES:
        raise typer.BadParameter(f"`{dtype}` is no dtype; there are {' and '.join(DTYPES)}")
    options = Options(
        device=device,
        seed=seed,
        dtype=dtype,
        chunk=chunk,
        memory=memory,
        store=store,
        stored=stored,
        fresh=not stored,
        against_reference=against_reference,
    )
    with progress(as_json) as bars:
        front, found = locking.verify(file, options, bars)
    print_diagnostics_of(front.found)
    if found is None:
        raise typer.Exit(2)
    if as_json:
        print_json([found])
    else:
        print_verification(found, stdout())
    raise typer.Exit(found.exit_code)
