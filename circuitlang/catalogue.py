"""Folders to the specs in them, each with what was last found of it: `circ list`.

What a lock says comes first, else the last check in the store. No model or tokenizer is looked at.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from circuitlang.front import Front, resolve_file
from circuitlang.language.diagnostics import Diagnostic
from circuitlang.lockfile.form import Lock, lock_path
from circuitlang.lockfile.read import LockProblem, read_lock
from circuitlang.locks.facts import facts_of
from circuitlang.locks.stale import changes
from circuitlang.report.catalogue import CatalogueForm, ListedForm, verdicts
from circuitlang.report.stored import moment
from circuitlang.store import FOLDER, Store
from circuitlang.store.results import Result, last_result

SUFFIX = ".circ"


def catalogue(paths: Iterable[Path], store: Path | None = None) -> CatalogueForm:
    """The specs in files and folders; `store` stands in for the folder beside each.

    A path that does not exist gives nothing; see `missing`.
    """
    files = dict.fromkeys(file for path in paths for file in _specs(path))
    return CatalogueForm(specs=tuple(_listed(file, store) for file in files))


def missing(paths: Iterable[Path]) -> list[Diagnostic]:
    """An error for each path that does not exist."""
    help = "give .circ files, or folders that have some"
    return [
        Diagnostic("CL110", f"There is no file or folder `{path}`.", None, help)
        for path in paths
        if not path.exists()
    ]


def _specs(path: Path) -> Iterator[Path]:
    """The path itself, or the specs under a folder, without what is hidden."""
    if path.is_file():
        yield path
    for folder, below, files in os.walk(path):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(files):
            if name.endswith(SUFFIX) and not name.startswith("."):
                yield Path(folder, name)


def _listed(file: Path, store: Path | None) -> ListedForm:
    """A spec that breaks whatever reads it is one with an error, and the others are still listed."""
    try:
        front = resolve_file(file)
    except Exception:
        return ListedForm(file=str(file), spec=None, errors=1)
    if front.resolved is None:
        errors = sum(d.severity == "error" for d in front.found)
        return ListedForm(file=str(file), spec=None, errors=max(errors, 1))
    spec = front.resolved.spec
    form = ListedForm(
        file=str(file),
        spec=spec.name,
        version=spec.version,
        models=tuple(model.reference for model in spec.models.values()),
        claims=sum(claim.kind == "claim" for claim in spec.claims),
        errors=sum(d.severity == "error" for d in front.found),
    )
    return form if form.errors else form.model_copy(update=_last(front, file, store))


def _last(front: Front, file: Path, folder: Path | None) -> dict[str, object]:
    """What was last found: by the lock where there is one, else by the store."""
    if lock_path(file).exists():
        try:
            return _locked(front, read_lock(lock_path(file)))
        except LockProblem as problem:
            return {"source": "lock", "problem": f"{problem.message} [{problem.code}]"}
    problems: list[str] = []

    def complain(code: str, reason: str, help: str) -> None:
        problems.append(f"The store: {reason}. [{code}]")

    with closing(Store(folder or file.parent / FOLDER, complain, create=False)) as store:
        result = last_result(store, file)
    if result is None:
        return {"problem": problems[0]} if problems else {}
    return _stored(front, result)


def _locked(front: Front, lock: Lock) -> dict[str, object]:
    found = [str(change) for change in changes(lock, facts_of(front))]
    return {
        "source": "lock",
        "checked": lock.date,
        "preregistered": not lock.results,
        "verdicts": verdicts(lock.claims.values()) if lock.results else None,
        "stale": bool(found),
        "changes": tuple(found),
    }


def _stored(front: Front, result: Result) -> dict[str, object]:
    return {
        "source": "store",
        "checked": moment(result.kept),
        "verdicts": verdicts(result.document.claims),
        "stale": result.meaning != facts_of(front).meaning.digest,
    }
