"""The last check of each spec: its document, and the keys of the runs that it used."""

from __future__ import annotations

import hashlib
import json
import os
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from circuitlang.report.document import CheckDocument
from circuitlang.store.database import ANEW, NOT_READ, Database

KEY = 32
LARGEST = 256 * 2**20
KEEP = "INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?)"
SELECT = "SELECT spec, result, keys, kept, seal FROM results WHERE spec = ?"


@dataclass(frozen=True)
class Result:
    """The last check of all claims of a spec.

    `meaning` is the digest of what the spec meant then, `kept` seconds since 1970, `keys` the runs
    that it used.
    """

    document: CheckDocument
    meaning: str
    kept: int
    keys: frozenset[bytes]

    @property
    def found(self) -> tuple[object, ...]:
        """What another check may find again."""
        return self.meaning, self.keys, self.document.claims, self.document.reports


def name_of(store: Database, spec: Path) -> str:
    """The spec's path from the store's folder, so that both can be moved together."""
    assert store.folder is not None
    return Path(os.path.relpath(spec.resolve(), store.folder.resolve())).as_posix()


def keep_result(
    store: Database, spec: Path, document: CheckDocument, meaning: str, keys: Iterable[bytes]
) -> None:
    """Replaces what is stored of an earlier check of the spec, unless that found the same."""
    used = frozenset(keys)
    before = last_result(store, spec)
    found = (meaning, used, document.claims, document.reports)
    if before is not None and found == before.found:
        return
    text = json.dumps([meaning, document.model_dump_json(by_alias=True)])
    result, joined = zlib.compress(text.encode()), b"".join(sorted(used))
    name, kept = name_of(store, spec), int(time.time())
    row = (name, result, joined, kept, _seal(name, result, joined, kept))
    store.change([(KEEP, row)])


def last_result(store: Database, spec: Path) -> Result | None:
    """What the last check of a spec found; None where there is none that can be believed."""
    if not store.usable:
        return None
    for row in store.rows(SELECT, (name_of(store, spec),)):
        found = result_of(*row)
        if found is None:
            store.complain(NOT_READ, "a damaged result was left aside", ANEW)
        return found
    return None


def result_of(
    spec: object, result: object, keys: object, kept: object, seal: object
) -> Result | None:
    """The result in a row; None where the row is not what this version wrote."""
    if not isinstance(spec, str) or not isinstance(result, bytes):
        return None
    if not isinstance(keys, bytes) or not isinstance(kept, int) or len(keys) % KEY:
        return None
    if seal != _seal(spec, result, keys, kept):
        return None
    try:
        text = zlib.decompressobj().decompress(result, LARGEST)
        meaning, document = json.loads(text)
        found = CheckDocument.model_validate_json(document)
    except (zlib.error, ValueError, TypeError, ValidationError):
        return None
    used = frozenset(keys[start : start + KEY] for start in range(0, len(keys), KEY))
    return Result(found, str(meaning), kept, used)


def _seal(spec: str, result: bytes, keys: bytes, kept: int) -> bytes:
    parts = (spec.encode(), result, keys, str(kept).encode())
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()
