"""What is given on the command line -> a `Side`: a spec, a lock, or either in a git revision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Given:
    """A side, and the lock that it is or that lies beside it."""

    side: Side
    lock: Lock | None = None


def sides(before: str, after: str | None, diagnostics: Diagnostics) -> tuple[Side, Side] | None:
    """Both sides; of one file alone, as it is in HEAD and as it is now. None with errors."""
    if after is None:
        path = Path(before)
        old = _at_revision("HEAD", f"./{path.name}", path.parent, f"HEAD:{before}", diagnostics)
        new = _given(before, diagnostics)
    else:
        old, new = _given(before, diagnostics), _given(after, diagnostics)
    if old is None or new is None:
        return None
    return _decided(old, new), _decided(new, old)


def _decided(one: Given, other: Given) -> Side:
    """With the verdicts of either lock that are of claims which mean the same."""
    locks = [given.lock for given in (other, one) if given.lock is not None]
    found: dict[str, VerdictForm] = {}
    for lock in locks:
        found |= _verdicts(lock, one.side.meaning)
    return replace(one.side, verdicts=found)


def _given(text: str, diagnostics: Diagnostics) -> Given | None:
    path = Path(text)
    revision, colon, inside = text.partition(":")
    if colon and not path.exists():
        return _at_revision(revision, inside, Path(), text, diagnostics)
    return _of_file(path, text, find, diagnostics)


def _at_revision(
    revision: str, path: str, folder: Path, label: str, diagnostics: Diagnostics
) -> Given | None:
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


def _of_file(path: Path, label: str, locate: Locate, diagnostics: Diagnostics) -> Given | None:
    if path.suffix == ".lock":
        return _of_lock(path, label, diagnostics)
    found = Diagnostics()
    source = load(path, found)
    if source is not None:
        front = resolve_source(replace(source, name=label), found, locate)
        if front.resolved is not None and not found.has_errors:
            return Given(Side(label, meaning(front)), _lock_beside(path, diagnostics))
    for finding in found.sorted:
        if finding.severity == "error":
            diagnostics.add(finding)
    return None


def _of_lock(path: Path, label: str, diagnostics: Diagnostics) -> Given | None:
    try:
        lock = read_lock(path)
        return Given(Side(label, meaning_of(lock), rests_on=dict(_ground(lock))), lock)
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


def _lock_beside(path: Path, diagnostics: Diagnostics) -> Lock | None:
    """The lock of a spec, out of date or not; a warning where it cannot be read."""
    locked = lock_path(path)
    if not locked.is_file():
        return None
    try:
        return read_lock(locked)
    except LockProblem as problem:
        diagnostics.warn(problem.code, problem.message, None, problem.help)
        return None


def _verdicts(lock: Lock, stated: Meaning) -> Iterator[tuple[str, VerdictForm]]:
    """Of the claims that meant, when they were decided, what they mean here."""
    parts = lock.meaning.parts
    for name, c in lock.claims.items():
        key = f"{c.kind} {name}"
        entry = stated.entries.get(key)
        if entry is not None and key in parts and parts[key].digest == digest(entry.content):
            verdict = VerdictForm(
                verdict=c.verdict, ok=c.ok, value=c.value, low=c.low, high=c.high, n=c.n
            )
            yield name, verdict


def _ground(lock: Lock) -> Iterator[tuple[str, dict[str, str]]]:
    for name, model in lock.models.items():
        commit = {"commit": model.commit} if model.commit else {}
        yield f"model {name}", commit or dict(model.files)
    for task in lock.tasks.values():
        yield f"task {task.task}", {f"prompts of {task.model}": task.prompts_digest}
