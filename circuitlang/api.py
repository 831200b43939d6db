"""The Python interface: load a spec, check it, or ask for the numbers of single runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from circuitlang import pipeline
from circuitlang.front import Front, Options, Silent, draw_prompts, fetched_front, resolve_file
from circuitlang.language.diagnostics import Diagnostic, Diagnostics
from circuitlang.language.prompt import Prompt, PromptSet
from circuitlang.language.resolve import resolve_expression
from circuitlang.language.source import Span
from circuitlang.language.spec import Mean, Metric, Run
from circuitlang.measurement.batch import Checked
from circuitlang.measurement.runner import Runner
from circuitlang.report.diagnostics import render
from circuitlang.report.document import CheckDocument
from circuitlang.report.outcome import document

if TYPE_CHECKING:
    from torch import Tensor

    from circuitlang.lockfile import Lock
    from circuitlang.report.effects import EffectsDocument
    from circuitlang.report.verification import VerificationDocument


class SpecError(Exception):
    """A spec or expression with errors; `diagnostics` has all of them, the text renders them."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        self.diagnostics = tuple(d for d in diagnostics if d.severity == "error")
        super().__init__("\n" + "\n".join(render(d).plain for d in self.diagnostics))


@dataclass(frozen=True)
class LoadedSpec:
    """A spec that resolves: every name, range, edge and measure in it is sound."""

    path: Path
    front: Front

    def __repr__(self) -> str:
        return f"LoadedSpec({str(self.path)!r})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the text, highlighted."""
        from pygments import highlight
        from pygments.formatters import HtmlFormatter

        from circuitlang.highlight import CircLexer

        assert self.front.resolved is not None
        formatter = HtmlFormatter(noclasses=True, cssstyles="color:#1f1f1f;padding:.5em")
        html: str = highlight(self.front.resolved.source.text, CircLexer(), formatter)
        return html

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        return tuple(d for d in self.front.found if d.severity != "error")


def load(path: str | Path) -> LoadedSpec:
    """Reads and resolves a spec without weights; raises `SpecError` with everything found."""
    resolved = resolve_file(Path(path))
    if resolved.diagnostics.has_errors:
        raise SpecError(resolved.found)
    return LoadedSpec(Path(path), resolved)


def check(spec: LoadedSpec | str | Path, **options: Any) -> CheckDocument:
    """Decides every claim; `options` are the fields of `front.Options`.

    Raises `SpecError` when the spec or a model cannot be used.
    """
    path = spec.path if isinstance(spec, LoadedSpec) else Path(spec)
    chosen = Options(**options)
    outcome = pipeline.check(path, chosen, Silent())
    if outcome.measured is None:
        raise SpecError(outcome.front.found)
    return document(outcome, chosen, per_example=True)


def lock(spec: LoadedSpec | str | Path, **options: Any) -> Lock:
    """Decides every claim and writes the lock beside the spec; raises `SpecError`."""
    from circuitlang import locking

    path = spec.path if isinstance(spec, LoadedSpec) else Path(spec)
    outcome, _ = locking.lock(path, Options(**options), Silent())
    if outcome.lock is None:
        raise SpecError(outcome.front.found)
    return outcome.lock


def verify(spec: LoadedSpec | str | Path, **options: Any) -> VerificationDocument:
    """A new check against the lock, executed whole unless `fresh` is False; raises `SpecError`."""
    from circuitlang import locking

    path = spec.path if isinstance(spec, LoadedSpec) else Path(spec)
    chosen = Options(**{"fresh": True, **options})
    front, found = locking.verify(path, chosen, Silent())
    if found is None:
        raise SpecError(front.found)
    return found


