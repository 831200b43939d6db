"""Hypothesis strategies over a spec's prompts and sets, for tests of your own.

    spec = circuitlang.load("specs/toy/first.circ")

    @given(strategies.inputs(spec))
    def test_every_prompt(prompt):
        assert session.F("asking", prompts=[prompt]).item() > 0

    @given(strategies.subsets(spec, "nodes(asking)"))
    def test_every_subset(k):
        assert session.F(f"M - ({k})").mean() > 0

A prompt shrinks to the first template and the first value of each slot, a set to few parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from circuitlang.api import LoadedSpec, SpecError, prepared
from circuitlang.front import Options, inputs_of, pairs_used
from circuitlang.language.diagnostics import Diagnostics, suggestion
from circuitlang.language.prompt import Prompt
from circuitlang.language.resolve import labels_of
from circuitlang.measurement.falsify import strategy

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


def inputs(spec: LoadedSpec, task: str | None = None) -> SearchStrategy[Prompt]:
    """Prompts that a task allows; `task` may be left out where the spec has one.

    Raises `SpecError` where there is no such task, or the model has no tokenizer here.
    """
    front = prepared(spec, Options())
    assert front.resolved is not None
    tasks = list(front.resolved.tasks)
    if task is None and len(tasks) == 1:
        task = tasks[0]
    model = next((m for (t, _), m in pairs_used(front).items() if t == task), None)
    if task is None or model is None:
        found = Diagnostics()
        found.error(
            "CL101",
            f"No claim is about a task `{task}`." if task else "The spec has several tasks.",
            None,
            suggestion(task or "", tasks) or f"its tasks are {', '.join(tasks)}",
        )
        raise SpecError(found.sorted)
    every = inputs_of(front, task, model)
    usable = strategy(every).map(every.prompt)
    return usable.filter(lambda prompt: prompt is not None)  # type: ignore[return-value]


def subsets(spec: LoadedSpec, of: str) -> SearchStrategy[str]:
    """Sets of the members of a set or list, such as "nodes(asking)" or "edges(asking)", as a spec
    says them: "a0.h2 + m1", "none". Raises `SpecError`."""
    from hypothesis import strategies as st

    assert spec.front.resolved is not None
    spec.front.resolved.definitions.diagnostics = found = Diagnostics()
    labels = labels_of(of, spec.front.resolved)
    if labels is None:
        raise SpecError(found.sorted)
    chosen = st.lists(st.sampled_from(labels), unique=True)
    return chosen.map(lambda parts: " + ".join(parts) or "none")
