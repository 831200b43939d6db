"""What a resolved formula asks, as JSON without names: equal where every number it needs is equal.

Runs go in by the content of their model, task, ablation and live set. Members of a quantifier can
be thousands, so what comes out is to be hashed and not to be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from circuitlang.language.graph.edges import EdgeSet
from circuitlang.language.spec import (
    Ablation,
    Aggregate,
    AttentionScore,
    Both,
    Comparison,
    Constant,
    CopyScore,
    Divergence,
    Each,
    Formula,
    Independence,
    Lens,
    Loss,
    Mean,
    Measurement,
    MemberShare,
    MetricConstant,
    MetricExpression,
    MetricOperation,
    ModelReference,
    Number,
    Operation,
    Quantified,
    Run,
    Search,
    TokenScore,
    TopToken,
    Within,
)
from circuitlang.meaning.canonical import Json, as_number, digest, ordered
from circuitlang.meaning.edges import by_condition

_SYMMETRIC = frozenset({"+", "*", "min", "max", "mean", "median", "==", "!="})
_FLIPPED = {"<=": ">=", "<": ">"}


class Formulas:
    """`models` and `tasks` hold the contents by name. Digests of runs are kept."""

    def __init__(self, models: Mapping[str, Json], tasks: Mapping[str, Json]) -> None:
        self.models = {name: digest(content) for name, content in models.items()}
        self.tasks = tasks
        self.asked = {name: digest(content["asked"]) for name, content in tasks.items()}
        self._runs: dict[Run, str] = {}
        self._sets: dict[EdgeSet, str] = {}

    def content(self, form: Number | Formula) -> Json:
        match form:
            case Constant(value):
                return as_number(float(value))
            case Mean(measurement):
                return ["mean", self._measurement(measurement)]
            case Each(measurement):
                return ["each", self._measurement(measurement)]
            case Operation(operator, operands):
                return self._operation(operator, operands)
            case Aggregate(kind, body, level):
                return [kind, level, self.content(body)]
            case MemberShare(_, members, drawn):
                return ["share", drawn, self._members(members)]
            case Comparison("<=" | "<" as operator, left, right):
                return [_FLIPPED[operator], self.content(right), self.content(left)]
            case Comparison(operator, left, right):
                return self._operation(operator, (left, right))
            case Within(number, low, high):
                return ["in", *map(self.content, (number, low, high))]
            case Both(parts):
                return ["and", *ordered(map(self.content, parts))]
            case Quantified():
                return self._quantified(form)
            case Independence(one, other, level):
                return ["independent", *ordered(map(self._measurement, (one, other))), level]
        assert_never(form)

    def _operation(self, operator: str, operands: Any) -> Json:
        found = map(self.content, operands)
        return [operator, *(ordered(found) if operator in _SYMMETRIC else found)]

    def _quantified(self, form: Quantified) -> Json:
        how = [form.kind, form.level, form.extent, form.limit, form.budget]
        search = None if form.search is None else self._search(form.search)
        return [*how, search, self._members(form.members), sorted(form.counterexamples)]

    def _members(self, members: Any) -> Json:
        return ordered(digest(self.content(formula)) for _, formula in members)

    def _search(self, search: Search) -> Json:
        return [
            search.strategy,
            {name: as_number(value) for name, value in search.parameters},
            as_number(search.seed),
            digest(search.candidates.content),
            self.content(search.first),
            sorted(label for _, label in search.replayed),
        ]

    # ------------------------------------------------------------ runs

    def _measurement(self, m: Measurement) -> Json:
        rows = [m.rows.kind, m.rows.key, m.rows.slot]
        return [self.run(m.run), self._metric(m.metric.expression, m.run.task), rows]

    def run(self, run: Run) -> str:
        if run not in self._runs:
            carried = None if run.ablation is None else self.ablation(run.ablation, run.task)
            live = self._live(run.live, run.model)
            model, task = self.models[run.model.name], self.asked[run.task]
            readings = [
                [self._live(one.edges, run.model), self.run(one.run)] for one in run.readings
            ]
            self._runs[run] = digest([model, task, carried, live, *ordered(readings)])
        return self._runs[run]

    def _live(self, live: EdgeSet, model: ModelReference) -> str:
        if live not in self._sets:
            found = {at: f"{mask:x}" for at, mask in by_condition(live).items()}
            self._sets[live] = digest(found)
        return self._sets[live]

    def ablation(self, ablation: Ablation, task: str) -> Json:
        corruptions = self.tasks[task]["corruptions"]
        corruption = ablation.corruption
        return {
            "kind": ablation.kind,
            "corruption": corruptions.get(corruption, corruption),
            "per": sorted(ablation.per),
            "draws": ablation.draws,
            "file": ablation.constants.digest if ablation.constants else None,
        }

    def _metric(self, e: MetricExpression, task: str) -> Json:
        tokens = self.tasks[task]["tokens"]
        match e:
            case MetricConstant(value):
                return as_number(float(value))
            case MetricOperation(operator, operands):
                found = [self._metric(o, task) for o in operands]
                return [operator, *(ordered(found) if operator in _SYMMETRIC else found)]
            case TokenScore(kind, name, position, pool, lens):
                return [kind, tokens.get(name, name), str(position), pool, _lens(lens)]
            case TopToken(name, position):
                return ["top", tokens.get(name, name), str(position)]
            case Divergence(reference, place, kind):
                return [kind, self.run(reference), None if place is None else str(place)]
            case Loss(place):
                return ["loss", str(place)]
            case AttentionScore(head, query, key):
                return ["attention", str(head), str(query), str(key)]
            case CopyScore(head, place, among):
                return ["copies", str(head), str(place), among]
        assert_never(e)


def _lens(lens: Lens | None) -> Json:
    return None if lens is None else [str(lens.node), lens.norm]
