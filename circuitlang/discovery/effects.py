"""Exact effects: what each member of a set does, measured one by one and ranked.

Takes a spec, a set expression of its language and a kind of effect, and gives every member's number
with its interval. Members beyond the budget are left out by attribution, which the document says.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from circuitlang.discovery.attribution import attributed
from circuitlang.discovery.denoising import way
from circuitlang.discovery.experiment import Context, Experiment, experiment
from circuitlang.front import Front, Options, Progress
from circuitlang.language.formulas.place_checks import PlaceChecks
from circuitlang.language.graph.architecture import bits
from circuitlang.language.graph.edges import END, EdgeSet, Place, Position, uniform
from circuitlang.language.members import Member, Members, members_of
from circuitlang.language.resolve import Resolved, resolve_expression
from circuitlang.language.source import Span
from circuitlang.language.spec import Mean, Number, Operation
from circuitlang.report.diagnostics import diagnostic_form
from circuitlang.report.effects import EffectForm, EffectsDocument, NumberForm, caption, has_maps
from circuitlang.report.outcome import versions

if TYPE_CHECKING:
    from circuitlang.judgement.estimator import Estimator

BUDGET = 1000
TAIL = 0.025
RUNS_AT_ONCE = 1000
SORTS = ("size", "effect", "name", "layer")

# Which parts a kind of effect does not see, and what does.
_UNSEEN = {
    "noising": "of parts that do the same each is idle while the other is there, and `--denoise` "
    "shows them",
    "denoising": "of parts that are needed together none brings anything back alone, and the "
    "effects without `--denoise` show them",
    "inside": "of parts that do the same each is idle while the other is there, and `--denoise` "
    "without `--in` shows them",
}


@dataclass(frozen=True)
class Question:
    """What is to be ranked, and how; the set and `inside` are expressions of the language.

    `set` None is every edge that can be ablated, or every edge of `inside`. `of` is what its members
    are, one of `language.members.KINDS`, None what the set itself has. `budget` is the number of
    runs at most, None no limit. `sort` is one of `SORTS`; `maps` that heat maps will be wanted.
    """

    set: str | None = None
    of: str | None = None
    denoise: bool = False
    inside: str | None = None
    budget: int | None = BUDGET
    positions: bool = False
    sort: str = "size"
    maps: bool = False

    @property
    def kind(self) -> str:
        return "denoising" if self.denoise else "inside" if self.inside else "noising"


@dataclass(frozen=True)
class _One:
    """A member at a position, None everywhere, and the number that is its effect."""

    member: Member
    at: str | None
    edges: EdgeSet
    number: Operation


def effects(
    path: Path, question: Question, options: Options, context: Context, progress: Progress
) -> tuple[Front, EffectsDocument | None]:
    """The effects that a spec's set has; None with errors in the front."""
    found = None
    with experiment(path, options, context, progress) as (front, made):
        if made is not None:
            found = _Ranking(made, question, path).document()
    if found is not None:
        found = found.model_copy(update={"diagnostics": tuple(map(diagnostic_form, front.found))})
    return front, found


