"""Faithfulness against size: how much of the effect the k highest edges of a ranking keep.

Takes a spec, a context and files of scores, and gives a `CurveDocument`. All circuits of all sizes
and the random ones beside them are measured at once, so that what they share is computed once.
Mueller et al. 2025 (MIB) draw such curves and take CPR and CMD, the areas, from them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from circuitlang.discovery.attribution import attributed
from circuitlang.discovery.experiment import Context, Experiment, experiment
from circuitlang.discovery.score_files import read_scores
from circuitlang.discovery.scores import Scores
from circuitlang.front import Options, Progress
from circuitlang.language.diagnostics import Diagnostic, Diagnostics, Reject, suggestion
from circuitlang.language.formulas.curves import SIZES, area, distance_from_whole
from circuitlang.language.formulas.inline import count
from circuitlang.language.formulas.numbers import operation
from circuitlang.language.graph.architecture import Architecture, bits
from circuitlang.language.graph.circuit_edges import mask_of
from circuitlang.language.graph.circuit_formats import BadCircuit
from circuitlang.language.graph.edges import uniform
from circuitlang.language.graph.sets import reached_from_input, reaching_logits
from circuitlang.language.spec import Constant, Number, ReportItem, Run
from circuitlang.report.curve import (
    CurveDocument,
    CurveForm,
    EstimateForm,
    PointForm,
    RandomForm,
    RandomPointForm,
    SpreadForm,
)
from circuitlang.report.diagnostics import diagnostic_form

if TYPE_CHECKING:
    from circuitlang.judgement.estimator import Estimator

GRIDS = ("mib", "log")
RANDOM = 5


@dataclass(frozen=True)
class Asked:
    """What `circ curve` is asked for.

    Without `scores`, files, attribution's are taken. `by_size` ranks by the absolute score, and
    `prune` leaves out edges on no path from the input to the logits. `grid` is one of `GRIDS`,
    numbers of edges such as "10,100", or None for both grids; `random` counts random rankings.
    """

    scores: tuple[Path, ...] = ()
    by_size: bool = False
    prune: bool = False
    grid: str | None = None
    random: int = RANDOM


@dataclass(frozen=True, eq=False)
class Ranking:
    """Edge numbers, the first to be taken first."""

    name: str
    order: tuple[int, ...]
    told: dict[str, str]


def curve(
    path: Path, asked: Asked, options: Options, context: Context, progress: Progress
) -> tuple[tuple[Diagnostic, ...], CurveDocument | None]:
    """What was found, and, where nothing was an error, the document."""
    with experiment(path, options, context, progress) as (front, found):
        if found is None:
            return front.found, None
        diagnostics = front.diagnostics
        try:
            sizes = sizes_of(asked.grid, found.graph.size, diagnostics)
            check_effect(found, diagnostics)
            rankings = _rankings(found, asked, diagnostics)
            curves = Curves(found, rankings, sizes, asked.prune, asked.random)
            curves.warn_of_sizes(diagnostics)
            return front.found, curves.document(str(path), asked, front.found)
        except BadCircuit as problem:
            diagnostics.error(problem.code, problem.message, None, problem.help)
        except Reject:
            pass
    return front.found, None


# ---------------------------------------------------------------- sizes


def sizes_of(grid: str | None, edges: int, diagnostics: Diagnostics) -> tuple[int, ...]:
    """The numbers of edges of a grid in a graph of `edges`, ascending; raises `Reject`."""
    if grid is None:
        return tuple(sorted({*mib_sizes(edges), *_log_sizes(edges)}))
    if grid in GRIDS:
        return tuple(sorted(set(mib_sizes(edges) if grid == "mib" else _log_sizes(edges))))
    return _sizes(grid, edges, diagnostics)


def mib_sizes(edges: int) -> list[int]:
    """MIB's ten sizes, in their order."""
    return [round(share * edges) for share in SIZES]


def _log_sizes(edges: int) -> list[int]:
    """1, 2, 5, 10, ... and all."""
    sizes = (step * 10**power for power in range(len(str(edges))) for step in (1, 2, 5))
    return [*(size for size in sizes if size < edges), edges]


def _sizes(grid: str, edges: int, diagnostics: Diagnostics) -> tuple[int, ...]:
    texts = [text.strip() for text in grid.split(",")]
    if not all(text.isascii() and text.isdigit() for text in texts):
        raise diagnostics.reject(
            "CL773",
            f"`{grid}` is no grid of sizes.",
            None,
            suggestion(grid, GRIDS) or "write `mib`, `log` or numbers of edges like `10,100,1000`",
        )
    digits = len(str(edges))
    bad = [text for text in texts if len(text) > digits or not 1 <= int(text) <= edges]
    if bad:
        some = "A circuit of" if len(bad) == 1 else "Circuits of"
        raise diagnostics.reject(
            "CL773",
            f"{some} {', '.join(dict.fromkeys(bad))} edges cannot be had: the model has {edges:,}.",
            None,
            f"write numbers from 1 to {edges}",
        )
    return tuple(sorted({int(text) for text in texts}))


# ---------------------------------------------------------------- what there is to rank


