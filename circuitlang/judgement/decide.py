"""From claims and measured numbers to verdicts: `judge` is what the pipeline calls.

formula -> nodes (one `Leaf` per comparison) -> Decision -> ClaimResult
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from circuitlang.judgement.contrast import (
    Unsupported,
    classify,
    comparisons,
    independences,
    is_averageable,
    is_quantile,
    within_parts,
)
from circuitlang.judgement.estimator import Estimator
from circuitlang.judgement.forms import Affine, Form, form_of
from circuitlang.judgement.independence import Independent
from circuitlang.judgement.intervals import Estimate, Interval, unknown
from circuitlang.judgement.leaf import Leaf, finite, floor_of, ratio_estimate
from circuitlang.judgement.node import Node
from circuitlang.judgement.parts import measurements
from circuitlang.judgement.preconditions import Precondition, denominator
from circuitlang.judgement.quantifiers import Group, Range
from circuitlang.judgement.regions import Region, claimed_share
from circuitlang.judgement.sample import Sample
from circuitlang.judgement.shares import Share
from circuitlang.judgement.verdict import (
    HOLDS,
    INVALID,
    NOT_RUN,
    ClaimResult,
    Decision,
    NumberEstimate,
)
from circuitlang.language.spec import (
    Both,
    Claim,
    Comparison,
    Formula,
    Independence,
    MemberShare,
    Number,
    Quantified,
    ReportItem,
    Within,
)

LEVEL = 0.05


class UnsupportedError(Exception):
    """A formula reached the judgement that `contrast.unsupported` should have stopped."""


def decide(
    formula: Formula, estimator: Estimator, target: str = "prompts", alpha: float = LEVEL
) -> Decision:
    """The verdict of one formula at level alpha."""
    return node_of(formula, estimator, target).decision(alpha, alpha)


def node_of(formula: Formula, estimator: Estimator, target: str) -> Node:
    match formula:
        case Comparison() | Within() if claimed := claimed_share(formula):
            share, region = claimed
            return Share(_nodes(share.members, estimator, target), region, drawn=share.drawn)
        case Comparison():
            return _leaf(formula, estimator, target)
        case Within():
            low, high = (_leaf(half, estimator, target) for half in within_parts(formula))
            return Range(low, high)
        case Both(parts):
            members = [(f"part {i}", part) for i, part in enumerate(parts, 1)]
            return Group("forall", _nodes(members, estimator, target))
        case Independence():
            return Independent(formula, estimator)
        case Quantified(kind="most", level=level):
            assert level is not None
            nodes = _nodes(formula.members, estimator, target)
            return Share(nodes, Region(low=level), drawn=is_partial(formula, estimator))
        case Quantified():
            nodes = _nodes(formula.members, estimator, target)
            partial = is_partial(formula, estimator)
            return Group(formula.kind, nodes, searched=partial, tried=formula.tried)


def _nodes(
    members: Sequence[tuple[str, Formula]], estimator: Estimator, target: str
) -> list[tuple[str, Node]]:
    return [(name, node_of(formula, estimator, target)) for name, formula in members]


def _leaf(comparison: Comparison, estimator: Estimator, target: str) -> Leaf:
    form = classify(comparison, target)
    if isinstance(form, Unsupported):
        raise UnsupportedError(form.reason)
    return Leaf(form, estimator, target)


def is_partial(formula: Quantified, estimator: Estimator) -> bool:
    """Whether the members are only some of those meant: then `forall` can fail or survive, not hold.

    The prompts of the sample are all there are when their tasks are enumerated.
    """
    if formula.extent != "prompts":
        return formula.extent != "all"
    enumerated = estimator.sample.enumerated
    return not all(enumerated.get(task, False) for task in tasks(formula))


def tasks(formula: Formula) -> tuple[str, ...]:
    """Every task a formula is about."""
    found = [
        m.run.task
        for comparison in comparisons(formula)
        for side in (comparison.left, comparison.right)
        for m in measurements(side)
    ]
    found += [test.one.run.task for test in independences(formula)]
    return tuple(dict.fromkeys(found))


def quantifiers(formula: Formula) -> Iterator[Quantified]:
    """Every quantifier of a formula, outermost first."""
    match formula:
        case Both(parts):
            for part in parts:
                yield from quantifiers(part)
        case Quantified():
            yield formula
            for _, member in formula.members:
                yield from quantifiers(member)


def is_found(formula: Formula) -> bool:
    """Whether members of it are chosen by a search."""
    return any(q.extent == "found" for q in quantifiers(formula))


# ---------------------------------------------------------------- claims


def judge(
    claims: Sequence[Claim],
    sample: Sample,
    preconditions: Sequence[Precondition] = (),
    alpha: float = LEVEL,
    held_out: Sample | None = None,
    broken: ClaimResult | None = None,
) -> tuple[ClaimResult, ...]:
    """Every claim and `assume`, in order.

    A failed precondition makes the claims it concerns `invalid`; an `assume` that does not hold
    makes every claim `invalid`, also `broken`, one that was decided before. Claims whose members
    were found by a search are decided on `held_out`, the prompts that the search has not seen.
    """
    whole = Estimator(sample)
    rest = Estimator(held_out) if held_out else whole
    results: dict[str, ClaimResult] = {}
    for claim in claims:
        if claim.kind == "assume":
            estimator = rest if is_found(claim.formula) else whole
            results[claim.name] = _judged(claim, estimator, preconditions, alpha, None)
    broken = next((r for r in results.values() if r.verdict != HOLDS), broken)
    for claim in claims:
        if claim.kind != "assume":
            estimator = rest if is_found(claim.formula) else whole
            results[claim.name] = _judged(claim, estimator, preconditions, alpha, broken)
    return tuple(results[claim.name] for claim in claims)


def _judged(
    claim: Claim, estimator: Estimator, preconditions: Sequence[Precondition], alpha: float,
    broken: ClaimResult | None,
) -> ClaimResult:  # fmt: skip
    target = claim.target or "prompts"
    if any(q.extent == "found" and not q.members for q in quantifiers(claim.formula)):
        decision = Decision(NOT_RUN, reason="its search was not run")
    else:
        decision = decide(claim.formula, estimator, target, alpha)
    reason = _why_invalid(claim, preconditions, broken)
    if reason:
        decision = replace(
            decision, verdict=INVALID, reason=reason, n_to_decide=None, power_note=None
        )
    return ClaimResult(
        claim.name, claim.kind, claim.sentence, claim.written, target, decision, claim.expect
    )


def _why_invalid(
    claim: Claim, preconditions: Sequence[Precondition], broken: ClaimResult | None
) -> str | None:
    used = tasks(claim.formula)
    for found in preconditions:
        if not found.passed and (found.task is None or found.task in used):
            return f"{found.code}, {found.title}: {found.detail}"
    if broken is None:
        return None
    why = f" ({broken.decision.reason})" if broken.decision.reason else ""
    return f"assume {broken.name} is {broken.verdict}{why}"


# ---------------------------------------------------------------- reports


def estimate_number(number: Number, estimator: Estimator, target: str = "prompts") -> Estimate:
    """Any number with its interval, whatever its class."""
    form = form_of(number)
    atoms = [atom for piece in form.pieces for atom in piece.terms] if form else []
    if form and all(is_averageable(atom) for atom in atoms):
        found = [_piece(piece, form, estimator, target) for piece in form.pieces]
        return found[0] if form.shape == "one" else extreme(found, form)
    if target == "templates":
        reason = "only means and ratios of means can be generalised over templates"
        return unknown(estimator.value(number), 0, reason, "templates")
    if form and form.shape == "one" and form.over is None and is_quantile(atoms):
        return estimator.quantile(form.pieces[0])
    return estimator.resampled(number)


def _piece(piece: Affine, form: Form, estimator: Estimator, target: str) -> Estimate:
    if form.over is None:
        return estimator.affine(piece, target)
    return ratio_estimate(estimator, piece, form.over, target)


def extreme(found: Sequence[Estimate], form: Form) -> Estimate:
    """The largest (smallest) of several numbers: its ends are the largest (smallest) of theirs.

    One end needs no correction, the other is a union over the numbers (Bonferroni).
    """
    pick = max if form.shape == "max" else min

    def at(alpha: float) -> Interval:
        split = alpha / len(found)
        levels = (split, alpha) if form.shape == "max" else (alpha, split)
        low = pick(e.bounds(levels[0])[0] for e in found)
        high = pick(e.bounds(levels[1])[1] for e in found)
        return Interval(max(low, floor_of(form)), high, found[0].method(alpha))

    chosen = pick(found, key=lambda e: e.value)
    return replace(chosen, at=at)


def estimate_report(
    item: ReportItem, estimator: Estimator, alpha: float = LEVEL
) -> tuple[NumberEstimate, ...]:
    """The numbers of a report line; a ratio whose denominator may be 0 is shown without interval."""
    return tuple(
        _reported(label, number, estimator, item.target or "prompts", alpha)
        for label, number in item.numbers
    )


def _reported(
    label: str, number: Number, estimator: Estimator, target: str, alpha: float
) -> NumberEstimate:
    level = 1 - 2 * alpha
    if isinstance(number, MemberShare):
        return _reported_share(label, number, estimator, target, alpha)
    value, noise = estimator.value(number), estimator.noise(number)
    form = form_of(number)
    for guard in form.guards if form else ():
        found = denominator(estimator, guard, target)
        if found is not None and not found.passed:
            why = f"{found.code}, {found.title}: {found.detail}"
            return NumberEstimate(label, value, None, None, level, 0, "prompts", "none", why, noise)
    found_number = estimate_number(number, estimator, target)
    low, high = found_number.bounds(alpha)
    return NumberEstimate(
        label, value, finite(low), finite(high), level, found_number.n, found_number.unit,
        found_number.method(alpha), found_number.reason, noise,
    )  # fmt: skip


def _reported_share(
    label: str, number: MemberShare, estimator: Estimator, target: str, alpha: float
) -> NumberEstimate:
    found = Share(_nodes(number.members, estimator, target), Region(), drawn=number.drawn)
    low, high = found.bounds(alpha)
    return NumberEstimate(
        label, found.value, low, high, 1 - 2 * alpha, len(number.members), "members",
        found.method, found.invalid, 0.0,
    )  # fmt: skip
