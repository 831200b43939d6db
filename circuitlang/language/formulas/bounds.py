"""Claims that bound the same number: which contradict each other, and which follow from others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from circuitlang.language import spec as forms
from circuitlang.language.diagnostics import Diagnostics


@dataclass(frozen=True)
class Bound:
    """`number` `operator` `value`, with operator >= > <= or <."""

    number: Any
    operator: str
    value: float

    def excludes(self, other: Bound) -> bool:
        """Whether no number can meet both."""
        if self.number != other.number or self.operator[0] != "<" or other.operator[0] != ">":
            return False
        both_closed = len(self.operator) == len(other.operator) == 2
        return self.value < other.value or (self.value == other.value and not both_closed)

    def implies(self, other: Bound) -> bool:
        if self.number != other.number or self.operator[0] != other.operator[0]:
            return False
        if self.value == other.value:
            return len(self.operator) <= len(other.operator)
        return (self.value > other.value) == (self.operator[0] == ">")


def bounds(formula: Any) -> tuple[Bound, ...] | None:
    """A formula as bounds that all hold; None where it is none."""
    match formula:
        case forms.Comparison((">=" | ">" | "<=" | "<") as operator, left, forms.Constant(value)):
            return (Bound(left, operator, value),)
        case forms.Within(number, forms.Constant(low), forms.Constant(high)):
            return (Bound(number, ">=", low), Bound(number, "<=", high))
        case forms.Both(parts):
            found = [bounds(part) for part in parts]
            return None if None in found else tuple(b for bounds in found for b in bounds or ())
    return None


def contradictions(claims: Sequence[forms.Claim], diagnostics: Diagnostics) -> None:
    """Warns of claims that no model can meet together, unless one is expected to fail."""
    tightest: dict[Any, dict[str, tuple[Bound, forms.Claim]]] = defaultdict(dict)
    for claim in (c for c in claims if c.expect is None):
        own = bounds(claim.formula) or ()
        against = next(
            (
                other
                for bound in own
                for earlier, other in tightest[bound.number, claim.target].values()
                if bound.excludes(earlier) or earlier.excludes(bound)
            ),
            None,
        )
        if against is not None:
            diagnostics.warn(
                "CL314",
                f"`{claim.name}` and `{against.name}` cannot both hold.",
                claim.span,
                "correct one of them, or mark the one that shall fail with `expect fails`",
                ((against.span, f"`{against.name}` claims the opposite of the same number:"),),
            )
        for bound in own:
            stated = tightest[bound.number, claim.target]
            side = bound.operator[0]
            if side not in stated or not stated[side][0].implies(bound):
                stated[side] = (bound, claim)


def implied(claims: Sequence[forms.Claim], diagnostics: Diagnostics) -> None:
    """Warns of each claim that cannot fail where another one holds."""
    stated: dict[Any, list[forms.Claim]] = defaultdict(list)
    for claim in claims:
        for key in {claim.formula, *(b.number for b in bounds(claim.formula) or ())}:
            stated[key, claim.target].append(claim)
    for claim in claims:
        own = bounds(claim.formula)
        keys = [claim.formula, *([own[0].number] if own else [])]
        others = (o for key in keys for o in stated[key, claim.target] if o is not claim)
        stronger = next((o for o in others if _follows(claim, o, claims)), None)
        if stronger is not None:
            diagnostics.warn(
                "CL404",
                f"Claim `{claim.name}` follows from `{stronger.name}`: it cannot fail where that "
                "holds.",
                claim.span,
                "delete it, or claim something else of the circuit",
                ((stronger.span, f"`{stronger.name}` says at least as much:"),),
            )


def _follows(claim: forms.Claim, other: forms.Claim, claims: Sequence[forms.Claim]) -> bool:
    """Of two claims that say the same, the later follows from the earlier."""
    if claim.formula == other.formula:
        return claims.index(other) < claims.index(claim)
    weak, strong = bounds(claim.formula), bounds(other.formula)
    return bool(weak and strong) and all(
        any(s.implies(w) for s in strong or ()) for w in weak or ()
    )