class _Ranking:
    def __init__(self, made: Experiment, question: Question, path: Path) -> None:
        self.made, self.question, self.path = made, question, path
        self.front = made.front
        assert self.front.resolved is not None
        self.resolved: Resolved = self.front.resolved
        self.diagnostics = self.front.diagnostics
        self.started = time.monotonic()

    def document(self) -> EffectsDocument | None:
        question, made = self.question, self.made
        if made.floor.ablation is None:
            self.diagnostics.error(
                "CL751",
                "Every node is free, so nothing is ablated and there is nothing to rank.",
                None,
                "declare fewer nodes free, with `--free` or in the spec's `default`",
            )
            return None
        inside = self._inside()
        if self.diagnostics.has_errors:
            return None
        listed = self._listed()
        if listed is None or self.diagnostics.has_errors:
            return None
        explained = self._tell_of_outsiders(listed, inside)
        positions = self._positions() if question.positions else ()
        chosen = self._screened(listed.members, max(1, len(positions)))
        if question.denoise and not self._are_ways(chosen):
            return None
        measured = self._measured(chosen, positions, inside, listed.span)
        if measured is None:
            return None
        total, rows = measured
        if not explained:
            self._tell_of_zeros(rows)
        spec = self.resolved.spec
        found = EffectsDocument(
            tool=versions(),
            file=str(self.path),
            spec=spec.name,
            version=spec.version,
            task=made.context.on or made.whole.task,
            ablation=str(made.floor.ablation),
            metric=str(made.metric),
            lower_is_better=made.metric.lower_is_better,
            model=made.whole.model.name,
            free=made.floor.free,
            prompts=total.n or len(made.drawn.prompts),
            seed=made.runner.options.seed,
            kind=question.kind,  # type: ignore[arg-type]
            of=listed.kind,  # type: ignore[arg-type]
            set=self._set,
            inside=question.inside,
            expression=self._expression(listed, chosen, positions),
            positions=positions,
            members=len(listed.members),
            screened=len(chosen) < len(listed.members),
            budget=question.budget,
            total=total,
            caption="",
            effects=tuple(sorted(rows, key=_key(question.sort))),
            seconds=round(time.monotonic() - self.started, 3),
        )
        return found.model_copy(update={"caption": caption(found)})

    # ---------------------------------------------------------------- what is asked

    @property
    def _set(self) -> str:
        if self.question.set is not None:
            return self.question.set
        if self.question.inside is not None:
            return self.question.inside
        free = self.made.floor.free
        return f"M - ({', '.join(free)})" if free else "M"

    def _inside(self) -> EdgeSet | None:
        if self.question.inside is None:
            return None
        if self.question.denoise:
            self.diagnostics.error(
                "CL756",
                "What a member brings back alone has no circuit around it, so `--denoise` and "
                "`--in` do not go together.",
                None,
                "leave one of them out",
            )
            return None
        words = self.made.context.words
        found = resolve_expression(f"F({self.question.inside}{words})", self.resolved)
        if not found or not isinstance(found[0][1], Mean):
            return None
        return found[0][1].measurement.run.live

    def _listed(self) -> Members | None:
        question, words = self.question, self.made.context.words
        default = "edges" if question.set is None else None
        listed = members_of(
            self._set, question.of or default, self.resolved, words, self.made.whole.task
        )
        if listed is None:
            return None
        if not listed.members:
            self.diagnostics.error(
                "CL751",
                f"`{listed.domain}` has no member, so there is nothing to rank.",
                None,
                "name a set that has some, such as `heads`, or another kind with `--of`",
            )
            return None
        if question.maps and not has_maps(listed.kind, question.positions):
            self.diagnostics.error(
                "CL756",
                f"A heat map shows nodes by layer, or members by position, and these are {listed.kind}.",
                None,
                "add `--positions`, or rank nodes with `--of nodes`",
            )
            return None
        return listed

    def _tell_of_outsiders(self, listed: Members, inside: EdgeSet | None) -> bool:
        """Members with no edge of the circuit have no effect, which is said; whether these are all."""
        if inside is None:
            return False
        reach = inside.reach & ~self.made.floor.floor.lasting
        outside = [m.label for m in listed.members if not m.edges.reach & reach]
        if outside:
            circuit = self.question.inside
            said = f"`{outside[0]}` lies outside `{circuit}`, which loses nothing without it."
            if len(outside) > 1:
                said = (
                    f"{len(outside)} members of `{listed.domain}` lie outside `{circuit}`, which "
                    f"loses nothing without them, such as `{outside[0]}`."
                )
            help = f"leave SET out to rank the edges of `{circuit}`"
            self.diagnostics.note("CL755", said, None, help)
        return len(outside) == len(listed.members)

    def _are_ways(self, members: Sequence[Member]) -> bool:
        """Whether all paths through a member are a set of edges, of every member; else an error."""
        graph = self.made.graph
        bad = next((m for m in members if not way(m.edges.reach, graph).is_one), None)
        if bad is not None:
            self.diagnostics.error(
                "CL756",
                f"`{bad.label}` has parts that read each other, so the paths through it are no set of "
                "edges, and `--denoise` cannot leave it in alone.",
                None,
                "denoise single edges, nodes or ports, such as with `--of nodes`",
            )
        return bad is None

    def _positions(self) -> tuple[str, ...]:
        """The labels that every prompt has and END; of those at the same tokens everywhere the first."""
        layouts = [prompt.layout for prompt in self.made.drawn.prompts]
        task = self.resolved.tasks[self.made.whole.task]
        found: dict[tuple[tuple[int, ...], ...], str] = {}
        for label in (*task.labels, END):
            found.setdefault(tuple(Position(label).tokens(one) for one in layouts), label)
        return tuple(found.values())

    def _screened(self, members: Sequence[Member], positions: int) -> Sequence[Member]:
        budget = self.question.budget
        if budget is None or len(members) * positions <= budget:
            return members
        import numpy as np

        values = np.nan_to_num(attributed(self.made).values)
        sizes = np.array([abs(values[list(bits(m.edges.reach))].sum()) for m in members])
        best = np.argsort(-sizes, kind="stable")[: max(1, budget // positions)]
        return [members[number] for number in sorted(best.tolist())]

    def _one(self, member: Member, at: str | None, inside: EdgeSet | None) -> _One:
        made = self.made
        edges = member.edges if at is None else member.edges.at(Place((Position(at),)))
        name = member.label if at is None else f"{member.label} @ {at}"
        if self.question.denoise:
            through = way(member.edges.reach, made.graph)
            live = uniform(through.into | through.out) | edges
            number = made.difference(made.run(live, f"all paths through {name}"), made.floor)
            return _One(member, at, edges, number)
        whole = made.whole if inside is None else made.run(inside, self.question.inside or "")
        less = made.without(edges, inside, f"{whole.written} - {name}")
        return _One(member, at, edges, made.difference(whole, less))

    def _places_exist(self, ones: Sequence[_One], span: Span) -> bool:
        """Whether every prompt has the positions that are asked for; errors are said."""
        checks = PlaceChecks(self.resolved.definitions.position_spans, self.diagnostics)
        for one in ones:
            if not one.edges.is_uniform:
                for mean in one.number.operands:
                    assert isinstance(mean, Mean)
                    checks.check(mean.measurement, self.made.drawn, span)
        return not self.diagnostics.has_errors

    # ---------------------------------------------------------------- numbers

    def _measured(
        self,
        members: Sequence[Member],
        positions: Sequence[str],
        inside: EdgeSet | None,
        span: Span,
    ) -> tuple[NumberForm, list[EffectForm]] | None:
        """F(M) - F(none) and all effects, so many members at once as memory is sure to hold."""
        rows: list[EffectForm] = []
        total, share = None, None
        step = max(1, RUNS_AT_ONCE // max(1, len(positions)))
        for start in range(0, len(members), step):
            some = members[start : start + step]
            ones = [self._one(m, at, inside) for m in some for at in positions or (None,)]
            if not self._places_exist(ones, span):
                return None
            estimator = self.made.measure([self.made.effect, *(one.number for one in ones)])
            if total is None:
                total = _estimated(self.made.effect, estimator)
                share = self._scale(total, estimator.margin(self.made.effect))
            self.made.progress.stage("working out intervals")
            rows += (self._row(one, estimator, share) for one in ones)
        assert total is not None
        return total, rows

    def _row(self, one: _One, estimator: Estimator, scale: float | None) -> EffectForm:
        found = _estimated(one.number, estimator)
        reach = one.member.edges.reach
        return EffectForm(
            **found.model_dump(),
            member=one.member.label,
            at=one.at,
            order=(reach & -reach).bit_length() - 1,
            share=None if scale is None else found.value / scale,
            within_noise=abs(found.value) <= estimator.margin(one.number),
        )

    def _scale(self, total: NumberForm, margin: float) -> float | None:
        """What shares are of; None, with a warning, where that is not clear of zero."""
        low, high = total.low, total.high
        better = -1 if self.made.metric.lower_is_better else 1
        said = f"95% interval {low:.4g}..{high:.4g}" if low is not None and high is not None else ""
        if abs(total.value) <= margin:
            why = "is within numeric noise"
        elif low is None or high is None:
            why = f"has no interval ({total.reason})"
        elif low <= 0 <= high:
            why = f"includes 0 in its {said}"
        elif better * total.value < 0:
            why = f"points the wrong way{f' ({said})' if low < high else ''}"
        else:
            return total.value
        self.diagnostics.warn(
            "CL753",
            f"F(M) - F(none) is {total.value:.4g} and {why}: shares of it mean nothing and are left out.",
            None,
            "see with `circ check` that the model can do the task, and that the ablation breaks it",
        )
        return None

    def _tell_of_zeros(self, rows: Sequence[EffectForm]) -> None:
        if all(row.within_noise for row in rows):
            self.diagnostics.warn(
                "CL754",
                "No member has an effect beyond numeric noise, so their order means nothing.",
                None,
                f"rank larger sets, such as groups; {_UNSEEN[self.question.kind]}",
            )

    # ---------------------------------------------------------------- the same in the language

    def _expression(
        self, listed: Members, chosen: Sequence[Member], positions: Sequence[str]
    ) -> str:
        """What gives the same numbers, in the order of the set; of a screened set, noising has all."""
        words = self.made.context.words
        if self.question.denoise:
            each = (
                self._denoising(m, at, listed.term) for m in chosen for at in positions or (None,)
            )
            return f"[{', '.join(each)}]"
        name, terms = self._variable(), []
        for at in positions or (None,):
            member = _placed(listed.term, name, at)
            terms.append(f"drop({self.question.inside or 'M'}, {member}{words})")
        return f"[{', '.join(terms)} for {name} in {listed.domain}]"

    def _denoising(self, member: Member, at: str | None, term: str) -> str:
        graph, words = self.made.graph, self.made.context.words
        through = way(member.edges.reach, graph)
        live = through.written(_placed(term, member.written(graph), at), graph)
        return f"F({live}{words}) - F(none{words})"

    def _variable(self) -> str:
        """A name that hides nothing which stands behind it."""
        definitions = self.resolved.definitions
        names = (f"e{'_' * length}" for length in range(100))
        return next(n for n in names if n not in definitions.names and not definitions.label(n))


def _placed(term: str, member: str, at: str | None) -> str:
    """A member's edges as an expression, at a position where one is given."""
    if at is None:
        return term.format(member)
    placed = f"({member}) @ {at}" if "->" in member else f"{member} @ {at}"
    return term.format(placed if term == "{}" else f"({placed})")


def _estimated(number: Number, estimator: Estimator) -> NumberForm:
    from circuitlang.judgement.decide import estimate_number

    found = estimate_number(number, estimator, "prompts")
    low, high = found.bounds(TAIL)
    return NumberForm(
        value=found.value,
        low=low if math.isfinite(low) else None,
        high=high if math.isfinite(high) else None,
        noise=estimator.noise(number),
        n=found.n,
        method=found.method(TAIL),
        reason=found.reason,
    )


def _key(sort: str) -> Callable[[EffectForm], tuple[float | str, ...]]:
    """What rows are sorted by; equal ones in the order of the model, not-a-number last."""

    def key(row: EffectForm) -> tuple[float | str, ...]:
        value = row.value if not math.isnan(row.value) else 0.0
        by: dict[str, tuple[float | str, ...]] = {
            "size": (-abs(value),),
            "effect": (-value,),
            "name": (row.member,),
            "layer": (),
        }
        return (math.isnan(row.value) and sort in ("size", "effect"), *by[sort], row.order)

    return key