def check_effect(experiment: Experiment, diagnostics: Diagnostics) -> None:
    """Raises `Reject` where M is not better than none, and faithfulness a share of nothing."""
    estimator = experiment.measure([experiment.effect])
    effect, metric = estimator.value(experiment.effect), experiment.metric
    gain = -effect if metric.lower_is_better else effect
    if gain > estimator.margin(experiment.effect):
        return
    ends = (experiment.whole, experiment.floor)
    whole, floor = (estimator.value(experiment.mean(run)) for run in ends)
    raise diagnostics.reject(
        "CL772",
        f"Faithfulness is a share of what ablation costs, and here it costs nothing: "
        f"`{metric.name}` is {whole:.4g} in M and {floor:.4g} in none.",
        None,
        "choose another task, ablation or metric with `--on`, `--under` or `--by`",
    )


def _rankings(
    experiment: Experiment, asked: Asked, diagnostics: Diagnostics
) -> tuple[Ranking, ...]:
    """The rankings of the files, or of attribution; raises `BadCircuit`."""
    lower = experiment.metric.lower_is_better
    if asked.scores:
        found = {
            str(path): read_scores(path, experiment.graph, lower_is_better=lower)
            for path in asked.scores
        }
    else:
        scores = attributed(experiment)
        found = {scores.told.get("method", "attribution"): scores}
    return tuple(
        ranking(name, scores, asked.by_size, lower, diagnostics) for name, scores in found.items()
    )


def ranking(
    name: str, scores: Scores, by_size: bool, lower_is_better: bool, diagnostics: Diagnostics
) -> Ranking:
    """Edges that support the metric first, or with `by_size` those that matter either way."""
    order = scores.order(by_size=by_size, lowest_first=lower_is_better)
    ranked = abs(scores.values[order]) if by_size else scores.values[order]
    if len(order) > 1 and (ranked == ranked[0]).all():
        diagnostics.warn(
            "CL771",
            f"All {len(order):,} scores of `{name}` are equal, so they put no edge before another.",
            None,
            "the curve takes the edges in the model's order; give scores that differ",
        )
    return Ranking(name, tuple(order), dict(scores.told))


# ---------------------------------------------------------------- measuring


