"""Reading the files that a spec names: only inside its folder, bounded, UTF-8; and replacing one."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tempfile
from pathlib import Path

from circuitlang.language.diagnostics import Diagnostics, suggestion
from circuitlang.language.source import Span

LARGEST = 20_000_000


def read_inside(name: str, folder: Path, span: Span, diagnostics: Diagnostics) -> str:
    """The text of `name` inside `folder`; anything else is a recorded error and a `Reject`."""
    _, content = read_bytes_inside(name, folder, span, diagnostics, LARGEST)
    try:
        return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8").read()
    except UnicodeDecodeError:
        raise diagnostics.reject(
            "CL112", f"`{name}` is not UTF-8 text.", span, "save it as UTF-8"
        ) from None


def read_bytes_inside(
    name: str, folder: Path, span: Span, diagnostics: Diagnostics, largest: int
) -> tuple[Path, bytes]:
    """Where `name` lies inside `folder`, and its at most `largest` bytes, or what an editor has.

    What was read is kept in `diagnostics.read`.
    """
    root = folder.resolve()
    try:
        path = (root / name).resolve()
        inside = path.is_relative_to(root)
    except (OSError, ValueError, RuntimeError):
        raise diagnostics.reject("CL110", f"`{name}` is not a file name.", span) from None
    if not inside:
        raise diagnostics.reject(
            "CL111",
            f"`{name}` lies outside the spec's folder.",
            span,
            "copy the file beside the spec; a spec reads nothing else",
        )
    content = _content(path, name, span, diagnostics, largest)
    diagnostics.read[path] = hashlib.sha256(content).hexdigest()
    return path, content


def _content(path: Path, name: str, span: Span, diagnostics: Diagnostics, largest: int) -> bytes:
    if (unsaved := span.source.unsaved.get(path)) is not None:
        return unsaved.encode("utf-8", "surrogatepass")
    try:
        if not path.is_file():
            raise diagnostics.reject(
                "CL110",
                f"There is no file `{name}` beside the spec.",
                span,
                _neighbour(path),
            )
        if path.stat().st_size > largest:
            raise diagnostics.reject(
                "CL110",
                f"`{name}` is larger than {largest // 1_000_000} MB.",
                span,
                "keep the part that the spec needs",
            )
        return path.read_bytes()
    except OSError as problem:
        reason = problem.strerror or "it cannot be read"
        raise diagnostics.reject("CL110", f"`{name}`: {reason}.", span) from None


def _neighbour(path: Path) -> str:
    try:
        names = [p.name for p in path.parent.iterdir() if p.is_file()]
    except OSError:
        names = []
    return suggestion(path.name, names) or "files are named from the spec's folder on"


def replace_file(path: Path, text: str) -> None:
    """Writes a file whole: a full disk or a Ctrl-C leaves the old one. Raises `OSError`."""
    path = path.resolve()
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    written = Path(name)
    try:
        with open(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        written.chmod(_mode(path))
        written.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            written.unlink(missing_ok=True)
        raise


def _mode(path: Path) -> int:
    """The permissions of the file, or those that a new one gets."""
    with contextlib.suppress(OSError):
        return path.stat().st_mode & 0o7777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
