"""Prompts that refute `forall x in inputs(T): ...`, looked for beyond the sample.

Each prompt decides such a claim by itself, without statistics, so prompts may be picked. Known
counterexamples come first, then those of the sample, then candidates that a Hypothesis strategy
over the task's templates and slot values draws. They are scored in batches by the plan of the
claim's runs. From what refutes the claim, ever simpler prompts are tried, until none refutes it:
the first template and the first values, in the author's order, are the simplest.

Hypothesis draws; it does not shrink here, because it would ask for one prompt at a time.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from circuitlang.compiler.collect import expand_examples, measurements
from circuitlang.judgement.decide import LEVEL, node_of
from circuitlang.judgement.estimator import Estimator
from circuitlang.judgement.node import Node
from circuitlang.judgement.sample import Sample
from circuitlang.judgement.verdict import FAILS, SURVIVED, ClaimResult, Decision
from circuitlang.language.prompt import Prompt, PromptSet
from circuitlang.language.spec import Claim, Formula, Quantified
from circuitlang.language.tasks.inputs import Input, Inputs, prompts

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

BATCH = 32
Measure = Callable[[Quantified, Sequence[Prompt]], Sample]


@dataclass(frozen=True)
class Hunt:
    """What a search for a counterexample came to.

    `tried` prompts beside the sample were looked at. `decision` is that of the simplest that refutes
    the claim, None where there is none, and `text` what it says; None where that does not tell it,
    as with token ids.
    """

    tried: int
    text: str | None = None
    decision: Decision | None = None


def is_hunted(form: object) -> bool:
    """Whether a claim is one about every prompt of one task and model, each by itself.

    A mean over prompts in it, and random donors, which are other prompts, belong to the sample.
    """
    if not isinstance(form, Quantified) or form.kind != "forall" or form.extent != "prompts":
        return False
    found = list(measurements(form))
    runs = [m.run for m in found]
    if any(m.rows.kind != "example" for m in found):
        return False
    donors = any(r.ablation is not None and r.ablation.kind in ("donors", "donor") for r in runs)
    return len({(r.task, r.model.name) for r in runs}) == 1 and not donors


def hunt(
    form: Quantified,
    inputs: Inputs,
    measure: Measure,
    sample: PromptSet,
    refuting: Sequence[int],
    *,
    seed: int,
) -> Hunt:
    """Looks for the simplest prompt that refutes a claim.

    `form` is not expanded yet, `refuting` are the numbers of sampled prompts that refute it, the
    worst first.
    """
    sampled = frozenset(prompt.text for prompt in sample.prompts)
    scored = _Scored(form, inputs, measure, sampled)
    known = [one for text in form.counterexamples if (one := inputs.read(text))]
    texts = [sample.prompts[number].text for number in refuting[:BATCH]]
    seen = [one for text in texts if (one := inputs.read(text))]
    found = scored.first_refuting([*known, *seen])
    if found is None and form.budget and not sample.enumerated:
        found = scored.first_refuting(drawn(strategy(inputs), form.budget, seed))
    if found is None:
        return Hunt(scored.tried)
    while (simpler := scored.first_refuting(inputs.simpler(found))) is not None:
        found = simpler
    text = scored.texts[found]
    readable = inputs.read(text) is not None
    decision = scored.nodes[found].decision(LEVEL, LEVEL)
    return Hunt(scored.tried, text if readable else None, decision)


@dataclass
class _Scored:
    """The candidates that were looked at; what cannot be used as a prompt is passed over."""

    form: Quantified
    inputs: Inputs
    measure: Measure
    sampled: frozenset[str]
    nodes: dict[Input, Node] = field(default_factory=dict)
    texts: dict[Input, str] = field(default_factory=dict)

    @property
    def tried(self) -> int:
        """How many of them are not in the sample."""
        return sum(self.texts[one] not in self.sampled for one in self.nodes)

    def first_refuting(self, candidates: Iterable[Input]) -> Input | None:
        """The first candidate, in their order, that refutes the claim; later batches are not run."""
        for batch in _batches(candidates):
            self._score([one for one in batch if one not in self.texts])
            for one in batch:
                if one in self.nodes and self.nodes[one].fails(LEVEL):
                    return one
        return None

    def _score(self, new: Sequence[Input]) -> None:
        usable = prompts(self.inputs, new)
        self.texts |= {one: usable[one].text if one in usable else "" for one in new}
        if not usable:
            return
        sample = self.measure(self.form, list(usable.values()))
        task = self.inputs.task.name
        whole = expand_examples(self.form, {task: len(usable)})
        estimator = Estimator(sample)
        for one, (_, formula) in zip(usable, whole.members, strict=True):
            self.nodes[one] = node_of(formula, estimator, "prompts")


def _batches(candidates: Iterable[Input]) -> Iterator[list[Input]]:
    batch: list[Input] = []
    for one in candidates:
        batch.append(one)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


# ---------------------------------------------------------------- drawing


def strategy(inputs: Inputs) -> SearchStrategy[Input]:
    """A Hypothesis strategy for a task's inputs; it shrinks to the first template and values."""
    from hypothesis import strategies as st

    templates, *slots = inputs.sizes
    values = st.tuples(*(st.integers(0, size - 1) for size in slots))
    return st.builds(Input, st.integers(0, templates - 1), values).filter(inputs.allows)


