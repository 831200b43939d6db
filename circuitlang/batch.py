"""What is asked of one model on one task's prompts, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from circuitlang.compiler.collect import Needed, Requests
from circuitlang.content import Contents
from circuitlang.language.prompt import PromptSet
from circuitlang.language.spec import Metric, ModelReference
from circuitlang.store import Invariant, Record, Store


@dataclass(frozen=True)
class Checked:
    """How far an execution can be trusted: each metric's noise, in its unit, and the invariants."""

    noise: Mapping[Metric, float]
    invariants: tuple[Invariant, ...] = ()


class Batch:
    """The runs and metrics that are asked of a model on a task's prompts, with what is known.

    `content` is the model's, None where it is not known: then nothing of it is stored.
    """

    def __init__(
        self,
        model: ModelReference,
        content: str | None,
        drawn: PromptSet,
        requests: Requests,
        device: str,
    ) -> None:
        self.model, self.content = model, content
        self.drawn, self.requests = drawn, requests
        contents = Contents(content or "", model, device, drawn)
        self.keys = {(r, m): contents.key(r, m) for r, ms in requests.items() for m in ms}
        self.records: dict[bytes, Record] = {}

    def look_up(self, store: Store) -> None:
        self.records |= store.read(self.keys.values())

    @property
    def missing(self) -> Requests:
        """The requests without what is known."""
        left = {
            run: tuple(metric for metric in metrics if self.keys[run, metric] not in self.records)
            for run, metrics in self.requests.items()
        }
        return {run: metrics for run, metrics in left.items() if metrics}

    @property
    def values(self) -> dict[Any, Any]:
        """The numbers of every run and metric, [prompt]."""
        return {asked: self.records[key].values for asked, key in self.keys.items()}


def requests_of(needed: Needed, task: str, model: str) -> Requests:
    return {
        run: metrics
        for run, metrics in needed.requests.items()
        if (run.task, run.model.name) == (task, model)
    }
