"""From a spec with a task to a spec with a hypothesis: what `circ discover` does.

    spec --search half--> scores, decisions or effects --> circuit --> roles --> new spec

Only prompts of the task's search half are looked at; the new spec's claims are about the other.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from circuitlang.discovery.acdc import acdc
from circuitlang.discovery.attribution import STEPS, attributed_at
from circuitlang.discovery.experiment import Context, Experiment, experiment
from circuitlang.discovery.hypothesis import (
    MOST_LISTED,
    Hypothesis,
    asked,
    hypothesis,
    numbers,
    propose,
    spec_text,
    with_signs,
)
from circuitlang.discovery.path import walk
from circuitlang.discovery.pruning import pruned
from circuitlang.discovery.roles import labels_of, roles
from circuitlang.discovery.scores import Scores
from circuitlang.discovery.selection import say_no_effect, select
from circuitlang.front import Front, Options, Progress
from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.formulas.inline import count
from circuitlang.language.graph.edges import Position, uniform
from circuitlang.language.resolve import resolve
from circuitlang.language.source import Source
from circuitlang.new import spec_name
from circuitlang.report.diagnostics import diagnostic_form
from circuitlang.report.discovery import DiscoveryDocument, ProbeForm, RoleForm
from circuitlang.report.outcome import versions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from circuitlang.discovery.hypothesis import Claim, Measured
    from circuitlang.discovery.roles import Role

METHODS = ("attribution", "acdc", "path")
MOST_DECIDED = 2000
MOST_OVERSHOT = 1.2
STDOUT = Path("-")
ORDERS = {
    "size": "edges by absolute score",
    "score": "edges by score",
    "greedy": "grown from the logits by absolute score",
}


@dataclass(frozen=True)
class Question:
    """How a circuit is searched for.

    `faithfulness` is what `attribution` is to reach, taking edges in the order `how`; `threshold` what
    `acdc` (by `by`) and `path` compare with, None their own. `among` is how many edges `acdc` decides on at
    most, those with the largest scores.
    """

    method: str = "attribution"
    faithfulness: float = 0.8
    how: str = "score"
    steps: int = STEPS
    threshold: float | None = None
    by: str = "kl"
    among: int = MOST_DECIDED


@dataclass(frozen=True)
class Discovery:
    """The new spec's text, the file of its edges where they are too many to list, and the document."""

    text: str
    circuit: dict[str, object] | None
    document: DiscoveryDocument


@dataclass(frozen=True)
class _Circuit:
    """What a method came to: the circuit, and what is said of how it was found."""

    mask: int
    told: tuple[str, ...]
    probes: tuple[ProbeForm, ...] = ()


def discover(
    path: Path,
    target: Path,
    question: Question,
    options: Options,
    context: Context,
    progress: Progress,
) -> tuple[Front, Discovery | None]:
    """Searches for a circuit and words a hypothesis; None with errors in the front.

    `target` is where the spec will stand, what it names is looked for from there, or `-`: then it is
    to be printed, and lists its edges however many they are.
    """
    searched = replace(
        options, split="search", models={} if options.models is None else options.models
    )
    started, found = time.monotonic(), None
    with experiment(path, searched, context, progress) as (front, made):
        if made is not None:
            found = _Search(path, target, question, searched, made, progress).found()
    if found is None or front.diagnostics.has_errors:
        return front, None
    update = {
        "diagnostics": tuple(map(diagnostic_form, front.found)),
        "seconds": round(time.monotonic() - started, 3),
    }
    return front, replace(found, document=found.document.model_copy(update=update))


