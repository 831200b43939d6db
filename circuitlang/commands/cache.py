"""`circ cache`: what is stored, whether it is sound, and dropping what is not needed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from circuitlang.commands.options import AsJson
from circuitlang.commands.printing import print_diagnostics_of, print_json, stdout

if TYPE_CHECKING:
    from circuitlang.language.diagnostics import Diagnostic
    from circuitlang.store.database import Database
    from circuitlang.store.maintenance import Pruning

SECONDS = {"h": 3_600, "d": 86_400, "w": 7 * 86_400}
Where = Annotated[
    Path | None,
    typer.Argument(help="a spec, or a folder; else the current folder", metavar="PATH"),
]

app = typer.Typer(
    help="List, verify and prune the store of runs (.circ).",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def duration(text: str) -> int:
    """Seconds in an age such as 30d; raises `typer.BadParameter`."""
    match = re.fullmatch(r"(\d{1,5})([hdw])", text.strip())
    if match is None:
        raise typer.BadParameter(f"`{text}` is no age; write one like 12h, 30d or 8w")
    return int(match[1]) * SECONDS[match[2]]


@app.command("list")
def list_store(where: Where = None, as_json: AsJson = False) -> None:
    """Print what is stored: numbers by model and task, and the last check of each spec."""
    from circuitlang.report.stored import print_store
    from circuitlang.store.maintenance import contents

    with _opened(where) as store:
        form = contents(store)
    if as_json:
        print_json([form])
    else:
        print_store(form, stdout())


@app.command()
def verify(where: Where = None, as_json: AsJson = False) -> None:
    """Look at every page and the seal of every record.

    Exit code 0: all is as it was written; 1: something is damaged; 2: there is no store to look at.
    """
    from circuitlang.store.maintenance import verify

    with _opened(where) as store:
        form = verify(store)
    if as_json:
        print_json([form])
    if form.sound:
        if not as_json:
            print(f"{form.store}: {form.records} records, all sound")
        return
    pages = f", and SQLite says: {form.pages[0]}" if form.pages else ""
    message = f"{form.damaged} of {form.records} records in `{form.store}` are damaged{pages}."
    help = "checks execute them again; delete the file to store all anew"
    print_diagnostics_of([_error("CL734", message, help)])
    raise typer.Exit(1)


@app.command()
def prune(
    where: Where = None,
    older_than: Annotated[
        int | None,
        typer.Option(parser=duration, metavar="AGE", help="drop what was written so long ago: 30d"),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="drop everything")] = False,
    keep: Annotated[
        list[Path] | None,
        typer.Option(metavar="SPEC", help="keep what this spec uses (may be repeated)"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="drop nothing; say what would be dropped")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Drop stored runs, and give the disk back what they took.

    With --keep alone all that these specs do not use is dropped; with --older-than, too, only what
    is old of it. Chunks of an execution whose runs are stored whole are always dropped.
    """
    from circuitlang.report.stored import pruned_text
    from circuitlang.store.maintenance import prune

    if everything == bool(older_than is not None or keep):
        raise typer.BadParameter("say what to drop: --older-than AGE, --keep SPEC or --all")
    with _opened(where) as store:
        form = prune(store, _pruning(store, older_than, keep or []), dry_run=dry_run)
    if as_json:
        print_json([form])
    else:
        print(pruned_text(form))


def _pruning(store: Database, older_than: int | None, keep: list[Path]) -> Pruning:
    """What the options say to drop."""
    from circuitlang.store.maintenance import Pruning
    from circuitlang.store.results import last_result, name_of

    keys: set[bytes] = set()
    for spec in keep:
        result = last_result(store, spec)
        if result is None:
            message = f"The store has no check of `{spec}`, so what it uses is not known."
            help = "check it first (all claims, with the spec's own sample), then prune"
            print_diagnostics_of([_error("CL735", message, help)])
            raise typer.Exit(2)
        keys |= result.keys
    before = None if older_than is None else int(time.time()) - older_than
    return Pruning(before, frozenset(keys), frozenset(name_of(store, spec) for spec in keep))


@contextmanager
def _opened(where: Path | None) -> Iterator[Database]:
    """The store that is meant; prints why it cannot be used, and exits."""
    from circuitlang.store import Store
    from circuitlang.store.database import FILE

    folder, found = _folder(where), []
    if where is not None and not where.exists():
        found.append(_error("CL732", f"There is no `{where}`.", "name a spec or a folder"))

    def complain(code: str, reason: str, help: str) -> None:
        found.append(_error("CL733", f"The store `{folder / FILE}`: {reason}.", help))

    store = Store(None if found else folder, complain, create=False)
    if not store.usable and not found:
        help = "name a spec, or the folder that has its .circ; `circ check` makes a store"
        found.append(_error("CL732", f"There is no store in `{folder}`.", help))
    try:
        if not found:
            yield store
    finally:
        store.close()
    if found:
        print_diagnostics_of(found)
        raise typer.Exit(2)


def _folder(where: Path | None) -> Path:
    from circuitlang.store.database import FILE, FOLDER

    if where is None:
        return Path(FOLDER)
    if (where / FILE).exists():
        return where
    return (where if where.is_dir() else where.parent) / FOLDER


def _error(code: str, message: str, help: str) -> Diagnostic:
    from circuitlang.language.diagnostics import Diagnostic

    return Diagnostic(code, message, None, help)
