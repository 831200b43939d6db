"""One model on one task's prompts, scored by one metric under one ablation.

Takes a spec's file and the context words that are to hold instead of its defaults, and gives the
numbers of any runs there, through the store and the value graph.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from circuitlang.compiler.collect import Needed
from circuitlang.compiler.collect import Setting as Extremes
from circuitlang.front import Front, Options, Progress, fetched_front
from circuitlang.language.graph.architecture import Architecture, architecture
from circuitlang.language.graph.edges import EdgeSet
from circuitlang.language.prompt import PromptSet
from circuitlang.language.spec import Mean, Measurement, Metric, Number, Operation, Rows, Run
from circuitlang.measurement.batch import Checked
from circuitlang.measurement.measured import sample_of
from circuitlang.measurement.measuring import measure_all
from circuitlang.measurement.runner import ModelProblems, Runner

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from circuitlang.judgement.estimator import Estimator
    from circuitlang.measurement.measured import Measured


# A name, a string, a call, something in brackets: what needs no parentheses after a context word.
_BARE = re.compile(r"""[\w.]*(\([^()]*\)|\[[^\[\]]*\])?|"[^"]*"|\(.*\)""")


@dataclass(frozen=True)
class Context:
    """Context words as text, each None where the spec's default holds."""

    on: str | None = None
    under: str | None = None
    by: str | None = None
    with_: str | None = None
    free: str | None = None

    @property
    def given(self) -> dict[str, str]:
        """The words that are given, as the language writes them after an F."""
        said = {"on": self.on, "under": self.under, "by": self.by, "with": self.with_}
        said["free"] = self.free
        return {
            word: value if _BARE.fullmatch(value) else f"({value})"
            for word, value in said.items()
            if value is not None
        }

    @property
    def words(self) -> str:
        return "".join(f" {word} {value}" for word, value in self.given.items())


