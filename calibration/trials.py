"""Trials in parallel, the same ones whatever the number of workers."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from multiprocessing import get_context

import numpy as np
from scipy import stats

from calibration.real import real
from calibration.row import Row
from calibration.rows import shown_wrong, simulated
from calibration.searches import same_half, searches

ALPHA = 0.05
CHUNK = 50
LEAST = 40


def all_rows() -> dict[str, Row]:
    rows = list(chain(simulated(), searches(), real(), shown_wrong(), (same_half(),)))
    found = {row.label: row for row in rows}
    assert len(found) == len(rows), "rows of one name would share their trials"
    return found


@dataclass(frozen=True)
class Count:
    """How often a row's trials ended in one wrong verdict."""

    row: Row
    verdict: str
    wrong: int
    replications: int

    @property
    def rate(self) -> float:
        return self.wrong / self.replications

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the rate (Clopper & Pearson 1934)."""
        found = stats.binomtest(self.wrong, self.replications).proportion_ci(0.95, method="exact")
        return float(found.low), float(found.high)

    @property
    def p(self) -> float:
        """Of so many wrong verdicts or more, were the rate alpha."""
        return float(stats.binomtest(self.wrong, self.replications, ALPHA, "greater").pvalue)


def run(
    rows: Sequence[Row], replications: int, seed: int, workers: int,
    done: Callable[[int, int], None] = lambda made, all_: None,
) -> list[Count]:  # fmt: skip
    """Every row's trials; `done` is told how many chunks of how many have been made."""
    asked = [
        (row.label, seed, chunk, min(CHUNK, size - chunk * CHUNK))
        for row in rows
        for size in [max(LEAST, round(replications * row.share))]
        for chunk in range(math.ceil(size / CHUNK))
    ]
    counted: dict[str, Counter[str]] = {row.label: Counter() for row in rows}
    for made, (label, verdicts) in enumerate(_each(asked, workers), 1):
        counted[label] += verdicts
        done(made, len(asked))
    return [
        Count(row, verdict, counted[row.label][verdict], counted[row.label].total())
        for row in rows
        for verdict in row.counts
    ]


Asked = tuple[str, int, int, int]


def _each(asked: Sequence[Asked], workers: int) -> Iterable[tuple[str, Counter[str]]]:
    if workers == 1:
        yield from map(_chunk, asked)
        return
    with get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(_chunk, asked)


_ROWS: dict[str, Row] = {}


def _chunk(asked: Asked) -> tuple[str, Counter[str]]:
    label, seed, chunk, size = asked
    if not _ROWS:
        _ROWS.update(all_rows())
    rng = np.random.default_rng([seed, zlib.crc32(label.encode()), chunk])
    return label, Counter(_ROWS[label].trial(rng) for _ in range(size))


def too_often(counts: Sequence[Count]) -> list[Count]:
    """Rates that are above alpha, at 5% over all of them together (Holm 1979)."""
    tested = sorted((c for c in counts if not c.row.shown_wrong), key=lambda c: c.p)
    found: list[Count] = []
    for left, count in zip(range(len(tested), 0, -1), tested, strict=False):
        if count.p > ALPHA / left:
            break
        found.append(count)
    return found
