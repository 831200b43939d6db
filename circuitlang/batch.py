"""What is asked of one model on one task's prompts, and what is known of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

from circuitlang.compiler.collect import Needed, Requests
from circuitlang.compiler.draws import over_draws, per_draw
from circuitlang.content import Contents, digest
from circuitlang.language.prompt import PromptSet
from circuitlang.language.spec import Metric, ModelReference, Run
from circuitlang.store import Invariant, Origin, Part, Record, Store

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Asked = tuple[Run, Metric]


@dataclass(frozen=True)
class Checked:
    """How far an execution can be trusted: each metric's noise, in its unit, and the invariants."""

    noise: Mapping[Metric, float]
    invariants: tuple[Invariant, ...] = ()


class Batch:
    """The runs and metrics that are asked of a model on a task's prompts, with what is known.

    `content` is the model's, None where it is not known: then nothing of it is stored. `parts` are
    what executions that did not end have got done, by what was executed, and `joined` the keys of
    records that are made of them.
    """

    def __init__(
        self,
        model: ModelReference,
        content: str | None,
        drawn: PromptSet,
        requests: Requests,
        device: str,
    ) -> None:
        self.model, self.content, self.device = model, content, device
        self.drawn, self.requests = drawn, requests
        self.contents = Contents(content or "", model, device, drawn)
        self.keys = {(r, m): self.contents.key(r, m) for r, ms in requests.items() for m in ms}
        self.records: dict[bytes, Record] = {}
        self.parts: dict[Asked, list[Part]] = {}
        self.joined: tuple[bytes, ...] = ()

    def look_up(self, store: Store) -> None:
        """Takes what is stored: whole records, then parts, and what these make up together."""
        size = len(self.drawn.prompts)
        found = store.read(self.keys.values())
        self.records |= {key: r for key, r in found.items() if len(r.values) == size}
        keys = self.executed_keys
        parts = store.read_parts(keys.values())
        fitting = {key: [p for p in ps if p.rows.max() < size] for key, ps in parts.items()}
        self.parts = {asked: fitting[key] for asked, key in keys.items() if fitting.get(key)}
        joined = self._joined()
        self.joined = tuple(joined)
        self.records |= joined

    @property
    def missing(self) -> Requests:
        """The requests without what is known."""
        left = {
            run: tuple(metric for metric in metrics if self.keys[run, metric] not in self.records)
            for run, metrics in self.requests.items()
        }
        return {run: metrics for run, metrics in left.items() if metrics}

    @property
    def executed_keys(self) -> dict[Asked, bytes]:
        """The keys of what is to be executed."""
        asked = [(run, metric) for run, ms in per_draw(self.missing).items() for metric in ms]
        return {one: self.keys.get(one) or self.contents.key(*one) for one in asked}

    @property
    def part_keys(self) -> list[bytes]:
        return [self.keys.get(one) or self.contents.key(*one) for one in self.parts]

    def keys_of(self, requests: Requests) -> list[bytes]:
        return [self.keys[run, metric] for run, metrics in requests.items() for metric in metrics]

    @property
    def known(self) -> Iterator[tuple[Asked, npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
        """The numbers that parts have of what is to be executed, and of which prompts they are."""
        for asked in self.executed_keys:
            for part in self.parts.get(asked, ()):
                yield asked, part.rows, part.record.values

    def finish(self, values: Mapping[Asked, Any], checked: Checked) -> None:
        """Takes the numbers of what was missing; `checked` is of those that no part had."""
        self.records |= self._records(values, checked)

    def _records(
        self, values: Mapping[Asked, Any], checked: Checked | None = None
    ) -> dict[bytes, Record]:
        """With the noise and the invariants of all executions that the numbers come from."""
        found: dict[bytes, Record] = {}
        for (run, metric), vector in values.items():
            parts = [p.record for one in executed(run, metric) for p in self.parts.get(one, ())]
            noises = [part.noise for part in parts]
            invariants = [part.invariants for part in parts]
            if checked is not None:
                noises.append(checked.noise[metric])
                invariants.append(checked.invariants)
            found[self.keys[run, metric]] = Record(vector, max(noises), _each_once(invariants))
        return found

    @property
    def values(self) -> dict[Asked, Any]:
        """The numbers of every run and metric, [prompt]."""
        return {asked: self.records[key].values for asked, key in self.keys.items()}

    @cached_property
    def origin(self) -> Origin:
        prompts = tuple(digest(prompt.tokens) for prompt in self.drawn.prompts)
        reference, kind = self.model.reference, self.device.partition(":")[0]
        return Origin(self.drawn.task, reference, self.model.dtype, kind, prompts)

    def _joined(self) -> dict[bytes, Record]:
        """The records that parts make up."""
        import numpy as np

        vectors = self._whole_vectors()
        whole = {
            run: tuple(m for m in metrics if all(one in vectors for one in executed(run, m)))
            for run, metrics in self.missing.items()
        }
        return self._records(over_draws(whole, vectors, lambda drawn: np.mean(drawn, axis=0)))

    def _whole_vectors(self) -> dict[Asked, Any]:
        """The numbers of what parts have for every prompt."""
        import numpy as np

        found: dict[Asked, Any] = {}
        for asked, parts in self.parts.items():
            vector = np.full(len(self.drawn.prompts), np.nan)
            there = np.zeros(len(vector), dtype=bool)
            for part in parts:
                vector[part.rows], there[part.rows] = part.record.values, True
            if there.all():
                found[asked] = vector
        return found


def executed(run: Run, metric: Metric) -> list[Asked]:
    """What is executed for a request: of random donors, each draw."""
    return [(one, read) for one, reads in per_draw({run: (metric,)}).items() for read in reads]


def _each_once(invariants: Iterable[tuple[Invariant, ...]]) -> tuple[Invariant, ...]:
    return tuple(dict.fromkeys(chain.from_iterable(invariants)))


def requests_of(needed: Needed, task: str, model: str) -> Requests:
    return {
        run: metrics
        for run, metrics in needed.requests.items()
        if (run.task, run.model.name) == (task, model)
    }