class Curves:
    """The circuits of all rankings and sizes, and the numbers of them."""

    def __init__(
        self,
        experiment: Experiment,
        rankings: Sequence[Ranking],
        sizes: Sequence[int],
        prune: bool,
        random: int,
    ) -> None:
        self.experiment, self.rankings, self.sizes = experiment, tuple(rankings), tuple(sizes)
        self.prune = prune
        self.seed = experiment.runner.options.seed or 0
        self.random = random_rankings(experiment.candidates, random, self.seed)
        wanted = mib_sizes(experiment.graph.size)
        self.mib = wanted if set(wanted) <= set(self.sizes) else None
        self._always = experiment.floor.floor.lasting

    def circuit(self, ranking: Ranking, size: int) -> int | None:
        """The first `size` edges of a ranking; None where so many are not ranked.

        All that can be ablated are the whole model.
        """
        graph = self.experiment.graph
        if size == graph.size:
            return graph.everything
        if size <= len(ranking.order):
            return mask_of(ranking.order[:size], graph.size)
        whole = mask_of(ranking.order, graph.size) | self._always == graph.everything
        return graph.everything if whole else None

    def pruned(self, circuit: int) -> int:
        """The edges of a circuit on a path of live edges from the input to the logits."""
        return on_paths(circuit | self._always, self.experiment.graph) & circuit

    def run(self, ranking: Ranking, size: int) -> Run | None:
        circuit = self.circuit(ranking, size)
        if circuit is None:
            return None
        kept = self.pruned(circuit) if self.prune and circuit != self._everything else circuit
        return self.experiment.run(uniform(kept), f"{size} edges of {ranking.name}")

    @property
    def _everything(self) -> int:
        return self.experiment.graph.everything

    def faithfulness(self, ranking: Ranking, size: int) -> Number | None:
        """(F(C) - F(none)) / (F(M) - F(none))."""
        run = self.run(ranking, size)
        if run is None:
            return None
        kept = self.experiment.difference(run, self.experiment.floor)
        found: Number = operation("/", (kept, self.experiment.effect))
        return found

    @cached_property
    def numbers(self) -> dict[Ranking, dict[int, Number]]:
        """Faithfulness by ranking and size, where there is such a circuit."""
        found = {}
        for one in (*self.rankings, *self.random):
            by_size = {size: self.faithfulness(one, size) for size in self.sizes}
            found[one] = {size: n for size, n in by_size.items() if n is not None}
        return found

    def warn_of_sizes(self, diagnostics: Diagnostics) -> None:
        """Says which rankings are too short for some sizes."""
        for one in self.rankings:
            left = [size for size in self.sizes if size not in self.numbers[one]]
            if left:
                diagnostics.warn(
                    "CL774",
                    f"`{one.name}` scores {count(len(one.order), 'edge')} of "
                    f"{self.experiment.graph.size:,}, and its curve has no circuit of "
                    f"{', '.join(f'{size:,}' for size in left)}.",
                    None,
                    "score every edge, or ask for smaller sizes with `--grid`",
                )

    def areas(self, ranking: Ranking) -> tuple[Number, Number] | None:
        """CPR and CMD; None without all of MIB's sizes."""
        by_size = self.numbers[ranking]
        if self.mib is None or any(size not in by_size for size in self.mib):
            return None
        heights = [by_size[size] for size in self.mib]
        return area(heights), area([distance_from_whole(height) for height in heights])

    # ------------------------------------------------------------ the document

    def document(self, file: str, asked: Asked, found: Iterable[Diagnostic]) -> CurveDocument:
        on = self.experiment
        areas = [number for one in self.numbers for number in self.areas(one) or ()]
        ratios = [number for by_size in self.numbers.values() for number in by_size.values()]
        estimator = on.measure([*ratios, *areas])
        estimates = _Estimates(on, estimator)
        run = on.floor
        assert run.ablation is not None
        assert on.front.resolved is not None
        curves = tuple(self._curve(one, estimates) for one in self.rankings)
        return CurveDocument(
            file=file,
            spec=on.front.resolved.spec.name,
            on=run.task,
            under=run.ablation.name,
            by=on.metric.name,
            with_=run.model.name,
            free=run.free,
            n=len(on.prompts.prompts),
            lower_is_better=on.metric.lower_is_better,
            edges=on.graph.size,
            whole=estimator.value(on.mean(on.whole)),
            floor=estimator.value(on.mean(on.floor)),
            level=estimates.level,
            ranked_by="size" if asked.by_size else "score",
            pruned=self.prune,
            curves=curves,
            random=self._random(estimator) if self.random else None,
            diagnostics=tuple(map(diagnostic_form, found)),
        )

    def _curve(self, ranking: Ranking, estimates: _Estimates) -> CurveForm:
        points = []
        for size, number in self.numbers[ranking].items():
            circuit = self.circuit(ranking, size)
            assert circuit is not None
            found = estimates(number)
            pruned = self.pruned(circuit).bit_count()
            points.append(PointForm(**found.model_dump(), edges=size, pruned=pruned))
        cpr, cmd = self.areas(ranking) or (None, None)
        above = self._above_random(cpr) if cpr is not None else None
        return CurveForm(
            name=ranking.name,
            told=ranking.told,
            scored=len(ranking.order),
            points=tuple(points),
            cpr=estimates(cpr) if cpr is not None else None,
            cmd=estimates(cmd) if cmd is not None else None,
            above_random=estimates(above) if above is not None else None,
        )

    def _above_random(self, cpr: Number) -> Number | None:
        """CPR less the mean over the random rankings: prompts are the same, so it is paired."""
        others = [areas[0] for one in self.random if (areas := self.areas(one)) is not None]
        found = cpr
        for other in others:
            found = operation("-", (found, operation("*", (Constant(1 / len(others)), other))))
        return found if others else None

    def _random(self, estimator: Estimator) -> RandomForm:
        points = []
        for size in self.sizes:
            spread = _spread([estimator.value(self.numbers[one][size]) for one in self.random])
            points.append(RandomPointForm(**spread.model_dump(), edges=size))

        def areas(which: Callable[[tuple[Number, Number]], Number]) -> SpreadForm | None:
            found = [estimator.value(which(a)) for r in self.random if (a := self.areas(r))]
            return _spread(found) if found else None

        return RandomForm(
            circuits=len(self.random),
            seed=self.seed,
            points=tuple(points),
            cpr=areas(lambda both: both[0]),
            cmd=areas(lambda both: both[1]),
        )


class _Estimates:
    """A number with its interval, in the form of the document."""

    def __init__(self, experiment: Experiment, estimator: Estimator) -> None:
        from circuitlang.judgement.decide import LEVEL

        self.estimator, self.level = estimator, 1 - 2 * LEVEL
        self._span = experiment.front.asked[0][1]

    def __call__(self, number: Number) -> EstimateForm:
        from circuitlang.judgement.decide import estimate_report

        item = ReportItem("", None, (("", number),), "prompts", "", self._span)
        (found,) = estimate_report(item, self.estimator)
        return EstimateForm(value=found.value, low=found.low, high=found.high, reason=found.reason)


def random_rankings(candidates: int, number: int, seed: int) -> tuple[Ranking, ...]:
    """Orders of all candidate edges by chance. The first edges of one are in its larger circuits."""
    import numpy as np

    edges = np.fromiter(bits(candidates), dtype=np.int64)
    return tuple(
        Ranking(
            f"random {i}", tuple(np.random.default_rng((seed, i)).permutation(edges).tolist()), {}
        )
        for i in range(number)
    )


def on_paths(edges: int, graph: Architecture) -> int:
    """The edges on a path from the input to the logits within `edges`, as EAP-IG's prune keeps."""
    return reaching_logits(reached_from_input(edges, graph), graph)


def _spread(values: Sequence[float]) -> SpreadForm:
    return SpreadForm(mean=sum(values) / len(values), least=min(values), largest=max(values))
