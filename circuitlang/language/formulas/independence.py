"""`independence(A, B)`: the p-value of the test that F(A) and F(B) are independent over the prompts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from circuitlang.language.spec import Constant, Independence, Mean
from circuitlang.language.text import syntax

if TYPE_CHECKING:
    from circuitlang.language.formulas.environment import Environment
    from circuitlang.language.formulas.evaluate import Evaluator

LARGEST_LEVEL = 0.05
USAGE = "write `independence(M - C, M) >= 5%`"


@dataclass(frozen=True)
class PValue:
    """Half of a claim: what `independence` gives before it is compared with a level."""

    noun = "the p-value of a test"
    one: Mean
    other: Mean


def independence(ev: Evaluator, e: syntax.Call, env: Environment) -> PValue:
    if len(e.arguments) != 2 or e.generator is not None or e.named:
        raise ev.fail("CL105", "`independence` takes two sets of edges.", e, USAGE)
    scores = []
    for argument in e.arguments:
        ev.count_score(e)
        one = replace(e, name=replace(e.name, parts=("F",)), arguments=(argument,))
        score = ev.runs.score(one, env)
        if not isinstance(score, Mean) or score.measurement.rows.kind == "example":
            raise ev.fail(
                "CL106",
                "Independence is tested over prompts, not on one of them.",
                e,
                "say it of a whole task or template: `independence(M - C, M on task)`",
            )
        scores.append(score)
    return PValue(*scores)


def claimed(ev: Evaluator, e: syntax.Binary, left: Any, right: Any) -> Independence:
    """The claim that the p-value reaches a level."""
    if not (isinstance(left, PValue) and isinstance(right, Constant)) or e.operator != ">=":
        raise ev.fail(
            "CL106",
            "`independence` is compared with the level at which the test rejects, and with nothing "
            "else.",
            e,
            USAGE,
        )
    if not 0 < right.value <= LARGEST_LEVEL:
        raise ev.fail(
            "CL106",
            f"A test at level {right.value:g} is wrong more often than verdicts may be."
            if right.value > 0
            else "A p-value is always above that.",
            e.right,
            "the largest level is 5%",
        )
    return Independence(left.one.measurement, left.other.measurement, right.value)
