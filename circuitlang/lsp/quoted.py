"""What can be written in quotes: slots in a prompt's braces, models, files, words that are texts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lsprotocol.types import CompletionItemKind as Kind

from circuitlang.language.formulas.wrappers import SAMPLERS
from circuitlang.language.models.known import KNOWN, SMOLLM2
from circuitlang.language.models.statement import DTYPES
from circuitlang.lsp.cursor import Cursor
from circuitlang.lsp.suggestions import Suggestion, own
from circuitlang.lsp.text import end_of

_HOLE = re.compile(r"\{\s*(\w*)$")
_TEXTS = {
    "dtype": DTYPES,
    "sampler": SAMPLERS,
    "scores": ("signed", "absolute"),
    "guarantee": ("finite-sample",),
}
_ENDINGS = {
    "file": (".txt",),
    "rows": (".jsonl", ".ndjson", ".json", ".csv", ".tsv"),
    "edges_from": (".json",),
    "constants": (".safetensors",),
    "import": (".circ",),
}


def in_quotes(cursor: Cursor) -> tuple[int, list[Suggestion]]:
    """Where what is completed begins, and what it can be."""
    assert cursor.string is not None
    inside = cursor.text.text[cursor.string : cursor.offset].lstrip('"')
    hole, task = _HOLE.search(inside), cursor.task
    if hole is not None and task is not None:
        return cursor.offset - len(hole[1]), list(own(task, "slot", "label"))
    before = [t for t in cursor.text.tokens if end_of(t) <= cursor.string]
    words = [*([""] * 3), *map(str, before[-3:])]
    return cursor.offset - len(inside), list(_texts(cursor, inside, words))


def _texts(cursor: Cursor, inside: str, before: list[str]) -> Iterator[Suggestion]:
    """By the words before the quotes: `dtype "`, `sampler = "`, `model x = "`, `file("`."""
    last = before[-2] if before[-1] in ("=", "(") else before[-1]
    if last in _TEXTS:
        yield from (Suggestion(text, Kind.Value) for text in _TEXTS[last])
    elif "model" in (before[-1], before[-3] if before[-1] == "=" else ""):
        if inside.startswith("."):
            yield from _paths(cursor, inside, ())
        else:
            yield from (Suggestion(name, Kind.Module) for name in ("toy", SMOLLM2, *KNOWN))
    elif last in _ENDINGS:
        yield from _paths(cursor, inside, _ENDINGS[last])


def _paths(cursor: Cursor, inside: str, endings: tuple[str, ...]) -> Iterator[Suggestion]:
    """Folders, and files with these endings, in the folder that is written so far."""
    written = inside[: inside.rfind("/") + 1]
    home = cursor.text.source.folder.resolve()
    try:
        folder = (home / written).resolve()
        found = sorted(folder.iterdir()) if folder.is_relative_to(home) else []
        folders = [p.name for p in found if p.is_dir() and not p.name.startswith(".")]
    except (OSError, ValueError):
        return
    for path in found:
        if path.name in folders:
            yield Suggestion(f"{written}{path.name}/", Kind.Folder)
        elif path.suffix in endings and path != home / cursor.text.source.name:
            yield Suggestion(f"{written}{path.name}", Kind.File)
