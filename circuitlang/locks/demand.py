"""What `circ check --locked` and `--frozen` demand: a lock that says what the spec says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from circuitlang.front import (
    Front,
    Options,
    Progress,
    ask_for_claims,
    chosen_claims,
    draw_prompts,
    fetched_front,
    pairs_used,
    resolve_file,
)
from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.models.find import Found, ModelNotFound, find
from circuitlang.language.models.statement import Locate
from circuitlang.language.resolve import load
from circuitlang.lockfile.form import Lock, lock_path
from circuitlang.lockfile.read import LockProblem, read_lock
from circuitlang.locks.facts import facts_of
from circuitlang.locks.results import locked_document, shape_of
from circuitlang.locks.stale import Change, changes, in_words, places
from circuitlang.report.outcome import versions

if TYPE_CHECKING:
    from circuitlang.report.document import CheckDocument


def add_problem(diagnostics: Diagnostics, problem: LockProblem) -> None:
    diagnostics.error(problem.code, problem.message, None, problem.help)


def read_for(spec: Path, diagnostics: Diagnostics) -> Lock | None:
    """The lock beside a spec; what is wrong with either becomes an error."""
    if load(spec, diagnostics) is None:
        return None
    try:
        return read_lock(lock_path(spec))
    except LockProblem as problem:
        add_problem(diagnostics, problem)
        return None


def locked_front(spec: Path, options: Options, progress: Progress) -> tuple[Front, Lock | None]:
    """The spec with its prompts, and its lock; an error where the spec is not what was locked."""
    diagnostics = Diagnostics()
    lock = read_for(spec, diagnostics)
    if lock is None:
        return Front(diagnostics), None
    front = fetched_front(spec, replace(options, claims=()), progress)
    if front.resolved is None or front.diagnostics.has_errors:
        return front, None
    stale_error(front, lock, spec, changes(lock, facts_of(front, options)))
    _note_versions(lock, front.diagnostics)
    ask_for_claims(front, options)
    return front, lock


def stale_error(front: Front, lock: Lock, spec: Path, found: list[Change]) -> None:
    if found:
        span, related = places(front, found)
        front.diagnostics.error(
            "CL716",
            f"The lock of {lock.day} is out of date: {in_words(found)}.",
            span,
            f"`circ lock {spec}` decides the claims anew, unless the change was not meant",
            related,
        )


def _note_versions(lock: Lock, diagnostics: Diagnostics) -> None:
    """Other versions of what computes numbers leave a lock valid."""
    here = versions()
    other = [
        f"{name} {was} (here {here[name]})"
        for name, was in lock.tool.items()
        if name != "python" and here.get(name, was) != was
    ]
    if other:
        diagnostics.note(
            "CL720",
            f"It was locked with {', '.join(other)}.",
            None,
            "`circ verify` says whether the numbers are the same here",
        )


# ---------------------------------------------------------------- frozen


def frozen(spec: Path, options: Options) -> tuple[Front, CheckDocument | None]:
    """The table of the lock, if the spec still says what was locked; runs and fetches nothing."""
    diagnostics = Diagnostics()
    lock = read_for(spec, diagnostics)
    if lock is None:
        return Front(diagnostics), None
    front = resolve_file(spec, locate_as_locked(lock))
    if front.resolved is None or front.diagnostics.has_errors:
        return front, None
    return front, _as_locked(front, lock, spec, options)


def _as_locked(front: Front, lock: Lock, spec: Path, options: Options) -> CheckDocument | None:
    assert front.resolved is not None
    refuse_without_results(lock, spec, front.diagnostics)
    _draw_offline(front)
    stale_error(front, lock, spec, [c for c in changes(lock, facts_of(front)) if not c.of_model])
    chosen_claims(front.resolved, options.claims, front.diagnostics)
    if front.diagnostics.has_errors:
        return None
    return locked_document(front, lock, spec, options.claims)


def refuse_without_results(lock: Lock, spec: Path, diagnostics: Diagnostics) -> None:
    if not lock.results:
        diagnostics.error(
            "CL721",
            f"The lock of {lock.day} has no results: the spec was only preregistered.",
            None,
            f"`circ lock {spec}` decides the claims and keeps the seal",
        )


def locate_as_locked(lock: Lock) -> Locate:
    """Finds models as ever; those that are not on this machine have the shape that was locked."""
    shapes = {model.reference: (model.title, shape_of(model)) for model in lock.models.values()}

    def locate(reference: str, revision: str | None, base: Path) -> Found:
        try:
            found = find(reference, revision, base)
        except ModelNotFound:
            if reference not in shapes:
                raise
            return Found("locked", shapes[reference][0], shape=shapes[reference][1])
        if found.shape is None and reference in shapes:
            return replace(found, shape=shapes[reference][1])
        return found

    return locate


def _draw_offline(front: Front) -> None:
    """Draws the prompts where the tokenizer of every model is on this machine."""
    assert front.resolved is not None
    found = front.resolved.found
    if all(found[name].tokenizer is not None for _, name in pairs_used(front)):
        draw_prompts(front, Options())