class _Search:
    def __init__(
        self,
        path: Path,
        target: Path,
        question: Question,
        options: Options,
        made: Experiment,
        progress: Progress,
    ) -> None:
        self.path, self.question, self.options = path, question, options
        self.is_printed = target == STDOUT
        self.target = path.with_name(f"{path.stem}_found.circ") if self.is_printed else target
        self.made, self.progress = made, progress
        self.labels = labels_of(made)
        self.scores: Scores | None = None
        self.by_place: npt.NDArray[np.float64] | None = None

    def found(self) -> Discovery | None:
        diagnostics = self.made.front.diagnostics
        self._check(spec_text(self.made, self._hypothesis(1), ()))
        if diagnostics.has_errors or not self._has_effect():
            return None
        circuit = getattr(self, f"_{self.question.method}")()
        if circuit is None or diagnostics.has_errors:
            return None
        if not circuit.mask:
            diagnostics.error(
                "CL793",
                "No edge was found that belongs to a circuit, so there is no hypothesis to write.",
                None,
                "ask for less: a lower `--faithfulness` or `--threshold`, or another `--method`",
            )
            return None
        return self._worded(circuit)

    def _has_effect(self) -> bool:
        """Says where F(M) - F(none) is nothing that a circuit could carry."""
        made = self.made
        estimator = made.measure([made.effect])
        effect = estimator.value(made.effect)
        better = -effect if made.metric.lower_is_better else effect
        if abs(effect) <= estimator.margin(made.effect):
            say_no_effect(made)
            return False
        if better < 0:
            made.front.diagnostics.error(
                "CL785",
                f"The model does worse than its ablation: F(M) - F(none) is {effect:.3g} by "
                f"`{made.metric}`.",
                None,
                "look at the metric's sign, and whether the model can do the task (`circ lens`)",
            )
            return False
        return True

    # ------------------------------------------------------------ methods

    def _score(self) -> Scores:
        if self.scores is None:
            places = tuple(Position(label) for label in self.labels)
            found = attributed_at(self.made, "eap-ig", self.question.steps, places)
            self.scores, self.by_place = found.scores, found.by_place
        return self.scores

    def _attribution(self) -> _Circuit | None:
        question, scores = self.question, self._score()
        chosen = select(self.made, scores, question.faithfulness, question.how)
        if chosen is None:
            return None
        probes = tuple(
            ProbeForm(taken=p.taken, edges=p.edges, faithfulness=p.faithfulness)
            for p in chosen.probes
        )
        told = (
            f"method: attribution (EAP-IG over inputs, {question.steps} steps), {ORDERS[question.how]}; "
            "dangling edges pruned",
            f"wanted: the fewest edges of a faithfulness of {question.faithfulness:g}; measured: "
            f"{chosen.faithfulness:.3f} with {count(chosen.mask.bit_count(), 'edge')}, "
            f"{count(len(probes), 'size')} tried",
        )
        return _Circuit(chosen.mask, told, probes)

    def _acdc(self) -> _Circuit | None:
        question, made = self.question, self.made
        candidates, among = None, ""
        if made.candidates.bit_count() > question.among:
            order = self._score().order(made.candidates, by_size=True)[: question.among]
            candidates = pruned(made, sum(1 << n for n in order))
            among = (
                f", among the {question.among:,} of {made.candidates.bit_count():,} edges that EAP-IG "
                "scores highest"
            )
            made.front.diagnostics.note(
                "CL795",
                f"ACDC decides on {candidates.bit_count():,} of {made.candidates.bit_count():,} edges, "
                "those with the largest scores; the others start out ablated.",
                None,
                "`--among N` takes more of them",
            )
        threshold = question.threshold or 0.01
        steps = acdc(made, threshold, question.by, candidates)
        told = (
            f"method: ACDC by {question.by}, threshold {threshold:g}, receivers and senders from the "
            f"logits backwards{among}",
            f"{count(len(steps.decisions), 'decision')}, {steps.close} of them close to the threshold",
        )
        return _Circuit(steps.mask, told)

    def _path(self) -> _Circuit | None:
        threshold = self.question.threshold or 0.02
        walked = walk(self.made, threshold)
        if walked is None:
            return None
        told = (
            f"method: path patching walked from the logits backwards, edges with at least "
            f"{100 * threshold:g}% of the effect",
            f"{count(len(walked.seen), 'edge')} measured, {count(len(walked.kept), 'edge')} kept",
        )
        return _Circuit(pruned(self.made, walked.mask), told)

    # ------------------------------------------------------------ the hypothesis

    def _worded(self, circuit: _Circuit) -> Discovery | None:
        made, front = self.made, self.made.front
        if self.by_place is None:
            self._score_if_possible()
        self.progress.stage("looking at what the circuit's heads attend to")
        found = roles(made, circuit.mask, self.labels, self.by_place)
        listed = self._hypothesis(circuit.mask, found, self._told(circuit))
        problems, measured = numbers(
            spec_text(made, listed, ()),
            self.target.parent,
            asked(listed),
            self.options,
            self.progress,
        )
        if measured is None:
            self._not_sound(problems.diagnostics)
            return None
        worded, measured = with_signs(made, listed, measured)
        self._warn_of_overshooting(measured[asked(worded)[0]].value)
        large = circuit.mask.bit_count() > MOST_LISTED and not self.is_printed
        if large:
            worded = replace(worded, circuit_file=f"{self.target.stem}.json")
        claims = propose(made, worded, measured)
        text = spec_text(made, worded, claims)
        if not large:
            self._check(text)
        if front.diagnostics.has_errors:
            return None
        content = self._circuit_file(circuit.mask) if large else None
        return Discovery(text, content, self._document(circuit, worded, claims, measured))

    def _warn_of_overshooting(self, faithfulness: float) -> None:
        question = self.question
        if not faithfulness > max(MOST_OVERSHOT, question.faithfulness):
            return
        help = "take another `--method`, or more prompts"
        if question.method == "attribution" and question.how == "score":
            help = "`--order size` takes edges by absolute score, these among them"
        if question.method == "acdc" and question.by == "signed":
            help = "`--change absolute` keeps these, too"
        self.made.front.diagnostics.warn(
            "CL786",
            f"The circuit brings back {faithfulness:.3g} of the effect, more than the model has: parts "
            "that work against the answer are not in it.",
            None,
            help,
        )

    def _hypothesis(
        self, mask: int, found: Sequence[Role] = (), told: Sequence[str] = ()
    ) -> Hypothesis:
        return hypothesis(self.made, spec_name(self.target.stem), mask, found, told)

    def _score_if_possible(self) -> None:
        from circuitlang.runtime.attribution import check_differentiable
        from circuitlang.runtime.unavailable import NotMeasurable

        try:
            check_differentiable(self.made.metric, self.made.graph)
        except NotMeasurable:
            return
        self._score()

    def _check(self, text: str) -> None:
        """Reads the new spec as a check will."""
        diagnostics = Diagnostics()
        resolve(Source(str(self.target), text, self.target.parent), diagnostics)
        if diagnostics.has_errors:
            self._not_sound(diagnostics)

    def _not_sound(self, found: Diagnostics) -> None:
        first = next((d for d in found.sorted if d.severity == "error"), None)
        reason = first.message if first is not None else "it cannot be measured."
        self.made.front.diagnostics.error(
            "CL793",
            f"The found circuit does not make a spec in `{self.target.parent}`: {reason}",
            None,
            (first.help if first is not None else None)
            or f"write it beside `{self.path}`, so that files it names are found",
        )

    def _circuit_file(self, mask: int) -> dict[str, object]:
        from circuitlang.report.circuits import eap_ig

        scores = self.scores
        listed = None if scores is None else dict(enumerate(scores.values.tolist()))
        config = {} if scores is None else dict(scores.told)
        content = eap_ig(uniform(mask), self.made.graph.shape, listed, config=config)
        content["edges"] = {name: e for name, e in content["edges"].items() if e["in_graph"]}
        return content

    def _told(self, circuit: _Circuit) -> tuple[str, ...]:
        made, options = self.made, self.options
        assert made.front.resolved is not None
        task = made.front.resolved.tasks[made.drawn.task]
        seed = task.seed if options.seed is None else options.seed
        model = made.whole.model
        return (
            f"Found by `{self._command()}` on {count(len(made.prompts.prompts), 'prompt')} of "
            f"the search half of `{task.name}`, seed {seed}.",
            "It is a hypothesis. Its claims are about the decide half, which had no part in finding it:",
            f"`circ check {self.target.name}` decides them.",
            "",
            *circuit.told,
            f"model: {model.reference}"
            + (f", revision {model.revision}" if model.revision else "")
            + f"; metric: {made.metric}; ablation: {made.floor.ablation}",
            f"circuit: {circuit.mask.bit_count():,} of {made.graph.size:,} edges{self._ablated()}",
        )

    def _ablated(self) -> str:
        able = self.made.candidates.bit_count()
        return "" if able == self.made.graph.size else f", {able:,} of which can be ablated"

    def _command(self) -> str:
        """The command that makes the same search again."""
        question, usual, options = self.question, Question(), self.options
        said: dict[str, object] = {
            "--method": question.method,
            "--faithfulness": question.faithfulness,
            "--order": question.how,
            "--steps": question.steps,
            "--threshold": question.threshold,
            "--change": question.by,
            "--among": question.among,
        }
        plain = dict(zip(said, vars(usual).values(), strict=True))
        said = {flag: value for flag, value in said.items() if value != plain[flag]}
        said |= {f"--{word}": value for word, value in self._words.items()}
        said |= {"--samples": options.sample_size, "--seed": options.seed}
        words = ["circ", "discover", self.path.name]
        for flag, value in said.items():
            words += [] if value is None else [flag, f"{value}"]
        return shlex.join(words)

    @property
    def _words(self) -> dict[str, str]:
        given = vars(self.made.context)
        return {word.rstrip("_"): value for word, value in given.items() if value is not None}

    def _document(
        self,
        circuit: _Circuit,
        worded: Hypothesis,
        claims: Sequence[Claim],
        measured: Mapping[str, Measured],
    ) -> DiscoveryDocument:
        made = self.made
        assert made.front.resolved is not None
        spec = made.front.resolved.spec
        return DiscoveryDocument(
            tool=versions(),
            file=str(self.path),
            spec=spec.name,
            version=spec.version,
            target=str(self.target),
            told=worded.told,
            prompts=len(made.prompts.prompts),
            edges=tuple(map(str, made.graph.edges(circuit.mask))),
            graph_edges=made.graph.size,
            faithfulness=measured[asked(worded)[0]].value,
            probes=circuit.probes,
            roles=tuple(
                RoleForm(
                    name=name,
                    nodes=tuple(map(str, role.nodes)),
                    at=role.at,
                    looks_at=role.looks_at,
                    supports=role.supports,
                )
                for name, role in zip(worded.groups, worded.roles, strict=True)
            ),
            claims={claim.name: claim.formula for claim in claims},
            seconds=0.0,
        )
