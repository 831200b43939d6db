"""Attribution: an estimate of every edge's effect from gradients, in a few passes.

Edge attribution patching (Syed et al. 2023) and its integrated form over inputs (EAP-IG; Hanna et
al. 2024). What comes out ranks edges, and is no evidence for a claim.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from circuitlang.discovery.experiment import Context, Experiment, experiment
from circuitlang.discovery.scores import Scores
from circuitlang.front import Front, Options, Progress
from circuitlang.language.diagnostics import suggestion
from circuitlang.language.graph.architecture import bits
from circuitlang.language.graph.edges import END, Position, uniform
from circuitlang.language.tasks.population import random_stream
from circuitlang.report.attribution import AgreementForm, AttributionDocument, ScoreForm
from circuitlang.report.diagnostics import diagnostic_form
from circuitlang.report.outcome import versions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

METHODS = ("eap", "eap-ig")
STEPS = 5
COMPARED = 64


@dataclass(frozen=True)
class Question:
    """How edges are scored, at which labels apart, how many are compared with their exact effects,
    and how many are told of, 0 all."""

    method: str = "eap-ig"
    steps: int = STEPS
    positions: tuple[str, ...] = ()
    compared: int = COMPARED
    top: int = 20


@dataclass(frozen=True)
class Attributed:
    """`scores` of every candidate edge; `by_place` [place, edge] where places were asked for, the
    last row being everywhere else."""

    scores: Scores
    by_place: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Agreement:
    """How scores compare with exact effects on some edges: `numbers` of the graph, `effects`
    F(M) - F(M - e) of each.

    `highest` of them have the largest scores, the others are drawn at random from the rest. Rank
    correlations are Spearman's, None where one side is constant; `signs` is the share of edges whose
    score has its effect's sign, of those whose effect is beyond numeric noise.
    """

    numbers: tuple[int, ...]
    effects: tuple[float, ...]
    highest: int
    correlation: float | None
    of_highest: float | None
    of_random: float | None
    signs: float | None


def attributed(experiment: Experiment, method: str = "eap-ig", steps: int = STEPS) -> Scores:
    """Scores of every candidate edge, averaged over the experiment's prompts.

    Raises `Reject` with a diagnostic where the metric has no gradient, and what running a model may
    raise.
    """
    return attributed_at(experiment, method, steps).scores


def attributed_at(
    experiment: Experiment,
    method: str = "eap-ig",
    steps: int = STEPS,
    places: Sequence[Position] = (),
) -> Attributed:
    """As `attributed`, with the scores at some positions besides."""
    import numpy as np

    from circuitlang.judgement.estimator import NOISE_FACTOR
    from circuitlang.runtime.attribution import attribute, check_differentiable
    from circuitlang.runtime.unavailable import NotMeasurable

    runner, diagnostics = experiment.runner, experiment.front.diagnostics
    ablation = experiment.floor.ablation
    if ablation is None:
        raise diagnostics.reject(
            "CL784",
            "Nothing can be ablated: every edge leaves a free node.",
            None,
            "declare fewer nodes free",
        )
    try:
        check_differentiable(experiment.metric, experiment.graph)
    except NotMeasurable as problem:
        raise diagnostics.reject(
            "CL791", f"{problem.reason[0].upper()}{problem.reason[1:]}.", None, problem.help
        ) from None
    noise = NOISE_FACTOR * experiment.measure([experiment.effect]).sample.noise[experiment.metric]
    name = experiment.whole.model.name
    runner.load([name])
    passes = steps if method == "eap-ig" else 1
    experiment.progress.stage(
        f"{experiment.drawn.task}: {passes} {'pass' if passes == 1 else 'passes'} of "
        f"{len(experiment.prompts.prompts)} prompts for {experiment.graph.size:,} edges"
    )
    found = attribute(
        runner.loaded[name],
        experiment.prompts,
        experiment.metric,
        ablation,
        steps=steps if method == "eap-ig" else None,
        places=places,
        memory=runner.options.memory,
        chunk=runner.options.chunk,
        progress=experiment.progress.pairs,
    )
    largest = float(np.abs(found.scores).max())
    if not largest > noise:
        raise diagnostics.reject(
            "CL792",
            f"The gradient of `{experiment.metric}` is zero or no number on every prompt, so nothing "
            "can be attributed.",
            None,
            "KL from M has its minimum at M: take `--method eap-ig`, or a metric of the task"
            if method == "eap"
            else "take a metric of the task's answer",
        )
    values = found.scores[0] + found.scores[1:].sum(0) if len(places) else found.scores
    ablated = np.zeros(experiment.graph.size, dtype=bool)
    ablated[list(bits(experiment.candidates))] = True
    told = _told(experiment, method, passes)
    scores = Scores(experiment.graph, np.where(ablated, values, np.nan), told)
    return Attributed(scores, found.scores if len(places) else None)


def places_named(experiment: Experiment, labels: Sequence[str]) -> tuple[Position, ...]:
    """Positions of the task by name; raises `Reject` for one that it does not have."""
    front = experiment.front
    assert front.resolved is not None
    known = (*front.resolved.tasks[experiment.drawn.task].labels, END)
    for label in labels:
        if label not in known:
            raise front.diagnostics.reject(
                "CL504",
                f"Task `{experiment.drawn.task}` has no position `{label}`.",
                None,
                suggestion(label, known) or f"its positions are {', '.join(known)}",
            )
    return tuple(Position(label) for label in dict.fromkeys(labels))


def _told(experiment: Experiment, method: str, steps: int) -> dict[str, str]:
    options, drawn = experiment.runner.options, experiment.prompts
    assert experiment.front.resolved is not None
    seed = experiment.front.resolved.tasks[drawn.task].seed
    return {
        "method": method,
        "steps": str(steps),
        "model": experiment.whole.model.reference,
        "task": drawn.task,
        "metric": str(experiment.metric),
        "ablation": str(experiment.floor.ablation),
        **({"free": ", ".join(experiment.floor.free)} if experiment.floor.free else {}),
        "prompts": str(len(drawn.prompts)),
        "seed": str(seed if options.seed is None else options.seed),
    }


def agreement(experiment: Experiment, scores: Scores, number: int = COMPARED) -> Agreement:
    """Exact effects of `number` scored edges, half of them those with the largest scores."""
    import numpy as np

    from circuitlang.judgement.estimator import NOISE_FACTOR

    ordered = scores.order(by_size=True)
    highest = ordered[: number // 2]
    rest = ordered[number // 2 :]
    random = random_stream(experiment.runner.options.seed or 0, "agreement")
    chosen = [*highest, *random.sample(rest, min(len(rest), number - len(highest)))]
    runs = [experiment.without(uniform(1 << n)) for n in chosen]
    differences = [experiment.difference(experiment.whole, run) for run in runs]
    estimator = experiment.measure(differences)
    effects = np.array([estimator.value(difference) for difference in differences])
    noise = NOISE_FACTOR * estimator.sample.noise[experiment.metric]
    guessed = scores.values[chosen]
    real = np.abs(effects) > noise
    signs = float(np.mean(np.sign(effects[real]) == np.sign(guessed[real]))) if real.any() else None
    half = len(highest)
    return Agreement(
        tuple(chosen),
        tuple(effects.tolist()),
        half,
        _spearman(guessed, effects),
        _spearman(guessed[:half], effects[:half]),
        _spearman(guessed[half:], effects[half:]),
        signs,
    )


def _spearman(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float | None:
    from scipy.stats import spearmanr

    if len(one) < 3 or len(set(one.tolist())) == 1 or len(set(other.tolist())) == 1:
        return None
    return float(spearmanr(one, other).statistic)


def attribution(
    path: Path, question: Question, options: Options, context: Context, progress: Progress
) -> tuple[Front, Scores | None, AttributionDocument | None]:
    """The scores of a spec's edges with what is to be said of them; None with errors in the front."""
    found = None
    started = time.monotonic()
    with experiment(path, options, context, progress) as (front, made):
        if made is not None:
            places = places_named(made, question.positions)
            scored = attributed_at(made, question.method, question.steps, places)
            compared = agreement(made, scored.scores, question.compared)
            found = scored.scores, _document(path, made, question, scored, compared)
    if found is None:
        return front, None, None
    update = {
        "diagnostics": tuple(map(diagnostic_form, front.found)),
        "seconds": round(time.monotonic() - started, 3),
    }
    return front, found[0], found[1].model_copy(update=update)


