"""The numbers of a measurement as they come, chunk by chunk, and which of them are there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from circuitlang.compiler.collect import Requests, all_runs
from circuitlang.language.spec import Metric, Run
from circuitlang.runtime.metrics import Vector

Asked = tuple[Run, Metric]
Known = Iterable[tuple[Asked, npt.NDArray[np.int64], Vector]]
"""Numbers that need not be worked out: of which run and metric, on which prompts by number."""
Keep = Callable[[Sequence[int], Mapping[Asked, Vector]], None]
"""Gets the numbers of some prompts, by number, as soon as they are worked out."""


class Results:
    """One vector for each requested metric of each run, in the order of the prompts."""

    def __init__(
        self, requests: Requests, prompts: int, known: Known = (), keep: Keep | None = None
    ) -> None:
        self.requests, self.keep = requests, keep
        asked = [(run, metric) for run, metrics in requests.items() for metric in metrics]
        self.values = {one: np.full(prompts, np.nan) for one in asked}
        self._number = {one: i for i, one in enumerate(asked)}
        self._there = np.zeros((len(asked), prompts), dtype=bool)
        for one, rows, values in known:
            self.values[one][rows] = values
            self._there[self._number[one], rows] = True

    @property
    def pairs(self) -> int:
        """How many (run, prompt) pairs need not be executed, where all runs are known."""
        return len(all_runs(self.requests)) * int(self._there.all(axis=0).sum())

    def add(self, rows: Sequence[int], found: Mapping[Asked, Vector]) -> None:
        """Takes what was worked out on some prompts."""
        where = list(rows)
        for one, vector in found.items():
            self.values[one][where] = vector
            self._there[self._number[one], where] = True
        if self.keep is not None:
            self.keep(rows, found)

    def left(
        self, requests: Requests, rows: Sequence[int]
    ) -> Iterator[tuple[Requests, tuple[int, ...]]]:
        """What is not there of some requests on some prompts; all of it, as it is, where none is."""
        asked = [(run, metric) for run, metrics in requests.items() for metric in metrics]
        there = self._there[np.ix_([self._number[one] for one in asked], list(rows))]
        if not there.any():
            yield requests, tuple(rows)
            return
        kinds, kind_of = np.unique(there, axis=1, return_inverse=True)
        for kind, done in enumerate(kinds.T):
            if not done.all():
                part: dict[Run, tuple[Metric, ...]] = {}
                for (run, metric), known in zip(asked, done, strict=True):
                    if not known:
                        part[run] = (*part.get(run, ()), metric)
                of = np.flatnonzero(kind_of.ravel() == kind)
                yield part, tuple(rows[i] for i in of.tolist())