def effects(
    spec: LoadedSpec | str | Path,
    set: str | None = None,
    *,
    of: str | None = None,
    denoise: bool = False,
    inside: str | None = None,
    budget: int | None = 1000,
    positions: bool = False,
    sort: str = "size",
    on: str | None = None,
    under: str | None = None,
    by: str | None = None,
    with_: str | None = None,
    free: str | None = None,
    **options: Any,
) -> EffectsDocument:
    """What each member of a set does, measured one by one and ranked; see `circ effects`.

    `set` and `inside` are expressions of the spec, `on` to `free` context words as text, and
    `options` fields of `front.Options`. `budget` None measures every member. Raises `SpecError`.
    """
    from circuitlang.discovery.effects import Question
    from circuitlang.discovery.effects import effects as found_effects
    from circuitlang.discovery.experiment import Context

    path = spec.path if isinstance(spec, LoadedSpec) else Path(spec)
    question = Question(set, of, denoise, inside, budget, positions, sort)
    context = Context(on, under, by, with_, free)
    front, found = found_effects(path, question, Options(**options), context, Silent())
    if found is None:
        raise SpecError(front.found)
    return found


def session(spec: LoadedSpec | str | Path, **options: Any) -> Session:
    """A session on a spec's models and prompts; see `Session`."""
    return Session(spec if isinstance(spec, LoadedSpec) else load(spec), **options)


def prepared(spec: LoadedSpec, options: Options) -> Front:
    """The spec with its models found and its prompts drawn; raises `SpecError`."""
    front = fetched_front(spec.path, options, Silent())
    _raise_errors(front)
    return front


def _raise_errors(front: Front) -> None:
    if front.diagnostics.has_errors:
        raise SpecError(front.found)


class Session:
    """Keeps models loaded and prompts drawn, and remembers every run it has made.

    Runs that a check has stored are not made again; a session stores none itself, since it checks
    no invariants. Models are loaded for the first run that is not stored.
    """

    def __init__(self, spec: LoadedSpec, **options: Any) -> None:
        self.options = Options(**options)
        self.front = prepared(spec, self.options)
        self.runner = Runner(self.front, self.options, Silent(), create=False)
        self._known: dict[Any, Any] = {}

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.runner.close()

    def F(  # noqa: N802 - the language's own name
        self, edges: str, prompts: Sequence[Prompt] | None = None, **words: str
    ) -> Tensor:
        """The per-prompt numbers behind F, float64, [prompt].

        `edges` is any set expression of the spec, such as "ioi - a9.h9"; `words` are context
        words as text: on, under, by, free, and with_ for `with`. `prompts`, as
        `strategies.inputs` gives them, stand in for the sample. Raises `SpecError`.
        """
        from circuitlang.runtime.tensors import tensor

        clauses = "".join(f" {word.rstrip('_')} {value}" for word, value in words.items())
        assert self.front.resolved is not None
        self.front.resolved.definitions.diagnostics = diagnostics = Diagnostics()
        found = resolve_expression(f"F({edges}{clauses})", self.front.resolved)
        if not found:
            raise SpecError(diagnostics.sorted)
        number = found[0][1]
        assert isinstance(number, Mean)
        key = (number.measurement.run, number.measurement.metric)
        if prompts is not None:
            self._draw(number, found[0][2])
            drawn = self.front.prompts[key[0].task, key[0].model.name]
            return tensor(self._values(replace(drawn, prompts=tuple(prompts)), *key))
        if key not in self._known:
            self._draw(number, found[0][2])
            drawn = self.front.prompts[key[0].task, key[0].model.name]
            self._known[key] = self._values(drawn, *key)
        return tensor(self._known[key])

    def _draw(self, number: Mean, span: Span) -> None:
        """Prompts of a task and model that no claim of the spec needed."""
        run = number.measurement.run
        if (run.task, run.model.name) not in self.front.prompts:
            self.front.asked = ((number, span),)
            draw_prompts(self.front, self.options)
            _raise_errors(self.front)

    def _values(self, drawn: PromptSet, run: Run, metric: Metric) -> Any:
        """The numbers of a run, from the store or executed."""
        batch = self.runner.batch(drawn, {run: (metric,)})
        self.runner.execute(batch, Checked({metric: math.nan}), keep=False)
        return batch.values[run, metric]
