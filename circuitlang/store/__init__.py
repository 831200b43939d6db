"""What checks have found, on disk: one SQLite file in a folder that any number of checks share.

Runs are kept under keys as `content` makes them, results under the spec that was checked. A store
never stops a check: what goes wrong with its file is said once, and the check goes on without it.
Every record carries a seal, so that a damaged one is never believed.
"""

from circuitlang.store.database import FILE, FOLDER, FORMAT
from circuitlang.store.records import Invariant, Origin, Part, Record
from circuitlang.store.runs import Store

__all__ = ["FILE", "FOLDER", "FORMAT", "Invariant", "Origin", "Part", "Record", "Store"]
