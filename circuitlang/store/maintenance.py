"""Looking after a store: what is in it, whether it is as it was written, and dropping what is old."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from circuitlang.report.stored import (
    PrunedForm,
    StoredResultForm,
    StoredRunsForm,
    StoreForm,
    VerifiedForm,
    moment,
)
from circuitlang.store.database import FILE, FORMAT, Database, Statement
from circuitlang.store.records import unpacked, unpacked_part
from circuitlang.store.results import result_of

RUNS = (
    "SELECT origin, about, coalesce(length(prompts), 0) / 32, count(*), "
    "sum(length(key) + length(numbers) + length(checked) + length(seal)), min(kept), max(kept) "
    "FROM {table} LEFT JOIN origins USING (origin) GROUP BY origin"
)
OLD = "SELECT {}, rowid FROM {} WHERE kept < ?"
CHECKS = "LEFT JOIN checks USING (checked)"
SUPERSEDED = "key IN (SELECT key FROM runs)"
ORPHANS = (
    "DELETE FROM checks WHERE checked NOT IN "
    "(SELECT checked FROM runs UNION SELECT checked FROM parts)",
    "DELETE FROM origins WHERE origin NOT IN "
    "(SELECT origin FROM runs UNION SELECT origin FROM parts)",
)


def contents(store: Database) -> StoreForm:
    """What is in a store that can be used."""
    groups: dict[tuple[str | None, ...], StoredRunsForm] = {}
    for table in ("runs", "parts"):
        for _, about, prompts, number, size, oldest, newest in store.rows(RUNS.format(table=table)):
            words = _words(about)
            found = StoredRunsForm(
                **dict(zip(("task", "model", "dtype", "device"), words, strict=True)),
                runs=number if table == "runs" else 0,
                parts=number if table == "parts" else 0,
                prompts=prompts,
                bytes=size,
                oldest=moment(oldest),
                newest=moment(newest),
            )
            groups[words] = _both(groups[words], found) if words in groups else found
    results = tuple(
        StoredResultForm(spec=spec, bytes=size, kept=moment(kept))
        for spec, size, kept in store.rows(
            "SELECT spec, length(result) + length(keys), kept FROM results ORDER BY spec"
        )
    )
    ordered = sorted(groups.items(), key=lambda item: tuple(map(str, item[0])))
    return StoreForm(
        store=_named(store),
        format=FORMAT,
        bytes=_bytes(store),
        runs=tuple(group for _, group in ordered),
        results=results,
    )


def verify(store: Database) -> VerifiedForm:
    """Every page by SQLite's own check, every record by its seal."""
    records = damaged = 0
    pages = [str(said) for (said,) in store.rows("PRAGMA integrity_check") if said != "ok"]
    for intact in _looked_at(store):
        records += 1
        damaged += not intact
    return VerifiedForm(
        store=_named(store), records=records, damaged=damaged, pages=tuple(pages[:20])
    )


@dataclass(frozen=True)
class Pruning:
    """What to drop: what was written before `before` (seconds since 1970), where that is given,
    and is not kept. `keep` are keys of runs, `specs` those of results."""

    before: int | None = None
    keep: frozenset[bytes] = frozenset()
    specs: frozenset[str] = frozenset()


def prune(store: Database, pruning: Pruning, *, dry_run: bool = False) -> PrunedForm:
    """Drops what `pruning` says, and chunks whose run is stored whole."""
    before = int(time.time()) + 1 if pruning.before is None else pruning.before
    old = {
        table: [row for row in store.rows(OLD.format(name, table), (before,)) if row[0] not in keep]
        for table, name, keep in (
            ("runs", "key", pruning.keep),
            ("parts", "key", pruning.keep),
            ("results", "spec", pruning.specs),
        )
    }
    superseded = store.rows(f"SELECT key, rowid FROM parts WHERE {SUPERSEDED}")
    old["parts"] = list(dict.fromkeys([*old["parts"], *superseded]))
    size = _bytes(store)
    if not dry_run:
        statements: list[Statement] = [
            (f"DELETE FROM {table} WHERE rowid = ?", (number,))
            for table, rows in old.items()
            for _, number in rows
        ]
        statements += [(orphans, ()) for orphans in ORPHANS]
        if pruning == Pruning():
            statements.append(("DELETE FROM files", ()))
        if store.change(statements):
            store.shrink()
    return PrunedForm(
        store=_named(store),
        dry_run=dry_run,
        runs=len(old["runs"]),
        parts=len(old["parts"]),
        results=len(old["results"]),
        bytes_before=size,
        bytes_after=None if dry_run else _bytes(store),
    )


def _words(about: object) -> tuple[str | None, ...]:
    """Task, model, dtype and device of an origin; four None where it cannot be read."""
    try:
        words = json.loads(str(about))
    except ValueError:
        words = None
    if isinstance(words, list) and len(words) == 4 and all(isinstance(w, str) for w in words):
        return tuple(words)
    return (None,) * 4


def _both(one: StoredRunsForm, other: StoredRunsForm) -> StoredRunsForm:
    return one.model_copy(
        update={
            "runs": one.runs + other.runs,
            "parts": one.parts + other.parts,
            "prompts": max(one.prompts, other.prompts),
            "bytes": one.bytes + other.bytes,
            "oldest": min(one.oldest, other.oldest),
            "newest": max(one.newest, other.newest),
        }
    )


def _looked_at(store: Database) -> Iterator[bool]:
    """Whether each record is what was written."""
    for key, *row in _each(store, "runs", "key, numbers, checked, seal, invariants", CHECKS):
        yield unpacked(_bytes_of(key), b"", *row) is not None
    for key, *row in _each(store, "parts", "key, rows, numbers, checked, seal, invariants", CHECKS):
        yield unpacked_part(_bytes_of(key), *row) is not None
    for origin, about, prompts in _each(store, "origins", "origin, about, prompts"):
        known = str(about).encode() + _bytes_of(prompts)
        yield origin == hashlib.sha256(known).digest()
    for row in _each(store, "results", "spec, result, keys, kept, seal"):
        yield result_of(*row) is not None


def _each(store: Database, table: str, columns: str, join: str = "") -> Iterator[Any]:
    """The rows of a table, of which one at a time is in memory."""
    for (number,) in store.rows(f"SELECT rowid FROM {table}"):
        query = f"SELECT {columns} FROM {table} {join} WHERE {table}.rowid = ?"
        yield from store.rows(query, (number,))


def _bytes_of(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


def _named(store: Database) -> str:
    assert store.folder is not None
    return str(store.folder / FILE)


def _bytes(store: Database) -> int:
    assert store.folder is not None
    return (store.folder / FILE).stat().st_size
