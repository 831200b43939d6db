"""Measured runs: whole ones, and the parts of those whose execution has not ended."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from circuitlang.store.database import ANEW, NOT_READ, Database, Statement
from circuitlang.store.records import (
    Origin,
    Part,
    Record,
    packed_invariants,
    packed_numbers,
    packed_rows,
    seal,
    unpacked,
    unpacked_part,
)

SELECT = (
    "SELECT numbers, checked, seal, invariants FROM runs LEFT JOIN checks USING (checked) "
    "WHERE key = ?"
)
SELECT_PARTS = (
    "SELECT rows, numbers, checked, seal, invariants FROM parts LEFT JOIN checks USING (checked) "
    "WHERE key = ? ORDER BY kept, rows"
)
KEEP_CHECK = "INSERT OR REPLACE INTO checks VALUES (?, ?)"
KEEP_ORIGIN = "INSERT OR REPLACE INTO origins VALUES (?, ?, ?)"
KEEP_RUN = "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?)"
KEEP_PART = "INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?, ?)"
DROP_PARTS = "DELETE FROM parts WHERE key = ?"


class Store(Database):
    """The runs in a folder, by key."""

    def read(self, keys: Iterable[bytes]) -> dict[bytes, Record]:
        """The whole records of those keys that have one."""
        found: dict[bytes, Record] = {}
        for key in keys:
            for row in self.rows(SELECT, (key,)):
                record = unpacked(key, b"", *row)
                if record is not None:
                    found[key] = record
                else:
                    self._damaged()
        return found

    def read_parts(self, keys: Iterable[bytes]) -> dict[bytes, list[Part]]:
        """What earlier executions got done of the runs with these keys, the latest last."""
        found: dict[bytes, list[Part]] = {}
        for key in keys:
            for row in self.rows(SELECT_PARTS, (key,)):
                part = unpacked_part(key, *row)
                if part is not None:
                    found.setdefault(key, []).append(part)
                else:
                    self._damaged()
        return found

    def _damaged(self) -> None:
        self.complain(NOT_READ, "a damaged record was left aside", ANEW)

    def write(
        self, records: Mapping[bytes, Record], origin: Origin, finished: Iterable[bytes] = ()
    ) -> None:
        """Keeps whole records, and drops the parts under the keys that are `finished` with them."""
        known, statements = _described(origin)
        for key, record in records.items():
            checked, text = packed_invariants(record.invariants)
            numbers = packed_numbers(record)
            row = (key, numbers, checked, known, _now(), seal(key, b"", numbers, checked))
            statements += [(KEEP_CHECK, (checked, text)), (KEEP_RUN, row)]
        statements += [(DROP_PARTS, (key,)) for key in finished]
        self.change(statements)

    def write_parts(self, parts: Sequence[tuple[bytes, Part]], origin: Origin) -> None:
        """Keeps what an execution has got done so far."""
        known, statements = _described(origin)
        checks: dict[bytes, str] = {}
        for key, part in parts:
            checked, checks[checked] = packed_invariants(part.record.invariants)
            rows, numbers = packed_rows(part.rows), packed_numbers(part.record)
            row = (key, rows, numbers, checked, known, _now(), seal(key, rows, numbers, checked))
            statements.append((KEEP_PART, row))
        statements += [(KEEP_CHECK, check) for check in checks.items()]
        self.change(statements)

    def file_digest(self, path: Path) -> str:
        """SHA-256 of a file's content, worked out again when its size or times have changed."""
        about = path.stat()
        status = f"{about.st_size} {about.st_mtime_ns} {about.st_ctime_ns}"
        name = str(path.resolve())
        for (known,) in self.rows(
            "SELECT sha256 FROM files WHERE path = ? AND status = ?", (name, status)
        ):
            return str(known)
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        self.change([("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", (name, status, found))])
        return found


def _described(origin: Origin) -> tuple[bytes, list[Statement]]:
    """The origin's digest, and the statement that keeps it."""
    row = origin.packed()
    return row[0], [(KEEP_ORIGIN, row)]


def _now() -> int:
    """Seconds since 1970."""
    return int(time.time())
