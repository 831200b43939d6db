"""Measured runs on disk: key -> numbers, in one SQLite file that any number of checks share.

Takes keys as `content` makes them and gives what was measured under them. A store never stops a
check: what goes wrong with its file is said once, and the check goes on without it. Every record
carries a seal, so that a damaged one is executed again and never believed.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FILE = "runs.sqlite"
FOLDER = ".circ"
APPLICATION = 0x63697263
FORMAT = 1
PATIENCE = 30.0
TABLES = (
    "CREATE TABLE IF NOT EXISTS runs (key BLOB PRIMARY KEY, numbers BLOB, checked BLOB, seal BLOB)",
    "CREATE TABLE IF NOT EXISTS checks (checked BLOB PRIMARY KEY, invariants TEXT)",
    "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, status TEXT, sha256 TEXT)",
)
SELECT = (
    "SELECT numbers, checked, seal, invariants FROM runs LEFT JOIN checks USING (checked) "
    "WHERE key = ?"
)
KEEP_CHECK = "INSERT OR REPLACE INTO checks VALUES (?, ?)"
KEEP_RUN = "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?)"
ANEW = "delete it, and runs are executed and stored anew"
ELSEWHERE = "name another folder with --store, or none with --no-store"

Complain = Callable[[str, str], None]
Statement = tuple[str, tuple[object, ...]]


class Invariant(NamedTuple):
    """One comparison of a check: |logit difference| / max |logit|, and whether it is small."""

    name: str
    deviation: float
    passed: bool


@dataclass(frozen=True, eq=False)
class Record:
    """One metric of one run: a number per prompt, and how far the check that ran it can be trusted.

    `noise` is the metric's largest |difference| between computations that agree in exact
    arithmetic, in its own unit.
    """

    values: npt.NDArray[np.float64]
    noise: float
    invariants: tuple[Invariant, ...]


class _Unusable(Exception):
    """Why the file is left alone."""


class Store:
    """The runs stored in `folder`; without a folder a store that is empty and keeps nothing.

    `complain` gets a reason and a help line when the file cannot be read or written. A folder that
    does not exist is made, with a .gitignore in it, unless `create` is False.
    """

    def __init__(self, folder: Path | None, complain: Complain, *, create: bool = True) -> None:
        self.complain = complain
        self.writable = True
        self.connection: sqlite3.Connection | None = None
        if folder is None:
            return
        try:
            if not create and not (folder / FILE).exists():
                return
            _make(folder)
            self.connection = _connect(folder / FILE)
        except OSError as error:
            complain(error.strerror or str(error), ELSEWHERE)
        except (_Unusable, sqlite3.OperationalError) as error:
            complain(str(error), ELSEWHERE)
        except sqlite3.Error as error:
            complain(str(error), ANEW)

    @property
    def usable(self) -> bool:
        return self.connection is not None

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def read(self, keys: Iterable[bytes]) -> dict[bytes, Record]:
        """The records of those keys that have one."""
        found: dict[bytes, Record] = {}
        for key in keys:
            for row in self._rows(SELECT, (key,)):
                record = _record(key, *row)
                if record is not None:
                    found[key] = record
                else:
                    self.complain("a damaged record was left aside", ANEW)
        return found

    def write(self, records: Mapping[bytes, Record]) -> None:
        """Keeps the records: all of them or, when that fails, none."""
        import numpy as np

        statements: list[Statement] = []
        for key, record in records.items():
            text = json.dumps(record.invariants)
            checked = hashlib.sha256(text.encode()).digest()
            numbers = np.concatenate(([record.noise], record.values)).astype("<f8").tobytes()
            seal = _seal(key, numbers, checked)
            statements += [(KEEP_CHECK, (checked, text)), (KEEP_RUN, (key, numbers, checked, seal))]
        self._write(statements)

    def file_digest(self, path: Path) -> str:
        """SHA-256 of a file's content, worked out again when its size or times have changed."""
        about = path.stat()
        status = f"{about.st_size} {about.st_mtime_ns} {about.st_ctime_ns}"
        name = str(path.resolve())
        for (known,) in self._rows(
            "SELECT sha256 FROM files WHERE path = ? AND status = ?", (name, status)
        ):
            return str(known)
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        self._write([("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", (name, status, found))])
        return found

    def _rows(self, query: str, values: tuple[object, ...]) -> list[tuple[object, ...]]:
        if self.connection is None:
            return []
        try:
            return self.connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            self.complain(str(error), ANEW)
            self.close()
            return []

    def _write(self, statements: Iterable[Statement]) -> None:
        if self.connection is None or not self.writable:
            return
        try:
            with self.connection:
                self.connection.execute("BEGIN IMMEDIATE")
                for statement, values in statements:
                    self.connection.execute(statement, values)
        except sqlite3.Error as error:
            self.complain(str(error), ELSEWHERE)
            self.writable = False


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        if not folder.is_dir():
            raise
    else:
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")


def _connect(file: Path) -> sqlite3.Connection:
    """Opens the file, and lays it out when it is new; raises `_Unusable` or `sqlite3.Error`."""
    connection = sqlite3.connect(file, timeout=PATIENCE)
    try:
        with connection:
            if not _number(connection, "SELECT count(*) FROM sqlite_master"):
                connection.execute("BEGIN IMMEDIATE")
                for table in TABLES:
                    connection.execute(table)
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
                connection.execute(f"PRAGMA user_version = {FORMAT}")
        if _number(connection, "PRAGMA application_id") != APPLICATION:
            raise _Unusable("it is a database of something else")
        if (written := _number(connection, "PRAGMA user_version")) != FORMAT:
            raise _Unusable(f"it has format {written}, and this version uses format {FORMAT}")
    except BaseException:
        connection.close()
        raise
    return connection


def _number(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])


def _seal(key: bytes, numbers: bytes, checked: bytes) -> bytes:
    return hashlib.sha256(key + numbers + checked).digest()


def _record(
    key: bytes, numbers: object, checked: object, seal: object, invariants: object
) -> Record | None:
    """The record in a row; None where the row is not what was written."""
    import numpy as np

    if not isinstance(numbers, bytes) or not isinstance(checked, bytes):
        return None
    if not isinstance(invariants, str) or seal != _seal(key, numbers, checked):
        return None
    if hashlib.sha256(invariants.encode()).digest() != checked:
        return None
    noise, *values = np.frombuffer(numbers, "<f8")
    found = tuple(Invariant(*one) for one in json.loads(invariants))
    return Record(np.array(values, dtype=np.float64), float(noise), found)
