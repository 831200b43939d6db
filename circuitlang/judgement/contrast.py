"""Which test decides a comparison. Needs no data, so it can refuse before anything is run.

Every comparison becomes "these contrasts are at or above zero": all of them (`abs(L) <= t`,
`in a..b`) or any of them (`abs(L) >= t`). A ratio against t becomes A - tB, to be multiplied by
the sign of B once B is measured: without the sign a metric where F(M) < F(none)
turns the verdict round.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from circuitlang.judgement.forms import (
    Affine,
    Atom,
    Form,
    Guard,
    NoFormError,
    form_of,
)
from circuitlang.judgement.parts import measurements, quantile_level, walk
from circuitlang.judgement.ranges import is_bounded
from circuitlang.judgement.regions import claimed_share
from circuitlang.language.spec import (
    Aggregate,
    Both,
    Comparison,
    Constant,
    Each,
    Formula,
    Independence,
    Mean,
    MemberShare,
    Number,
    Operation,
    Quantified,
    Search,
    Within,
)
from circuitlang.language.text.syntax import RELATIONS

_BOUNDED = "measure by `prob(answer)` or an indicator, or claim a share: `agreement(C, 1) >= 80%`"
_UNBOUNDED = "it averages numbers without bounds, of which no sample guarantees anything"
_RESAMPLED = "it is resampled, which guarantees nothing at a given number of prompts"
DIRECTIONS = (">=", ">", "<=", "<")


@dataclass(frozen=True)
class Unsupported:
    """Why no test decides this formula; the caller makes a coded diagnostic of it."""

    reason: str
    help: str | None = None


@dataclass(frozen=True)
class FormClass:
    """How a comparison is decided.

    `kind`: "constant", "affine", "ratio", "share", "quantile" or "bootstrap". `mode` says
    whether "all" or "any" of `tests` must be at or above zero (above, when `strict`). With `over`
    each test is multiplied by the sign of that denominator; each guard is a precondition.
    `difference` is the wanted side minus the other, what a bootstrap compares with zero.
    """

    kind: str
    operator: str
    left: Number
    right: Number
    difference: Number
    mode: str = "all"
    tests: tuple[Affine, ...] = ()
    strict: bool = False
    over: Affine | None = None
    guards: tuple[Guard, ...] = ()
    opposed: bool = False

    @property
    def upward(self) -> bool:
        return self.operator in (">=", ">")

    @property
    def measured_condition(self) -> bool:
        """Whether the condition of a share compares with a mean, which is itself estimated."""
        return any(has_mean(a) for t in self.tests for a in t.terms if isinstance(a, Aggregate))


_PERMUTED = Unsupported(
    "independence is tested over prompts: templates are too few to be permuted",
    "say `over prompts` in the claim's head",
)


def classify(comparison: Comparison, target: str | None = None) -> FormClass | Unsupported:
    """The test for one comparison, or the reason there is none."""
    try:
        return _classified(comparison, target)
    except NoFormError as refused:
        return Unsupported(str(refused))


def _classified(comparison: Comparison, target: str | None) -> FormClass | Unsupported:
    flipped = {">=": "<=", ">": "<", "<=": ">=", "<": ">", "==": "==", "!=": "!="}
    left, right, operator = comparison.left, comparison.right, comparison.operator
    if operator not in RELATIONS:
        return Unsupported(f"there is no comparison {operator}")
    for number in (left, right):
        _verify_aggregates(number)
    left_form, right_form = form_of(left), form_of(right)
    if left_form and left_form.is_constant and not (right_form and right_form.is_constant):
        left, right, operator = right, left, flipped[operator]
        left_form, right_form = right_form, left_form
    difference = _minus(left, right) if operator in (">=", ">") else _minus(right, left)
    form = form_of(difference)
    found = FormClass("constant", operator, left, right, difference, strict=operator in (">", "<"))
    if form and form.is_constant:
        return replace(found, tests=(_constant_test(operator, form.pieces[0]),))
    if operator not in DIRECTIONS:
        return Unsupported(
            f"a measured number is never exactly equal, so {operator} has no test",
            "say an interval, as in `... in 0.9..1.1`",
        )
    if form and all(is_averageable(atom) for test in form.pieces for atom in test.terms):
        guards = form.guards + _scale_guards(left_form, right_form)
        return replace(
            found, kind=_kind(form), mode="any" if form.shape == "max" else "all",
            tests=form.pieces, over=form.over, guards=guards, opposed=form.opposed,
        )  # fmt: skip
    return _resampled(found, form, target)


def _constant_test(operator: str, difference: Affine) -> Affine:
    if operator in DIRECTIONS:
        return difference
    unequal = float(difference.constant != 0)
    return Affine({}, unequal - 0.5 if operator == "!=" else 0.5 - unequal)


def _minus(left: Number, right: Number) -> Number:
    return left if right == Constant(0.0) else Operation("-", (left, right))


def _kind(form: Form) -> str:
    if form.over is not None:
        return "ratio"
    atoms = {atom for piece in form.pieces for atom in piece.terms}
    return (
        "share" if any(isinstance(a, Aggregate) and a.kind == "share" for a in atoms) else "affine"
    )


def _verify_aggregates(number: Number) -> None:
    """Raises `NoFormError` for an aggregate that means nothing."""
    for part in walk(number):
        if isinstance(part, MemberShare):
            raise NoFormError(
                "a share of members can be compared with a plain number, as in `>= 90%`, and with "
                "nothing else"
            )
        if not isinstance(part, Aggregate):
            continue
        if part.kind not in ("mean", "median", "quantile", "share"):
            raise NoFormError(f"there is no statistic {part.kind}")
        if (part.kind == "share") != isinstance(part.body, Comparison):
            raise NoFormError("share, and only share, is taken of a condition")
        if part.kind == "quantile" and not 0 < quantile_level(part) < 1:
            raise NoFormError("a quantile's level lies strictly between 0 and 1")
        inside = list(walk(part))[1:]
        if any(isinstance(p, Aggregate) for p in inside):
            raise NoFormError("a statistic over prompts stands inside another one")
        data = {(p.measurement.run.task, p.measurement.rows) for p in inside if isinstance(p, Each)}
        if len(data) != 1:
            raise NoFormError(
                f"a {part.kind} over prompts needs one data set, this has {len(data)}"
            )


def is_averageable(atom: Atom) -> bool:
    """The mean of a per-prompt number that depends on no other prompt."""
    if isinstance(atom, Mean):
        return True
    return atom.kind in ("mean", "share") and not has_mean(atom)


def is_quantile(atoms: Sequence[Atom]) -> bool:
    """One median or quantile of numbers that depend on no other prompt: order statistics do."""
    return len(atoms) == 1 and (
        isinstance(atoms[0], Aggregate)
        and atoms[0].kind in ("median", "quantile")
        and not has_mean(atoms[0])
    )


def has_mean(number: Number) -> bool:
    return any(isinstance(part, Mean) for part in walk(number))


def _scale_guards(left: Form | None, right: Form | None) -> tuple[Guard, ...]:
    """A threshold that scales with an effect means nothing unless that effect is positive.

    With a loss or KL, effect = F(M) - F(none) is negative: `drop >= 1% * effect` would then hold
    for edges that do nothing, `abs(L) >= 1% * effect` always, and `abs(L) <= 10% * effect` never.
    """
    found: list[Guard] = []
    for scale, other in ((right, left), (left, right)):
        if scale is None or other is None or scale.shape != "one" or scale.over is not None:
            continue
        affine = scale.pieces[0]
        full = [c for a, c in affine.terms.items() if isinstance(a, Mean) and _is_full(a)]
        if len(full) != 1 or affine.constant != 0:
            continue
        effect = affine.scaled(1 / full[0])
        scaled = abs(abs(full[0]) - 1) > 1e-12
        if other.opposed or (
            scaled and (_is_difference(effect) or _is_difference(other.pieces[0]))
        ):
            found.append(Guard(effect, positive=True))
    return tuple(found)


def _is_full(mean: Mean) -> bool:
    """Whether the run is M: only then does it have no ablation."""
    return mean.measurement.run.ablation is None


def _is_difference(affine: Affine) -> bool:
    return len(affine.terms) > 1 and abs(sum(affine.terms.values())) < 1e-9


def _resampled(found: FormClass, form: Form | None, target: str | None) -> FormClass | Unsupported:
    """Quantiles, products, extremes: no contrast, so order statistics or the bootstrap."""
    if target == "templates":
        return Unsupported(
            "only means and ratios of means can be generalised over templates: "
            "say `over prompts`, or claim a mean"
        )
    if form and form.shape == "one" and form.over is None and len(form.pieces[0].terms) == 1:
        (atom,) = form.pieces[0].terms
        if is_quantile([atom]):
            return replace(found, kind="quantile", tests=form.pieces)
        if isinstance(atom, Aggregate) and atom.kind == "share":
            return replace(found, kind="share", tests=form.pieces)
    parts = list(walk(found.difference))
    if any(isinstance(part, Aggregate) and part.kind == "share" for part in parts):
        return Unsupported("a share can be compared, added and subtracted, not combined like this")
    data = {
        (p.measurement.run.task, p.measurement.rows) for p in parts if isinstance(p, Mean | Each)
    }
    if len({task for task, _ in data}) < len(data):
        return Unsupported(
            "products, extremes and quantiles are resampled, and that needs one set of prompts "
            "per task: this one combines different rows of the same task"
        )
    return replace(found, kind="bootstrap", guards=_denominators(found.difference))


def _denominators(number: Number) -> tuple[Guard, ...]:
    """Every measured denominator outside an aggregate, as a guard."""
    found: list[Guard] = []
    pending = [number]
    while pending:
        part = pending.pop()
        if not isinstance(part, Operation):
            continue
        pending.extend(part.operands)
        for divisor in part.operands[1:] if part.operator == "/" else ():
            form = form_of(divisor)
            affine = form and form.shape == "one" and form.over is None
            if form is None or not affine:
                raise NoFormError("it divides by a number whose sign cannot be tested")
            averageable = all(is_averageable(atom) for atom in form.pieces[0].terms)
            if not averageable:
                raise NoFormError(
                    "it divides by a median, a quantile or a share of a measured condition"
                )
            if not form.is_constant:
                found.append(Guard(form.pieces[0]))
    return tuple(found)


def within_parts(within: Within) -> tuple[Comparison, Comparison]:
    """`x in a..b` as its two one-sided halves."""
    low = Comparison(">=", within.number, within.low)
    return low, Comparison("<=", within.number, within.high)


def tested(formula: Formula) -> Iterator[Comparison | Independence]:
    """Every comparison and every test of independence that a formula is made of."""
    match formula:
        case Comparison() | Within() if claimed := claimed_share(formula):
            for _, member in claimed[0].members:
                yield from tested(member)
        case Comparison() | Independence():
            yield formula
        case Within():
            yield from within_parts(formula)
        case Both(parts):
            for part in parts:
                yield from tested(part)
        case Quantified(search=Search() as search, members=()):
            yield from tested(search.first)
        case Quantified():
            for _, member in formula.members:
                yield from tested(member)


def comparisons(formula: Formula) -> Iterator[Comparison]:
    return (part for part in tested(formula) if isinstance(part, Comparison))


def independences(formula: Formula) -> Iterator[Independence]:
    return (part for part in tested(formula) if isinstance(part, Independence))


def unsupported(formula: Formula, target: str | None = None) -> tuple[Unsupported, ...]:
    """Every distinct reason why a formula cannot be decided; empty when it can."""
    found = [classify(comparison, target) for comparison in comparisons(formula)]
    if target == "templates" and any(independences(formula)):
        found.append(_PERMUTED)
    return tuple(dict.fromkeys(f for f in found if isinstance(f, Unsupported)))


def unguaranteed(formula: Formula, target: str | None = None) -> tuple[Unsupported, ...]:
    """Why a formula has no interval that is right at any number of prompts; empty when it has one."""
    found: list[Unsupported] = []
    if any(independences(formula)):
        found.append(
            Unsupported(
                "a permutation test shows dependence, and guarantees nothing else",
                "leave the guarantee out, or claim a share: `agreement(M - C, 1) >= 80%`",
            )
        )
    for comparison in comparisons(formula):
        form = classify(comparison, target)
        if isinstance(form, Unsupported) or form.kind in ("constant", "quantile"):
            continue
        if not form.tests:
            found.append(Unsupported(_RESAMPLED, _BOUNDED))
        elif not all(map(is_bounded, form.tests)):
            found.append(Unsupported(_UNBOUNDED, _BOUNDED))
    return tuple(dict.fromkeys(found))


def depends(formula: Formula) -> bool:
    """Whether a verdict can depend on a run: False when all its measurements cancel out.

    A formula without any measurement states a fact about sets, which is its own matter.
    """
    found = [c for c in comparisons(formula) if any(map(measurements, (c.left, c.right)))]
    if not found or any(independences(formula)):
        return True
    kinds = [classify(comparison) for comparison in found]
    return any(isinstance(k, Unsupported) or k.kind != "constant" for k in kinds)
