"""What a decision is: plain frozen data that a report can print or serialise."""

from __future__ import annotations

from dataclasses import dataclass

HOLDS, FAILS, UNDECIDED = "holds", "fails", "undecided"
SURVIVED, INVALID, NOT_RUN = "survived", "invalid", "not run"


@dataclass(frozen=True)
class Decision:
    """One formula decided.

    `value`, `low`, `high` are of the side that is claimed about and `region_low..region_high`
    is where it is claimed to lie, so that the picture and the verdict agree: where the threshold
    is itself measured, the interval is that of the difference, moved by the threshold's value.
    `level` is the two-sided confidence of low..high. `n_to_decide` counts what `n` counts
    (`unit`) and has 80% power; None with `power_note` when no number of them would help.
    A quantifier shows its `worst` member (for exists, the strongest) and lists all in `members`;
    `failed` names those refuted after Holm's correction. `looked_at` counts the members behind a
    claim about more of them: those drawn, or those that a search tried. `counterexample` is the
    simplest of them that refutes the claim, as a spec can say it. `noise` is how far the numeric noise
    of its metrics can move `value`.
    """

    verdict: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    threshold: str = ""
    region_low: float | None = None
    region_high: float | None = None
    n: int = 0
    unit: str = "prompts"
    method: str = ""
    n_to_decide: int | None = None
    power_note: str | None = None
    reason: str | None = None
    members: tuple[tuple[str, Decision], ...] = ()
    failed: tuple[str, ...] = ()
    worst: str | None = None
    companions: tuple[tuple[str, float], ...] = ()
    looked_at: int | None = None
    counterexample: str | None = None
    noise: float | None = None


@dataclass(frozen=True)
class ClaimResult:
    """A claim or an `assume` with its decision, and whether that is what the spec expects."""

    name: str
    kind: str
    sentence: str | None
    written: str
    target: str
    decision: Decision
    expectation: tuple[str, str] | None

    @property
    def verdict(self) -> str:
        return self.decision.verdict

    @property
    def as_expected(self) -> bool | None:
        """Whether the verdict is the expected one; None where nothing is expected."""
        return None if self.expectation is None else self.verdict == self.expectation[0]

    @property
    def ok(self) -> bool:
        """Whether it holds, or comes out as expected."""
        return self.verdict == HOLDS if self.as_expected is None else self.as_expected


@dataclass(frozen=True)
class NumberEstimate:
    """A reported number, without a threshold; `noise` is how far numeric noise can move it."""

    label: str
    value: float
    low: float | None
    high: float | None
    level: float
    n: int
    unit: str
    method: str
    reason: str | None = None
    noise: float | None = None
