"""Resolved spec -> the runs it needs: every distinct M[S;a], and the metrics read from each.

Formulas name the same run many times (every `effect` needs M and none); a run is a value, so
collecting them in a dictionary is what shares them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from circuitlang.language.formulas.constants import missing
from circuitlang.language.graph.architecture import architecture
from circuitlang.language.graph.edges import END, Position, uniform
from circuitlang.language.spec import (
    Aggregate,
    Both,
    Comparison,
    Divergence,
    Each,
    Formula,
    Independence,
    Mean,
    Measurement,
    MemberShare,
    Metric,
    MetricExpression,
    MetricOperation,
    Number,
    Operation,
    Quantified,
    Rows,
    Run,
    Search,
    TokenScore,
    Within,
)

Requests = Mapping[Run, Sequence[Metric]]


@dataclass(frozen=True)
class Setting:
    """One (model, task, ablation, metric) that claims use, with its M and its floor.

    `floor` is F(none) under the free nodes of the run that introduced the setting, None where
    nothing is ablated or constants are not given for all of it.
    """

    whole: Run
    floor: Run | None
    metric: Metric


@dataclass(frozen=True)
class Needed:
    """What a check has to measure.

    `requests` are all runs with their metrics; `settings` what preconditions look at;
    `accuracy` the accuracy metric per task that has an answer and a foil.
    """

    requests: Requests
    settings: tuple[Setting, ...]
    accuracy: Mapping[str, Metric]


def parts(form: Any) -> Iterator[Any]:
    """The direct parts of a formula or number."""
    match form:
        case Comparison(_, left, right):
            yield from (left, right)
        case Within(number, low, high):
            yield from (number, low, high)
        case Both(formulas):
            yield from formulas
        case Quantified(search=Search() as search, members=()):
            yield search.first
        case Quantified() | MemberShare():
            yield from (formula for _, formula in form.members)
        case Independence(one, other):
            yield from (Mean(one), Mean(other))
        case Operation(_, operands):
            yield from operands
        case Aggregate(_, body, _):
            yield body


def measurements(form: Formula | Number) -> Iterator[Measurement]:
    """Every F of a formula, repeats included."""
    stack: list[Any] = [form]
    while stack:
        part = stack.pop()
        if isinstance(part, (Mean, Each)):
            yield part.measurement
        else:
            stack += list(parts(part))[::-1]


def runs_of(form: Formula | Number) -> Iterator[Run]:
    """The run of every F of a formula, those that its metric compares with and that they read from."""
    for measurement in measurements(form):
        for run in (measurement.run, *reference_runs(measurement.metric.expression)):
            yield from run.with_readings


def has_search(form: Any) -> bool:
    """Whether members of it are still to be found by a search."""
    match form:
        case Quantified(search=Search(), members=()):
            return True
        case Quantified() | Both():
            return any(has_search(part) for part in parts(form))
    return False


def expand_examples(form: Any, counts: Mapping[str, int]) -> Any:
    """Quantifiers over prompts, expanded now that the prompts are known.

    `counts` maps a task to its number of prompts.
    """
    match form:
        case Both(formulas):
            return Both(tuple(expand_examples(f, counts) for f in formulas))
        case Quantified() if len(form.members) == 1 and form.members[0][0].startswith("$"):
            variable, body = form.members[0]
            body = expand_examples(body, counts)
            tasks = {m.run.task for m in measurements(body) if m.rows.key == variable}
            number = min((counts[t] for t in tasks), default=0)
            looked_at = number if form.limit is None else min(form.limit, number)
            members = tuple(
                (f"prompt {i}", _at_example(body, variable, i)) for i in range(looked_at)
            )
            extent = "drawn" if looked_at < number else form.extent
            return replace(form, members=members, extent=extent)
        case Quantified():
            return replace(
                form,
                members=tuple((text, expand_examples(f, counts)) for text, f in form.members),
            )
        case _:
            return form


def _at_example(form: Any, variable: str, index: int) -> Any:
    match form:
        case Mean(measurement) if measurement.rows.key == variable:
            return Mean(replace(measurement, rows=Rows("example", index)))
        case Comparison(operator, left, right):
            return Comparison(
                operator, _at_example(left, variable, index), _at_example(right, variable, index)
            )
        case Within(number, low, high):
            ends = [_at_example(x, variable, index) for x in (number, low, high)]
            return Within(*ends)
        case Both(formulas):
            return Both(tuple(_at_example(f, variable, index) for f in formulas))
        case Quantified() | MemberShare():
            members = tuple((t, _at_example(f, variable, index)) for t, f in form.members)
            return replace(form, members=members)
        case Operation(operator, operands):
            return Operation(operator, tuple(_at_example(o, variable, index) for o in operands))
        case _:
            return form


def accuracy_metric(token_sets: Iterable[str]) -> Metric | None:
    """1 where the answer's probability exceeds the foil's, when the task declares both."""
    if not {"answer", "foil"} <= set(token_sets):
        return None
    end = Position(END)
    answer, foil = (TokenScore("prob", name, end) for name in ("answer", "foil"))
    return Metric("accuracy", MetricOperation(">", (answer, foil)), False)


def collect(forms: Iterable[Formula | Number], token_sets: Mapping[str, Iterable[str]]) -> Needed:
    """The runs of `forms` plus what the preconditions need.

    `token_sets` maps each task to the names of its token sets.
    """
    requests: dict[Run, dict[Metric, None]] = {}
    settings: dict[tuple[Any, ...], Setting] = {}
    accuracy = {
        task: metric for task in token_sets if (metric := accuracy_metric(token_sets[task]))
    }

    def add(run: Run, metric: Metric) -> None:
        requests.setdefault(run, {})[metric] = None

    for form in forms:
        for m in measurements(form):
            add(m.run, m.metric)
            setting = _setting(m)
            key = (setting.whole, setting.floor, setting.metric)
            settings.setdefault(key, setting)
    floored = {(s.whole, s.metric) for s in settings.values() if s.floor is not None}
    kept = tuple(
        s for s in settings.values() if s.floor is not None or (s.whole, s.metric) not in floored
    )
    for setting in kept:
        add(setting.whole, setting.metric)
        if setting.floor is not None:
            add(setting.floor, setting.metric)
        if setting.whole.task in accuracy:
            add(setting.whole, accuracy[setting.whole.task])
    ordered = {run: tuple(metrics) for run, metrics in requests.items()}
    return Needed(ordered, kept, accuracy)


def _setting(m: Measurement) -> Setting:
    """The floor of a run that ablates nothing itself is that of the runs it reads from."""
    ablated = (run.ablation for run in m.run.with_readings if run.ablation is not None)
    ablation, graph = next(ablated, None), architecture(m.run.model.shape)
    whole = Run(m.run.model, m.run.task, None, uniform(graph.everything), "M")
    if ablation is None or (ablation.constants and missing(ablation.constants, m.run.floor, graph)):
        return Setting(whole, None, m.metric)
    floor = replace(m.run, ablation=ablation, live=m.run.floor, written="none", readings=())
    return Setting(whole, floor, m.metric)


def reference_runs(expression: MetricExpression) -> list[Run]:
    """The runs whose logits a metric compares with."""
    found: list[Run] = []
    stack = [expression]
    while stack:
        part = stack.pop()
        if isinstance(part, Divergence):
            found.append(part.reference)
        elif isinstance(part, MetricOperation):
            stack += part.operands
    return found


def all_runs(requests: Requests) -> tuple[Run, ...]:
    """Requested runs, the runs that their metrics refer to and that these read from, each once."""
    found: dict[Run, None] = dict.fromkeys(requests)
    for metrics in requests.values():
        for metric in metrics:
            found.update(dict.fromkeys(reference_runs(metric.expression)))
    for run in tuple(found):
        found.update(dict.fromkeys(run.with_readings))
    return tuple(found)
