"""The file: how it is laid out, opened and written, and what is said when that goes wrong."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

FILE = "runs.sqlite"
FOLDER = ".circ"
APPLICATION = 0x63697263
FORMAT = 2
PATIENCE = 30.0
TABLES = (
    "CREATE TABLE runs (key BLOB PRIMARY KEY, numbers BLOB, checked BLOB, origin BLOB, "
    "kept INTEGER, seal BLOB)",
    "CREATE TABLE parts (key BLOB, rows BLOB, numbers BLOB, checked BLOB, origin BLOB, "
    "kept INTEGER, seal BLOB, PRIMARY KEY (key, rows))",
    "CREATE TABLE checks (checked BLOB PRIMARY KEY, invariants TEXT)",
    "CREATE TABLE origins (origin BLOB PRIMARY KEY, about TEXT, prompts BLOB)",
    "CREATE TABLE results (spec TEXT PRIMARY KEY, result BLOB, keys BLOB, kept INTEGER, seal BLOB)",
    "CREATE TABLE files (path TEXT PRIMARY KEY, status TEXT, sha256 TEXT)",
)
NOT_READ, NOT_WRITTEN = "CL601", "CL731"
ANEW = "delete it, and runs are executed and stored anew"
ELSEWHERE = "name another folder with --store, or none with --no-store"
ROOM = "make room for it; what was stored before is unharmed"
UNLOCK = "wait for the other check, or name another folder with --store"

Complain = Callable[[str, str, str], None]
Statement = tuple[str, tuple[object, ...]]


class _Unusable(Exception):
    """Why the file is left alone."""


class Database:
    """The file in `folder`; without a folder one that is empty and keeps nothing.

    `complain` gets a code, a reason and a help line when the file cannot be read or written. A
    folder that does not exist is made, with a .gitignore in it, unless `create` is False.
    """

    def __init__(self, folder: Path | None, complain: Complain, *, create: bool = True) -> None:
        self.folder, self.complain = folder, complain
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
            complain(NOT_READ, error.strerror or str(error), ELSEWHERE)
        except _Unusable as error:
            complain(NOT_READ, str(error), ELSEWHERE)
        except sqlite3.Error as error:
            complain(NOT_READ, *_why(error))

    @property
    def usable(self) -> bool:
        return self.connection is not None

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def rows(self, query: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """What a query finds; nothing where the file cannot be read."""
        if self.connection is None:
            return []
        try:
            return self.connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            self.complain(NOT_READ, str(error), ANEW)
            self.close()
            return []

    def change(self, statements: Iterable[Statement]) -> bool:
        """Executes statements: all of them or, when that fails, none; whether it did."""
        if self.connection is None or not self.writable:
            return False
        try:
            with self.connection:
                self.connection.execute("BEGIN IMMEDIATE")
                for statement, values in statements:
                    self.connection.execute(statement, values)
        except sqlite3.Error as error:
            self.complain(NOT_WRITTEN, *_why(error))
            self.writable = False
            return False
        return True

    def shrink(self) -> None:
        """Gives the disk back what dropped rows took; needs as much room as the file while it does."""
        try:
            if self.connection is not None:
                self.connection.execute("VACUUM")
        except sqlite3.Error as error:
            self.complain(NOT_WRITTEN, *_why(error))


def _why(error: sqlite3.Error) -> tuple[str, str]:
    """A reason that a person understands, and what to do."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    match code:
        case sqlite3.SQLITE_FULL:
            return "the disk is full", ROOM
        case sqlite3.SQLITE_IOERR:
            return "the disk is full, or the file may not grow (disk I/O error)", ROOM
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"it was locked by another process for {PATIENCE:g} seconds", UNLOCK
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return str(error), ANEW
        case _:
            return str(error), ELSEWHERE


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
        if not _number(connection, "SELECT count(*) FROM sqlite_master"):
            _lay_out(connection)
        if _number(connection, "PRAGMA application_id") != APPLICATION:
            raise _Unusable("it is a database of something else")
        if (written := _number(connection, "PRAGMA user_version")) != FORMAT:
            raise _Unusable(f"it has format {written}, and this version uses format {FORMAT}")
        laid_out = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
        if sorted(sql for (sql,) in laid_out) != sorted(TABLES):
            raise _Unusable("its tables are not those that this version writes")
    except BaseException:
        connection.close()
        raise
    return connection


def _lay_out(connection: sqlite3.Connection) -> None:
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        if _number(connection, "SELECT count(*) FROM sqlite_master"):
            return
        for table in TABLES:
            connection.execute(table)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")


def _number(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])
