"""What a careful reviewer asks of a spec that has no mistake: `circ lint --pedantic`.

Takes a resolved spec and adds warnings. None of them says that a claim is wrong; each says why a
reader will not be convinced by it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from circuitlang.language import spec as forms
from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.formulas.bounds import bounds, implied
from circuitlang.language.graph.architecture import architecture
from circuitlang.language.graph.edges import uniform
from circuitlang.language.resolve import Resolved
from circuitlang.language.tasks.mentions import free_names
from circuitlang.language.tasks.task_spec import Corruption, TaskSpec
from circuitlang.language.text import syntax

LEVEL = 0.05
MOST_OF_MODEL = 0.5
DIGITS_OF_DATA = 4
DIGITS_TO_TELL = 2


@dataclass(frozen=True)
class Known:
    """What a claim came to before: on which day, its value and the ends of its interval."""

    day: str
    value: float | None
    ends: tuple[float, ...]


def pedantic(
    resolved: Resolved,
    diagnostics: Diagnostics,
    enumerated: frozenset[str] = frozenset(),
    known: Mapping[str, Known] | None = None,
) -> None:
    """Adds CL401 to CL406 where they apply.

    `enumerated` tasks are sampled whole: shares are exact. `known` are results by claim.
    """
    _whole_model(resolved, diagnostics)
    for task in resolved.tasks.values():
        for corruption in task.corruptions.values():
            if not _reaches_answer(corruption, task):
                _idle_corruption(corruption, task, diagnostics)
    claims = [c for c in resolved.spec.claims if c.kind == "claim"]
    for claim in claims:
        _zero_without_reason(claim, diagnostics)
        _too_few(claim, resolved, enumerated, diagnostics)
    implied(claims, diagnostics)
    for s in resolved.file.statements:
        if isinstance(s, syntax.Claim) and s.kind == "claim":
            _tuned(s, (known or {}).get(s.name), diagnostics)


def _whole_model(resolved: Resolved, diagnostics: Diagnostics) -> None:
    """Faithfulness is no achievement for a circuit that is most of the model."""
    model = next(iter(resolved.spec.models.values()))
    graph = architecture(model.shape)
    for s in resolved.file.statements:
        edges = resolved.spec.circuits.get(s.name) if isinstance(s, syntax.Circuit) else None
        if edges is None:
            continue
        share = edges.reach.bit_count() / graph.size
        if edges == uniform(graph.everything):
            what = "is the whole model"
        elif share > MOST_OF_MODEL and not edges.places:
            what = f"has {edges.reach.bit_count():,} of the model's {graph.size:,} edges"
        else:
            continue
        diagnostics.warn(
            "CL401",
            f"Circuit `{s.name}` {what}, so that it is faithful says little.",  # type: ignore[union-attr]
            s.span,
            "name fewer edges, or claim what the circuit leaves out",
        )


def _reaches_answer(corruption: Corruption, task: TaskSpec) -> bool:
    """Whether it rewrites a slot that an answer or foil is made of, or one drawn together with it.

    To rewrite some occurrences of a slot and not others can change the answer too.
    """
    together = {name: set(slot.names) for slot in task.slots for name in slot.names}
    slot_of = {p.label: p.slot for t in task.templates for p in t.placeholders if p.label}
    asked: set[str] = set()
    for tokens in task.tokens.values():
        for name in free_names(tokens.value):
            asked |= together.get(slot_of.get(name, name), {name})
    targets = {r.target for r in corruption.rewrites}
    for template in task.templates:
        for slot, labels in template.repeated.items():
            if slot not in targets and targets & {*labels} not in (set(), {*labels}):
                return True
    return any(slot_of.get(target, target) in asked for target in targets)


def _idle_corruption(corruption: Corruption, task: TaskSpec, diagnostics: Diagnostics) -> None:
    if not task.tokens:
        return
    diagnostics.warn(
        "CL402",
        f"Corruption `{corruption.name}` rewrites nothing that the answer of task `{task.name}` is "
        "made of: a corrupted prompt has the same answer.",
        corruption.span,
        "rewrite a slot that decides the answer, unless the corruption is meant to keep it",
    )


# ---------------------------------------------------------------- claims


def measurements(part: Any) -> Iterator[forms.Measurement]:
    """Every measurement in a formula or number."""
    stack = [part]
    while stack:
        part = stack.pop()
        if isinstance(part, (forms.Mean, forms.Each)):
            yield part.measurement
        elif isinstance(part, tuple):
            stack.extend(part)
        elif hasattr(part, "__dataclass_fields__"):
            stack.extend(getattr(part, name) for name in part.__dataclass_fields__)


def _zero_without_reason(claim: forms.Claim, diagnostics: Diagnostics) -> None:
    used = (m.run.ablation for m in measurements(claim.formula))
    if (claim.sentence or claim.expect) is None and any(
        a is not None and a.kind == "zero" for a in used
    ):
        diagnostics.warn(
            "CL403",
            f"Claim `{claim.name}` ablates with zeros, which no prompt produces, and gives no reason.",
            claim.span,
            f'say why after the name: `claim {claim.name} "zeros, because ..."`',
        )


def _tuned(s: syntax.Claim, known: Known | None, diagnostics: Diagnostics) -> None:
    """Thresholds that were measured before, or have more digits than a hypothesis has."""
    for number in _thresholds(s.formula):
        digits = re.sub(r"e.*|\D", "", number.text.lower()).lstrip("0")
        fraction = "." in number.text or number.text.endswith("%")
        measured = known and len(digits) >= DIGITS_TO_TELL and _measured(number, known)
        if measured or (fraction and len(digits) >= DIGITS_OF_DATA):
            diagnostics.warn(
                "CL406",
                f"`{number.text}` {measured or 'has the digits of a measurement, not of a hypothesis'}.",
                number.span,
                "name a round threshold, and choose it on other prompts than those that decide",
            )


def _measured(number: syntax.NumberLiteral, known: Known) -> str | None:
    """Which known number it is, to the digits written."""
    written, _, exponent = number.text.lower().rstrip("%").partition("e")
    decimals = len(written.partition(".")[2]) - int(exponent or 0) + 2 * number.text.endswith("%")

    def is_it(value: float | None) -> bool:
        return (
            value is not None
            and math.isfinite(value)
            and (round(value, decimals) == round(number.value, decimals))
        )

    if is_it(known.value):
        return f"is the value that was locked on {known.day} ({known.value:.6g})"
    for end in known.ends:
        if is_it(end):
            return f"is an end of the interval that was locked on {known.day} ({end:.6g})"
    return None


def _thresholds(e: Any) -> Iterator[syntax.NumberLiteral]:
    """The numbers that a condition compares with."""
    match e:
        case syntax.Quantifier(body=body):
            yield from _thresholds(body)
        case syntax.Binary("and", left, right):
            yield from _thresholds(left)
            yield from _thresholds(right)
        case syntax.Binary(">=" | ">" | "<=" | "<" | "in", left, right):
            yield from _thresholds(left)
            yield from _thresholds(right)
        case syntax.Binary("..", low, high):
            yield from _thresholds(low)
            yield from _thresholds(high)
        case syntax.NumberLiteral():
            yield e


def _too_few(
    claim: forms.Claim, resolved: Resolved, enumerated: frozenset[str], diagnostics: Diagnostics
) -> None:
    """A share that no sample of this size can show, even where every prompt agrees.

    All n of n successes bound a share from below by alpha^(1/n) (Clopper and Pearson 1934).
    """
    for bound in bounds(claim.formula) or ():
        number = bound.number
        if not isinstance(number, forms.Aggregate) or number.kind != "share":
            continue
        level = bound.value if bound.operator[0] == ">" else 1 - bound.value
        tasks = {m.run.task for m in measurements(number)}
        if tasks <= enumerated:
            continue
        n = min(resolved.tasks[task].sample for task in tasks - enumerated)
        if 0 < level < 1 and LEVEL ** (1 / n) < level:
            needed = math.ceil(math.log(LEVEL) / math.log(level))
            diagnostics.warn(
                "CL405",
                f"Claim `{claim.name}` cannot be shown with {n} prompts, not even if all agree.",
                claim.span,
                f"give the task `sample {needed}` or more, or claim a smaller share",
            )
