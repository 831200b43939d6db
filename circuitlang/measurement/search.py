"""Members of domains too large to list, found on one half of the prompts.

Takes formulas with open searches and a function that measures runs on those prompts, and gives the
formulas with the most violating members put in (for `exists`, the most satisfying). The verdict on
them is then read off the other half, which had no part in the choice. All searches advance
together, so that each step is one measurement of many runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from circuitlang.compiler.collect import measurements
from circuitlang.judgement.decide import UnsupportedError, node_of
from circuitlang.judgement.estimator import Estimator
from circuitlang.judgement.sample import Sample
from circuitlang.language.formulas.drawn import Member, Subsets
from circuitlang.language.graph.architecture import bits
from circuitlang.language.prompt import PromptSet
from circuitlang.language.spec import Both, Formula, Quantified, Search
from circuitlang.language.tasks.population import random_stream

FOUND = 5
Measure = Callable[[list[Formula]], Sample]
Rows = list[int]
Strategy = Generator[list[Member], list[float], None]


# ---------------------------------------------------------------- two halves


def halves(prompts: PromptSet) -> tuple[Rows, Rows]:
    """The prompts to search on and those to decide on: of each template every second one.

    Where the prompts are all there are, the numbers are exact, a choice cannot be favoured by
    chance, and both are all of them.
    """
    everything = list(range(len(prompts.prompts)))
    if prompts.enumerated:
        return everything, everything
    seen: dict[str, int] = {}
    parts: tuple[Rows, Rows] = ([], [])
    for row, prompt in enumerate(prompts.prompts):
        turn = seen.get(prompt.template, 0)
        seen[prompt.template] = turn + 1
        parts[turn % 2].append(row)
    return parts


def rows_of(prompts: PromptSet, rows: Rows) -> PromptSet:
    """Only these prompts of a set."""
    return replace(prompts, prompts=tuple(prompts.prompts[row] for row in rows))


def restricted(sample: Sample, rows: Mapping[str, Rows]) -> Sample:
    """The sample with only these prompts of the tasks that are named."""

    def cut(task: str, values: Any) -> Any:
        return values[rows[task]] if task in rows else values

    return replace(
        sample,
        templates={task: cut(task, labels) for task, labels in sample.templates.items()},
        values={key: cut(key[0].task, vector) for key, vector in sample.values.items()},
        slots={
            task: tuple(slots[i] for i in rows[task]) if task in rows else slots
            for task, slots in sample.slots.items()
        },
    )


# ---------------------------------------------------------------- strategies


@dataclass
class Scored:
    """The members that one search has looked at: number of the bits or the draw -> score.

    `final` are those among which it chooses, beside `first`, which it decides in any case.
    """

    scores: dict[int, float] = field(default_factory=dict)
    members: dict[int, Member] = field(default_factory=dict)
    final: list[int] = field(default_factory=list)
    first: list[Member] = field(default_factory=list)

    def note(self, keys: Sequence[int], members: Sequence[Member], scores: Sequence[float]) -> None:
        self.members |= zip(keys, members, strict=True)
        self.scores |= zip(keys, scores, strict=True)

    def best(self, number: int) -> list[Member]:
        """The final members with the highest scores."""
        known = [k for k in dict.fromkeys(self.final) if self.scores[k] > -math.inf]
        found = [self.members[k] for k in sorted(known, key=lambda k: -self.scores[k])]
        named = {label: (value, label) for value, label in (*self.first, *found)}
        return list(named.values())[: max(number, len(self.first))]


def draw(search: Search, scored: Scored) -> Strategy:
    """`budget` members at random."""
    base, budget = search.candidates, dict(search.parameters)["budget"]
    if isinstance(base, Subsets):
        scored.final = base.masks(budget, search.seed)
        yield from _look(base, scored.final, scored)
        return
    members = base.members(budget, search.seed)
    scored.final = list(range(len(members)))
    scored.note(scored.final, members, (yield members))


def greedy(search: Search, scored: Scored) -> Strategy:
    """Chains of growing sets (Wang et al. 2022, appendix M).

    Each of `runs` chains starts from nothing; a step tries `width` random additions and takes the
    best of them if that raises the score.
    """
    base, limits = search.candidates, dict(search.parameters)
    assert isinstance(base, Subsets)
    random = random_stream(search.seed, "greedy", base.content)
    yield from _look(base, [0], scored)
    chains = [0] * limits["runs"]
    for _ in range(limits["steps"]):
        tries: list[list[int]] = []
        for chain in chains:
            absent = [i for i in range(len(base.base)) if not chain >> i & 1]
            drawn = random.sample(absent, min(limits["width"], len(absent)))
            tries.append([chain | 1 << i for i in drawn])
        yield from _look(base, [key for keys in tries for key in keys], scored)
        chains = [
            max((chain, *keys), key=lambda key: scored.scores[key])
            for chain, keys in zip(chains, tries, strict=True)
        ]
    scored.final = chains


def _look(base: Subsets, keys: Sequence[int], scored: Scored) -> Strategy:
    new = [key for key in dict.fromkeys(keys) if key not in scored.scores]
    if new:
        members = [base.member(key) for key in new]
        scored.note(new, members, (yield members))


def smallest(search: Search, scored: Scored) -> Strategy:
    """Takes parts out of the worst set as long as what is left violates, to show what matters in it.

    Halves first, then ever smaller shares (Zeller and Hildebrandt 2002). At most as many sets are
    tried as the search has looked at already.
    """
    base, left = search.candidates, len(scored.scores)
    if not isinstance(base, Subsets) or not scored.final:
        return
    worst, shares = max(scored.final, key=lambda key: scored.scores[key]), 2
    while scored.scores[worst] > 0 and worst.bit_count() > 1 and left > 0:
        parts = list(bits(worst))
        shares = min(shares, len(parts))
        tries = [worst - sum(1 << i for i in parts[s::shares]) for s in range(shares)][:left]
        left -= len(tries)
        yield from _look(base, tries, scored)
        violating = [key for key in tries if scored.scores[key] > 0]
        if violating:
            worst, shares = max(violating, key=lambda key: scored.scores[key]), max(2, shares - 1)
        elif shares == len(parts):
            break
        else:
            shares *= 2
    if scored.scores[worst] > 0:
        scored.first = [*scored.first, base.member(worst, whole=True)]


def strategy(search: Search, scored: Scored, kind: str) -> Strategy:
    """Earlier counterexamples first, then the search, then the smallest set that it comes to."""
    scored.first = list(search.replayed)
    yield from STRATEGIES[search.strategy](search, scored)
    if kind == "forall":
        yield from smallest(search, scored)


STRATEGIES: dict[str, Callable[[Search, Scored], Strategy]] = {"search": draw, "greedy": greedy}


# ---------------------------------------------------------------- the driver


def open_searches(form: Any) -> Iterator[Quantified]:
    """The quantifiers of a formula whose members are still to be found."""
    match form:
        case Both(parts):
            for part in parts:
                yield from open_searches(part)
        case Quantified(search=Search(), members=()):
            yield form
        case Quantified():
            for _, member in form.members:
                yield from open_searches(member)


def tasks_searched(forms: Iterable[Any]) -> tuple[str, ...]:
    """The tasks whose prompts some search looks at."""
    found = (m.run.task for form in forms if any(open_searches(form)) for m in measurements(form))
    return tuple(dict.fromkeys(found))


def with_members(forms: Sequence[Any], measure: Measure, stage: Callable[[str], None]) -> list[Any]:
    """The forms with the members that their searches found.

    `measure` gives the numbers of formulas on the prompts to search on. Raises `Reject` where a
    member has a mistake.
    """
    open_ = dict.fromkeys(q for form in forms for q in open_searches(form))
    found = _run(list(open_), measure, stage) if open_ else {}
    return [_completed(form, found) for form in forms]


def _run(
    open_: Sequence[Quantified], measure: Measure, stage: Callable[[str], None]
) -> dict[Quantified, Quantified]:
    looked = {q: Scored() for q in open_}
    running: dict[Quantified, Strategy] = {}
    asked: dict[Quantified, list[Member]] = {}
    for q in open_:
        assert q.search is not None
        running[q] = strategy(q.search, looked[q], q.kind)
        asked[q] = next(running[q])
    while asked:
        tried = sum(len(one.scores) for one in looked.values()) + sum(map(len, asked.values()))
        stage(f"searching: {tried:,} members looked at")
        formulas = {q: [_formula(q, member) for member in members] for q, members in asked.items()}
        estimator = Estimator(measure([f for fs in formulas.values() for f in fs]))
        scores = {q: [_score(q, f, estimator) for f in fs] for q, fs in formulas.items()}
        asked = {}
        for q, of_members in scores.items():
            try:
                asked[q] = running[q].send(of_members)
            except StopIteration:
                continue
    return {q: _found(q, looked[q]) for q in open_}


def _formula(q: Quantified, member: Member) -> Formula:
    assert q.search is not None
    return q.search.instantiate(*member)


def _score(q: Quantified, formula: Formula, estimator: Estimator) -> float:
    """How far the estimate violates the formula; for `exists`, satisfies it."""
    try:
        toward = node_of(formula, estimator, "prompts").toward
    except UnsupportedError:
        return -math.inf
    score = toward if q.kind == "exists" else -toward
    return -math.inf if math.isnan(score) else score


def _found(q: Quantified, looked: Scored) -> Quantified:
    best = looked.best(FOUND)
    members = tuple((label, _formula(q, (value, label))) for value, label in best)
    return replace(q, members=members, tried=len(looked.scores))


def _completed(form: Any, found: Mapping[Quantified, Quantified]) -> Any:
    match form:
        case Both(parts):
            return Both(tuple(_completed(part, found) for part in parts))
        case Quantified() if form in found:
            return found[form]
        case Quantified():
            members = tuple((label, _completed(member, found)) for label, member in form.members)
            return replace(form, members=members)
    return form
