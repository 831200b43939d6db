"""Files that commands write for the user: replaced whole, never what they read; `-` for stdout."""

from __future__ import annotations

from pathlib import Path

from circuitlang.commands.printing import print_diagnostics_of

STDOUT = Path("-")


def write_target(target: Path, text: str, spec: Path, code: str, help: str) -> bool:
    """Writes it and says so; an error with `code` and `help`, and False, where that cannot be."""
    from circuitlang.language.files import replace_file

    if target == STDOUT:
        print(text, end="")
        return True
    try:
        reason = _obstacle(target, spec)
        if reason is None:
            replace_file(target, text)
    except (OSError, RuntimeError, ValueError) as problem:  # a link to itself is a RuntimeError
        reason = getattr(problem, "strerror", None) or str(problem)
    if reason is None:
        print(f"wrote {target}")
        return True
    from circuitlang.language.diagnostics import Diagnostic

    print_diagnostics_of([Diagnostic(code, f"`{target}` cannot be written: {reason}.", None, help)])
    return False


def _is_read(target: Path, spec: Path) -> bool:
    """Whether it is the spec's lock, or a file that the spec is read with."""
    from circuitlang.front import resolve_file
    from circuitlang.lockfile.form import lock_path

    needed = (lock_path(spec), *resolve_file(spec).diagnostics.read)
    return any(path.exists() and target.samefile(path) for path in needed)


def _obstacle(target: Path, spec: Path) -> str | None:
    if target.exists() and target.samefile(spec):
        return "it is the spec itself"
    if target.is_file() and _is_read(target, spec):
        return "the spec needs it"
    if target.is_dir():
        return "it is a folder"
    if target.exists() and not target.is_file():
        return "it is no regular file"
    return None if target.parent.is_dir() else f"there is no folder `{target.parent}`"