def _document(
    path: Path, made: Experiment, question: Question, scored: Attributed, compared: Agreement
) -> AttributionDocument:
    import numpy as np

    assert made.front.resolved is not None
    spec, scores = made.front.resolved.spec, scored.scores
    effects = dict(zip(compared.numbers, compared.effects, strict=True))
    order = scores.order(by_size=True)
    estimator = made.measure([made.effect])
    by_place = scored.by_place
    listed = [
        ScoreForm(
            edge=str(scores.graph.edge(n)),
            score=float(scores.values[n]),
            effect=effects.get(n),
            by_position=() if by_place is None else tuple(by_place[:, n].tolist()),
        )
        for n in order[: question.top or None]
    ]
    return AttributionDocument(
        tool=versions(),
        file=str(path),
        spec=spec.name,
        version=spec.version,
        told=dict(scores.told),
        lower_is_better=made.metric.lower_is_better,
        prompts=len(made.prompts.prompts),
        edges=len(order),
        total=estimator.value(made.effect),
        positions=(*question.positions, "elsewhere") if question.positions else (),
        scores=tuple(listed),
        nodes={str(node): score for node, score in scores.of_senders().items()},
        receivers=_of_receivers(scores),
        places=() if by_place is None else tuple(np.abs(by_place).sum(1).tolist()),
        agreement=AgreementForm(
            edges=len(compared.numbers),
            highest=compared.highest,
            correlation=compared.correlation,
            of_highest=compared.of_highest,
            of_random=compared.of_random,
            signs=compared.signs,
        ),
        seconds=0.0,
    )


def _of_receivers(scores: Scores) -> dict[str, float]:
    """The sum over each receiver's edges."""
    import numpy as np

    graph = scores.graph
    spans = zip(graph.receivers, graph.offsets, graph.counts, strict=True)
    return {str(r): float(np.nansum(scores.values[o : o + c])) for r, o, c in spans}
