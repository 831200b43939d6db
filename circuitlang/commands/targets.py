"""Files that commands write for the user: replaced whole, never what they read; `-` for stdout."""

from __future__ import annotations

from pathlib import Path

from circuitlang.commands.printing import print_diagnostics_of

STDOUT = Path("-")
# A link to itself is a RuntimeError.
_UNWRITABLE = (OSError, RuntimeError, ValueError)


def write_target(target: Path, text: str, spec: Path, code: str, help: str) -> bool:
    """Writes it and says so; an error with `code` and `help`, and False, where that cannot be."""
    from circuitlang.language.files import replace_file

    if target == STDOUT:
        print(text, end="")
        return True
    if not is_writable(target, spec, code, help):
        return False
    try:
        replace_file(target, text)
    except _UNWRITABLE as problem:
        return refuse(target, _reason(problem), code, help)
    print(f"wrote {target}")
    return True


def is_writable(target: Path, spec: Path, code: str, help: str) -> bool:
    """Whether something may be written there, as far as can be told beforehand; else an error."""
    try:
        reason = None if target == STDOUT else _obstacle(target, spec)
    except _UNWRITABLE as problem:
        reason = _reason(problem)
    return reason is None or refuse(target, reason, code, help)


def _reason(problem: Exception) -> str:
    return getattr(problem, "strerror", None) or str(problem)


def refuse(target: Path, reason: str, code: str, help: str) -> bool:
    """Says that it cannot be written; False."""
    from circuitlang.language.diagnostics import Diagnostic

    print_diagnostics_of([Diagnostic(code, f"`{target}` cannot be written: {reason}.", None, help)])
    return False


def is_read(target: Path, spec: Path) -> bool:
    """Whether it is a file that the spec is read with."""
    from circuitlang.front import resolve_file

    return any(p.exists() and target.samefile(p) for p in resolve_file(spec).diagnostics.read)


def _obstacle(target: Path, spec: Path) -> str | None:
    from circuitlang.lockfile.form import lock_path

    if target.exists() and spec.exists() and target.samefile(spec):
        return "it is the spec itself"
    lock = lock_path(spec)
    is_lock = lock.exists() and target.exists() and target.samefile(lock)
    if target.is_file() and (is_lock or is_read(target, spec)):
        return "the spec needs it"
    if target.is_dir():
        return "it is a folder"
    if target.exists() and not target.is_file():
        return "it is no regular file"
    return None if target.parent.is_dir() else f"there is no folder `{target.parent}`"
