"""A lock as TOML text, one number a line, and that text into its file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit

from circuitlang.language.files import replace_file
from circuitlang.lockfile.form import Lock
from circuitlang.lockfile.seal import seal_of

HEADING = "# Written by `circ lock`, to be kept beside the spec. An edited lock is refused.\n"
FIRST = (
    "version", "spec", "spec_version", "title", "authors", "doi", "date", "results", "plan", "tool",
)  # fmt: skip
LAST = ("meaning", "preregistered")


def lock_text(lock: Lock) -> str:
    """The file's text, sealed anew."""
    content = _content(lock)
    sealed = {**content, "seal": {"digest": seal_of(content)}}
    return HEADING + tomlkit.dumps(_quoted(sealed))


def with_seal(lock: Lock) -> Lock:
    """The lock with the seal that its file has."""
    return lock.model_copy(update={"seal": seal_of(_content(lock))})


def write_lock(path: Path, lock: Lock) -> None:
    """Replaces the file whole; raises `OSError`."""
    replace_file(path, lock_text(lock))


def _content(lock: Lock) -> dict[str, Any]:
    """What TOML can hold of it: no empty value, and text that UTF-8 can write."""
    found = lock.model_dump(by_alias=True, exclude={"seal"})
    rest = [name for name in found if name not in (*FIRST, *LAST)]
    ordered = {name: found[name] for name in (*FIRST, *rest, *LAST)}
    content: dict[str, Any] = _plain(ordered)
    return content


def _plain(value: Any) -> Any:
    match value:
        case Mapping():
            return {_text(name): _plain(v) for name, v in value.items() if not _empty(v)}
        case tuple() | list():
            return [_plain(part) for part in value]
        case str():
            return _text(value)
    return value


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, (dict, tuple)) and not value)


def _text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _quoted(value: Any, name: str = "") -> Any:
    """With JSON in single quotes where it can stand there: nothing in it is escaped again."""
    match value:
        case dict():
            return {n: _quoted(v, n) for n, v in value.items()}
        case str() if name == "json" and "'" not in value and value.isprintable():
            return tomlkit.string(value, literal=True)
    return value
