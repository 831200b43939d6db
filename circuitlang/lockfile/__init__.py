"""`SPEC.lock`: what was checked, and what came of it, as a file beside the spec.

A lock is TOML: top-level facts, then one table for each model, task, claim and reported number, one
number a line. `[meaning.parts."claim faithful"]` holds one entry of the spec's meaning, as canonical
JSON (RFC 8785) in `json` with the `digest` of its content, and `[meaning]` the rest of it:
`Meaning.model_validate(lock.meaning.document)` gives it back. `lock.claims` and `lock.reports` hold
what came of it; `lock.sealed` is the spec as it was preregistered, its `meaning` too. The last table,
`[seal]`, has the SHA-256 of everything above it. Here the file is read and written; what it says is
worked out in `circuitlang.locks`. Nothing here needs torch or numpy.
"""

from circuitlang.lockfile.form import Lock, LockedClaim, LockedNumber, lock_path
from circuitlang.lockfile.read import LockProblem, read_lock
from circuitlang.lockfile.write import lock_text, write_lock

__all__ = [
    "Lock",
    "LockProblem",
    "LockedClaim",
    "LockedNumber",
    "lock_path",
    "lock_text",
    "read_lock",
    "write_lock",
]
