"""Stores what an execution gets done while it goes on, so that it can be killed at any time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from circuitlang.batch import Asked, Batch, Checked, executed
from circuitlang.store import Part, Record, Store

SHARE = 50
"""Writing takes at most one part in so many of the time."""


class Unfinished:
    """The chunks of a batch that are done, until the batch is.

    Each is written as it comes, unless the last writing took more than its share of the time
    since; then it waits for the next. The chunks that complete the batch are not written: its
    whole records are.
    """

    def __init__(self, store: Store, batch: Batch, checked: Checked) -> None:
        self.store, self.batch, self.checked = store, batch, checked
        self.keys = batch.executed_keys
        self.noise = {
            one: checked.noise[metric]
            for run, metrics in batch.missing.items()
            for metric in metrics
            for one in executed(run, metric)
        }
        known = {(asked, row) for asked, rows, _ in batch.known for row in rows.tolist()}
        self.left = len(self.keys) * len(batch.drawn.prompts) - len(known)
        self.waiting: list[tuple[bytes, Part]] = []
        self.took, self.wrote = 0.0, time.perf_counter()

    def add(self, rows: Sequence[int], found: Mapping[Asked, Any]) -> None:
        """Takes the numbers of some prompts, by number."""
        where = np.array(rows)
        for asked, vector in found.items():
            record = Record(vector, self.noise[asked], self.checked.invariants)
            self.waiting.append((self.keys[asked], Part(where, record)))
        self.left -= len(rows) * len(found)
        if self.left > 0 and time.perf_counter() - self.wrote >= SHARE * self.took:
            self.flush()

    def flush(self) -> None:
        """Writes what waits."""
        if self.waiting:
            started = time.perf_counter()
            self.store.write_parts(self.waiting, self.batch.origin)
            self.wrote = time.perf_counter()
            self.waiting, self.took = [], self.wrote - started
