"""Locks of specs: made from a check, sealed before any, held against a new one.

circ lock               check --> lock beside the spec
circ lock --preregister front --> lock without results
circ verify             lock, new check --> every number compared
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from circuitlang.front import Front, Options, Progress, fetched_front
from circuitlang.language.diagnostics import Diagnostics
from circuitlang.lockfile import Lock, LockProblem
from circuitlang.locks.demand import add_problem
from circuitlang.locks.make import existing, locked, preregistered, write
from circuitlang.locks.verify import unchanged, verification
from circuitlang.pipeline import Outcome, check
from circuitlang.report.verification import VerificationDocument


def lock(path: Path, options: Options, progress: Progress) -> tuple[Outcome, bool]:
    """A check with its lock, and whether that was written: not where the old one says the same.

    An outcome without lock was stopped by something; see diagnostics.
    """
    outcome = Outcome(path, Front(Diagnostics()), 0.0)
    try:
        existing(path)
        outcome = check(path, options, progress)
        if outcome.measured is None:
            return outcome, False
        made = locked(outcome, options)
        return replace(outcome, lock=made), write(path, made)
    except LockProblem as problem:
        add_problem(outcome.front.diagnostics, problem)
        return outcome, False


def preregister(path: Path, options: Options, progress: Progress) -> tuple[Front, Lock | None]:
    """Seals a spec before any of its runs is executed."""
    front = fetched_front(path, options, progress)
    if front.resolved is None or front.diagnostics.has_errors:
        return front, None
    try:
        made = preregistered(front, path, options)
        write(path, made)
    except LockProblem as problem:
        add_problem(front.diagnostics, problem)
        return front, None
    return front, made


def verify(
    path: Path, options: Options, progress: Progress
) -> tuple[Front, VerificationDocument | None]:
    """A new check held against the lock; without document something stopped it."""
    front, before = unchanged(path)
    if before is None:
        return front, None
    outcome = check(path, options, progress)
    if outcome.measured is None:
        return outcome.front, None
    return outcome.front, verification(before, outcome, options)