class Experiment:
    """Numbers of runs of one model on one task's prompts.

    `whole` is M and `floor` none, whose ablation every run has. `graph` has the model's edges, and
    `candidates` those that can be ablated: all that do not leave a free node. `rows` are the prompts
    that numbers average over: not all where the context names a template or a part.
    """

    def __init__(
        self, runner: Runner, extremes: Extremes, context: Context, rows: Rows | None = None
    ) -> None:
        assert extremes.floor is not None
        self.runner, self.extremes, self.context = runner, extremes, context
        self.rows = rows or Rows()
        self.whole, self.floor, self.metric = extremes.whole, extremes.floor, extremes.metric
        self.graph: Architecture = architecture(self.whole.model.shape)
        self.candidates = self.graph.everything & ~self.floor.floor.lasting
        self._first: Measured | None = None

    @property
    def front(self) -> Front:
        return self.runner.front

    @property
    def progress(self) -> Progress:
        return self.runner.progress

    @property
    def key(self) -> tuple[str, str]:
        return self.whole.task, self.whole.model.name

    @property
    def drawn(self) -> PromptSet:
        return self.front.prompts[self.key]

    @cached_property
    def prompts(self) -> PromptSet:
        """The prompts that numbers average over."""
        match self.rows:
            case Rows("template", key):
                kept = [p for p in self.drawn.prompts if p.template == key]
            case Rows("part", key, slot):
                kept = [p for p in self.drawn.prompts if p.slots[slot] == key]
            case _:
                return self.drawn
        return replace(self.drawn, prompts=tuple(kept))

    def run(self, live: EdgeSet, written: str = "") -> Run:
        """F's run of a set of edges: free nodes' are added, all others ablated."""
        live = live | self.floor.floor
        if live == self.whole.live:
            return self.whole
        return replace(self.floor, live=live, written=written)

    def without(self, edges: EdgeSet, inside: EdgeSet | None = None, written: str = "") -> Run:
        """The run of `inside`, by default M, without some edges."""
        return self.run((inside or self.whole.live) - edges, written)

    def values(
        self, runs: Collection[Run], metrics: Sequence[Metric] = ()
    ) -> dict[tuple[Run, Metric], npt.NDArray[np.float64]]:
        """Every metric, by default the experiment's, of every run: one number per prompt.

        The first call checks the invariants and measures M and none besides.
        """
        metrics = tuple(metrics) or (self.metric,)
        if self._first is None:
            self._first = self._measured(
                dict.fromkeys((*runs, self.whole, self.floor), metrics), None
            )
            return dict(self._first.values)
        known = {metric: self.noise(metric) for metric in metrics}
        batch = self.runner.batch(self.drawn, dict.fromkeys(runs, metrics))
        self.runner.execute(batch, Checked(known, self._first.invariants))
        return batch.values

    def means(self, runs: Collection[Run], metric: Metric | None = None) -> dict[Run, float]:
        """F of every run, by the experiment's metric if no other is given."""
        metric = metric or self.metric
        values = self.values(runs, [metric])
        return {run: float(values[run, metric][self._averaged].mean()) for run in runs}

    @cached_property
    def _averaged(self) -> list[int]:
        chosen = set(map(id, self.prompts.prompts))
        return [i for i, prompt in enumerate(self.drawn.prompts) if id(prompt) in chosen]

    def measure(self, numbers: Sequence[Number], beside: Collection[Run] = ()) -> Estimator:
        """What gives values and intervals of numbers over this experiment's runs.

        `beside` are runs that are measured by the experiment's metric too. As with `values`, only
        the first call checks the invariants; later ones take the noise found then.
        """
        from circuitlang.compiler.collect import measurements
        from circuitlang.judgement.estimator import Estimator

        requests: dict[Run, dict[Metric, None]] = {}
        for number in numbers:
            for one in measurements(number):
                requests.setdefault(one.run, {})[one.metric] = None
        for run in (*beside, self.whole, self.floor):
            requests.setdefault(run, {})[self.metric] = None
        measured = self._measured({run: tuple(ms) for run, ms in requests.items()}, self._first)
        self._first = self._first or measured
        return Estimator(sample_of(measured, self.runner.options.seed))

    def noise(self, metric: Metric) -> float:
        """How far a metric's numbers may be off, in its unit, once something is measured."""
        known = self._first.noise if self._first is not None else {}
        return known.get(metric, max(known.values(), default=0.0))

    def mean(self, run: Run, metric: Metric | None = None) -> Mean:
        """F of a run."""
        return Mean(Measurement(run, metric or self.metric, self.rows))

    def difference(self, one: Run, other: Run) -> Operation:
        return Operation("-", (self.mean(one), self.mean(other)))

    @cached_property
    def effect(self) -> Operation:
        """F(M) - F(none)."""
        return self.difference(self.whole, self.floor)

    def _measured(
        self, requests: Mapping[Run, tuple[Metric, ...]], before: Measured | None
    ) -> Measured:
        """The invariants are checked `before` or now, on what is asked now."""
        if before is None:
            needed = Needed(requests, (self.extremes,), {})
            return measure_all(self.runner, needed, {self.key: self.drawn})
        batch = self.runner.batch(self.drawn, requests)
        noise = {metric: self.noise(metric) for metrics in requests.values() for metric in metrics}
        self.runner.execute(batch, Checked(noise, before.invariants))
        return replace(before, values=batch.values, noise=noise)


@contextmanager
def experiment(
    path: Path, options: Options, context: Context, progress: Progress
) -> Iterator[tuple[Front, Experiment | None]]:
    """The experiment that a spec and the context words describe; None with errors in the front.

    Models that cannot be used and prompts that cannot be measured become diagnostics.
    """
    words = context.words
    front = fetched_front(path, options, progress, f"F(M{words}) - F(none{words})")
    if front.resolved is None or front.diagnostics.has_errors:
        yield front, None
        return
    number = front.asked[0][0]
    assert isinstance(number, Operation)
    above, below = number.operands
    assert isinstance(above, Mean)
    assert isinstance(below, Mean)
    extremes = Extremes(above.measurement.run, below.measurement.run, above.measurement.metric)
    rows = above.measurement.rows
    with ModelProblems(front), closing(Runner(front, options, progress)) as runner:
        yield front, Experiment(runner, extremes, context, rows)
