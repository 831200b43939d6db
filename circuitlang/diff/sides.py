"""What is given on the command line -> a `Side`: a spec, a lock, or either in a git revision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from circuitlang.diff.compare import Side
from circuitlang.diff.revisions import Laid, RevisionProblem, laid_out
from circuitlang.front import resolve_source
from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.models.find import Found, ModelNotFound, find
from circuitlang.language.models.statement import Locate
from circuitlang.language.resolve import load
from circuitlang.lockfile import Lock, LockProblem, lock_path, read_lock
from circuitlang.meaning import Meaning, digest, meaning
from circuitlang.report.diff.document import VerdictForm


def sides(before: str, after: str | None, diagnostics: Diagnostics) -> tuple[Side, Side] | None:
    """Both sides; of one file alone, as it is in HEAD and as it is now. None with errors."""
    if after is None:
        path = Path(before)
        old = _at_revision("HEAD", f"./{path.name}", path.parent, f"HEAD:{before}", diagnostics)
        new = side(before, diagnostics)
    else:
        old, new = side(before, diagnostics), side(after, diagnostics)
    return None if old is None or new is None else (old, new)


def side(text: str, diagnostics: Diagnostics) -> Side | None:
    """None with errors."""
    path = Path(text)
    revision, colon, inside = text.partition(":")
    if colon and not path.exists():
        return _at_revision(revision, inside, Path(), text, diagnostics)
    return _of_file(path, text, find, diagnostics)


def _at_revision(
    revision: str, path: str, folder: Path, label: str, diagnostics: Diagnostics
) -> Side | None:
    try:
        with laid_out(revision, path, folder) as laid:
            return _of_file(laid.path, label, _locating(laid), diagnostics)
    except RevisionProblem as problem:
        diagnostics.error(problem.code, problem.message, None, problem.help)
        return None


def _locating(laid: Laid) -> Locate:
    """Models are looked for in the revision, then in the checkout: weights are seldom committed."""

    def locate(reference: str, revision: str | None, base: Path) -> Found:
        try:
            return find(reference, revision, base)
        except ModelNotFound:
            here = laid.in_checkout(base)
            if here is None:
                raise
            return find(reference, revision, here)

    return locate


def _of_file(path: Path, label: str, locate: Locate, diagnostics: Diagnostics) -> Side | None:
    if path.suffix == ".lock":
        return _of_lock(path, label, diagnostics)
    found = Diagnostics()
    source = load(path, found)
    if source is not None:
        front = resolve_source(replace(source, name=label), found, locate)
        if front.resolved is not None and not found.has_errors:
            stated = meaning(front)
            return Side(label, stated, _locked_verdicts(path, stated, diagnostics))
    for finding in found.sorted:
        if finding.severity == "error":
            diagnostics.add(finding)
    return None


def _of_lock(path: Path, label: str, diagnostics: Diagnostics) -> Side | None:
    try:
        lock = read_lock(path)
        return Side(label, meaning_of(lock), _verdicts(lock))
    except LockProblem as problem:
        diagnostics.error(problem.code, problem.message, None, problem.help)
    except ValidationError:
        diagnostics.error(
            "CL705",
            f"What the spec means stands in `{label}` in a form that this version does not read.",
            None,
            "compare the specs themselves, or `circ lock` the spec anew",
        )
    return None


def meaning_of(lock: Lock) -> Meaning:
    return Meaning.model_validate(lock.meaning.document)


def _locked_verdicts(
    path: Path, stated: Meaning, diagnostics: Diagnostics
) -> Mapping[str, VerdictForm]:
    """The verdicts of the lock beside a spec, of the claims that mean what they meant then."""
    locked = lock_path(path)
    if not locked.is_file():
        return {}
    try:
        lock = read_lock(locked)
    except LockProblem as problem:
        diagnostics.warn(problem.code, problem.message, None, problem.help)
        return {}
    parts = lock.meaning.parts
    current = {
        key.partition(" ")[2]
        for key, entry in stated.entries.items()
        if key in parts and parts[key].digest == digest(entry.content)
    }
    return {name: verdict for name, verdict in _verdicts(lock).items() if name in current}


def _verdicts(lock: Lock) -> dict[str, VerdictForm]:
    return {
        name: VerdictForm(verdict=c.verdict, ok=c.ok, value=c.value, low=c.low, high=c.high, n=c.n)
        for name, c in lock.claims.items()
    }