def drawn(found: SearchStrategy[Input], number: int, seed: int) -> list[Input]:
    """`number` distinct inputs, fewer where the strategy finds no more; the same for the same seed."""
    import hypothesis
    from hypothesis import HealthCheck, Phase, configuration, settings
    from hypothesis.errors import Unsatisfiable

    chosen: dict[Input, None] = {}

    @hypothesis.seed(seed)
    @settings(
        max_examples=2 * number,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(found)
    def collect(one: Input) -> None:
        chosen[one] = None

    home = configuration.storage_directory(intent_to_write=False).home_directory
    with tempfile.TemporaryDirectory() as folder:
        configuration.set_hypothesis_home_dir(folder)
        try:
            collect()
        except Unsatisfiable:
            return []
        finally:
            configuration.set_hypothesis_home_dir(home)
    return list(chosen)[:number]


# ---------------------------------------------------------------- verdicts


def refuted(
    claims: Sequence[Claim], results: Sequence[ClaimResult], hunts: Mapping[Formula, Hunt]
) -> tuple[ClaimResult, ...]:
    """The results with what was found beyond the sample, and with a counterexample where one is known."""
    return tuple(
        replace(result, decision=_refuted(claim.formula, result.decision, hunts))
        for claim, result in zip(claims, results, strict=True)
    )


def _refuted(formula: Formula, decision: Decision, hunts: Mapping[Formula, Hunt]) -> Decision:
    found = hunts.get(formula)
    if found is not None and decision.verdict in (FAILS, SURVIVED):
        looked_at = found.tried + len(decision.members)
        if found.decision is None:
            reason = f"{looked_at:,} prompts were looked at and none refutes it"
            return replace(
                decision, looked_at=looked_at,
                reason=reason if decision.verdict == SURVIVED else decision.reason,
            )  # fmt: skip
        if decision.verdict == SURVIVED:
            reason = f"refuted by one of {found.tried:,} prompts beside the sample"
            decision = replace(found.decision, verdict=FAILS, reason=reason)
        return replace(decision, looked_at=looked_at, counterexample=found.text)
    searched = isinstance(formula, Quantified) and formula.kind == "forall" and formula.search
    whole = [label for label in decision.failed if not label.endswith(" more")]
    if searched and decision.verdict == FAILS and whole:
        return replace(decision, counterexample=min(whole, key=lambda s: s.count(" + ")))
    return decision


def worst_first(members: Sequence[tuple[str, Node]]) -> list[int]:
    """The numbers of the members that refute a claim, by how far."""
    refuting = [(i, node) for i, (_, node) in enumerate(members) if node.fails(LEVEL)]
    return [i for i, node in sorted(refuting, key=lambda pair: _toward(pair[1]))]


def _toward(node: Node) -> float:
    return -math.inf if math.isnan(node.toward) else node.toward
