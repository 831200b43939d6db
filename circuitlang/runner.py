"""The one way to a run's numbers: from the store, or executed and stored.

Takes batches and fills in what they lack. A model is loaded when the first run of it is executed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from circuitlang.batch import Batch, Checked, requests_of
from circuitlang.compiler.collect import Needed, Requests, all_runs
from circuitlang.compiler.draws import per_draw
from circuitlang.content import model_content
from circuitlang.front import Front, Options, Progress, model_span
from circuitlang.language.diagnostics import Reject
from circuitlang.language.models.find import Found
from circuitlang.language.prompt import PromptSet
from circuitlang.store import FOLDER, Invariant, Store
from circuitlang.store.database import NOT_READ

if TYPE_CHECKING:
    from circuitlang.runtime.models import LoadedModel


class Runner:
    """The models and the store of a front; `keys` are of everything that was asked so far.

    With `create` False a store that does not exist is not made.
    """

    def __init__(
        self, front: Front, options: Options, progress: Progress, *, create: bool = True
    ) -> None:
        self.front, self.options, self.progress = front, options, progress
        self.store = open_store(front, options, create=create)
        self.loaded: dict[str, LoadedModel] = {}
        self.keys: set[bytes] = set()

    def close(self) -> None:
        self.loaded = {}
        self.store.close()

    def found(self, name: str) -> Found:
        """What is known of a model; of a loaded one, what was loaded."""
        assert self.front.resolved is not None
        loaded = self.loaded.get(name)
        return self.front.resolved.found[name] if loaded is None else loaded.found

    def load(self, names: Iterable[str]) -> None:
        """Loads the models that are not loaded yet; raises `ModelUnavailable`."""
        for name in dict.fromkeys(names):
            if name not in self.loaded:
                self.loaded[name] = self._load(name)

    def _load(self, name: str) -> LoadedModel:
        from circuitlang.runtime.models import load

        resolved = self.front.resolved
        assert resolved is not None
        reference, folder = resolved.spec.models[name], resolved.source.folder
        device, kept = self.options.device, self.options.models
        found = resolved.found[name]
        key = replace(reference, name=""), found.folder, found.commit, device
        if kept is not None and key in kept:
            model = replace(kept[key], reference=reference)
        else:
            model = load(reference, folder, device, self.progress.stage)
        if kept is not None:
            kept[key] = model
        if model.adapter is None:
            self.front.diagnostics.note(
                "CL602",
                f"`{reference.reference}` runs one run at a time, with the reference executor: "
                f"{model.adapter_note}.",
                model_span(resolved, reference.reference),
                "the numbers are the same, and take longer",
            )
        return model

    def batches(
        self, needed: Needed, prompts: Mapping[tuple[str, str], PromptSet]
    ) -> tuple[Batch, ...]:
        """What is asked of each model on each task that has prompts."""
        asked = [
            (drawn, requests_of(needed, task, name)) for (task, name), drawn in prompts.items()
        ]
        return tuple(self.batch(drawn, requests) for drawn, requests in asked if requests)

    def batch(self, drawn: PromptSet, requests: Requests) -> Batch:
        """Requests of one model, with what is stored of them."""
        model = next(iter(requests)).model
        content = self._content(self.found(model.name))
        batch = Batch(model, content, drawn, requests, self.options.device)
        self.keys.update(batch.keys.values())
        if not self.options.fresh:
            batch.look_up(self.store)
        return batch

    def execute(self, batch: Batch, checked: Checked | None = None, *, keep: bool = True) -> None:
        """Executes what is missing of a batch, and stores it if it is to be kept.

        Where it is not known how far that can be trusted, the invariants are checked first. What is
        killed goes on at the next try behind the last chunk that was stored.
        """
        missing, keys = batch.missing, batch.executed_keys
        written = (*batch.keys_of(missing), *batch.joined)
        if not written:
            return
        if missing:
            self.load([batch.model.name])
        keep = keep and self._storable(batch)
        if missing:
            self._execute(batch, missing, checked, keep)
        if keep:
            records = {key: batch.records[key] for key in written}
            self.store.write(records, batch.origin, {*keys.values(), *batch.part_keys})

    def _execute(
        self, batch: Batch, missing: Requests, checked: Checked | None, keep: bool
    ) -> None:
        from circuitlang.runtime.measure import measure
        from circuitlang.unfinished import Unfinished

        show = None
        if checked is None:
            checked, show = self._checked(batch, missing), self.progress.pairs
            number, prompts = len(all_runs(per_draw(missing))), len(batch.drawn.prompts)
            self.progress.stage(f"{batch.drawn.task}: {number} runs on {prompts} prompts")
        unfinished = Unfinished(self.store, batch, checked) if keep else None
        try:
            values = measure(
                self.loaded[batch.model.name],
                batch.drawn,
                missing,
                chunk=self.options.chunk,
                memory=self.options.memory,
                progress=show,
                known=batch.known,
                keep=unfinished.add if unfinished else None,
            )
        except BaseException:
            if unfinished:
                unfinished.flush()
            raise
        batch.finish(values, checked)

    def _storable(self, batch: Batch) -> bool:
        """Whether the batch's keys are of the model as it is now."""
        content = self._content(self.found(batch.model.name))
        return content is not None and content == batch.content

    def _checked(self, batch: Batch, missing: Requests) -> Checked:
        """The invariants, on one chunk of the batch's prompts."""
        from circuitlang.runtime.invariants import check_invariants

        self.progress.stage(f"checking invariants on {batch.drawn.task}")
        report = check_invariants(self.loaded[batch.model.name], batch.drawn, missing)
        found = (Invariant(i.name, i.deviation, i.passed) for i in report.invariants)
        return Checked(report.noise, tuple(found))

    def _content(self, found: Found) -> str | None:
        """What the model's stored runs are keyed by; None where nothing can be stored of it."""
        return model_content(found, self.store.file_digest) if self.store.usable else None


def open_store(front: Front, options: Options, *, create: bool = True) -> Store:
    """The store of the options; what is wrong with it becomes a note."""
    assert front.resolved is not None
    folder = Path(options.store or front.resolved.source.folder / FOLDER)

    def complain(code: str, reason: str, help: str) -> None:
        what = "The store of runs" if code == NOT_READ else "Runs were not stored in"
        front.diagnostics.note(code, f"{what} `{folder}`: {reason}.", None, help)

    return Store(folder if options.stored else None, complain, create=create)


class ModelProblems:
    """Makes a diagnostic of a model that cannot be used, and of one that runs out of memory."""

    def __init__(self, front: Front) -> None:
        self.front = front

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        from circuitlang.runtime.unavailable import ModelUnavailable, NotMeasurable

        diagnostics = self.front.diagnostics
        assert self.front.resolved is not None
        match problem:
            case Reject():
                return True
            case ModelUnavailable():
                diagnostics.error(
                    "CL206",
                    f"The model `{problem.reference}` cannot be used: {problem.reason}.",
                    model_span(self.front.resolved, problem.reference),
                    problem.help or None,
                )
                return True
            case NotMeasurable():
                diagnostics.error("CL206", f"{problem.reason}.", None, problem.help or None)
                return True
        return False
