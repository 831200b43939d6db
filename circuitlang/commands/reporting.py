"""`circ report`: a check as a page to hand on, and its circuit as a figure."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from circuitlang.commands.options import (
    Chunk,
    ClaimNames,
    Device,
    Fresh,
    Memory,
    NoStore,
    OneFile,
    Quick,
    Samples,
    Seed,
    StoreFolder,
)
from circuitlang.commands.printing import finished, print_diagnostics_of, progress

if TYPE_CHECKING:
    from circuitlang.reporting import Written


def report(
    file: OneFile,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="PAGE", help="the page to write [FILE's name.html]"),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option("--svg", metavar="FIGURE", help="write a circuit as SVG; runs nothing"),
    ] = None,
    circuit: Annotated[
        str | None, typer.Option(help="the circuit that --svg draws, instead of the first")
    ] = None,
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
    """Check a spec and write what came of it as one HTML page, which needs no network.

    With --svg only the circuit is drawn, unless -o asks for the page too. Exit code as of `check`:
    a page is written of claims that fail, too, and none where nothing could be run.
    """
    from circuitlang import reporting
    from circuitlang.front import Options

    options = Options(
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
    code, draws = 0, figure is not None or circuit is not None
    if draws:
        target = figure or Path(f"{file.stem}.svg")
        code = _finish(reporting.drawing(file, circuit), target, file)
    if not draws or (output is not None and code == 0):
        target = output or Path(f"{file.stem}.html")
        with progress(False) as bars:
            written = reporting.page(file, options, bars)
        code = _finish(written, target, file)
    raise typer.Exit(code)


def _finish(written: Written, target: Path, spec: Path) -> int:
    """Says what was found and writes what there is; the exit code."""
    print_diagnostics_of(finished(written.found))
    if written.text is None:
        return written.exit_code
    try:
        reason = _obstacle(target, spec)
        if reason is None:
            _write(target.resolve(), written.text)
    except (OSError, RuntimeError) as problem:  # a link to itself is a RuntimeError
        reason = getattr(problem, "strerror", None) or str(problem)
    if reason:
        from circuitlang.language.diagnostics import Diagnostic

        message = f"`{target}` cannot be written: {reason}."
        help = "name another file with -o or --svg"
        print_diagnostics_of([Diagnostic("CL741", message, None, help)])
        return 2
    print(f"wrote {target}")
    return written.exit_code


def _obstacle(target: Path, spec: Path) -> str | None:
    if target.exists() and target.samefile(spec):
        return "it is the spec itself"
    if target.is_dir():
        return "it is a folder"
    if target.exists() and not target.is_file():
        return "it is no regular file"
    return None if target.parent.is_dir() else f"there is no folder `{target.parent}`"


def _write(target: Path, text: str) -> None:
    """Replaces a file whole, so that a full disk leaves the old one; raises OSError."""
    written = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", newline="\n", dir=target.parent, prefix=".circ-", delete=False
        ) as file:
            written = Path(file.name)
            file.write(text)
        written.chmod(target.stat().st_mode if target.exists() else 0o666 & ~_mask())
        written.replace(target)
    except BaseException:
        if written is not None:
            written.unlink(missing_ok=True)
        raise


def _mask() -> int:
    """What the user's new files lack of permissions."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
