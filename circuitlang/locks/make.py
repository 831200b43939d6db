"""A lock from a check, or before any: what `circ lock` and `circ lock --preregister` write."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from circuitlang.compiler.collect import expand_examples
from circuitlang.front import Front, Options
from circuitlang.lockfile.form import Facts, Lock, Preregistered, lock_path
from circuitlang.lockfile.read import LockProblem, read_lock
from circuitlang.lockfile.write import with_seal, write_lock
from circuitlang.locks.facts import facts_of
from circuitlang.locks.results import locked_claims, locked_reports, now
from circuitlang.locks.stale import changes
from circuitlang.report.outcome import versions


def locked(outcome: Any, options: Options) -> Lock:
    """The lock of a check: its results and what they rest on.

    What was preregistered stays in it. Raises `LockProblem` where the lock beside the spec cannot be
    read, since it may hold a seal.
    """
    before = existing(outcome.path)
    front = outcome.front
    used = {m.reference.name: (m.found, m.device) for m in outcome.measured.models}
    facts = facts_of(front, options, used, whole=True)
    lock = Lock(
        **dict(facts),
        date=now(),
        results=True,
        tool=versions(),
        claims=locked_claims(outcome),
        reports=locked_reports(outcome),
        preregistered=_seal(before, facts) if before is not None else None,
    )
    return with_seal(lock)


def existing(spec: Path) -> Lock | None:
    """The lock beside a spec, if there is any."""
    try:
        return read_lock(lock_path(spec))
    except LockProblem as problem:
        if problem.code == "CL711":
            return None
        raise


def write(spec: Path, lock: Lock) -> bool:
    """Writes the lock unless it says what the one beside the spec says, but for the date."""
    path = lock_path(spec)
    before = existing(spec)
    if before is not None:
        as_before = with_seal(lock.model_copy(update={"date": before.date}))
        if as_before.seal == before.seal:
            return False
    try:
        write_lock(path, lock)
    except OSError as problem:
        raise LockProblem(
            "CL718",
            f"The lock `{path.name}` cannot be written: {problem.strerror or problem}.",
            "free the disk or give the folder write permission; the lock that was there is whole",
        ) from None
    return True


# ---------------------------------------------------------------- preregistration


def preregistered(front: Front, spec: Path, options: Options) -> Lock:
    """The lock of a spec of which nothing is measured yet; `front` has its prompts.

    Raises `LockProblem` where something is: a lock is there, or runs of the spec are stored.
    """
    before = existing(spec)
    if before is not None:
        made = "was locked with its results" if before.results else "was preregistered"
        raise LockProblem(
            "CL717",
            f"The spec {made} on {before.day}, so it cannot be preregistered now.",
            f"`circ lock` goes on from `{lock_path(spec).name}`; a new hypothesis is a new spec",
        )
    stored, needed = _stored_runs(front, options)
    if stored:
        raise LockProblem(
            "CL717",
            f"{stored} of the {needed} runs that the spec needs are measured and stored, so it cannot "
            "be preregistered now.",
            "preregister before the first check; a new hypothesis can be on other prompts (`seed`)",
        )
    return with_seal(
        Lock(
            **dict(facts_of(front, options, whole=True)), date=now(), results=False, tool=versions()
        )
    )


def _stored_runs(front: Front, options: Options) -> tuple[int, int]:
    """How many of the runs that the spec needs are stored, and how many it needs."""
    from circuitlang.front import Silent
    from circuitlang.measuring import needed_runs
    from circuitlang.runner import Runner

    counts = {task: len(drawn.prompts) for (task, _), drawn in front.prompts.items()}
    needed = needed_runs(front, (expand_examples(form, counts) for form, _ in front.asked))
    with closing(Runner(front, options, Silent(), create=False)) as runner:
        batches = runner.batches(needed, front.prompts)
    stored = sum(
        any(batch.keys[run, metric] in batch.records for metric in metrics)
        for batch in batches
        for run, metrics in batch.requests.items()
    )
    return stored, sum(len(batch.requests) for batch in batches)


def _seal(before: Lock, facts: Facts) -> Preregistered | None:
    """The seal of a lock that has one, or is one, with every change since."""
    was = before.sealed
    if was is None:
        if before.results:
            return None
        sealed = {name: getattr(before, name) for name in Facts.model_fields}
        was = Preregistered(**sealed, date=before.date, seal=before.seal)
    since = tuple(str(change) for change in changes(was, facts) if not change.follows)
    own = facts.meaning.parts
    parts = {
        name: part.model_copy(update={"json_": None}) if own.get(name) == part else part
        for name, part in was.meaning.parts.items()
    }
    meaning = was.meaning.model_copy(update={"parts": parts})
    return was.model_copy(update={"changes": since, "meaning": meaning})
